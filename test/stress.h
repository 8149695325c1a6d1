/* What the stress programs share: a check that ends the program, random numbers and the time to run. The seed
 * and the seconds are the program's arguments, in this order; both may be left out. */
#ifndef TEST_STRESS_H
#define TEST_STRESS_H

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

/* Ends the program where a rule is broken. Any thread may call. */
#define CHECK(rule)                                                                                          \
    do {                                                                                                     \
        if (!(rule)) {                                                                                       \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #rule);                               \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct stress {
    unsigned seed;
    int64_t run_ms;
};

static inline struct stress stress_start(int argc, char *argv[])
{
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    struct stress stress = {
        .seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)clock_us(),
        .run_ms = (int64_t)(seconds * 1000),
    };

    printf("seed %u\n", stress.seed);
    fflush(stdout);
    return stress;
}

/* A number from 0 to limit - 1. Each thread has a seed of its own. */
static inline uint64_t stress_random(unsigned *seed, uint64_t limit)
{
    return ((uint64_t)rand_r(seed) << 31 | (uint64_t)rand_r(seed)) % limit;
}

#endif
