/* The list is a chain of segments, found through marks.
 *
 * An append works on a copy of the list's end: it copies the elements behind the end, into fresh segments
 * where they do not fit, and writes the marks behind the counted ones. Where it runs out of memory, the copy
 * is dropped and the fresh segments with it; else the copy becomes the end.
 *
 * Each segment starts with a mark, so a walk from a mark to a message stays within one segment. */
#include "log/log.h"
#include "json.h"
#include "log/digest.h"
#include "log/marks.h"
#include "logline.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { POPULATE_BYTES = 64 * 1024 };

/* The end of the list: all that changes with an append. */
struct end {
    struct log_tail tail;
    uint64_t bytes;
    uint64_t marks;
    struct log_segment *segment; /* the last one; NULL for an empty list */
    size_t used;                 /* bytes of it */
    struct log_segment *fresh; /* of an append under way: the first that it has added; it hangs nowhere yet */
};

struct log {
    struct log_segment *first;
    struct marks marks; /* behind end.marks nothing is in use */
    struct end end;
    uint64_t max_bytes; /* that end.bytes may reach */
    uint64_t tell_at;   /* the bytes at which the log lines tell how full it is; UINT64_MAX: they have */
    bool full_told;
};

/* A message's start, and how far one may walk from it. */
struct place {
    const struct log_segment *segment;
    size_t offset;
    size_t end; /* the offset where the next mark is, or the list's end */
    uint64_t id;
};

/* ---- places ---- */

static struct place place_of_mark(const struct log *log, uint64_t index)
{
    const struct mark *mark = &log->marks.at[index];
    uint64_t end = index + 1 < log->end.marks ? mark_position(mark + 1) : log->end.bytes;
    return (struct place){
        .segment = mark->segment,
        .offset = mark->offset,
        .end = (size_t)(end - mark->segment->position),
        .id = mark->id,
    };
}

static uint64_t place_position(const struct place *place)
{
    return place->segment->position + place->offset;
}

static struct span place_message(const struct place *place)
{
    struct span rest = {
        .at = place->segment->bytes + place->offset,
        .len = place->end - place->offset,
    };
    rest.len = json_canonical_len(rest);
    return rest;
}

/* Steps past the message of that length. */
static void place_pass(struct place *place, size_t message_len)
{
    place->offset += message_len + 1;
    place->id++;
}

/* The nearest mark that is not behind message id. */
static struct place place_near(const struct log *log, uint64_t id)
{
    return place_of_mark(log, marks_find_id(&log->marks, log->end.marks, id));
}

/* Walks to message id, which is not before the place and not behind its `end`. */
static struct place place_walk(struct place place, uint64_t id)
{
    while (place.id < id)
        place_pass(&place, place_message(&place).len);
    return place;
}

static struct place place_find(const struct log *log, uint64_t id)
{
    return place_walk(place_near(log, id), id);
}

/* A message whose position is known. The last mark is tried first: short messages at the end of the list are
 * behind it. */
static struct place place_at(const struct log *log, const struct log_cursor *cursor)
{
    uint64_t index = log->end.marks - 1;
    assert(cursor->position < log->end.bytes);
    if (cursor->position < mark_position(&log->marks.at[index]))
        index = marks_find_position(&log->marks, log->end.marks, cursor->position);
    struct place place = place_of_mark(log, index);
    place.offset = (size_t)(cursor->position - place.segment->position);
    place.id = cursor->id;
    return place;
}

/* ---- appending ---- */

static void segments_free(struct log_segment *segment)
{
    while (segment) {
        struct log_segment *next = atomic_load_explicit(&segment->next, memory_order_relaxed);
        munmap(segment, sizeof *segment + segment->cap);
        segment = next;
    }
}

/* A segment has pages of its own. Those behind what is populated cost nothing. Huge pages would stop an
 * append for as long as the system looks for one. */
static struct log_segment *segment_new(size_t least)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = (sizeof(struct log_segment) + least + page - 1) / page * page;
    len = len > LOG_SEGMENT_BYTES ? len : LOG_SEGMENT_BYTES;
    struct log_segment *segment = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (segment == MAP_FAILED)
        return NULL;
    (void)madvise(segment, len, MADV_NOHUGEPAGE);
    segment->cap = len - sizeof *segment;
    segment->populated = 0;
    return segment;
}

/* Has the system make pages for what is about to be written and for some of what follows: less than faults,
 * one by one, would cost. Where it does not (Linux before 5.14) they come with the faults. */
static void segment_populate(struct log_segment *segment, size_t used)
{
    size_t step = (sizeof *segment + used) / POPULATE_BYTES * POPULATE_BYTES + POPULATE_BYTES;
    size_t most = sizeof *segment + segment->cap;
    size_t end = step < most ? step : most;
    if (end <= segment->populated)
        return;
#ifdef MADV_POPULATE_WRITE
    (void)madvise((char *)segment + segment->populated, end - segment->populated, MADV_POPULATE_WRITE);
#endif
    segment->populated = end;
}

static int end_add_segment(struct end *end, size_t least)
{
    struct log_segment *segment = segment_new(least);
    if (!segment)
        return -ENOMEM;
    segment->position = end->bytes;
    atomic_init(&segment->next, NULL);
    if (end->fresh)
        atomic_store_explicit(&end->segment->next, segment, memory_order_relaxed);
    else
        end->fresh = segment;
    end->segment = segment;
    end->used = 0;
    return 0;
}

static bool mark_due(const struct log *log, const struct end *end)
{
    if (end->used == 0)
        return true;
    const struct mark *mark = &log->marks.at[end->marks - 1];
    return end->used - mark->offset >= LOG_MARK_BYTES || end->tail.last + 1 - mark->id >= LOG_MARK_MESSAGES;
}

/* Adds one message, for which its segment has room. */
static int end_add_message(struct log *log, struct end *end, struct span message)
{
    const struct mark mark = {end->tail.last + 1, end->tail.digest, end->segment, end->used};
    if (mark_due(log, end) && !marks_put(&log->marks, end->marks++, mark))
        return -ENOMEM;
    segment_populate(end->segment, end->used + message.len + 1);
    char *to = end->segment->bytes + end->used;
    memcpy(to, message.at, message.len);
    to[message.len] = ',';
    end->used += message.len + 1;
    end->bytes += message.len + 1;
    end->tail.last++;
    end->tail.digest = digest_chain(end->tail.digest, message);
    return 0;
}

static bool end_has_room(const struct end *end, size_t message_len)
{
    return end->segment && end->segment->cap - end->used > message_len;
}

static int end_add(struct log *log, struct end *end, struct span elements, const size_t *lens, uint64_t count)
{
    struct span message = elements;
    for (uint64_t i = 0; i < count; i++, message.at += message.len + 1) {
        message.len = lens ? lens[i] : elements.len;
        assert(message.at + message.len <= elements.at + elements.len);
        if (!end_has_room(end, message.len) && end_add_segment(end, message.len + 1) < 0)
            return -ENOMEM;
        if (end_add_message(log, end, message) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- the limit ---- */

bool log_has_room(const struct log *log, uint64_t bytes)
{
    return bytes <= log->max_bytes && log->end.bytes <= log->max_bytes - bytes;
}

static void full_tell(struct log *log)
{
    if (!log->full_told)
        logline_event(LOGLINE_WARN, "list_full",
                      LOG_FIELDS(LOG_NUMBER("bytes", log->end.bytes), LOG_NUMBER("max", log->max_bytes)),
                      "the list is full: it has %" PRIu64 " bytes, and MAX_LOG is %" PRIu64, log->end.bytes,
                      log->max_bytes);
    log->full_told = true;
}

static void fill_tell(struct log *log)
{
    logline_event(LOGLINE_WARN, "list_fills",
                  LOG_FIELDS(LOG_NUMBER("bytes", log->end.bytes), LOG_NUMBER("max", log->max_bytes)),
                  "the list has %" PRIu64 " bytes, four fifths of MAX_LOG, which is %" PRIu64
                  ": past that nothing is appended",
                  log->end.bytes, log->max_bytes);
    log->tell_at = UINT64_MAX;
}

void log_limit(struct log *log, uint64_t max_bytes)
{
    log->max_bytes = max_bytes;
    log->tell_at = max_bytes / 5 * 4;
}

/* ---- all of an append ---- */

/* It is the list's end from now on. Only here do others see the fresh segments. */
static void end_put(struct log *log, struct end end)
{
    if (end.fresh && log->end.segment)
        atomic_store_explicit(&log->end.segment->next, end.fresh, memory_order_release);
    else if (end.fresh)
        log->first = end.fresh;
    end.fresh = NULL;
    log->end = end;
}

/* `digest`: what the list's must be then; NULL: any. */
static int append(struct log *log, struct span elements, const size_t *lens, uint64_t count,
                  const uint64_t *digest, uint64_t *last_id)
{
    struct end end = log->end;
    if (!log_has_room(log, elements.len + 1)) { /* each has a comma behind it */
        full_tell(log);
        return -ENOSPC;
    }
    int result = end_add(log, &end, elements, lens, count);
    if (result == 0 && digest && end.tail.digest != *digest)
        result = -EBADMSG;
    if (result < 0) {
        segments_free(end.fresh);
        return result;
    }
    end_put(log, end);
    *last_id = end.tail.last;
    if (end.bytes >= log->tell_at)
        fill_tell(log);
    return 0;
}

int log_append(struct log *log, struct span elements, const size_t *lens, uint64_t count, uint64_t *last_id)
{
    return append(log, elements, lens, count, NULL, last_id);
}

int log_append_proven(struct log *log, struct span elements, const size_t *lens, uint64_t count,
                      uint64_t digest, uint64_t *last_id)
{
    return append(log, elements, lens, count, &digest, last_id);
}

/* ---- the list ---- */

struct log *log_open(void)
{
    struct log *log = calloc(1, sizeof *log);
    if (log)
        log->max_bytes = log->tell_at = UINT64_MAX;
    return log;
}

void log_close(struct log *log)
{
    if (!log)
        return;
    segments_free(log->first);
    marks_free(&log->marks);
    free(log);
}

uint64_t log_last(const struct log *log)
{
    return log->end.tail.last;
}

uint64_t log_bytes(const struct log *log)
{
    return log->end.bytes;
}

struct log_tail log_tail(const struct log *log)
{
    return log->end.tail;
}

/* The digest of the messages before `id`, which is behind the last id by one at most. */
static uint64_t digest_before(const struct log *log, uint64_t id)
{
    if (id > log->end.tail.last)
        return log->end.tail.digest;
    uint64_t index = marks_find_id(&log->marks, log->end.marks, id);
    uint64_t digest = log->marks.at[index].digest;
    for (struct place place = place_of_mark(log, index); place.id < id;) {
        struct span message = place_message(&place);
        digest = digest_chain(digest, message);
        place_pass(&place, message.len);
    }
    return digest;
}

uint64_t log_digest(const struct log *log, uint64_t id)
{
    assert(id <= log_last(log));
    return digest_before(log, id + 1);
}

/* ---- slices ---- */

/* The slice from `start` up to message `next`, which is at `position` in the list. */
static struct log_slice slice_between(const struct place *start, uint64_t next, uint64_t position)
{
    return (struct log_slice){
        .len = position - place_position(start) - 1,
        .count = next - start->id,
        .segment = start->segment,
        .offset = start->offset,
    };
}

/* The position of message `next`, which is behind `start`; it may be the one that comes next in the list. */
static uint64_t slice_end(const struct log *log, const struct place *start, uint64_t next)
{
    if (next > log_last(log))
        return log->end.bytes;
    struct place place = place_near(log, next);
    place = place_walk(place.id < start->id ? *start : place, next);
    return place_position(&place);
}

/* The longest slice from `start` that ends before `limit`, but one message at least. The list goes on past
 * `limit`. The last mark before it is where to look, unless the slice starts behind that mark. */
static struct log_slice slice_cut(const struct log *log, const struct place *start, uint64_t limit)
{
    struct place next = place_of_mark(log, marks_find_position(&log->marks, log->end.marks, limit));
    if (next.id <= start->id) {
        next = *start;
        place_pass(&next, place_message(&next).len);
        if (place_position(&next) >= limit)
            return slice_between(start, next.id, place_position(&next));
    }
    for (;;) {
        size_t len = place_message(&next).len;
        if (place_position(&next) + len + 1 > limit)
            return slice_between(start, next.id, place_position(&next));
        place_pass(&next, len);
    }
}

struct log_slice log_slice(const struct log *log, uint64_t from, uint64_t to)
{
    assert(from > 0);
    if (to > log_last(log))
        to = log_last(log);
    if (from > to)
        return (struct log_slice){0};
    struct place start = place_find(log, from);
    return slice_between(&start, to + 1, slice_end(log, &start, to + 1));
}

struct log_slice log_next(const struct log *log, struct log_cursor *cursor, uint64_t max_bytes)
{
    assert(cursor->id > 0);
    if (cursor->id > log_last(log))
        return (struct log_slice){0};
    struct place start = cursor->position > 0 ? place_at(log, cursor) : place_find(log, cursor->id);
    uint64_t begin = place_position(&start);
    struct log_slice slice = log->end.bytes - begin - 1 <= max_bytes
                                 ? slice_between(&start, log_last(log) + 1, log->end.bytes)
                                 : slice_cut(log, &start, begin + max_bytes + 1);
    cursor->id += slice.count;
    cursor->position = begin + slice.len + 1;
    cursor->digest = digest_before(log, cursor->id);
    return slice;
}
