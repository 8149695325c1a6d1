/* GET /pending of a master: the requests that wait for ACKs or at the gate, oldest first, and for whom each
 * of them waits. Belongs to the loop's thread. */
#ifndef REPLICATION_PENDING_H
#define REPLICATION_PENDING_H

#include "replication/append.h"

enum {
    PENDING_ROWS = 100, /* where the query has no `limit` */
    /* No further row begins behind so many bytes: many members, and many who wait, would make an answer that
     * stops the loop. */
    PENDING_BYTES_MAX = 1024 * 1024
};

/* Answers with those of `append` that wait. */
void pending_answer(const struct base *base, const struct members *members, const struct append *append,
                    const struct http_request *request, struct http_exchange *exchange);

/* Whether the request, which is parked and needs so many nodes (struct acks_count), waits for this member.
 * `counting` nodes count for CONCERN_ALL. */
bool pending_waits_for(const struct acks_waiter *waiter, unsigned need, const struct member_view *member,
                       unsigned counting);

#endif
