/* Taking a list over: a master to which nothing was appended since its start fetches what a secondary has
 * beyond the master's list, with GET /messages?from=.
 *
 * What is fetched is kept aside until all of it is there and has the digest that the secondary told; then it
 * is appended, some of it in each pass of the loop. So the master's list never holds what was not proven. A
 * take-over takes no more messages than it was told of and none longer than MAX_MESSAGE, goes on where a
 * connection was cut, and ends by itself: see enum takeover_state.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_TAKEOVER_H
#define REPLICATION_TAKEOVER_H

#include "replication/base.h"

enum {
    TAKEOVER_TIME_MS =
        30000, /* from the begin to the end, longer than messages are usually late on a secondary, */
    TAKEOVER_TIME_MB_MS = 1000, /* and so much for each MB that has come */
    TAKEOVER_REFUSED_MS = 2000  /* nobody listens at the address for so long: the process is gone */
};

struct takeover;

/* `holder` is the registration of who has the list, at that address; both are borrowed until takeover_close.
 * NULL where there is no memory. */
struct takeover *takeover_open(const struct base *base, const struct wire_register *holder,
                               const struct http_url *url, int64_t now_ms);

/* Throws away what was not appended, and frees all. */
void takeover_close(struct takeover *takeover);

enum takeover_state {
    TAKEOVER_FETCHES,
    TAKEOVER_PROVEN,       /* all is there, with the right digest: takeover_append */
    TAKEOVER_DONE,         /* all was appended */
    TAKEOVER_LONG_LIST,    /* there is no room for it: MAX_LOG */
    TAKEOVER_LONG_MESSAGE, /* one is longer than MAX_MESSAGE */
    TAKEOVER_DIFFERS,      /* all is there and has another digest: it is not the list that was told of */
    TAKEOVER_FAILED /* the process that had the list is gone, the time is over, what came is no list, or there
                       is no memory */
};
enum takeover_state takeover_state(const struct takeover *takeover);

/* Called once a pass: dials, and dials again. Returns when it must be called again. */
int64_t takeover_pass(struct takeover *takeover, int64_t now_ms);

/* In the state TAKEOVER_PROVEN: appends a part of what was fetched. */
void takeover_append(struct takeover *takeover);

/* For how long nothing has come. */
int64_t takeover_quiet_ms(const struct takeover *takeover, int64_t now_ms);

/* Why it has ended, for a log line; "" in the first three states. */
const char *takeover_why(const struct takeover *takeover);

#endif
