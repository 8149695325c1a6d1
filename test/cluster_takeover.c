/* Taking over a list: what is fetched becomes the master's list only where its digest is the one that the
 * registration told, there is no more of it than was told, and it comes to an end. */
#include "cluster.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- another program answers where the holder was */

/* A port, an IP or a name that is used again: s9 follows another master. Returns the new master of s1's log,
 * which asks s9. */
static struct node *taken_from_another(struct node **s1)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *other = master_start("--heartbeat-interval 0.2");
    struct node *s9 = member_start(other, "s9", "");
    struct relay *relay;
    *s1 = member_behind(master, "s1", &relay);
    for (int i = 0; i < 3; i++) {
        expect_status(post(master, "", "own"), 201);
        expect_status(post(other, "", "foreign"), 201);
    }
    node_kill(master);
    relay_cut(relay);
    relay_target(relay, s9->port);
    node_restart(master);
    eventually(SOON, node_logged(master, "taking over"));
    return master;
}

SCENARIO(cluster_takeover, the_list_of_another_program_at_the_same_address_is_not_taken)
{
    struct node *s1;
    struct node *master = taken_from_another(&s1);
    always(2000, shows(master, ""));
    cr_assert_str_neq(log_name(master), log_name(s1));
    expect_end(node_stop(master));
}

SCENARIO(cluster_takeover, two_lists_are_never_merged)
{
    enum { COUNT = 100, LEN = 3000 };
    static char text[LEN];
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *other = master_start("--heartbeat-interval 0.2");
    struct node *s9 = member_start(other, "s9", "");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    for (int i = 0; i < COUNT; i++) {
        memset(text, 'a', LEN);
        expect_status(http_post(master->port, "/messages", text, LEN), 201);
        memset(text, 'b', LEN);
        expect_status(http_post(other->port, "/messages", text, LEN), 201);
    }
    node_kill(master);
    int cuts = relay_cuts(relay);
    relay_cut_after(relay, RELAY_BACK, 100000);
    node_restart(master);
    eventually(SOON, relay_cuts(relay) > cuts);
    relay_target(relay, s9->port); /* which has the second half as well */
    relay_cut_after(relay, RELAY_BACK, -1);
    always(2000, last_id(master) < COUNT || equal_lists(master, s1, NULL));
    expect_end(node_stop(master));
}

/* ---- a holder that serves other things than it told of */

/* Holds three messages of log L, registers with them, and serves that. A POST waits for what comes of it. */
struct holder {
    struct node *master;
    struct fake *fake;
    struct call *registering, *post;
};

static struct holder holder_start(enum fake_list list, const char *words)
{
    struct holder holder = {.master = master_start("--heartbeat-interval 0.2 %s", words),
                            .fake = fake_open(FAKE_GOOD)};
    fake_hold(holder.fake, "L", "one two three");
    fake_serve(holder.fake, list);
    holder.registering = fake_register_begin(holder.fake, holder.master, "f1");
    eventually(SOON, node_logged(holder.master, "taking over"));
    holder.post = post_begin(holder.master, "?w=1", "x");
    return holder;
}

static void holder_end(struct holder *holder)
{
    expect_end(node_stop(holder->master));
    call_end(holder->registering);
    call_end(holder->post);
}

SCENARIO(cluster_takeover, a_list_with_the_digest_that_was_told_is_taken)
{
    struct holder holder = holder_start(LIST_OWN, "");
    expect_stored(call_end(holder.post), 201, 4, 1, 1);
    cr_assert(shows(holder.master, "one two three x"));
    cr_assert_str_eq(log_name(holder.master), "L");
    expect_status(call_end(holder.registering), 200);
}

SCENARIO(cluster_takeover, a_list_with_another_digest_than_was_told_is_not_taken)
{
    struct holder holder = holder_start(LIST_OTHER, "");
    always(1500, shows(holder.master, "") || shows(holder.master, "x"));
    eventually(SOON, node_told(holder.master, "WARN", "f1") + node_told(holder.master, "ERROR", "f1"));
    holder_end(&holder);
}

SCENARIO(cluster_takeover, a_list_that_is_shorter_than_was_told_is_not_taken)
{
    struct holder holder = holder_start(LIST_FEWER, "");
    always(1500, shows(holder.master, "") || shows(holder.master, "x"));
    holder_end(&holder);
}

SCENARIO(cluster_takeover, no_more_messages_are_taken_than_were_told)
{
    struct holder holder = holder_start(LIST_MORE, "");
    eventually(SOON, fake_readings(holder.fake) >= 1);
    always(1500, !strstr(http_get(holder.master->port, "/messages").body, "\"more\""));
    holder_end(&holder);
}

SCENARIO(cluster_takeover, a_message_above_max_message_is_not_taken)
{
    struct holder holder = holder_start(LIST_OWN, "--max-message 4"); /* `three` has five bytes */
    eventually(SOON, fake_readings(holder.fake) >= 1);
    always(1500, !strstr(http_get(holder.master->port, "/messages").body, "\"three\""));
    eventually(SOON, node_told(holder.master, "WARN", "f1") + node_told(holder.master, "ERROR", "f1"));
    holder_end(&holder);
}

/* ---- what never ends */

static void expect_little_memory(enum fake_list list)
{
    long most_kb = nodes_sanitized() ? 400 * 1000 : 40 * 1000;
    struct holder holder = holder_start(list, "--max-message 1000");
    long before = node_memory_kb(holder.master);
    eventually(SOON, fake_readings(holder.fake) >= 1);
    always(3000, node_memory_kb(holder.master) < before + most_kb);
    cr_assert(shows(holder.master, "") || shows(holder.master, "x"));
    holder_end(&holder);
}

SCENARIO(cluster_takeover, messages_without_end_fill_no_memory)
{
    expect_little_memory(LIST_ENDLESS);
}

SCENARIO(cluster_takeover, a_message_without_end_fills_no_memory)
{
    expect_little_memory(LIST_STRING);
}

SCENARIO(cluster_takeover, interim_answers_without_end_are_an_attempt_that_failed)
{
    struct holder holder = holder_start(LIST_INTERIM, "");
    eventually(SOON, node_told(holder.master, "WARN", "f1"));
    fake_serve(holder.fake, LIST_OWN); /* for the next attempt */
    expect_stored(call_end(holder.post), 201, 4, 1, 1);
    expect_status(call_end(holder.registering), 200);
}

/* It has 30 s, and not the longer the more dribbles. */
SCENARIO(cluster_takeover, a_byte_now_and_then_does_not_prolong_it)
{
    struct holder holder = holder_start(LIST_DRIBBLE, "");
    expect_status(post(holder.master, "?w=1&timeout=5", "y"), 503);
    struct reply reply = post(holder.master, "?w=1", "z");
    expect_status(reply, 201);
    cr_assert(reply.ms > 10000 && reply.ms < late(29000), "it waited for %d ms more", reply.ms);
    eventually(AT_ONCE_MS, call_done(holder.registering));
    call_end(holder.registering);
    call_end(holder.post); /* whose client has gone by then */
}

/* ---- a list that nobody has any more */

SCENARIO(cluster_takeover, it_ends_at_once_when_its_holder_registers_with_less)
{
    struct holder holder = holder_start(LIST_SILENT, "");
    always(300, !call_done(holder.post));
    fake_restart(holder.fake);
    int64_t began = now_ms();
    struct call *again = fake_register_begin(holder.fake, holder.master, "f1");
    expect_stored(call_end(holder.post), 201, 1, 1, 1);
    cr_assert(now_ms() - began < late(AT_ONCE_MS), "after %d ms", (int)(now_ms() - began));
    expect_status(call_end(again), 200);
    call_end(holder.registering);
}

SCENARIO(cluster_takeover, it_ends_at_once_when_its_holder_says_goodbye)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 5);
    node_kill(master);
    relay_mode(relay, RELAY_HOLD);
    node_restart(master);
    eventually(SOON, node_logged(master, "taking over"));
    struct call *call = post_begin(master, "?w=1", "x");
    always(300, !call_done(call));
    int64_t began = now_ms();
    expect_end(node_stop(s1));
    expect_stored(call_end(call), 201, 1, 1, 1);
    cr_assert(now_ms() - began < late(AT_ONCE_MS), "after %d ms", (int)(now_ms() - began));
    cr_assert_eq(members(master), 0);
}

SCENARIO(cluster_takeover, a_goodbye_of_an_earlier_life_of_its_holder_does_not_end_it)
{
    struct holder holder = holder_start(LIST_SILENT, "");
    struct reply late_one =
        http_request(holder.master->port, "DELETE", "/secondaries/f1?boot=" NO_BOOT, NULL, "", 0, SOON);
    cr_assert_neq(late_one.status, 204);
    always(500, !call_done(holder.post));
    fake_serve(holder.fake, LIST_OWN);
    expect_stored(call_end(holder.post), 201, 4, 1, 1);
    expect_status(call_end(holder.registering), 200);
}
