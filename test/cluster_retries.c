/* Links that fail in every way: what was appended arrives all the same, once and in order. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a secondary that misbehaves */

/* A message is sent again after the secondary has behaved like that; it arrives once. `stored`: it was taken
 * all the same, which the secondary tells on the next connection. */
static void expect_retries(enum fake_mode mode, bool stored, const char *complaint)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    fake_mode(fake, mode);
    struct call *call = post_begin(master, "?w=3", "b");
    int connections = fake_connections(fake);
    eventually(SOON, fake_connections(fake) >= connections + (stored ? 1 : 2));
    eventually(SOON, node_logged(master, complaint));
    if (stored)
        expect_stored(http_get(master->port, "/messages/2?w=2"), 200, 2, 2, 2);
    else
        expect_stored(http_get(master->port, "/messages/2?w=2&timeout=0.1"), 202, 2, 2, 1);
    fake_mode(fake, FAKE_GOOD);
    expect_status(post(master, "", "c"), 201);
    cr_assert_str_eq(fake_list(fake), "{\"messages\":[\"a\",\"b\",\"c\"]}");
    cr_assert_not(call_done(call));
    member_start(master, "s2", "");
    expect_stored(call_end(call), 201, 2, 3, 3);
}

SCENARIO(cluster_retries, a_secondary_that_answers_500_is_tried_again)
{
    expect_retries(FAKE_500, false, "f1: it answered 500: as told; trying again");
}

SCENARIO(cluster_retries, a_secondary_that_stores_and_answers_500_gets_the_message_once)
{
    expect_retries(FAKE_500_HELD, true, "f1: it answered 500: as told; trying again");
}

SCENARIO(cluster_retries, a_secondary_that_stores_and_loses_its_ack_gets_the_message_once)
{
    expect_retries(FAKE_LOST_ACK, true, "f1: it closed the connection; trying again");
}

SCENARIO(cluster_retries, half_an_answer_is_no_ack)
{
    expect_retries(FAKE_HALF, true, "f1: it closed the connection; trying again");
}

SCENARIO(cluster_retries, what_is_not_http_is_no_ack)
{
    expect_retries(FAKE_GARBAGE, true, "f1: its answer is not HTTP; trying again");
}

SCENARIO(cluster_retries, a_200_that_tells_of_too_little_is_no_ack)
{
    expect_retries(FAKE_LIAR, false, "f1: it holds 1 after it took 2; trying again");
}

SCENARIO(cluster_retries, a_secondary_that_takes_requests_and_never_answers_is_noticed)
{
    expect_retries(FAKE_SILENT, false, "f1: it did not answer within 2.0 s; trying again");
}

SCENARIO(cluster_retries, a_link_is_given_up_after_five_intervals_of_silence)
{
    static const char line[] = "f1: it did not answer within ";
    struct node *master = master_start("--heartbeat-interval 0.5");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    fake_mode(fake, FAKE_SILENT);
    eventually(SOON, node_logged(master, line));
    double seconds = strtod(strstr(node_log(master), line) + strlen(line), NULL);
    cr_assert(seconds >= 2.499 && seconds < 2 * 2.5, "given up after %.1f s", seconds);
}

SCENARIO(cluster_retries, a_peer_that_accepts_and_never_answers_is_noticed)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_DEAF);
    expect_status(fake_register(fake, master, "f1"), 200);
    struct call *call = post_begin(master, "?w=2", "a");
    eventually(SOON, member_is(master, "f1", "unhealthy"));
    eventually(SOON, fake_connections(fake) >= 2);
    cr_assert_not(call_done(call));
    fake_mode(fake, FAKE_GOOD);
    expect_stored(call_end(call), 201, 1, 2, 2);
    cr_assert_str_eq(fake_list(fake), "{\"messages\":[\"a\"]}");
}

SCENARIO(cluster_retries, failures_of_one_member_are_no_matter_of_the_others)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    static const enum fake_mode modes[] = {FAKE_500, FAKE_HALF, FAKE_DEAF, FAKE_GARBAGE, FAKE_SILENT};
    char id[8];
    struct node *s1 = member_start(master, "s1", "");
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "f%d", i);
        expect_status(fake_register(fake_open(modes[i]), master, id), 200);
    }
    for (int i = 1; i <= 20; i++) {
        snprintf(id, sizeof id, "m%d", i);
        struct reply reply = post(master, "?w=2", id);
        expect_status(reply, 201);
        expect_at_once(reply);
    }
    eventually(SOON, shows_numbered(s1, 20));
    eventually(SOON, member_number(master, "s1", "acked") == 20);
}

SCENARIO(cluster_retries, the_pause_grows_and_ends_at_a_sign_of_life)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_500);
    expect_status(fake_register(fake, master, "f1"), 200);
    struct call *call = post_begin(master, "?w=2", "a");
    int64_t began = now_ms();
    int tries = fake_connections(fake);
    /* pauses from 50 ms to 2 s, less up to a half of it: 1.6 s for six of them at least, then one of a second
     */
    eventually(SOON, fake_connections(fake) >= tries + 7);
    cr_assert(now_ms() - began >= 1500, "7 attempts in %d ms", (int)(now_ms() - began));
    cr_assert_not(call_done(call));
    began = now_ms();
    fake_mode(fake, FAKE_GOOD);
    expect_status(fake_register(fake, master, "f1"), 200);
    expect_status(call_end(call), 201);
    cr_assert(now_ms() - began < late(950), "the pause went on for %d ms", (int)(now_ms() - began));
}

SCENARIO(cluster_retries, retries_do_not_end_although_the_secondary_does_not_register)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_500);
    expect_status(fake_register(fake, master, "f1"), 200);
    struct call *call = post_begin(master, "?w=2", "a");
    eventually(SOON, fake_connections(fake) >= 8);
    cr_assert_not(call_done(call));
    fake_mode(fake, FAKE_GOOD);
    expect_stored(call_end(call), 201, 1, 2, 2);
}

SCENARIO(cluster_retries, a_secondary_that_restarts_after_a_long_absence_is_served_at_once)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    node_kill(s1);
    struct call *call = post_begin(master, "?w=2", "a");
    nap_ms(3500); /* pauses of a second and more by now */
    node_restart(s1);
    int64_t began = now_ms();
    expect_status(call_end(call), 201);
    cr_assert(now_ms() - began < late(950), "it waited for %d ms", (int)(now_ms() - began));
    cr_assert(shows(s1, "a"));
}

SCENARIO(cluster_retries, secondary_errors_neither_lose_nor_repeat_a_message)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "--secondary-errors 0.5");
    struct node *s2 = member_start(master, "s2", "SECONDARY_ERRORS=1");
    char text[16];
    for (int i = 1; i <= 12; i++) {
        snprintf(text, sizeof text, "m%d", i);
        expect_stored(post(master, "", text), 201, i, 3, 3);
        cr_assert(shows_numbered(s1, i) && shows_numbered(s2, i));
    }
    cr_assert(node_logged(master, "SECONDARY_ERRORS asks for this answer") >= 1);
}

/* ---- a link that fails */

SCENARIO(cluster_retries, a_message_arrives_over_a_link_that_was_refused_for_a_while)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    relay_mode(relay, RELAY_REFUSE);
    struct call *call = post_begin(master, "", "a");
    expect_logged(master, "Connection refused; trying again", 1);
    cr_assert(shows(s1, "") && !call_done(call));
    relay_mode(relay, RELAY_PASS);
    expect_stored(call_end(call), 201, 1, 2, 2);
    cr_assert(shows(s1, "a"));
}

SCENARIO(cluster_retries, a_message_arrives_over_links_that_were_black_holes_for_a_while)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *to_master, *to_s1;
    struct node *s1 = member_between(master, "s1", &to_master, &to_s1);
    relay_mode(to_master, RELAY_HOLD);
    relay_mode(to_s1, RELAY_HOLD);
    struct call *call = post_begin(master, "", "a");
    eventually(SOON, member_is(master, "s1", "unhealthy"));
    eventually(SOON, node_logged(master, "s1: it did not answer within 2.0 s"));
    cr_assert(shows(s1, "") && !call_done(call));
    relay_mode(to_s1, RELAY_PASS); /* and all the requests that were held come through at once */
    relay_mode(to_master, RELAY_PASS);
    expect_stored(call_end(call), 201, 1, 2, 2);
    expect_status(post(master, "", "b"), 201);
    cr_assert(shows(s1, "a b"));
    eventually(SOON, member_is(master, "s1", "healthy"));
}

/* The link is cut after so many bytes, one way, while a message is under way. */
static void expect_cut_survived(const struct node *master, struct relay *relay, enum relay_way way, int bytes,
                                int id)
{
    char text[16];
    int cuts = relay_cuts(relay);
    snprintf(text, sizeof text, "m%d", id);
    relay_cut_after(relay, way, bytes);
    relay_cut(relay);
    struct call *call = post_begin(master, "", text);
    eventually(SOON, relay_cuts(relay) >= cuts + 2 || call_done(call));
    relay_cut_after(relay, way, -1);
    expect_stored(call_end(call), 201, id, 2, 2);
}

static void expect_cuts_survived(enum relay_way way, const int *bytes, int count)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    for (int i = 0; i < count; i++) {
        expect_cut_survived(master, relay, way, bytes[i], i + 1);
        cr_assert(shows_numbered(s1, i + 1), "cut after %d bytes", bytes[i]);
    }
}

SCENARIO(cluster_retries, a_request_that_is_cut_at_any_byte_is_sent_again)
{
    static const int bytes[] = {0, 1, 40, 100, 116, 117, 118, 119, 130, 180, 250, 300, 330, 350, 370, 400};
    expect_cuts_survived(RELAY_THERE, bytes, sizeof bytes / sizeof *bytes);
}

SCENARIO(cluster_retries, an_answer_that_is_cut_at_any_byte_is_no_ack)
{
    static const int bytes[] = {0, 1, 9, 30, 60, 80, 90, 95, 100, 105, 120, 150, 180, 190, 200, 210};
    expect_cuts_survived(RELAY_BACK, bytes, sizeof bytes / sizeof *bytes);
}

SCENARIO(cluster_retries, every_list_is_a_prefix_while_the_link_is_cut_at_random)
{
    enum { COUNT = 200 };
    struct node *master = master_start("--heartbeat-interval 0.2 --write-concern 1");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    unsigned seed = (unsigned)now_ms();
    char text[16];
    for (int i = 1; i <= COUNT; i++) {
        snprintf(text, sizeof text, "m%d", i);
        expect_status(post(master, "", text), 201);
        if (i % 8 == 0) {
            relay_cut_after(relay, rand_r(&seed) % 2 ? RELAY_THERE : RELAY_BACK, rand_r(&seed) % 2000);
            relay_cut(relay);
        }
        cr_assert(numbered_prefix(s1) >= 0);
        nap_ms(3);
    }
    relay_cut_after(relay, RELAY_THERE, -1);
    relay_cut_after(relay, RELAY_BACK, -1);
    relay_cut(relay);
    eventually(SOON, shows_numbered(s1, COUNT));
    eventually(SOON, member_number(master, "s1", "lag") == 0);
}

SCENARIO(cluster_retries, posts_over_a_long_line_do_not_wait_for_the_round_trip_of_the_one_before)
{
    enum { DELAY_MS = 600, POSTS = 20 }; /* 24 s, if they waited for one another */
    struct node *master = master_start("--heartbeat-interval 0.3");
    struct relay *relay;
    member_behind(master, "s1", &relay);
    struct call *calls[POSTS];
    relay_delay(relay, DELAY_MS);
    for (int i = 0; i < POSTS; i++) {
        calls[i] = post_begin(master, "", "m");
        nap_ms(60);
    }
    for (int i = 0; i < POSTS; i++) {
        struct reply reply = call_end(calls[i]);
        expect_status(reply, 201);
        expect_took(reply, 2 * DELAY_MS);
    }
    expect_logged(master, "connected to s1", 1);
}

SCENARIO(cluster_retries, a_delay_beyond_every_limit_is_not_taken_for_silence)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    member_start(master, "slow", "--secondary-delays 3");
    struct call *call = post_begin(master, "", "a");
    eventually(SOON, shows(master, "a"));
    while (!call_done(call)) {
        cr_assert(member_is(master, "slow", "healthy") || late(0));
        nap_ms(50);
    }
    struct reply reply = call_end(call);
    expect_stored(reply, 201, 1, 2, 2);
    expect_took(reply, 3000);
    expect_logged(master, "connected to slow", 1);
}

/* ---- what a secondary makes of repeats and holes */

static struct reply replicate(const struct node *secondary, const char *body)
{
    return http_post_json(secondary->port, "/replicate", body);
}

static void expect_position(struct reply reply, int status, int last)
{
    expect_status(reply, status);
    cr_assert_eq(json_number_of(reply.body, "last_id"), last, "%s", reply.body);
    cr_assert_eq(strstr(reply.body, "\"error\":\"") != NULL, status != 200, "%s", reply.body);
}

SCENARIO(cluster_retries, a_secondary_skips_repeats_and_refuses_holes)
{
    struct node *s1 = secondary_start(node_later("master", ""), "");
    expect_position(replicate(s1, ""), 200, 0);
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":2,\"messages\":[\"b\"]}"), 409, 0);
    cr_assert(shows(s1, ""));
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\",\"b\"]}"), 200, 2);
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\",\"b\"]}"), 200, 2);
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]}"), 200, 2);
    cr_assert(shows(s1, "a b"));
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":2,\"messages\":[\"b\",\"c\",\"d\"]}"), 200, 4);
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":6,\"messages\":[\"f\"]}"), 409, 4);
    expect_position(replicate(s1, "{\"log\":\"M\",\"first\":5,\"messages\":[\"e\"]}"), 409, 4);
    expect_position(replicate(s1, "{\"log\":\"M\",\"first\":1,\"messages\":[\"a\"]}"), 409, 4);
    expect_position(replicate(s1, ""), 200, 4);
    expect_position(replicate(s1, " { \"messages\" : [ \"\\u0065\" ] , \"first\":5, \"log\":\"L\"} "), 200,
                    5);
    cr_assert(shows(s1, "a b c d e"));
}

SCENARIO(cluster_retries, a_secondary_refuses_messages_that_follow_others_than_it_holds)
{
    struct node *s1 = secondary_start(node_later("master", ""), "");
    char digest[17];
    char body[128];
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\",\"b\"]}"), 200, 2);
    struct reply list = http_get(s1->port, "/messages"); /* whose tag has the digest of the list */
    cr_assert_eq(sscanf(http_field(&list, "ETag"), "\"1-2-%16[0-9a-f]\"", digest), 1);
    snprintf(body, sizeof body, "{\"log\":\"L\",\"first\":2,\"digest\":\"%s\",\"messages\":[\"b\",\"c\"]}",
             digest);
    expect_position(replicate(s1, body), 409, 2);
    digest[15] = digest[15] == '0' ? '1' : '0';
    snprintf(body, sizeof body, "{\"log\":\"L\",\"first\":3,\"digest\":\"%s\",\"messages\":[\"c\"]}", digest);
    expect_position(replicate(s1, body), 409, 2);
    cr_assert(shows(s1, "a b"));
    cr_assert_eq(sscanf(http_field(&list, "ETag"), "\"1-2-%16[0-9a-f]\"", digest), 1);
    snprintf(body, sizeof body, "{\"log\":\"L\",\"first\":3,\"digest\":\"%s\",\"messages\":[\"c\"]}", digest);
    expect_position(replicate(s1, body), 200, 3);
    cr_assert(shows(s1, "a b c"));
}

SCENARIO(cluster_retries, a_secondary_takes_no_bad_request_for_messages)
{
    struct node *s1 = secondary_start(node_later("master", ""), "");
    static const char *const bad[] = {
        "{}",
        "x",
        "[]",
        "{\"log\":\"L\",\"first\":1}",
        "{\"log\":\"L\",\"messages\":[\"a\"]}",
        "{\"first\":1,\"messages\":[\"a\"]}",
        "{\"log\":\"L\",\"first\":0,\"messages\":[\"a\"]}",
        "{\"log\":\"L\",\"first\":-1,\"messages\":[\"a\"]}",
        "{\"log\":\"L\",\"first\":1.0,\"messages\":[\"a\"]}",
        "{\"log\":\"L\",\"first\":1,\"messages\":\"a\"}",
        "{\"log\":\"L\",\"first\":1,\"messages\":[1]}",
        "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\",]}",
        "{\"log\":\"L\",\"first\":1,\"messages\":[\"\"]}",
        "{\"log\":\"L\",\"first\":1,\"messages\":[\"\\ud800\"]}",
        "{\"log\":\"L\",\"first\":1,\"messages\":[\"\xff\"]}",
        "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]",
        "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]} x",
        "{\"log\":\"L\",\"first\":18446744073709551615,\"messages\":[\"a\",\"b\"]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct reply reply = replicate(s1, bad[i]);
        cr_assert_eq(reply.status, 400, "%s: %d %s", bad[i], reply.status, reply.body);
    }
    cr_assert(shows(s1, ""));
    expect_position(replicate(s1, "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]}"), 200, 1);
}

SCENARIO(cluster_retries, a_delayed_repeat_is_answered_when_its_messages_show)
{
    struct node *s1 = secondary_start(node_later("master", ""), "--secondary-delays 4");
    static const char body[] = "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]}";
    struct call *first = call_begin(s1->port, "POST", "/replicate", NULL, body, sizeof body - 1);
    nap_ms(2000);
    struct call *repeat = call_begin(s1->port, "POST", "/replicate", NULL, body, sizeof body - 1);
    struct reply reply = call_end(first);
    expect_position(reply, 200, 1);
    expect_took(reply, 4000);
    reply = call_end(repeat);
    expect_position(reply, 200, 1);
    cr_assert(reply.ms >= 50 && reply.ms < late(3950), "%d ms",
              reply.ms); /* neither at once nor late again */
    cr_assert(shows(s1, "a"));
}

/* The first status on the wire for messages that are late. */
static int first_status(const struct node *secondary, const char *fields, const char *body)
{
    char begin[16] = "";
    int fd = raw_open(secondary->port);
    raw_text(fd, "POST /replicate HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", fields,
             strlen(body), body);
    cr_assert_eq(raw_receive(fd, begin, 12, SOON), 12);
    close(fd);
    return atoi(begin + strlen("HTTP/1.1 "));
}

SCENARIO(cluster_retries, only_a_master_gets_signs_of_life_ahead_of_a_late_answer)
{
    struct node *s1 = secondary_start(node_later("master", ""), "--secondary-delays 1");
    cr_assert_eq(first_status(s1, "", "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]}"), 200);
    cr_assert_eq(first_status(s1, "Log: L\r\nEpoch: 1\r\n",
                              "{\"log\":\"L\",\"epoch\":1,\"first\":2,\"messages\":[\"b\"]}"),
                 102);
}

/* ---- a secondary whose MAX_MESSAGE is lower */

SCENARIO(cluster_retries, a_member_gets_all_messages_up_to_the_one_that_is_too_long_for_it)
{
    struct node *master = master_start("--write-concern 1 --log-level debug");
    char text[200];
    memset(text, 'x', sizeof text);
    expect_status(post(master, "", "a"), 201);
    expect_status(post(master, "", "b"), 201);
    expect_status(post(master, "", "c"), 201);
    expect_status(http_post(master->port, "/messages", text, sizeof text), 201);
    expect_status(post(master, "", "d"), 201);
    struct node *low = secondary_start(master, "--secondary-id low --max-message 100");
    eventually(SOON, shows(low, "a b c"));
    eventually(SOON, node_logged(master, "sending 4 to low") >= 1);
    cr_assert(shows(low, "a b c"));
}

static void expect_too_long(size_t len, const char *why)
{
    struct node *master = master_start("--log-level debug --max-message 3000000");
    member_start(master, "s1", "--max-message 3000000");
    struct node *low = member_start(master, "low", "--max-message 100");
    char *text = malloc(len);
    char warning[256];
    cr_assert_not_null(text);
    memset(text, 'x', len);
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    expect_stored(http_post(master->port, "/messages?w=2", text, len), 201, 2, 2, 2);
    struct reply reply = post(master, "?w=2", "b");
    expect_stored(reply, 201, 3, 2, 2);
    expect_at_once(reply);
    eventually(SOON, node_logged(master, "DEBUG master low: it answered 413") >= 3);
    snprintf(warning, sizeof warning, "WARN  master low: it answered 413: %s", why);
    expect_logged(master, warning, 1);
    expect_logged(master, "WARN  master low", 1);
    cr_assert_geq(node_logged(master, "its MAX_MESSAGE is too low"), 1);
    cr_assert_leq(node_logged(master, "INFO  master connected to low"), 3);
    cr_assert(shows(low, "a"));
    node_kill(low);
    node_words(low, "--master-url %s --secondary-id low --max-message 3000000", master->url);
    node_restart(low);
    expect_stored(http_get(master->port, "/messages/3?w=3"), 200, 3, 3, 3);
    free(text);
}

SCENARIO(cluster_retries, a_message_that_is_too_long_for_one_member_is_told_once_and_stops_no_other)
{
    expect_too_long(101, "a message has 101 bytes, and MAX_MESSAGE here is 100");
}

SCENARIO(cluster_retries, a_request_that_is_too_long_for_one_member_is_told_once_and_stops_no_other)
{
    expect_too_long(2000000, "the body is longer than");
}
