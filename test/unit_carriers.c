/* Items dealt out among threads: each is done once, whoever is there to do it. */
#include "clock.h"
#include "http/carriers.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4 };

static struct carriers *carriers;
static pthread_t owner;
static atomic_uint times[CARRIERS_ITEMS_MAX];
static atomic_uint others; /* items that another thread did */

TestSuite(carriers, .timeout = 60);

static void start(unsigned threads)
{
    owner = pthread_self();
    carriers = threads ? carriers_open(threads) : NULL;
    cr_assert(!carriers == !threads);
}

static void count_item(void *ctx, size_t item)
{
    atomic_fetch_add(&((atomic_uint *)ctx)[item], 1);
    if (!pthread_equal(pthread_self(), owner))
        atomic_fetch_add(&others, 1);
}

/* Does so many items, and asserts that each was done once when that returns. */
static void round_do(size_t count)
{
    carriers_do(carriers, count, count_item, times);
    for (size_t i = 0; i < CARRIERS_ITEMS_MAX; i++) {
        unsigned want = i < count;
        cr_assert_eq(atomic_exchange(&times[i], 0), want, "item %zu of %zu", i, count);
    }
}

Test(carriers, each_item_of_each_round_is_done_once_before_the_round_ends)
{
    start(THREADS);
    for (size_t i = 0; i < 20000; i++)
        round_do(i * 7 % 67);
    round_do(CARRIERS_ITEMS_MAX);
    carriers_close(carriers);
}

Test(carriers, without_threads_the_loop_does_all)
{
    start(0);
    for (size_t count = 0; count < 40; count++)
        round_do(count);
    cr_expect_eq(atomic_load(&others), 0);
    carriers_close(carriers);
}

Test(carriers, few_items_are_done_by_the_loop_alone)
{
    start(THREADS);
    for (size_t i = 0; i < 2000; i++)
        round_do(i % 4);
    cr_expect_eq(atomic_load(&others), 0);
    carriers_close(carriers);
}

static atomic_bool first_is_taken, loops_done;

/* The first item that another thread takes waits until the loop's thread has done some. */
static void hold_item(void *ctx, size_t item)
{
    (void)ctx;
    atomic_fetch_add(&times[item], 1);
    if (pthread_equal(pthread_self(), owner)) {
        if (!atomic_load(&first_is_taken))
            usleep(1000); /* so that the others come to it */
        return;
    }
    if (atomic_exchange(&first_is_taken, true))
        return;
    while (!atomic_load(&loops_done))
        usleep(1000);
    atomic_fetch_add(&others, 1);
}

static void *let_go(void *arg)
{
    usleep(50000);
    atomic_store(&loops_done, true);
    return arg;
}

Test(carriers, a_thread_that_is_held_up_holds_its_own_item_alone_and_the_round_waits_for_it)
{
    start(THREADS);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, let_go, NULL), 0);
    for (int i = 0; i < 1000 && !atomic_load(&first_is_taken); i++) {
        carriers_do(carriers, 200, hold_item, NULL);
        for (size_t item = 0; item < 200; item++)
            cr_assert_eq(atomic_exchange(&times[item], 0), 1U);
    }
    cr_assert(atomic_load(&first_is_taken));
    cr_expect_eq(atomic_load(&others), 1, "the round ended before its last item");
    pthread_join(thread, NULL);
    carriers_close(carriers);
}

Test(carriers, threads_that_slept_are_woken)
{
    start(THREADS);
    for (int i = 0; i < 100 && atomic_load(&others) == 0; i++) {
        usleep(20000); /* behind any spin */
        for (int round = 0; round < 100; round++)
            round_do(CARRIERS_ITEMS_MAX);
    }
    cr_expect(atomic_load(&others) > 0);
    carriers_close(carriers);
}

/* Another thread loses its processor, as it were. */
static void lose_item(void *ctx, size_t item)
{
    count_item(ctx, item);
    if (!pthread_equal(pthread_self(), owner))
        usleep(5000);
}

Test(carriers, where_processors_are_few_the_loop_goes_on_alone_for_a_while)
{
    start(1);
    for (int i = 0; i < 1000; i++)
        carriers_do(carriers, 100, lose_item, times);
    cr_expect(atomic_load(&others) < 200, "%u", atomic_load(&others)); /* each would have held up a round */
    carriers_close(carriers);
}

/* As long on any number of processors, and on several threads at a time. */
static void sleep_item(void *ctx, size_t item)
{
    count_item(ctx, item);
    usleep(20);
}

Test(carriers, where_they_help_they_go_on_helping)
{
    start(THREADS);
    for (int i = 0; i < 100; i++)
        carriers_do(carriers, 100, sleep_item, times);
    unsigned tried = atomic_load(&others);
    for (int i = 0; i < 100; i++)
        carriers_do(carriers, 100, sleep_item, times);
    cr_expect(atomic_load(&others) - tried > 5000, "%u of 10000 items", atomic_load(&others) - tried);
    carriers_close(carriers);
}

Test(carriers, may_be_closed_at_once_and_asleep)
{
    start(THREADS);
    carriers_close(carriers);
    start(CARRIERS_MAX);
    usleep(20000);
    carriers_close(carriers);
}
