/* What people see in the log: a line for each request at debug, fields in JSON, and no more lines than
 * somebody reads. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- requests */

SCENARIO(cluster_lines, at_debug_each_request_is_a_line)
{
    struct node *master = master_start("--log-level debug --cluster-token sesam");
    expect_status(post(master, "?w=1", "a"), 201);
    expect_status(http_get(master->port, "/messages/1?w=1"), 200);
    expect_status(http_get(master->port, "/nope"), 404);
    expect_status(post(master, "", ""), 400);
    expect_status(http_request(master->port, "PUT", "/messages", NULL, NULL, 0, SOON), 405);
    expect_status(http_post_json(master->port, "/register", "{}"), 401);
    static const char *const told[] = {
        "DEBUG master POST /messages?w=1 from 127.0.0.1:", "DEBUG master GET /messages/1?w=1 from 127.0.0.1:",
        "DEBUG master GET /nope from 127.0.0.1:",          "ms: there is nothing at /nope",
        "DEBUG master POST /messages from 127.0.0.1:",     "ms: the message is missing",
        "DEBUG master PUT /messages from 127.0.0.1:",      "ms: /messages takes ",
        "DEBUG master POST /register from 127.0.0.1:",     "ms: this needs the field Authorization",
    };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        expect_logged(master, told[i], 1);
    expect_logged(master, ": 201 after ", 1);
    expect_logged(master, ": 405 after ", 1);
}

/* Sends the bytes, and waits for the answer. */
static void refused(const struct node *node, const char *bytes, size_t len, int status)
{
    int fd = raw_open(node->port);
    raw_send(fd, bytes, len);
    cr_assert_eq(raw_reply(fd, false, SOON).status, status);
    close(fd);
}

SCENARIO(cluster_lines, at_debug_what_is_no_request_is_a_line_as_well)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00";
    static const char tab[] = "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char large[] =
        "\r\nPOST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
    enum { NOTED = 100 }; /* bytes of a target */
    char target[400] = "GET /";
    struct node *master = master_start("--log-level debug");
    refused(master, hello, sizeof hello - 1, 400);
    refused(master, tab, sizeof tab - 1, 400);
    refused(master, large, sizeof large - 1, 413);
    memset(target + 5, 'x', 200);
    snprintf(target + 205, sizeof target - 205, " HTTP/1.1\r\n\r\n");
    refused(master, target, strlen(target), 400);
    target[4 + NOTED] = '\0';
    expect_logged(master, "DEBUG master \\x16\\x03\\x01\\x02?\\x01? from 127.0.0.1:", 1);
    expect_logged(master, "DEBUG master GET /a\\x09b from 127.0.0.1:", 1);
    expect_logged(master, "DEBUG master POST /messages from 127.0.0.1:", 1);
    expect_logged(master, "the body is longer than the 1048576 bytes that are taken here", 1);
    strcat(target, " from 127.0.0.1:");
    expect_logged(master, target, 1);
}

SCENARIO(cluster_lines, at_info_requests_that_are_refused_leave_no_line)
{
    struct node *master = master_start("");
    expect_status(http_get(master->port, "/nope"), 404);
    refused(master, "\x16", 1, 400);
    expect_status(post(master, "", "a"), 201);
    expect_logged(master, "answered 1 with 201", 1);
    expect_logged(master, "nope", 0);
    expect_logged(master, " 400 ", 0);
}

/* ---- fields */

/* Whether a line of the node is of this event and has the text. */
static bool has_event(const struct node *node, const char *event, const char *text)
{
    char word[64];
    snprintf(word, sizeof word, "\"event\":\"%s\",\"message\":\"", event);
    return node_told(node, word, text) > 0;
}

SCENARIO(cluster_lines, json_lines_have_the_fields_of_a_message)
{
    struct node *master = master_start("--log-format json");
    struct node *s1 = member_start(master, "s1", "--secondary-delays 0.1 --log-format json");
    expect_status(post(master, "", "hello"), 201);
    expect_status(post(master, "?w=3&timeout=0.1", "b"), 202);
    eventually(SOON, has_event(master, "registered", "\"member\":\"s1\",\"peer\":\"127.0.0.1:"));
    eventually(SOON, has_event(master, "connected", "\"member\":\"s1\",\"last\":0}"));
    eventually(SOON, has_event(master, "appended", ",\"id\":1,\"bytes\":5,\"peer\":\"127.0.0.1:"));
    eventually(SOON, has_event(master, "sending", ",\"first\":1,\"last\":1,\"count\":1,\"member\":\"s1\"}"));
    eventually(SOON, has_event(master, "ack", ",\"member\":\"s1\",\"last\":1,\"ms\":10"));
    eventually(SOON, has_event(master, "answered", ",\"id\":1,\"status\":201,\"ms\":10"));
    eventually(SOON, has_event(master, "answered", ",\"id\":2,\"status\":202,\"ms\":1"));
    eventually(SOON, has_event(s1, "stored", ",\"id\":1,\"peer\":\"127.0.0.1:"));
    eventually(SOON, has_event(s1, "shown", ",\"first\":1,\"last\":1,\"ms\":100}"));
    eventually(SOON, has_event(s1, "settings", "\"message\":\"settings HOST=127.0.0.1 "));
}

SCENARIO(cluster_lines, json_lines_tell_of_a_list_that_fills_and_of_a_goodbye)
{
    struct node *master = master_start("--log-format json --max-log 100");
    struct node *s1 = member_start(master, "s1", "--log-format json");
    for (int i = 0; i < 20; i++)
        post(master, "", "0123456");
    eventually(SOON, has_event(master, "list_fills", "\"bytes\":80,\"max\":100}"));
    eventually(SOON, has_event(master, "list_full", "\"bytes\":100,\"max\":100}"));
    node_stop(s1);
    eventually(SOON, has_event(s1, "goodbye", "said goodbye to the master\",\"status\":204}"));
}

/* ---- no more lines than somebody reads */

/* The lines above debug that the node writes within two seconds. */
static int lines_in_two_seconds(const struct node *node)
{
    int before = node_logged(node, "");
    nap_ms(2000);
    return node_logged(node, "") - before;
}

SCENARIO(cluster_lines, two_that_replace_each_other_for_ever_fill_no_log)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct node *s1 = member_start(master, "s1", "");
    struct node *twin = secondary_start(master, "--secondary-id s1");
    nap_ms(3000);
    cr_assert_leq(lines_in_two_seconds(master), 1);
    cr_assert_leq(lines_in_two_seconds(twin), 1);
    cr_assert_leq(node_logged(s1, "registering again"), 4); /* three at info, one warning */
}

SCENARIO(cluster_lines, a_member_that_comes_and_goes_fills_no_log)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct node *s1 = member_start(master, "s1", "");
    for (int i = 0; i < 6; i++) {
        node_freeze(s1);
        eventually(SOON, member_is(master, "s1", "unhealthy"));
        node_thaw(s1);
        eventually(SOON, member_is(master, "s1", "healthy"));
    }
    cr_expect_eq(node_told(master, "WARN", "s1 is unhealthy now (was suspected)"), 1);
    cr_expect_eq(node_told(master, "INFO", "s1 is healthy now (was unhealthy)"), 3);
}

SCENARIO(cluster_lines, a_client_that_registers_and_removes_in_a_loop_fills_no_log)
{
    enum { TIMES = 100 };
    struct node *master = master_start("");
    int before = node_logged(master, "");
    for (int i = 0; i < TIMES; i++) {
        expect_status(register_by_hand(master, "{\"id\":\"x\",\"url\":\"http://127.0.0.1:9\"}"), 200);
        cr_assert_eq(remove_member(master, "x"), 204);
        expect_status(register_by_hand(master, "{\"id\":\"y\",\"port\":9,\"log\":\"other\",\"last_id\":7}"),
                      400);
    }
    expect_status(post(master, "?w=1", "a"), 201);
    for (int i = 0; i < TIMES; i++)
        expect_status(register_by_hand(master, "{\"id\":\"y\",\"port\":9,\"log\":\"other\",\"last_id\":7}"),
                      409);
    cr_assert_leq(node_logged(master, "") - before, 12);
    expect_logged(master, "ERROR master refused y", 1);
}

SCENARIO(cluster_lines, posts_whose_time_is_over_share_lines)
{
    enum { POSTS = 200 };
    struct node *master = master_start("");
    char request[256];
    int fd = raw_open(master->port);
    snprintf(request, sizeof request,
             "POST /messages?w=2&timeout=0.001 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    for (int i = 0; i < POSTS; i++)
        raw_text(fd, "%s", request);
    for (int i = 0; i < POSTS; i++)
        cr_assert_eq(raw_reply(fd, false, SOON).status, 202);
    close(fd);
    eventually(SOON, node_told(master, "WARN  master answered ", "with 202 after"));
    cr_assert_leq(node_logged(master, "with 202"), POSTS / 2);
}

SCENARIO(cluster_lines, a_secondary_says_that_its_max_message_is_too_low)
{
    struct node *master = master_start("--write-concern 1");
    struct node *low = member_start(master, "low", "--max-message 3");
    expect_status(post(master, "", "long"), 201);
    expect_logged(low, ": a message has 4 bytes, and MAX_MESSAGE here is 3", 1);
    eventually(SOON, node_logged(master, "sending 1 to low again"));
    nap_ms(2000);
    cr_assert_leq(lines_in_two_seconds(master), 1);
    expect_logged(low, "a message has 4 bytes", 1);
}

/* ---- what is normal is no warning */

static int warnings(const struct node *node)
{
    return node_logged(node, " WARN ") + node_logged(node, " ERROR ");
}

SCENARIO(cluster_lines, a_secondary_that_is_stopped_is_no_warning)
{
    struct node *master = master_start("--write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    struct node *slow = member_start(master, "slow", "--secondary-delays 60");
    expect_status(post(master, "", "a"), 201);
    eventually(SOON, node_logged(s1, "stored 1") && node_logged(slow, "stored 1"));
    expect_end(node_stop(slow));
    expect_end(node_stop(s1));
    expect_logged(master, "removed s1; 0 members now", 1);
    always(600, warnings(master) == 0);
    cr_assert_eq(warnings(s1) + warnings(slow), 0);
}

SCENARIO(cluster_lines, nodes_that_are_stopped_together_warn_of_nothing)
{
    struct node *master = master_start("--write-concern 1");
    struct node *s1 = member_start(master, "s1", "");
    struct node *slow = member_start(master, "slow", "--secondary-delays 60");
    expect_status(post(master, "", "a"), 201);
    eventually(SOON, node_logged(slow, "stored 1"));
    expect_end(node_stop(master));
    expect_end(node_stop(s1));
    expect_end(node_stop(slow));
    cr_assert_eq(warnings(master) + warnings(s1) + warnings(slow), 0);
}

SCENARIO(cluster_lines, a_secondary_that_is_killed_is_one)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    node_kill(s1);
    eventually(SOON, node_told(master, "WARN", "s1: it closed the connection; trying again"));
    eventually(SOON, node_told(master, "WARN", "Connection refused; trying again"));
}

SCENARIO(cluster_lines, an_idle_timeout_below_the_heartbeat_interval_is_told_of_at_the_start)
{
    struct node *master = master_start("--heartbeat-interval 0.5 --idle-timeout 0.4");
    struct node *s1 = member_start(master, "s1", "--idle-timeout 0.3");
    struct node *s2 = member_start(master, "s2", "");
    expect_logged(master, "WARN  master IDLE_TIMEOUT is not above HEARTBEAT_INTERVAL", 1);
    expect_logged(s1, "WARN  secondary IDLE_TIMEOUT=0.300 ", 1);
    expect_logged(s2, "WARN  secondary IDLE_TIMEOUT", 0);
}

SCENARIO(cluster_lines, a_quorum_of_more_nodes_than_there_are_to_be_is_told_of_at_the_start)
{
    struct node *more = master_start("--nodes 2 --quorum 3");
    struct node *all = master_start("--nodes 3 --quorum 3");
    struct node *most = master_start("--nodes 3 --quorum majority");
    expect_logged(more, "WARN  master QUORUM=3 is more than NODES=2", 1);
    expect_logged(all, "WARN  master QUORUM", 0);
    expect_logged(most, "WARN  master QUORUM", 0);
}

SCENARIO(cluster_lines, a_host_without_an_address_is_named)
{
    struct node *master = master_start("");
    struct node *s1 = node_start("secondary", "--master-url http://no.such.host.invalid:5000");
    eventually(SOON, node_told(s1, "WARN", "http://no.such.host.invalid:5000: "));
    expect_status(register_by_hand(master, "{\"id\":\"x\",\"url\":\"http://no.such.host.invalid:9\"}"), 200);
    eventually(SOON, node_told(master, "WARN", "x: cannot connect to no.such.host.invalid port 9: "));
}
