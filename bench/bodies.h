/* Messages of random printable bytes (space to tilde), cut one after another from a pool that is filled once:
 * no two near each other share text, so that a server which compresses wins nothing, and making one costs
 * nothing. */
#ifndef BENCH_BODIES_H
#define BENCH_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bodies {
    char *pool;
    size_t size, at;
    uint64_t random;
};

/* The same bytes in the same order at every run. Returns false where there is no memory. */
bool bodies_open(struct bodies *bodies, size_t body_len);
void bodies_close(struct bodies *bodies);

/* The next message, valid until bodies_close. len as given to bodies_open. */
const char *bodies_next(struct bodies *bodies, size_t len);

#endif
