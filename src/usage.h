/* What this process uses of the machine. Any thread. */
#ifndef USAGE_H
#define USAGE_H

#include <stdint.h>

/* What the system does not tell is 0. */
struct usage {
    int64_t cpu_us; /* of all threads, since the start */
    uint64_t virtual_bytes, resident_bytes;
    uint64_t open_fds, max_fds; /* descriptors */
};

struct usage usage_now(void);

/* Microseconds since 1970. */
int64_t usage_wall_us(void);

#endif
