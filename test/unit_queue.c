/* The ordered queue, beside a plain array that is kept in order. */
#include "replication/queue.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

TestSuite(queue, .timeout = 60);

enum { NODES = 300, STEPS = 20000 };

/* What a queue should be. */
struct model {
    struct queue_node *nodes[NODES];
    size_t count;
};

static void model_add(struct model *model, struct queue_node *node, uint64_t key)
{
    size_t at = model->count++;
    for (; at > 0 && model->nodes[at - 1]->key > key; at--)
        model->nodes[at] = model->nodes[at - 1];
    model->nodes[at] = node;
}

static void model_remove(struct model *model, size_t at)
{
    model->count--;
    memmove(model->nodes + at, model->nodes + at + 1, (model->count - at) * sizeof *model->nodes);
}

static void assert_equal(const struct queue *queue, const struct model *model)
{
    struct queue_node *node = queue_first(queue);
    for (size_t i = 0; i < model->count; i++, node = queue_next(node))
        cr_assert_eq(node, model->nodes[i]);
    cr_assert_null(node);
}

/* Adds and removes at random, `adds` of 100 times the one; keys are below `keys`, so that many are equal. */
static void play(unsigned seed, int adds, uint64_t keys)
{
    struct queue queue = {0};
    struct model model = {.count = 0};
    struct queue_node nodes[NODES];
    struct queue_node *spare[NODES];
    for (size_t i = 0; i < NODES; i++)
        spare[i] = &nodes[i];
    for (int step = 0; step < STEPS; step++) {
        bool add = model.count == 0 || (model.count < NODES && rand_r(&seed) % 100 < adds);
        if (add) {
            uint64_t key = (uint64_t)rand_r(&seed) % keys;
            struct queue_node *node = spare[NODES - 1 - model.count];
            queue_add(&queue, node, key);
            model_add(&model, node, key);
        } else {
            size_t at = rand_r(&seed) % 2 ? 0 : (size_t)rand_r(&seed) % model.count;
            struct queue_node *node = model.nodes[at];
            queue_remove(&queue, node);
            model_remove(&model, at);
            spare[NODES - 1 - model.count] = node;
        }
        if (step % 16 == 0)
            assert_equal(&queue, &model);
    }
}

Test(queue, nodes_stand_in_order_of_key_and_of_arrival)
{
    play(1, 50, 10);
    play(2, 50, UINT64_MAX);
    play(3, 60, 100);
    play(4, 40, 3);
    play(5, 55, 1);
}

Test(queue, the_first_node_from_a_key_on_is_found)
{
    struct queue queue = {0};
    struct queue_node nodes[100];
    cr_assert_null(queue_from(&queue, 0));
    for (uint64_t i = 0; i < 100; i++)
        queue_add(&queue, &nodes[i], i * 37 % 100 * 2);
    cr_assert_null(queue_from(&queue, 199));
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t key = i * 37 % 100 * 2;
        cr_assert_eq(queue_from(&queue, key), &nodes[i]);
        cr_assert(key == 0 || queue_from(&queue, key - 1) == &nodes[i]);
    }
}

/* The most nodes from the root to a leaf. */
static size_t height(const struct queue_node *node)
{
    if (!node)
        return 0;
    size_t before = height(node->child[0]);
    size_t behind = height(node->child[1]);
    return 1 + (before > behind ? before : behind);
}

Test(queue, a_hundred_thousand_nodes_are_a_few_steps_away_however_they_came)
{
    enum { COUNT = 100000, STEPS_MAX = 500 };
    struct queue_node *nodes = calloc(COUNT, sizeof *nodes);
    for (uint64_t factor = 0; factor < 3; factor++) {
        static const uint64_t factors[] = {1, COUNT - 1, 7919}; /* rising, falling, in no order */
        struct queue queue = {0};
        for (uint64_t i = 0; i < COUNT; i++)
            queue_add(&queue, &nodes[i], i * factors[factor] % COUNT);
        cr_assert_leq(height(queue.root), STEPS_MAX);
        for (size_t i = 0; i < COUNT / 2; i++)
            queue_remove(&queue, queue_first(&queue));
        cr_assert_leq(height(queue.root), STEPS_MAX);
    }
    free(nodes);
}
