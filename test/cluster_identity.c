/* The log's identity: a restarted master takes over the list of its secondaries; lists that do not fit are
 * refused, and nothing is thrown away silently. */
#include "cluster.h"
#include "log/digest.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAST "--heartbeat-interval 0.2"

SCENARIO(cluster_identity, every_log_has_a_name_of_its_own_that_its_secondaries_learn)
{
    struct node *master = master_start("");
    struct node *other = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    cr_assert_str_neq(log_name(master), log_name(other));
    cr_assert_str_eq(log_name(s1), log_name(master));
}

SCENARIO(cluster_identity, a_restarted_master_takes_over_the_list_and_its_name)
{
    struct node *master = master_start(FAST);
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    post_numbered(master, "", 1, 300);
    char *name = log_name(master);
    node_kill(master);
    cr_assert(shows_numbered(s1, 300) && shows_numbered(s2, 300));
    node_restart(master);
    eventually(SOON, shows_numbered(master, 300));
    eventually(SOON, members_met(master) == 2);
    cr_assert_str_eq(log_name(master), name);
    expect_stored(post(master, "", "m301"), 201, 301, 3, 3);
    cr_assert(shows_numbered(s1, 301) && shows_numbered(s2, 301));
    eventually(SOON, node_logged(master, "taking over messages 1..300 from s"));
    eventually(SOON, node_logged(master, ": 300 messages"));
}

SCENARIO(cluster_identity, a_master_stopped_well_is_taken_over_as_well)
{
    struct node *master = master_start(FAST);
    struct node *s1 = member_start(master, "s1", "");
    expect_status(http_post(master->port, "/messages", "\0\"\n\xf0\x9f\x98\x80", 7), 201);
    expect_status(post(master, "", "b"), 201);
    struct reply before = http_get(s1->port, "/messages");
    cr_assert_eq(node_stop(master).code, 0);
    node_restart(master);
    eventually(SOON, last_id(master) == 2);
    cr_assert_str_eq(http_get(master->port, "/messages").body, before.body);
    expect_member(master, "s1");
    expect_stored(post(master, "", "c"), 201, 3, 2, 2);
}

/* The master greets the secondary before that has read the answer to its registration. */
SCENARIO(cluster_identity, a_greeting_that_comes_before_the_answer_to_the_registration_is_no_matter)
{
    struct node *master = master_start(FAST " --log-level debug");
    struct relay *relay = relay_open(master->port);
    struct node *s1 = secondary_start(master, "--secondary-id s1 --master-url %s", relay_url(relay));
    expect_member(master, "s1");
    expect_status(post(master, "", "a"), 201);
    relay_delay(relay, 150);
    node_kill(master);
    node_restart(master);
    expect_member(master, "s1");
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    cr_assert(shows(s1, "a b"));
    eventually(SOON, node_told(master, "DEBUG", "s1: it answered 409"));
    expect_logged(master, "WARN  master s1: it answered 409", 0);
}

/* A master with two members: s1 holds `a b c`, s2, which is frozen then, `a b c d e`. The master is dead. */
static struct node *forked_start(struct node **s1, struct node **s2)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    *s1 = member_behind(master, "s1", &relay);
    *s2 = member_start(master, "s2", "");
    expect_status(post(master, "", "a"), 201);
    expect_status(post(master, "", "b"), 201);
    expect_status(post(master, "", "c"), 201);
    relay_mode(relay, RELAY_REFUSE);
    expect_stored(post(master, "?w=2", "d"), 201, 4, 2, 2);
    expect_stored(post(master, "?w=2", "e"), 201, 5, 2, 2);
    node_freeze(*s2);
    node_kill(master);
    relay_mode(relay, RELAY_PASS);
    return master;
}

SCENARIO(cluster_identity, a_restarted_master_takes_over_more_from_a_second_one)
{
    struct node *s1, *s2;
    struct node *master = forked_start(&s1, &s2);
    node_restart(master);
    eventually(SOON, shows(master, "a b c"));
    expect_member(master, "s1");
    node_thaw(s2);
    eventually(SOON, shows(master, "a b c d e"));
    eventually(SOON, shows(s1, "a b c d e"));
    eventually(SOON, members_met(master) == 2);
    expect_stored(post(master, "", "f"), 201, 6, 3, 3);
    cr_assert(equal_lists(master, s1, s2, NULL));
}

SCENARIO(cluster_identity, a_secondary_ahead_is_refused_once_something_was_appended)
{
    struct node *s1, *s2;
    struct node *master = forked_start(&s1, &s2);
    node_restart(master);
    eventually(SOON, shows(master, "a b c"));
    expect_stored(post(master, "?w=1", "x"), 201, 4, 1, 1);
    node_thaw(s2);
    eventually(SOON, node_logged(master, "refused s2, ahead: restart it"));
    eventually(SOON, node_logged(s2, "the master answered 409 to the registration: its list is ahead"));
    eventually(SOON, node_logged(s2, "restart the secondary"));
    cr_assert(shows(s2, "a b c d e") && !registered(s2));
    eventually(SOON, shows(s1, "a b c x"));
    cr_assert_eq(members(master), 1);
    cr_assert_eq(node_stop(s2).code, 0);
    node_restart(s2); /* as the line says: it takes the master's list */
    eventually(SOON, shows(s2, "a b c x"));
    eventually(SOON, registered(s2));
}

SCENARIO(cluster_identity, a_list_that_differs_is_refused_by_its_digest_though_name_and_length_fit)
{
    struct node *s1, *s2;
    struct node *master = forked_start(&s1, &s2);
    node_restart(master);
    eventually(SOON, shows(master, "a b c"));
    expect_status(post(master, "?w=1", "x"), 201);
    expect_status(post(master, "?w=1", "y"), 201);
    expect_status(post(master, "?w=1", "z"), 201);
    node_thaw(s2);
    eventually(SOON, node_logged(master, "refused s2, another list: restart it"));
    eventually(SOON, node_logged(s2, "the master answered 409 to the registration: its list differs"));
    cr_assert_str_eq(log_name(s2), log_name(master));
    cr_assert(shows(s2, "a b c d e") && !registered(s2));
    eventually(SOON, shows(s1, "a b c x y z"));
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_identity, a_longer_list_that_does_not_go_on_from_the_masters_is_not_taken_over)
{
    struct node *s1, *s2;
    struct node *master = forked_start(&s1, &s2);
    node_restart(master);
    eventually(SOON, shows(master, "a b c"));
    expect_status(post(master, "?w=1", "x"), 201);
    eventually(SOON, shows(s1, "a b c x"));
    node_kill(master);
    node_restart(master); /* nothing is posted to it: it may take over more, if that is more of the same */
    eventually(SOON, shows(master, "a b c x"));
    expect_member(master, "s1");
    node_thaw(s2);
    eventually(SOON, node_logged(master, "refused s2, another list: restart it"));
    cr_assert(shows(s2, "a b c d e") && shows(master, "a b c x") && shows(s1, "a b c x"));
    expect_stored(post(master, "", "y"), 201, 5, 2, 2);
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_identity, a_foreign_list_is_refused_and_kept_on_both_sides)
{
    struct node *master = master_start(FAST);
    struct node *s1 = member_start(master, "s1", "");
    expect_status(post(master, "", "a"), 201);
    node_freeze(s1);
    node_kill(master);
    node_restart(master);
    expect_stored(post(master, "?w=1", "x"), 201, 1, 1, 1);
    node_thaw(s1);
    eventually(SOON,
               node_logged(master, "refused s1, another log: restart it, or the master to keep its list"));
    eventually(SOON, node_logged(s1, "the master answered 409 to the registration: its list belongs"));
    always(500, shows(s1, "a") && shows(master, "x"));
    cr_assert(!registered(s1) && members(master) == 0);
    expect_logged(s1, "the master answered 409", 1);
    expect_logged(master, "refused s1", 1); /* however often it tries */
    node_kill(s1);
    node_restart(s1);
    eventually(SOON, shows(s1, "x"));
    expect_stored(post(master, "", "y"), 201, 2, 2, 2);
}

/* A new master, which has begun to take over a list and gets nothing of it yet. */
static void restart_held(struct node *master, struct relay *relay, const char *logged)
{
    node_kill(master);
    relay_mode(relay, RELAY_HOLD);
    node_restart(master);
    eventually(SOON, node_logged(master, logged));
}

SCENARIO(cluster_identity, appends_wait_while_a_list_is_taken_over)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 10);
    restart_held(master, relay, "taking over messages 1..10 from s1");
    struct call *call = post_begin(master, "?w=1", "m11");
    always(300, !call_done(call));
    relay_mode(relay, RELAY_PASS);
    struct reply reply = call_end(call);
    expect_status(reply, 201);
    cr_assert_eq(json_number_of(reply.body, "id"), 11);
    cr_assert(shows_numbered(master, 11));
    eventually(SOON, shows_numbered(s1, 11));
}

/* It was held for ever, whatever its timeout. */
SCENARIO(cluster_identity, a_post_whose_time_is_over_while_it_is_held_is_refused_and_not_appended)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 3);
    restart_held(master, relay, "taking over");
    struct call *patient = post_begin(master, "?w=1", "m4");
    struct call *longer = post_begin(master, "?w=1&timeout=1", "x");
    struct reply reply = post(master, "?w=1&timeout=0.4", "y");
    expect_status(reply, 503);
    expect_took(reply, 400);
    cr_assert_not_null(http_field(&reply, "Retry-After"));
    cr_assert_not_null(strstr(reply.body, "nothing was appended"), "%s", reply.body);
    reply = call_end(longer);
    expect_status(reply, 503);
    expect_took(reply, 1000);
    cr_assert_not(call_done(patient));
    relay_mode(relay, RELAY_PASS);
    expect_stored(call_end(patient), 201, 4, 1, 1);
    eventually(SOON, shows_numbered(master, 4) && shows_numbered(s1, 4));
}

/* It waited for ever once it was appended, though nobody waited for its answer. */
SCENARIO(cluster_identity, a_post_whose_client_goes_while_it_is_held_is_appended_and_waits_for_nobody)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 3);
    restart_held(master, relay, "taking over");
    int descriptors = node_descriptors(master);
    int fd = raw_open(master->port);
    raw_text(fd, "POST /messages?w=9 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nm4");
    eventually(SOON, node_descriptors(master) == descriptors + 1);
    expect_status(post(master, "?timeout=0.2", "x"), 503); /* m4 was read long before that */
    raw_reset(fd);
    eventually(SOON, node_descriptors(master) == descriptors);
    relay_mode(relay, RELAY_PASS);
    eventually(SOON, shows_numbered(master, 4));
    expect_stored(post(master, "?w=2", "m5"), 201, 5, 2, 2);
    cr_assert_eq(node_stop(master).code, 0);
    cr_assert_eq(node_logged(master, "with 202"), 0); /* nobody was left to be told so at the end */
}

static int first_done(struct call *const *calls, int count)
{
    for (int i = 0; i < count; i++)
        if (call_done(calls[i]))
            return i;
    return -1;
}

/* Nothing limited what they kept. */
SCENARIO(cluster_identity, messages_that_are_held_have_a_limit_of_memory)
{
    enum { LEN = 30 * 1000 * 1000 };
    struct node *master = master_start(FAST " --max-message %d", LEN);
    struct relay *relay;
    member_behind(master, "s1", &relay);
    expect_status(post(master, "", "a"), 201);
    restart_held(master, relay, "taking over");
    char *text = calloc(1, LEN + 1);
    cr_assert_not_null(text);
    memset(text, 'x', LEN);
    for (int i = 0; i < 2; i++) { /* what they kept is given back */
        struct reply reply = http_post(master->port, "/messages?w=1&timeout=0.1", text, LEN);
        expect_status(reply, 503);
        cr_assert_not_null(strstr(reply.body, "the time is over"), "%s", reply.body);
    }
    struct call *calls[3];
    int refused = -1;
    for (int i = 0; i < 3; i++)
        calls[i] = call_post(master->port, "/messages?w=1", text);
    eventually(SOON, (refused = first_done(calls, 3)) >= 0);
    struct reply reply = call_end(calls[refused]);
    calls[refused] = calls[2];
    expect_status(reply, 503);
    cr_assert_not_null(http_field(&reply, "Retry-After"));
    cr_assert_not_null(strstr(reply.body, "too many bytes are waiting already"), "%s", reply.body);
    always(300, first_done(calls, 2) < 0);
    relay_mode(relay, RELAY_PASS);
    expect_status(call_end(calls[0]), 201);
    expect_status(call_end(calls[1]), 201);
    cr_assert_eq(last_id(master), 3);
    free(text);
}

SCENARIO(cluster_identity, a_take_over_goes_on_where_its_link_was_cut)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    char text[4000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 100; i++)
        expect_status(http_post(master->port, "/messages", text, sizeof text - (size_t)i), 201);
    node_kill(master);
    relay_cut_after(relay, RELAY_BACK, 100000);
    node_restart(master);
    eventually(SOON, last_id(master) == 100);
    cr_assert(equal_lists(master, s1, NULL));
    relay_cut_after(relay, RELAY_BACK, -1);
    relay_cut(relay);
    expect_member(master, "s1");
    expect_stored(post(master, "", "y"), 201, 101, 2, 2);
}

SCENARIO(cluster_identity, a_take_over_that_brings_nothing_makes_way_for_another_after_two_seconds)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    struct node *s2 = member_start(master, "s2", "");
    post_numbered(master, "", 1, 5);
    node_freeze(s2);
    node_kill(master);
    relay_mode(relay, RELAY_HOLD);
    node_restart(master);
    eventually(SOON, node_logged(s1, "registering again"));
    eventually(SOON, node_logged(master, "taking over messages 1..5 from s1"));
    int64_t began = now_ms();
    node_thaw(s2);
    eventually(SOON, shows_numbered(master, 5)); /* not after the 30 s that a take-over has else */
    cr_assert(now_ms() - began + late(0) >= 1500, "made way after %d ms", (int)(now_ms() - began));
    relay_mode(relay, RELAY_PASS);
    expect_stored(post(master, "?w=3", "m6"), 201, 6, 3, 3);
    cr_assert(shows_numbered(s1, 6) && shows_numbered(s2, 6));
}

SCENARIO(cluster_identity, a_take_over_ends_when_its_secondary_comes_back_with_less)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 5);
    restart_held(master, relay, "taking over messages 1..5 from s1");
    struct call *call = post_begin(master, "?w=1", "x");
    node_kill(s1);
    node_restart(s1);
    eventually(SOON, members(master) == 1);
    expect_stored(call_end(call), 201, 1, 1, 1);
    relay_mode(relay, RELAY_PASS);
    eventually(SOON, shows(s1, "x"));
}

SCENARIO(cluster_identity, a_master_that_stops_while_it_takes_over_refuses_those_who_wait)
{
    struct node *master = master_start(FAST);
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    post_numbered(master, "", 1, 3);
    restart_held(master, relay, "taking over");
    struct call *call = post_begin(master, "?w=1", "x");
    always(100, !call_done(call));
    expect_end(node_stop(master));
    expect_status(call_end(call), 503);
    relay_mode(relay, RELAY_PASS);
    node_restart(master);
    eventually(SOON, shows_numbered(master, 3) && shows_numbered(s1, 3));
}

SCENARIO(cluster_identity, nothing_that_was_acknowledged_is_lost_while_one_node_lives)
{
    struct node *nodes[3];
    nodes[0] = master_start(FAST);
    nodes[1] = member_start(nodes[0], "s1", "");
    nodes[2] = member_start(nodes[0], "s2", "");
    post_numbered(nodes[0], "", 1, 50);
    for (int i = 0; i < 6; i++) { /* one after another dies and comes back empty */
        node_kill(nodes[i % 3]);
        node_restart(nodes[i % 3]);
        eventually(SOON, shows_numbered(nodes[i % 3], 50));
        eventually(SOON, members_met(nodes[0]) == 2);
    }
    expect_stored(post(nodes[0], "", "m51"), 201, 51, 3, 3);
    cr_assert(shows_numbered(nodes[1], 51) && shows_numbered(nodes[2], 51));
}

/* What a slow secondary holds and does not show yet is part of its list, too. */
SCENARIO(cluster_identity, a_message_that_did_not_show_yet_when_the_master_died_forks_no_list)
{
    struct node *master = master_start(FAST);
    struct node *slow = member_start(master, "slow", "--secondary-delays 1.2");
    expect_status(post(master, "?w=1", "x"), 201);
    eventually(SOON, node_logged(slow, "stored 1 "));
    node_kill(master);
    node_restart(master);
    eventually(SOON, node_logged(master, "slow"));
    expect_status(post(master, "?w=1", "y"), 201);
    eventually(SOON, last_id(slow) >= 1 && (!registered(slow) || last_id(slow) == last_id(master)));
    always(1500, !registered(slow) || equal_lists(master, slow, NULL));
    cr_assert(shows(slow, "x") || shows(slow, "x y"));
}

/* ---- registration by hand */

static struct reply register_x(const struct node *master, const char *log, int last)
{
    return register_by_hand(
        master, "{\"id\":\"x\",\"url\":\"http://127.0.0.1:9\",\"log\":\"%s\",\"last_id\":%d}", log, last);
}

SCENARIO(cluster_identity, a_registration_is_answered_with_the_logs_name_and_end)
{
    struct node *master = master_start("");
    expect_status(post(master, "", "a"), 201);
    struct reply reply = register_x(master, log_name(master), 1);
    expect_status(reply, 200);
    cr_assert_str_eq(json_text_of(reply.body, "log"), log_name(master));
    cr_assert_eq(json_number_of(reply.body, "last_id"), 1);
    expect_status(register_x(master, "", 0), 200);
    expect_status(register_x(master, "other", 0), 200);
    reply = register_x(master, "other", 1);
    expect_status(reply, 409);
    cr_assert_eq(json_number_of(reply.body, "last_id"), 1);
    cr_assert_eq(strncmp(reply.body, "{\"error\":\"", 10), 0);
    expect_status(register_x(master, log_name(master), 2), 409);
}

SCENARIO(cluster_identity, messages_from_an_earlier_master_are_refused)
{
    struct node *master = master_start(FAST);
    struct node *s1 = member_start(master, "s1", "");
    expect_status(post(master, "", "a"), 201);
    node_kill(master);
    node_restart(master); /* in epoch 2 */
    eventually(SOON, shows(master, "a"));
    expect_member(master, "s1");
    expect_status(http_request(s1->port, "POST", "/replicate", "Epoch: 1\r\n", "", 0, SOON), 409);
    expect_status(replicate_by_hand(
                      s1, "{\"log\":\"%s\",\"epoch\":1,\"first\":2,\"digest\":\"%s\",\"messages\":[\"x\"]}",
                      log_name(master), list_digest(master)),
                  409);
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    cr_assert(shows(s1, "a b"));
}

/* A list as another program may write it, in two parts. */
static void serve_spaced_list(int listener)
{
    char request[1024];
    int fd = accept(listener, NULL, NULL);
    cr_assert(fd >= 0 && raw_receive(fd, request, sizeof request, SOON) > 0);
    raw_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n { \"messages\" ");
    nap_ms(50);
    raw_text(fd, ":\t[ \"a\", \"b\"\r\n] }");
    close(fd);
}

/* Listens as x, and registers with the messages a and b. */
static struct call *register_listener(const struct node *master, int *listener)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char body[192];
    uint64_t digest = digest_chain(digest_chain(0, span_of("\"a\"")), span_of("\"b\""));
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(*listener, (struct sockaddr *)&address, len) == 0 && listen(*listener, 4) == 0);
    cr_assert_eq(getsockname(*listener, (struct sockaddr *)&address, &len), 0);
    snprintf(body, sizeof body,
             "{\"id\":\"x\",\"port\":%d,\"log\":\"L\",\"epoch\":1,\"last_id\":2,\"digest\":\"%016" PRIx64
             "\"}",
             ntohs(address.sin_port), digest);
    return call_begin(master->port, "POST", "/register", NULL, body, strlen(body));
}

SCENARIO(cluster_identity, white_space_in_a_list_does_not_keep_it_from_being_taken_over)
{
    struct node *master = master_start("");
    int listener;
    struct call *call = register_listener(master, &listener);
    serve_spaced_list(listener);
    expect_status(call_end(call), 200);
    cr_assert(shows(master, "a b"));
    cr_assert_str_eq(log_name(master), "L");
    close(listener);
}

SCENARIO(cluster_identity, white_space_without_end_is_no_list)
{
    struct node *master = master_start("");
    char request[1024];
    char space[5000];
    int listener;
    struct call *call = register_listener(master, &listener);
    int fd = accept(listener, NULL, NULL);
    cr_assert(fd >= 0 && raw_receive(fd, request, sizeof request, SOON) > 0);
    memset(space, ' ', sizeof space);
    raw_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{ \"messages\"");
    raw_send(fd, space, sizeof space);
    eventually(SOON, node_logged(master, "cannot take over from x: its answer is no list; trying again"));
    close(fd);
    close(listener);
    expect_end(node_stop(master));
    expect_status(call_end(call), 503);
}

SCENARIO(cluster_identity, a_take_over_that_fails_says_why_once)
{
    struct node *master = master_start("");
    static const char body[] = "{\"id\":\"x\",\"url\":\"http://127.0.0.1:9\",\"log\":\"L\",\"last_id\":2,"
                               "\"digest\":\"0123456789abcdef\"}";
    struct call *call = call_begin(master->port, "POST", "/register", NULL, body, sizeof body - 1);
    eventually(SOON, node_logged(master, "cannot take over from x: Connection refused; trying again"));
    always(300, !call_done(call));
    struct reply reply = call_end(call); /* the process is gone: nobody listens there any more */
    expect_status(reply, 503);
    expect_took(reply, 2000);
    expect_logged(master, "cannot take over from x", 1);
    expect_logged(master, "the list of x could not be taken over: nobody listens at its address any more", 1);
}

/* Each was said again when another one had been refused in between. */
SCENARIO(cluster_identity, those_who_are_refused_in_turn_are_told_of_once_each)
{
    struct node *master = master_start("--log-level debug");
    char body[256];
    char line[64];
    expect_status(post(master, "", "a"), 201);
    for (int i = 0; i < 30; i++) {
        snprintf(body, sizeof body, "{\"id\":\"x%d\",\"port\":9,\"log\":\"other\",\"last_id\":7}", i % 3);
        expect_status(http_post_json(master->port, "/register", body), 409);
    }
    expect_logged(master, "DEBUG master refused x", 27);
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "ERROR master refused x%d, another log", i);
        expect_logged(master, line, 1);
    }
    expect_status(http_post_json(master->port, "/register",
                                 "{\"id\":\"x1\",\"port\":9,\"log\":\"other\",\"last_id\":8}"),
                  409);
    expect_logged(master, "DEBUG master refused x", 28);
    expect_logged(master, "ERROR master refused x1", 1);
}

SCENARIO(cluster_identity, of_those_who_are_refused_health_shows_a_hundred)
{
    struct node *master = master_start("");
    char body[128];
    int rows = 0;
    expect_status(post(master, "", "a"), 201);
    for (int i = 0; i < 110; i++) {
        snprintf(body, sizeof body, "{\"id\":\"x%d\",\"port\":9,\"log\":\"other\",\"last_id\":7}", i);
        expect_status(http_post_json(master->port, "/register", body), 409);
    }
    struct reply health = http_get(master->port, "/health");
    for (const char *at = health.body; (at = strstr(at, "\"reason\":")); at++)
        rows++;
    cr_assert_eq(rows, 100);
}

/* It was looked through from its start with each part of it that came. */
SCENARIO(cluster_identity, a_very_long_message_is_taken_over_in_time)
{
    enum { LEN = 30 * 1000 * 1000 };
    struct node *master = master_start("--max-message %d", LEN);
    member_start(master, "s1", "--max-message %d", LEN);
    char *text = malloc(LEN);
    cr_assert_not_null(text);
    memset(text, '"', LEN / 10); /* with escapes, which may be cut in two */
    memset(text + LEN / 10, 'x', LEN - LEN / 10);
    struct reply stored = http_post(master->port, "/messages", text, LEN);
    expect_stored(stored, 201, 1, 2, 2);
    struct reply before = http_get(master->port, "/messages/1");
    node_kill(master);
    node_restart(master);
    eventually(SOON, node_logged(master, "taking over messages 1..1"));
    int64_t began = now_ms();
    eventually(SOON, last_id(master) == 1);
    int took = (int)(now_ms() - began);
    cr_assert(took < 5 * stored.ms, "%d ms, where its POST took %d", took, stored.ms);
    struct reply after = http_get(master->port, "/messages/1");
    cr_assert(after.body_len == before.body_len && memcmp(after.body, before.body, after.body_len) == 0);
    free(text);
}
