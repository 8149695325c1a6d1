/* What an ACK releases is read from two parts: the ranking tells up to which id each w is reached, and the
 * queue of waiters has those who wait for the same w one behind the other in order of id. A call that
 * releases nobody looks at one waiter of each w that the nodes could fill. */
#include "replication/acks.h"
#include "clock.h"
#include "replication/ranking.h"
#include <assert.h>
#include <stdlib.h>

enum { ID_BITS = 47 }; /* of a waiter's key; w takes the rest */

struct acks {
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
#define WAITER_OF(node, member)                                                                              \
    ((node) ? (struct acks_waiter *)(void *)((char *)(node)-offsetof(struct acks_waiter, member)) : NULL)

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
    member->position = position;
    member->target = target;
    if (!ranking_add(&acks->ranking, member)) {
        free(member);
        return NULL;
    }
    release_reached(acks);
    return member;
}

void acks_leave(struct acks *acks, struct acks_member *member)
{
    ranking_remove(&acks->ranking, member);
    free(member);
    release_reached(acks);
}

void acks_record(struct acks *acks, struct acks_member *member, uint64_t position)
{
    if (position == member->position)
        return;
    ranking_move(&acks->ranking, member, position);
    release_reached(acks);
}

uint64_t acks_position(const struct acks_member *member)
{
    return member->position;
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
    if (waiter_satisfied(acks, waiter))
        waiter_settle(acks, waiter, waiter->id == 0 ? ACKS_ADMITTED : ACKS_REACHED);
    else if (acks->ended)
        waiter_settle(acks, waiter, ACKS_ENDED);
    else
        waiter_add(acks, waiter);
    return waiter->parked;
}

bool acks_unpark(struct acks *acks, struct acks_waiter *waiter)
{
    bool parked = waiter->parked;
    if (parked)
        waiter_remove(acks, waiter);
    return parked;
}

void acks_gate(struct acks *acks, bool closed)
{
    acks->gate_closed = closed;
    while (!closed && acks_gated(acks))
        waiter_release(acks, waiter_first(acks), ACKS_ADMITTED);
}

bool acks_gate_closed(const struct acks *acks)
{
    return acks->gate_closed;
}

bool acks_gated(const struct acks *acks)
{
    const struct acks_waiter *first = waiter_first(acks);
    return first && first->id == 0;
}

struct acks_waiter *acks_take_released(struct acks *acks)
{
    struct acks_waiter *released = acks->released;
    acks->released = NULL;
    return released;
}

int64_t acks_expire(struct acks *acks, int64_t now_ms)
{
    struct acks_waiter *waiter;
    while ((waiter = WAITER_OF(queue_first(&acks->deadlines), by_deadline)) && waiter->deadline_ms <= now_ms)
        waiter_release(acks, waiter, ACKS_LATE);
    return waiter ? waiter->deadline_ms : CLOCK_NEVER;
}

void acks_each(const struct acks *acks, void (*each)(void *ctx, struct acks_waiter *waiter), void *ctx)
{
    for (struct acks_waiter *waiter = waiter_first(acks); waiter; waiter = waiter_next(waiter))
        each(ctx, waiter);
}

/* ---- the end */

bool acks_drained(const struct acks *acks)
{
    const struct ranking *ranking = &acks->ranking;
    return !waiter_from(acks, CONCERN_MAJORITY) &&
           (ranking->count == 1 || ranking_have(ranking, acks->master.position, 1) > 1);
}

void acks_end(struct acks *acks)
{
    struct acks_waiter *waiter;
    acks->ended = true;
    while ((waiter = waiter_first(acks)))
        waiter_release(acks, waiter, ACKS_ENDED);
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
    assert(acks->ranking.count == 1 && !waiter_first(acks));
    ranking_free(&acks->ranking);
    free(acks);
}
