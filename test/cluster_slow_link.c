/* Links that carry little: what takes longer to arrive than the times of silence arrives all the same, at the
 * first try. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 10 * 1000, HEARTBEAT_MS = 200, TIMES_OF_SILENCE = 3 };

/* A secondary behind a relay that carries so many bytes a second from the first one on. */
static struct node *slow_member(const struct node *master, int rate, struct relay **relay)
{
    struct node *node = node_later("secondary", "");
    *relay = relay_open(node->port);
    relay_rate(*relay, rate);
    node_words(node, "--master-url %s --secondary-id s1 --advertise-url %s", master->url, relay_url(*relay));
    node_restart(node);
    return node;
}

/* So many messages of PIECE bytes, stored by the master alone. */
static void fill(const struct node *master, int count)
{
    static char piece[PIECE];
    memset(piece, 'p', sizeof piece);
    for (int i = 0; i < count; i++)
        expect_status(http_post(master->port, "/messages?w=1", piece, sizeof piece), 201);
}

static void expect_no_retry(const struct node *master, const struct node *s1, const struct relay *relay)
{
    cr_assert_eq(relay_connections(relay), 1);
    expect_logged(s1, "registering again", 0);
    expect_logged(master, "unhealthy", 0);
}

SCENARIO(cluster_slow_link, a_backlog_arrives_on_one_connection)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    fill(master, 60);
    int64_t began = now_ms();
    struct node *s1 = slow_member(master, 200 * 1000, &relay);
    eventually(SOON, last_id(s1) == 60);
    cr_assert(now_ms() - began >= 2500, "the relay was too fast: %d ms", (int)(now_ms() - began));
    expect_no_retry(master, s1, relay);
    cr_assert(equal_lists(master, s1, NULL));
}

SCENARIO(cluster_slow_link, a_long_message_is_acknowledged)
{
    static char text[300 * 1000];
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    struct node *s1 = slow_member(master, 100 * 1000, &relay);
    expect_member(master, "s1");
    memset(text, 't', sizeof text);
    struct reply reply = http_post(master->port, "/messages", text, sizeof text);
    expect_stored(reply, 201, 1, 2, 2);
    expect_took(reply, 2500);
    expect_no_retry(master, s1, relay);
}

SCENARIO(cluster_slow_link, batches_shrink_until_one_gets_through)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = node_later("secondary", "");
    struct relay *relay = relay_open(s1->port);
    fill(master, 40);
    relay_cut_after(relay, RELAY_THERE, 9 * PIECE); /* no connection lasts for the whole list */
    node_words(s1, "--master-url %s --secondary-id s1 --advertise-url %s", master->url, relay_url(relay));
    node_restart(s1);
    eventually(SOON, last_id(s1) == 40);
    cr_assert(equal_lists(master, s1, NULL));
}

SCENARIO(cluster_slow_link, a_registration_of_the_same_process_leaves_a_slow_link_alone)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct relay *relay;
    fill(master, 40);
    struct node *s1 = slow_member(master, 200 * 1000, &relay);
    eventually(SOON, node_logged(master, "sending 1..40 to s1") == 1);
    for (int i = 0; i < 5; i++) {
        expect_status(register_by_hand(master, "{\"id\":\"s1\",\"url\":\"%s\"}", relay_url(relay)), 200);
        nap_ms(200);
    }
    eventually(SOON, last_id(s1) == 40);
    expect_no_retry(master, s1, relay);
    expect_logged(master, "sending 1..40 to s1", 1);
    cr_assert(equal_lists(master, s1, NULL));
}

/* ---- whose bytes count */

/* A request that does not end, of that log's master to this process. */
static int request_begin(const struct node *s1, const char *log)
{
    struct reply asked = http_post_json(s1->port, "/replicate", "");
    int fd = raw_open(s1->port);
    cr_assert(raw_text(fd,
                       "POST /replicate HTTP/1.1\r\nHost: x\r\nLog: %s\r\nEpoch: 1\r\nBoot: %s\r\n"
                       "Content-Length: 1000\r\n\r\n",
                       log, json_text_of(asked.body, "boot")));
    return fd;
}

/* Goes on with it for that many times of silence, byte by byte. */
static void request_go_on(int fd, int times)
{
    int64_t until = now_ms() + times * TIMES_OF_SILENCE * HEARTBEAT_MS;
    while (now_ms() < until) {
        cr_assert(raw_text(fd, " "));
        nap_ms(HEARTBEAT_MS / 4);
    }
}

SCENARIO(cluster_slow_link, the_bytes_of_its_master_are_a_sign_of_life_and_are_answered_by_100)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    char answers[64] = "";
    int fd = request_begin(s1, log_name(master));
    node_freeze(master);
    request_go_on(fd, 2);
    expect_logged(s1, "registering again", 0);
    cr_assert(raw_receive(fd, answers, sizeof answers - 1, SOON) > 0);
    cr_assert_not_null(strstr(answers, "HTTP/1.1 100 Continue\r\n\r\n"));
    raw_reset(fd);
    eventually(SOON, node_logged(s1, "registering again"));
    node_thaw(master);
    expect_member(master, "s1");
}

SCENARIO(cluster_slow_link, the_bytes_of_anybody_else_are_none)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    char answers[64];
    int fd = request_begin(s1, "of-another-one");
    node_freeze(master);
    request_go_on(fd, 2);
    cr_assert_eq(node_logged(s1, "registering again"), 1);
    cr_assert_eq(raw_receive(fd, answers, sizeof answers, 0), -1);
    raw_reset(fd);
    node_thaw(master);
    expect_member(master, "s1");
}
