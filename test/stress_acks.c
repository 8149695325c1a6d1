/* Members that join, ACK, fall back and leave, POSTs that park, and one thread that expires and answers them,
 * all at once on one ACK count. Every waiter must come back just once, and for a reason. */
#include "stress.h"

#include "replication/acks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum {
    POSTERS = 2,
    MEMBERS = 4,
    WAITING_MAX = 2000 /* posters pause past that */
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

static void check_held(const struct acks_waiter *waiter)
{
    CHECK(waiter->tally.held >= waiter->tally.need);
    CHECK(waiter->w <= 0 || waiter->tally.need == (unsigned)waiter->w);
    CHECK(waiter->tally.need >= 1 && waiter->tally.held <= 1 + MEMBERS);
}

static void post(unsigned *seed)
{
    struct acks_waiter *waiter = calloc(1, sizeof *waiter);
    uint64_t id = atomic_fetch_add(&last_id, 1) + 1;

    CHECK(waiter != NULL);
    acks_appended(acks, id);
    waiter->id = id;
    waiter->w = random_concern(seed);
    waiter->deadline_ms =
        stress_random(seed, 2) ? clock_ms() + (int64_t)stress_random(seed, 50) : CLOCK_NEVER;
    /* counted first: it may be back before this thread goes on */
    atomic_fetch_add(&parked, 1);
    switch (acks_park(acks, waiter)) {
    case ACKS_PARKED:
        return;
    case ACKS_SATISFIED:
        CHECK(waiter->outcome == ACKS_HELD || waiter->outcome == ACKS_ENDED);
        if (waiter->outcome == ACKS_HELD)
            check_held(waiter);
        atomic_fetch_sub(&parked, 1);
        free(waiter);
        return;
    case ACKS_NO_MEMORY:
        abort();
    }
}

static void *post_all(void *arg)
{
    struct worker *worker = arg;

    while (!atomic_load(&stopped)) {
        post(&worker->seed);
        if (acks_waiting(acks) > WAITING_MAX)
            sleep_us(1000);
    }
    return NULL;
}

/* ---- members ---- */

static struct acks_member *member_join(unsigned *seed)
{
    uint64_t last = atomic_load(&last_id);
    bool released;
    struct acks_member *member = acks_join(acks, stress_random(seed, last + 1), last, &released);

    CHECK(member != NULL);
    return member;
}

static void member_ack(struct acks_member *member, unsigned *seed)
{
    uint64_t last = atomic_load(&last_id);
    uint64_t position = last;

    if (stress_random(seed, 200) == 0)
        position = stress_random(seed, last + 1);
    acks_record(acks, member, position);
    CHECK(acks_position(acks, member) == position);
    CHECK(acks_tally(acks, position, 1).held >= 1);
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

static void answer(const struct acks_waiter *waiter, int64_t now_ms)
{
    switch (waiter->outcome) {
    case ACKS_HELD:
        check_held(waiter);
        break;
    case ACKS_LATE:
        CHECK(waiter->deadline_ms <= now_ms);
        break;
    case ACKS_ENDED:
        CHECK(atomic_load(&ended));
        break;
    }
}

/* Frees each, so that one which comes twice is seen. */
static void answer_released(int64_t now_ms)
{
    struct acks_waiter *waiter = acks_take_released(acks);

    while (waiter != NULL) {
        struct acks_waiter *next = waiter->next;

        answer(waiter, now_ms);
        free(waiter);
        atomic_fetch_add(&returned, 1);
        waiter = next;
    }
}

static void *answer_all(void *arg)
{
    (void)arg;
    while (!atomic_load(&stopped)) {
        int64_t now_ms = clock_ms();

        CHECK(acks_expire(acks, now_ms) > now_ms);
        answer_released(now_ms);
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

int main(int argc, char *argv[])
{
    struct stress stress = stress_start(argc, argv);
    struct worker workers[POSTERS + MEMBERS + 2];
    int64_t end_ms = clock_ms() + stress.run_ms;
    size_t count = 0;

    acks = acks_open();
    CHECK(acks != NULL);
    while (count < POSTERS)
        start(&workers[count++], post_all, &stress.seed);
    while (count < POSTERS + MEMBERS)
        start(&workers[count++], member_live, &stress.seed);
    start(&workers[count++], answer_all, &stress.seed);
    start(&workers[count++], drain_all, &stress.seed);

    while (clock_ms() < end_ms)
        sleep_us(10000);
    atomic_store(&ended, true);
    acks_end(acks);
    sleep_us(10000); /* posts go on, and find the end */
    CHECK(acks_waiting(acks) == 0);
    atomic_store(&stopped, true);
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
