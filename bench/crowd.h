/* Connections that stand beside the load: idle ones, which got one answer and then keep quiet, and slow
 * readers, which take a long answer a little at a time. A server should hardly notice either. */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "dial.h"
#include "options.h"

struct crowd_reader {
    int fd; /* -1 once it has its whole answer, or was lost */
    struct answer answer;
};

struct crowd {
    int *idle; /* descriptors */
    int idle_count;
    struct crowd_reader *slow;
    int slow_count;
    int slow_lost;
    struct proto slow_proto; /* what they ask for */
    size_t slow_step;        /* bytes that each takes at a tick */
    int64_t next_tick_ns;
};

/* Opens all of them and sees each idle one answered. Returns false, and says why on standard error, where
 * that fails. */
bool crowd_open(struct crowd *crowd, const struct options *options, const struct dial_address *to);
void crowd_close(struct crowd *crowd);

/* Lets the slow readers take their share, when it is time. crowd->next_tick_ns tells when it is again,
 * INT64_MAX where there are none. */
void crowd_tick(struct crowd *crowd, int64_t now_ns);

/* How many the server has closed, and slow readers whose answer was not 200. */
int crowd_lost(struct crowd *crowd);

#endif
