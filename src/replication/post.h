/* A request that appends, or waits for what was appended. append.c has them; who writes their answers, their
 * log lines and the list of those that wait looks at them here. */
#ifndef REPLICATION_POST_H
#define REPLICATION_POST_H

#include "replication/acks.h"
#include "replication/append_request.h"

struct post {
    struct acks_waiter
        waiter; /* first, so that a released waiter is its post; of several messages the last */
    struct http_waiter http;
    struct http_exchange *exchange;
    struct post *next; /* spare */
    bool is_get;
    bool gone;           /* its client, while it waited at the gate */
    struct share *share; /* of its client's address; NULL: it does not wait */
    int64_t began_us;
    int64_t deadline_ms;     /* of all its waits; at the gate it may have an earlier one */
    uint64_t expect;         /* the id that the first message is to get; 0: any */
    struct receipt *receipt; /* NULL: none is wanted */
    struct append_messages messages;
};

/* The id of the first message; the last one has its id. */
static inline uint64_t post_first(const struct post *post)
{
    return post->waiter.id - (post->messages.count - 1);
}

#endif
