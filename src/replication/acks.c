/* What an ACK releases is read from two parts: the ranking tells up to which id each w is reached, and the
 * parking has those who wait for it at the front of its queues. A call that releases nobody looks at one
 * waiter of each queue that the nodes could fill. */
#include "replication/acks.h"
#include "clock.h"
#include "replication/parking.h"
#include "replication/ranking.h"
#include <assert.h>
#include <stdlib.h>

struct acks_member {
    struct ranking_node node;
};

struct acks {
    struct ranking ranking; /* the master and the members */
    struct ranking_node master;
    struct parking parking;
    struct acks_waiter *released; /* not fetched yet, in the order of release */
    struct acks_waiter *released_last;
    bool gate_closed;
    bool ended;
};

/* ---- release */

struct acks_count acks_count(const struct acks *acks, uint64_t id, int w)
{
    return (struct acks_count){
        .need = ranking_need(&acks->ranking, w),
        .have = id > 0 ? ranking_have(&acks->ranking, id, w) : 0,
    };
}

static void waiter_settle(const struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    waiter->outcome = outcome;
    waiter->count = acks_count(acks, waiter->id, waiter->w);
}

static void waiter_release(struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    parking_remove(&acks->parking, waiter);
    waiter_settle(acks, waiter, outcome);
    waiter->next = NULL;
    if (acks->released)
        acks->released_last->next = waiter;
    else
        acks->released = waiter;
    acks->released_last = waiter;
}

/* Releases the queue's waiters up to an id. */
static void queue_release(struct acks *acks, const struct queue *queue, uint64_t id,
                          enum acks_outcome outcome)
{
    struct acks_waiter *waiter;
    while ((waiter = parking_first(queue)) && waiter->id <= id)
        waiter_release(acks, waiter, outcome);
}

/* Releases everyone whose w is reached. Levels behind one that wants more nodes than there are want still
 * more. */
static void release_reached(struct acks *acks)
{
    const struct parking *parking = &acks->parking;
    for (struct parking_level *level = parking_level_first(parking); level && parking->waiting > 0;
         level = parking_level_next(level)) {
        if (level->w > 0 && (size_t)level->w > acks->ranking.count)
            break;
        if (level->waiters.count > 0)
            queue_release(acks, &level->waiters, ranking_reached(&acks->ranking, level->w), ACKS_REACHED);
    }
}

/* ---- nodes */

void acks_appended(struct acks *acks, uint64_t last_id)
{
    if (last_id <= acks->master.position)
        return;
    ranking_move(&acks->ranking, &acks->master, last_id);
    release_reached(acks);
}

struct acks_member *acks_join(struct acks *acks, uint64_t position, uint64_t target)
{
    struct acks_member *member = calloc(1, sizeof *member);
    if (!member)
        return NULL;
    member->node.position = position;
    member->node.target = target;
    if (!ranking_add(&acks->ranking, &member->node)) {
        free(member);
        return NULL;
    }
    release_reached(acks);
    return member;
}

void acks_leave(struct acks *acks, struct acks_member *member)
{
    ranking_remove(&acks->ranking, &member->node);
    free(member);
    release_reached(acks);
}

void acks_record(struct acks *acks, struct acks_member *member, uint64_t position)
{
    if (position == member->node.position)
        return;
    ranking_move(&acks->ranking, &member->node, position);
    release_reached(acks);
}

uint64_t acks_position(const struct acks_member *member)
{
    return member->node.position;
}

/* ---- waiters */

/* Whether the waiter has nothing to wait for. */
static bool waiter_satisfied(const struct acks *acks, const struct acks_waiter *waiter)
{
    if (waiter->id == 0)
        return !acks_gate_closed(acks);
    return waiter->id <= ranking_reached(&acks->ranking, waiter->w);
}

enum acks_park acks_park(struct acks *acks, struct acks_waiter *waiter)
{
    if (waiter_satisfied(acks, waiter))
        waiter_settle(acks, waiter, waiter->id == 0 ? ACKS_ADMITTED : ACKS_REACHED);
    else if (acks->ended)
        waiter_settle(acks, waiter, ACKS_ENDED);
    else
        return parking_add(&acks->parking, waiter) ? ACKS_PARKED : ACKS_NO_MEMORY;
    return ACKS_SATISFIED;
}

bool acks_unpark(struct acks *acks, struct acks_waiter *waiter)
{
    bool parked = waiter->queue != NULL;
    if (parked)
        parking_remove(&acks->parking, waiter);
    return parked;
}

void acks_gate(struct acks *acks, bool closed)
{
    acks->gate_closed = closed;
    if (!closed)
        queue_release(acks, &acks->parking.gate, 0, ACKS_ADMITTED);
}

bool acks_gate_closed(const struct acks *acks)
{
    return acks->gate_closed;
}

size_t acks_gated(const struct acks *acks)
{
    return acks->parking.gate.count;
}

struct acks_waiter *acks_take_released(struct acks *acks)
{
    struct acks_waiter *released = acks->released;
    acks->released = NULL;
    acks->released_last = NULL;
    return released;
}

int64_t acks_expire(struct acks *acks, int64_t now_ms)
{
    struct acks_waiter *waiter;
    while ((waiter = parking_earliest(&acks->parking)) && waiter->deadline_ms <= now_ms)
        waiter_release(acks, waiter, ACKS_LATE);
    int64_t earliest_ms = waiter ? waiter->deadline_ms : CLOCK_NEVER;
    return earliest_ms;
}

static void queue_each(const struct queue *queue, void (*each)(void *ctx, struct acks_waiter *waiter),
                       void *ctx)
{
    for (struct acks_waiter *waiter = parking_first(queue); waiter; waiter = parking_next(waiter))
        each(ctx, waiter);
}

void acks_each(struct acks *acks, void (*each)(void *ctx, struct acks_waiter *waiter), void *ctx)
{
    const struct parking *parking = &acks->parking;
    queue_each(&parking->gate, each, ctx);
    for (struct parking_level *level = parking_level_first(parking); level; level = parking_level_next(level))
        queue_each(&level->waiters, each, ctx);
}

bool acks_drained(const struct acks *acks)
{
    const struct ranking *ranking = &acks->ranking;
    return acks->parking.waiting == 0 &&
           (ranking->count == 1 || ranking_have(ranking, acks->master.position, 1) > 1);
}

void acks_end(struct acks *acks)
{
    const struct parking *parking = &acks->parking;
    acks->ended = true;
    queue_release(acks, &parking->gate, 0, ACKS_ENDED);
    for (struct parking_level *level = parking_level_first(parking); level; level = parking_level_next(level))
        queue_release(acks, &level->waiters, UINT64_MAX, ACKS_ENDED);
}

/* ---- open and close */

struct acks *acks_open(unsigned meant)
{
    struct acks *acks = calloc(1, sizeof *acks);
    if (!acks)
        return NULL;
    acks->ranking.meant = meant;
    if (ranking_add(&acks->ranking, &acks->master))
        return acks;
    free(acks);
    return NULL;
}

void acks_close(struct acks *acks)
{
    if (!acks)
        return;
    assert(acks->ranking.count == 1);
    parking_free(&acks->parking);
    ranking_free(&acks->ranking);
    free(acks);
}
