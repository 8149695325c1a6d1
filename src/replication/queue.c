/* A treap: a search tree by key in which no node is above one of higher priority. Priorities are random, and
 * fifteen of sixteen nodes have the lowest one, fifteen of sixteen of the others the second lowest, and so
 * on: so the tree's height grows with the logarithm of the count, and yet a node that is added at the end, or
 * removed at the front, is nearly always linked in, or out, without a rotation. */
#include "replication/queue.h"
#include <stdbool.h>

enum { BEFORE, AFTER };

/* Puts `node`, which may be NULL, in the place of `old` under the parent of `old`. */
static void put_in_place(struct queue *queue, const struct queue_node *old, struct queue_node *node)
{
    struct queue_node *parent = old->parent;
    if (parent)
        parent->child[parent->child[AFTER] == old] = node;
    else
        queue->root = node;
    if (node)
        node->parent = parent;
}

/* A rotation: the node changes places with its parent. */
static void rise(struct queue *queue, struct queue_node *node)
{
    struct queue_node *parent = node->parent;
    int side = parent->child[AFTER] == node;
    struct queue_node *between = node->child[!side];
    put_in_place(queue, parent, node);
    node->child[!side] = parent;
    parent->parent = node;
    parent->child[side] = between;
    if (between)
        between->parent = parent;
}

/* The node beside this one, or NULL. */
static struct queue_node *beside(const struct queue_node *node, int side)
{
    struct queue_node *child = node->child[side];
    if (child) {
        while (child->child[!side])
            child = child->child[!side];
        return child;
    }
    while (node->parent && node->parent->child[side] == node)
        node = node->parent;
    return node->parent;
}

/* The leaf, or nearly a leaf, under which a new last node of this key goes. */
static struct queue_node *parent_for(const struct queue *queue, uint64_t key)
{
    struct queue_node *last = queue->end[AFTER];
    if (!last || last->key <= key)
        return last;
    struct queue_node *parent = queue->root;
    for (struct queue_node *at = parent; at; at = at->child[at->key <= key])
        parent = at;
    return parent;
}

/* A client that could foresee the priorities could choose ids that make a list of the tree: so the address of
 * a node goes into the random numbers. */
static uint32_t priority_for(struct queue *queue, const struct queue_node *node)
{
    if (!queue->root)
        queue->random ^= (uint32_t)(uintptr_t)node;
    queue->random = queue->random * 1664525 + 1013904223;
    return (uint32_t)__builtin_clz(queue->random | 1) / 4;
}

void queue_add(struct queue *queue, struct queue_node *node, uint64_t key)
{
    struct queue_node *parent = parent_for(queue, key);
    *node = (struct queue_node){.key = key, .priority = priority_for(queue, node), .parent = parent};
    if (parent)
        parent->child[parent->key <= key] = node;
    else
        queue->root = node;
    for (int side = BEFORE; side <= AFTER; side++)
        if (queue->end[side] == parent && (!parent || parent->child[side] == node))
            queue->end[side] = node;
    while (node->parent && node->parent->priority < node->priority)
        rise(queue, node);
}

void queue_remove(struct queue *queue, struct queue_node *node)
{
    for (int side = BEFORE; side <= AFTER; side++)
        if (queue->end[side] == node)
            queue->end[side] = beside(node, !side);
    while (node->child[BEFORE] && node->child[AFTER])
        rise(queue, node->child[node->child[BEFORE]->priority < node->child[AFTER]->priority]);
    put_in_place(queue, node, node->child[node->child[AFTER] != NULL]);
}

struct queue_node *queue_next(const struct queue_node *node)
{
    return beside(node, AFTER);
}

struct queue_node *queue_from(const struct queue *queue, uint64_t key)
{
    struct queue_node *found = NULL;
    for (struct queue_node *at = queue->root; at;) {
        if (at->key >= key)
            found = at;
        at = at->child[at->key < key];
    }
    return found;
}
