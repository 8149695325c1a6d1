/* The poll loop: watches descriptors and calls one function for each that is ready. It knows descriptors,
 * wanted events and deadlines, and no protocol.
 *
 * Quiet descriptors. poll(2) looks at every descriptor that it is given, so thousands of idle ones would make
 * each call slow. The loop's array has two parts: busy descriptors in front, quiet ones behind. While there
 * is work, the loop polls the front alone, and now and then the whole array: that is a sweep. The next sweep
 * comes after LOOP_SWEEP_SHARE times what a sweep takes, so sweeps cost one part in LOOP_SWEEP_SHARE of the
 * time at most. (Of the last two sweeps the shorter one counts: the thread may have lost its processor during
 * the other.) Without work the loop sleeps on the whole array. A descriptor becomes quiet after LOOP_QUIET_MS
 * without an event, or after twice the time between two sweeps where that is longer. Its next event makes it
 * busy.
 *
 * Spinning. Where waits for the busy part are short, the loop does not sleep at once: see spin.h.
 *
 * One thread runs the loop and calls everything here but loop_wake, which any thread may call. */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include "clock.h"
#include "histogram.h"
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    LOOP_QUIET_MS = 100,        /* without an event for so long: quiet, at the earliest */
    LOOP_SWEEP_LEAST_US = 1000, /* the shortest time between two sweeps while there is work */
    LOOP_SWEEP_SHARE = 50,      /* one part in 50 of the time goes to sweeps at most */
    LOOP_EXPIRY_MS = 100        /* deadlines are looked at so often, and met so late at most */
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

/* Counts from now on how long each pass takes, from its waking to the next wait. */
void loop_measure(struct loop *loop, struct histogram *passes);

/* Makes a pass happen soon, now sleeping or not. Any thread. */
void loop_wake(struct loop *loop);

/* Passes until *running is false. */
void loop_run(struct loop *loop, const bool *running);

#endif
