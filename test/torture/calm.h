/* The calm after a storm: within CALM_MS all is well again by itself. Main thread only. */
#ifndef TORTURE_CALM_H
#define TORTURE_CALM_H

#include "storm.h"

enum { CALM_MS = 10000 };

struct calm {
    int64_t ms;    /* from the end of the faults until all lists were equal and all members healthy */
    uint32_t last; /* the length of the list */
    struct node_size master;
};

/* After storm_end: lets the writers rest and the nodes settle, posts one message to all of them, and has the
 * whole list of each of them checked. The run fails where that fails. */
struct calm calm_wait(struct cluster *cluster, struct storm *storm);

#endif
