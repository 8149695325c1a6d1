/* Connections of the server without its thread and listener: the loop is run pass by pass, and the client is
 * the other end of a socket pair. So a test says what happens in which order, and nothing is left to chance.
 *
 * The service answers by the path: /park keeps the request until hand_answer, /big?BYTES gives a body of so
 * many bytes in pieces, anything else gives the request's body back, where the method is a known one. A body
 * may have HAND_BODY_MAX bytes, or hand.body_max. Include it in one file of a program. */
#ifndef TEST_BY_HAND_H
#define TEST_BY_HAND_H

#include "clock.h"
#include "http/conn.h"
#include "http/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HAND_BODY_MAX = 5000, HAND_PARKED_MAX = 2048, HAND_IDLE_MS = 5000, HAND_PIECE = 100000 };

struct hand {
    struct http_conns conns;
    struct http_service service;
    bool running;
    int passes;       /* left of the present run */
    const char *peer; /* of the next connections; NULL: "127.0.0.1:1" */

    struct http_exchange *parked[HAND_PARKED_MAX];
    size_t parked_first, parked_end;
    int handled;       /* requests that the service got */
    uint64_t big_max;  /* the most that /big gives, or 0 */
    uint64_t body_max; /* bytes of the longest body; 0: HAND_BODY_MAX */
    /* Told of each request, or NULL. */
    void (*seen)(const struct http_request *request);
    char log[256]; /* the methods and targets of the last requests: "GET /a, POST /b" */
};

static struct hand hand;
static char hand_bytes[HAND_PIECE];

static int hand_source_pieces(const void *state, struct iovec *iov, int max)
{
    uint64_t left;
    int count = 0;
    memcpy(&left, state, sizeof left);
    for (; left > 0 && count < max; count++) {
        size_t len = left < HAND_PIECE ? (size_t)left : HAND_PIECE;
        iov[count] = (struct iovec){hand_bytes, len};
        left -= len;
    }
    return count;
}

static void hand_source_skip(void *state, uint64_t bytes)
{
    uint64_t left;
    memcpy(&left, state, sizeof left);
    left -= bytes;
    memcpy(state, &left, sizeof left);
}

static void hand_answer_big(const struct http_request *request, struct http_exchange *exchange)
{
    struct http_source source = {.pieces = hand_source_pieces, .skip = hand_source_skip};
    if (!span_uint(request->target->query, &source.len))
        source.len = 0;
    if (hand.big_max && source.len > hand.big_max)
        source.len = hand.big_max;
    memcpy(source.state, &source.len, sizeof source.len);
    http_answer_source(exchange, 200, NULL, span_of("<"), &source, ">");
}

static void hand_log(const struct http_request *request)
{
    size_t len = strlen(hand.log);
    snprintf(hand.log + len, sizeof hand.log - len, "%s%.*s %.99s", len ? ", " : "",
             (int)request->head->method.len, request->head->method.at, request->target->path);
}

static void hand_handle(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    (void)ctx;
    (void)rest;
    hand.handled++;
    hand_log(request);
    if (hand.seen)
        hand.seen(request);
    if (strcmp(request->target->path, "/park") == 0 && hand.parked_end < HAND_PARKED_MAX)
        hand.parked[hand.parked_end++] = exchange;
    else if (strcmp(request->target->path, "/big") == 0)
        hand_answer_big(request, exchange);
    else
        http_answer(exchange, 200, NULL, request->body);
}

static uint64_t hand_body_limit(void *ctx, const struct http_head *head)
{
    (void)ctx;
    (void)head;
    return hand.body_max ? hand.body_max : HAND_BODY_MAX;
}

#define HAND_ROUTE(name)                                                                                     \
    {                                                                                                        \
        .method = (name), .path = "*", .handle = hand_handle, .body_limit = hand_body_limit                  \
    }

static const struct http_route hand_routes[] = {
    HAND_ROUTE("GET"), /* and HEAD */
    HAND_ROUTE("POST"),
    HAND_ROUTE("PUT"),
    HAND_ROUTE("DELETE"),
    HAND_ROUTE("OPTIONS"),
    HAND_ROUTE("TRACE"),
    HAND_ROUTE("PATCH"),
    {0},
};

static int64_t hand_pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    conns_receive(&hand.conns);
    conns_advance(&hand.conns);
    conns_sweep(&hand.conns);
    hand.running = --hand.passes > 0;
    return now_ms;
}

/* Runs so many passes; none of them waits. */
static inline void hand_run(int passes)
{
    hand.passes = passes;
    hand.running = true;
    loop_run(hand.conns.loop, &hand.running);
}

/* As the programs read it, so that one command runs all tests with carriers. */
static inline unsigned hand_carriers(void)
{
    const char *carriers = getenv("CARRIERS");
    return carriers ? (unsigned)strtoul(carriers, NULL, 10) : 0;
}

static inline void hand_open(void)
{
    hand = (struct hand){.service = {.routes = hand_routes}};
    hand.conns.service = &hand.service;
    hand.conns.idle_timeout_ms = HAND_IDLE_MS;
    hand.conns.intakes.limit = HTTP_BUFFERED_MAX;
    hand.conns.answering_limit = HTTP_ANSWERS_MAX;
    hand.conns.loop = loop_open(hand_pass, NULL);
    memset(hand_bytes, 'b', sizeof hand_bytes);
    if (!hand.conns.loop || !conns_open(&hand.conns, hand_carriers()))
        abort();
    hand_run(1); /* the loop knows the time from here on */
}

/* A new connection; returns the client's end, which does not block. */
static inline int hand_connect(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0 ||
        conn_open(&hand.conns, ends[0], hand.peer ? hand.peer : "127.0.0.1:1") < 0)
        abort();
    return ends[1];
}

/* Answers the request that is parked longest, with the text as the body. */
static inline void hand_answer(const char *text)
{
    if (hand.parked_first == hand.parked_end)
        abort();
    http_answer(hand.parked[hand.parked_first++], 200, NULL, span_of(text));
}

static inline void hand_close(void)
{
    while (hand.parked_first < hand.parked_end)
        hand_answer("");
    conns_close(&hand.conns);
    loop_close(hand.conns.loop);
}

#endif
