/* One request and its answer: first waiting, then ready, then sent. An answer that streams is ready and sent
 * once for each of its pieces. And a pipeline of them:
 * the exchanges of one connection, in the order of its requests. Private to the server; all of it runs on the
 * loop's thread, but for pipeline_send. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "http/conn.h"
#include "http/stream.h"

enum { HTTP_NOTED_MOST = 100 /* bytes of a request's target that log lines tell */ };

/* What a log line at debug tells of a request when it is answered. */
struct request_note {
    int64_t began_us;
    char method[HTTP_NOTED_MOST + 1]; /* or what came in its place */
    char target[HTTP_NOTED_MOST + 1]; /* as it came, its beginning; "": there is none */
    char why[256];                    /* the error's sentence; "": none */
};

struct http_exchange {
    struct http_exchange *next; /* the next request of the connection; or the next spare one */
    struct http_conn *conn;     /* NULL: the client has gone, the answer will be dropped */
    struct http_conns *conns;
    struct http_waiter *waiter; /* or NULL */
    struct request_note *note;  /* NULL: no line comes */
    uint64_t *answers;          /* where its answer is counted */
    char peer[HTTP_PEER_SIZE];

    bool ready;          /* there is something to send, or nothing more will come */
    bool streams;        /* more will come behind that: see http_stream_begin */
    bool to_head;        /* the request was HEAD: the answer has no body */
    bool http10;         /* the client speaks HTTP/1.0 */
    bool close;          /* the connection ends after this answer */
    struct outgoing out; /* the answer */
};

/* A waiting exchange, or NULL where there is no memory. */
struct http_exchange *exchange_new(struct http_conns *conns, struct http_conn *conn, const char *peer);

/* Its answer is counted as one of this row; NULL: of none. */
void exchange_count_for(struct http_exchange *exchange, const struct http_route *route);

/* Where lines at debug are on, has one come with the answer. `line` is the request's first line, or what
 * there is of it. */
void exchange_note(struct http_exchange *exchange, struct span line);

/* Frees the exchanges kept for reuse. */
void exchanges_free_spare(struct http_conns *conns);

/* All zero: empty. Owns the exchanges whose answers are ready; the service owns those that wait. */
struct pipeline {
    struct http_exchange *first, *last; /* `last` means something where there is a first one */
    int count;
};

void pipeline_add(struct pipeline *pipeline, struct http_exchange *exchange);

/* Whether the first answer is ready. */
bool pipeline_is_ready(const struct pipeline *pipeline);

/* Sends the answers that are ready, up to one that is not; pipeline_settle comes next. BROKEN also where
 * there was no memory for the next answer. Uses the pipeline's and the stream's own alone: any thread may
 * call it, as long as no other uses these. */
enum stream_verdict pipeline_send(struct pipeline *pipeline, struct stream *stream, struct stream_turn *turn);

/* Frees the exchanges whose answers have left, or tells of their pieces. */
void pipeline_settle(struct pipeline *pipeline);

/* The client has closed its side: the waiter of an answer that streams is told. */
void pipeline_end(struct pipeline *pipeline);

/* The client has gone: exchanges whose answers are ready are freed, the waiters of
 * the others are told, which answer them into nothing some time. */
void pipeline_drop(struct pipeline *pipeline);

#endif
