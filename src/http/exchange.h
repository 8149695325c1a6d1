/* One request and its answer: first waiting, then ready, then sent piece by piece. Private to the server; all
 * of it runs on the loop's thread. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "http/conn.h"
#include "http/outgoing.h"

struct http_exchange {
    struct http_exchange *next; /* the next request of the connection; or the next spare one */
    struct http_conn *conn;     /* NULL: the client has gone, the answer will be dropped */
    struct http_conns *conns;
    void *waiter; /* see http_exchange_waiter; or NULL */
    char peer[HTTP_PEER_SIZE];

    bool ready;
    bool to_head;        /* the request was HEAD: the answer has no body */
    bool http10;         /* the client speaks HTTP/1.0 */
    bool close;          /* the connection ends after this answer */
    struct outgoing out; /* the answer */
};

/* A waiting exchange, or NULL where there is no memory. */
struct http_exchange *exchange_new(struct http_conns *conns, struct http_conn *conn, const char *peer);

/* Keeps it for the next request, or frees it. */
void exchange_free(struct http_exchange *exchange);

/* Frees the kept ones. */
void exchanges_free_spare(struct http_conns *conns);

#endif
