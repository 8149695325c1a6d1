/* A schedule: what happens to a cluster, drawn from a seed, and what must be true when all is mended. */
#ifndef SIMULATOR_SCHEDULE_H
#define SIMULATOR_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

void schedule_play(uint64_t seed, bool verbose);

#endif
