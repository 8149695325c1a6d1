/* What an ACK releases is read from two parts: the ranking tells up to which id each w is reached, and the
 * parking has those who wait for it at the front of its queues. A call that releases nobody looks at one
 * waiter of each queue that the nodes could fill. */
#include "replication/acks.h"
#include "clock.h"
#include "condvar.h"
#include "replication/parking.h"
#include "replication/ranking.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Guarded by the lock of its struct acks. */
struct acks_member {
    struct ranking_node node;
};

struct acks {
    pthread_mutex_t lock;   /* guards all that follows, members and parked waiters too */
    pthread_cond_t drained; /* signalled when count_drained may have become true */
    struct ranking ranking; /* the master and the members */
    struct ranking_node master;
    struct parking parking;
    struct acks_waiter *released; /* not fetched yet, in the order of release */
    struct acks_waiter *released_last;
    atomic_bool gate_closed; /* changed under the lock, read without it too */
    bool ended;
};

/* ---- draining */

static bool count_drained(const struct acks *acks)
{
    const struct ranking *ranking = &acks->ranking;
    return acks->parking.waiting == 0 &&
           (ranking->count == 1 || ranking_have(ranking, acks->master.position, 1) > 1);
}

static void drained_tell(struct acks *acks)
{
    if (count_drained(acks))
        pthread_cond_broadcast(&acks->drained);
}

/* Waits on `drained` once. Returns false where the deadline has come. */
static bool drained_wait(struct acks *acks, int64_t deadline_ms)
{
    if (deadline_ms <= 0)
        return false;
    if (deadline_ms == CLOCK_NEVER)
        return pthread_cond_wait(&acks->drained, &acks->lock) == 0;
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000 * 1000000)};
    return pthread_cond_timedwait(&acks->drained, &acks->lock, &until) != ETIMEDOUT;
}

bool acks_drain(struct acks *acks, int64_t deadline_ms)
{
    pthread_mutex_lock(&acks->lock);
    while (!count_drained(acks) && drained_wait(acks, deadline_ms))
        continue;
    bool drained = count_drained(acks);
    pthread_mutex_unlock(&acks->lock);
    return drained;
}

/* ---- release */

static struct acks_count count_of(const struct acks *acks, uint64_t id, int w)
{
    return (struct acks_count){
        .need = ranking_need(&acks->ranking, w),
        .have = id > 0 ? ranking_have(&acks->ranking, id, w) : 0,
    };
}

static void waiter_settle(const struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    waiter->outcome = outcome;
    waiter->count = count_of(acks, waiter->id, waiter->w);
}

static void waiter_remove(struct acks *acks, struct acks_waiter *waiter)
{
    parking_remove(&acks->parking, waiter);
    drained_tell(acks);
}

static void waiter_release(struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    waiter_remove(acks, waiter);
    waiter_settle(acks, waiter, outcome);
    waiter->next = NULL;
    if (acks->released)
        acks->released_last->next = waiter;
    else
        acks->released = waiter;
    acks->released_last = waiter;
}

/* Releases the queue's waiters up to an id. */
static bool queue_release(struct acks *acks, const struct queue *queue, uint64_t id,
                          enum acks_outcome outcome)
{
    bool any = false;
    struct acks_waiter *waiter;
    while ((waiter = parking_first(queue)) && waiter->id <= id) {
        waiter_release(acks, waiter, outcome);
        any = true;
    }
    return any;
}

/* Releases everyone whose w is reached. Levels behind one that wants more nodes than there are want still
 * more. */
static bool release_reached(struct acks *acks)
{
    const struct parking *parking = &acks->parking;
    bool any = false;
    for (struct parking_level *level = parking_level_first(parking); level && parking->waiting > 0;
         level = parking_level_next(level)) {
        if (level->w > 0 && (size_t)level->w > acks->ranking.count)
            break;
        if (level->waiters.count > 0)
            any |=
                queue_release(acks, &level->waiters, ranking_reached(&acks->ranking, level->w), ACKS_REACHED);
    }
    return any;
}

/* ---- nodes */

bool acks_appended(struct acks *acks, uint64_t last_id)
{
    bool any = false;
    pthread_mutex_lock(&acks->lock);
    if (last_id > acks->master.position) {
        ranking_move(&acks->ranking, &acks->master, last_id);
        any = release_reached(acks);
    }
    pthread_mutex_unlock(&acks->lock);
    return any;
}

/* After a change of the members. */
static bool members_changed(struct acks *acks)
{
    bool any = release_reached(acks);
    drained_tell(acks);
    return any;
}

struct acks_member *acks_join(struct acks *acks, uint64_t position, uint64_t target, bool *released)
{
    struct acks_member *member = calloc(1, sizeof *member);
    if (!member)
        return NULL;
    member->node.position = position;
    member->node.target = target;
    pthread_mutex_lock(&acks->lock);
    bool joined = ranking_add(&acks->ranking, &member->node);
    if (joined)
        *released = members_changed(acks);
    pthread_mutex_unlock(&acks->lock);
    if (joined)
        return member;
    free(member);
    return NULL;
}

bool acks_leave(struct acks *acks, struct acks_member *member)
{
    pthread_mutex_lock(&acks->lock);
    ranking_remove(&acks->ranking, &member->node);
    bool any = members_changed(acks);
    pthread_mutex_unlock(&acks->lock);
    free(member);
    return any;
}

bool acks_record(struct acks *acks, struct acks_member *member, uint64_t position)
{
    bool any = false;
    pthread_mutex_lock(&acks->lock);
    if (position != member->node.position) {
        ranking_move(&acks->ranking, &member->node, position);
        any = members_changed(acks);
    }
    pthread_mutex_unlock(&acks->lock);
    return any;
}

uint64_t acks_position(struct acks *acks, const struct acks_member *member)
{
    pthread_mutex_lock(&acks->lock);
    uint64_t position = member->node.position;
    pthread_mutex_unlock(&acks->lock);
    return position;
}

struct acks_count acks_count(struct acks *acks, uint64_t id, int w)
{
    pthread_mutex_lock(&acks->lock);
    struct acks_count count = count_of(acks, id, w);
    pthread_mutex_unlock(&acks->lock);
    return count;
}

/* ---- waiters */

/* Whether the waiter has nothing to wait for. */
static bool waiter_satisfied(const struct acks *acks, const struct acks_waiter *waiter)
{
    if (waiter->id == 0)
        return !acks_gate_closed(acks);
    return waiter->id <= ranking_reached(&acks->ranking, waiter->w);
}

static enum acks_park park_locked(struct acks *acks, struct acks_waiter *waiter)
{
    if (waiter_satisfied(acks, waiter))
        waiter_settle(acks, waiter, waiter->id == 0 ? ACKS_ADMITTED : ACKS_REACHED);
    else if (acks->ended)
        waiter_settle(acks, waiter, ACKS_ENDED);
    else
        return parking_add(&acks->parking, waiter) ? ACKS_PARKED : ACKS_NO_MEMORY;
    return ACKS_SATISFIED;
}

enum acks_park acks_park(struct acks *acks, struct acks_waiter *waiter)
{
    pthread_mutex_lock(&acks->lock);
    enum acks_park result = park_locked(acks, waiter);
    pthread_mutex_unlock(&acks->lock);
    return result;
}

bool acks_unpark(struct acks *acks, struct acks_waiter *waiter)
{
    pthread_mutex_lock(&acks->lock);
    bool parked = waiter->queue != NULL;
    if (parked)
        waiter_remove(acks, waiter);
    pthread_mutex_unlock(&acks->lock);
    return parked;
}

void acks_gate(struct acks *acks, bool closed)
{
    pthread_mutex_lock(&acks->lock);
    atomic_store(&acks->gate_closed, closed);
    if (!closed)
        queue_release(acks, &acks->parking.gate, 0, ACKS_ADMITTED);
    pthread_mutex_unlock(&acks->lock);
}

bool acks_gate_closed(const struct acks *acks)
{
    return atomic_load(&acks->gate_closed);
}

size_t acks_gated(struct acks *acks)
{
    pthread_mutex_lock(&acks->lock);
    size_t gated = acks->parking.gate.count;
    pthread_mutex_unlock(&acks->lock);
    return gated;
}

struct acks_waiter *acks_take_released(struct acks *acks)
{
    pthread_mutex_lock(&acks->lock);
    struct acks_waiter *released = acks->released;
    acks->released = NULL;
    acks->released_last = NULL;
    pthread_mutex_unlock(&acks->lock);
    return released;
}

int64_t acks_expire(struct acks *acks, int64_t now_ms)
{
    struct acks_waiter *waiter;
    pthread_mutex_lock(&acks->lock);
    while ((waiter = parking_earliest(&acks->parking)) && waiter->deadline_ms <= now_ms)
        waiter_release(acks, waiter, ACKS_LATE);
    int64_t earliest_ms = waiter ? waiter->deadline_ms : CLOCK_NEVER;
    pthread_mutex_unlock(&acks->lock);
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
    pthread_mutex_lock(&acks->lock);
    queue_each(&parking->gate, each, ctx);
    for (struct parking_level *level = parking_level_first(parking); level; level = parking_level_next(level))
        queue_each(&level->waiters, each, ctx);
    pthread_mutex_unlock(&acks->lock);
}

bool acks_end(struct acks *acks)
{
    const struct parking *parking = &acks->parking;
    pthread_mutex_lock(&acks->lock);
    acks->ended = true;
    bool any = queue_release(acks, &parking->gate, 0, ACKS_ENDED);
    for (struct parking_level *level = parking_level_first(parking); level; level = parking_level_next(level))
        any |= queue_release(acks, &level->waiters, UINT64_MAX, ACKS_ENDED);
    pthread_mutex_unlock(&acks->lock);
    return any;
}

/* ---- open and close */

struct acks *acks_open(unsigned meant)
{
    struct acks *acks = calloc(1, sizeof *acks);
    if (!acks)
        return NULL;
    acks->ranking.meant = meant;
    if (!ranking_add(&acks->ranking, &acks->master))
        goto no_ranking;
    if (condvar_open(&acks->drained) != 0)
        goto no_condition;
    if (pthread_mutex_init(&acks->lock, NULL) != 0)
        goto no_lock;
    return acks;

no_lock:
    pthread_cond_destroy(&acks->drained);
no_condition:
    ranking_free(&acks->ranking);
no_ranking:
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
    pthread_mutex_destroy(&acks->lock);
    pthread_cond_destroy(&acks->drained);
    free(acks);
}
