/* Write concern: how many nodes a POST waits for, and for how long. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

SCENARIO(cluster_concern, w_may_stand_in_the_body_and_in_the_query)
{
    struct node *master = master_start("--write-concern 1");
    member_start(master, "s1", "");
    member_start(master, "s2", "");
    static const struct {
        const char *query, *body;
        int w;
    } rows[] = {
        {"", "{\"message\":\"m\"}", 1},
        {"", "{\"message\":\"m\",\"w\":1}", 1},
        {"", "{\"w\":2,\"message\":\"m\"}", 2},
        {"", "{\"message\":\"m\",\"w\":3,\"timeout\":30}", 3},
        {"", "{\"message\":\"m\",\"w\":\"all\"}", 3},
        {"", "{\"message\":\"m\",\"w\":\"\\u0061ll\"}", 3},
        {"", "{\"message\":\"m\",\"w\":\"majority\",\"timeout\":0.5e2}", 2},
        {"", "{\"message\":\"m\",\"other\":[{\"w\":9}]}", 1},
        {"?w=2", "{\"message\":\"m\"}", 2},
        {"?w=3&timeout=30", "{\"message\":\"m\"}", 3},
        {"?timeout=2.5&w=all", "{\"message\":\"m\"}", 3},
        {"?w=majority&colour=red", "{\"message\":\"m\"}", 2},
        {"?w=%61ll", "{\"message\":\"m\"}", 3},
    };
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        char target[64];
        snprintf(target, sizeof target, "/messages%s", rows[i].query);
        struct reply reply = http_post_json(master->port, target, rows[i].body);
        expect_status(reply, 201);
        cr_assert_eq(json_number_of(reply.body, "id"), i + 1);
        cr_assert_eq(json_number_of(reply.body, "w"), rows[i].w, "row %d: %s", i, reply.body);
        cr_assert(json_number_of(reply.body, "acks") >= rows[i].w, "row %d: %s", i, reply.body);
    }
}

SCENARIO(cluster_concern, a_bad_w_or_timeout_is_400_and_appends_nothing)
{
    struct node *master = master_start("");
    static const char *const bodies[] = {
        "\"w\":0",        "\"w\":-1",          "\"w\":1.5",       "\"w\":\"x\"", "\"w\":[1]",
        "\"w\":65536",    "\"w\":true",        "\"w\":\"\"",      "\"w\":1e99",  "\"w\":\"2\"",
        "\"timeout\":-1", "\"timeout\":\"1\"", "\"timeout\":1e99"};
    static const char *const queries[] = {
        "w=0",         "w=-1",        "w=1.5",       "w=x",
        "w=",          "w=65536",     "w=ALL",       "w=+1",
        "timeout=-1",  "timeout=x",   "timeout=",    "timeout=1e99",
        "timeout=nan", "timeout=inf", "timeout=0x1", "w=1&timeout=1s",
    };
    char text[128];
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        snprintf(text, sizeof text, "{\"message\":\"m\",%s}", bodies[i]);
        struct reply reply = http_post_json(master->port, "/messages", text);
        cr_assert_eq(reply.status, 400, "%s: %d %s", text, reply.status, reply.body);
    }
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        snprintf(text, sizeof text, "?%s", queries[i]);
        struct reply reply = post(master, text, "m");
        cr_assert_eq(reply.status, 400, "%s: %d %s", text, reply.status, reply.body);
        cr_assert_eq(strncmp(reply.body, "{\"error\":\"", 10), 0);
    }
    expect_stored(post(master, "", "m"), 201, 1, 1, 1);
}

SCENARIO(cluster_concern, the_classic_self_check)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    expect_stored(post(master, "?w=1", "m1"), 201, 1, 1, 1);
    expect_stored(post(master, "?w=2", "m2"), 201, 2, 2, 2);
    struct call *m3 = post_begin(master, "?w=3", "m3");
    eventually(SOON, shows(master, "m1 m2 m3"));
    struct reply m4 = post(master, "?w=1", "m4");
    expect_status(m4, 201);
    expect_at_once(m4);
    always(200, !call_done(m3));
    struct node *s2 = secondary_start(master, "--secondary-id s2");
    expect_stored(call_end(m3), 201, 3, 3, 3);
    eventually(SOON, shows(s2, "m1 m2 m3 m4"));
}

SCENARIO(cluster_concern, w_beyond_the_members_waits_for_as_many_as_it_needs)
{
    struct node *master = master_start("");
    struct call *call = post_begin(master, "?w=4", "a");
    member_start(master, "s1", "");
    member_start(master, "s2", "");
    always(200, !call_done(call));
    struct node *s3 = member_start(master, "s3", "");
    expect_stored(call_end(call), 201, 1, 4, 4);
    cr_assert(shows(s3, "a"));
}

SCENARIO(cluster_concern, a_majority_does_without_the_minority)
{
    struct node *master = master_start("--write-concern majority");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    member_start(master, "s3", "");
    node_freeze(s1);
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    node_freeze(s2);
    struct call *call = post_begin(master, "", "b");
    always(300, !call_done(call));
    node_thaw(s1);
    expect_status(call_end(call), 201);
    node_thaw(s2);
    eventually(SOON, shows(s2, "a b"));
}

SCENARIO(cluster_concern, all_means_every_member_whatever_its_state)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    node_kill(s2);
    eventually(SOON, member_is(master, "s2", "unhealthy"));
    expect_stored(post(master, "?timeout=0.3", "a"), 202, 1, 3, 2);
    struct call *call = post_begin(master, "", "b");
    always(300, !call_done(call));
    cr_assert_eq(remove_member(master, "s2"), 204);
    expect_stored(call_end(call), 201, 2, 2, 2);
}

SCENARIO(cluster_concern, a_member_that_comes_back_is_what_all_waited_for)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    node_kill(s1);
    struct call *call = post_begin(master, "", "a");
    always(200, !call_done(call));
    node_restart(s1);
    expect_stored(call_end(call), 201, 1, 2, 2);
    cr_assert(shows(s1, "a"));
}

SCENARIO(cluster_concern, the_default_is_a_setting)
{
    struct node *master = master_start("WRITE_CONCERN=2 ACK_TIMEOUT=0.3");
    expect_stored(post(master, "", "a"), 202, 1, 2, 1);
    expect_stored(post(master, "?w=1", "b"), 201, 2, 1, 1);
    member_start(master, "s1", "");
    expect_stored(post(master, "", "c"), 201, 3, 2, 2);
}

SCENARIO(cluster_concern, a_newcomer_that_has_a_long_way_to_go_holds_nobody_up)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    post_numbered(master, "", 1, 200);
    struct node *late = node_later("secondary", "");
    struct relay *relay = relay_open(late->port);
    relay_mode(relay, RELAY_HOLD);
    node_words(late, "--master-url %s --secondary-id late --advertise-url %s", master->url, relay_url(relay));
    node_restart(late);
    eventually(SOON, members(master) == 2);
    struct reply reply = post(master, "", "m201");
    expect_stored(reply, 201, 201, 2, 2);
    expect_at_once(reply);
    relay_mode(relay, RELAY_PASS);
    eventually(SOON, shows_numbered(late, 201));
    expect_member(master, "late");
    expect_stored(post(master, "", "m202"), 201, 202, 3, 3);
}

/* ---- time limits; the default is 30 s */

SCENARIO(cluster_concern, when_the_time_is_over_the_answer_is_202_and_the_message_keeps_replicating)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct reply reply = post(master, "?w=3&timeout=0.5", "a");
    expect_stored(reply, 202, 1, 3, 2);
    expect_took(reply, 500);
    struct node *s2 = member_start(master, "s2", "");
    cr_assert(shows(s2, "a") && shows(master, "a"));
}

SCENARIO(cluster_concern, a_timeout_in_the_body_counts_from_the_request)
{
    struct node *master = master_start("--ack-timeout 30");
    struct reply reply = http_post_json(master->port, "/", "{\"message\":\"a\",\"w\":2,\"timeout\":0.3}");
    expect_stored(reply, 202, 1, 2, 1);
    expect_took(reply, 300);
}

SCENARIO(cluster_concern, ack_timeout_is_the_default_and_a_timeout_of_0_waits_for_ever)
{
    struct node *master = master_start("--ack-timeout 0.3");
    struct call *for_ever = post_begin(master, "?w=2&timeout=0", "a");
    eventually(SOON, shows(master, "a"));
    struct reply reply = post(master, "?w=2", "b");
    expect_stored(reply, 202, 2, 2, 1);
    expect_took(reply, 300);
    always(400, !call_done(for_ever));
    member_start(master, "s1", "");
    expect_stored(call_end(for_ever), 201, 1, 2, 2);
}

SCENARIO(cluster_concern, many_time_limits_end_each_at_its_own_time)
{
    struct node *master = master_start("");
    struct call *longest = post_begin(master, "?w=2&timeout=60", "m");
    struct call *calls[8];
    char query[32];
    for (int i = 0; i < 8; i++) {
        snprintf(query, sizeof query, "?w=2&timeout=%.1f", 0.9 - i * 0.1);
        calls[i] = post_begin(master, query, "m");
    }
    for (int i = 0; i < 8; i++) {
        struct reply reply = call_end(calls[i]);
        expect_status(reply, 202);
        expect_took(reply, 900 - i * 100);
    }
    cr_assert_not(call_done(longest));
    expect_end(node_stop(master));
    expect_status(call_end(longest), 202);
}

SCENARIO(cluster_concern, get_waits_again_for_an_append_without_sending_it_twice)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    expect_stored(post(master, "?w=3&timeout=0.2", "a"), 202, 1, 3, 2);
    expect_stored(http_get(master->port, "/messages/1?w=3&timeout=0.2"), 202, 1, 3, 2);
    expect_stored(http_get(master->port, "/messages/1?w=2"), 200, 1, 2, 2);
    expect_stored(http_get(master->port, "/messages/1?w=all"), 200, 1, 2, 2);
    struct call *call = call_begin(master->port, "GET", "/messages/1?w=3&timeout=60", NULL, NULL, 0);
    always(200, !call_done(call));
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(call_end(call), 200, 1, 3, 3);
    cr_assert(shows(s2, "a") && shows(master, "a"));
    cr_assert_eq(http_get(master->port, "/messages/2?w=1").status, 404);
    cr_assert_eq(http_get(master->port, "/messages/1?w=0").status, 400);
    cr_assert_eq(http_get(master->port, "/messages/1?w=2&timeout=x").status, 400);
    cr_assert_str_eq(http_get(master->port, "/messages/1").body, "{\"id\":1,\"message\":\"a\"}");
}

SCENARIO(cluster_concern, one_that_waits_holds_up_nobody)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct call *waiting[40];
    for (int i = 0; i < 40; i++)
        waiting[i] = post_begin(master, "?w=3", "w");
    eventually(SOON, last_id(master) == 40);
    for (int i = 0; i < 10; i++) {
        struct reply reply = post(master, i % 2 ? "?w=2" : "?w=1", "m");
        expect_status(reply, 201);
        expect_at_once(reply);
        expect_at_once(http_get(master->port, "/messages"));
    }
    for (int i = 0; i < 40; i++)
        cr_assert_not(call_done(waiting[i]));
    member_start(master, "s2", "");
    for (int i = 0; i < 40; i++)
        expect_status(call_end(waiting[i]), 201);
}

SCENARIO(cluster_concern, a_waiting_post_on_a_connection_only_delays_the_answers_behind_it)
{
    struct node *master = master_start("");
    int fd = raw_open(master->port);
    raw_text(fd, "POST /messages?w=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"
                 "POST /messages?w=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb"
                 "GET /messages HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually(SOON, shows(master, "a b"));
    char byte;
    cr_assert_eq(raw_receive(fd, &byte, 1, 200), -1);
    member_start(master, "s1", "");
    expect_stored(raw_reply(fd, false, SOON), 201, 1, 2, 2);
    expect_status(raw_reply(fd, false, SOON), 201);
    cr_assert_str_eq(raw_reply(fd, false, SOON).body, "{\"messages\":[\"a\",\"b\"]}");
}

SCENARIO(cluster_concern, an_ack_that_is_repeated_counts_once)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    struct call *call = post_begin(master, "?w=3&timeout=1.5", "a");
    eventually(SOON, fake_last_id(fake) == 1);
    for (int i = 0; i < 5; i++) { /* each connection and sign of life tells the position anew */
        int signs = fake_signs(fake);
        fake_close_connection(fake);
        eventually(SOON, fake_signs(fake) > signs);
        expect_status(fake_register(fake, master, "f1"), 200);
    }
    expect_stored(call_end(call), 202, 1, 3, 2);
    cr_assert_eq(fake_requests(fake), 1);
}

/* They waited for good, up to a limit that then shut everyone out. */
SCENARIO(cluster_concern, who_has_gone_is_waited_for_no_longer_and_what_was_appended_stays)
{
    enum { CLIENTS = 20, POSTS = 50 };
    struct node *master = master_start("");
    int descriptors = node_descriptors(master) + 1;
    int fds[CLIENTS];
    int half = raw_open(master->port);
    raw_text(half, "POST /messages?w=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nm1");
    shutdown(half, SHUT_WR);
    eventually(SOON, last_id(master) == 1);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = raw_open(master->port);
        for (int m = 0; m < POSTS; m++)
            raw_text(fds[i], m % 2 ? "GET /messages/1?w=9 HTTP/1.1\r\nHost: a\r\n\r\n"
                                   : "POST /messages?w=9 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        if (i % 4 == 0)
            shutdown(fds[i], SHUT_WR);
    }
    eventually(SOON, last_id(master) == 1 + CLIENTS * POSTS / 2);
    for (int i = 0; i < CLIENTS; i++)
        raw_reset(fds[i]);
    eventually(SOON, node_descriptors(master) == descriptors);
    member_start(master, "s1", "");
    expect_stored(raw_reply(half, false, SOON), 201, 1, 2, 2);
    cr_assert_eq(node_stop(master).code, 0);
    cr_assert_eq(node_logged(master, "with 202"), 0); /* nobody was left to be told so at the end */
}
