/* The nodes are kept ranked: the one that holds most comes first, and the master is one of them. So the id up
 * to which w nodes hold the log is the position of the w-th one, and an ACK moves its member a few ranks up,
 * seldom more than one.
 *
 * Waiters stand in one queue for each w, in order of id, so those that an ACK satisfies are at the front; a
 * call that satisfies nobody looks at one waiter of each queue that the nodes could fill. Those with a
 * deadline are in a heap besides. */
#include "replication/acks.h"
#include "clock.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS_KEPT = 8, /* as many levels may stay without waiters */
    ROOM_FIRST = 8   /* the first room of a vector */
};

#define HEAP_NONE SIZE_MAX

/* A node: a member or the master. Guarded by the lock of its struct acks. */
struct acks_member {
    uint64_t position;
    uint64_t target;
    bool counts; /* for CONCERN_ALL: its target was reached once */
    size_t rank; /* its index in struct acks_ranking */
};

/* Guarded by the lock of its struct acks. */
struct acks_level {
    int w;
    struct acks_waiter *first; /* the lowest id */
    struct acks_waiter *last;
};

struct acks {
    pthread_mutex_t lock;  /* guards all that follows, members and parked waiters too */
    pthread_cond_t nobody; /* signalled when the last waiter has gone */

    struct acks_member master;
    struct acks_member **ranking; /* all nodes, the highest position first */
    size_t nodes;
    size_t ranking_room;
    unsigned counting; /* nodes that count for CONCERN_ALL */

    struct acks_level **levels; /* in order of w */
    size_t level_count;
    size_t level_room;
    struct acks_waiter **heap; /* those with a deadline, the earliest on top */
    size_t heap_count;
    size_t heap_room;

    size_t waiting;
    struct acks_waiter *released; /* not fetched yet, in the order of release */
    struct acks_waiter *released_last;
    bool ended;
};

/* Returns the vector of pointers with room for one more than `count`, or NULL, all as it was, where there is
 * no memory. */
static void *vector_reserve(void *items, size_t *room, size_t count)
{
    size_t more = *room > 0 ? *room * 2 : ROOM_FIRST;
    void *bigger;

    if (count < *room)
        return items;
    bigger = realloc(items, more * sizeof(void *));
    if (bigger != NULL)
        *room = more;
    return bigger;
}

/* ---- ranking ---- */

static void ranking_place(struct acks *acks, struct acks_member *node, size_t rank)
{
    acks->ranking[rank] = node;
    node->rank = rank;
}

static void ranking_swap(struct acks *acks, size_t a, size_t b)
{
    struct acks_member *node = acks->ranking[a];

    ranking_place(acks, acks->ranking[b], a);
    ranking_place(acks, node, b);
}

/* Moves a node whose position has changed to its rank. */
static void ranking_settle(struct acks *acks, struct acks_member *node)
{
    while (node->rank > 0 && acks->ranking[node->rank - 1]->position < node->position)
        ranking_swap(acks, node->rank, node->rank - 1);
    while (node->rank + 1 < acks->nodes && acks->ranking[node->rank + 1]->position > node->position)
        ranking_swap(acks, node->rank, node->rank + 1);
}

static bool ranking_add(struct acks *acks, struct acks_member *node)
{
    void *ranking = vector_reserve(acks->ranking, &acks->ranking_room, acks->nodes);

    if (ranking == NULL)
        return false;
    acks->ranking = ranking;
    ranking_place(acks, node, acks->nodes++);
    ranking_settle(acks, node);
    return true;
}

static void ranking_remove(struct acks *acks, const struct acks_member *node)
{
    for (size_t rank = node->rank; rank + 1 < acks->nodes; rank++)
        ranking_place(acks, acks->ranking[rank + 1], rank);
    acks->nodes--;
}

/* How many nodes hold the id. */
static unsigned ranking_held(const struct acks *acks, uint64_t id)
{
    size_t low = 0;
    size_t high = acks->nodes;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (acks->ranking[middle]->position >= id)
            low = middle + 1;
        else
            high = middle;
    }
    return (unsigned)low;
}

/* ---- write concern ---- */

/* The number of nodes that w stands for now. */
static unsigned concern_need(const struct acks *acks, int w)
{
    if (w == CONCERN_ALL)
        return acks->counting;
    if (w == CONCERN_MAJORITY)
        return (unsigned)(acks->nodes / 2 + 1);
    assert(w > 0);
    return (unsigned)w;
}

/* The lowest position among the nodes that count for CONCERN_ALL; the master is one. */
static uint64_t counting_least(const struct acks *acks)
{
    size_t rank = acks->nodes - 1;

    while (!acks->ranking[rank]->counts)
        rank--;
    return acks->ranking[rank]->position;
}

/* The id up to which w is satisfied. */
static uint64_t concern_reached(const struct acks *acks, int w)
{
    unsigned need = concern_need(acks, w);

    if (w == CONCERN_ALL)
        return counting_least(acks);
    return need <= acks->nodes ? acks->ranking[need - 1]->position : 0;
}

static struct acks_tally tally_of(const struct acks *acks, uint64_t id, int w)
{
    return (struct acks_tally){.need = concern_need(acks, w), .held = ranking_held(acks, id)};
}

/* ---- deadlines: a binary heap ---- */

static void heap_place(struct acks *acks, struct acks_waiter *waiter, size_t index)
{
    acks->heap[index] = waiter;
    waiter->heap_index = index;
}

static void heap_rise(struct acks *acks, struct acks_waiter *waiter)
{
    size_t index = waiter->heap_index;

    while (index > 0 && acks->heap[(index - 1) / 2]->deadline_ms > waiter->deadline_ms) {
        heap_place(acks, acks->heap[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    heap_place(acks, waiter, index);
}

static void heap_sink(struct acks *acks, struct acks_waiter *waiter)
{
    size_t index = waiter->heap_index;

    for (;;) {
        size_t child = 2 * index + 1;

        if (child + 1 < acks->heap_count &&
            acks->heap[child + 1]->deadline_ms < acks->heap[child]->deadline_ms)
            child++;
        if (child >= acks->heap_count || acks->heap[child]->deadline_ms >= waiter->deadline_ms)
            break;
        heap_place(acks, acks->heap[child], index);
        index = child;
    }
    heap_place(acks, waiter, index);
}

static bool heap_add(struct acks *acks, struct acks_waiter *waiter)
{
    void *heap;

    waiter->heap_index = HEAP_NONE;
    if (waiter->deadline_ms == CLOCK_NEVER)
        return true;
    heap = vector_reserve(acks->heap, &acks->heap_room, acks->heap_count);
    if (heap == NULL)
        return false;
    acks->heap = heap;
    heap_place(acks, waiter, acks->heap_count++);
    heap_rise(acks, waiter);
    return true;
}

static void heap_remove(struct acks *acks, const struct acks_waiter *waiter)
{
    struct acks_waiter *last;

    if (waiter->heap_index == HEAP_NONE)
        return;
    last = acks->heap[--acks->heap_count];
    if (last == waiter)
        return;
    heap_place(acks, last, waiter->heap_index);
    heap_rise(acks, last);
    heap_sink(acks, last);
}

/* ---- levels: those who wait for the same w ---- */

/* Frees the levels without waiters. */
static void levels_prune(struct acks *acks)
{
    size_t kept = 0;

    for (size_t i = 0; i < acks->level_count; i++) {
        if (acks->levels[i]->first != NULL)
            acks->levels[kept++] = acks->levels[i];
        else
            free(acks->levels[i]);
    }
    acks->level_count = kept;
}

/* The index of the first level that is not below w. */
static size_t level_index(const struct acks *acks, int w)
{
    size_t low = 0;
    size_t high = acks->level_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (acks->levels[middle]->w < w)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct acks_level *level_insert(struct acks *acks, size_t index, int w)
{
    void *levels = vector_reserve(acks->levels, &acks->level_room, acks->level_count);
    struct acks_level *level;

    if (levels == NULL)
        return NULL;
    acks->levels = levels;
    level = calloc(1, sizeof *level);
    if (level == NULL)
        return NULL;
    level->w = w;
    memmove(acks->levels + index + 1, acks->levels + index,
            (acks->level_count - index) * sizeof(struct acks_level *));
    acks->levels[index] = level;
    acks->level_count++;
    return level;
}

/* The level for w, a new one where there is none; NULL where there is no memory. */
static struct acks_level *level_for(struct acks *acks, int w)
{
    size_t index = level_index(acks, w);

    if (index < acks->level_count && acks->levels[index]->w == w)
        return acks->levels[index];
    if (acks->level_count >= LEVELS_KEPT) {
        levels_prune(acks);
        index = level_index(acks, w);
    }
    return level_insert(acks, index, w);
}

/* Links the waiter in behind the last one with an id that is not above its own: nearly always at the end. */
static void level_add(struct acks_level *level, struct acks_waiter *waiter)
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
    struct acks_level *level = waiter->level;

    *(waiter->prev != NULL ? &waiter->prev->next : &level->first) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->prev : &level->last) = waiter->prev;
}

/* ---- release ---- */

static void released_add(struct acks *acks, struct acks_waiter *waiter)
{
    waiter->prev = NULL;
    waiter->next = NULL;
    waiter->level = NULL;
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

static void waiter_release(struct acks *acks, struct acks_waiter *waiter, enum acks_outcome outcome)
{
    level_remove(waiter);
    heap_remove(acks, waiter);
    waiter_settle(acks, waiter, outcome);
    released_add(acks, waiter);
    if (--acks->waiting == 0)
        pthread_cond_broadcast(&acks->nobody);
}

/* Releases the level's waiters up to an id. */
static bool level_release(struct acks *acks, const struct acks_level *level, uint64_t id,
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
    bool any = false;

    for (size_t i = 0; acks->waiting > 0 && i < acks->level_count; i++) {
        const struct acks_level *level = acks->levels[i];

        if (level->w > 0 && (size_t)level->w > acks->nodes)
            break;
        if (level->first != NULL && level_release(acks, level, concern_reached(acks, level->w), ACKS_HELD))
            any = true;
    }
    return any;
}

/* ---- nodes ---- */

static void member_move(struct acks *acks, struct acks_member *member, uint64_t position)
{
    member->position = position;
    ranking_settle(acks, member);
    if (!member->counts && position >= member->target) {
        member->counts = true;
        acks->counting++;
    }
}

bool acks_appended(struct acks *acks, uint64_t last_id)
{
    bool any = false;

    pthread_mutex_lock(&acks->lock);
    if (last_id > acks->master.position) {
        member_move(acks, &acks->master, last_id);
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
    member->target = target;
    pthread_mutex_lock(&acks->lock);
    if (ranking_add(acks, member)) {
        member_move(acks, member, position);
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
    ranking_remove(acks, member);
    if (member->counts)
        acks->counting--;
    any = release_satisfied(acks);
    pthread_mutex_unlock(&acks->lock);
    free(member);
    return any;
}

bool acks_record(struct acks *acks, struct acks_member *member, uint64_t position)
{
    bool any = false;

    pthread_mutex_lock(&acks->lock);
    if (position != member->position) {
        member_move(acks, member, position);
        any = release_satisfied(acks);
    }
    pthread_mutex_unlock(&acks->lock);
    return any;
}

uint64_t acks_position(struct acks *acks, const struct acks_member *member)
{
    uint64_t position;

    pthread_mutex_lock(&acks->lock);
    position = member->position;
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

/* Returns false, the waiter in no queue, where there is no memory. */
static bool waiter_enqueue(struct acks *acks, struct acks_waiter *waiter)
{
    struct acks_level *level = level_for(acks, waiter->w);

    if (level == NULL || !heap_add(acks, waiter))
        return false;
    level_add(level, waiter);
    acks->waiting++;
    return true;
}

static enum acks_park park_locked(struct acks *acks, struct acks_waiter *waiter)
{
    bool satisfied = waiter->id <= concern_reached(acks, waiter->w);

    if (satisfied || acks->ended) {
        waiter_settle(acks, waiter, satisfied ? ACKS_HELD : ACKS_ENDED);
        return ACKS_SATISFIED;
    }
    return waiter_enqueue(acks, waiter) ? ACKS_PARKED : ACKS_NO_MEMORY;
}

enum acks_park acks_park(struct acks *acks, struct acks_waiter *waiter)
{
    enum acks_park result;

    pthread_mutex_lock(&acks->lock);
    result = park_locked(acks, waiter);
    pthread_mutex_unlock(&acks->lock);
    return result;
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
    int64_t earliest;

    pthread_mutex_lock(&acks->lock);
    while (acks->heap_count > 0 && acks->heap[0]->deadline_ms <= now_ms)
        waiter_release(acks, acks->heap[0], ACKS_LATE);
    earliest = acks->heap_count > 0 ? acks->heap[0]->deadline_ms : CLOCK_NEVER;
    pthread_mutex_unlock(&acks->lock);
    return earliest;
}

size_t acks_waiting(struct acks *acks)
{
    size_t waiting;

    pthread_mutex_lock(&acks->lock);
    waiting = acks->waiting;
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
    while (acks->waiting > 0 && nobody_wait(acks, deadline_ms))
        continue;
    nobody = acks->waiting == 0;
    pthread_mutex_unlock(&acks->lock);
    return nobody;
}

bool acks_end(struct acks *acks)
{
    bool any = false;

    pthread_mutex_lock(&acks->lock);
    acks->ended = true;
    for (size_t i = 0; i < acks->level_count; i++)
        any = level_release(acks, acks->levels[i], UINT64_MAX, ACKS_ENDED) || any;
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
    acks->master.counts = true;
    acks->counting = 1;
    if (!ranking_add(acks, &acks->master))
        goto no_ranking;
    if (condition_open(&acks->nobody) != 0)
        goto no_condition;
    if (pthread_mutex_init(&acks->lock, NULL) != 0)
        goto no_lock;
    return acks;

no_lock:
    pthread_cond_destroy(&acks->nobody);
no_condition:
    free(acks->ranking);
no_ranking:
    free(acks);
    return NULL;
}

void acks_close(struct acks *acks)
{
    if (acks == NULL)
        return;
    assert(acks->waiting == 0 && acks->nodes == 1);
    levels_prune(acks);
    free(acks->levels);
    free(acks->heap);
    free(acks->ranking);
    pthread_mutex_destroy(&acks->lock);
    pthread_cond_destroy(&acks->nobody);
    free(acks);
}
