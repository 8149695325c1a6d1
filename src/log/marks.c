#include "log/marks.h"
#include <stdlib.h>

enum { FIRST_CHUNK = 1024 }; /* marks in the first chunk */

/* Chunk k starts at index FIRST_CHUNK * (2^k - 1). */
static unsigned chunk_of(uint64_t index, uint64_t *within)
{
    uint64_t blocks = index / FIRST_CHUNK + 1;
    unsigned chunk = 63u - (unsigned)__builtin_clzll(blocks);
    *within = index - FIRST_CHUNK * ((UINT64_C(1) << chunk) - 1);
    return chunk;
}

void marks_free(struct marks *marks)
{
    for (int i = 0; i < MARKS_CHUNKS; i++)
        free(marks->chunks[i]);
    *marks = (struct marks){0};
}

/* Pages of a chunk that are not written yet cost nothing: the memory must not be cleared. */
const struct mark *marks_put(struct marks *marks, uint64_t index, struct mark mark)
{
    uint64_t within;
    unsigned chunk = chunk_of(index, &within);
    struct mark **place = &marks->chunks[chunk];
    if (!*place)
        *place = malloc(sizeof **place * ((size_t)FIRST_CHUNK << chunk));
    if (!*place)
        return NULL;
    (*place)[within] = mark;
    return &(*place)[within];
}

const struct mark *marks_at(const struct marks *marks, uint64_t index)
{
    uint64_t within;
    unsigned chunk = chunk_of(index, &within);
    return &marks->chunks[chunk][within];
}

uint64_t mark_position(const struct mark *mark)
{
    return mark->segment->position + mark->offset;
}

static uint64_t mark_id(const struct mark *mark)
{
    return mark->id;
}

static uint64_t marks_find(const struct marks *marks, uint64_t count, uint64_t (*key)(const struct mark *),
                           uint64_t limit)
{
    uint64_t low = 0;
    uint64_t high = count;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (key(marks_at(marks, middle)) <= limit)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t marks_find_id(const struct marks *marks, uint64_t count, uint64_t limit)
{
    return marks_find(marks, count, mark_id, limit);
}

uint64_t marks_find_position(const struct marks *marks, uint64_t count, uint64_t limit)
{
    return marks_find(marks, count, mark_position, limit);
}
