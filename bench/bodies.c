#include "bodies.h"

#include <stdlib.h>

enum { POOL_BYTES = 1 << 20 };

/* xorshift64* */
static uint64_t next_random(struct bodies *bodies)
{
    uint64_t x = bodies->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    bodies->random = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

bool bodies_open(struct bodies *bodies, size_t body_len)
{
    *bodies = (struct bodies){.size = POOL_BYTES + body_len, .random = UINT64_C(0x9E3779B97F4A7C15)};
    bodies->pool = malloc(bodies->size);
    if (!bodies->pool)
        return false;
    for (size_t i = 0; i < bodies->size; i++)
        bodies->pool[i] = (char)(' ' + (next_random(bodies) >> 32) % ('~' - ' ' + 1));
    return true;
}

void bodies_close(struct bodies *bodies)
{
    free(bodies->pool);
}

/* Each round through the pool is cut at other places than the one before. */
const char *bodies_next(struct bodies *bodies, size_t len)
{
    if (bodies->at + len > bodies->size)
        bodies->at = (size_t)(next_random(bodies) >> 32) % (len < POOL_BYTES ? len : POOL_BYTES);
    const char *body = bodies->pool + bodies->at;
    bodies->at += len;
    return body;
}
