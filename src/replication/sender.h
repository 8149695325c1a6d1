/* One sender thread for each member: it connects to the secondary, sends it all that it does not have,
 * records its ACKs, keeps the link alive with signs of life, and tries again without end when anything fails.
 * The pause between two attempts grows from SENDER_PAUSE_LEAST_MS to SENDER_PAUSE_MOST_MS, with jitter, and
 * ends at once when the secondary registers anew.
 *
 * Any thread may call; sender_end and sender_free are for the one that started it. */
#ifndef REPLICATION_SENDER_H
#define REPLICATION_SENDER_H

#include "replication/acks.h"
#include "replication/link.h"

enum { SENDER_PAUSE_LEAST_MS = 50, SENDER_PAUSE_MOST_MS = 2000 };

struct sender;

/* What all senders share; it outlives them. */
struct sender_shared {
    struct link_shared link;
    struct acks *acks;
    void (*released)(void *ctx); /* an ACK has released waiters; called on a sender's thread */
    void *ctx;
};

/* Starts the thread. `name` and `member` stay the caller's and must outlive the sender. NULL without memory
 * or descriptors. */
struct sender *sender_start(const struct sender_shared *shared, const char *name, const struct http_url *url,
                            struct acks_member *member);

/* The list has grown. Cheap where the thread is awake. */
void sender_wake(struct sender *sender);

/* The secondary registered anew: connects again, to this URL. */
void sender_renew(struct sender *sender, const struct http_url *url);

/* When the secondary last showed a sign of life (monotonic milliseconds). */
int64_t sender_seen_ms(const struct sender *sender);

/* Tells the thread to end, and returns at once. From then on it records no ACK: `member` may leave. */
void sender_end(struct sender *sender);

/* Whether the thread has nothing left to do, so that sender_free will not wait. */
bool sender_ended(const struct sender *sender);

/* After sender_end: joins the thread and frees everything. */
void sender_free(struct sender *sender);

#endif
