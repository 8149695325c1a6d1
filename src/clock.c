#include "clock.h"
#include <limits.h>

int64_t clock_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

int64_t clock_suspended_ms(void)
{
    return (clock_read_us(CLOCK_BOOTTIME) - clock_read_us(CLOCK_MONOTONIC)) / 1000;
}

int64_t clock_ms(void)
{
    return clock_us() / 1000;
}

int64_t clock_after(int64_t now_ms, int64_t after_ms)
{
    int64_t deadline_ms;
    return __builtin_add_overflow(now_ms, after_ms, &deadline_ms) ? CLOCK_NEVER : deadline_ms;
}

int clock_poll_timeout(int64_t now_ms, int64_t deadline_ms)
{
    if (deadline_ms == CLOCK_NEVER)
        return -1;
    if (deadline_ms <= now_ms)
        return 0;
    int64_t left_ms = deadline_ms - now_ms;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
