/* What is not in worker.h of the simulator's workers. */
#ifndef SIMULATOR_WORKERS_H
#define SIMULATOR_WORKERS_H

#include "worker.h"

/* The process is dead: what it has under way, and what is handed over from now on, is worked at once, with
 * what the drive still does for it (drive_expire, drive_leave). */
void worker_die(struct worker *worker);

#endif
