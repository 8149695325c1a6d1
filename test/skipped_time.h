/* A clock that goes on as usual, and jumps when a test adds to skipped_us. Include it in one file of a
 * program. */
#ifndef TEST_SKIPPED_TIME_H
#define TEST_SKIPPED_TIME_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t skipped_us;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, clock, now);
    int64_t us = now->tv_nsec / 1000 + skipped_us;
    now->tv_sec += us / 1000000;
    now->tv_nsec = us % 1000000 * 1000;
    return (int)result;
}

#endif
