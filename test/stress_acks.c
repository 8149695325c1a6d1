/* Members that join, ACK, fall back and leave, POSTs that park at the gate and for their nodes, a gate that
 * opens and closes, and one thread that expires, takes out and answers them, all at once on one ACK count.
 * Every waiter must come back just once each time it is parked, and for a reason. */
#include "stress.h"

#include "replication/acks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum {
    POSTERS = 2,
    MEMBERS = 4,
    WAITING_MAX = 2000, /* posters pause past that */
    VISIT_PASSES = 20   /* of so many passes one looks at everyone */
};

static struct acks *acks;
static _Atomic uint64_t last_id;
static _Atomic bool stopped;
static _Atomic bool ended;
static _Atomic uint64_t parked;
static _Atomic uint64_t returned;

struct worker {
    pthread_t thread;
    unsigned seed;
};

static void sleep_us(long us)
{
    struct timespec pause = {.tv_nsec = us * 1000};
    nanosleep(&pause, NULL);
}

/* ---- POSTs ---- */

static int random_concern(unsigned *seed)
{
    static const int concerns[] = {CONCERN_ALL, CONCERN_ALL, CONCERN_MAJORITY, 1, 2, 3, 4, 5, 6, 99};
    return concerns[stress_random(seed, sizeof concerns / sizeof *concerns)];
}

static void check_reached(const struct acks_waiter *waiter)
{
    CHECK(waiter->count.have >= waiter->count.need);
    CHECK(waiter->w <= 0 || waiter->count.need == (unsigned)waiter->w);
    CHECK(waiter->count.need >= 1 && waiter->count.have <= 1 + MEMBERS);
}

static void check_not_reached(const struct acks_waiter *waiter)
{
    CHECK(waiter->count.have < waiter->count.need);
    CHECK(waiter->id > 0 || waiter->count.have == 0);
}

/* Parks the waiter. Returns whether it did not have to wait: it is the caller's then. */
static bool waiter_park(struct acks_waiter *waiter)
{
    /* counted first: it may be back before this thread goes on */
    atomic_fetch_add(&parked, 1);
    if (acks_park(acks, waiter))
        return false;
    atomic_fetch_sub(&parked, 1);
    return true;
}

/* Gives it an id, and parks it for its nodes. */
static void waiter_append(struct acks_waiter *waiter)
{
    waiter->id = atomic_fetch_add(&last_id, 1) + 1;
    acks_appended(acks, waiter->id);
    if (!waiter_park(waiter))
        return;
    CHECK(waiter->outcome == ACKS_REACHED || waiter->outcome == ACKS_ENDED);
    if (waiter->outcome == ACKS_REACHED)
        check_reached(waiter);
    free(waiter);
}

static void post(unsigned *seed)
{
    struct acks_waiter *waiter = calloc(1, sizeof *waiter);
    CHECK(waiter);
    waiter->w = random_concern(seed);
    waiter->deadline_ms =
        stress_random(seed, 2) ? clock_ms() + (int64_t)stress_random(seed, 50) : CLOCK_NEVER;
    if (!waiter_park(waiter))
        return;
    CHECK(waiter->outcome == ACKS_ADMITTED || waiter->outcome == ACKS_ENDED);
    if (waiter->outcome == ACKS_ADMITTED)
        waiter_append(waiter);
    else
        free(waiter);
}

static void *post_all(void *arg)
{
    struct worker *worker = arg;
    while (!atomic_load(&stopped)) {
        post(&worker->seed);
        if (atomic_load(&parked) > atomic_load(&returned) + WAITING_MAX)
            sleep_us(1000);
    }
    return NULL;
}

static void *gate_all(void *arg)
{
    struct worker *worker = arg;
    while (!atomic_load(&stopped)) {
        acks_gate(acks, stress_random(&worker->seed, 2) == 0);
        sleep_us((long)stress_random(&worker->seed, 500));
    }
    return NULL;
}

/* ---- members ---- */

static struct acks_member *member_join(unsigned *seed)
{
    uint64_t last = atomic_load(&last_id);
    struct acks_member *member = acks_join(acks, stress_random(seed, last + 1), last);
    CHECK(member);
    return member;
}

static void member_ack(struct acks_member *member, unsigned *seed)
{
    uint64_t last = atomic_load(&last_id);
    uint64_t position = stress_random(seed, 200) == 0 ? stress_random(seed, last + 1) : last;
    acks_record(acks, member, position);
    CHECK(acks_position(acks, member) == position);
    CHECK(position == 0 || acks_count(acks, position, 1).have >= 1);
}

static void *member_live(void *arg)
{
    struct worker *worker = arg;
    while (!atomic_load(&stopped)) {
        struct acks_member *member = member_join(&worker->seed);
        for (uint64_t acked = stress_random(&worker->seed, 500); acked > 0; acked--)
            member_ack(member, &worker->seed);
        acks_leave(acks, member);
        sleep_us((long)stress_random(&worker->seed, 300));
    }
    return NULL;
}

/* ---- answers ---- */

/* Frees each that is not parked again, so that one which comes twice is seen. */
static void answer(struct acks_waiter *waiter, int64_t now_ms)
{
    switch (waiter->outcome) {
    case ACKS_ADMITTED:
        CHECK(waiter->id == 0);
        waiter_append(waiter);
        return;
    case ACKS_REACHED:
        check_reached(waiter);
        break;
    case ACKS_LATE:
        CHECK(waiter->deadline_ms <= now_ms);
        check_not_reached(waiter);
        break;
    case ACKS_ENDED:
        CHECK(atomic_load(&ended));
        check_not_reached(waiter);
        break;
    case ACKS_STRANDED: /* nobody strands anybody here */
        CHECK(false);
        break;
    }
    free(waiter);
}

static void answer_released(int64_t now_ms)
{
    struct acks_waiter *waiter = acks_take_released(acks);
    while (waiter) {
        struct acks_waiter *next = waiter->next;
        answer(waiter, now_ms);
        atomic_fetch_add(&returned, 1);
        waiter = next;
    }
}

struct visit {
    struct acks_waiter *last;
    size_t count;
};

static void visit_one(void *ctx, struct acks_waiter *waiter)
{
    struct visit *visit = ctx;
    const struct acks_waiter *before = visit->last;
    if (before && waiter->id > 0 && before->w == waiter->w)
        CHECK(before->id <= waiter->id);
    CHECK(!before || waiter->id > 0 || before->id == 0); /* those at the gate come first */
    visit->last = waiter;
    visit->count++;
}

/* Looks at everyone, and takes the last one out. This thread alone frees, so that one stays there. */
static void visit_all(void)
{
    struct visit visit = {0};
    acks_each(acks, visit_one, &visit);
    if (!visit.last || !acks_unpark(acks, visit.last))
        return;
    free(visit.last);
    atomic_fetch_add(&returned, 1);
}

static void *answer_all(void *arg)
{
    (void)arg;
    for (unsigned pass = 0; !atomic_load(&stopped); pass++) {
        int64_t now_ms = clock_ms();
        CHECK(acks_expire(acks, now_ms) > now_ms);
        answer_released(now_ms);
        if (pass % VISIT_PASSES == 0)
            visit_all();
    }
    return NULL;
}

static void *drain_all(void *arg)
{
    (void)arg;
    while (!atomic_load(&stopped))
        acks_drain(acks, clock_ms() + 5);
    return NULL;
}

/* ---- the whole ---- */

static void start(struct worker *worker, void *(*run)(void *), unsigned *seed)
{
    worker->seed = (unsigned)rand_r(seed);
    CHECK(pthread_create(&worker->thread, NULL, run, worker) == 0);
}

/* Posts go on, and find the end. */
static void end(void)
{
    struct visit visit = {0};
    atomic_store(&ended, true);
    acks_end(acks);
    sleep_us(10000);
    acks_each(acks, visit_one, &visit);
    CHECK(visit.count == 0 && !acks_gated(acks));
    atomic_store(&stopped, true);
}

int main(int argc, char *argv[])
{
    struct stress stress = stress_start(argc, argv);
    struct worker workers[POSTERS + MEMBERS + 3];
    int64_t end_ms = clock_ms() + stress.run_ms;
    size_t count = 0;

    acks = acks_open(0);
    CHECK(acks);
    while (count < POSTERS)
        start(&workers[count++], post_all, &stress.seed);
    while (count < POSTERS + MEMBERS)
        start(&workers[count++], member_live, &stress.seed);
    start(&workers[count++], gate_all, &stress.seed);
    start(&workers[count++], answer_all, &stress.seed);
    start(&workers[count++], drain_all, &stress.seed);
    while (clock_ms() < end_ms)
        sleep_us(10000);
    end();
    while (count > 0)
        pthread_join(workers[--count].thread, NULL);
    answer_released(clock_ms());
    CHECK(acks_drain(acks, CLOCK_NEVER));
    CHECK(atomic_load(&returned) == atomic_load(&parked));
    printf("%lu messages, %lu waiters\n", (unsigned long)atomic_load(&last_id),
           (unsigned long)atomic_load(&returned));
    acks_close(acks);
    return 0;
}
