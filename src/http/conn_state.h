/* The inside of a connection, shared by the files that make it up: conn.c (its life, and what it waits for),
 * conn_requests.c (bytes in, requests out to the service) and conn_answers.c (answers back, in order). All of
 * it runs on the loop's thread. */
#ifndef HTTP_CONN_STATE_H
#define HTTP_CONN_STATE_H

#include "http/conn.h"
#include "http/exchange.h"

enum conn_state {
    CONN_OPEN,
    CONN_ENDING, /* takes no further request; closes behind its last answer */
    CONN_LINGER, /* all is sent and our side closed; drops what still comes in */
    CONN_CLOSED
};

/* The request that is being received: what is known once its head is there. */
struct receiving {
    bool head_done;
    size_t scanned; /* see http_parse_request */
    size_t head_len;
    size_t need;     /* bytes without which the request is not complete; for a chunked body unknown: 0 */
    size_t raw;      /* chunked: bytes looked at, head included */
    size_t body_len; /* chunked: bytes decoded, which lie right behind the head */
    uint64_t limit;  /* the longest body allowed */
    struct http_chunked chunked;
    bool owes_continue;
    unsigned watched; /* the mark with which the service is told when more of it has come; 0: it is not */
    int64_t tell_ms;  /* watched: when the client is told next that it has */
    int64_t began_ms; /* since when the client may send the rest; 0: not now */
};

struct http_conn {
    struct loop_watch watch; /* first, so that a watch is its connection */
    struct conn_shared *shared;
    struct http_conn *prev, *next;
    struct http_conn *touched_next;
    bool touched;
    struct http_conn *turns_next;
    bool has_turn;
    enum conn_state state;
    short events;
    bool eof;                /* the client sends no more */
    bool paused;             /* `in` may hold whole requests that had to wait for room */
    bool blocked;            /* more is ready to be sent: the socket is full, or the others have their turn */
    int64_t progress_ms;     /* blocked: when the client last took something */
    int unsent;              /* blocked: bytes in the socket then */
    int64_t linger_until_ms; /* CONN_LINGER: at the latest */
    size_t lingered;         /* CONN_LINGER: bytes dropped */
    bool turned_away;
    char peer[HTTP_PEER_SIZE];
    struct buf in; /* bytes from the start of an incomplete request on */
    struct receiving receiving;
    struct buf interim; /* interim answers, sent before the first exchange's */
    struct http_exchange *first, *last;
    int exchanges;
};

/* ---- conn.c */

void conn_close(struct http_conn *conn);

/* Whether another request may be taken now. */
bool conn_takes_requests(const struct http_conn *conn);

/* ---- conn_requests.c */

/* Reads once, and hands on the requests that are whole. */
void conn_read(struct http_conn *conn);

/* Hands on the kept requests that had to wait. */
void conn_take_kept(struct http_conn *conn);

/* Answers a request that cannot be served, and ends the connection behind it: where the next request would
 * start is not known, or not wanted. `in` is what is there of the request. */
void conn_refuse(struct http_conn *conn, struct span in, int status, const char *why);

/* Gives the kept bytes back. */
void conn_release_in(struct http_conn *conn);

/* ---- conn_answers.c */

/* Sends what is ready until nothing is, the socket is full or others are to have their turn. */
void conn_send(struct http_conn *conn);

/* Adds an interim answer to what is sent next. */
void conn_add_interim(struct http_conn *conn, int status);

/* Whether the client of a blocked connection has taken something within its time. */
bool conn_drains(struct http_conn *conn);

/* Behind the last answer of an ending connection. */
void conn_end(struct http_conn *conn);

/* Drops what still comes in. */
void conn_linger(struct http_conn *conn);

#endif
