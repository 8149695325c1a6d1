/* The nodes of the cluster in order of what they hold: the one that holds most comes first. So the id up to
 * which w nodes hold the log is the position of the w-th one. Private to the ACK count.
 *
 * An ACK moves its node a few ranks, seldom more than one. */
#ifndef REPLICATION_RANKING_H
#define REPLICATION_RANKING_H

#include "replication/acks.h"

struct acks_member {
    uint64_t position; /* the node holds every message up to this id */
    uint64_t target;
    bool counts; /* for CONCERN_ALL: what it said has reached the target once */
    bool held;   /* it stands at 0, whatever it says */
    uint64_t said;
    size_t rank; /* its index in the ranking */
};

/* All zero is empty and valid. */
struct ranking {
    struct acks_member **nodes; /* the array is owned, the nodes are the caller's */
    size_t count;
    size_t room;
    unsigned counting; /* nodes that count for CONCERN_ALL */
    unsigned
        meant; /* nodes that the log is meant to have: "all" and "majority" never count fewer; 0: not told */
};

/* Frees the array. */
void ranking_free(struct ranking *ranking);

/* Adds a node whose position and target are filled. Returns false, nothing added, where there is no memory.
 */
bool ranking_add(struct ranking *ranking, struct acks_member *node);
void ranking_remove(struct ranking *ranking, const struct acks_member *node);

/* The node counts for CONCERN_ALL from now on. */
void ranking_count_in(struct ranking *ranking, struct acks_member *node);

/* Moves a node to a new position. */
void ranking_move(struct ranking *ranking, struct acks_member *node, uint64_t position);

/* The number of nodes that w stands for now. */
unsigned ranking_need(const struct ranking *ranking, int w);

/* How many nodes hold the id: of all of them, or for CONCERN_ALL of those that count for it. So w is reached
 * where, and only where, this is not below ranking_need. */
unsigned ranking_have(const struct ranking *ranking, uint64_t id, int w);

/* The id up to which w is reached. One node at least must be there that counts. */
uint64_t ranking_reached(const struct ranking *ranking, int w);

#endif
