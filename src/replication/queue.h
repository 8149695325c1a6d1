/* An ordered queue: its nodes stand in order of a number, the key; nodes with equal keys stand in the order
 * in which they were added. A node is a part of the struct that is queued, so that nothing is allocated.
 * Adding at the end and removing at the front, which is what nearly always happens, takes the same few steps
 * however long the queue is; adding and removing anywhere else takes a number of steps that grows with its
 * logarithm.
 *
 * Private to the ACK count. */
#ifndef REPLICATION_QUEUE_H
#define REPLICATION_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/* All fields belong to the queue from queue_add to queue_remove; the key may be read. */
struct queue_node {
    uint64_t key;
    uint32_t priority;
    struct queue_node *parent;
    struct queue_node *child[2];
};

/* All zero is empty and valid. */
struct queue {
    struct queue_node *end[2]; /* the first node and the last one; NULL: empty */
    struct queue_node *root;
    uint32_t random;
};

/* Adds a node, behind all whose keys are not above its own. */
void queue_add(struct queue *queue, struct queue_node *node, uint64_t key);
void queue_remove(struct queue *queue, struct queue_node *node);

/* The node with the lowest key, or NULL. */
static inline struct queue_node *queue_first(const struct queue *queue)
{
    return queue->end[0];
}

/* The node behind this one, or NULL. */
struct queue_node *queue_next(const struct queue_node *node);

/* The first node whose key is not below this one, or NULL. */
struct queue_node *queue_from(const struct queue *queue, uint64_t key);

#endif
