/* What is tried again and again: the pause before the next try, which grows from RETRY_LEAST_MS to
 * RETRY_MOST_MS with jitter. All zero is valid. Belongs to the loop's thread. */
#ifndef REPLICATION_RETRY_H
#define REPLICATION_RETRY_H

#include "clock.h"
#include <stdlib.h>

enum { RETRY_LEAST_MS = 50, RETRY_MOST_MS = 2000 };

struct retry {
    int64_t pause_ms; /* the last one; 0: the next one is the least */
    unsigned random;
};

/* Returns a pause between half of its length and all of it, so that those who try do not march in step; the
 * next one is twice as long. */
static inline int64_t retry_pause(struct retry *retry)
{
    if (!retry->random)
        retry->random = (unsigned)clock_us() | 1;
    int64_t twice_ms = 2 * retry->pause_ms;
    retry->pause_ms = twice_ms < RETRY_LEAST_MS  ? RETRY_LEAST_MS
                      : twice_ms < RETRY_MOST_MS ? twice_ms
                                                 : RETRY_MOST_MS;
    return retry->pause_ms / 2 + rand_r(&retry->random) % (retry->pause_ms / 2 + 1);
}

#endif
