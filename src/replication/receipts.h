/* Receipts: when each node came to hold a message, for the few requests that ask for that (?receipt=1). While
 * nobody asks, an ACK costs no more than a look at an empty queue.
 *
 * A receipt awaits one id. members.c tells of each position that a member proves; the receipts whose ids it
 * has reached by that note the time. A member without a note that holds the message did so before the receipt
 * awaited it. All zero is an empty struct receipts. Belongs to the loop's thread. */
#ifndef REPLICATION_RECEIPTS_H
#define REPLICATION_RECEIPTS_H

#include "buf.h"
#include "replication/queue.h"
#include <stdbool.h>

struct receipts {
    struct queue by_id; /* those that await an id */
};

struct receipt;
struct members;

/* Its request begins now. NULL where there is no memory. */
struct receipt *receipt_new(void);

/* Awaits the nodes. What holds the message already does so from now on, or did when the request began. Called
 * once at most. */
void receipt_await(struct receipts *receipts, struct receipt *receipt, uint64_t id, bool was_there);
void receipt_free(struct receipts *receipts, struct receipt *receipt);

static inline bool receipts_wanted(const struct receipts *receipts)
{
    return queue_first(&receipts->by_id) != NULL;
}

/* The member of that number has proven that it holds the list up to `position`; before that, as far as the
 * master knew, it held the list up to `known`. The master itself, whose disk may be later than its memory, is
 * RECEIPTS_MASTER. */
enum { RECEIPTS_MASTER = 0 };
void receipts_ack(struct receipts *receipts, uint64_t member, uint64_t known, uint64_t position);

/* Adds the array for the answer: [{"id":"master","ms":0.0},{"id":"s1","ms":0.2},{"id":"s2","ms":null}], the
 * milliseconds since the request began, null for a node that does not hold the id now; `held` is where the
 * master is. Sets out->failed
 * where there is no memory. */
void receipt_write(const struct receipt *receipt, const struct members *members, uint64_t held, uint64_t id,
                   struct buf *out);

#endif
