/* QUORUM: without enough nodes the master takes no appends, and says so. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_only(const struct node *master)
{
    struct reply reply = http_get(master->port, "/health");
    const char *status = json_text_of(reply.body, "status");
    bool yes = json_true_of(reply.body, "read_only");
    cr_assert_str_eq(status, yes ? "read_only" : "ok");
    http_free(&reply);
    return yes;
}

static void expect_refused(struct reply reply, const char *sentence)
{
    expect_status(reply, 503);
    cr_assert(http_field(&reply, "Retry-After") && atoi(http_field(&reply, "Retry-After")) >= 1);
    cr_assert_not_null(strstr(reply.body, sentence), "%s", reply.body);
}

SCENARIO(cluster_quorum, without_a_majority_the_master_is_read_only_until_it_has_one_again)
{
    struct node *master = master_start("--heartbeat-interval 0.1 --quorum majority --write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_status(post(master, "?w=3", "a"), 201);
    node_freeze(s1);
    eventually(SOON, member_is(master, "s1", "unhealthy"));
    expect_status(post(master, "", "b"), 201);
    node_freeze(s2);
    eventually(SOON, read_only(master));
    expect_refused(post(master, "", "x"), "1 of the 2 nodes of the quorum");
    expect_refused(http_post_json(master->port, "/", "{\"message\":\"x\",\"w\":1}"), "1 of the 2");
    cr_assert(shows(master, "a b"));
    expect_status(http_get(master->port, "/messages/2?w=1"), 200);
    node_thaw(s1);
    eventually(SOON, !read_only(master));
    expect_status(post(master, "?w=2", "c"), 201);
    node_thaw(s2);
    eventually(SOON, shows(s1, "a b c") && shows(s2, "a b c"));
    expect_logged(master, "read-only: 1 of the 2 nodes of the quorum is missing", 1);
    expect_logged(master, "writable again", 1);
}

SCENARIO(cluster_quorum, a_majority_of_two_is_both)
{
    struct node *master = master_start("--heartbeat-interval 0.1 --quorum majority --write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    expect_status(post(master, "?w=2", "a"), 201);
    node_freeze(s1);
    eventually(SOON, read_only(master));
    expect_refused(post(master, "", "x"), "1 of the 2 nodes of the quorum");
    node_thaw(s1);
    eventually(SOON, !read_only(master));
    expect_stored(post(master, "?w=2", "b"), 201, 2, 2, 2);
}

SCENARIO(cluster_quorum, a_number_is_waited_for_from_the_start)
{
    struct node *master = master_start("--quorum 3 --heartbeat-interval 0.2");
    cr_assert(read_only(master));
    expect_refused(post(master, "", "x"), "2 of the 3 nodes of the quorum are missing");
    struct node *s1 = member_start(master, "s1", "");
    expect_refused(post(master, "", "x"), "1 of the 3 nodes of the quorum is missing");
    struct node *s2 = member_start(master, "s2", "");
    eventually(SOON, !read_only(master));
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    cr_assert(shows(s1, "a"));
    cr_assert_eq(node_stop(s2).code, 0);
    expect_refused(post(master, "", "x"), "1 of the 3 nodes of the quorum");
    cr_assert(read_only(master) && shows(master, "a"));
}

SCENARIO(cluster_quorum, a_quorum_larger_than_the_cluster_is_read_only_and_off_is_never)
{
    struct node *master = master_start("--quorum 2");
    struct node *other = master_start("--quorum off");
    struct node *alone = master_start("--quorum majority");
    expect_refused(post(master, "?w=1", "x"), "1 of the 2 nodes of the quorum");
    expect_status(post(other, "", "a"), 201);
    expect_status(post(alone, "", "a"), 201);
    cr_assert(read_only(master) && !read_only(other) && !read_only(alone));
}

SCENARIO(cluster_quorum, a_bad_request_is_400_on_a_read_only_master_or_503_but_never_stored)
{
    struct node *master = master_start("--quorum 2");
    struct reply reply = http_post_json(master->port, "/messages", "{");
    cr_assert(reply.status == 400 || reply.status == 503);
    member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
}

SCENARIO(cluster_quorum, a_post_that_was_held_is_refused_where_the_quorum_is_gone_when_its_turn_comes)
{
    struct node *master = master_start("--quorum 3 --heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    struct node *s2 = member_start(master, "s2", "");
    post_numbered(master, "", 1, 5);
    struct node *empty[2];
    node_kill(s2);
    node_freeze(s1);
    node_kill(master);
    relay_mode(relay, RELAY_HOLD);
    node_restart(master);
    empty[0] = member_start(master, "e0", "");
    empty[1] = member_start(master, "e1", "");
    eventually(SOON, !read_only(master));
    node_thaw(s1);
    eventually(SOON, node_logged(master, "taking over messages"));
    eventually(SOON, !read_only(master));
    struct call *call = post_begin(master, "?w=1", "x");
    always(100, !call_done(call));
    node_freeze(empty[0]);
    node_freeze(empty[1]);
    eventually(SOON, member_is(master, "e0", "unhealthy") && member_is(master, "e1", "unhealthy"));
    relay_mode(relay, RELAY_PASS);
    expect_refused(call_end(call), "1 of the 3 nodes of the quorum");
    cr_assert(shows_numbered(master, 5) && shows_numbered(s1, 5));
}

SCENARIO(cluster_quorum, a_post_that_waits_already_is_still_answered)
{
    struct node *master = master_start("--heartbeat-interval 0.1 --quorum 2");
    struct node *s1 = member_start(master, "s1", "");
    node_freeze(s1);
    struct call *call = post_begin(master, "?w=2", "a");
    eventually(SOON, shows(master, "a"));
    eventually(SOON, read_only(master));
    cr_assert_not(call_done(call));
    node_thaw(s1);
    expect_stored(call_end(call), 201, 1, 2, 2);
    eventually(SOON, !read_only(master));
}

/* A registration that was under way when the master died tells the next one of the list as it was then: the
 * member that it makes holds more. Something was appended in the place of what it holds, which was lost. */
SCENARIO(cluster_quorum, the_first_append_waits_until_the_members_that_are_alive_have_answered)
{
    struct node *master = master_start("--quorum 2 --heartbeat-interval 1");
    struct relay *to_master, *to_s1;
    struct node *s1 = member_between(master, "s1", &to_master, &to_s1);
    relay_mode(to_master, RELAY_HOLD);
    relay_mode(to_s1, RELAY_HOLD);
    expect_logged(s1, "registering again", 1); /* which tells of an empty list, and stays under way */
    relay_mode(to_s1, RELAY_PASS);
    eventually(SOON, !read_only(master));
    post_numbered(master, "", 1, 3);
    node_kill(master);
    node_freeze(s1);
    node_restart(master);
    struct node *empty = member_start(master, "empty", "");
    int registrations = node_logged(master, "registered s1");
    relay_mode(to_master, RELAY_PASS);
    eventually(SOON, node_logged(master, "registered s1") > registrations);
    cr_assert_not(read_only(master));
    struct call *call = post_begin(master, "?w=1", "m4");
    always(300, !call_done(call));
    cr_assert(shows(master, ""));
    node_thaw(s1);
    expect_stored(call_end(call), 201, 4, 1, 1);
    eventually(SOON, shows_numbered(s1, 4) && shows_numbered(empty, 4));
}

/* A secondary that has registered, and that the master does not reach. */
static struct node *unmet_start(const struct node *master, const char *id, struct relay **relay)
{
    char registered[64];
    struct node *node = node_later("secondary", "");
    *relay = relay_open(node->port);
    relay_mode(*relay, RELAY_HOLD);
    node_words(node, "--master-url %s --secondary-id %s --advertise-url %s", master->url, id,
               relay_url(*relay));
    node_restart(node);
    snprintf(registered, sizeof registered, "registered %s", id);
    eventually(SOON, node_logged(master, registered));
    return node;
}

SCENARIO(cluster_quorum, the_first_append_says_that_it_waits_for_members_and_when_it_goes_on)
{
    struct node *master = master_start("--quorum 2");
    struct relay *relay;
    member_start(master, "s1", "");
    unmet_start(master, "s2", &relay);
    cr_assert_eq(node_logged(master, "appends wait"), 0); /* there is none yet */
    struct call *call = post_begin(master, "", "a");
    expect_logged(master, "INFO  master appends wait for members to answer first", 1);
    cr_assert_not(call_done(call));
    relay_mode(relay, RELAY_PASS);
    expect_stored(call_end(call), 201, 1, 3, 3);
    expect_logged(master, "INFO  master appends go on", 1);
    expect_logged(master, "not answered", 0);
}

SCENARIO(cluster_quorum, a_member_that_has_not_answered_is_no_node_of_the_quorum)
{
    struct node *master = master_start("--quorum 2 --heartbeat-interval 0.5");
    struct relay *relay;
    unmet_start(master, "s1", &relay);
    cr_assert(read_only(master));
    expect_refused(post(master, "?w=1", "x"), "1 of the 2 nodes of the quorum is missing");
    relay_mode(relay, RELAY_PASS);
    eventually(SOON, !read_only(master));
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
}

/* Each of them held it for five heartbeat intervals more. */
SCENARIO(cluster_quorum, the_first_append_does_not_wait_for_ever_new_members_that_never_answer)
{
    struct node *master = master_start("--quorum 2 --heartbeat-interval 0.2");
    struct call *call = NULL;
    member_start(master, "s1", "");
    for (int i = 0; !call || !call_done(call); i++) {
        cr_assert_lt(i, 20);
        expect_status(register_by_hand(master, "{\"id\":\"x%d\",\"url\":\"http://127.0.0.1:9\"}", i), 200);
        if (!call)
            call = post_begin(master, "?w=2", "a");
        nap_ms(300);
    }
    struct reply reply = call_end(call);
    expect_took(reply, 1000);
    expect_stored(reply, 201, 1, 2, 2);
    expect_logged(master, "appends wait for members to answer first", 1);
    cr_assert_eq(node_logged(master, "not answered"), 1);
    expect_logged(master, "appends go on: ", 1);
}

/* It registered again and again, was counted as alive each time, and nothing reached it. */
SCENARIO(cluster_quorum, a_member_that_can_register_and_cannot_be_reached_does_not_count)
{
    struct node *master = master_start("--heartbeat-interval 0.2 --quorum 2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    relay_mode(relay, RELAY_HOLD);
    eventually(SOON, member_is(master, "s1", "unhealthy") && read_only(master));
    int registrations = node_logged(master, "registered s1");
    while (node_logged(master, "registered s1") < registrations + 2) {
        cr_assert(member_is(master, "s1", "unhealthy") && read_only(master));
        nap_ms(5);
    }
    expect_refused(post(master, "", "x"), "1 of the 2 nodes of the quorum");
    relay_mode(relay, RELAY_PASS);
    eventually(SOON, member_is(master, "s1", "healthy") && !read_only(master));
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    node_kill(s1);
    eventually(SOON, read_only(master));
    node_restart(s1);
    eventually(SOON, !read_only(master));
    expect_stored(post(master, "", "c"), 201, 3, 2, 2);
}
