/* The master's appends: a POST is read, waits at the gate while that is closed, is appended, waits until its
 * write concern is reached, and is answered. Also GET /messages/ID?w=, which waits for an append that was
 * made before. What waits is parked with the ACK count (acks.h) and holds no thread. Belongs to the loop's
 * thread. */
#ifndef REPLICATION_APPEND_H
#define REPLICATION_APPEND_H

#include "histogram.h"
#include "replication/gate.h"
#include "replication/members.h"

enum {
    /* Requests that wait: more that would have to get 503. Of one connection there are HTTP_PIPELINE_MAX at
     * most. */
    APPEND_WAITING_MAX = 100000,
    APPEND_ADDRESSES = 10, /* an address has no more places than are there for each of so many */
    /* memory of the messages that wait at the gate, and no more than memory_part; those for which others
     * leave no room in it (share_has_room) get 503 */
    APPEND_GATED_BYTES_MAX = 64 * 1024 * 1024
};

struct append;

/* The gate is asked before a POST is read, and again when it opens for it. NULL where there is no memory. */
struct append *append_open(struct base *base, const struct gate *gate, const struct members *members);

/* Nobody may be waiting: acks_end and append_pass come first. */
void append_close(struct append *append);

/* The longest body of a request with this head. */
uint64_t append_body_limit(const struct append *append, const struct http_head *head);

/* POST /messages: one message, or a list of them, all or none. Where its client goes away while it waits, a
 * POST whose message was appended is forgotten, and the message stays. One at the gate was not refused: it is
 * appended when the gate opens, and forgotten then. */
void append_post(struct append *append, const struct http_request *request, struct http_exchange *exchange);

/* GET /messages/ID with a `w` in its query; `text` is the ID. */
void append_wait(struct append *append, const struct http_request *request, const char *text,
                 struct http_exchange *exchange);

/* Why a POST was refused although nothing is wrong with it. */
enum append_refusal {
    APPEND_REFUSED_READ_ONLY,
    APPEND_REFUSED_FULL,    /* MAX_LOG */
    APPEND_REFUSED_WAITING, /* too many requests, or bytes, wait already */
    APPEND_REFUSED_HELD,    /* its time was over at the gate */
    APPEND_REFUSED_DISK,    /* full, or failed */
    APPEND_REFUSED_MEMORY,
    APPEND_REFUSALS
};

/* Since the start. */
struct append_counters {
    uint64_t messages, bytes;  /* appended, and announced: see append_announce */
    struct histogram answered; /* from a POST to its 201 or 202 */
    uint64_t refused[APPEND_REFUSALS];
};
const struct append_counters *append_counters(const struct append *append);

/* POSTs that wait now. */
struct append_waiting {
    uint64_t held;     /* at the gate */
    uint64_t for_acks; /* appended */
    int64_t oldest_us; /* when the oldest of them came; CLOCK_NEVER: there is none */
};
struct append_waiting append_waiting(const struct append *append);

/* The master's disk has failed: nobody waits for it any more. Who waits is answered in the next pass. */
void append_strand(struct append *append);

/* Bytes of the messages that were appended since the last append_announce. */
uint64_t append_unannounced_bytes(const struct append *append);

/* Logs what was appended: before it is sent on, so that the lines come in the order of the events. */
void append_announce(struct append *append);

/* Appends what the gate has let through, answers those whose wait is over, and logs that. Returns when it
 * must be called again. */
int64_t append_pass(struct append *append, int64_t now_ms);

#endif
