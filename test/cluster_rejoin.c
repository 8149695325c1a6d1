/* Secondaries that freeze, die and come back with nothing or with a part; heartbeats and states. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SCENARIO(cluster_rejoin, one_that_comes_back_empty_is_filled_again)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    post_numbered(master, "", 1, 500);
    node_kill(s1);
    node_restart(s1);
    eventually(SOON, shows_numbered(s1, 500));
    expect_stored(post(master, "", "m501"), 201, 501, 2, 2);
    cr_assert(shows_numbered(s1, 501));
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_rejoin, one_that_was_away_is_sent_the_rest_and_no_more)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 3);
    relay_mode(relay, RELAY_REFUSE);
    eventually(SOON, node_logged(master, "trying again"));
    post_numbered(master, "?w=1", 4, 9);
    relay_mode(relay, RELAY_PASS);
    eventually(SOON, shows_numbered(s1, 9));
    expect_logged(master, "connected to s1, which holds 3 of 9 messages", 1);
    expect_logged(master, "sending 4..9 to s1 (6 messages)", 1);
    expect_logged(s1, "stored 4..9 (6 messages)", 1);
}

SCENARIO(cluster_rejoin, what_a_secondary_says_decides_not_what_the_master_remembers)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    post_numbered(master, "", 1, 20);
    cr_assert_eq(fake_last_id(fake), 20);
    fake_forget(fake); /* the same process; it does not even register */
    eventually(SOON, fake_last_id(fake) == 20);
    fake_restart(fake);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "", "m21"), 201, 21, 2, 2);
    cr_assert_eq(fake_last_id(fake), 21);
    char *list = fake_list(fake);
    struct reply reply = http_get(master->port, "/messages");
    cr_assert_str_eq(list, reply.body);
}

SCENARIO(cluster_rejoin, one_that_lost_its_messages_counts_for_them_no_more)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    fake_mode(fake, FAKE_500);
    fake_forget(fake);
    eventually(SOON, member_number(master, "f1", "acked") == 0);
    expect_stored(http_get(master->port, "/messages/1?w=2&timeout=0.2"), 202, 1, 2, 1);
    fake_mode(fake, FAKE_GOOD);
    expect_stored(http_get(master->port, "/messages/1?w=2"), 200, 1, 2, 2);
}

/* A registration is a wish. */
SCENARIO(cluster_rejoin, a_registration_with_less_takes_nothing_away_until_another_process_has_proven_it)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    static const char wish[] = "{\"id\":\"f1\",\"url\":\"http://127.0.0.1:9\",\"boot\":\"" NO_BOOT "\"}";
    expect_status(register_by_hand(master, "%s", wish), 200);
    cr_assert_eq(member_number(master, "f1", "acked"), 1);
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    fake_restart(fake);
    fake_mode(fake, FAKE_500); /* it takes no message again */
    fake_join(fake, master, "f1");
    eventually(SOON, member_number(master, "f1", "acked") == 0);
    expect_stored(http_get(master->port, "/messages/1?w=2&timeout=0.2"), 202, 1, 2, 1);
}

SCENARIO(cluster_rejoin, what_does_not_show_yet_at_a_registration_does_not_count_yet)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *slow = member_start(master, "slow", "--secondary-delays 2.5");
    struct call *call = post_begin(master, "?w=2", "a");
    eventually(SOON, node_logged(slow, "stored 1 "));
    cr_assert_eq(remove_member(master, "slow"), 204);
    eventually(SOON, members_met(master) == 1); /* it has registered again */
    struct reply reply = call_end(call);
    expect_stored(reply, 201, 1, 2, 2);
    cr_assert(reply.ms >= 2499, "answered after %d ms", reply.ms);
    cr_assert(shows(slow, "a"));
}

SCENARIO(cluster_rejoin, one_that_was_frozen_goes_on_where_it_was)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    post_numbered(master, "", 1, 10);
    node_freeze(s2);
    struct call *waiting = post_begin(master, "", "m11");
    eventually(SOON, shows_numbered(s1, 11));
    post_numbered(master, "?w=2", 12, 60);
    eventually(SOON, member_is(master, "s2", "unhealthy"));
    eventually(SOON, node_logged(master, "s2: it did not answer within"));
    cr_assert_not(call_done(waiting));
    node_thaw(s2);
    expect_stored(call_end(waiting), 201, 11, 3, 3);
    eventually(SOON, shows_numbered(s2, 60));
    expect_stored(post(master, "", "m61"), 201, 61, 3, 3);
    cr_assert(equal_lists(master, s1, s2, NULL));
}

SCENARIO(cluster_rejoin, a_list_is_a_prefix_through_many_deaths)
{
    struct node *master = master_start("--heartbeat-interval 0.2 --write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    int posted = 0;
    for (int round = 0; round < 6; round++) {
        post_numbered(master, "", posted + 1, posted + 50);
        posted += 50;
        node_kill(s1);
        post_numbered(master, "", posted + 1, posted + 50);
        posted += 50;
        node_restart(s1);
        int seen = numbered_prefix(s1);
        cr_assert(seen >= 0 && seen <= posted);
    }
    eventually(SOON, shows_numbered(s1, posted));
    expect_stored(post(master, "?w=all", "m601"), 201, 601, 2, 2);
}

SCENARIO(cluster_rejoin, a_long_catch_up_does_not_slow_the_others)
{
    enum { BIG = 500 * 1000, COUNT = 40 };
    static char big[BIG];
    struct node *master = master_start("--heartbeat-interval 0.3");
    member_start(master, "s1", "");
    memset(big, 'x', sizeof big);
    for (int i = 0; i < COUNT; i++)
        expect_status(http_post(master->port, "/messages?w=2", big, sizeof big), 201);
    struct node *late = node_later("secondary", "");
    struct relay *relay = relay_open(late->port);
    relay_delay(relay, 100);
    node_words(late, "--master-url %s --secondary-id late --advertise-url %s", master->url, relay_url(relay));
    node_restart(late);
    eventually(SOON, members_met(master) == 2);
    int posts = 0;
    do {
        expect_status(post(master, "?w=2", "m"), 201);
        posts++;
    } while (member_number(master, "late", "acked") < COUNT);
    cr_assert_gt(posts, 10, "%d posts while it caught up", posts);
    expect_member(master, "late");
    cr_assert(equal_lists(master, late, NULL));
}

/* ---- heartbeats */

SCENARIO(cluster_rejoin, an_idle_link_carries_signs_of_life)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    int64_t began = now_ms();
    int signs = fake_signs(fake);
    eventually(SOON, fake_signs(fake) >= signs + 10);
    cr_assert(now_ms() - began >= 800, "10 in %d ms", (int)(now_ms() - began));
    cr_assert_eq(fake_connections(fake), 1);
    cr_assert_eq(fake_requests(fake), 0);
}

/* What the log line says of how long the member was silent: so many seconds, and no whole interval of 0.3 s
 * more, unless the machine stood still. */
static void expect_silence(const struct node *master, const char *line, double seconds)
{
    char *log = node_log(master);
    const char *at = strstr(log, line);
    cr_assert_not_null(at);
    double silent = strtod(at + strlen(line), NULL);
    cr_assert(silent >= seconds - 0.001 && silent < seconds + 0.001 * late(298), "%s%.1f", line, silent);
    free(log);
}

SCENARIO(cluster_rejoin, a_silent_member_is_suspected_then_unhealthy_then_healthy_again)
{
    struct node *master = master_start("--heartbeat-interval 0.3");
    struct node *s1 = member_start(master, "s1", "");
    cr_assert(member_is(master, "s1", "healthy"));
    int64_t began = now_ms();
    node_freeze(s1);
    eventually(SOON, !member_is(master, "s1", "healthy"));
    cr_assert(now_ms() - began >= 600 - 300 - 10, "suspected after %d ms", (int)(now_ms() - began));
    eventually(SOON, member_is(master, "s1", "unhealthy"));
    cr_assert(now_ms() - began >= 1500 - 300 - 10, "unhealthy after %d ms", (int)(now_ms() - began));
    node_thaw(s1);
    eventually(SOON, member_is(master, "s1", "healthy"));
    eventually(SOON, node_logged(master, "s1 is healthy now (was "));
    expect_silence(master, "s1 is suspected now (was healthy), last seen ", 0.6);
    expect_silence(master, "s1 is unhealthy now (was suspected), last seen ", 1.5);
    int changes = node_logged(master, "s1 is "); /* more of them where the machine stood still */
    cr_assert(changes == 3 || late(0), "%d changes", changes);
    cr_assert_geq(node_logged(master, "s1 is healthy now (was unhealthy)"), 1);
}

/* Seconds since the member was seen. */
static double last_seen(const struct node *master, const char *id)
{
    char start[64];
    struct reply reply = http_get(master->port, "/health");
    snprintf(start, sizeof start, "{\"id\":\"%s\"", id);
    const char *member = strstr(reply.body, start);
    const char *seen = member ? strstr(member, "\"last_seen\":") : NULL;
    cr_assert_not_null(seen, "%s", reply.body);
    double seconds = strtod(seen + strlen("\"last_seen\":"), NULL);
    http_free(&reply);
    return seconds;
}

SCENARIO(cluster_rejoin, what_the_master_sends_is_no_sign_of_life)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    int signs = fake_signs(fake);
    eventually(SOON, fake_signs(fake) > signs);
    fake_mode(fake, FAKE_SILENT);
    nap_ms(20); /* for the answer that may be on its way */
    for (double seen = 0, before; seen < 1.5;) {
        before = seen;
        seen = last_seen(master, "f1");
        cr_assert(seen >= before, "last seen %.3f s ago, and then %.3f s ago", before, seen);
        nap_ms(10);
    }
    cr_assert(member_is(master, "f1", "unhealthy"));
}

SCENARIO(cluster_rejoin, a_member_stays_healthy_idle_and_busy)
{
    struct node *master = master_start("--heartbeat-interval 0.5");
    member_start(master, "s1", "");
    for (int i = 0; i < 75; i++) {
        cr_assert(member_is(master, "s1", "healthy") || late(0));
        if (i > 40)
            expect_status(post(master, "", "m"), 201);
        nap_ms(20);
    }
    cr_assert(!node_logged(master, "is suspected now") || late(0));
    cr_assert(node_logged(master, "registered s1") == 1 || late(0));
}

SCENARIO(cluster_rejoin, a_secondary_that_hears_nothing_registers_again)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    relay_mode(relay, RELAY_HOLD); /* it still reaches the master, but the master does not reach it */
    eventually(SOON, node_logged(s1, "heard nothing from the master for 0.6 s: registering again"));
    eventually(SOON, node_logged(master, "registered s1") >= 3);
    relay_mode(relay, RELAY_PASS);
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_rejoin, a_frozen_master_finds_its_members_when_it_goes_on)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_status(post(master, "", "a"), 201);
    node_freeze(master);
    eventually(SOON, !registered(s1) && !registered(s2));
    cr_assert(shows(s1, "a") && shows(s2, "a"));
    node_thaw(master);
    expect_stored(post(master, "", "b"), 201, 2, 3, 3);
    eventually(SOON, registered(s1) && registered(s2));
    cr_assert_eq(members(master), 2);
}

SCENARIO(cluster_rejoin, a_restarted_master_finds_its_members_by_itself)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    for (int round = 0; round < 3; round++) {
        node_kill(master);
        node_restart(master);
        eventually(SOON, members_met(master) == 2);
        eventually(SOON, registered(s1) && registered(s2));
    }
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    cr_assert(shows(s1, "a") && shows(s2, "a"));
}
