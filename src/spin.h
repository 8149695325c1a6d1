/* Waiting for a short while without sleeping. To fall asleep and be woken takes 5 µs on some machines, and 50
 * or more on one whose processors are virtual and idle: longer than a peer's answer takes, and half of what a
 * disk's does.
 *
 * Behind a wait that was shorter than SPIN_US the next one is spun: who waits looks again and again, for
 * SPIN_US at most, and yields the processor each time; only then does it sleep. So a thread that is rarely
 * needed never spins. Where a spin takes more than SPIN_YIELD_MOST_US, other threads need the processor:
 * there is no spin for SPIN_REST_US then.
 *
 * One thread uses a struct spin; all zeros is a new one. */
#ifndef SPIN_H
#define SPIN_H

#include <stdbool.h>
#include <stdint.h>

enum { SPIN_US = 400, SPIN_YIELD_MOST_US = 1000, SPIN_REST_US = 100000 };

struct spin {
    bool pays; /* private, as is all: the last wait was short */
    int64_t begun_us;
    int64_t rest_until_us;
};

/* A wait begins. Returns whether to look again and again before sleeping. */
bool spin_begin(struct spin *spin, int64_t now_us);

/* Nothing came yet: yields the processor. Returns whether to look again; where not, it is time to sleep. */
bool spin_goes_on(struct spin *spin);

/* The wait is over; `came`: what was waited for did. */
void spin_end(struct spin *spin, bool came, int64_t now_us);

#endif
