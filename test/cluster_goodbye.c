/* The end of a member: a goodbye is of one process, and what that process said before is over with it. What a
 * master that stops has acknowledged gets its time to reach another node. */
#include "cluster.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* DELETE /secondaries/ID?boot=…: the status. */
static int goodbye(const struct node *master, const char *id, const char *boot)
{
    char target[128];
    snprintf(target, sizeof target, "/secondaries/%s?boot=%s", id, boot);
    return http_request(master->port, "DELETE", target, NULL, "", 0, SOON).status;
}

SCENARIO(cluster_goodbye, a_goodbye_of_another_process_removes_nobody)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    cr_assert_eq(goodbye(master, "f1", NO_BOOT), 409);
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    cr_assert_eq(goodbye(master, "f1", fake_boot(fake)), 204);
    cr_assert_eq(members(master), 0);
}

SCENARIO(cluster_goodbye, a_person_removes_a_member_without_its_boot)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    cr_assert_eq(remove_member(master, "f1"), 204);
    cr_assert_eq(members(master), 0);
    fake_join(fake, master, "f1"); /* that was no goodbye of its own */
    expect_stored(post(master, "?w=2", "b"), 201, 2, 2, 2);
}

SCENARIO(cluster_goodbye, one_that_says_no_goodbye_stays_a_member_and_is_waited_for_until_it_is_back)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "--goodbye off");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    expect_end(node_stop(s1));
    expect_logged(s1, "stays the master's member", 1);
    struct call *waits = post_begin(master, "", "b");
    eventually(SOON, member_is(master, "s1", "unhealthy"));
    cr_assert(!call_done(waits));
    node_restart(s1);
    expect_stored(call_end(waits), 201, 2, 2, 2);
    expect_logged(master, "removed s1", 0);
}

/* Its earlier life gave the goodbye up, and the network did not. */
SCENARIO(cluster_goodbye, a_goodbye_that_comes_when_the_next_life_is_a_member_removes_nobody)
{
    struct node *master = master_start("--heartbeat-interval 0.5");
    struct relay *to_master, *to_s1;
    struct node *s1 = member_between(master, "s1", &to_master, &to_s1);
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    relay_mode(to_master, RELAY_HOLD);
    node_stop(s1);
    node_words(s1, "--secondary-id s1 --master-url %s", master->url);
    node_restart(s1);
    eventually(SOON, shows(s1, "a") && member_is(master, "s1", "healthy"));
    relay_mode(to_master, RELAY_PASS);
    always(1500, members(master) == 1);
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    expect_logged(master, "removed s1", 0);
}

SCENARIO(cluster_goodbye, a_registration_of_a_process_that_has_said_goodbye_is_refused)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    cr_assert_eq(goodbye(master, "f1", fake_boot(fake)), 204);
    expect_status(fake_register(fake, master, "f1"), 409);
    cr_assert_eq(members(master), 0);
    fake_restart(fake);
    fake_join(fake, master, "f1"); /* its next life is welcome */
    expect_stored(post(master, "?w=2", "b"), 201, 2, 2, 2);
}

SCENARIO(cluster_goodbye, one_that_says_goodbye_to_a_frozen_master_is_no_member_after_the_thaw)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    node_freeze(master);
    expect_logged(s1, "registering again", 1);
    nap_ms(2500); /* registrations and the goodbye lie in the master's queue */
    node_stop(s1);
    node_thaw(master);
    eventually(SOON, members(master) == 0);
    always(2000, members(master) == 0);
    expect_stored(post(master, "?timeout=2", "b"), 201, 2, 1, 1);
    node_restart(s1);
    expect_member(master, "s1");
}

/* It has waited for nobody when that was posted, and does now, for its two seconds. */
SCENARIO(cluster_goodbye, a_master_that_stops_lets_what_it_acknowledged_reach_one_more_node)
{
    enum { LEN = 100 * 1000 };
    static char text[LEN];
    const int count = nodes_sanitized() ? 60 : 200;
    struct node *master = master_start("--write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    memset(text, 'x', sizeof text);
    node_freeze(s1);
    for (int i = 0; i < count; i++)
        expect_status(http_post(master->port, "/messages", text, sizeof text), 201);
    kill(master->pid, SIGTERM);
    nap_ms(300);
    node_thaw(s1);
    expect_end(node_stop(master));
    eventually(SOON, last_id(s1) == count);
}

SCENARIO(cluster_goodbye, a_master_that_stops_waits_no_longer_than_two_seconds_for_another_node)
{
    struct node *master = master_start("--write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    node_freeze(s1);
    expect_status(post(master, "", "a"), 201);
    expect_end(node_stop(master));
}

SCENARIO(cluster_goodbye, a_master_that_stops_does_not_wait_where_another_node_has_everything)
{
    struct node *master = master_start("--write-concern 1 --heartbeat-interval 0.2");
    struct node *s2 = member_start(master, "s2", "");
    member_start(master, "s1", "");
    node_freeze(s2);
    expect_status(post(master, "?w=2", "a"), 201);
    struct ending ending = node_stop(master);
    /* the 1.3 s that it would give another node otherwise */
    cr_assert(ending.code == 0 && ending.ms < late(1300), "it ended after %d ms", ending.ms);
}
