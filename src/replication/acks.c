/* What an ACK releases is read from two parts: the ranking tells up to which id each w is reached, and the
 * queue of waiters has those who wait for the same w one behind the other in order of id. A call that
 * releases nobody looks at one waiter of each w that the nodes could fill. */
#include "replication/acks.h"
#include "clock.h"
#include "condvar.h"
#include "container.h"
#include "replication/ranking.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { ID_BITS = 47 }; /* of a waiter's key; w takes the rest */

struct acks {
    pthread_mutex_t lock;   /* guards all that follows, and what is parked */
    pthread_cond_t drained; /* signalled when all ACKs are counted that somebody waits for */
    bool draining;          /* somebody waits on it */
    struct ranking ranking; /* the master and the members */
    struct acks_member master;
    struct queue waiters;         /* those at the gate in order of arrival, then by w, then by id */
    struct queue deadlines;       /* of those who have one */
    struct acks_waiter *released; /* not fetched yet, in the order of release */
    struct acks_waiter *released_last;
    bool gate_closed;
    bool ended;
};

/* ---- the parked */

/* The struct acks_waiter that has the node as this member; NULL of NULL. */
#define WAITER_OF(node, member) ((node) ? CONTAINER_OF(node, struct acks_waiter, member) : NULL)

/* CONCERN_ALL and CONCERN_MAJORITY come before the numbers, and the gate before all. */
static uint64_t waiter_key(uint64_t id, int w)
{
    _Static_assert(CONCERN_MAJORITY < CONCERN_ALL && CONCERN_ALL < 0, "no w has a lower key than 0");
    assert(id >> ID_BITS == 0);
    return id ? (uint64_t)(w - CONCERN_MAJORITY) << ID_BITS | id : 0;
}

static struct acks_waiter *waiter_first(const struct acks *acks)
{
    return WAITER_OF(queue_first(&acks->waiters), by_id);
}

static struct acks_waiter *waiter_next(const struct acks_waiter *waiter)
{
    return WAITER_OF(queue_next(&waiter->by_id), by_id);
}

/* The first who waits for this w or one behind it, or NULL. */
static struct acks_waiter *waiter_from(const struct acks *acks, int w)
{
    return WAITER_OF(queue_from(&acks->waiters, waiter_key(1, w)), by_id);
}

static void waiter_add(struct acks *acks, struct acks_waiter *waiter)
{
    waiter->parked = true;
    queue_add(&acks->waiters, &waiter->by_id, waiter_key(waiter->id, waiter->w));
    if (waiter->deadline_ms != CLOCK_NEVER)
        queue_add(&acks->deadlines, &waiter->by_deadline, (uint64_t)waiter->deadline_ms);
}

static void waiter_remove(struct acks *acks, struct acks_waiter *waiter)
{
    waiter->parked = false;
    queue_remove(&acks->waiters, &waiter->by_id);
    if (waiter->deadline_ms != CLOCK_NEVER)
        queue_remove(&acks->deadlines, &waiter->by_deadline);
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

/* Releases everyone whose w is reached. Those behind a w of more nodes than there are want still more. */
static void release_reached(struct acks *acks)
{
    struct acks_waiter *waiter = waiter_from(acks, CONCERN_MAJORITY);
    while (waiter && (waiter->w < 0 || (size_t)waiter->w <= acks->ranking.count)) {
        int w = waiter->w;
        uint64_t reached = ranking_reached(&acks->ranking, w);
        while (waiter && waiter->w == w && waiter->id <= reached) {
            struct acks_waiter *next = waiter_next(waiter);
            waiter_release(acks, waiter, ACKS_REACHED);
            waiter = next;
        }
        if (waiter && waiter->w == w)
            waiter = waiter_from(acks, w + 1);
    }
}

/* ---- draining */

static bool is_drained(const struct acks *acks)
{
    const struct ranking *ranking = &acks->ranking;
    return !waiter_from(acks, CONCERN_MAJORITY) &&
           (ranking->count == 1 || ranking_have(ranking, acks->master.position, 1) > 1);
}

/* Behind each change of the count. */
static void count_unlock(struct acks *acks)
{
    if (acks->draining && is_drained(acks))
        pthread_cond_signal(&acks->drained);
    pthread_mutex_unlock(&acks->lock);
}

bool acks_drain(struct acks *acks, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000 * 1000000)};
    int result = 0;
    pthread_mutex_lock(&acks->lock);
    acks->draining = true;
    while (!is_drained(acks) && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&acks->drained, &acks->lock, &until);
    acks->draining = false;
    bool drained = is_drained(acks);
    pthread_mutex_unlock(&acks->lock);
    return drained;
}

/* ---- nodes */

void acks_appended(struct acks *acks, uint64_t last_id)
{
    pthread_mutex_lock(&acks->lock);
    if (last_id > acks->master.position) {
        ranking_move(&acks->ranking, &acks->master, last_id);
        release_reached(acks);
    }
    count_unlock(acks);
}

/* The member says that it holds everything up to `position`. */
static void member_says(struct acks *acks, struct acks_member *member, uint64_t position)
{
    member->said = position;
    if (member->held && position >= member->target)
        ranking_count_in(&acks->ranking, member);
    if (member->held || position == member->position)
        return;
    ranking_move(&acks->ranking, member, position);
    release_reached(acks);
}

static struct acks_member *member_join(struct acks *acks, uint64_t position, uint64_t target, bool held)
{
    struct acks_member *member = calloc(1, sizeof *member);
    if (!member)
        return NULL;
    member->position = held ? 0 : position;
    member->target = target;
    member->held = held;
    pthread_mutex_lock(&acks->lock);
    bool joined = ranking_add(&acks->ranking, member);
    if (joined) {
        member_says(acks, member, position);
        release_reached(acks);
    }
    count_unlock(acks);
    if (joined)
        return member;
    free(member);
    return NULL;
}

struct acks_member *acks_join(struct acks *acks, uint64_t position, uint64_t target)
{
    return member_join(acks, position, target, false);
}

struct acks_member *acks_join_held(struct acks *acks, uint64_t position, uint64_t target)
{
    return member_join(acks, position, target, true);
}

void acks_let_count(struct acks *acks, struct acks_member *member)
{
    pthread_mutex_lock(&acks->lock);
    member->held = false;
    member_says(acks, member, member->said);
    count_unlock(acks);
}

bool acks_is_held(const struct acks_member *member)
{
    return member->held;
}

void acks_leave(struct acks *acks, struct acks_member *member)
{
    pthread_mutex_lock(&acks->lock);
    ranking_remove(&acks->ranking, member);
    release_reached(acks);
    count_unlock(acks);
    free(member);
}

void acks_record(struct acks *acks, struct acks_member *member, uint64_t position)
{
    pthread_mutex_lock(&acks->lock);
    member_says(acks, member, position);
    count_unlock(acks);
}

uint64_t acks_position(struct acks *acks, const struct acks_member *member)
{
    pthread_mutex_lock(&acks->lock);
    uint64_t position = member->position;
    pthread_mutex_unlock(&acks->lock);
    return position;
}

bool acks_counts(struct acks *acks, const struct acks_member *member)
{
    pthread_mutex_lock(&acks->lock);
    bool counts = member->counts;
    pthread_mutex_unlock(&acks->lock);
    return counts;
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
        return !acks->gate_closed;
    return waiter->id <= ranking_reached(&acks->ranking, waiter->w);
}

bool acks_park(struct acks *acks, struct acks_waiter *waiter)
{
    pthread_mutex_lock(&acks->lock);
    if (waiter_satisfied(acks, waiter))
        waiter_settle(acks, waiter, waiter->id == 0 ? ACKS_ADMITTED : ACKS_REACHED);
    else if (acks->ended)
        waiter_settle(acks, waiter, ACKS_ENDED);
    else
        waiter_add(acks, waiter);
    bool parked = waiter->parked;
    pthread_mutex_unlock(&acks->lock);
    return parked;
}

bool acks_unpark(struct acks *acks, struct acks_waiter *waiter)
{
    pthread_mutex_lock(&acks->lock);
    bool parked = waiter->parked;
    if (parked)
        waiter_remove(acks, waiter);
    count_unlock(acks);
    return parked;
}

static bool any_gated(const struct acks *acks)
{
    const struct acks_waiter *first = waiter_first(acks);
    return first && first->id == 0;
}

void acks_gate(struct acks *acks, bool closed)
{
    pthread_mutex_lock(&acks->lock);
    acks->gate_closed = closed;
    while (!closed && any_gated(acks))
        waiter_release(acks, waiter_first(acks), ACKS_ADMITTED);
    pthread_mutex_unlock(&acks->lock);
}

bool acks_gate_closed(const struct acks *acks)
{
    return acks->gate_closed;
}

bool acks_gated(struct acks *acks)
{
    pthread_mutex_lock(&acks->lock);
    bool gated = any_gated(acks);
    pthread_mutex_unlock(&acks->lock);
    return gated;
}

struct acks_waiter *acks_take_released(struct acks *acks)
{
    pthread_mutex_lock(&acks->lock);
    struct acks_waiter *released = acks->released;
    acks->released = NULL;
    pthread_mutex_unlock(&acks->lock);
    return released;
}

void acks_hand_back(struct acks *acks)
{
    struct acks_waiter *released = acks_take_released(acks);
    while (released) {
        struct acks_waiter *waiter = released;
        released = released->next;
        waiter->over(waiter->owner, waiter);
    }
}

int64_t acks_expire(struct acks *acks, int64_t now_ms)
{
    struct acks_waiter *waiter;
    pthread_mutex_lock(&acks->lock);
    while ((waiter = WAITER_OF(queue_first(&acks->deadlines), by_deadline)) && waiter->deadline_ms <= now_ms)
        waiter_release(acks, waiter, ACKS_LATE);
    int64_t next_ms = waiter ? waiter->deadline_ms : CLOCK_NEVER;
    count_unlock(acks);
    return next_ms;
}

void acks_strand(struct acks *acks, const void *owner)
{
    pthread_mutex_lock(&acks->lock);
    struct acks_waiter *waiter = waiter_from(acks, CONCERN_MAJORITY);
    while (waiter) {
        struct acks_waiter *next = waiter_next(waiter);
        if (waiter->owner == owner)
            waiter_release(acks, waiter, ACKS_STRANDED);
        waiter = next;
    }
    count_unlock(acks);
}

void acks_each(struct acks *acks, void (*each)(void *ctx, struct acks_waiter *waiter), void *ctx)
{
    pthread_mutex_lock(&acks->lock);
    for (struct acks_waiter *waiter = waiter_first(acks); waiter; waiter = waiter_next(waiter))
        each(ctx, waiter);
    pthread_mutex_unlock(&acks->lock);
}

void acks_end(struct acks *acks)
{
    struct acks_waiter *waiter;
    pthread_mutex_lock(&acks->lock);
    acks->ended = true;
    while ((waiter = waiter_first(acks)))
        waiter_release(acks, waiter, ACKS_ENDED);
    count_unlock(acks);
}

/* ---- open and close */

struct acks *acks_open(unsigned meant)
{
    struct acks *acks = calloc(1, sizeof *acks);
    if (!acks)
        return NULL;
    acks->ranking.meant = meant;
    if (!ranking_add(&acks->ranking, &acks->master))
        goto no_memory;
    if (pthread_mutex_init(&acks->lock, NULL) != 0)
        goto no_lock;
    if (condvar_open(&acks->drained) == 0)
        return acks;
    pthread_mutex_destroy(&acks->lock);
no_lock:
    ranking_free(&acks->ranking);
no_memory:
    free(acks);
    return NULL;
}

void acks_close(struct acks *acks)
{
    if (!acks)
        return;
    assert(acks->ranking.count == 1 && !waiter_first(acks));
    pthread_cond_destroy(&acks->drained);
    pthread_mutex_destroy(&acks->lock);
    ranking_free(&acks->ranking);
    free(acks);
}
