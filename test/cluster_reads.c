/* Reads, errors, health and settings of running nodes, of both roles. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node *nodes[2]; /* the master first */

static struct node *pair_start(void)
{
    nodes[0] = master_start("");
    nodes[1] = member_start(nodes[0], "s1", "");
    return nodes[0];
}

struct row {
    const char *target;
    int status;
    const char *body; /* of a 200 */
};

static const struct row rows[] = {
    {"/messages", 200, "{\"messages\":[\"a\",\"b\",\"c\"]}"},
    {"/", 200, "{\"messages\":[\"a\",\"b\",\"c\"]}"},
    {"/?from=3", 200, "{\"messages\":[\"c\"]}"},
    {"/messages?from=1", 200, "{\"messages\":[\"a\",\"b\",\"c\"]}"},
    {"/messages?from=2", 200, "{\"messages\":[\"b\",\"c\"]}"},
    {"/messages?from=2&limit=1", 200, "{\"messages\":[\"b\"]}"},
    {"/messages?limit=2&from=2", 200, "{\"messages\":[\"b\",\"c\"]}"},
    {"/messages?limit=2", 200, "{\"messages\":[\"a\",\"b\"]}"},
    {"/messages?limit=0", 200, "{\"messages\":[]}"},
    {"/messages?limit=18446744073709551615", 200, "{\"messages\":[\"a\",\"b\",\"c\"]}"},
    {"/messages?from=3&limit=18446744073709551615", 200, "{\"messages\":[\"c\"]}"},
    {"/messages?from=4", 200, "{\"messages\":[]}"},
    {"/messages?from=18446744073709551615", 200, "{\"messages\":[]}"},
    {"/messages?from=18446744073709551615&limit=2", 200, "{\"messages\":[]}"},
    {"/messages?colour=red&from=3", 200, "{\"messages\":[\"c\"]}"},
    {"/messages?", 200, "{\"messages\":[\"a\",\"b\",\"c\"]}"},
    {"/messages?from=%32", 200, "{\"messages\":[\"b\",\"c\"]}"},
    {"/%6dessages?from=3", 200, "{\"messages\":[\"c\"]}"},
    {"http://elsewhere/messages?from=3", 200, "{\"messages\":[\"c\"]}"},
    {"/messages?from=0", 400, NULL},
    {"/messages?from=-1", 400, NULL},
    {"/messages?from=x", 400, NULL},
    {"/messages?from=", 400, NULL},
    {"/messages?from=1x", 400, NULL},
    {"/messages?from=18446744073709551616", 400, NULL},
    {"/messages?limit=-1", 400, NULL},
    {"/messages?limit=1.5", 400, NULL},
    {"/messages/1", 200, "{\"id\":1,\"message\":\"a\"}"},
    {"/messages/3?x=y", 200, "{\"id\":3,\"message\":\"c\"}"},
    {"/messages/4", 404, NULL},
    {"/messages/0", 404, NULL},
    {"/messages/-1", 404, NULL},
    {"/messages/x", 404, NULL},
    {"/messages/1x", 404, NULL},
    {"/messages/18446744073709551617", 404, NULL},
    {"/messages/", 404, NULL},
    {"/messages/1/2", 404, NULL},
    {"/message", 404, NULL},
    {"/favicon.ico", 404, NULL},
};

static void expect_row(const struct node *node, const struct row *row)
{
    struct reply reply = http_request(node->port, "GET", row->target, NULL, NULL, 0, SOON);
    cr_assert_eq(reply.status, row->status, "%s %s: %d %s", node->program, row->target, reply.status,
                 reply.body);
    if (row->body)
        cr_assert_str_eq(reply.body, row->body, "%s %s: %s", node->program, row->target, reply.body);
    else
        cr_assert_eq(strncmp(reply.body, "{\"error\":\"", 10), 0, "%s: %s", row->target, reply.body);
    cr_assert_not_null(strstr(http_field(&reply, "Content-Type"), "application/json"));
}

SCENARIO(cluster_reads, the_list_its_parts_and_single_messages_read_alike_on_both_roles)
{
    struct node *master = pair_start();
    expect_status(post(master, "", "a"), 201);
    expect_status(post(master, "", "b"), 201);
    expect_status(post(master, "", "c"), 201);
    for (int n = 0; n < 2; n++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            expect_row(nodes[n], &rows[i]);
}

/* GET with If-None-Match. */
static struct reply get_unless(const struct node *node, const char *target, const char *tags)
{
    char fields[512];
    snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", tags);
    return http_request(node->port, "GET", target, fields, NULL, 0, SOON);
}

SCENARIO(cluster_reads, a_list_that_is_known_is_304_until_it_changes)
{
    struct node *master = pair_start();
    char tags[300];
    expect_status(post(master, "", "a"), 201);
    for (int n = 0; n < 2; n++) {
        struct reply first = http_get(nodes[n]->port, "/messages");
        const char *tag = http_field(&first, "ETag");
        cr_assert(tag && tag[0] == '"', "%s", first.head);
        struct reply again = get_unless(nodes[n], "/messages", tag);
        expect_status(again, 304);
        cr_assert_str_eq(http_field(&again, "ETag"), tag);
        snprintf(tags, sizeof tags, "\"other\", W/%s", tag);
        expect_status(get_unless(nodes[n], "/messages", tags), 304);
        expect_status(get_unless(nodes[n], "/messages", "*"), 304);
        expect_status(get_unless(nodes[n], "/messages", "\"other\""), 200);
        expect_status(get_unless(nodes[n], "/messages?limit=0", tag), 200);
        expect_status(post(master, "", "b"), 201);
        expect_status(get_unless(nodes[n], "/messages", tag), 200);
    }
}

/* The tag of a list, or of a part of it. */
static const char *tag_of(const struct node *node, const char *target)
{
    struct reply reply = http_get(node->port, "%s", target);
    expect_status(reply, 200);
    const char *tag = http_field(&reply, "ETag");
    cr_assert_not_null(tag);
    return tag;
}

SCENARIO(cluster_reads, equal_lists_have_equal_tags_and_others_have_others)
{
    struct node *master = pair_start();
    struct node *other = master_start("");
    post_numbered(master, "", 1, 3);
    expect_status(post(other, "", "m1"), 201);
    expect_status(post(other, "", "m0"), 201);
    expect_status(post(other, "", "m3"), 201);
    cr_assert_str_eq(tag_of(nodes[1], "/"), tag_of(master, "/messages"));
    cr_assert_str_eq(tag_of(nodes[1], "/?from=2&limit=1"), tag_of(master, "/?from=2&limit=1"));
    cr_assert_str_eq(tag_of(other, "/?limit=1"), tag_of(master, "/?limit=1"));
    cr_assert_str_neq(tag_of(other, "/"), tag_of(master, "/"));
    cr_assert_str_neq(tag_of(other, "/?limit=2"), tag_of(master, "/?limit=2"));
    cr_assert_str_neq(tag_of(master, "/?from=2"), tag_of(master, "/"));
}

SCENARIO(cluster_reads, a_304_leaves_the_connection_in_step)
{
    struct node *master = pair_start();
    expect_status(post(master, "", "a"), 201);
    int fd = raw_open(master->port);
    raw_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n"
                 "GET /messages/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status(raw_reply(fd, true, SOON), 304);
    cr_assert_str_eq(raw_reply(fd, false, SOON).body, "{\"id\":1,\"message\":\"a\"}");
}

SCENARIO(cluster_reads, head_is_get_without_its_body)
{
    static const char *const targets[] = {"/messages",        "/",       "/messages/1", "/health",
                                          "/messages?from=x", "/nowhere"};
    expect_status(post(pair_start(), "", "a"), 201);
    for (int i = 0; i < 12; i++) {
        const struct node *node = nodes[i % 2];
        const char *target = targets[i / 2];
        struct reply get = http_get(node->port, "%s", target);
        int fd = raw_open(node->port);
        raw_text(fd, "HEAD %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", target);
        struct reply head = raw_reply(fd, true, SOON);
        cr_assert_eq(head.status, get.status, "%s", target);
        if (strcmp(target, "/health") != 0)
            cr_assert_str_eq(http_field(&head, "Content-Length"), http_field(&get, "Content-Length"));
        char byte;
        cr_assert_eq(raw_receive(fd, &byte, 1, SOON), 0, "a body follows HEAD %s", target);
    }
}

static void expect_allow(const struct node *node, const char *method, const char *target, int status,
                         const char *allowed)
{
    struct reply reply = http_request(node->port, method, target, NULL, NULL, 0, SOON);
    const char *allow = http_field(&reply, "Allow");
    char copy[64];
    cr_assert_eq(reply.status, status, "%s %s: %d", method, target, reply.status);
    cr_assert_not_null(allow, "%s %s: %s", method, target, reply.head);
    cr_assert_eq(strstr(allow, "POST") != NULL, strstr(allowed, "POST") != NULL, "%s %s: Allow: %s", method,
                 target, allow);
    snprintf(copy, sizeof copy, "%s", allowed);
    for (char *rest, *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        cr_assert_not_null(strstr(allow, word), "%s %s: Allow: %s", method, target, allow);
}

SCENARIO(cluster_reads, other_methods_are_405_and_options_tells_which_there_are)
{
    struct node *master = pair_start();
    struct node *s1 = nodes[1];
    expect_allow(master, "PUT", "/messages", 405, "GET HEAD POST OPTIONS");
    expect_allow(master, "DELETE", "/", 405, "GET HEAD POST OPTIONS");
    expect_allow(master, "POST", "/messages/1", 405, "GET HEAD OPTIONS");
    expect_allow(master, "POST", "/health", 405, "GET HEAD OPTIONS");
    expect_allow(master, "GET", "/register", 405, "POST OPTIONS");
    expect_allow(master, "GET", "/secondaries/s1", 405, "DELETE OPTIONS");
    expect_allow(s1, "PATCH", "/messages", 405, "GET HEAD OPTIONS");
    expect_allow(s1, "GET", "/replicate", 405, "POST OPTIONS");
    for (int n = 0; n < 2; n++) {
        struct reply reply = http_request(nodes[n]->port, "OPTIONS", "/messages", NULL, NULL, 0, SOON);
        cr_assert(reply.status == 200 || reply.status == 204);
        expect_allow(nodes[n], "OPTIONS", "/messages", reply.status, n ? "GET HEAD" : "GET HEAD POST");
        reply = http_request(nodes[n]->port, "OPTIONS", "*", NULL, NULL, 0, SOON);
        cr_assert(reply.status == 200 || reply.status == 204, "OPTIONS *: %d", reply.status);
        cr_assert_eq(http_request(nodes[n]->port, "BREW", "/messages", NULL, NULL, 0, SOON).status, 501);
    }
}

SCENARIO(cluster_reads, a_post_to_a_secondary_is_405_and_names_the_master)
{
    struct node *master = pair_start();
    static const char *const targets[] = {"/messages", "/", "/messages?w=1"};
    for (int i = 0; i < 3; i++) {
        struct reply reply = http_post(nodes[1]->port, targets[i], "a", 1);
        expect_status(reply, 405);
        cr_assert_not_null(strstr(reply.body, master->url), "%s", reply.body);
        cr_assert_null(strstr(http_field(&reply, "Allow"), "POST"));
        expect_status(http_post_json(nodes[1]->port, targets[i], "{\"message\":\"a\"}"), 405);
    }
    cr_assert(shows(master, "") && shows(nodes[1], ""));
}

/* ---- health */

SCENARIO(cluster_reads, health_of_a_secondary_without_a_master)
{
    struct node *nowhere = node_later("master", "");
    struct node *s1 = secondary_start(nowhere, "");
    char expected[512];
    snprintf(expected, sizeof expected,
             "{\"role\":\"secondary\",\"version\":\"0.1.0\",\"status\":\"no_master\",\"log\":null,"
             "\"last_id\":0,\"master\":\"%s\",\"registered\":false,\"reason\":\"cannot register with the "
             "master at %s: Connection refused; trying again\"}",
             nowhere->url, nowhere->url);
    eventually(SOON, node_logged(s1, "cannot register"));
    cr_assert_str_eq(http_get(s1->port, "/health").body, expected);
}

SCENARIO(cluster_reads, health_of_a_pair)
{
    char expected[512];
    struct node *master = pair_start();
    struct node *s1 = nodes[1];
    expect_status(post(master, "", "a"), 201);
    char *log = log_name(master);
    cr_assert(strlen(log) > 8);
    snprintf(expected, sizeof expected,
             "{\"role\":\"secondary\",\"version\":\"0.1.0\",\"status\":\"ok\",\"log\":\"%s\",\"last_id\":1,"
             "\"master\":\"%s\","
             "\"registered\":true}",
             log, master->url);
    cr_assert_str_eq(http_get(s1->port, "/health").body, expected);
    int len =
        snprintf(expected, sizeof expected,
                 "{\"role\":\"master\",\"version\":\"0.1.0\",\"status\":\"ok\",\"log\":\"%s\",\"last_id\":1,"
                 "\"read_only\":false,\"secondaries\":[{\"id\":\"s1\",\"url\":\"%s\",\"state\":"
                 "\"healthy\",\"acked\":1,\"lag\":0,\"last_seen\":",
                 log, s1->url);
    struct reply reply = http_get(master->port, "/health");
    cr_assert_eq(strncmp(reply.body, expected, (size_t)len), 0, "%s", reply.body);
    char *end;
    double seen = strtod(reply.body + len, &end);
    cr_assert(seen >= 0 && seen < 2, "%s", reply.body);
    cr_assert_str_eq(end, "}],\"refused\":[]}");
}

SCENARIO(cluster_reads, health_check_of_a_running_node_exits_0_and_of_none_1)
{
    struct node *master = pair_start();
    char words[64];
    char out[512];
    for (int n = 1; n >= 0; n--) {
        snprintf(words, sizeof words, "--health-check --port %u", nodes[n]->port);
        cr_assert_eq(program_run(nodes[n]->program, words, out, sizeof out), 0, "%s", out);
        cr_assert_eq(node_stop(nodes[n]).code, 0);
        cr_assert_eq(program_run(nodes[n]->program, words, out, sizeof out), 1);
        cr_assert(strlen(out) > 0 && strchr(out, '\n') == out + strlen(out) - 1, "%s", out);
    }
    cr_assert_eq(master->pid, 0);
}

/* ---- settings */

struct wrong {
    const char *program, *words;
    const char *named[2]; /* the setting and its value */
};

static const struct wrong wrongs[] = {
    {"master", "--port 65536", {"--port", "65536"}},
    {"master", "--port x", {"--port", "x"}},
    {"master", "--port -1", {"--port", "-1"}},
    {"master", "PORT=70000", {"PORT", "70000"}},
    {"master", "--log-level loud", {"--log-level", "loud"}},
    {"master", "LOG_FORMAT=xml", {"LOG_FORMAT", "xml"}},
    {"master", "--max-message 0", {"--max-message", "0"}},
    {"master", "--max-connections 0", {"--max-connections", "0"}},
    {"master", "--idle-timeout never", {"--idle-timeout", "never"}},
    {"master", "--write-concern 0", {"--write-concern", "0"}},
    {"master", "WRITE_CONCERN=most", {"WRITE_CONCERN", "most"}},
    {"master", "--ack-timeout -1", {"--ack-timeout", "-1"}},
    {"master", "--quorum some", {"--quorum", "some"}},
    {"master", "--heartbeat-interval 0", {"--heartbeat-interval", "0"}},
    {"master", "--colour red", {"--colour", ""}},
    {"master", "--port", {"--port", ""}},
    {"master", "red", {"argument 1", ""}},
    {"master", "--secondary-delays 1", {"--secondary-delays", ""}},
    {"secondary", "--master-url ftp://a", {"--master-url", "ftp://a"}},
    {"secondary", "MASTER_URL=a:b", {"MASTER_URL", "a:b"}},
    {"secondary", "--advertise-url http://a/b", {"--advertise-url", "http://a/b"}},
    {"secondary", "--secondary-delays -2", {"--secondary-delays", "-2"}},
    {"secondary", "--secondary-delays 2s", {"--secondary-delays", "2s"}},
    {"secondary", "--secondary-errors 1.5", {"--secondary-errors", "1.5"}},
    {"secondary", "SECONDARY_ERRORS=x", {"SECONDARY_ERRORS", "x"}},
    {"secondary", "--write-concern 1", {"--write-concern", ""}},
};

SCENARIO(cluster_reads, a_setting_that_cannot_be_used_ends_the_program_with_one_line)
{
    char out[2048];
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        const struct wrong *wrong = &wrongs[i];
        int code = program_run(wrong->program, wrong->words, out, sizeof out);
        cr_assert_eq(code, 2, "%s %s: exit code %d", wrong->program, wrong->words, code);
        cr_assert(strlen(out) && strchr(out, '\n') == out + strlen(out) - 1, "%s: %s", wrong->words, out);
        for (int n = 0; n < 2; n++)
            cr_assert_not_null(strstr(out, wrong->named[n]), "%s: %s", wrong->words, out);
    }
}

SCENARIO(cluster_reads, a_port_that_is_taken_ends_the_program_with_a_sentence)
{
    struct node *master = master_start("");
    char words[32];
    char out[2048];
    snprintf(words, sizeof words, "--port %u", master->port);
    cr_assert_eq(program_run("secondary", words, out, sizeof out), 1);
    cr_assert(strstr(out, "cannot start") && strstr(out, master->authority + strlen("127.0.0.1:")), "%s",
              out);
}

SCENARIO(cluster_reads, help_and_version_end_with_code_0)
{
    char out[8192];
    cr_assert_eq(program_run("master", "--help", out, sizeof out), 0);
    cr_assert(strstr(out, "--write-concern") && strstr(out, "--quorum"));
    cr_assert_eq(program_run("secondary", "--help", out, sizeof out), 0);
    cr_assert(strstr(out, "--secondary-delays") && !strstr(out, "--quorum"));
    cr_assert_eq(program_run("secondary", "--version", out, sizeof out), 0);
    cr_assert_not_null(strstr(out, "replicated-log"));
}

SCENARIO(cluster_reads, a_flag_wins_over_the_environment_and_an_empty_variable_counts_as_none)
{
    struct node *master = master_start("WRITE_CONCERN=3 --write-concern 1 MAX_MESSAGE=");
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
    struct node *other = master_start("WRITE_CONCERN=1");
    expect_stored(post(other, "", "a"), 201, 1, 1, 1);
}

SCENARIO(cluster_reads, log_lines_can_be_json_and_a_message_cannot_forge_one)
{
    struct node *master = master_start("--log-format json");
    expect_status(http_request(master->port, "GET", "/x%0aforged", NULL, NULL, 0, SOON), 404);
    expect_status(post(master, "", "forged\n{\"level\":\"error\"}"), 201);
    cr_assert_eq(node_stop(master).code, 0);
    char *log = node_log(master);
    int lines = 0;
    for (char *rest, *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), lines++) {
        cr_assert_eq(strncmp(line, "{\"time\":\"2", 10), 0, "%s", line);
        cr_assert_not_null(strstr(line, "\"role\":\"master\",\"event\":\""), "%s", line);
        cr_assert_eq(line[strlen(line) - 1], '}', "%s", line);
    }
    cr_assert(lines >= 4);
}
