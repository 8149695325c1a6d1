/* One connection of a server: bytes in, requests out to the service, answers back in order. Private to the
 * server; all of it runs on the loop's thread. */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/conns.h"

enum { HTTP_PEER_SIZE = 56 }; /* "[IPv6]:port" */

/* Takes over fd, an accepted non-blocking socket. Returns 0 or -ENOMEM (the socket is closed then). */
int conn_open(struct http_conns *conns, int fd, const char *peer);

/* The same for a client that is one too many: it gets a 503, and time to read it. */
int conn_turn_away(struct http_conns *conns, int fd, const char *peer);

/* The connection has something to do: it is advanced at the end of the pass. */
void conn_touch(struct http_conn *conn);

/* ---- for the table */

/* Takes it off CONNS_TURNS, and requests of it that were left. */
void conn_take_turn(struct http_conn *conn);

/* Takes it off CONNS_TOUCHED, sends what is ready, and settles what it waits for next. Called after
 * everything that happens to a connection. */
void conn_advance(struct http_conn *conn);

/* The server stops: closes it, or lets it close with its last answer. */
void conn_finish(struct http_conn *conn);

/* Closes it in whatever state it is; it is in CONNS_CLOSED then, and in no other list. */
void conn_close(struct http_conn *conn);

/* The one behind it in a list, or NULL. */
struct http_conn *conn_next(const struct http_conn *conn, enum conn_list list);

/* Frees one that is closed. */
void conn_free(struct http_conn *conn);

#endif
