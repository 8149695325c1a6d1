/* GET /events: what the log lines say, as server-sent events, for who wants to see what a node does while it
 * does it.
 *
 * All that happens within EVENTS_WINDOW_MS is told together, in the order of enum event_kind, and what is of
 * one kind and of one member and follows on one another as one event; the first event after a quiet while is
 * told at once. So a page that is looked at costs a busy node next to nothing, and nothing at all where
 * nobody looks. What is told is written once for all readers and kept for a while; a reader is a position in
 * that, and one who falls behind is told how many events it has missed.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_EVENTS_H
#define REPLICATION_EVENTS_H

#include "buf.h"
#include "http/server.h"

enum {
    EVENTS_READERS_MAX = 64,
    EVENTS_READERS_SHARE = 32, /* of one address */
    EVENTS_WINDOW_MS = 20,
    EVENTS_AT_MS = 1000,          /* so often it is told how the node is */
    EVENTS_KEPT_BYTES = 32 * 1024 /* of text, twice; a reader gets so much at a time, and an event more */
};

struct events;

enum event_kind {
    EVENT_APPENDED, /* first, last, bytes */
    EVENT_SENT,     /* node, first, last */
    EVENT_ACK,      /* node, last, ms */
    EVENT_ANSWERED, /* last, status, w, acks, ms */
    EVENT_MEMBER,   /* node, state */
    EVENT_STORED,   /* first, last */
    EVENT_SHOWN,    /* first, last */
    EVENT_KINDS
};

struct event {
    enum event_kind kind;
    const char *node;  /* the member's id; copied */
    const char *state; /* static */
    uint64_t first, last, bytes;
    double ms;
    int status;
    unsigned w, acks;
};

/* NULL where there is no memory. */
struct events *events_open(void);

/* Ends what readers are left. The loop must not run any more. NULL is harmless. */
void events_close(struct events *events);

/* Whether anybody reads. NULL, where nobody can, is harmless. */
bool events_watched(const struct events *events);

/* Tells an event to those who read: events_tell(events, .kind = EVENT_ACK, .node = id, …). Nothing is spent
 * on it where nobody does. */
#define events_tell(events, ...)                                                                             \
    do {                                                                                                     \
        if (events_watched(events))                                                                          \
            events_add((events), &(struct event){__VA_ARGS__});                                              \
    } while (0)
void events_add(struct events *events, const struct event *event);

/* GET /events. `at` says how the node is: what GET /health answers. */
void events_begin(struct events *events, const struct buf *at, struct http_exchange *exchange);

/* Whether it is time to tell how the node is, and to tell it. */
bool events_at_is_due(const struct events *events, int64_t now_ms);
void events_at(struct events *events, const struct buf *at, int64_t now_ms);

/* The node stops: the streams end. */
void events_stop(struct events *events);

/* Sends what is to be told. Returns when it must be called again. */
int64_t events_pass(struct events *events, int64_t now_ms);

#endif
