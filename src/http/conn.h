/* One connection of the server: bytes in, requests out to the service, answers back in order. Private to the
 * server; all of it runs on the loop's thread. */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/chunked.h"
#include "http/loop.h"
#include "http/server.h"

enum { HTTP_PEER_SIZE = 56 }; /* "[IPv6]:port" */

struct http_conn;

/* What the connections of a server share; a part of it. */
struct conn_shared {
    struct loop *loop;
    const struct http_service *service;
    int64_t idle_timeout_ms;
    bool stopping; /* every answer closes its connection */

    struct http_conn *all;     /* open connections */
    int open;                  /* how many */
    int turned_away;           /* how many of these only wait for their 503 to be read */
    struct http_conn *touched; /* those that have something to do at the end of the pass */
    struct http_conn *turns;   /* those with requests left for the next pass */
    struct http_conn *closed;  /* to be freed at the end of the pass, when nobody holds a pointer any more */
    struct http_exchange *spare;
    int spares;
    size_t buffered;      /* bytes allocated for requests not yet complete */
    size_t buffered_most; /* its highest since memory was last given back */
    size_t answering;     /* bytes allocated for exchanges and the heads of their answers */
    char *read_buffer;    /* HTTP_READ_BYTES: connections without a partial request read into it, and own no
                             memory */

    char date[HTTP_DATE_SIZE];
    int64_t date_until_ms;
};

/* Takes over fd, an accepted non-blocking socket. Returns 0 or -ENOMEM (the socket is closed then). */
int conn_open(struct conn_shared *shared, int fd, const char *peer);

/* The same for a client that is one too many: it gets a 503, and time to read it. */
int conn_turn_away(struct conn_shared *shared, int fd, const char *peer);

/* The connection has something to do: it is advanced at the end of the pass. */
void conn_touch(struct http_conn *conn);

/* Serves what the answers of this pass touched. Returns whether there must be another pass at once, because
 * requests were handled on the way or are left. */
bool conns_advance(struct conn_shared *shared);

/* At the end of a pass: frees what was closed, and gives the memory of a flood of long requests back. */
void conns_sweep(struct conn_shared *shared);

/* For stopping: closes the connections that owe no answer; the others close with their last one. */
void conns_finish(struct conn_shared *shared);

/* Closes every connection and frees everything. */
void conns_close(struct conn_shared *shared);

#endif
