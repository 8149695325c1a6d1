/* What the server counts, for whoever tells it. Belongs to the loop's thread. */
#ifndef HTTP_COUNTERS_H
#define HTTP_COUNTERS_H

#include "histogram.h"

enum {
    HTTP_ROUTES_MAX = 24,   /* rows of a service's table that are counted apart */
    HTTP_STATUSES_MAX = 512 /* all statuses that are answered are below */
};

/* Why the server itself refused a request, or a connection. */
enum http_refused {
    HTTP_REFUSED_HOST,        /* 421 */
    HTTP_REFUSED_SITE,        /* 403 */
    HTTP_REFUSED_TOKEN,       /* 401 */
    HTTP_REFUSED_TYPE,        /* what its row denies by the head */
    HTTP_REFUSED_CLOSED,      /* the service takes none now */
    HTTP_REFUSED_REQUEST,     /* it cannot be read, or is too long */
    HTTP_REFUSED_LATE,        /* 408 */
    HTTP_REFUSED_MEMORY,      /* too many bytes of incomplete requests */
    HTTP_REFUSED_CONNECTIONS, /* past the limit of connections */
    HTTP_REFUSALS
};

struct http_route;

struct http_counters {
    const struct http_route *routes; /* the service's table */
    /* Answers by the row of the table that took the request, counted from 1 (0: no row), and by status. Those
     * that had no client any more are not counted. */
    uint64_t answers[HTTP_ROUTES_MAX + 1][HTTP_STATUSES_MAX];
    uint64_t refused[HTTP_REFUSALS];
    uint64_t connections;    /* since the start */
    unsigned open;           /* connections now */
    struct histogram passes; /* of the loop: from its waking to its next wait */
};

#endif
