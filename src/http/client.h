/* The client side of HTTP/1.1: connecting, and one request with its answer on a connection of its own. Every
 * wait has a deadline on the monotonic clock, and ends early when `cancel_fd` (an eventfd, or -1) becomes
 * readable. All functions may be called from any thread; they block only the caller. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "buf.h"
#include "url.h"
#include <poll.h>

/* Connects, from the local address `from` (numeric) unless that is NULL. Returns a non-blocking socket, which
 * the caller closes, or a negative errno: -ETIMEDOUT at the deadline, -ECANCELED, -ENXIO ("No such device or
 * address") for a name that does not resolve. */
int http_connect(const struct http_url *url, const char *from, int64_t deadline_ms, int cancel_fd);

/* Waits until fd has one of `events`. Returns 0, -ETIMEDOUT or -ECANCELED. */
int http_wait(int fd, short events, int64_t deadline_ms, int cancel_fd);

struct http_call {
    const struct http_url *url;
    const char *method;
    const char *target;
    const char *fields; /* further field lines, each with its CRLF, or NULL */
    struct span body;
    const char *from;    /* see http_connect */
    int64_t deadline_ms; /* until the whole answer is there; with `take`, until each next part of it is: see
                            idle_ms */
    int cancel_fd;

    /* NULL: the body is kept in the reply, HTTP_REPLY_MAX bytes at most. Else it is handed on as it comes; a
     * non-zero result ends the call with it. */
    int (*take)(void *ctx, struct span bytes);
    void *ctx;
    int64_t idle_ms; /* with `take`: each part that comes moves the deadline to so much later */
};

enum { HTTP_REPLY_MAX = 64 * 1024 };

struct http_reply {
    int status;
    struct buf body; /* the caller frees it, also after a failure */
};

/* Returns 0 with *reply filled, or a negative errno (-EPROTO for what is not an HTTP answer, -EMSGSIZE for
 * one too long, -ECONNRESET for one cut short, and http_connect's). */
int http_call(const struct http_call *call, struct http_reply *reply);

#endif
