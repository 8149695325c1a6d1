/* A writer: posts messages to the master in all the ways that there are, with every write concern, tells the
 * history how each ended, and looks at the nodes right after an answer: were there really so many that hold
 * the message? A thread each. */
#ifndef TORTURE_WRITER_H
#define TORTURE_WRITER_H

#include "cluster.h"

struct writer {
    struct cluster *cluster;
    unsigned number;
};

/* The body of the thread. */
void *writer_thread(void *arg);

struct writer_counts {
    unsigned verified;  /* answers of which the holders were counted */
    unsigned definite;  /* … where every node was there to be asked */
    unsigned waited;    /* GET /messages/ID?w= that were answered */
    int64_t longest_ms; /* from a POST to its answer */
};

/* Of all writers together. */
struct writer_counts writers_count(void);

/* For the calm between two storms: posts one message that must be on all nodes within timeout_s. Returns its
 * id; the run fails where that fails. */
uint32_t writer_post_to_all(struct cluster *cluster, unsigned timeout_s);

#endif
