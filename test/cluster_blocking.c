/* A POST is answered when the nodes it waits for show its message, and not before; nothing waits behind a
 * slow node but what waits for that node. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LATE_MS = 2000 /* SECONDARY_DELAYS */ };

static void expect_late(struct reply reply)
{
    expect_status(reply, 201);
    expect_took(reply, LATE_MS);
}

SCENARIO(cluster_blocking, a_post_is_answered_when_every_node_shows_it)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    char all[64] = "";
    for (int i = 1; i <= 9; i++) {
        char text[8];
        snprintf(text, sizeof text, "m%d", i);
        expect_stored(post(master, "", text), 201, i, 3, 3);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 1 ? " " : "", text);
        cr_assert(shows(s1, all) && shows(s2, all) && shows(master, all), "at %s", text);
    }
}

SCENARIO(cluster_blocking, a_master_alone_answers_for_itself)
{
    struct node *master = master_start("");
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
    expect_stored(http_post(master->port, "/", "b", 1), 201, 2, 1, 1);
    cr_assert(shows(master, "a b"));
}

SCENARIO(cluster_blocking, a_delay_is_a_latency_that_posts_do_not_add_up)
{
    struct node *master = master_start("--heartbeat-interval 0.3");
    struct call *calls[12]; /* the last one would take 24 s and less 2.2 if they waited for one another */
    member_start(master, "fast", "");
    struct node *slow = member_start(master, "slow", "--secondary-delays 2");
    for (int i = 0; i < 12; i++) {
        calls[i] = post_begin(master, "", "m");
        nap_ms(200);
    }
    for (int i = 0; i < 12; i++)
        expect_late(call_end(calls[i]));
    cr_assert_eq(last_id(slow), 12);
}

SCENARIO(cluster_blocking, a_hundred_posts_at_once_are_late_together)
{
    struct node *master = master_start("--heartbeat-interval 0.3");
    struct call *calls[100];
    member_start(master, "fast", "");
    struct node *slow = member_start(master, "slow", "SECONDARY_DELAYS=2");
    for (int i = 0; i < 100; i++)
        calls[i] = post_begin(master, "", "m");
    for (int i = 0; i < 100; i++)
        expect_late(call_end(calls[i]));
    cr_assert_eq(last_id(slow), 100);
}

SCENARIO(cluster_blocking, a_slow_secondary_answers_reads_meanwhile_and_does_not_show_the_message_yet)
{
    struct node *master = master_start("--heartbeat-interval 0.3");
    struct node *fast = member_start(master, "fast", "");
    struct node *slow = member_start(master, "slow", "--secondary-delays 2");
    int64_t began = now_ms();
    int reads = 0;
    struct call *call = post_begin(master, "", "m");
    eventually(SOON, shows(master, "m") && shows(fast, "m"));
    for (;; reads++) {
        struct reply list = http_get(slow->port, "/messages");
        struct reply message = http_get(slow->port, "/messages/1");
        bool answered = call_done(call);
        if (now_ms() - began > LATE_MS - 10)
            break; /* it may show now */
        cr_assert_str_eq(list.body, "{\"messages\":[]}");
        cr_assert_eq(message.status, 404);
        cr_assert_not(answered);
        nap_ms(20);
    }
    cr_assert_gt(reads, 0);
    expect_late(call_end(call));
    cr_assert(shows(slow, "m"));
}

SCENARIO(cluster_blocking, a_post_that_waits_for_one_node_does_not_wait_for_the_slow_one)
{
    struct node *master = master_start("");
    member_start(master, "fast", "");
    struct node *slow = member_start(master, "slow", "--secondary-delays 2");
    struct call *waiting = post_begin(master, "", "a");
    expect_status(post(master, "?w=1", "b"), 201);
    expect_status(post(master, "?w=2", "c"), 201);
    cr_assert_not(call_done(waiting));
    cr_assert(shows(slow, ""));
    expect_late(call_end(waiting));
}

SCENARIO(cluster_blocking, messages_a_second_apart_show_a_second_apart)
{
    struct node *master = master_start("--write-concern 1");
    struct node *slow = member_start(master, "slow", "--secondary-delays 1.5");
    int64_t began = now_ms();
    expect_status(post(master, "", "a"), 201);
    nap_ms(1000);
    expect_status(post(master, "", "b"), 201);
    eventually(SOON, shows(slow, "a"));
    cr_assert(now_ms() - began >= 1499);
    eventually(SOON, shows(slow, "a b"));
    cr_assert(now_ms() - began >= 2499);
}

SCENARIO(cluster_blocking, ten_secondaries_hold_every_message)
{
    struct node *master = master_start("");
    struct node *nodes[10];
    char id[8];
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "s%d", i);
        nodes[i] = secondary_start(master, "--secondary-id %s", id);
    }
    eventually(SOON, members_met(master) == 10);
    for (int i = 1; i <= 20; i++) {
        snprintf(id, sizeof id, "m%d", i);
        expect_stored(post(master, "", id), 201, i, 11, 11);
        for (int n = 0; n < 10; n++)
            cr_assert_eq(last_id(nodes[n]), i);
    }
    for (int n = 0; n < 10; n++)
        cr_assert(shows_numbered(nodes[n], 20));
}

/* The text at an id is the one whose POST got that id. */
static void expect_text(const struct node *node, long long id, const char *text)
{
    char expected[64];
    snprintf(expected, sizeof expected, "{\"id\":%lld,\"message\":\"%s\"}", id, text);
    cr_assert_str_eq(http_get(node->port, "/messages/%lld", id).body, expected);
}

SCENARIO(cluster_blocking, fifty_posters_at_once_get_one_id_each_without_holes)
{
    enum { POSTERS = 50, ROUNDS = 4, ALL = POSTERS * ROUNDS };
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    struct call *calls[POSTERS];
    bool used[ALL + 1] = {false};
    char text[16];
    for (int i = 0; i < ALL; i += POSTERS) {
        for (int p = 0; p < POSTERS; p++) {
            snprintf(text, sizeof text, "text%d", i + p);
            calls[p] = post_begin(master, "", text);
        }
        for (int p = 0; p < POSTERS; p++) {
            struct reply reply = call_end(calls[p]);
            long long id = json_number_of(reply.body, "id");
            expect_stored(reply, 201, id, 3, 3);
            cr_assert(id >= 1 && id <= ALL && !used[id]);
            used[id] = true;
            snprintf(text, sizeof text, "text%d", i + p);
            expect_text(p % 2 ? s1 : s2, id, text);
        }
    }
    cr_assert_eq(last_id(master), ALL);
    cr_assert(equal_lists(master, s1, s2, NULL));
}

SCENARIO(cluster_blocking, a_late_secondary_gets_the_backlog_of_a_thousand_in_batches)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    post_numbered(master, "", 1, 1000);
    struct node *late = member_start(master, "late", "");
    eventually(SOON, shows_numbered(late, 1000));
    expect_logged(master, "sending 1..1000 to late", 1);
    expect_stored(post(master, "", "m1001"), 201, 1001, 3, 3);
    cr_assert(shows_numbered(late, 1001));
}

SCENARIO(cluster_blocking, a_backlog_of_many_megabytes_comes_over_unchanged)
{
    enum { BIG = 300 * 1000, COUNT = 40 };
    struct node *master = master_start("");
    char *big = malloc(BIG);
    cr_assert_not_null(big);
    for (int i = 0; i < COUNT; i++) {
        memset(big, 'a' + i % 26, BIG);
        expect_status(http_post(master->port, "/messages", big, BIG - (size_t)i), 201);
    }
    struct node *late = member_start(master, "late", "");
    cr_assert_eq(last_id(late), COUNT);
    cr_assert(equal_lists(master, late, NULL));
}

/* The master reads them all in one pass of its loop. */
SCENARIO(cluster_blocking, a_secondary_begins_while_the_master_still_reads_much_at_once)
{
    enum { POSTS = 40, BYTES = 20000 };
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    static char text[BYTES + 1];
    int fds[POSTS];
    memset(text, 'x', BYTES);
    expect_stored(post(master, "", "first"), 201, 1, 2, 2); /* from here on the loop itself sends */
    node_freeze(master);
    for (int i = 0; i < POSTS; i++) {
        fds[i] = raw_open(master->port);
        cr_assert(raw_text(fds[i], "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s",
                           BYTES, text));
    }
    node_thaw(master);
    for (int i = 0; i < POSTS; i++) {
        expect_status(raw_reply(fds[i], false, SOON), 201);
        close(fds[i]);
    }
    cr_assert_eq(last_id(s1), 1 + POSTS);
    eventually(SOON, node_logged(master, " to s1 (") >= 3);
    cr_assert(node_logged(master, "sending ") < POSTS, "not each by itself");
}

SCENARIO(cluster_blocking, a_secondary_that_starts_first_finds_its_master)
{
    struct node *master = node_later("master", "");
    struct node *s1 = secondary_start(master, "--secondary-id s1");
    eventually(SOON, node_logged(s1, "cannot register with the master"));
    cr_assert_not(registered(s1));
    node_restart(master);
    expect_member(master, "s1");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    cr_assert(shows(s1, "a") && registered(s1));
    cr_assert_eq(node_told(s1, "WARN", ""), 0);
}

SCENARIO(cluster_blocking, a_client_that_goes_away_does_not_undo_its_append)
{
    struct node *master = master_start("");
    int fd = raw_open(master->port);
    raw_text(fd, "POST /messages?w=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na");
    eventually(SOON, shows(master, "a"));
    raw_reset(fd);
    struct node *s1 = member_start(master, "s1", "");
    cr_assert(shows(s1, "a"));
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    cr_assert(shows(s1, "a b"));
}

SCENARIO(cluster_blocking, the_log_lines_tell_the_story_of_a_message)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "--secondary-delays 0.1");
    expect_stored(post(master, "", "hello"), 201, 1, 2, 2);
    static const char *const told[] = {"INFO  master settings HOST=127.0.0.1 ",
                                       "INFO  master registered s1 at http://127.0.0.1:",
                                       "INFO  master appended 1 (5 bytes) from 127.0.0.1:",
                                       "INFO  master sending 1 to s1",
                                       "INFO  master ACK from s1 up to 1 after ",
                                       "INFO  master answered 1 with 201 after "};
    static const char *const told_s1[] = {"INFO  secondary settings HOST=127.0.0.1 ",
                                          "INFO  secondary registered with the master as s1",
                                          "INFO  secondary stored 1 from 127.0.0.1:",
                                          "INFO  secondary messages up to 1 show now, 100 ms after"};
    for (int i = 0; i < 6; i++)
        expect_logged(master, told[i], 1);
    for (int i = 0; i < 4; i++)
        expect_logged(s1, told_s1[i], 1);
}
