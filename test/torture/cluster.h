/* What the parts of a run share: the nodes, the seed, and when writers rest. */
#ifndef TORTURE_CLUSTER_H
#define TORTURE_CLUSTER_H

#include "node.h"
#include <stdint.h>

enum { WRITERS = 7, READERS = NODES };

struct cluster {
    uint64_t seed;
    struct node nodes[NODES];
    _Atomic bool resting;  /* writers begin nothing new */
    _Atomic bool ending;   /* writers and readers return */
    _Atomic unsigned busy; /* writers in the midst of something */

    /* How far each reader has checked the list of its node's life, from its first message on: the life in
     * the upper half, the id in the lower one. */
    _Atomic uint64_t checked[NODES];
};

/* Names of the numbers of writers that no writer has: the run's own messages. */
enum { WRITER_CALM = WRITERS, WRITER_FORGER };

#endif
