/* The list is a chain of segments, found through marks.
 *
 * An append prepares a draft: it copies the elements behind the published tail, into fresh segments where
 * they do not fit, and writes the marks behind the published ones. Nobody reads there, so a draft that runs
 * out of memory is dropped and leaves nothing behind. A draft that is complete is published: the chain is
 * linked, and the new tail goes to the one of two slots that readers do not use now; then `version` names
 * that slot. A reader copies the slot that `version` names and asks again when `version` has moved meanwhile,
 * so it waits for no appender, not even for one that was interrupted in the middle of it all.
 *
 * Each segment starts with a mark, so a walk from a mark to a message stays within one segment. */
#include "log/log.h"
#include "json.h"
#include "log/digest.h"
#include "log/marks.h"
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { POPULATE_BYTES = 64 * 1024 };

/* The end of the list: all that changes with an append. */
struct tail {
    uint64_t last;
    uint64_t bytes;
    uint64_t digest;
    uint64_t marks;
};

struct tail_slot {
    _Atomic uint64_t last;
    _Atomic uint64_t bytes;
    _Atomic uint64_t digest;
    _Atomic uint64_t marks;
};

/* What an append changes, while it is under way and then published. */
struct draft {
    struct log *log;
    struct tail tail;
    struct log_segment *segment; /* the one appended to; NULL for an empty list */
    size_t used;                 /* bytes of it below the tail */
    const struct mark *mark;     /* the last one, or NULL */
    struct log_segment *fresh;   /* the first segment that is not published; the rest hangs on it */
};

struct log {
    _Atomic uint64_t version;  /* slots[version % 2] holds the published tail */
    struct tail_slot slots[2]; /* how they are read: see the top */
    struct marks marks;        /* readers' below the published count */

    /* The appender's alone. */
    struct draft published;
    struct log_segment *first;
};

/* A message's start, and how far one may walk from it. */
struct place {
    const struct log_segment *segment;
    size_t offset;
    size_t end; /* the offset where the next mark is, or the tail: appenders may write behind it */
    uint64_t id;
};

/* ---- tail ---- */

/* The loads acquire, and the stores in tail_publish release, so that one who sees a byte of a newer tail in
 * this slot also sees that `version` has moved. */
static struct tail tail_read(const struct log *log)
{
    uint64_t version = atomic_load_explicit(&log->version, memory_order_acquire);
    for (;;) {
        const struct tail_slot *slot = &log->slots[version % 2];
        struct tail tail = {
            .last = atomic_load_explicit(&slot->last, memory_order_acquire),
            .bytes = atomic_load_explicit(&slot->bytes, memory_order_acquire),
            .digest = atomic_load_explicit(&slot->digest, memory_order_acquire),
            .marks = atomic_load_explicit(&slot->marks, memory_order_acquire),
        };
        uint64_t again = atomic_load_explicit(&log->version, memory_order_acquire);
        if (again == version)
            return tail;
        version = again;
    }
}

static void tail_publish(struct log *log, const struct tail *tail)
{
    uint64_t version = atomic_load_explicit(&log->version, memory_order_relaxed) + 1;
    struct tail_slot *slot = &log->slots[version % 2];
    atomic_store_explicit(&slot->last, tail->last, memory_order_release);
    atomic_store_explicit(&slot->bytes, tail->bytes, memory_order_release);
    atomic_store_explicit(&slot->digest, tail->digest, memory_order_release);
    atomic_store_explicit(&slot->marks, tail->marks, memory_order_release);
    atomic_store_explicit(&log->version, version, memory_order_release);
}

/* ---- places ---- */

static struct place place_of_mark(const struct log *log, const struct tail *tail, uint64_t index)
{
    const struct mark *mark = marks_at(&log->marks, index);
    uint64_t end = index + 1 < tail->marks ? mark_position(marks_at(&log->marks, index + 1)) : tail->bytes;
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
static struct place place_near(const struct log *log, const struct tail *tail, uint64_t id)
{
    return place_of_mark(log, tail, marks_find_id(&log->marks, tail->marks, id));
}

/* Walks to message id, which is not before the place and not behind its `end`. */
static struct place place_walk(struct place place, uint64_t id)
{
    while (place.id < id)
        place_pass(&place, place_message(&place).len);
    return place;
}

static struct place place_find(const struct log *log, const struct tail *tail, uint64_t id)
{
    return place_walk(place_near(log, tail, id), id);
}

/* A message whose position is known. The last mark is tried first: short messages at the end of the list are
 * behind it. */
static struct place place_at(const struct log *log, const struct tail *tail, const struct log_cursor *cursor)
{
    uint64_t index = tail->marks - 1;
    assert(cursor->position < tail->bytes);
    if (cursor->position < mark_position(marks_at(&log->marks, index)))
        index = marks_find_position(&log->marks, tail->marks, cursor->position);
    struct place place = place_of_mark(log, tail, index);
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

static int draft_add_segment(struct draft *draft, size_t least)
{
    struct log_segment *segment = segment_new(least);
    if (!segment)
        return -ENOMEM;
    segment->position = draft->tail.bytes;
    atomic_init(&segment->next, NULL);
    if (!draft->fresh)
        draft->fresh = segment;
    else
        atomic_store_explicit(&draft->segment->next, segment, memory_order_relaxed);
    draft->segment = segment;
    draft->used = 0;
    return 0;
}

static bool draft_mark_due(const struct draft *draft)
{
    const struct mark *mark = draft->mark;
    return !mark || mark->segment != draft->segment || draft->used - mark->offset >= LOG_MARK_BYTES ||
           draft->tail.last + 1 - mark->id >= LOG_MARK_MESSAGES;
}

static int draft_add_mark(struct draft *draft)
{
    const struct mark mark = {
        .id = draft->tail.last + 1,
        .digest = draft->tail.digest,
        .segment = draft->segment,
        .offset = draft->used,
    };
    draft->mark = marks_put(&draft->log->marks, draft->tail.marks, mark);
    if (!draft->mark)
        return -ENOMEM;
    draft->tail.marks++;
    return 0;
}

/* Counts one message, whose bytes the caller copies to the place behind `used`. */
static int draft_count(struct draft *draft, struct span message)
{
    if (draft_mark_due(draft) && draft_add_mark(draft) != 0)
        return -ENOMEM;
    draft->tail.last++;
    draft->tail.bytes += message.len + 1;
    draft->tail.digest = digest_chain(draft->tail.digest, message);
    draft->used += message.len + 1;
    segment_populate(draft->segment, draft->used);
    return 0;
}

/* Copies a run of counted elements to where they belong, the end of the used part, with a comma behind. */
static void draft_copy(struct draft *draft, struct span run)
{
    char *end = draft->segment->bytes + draft->used;
    memcpy(end - 1 - run.len, run.at, run.len);
    end[-1] = ',';
}

static bool draft_has_room(const struct draft *draft, size_t message_len)
{
    return draft->segment && draft->segment->cap - draft->used > message_len;
}

/* The message that starts at `at`; `left` messages are left with it. `len` is its length, or NULL. */
static struct span element_at(struct span elements, size_t at, const size_t *len, uint64_t left)
{
    struct span message = {.at = elements.at + at, .len = elements.len - at};
    if (len)
        message.len = *len;
    else if (left > 1)
        message.len = json_canonical_len(message);
    assert(message.len <= elements.len - at);
    assert(left == 1 ? at + message.len == elements.len : message.at[message.len] == ',');
    return message;
}

/* Elements that follow one another into the same segment are copied as one run. */
static int draft_add(struct draft *draft, struct span elements, const size_t *lens, uint64_t count)
{
    size_t run = 0; /* where the run starts that is counted and not copied yet */
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct span message = element_at(elements, at, lens ? &lens[i] : NULL, count - i);

        if (!draft_has_room(draft, message.len)) {
            if (at > run)
                draft_copy(draft, (struct span){.at = elements.at + run, .len = at - 1 - run});
            run = at;
            if (draft_add_segment(draft, message.len + 1) != 0)
                return -ENOMEM;
        }
        if (draft_count(draft, message) != 0)
            return -ENOMEM;
        at += message.len + 1;
    }
    if (at > run)
        draft_copy(draft, (struct span){.at = elements.at + run, .len = at - 1 - run});
    return 0;
}

static void draft_publish(struct draft *draft)
{
    struct log *log = draft->log;
    if (!log->first)
        log->first = draft->fresh;
    else if (draft->fresh)
        atomic_store_explicit(&log->published.segment->next, draft->fresh, memory_order_release);
    draft->fresh = NULL;
    log->published = *draft;
    tail_publish(log, &draft->tail);
}

int log_append(struct log *log, struct span elements, const size_t *lens, uint64_t count, uint64_t *last_id)
{
    struct draft draft = log->published;
    draft.log = log;
    if (draft_add(&draft, elements, lens, count) < 0) {
        segments_free(draft.fresh);
        return -ENOMEM;
    }
    draft_publish(&draft);
    *last_id = draft.tail.last;
    return 0;
}

/* ---- the list ---- */

struct log *log_open(void)
{
    return calloc(1, sizeof(struct log));
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
    return tail_read(log).last;
}

struct log_tail log_tail(const struct log *log)
{
    struct tail tail = tail_read(log);
    return (struct log_tail){.last = tail.last, .digest = tail.digest};
}

/* The digest of the messages before `id`, which is behind the tail by one at most. */
static uint64_t digest_before(const struct log *log, const struct tail *tail, uint64_t id)
{
    if (id > tail->last)
        return tail->digest;
    uint64_t index = marks_find_id(&log->marks, tail->marks, id);
    uint64_t digest = marks_at(&log->marks, index)->digest;
    for (struct place place = place_of_mark(log, tail, index); place.id < id;) {
        struct span message = place_message(&place);

        digest = digest_chain(digest, message);
        place_pass(&place, message.len);
    }
    return digest;
}

uint64_t log_digest(const struct log *log, uint64_t id)
{
    struct tail tail = tail_read(log);
    assert(id <= tail.last);
    return digest_before(log, &tail, id + 1);
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
static uint64_t slice_end(const struct log *log, const struct tail *tail, const struct place *start,
                          uint64_t next)
{
    if (next > tail->last)
        return tail->bytes;
    struct place place = place_near(log, tail, next);
    place = place_walk(place.id < start->id ? *start : place, next);
    return place_position(&place);
}

/* The longest slice from `start` that ends before `limit`, but one message at least. The list goes on past
 * `limit`. The last mark before it is where to look, unless the slice starts behind that mark. */
static struct log_slice slice_cut(const struct log *log, const struct tail *tail, const struct place *start,
                                  uint64_t limit)
{
    struct place next = place_of_mark(log, tail, marks_find_position(&log->marks, tail->marks, limit));
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
    struct tail tail = tail_read(log);
    assert(from > 0);
    if (to > tail.last)
        to = tail.last;
    if (from > to)
        return (struct log_slice){0};
    struct place start = place_find(log, &tail, from);
    return slice_between(&start, to + 1, slice_end(log, &tail, &start, to + 1));
}

struct log_slice log_next(const struct log *log, struct log_cursor *cursor, uint64_t max_bytes)
{
    struct tail tail = tail_read(log);
    assert(cursor->id > 0);
    if (cursor->id > tail.last)
        return (struct log_slice){0};
    struct place start =
        cursor->position > 0 ? place_at(log, &tail, cursor) : place_find(log, &tail, cursor->id);
    uint64_t begin = place_position(&start);
    struct log_slice slice = tail.bytes - begin - 1 <= max_bytes
                                 ? slice_between(&start, tail.last + 1, tail.bytes)
                                 : slice_cut(log, &tail, &start, begin + max_bytes + 1);
    cursor->id += slice.count;
    cursor->position = begin + slice.len + 1;
    cursor->digest = digest_before(log, &tail, cursor->id);
    return slice;
}
