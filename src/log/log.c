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
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEGMENT_ROOM = LOG_SEGMENT_BYTES - 64, /* with the header and malloc's own bytes: whole pages, no more */
    CHUNK_MARKS = 1024,                    /* marks in the first chunk; each next one has twice as many */
    CHUNKS = 40
};

struct log_segment {
    uint64_t position; /* bytes of the list before this segment */
    _Atomic(struct log_segment *)
        next; /* set once, when the first message behind this segment is published */
    size_t cap;
    char bytes[];
};

/* Where a message starts. Never changes once published. */
struct mark {
    uint64_t id;
    uint64_t digest; /* of the messages before it */
    struct log_segment *segment;
    uint32_t offset; /* a segment with more than one message is no longer than LOG_SEGMENT_BYTES */
};

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

struct log {
    _Atomic uint64_t version;  /* slots[version % 2] holds the published tail */
    struct tail_slot slots[2]; /* written under append_lock; how they are read: see the top */

    /* A chunk is set under append_lock before its first mark is published, and never changes after that. */
    struct mark *chunks[CHUNKS];

    pthread_mutex_t append_lock; /* guards what follows */
    struct tail tail;            /* what is published */
    struct log_segment *first;
    struct log_segment *segment; /* the one appended to; NULL for an empty list */
    size_t used;                 /* bytes of it below the tail */
};

/* An append that is under way. */
struct draft {
    struct log *log;
    struct tail tail;
    struct log_segment *segment;
    size_t used;
    struct log_segment *fresh; /* the first segment that is not published; the rest hangs on it */
    const struct mark *mark;   /* the last one, or NULL */
};

/* A message's start, and how far one may walk from it. */
struct place {
    const struct log_segment *segment;
    size_t offset;
    size_t end; /* the offset where the next mark is, or the tail: appenders may write behind it */
    uint64_t id;
};

/* ---- digest ---- */

__extension__ typedef unsigned __int128 uint128;

/* Odd numbers without a pattern; they are part of the digest and must never change. */
static const uint64_t DIGEST_A = 0x9e3779b97f4a7c15u;
static const uint64_t DIGEST_B = 0xd1b54a32d192ed03u;
static const uint64_t DIGEST_C = 0x8cb92ba72f3d8dd7u;

static uint64_t load_le(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    uint128 product = (uint128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t digest_step(uint64_t hash, const char *sixteen)
{
    return fold(load_le(sixteen) ^ DIGEST_A, load_le(sixteen + 8) ^ hash);
}

/* 16 bytes a step; the last step takes the last 16 bytes, some of them for the second time. */
static uint64_t digest_message(struct span message)
{
    uint64_t hash = DIGEST_B ^ message.len;
    const char *end = message.at + message.len;
    char padded[16] = {0};

    for (const char *at = message.at; end - at > 16; at += 16)
        hash = digest_step(hash, at);
    if (message.len >= 16)
        return digest_step(hash, end - 16);
    memcpy(padded, message.at, message.len);
    return digest_step(hash, padded);
}

/* One-to-one in either argument while the other stands: lists that once differ do not meet again by
 * themselves, however long they grow. */
static uint64_t digest_chain(uint64_t digest, struct span message)
{
    uint64_t mixed = digest ^ digest_message(message);

    mixed = (mixed ^ (mixed >> 32)) * DIGEST_C;
    return mixed ^ (mixed >> 29);
}

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
    log->tail = *tail;
}

/* ---- marks ---- */

/* Chunk k starts at index CHUNK_MARKS * (2^k - 1), so that no mark ever moves. */
static unsigned chunk_of(uint64_t index, uint64_t *within)
{
    uint64_t blocks = index / CHUNK_MARKS + 1;
    unsigned chunk = 63u - (unsigned)__builtin_clzll(blocks);

    *within = index - CHUNK_MARKS * ((UINT64_C(1) << chunk) - 1);
    return chunk;
}

static const struct mark *mark_at(const struct log *log, uint64_t index)
{
    uint64_t within;
    unsigned chunk = chunk_of(index, &within);

    return &log->chunks[chunk][within];
}

static uint64_t mark_id(const struct mark *mark)
{
    return mark->id;
}

static uint64_t mark_position(const struct mark *mark)
{
    return mark->segment->position + mark->offset;
}

/* The index of the last of the first `count` marks whose key is not above `limit`. The first one's never is.
 */
static uint64_t mark_find(const struct log *log, uint64_t count, uint64_t (*key)(const struct mark *),
                          uint64_t limit)
{
    uint64_t low = 0;
    uint64_t high = count;

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;

        if (key(mark_at(log, middle)) <= limit)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- places ---- */

static struct place place_of_mark(const struct log *log, const struct tail *tail, uint64_t index)
{
    const struct mark *mark = mark_at(log, index);
    uint64_t end = index + 1 < tail->marks ? mark_position(mark_at(log, index + 1)) : tail->bytes;

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

/* id: 1 to tail->last. */
static struct place place_find(const struct log *log, const struct tail *tail, uint64_t id)
{
    struct place place = place_of_mark(log, tail, mark_find(log, tail->marks, mark_id, id));

    while (place.id < id)
        place_pass(&place, place_message(&place).len);
    return place;
}

/* Bytes before message id: 1 to tail->last + 1. */
static uint64_t position_of(const struct log *log, const struct tail *tail, uint64_t id)
{
    struct place place;

    if (id > tail->last)
        return tail->bytes;
    place = place_find(log, tail, id);
    return place_position(&place);
}

/* ---- appending ---- */

static struct draft draft_begin(struct log *log)
{
    return (struct draft){
        .log = log,
        .tail = log->tail,
        .segment = log->segment,
        .used = log->used,
        .mark = log->tail.marks > 0 ? mark_at(log, log->tail.marks - 1) : NULL,
    };
}

static void segments_free(struct log_segment *segment)
{
    while (segment != NULL) {
        struct log_segment *next = atomic_load_explicit(&segment->next, memory_order_relaxed);

        free(segment);
        segment = next;
    }
}

/* Pages of a segment that no message has touched cost nothing: the memory must not be cleared. */
static int draft_add_segment(struct draft *draft, size_t least)
{
    size_t cap = least > SEGMENT_ROOM ? least : SEGMENT_ROOM;
    struct log_segment *segment = malloc(sizeof *segment + cap);

    if (segment == NULL)
        return -ENOMEM;
    segment->position = draft->tail.bytes;
    segment->cap = cap;
    atomic_init(&segment->next, NULL);
    if (draft->fresh == NULL)
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

    return mark == NULL || mark->segment != draft->segment || draft->used - mark->offset >= LOG_MARK_BYTES ||
           draft->tail.last + 1 - mark->id >= LOG_MARK_MESSAGES;
}

static int draft_add_mark(struct draft *draft)
{
    uint64_t within;
    unsigned chunk = chunk_of(draft->tail.marks, &within);
    struct mark **marks = &draft->log->chunks[chunk];

    if (*marks == NULL)
        *marks = malloc(sizeof **marks * ((size_t)CHUNK_MARKS << chunk));
    if (*marks == NULL)
        return -ENOMEM;
    (*marks)[within] = (struct mark){
        .id = draft->tail.last + 1,
        .digest = draft->tail.digest,
        .segment = draft->segment,
        .offset = (uint32_t)draft->used,
    };
    draft->mark = &(*marks)[within];
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
    return draft->segment != NULL && draft->segment->cap - draft->used > message_len;
}

/* The message that starts at `at`; `left` messages are left with it. */
static struct span element_at(struct span elements, size_t at, uint64_t left)
{
    struct span message = {.at = elements.at + at, .len = elements.len - at};

    if (left > 1)
        message.len = json_canonical_len(message);
    assert(left == 1 || message.at[message.len] == ',');
    return message;
}

/* Elements that follow one another into the same segment are copied as one run. */
static int draft_add(struct draft *draft, struct span elements, uint64_t count)
{
    size_t run = 0; /* where the run starts that is counted and not copied yet */
    size_t at = 0;

    for (; count > 0; count--) {
        struct span message = element_at(elements, at, count);

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

static void draft_publish(const struct draft *draft)
{
    struct log *log = draft->log;

    if (draft->fresh != NULL && log->segment != NULL)
        atomic_store_explicit(&log->segment->next, draft->fresh, memory_order_release);
    if (log->first == NULL)
        log->first = draft->fresh;
    log->segment = draft->segment;
    log->used = draft->used;
    tail_publish(log, &draft->tail);
}

int log_append(struct log *log, struct span elements, uint64_t count, uint64_t *last_id)
{
    struct draft draft;
    int result;

    pthread_mutex_lock(&log->append_lock);
    draft = draft_begin(log);
    result = draft_add(&draft, elements, count);
    if (result == 0) {
        draft_publish(&draft);
        *last_id = draft.tail.last;
    } else {
        segments_free(draft.fresh);
    }
    pthread_mutex_unlock(&log->append_lock);
    return result;
}

/* ---- the list ---- */

struct log *log_open(void)
{
    struct log *log = calloc(1, sizeof *log);

    if (log == NULL)
        return NULL;
    if (pthread_mutex_init(&log->append_lock, NULL) != 0) {
        free(log);
        return NULL;
    }
    return log;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    segments_free(log->first);
    for (int i = 0; i < CHUNKS; i++)
        free(log->chunks[i]);
    pthread_mutex_destroy(&log->append_lock);
    free(log);
}

uint64_t log_last(const struct log *log)
{
    return tail_read(log).last;
}

uint64_t log_bytes(const struct log *log)
{
    return tail_read(log).bytes;
}

uint64_t log_digest(struct log *log, uint64_t id)
{
    struct tail tail = tail_read(log);
    struct place place;
    uint64_t index;
    uint64_t digest;

    assert(id <= tail.last);
    if (id == tail.last)
        return tail.digest;
    if (id == 0)
        return 0;
    index = mark_find(log, tail.marks, mark_id, id);
    digest = mark_at(log, index)->digest;
    for (place = place_of_mark(log, &tail, index); place.id <= id;) {
        struct span message = place_message(&place);

        digest = digest_chain(digest, message);
        place_pass(&place, message.len);
    }
    return digest;
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

struct log_slice log_slice(struct log *log, uint64_t from, uint64_t to)
{
    return log_slice_within(log, from, to, UINT64_MAX);
}

/* The longest slice from `start` that ends before `limit`, but one message at least. The list goes on past
 * `limit`. The last mark before it is where to look, unless the slice starts behind that mark. */
static struct log_slice slice_cut(const struct log *log, const struct tail *tail, const struct place *start,
                                  uint64_t limit)
{
    struct place next = place_of_mark(log, tail, mark_find(log, tail->marks, mark_position, limit));
    size_t len;

    if (next.id <= start->id) {
        next = *start;
        place_pass(&next, place_message(&next).len);
        if (place_position(&next) >= limit)
            return slice_between(start, next.id, place_position(&next));
    }
    for (;;) {
        len = place_message(&next).len;
        if (place_position(&next) + len + 1 > limit)
            return slice_between(start, next.id, place_position(&next));
        place_pass(&next, len);
    }
}

struct log_slice log_slice_within(struct log *log, uint64_t from, uint64_t to, uint64_t max_bytes)
{
    struct tail tail = tail_read(log);
    struct place start;
    uint64_t begin;
    uint64_t end;

    assert(from > 0);
    if (to > tail.last)
        to = tail.last;
    if (from > to)
        return (struct log_slice){0};
    start = place_find(log, &tail, from);
    begin = place_position(&start);
    end = position_of(log, &tail, to + 1);
    if (end - begin - 1 <= max_bytes)
        return slice_between(&start, to + 1, end);
    return slice_cut(log, &tail, &start, begin + max_bytes + 1);
}

/* Bytes from the slice's next one to the end of its segment, or of the slice. Where the segment has no next
 * one, the slice ends in it. */
static uint64_t slice_run(const struct log_slice *slice)
{
    const struct log_segment *segment = slice->segment;
    const struct log_segment *next = atomic_load_explicit(&segment->next, memory_order_acquire);
    uint64_t run = slice->len;

    if (next != NULL && next->position - segment->position - slice->offset < run)
        run = next->position - segment->position - slice->offset;
    return run;
}

void log_slice_skip(struct log_slice *slice, uint64_t bytes)
{
    assert(bytes <= slice->len);
    while (bytes > 0) {
        uint64_t run = slice_run(slice);

        if (bytes < run) {
            slice->offset += (size_t)bytes;
            slice->len -= bytes;
            return;
        }
        bytes -= run;
        slice->len -= run;
        slice->offset = 0;
        slice->segment =
            slice->len > 0 ? atomic_load_explicit(&slice->segment->next, memory_order_acquire) : NULL;
    }
}

int log_slice_iov(const struct log_slice *slice, struct iovec *iov, int max)
{
    struct log_slice rest = *slice;
    int count = 0;

    while (rest.len > 0 && count < max) {
        uint64_t run = slice_run(&rest);

        iov[count].iov_base = (char *)(uintptr_t)(rest.segment->bytes + rest.offset);
        iov[count].iov_len = (size_t)run;
        count++;
        log_slice_skip(&rest, run);
    }
    return count;
}
