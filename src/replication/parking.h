/* Where waiters are parked: a queue for each w, in order of id, so that those whom an ACK satisfies are at
 * the front; and a heap of those with a deadline, the earliest on top. Private to the ACK count, whose lock
 * guards it. */
#ifndef REPLICATION_PARKING_H
#define REPLICATION_PARKING_H

#include "replication/acks.h"

struct parking_level {
    int w;
    struct acks_waiter *first; /* the lowest id; NULL where nobody waits */
    struct acks_waiter *last;
};

/* All zero is empty and valid. */
struct parking {
    struct parking_level *
        *levels; /* owned, in order of w; a few without waiters are kept for the next ones */
    size_t level_count;
    size_t level_room;
    struct acks_waiter **heap; /* the array is owned, the waiters are the caller's */
    size_t heap_count;
    size_t heap_room;
    size_t waiting;
};

/* Nobody may be parked. */
void parking_free(struct parking *parking);

/* Returns false, nothing changed for the waiter, where there is no memory. */
bool parking_add(struct parking *parking, struct acks_waiter *waiter);
void parking_remove(struct parking *parking, struct acks_waiter *waiter);

/* The parked waiter whose deadline comes first, or NULL where none has one. */
struct acks_waiter *parking_earliest(const struct parking *parking);

#endif
