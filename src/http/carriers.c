/* One word tells what there is to do: which round it is, how many items it has, and which comes next. Whoever
 * adds one to it has taken an item, of that very round; and a round is over only when all that were taken are
 * done, so what is known of a round stands still for who has taken an item of it. */
#include "http/carriers.h"
#include "clock.h"
#include "spin.h"
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    ALONE_MOST = 3,         /* so few items are done sooner than told of */
    ITEMS_A_THREAD = 4,     /* a thread that sleeps is woken for so many */
    TRY_ITEMS = 2048,       /* done each way, to see which is quicker: see struct plan */
    KEEP_LEAST_US = 500000, /* then that way is kept for so long, at least and */
    KEEP_MOST_US = 2000000  /* at most */
};

/* Bits of the word. */
enum {
    NEXT_BITS = 16,
    COUNT_BITS = 16,
    NEXT_MASK = (1 << NEXT_BITS) - 1,
    COUNT_MASK = (1 << COUNT_BITS) - 1
};
static_assert(CARRIERS_ITEMS_MAX + CARRIERS_MAX < NEXT_MASK, "the next item never reaches into the count");

/* Where there are not processors enough for all who want one, threads beside the loop's hold it up. So now
 * and then both ways are tried, and the quicker one is kept: for twice as long each time when it is the same
 * again. */
struct plan {
    enum { TRY_TOGETHER, TRY_ALONE, KEEP } phase;
    struct trial {
        size_t items;
        int64_t us; /* that they took */
    } together, alone;
    bool pays; /* KEEP: together is the way */
    int64_t keep_us;
    int64_t keep_until_us;
};

/* What many threads write has a line of the processors' caches to itself. */
struct shared {
    _Atomic uint64_t value;
    char rest[64 - sizeof(uint64_t)];
};

struct carriers {
    struct shared word;
    struct shared done; /* items of this round */
    void (*work)(void *ctx, size_t item);
    void *ctx;
    uint32_t round;
    struct plan plan;

    pthread_mutex_t mutex;
    pthread_cond_t called; /* there are items, or it closes */
    atomic_uint asleep;    /* threads */
    atomic_bool closing;
    unsigned threads;
    pthread_t thread[CARRIERS_MAX];
};

static bool word_has_items(uint64_t word)
{
    return (word & NEXT_MASK) < (word >> NEXT_BITS & COUNT_MASK);
}

/* Does items until none is left that nobody has taken. */
static void items_do(struct carriers *carriers)
{
    while (word_has_items(atomic_load(&carriers->word.value))) {
        uint64_t word = atomic_fetch_add(&carriers->word.value, 1);
        if (!word_has_items(word))
            return;
        carriers->work(carriers->ctx, word & NEXT_MASK);
        atomic_fetch_add(&carriers->done.value, 1);
    }
}

/* ---- the threads */

static bool is_called(struct carriers *carriers)
{
    return word_has_items(atomic_load(&carriers->word.value)) || atomic_load(&carriers->closing);
}

static void call_await(struct carriers *carriers, struct spin *spin)
{
    if (spin_begin(spin, clock_us()))
        while (!is_called(carriers) && spin_goes_on(spin))
            continue;
    if (!is_called(carriers)) {
        pthread_mutex_lock(&carriers->mutex);
        atomic_fetch_add(&carriers->asleep, 1);
        while (!is_called(carriers))
            pthread_cond_wait(&carriers->called, &carriers->mutex);
        atomic_fetch_sub(&carriers->asleep, 1);
        pthread_mutex_unlock(&carriers->mutex);
    }
    spin_end(spin, true, clock_us());
}

static void *carrier_thread(void *arg)
{
    struct carriers *carriers = arg;
    struct spin spin = {0};
    while (!atomic_load(&carriers->closing)) {
        items_do(carriers);
        call_await(carriers, &spin);
    }
    return NULL;
}

/* Sees to it that so many threads are awake. */
static void threads_wake(struct carriers *carriers, size_t wanted)
{
    unsigned asleep = atomic_load(&carriers->asleep);
    if (!asleep)
        return;
    pthread_mutex_lock(&carriers->mutex);
    for (unsigned awake = carriers->threads - asleep; awake < carriers->threads && awake < wanted; awake++)
        pthread_cond_signal(&carriers->called);
    pthread_mutex_unlock(&carriers->mutex);
}

/* ---- the loop's */

/* Whether the next items are done together. */
static bool plan_is_together(struct plan *plan, int64_t now_us)
{
    if (plan->phase == KEEP && now_us >= plan->keep_until_us) {
        plan->phase = TRY_TOGETHER;
        plan->together = plan->alone = (struct trial){0};
    }
    return plan->phase == KEEP ? plan->pays : plan->phase == TRY_TOGETHER;
}

/* Both ways were tried. Together must save a fifth: it takes processors that others may have use for. */
static void plan_decide(struct plan *plan, int64_t now_us)
{
    double together_us = (double)plan->together.us / (double)plan->together.items;
    double alone_us = (double)plan->alone.us / (double)plan->alone.items;
    bool pays = together_us < 0.8 * alone_us;
    int64_t keep_us = pays == plan->pays ? 2 * plan->keep_us : 0;
    plan->keep_us = keep_us < KEEP_LEAST_US ? KEEP_LEAST_US : keep_us > KEEP_MOST_US ? KEEP_MOST_US : keep_us;
    plan->keep_until_us = now_us + plan->keep_us;
    plan->pays = pays;
    plan->phase = KEEP;
}

/* So many items were done since began_us, in the way that the plan said. */
static void plan_learn(struct plan *plan, size_t count, int64_t began_us)
{
    if (plan->phase == KEEP)
        return;
    int64_t now_us = clock_us();
    struct trial *trial = plan->phase == TRY_TOGETHER ? &plan->together : &plan->alone;
    trial->items += count;
    trial->us += now_us - began_us;
    if (trial->items < TRY_ITEMS)
        return;
    if (plan->phase == TRY_TOGETHER)
        plan->phase = TRY_ALONE;
    else
        plan_decide(plan, now_us);
}

static void alone_do(size_t count, void (*work)(void *ctx, size_t item), void *ctx)
{
    for (size_t i = 0; i < count; i++)
        work(ctx, i);
}

static void together_do(struct carriers *carriers, size_t count, void (*work)(void *ctx, size_t item),
                        void *ctx)
{
    carriers->work = work;
    carriers->ctx = ctx;
    atomic_store(&carriers->done.value, 0);
    uint64_t round = ++carriers->round;
    atomic_store(&carriers->word.value, round << (NEXT_BITS + COUNT_BITS) | (uint64_t)count << NEXT_BITS);
    threads_wake(carriers, count / ITEMS_A_THREAD);
    items_do(carriers);
    while (atomic_load(&carriers->done.value) < count) /* what others have begun */
        sched_yield();
}

void carriers_do(struct carriers *carriers, size_t count, void (*work)(void *ctx, size_t item), void *ctx)
{
    assert(count <= CARRIERS_ITEMS_MAX);
    if (!carriers || count <= ALONE_MOST) {
        alone_do(count, work, ctx);
        return;
    }
    int64_t began_us = clock_us();
    if (plan_is_together(&carriers->plan, began_us))
        together_do(carriers, count, work, ctx);
    else
        alone_do(count, work, ctx);
    plan_learn(&carriers->plan, count, began_us);
}

/* ---- life */

struct carriers *carriers_open(unsigned threads)
{
    struct carriers *carriers = calloc(1, sizeof *carriers);
    if (!carriers)
        return NULL;
    pthread_mutex_init(&carriers->mutex, NULL);
    pthread_cond_init(&carriers->called, NULL);
    for (; carriers->threads < threads && carriers->threads < CARRIERS_MAX; carriers->threads++)
        if (pthread_create(&carriers->thread[carriers->threads], NULL, carrier_thread, carriers) != 0) {
            carriers_close(carriers);
            return NULL;
        }
    return carriers;
}

void carriers_close(struct carriers *carriers)
{
    if (!carriers)
        return;
    pthread_mutex_lock(&carriers->mutex);
    atomic_store(&carriers->closing, true);
    pthread_cond_broadcast(&carriers->called);
    pthread_mutex_unlock(&carriers->mutex);
    for (unsigned i = 0; i < carriers->threads; i++)
        pthread_join(carriers->thread[i], NULL);
    pthread_mutex_destroy(&carriers->mutex);
    pthread_cond_destroy(&carriers->called);
    free(carriers);
}
