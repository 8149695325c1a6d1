#include "log/marks.h"
#include <stdlib.h>

enum { MARKS_FIRST = 1024 };

void marks_free(struct marks *marks)
{
    free(marks->at);
    *marks = (struct marks){0};
}

bool marks_put(struct marks *marks, uint64_t index, struct mark mark)
{
    if (index == marks->cap) {
        size_t cap = marks->cap ? 2 * marks->cap : MARKS_FIRST;
        struct mark *at = realloc(marks->at, cap * sizeof *at);
        if (!at)
            return false;
        marks->at = at;
        marks->cap = cap;
    }
    marks->at[index] = mark;
    return true;
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
        if (key(&marks->at[middle]) <= limit)
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
