/* The HTTP/1.1 server: a listener, connections and one thread that runs their poll loop. It knows requests
 * and answers, and nothing of what they are about: a `struct http_service` has a row for each kind of
 * request.
 *
 * An answer may be given at once, inside a row's `handle`, or later, by the loop's thread in `pass`: a
 * request that waits holds an exchange, and no thread. Answers leave each connection in the order of its
 * requests (RFC 9112 section 9.3.2). A client that goes away leaves its exchange valid: answering it then
 * does nothing. One that has only closed its own side still gets its answers.
 *
 * Threads: the service's functions run on the loop's thread, and all http_answer..., http_stream... and
 * http_interim calls belong to it, too. With carriers (http/carriers.h) these call `admits`, `closed`,
 * `denies`, `body_limit` and `watches_body`, for several requests at a time and while nothing else runs: they
 * read, and write nothing. Start and stop are for main. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "http/counters.h"
#include "http/loop.h"
#include "http/parser.h"
#include "http/target.h"
#include "http/writer.h"

enum {
    HTTP_REQUEST_TIME_MS = 30000, /* a request once begun is complete by then, or gets 408 and a close */
    HTTP_WRITE_TIME_MS = 30000,   /* a reader that takes nothing for so long is cut */
    HTTP_LINGER_MS = 2000,        /* after a closing answer, what still comes in is dropped until nothing came
                                     for so long, */
    HTTP_LINGER_MOST_MS = 30000,  /* it has gone on for so long, */
    HTTP_LINGER_BYTES = 256 * 1024 * 1024, /* or was so many bytes */
    HTTP_PIPELINE_MAX = 1024,      /* unanswered requests of a connection; it is not read from beyond that */
    HTTP_SMALL_BODY = 64 * 1024,   /* bytes of the longest body, where a row does not say otherwise */
    HTTP_READ_BYTES = 64 * 1024,   /* taken from a connection at a time */
    HTTP_SEND_MOST = 256 * 1024,   /* sent on a connection before the others have their turn */
    HTTP_UNSENT_MOST = 128 * 1024, /* the kernel takes no more for a client while it holds so many unsent */
    HTTP_EXTRAS_MAX = 64,          /* connections past the limit: they are for nodes */
    HTTP_EXTRA_MS = 2000           /* by then one of them has shown that it is a node's, or gets 503 */
};

/* Bytes held of incomplete requests, and no more than memory_part: where other connections leave no room in
 * it (share_has_room), a request that does not come in one piece gets 503. */
#define HTTP_BUFFERED_MAX ((size_t)256 * 1024 * 1024)

/* Bytes of requests being answered and of answers not yet sent, but for their sources, of all connections
 * together, and no more than memory_part; past it a connection is not read from while one of its requests is
 * unanswered. */
#define HTTP_ANSWERS_MAX ((size_t)64 * 1024 * 1024)

struct http_server;
struct http_exchange; /* one request and its answer to come */

/* A complete request. Everything is borrowed and valid only inside a route's `handle`. */
struct http_request {
    const struct http_head *head;
    const struct http_target *target;
    struct span body; /* decoded; not terminated */
};

/* Why a request is refused. All of it is static. */
struct http_denial {
    int status;
    const char *fields; /* see http_answer_error */
    const char *why;
};

/* One row of a service's table: what answers requests of a method and a path, and under which conditions. */
struct http_route {
    const char *method; /* GET takes HEAD, too */
    const char *path;   /* all of it, or up to a "*" at its end that stands for one or more bytes */
    /* Answers the exchange now, or keeps it and answers it later. `rest` is what the "*" stands for, decoded;
     * it lasts as long as the request. */
    void (*handle)(void *ctx, const struct http_request *request, const char *rest,
                   struct http_exchange *exchange);
    /* The longest body that a request with this head may have; called before the body is there. NULL:
     * HTTP_SMALL_BODY, which also holds where no row takes the request. */
    uint64_t (*body_limit)(void *ctx, const struct http_head *head);
    /* Optional: what the row refuses by the head alone, such as a body of another type; NULL: nothing. */
    const struct http_denial *(*denies)(const struct http_head *head);
    bool always;   /* is answered even while the service is closed */
    bool token;    /* for nodes, and only for those that the service admits: others get 401 */
    bool at_head;  /* needs no body: answered as soon as the head is there */
    bool unlisted; /* answers with a refusal of its own: Allow does not name it */
};

struct http_service {
    void *ctx;
    const struct http_route *routes; /* of several rows that take a request the first; ends with {0} */
    struct http_guard *guard;        /* see http/guard.h; NULL: any Host is right */
    /* Whether the head carries what rows with `token` ask for; NULL: everybody's does. */
    bool (*admits)(void *ctx, const struct http_head *head);
    /* Optional: why no request is taken now, but of rows that are `always` answered; NULL: they are. It lasts
     * until the next pass. */
    const struct http_denial *(*closed)(void *ctx);
    /* Optional, both: a request with this head has begun to come, and is not complete. Where watches_body
     * returns a mark other than 0, body_came gets it then and whenever more has come, until it is complete.
     * It returns how many milliseconds to leave between two 100s, which tell the client that its bytes come,
     * or 0 for none. They are sent where no earlier answer is due. */
    unsigned (*watches_body)(void *ctx, const struct http_head *head, const struct http_target *target);
    int64_t (*body_came)(void *ctx, unsigned mark);
    /* Called once a pass of the loop, after all requests that came in; returns when it must be called again
     * at the latest (monotonic milliseconds), or CLOCK_NEVER. */
    int64_t (*pass)(void *ctx, int64_t now_ms);
    /* Optional: whether the service has something to do before the server may stop, besides answers. */
    bool (*busy)(void *ctx);
    /* Optional: a connection has ended, told once: its client sends no more, or it is closed. See
     * http_exchange_connection. Not told of those that are open when the server is closed. */
    void (*ended)(void *ctx, uint64_t connection);
};

struct http_server_config {
    const char *host;
    uint16_t port;       /* 0: the kernel chooses */
    int max_connections; /* of clients; those of nodes may be HTTP_EXTRAS_MAX more */
    int64_t idle_timeout_ms;
    uint64_t memory;   /* bytes that the process may use; see memory_part */
    unsigned carriers; /* threads beside the loop's, see http/carriers.h */
};

/* Binds and listens; does not serve yet. Returns 0 or a negative errno, and then one sentence in `why`. */
int http_server_open(struct http_server **out, const struct http_server_config *config,
                     const struct http_service *service, char *why, size_t why_size);

/* The port that it listens on. */
uint16_t http_server_port(const struct http_server *server);

/* Its poll loop: the service may watch descriptors of its own with it, on the loop's thread, and takes them
 * out before http_server_close. loop_wake makes `pass` be called soon. */
struct loop *http_server_loop(struct http_server *server);

/* Starts the loop's thread. Returns 0 or a negative errno. */
int http_server_start(struct http_server *server);

/* Asks the server to stop, and returns at once. The loop waits until the service is not busy, stops
 * listening, lets the connections finish what they are answering, all that for grace_ms at most, and closes
 * all. */
void http_server_stop(struct http_server *server, int64_t grace_ms);

/* Behind http_server_stop: waits until the loop's thread has ended. Exchanges that the service still holds
 * must have been answered. loop_wake may still be called. */
void http_server_join(struct http_server *server);

/* After http_server_join, or for a server that was never started: frees all. */
void http_server_close(struct http_server *server);

/* ---- answers: each takes the exchange, which is gone then. `fields` are further field lines, each with its
 * CRLF, or NULL. A HEAD request gets the same head and no body. */

/* The body is copied. */
void http_answer(struct http_exchange *exchange, int status, const char *fields, struct span body);

/* {"error":"..."} with the formatted sentence, escaped as needed. */
void http_answer_error(struct http_exchange *exchange, int status, const char *fields, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));

/* 503 with the formatted sentence: the client may try again. */
#define HTTP_RETRY "Retry-After: 1\r\n"
#define http_answer_unavailable(exchange, ...) http_answer_error(exchange, 503, HTTP_RETRY, __VA_ARGS__)

/* Answers with the JSON that was written into the buffer and a newline, or with 503 where there was no memory
 * to write it, and frees the buffer. */
void http_answer_json(struct http_exchange *exchange, int status, const char *fields, struct buf *body);

/* A body of `before` (copied), what the source holds (NULL: nothing), and `after` (static text). */
void http_answer_source(struct http_exchange *exchange, int status, const char *fields, struct span before,
                        const struct http_source *source, const char *after);

/* A body that is written piece by piece, each as a chunk (RFC 9112 section 7.1). http_stream_begin sends the
 * head of a 200. Returns false where there will be no body: the request was HEAD, or its client has gone; the
 * exchange is gone then, too. Else it stays: give it a waiter, and one piece after the other, the first at
 * once or later, each further one only after waiter->sent was called for the one before. So no more than one
 * waits in memory, and its reader may be as slow as that of any answer. http_stream_end comes last, at any
 * time, and takes the exchange. */
bool http_stream_begin(struct http_exchange *exchange, const char *fields);

/* One piece: the text (copied), then what the source holds (NULL: nothing). Not empty. Where there was no
 * memory for the text, the connection ends. */
void http_stream_send(struct http_exchange *exchange, const struct buf *text,
                      const struct http_source *source);
void http_stream_end(struct http_exchange *exchange);

/* The first fields of an answer that no cache keeps, and of a stream of server-sent events (WHATWG HTML
 * section 9.2), which no proxy is to gather, and what that begins with: a client that has lost it comes again
 * after a second. */
#define HTTP_NO_STORE "Cache-Control: no-store\r\n"
#define HTTP_EVENT_STREAM "Content-Type: text/event-stream\r\n" HTTP_NO_STORE "X-Accel-Buffering: no\r\n"
#define HTTP_EVENTS_BEGIN "retry: 1000\n\n"

/* Whether there is memory for a further piece now: those that are under way may have half of what all answers
 * may (HTTP_ANSWERS_MAX), so that slow readers keep nobody else from being answered. */
bool http_stream_has_room(const struct http_exchange *exchange);

/* Sends an interim answer (RFC 9110 section 15.2), 100 or 102, as a sign of life; the exchange stays. Does
 * nothing where an earlier answer is still due on the connection, or the client speaks HTTP/1.0. */
void http_interim(struct http_exchange *exchange, int status);

/* Who keeps an exchange to answer it later: told of its client, as long as there is no answer. It lies in the
 * service's own struct. */
struct http_waiter {
    /* The client has gone: the exchange may be answered here, as anywhere, to get rid of it. */
    void (*gone)(struct http_waiter *waiter);
    /* Of an answer that streams: all that was given of it has left for the client. What comes next may be
     * given here or later; there will be another pass. */
    void (*sent)(struct http_waiter *waiter);
    /* Of an answer that streams, optional: the client has closed its side, and may have gone altogether. Only
     * what is sent to it now makes its kernel tell. */
    void (*ended)(struct http_waiter *waiter);
};
void http_exchange_waiter(struct http_exchange *exchange, struct http_waiter *waiter);

/* Whether no earlier request of its connection has an answer that is still to be sent. */
bool http_exchange_is_first(const struct http_exchange *exchange);
/* The number of its connection, which no other one of the server has; 0 where that has ended. */
uint64_t http_exchange_connection(const struct http_exchange *exchange);

/* The client's address, valid until the exchange is answered. */
const char *http_exchange_peer(const struct http_exchange *exchange);

/* The same without its port, as http/shares.h has it. */
uint64_t http_exchange_address(const struct http_exchange *exchange);

/* What its server has counted up to now. */
struct http_counters *http_exchange_counters(const struct http_exchange *exchange);

#endif
