#include "http/loop.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static bool running;
static int passes_left;
static int64_t pass_due_ms; /* what the pass returns: 0 for at once */

static int64_t pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    (void)now_ms;
    running = --passes_left > 0;
    return pass_due_ms;
}

static void run(int passes)
{
    passes_left = passes;
    running = true;
    loop_run(loop, &running);
}

static void start(void)
{
    loop = loop_open(pass, NULL);
    run(1);
}

static void stop(void)
{
    loop_close(loop);
}

TestSuite(loop, .init = start, .fini = stop, .timeout = 60);

/* A watched end of a socket pair. */
struct end {
    struct loop_watch watch;
    int other;
    int readies;
    short revents; /* of the last time */
    int expiries;
    void (*then)(struct end *end); /* called at each event, too */
};

static void end_ready(struct loop_watch *watch, short revents)
{
    struct end *end = (struct end *)watch;
    end->readies++;
    end->revents = revents;
    if (end->then)
        end->then(end);
}

static void end_expired(struct loop_watch *watch)
{
    struct end *end = (struct end *)watch;
    end->expiries++;
    if (end->then)
        end->then(end);
}

static void end_open(struct end *end, short events)
{
    int fds[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    *end = (struct end){.watch = {.fd = fds[0], .ready = end_ready, .expired = end_expired}, .other = fds[1]};
    cr_assert(loop_add(loop, &end->watch, events) == 0);
}

static void end_remove(struct end *end)
{
    loop_remove(loop, &end->watch);
    close(end->watch.fd);
    close(end->other);
}

static void end_poke(const struct end *end)
{
    cr_assert(write(end->other, "x", 1) == 1);
}

static void end_drain(struct end *end)
{
    char bytes[64];
    while (read(end->watch.fd, bytes, sizeof bytes) > 0)
        continue;
}

/* Passes until the condition holds, for 20 s at most. */
#define passes_until(condition)                                                                              \
    do {                                                                                                     \
        int64_t passes_end = clock_ms() + 20000;                                                             \
        while (!(condition) && clock_ms() < passes_end)                                                      \
            run(1);                                                                                          \
        cr_expect(condition);                                                                                \
    } while (0)

static void let_be_quiet(void)
{
    int64_t until = clock_ms() + LOOP_QUIET_MS + 20;
    while (clock_ms() < until)
        run(1);
}

/* ---- events */

Test(loop, what_is_ready_is_called)
{
    struct end a, b;
    end_open(&a, POLLIN);
    end_open(&b, POLLIN);
    end_poke(&a);
    run(1);
    cr_expect(a.readies == 1 && a.revents == POLLIN && b.readies == 0);
    end_remove(&a);
    end_remove(&b);
}

Test(loop, only_wanted_events_are_told)
{
    struct end a;
    end_open(&a, 0);
    end_poke(&a);
    run(3);
    cr_expect(a.readies == 0);
    loop_want(loop, &a.watch, POLLOUT);
    run(1);
    cr_expect(a.readies == 1 && a.revents == POLLOUT);
    loop_want(loop, &a.watch, POLLIN | POLLOUT);
    run(1);
    cr_expect(a.revents == (POLLIN | POLLOUT));
    end_remove(&a);
}

Test(loop, the_end_of_the_other_side_is_told_to_who_wants_nothing)
{
    struct end a;
    end_open(&a, 0);
    close(a.other);
    run(1);
    cr_expect(a.readies == 1 && a.revents & POLLHUP);
    end_remove(&a);
}

static struct end *victim;

static void remove_victim(struct end *end)
{
    (void)end;
    if (victim)
        loop_remove(loop, &victim->watch);
    victim = NULL;
}

Test(loop, a_watch_removed_in_a_call_is_not_called_any_more)
{
    struct end a, b;
    end_open(&a, POLLIN);
    end_open(&b, POLLIN);
    for (int i = 0; i < 2; i++) {
        struct end *first = i ? &b : &a;
        struct end *second = i ? &a : &b;
        first->then = remove_victim;
        second->then = NULL;
        victim = second;
        first->readies = second->readies = 0;
        end_poke(&a);
        end_poke(&b);
        run(1);
        cr_expect(first->readies == 1);
        cr_expect(second->readies == (i ? 1 : 0)); /* a comes first, and is called before b removes it */
        end_drain(&a);
        end_drain(&b);
        cr_assert(loop_add(loop, &second->watch, POLLIN) == 0);
    }
    end_remove(&a);
    end_remove(&b);
}

static void remove_itself(struct end *end)
{
    loop_remove(loop, &end->watch);
}

Test(loop, a_watch_may_remove_itself)
{
    struct end a, b;
    end_open(&a, POLLIN);
    end_open(&b, POLLIN);
    a.then = remove_itself;
    end_poke(&a);
    end_poke(&b);
    run(3);
    cr_expect(a.readies == 1 && b.readies == 3);
    close(a.watch.fd);
    close(a.other);
    end_remove(&b);
}

static struct end newcomer;

static void open_newcomer(struct end *end)
{
    end->then = NULL;
    end_drain(end);
    end_open(&newcomer, POLLIN);
    end_poke(&newcomer);
}

Test(loop, a_watch_added_in_a_call_is_called_in_the_next_pass)
{
    struct end a;
    end_open(&a, POLLIN);
    a.then = open_newcomer;
    end_poke(&a);
    run(1);
    cr_expect(newcomer.readies == 0);
    run(1);
    cr_expect(newcomer.readies == 1);
    end_remove(&a);
    end_remove(&newcomer);
}

/* ---- quiet and busy */

Test(loop, a_quiet_watch_is_found_while_others_are_busy)
{
    struct end quiet, busy;
    end_open(&quiet, POLLIN);
    end_open(&busy, POLLIN);
    end_poke(&busy);
    let_be_quiet();
    end_poke(&quiet);
    passes_until(quiet.readies > 0);
    cr_expect(busy.readies > 0);
    end_remove(&quiet);
    end_remove(&busy);
}

Test(loop, a_quiet_watch_wakes_a_loop_that_sleeps)
{
    struct end quiet;
    end_open(&quiet, POLLIN);
    let_be_quiet();
    end_poke(&quiet);
    pass_due_ms = CLOCK_NEVER;
    passes_until(quiet.readies > 0);
    end_remove(&quiet);
}

Test(loop, removing_leaves_every_other_watch_where_it_is_looked_for)
{
    enum { COUNT = 40 };
    static struct end ends[COUNT];
    bool there[COUNT];
    unsigned seed = 1;
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < COUNT; i++) {
            end_open(&ends[i], POLLIN);
            there[i] = true;
        }
        if (round % 3)
            let_be_quiet();
        for (int i = 0; i < COUNT; i++) /* some are busy, some quiet */
            if (round % 3 == 1 && rand_r(&seed) % 2) {
                end_poke(&ends[i]);
                passes_until(ends[i].readies > 0);
                end_drain(&ends[i]);
            }
        for (int i = 0; i < COUNT / 2; i++) {
            int gone = (int)((unsigned)rand_r(&seed) % COUNT);
            if (there[gone])
                end_remove(&ends[gone]);
            there[gone] = false;
        }
        for (int i = 0; i < COUNT; i++) {
            ends[i].readies = 0;
            if (!there[i])
                continue;
            loop_want(loop, &ends[i].watch, 0);
            end_poke(&ends[i]);
        }
        for (int i = 0; i < COUNT; i++)
            if (there[i]) {
                loop_want(loop, &ends[i].watch, POLLIN);
                passes_until(ends[i].readies > 0);
                end_remove(&ends[i]);
            }
    }
}

/* ---- deadlines */

Test(loop, a_deadline_is_met_once)
{
    struct end a;
    int64_t due_ms = clock_ms() + 50;
    end_open(&a, POLLIN);
    loop_deadline(loop, &a.watch, due_ms);
    pass_due_ms = CLOCK_NEVER;
    passes_until(a.expiries == 1);
    cr_expect(clock_ms() >= due_ms);
    pass_due_ms = 0;
    let_be_quiet();
    cr_expect(a.expiries == 1);
    end_remove(&a);
}

Test(loop, a_deadline_may_be_moved_and_called_off)
{
    struct end a, b;
    int64_t start_ms = clock_ms();
    end_open(&a, POLLIN);
    end_open(&b, POLLIN);
    loop_deadline(loop, &a.watch, start_ms + 10);
    loop_deadline(loop, &b.watch, start_ms + 10);
    loop_deadline(loop, &a.watch, start_ms + 400);
    loop_deadline(loop, &b.watch, CLOCK_NEVER);
    passes_until(a.expiries == 1);
    cr_expect(clock_ms() >= start_ms + 400);
    cr_expect(b.expiries == 0);
    end_remove(&a);
    end_remove(&b);
}

static void again(struct end *end)
{
    loop_deadline(loop, &end->watch, loop_now_ms(loop) + 1);
}

Test(loop, a_deadline_may_be_set_anew_when_it_is_met)
{
    struct end a;
    end_open(&a, POLLIN);
    a.then = again;
    loop_deadline(loop, &a.watch, clock_ms() + 1);
    passes_until(a.expiries >= 3);
    end_remove(&a);
}

Test(loop, every_deadline_is_met_although_watches_go_with_theirs)
{
    enum { COUNT = 200 };
    static struct end ends[COUNT];
    unsigned seed = 2;
    int met = 0;
    for (int i = 0; i < COUNT; i++) {
        end_open(&ends[i], POLLIN);
        ends[i].then = remove_itself;
        loop_deadline(loop, &ends[i].watch, clock_ms() + rand_r(&seed) % 300);
    }
    for (int64_t until_ms = clock_ms() + 20000; met < COUNT && clock_ms() < until_ms;) {
        run(1);
        met = 0;
        for (int i = 0; i < COUNT; i++)
            met += ends[i].expiries;
    }
    for (int i = 0; i < COUNT; i++) {
        close(ends[i].watch.fd);
        close(ends[i].other);
    }
    cr_expect(met == COUNT, "%d", met);
}

/* ---- waking */

static void *wake_later(void *arg)
{
    usleep(100000);
    loop_wake(arg);
    return NULL;
}

Test(loop, another_thread_wakes_a_loop_that_sleeps)
{
    pthread_t thread;
    pass_due_ms = CLOCK_NEVER;
    run(1);
    cr_assert(pthread_create(&thread, NULL, wake_later, loop) == 0);
    run(2);
    pthread_join(thread, NULL);
}

static atomic_int wakes_done;

static void *wake_often(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        atomic_fetch_add(&wakes_done, 1);
        loop_wake(arg);
    }
    return NULL;
}

Test(loop, no_wake_is_lost)
{
    pthread_t threads[2];
    pass_due_ms = CLOCK_NEVER;
    for (int i = 0; i < 2; i++)
        cr_assert(pthread_create(&threads[i], NULL, wake_often, loop) == 0);
    while (atomic_load(&wakes_done) < 40000)
        run(1); /* sleeps until something is done that it has not seen */
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

Test(loop, a_pass_comes_when_it_is_due)
{
    int64_t start_ms = clock_ms();
    pass_due_ms = start_ms + 100;
    int passes = 0;
    while (clock_ms() < start_ms + 100) {
        run(1);
        passes++;
    }
    cr_expect(clock_ms() < start_ms + 20000);
    cr_expect(passes < 10, "%d", passes); /* the loop slept */
}

/* ---- where there is nothing left */

Test(loop, without_descriptors_there_is_no_loop)
{
    struct rlimit limit;
    cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const struct rlimit none = {0, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    struct loop *other = loop_open(pass, NULL);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_expect(other == NULL);
}
