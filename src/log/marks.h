/* The index of the list: where some of its messages start. Private to the log. */
#ifndef LOG_MARKS_H
#define LOG_MARKS_H

#include "log/segment.h"
#include <stdbool.h>

struct mark {
    uint64_t id;
    uint64_t digest; /* of the messages before it */
    struct log_segment *segment;
    size_t offset; /* may pass 4 GiB: behind a message that has a segment to itself there can be room left */
};

/* A growing array. All zero is empty and valid. */
struct marks {
    struct mark *at; /* owned */
    size_t cap;
};

void marks_free(struct marks *marks);

/* Writes the mark at an index that was written before or is the next one. Returns false where there is no
 * memory. */
bool marks_put(struct marks *marks, uint64_t index, struct mark mark);

/* Bytes of the list before the mark's message. */
uint64_t mark_position(const struct mark *mark);

/* The index of the last of the first `count` marks whose id, or position, is not above a limit. There is one:
 * the first mark is that of the list's first message. */
uint64_t marks_find_id(const struct marks *marks, uint64_t count, uint64_t limit);
uint64_t marks_find_position(const struct marks *marks, uint64_t count, uint64_t limit);

#endif
