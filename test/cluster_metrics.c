/* What GET /metrics tells, and that it moves as what happens. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- reading it */

/* The value of a sample, named with its labels as they stand there; -1: there is none. */
static double sample_in(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ')
            return atof(line + len + 1);
    }
    return -1;
}

static double metric(const struct node *node, const char *name)
{
    struct reply reply = http_get(node->port, "/metrics");
    cr_assert_eq(reply.status, 200);
    double value = sample_in(reply.body, name);
    http_free(&reply);
    return value;
}

#define POSTS "rlog_http_responses_total{method=\"POST\",path=\"/messages\",code="

/* Each family is begun once, by HELP and TYPE, and its samples follow at once. */
static void expect_well_formed(const char *text)
{
    char family[128] = "";
    char seen[16384] = " ";
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        char name[128];
        size_t len;
        cr_assert_not_null(strchr(line, '\n'), "%s", line);
        if (sscanf(line, "# HELP %127s", name) == 1) {
            char word[132];
            snprintf(word, sizeof word, " %s ", name);
            cr_assert_null(strstr(seen, word), "%s comes twice", name);
            strcat(strcat(seen, name), " ");
            snprintf(family, sizeof family, "%s", name);
            line = strchr(line, '\n') + 1;
            cr_assert_eq(sscanf(line, "# TYPE %127s", name), 1, "%.80s", line);
            cr_assert_str_eq(name, family);
            continue;
        }
        len = strlen(family);
        cr_assert(len && strncmp(line, family, len) == 0, "%.80s is not of %s", line, family);
        cr_assert_not_null(strchr("{ _", line[len]), "%.80s is not of %s", line, family);
    }
}

/* ---- */

SCENARIO(cluster_metrics, both_roles_have_metrics_in_the_format_of_prometheus)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    const struct node *nodes[] = {master, s1};
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    for (int i = 0; i < 2; i++) {
        struct reply reply = http_get(nodes[i]->port, "/metrics");
        expect_status(reply, 200);
        cr_assert_str_eq(http_field(&reply, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
        cr_assert_str_eq(http_field(&reply, "Cache-Control"), "no-store");
        cr_assert(reply.newline);
        reply.body[reply.body_len] = '\n';
        expect_well_formed(reply.body);
        cr_assert_eq(sample_in(reply.body, "rlog_last_id"), 1);
        cr_assert_eq(sample_in(reply.body, "rlog_epoch"), 1);
        cr_assert_eq(sample_in(reply.body, "rlog_list_bytes"), 4);
        cr_assert_geq(sample_in(reply.body, "process_resident_memory_bytes"), 500 * 1024);
        cr_assert_geq(sample_in(reply.body, "process_virtual_memory_bytes"), 500 * 1024);
        cr_assert_gt(sample_in(reply.body, "process_cpu_seconds_total"), 0);
        int more = (int)sample_in(reply.body, "process_open_fds") - node_descriptors(nodes[i]);
        cr_assert(more >= -1 && more <= 1, "%d: its own connection is there or not", more);
        cr_assert_geq(sample_in(reply.body, "process_max_fds"), 64);
        cr_assert_lt(abs((int)(sample_in(reply.body, "process_start_time_seconds") - (double)time(NULL))),
                     60);
        cr_assert_gt(sample_in(reply.body, "rlog_pass_seconds_count"), 3);
        cr_assert_gt(sample_in(reply.body, "rlog_pass_seconds_sum"), 0);
        cr_assert_lt(sample_in(reply.body, "rlog_pass_seconds_sum"), 10);
    }
    cr_assert_eq(metric(master, "rlog_build_info{version=\"0.1.0\",role=\"master\"}"), 1);
    cr_assert_eq(metric(s1, "rlog_build_info{version=\"0.1.0\",role=\"secondary\"}"), 1);
}

SCENARIO(cluster_metrics, appends_are_counted_with_their_bytes_times_and_answers)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    cr_assert_eq(metric(master, "rlog_appended_messages_total"), 0);
    post_numbered(master, "", 1, 9);
    cr_assert_eq(metric(master, "rlog_appended_messages_total"), 9);
    cr_assert_eq(metric(master, "rlog_appended_bytes_total"), 18);
    cr_assert_eq(metric(master, "rlog_post_seconds_count"), 9);
    cr_assert_eq(metric(master, "rlog_post_seconds_bucket{le=\"+Inf\"}"), 9);
    cr_assert_gt(metric(master, "rlog_post_seconds_sum"), 0);
    cr_assert_eq(metric(master, POSTS "\"201\"}"), 9);
    expect_status(post(master, "?w=3&timeout=0.3", "late"), 202);
    cr_assert_eq(metric(master, POSTS "\"202\"}"), 1);
    cr_assert_eq(metric(master, "rlog_post_seconds_count"), 10);
    cr_assert_geq(metric(master, "rlog_post_seconds_sum"), 0.3);
    cr_assert_leq(metric(master, "rlog_post_seconds_bucket{le=\"0.25\"}"), 9);
    expect_status(http_post_json(master->port, "/messages", "{"), 400);
    expect_status(http_get(master->port, "/messages/1?w=1"), 200);
    cr_assert_eq(metric(master, POSTS "\"400\"}"), 1);
    cr_assert_eq(metric(master, "rlog_post_seconds_count"), 10, "those that appended nothing do not count");
    cr_assert_eq(
        metric(master, "rlog_http_responses_total{method=\"GET\",path=\"/messages/*\",code=\"200\"}"), 1);
}

SCENARIO(cluster_metrics, posts_that_wait_are_told_with_the_age_of_the_oldest)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    cr_assert_eq(metric(master, "rlog_posts_waiting"), 0);
    cr_assert_eq(metric(master, "rlog_posts_oldest_seconds"), 0);
    struct call *first = post_begin(master, "?w=3", "a");
    eventually(SOON, metric(master, "rlog_posts_waiting") == 1);
    nap_ms(400);
    struct call *second = post_begin(master, "?w=all&timeout=60", "b");
    struct call *third = post_begin(master, "?w=3", "c");
    expect_status(call_end(second), 201);
    eventually(SOON, metric(master, "rlog_posts_waiting") == 2);
    cr_assert_geq(metric(master, "rlog_posts_oldest_seconds"), 0.4);
    cr_assert_eq(metric(master, "rlog_posts_held"), 0);
    member_start(master, "s2", "");
    expect_status(call_end(first), 201);
    expect_status(call_end(third), 201);
    cr_assert_eq(metric(master, "rlog_posts_waiting"), 0);
    cr_assert_eq(metric(master, "rlog_posts_oldest_seconds"), 0);
}

SCENARIO(cluster_metrics, posts_at_the_gate_are_told_apart)
{
    struct node *master = master_start("--nodes 2");
    struct call *call = post_begin(master, "", "a");
    eventually(SOON, metric(master, "rlog_posts_held") == 1);
    cr_assert_eq(metric(master, "rlog_posts_waiting"), 0);
    expect_status(post(master, "?timeout=0.1", "b"), 503);
    cr_assert_eq(metric(master, "rlog_refusals_total{reason=\"held_too_long\"}"), 1);
    cr_assert_geq(metric(master, "rlog_posts_oldest_seconds"), 0.1);
    member_start(master, "s1", "");
    expect_stored(call_end(call), 201, 1, 2, 2);
    cr_assert_eq(metric(master, "rlog_posts_held"), 0);
}

SCENARIO(cluster_metrics, a_member_has_its_state_lag_and_failures)
{
    /* no sign of life comes between: what a member lacks is as old as the POST */
    struct node *master = master_start("--heartbeat-interval 1.5 --quorum 2");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    cr_assert_eq(metric(master, "rlog_members{state=\"healthy\"}"), 2);
    cr_assert_eq(metric(master, "rlog_member_state{member=\"s2\"}"), 0);
    cr_assert_eq(metric(master, "rlog_member_ack_seconds_count{member=\"s2\"}"), 1);
    cr_assert_eq(metric(master, "rlog_member_lag_seconds{member=\"s2\"}"), 0);
    cr_assert_eq(metric(master, "rlog_read_only"), 0);
    nap_ms(1200);
    node_freeze(s2);
    int64_t behind_ms = now_ms();
    post_numbered(master, "?w=2", 1, 5);
    double lag = metric(master, "rlog_member_lag_seconds{member=\"s2\"}");
    cr_assert(lag > 0 && lag * 1000 <= (double)(now_ms() - behind_ms + 1), "%f", lag);
    cr_assert_eq(metric(master, "rlog_member_lag_messages{member=\"s2\"}"), 5);
    cr_assert_eq(metric(master, "rlog_member_lag_messages{member=\"s1\"}"), 0);
    eventually(SOON, metric(master, "rlog_member_lag_seconds{member=\"s2\"}") > 0.5);
    cr_assert_geq(metric(master, "rlog_member_last_seen_seconds{member=\"s2\"}"), 0.5);
    node_thaw(s2);
    eventually(SOON, metric(master, "rlog_member_lag_messages{member=\"s2\"}") == 0);
    cr_assert_eq(metric(master, "rlog_member_lag_seconds{member=\"s2\"}"), 0);
    cr_assert_geq(metric(master, "rlog_member_ack_seconds_sum{member=\"s2\"}"), 0.5);
    node_kill(s1);
    node_kill(s2);
    eventually(SOON, metric(master, "rlog_member_link_failures_total{member=\"s1\"}") > 2);
    eventually(SOON, metric(master, "rlog_members{state=\"unhealthy\"}") == 2);
    cr_assert_eq(metric(master, "rlog_members{state=\"healthy\"}"), 0);
    cr_assert_eq(metric(master, "rlog_member_state{member=\"s1\"}"), 2);
    cr_assert_eq(metric(master, "rlog_read_only"), 1);
    expect_status(post(master, "", "no"), 503);
    cr_assert_eq(metric(master, "rlog_refusals_total{reason=\"read_only\"}"), 1);
    cr_assert_eq(metric(master, POSTS "\"503\"}"), 1);
}

SCENARIO(cluster_metrics, a_member_that_keeps_up_has_no_lag_to_speak_of_under_load)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    member_start(master, "slow", "--secondary-delays 0.3");
    double most = 0;
    for (int i = 0; i < 40; i++) {
        expect_status(post(master, "?w=1", "x"), 201);
        nap_ms(40);
        double lag = metric(master, "rlog_member_lag_seconds{member=\"slow\"}");
        most = lag > most ? lag : most;
    }
    cr_assert(most > 0.2 && most * 1000 < late(1000), "%f", most);
}

SCENARIO(cluster_metrics, a_secondary_tells_what_it_has_and_of_its_master)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "--secondary-delays 1");
    cr_assert_eq(metric(s1, "rlog_registered"), 1);
    cr_assert_eq(metric(s1, "rlog_caught_up"), 1);
    struct call *call = post_begin(master, "", "a");
    eventually(SOON, metric(s1, "rlog_stored_id") == 1);
    cr_assert_eq(metric(s1, "rlog_last_id"), 0);
    expect_stored(call_end(call), 201, 1, 2, 2);
    cr_assert_eq(metric(s1, "rlog_last_id"), 1);
    cr_assert_geq(metric(s1, "rlog_http_responses_total{method=\"POST\",path=\"/replicate\",code=\"200\"}"),
                  2);
    cr_assert_lt(metric(s1, "rlog_master_last_heard_seconds"), 2.5);
    node_kill(master);
    eventually(SOON, metric(s1, "rlog_registered") == 0);
    cr_assert_eq(metric(s1, "rlog_refused"), 0);
    eventually(SOON, metric(s1, "rlog_master_last_heard_seconds") > 2.5);
    cr_assert_eq(metric(s1, "rlog_posts_waiting"), -1, "that is a master's");
}

SCENARIO(cluster_metrics, connections_and_refusals_are_counted)
{
    struct node *master = master_start("--max-connections 8 --cluster-token 0123456789abcdef");
    double before = metric(master, "rlog_http_connections_total");
    cr_assert_eq(metric(master, "rlog_http_open_connections_limit"), 8);
    eventually(SOON, metric(master, "rlog_http_open_connections") == 1);
    int evil = raw_open(master->port);
    raw_text(evil, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    expect_status(raw_reply(evil, false, HTTP_LIMIT_MS), 421);
    close(evil);
    http_request(master->port, "POST", "/messages", "Origin: http://evil.example\r\n", "x", 1, HTTP_LIMIT_MS);
    http_request(master->port, "POST", "/messages", "Content-Encoding: gzip\r\n", "x", 1, HTTP_LIMIT_MS);
    expect_status(register_by_hand(master, "{}"), 401);
    expect_status(http_get(master->port, "/no where"), 400);
    static const char *const reasons[] = {"host", "site", "type", "token", "request"};
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "rlog_refusals_total{reason=\"%s\"}", reasons[i]);
        cr_expect_eq(metric(master, name), 1, "%s", name);
    }
    cr_assert_eq(metric(master, POSTS "\"415\"}"), 1);
    cr_assert_eq(metric(master, "rlog_http_responses_total{method=\"other\",path=\"other\",code=\"400\"}"),
                 1);
    int kept[16];
    for (int i = 0; i < 5; i++)
        kept[i] = raw_open(master->port);
    eventually(SOON, metric(master, "rlog_http_open_connections") == 6);
    for (int i = 5; i < 16; i++)
        kept[i] = raw_open(master->port);
    expect_status(http_get(master->port, "/messages"), 503);
    for (int i = 0; i < 16; i++)
        close(kept[i]);
    eventually(SOON, http_get(master->port, "/messages").status == 200);
    eventually(SOON, metric(master, "rlog_http_open_connections") == 1);
    cr_assert_geq(metric(master, "rlog_refusals_total{reason=\"connections\"}"), 1);
    cr_assert_geq(metric(master, "rlog_http_connections_total"), before + 16 + 10);
}

SCENARIO(cluster_metrics, a_list_that_is_full_is_told_before_and_after)
{
    struct node *master = master_start("--max-log 20");
    expect_status(post(master, "", "0123456789"), 201);
    cr_assert_eq(metric(master, "rlog_list_bytes"), 13);
    cr_assert_eq(metric(master, "rlog_list_limit_bytes"), 20);
    expect_status(post(master, "", "0123456789"), 507);
    cr_assert_eq(metric(master, "rlog_refusals_total{reason=\"list_full\"}"), 1);
    cr_assert_eq(metric(master, POSTS "\"507\"}"), 1);
}

SCENARIO(cluster_metrics, a_thousand_members_are_told_in_good_time)
{
    struct node *master = master_start("");
    uint16_t port;
    int fd = port_reserve(&port);
    for (int i = 0; i < 1000; i++) {
        struct reply reply =
            register_by_hand(master, "{\"id\":\"secondary-%d\",\"url\":\"http://127.0.0.1:%u\"}", i, port);
        expect_status(reply, 200);
        http_free(&reply);
    }
    struct reply reply = http_get(master->port, "/metrics");
    expect_status(reply, 200);
    fprintf(stderr, "1000 members: %zu bytes in %d ms\n", reply.body_len, reply.ms);
    cr_assert_lt(reply.body_len, 1500 * 1000);
    cr_assert_eq(sample_in(reply.body, "rlog_member_last_seen_seconds{member=\"none\"}"), -1);
    cr_assert_eq(sample_in(reply.body, "rlog_member_ack_seconds_count{member=\"secondary-999\"}"), 0);
    cr_assert_geq(sample_in(reply.body, "rlog_member_last_seen_seconds{member=\"secondary-999\"}"), 0);
    close(fd);
}
