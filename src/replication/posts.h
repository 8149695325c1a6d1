/* The master's appends: a POST is read, appended, parked until its write concern holds, and answered. While
 * it is not known yet which list this will be, POSTs are held before they are appended, each as long as its
 * time lasts: during a take-over, and as long as registry.c says. Also GET /messages/ID?w=, which waits for
 * an append that was made before. All of it belongs to the loop's thread. */
#ifndef REPLICATION_POSTS_H
#define REPLICATION_POSTS_H

#include "http/server.h"
#include "log/log.h"
#include "replication/acks.h"

enum {
    POSTS_WAITING_MAX = 100000,             /* requests that wait; more that would have to get 503 */
    POSTS_HELD_BYTES_MAX = 64 * 1024 * 1024 /* memory of the messages that are held; past it: 503 */
};

struct posts;

struct posts_config {
    struct log *log;
    struct acks *acks;
    size_t max_message;
    int write_concern;
    int64_t ack_timeout_ms; /* 0: wait for ever */
    /* Whether appends are allowed now; where not, the exchange is answered. Asked for those that were held.
     */
    bool (*allowed)(void *ctx, struct http_exchange *exchange);
    /* Whether the preconditions of a request hold that is good but for them; where not, the exchange is
     * answered. */
    bool (*condition)(void *ctx, const struct http_request *request, struct http_exchange *exchange);
    void *ctx;
};

/* NULL where there is no memory. */
struct posts *posts_open(const struct posts_config *config);

/* Nobody may be waiting: acks_end and posts_pass come first. */
void posts_close(struct posts *posts);

/* The longest body of a request with this head. */
uint64_t posts_body_limit(const struct posts *posts, const struct http_head *head);

/* POST /messages. The caller has made sure that appends are allowed. */
void posts_append(struct posts *posts, const struct http_request *request, struct http_exchange *exchange);

/* GET /messages/ID with a `w` in its query; `text` is the ID. */
void posts_wait(struct posts *posts, const struct http_request *request, const char *text,
                struct http_exchange *exchange);

/* From now on POSTs are held, or no more: then those that were are appended. */
void posts_hold(struct posts *posts, bool hold);

/* Whether an append would be held now. */
bool posts_held_back(const struct posts *posts);

/* Whether some POST is held. */
bool posts_any_held(const struct posts *posts);

/* The client of a request that waits has gone; `waiter` is what http_exchange_waiter was told. One that waits
 * for ACKs is forgotten, and its message stays. One that is held waits on: it was not refused, so it is
 * appended, and forgotten then. */
void posts_gone(struct posts *posts, void *waiter);

/* Whether some POST was appended since the program started. */
bool posts_appended(const struct posts *posts);

/* Bytes of the messages that were appended since the last posts_announce. */
uint64_t posts_unannounced_bytes(const struct posts *posts);

/* Logs what was appended: before it is sent on, so that the lines come in the order of the events. */
void posts_announce(struct posts *posts);

/* Answers those whose wait is over, held ones with 503, and logs that. Returns when it must be called again.
 */
int64_t posts_pass(struct posts *posts, int64_t now_ms);

/* Answers the held ones with 503: the program stops. */
void posts_refuse_held(struct posts *posts);

#endif
