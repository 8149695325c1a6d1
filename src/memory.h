/* How much memory this process may use. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

/* Bytes: the least of the machine's memory and of the limits of the process's control groups (cgroups(7),
 * version 2 and version 1's memory controller). Any thread. */
uint64_t memory_size(void);

#endif
