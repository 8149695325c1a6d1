#include "replication/parking.h"
#include "clock.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS_KEPT = 8, /* as many levels may stay without waiters */
    ROOM_FIRST = 8
};

#define HEAP_NONE SIZE_MAX

/* Returns the array of pointers with room for one more than `count`, or NULL, all as it was, where there is
 * no memory. */
static void *room_for_one(void *array, size_t *room, size_t count)
{
    size_t more = *room > 0 ? *room * 2 : ROOM_FIRST;
    void *bigger;

    if (count < *room)
        return array;
    bigger = realloc(array, more * sizeof(void *));
    if (bigger != NULL)
        *room = more;
    return bigger;
}

/* ---- deadlines: a binary heap ---- */

static void heap_place(struct parking *parking, struct acks_waiter *waiter, size_t index)
{
    parking->heap[index] = waiter;
    waiter->heap_index = index;
}

static void heap_rise(struct parking *parking, struct acks_waiter *waiter)
{
    size_t index = waiter->heap_index;

    while (index > 0 && parking->heap[(index - 1) / 2]->deadline_ms > waiter->deadline_ms) {
        heap_place(parking, parking->heap[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    heap_place(parking, waiter, index);
}

static void heap_sink(struct parking *parking, struct acks_waiter *waiter)
{
    size_t index = waiter->heap_index;

    for (;;) {
        size_t child = 2 * index + 1;

        if (child + 1 < parking->heap_count &&
            parking->heap[child + 1]->deadline_ms < parking->heap[child]->deadline_ms)
            child++;
        if (child >= parking->heap_count || parking->heap[child]->deadline_ms >= waiter->deadline_ms)
            break;
        heap_place(parking, parking->heap[child], index);
        index = child;
    }
    heap_place(parking, waiter, index);
}

static bool heap_add(struct parking *parking, struct acks_waiter *waiter)
{
    void *heap;

    waiter->heap_index = HEAP_NONE;
    if (waiter->deadline_ms == CLOCK_NEVER)
        return true;
    heap = room_for_one(parking->heap, &parking->heap_room, parking->heap_count);
    if (heap == NULL)
        return false;
    parking->heap = heap;
    heap_place(parking, waiter, parking->heap_count++);
    heap_rise(parking, waiter);
    return true;
}

static void heap_remove(struct parking *parking, const struct acks_waiter *waiter)
{
    struct acks_waiter *last;

    if (waiter->heap_index == HEAP_NONE)
        return;
    last = parking->heap[--parking->heap_count];
    if (last == waiter)
        return;
    heap_place(parking, last, waiter->heap_index);
    heap_rise(parking, last);
    heap_sink(parking, last);
}

/* ---- levels: those who wait for the same w ---- */

/* Frees the levels without waiters. */
static void levels_prune(struct parking *parking)
{
    size_t kept = 0;

    for (size_t i = 0; i < parking->level_count; i++) {
        if (parking->levels[i]->first != NULL)
            parking->levels[kept++] = parking->levels[i];
        else
            free(parking->levels[i]);
    }
    parking->level_count = kept;
}

/* The index of the first level that is not below w. */
static size_t level_index(const struct parking *parking, int w)
{
    size_t low = 0;
    size_t high = parking->level_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (parking->levels[middle]->w < w)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct parking_level *level_insert(struct parking *parking, size_t index, int w)
{
    void *levels = room_for_one(parking->levels, &parking->level_room, parking->level_count);
    struct parking_level *level;

    if (levels == NULL)
        return NULL;
    parking->levels = levels;
    level = calloc(1, sizeof *level);
    if (level == NULL)
        return NULL;
    level->w = w;
    memmove(parking->levels + index + 1, parking->levels + index,
            (parking->level_count - index) * sizeof(struct parking_level *));
    parking->levels[index] = level;
    parking->level_count++;
    return level;
}

/* The level for w, a new one where there is none; NULL where there is no memory. */
static struct parking_level *level_for(struct parking *parking, int w)
{
    size_t index = level_index(parking, w);

    if (index < parking->level_count && parking->levels[index]->w == w)
        return parking->levels[index];
    if (parking->level_count >= LEVELS_KEPT) {
        levels_prune(parking);
        index = level_index(parking, w);
    }
    return level_insert(parking, index, w);
}

/* Links the waiter in behind the last one with an id that is not above its own: nearly always at the end. */
static void level_add(struct parking_level *level, struct acks_waiter *waiter)
{
    struct acks_waiter *before = level->last;

    while (before != NULL && before->id > waiter->id)
        before = before->prev;
    waiter->level = level;
    waiter->prev = before;
    waiter->next = before != NULL ? before->next : level->first;
    *(before != NULL ? &before->next : &level->first) = waiter;
    *(waiter->next != NULL ? &waiter->next->prev : &level->last) = waiter;
}

static void level_remove(struct acks_waiter *waiter)
{
    struct parking_level *level = waiter->level;

    *(waiter->prev != NULL ? &waiter->prev->next : &level->first) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->prev : &level->last) = waiter->prev;
    waiter->level = NULL;
}

/* ---- the whole ---- */

void parking_free(struct parking *parking)
{
    assert(parking->waiting == 0);
    levels_prune(parking);
    free(parking->levels);
    free(parking->heap);
    *parking = (struct parking){0};
}

bool parking_add(struct parking *parking, struct acks_waiter *waiter)
{
    struct parking_level *level = level_for(parking, waiter->w);

    if (level == NULL || !heap_add(parking, waiter))
        return false;
    level_add(level, waiter);
    parking->waiting++;
    return true;
}

void parking_remove(struct parking *parking, struct acks_waiter *waiter)
{
    level_remove(waiter);
    heap_remove(parking, waiter);
    parking->waiting--;
}

struct acks_waiter *parking_earliest(const struct parking *parking)
{
    return parking->heap_count > 0 ? parking->heap[0] : NULL;
}
