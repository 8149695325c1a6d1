/* Taking over a list: a master to which nothing was appended since its start fetches, on a thread of its own,
 * what a secondary has beyond the master's list, with GET /messages?from=. Before that it makes sure that the
 * secondary's list begins as the master's does. It goes on where it was cut off, and gives up when nothing
 * has come for TAKEOVER_PATIENCE_MS.
 *
 * takeover_start, takeover_ended and takeover_close are for one thread; the list may be read by any
 * meanwhile. */
#ifndef REPLICATION_TAKEOVER_H
#define REPLICATION_TAKEOVER_H

#include "log/log.h"
#include "url.h"

enum { TAKEOVER_PATIENCE_MS = 30000 }; /* longer than messages are usually late on a secondary */

struct takeover;

struct takeover_config {
    struct log *log;
    const char *name; /* whose list, for log lines; outlives the take-over */
    struct http_url url;
    uint64_t last;               /* the id to reach */
    const char *fields;          /* as in struct link_shared */
    void (*progress)(void *ctx); /* the list has grown, or the take-over ended; called on its thread */
    void *ctx;
};

/* Starts the thread. NULL without memory or descriptors. */
struct takeover *takeover_start(const struct takeover_config *config);

/* For how long nothing has come. */
int64_t takeover_quiet_ms(const struct takeover *takeover, int64_t now_ms);

enum takeover_state {
    TAKEOVER_RUNS,
    TAKEOVER_COMPLETE, /* the list has reached `last` */
    TAKEOVER_BROKEN,   /* what is missing could not be fetched */
    TAKEOVER_DIFFERS   /* the two lists do not begin alike; nothing was taken */
};

/* What has become of it. */
enum takeover_state takeover_state(const struct takeover *takeover);

/* Ends it where it is, joins the thread, frees all. */
void takeover_close(struct takeover *takeover);

#endif
