/* One outgoing connection on the poll loop: it looks the name up (on the worker), connects, sends requests
 * one behind the other, and hands on their answers, which come in the order of the requests. Nothing here
 * blocks.
 *
 * Of a name with several addresses each is tried, and has its share of the time. A connection that the kernel
 * has made to itself (both ends one port of this machine) counts as refused.
 *
 * One thread, the loop's, calls everything here. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "http/loop.h"
#include "http/parser.h"
#include "http/writer.h"
#include "url.h"
#include "worker.h"
#include <sys/socket.h>

enum {
    HTTP_CONNECT_MS = 2000,      /* from the look-up's end until the connection must be there */
    HTTP_ANSWER_MAX = 64 * 1024, /* bytes of an answer's body, where it is not taken in parts */
    HTTP_INTERIM_MOST = 64       /* interim answers within a second; more end the connection */
};

struct http_address {
    struct sockaddr_storage name;
    socklen_t len; /* 0: none */
};

/* What the clients of a process share; outlives them. */
struct http_dialer {
    struct loop *loop;
    struct worker *worker;
    struct http_address from; /* the local address to speak from; len 0: the kernel chooses */
};

/* Fills in `from` where the host is a numeric address and not a wildcard. */
void http_dialer_from(struct http_dialer *dialer, const char *host);

struct http_client;

/* Called on the loop's thread, from the loop alone: never inside a call of the functions below. `part`,
 * `answered`, `heard` return 0 to go on, or a negative errno: then `failed` is told of it, and of nothing
 * more. http_client_close may be called inside `failed`, and not inside the others. */
struct http_client_events {
    int (*heard)(void *ctx); /* optional: bytes came, an interim answer's (1xx) too */
    int (*part)(void *ctx, const struct http_head *head,
                struct span bytes); /* optional: a part of the body, as it comes */
    int (*answered)(void *ctx, int status,
                    struct span body); /* a whole answer; without the body after `part` */
    void (*failed)(void *ctx, int error,
                   const char *why); /* error: a negative errno; the connection is over */
};

/* Begins to connect. `known`: an address to connect to without a look-up, or NULL. Returns 0, or a negative
 * errno with nothing opened: without memory, or where the system refuses at once. */
int http_client_open(struct http_client **out, const struct http_dialer *dialer, const struct http_url *url,
                     const struct http_address *known, const struct http_client_events *events, void *ctx);

/* Closes the connection, whatever its state, and frees the client. No event follows. */
void http_client_close(struct http_client *client);

/* Whether its name is still being looked up, which may take seconds. */
bool http_client_looks_up(const struct http_client *client);

/* Whether the connection is there. */
bool http_client_connected(const struct http_client *client);

/* The address that it is connected to. */
struct http_address http_client_address(const struct http_client *client);

/* Whether bytes of a request are left to be sent: then no other one may be begun. */
bool http_client_sending(const struct http_client *client);

/* Begins a request with `before` (copied), what the source holds (NULL: nothing) and `after` (static text) as
 * its body, and sends what the socket takes. Before the connection is there the request waits for it.
 * `fields` as in http_write_request_head. Returns 0, or a negative errno: the caller then closes the client.
 */
int http_client_request(struct http_client *client, const char *method, const char *target,
                        const char *fields, struct span before, const struct http_source *source,
                        const char *after);

#endif
