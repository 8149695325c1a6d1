/* The poll loop: watches descriptors and calls one function for each that is ready. It knows descriptors,
 * wanted events and deadlines, and no protocol.
 *
 * poll(2) walks every descriptor that it is given, so those that are quiet must not be in the set of each
 * call. The set is one array in two parts: the busy descriptors first, the quiet ones behind. While there is
 * work, only the busy part is polled; all of it is swept now and then, at intervals of LOOP_SWEEP_SHARE times
 * what the last two sweeps took that did not wait, the shorter of them, so that sweeps cost a fixed small
 * share of the time however many quiet descriptors there are, and few of them are swept often. (Of two,
 * because one during which the thread had lost its processor would let the quiet ones wait 50 times as long
 * as it had.) When there is no work the loop sleeps on the whole array. A descriptor becomes quiet after
 * LOOP_QUIET_MS without an event, or after twice the time between two sweeps where that is longer, and busy
 * again with its next one.
 *
 * To fall asleep and be woken takes longer than the answer of a peer may take. So behind a wait for the busy
 * part that ended within LOOP_SPIN_US the next one spins: it polls again and again, and yields the processor
 * each time. Where LOOP_SPIN_US bring nothing it sleeps, and the next wait sleeps at once: of a burst of
 * events only the wait behind the last one spins for nothing. One who yields gets the processor back later
 * than one who is woken, where others use all of it; so then the loop leaves spinning for a while.
 *
 * One thread runs the loop and calls everything here but loop_wake, which any thread may call. */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include "clock.h"
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    LOOP_QUIET_MS = 100,        /* without an event for so long: quiet, at the earliest */
    LOOP_SWEEP_LEAST_US = 1000, /* the shortest time between two sweeps while there is work */
    LOOP_SWEEP_SHARE = 50,      /* one part in 50 of the time goes to sweeps at most */
    LOOP_SPIN_US = 50,          /* a wait that may be as short does not sleep at first */
    LOOP_YIELD_MOST_US = 1000,  /* a spin that takes longer: others need the processor, ... */
    LOOP_SPIN_REST_US = 100000, /* ... and nothing spins for so long */
    LOOP_EXPIRY_MS = 100 /* deadlines are looked at this often at most; they are met this late at most */
};

struct loop;

/* A watched descriptor; lies inside its owner's struct, which must not move while it is added. */
struct loop_watch {
    int fd;
    void (*ready)(struct loop_watch *watch, short revents);
    void (*expired)(
        struct loop_watch *watch); /* called once when the deadline is over; the deadline is gone then */

    int64_t deadline_ms; /* private, as is all below: use the functions */
    int64_t active_ms;
    size_t slot;
    size_t ready_slot;
};

/* `pass` is called at the end of each pass, after the ready descriptors, with the time; it returns when it
 * must be called again at the latest, or CLOCK_NEVER. NULL where there is no memory or no descriptor (errno
 * tells). */
struct loop *loop_open(int64_t (*pass)(void *ctx, int64_t now_ms), void *ctx);

/* All watches must have been removed. */
void loop_close(struct loop *loop);

/* Starts to watch watch->fd for poll(2) events, without a deadline. Returns 0 or -ENOMEM. */
int loop_add(struct loop *loop, struct loop_watch *watch, short events);

/* Safe at any time, also from call-backs, for this watch or another. */
void loop_remove(struct loop *loop, struct loop_watch *watch);

void loop_want(struct loop *loop, struct loop_watch *watch, short events);

/* Replaces the watch's deadline; CLOCK_NEVER for none. */
void loop_deadline(struct loop *loop, struct loop_watch *watch, int64_t deadline_ms);

/* The time when the present pass began. */
int64_t loop_now_ms(const struct loop *loop);

/* Makes a pass happen soon, now sleeping or not. Any thread. */
void loop_wake(struct loop *loop);

/* Passes until *running is false. */
void loop_run(struct loop *loop, const bool *running);

#endif
