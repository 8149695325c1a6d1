/* How long things take: a count for each of a few fixed spans of time. All zero is empty and valid. In a
 * header, to be inlined: an observation costs a few instructions. Belongs to one thread. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 10 };

/* Microseconds: what took so long at most is counted here, and not under an earlier bound. The last one takes
 * all. */
static const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS + 1] = {
    100, 250, 1000, 2500, 10000, 50000, 250000, 1000000, 5000000, 30000000, INT64_MAX};

struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1];
    uint64_t sum_us;
};

/* `us` is not negative. */
static inline void histogram_observe(struct histogram *histogram, int64_t us)
{
    int i = 0;
    while (us > histogram_bounds_us[i])
        i++;
    histogram->counts[i]++;
    histogram->sum_us += (uint64_t)us;
}

#endif
