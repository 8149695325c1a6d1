/* Latencies, counted in log-linear buckets: each power of two is cut into HISTOGRAM_STEPS equal steps, so a
 * percentile is off by less than 0.4 % and recording is one addition. Knows nothing of what is measured. Not
 * for several threads. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_VALUE_BITS = 44, /* nanoseconds: close to five hours */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS
};

/* All zero is an empty histogram. */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t total;
    int64_t max; /* exact */
};

/* Counts one value; a negative one counts as 0, one past the range in the last bucket. */
void histogram_record(struct histogram *histogram, int64_t value);

/* The value that `share` (0 to 1) of all recorded values do not exceed; 0 where nothing was recorded. */
int64_t histogram_percentile(const struct histogram *histogram, double share);

#endif
