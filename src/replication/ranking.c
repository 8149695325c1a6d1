#include "replication/ranking.h"
#include <assert.h>
#include <stdlib.h>

enum { ROOM_FIRST = 8 };

void ranking_free(struct ranking *ranking)
{
    free(ranking->nodes);
    *ranking = (struct ranking){0};
}

static void ranking_put(struct ranking *ranking, struct acks_member *node, size_t rank)
{
    ranking->nodes[rank] = node;
    node->rank = rank;
}

static void ranking_swap(struct ranking *ranking, size_t a, size_t b)
{
    struct acks_member *node = ranking->nodes[a];
    ranking_put(ranking, ranking->nodes[b], a);
    ranking_put(ranking, node, b);
}

/* Moves a node whose position has changed to its rank. */
static void ranking_settle(struct ranking *ranking, struct acks_member *node)
{
    while (node->rank > 0 && ranking->nodes[node->rank - 1]->position < node->position)
        ranking_swap(ranking, node->rank, node->rank - 1);
    while (node->rank + 1 < ranking->count && ranking->nodes[node->rank + 1]->position > node->position)
        ranking_swap(ranking, node->rank, node->rank + 1);
}

static bool ranking_reserve(struct ranking *ranking)
{
    if (ranking->count < ranking->room)
        return true;
    size_t room = ranking->room > 0 ? ranking->room * 2 : ROOM_FIRST;
    void *nodes = realloc(ranking->nodes, room * sizeof(struct acks_member *));
    if (!nodes)
        return false;
    ranking->nodes = nodes;
    ranking->room = room;
    return true;
}

bool ranking_add(struct ranking *ranking, struct acks_member *node)
{
    if (!ranking_reserve(ranking))
        return false;
    node->counts = false;
    ranking_put(ranking, node, ranking->count++);
    ranking_move(ranking, node, node->position);
    return true;
}

void ranking_remove(struct ranking *ranking, const struct acks_member *node)
{
    for (size_t rank = node->rank; rank + 1 < ranking->count; rank++)
        ranking_put(ranking, ranking->nodes[rank + 1], rank);
    ranking->count--;
    ranking->counting -= node->counts;
}

void ranking_count_in(struct ranking *ranking, struct acks_member *node)
{
    ranking->counting += !node->counts;
    node->counts = true;
}

void ranking_move(struct ranking *ranking, struct acks_member *node, uint64_t position)
{
    node->position = position;
    ranking_settle(ranking, node);
    if (position >= node->target)
        ranking_count_in(ranking, node);
}

/* The number of nodes that hold the id: those of the ranks below it. */
static size_t rank_behind(const struct ranking *ranking, uint64_t id)
{
    size_t low = 0;
    size_t high = ranking->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranking->nodes[middle]->position >= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

unsigned ranking_have(const struct ranking *ranking, uint64_t id, int w)
{
    size_t behind = rank_behind(ranking, id);
    if (w != CONCERN_ALL || ranking->counting == ranking->count)
        return (unsigned)behind;
    unsigned have = 0;
    for (size_t rank = 0; rank < behind; rank++)
        have += ranking->nodes[rank]->counts;
    return have;
}

unsigned ranking_need(const struct ranking *ranking, int w)
{
    if (w == CONCERN_ALL)
        return ranking->counting > ranking->meant ? ranking->counting : ranking->meant;
    if (w == CONCERN_MAJORITY)
        return (ranking->count > ranking->meant ? (unsigned)ranking->count : ranking->meant) / 2 + 1;
    assert(w > 0);
    return (unsigned)w;
}

/* The lowest position among the nodes that count. */
static uint64_t counting_least(const struct ranking *ranking)
{
    size_t rank = ranking->count - 1;
    while (!ranking->nodes[rank]->counts)
        rank--;
    return ranking->nodes[rank]->position;
}

uint64_t ranking_reached(const struct ranking *ranking, int w)
{
    if (w == CONCERN_ALL)
        return ranking->counting < ranking->meant ? 0 : counting_least(ranking);
    unsigned need = ranking_need(ranking, w);
    return need <= ranking->count ? ranking->nodes[need - 1]->position : 0;
}
