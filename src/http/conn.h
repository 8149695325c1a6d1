/* The connections of a server: bytes in, requests out to the service, answers back in order. Private to the
 * server; all of it runs on the loop's thread, but for what carriers (carriers.h) do of a pass: they receive
 * and parse, and they send. */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/carriers.h"
#include "http/intake.h"
#include "http/loop.h"
#include "http/server.h"
#include <stdatomic.h>

enum {
    HTTP_PEER_SIZE = 56, /* "[IPv6]:port" */
    CONNS_BESIDE = 128   /* connections that are dealt out to carriers at a time */
};

struct http_conn;

/* Lists that a connection may be in, each at most once. */
enum conn_list {
    CONNS_OPEN,
    CONNS_EXTRA,   /* past the limit, and no node was served on them */
    CONNS_READY,   /* they have bytes to receive, which carriers do for all of them */
    CONNS_TOUCHED, /* they have something to do at the end of the pass */
    CONNS_TURNS,   /* they take requests, which were left, in the next pass */
    CONNS_CLOSED,  /* to be freed at the end of the pass, when nobody holds a pointer any more */
    CONN_LISTS
};

/* The table of connections, and what they share. One without connections is all zero but for loop, service,
 * idle_timeout_ms, keep_alive and the two limits, until conns_open. */
struct http_conns {
    struct loop *loop;
    const struct http_service *service;
    int64_t idle_timeout_ms;
    char keep_alive[40]; /* the field line that tells of it */
    _Atomic int64_t
        stop_by_ms; /* set by any thread: the last answer of each connection closes it; 0: go on */

    struct http_conn *lists[CONN_LISTS];
    uint64_t numbered;    /* how many there have been */
    bool told;            /* the service was told of something, and has had no pass since */
    int open;             /* how many are in CONNS_OPEN */
    int extras;           /* how many of these are in CONNS_EXTRA */
    struct shares shares; /* of the open ones */

    struct http_exchange *spare;
    int spares;
    struct intake_total intakes;   /* of requests that are not complete */
    struct http_counters counters; /* but for what http_exchange_counters fills in */
    size_t answering;              /* bytes allocated for exchanges and the heads of their answers */
    size_t answering_limit;        /* see HTTP_ANSWERS_MAX */
    struct carriers *carriers;     /* NULL: the loop's thread does it alone */
    struct conn_turn *turns;       /* of the connections that are read, or sent on, at a time */
    size_t turns_most;             /* of them: one without carriers, else CONNS_BESIDE */
    char *read_buffer;             /* HTTP_READ_BYTES for each of these: connections without a partial request
                                      read into it, and own no memory */

    char date[HTTP_DATE_SIZE];
    int64_t date_until_ms;
};

/* Gives a new table what its passes need, and so many carriers. Returns false where there is no memory, or no
 * thread: conns_close frees it then, as always. */
bool conns_open(struct http_conns *conns, unsigned carriers);

static inline bool conns_stopping(const struct http_conns *conns)
{
    return atomic_load_explicit(&conns->stop_by_ms, memory_order_relaxed) != 0;
}

/* Takes over fd, an accepted non-blocking socket. Returns 0 or -ENOMEM (the socket is closed then). */
int conn_open(struct http_conns *conns, int fd, const char *peer);

/* The same past the limit: requests of nodes (of a row with `token`, admitted) are served, and once the
 * answer of one is no error, the connection is one like others. Another request gets a 503, and some time to
 * read it; so does the connection after HTTP_EXTRA_MS, unless it waits for an answer then. */
int conn_open_extra(struct http_conns *conns, int fd, const char *peer);

/* Of those in CONNS_EXTRA that wait for no answer, closes the one that has been there for longest, with a
 * 503. Returns whether there was one. */
bool conns_drop_extra(struct http_conns *conns);

/* An answer, the last that is owed, may end the connection. Returns whether it does; no further request is
 * taken then. It does not where more of what the client has sent waits to be taken. */
bool conn_end_behind(struct http_conn *conn);

/* Before the service's pass: reads what CONNS_READY have, and hands their requests on. */
void conns_receive(struct http_conns *conns);

/* An exchange of the connection has its answer: it is sent at the end of the pass. */
void conn_answered(struct http_conn *conn, int status);

/* See http_exchange_connection. */
uint64_t conn_number(const struct http_conn *conn);

/* The connection takes no further request: it ends with the answers that it owes. */
void conn_take_no_more(struct http_conn *conn);

/* Serves what the answers of this pass touched. Returns whether there must be another pass at once, because
 * requests were handled on the way or are left, or the service was told of something. */
bool conns_advance(struct http_conns *conns);

/* At the end of a pass: frees what was closed, and gives the memory of a flood of long requests back. */
void conns_sweep(struct http_conns *conns);

/* For stopping: closes the connections that owe no answer; the others close with their last one. */
void conns_finish(struct http_conns *conns);

/* Closes every connection and frees everything. */
void conns_close(struct http_conns *conns);

#endif
