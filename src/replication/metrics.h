/* What GET /metrics says of a node, in the text that Prometheus reads. Belongs to the loop's thread. */
#ifndef REPLICATION_METRICS_H
#define REPLICATION_METRICS_H

#include "http/counters.h"
#include "replication/append.h"
#include "replication/health.h"

/* All borrowed. */
struct metrics {
    const struct health *health;
    const struct append *append; /* a master's; NULL in a secondary */
    const struct http_counters *http;
    uint64_t followers; /* streams that are open, and reads that wait */
    int64_t started_us; /* the process, since 1970 */
};

/* Adds the whole text. */
void metrics_write(const struct metrics *metrics, int64_t now_us, struct buf *out);

#endif
