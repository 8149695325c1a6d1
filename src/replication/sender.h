/* One sender for each member. Its thread does what may take long: it connects to the secondary, asks what it
 * has, sends it all that it lacks, and tries again without end when anything fails; the pause between two
 * attempts grows from SENDER_PAUSE_LEAST_MS to SENDER_PAUSE_MOST_MS, with jitter, and ends at once when the
 * secondary registers anew.
 *
 * Once the secondary has been sent all there is, the thread lends its link to the thread of the poll loop,
 * which sends what it appends and records the ACKs without a switch of threads, and waits on a condition
 * variable. The link comes back when it fails.
 *
 * All functions but sender_seen_ms belong to the loop's thread, or to the one that ended it. */
#ifndef REPLICATION_SENDER_H
#define REPLICATION_SENDER_H

#include "http/loop.h"
#include "replication/acks.h"
#include "replication/link.h"

enum { SENDER_PAUSE_LEAST_MS = 50, SENDER_PAUSE_MOST_MS = 2000 };

struct sender;

/* What all senders share; it outlives them. */
struct sender_shared {
    struct link_shared link;
    struct acks *acks;
    /* The loop has something to do: answer waiters that an ACK released, or take a link that is lent. Called
     * on senders' threads. */
    void (*wake)(void *ctx);
    void *ctx;
};

/* Where a secondary is, and which one. */
struct sender_target {
    struct http_url url;
    char run[WIRE_NAME_SIZE]; /* see link_open */
};

/* Starts the thread. `name` and `member` stay the caller's and must outlive the sender. NULL without memory
 * or descriptors. */
struct sender *sender_start(const struct sender_shared *shared, const char *name,
                            const struct sender_target *target, struct acks_member *member);

/* Called at the end of each pass of the loop, and sooner where it reads much: sends what there is on a link
 * that is lent; otherwise, where the list has `grown`, wakes the thread. Returns when it must be called
 * again. */
int64_t sender_pass(struct sender *sender, struct loop *loop, int64_t now_ms, bool grown);

/* The secondary registered anew: connects again, to this target. It counts as seen once it answers there: one
 * that registers again and again, and is not reached, is no use. */
void sender_renew(struct sender *sender, const struct sender_target *target);

/* When the secondary last answered, or registered first (monotonic milliseconds). */
int64_t sender_seen_ms(const struct sender *sender);

/* Whether the secondary has ever answered as one that follows this master. A registration alone tells what it
 * held when it was sent, and that may have been before this master was there. */
bool sender_met(const struct sender *sender);

/* Tells the thread to end, and returns at once. From then on it records no ACK: `member` may leave. */
void sender_end(struct sender *sender);

/* Whether the thread has nothing left to do, so that sender_free will not wait. */
bool sender_ended(const struct sender *sender);

/* After sender_end: joins the thread and frees everything. */
void sender_free(struct sender *sender);

#endif
