/* A master by hand: when its appends wait, go on, or are refused. Its secondaries are lists, and answer when
 * the test lets them. */
#include "master_by_hand.h"

#include "concern.h"
#include "replication/retry.h"

#include <criterion/criterion.h>
#include <inttypes.h>

enum { UNHEALTHY_MS = 5 * NODE_HEARTBEAT_MS, LATE_MS = 250 };

/* ---- appends */

/* The status of a POST so far; 0: it waits. */
static int status(int fd)
{
    return answer_of(fd).status;
}

static int post(void)
{
    int fd = post_begin("?w=1", "m");
    int got = status(fd);
    close(fd);
    settle();
    return got;
}

static void master_start(void)
{
    node_start(SETTINGS_MASTER);
}

TestSuite(gate, .init = secondaries_open, .fini = master_end, .timeout = 60);

Test(gate, a_master_that_is_told_of_no_nodes_and_no_quorum_is_open)
{
    master_start();
    cr_assert_eq(post(), 201);
}

/* ---- NODES */

Test(gate, appends_wait_until_all_nodes_have_been_met)
{
    hand.settings.nodes = 3;
    master_start();
    int fd = post_begin("", "m");
    cr_assert_eq(status(fd), 0);
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 0);
    cr_assert_eq(join(2), 200);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_has_registered_and_not_answered_has_not_been_met)
{
    hand.settings.nodes = 2;
    master_start();
    secondaries[0].silent = true;
    int fd = post_begin("", "m");
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_was_sure_once_is_sure_for_good)
{
    hand.settings.nodes = 2;
    master_start();
    join(1);
    cr_assert_eq(post(), 201);
    cr_assert_eq(node_call("DELETE", "/secondaries/s1", "", "").status, 204);
    cr_assert_eq(post(), 201);
}

Test(gate, no_time_opens_it_while_nodes_have_not_been_met)
{
    hand.settings.nodes = 3;
    master_start();
    join(1);
    int fd = post_begin("", "m");
    wait(10 * UNHEALTHY_MS);
    cr_assert_eq(status(fd), 0);
    close(fd);
}

Test(gate, a_witness_that_holds_all_that_was_acknowledged_by_all_is_enough)
{
    hand.settings.nodes = 4;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1", "m");
    has_old_list(1);
    cr_assert_eq(join(1), 200);
    wait(LATE_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_comes_a_moment_after_the_witness_with_more_is_taken_over_too)
{
    hand.settings.nodes = 3;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1", "m");
    has_old_list(1);
    has_old_list(2);
    elements_append(secondaries[1].list, span_of("\"c\""), 1);
    join(1);
    wait(LATE_MS - 20);
    cr_assert_eq(status(fd), 0);
    join(2);
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 201, "all have been met");
    struct node_answer list = node_call("GET", "/messages", "", "");
    cr_assert_str_eq(list.body, "{\"messages\":[\"a\",\"b\",\"c\",\"m\"]}");
    close(fd);
}

Test(gate, so_many_witnesses_as_no_majority_goes_without)
{
    hand.settings.nodes = 5;
    hand.settings.write_concern = CONCERN_MAJORITY;
    master_start();
    int fd = post_begin("?w=1", "m");
    for (int number = 1; number <= 3; number++) {
        has_old_list(number);
        cr_assert_eq(status(fd), 0, "%d witnesses", number - 1);
        cr_assert_eq(join(number), 200);
    }
    wait(LATE_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_came_empty_is_no_witness)
{
    hand.settings.nodes = 4;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1", "m");
    cr_assert_eq(join(1), 200);
    cr_assert_eq(join(2), 200);
    cr_assert_eq(status(fd), 0);
    cr_assert_eq(join(3), 200);
    cr_assert_eq(status(fd), 201, "all have been met");
    close(fd);
}

Test(gate, who_had_never_caught_up_is_no_witness)
{
    hand.settings.nodes = 4;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1", "m");
    has_old_list(1);
    secondaries[0].incomplete = true;
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 0);
    has_old_list(2);
    cr_assert_eq(join(2), 200);
    wait(LATE_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_was_given_a_list_by_this_master_is_no_witness)
{
    hand.settings.nodes = 5;
    hand.settings.write_concern = 4;
    master_start();
    int fd = post_begin("?w=1", "m");
    has_old_list(1);
    join(1);
    cr_assert_eq(join(2), 200);
    settle();
    cr_assert_eq(log_last(secondaries[1].list), 2);
    cr_assert_eq(status(fd), 0, "one witness of the two that are needed");
    has_old_list(3);
    join(3);
    wait(LATE_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, another_process_of_a_witness_that_comes_empty_is_none)
{
    hand.settings.nodes = 5;
    hand.settings.write_concern = 4;
    master_start();
    int fd = post_begin("?w=1", "m");
    has_old_list(1);
    cr_assert_eq(join(1), 200);
    comes_back_empty(1);
    cr_assert_eq(join(1), 200);
    has_old_list(2);
    cr_assert_eq(join(2), 200);
    cr_assert_eq(status(fd), 0, "one witness of the two that are needed");
    has_old_list(3);
    cr_assert_eq(join(3), 200);
    wait(LATE_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

/* ---- QUORUM */

static void start_with_quorum(int quorum)
{
    hand.settings.quorum = quorum;
    master_start();
}

Test(gate, without_the_quorum_appends_are_refused)
{
    start_with_quorum(3);
    struct node_answer answer = node_call("POST", "/messages", "", "m");
    cr_assert(answer.status == 503 && strstr(answer.body, "2 of the 3 nodes of the quorum are missing"));
    join(1);
    answer = node_call("POST", "/messages", "", "m");
    cr_assert(answer.status == 503 && strstr(answer.body, "1 of the 3 nodes of the quorum is missing"));
    join(2);
    cr_assert_eq(post(), 201);
}

Test(gate, who_has_registered_and_not_answered_is_missing)
{
    start_with_quorum(2);
    secondaries[0].silent = true;
    cr_assert_eq(join(1), 200);
    cr_assert_eq(post(), 503);
}

Test(gate, a_node_that_is_silent_for_so_long_is_missing)
{
    start_with_quorum(2);
    join(1);
    wait(UNHEALTHY_MS);
    cr_assert_eq(post(), 201);
    secondaries[0].silent = true;
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    cr_assert_eq(post(), 201);
    wait(2 * NODE_HEARTBEAT_MS);
    cr_assert_eq(post(), 503);
    secondaries[0].silent = false;
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(post(), 201);
}

Test(gate, a_majority_is_of_the_nodes_that_are_meant)
{
    hand.settings.nodes = 4;
    start_with_quorum(CONCERN_MAJORITY);
    join(1);
    cr_assert_eq(post(), 503);
    join(2);
    int fd = post_begin("?w=1", "m");
    cr_assert_eq(status(fd), 0, "the third may hold what was acknowledged");
    join(3);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, before_the_first_append_members_that_have_not_answered_are_waited_for)
{
    start_with_quorum(2);
    join(1);
    secondaries[1].silent = true;
    join(2);
    int fd = post_begin("?w=1", "m");
    cr_assert_eq(status(fd), 0);
    secondaries[1].silent = false;
    cr_assert_eq(status(fd), 201);
    close(fd);
    secondaries[2].silent = true;
    join(3);
    cr_assert_eq(post(), 201, "not before the second one");
}

Test(gate, members_that_do_not_answer_are_waited_for_so_long_and_no_longer)
{
    start_with_quorum(2);
    join(1);
    secondaries[1].silent = true;
    join(2);
    int fd = post_begin("?w=1", "m");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 0);
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, members_that_register_meanwhile_do_not_make_that_longer)
{
    start_with_quorum(2);
    join(1);
    secondaries[1].silent = secondaries[2].silent = true;
    join(2);
    int fd = post_begin("?w=1", "m");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    join(3);
    cr_assert_eq(status(fd), 0);
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

/* ---- the process stands still */

/* The process is stopped for so long, and goes on. */
static void stand_still(int64_t ms)
{
    clock_move(ms);
    node_pass();
}

Test(gate, behind_a_pause_appends_wait_until_the_quorum_has_answered_afresh)
{
    start_with_quorum(2);
    join(1);
    cr_assert_eq(post(), 201);
    secondaries[0].silent = true;
    stand_still(100 * UNHEALTHY_MS);
    int fd = post_begin("?w=1", "m");
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, behind_a_pause_a_quorum_that_does_not_answer_is_missing)
{
    start_with_quorum(2);
    join(1);
    cr_assert_eq(post(), 201);
    secondaries[0].silent = true;
    stand_still(100 * UNHEALTHY_MS);
    int fd = post_begin("?w=1", "m");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 0);
    wait(2 * NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 503);
    close(fd);
}

Test(gate, behind_a_pause_a_quorum_that_was_missing_is_waited_for)
{
    start_with_quorum(2);
    join(1);
    secondaries[0].silent = true;
    wait(2 * UNHEALTHY_MS);
    cr_assert_eq(post(), 503);
    stand_still(100 * UNHEALTHY_MS);
    int fd = post_begin("?w=1", "m");
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    wait(RETRY_MOST_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, without_a_quorum_a_pause_changes_nothing)
{
    start_with_quorum(SETTINGS_QUORUM_OFF);
    join(1);
    secondaries[0].silent = true;
    stand_still(100 * UNHEALTHY_MS);
    cr_assert_eq(post(), 201);
}

/* ---- a take-over, and the end */

Test(gate, appends_wait_while_a_list_is_taken_over_and_follow_it)
{
    master_start();
    has_old_list(1);
    secondaries[0].silent = true;
    cr_assert_eq(join(1), 0);
    int fd = node_ask("POST", "/messages", "", "m");
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    settle();
    struct node_answer answer = node_answer(fd);
    cr_assert(answer.status == 201 && strstr(answer.body, "\"id\":3"), "%d: %s", answer.status, answer.body);
    cr_assert(strstr(node_call("GET", "/health", "", "").body, "\"log\":\"old\",\"last_id\":3"));
    cr_assert_eq(secondaries[0].epoch, 5);
    close(fd);
}

Test(gate, a_master_that_stops_while_it_takes_over_lets_nobody_through)
{
    master_start();
    has_old_list(1);
    secondaries[0].silent = true;
    cr_assert_eq(join(1), 0);
    int fd = post_begin("?w=1", "m");
    node_stop(hand.node, 0);
    node_pass();
    struct node_answer answer = node_answer(fd);
    cr_assert(answer.status == 503 && strstr(answer.body, "the master is shutting down"));
    close(fd);
}

Test(gate, a_master_that_stops_refuses_appends)
{
    master_start();
    node_stop(hand.node, 0);
    node_pass();
    struct node_answer answer = node_call("POST", "/messages", "", "m");
    cr_assert(answer.status == 503 && strstr(answer.body, "the master is shutting down"));
}

Test(gate, a_master_that_stops_is_busy_as_long_as_it_waits_for_acks)
{
    master_start();
    int fd = post_begin("?w=2", "m");
    node_stop(hand.node, 1000);
    node_wait(999);
    cr_assert(node_answer(fd).status == 0 && hand.service.busy(hand.node));
    node_wait(1);
    cr_assert_eq(node_answer(fd).status, 202);
    cr_assert(!hand.service.busy(hand.node));
    close(fd);
}
