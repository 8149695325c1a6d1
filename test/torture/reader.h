/* A reader: reads the list of one node all the time, in all the ways that there are, and tells the history
 * what it shows. From the first message of each life of the node on it reads every one, and many again. */
#ifndef TORTURE_READER_H
#define TORTURE_READER_H

#include "cluster.h"

struct reader {
    struct cluster *cluster;
    unsigned node;
};

/* The body of the thread. */
void *reader_thread(void *arg);

#endif
