#include "histogram.h"

#include <stddef.h>

/* Bits of the value that its bucket does not tell apart. */
static unsigned bucket_shift(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return 0;
    return 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
}

static size_t bucket_of(uint64_t value)
{
    unsigned shift = bucket_shift(value);
    if (value < HISTOGRAM_STEPS)
        return (size_t)value;
    return (size_t)(shift + 1) * HISTOGRAM_STEPS + (size_t)((value >> shift) - HISTOGRAM_STEPS);
}

/* The middle of the bucket's range, which halves the largest error. */
static int64_t bucket_middle(size_t bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS)
        return (int64_t)bucket;
    unsigned shift = (unsigned)(bucket / HISTOGRAM_STEPS) - 1;
    int64_t low = (int64_t)(bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
    return low + ((int64_t)1 << shift) / 2;
}

void histogram_record(struct histogram *histogram, int64_t value)
{
    uint64_t counted = value < 0 ? 0 : (uint64_t)value;
    if (counted >> HISTOGRAM_VALUE_BITS)
        counted = ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1;
    histogram->buckets[bucket_of(counted)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

int64_t histogram_percentile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->total * share + 0.999999);
    uint64_t seen = 0;
    if (histogram->total == 0)
        return 0;
    if (wanted >= histogram->total)
        return histogram->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0)
            return bucket_middle(i) < histogram->max ? bucket_middle(i) : histogram->max;
    }
    return histogram->max;
}
