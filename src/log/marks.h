/* The index of the list: where some of its messages start. Private to the log.
 *
 * A growing vector whose elements never move, so that they are read without a lock. One thread at a time
 * adds; other threads read those below a count that was published to them (log.c: the tail). Marks behind
 * that count may be written again. */
#ifndef LOG_MARKS_H
#define LOG_MARKS_H

#include "log/segment.h"

enum { MARKS_CHUNKS = 40 };

struct mark {
    uint64_t id;
    uint64_t digest; /* of the messages before it */
    struct log_segment *segment;
    size_t offset; /* may pass 4 GiB: behind a message that has a segment to itself there can be room left */
};

/* All zero is empty and valid. */
struct marks {
    struct mark *chunks[MARKS_CHUNKS]; /* owned; each twice as long as the one before, and set once */
};

void marks_free(struct marks *marks);

/* Writes the mark at an index that was written before or is the next one. Returns where it is, or NULL where
 * there is no memory. */
const struct mark *marks_put(struct marks *marks, uint64_t index, struct mark mark);

const struct mark *marks_at(const struct marks *marks, uint64_t index);

/* Bytes of the list before the mark's message. */
uint64_t mark_position(const struct mark *mark);

/* The index of the last of the first `count` marks whose id, or position, is not above a limit. There is one:
 * the first mark is that of the list's first message. */
uint64_t marks_find_id(const struct marks *marks, uint64_t count, uint64_t limit);
uint64_t marks_find_position(const struct marks *marks, uint64_t count, uint64_t limit);

#endif
