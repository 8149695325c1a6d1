/* A pass: poll the busy part or all, make the ready watches busy, call them, meet deadlines, call `pass`.
 *
 * A call-back may remove any watch, and so move others in the array. What moves to the place of the one that
 * is called is looked at next; what moves to a place before that is still ready in the next pass. */
#include "http/loop.h"
#include "spin.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct loop_watch wake; /* first, so that its watch is its loop */
    int64_t (*pass)(void *ctx, int64_t now_ms);
    void *ctx;

    /* Slots 0 to busy - 1 are the busy watches, those up to count - 1 the quiet ones. Both arrays have `cap`.
     */
    struct pollfd *polled;
    struct loop_watch **watches;
    size_t busy;
    size_t count;
    size_t cap;

    int64_t now_ms;
    int64_t pass_ms;      /* when `pass` wants to be called */
    int64_t expiry_ms;    /* when to look at deadlines next */
    int64_t sweep_us;     /* when to poll the whole array next */
    int64_t swept_us;     /* what the last sweep took that did not wait */
    int64_t sweep_end_us; /* when the last sweep was over */
    bool worked;          /* some descriptor was ready since the last sweep */
    struct spin spin;     /* before it sleeps on the busy part */

    struct histogram *passes; /* see loop_measure; NULL: nobody asks */
    int64_t woke_us;          /* when the last wait was over; 0: none was */

    atomic_bool woken; /* a byte for `wake` is on its way */
};

static void wake_ready(struct loop_watch *watch, short revents)
{
    struct loop *loop = (struct loop *)watch;
    uint64_t count;
    (void)revents;
    while (read(watch->fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    atomic_store(&loop->woken, false);
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    if (atomic_exchange(&loop->woken, true))
        return;
    while (write(loop->wake.fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static bool loop_grow(struct loop *loop)
{
    size_t cap = loop->cap ? loop->cap * 2 : 64;
    struct pollfd *polled = realloc(loop->polled, cap * sizeof *polled);
    if (polled)
        loop->polled = polled;
    struct loop_watch **watches = realloc(loop->watches, cap * sizeof *watches);
    if (watches)
        loop->watches = watches;
    if (!polled || !watches)
        return false;
    loop->cap = cap;
    return true;
}

static void slot_move(struct loop *loop, size_t to, size_t from)
{
    if (to == from)
        return; /* what is left there may have moved elsewhere already */
    loop->polled[to] = loop->polled[from];
    loop->watches[to] = loop->watches[from];
    loop->watches[to]->slot = to;
}

static void slot_swap(struct loop *loop, size_t a, size_t b)
{
    struct pollfd polled = loop->polled[a];
    struct loop_watch *watch = loop->watches[a];
    slot_move(loop, a, b);
    loop->polled[b] = polled;
    loop->watches[b] = watch;
    watch->slot = b;
}

static void watch_make_busy(struct loop *loop, struct loop_watch *watch)
{
    if (watch->active_ms < loop->now_ms)
        watch->active_ms = loop->now_ms;
    if (watch->slot >= loop->busy)
        slot_swap(loop, watch->slot, loop->busy++);
}

struct loop *loop_open(int64_t (*pass)(void *ctx, int64_t now_ms), void *ctx)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->pass = pass;
    loop->ctx = ctx;
    loop->now_ms = clock_ms();
    loop->expiry_ms = CLOCK_NEVER;
    loop->wake = (struct loop_watch){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .ready = wake_ready};
    if (loop->wake.fd < 0 || loop_add(loop, &loop->wake, POLLIN) < 0) {
        loop_close(loop);
        return NULL;
    }
    loop->wake.active_ms = CLOCK_NEVER; /* never quiet: an answer must not wait for a sweep */
    return loop;
}

void loop_close(struct loop *loop)
{
    if (loop->wake.fd >= 0)
        close(loop->wake.fd);
    free(loop->polled);
    free(loop->watches);
    free(loop);
}

int loop_add(struct loop *loop, struct loop_watch *watch, short events)
{
    if (loop->count == loop->cap && !loop_grow(loop))
        return -ENOMEM;
    size_t slot = loop->count++;
    loop->polled[slot] = (struct pollfd){.fd = watch->fd, .events = events};
    loop->watches[slot] = watch;
    watch->slot = slot;
    watch->deadline_ms = CLOCK_NEVER;
    watch->active_ms = 0;
    watch_make_busy(loop, watch);
    return 0;
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
    size_t slot = watch->slot;
    if (slot < loop->busy) {
        slot_move(loop, slot, loop->busy - 1);
        slot = --loop->busy;
    }
    slot_move(loop, slot, loop->count - 1);
    loop->count--;
}

void loop_want(struct loop *loop, struct loop_watch *watch, short events)
{
    loop->polled[watch->slot].events = events;
}

void loop_deadline(struct loop *loop, struct loop_watch *watch, int64_t deadline_ms)
{
    watch->deadline_ms = deadline_ms;
    if (deadline_ms < loop->expiry_ms)
        loop->expiry_ms = deadline_ms;
}

void loop_measure(struct loop *loop, struct histogram *passes)
{
    loop->passes = passes;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

/* Makes those of the first `polled` watches busy that are ready. */
static void ready_make_busy(struct loop *loop, size_t polled, int ready)
{
    for (size_t i = 0; i < polled && ready > 0; i++) {
        if (!loop->polled[i].revents)
            continue;
        ready--;
        watch_make_busy(loop, loop->watches[i]);
    }
}

static void ready_call(struct loop *loop)
{
    for (size_t i = 0; i < loop->busy;) {
        struct loop_watch *watch = loop->watches[i];
        short revents = loop->polled[i].revents;
        loop->polled[i].revents = 0;
        if (revents)
            watch->ready(watch, revents);
        i += loop->watches[i] == watch;
    }
}

/* Moves watches without an event behind the busy ones, before a sweep. A watch stays busy for twice the time
 * between two sweeps: a client and the link that its answer waits for have events by turns, and each would
 * find the other one quiet otherwise. */
static void watches_make_quiet(struct loop *loop, int64_t now_us)
{
    int64_t quiet_ms = 2 * (now_us - loop->sweep_end_us) / 1000;
    if (quiet_ms < LOOP_QUIET_MS)
        quiet_ms = LOOP_QUIET_MS;
    for (size_t i = loop->busy; i-- > 0;)
        if (loop->watches[i]->active_ms < loop->now_ms - quiet_ms)
            slot_swap(loop, i, --loop->busy);
}

/* When something is due without any descriptor being ready. */
static int64_t loop_due_ms(const struct loop *loop)
{
    return clock_earlier(loop->pass_ms, loop->expiry_ms);
}

/* Polls everything: without waiting where there was work since the last time, else until something happens.
 */
static int sweep(struct loop *loop)
{
    int64_t start_us = clock_us();
    int timeout = loop->worked ? 0 : clock_poll_timeout(start_us / 1000, loop_due_ms(loop));
    watches_make_quiet(loop, start_us);
    int ready = poll(loop->polled, loop->count, timeout);
    int64_t end_us = clock_us();
    int64_t pause_us = LOOP_SWEEP_LEAST_US;
    if (timeout == 0) {
        int64_t took_us = end_us - start_us;
        int64_t share_us = (took_us < loop->swept_us ? took_us : loop->swept_us) * LOOP_SWEEP_SHARE;
        loop->swept_us = took_us;
        if (share_us > pause_us)
            pause_us = share_us;
    }
    loop->sweep_end_us = end_us;
    loop->sweep_us = end_us + pause_us;
    loop->worked = ready > 0;
    return ready;
}

/* Waits a short while without sleeping. */
static int poll_spin(struct loop *loop)
{
    int ready;
    do
        ready = poll(loop->polled, loop->busy, 0);
    while (ready == 0 && spin_goes_on(&loop->spin));
    return ready;
}

static int poll_busy(struct loop *loop, int64_t now_us)
{
    int64_t sweep_ms = (loop->sweep_us + 999) / 1000;
    int timeout = clock_poll_timeout(now_us / 1000, clock_earlier(sweep_ms, loop_due_ms(loop)));
    bool spins = spin_begin(&loop->spin, now_us) && timeout != 0;
    int ready = spins ? poll_spin(loop) : 0;
    if (ready == 0)
        ready = poll(loop->polled, loop->busy, timeout);
    loop->worked = loop->worked || ready > 0;
    return ready;
}

static void loop_poll(struct loop *loop)
{
    int64_t start_us = clock_us();
    if (loop->passes && loop->woke_us)
        histogram_observe(loop->passes, start_us - loop->woke_us);
    bool all = start_us >= loop->sweep_us;
    int ready = all ? sweep(loop) : poll_busy(loop, start_us);
    int64_t end_us = clock_us();
    if (!all)
        spin_end(&loop->spin, ready > 0, end_us);
    loop->woke_us = end_us;
    loop->now_ms = end_us / 1000;
    ready_make_busy(loop, all ? loop->count : loop->busy, ready);
}

static void deadlines_meet(struct loop *loop)
{
    loop->expiry_ms = CLOCK_NEVER; /* from here on call-backs may lower it again */
    int64_t earliest = CLOCK_NEVER;
    for (size_t i = loop->count; i-- > 0;) {
        if (i >= loop->count)
            continue; /* a call-back removed others */
        struct loop_watch *watch = loop->watches[i];
        if (watch->deadline_ms <= loop->now_ms) {
            watch->deadline_ms = CLOCK_NEVER;
            watch->expired(watch);
        } else if (watch->deadline_ms < earliest) {
            earliest = watch->deadline_ms;
        }
    }
    int64_t soonest = loop->now_ms + LOOP_EXPIRY_MS;
    if (earliest < loop->expiry_ms)
        loop->expiry_ms = earliest;
    if (loop->expiry_ms < soonest)
        loop->expiry_ms = soonest;
}

void loop_run(struct loop *loop, const bool *running)
{
    while (*running) {
        loop_poll(loop);
        ready_call(loop);
        if (loop->now_ms >= loop->expiry_ms)
            deadlines_meet(loop);
        loop->pass_ms = loop->pass(loop->ctx, loop->now_ms);
    }
}
