/* When the loop spins, sleeps and sweeps, with a clock, a poll(2) and a processor that are told. */
#include "http/loop.h"
#include "spin.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Criterion, on this thread and on others, needs the real ones. */
static _Thread_local bool told;
static int64_t now_us = 1000000000;
static int64_t ready_us; /* when the descriptor is ready */
static int64_t gap_us;   /* how long after a pass that it caused it is so again */
static int64_t yield_us; /* how long others keep the processor */
static int sleeps, yields;
static nfds_t all = 2;   /* how many descriptors there are */
static int turn_fd = -1; /* the one that is ready now, or none */
static int turns;
static int64_t sweep_cost_us; /* what a sweep takes that does not wait */
static int64_t stall_us;      /* what the next one takes longer */
static int64_t swept_us;      /* when the last one ended */
static int64_t sweep_gap_us;  /* the longest time between two of them */
static int64_t sweeps_us;     /* what they took in sum */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!told)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){.tv_sec = now_us / 1000000, .tv_nsec = now_us % 1000000 * 1000};
    return 0;
}

int sched_yield(void)
{
    if (!told)
        return (int)syscall(SYS_sched_yield);
    yields++;
    now_us += yield_us;
    return 0;
}

/* Not every machine has poll as a system call. */
static int poll_really(struct pollfd *polled, nfds_t count, int timeout)
{
    struct timespec limit = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
    return ppoll(polled, count, timeout < 0 ? NULL : &limit, NULL);
}

static void swept(void)
{
    if (swept_us && now_us - swept_us > sweep_gap_us)
        sweep_gap_us = now_us - swept_us;
    sweeps_us += sweep_cost_us + stall_us;
    now_us += sweep_cost_us + stall_us;
    stall_us = 0;
    swept_us = now_us;
}

int poll(struct pollfd *polled, nfds_t count, int timeout)
{
    if (!told)
        return poll_really(polled, count, timeout);
    for (nfds_t i = 0; i < count; i++)
        polled[i].revents = 0;
    now_us++;
    if (count == all && timeout == 0)
        swept();
    for (nfds_t i = 0; i < count; i++)
        if (polled[i].fd == turn_fd) {
            polled[i].revents = POLLIN;
            return 1;
        }
    if (ready_us > now_us && timeout != 0) {
        sleeps++;
        now_us = timeout > 0 && now_us + timeout * INT64_C(1000) < ready_us ? now_us + timeout * INT64_C(1000)
                                                                            : ready_us;
    }
    if (ready_us > now_us)
        return 0;
    polled[0].revents = POLLIN; /* the loop's own descriptor */
    return 1;
}

static bool running;
static int passes_left;

static int64_t pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    (void)now_ms;
    running = --passes_left > 0;
    if (ready_us <= now_us)
        ready_us = now_us + gap_us;
    return CLOCK_NEVER;
}

TestSuite(loop_time, .timeout = 60);

static struct loop *loop_told(void)
{
    told = true;
    struct loop *loop = loop_open(pass, NULL);
    told = false;
    return loop;
}

static void passes(struct loop *loop, int count)
{
    sleeps = yields = 0;
    passes_left = count;
    running = true;
    told = true;
    loop_run(loop, &running);
    told = false;
}

Test(loop_time, short_waits_do_not_sleep)
{
    struct loop *loop = loop_told();
    gap_us = SPIN_US / 2;
    passes(loop, 10);
    passes(loop, 1000);
    cr_expect(sleeps == 0, "%d", sleeps);
    cr_expect(yields >= 900, "%d", yields); /* but for sweeps */
    loop_close(loop);
}

Test(loop_time, long_waits_sleep_at_once)
{
    struct loop *loop = loop_told();
    gap_us = SPIN_US * 4;
    passes(loop, 10);
    passes(loop, 1000);
    cr_expect(yields == 0, "%d", yields);
    cr_expect(sleeps >= 500, "%d", sleeps);
    loop_close(loop);
}

Test(loop_time, behind_short_waits_a_long_one_spins_once)
{
    struct loop *loop = loop_told();
    gap_us = SPIN_US / 2;
    passes(loop, 10);
    gap_us = 10000;
    passes(loop, 100);
    /* one more short wait, and the first long one: a poll takes a microsecond here */
    cr_expect(yields > SPIN_US / 2 && yields < 2 * SPIN_US, "%d", yields);
    cr_expect(sleeps > 0);
    loop_close(loop);
}

Test(loop_time, where_others_need_the_processor_there_is_no_spinning)
{
    struct loop *loop = loop_told();
    gap_us = SPIN_US / 2;
    passes(loop, 10);
    yield_us = 2 * SPIN_YIELD_MOST_US;
    gap_us = SPIN_US + 1; /* the first wait gives the processor away */
    passes(loop, 2);
    gap_us = SPIN_US / 2;
    passes(loop, 100);
    int64_t rest_us = now_us;
    cr_expect(yields == 0, "%d", yields);
    cr_expect(sleeps > 0);
    yield_us = 0;
    while (yields == 0 && now_us < rest_us + 2 * SPIN_REST_US)
        passes(loop, 100);
    cr_expect(now_us > rest_us + SPIN_REST_US / 2);
    cr_expect(yields > 0);
    loop_close(loop);
}

static void nothing(struct loop_watch *watch, short revents)
{
    (void)watch;
    (void)revents;
}

static struct loop_watch quiet = {.fd = 0, .ready = nothing};

/* A loop with a descriptor that has become quiet. */
static struct loop *loop_with_quiet(void)
{
    struct loop *loop = loop_told();
    told = true;
    cr_assert_eq(loop_add(loop, &quiet, POLLIN), 0);
    told = false;
    gap_us = SPIN_US / 2;
    int64_t end_us = now_us + 2 * LOOP_QUIET_MS * 1000;
    while (now_us < end_us)
        passes(loop, 100);
    swept_us = sweep_gap_us = sweeps_us = 0;
    return loop;
}

Test(loop_time, a_sweep_that_lost_its_processor_does_not_put_off_the_next_one)
{
    struct loop *loop = loop_with_quiet();
    stall_us = 10000;
    passes(loop, 1000);
    cr_expect(stall_us == 0);
    cr_expect(sweep_gap_us > 0 && sweep_gap_us < 2 * LOOP_SWEEP_LEAST_US, "%ld us", (long)sweep_gap_us);
    loop_remove(loop, &quiet);
    loop_close(loop);
}

enum { A = 1000, B = 1001 }; /* descriptors that only the told poll knows */

static void turn_pass_on(struct loop_watch *watch, short revents)
{
    (void)revents;
    turns++;
    turn_fd = watch->fd == A ? B : A;
}

Test(loop_time, two_that_take_turns_do_not_wait_for_a_sweep_each_time_however_rare_sweeps_are)
{
    struct loop_watch pair[] = {{.fd = A, .ready = turn_pass_on}, {.fd = B, .ready = turn_pass_on}};
    struct loop *loop = loop_with_quiet();
    told = true;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(loop_add(loop, &pair[i], POLLIN), 0);
    told = false;
    all = 4;
    sweep_cost_us = 2 * LOOP_QUIET_MS * 1000 / LOOP_SWEEP_SHARE;
    for (int64_t end_us = now_us + 4 * sweep_cost_us * LOOP_SWEEP_SHARE; now_us < end_us;)
        passes(loop, 100); /* both become quiet while there is other work */
    ready_us = INT64_MAX;
    turn_fd = A;
    for (int64_t end_us = now_us + 10 * sweep_cost_us * LOOP_SWEEP_SHARE; now_us < end_us && turns < 1000;)
        passes(loop, 10);
    cr_expect(turns >= 1000, "%d turns", turns);
    for (int i = 0; i < 2; i++)
        loop_remove(loop, &pair[i]);
    loop_remove(loop, &quiet);
    loop_close(loop);
}

Test(loop_time, sweeps_take_their_share_and_no_more)
{
    static const int64_t gaps_us[] = {SPIN_US / 2, SPIN_US * 4, 2000, 4000, 6000, 8000, 10000, 30000};
    for (size_t i = 0; i < sizeof gaps_us / sizeof *gaps_us; i++) {
        struct loop *loop = loop_with_quiet();
        sweep_cost_us = 500;
        gap_us = gaps_us[i];
        int64_t began_us = now_us;
        while (now_us < began_us + 10000000)
            passes(loop, 100);
        cr_expect(sweeps_us > 0 && sweeps_us * (LOOP_SWEEP_SHARE - 1) < now_us - began_us,
                  "every %ld us: %ld us of %ld", (long)gap_us, (long)sweeps_us, (long)(now_us - began_us));
        sweep_cost_us = 0;
        loop_remove(loop, &quiet);
        loop_close(loop);
    }
}
