/* Monotonic time (CLOCK_MONOTONIC). Every deadline in the program is a point on this clock, so that a
 * change of the wall clock moves none of them. All functions may be called from any thread. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

/* A deadline that never comes. */
#define CLOCK_NEVER INT64_MAX

/* Ten years: the longest time that anyone may set, which is for ever, and far from the end of any clock. */
#define CLOCK_LONGEST_S 315360000

/* What a clock of the system tells, in microseconds. */
static inline int64_t clock_read_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Microseconds since an arbitrary start. */
int64_t clock_us(void);

/* Milliseconds since the same start. */
int64_t clock_ms(void);

/* For how long the machine was suspended since it was booted; the clock above stands still then. */
int64_t clock_suspended_ms(void);

/* now_ms + after_ms, or CLOCK_NEVER where that is past the end of the clock. after_ms is not negative. */
int64_t clock_after(int64_t now_ms, int64_t after_ms);

/* The earlier of two times. */
static inline int64_t clock_earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* The time-out that poll(2) takes to wait from now_ms until deadline_ms: 0 where it is over, -1 for
 * CLOCK_NEVER, and never more than INT_MAX. */
int clock_poll_timeout(int64_t now_ms, int64_t deadline_ms);

#endif
