#include "replication/parking.h"
#include "clock.h"
#include <assert.h>
#include <stdlib.h>

enum { LEVELS_KEPT = 8 }; /* as many levels may stay without waiters, and as many as have some */

/* The struct of this type that has the node as this member; NULL of NULL. */
#define WITH_NODE(node, type, member)                                                                        \
    ((node) ? (type *)(void *)((char *)(node)-offsetof(type, member)) : NULL)

/* ---- levels */

static uint64_t level_key(int w)
{
    _Static_assert(CONCERN_MAJORITY < CONCERN_ALL && CONCERN_ALL < 0, "no w has a lower key than 0");
    return (uint64_t)(w - CONCERN_MAJORITY);
}

struct parking_level *parking_level_first(const struct parking *parking)
{
    return WITH_NODE(queue_first(&parking->levels), struct parking_level, node);
}

struct parking_level *parking_level_next(const struct parking_level *level)
{
    return WITH_NODE(queue_next(&level->node), struct parking_level, node);
}

/* Frees the levels without waiters. */
static void levels_prune(struct parking *parking)
{
    struct parking_level *next;
    for (struct parking_level *level = parking_level_first(parking); level; level = next) {
        next = parking_level_next(level);
        if (level->waiters.count > 0)
            continue;
        queue_remove(&parking->levels, &level->node);
        free(level);
    }
}

/* The level for w, a new one where there is none; NULL where there is no memory. */
static struct parking_level *level_for(struct parking *parking, int w)
{
    struct queue_node *found = queue_find(&parking->levels, level_key(w));
    if (found)
        return WITH_NODE(found, struct parking_level, node);
    if (parking->levels.count >= parking->prune_at) {
        levels_prune(parking);
        parking->prune_at = 2 * parking->levels.count + LEVELS_KEPT;
    }
    struct parking_level *level = calloc(1, sizeof *level);
    if (!level)
        return NULL;
    level->w = w;
    queue_add(&parking->levels, &level->node, level_key(w));
    return level;
}

/* ---- waiters */

/* The queue for the waiter; NULL where there is no memory. */
static struct queue *queue_for(struct parking *parking, const struct acks_waiter *waiter)
{
    if (waiter->id == 0)
        return &parking->gate;
    struct parking_level *level = level_for(parking, waiter->w);
    return level ? &level->waiters : NULL;
}

bool parking_add(struct parking *parking, struct acks_waiter *waiter)
{
    struct queue *queue = queue_for(parking, waiter);
    if (!queue)
        return false;
    waiter->queue = queue;
    queue_add(queue, &waiter->by_id, waiter->id);
    if (waiter->deadline_ms != CLOCK_NEVER)
        queue_add(&parking->deadlines, &waiter->by_deadline, (uint64_t)waiter->deadline_ms);
    parking->waiting += waiter->id != 0;
    return true;
}

void parking_remove(struct parking *parking, struct acks_waiter *waiter)
{
    queue_remove(waiter->queue, &waiter->by_id);
    waiter->queue = NULL;
    if (waiter->deadline_ms != CLOCK_NEVER)
        queue_remove(&parking->deadlines, &waiter->by_deadline);
    parking->waiting -= waiter->id != 0;
}

struct acks_waiter *parking_first(const struct queue *queue)
{
    return WITH_NODE(queue_first(queue), struct acks_waiter, by_id);
}

struct acks_waiter *parking_next(const struct acks_waiter *waiter)
{
    return WITH_NODE(queue_next(&waiter->by_id), struct acks_waiter, by_id);
}

struct acks_waiter *parking_earliest(const struct parking *parking)
{
    return WITH_NODE(queue_first(&parking->deadlines), struct acks_waiter, by_deadline);
}

/* ---- */

void parking_free(struct parking *parking)
{
    assert(parking->waiting == 0 && parking->gate.count == 0);
    levels_prune(parking);
    *parking = (struct parking){0};
}
