/* What an ACK satisfies is read from two parts: the ranking tells up to which id each w is held, and the
 * parking has those who wait for it at the front of its queues. A call that satisfies nobody looks at one
 * waiter of each queue that the nodes could fill. */
#include "replication/acks.h"
#include "clock.h"
#include "replication/parking.h"
#include "replication/ranking.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* Guarded by the lock of its struct acks. */
struct acks_member {
    struct ranking_node node;
};

struct acks {
    pthread_mutex_t lock;  /* guards all that follows, members and parked waiters too */
    pthread_cond_t nobody; /* signalled when the last waiter has gone */

    struct ranking ranking; /* the master and the members */
    struct ranking_node master;
    struct parking parking;
    struct acks_waiter *released; /* not fetched yet, in the order of release */
    struct acks_waiter *released_last;
    bool ended;
};

static struct acks_tally tally_of(const struct acks *acks, uint64_t id, int w)
{
    return (struct acks_tally){
        .need = ranking_need(&acks->ranking, w),
        .held = ranking_held(&acks->ranking, id),
    };
}

/* ---- release ---- */

static void released_add(struct acks *acks, struct acks_waiter *waiter)
{
    waiter->prev = NULL;
    waiter->next = NULL;
    if (acks->released == NULL)
        acks->released = waiter;
    else
        acks->released_last->next = waiter;
    acks->released_last = waiter;
}

static void waiter_settle(const struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    waiter->outcome = outcome;
    waiter->tally = tally_of(acks, waiter->id, waiter->w);
}

/* Takes the waiter out of the parking. */
static void waiter_remove(struct acks *acks, struct acks_waiter *waiter)
{
    parking_remove(&acks->parking, waiter);
    if (acks->parking.waiting == 0)
        pthread_cond_broadcast(&acks->nobody);
}

static void waiter_release(struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    waiter_remove(acks, waiter);
    waiter_settle(acks, waiter, outcome);
    released_add(acks, waiter);
}

/* Releases the level's waiters up to an id. */
static bool level_release(struct acks *acks, const struct parking_level *level, uint64_t id,
                          enum acks_outcome outcome)
{
    bool any = false;

    while (level->first != NULL && level->first->id <= id) {
        waiter_release(acks, level->first, outcome);
        any = true;
    }
    return any;
}

/* Releases everyone whose concern is satisfied. Levels behind one that wants more nodes than there are want
 * still more. */
static bool release_satisfied(struct acks *acks)
{
    const struct parking *parking = &acks->parking;
    bool any = false;

    for (size_t i = 0; parking->waiting > 0 && i < parking->level_count; i++) {
        const struct parking_level *level = parking->levels[i];

        if (level->w > 0 && (size_t)level->w > acks->ranking.count)
            break;
        if (level->first != NULL)
            any |= level_release(acks, level, ranking_reached(&acks->ranking, level->w), ACKS_HELD);
    }
    return any;
}

/* ---- nodes ---- */

bool acks_appended(struct acks *acks, uint64_t last_id)
{
    bool any = false;

    pthread_mutex_lock(&acks->lock);
    if (last_id > acks->master.position) {
        ranking_move(&acks->ranking, &acks->master, last_id);
        any = release_satisfied(acks);
    }
    pthread_mutex_unlock(&acks->lock);
    return any;
}

struct acks_member *acks_join(struct acks *acks, uint64_t position, uint64_t target, bool *released)
{
    struct acks_member *member = calloc(1, sizeof *member);

    if (member == NULL)
        return NULL;
    member->node.position = position;
    member->node.target = target;
    pthread_mutex_lock(&acks->lock);
    if (ranking_add(&acks->ranking, &member->node)) {
        *released = release_satisfied(acks);
    } else {
        free(member);
        member = NULL;
    }
    pthread_mutex_unlock(&acks->lock);
    return member;
}

bool acks_leave(struct acks *acks, struct acks_member *member)
{
    bool any;

    pthread_mutex_lock(&acks->lock);
    ranking_remove(&acks->ranking, &member->node);
    any = release_satisfied(acks);
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
        any = release_satisfied(acks);
    }
    pthread_mutex_unlock(&acks->lock);
    return any;
}

uint64_t acks_position(struct acks *acks, const struct acks_member *member)
{
    uint64_t position;

    pthread_mutex_lock(&acks->lock);
    position = member->node.position;
    pthread_mutex_unlock(&acks->lock);
    return position;
}

struct acks_tally acks_tally(struct acks *acks, uint64_t id, int w)
{
    struct acks_tally tally;

    pthread_mutex_lock(&acks->lock);
    tally = tally_of(acks, id, w);
    pthread_mutex_unlock(&acks->lock);
    return tally;
}

/* ---- waiters ---- */

static enum acks_park park_locked(struct acks *acks, struct acks_waiter *waiter)
{
    bool satisfied = waiter->id <= ranking_reached(&acks->ranking, waiter->w);

    if (satisfied || acks->ended) {
        waiter_settle(acks, waiter, satisfied ? ACKS_HELD : ACKS_ENDED);
        return ACKS_SATISFIED;
    }
    return parking_add(&acks->parking, waiter) ? ACKS_PARKED : ACKS_NO_MEMORY;
}

enum acks_park acks_park(struct acks *acks, struct acks_waiter *waiter)
{
    enum acks_park result;

    pthread_mutex_lock(&acks->lock);
    result = park_locked(acks, waiter);
    pthread_mutex_unlock(&acks->lock);
    return result;
}

bool acks_unpark(struct acks *acks, struct acks_waiter *waiter)
{
    bool parked;

    pthread_mutex_lock(&acks->lock);
    parked = waiter->level != NULL;
    if (parked)
        waiter_remove(acks, waiter);
    pthread_mutex_unlock(&acks->lock);
    return parked;
}

struct acks_waiter *acks_take_released(struct acks *acks)
{
    struct acks_waiter *released;

    pthread_mutex_lock(&acks->lock);
    released = acks->released;
    acks->released = NULL;
    acks->released_last = NULL;
    pthread_mutex_unlock(&acks->lock);
    return released;
}

int64_t acks_expire(struct acks *acks, int64_t now_ms)
{
    struct acks_waiter *waiter;
    int64_t earliest_ms;

    pthread_mutex_lock(&acks->lock);
    while ((waiter = parking_earliest(&acks->parking)) != NULL && waiter->deadline_ms <= now_ms)
        waiter_release(acks, waiter, ACKS_LATE);
    earliest_ms = waiter != NULL ? waiter->deadline_ms : CLOCK_NEVER;
    pthread_mutex_unlock(&acks->lock);
    return earliest_ms;
}

size_t acks_waiting(struct acks *acks)
{
    size_t waiting;

    pthread_mutex_lock(&acks->lock);
    waiting = acks->parking.waiting;
    pthread_mutex_unlock(&acks->lock);
    return waiting;
}

/* Waits on `nobody` once. Returns false where the deadline has come. */
static bool nobody_wait(struct acks *acks, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000 * 1000000)};

    if (deadline_ms <= 0)
        return false;
    if (deadline_ms == CLOCK_NEVER)
        return pthread_cond_wait(&acks->nobody, &acks->lock) == 0;
    return pthread_cond_timedwait(&acks->nobody, &acks->lock, &until) != ETIMEDOUT;
}

bool acks_drain(struct acks *acks, int64_t deadline_ms)
{
    bool nobody;

    pthread_mutex_lock(&acks->lock);
    while (acks->parking.waiting > 0 && nobody_wait(acks, deadline_ms))
        continue;
    nobody = acks->parking.waiting == 0;
    pthread_mutex_unlock(&acks->lock);
    return nobody;
}

bool acks_end(struct acks *acks)
{
    bool any = false;

    pthread_mutex_lock(&acks->lock);
    acks->ended = true;
    for (size_t i = 0; i < acks->parking.level_count; i++)
        any |= level_release(acks, acks->parking.levels[i], UINT64_MAX, ACKS_ENDED);
    pthread_mutex_unlock(&acks->lock);
    return any;
}

/* ---- open and close ---- */

/* A condition variable whose deadlines are on the monotonic clock. Returns 0 or a positive errno. */
static int condition_open(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error != 0)
        return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

struct acks *acks_open(void)
{
    struct acks *acks = calloc(1, sizeof *acks);

    if (acks == NULL)
        return NULL;
    if (!ranking_add(&acks->ranking, &acks->master))
        goto no_ranking;
    if (condition_open(&acks->nobody) != 0)
        goto no_condition;
    if (pthread_mutex_init(&acks->lock, NULL) != 0)
        goto no_lock;
    return acks;

no_lock:
    pthread_cond_destroy(&acks->nobody);
no_condition:
    ranking_free(&acks->ranking);
no_ranking:
    free(acks);
    return NULL;
}

void acks_close(struct acks *acks)
{
    if (acks == NULL)
        return;
    assert(acks->ranking.count == 1);
    parking_free(&acks->parking);
    ranking_free(&acks->ranking);
    pthread_mutex_destroy(&acks->lock);
    pthread_cond_destroy(&acks->nobody);
    free(acks);
}
