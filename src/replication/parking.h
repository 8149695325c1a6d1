/* Where waiters are parked: at the gate in order of arrival, or in the queue of those who wait for the same w
 * in order of id, so that those whom an ACK releases are at the front. Those with a deadline stand in order
 * of it in one more queue. Private to the ACK count. */
#ifndef REPLICATION_PARKING_H
#define REPLICATION_PARKING_H

#include "replication/acks.h"

/* Those who wait for the same w. */
struct parking_level {
    struct queue_node node; /* in `levels` */
    int w;
    struct queue waiters;
};

/* All zero is empty and valid. */
struct parking {
    struct queue levels; /* owned, in order of w; some without waiters are kept for the next ones */
    struct queue gate;   /* those without an id */
    struct queue deadlines;
    size_t waiting;  /* those with an id */
    size_t prune_at; /* as many levels are looked through for those without waiters */
};

/* Nobody may be parked. */
void parking_free(struct parking *parking);

/* Returns false, nothing changed, where there is no memory; at the gate there always is. */
bool parking_add(struct parking *parking, struct acks_waiter *waiter);
void parking_remove(struct parking *parking, struct acks_waiter *waiter);

/* The level with the lowest w, and the one behind a level, or NULL. CONCERN_ALL and CONCERN_MAJORITY come
 * before the numbers. */
struct parking_level *parking_level_first(const struct parking *parking);
struct parking_level *parking_level_next(const struct parking_level *level);

/* The waiter at the front of the gate or of a level, and the one behind a waiter, or NULL. */
struct acks_waiter *parking_first(const struct queue *queue);
struct acks_waiter *parking_next(const struct acks_waiter *waiter);

/* The waiter whose deadline comes first, or NULL where none has one. */
struct acks_waiter *parking_earliest(const struct parking *parking);

#endif
