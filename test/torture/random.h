/* Random numbers that follow from a seed (splitmix64). A stream belongs to one thread. */
#ifndef TORTURE_RANDOM_H
#define TORTURE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A stream of its own for each pair of numbers. */
static inline struct random random_stream(uint64_t seed, uint64_t major, uint64_t minor)
{
    struct random random = {seed};
    random.state = random_next(&random) ^ major;
    random.state = random_next(&random) ^ minor;
    return random;
}

/* From least to most, both included. */
static inline unsigned random_between(struct random *random, unsigned least, unsigned most)
{
    return least + (unsigned)(random_next(random) % (most - least + 1u));
}

static inline bool random_percent(struct random *random, unsigned percent)
{
    return random_between(random, 0, 99) < percent;
}

/* From least (1 at least) to most; each order of magnitude is as likely as the next. */
static inline unsigned random_magnitude(struct random *random, unsigned least, unsigned most)
{
    unsigned doublings = 0;
    while (doublings < 31 && least << doublings <= most / 2)
        doublings++;
    unsigned low = least << random_between(random, 0, doublings);
    unsigned high = low > most / 2 ? most : 2 * low - 1;
    return random_between(random, low, high);
}

#endif
