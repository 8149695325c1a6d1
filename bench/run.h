/* One run: the loop that asks and takes answers, and what came of it. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "crowd.h"
#include "histogram.h"
#include "options.h"

struct run_result {
    struct histogram latencies; /* nanoseconds */
    double seconds;             /* what was measured, without warm-up and drain */
    uint64_t in_time;           /* right answers that came in these seconds */
    uint64_t asked;             /* requests of the whole run */
    uint64_t wrong;             /* answers that were not the right ones */
    uint64_t lost;              /* requests whose connection ended before their answer */
    uint64_t unanswered;        /* requests still without answer when the run was given up */
    uint64_t unsent;       /* open loop: requests that were due and found no free connection to the end */
    uint64_t crowd_lost;   /* connections of the crowd that the server closed */
    char first_wrong[160]; /* how the first wrong answer began, control bytes replaced */
};

/* Runs what the options ask for. Returns false, and says why on standard error, where it could not start. */
bool run(const struct options *options, const struct proto *proto, const struct dial_address *to,
         struct crowd *crowd, struct run_result *result);

#endif
