/* How much memory this process may use. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Bytes: the least of the machine's memory and of the limits of the process's control groups (cgroups(7),
 * version 2 and version 1's memory controller). Any thread. */
uint64_t memory_size(void);

/* What one kind of work may take of so much memory: a 32nd, and no more than `most`. 0 bytes of memory: it is
 * not known how much there is, and enough. */
static inline size_t memory_part(uint64_t memory, size_t most)
{
    uint64_t part = memory / 32;
    return memory && part < most ? (size_t)part : most;
}

#endif
