/* A clock that goes on as usual until a test holds it, and stands still from then on until the test moves it.
 * Include it in one file of a program. */
#ifndef TEST_HAND_CLOCK_H
#define TEST_HAND_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool hand_holds;
static int64_t hand_us;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!hand_holds)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){.tv_sec = hand_us / 1000000, .tv_nsec = hand_us % 1000000 * 1000};
    return 0;
}

static inline void clock_hold(void)
{
    hand_us = INT64_C(1700000000) * 1000000;
    hand_holds = true;
}

static inline void clock_move(int64_t ms)
{
    hand_us += ms * 1000;
}

#endif
