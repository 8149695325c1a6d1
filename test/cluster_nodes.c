/* NODES: how many nodes the log is meant to have. `all` and `majority` never count fewer, and after its start
 * the master appends nothing as long as somebody may be missing who holds what was acknowledged. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the start */

SCENARIO(cluster_nodes, the_first_append_waits_until_every_node_has_been_met)
{
    struct node *master = master_start("--nodes 3");
    struct call *call = post_begin(master, "", "a");
    expect_logged(master, "INFO  master appends wait for members to answer first", 1);
    struct node *s1 = member_start(master, "s1", "");
    always(300, !call_done(call));
    cr_assert(shows(master, ""));
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(call_end(call), 201, 1, 3, 3);
    cr_assert(shows(s1, "a") && shows(s2, "a"));
    expect_logged(master, "INFO  master appends go on", 1);
}

SCENARIO(cluster_nodes, a_new_log_with_all_its_empty_nodes_takes_appends_at_once)
{
    struct node *master = master_start("--nodes 3");
    member_start(master, "s1", "");
    member_start(master, "s2", "");
    struct reply reply = post(master, "", "a");
    expect_stored(reply, 201, 1, 3, 3);
    expect_at_once(reply);
    expect_logged(master, "appends wait", 0);
}

SCENARIO(cluster_nodes, a_master_that_is_all_of_its_log_takes_appends_at_once)
{
    struct node *master = master_start("--nodes 1");
    struct reply reply = post(master, "", "a");
    expect_stored(reply, 201, 1, 1, 1);
    expect_at_once(reply);
}

SCENARIO(cluster_nodes, a_registration_that_nobody_answers_for_is_no_node_that_was_met)
{
    struct node *master = master_start("--nodes 2");
    expect_status(register_by_hand(master, "{\"id\":\"x\",\"url\":\"http://127.0.0.1:9\"}"), 200);
    expect_status(post(master, "?w=1&timeout=0.5", "x"), 503);
    member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
}

SCENARIO(cluster_nodes, a_post_whose_time_is_over_before_the_nodes_are_met_is_refused_and_not_appended)
{
    struct node *master = master_start("--nodes 3");
    member_start(master, "s1", "");
    struct reply reply = post(master, "?w=1&timeout=0.4", "x");
    expect_status(reply, 503);
    expect_took(reply, 400);
    cr_assert_not_null(http_field(&reply, "Retry-After"));
    cr_assert_not_null(strstr(reply.body, "nothing was appended"), "%s", reply.body);
    member_start(master, "s2", "");
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    cr_assert(shows(master, "a"));
}

SCENARIO(cluster_nodes, a_master_that_stops_before_the_nodes_are_met_refuses_those_who_wait)
{
    struct node *master = master_start("--nodes 3");
    struct call *call = post_begin(master, "?w=1", "x");
    always(100, !call_done(call));
    expect_end(node_stop(master));
    expect_status(call_end(call), 503);
}

/* ---- all and majority */

SCENARIO(cluster_nodes, all_and_majority_count_the_nodes_that_have_gone)
{
    struct node *master = master_start("--nodes 3");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    cr_assert_eq(node_stop(s2).code, 0);
    expect_stored(post(master, "?timeout=0.3", "b"), 202, 2, 3, 2);
    expect_stored(post(master, "?w=all&timeout=0.3", "c"), 202, 3, 3, 2);
    expect_stored(post(master, "?w=majority", "d"), 201, 4, 2, 2);
    cr_assert_eq(node_stop(s1).code, 0);
    expect_stored(post(master, "?w=majority&timeout=0.3", "e"), 202, 5, 2, 1);
    expect_stored(post(master, "?w=1", "f"), 201, 6, 1, 1);
    node_restart(s2);
    expect_stored(http_get(master->port, "/messages/6?w=majority"), 200, 6, 2, 2);
}

SCENARIO(cluster_nodes, more_members_than_were_meant_count_as_well)
{
    struct node *master = master_start("--nodes 2");
    member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    member_start(master, "s2", "");
    expect_stored(post(master, "", "b"), 201, 2, 3, 3);
}

/* They were told 201, with one node, when the last one had gone. */
SCENARIO(cluster_nodes, those_who_wait_for_all_are_told_202_where_the_secondaries_stop_first)
{
    struct node *master = master_start("--nodes 3");
    struct node *s1 = member_start(master, "s1", "--secondary-delays 60");
    struct node *s2 = member_start(master, "s2", "--secondary-delays 60");
    struct call *all = post_begin(master, "?w=all", "a");
    eventually(SOON, shows(master, "a"));
    struct call *majority = post_begin(master, "?w=majority", "b");
    eventually(SOON, shows(master, "a b"));
    expect_end(node_stop(s1));
    expect_end(node_stop(s2));
    always(200, !call_done(all) && !call_done(majority));
    expect_end(node_stop(master));
    expect_stored_at_end(call_end(all), 1, 3, 1);
    expect_stored_at_end(call_end(majority), 2, 2, 1);
}

SCENARIO(cluster_nodes, a_quorum_of_the_majority_is_that_of_the_nodes)
{
    struct node *master = master_start("--nodes 3 --quorum majority --write-concern 1");
    struct reply reply = post(master, "", "x");
    expect_status(reply, 503);
    cr_assert_not_null(strstr(reply.body, "1 of the 2 nodes of the quorum is missing"), "%s", reply.body);
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(post(master, "?w=3", "a"), 201, 1, 3, 3);
    cr_assert_eq(node_stop(s1).code, 0);
    expect_stored(post(master, "?w=2", "b"), 201, 2, 2, 2);
    cr_assert_eq(node_stop(s2).code, 0);
    expect_status(post(master, "", "x"), 503);
    cr_assert(shows(master, "a b"));
}

/* ---- a master that comes back empty */

/* Three nodes with m1 to m5; the master is dead, and s1, which knows nothing of it, frozen. */
static struct node *frozen_start(const char *words, struct node **s1, struct node **s2)
{
    struct node *master = master_start("--nodes 3 --heartbeat-interval 0.2 %s", words);
    *s1 = member_start(master, "s1", "");
    *s2 = member_start(master, "s2", "");
    post_numbered(master, "?w=all", 1, 5);
    node_freeze(*s1);
    node_kill(master);
    return master;
}

/* The node with everything was refused for good, and what all three had acknowledged was lost. */
SCENARIO(cluster_nodes, a_master_and_a_secondary_that_restart_together_take_back_what_the_third_one_holds)
{
    struct node *s1, *s2;
    struct node *master = frozen_start("", &s1, &s2);
    node_kill(s2);
    node_restart(master);
    node_restart(s2);
    expect_member(master, "s2");
    struct call *call = post_begin(master, "", "m6");
    always(1500, !call_done(call)); /* longer than s1 may be silent */
    cr_assert(shows(master, "") && shows(s2, ""));
    node_thaw(s1);
    expect_stored(call_end(call), 201, 6, 3, 3);
    cr_assert(shows_numbered(master, 6) && equal_lists(master, s1, s2, NULL));
    cr_assert_eq(node_logged(master, "refused"), 0);
}

/* With w=all each of the others holds all that was acknowledged. */
SCENARIO(cluster_nodes, one_witness_is_enough_where_all_have_acknowledged)
{
    struct node *s1, *s2;
    struct node *master = frozen_start("", &s1, &s2);
    node_restart(master);
    expect_stored(post(master, "?w=2", "m6"), 201, 6, 2, 2);
    cr_assert(shows_numbered(master, 6) && shows_numbered(s2, 6));
    node_thaw(s1);
    eventually(SOON, shows_numbered(s1, 6));
    expect_stored(post(master, "", "m7"), 201, 7, 3, 3);
}

/* What a majority has acknowledged may be on the one that is missing alone. */
SCENARIO(cluster_nodes, one_witness_is_not_enough_where_a_majority_has_acknowledged)
{
    struct node *s1, *s2;
    struct node *master = frozen_start("--write-concern majority", &s1, &s2);
    node_restart(master);
    eventually(SOON, shows_numbered(master, 5));
    struct call *call = post_begin(master, "", "m6");
    always(1500, !call_done(call));
    cr_assert(shows_numbered(master, 5) && shows_numbered(s2, 5));
    node_thaw(s1);
    struct reply reply = call_end(call);
    expect_status(reply, 201);
    cr_assert_eq(json_number_of(reply.body, "id"), 6);
    eventually(SOON, shows_numbered(s1, 6) && shows_numbered(s2, 6));
}

/* s1 comes back empty, and is filled up with the short list of s3 while s2 alone holds what a majority has
 * acknowledged: s1 and s3 together do not show that nothing is missing. */
SCENARIO(cluster_nodes, who_was_filled_up_by_a_master_that_was_not_sure_is_no_witness)
{
    struct node *master = master_start("--nodes 4 --write-concern majority --heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    struct node *s3 = member_start(master, "s3", "");
    expect_stored(post(master, "?w=4", "a"), 201, 1, 4, 4);
    node_freeze(s3);
    /* nothing but greetings is sent to it from now on */
    expect_logged(master, "s3: it did not answer within", 1);
    expect_stored(post(master, "", "b"), 201, 2, 3, 3);
    node_freeze(s2);
    node_kill(master);
    node_kill(s1);
    node_thaw(s3);
    node_restart(master);
    eventually(SOON, shows(master, "a"));
    node_restart(s1);
    eventually(SOON, shows(s1, "a"));
    node_kill(master);
    node_restart(master);
    eventually(SOON, shows(master, "a") && members(master) == 2);
    expect_status(post(master, "?w=1&timeout=1", "x"), 503);
    node_thaw(s2);
    expect_status(post(master, "?w=4", "c"), 201);
    cr_assert(shows(master, "a b c") && equal_lists(master, s1, s2, s3, NULL));
}
