/* How many processors this process may use. */
#ifndef CORES_H
#define CORES_H

/* 1 at least: those of its affinity (sched_getaffinity(2)), and no more than the time that its control groups
 * give it is worth (cpu.max of version 2), rounded up. Any thread. */
unsigned cores_usable(void);

#endif
