#include "spin.h"
#include "clock.h"
#include <sched.h>

bool spin_begin(struct spin *spin, int64_t now_us)
{
    spin->begun_us = now_us;
    return spin->pays && now_us >= spin->rest_until_us;
}

bool spin_goes_on(struct spin *spin)
{
    sched_yield();
    int64_t now_us = clock_us();
    if (now_us - spin->begun_us > SPIN_YIELD_MOST_US)
        spin->rest_until_us = now_us + SPIN_REST_US;
    return now_us - spin->begun_us < SPIN_US;
}

void spin_end(struct spin *spin, bool came, int64_t now_us)
{
    spin->pays = came && now_us - spin->begun_us < SPIN_US;
}
