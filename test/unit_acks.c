#include "failing_malloc.h"

#include "clock.h"
#include "replication/acks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <time.h>

TestSuite(acks, .timeout = 60);

/* ---- helpers */

/* An ACK count whose master holds `last_id` messages. */
static struct acks *acks_with(uint64_t last_id)
{
    struct acks *acks = acks_open(0);
    cr_assert_not_null(acks);
    acks_appended(acks, last_id);
    return acks;
}

static struct acks_member *join(struct acks *acks, uint64_t position, uint64_t target)
{
    struct acks_member *member = acks_join(acks, position, target);
    cr_assert_not_null(member);
    return member;
}

/* A member that has nothing to catch up with. */
static struct acks_member *join_at(struct acks *acks, uint64_t position)
{
    return join(acks, position, position);
}

static struct acks_waiter waiter_for(uint64_t id, int w)
{
    return (struct acks_waiter){.id = id, .w = w, .deadline_ms = CLOCK_NEVER};
}

static void park(struct acks *acks, struct acks_waiter *waiter)
{
    cr_assert(acks_park(acks, waiter));
}

/* How many are parked, at the gate too. */
static void count_one(void *ctx, struct acks_waiter *waiter)
{
    (void)waiter;
    ++*(size_t *)ctx;
}

static size_t waiting(struct acks *acks)
{
    size_t count = 0;
    acks_each(acks, count_one, &count);
    return count;
}

/* Takes the next released waiter out of a list that was taken. */
static struct acks_waiter *next_of(struct acks_waiter **released)
{
    struct acks_waiter *waiter = *released;
    if (waiter)
        *released = waiter->next;
    return waiter;
}

/* Whether just this waiter was released, for this reason. */
static bool only_released(struct acks *acks, const struct acks_waiter *waiter, enum acks_outcome outcome)
{
    struct acks_waiter *released = acks_take_released(acks);
    return released == waiter && released->next == NULL && released->outcome == outcome;
}

static bool nobody_released(struct acks *acks)
{
    return acks_take_released(acks) == NULL;
}

/* Ends whoever still waits, and closes. */
static void close_all(struct acks *acks, struct acks_member *const *members, size_t count)
{
    acks_end(acks);
    acks_take_released(acks);
    for (size_t i = 0; i < count; i++)
        acks_leave(acks, members[i]);
    acks_close(acks);
}

#define CLOSE(acks, ...)                                                                                     \
    close_all(acks, (struct acks_member *[]){__VA_ARGS__},                                                   \
              sizeof((struct acks_member *[]){__VA_ARGS__}) / sizeof(struct acks_member *))

/* ---- numbers of nodes */

Test(acks, one_node_is_the_master_alone)
{
    struct acks *acks = acks_with(5);
    struct acks_waiter waiter = waiter_for(5, 1);
    cr_assert(!acks_park(acks, &waiter));
    cr_assert_eq(waiter.outcome, ACKS_REACHED);
    cr_assert_eq(waiter.count.need, 1);
    cr_assert_eq(waiter.count.have, 1);
    acks_close(acks);
}

Test(acks, closing_no_count_is_harmless)
{
    acks_close(NULL);
}

Test(acks, the_last_ack_needed_releases_the_waiter)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, 3);
    park(acks, &waiter);
    acks_record(acks, a, 1);
    cr_assert(nobody_released(acks));
    cr_assert_eq(waiting(acks), 1);
    acks_record(acks, b, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    cr_assert_eq(waiter.count.need, 3);
    cr_assert_eq(waiter.count.have, 3);
    cr_assert_eq(waiting(acks), 0);
    CLOSE(acks, a, b);
}

Test(acks, a_repeated_ack_counts_once)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, 3);
    park(acks, &waiter);
    for (int i = 0; i < 5; i++)
        acks_record(acks, a, 1);
    cr_assert(nobody_released(acks));
    cr_assert_eq(acks_count(acks, 1, 3).have, 2);
    CLOSE(acks, a, b);
}

Test(acks, an_ack_for_a_later_id_counts_for_all_before_it)
{
    struct acks *acks = acks_with(9);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiters[3] = {waiter_for(3, 2), waiter_for(4, 2), waiter_for(9, 2)};
    for (int i = 0; i < 3; i++)
        park(acks, &waiters[i]);
    acks_record(acks, a, 8);
    cr_assert_eq(waiting(acks), 1);
    cr_assert_eq(acks_take_released(acks), &waiters[0]);
    cr_assert_eq(waiters[0].next, &waiters[1]);
    cr_assert_null(waiters[1].next);
    CLOSE(acks, a);
}

Test(acks, a_member_may_be_ahead_of_what_the_master_told)
{
    struct acks *acks = acks_with(0);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, 2);
    acks_record(acks, a, 1);
    cr_assert_eq(acks_count(acks, 1, 2).have, 1);
    park(acks, &waiter);
    acks_appended(acks, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a);
}

Test(acks, old_news_of_the_masters_list_change_nothing)
{
    struct acks *acks = acks_with(7);
    acks_appended(acks, 3);
    cr_assert(nobody_released(acks));
    cr_assert_eq(acks_count(acks, 7, 1).have, 1);
    cr_assert_eq(acks_count(acks, 8, 1).have, 0);
    acks_close(acks);
}

Test(acks, a_member_that_comes_back_empty_holds_nothing_any_more)
{
    struct acks *acks = acks_with(5);
    struct acks_member *a = join_at(acks, 5);
    struct acks_member *b = join_at(acks, 5);
    struct acks_waiter waiter = waiter_for(5, 3);
    acks_record(acks, a, 0);
    cr_assert(nobody_released(acks));
    cr_assert_eq(acks_position(acks, a), 0);
    cr_assert_eq(acks_position(acks, b), 5);
    cr_assert_eq(acks_count(acks, 5, 3).have, 2);
    park(acks, &waiter);
    acks_record(acks, a, 4);
    cr_assert(nobody_released(acks));
    acks_record(acks, a, 5);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a, b);
}

Test(acks, more_nodes_than_there_are_waits_for_a_member_to_join)
{
    struct acks *acks = acks_with(2);
    struct acks_member *a = join_at(acks, 2);
    struct acks_member *b;
    struct acks_waiter waiter = waiter_for(2, 3);
    park(acks, &waiter);
    cr_assert_eq(acks_count(acks, 2, 3).need, 3);
    b = join(acks, 1, 2);
    cr_assert(nobody_released(acks));
    acks_record(acks, b, 2);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a, b);
}

Test(acks, a_member_that_joins_with_the_message_releases_at_once)
{
    struct acks *acks = acks_with(2);
    struct acks_member *a;
    struct acks_waiter waiter = waiter_for(2, 2);
    park(acks, &waiter);
    a = join(acks, 2, 2);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a);
}

Test(acks, a_member_that_left_does_not_count)
{
    struct acks *acks = acks_with(2);
    struct acks_member *a = join_at(acks, 2);
    struct acks_member *b = join_at(acks, 1);
    acks_leave(acks, a);
    cr_assert(nobody_released(acks));
    cr_assert_eq(acks_count(acks, 2, 2).have, 1);
    cr_assert_eq(acks_count(acks, 1, 2).have, 2);
    CLOSE(acks, b);
}

/* ---- all */

Test(acks, all_is_the_master_and_every_member)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, CONCERN_ALL);
    park(acks, &waiter);
    acks_record(acks, a, 1);
    cr_assert(nobody_released(acks));
    acks_record(acks, b, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    cr_assert_eq(waiter.count.need, 3);
    cr_assert_eq(waiter.count.have, 3);
    CLOSE(acks, a, b);
}

Test(acks, all_is_the_master_alone_where_there_is_no_member)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter = waiter_for(1, CONCERN_ALL);
    cr_assert(!acks_park(acks, &waiter));
    cr_assert_eq(waiter.count.need, 1);
    acks_close(acks);
}

Test(acks, a_member_that_leaves_releases_who_waited_for_all)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 1);
    struct acks_member *b = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, CONCERN_ALL);
    park(acks, &waiter);
    acks_leave(acks, b);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    cr_assert_eq(waiter.count.need, 2);
    cr_assert_eq(waiter.count.have, 2);
    CLOSE(acks, a);
}

Test(acks, a_newcomer_with_a_long_way_to_go_does_not_hold_up_all)
{
    struct acks *acks = acks_with(1000);
    struct acks_member *a = join_at(acks, 1000);
    struct acks_member *newcomer = join(acks, 0, 1000);
    struct acks_waiter waiter = waiter_for(1000, CONCERN_ALL);
    cr_assert(!acks_park(acks, &waiter));
    acks_record(acks, newcomer, 999);
    acks_appended(acks, 1001);
    waiter = waiter_for(1001, CONCERN_ALL);
    park(acks, &waiter);
    acks_record(acks, a, 1001);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    cr_assert_eq(waiter.count.need, 2);
    CLOSE(acks, a, newcomer);
}

Test(acks, a_newcomer_that_has_caught_up_counts_for_all)
{
    struct acks *acks = acks_with(1001);
    struct acks_member *newcomer = join(acks, 0, 1000);
    struct acks_waiter waiter = waiter_for(1001, CONCERN_ALL);
    cr_assert_eq(acks_count(acks, 1001, CONCERN_ALL).need, 1);
    acks_record(acks, newcomer, 1000);
    cr_assert_eq(acks_count(acks, 1001, CONCERN_ALL).need, 2);
    park(acks, &waiter);
    acks_record(acks, newcomer, 1001);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, newcomer);
}

Test(acks, a_member_that_counted_once_counts_for_good)
{
    struct acks *acks = acks_with(10);
    struct acks_member *a = join(acks, 10, 10);
    struct acks_waiter waiter = waiter_for(10, CONCERN_ALL);
    acks_record(acks, a, 0);
    cr_assert_eq(acks_count(acks, 10, CONCERN_ALL).need, 2);
    park(acks, &waiter);
    acks_record(acks, a, 9);
    cr_assert(nobody_released(acks));
    acks_record(acks, a, 10);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a);
}

Test(acks, one_that_does_not_count_for_all_is_no_ack_for_all_either)
{
    struct acks *acks = acks_with(10);
    struct acks_member *a = join(acks, 9, 9);
    struct acks_member *newcomer = join(acks, 10, 11);
    struct acks_waiter waiter = waiter_for(10, CONCERN_ALL);
    waiter.deadline_ms = 100;
    park(acks, &waiter);
    acks_expire(acks, 100);
    cr_assert(only_released(acks, &waiter, ACKS_LATE));
    cr_assert_eq(waiter.count.need, 2);
    cr_assert_eq(waiter.count.have, 1);
    cr_assert_eq(acks_count(acks, 10, 2).have, 2);
    CLOSE(acks, a, newcomer);
}

/* ---- the nodes that a log is meant to have */

Test(acks, nodes_that_have_not_come_count_for_a_majority)
{
    struct acks *acks = acks_open(5);
    acks_appended(acks, 1);
    cr_assert_eq(acks_count(acks, 1, CONCERN_MAJORITY).need, 3);
    struct acks_member *a = join_at(acks, 1);
    struct acks_waiter waiter = waiter_for(1, CONCERN_MAJORITY);
    park(acks, &waiter);
    struct acks_member *b = join_at(acks, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a, b);
}

Test(acks, nodes_that_have_not_come_count_for_all)
{
    struct acks *acks = acks_open(3);
    acks_appended(acks, 1);
    struct acks_member *a = join_at(acks, 1);
    struct acks_waiter waiter = waiter_for(1, CONCERN_ALL);
    park(acks, &waiter);
    cr_assert(acks_count(acks, 1, CONCERN_ALL).need == 3 && nobody_released(acks));
    struct acks_member *b = join_at(acks, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a, b);
}

Test(acks, more_nodes_than_were_meant_count_too)
{
    struct acks *acks = acks_open(2);
    acks_appended(acks, 1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    struct acks_member *c = join_at(acks, 0);
    cr_assert(acks_count(acks, 1, CONCERN_MAJORITY).need == 3 && acks_count(acks, 1, CONCERN_ALL).need == 4);
    CLOSE(acks, a, b, c);
}

/* ---- majority */

Test(acks, a_majority_is_more_than_half_of_all_nodes)
{
    static const unsigned needs[] = {1, 2, 2, 3, 3, 4, 4};
    enum { MEMBERS = sizeof needs / sizeof *needs };
    struct acks *acks = acks_with(1);
    struct acks_member *members[MEMBERS];
    for (size_t i = 0; i < MEMBERS; i++) {
        cr_assert_eq(acks_count(acks, 1, CONCERN_MAJORITY).need, needs[i], "%zu members", i);
        members[i] = join_at(acks, 0);
    }
    close_all(acks, members, MEMBERS);
}

Test(acks, a_majority_does_not_wait_for_the_slowest)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, CONCERN_MAJORITY);
    park(acks, &waiter);
    acks_record(acks, b, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    cr_assert_eq(waiter.count.need, 2);
    cr_assert_eq(waiter.count.have, 2);
    CLOSE(acks, a, b);
}

Test(acks, newcomers_count_for_a_majority_from_the_start)
{
    struct acks *acks = acks_with(9);
    struct acks_member *a = join(acks, 0, 9);
    struct acks_waiter waiter = waiter_for(9, CONCERN_MAJORITY);
    cr_assert_eq(acks_count(acks, 9, CONCERN_MAJORITY).need, 2);
    park(acks, &waiter);
    CLOSE(acks, a);
    cr_assert_eq(waiter.outcome, ACKS_ENDED);
}

Test(acks, members_that_leave_make_the_majority_smaller)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 1);
    struct acks_member *b = join_at(acks, 0);
    struct acks_member *c = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, CONCERN_MAJORITY);
    park(acks, &waiter);
    acks_leave(acks, c);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    cr_assert_eq(waiter.count.need, 2);
    CLOSE(acks, a, b);
}

/* ---- deadlines */

Test(acks, a_waiter_whose_time_is_over_is_told_who_holds_it)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 1);
    struct acks_waiter waiter = waiter_for(1, 3);
    waiter.deadline_ms = 100;
    park(acks, &waiter);
    cr_assert_eq(acks_expire(acks, 99), 100);
    cr_assert(nobody_released(acks));
    cr_assert_eq(acks_expire(acks, 100), CLOCK_NEVER);
    cr_assert(only_released(acks, &waiter, ACKS_LATE));
    cr_assert_eq(waiter.count.need, 3);
    cr_assert_eq(waiter.count.have, 2);
    cr_assert_eq(waiting(acks), 0);
    CLOSE(acks, a);
}

Test(acks, deadlines_pass_in_their_own_order)
{
    enum { COUNT = 1000 };
    struct acks *acks = acks_with(COUNT);
    static struct acks_waiter waiters[COUNT];
    struct acks_waiter *released;
    struct acks_waiter *waiter;
    int64_t before = -1;
    size_t late = 0;
    unsigned seed = 1;
    for (int i = 0; i < COUNT; i++) {
        waiters[i] = waiter_for((uint64_t)i + 1, 2 + i % 3);
        waiters[i].deadline_ms = rand_r(&seed) % 5000;
        park(acks, &waiters[i]);
    }
    cr_assert_gt(acks_expire(acks, 2500), 2500);
    cr_assert_eq(acks_expire(acks, 5000), CLOCK_NEVER);
    for (released = acks_take_released(acks); (waiter = next_of(&released)); late++) {
        cr_assert_eq(waiter->outcome, ACKS_LATE);
        cr_assert_geq(waiter->deadline_ms, before);
        before = waiter->deadline_ms;
    }
    cr_assert_eq(late, COUNT);
    acks_close(acks);
}

Test(acks, who_was_released_in_time_does_not_expire)
{
    struct acks *acks = acks_with(3);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiters[3] = {waiter_for(1, 2), waiter_for(2, 2), waiter_for(3, 2)};
    for (int i = 0; i < 3; i++) {
        waiters[i].deadline_ms = 10 - i;
        park(acks, &waiters[i]);
    }
    acks_record(acks, a, 2);
    cr_assert_eq(acks_take_released(acks), &waiters[0]);
    cr_assert_eq(acks_expire(acks, 7), 8);
    cr_assert_eq(acks_expire(acks, 20), CLOCK_NEVER);
    cr_assert(only_released(acks, &waiters[2], ACKS_LATE));
    CLOSE(acks, a);
}

/* Releases one waiter after another by ACKs; their deadlines are in no order. */
static void release_by_acks(unsigned seed)
{
    enum { COUNT = 100 };
    struct acks *acks = acks_with(COUNT);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiters[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        waiters[i] = waiter_for(i + 1, 2);
        waiters[i].deadline_ms = i % 10 == 0 ? CLOCK_NEVER : 1 + rand_r(&seed) % 1000;
        park(acks, &waiters[i]);
    }
    for (size_t held = 1; held <= COUNT; held++) {
        int64_t earliest_ms = CLOCK_NEVER;
        for (size_t i = held; i < COUNT; i++)
            if (waiters[i].deadline_ms < earliest_ms)
                earliest_ms = waiters[i].deadline_ms;
        acks_record(acks, a, held);
        cr_assert_eq(acks_expire(acks, 0), earliest_ms);
    }
    acks_take_released(acks);
    CLOSE(acks, a);
}

Test(acks, the_earliest_deadline_left_is_known_whoever_was_released)
{
    for (unsigned seed = 1; seed <= 200; seed++)
        release_by_acks(seed);
}

Test(acks, waiters_without_a_deadline_never_expire)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter = waiter_for(1, 2);
    park(acks, &waiter);
    cr_assert_eq(acks_expire(acks, INT64_MAX - 1), CLOCK_NEVER);
    cr_assert_eq(waiting(acks), 1);
    close_all(acks, NULL, 0);
}

/* ---- the gate */

/* Closes the gate and parks the waiters at it, in their order, each for another w. */
static void park_at_gate(struct acks *acks, struct acks_waiter *waiters, size_t count)
{
    acks_gate(acks, true);
    for (size_t i = 0; i < count; i++) {
        waiters[i] = waiter_for(0, (int)(count - i));
        park(acks, &waiters[i]);
    }
}

/* Whether just these waiters were released, in this order, for this reason. */
static bool released_are(struct acks *acks, struct acks_waiter *const *waiters, size_t count,
                         enum acks_outcome outcome)
{
    struct acks_waiter *released = acks_take_released(acks);
    for (size_t i = 0; i < count; i++) {
        struct acks_waiter *waiter = next_of(&released);
        if (waiter != waiters[i] || waiter->outcome != outcome || waiter->count.have != 0)
            return false;
    }
    return !released;
}

#define RELEASED_ARE(acks, outcome, ...)                                                                     \
    released_are(acks, (struct acks_waiter *[]){__VA_ARGS__},                                                \
                 sizeof((struct acks_waiter *[]){__VA_ARGS__}) / sizeof(struct acks_waiter *), outcome)

Test(acks, an_open_gate_admits_at_once)
{
    struct acks *acks = acks_with(3);
    struct acks_waiter waiter = waiter_for(0, CONCERN_ALL);
    cr_assert(!acks_gate_closed(acks));
    cr_assert(!acks_park(acks, &waiter));
    cr_assert_eq(waiter.outcome, ACKS_ADMITTED);
    cr_assert_eq(waiter.count.need, 1);
    cr_assert_eq(waiter.count.have, 0);
    acks_close(acks);
}

Test(acks, a_gate_that_opens_admits_in_order_of_arrival)
{
    struct acks *acks = acks_with(0);
    struct acks_waiter waiters[5];
    park_at_gate(acks, waiters, 5);
    cr_assert(acks_gate_closed(acks));
    cr_assert(acks_gated(acks) && waiting(acks) == 5);
    cr_assert(nobody_released(acks));
    acks_gate(acks, false);
    cr_assert(!acks_gate_closed(acks));
    cr_assert(!acks_gated(acks));
    cr_assert(
        RELEASED_ARE(acks, ACKS_ADMITTED, &waiters[0], &waiters[1], &waiters[2], &waiters[3], &waiters[4]));
    acks_gate(acks, false);
    cr_assert(nobody_released(acks));
    acks_close(acks);
}

Test(acks, no_ack_opens_the_gate)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiters[2];
    park_at_gate(acks, waiters, 2);
    acks_record(acks, a, 1);
    cr_assert(nobody_released(acks));
    acks_appended(acks, 2);
    cr_assert(nobody_released(acks));
    acks_gate(acks, true);
    cr_assert(nobody_released(acks));
    cr_assert(acks_gated(acks) && waiting(acks) == 2);
    CLOSE(acks, a);
}

Test(acks, a_closed_gate_holds_up_nobody_with_an_id)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, 2);
    acks_gate(acks, true);
    park(acks, &waiter);
    cr_assert(!acks_gated(acks));
    acks_record(acks, a, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a);
}

Test(acks, who_was_admitted_parks_again_with_its_id)
{
    struct acks *acks = acks_with(0);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(0, 2);
    waiter.deadline_ms = 100;
    acks_gate(acks, true);
    park(acks, &waiter);
    acks_gate(acks, false);
    cr_assert(only_released(acks, &waiter, ACKS_ADMITTED));
    cr_assert_eq(acks_expire(acks, 0), CLOCK_NEVER);
    waiter.id = 1;
    acks_appended(acks, 1);
    park(acks, &waiter);
    cr_assert_eq(acks_expire(acks, 0), 100);
    acks_record(acks, a, 1);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a);
}

Test(acks, deadlines_pass_at_the_gate_too)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiters[3];
    acks_gate(acks, true);
    for (int i = 0; i < 3; i++) {
        waiters[i] = waiter_for(0, 1);
        waiters[i].deadline_ms = i == 1 ? 50 : 100;
        park(acks, &waiters[i]);
    }
    cr_assert_eq(acks_expire(acks, 49), 50);
    cr_assert_eq(acks_expire(acks, 50), 100);
    cr_assert(RELEASED_ARE(acks, ACKS_LATE, &waiters[1]));
    cr_assert_eq(waiters[1].count.need, 1);
    cr_assert(acks_gated(acks) && waiting(acks) == 2);
    acks_gate(acks, false);
    cr_assert(RELEASED_ARE(acks, ACKS_ADMITTED, &waiters[0], &waiters[2]));
    cr_assert_eq(acks_expire(acks, 100), CLOCK_NEVER);
    acks_close(acks);
}

Test(acks, who_is_taken_out_at_the_gate_is_not_admitted)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiters[4];
    park_at_gate(acks, waiters, 4);
    cr_assert(acks_unpark(acks, &waiters[2]) && acks_unpark(acks, &waiters[0]));
    cr_assert(!acks_unpark(acks, &waiters[0]));
    cr_assert(acks_gated(acks) && waiting(acks) == 2);
    park(acks, &waiters[0]);
    acks_gate(acks, false);
    cr_assert(!acks_unpark(acks, &waiters[1]));
    cr_assert(RELEASED_ARE(acks, ACKS_ADMITTED, &waiters[1], &waiters[3], &waiters[0]));
    acks_close(acks);
}

Test(acks, the_end_releases_who_waits_at_the_gate)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiters[2];
    struct acks_waiter late = waiter_for(0, 1);
    park_at_gate(acks, waiters, 2);
    acks_end(acks);
    cr_assert(RELEASED_ARE(acks, ACKS_ENDED, &waiters[0], &waiters[1]));
    cr_assert(!acks_park(acks, &late));
    cr_assert_eq(late.outcome, ACKS_ENDED);
    acks_gate(acks, false);
    cr_assert(nobody_released(acks));
    acks_close(acks);
}

/* ---- a disk that has failed */

Test(acks, who_is_stranded_learns_how_many_hold_the_message)
{
    int owner, other;
    struct acks *acks = acks_with(3);
    struct acks_member *a = join_at(acks, 2);
    struct acks_waiter waiters[] = {waiter_for(3, 3), waiter_for(2, CONCERN_ALL), waiter_for(3, CONCERN_ALL),
                                    waiter_for(3, 2), waiter_for(0, 1)};
    for (size_t i = 0; i < 5; i++)
        waiters[i].owner = i == 3 ? &other : &owner;
    acks_gate(acks, true);
    cr_assert(!acks_park(acks, &waiters[1]), "it is there");
    for (size_t i = 0; i < 5; i++)
        if (i != 1)
            park(acks, &waiters[i]);
    acks_strand(acks, &owner);
    struct acks_waiter *released = acks_take_released(acks);
    cr_assert(next_of(&released) == &waiters[2] && next_of(&released) == &waiters[0] && !released);
    cr_expect(waiters[2].outcome == ACKS_STRANDED && waiters[0].outcome == ACKS_STRANDED);
    cr_expect(waiters[2].count.need == 2 && waiters[2].count.have == 1);
    cr_expect(waiters[0].count.need == 3 && waiters[0].count.have == 1);
    cr_assert_eq(waiting(acks), 2, "another's, and who waits at the gate");

    struct acks_waiter late = waiter_for(3, 2);
    late.owner = &owner;
    park(acks, &late);
    acks_record(acks, a, 3);
    released = acks_take_released(acks);
    cr_assert(next_of(&released) == &waiters[3] && next_of(&released) == &late && !released);
    cr_assert(acks_unpark(acks, &waiters[4]));
    CLOSE(acks, a);
}

Test(acks, who_is_stranded_keeps_nobody_from_stopping)
{
    int owner;
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter = waiter_for(1, 2);
    waiter.owner = &owner;
    park(acks, &waiter);
    cr_assert(!acks_drain(acks, 0));
    acks_strand(acks, &owner);
    cr_assert(acks_drain(acks, 0));
    cr_assert(only_released(acks, &waiter, ACKS_STRANDED));
    acks_close(acks);
}

Test(acks, waiting_takes_no_memory)
{
    struct acks *acks = acks_with(1);
    static struct acks_waiter waiters[1000];
    failing_after(0);
    park_at_gate(acks, waiters, 999);
    waiters[999] = waiter_for(1, 2);
    park(acks, &waiters[999]);
    failing_after(-1);
    cr_assert(acks_gated(acks) && waiting(acks) == 1000);
    close_all(acks, NULL, 0);
}

/* ---- everyone */

struct visit {
    struct acks_waiter *seen[8];
    size_t count;
};

static void visit_one(void *ctx, struct acks_waiter *waiter)
{
    struct visit *visit = ctx;
    visit->seen[visit->count++] = waiter;
}

Test(acks, each_parked_waiter_is_visited_in_order)
{
    struct acks *acks = acks_with(9);
    struct acks_waiter waiters[] = {
        waiter_for(4, 3), waiter_for(0, 5), waiter_for(9, 2),
        waiter_for(2, 3), waiter_for(0, 1), waiter_for(7, 3),
    };
    struct acks_waiter *expected[] = {&waiters[1], &waiters[4], &waiters[2],
                                      &waiters[3], &waiters[0], &waiters[5]};
    struct visit visit = {.count = 0};
    acks_gate(acks, true);
    acks_each(acks, visit_one, &visit);
    cr_assert_eq(visit.count, 0);
    for (size_t i = 0; i < 6; i++)
        park(acks, &waiters[i]);
    acks_each(acks, visit_one, &visit);
    cr_assert_eq(visit.count, 6);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(visit.seen[i], expected[i], "%zu", i);
    cr_assert(nobody_released(acks));
    close_all(acks, NULL, 0);
}

/* ---- members that are held */

static struct acks_member *join_held(struct acks *acks, uint64_t position, uint64_t target)
{
    struct acks_member *member = acks_join_held(acks, position, target);
    cr_assert_not_null(member);
    return member;
}

Test(acks, a_held_member_counts_for_no_number)
{
    struct acks *acks = acks_with(2);
    struct acks_member *a = join_held(acks, 1, 0);
    struct acks_waiter number = waiter_for(1, 2), majority = waiter_for(1, CONCERN_MAJORITY);
    cr_assert(acks_is_held(a));
    park(acks, &number);
    park(acks, &majority);
    acks_record(acks, a, 2);
    cr_expect(nobody_released(acks));
    cr_expect_eq(acks_count(acks, 1, 2).have, 1);
    cr_expect_eq(acks_count(acks, 1, CONCERN_MAJORITY).need, 2);
    cr_expect_eq(acks_position(acks, a), 0);
    CLOSE(acks, a);
}

Test(acks, a_held_member_is_waited_for_by_all_as_soon_as_it_has_caught_up)
{
    struct acks *acks = acks_with(2);
    struct acks_member *a = join_held(acks, 0, 2), *b = join_held(acks, 2, 2);
    struct acks_waiter waiter = waiter_for(2, CONCERN_ALL);
    cr_expect(!acks_counts(acks, a) && acks_counts(acks, b));
    cr_expect_eq(acks_count(acks, 2, CONCERN_ALL).need, 2);
    acks_record(acks, a, 2);
    cr_expect(acks_counts(acks, a));
    cr_expect_eq(acks_count(acks, 2, CONCERN_ALL).need, 3);
    cr_expect_eq(acks_count(acks, 2, CONCERN_ALL).have, 1);
    park(acks, &waiter);
    acks_let_count(acks, b);
    cr_expect(nobody_released(acks));
    acks_let_count(acks, a);
    cr_expect(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a, b);
}

Test(acks, a_held_member_that_may_count_counts_for_what_it_said_last)
{
    struct acks *acks = acks_with(4);
    struct acks_member *a = join_held(acks, 4, 0);
    struct acks_waiter low = waiter_for(2, 2), high = waiter_for(3, 2);
    park(acks, &low);
    park(acks, &high);
    acks_record(acks, a, 2);
    acks_let_count(acks, a);
    cr_expect(!acks_is_held(a));
    cr_expect(only_released(acks, &low, ACKS_REACHED));
    cr_expect_eq(acks_position(acks, a), 2);
    acks_record(acks, a, 3);
    cr_expect(only_released(acks, &high, ACKS_REACHED));
    CLOSE(acks, a);
}

/* ---- many waiters */

Test(acks, waiters_of_one_concern_leave_in_order_of_id_however_they_came)
{
    enum { COUNT = 500 };
    struct acks *acks = acks_with(COUNT);
    struct acks_member *a = join_at(acks, 0);
    static struct acks_waiter waiters[COUNT];
    struct acks_waiter *released;
    unsigned seed = 2;
    for (int i = 0; i < COUNT; i++) {
        waiters[i] = waiter_for(1 + (uint64_t)rand_r(&seed) % COUNT, 2);
        park(acks, &waiters[i]);
    }
    acks_record(acks, a, COUNT / 2);
    acks_record(acks, a, COUNT);
    cr_assert_eq(waiting(acks), 0);
    for (released = acks_take_released(acks); released->next; released = released->next)
        cr_assert_leq(released->id, released->next->id);
    CLOSE(acks, a);
}

/* The rules for each w, counted out over all members. */
struct rule {
    uint64_t master;
    uint64_t positions[6];
    uint64_t targets[6];
    bool counts[6];
    struct acks_member *members[6]; /* NULL: not a member now */
};

static struct acks_count rule_count(const struct rule *rule, uint64_t id, int w)
{
    struct acks_count count = {.need = (unsigned)w, .have = rule->master >= id};
    unsigned members = 0;
    unsigned counting = 0;
    for (int i = 0; i < 6; i++) {
        if (!rule->members[i])
            continue;
        members++;
        counting += rule->counts[i];
        count.have += rule->positions[i] >= id && (w != CONCERN_ALL || rule->counts[i]);
    }
    if (w == CONCERN_ALL)
        count.need = 1 + counting;
    if (w == CONCERN_MAJORITY)
        count.need = (1 + members) / 2 + 1;
    return count;
}

static bool rule_satisfied(const struct rule *rule, uint64_t id, int w)
{
    struct acks_count count = rule_count(rule, id, w);
    for (int i = 0; w == CONCERN_ALL && i < 6; i++)
        if (rule->members[i] && rule->counts[i] && rule->positions[i] < id)
            return false;
    return rule->master >= id && count.have >= count.need;
}

static void rule_move(struct rule *rule, int i, uint64_t position)
{
    rule->positions[i] = position;
    rule->counts[i] = rule->counts[i] || position >= rule->targets[i];
}

/* One random step of a member, in the rule and in the count. */
static void rule_step(struct rule *rule, struct acks *acks, unsigned *seed)
{
    int i = rand_r(seed) % 6;
    if (!rule->members[i]) {
        rule->positions[i] = (uint64_t)rand_r(seed) % (rule->master + 1);
        rule->targets[i] = rule->master;
        rule->counts[i] = false;
        rule_move(rule, i, rule->positions[i]);
        rule->members[i] = acks_join(acks, rule->positions[i], rule->targets[i]);
    } else if (rand_r(seed) % 20 == 0) {
        acks_leave(acks, rule->members[i]);
        rule->members[i] = NULL;
    } else if (rand_r(seed) % 20 == 0) {
        rule_move(rule, i, (uint64_t)rand_r(seed) % (rule->master + 1));
        acks_record(acks, rule->members[i], rule->positions[i]);
    } else {
        rule_move(rule, i,
                  rule->positions[i] + (uint64_t)rand_r(seed) % (rule->master + 1 - rule->positions[i]));
        acks_record(acks, rule->members[i], rule->positions[i]);
    }
}

Test(acks, waiters_of_all_concerns_are_released_when_the_rule_says_so)
{
    enum { STEPS = 20000 };
    static const int concerns[] = {CONCERN_ALL, CONCERN_MAJORITY, 1, 2, 3, 4, 5, 6, 7, 8};
    static struct acks_waiter waiters[STEPS];
    static bool parked[STEPS];
    struct acks *acks = acks_open(0);
    struct rule rule = {.master = 0};
    struct acks_waiter *released;
    struct acks_waiter *waiter;
    unsigned seed = 3;
    size_t low = 0;
    for (size_t step = 0; step < STEPS; step++) {
        struct acks_waiter *new = &waiters[step];
        *new = waiter_for(++rule.master, concerns[(size_t)rand_r(&seed) % 10]);
        acks_appended(acks, rule.master);
        cr_assert(nobody_released(acks));
        parked[step] = acks_park(acks, new);
        cr_assert_eq(parked[step], !rule_satisfied(&rule, new->id, new->w));

        rule_step(&rule, acks, &seed);
        released = acks_take_released(acks);
        while ((waiter = next_of(&released))) {
            struct acks_count count = rule_count(&rule, waiter->id, waiter->w);
            cr_assert(parked[waiter - waiters]);
            parked[waiter - waiters] = false;
            cr_assert(rule_satisfied(&rule, waiter->id, waiter->w));
            cr_assert_eq(waiter->outcome, ACKS_REACHED);
            cr_assert_eq(waiter->count.need, count.need);
            cr_assert_eq(waiter->count.have, count.have);
            cr_assert_geq(count.have, count.need);
        }
        /* those of the last hundred that still wait have a reason to */
        low = step > 100 ? step - 100 : 0;
        for (size_t i = low; i <= step; i++)
            cr_assert(!parked[i] || !rule_satisfied(&rule, waiters[i].id, waiters[i].w));
    }
    acks_end(acks);
    acks_take_released(acks);
    for (int i = 0; i < 6; i++)
        if (rule.members[i])
            acks_leave(acks, rule.members[i]);
    acks_close(acks);
}

Test(acks, a_hundred_thousand_waiters_cost_an_ack_nothing)
{
    enum { COUNT = 100000, ACKS = 1000000 };
    struct acks *acks = acks_with(COUNT);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    struct acks_waiter *waiters = calloc(COUNT, sizeof *waiters);
    int64_t start_us = clock_us();
    for (size_t i = 0; i < COUNT; i++) {
        waiters[i] = waiter_for(i + 1, i % 2 == 0 ? 3 : CONCERN_ALL);
        waiters[i].deadline_ms = (int64_t)(i * 7919 % COUNT);
        park(acks, &waiters[i]);
    }
    for (uint64_t i = 0; i < ACKS; i++)
        acks_record(acks, a, i % COUNT + 1);
    cr_assert(nobody_released(acks));
    acks_record(acks, a, COUNT);
    for (uint64_t id = 1; id <= COUNT; id++)
        acks_record(acks, b, id);
    cr_assert_eq(waiting(acks), 0);
    cr_assert_lt(clock_us() - start_us, 10000000);
    acks_take_released(acks);
    free(waiters);
    CLOSE(acks, a, b);
}

/* Parks waiters from one index to another; returns how long that took. */
static int64_t park_timed(struct acks *acks, struct acks_waiter *waiters, size_t from, size_t to)
{
    int64_t start_us = clock_us();
    for (size_t i = from; i < to; i++)
        park(acks, &waiters[i]);
    return clock_us() - start_us;
}

/* A GET that waited for a low id took 0.3 ms here, as it walked past everyone with a higher one: 2000 of them
 * took a hundred times as long as all the others. */
Test(acks, a_low_id_behind_a_hundred_thousand_higher_ones_costs_little)
{
    enum { HIGHER = 95000, LOW = 2000 };
    struct acks *acks = acks_with(HIGHER);
    struct acks_waiter *waiters = calloc(HIGHER + LOW, sizeof *waiters);
    for (size_t i = 0; i < HIGHER + LOW; i++)
        waiters[i] = waiter_for(i < HIGHER ? i + 1 : 1 + i * 7919 % 1000, 2);
    int64_t higher_us = park_timed(acks, waiters, 0, HIGHER);
    int64_t low_us = park_timed(acks, waiters, HIGHER, HIGHER + LOW);
    cr_assert_lt(low_us, 5 * higher_us);
    close_all(acks, NULL, 0);
    free(waiters);
}

/* Each w that was waited for made the next one dearer. */
Test(acks, many_concerns_cost_no_more_than_many_waiters)
{
    enum { COUNT = 60000 };
    struct acks *acks = acks_with(1);
    struct acks_waiter *waiters = calloc(2 * COUNT, sizeof *waiters);
    for (size_t i = 0; i < 2 * COUNT; i++)
        waiters[i] = waiter_for(1, i < COUNT ? 2 : 3 + (int)i - COUNT);
    int64_t one_us = park_timed(acks, waiters, 0, COUNT);
    int64_t many_us = park_timed(acks, waiters, COUNT, 2 * COUNT);
    cr_assert_lt(many_us, 50 * one_us);
    close_all(acks, NULL, 0);
    free(waiters);
}

/* ---- the end */

Test(acks, at_the_end_everyone_is_released_and_nobody_parks)
{
    struct acks *acks = acks_with(2);
    struct acks_waiter waiters[3] = {waiter_for(1, 2), waiter_for(2, CONCERN_MAX), waiter_for(2, 2)};
    park(acks, &waiters[0]);
    park(acks, &waiters[1]);
    acks_end(acks);
    acks_end(acks);
    cr_assert_eq(waiting(acks), 0);
    cr_assert(!acks_park(acks, &waiters[2]));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(waiters[i].outcome, ACKS_ENDED);
    cr_assert_eq(waiters[2].count.need, 2);
    cr_assert_eq(waiters[2].count.have, 1);
    cr_assert_eq(acks_take_released(acks), &waiters[0]);
    acks_close(acks);
}

Test(acks, what_is_held_already_is_held_after_the_end_too)
{
    struct acks *acks = acks_with(2);
    struct acks_waiter waiter = waiter_for(2, 1);
    acks_end(acks);
    cr_assert(!acks_park(acks, &waiter));
    cr_assert_eq(waiter.outcome, ACKS_REACHED);
    acks_close(acks);
}

Test(acks, it_is_drained_where_there_is_nobody)
{
    struct acks *acks = acks_with(1);
    cr_assert(acks_drain(acks, 0));
    acks_close(acks);
}

struct late_ack {
    struct acks *acks;
    struct acks_member *member;
};

static void *late_ack_send(void *arg)
{
    const struct late_ack *late = arg;
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    acks_record(late->acks, late->member, 1);
    return NULL;
}

Test(acks, a_thread_that_drains_it_waits_for_the_last_ack)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, 2);
    struct late_ack late = {.acks = acks, .member = a};
    int64_t start_ms = clock_ms();
    pthread_t thread;
    park(acks, &waiter);
    cr_assert_eq(pthread_create(&thread, NULL, late_ack_send, &late), 0);
    cr_assert(acks_drain(acks, start_ms + 30000));
    cr_assert_lt(clock_ms(), start_ms + 20000);
    pthread_join(thread, NULL);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    CLOSE(acks, a);
}

static void *late_disk(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    acks_appended(arg, 1);
    return NULL;
}

Test(acks, a_thread_that_drains_it_waits_for_the_master_s_own_disk_and_no_longer)
{
    struct acks *acks = acks_with(0);
    struct acks_waiter waiter = waiter_for(1, 1);
    int64_t start_ms = clock_ms();
    pthread_t thread;
    park(acks, &waiter);
    cr_assert_eq(pthread_create(&thread, NULL, late_disk, acks), 0);
    cr_assert(acks_drain(acks, start_ms + 30000));
    cr_assert(clock_ms() - start_ms < 20000);
    pthread_join(thread, NULL);
    cr_assert(only_released(acks, &waiter, ACKS_REACHED));
    acks_close(acks);
}

static void *late_strand(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    acks_strand(arg, NULL);
    return NULL;
}

Test(acks, a_thread_that_drains_it_does_not_wait_for_who_is_stranded)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter = waiter_for(1, 2);
    int64_t start_ms = clock_ms();
    pthread_t thread;
    park(acks, &waiter);
    cr_assert_eq(pthread_create(&thread, NULL, late_strand, acks), 0);
    cr_assert(acks_drain(acks, start_ms + 30000));
    cr_assert(clock_ms() - start_ms < 20000);
    pthread_join(thread, NULL);
    cr_assert(only_released(acks, &waiter, ACKS_STRANDED));
    acks_close(acks);
}

Test(acks, a_thread_that_drains_it_waits_no_longer_than_it_is_told)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    cr_assert(!acks_drain(acks, clock_ms() + 20));
    CLOSE(acks, a);
}

Test(acks, it_is_drained_when_the_last_waiters_time_is_over)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter = waiter_for(1, 2);
    waiter.deadline_ms = 100;
    park(acks, &waiter);
    cr_assert(!acks_drain(acks, 0));
    acks_expire(acks, 100);
    cr_assert(acks_drain(acks, 0));
    cr_assert(only_released(acks, &waiter, ACKS_LATE));
    acks_close(acks);
}

Test(acks, it_is_drained_once_a_member_has_all_that_the_master_has)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_member *b = join_at(acks, 0);
    cr_assert(!acks_drain(acks, 0));
    acks_record(acks, b, 1);
    cr_assert(acks_drain(acks, 0));
    acks_record(acks, a, 1);
    acks_leave(acks, b);
    cr_assert(nobody_released(acks));
    cr_assert(acks_drain(acks, 0));
    acks_appended(acks, 2);
    cr_assert(!acks_drain(acks, 0));
    acks_record(acks, a, 3);
    cr_assert(acks_drain(acks, 0));
    CLOSE(acks, a);
}

Test(acks, a_member_that_has_left_does_not_keep_it_from_being_drained)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    cr_assert(!acks_drain(acks, 0));
    acks_leave(acks, a);
    cr_assert(acks_drain(acks, 0));
    acks_close(acks);
}

Test(acks, the_gate_does_not_keep_it_from_being_drained)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter;
    park_at_gate(acks, &waiter, 1);
    cr_assert(acks_drain(acks, 0));
    close_all(acks, NULL, 0);
}

Test(acks, a_waiter_that_is_taken_out_is_released_by_nothing)
{
    struct acks *acks = acks_with(1);
    struct acks_member *a = join_at(acks, 0);
    struct acks_waiter waiter = waiter_for(1, 2);
    struct acks_waiter timed = {.id = 1, .w = 2, .deadline_ms = 100};
    struct acks_waiter stays = waiter_for(1, 2);
    park(acks, &waiter);
    park(acks, &timed);
    park(acks, &stays);
    cr_assert(acks_unpark(acks, &timed) && acks_unpark(acks, &waiter));
    cr_assert_eq(waiting(acks), 1);
    cr_assert(!acks_unpark(acks, &waiter));
    cr_assert_eq(acks_expire(acks, 200), CLOCK_NEVER);
    acks_record(acks, a, 1);
    cr_assert(!acks_unpark(acks, &stays));
    cr_assert(only_released(acks, &stays, ACKS_REACHED));
    park(acks, &(struct acks_waiter){.id = 1, .w = 3, .deadline_ms = CLOCK_NEVER});
    CLOSE(acks, a);
}

Test(acks, a_waiter_that_is_taken_out_keeps_nothing_from_being_drained)
{
    struct acks *acks = acks_with(1);
    struct acks_waiter waiter = waiter_for(1, 2);
    park(acks, &waiter);
    cr_assert(!acks_drain(acks, 0));
    cr_assert(acks_unpark(acks, &waiter));
    cr_assert(acks_drain(acks, 0));
    acks_close(acks);
}

/* ---- memory */

Test(acks, opening_without_memory_gives_nothing)
{
    for (int nth = 0; nth < 2; nth++) {
        failing_after(nth);
        cr_assert_null(acks_open(0));
        cr_assert(failing_done());
    }
}

Test(acks, a_member_that_finds_no_memory_has_not_joined)
{
    struct acks *acks = acks_with(1);
    struct acks_member *members[64];
    size_t failures = 0;
    for (size_t i = 0; i < 64; i++) {
        for (int nth = 0; nth < 2; nth++) {
            failing_after(nth);
            members[i] = acks_join(acks, 1, 1);
            if (members[i])
                break;
            failures++;
            cr_assert_eq(acks_count(acks, 1, CONCERN_ALL).need, i + 1);
            cr_assert_eq(acks_count(acks, 1, CONCERN_ALL).have, i + 1);
        }
        failing_after(-1);
        if (!members[i])
            members[i] = join_at(acks, 1);
    }
    cr_assert_gt(failures, 64);
    close_all(acks, members, 64);
}
