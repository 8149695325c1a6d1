/* Who is a member, under which name, and who may say so. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

SCENARIO(cluster_members, who_registers_twice_is_one_member)
{
    struct node *master = master_start("--log-level debug");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    for (int i = 0; i < 4; i++)
        expect_status(fake_register(fake, master, "f1"), 200);
    cr_assert_eq(members(master), 1);
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    expect_stored(post(master, "?w=3&timeout=0.3", "b"), 202, 2, 3, 2);
    cr_assert_str_eq(fake_list(fake), "{\"messages\":[\"a\",\"b\"]}");
    expect_logged(master, "registered f1 at", 5);
    expect_logged(master, "again: it holds", 4);
}

SCENARIO(cluster_members, a_known_name_replaces_its_earlier_self)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *old = member_start(master, "s1", "");
    post_numbered(master, "", 1, 5);
    node_kill(old);
    struct node *young = secondary_start(master, "--secondary-id s1");
    eventually(SOON, shows_numbered(young, 5));
    cr_assert_eq(members(master), 1);
    expect_stored(post(master, "", "m6"), 201, 6, 2, 2);
    cr_assert(shows_numbered(young, 6));
    struct reply health = http_get(master->port, "/health");
    cr_assert_str_eq(json_text_of(health.body, "url"), young->url);
}

SCENARIO(cluster_members, a_replaced_self_that_hung_is_left_alone)
{
    struct node *master = master_start("");
    struct fake *hung = fake_open(FAKE_DEAF);
    struct fake *young = fake_open(FAKE_GOOD);
    expect_status(fake_register(hung, master, "f1"), 200);
    struct call *call = post_begin(master, "?w=2", "a");
    always(200, !call_done(call));
    expect_status(fake_register(young, master, "f1"), 200);
    expect_stored(call_end(call), 201, 1, 2, 2);
    cr_assert_eq(fake_last_id(hung), 0);
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_members, a_member_that_is_removed_is_waited_for_no_longer)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_GOOD);
    member_start(master, "s1", "");
    fake_join(fake, master, "f1");
    fake_mode(fake, FAKE_DEAF);
    expect_stored(post(master, "?timeout=0.2", "a"), 202, 1, 3, 2);
    struct call *call = post_begin(master, "", "b");
    always(100, !call_done(call));
    cr_assert_eq(remove_member(master, "f1"), 204);
    expect_stored(call_end(call), 201, 2, 2, 2);
    cr_assert_eq(members(master), 1);
    cr_assert_eq(remove_member(master, "f1"), 404);
    expect_stored(post(master, "", "c"), 201, 3, 2, 2);
    expect_logged(master, "removed f1; 1 member now", 1);
}

SCENARIO(cluster_members, a_removed_member_that_lives_is_left_in_peace_until_it_registers)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_status(post(master, "", "a"), 201);
    cr_assert_eq(remove_member(master, "f1"), 204);
    expect_stored(post(master, "", "b"), 201, 2, 1, 1);
    cr_assert_eq(fake_last_id(fake), 1);
    fake_join(fake, master, "f1");
    eventually(SOON, member_number(master, "f1", "acked") == 2);
    cr_assert_eq(fake_last_id(fake), 2);
    expect_stored(post(master, "", "c"), 201, 3, 2, 2);
}

SCENARIO(cluster_members, a_secondary_sees_that_it_was_removed_and_registers_again)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct node *s1 = member_start(master, "s1", "");
    cr_assert_eq(remove_member(master, "s1"), 204);
    expect_member(master, "s1");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    cr_assert(shows(s1, "a"));
}

SCENARIO(cluster_members, a_removed_member_that_registers_again_leaves_the_others_alone)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    member_start(master, "s1", "");
    member_start(master, "s2", "");
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    cr_assert_eq(remove_member(master, "s2"), 204);
    expect_member(master, "s2");
    struct reply reply = post(master, "?w=3", "b");
    expect_stored(reply, 201, 2, 3, 3);
    expect_at_once(reply);
    expect_logged(master, "answered 2 with 201", 1);
    expect_logged(master, "connected to s1,", 1);
}

SCENARIO(cluster_members, names_with_strange_signs_work_in_paths)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "a+b;c=d&e~!$*(),:@[]{}<>|^`", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    cr_assert_eq(node_stop(s1).code, 0);
    cr_assert_eq(members(master), 0);
    struct node *s2 = member_start(master, "a+b;c", "");
    cr_assert_eq(remove_member(master, "a%2bb;c"), 204);
    cr_assert(shows(s2, "a"));
}

SCENARIO(cluster_members, without_a_name_a_secondary_is_called_after_its_address)
{
    struct node *master = master_start("");
    struct node *s1 = secondary_start(master, "");
    expect_member(master, s1->authority);
    struct node *s2 = secondary_start(master, "--advertise-url http://localhost:1");
    eventually(SOON, members(master) == 2);
    cr_assert_not_null(strstr(http_get(master->port, "/health").body,
                              "{\"id\":\"localhost:1\",\"url\":\"http://localhost:1\""));
    cr_assert(registered(s2));
}

SCENARIO(cluster_members, a_secondary_that_changed_its_port_is_found_where_it_is)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    struct relay *relay = relay_open(s1->port);
    expect_status(post(master, "", "a"), 201);
    node_kill(s1);
    node_words(s1, "--master-url %s --secondary-id s1 --advertise-url %s", master->url, relay_url(relay));
    node_restart(s1);
    expect_member(master, "s1");
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    cr_assert(relay_connections(relay) >= 1 && shows(s1, "a b"));
}

SCENARIO(cluster_members, two_that_replace_each_other_are_told_apart_by_a_warning)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    struct node *twin = secondary_start(master, "--secondary-id s1");
    char line[160];
    snprintf(line, sizeof line, "WARN  master registered s1 at %s in place of the one at %s: ", twin->url,
             s1->url);
    eventually(SOON, node_logged(master, line));
    eventually(SOON, node_logged(master, "; if both of them run, give each its own SECONDARY_ID"));
    cr_assert_eq(members(master), 1);
}

/* Its ACKs counted for both names. */
SCENARIO(cluster_members, a_program_at_a_dead_members_address_is_not_taken_for_it)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *node = member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    node_kill(node);
    node_words(node, "--master-url %s --secondary-id s2", master->url);
    node_restart(node);
    expect_member(master, "s2");
    cr_assert_eq(members(master), 2);
    expect_stored(post(master, "?w=2", "b"), 201, 2, 2, 2);
    struct call *call = post_begin(master, "", "c");
    eventually(SOON, shows(node, "a b c"));
    eventually(SOON, member_is(master, "s1", "unhealthy"));
    expect_stored(http_get(master->port, "/messages/3?w=3&timeout=2"), 202, 3, 3, 2);
    eventually(SOON, node_told(master, "WARN", "s1: "));
    expect_logged(master, "another program answers at this address", 1);
    cr_assert_not(call_done(call));
    cr_assert_eq(member_number(master, "s1", "acked"), 1);
    cr_assert_eq(remove_member(master, "s1"), 204);
    expect_stored(call_end(call), 201, 3, 2, 2);
}

SCENARIO(cluster_members, a_secondary_that_is_removed_while_its_address_is_anothers_registers_again)
{
    struct node *master = master_start("--heartbeat-interval 0.8");
    struct node *node = member_start(master, "s1", "");
    node_kill(node);
    node_words(node, "--master-url %s --secondary-id s2", master->url);
    node_restart(node);
    expect_member(master, "s2");
    eventually(SOON, node_logged(master, "s1: it answered 409"));
    cr_assert_eq(remove_member(master, "s2"), 204);
    expect_member(master, "s2"); /* what comes for s1 is no sign of life for it */
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
}

SCENARIO(cluster_members, a_request_for_another_process_is_409)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    static const char field[] = "Boot: " NO_BOOT "\r\n";
    char body[256];
    snprintf(body, sizeof body,
             "{\"log\":\"%s\",\"epoch\":1,\"first\":1,\"digest\":\"%s\",\"messages\":[\"x\"]}",
             log_name(master), list_digest(master));
    struct reply reply = http_request(s1->port, "POST", "/replicate", field, "", 0, SOON);
    expect_status(reply, 409);
    cr_assert_eq(json_number_of(reply.body, "last_id"), 0);
    expect_status(http_request(s1->port, "POST", "/replicate", field, body, strlen(body), SOON), 409);
    cr_assert(shows(s1, ""));
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
}

/* ---- registration by hand */

SCENARIO(cluster_members, a_registration_may_leave_out_its_url_and_name_its_port)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    char body[128];
    snprintf(body, sizeof body, "{\"port\":%u}", fake_port(fake));
    expect_status(http_post_json(master->port, "/register", body), 200);
    eventually(SOON, members_met(master) == 1);
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    snprintf(body, sizeof body, "{\"id\":\"127.0.0.1:%u\",\"url\":\"http://127.0.0.1:%u/\",\"extra\":[1]}",
             fake_port(fake), fake_port(fake));
    expect_status(http_post_json(master->port, "/register", body), 200);
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_members, a_bad_registration_is_400_and_makes_no_member)
{
    struct node *master = master_start("");
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"id\":\"a\"}",
        "{\"id\":\"a\",\"url\":\"\"}",
        "{\"id\":\"a\",\"url\":\"ftp://a:1\"}",
        "{\"id\":\"a\",\"url\":\"http://a:1/path\"}",
        "{\"id\":\"a\",\"url\":7}",
        "{\"id\":\"a\",\"port\":0}",
        "{\"id\":\"a\",\"port\":65536}",
        "{\"id\":\"a\",\"port\":\"1\"}",
        "{\"id\":7,\"url\":\"http://127.0.0.1:1\"}",
        "{\"id\":\"a b\",\"url\":\"http://127.0.0.1:1\"}",
        "{\"id\":\"a\\\"b\",\"url\":\"http://127.0.0.1:1\"}",
        "{\"id\":\"\\u0000\",\"url\":\"http://127.0.0.1:1\"}",
        "{\"id\":\"\xc3\xa9\",\"url\":\"http://127.0.0.1:1\"}",
        "{\"id\":\"a\",\"url\":\"http://127.0.0.1:1\",\"last_id\":-1}",
        "{\"id\":\"a\",\"url\":\"http://127.0.0.1:1\",\"last_id\":1}",
        "{\"id\":\"a\",\"url\":\"http://127.0.0.1:1\"} x",
        "{\"id\":\"a\",\"url\":\"http://127.0.0.1:1\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct reply reply = http_post_json(master->port, "/register", bad[i]);
        cr_assert_eq(reply.status, 400, "%s: %d %s", bad[i], reply.status, reply.body);
        cr_assert_eq(strncmp(reply.body, "{\"error\":\"", 10), 0, "%s", reply.body);
    }
    cr_assert_eq(members(master), 0);
}

/* ---- CLUSTER_TOKEN */

static struct reply with_token(const struct node *node, const char *method, const char *target,
                               const char *body, const char *authorization)
{
    char fields[256];
    snprintf(fields, sizeof fields, "%s%s%s", authorization ? "Authorization: " : "",
             authorization ? authorization : "", authorization ? "\r\n" : "");
    return http_request(node->port, method, target, fields, body, strlen(body), SOON);
}

static const char *const wrong_tokens[] = {NULL,           "Bearer",         "Bearer ",
                                           "Bearer secre", "Bearer secretx", "Bearer SECRET",
                                           "secret",       "Basic secret",   "Bearer secret secret",
                                           "Bearerrsecret"};

static void expect_guarded(const struct node *node, const char *method, const char *target, const char *body)
{
    for (size_t i = 0; i < sizeof wrong_tokens / sizeof *wrong_tokens; i++) {
        struct reply reply = with_token(node, method, target, body, wrong_tokens[i]);
        cr_assert_eq(reply.status, 401, "%s %s with %s: %d", method, target,
                     wrong_tokens[i] ? wrong_tokens[i] : "nothing", reply.status);
        cr_assert_eq(strncmp(reply.body, "{\"error\":\"", 10), 0);
        cr_assert_not_null(http_field(&reply, "WWW-Authenticate"));
    }
}

SCENARIO(cluster_members, a_cluster_with_a_token_works_and_others_are_401)
{
    struct node *master = master_start("CLUSTER_TOKEN=secret");
    struct node *s1 = member_start(master, "s1", "--cluster-token secret");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    static const char x[] = "{\"id\":\"x\",\"url\":\"http://127.0.0.1:9\"}";
    expect_guarded(master, "POST", "/register", x);
    expect_guarded(master, "DELETE", "/secondaries/s1", "");
    expect_guarded(s1, "POST", "/replicate", "");
    expect_guarded(s1, "POST", "/replicate", "{\"log\":\"L\",\"first\":1,\"messages\":[\"x\"]}");
    cr_assert_eq(members(master), 1);
    cr_assert(shows(s1, "a") && shows(master, "a"));
    expect_status(with_token(s1, "POST", "/replicate", "", "Bearer secret"), 200);
    expect_status(with_token(master, "POST", "/register", x, "bearer secret"), 200);
    expect_status(with_token(master, "DELETE", "/secondaries/x", "", "Bearer secret"), 204);
    cr_assert_eq(node_stop(s1).code, 0); /* whose goodbye carries the token */
    cr_assert_eq(members(master), 0);
}

SCENARIO(cluster_members, a_restarted_master_takes_over_with_its_token)
{
    struct node *master = master_start("--heartbeat-interval 0.2 CLUSTER_TOKEN=secret");
    member_start(master, "s1", "--cluster-token secret");
    post_numbered(master, "", 1, 5);
    node_kill(master);
    node_restart(master);
    eventually(SOON, shows_numbered(master, 5));
    expect_member(master, "s1");
    expect_stored(post(master, "", "m6"), 201, 6, 2, 2);
}

SCENARIO(cluster_members, a_secondary_with_another_token_stays_outside_and_says_why)
{
    struct node *master = master_start("CLUSTER_TOKEN=secret");
    struct node *s1 = secondary_start(master, "--cluster-token other");
    struct node *s2 = secondary_start(master, "");
    eventually(SOON, node_told(s1, "the master answered 401 to the registration",
                               "CLUSTER_TOKEN must be the same on all nodes"));
    eventually(SOON, node_told(s2, "the master answered 401 to the registration",
                               "CLUSTER_TOKEN must be the same on all nodes"));
    cr_assert(!registered(s1) && !registered(s2));
    cr_assert_eq(members(master), 0);
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
}

SCENARIO(cluster_members, a_token_is_in_no_log_line)
{
    struct node *master = master_start("--cluster-token sesame --log-level debug");
    struct node *s1 = member_start(master, "s1", "--cluster-token sesame --log-level debug");
    expect_status(post(master, "", "a"), 201);
    expect_status(with_token(master, "DELETE", "/secondaries/x", "", "Bearer sesam"), 401);
    cr_assert_eq(node_stop(s1).code, 0);
    cr_assert_eq(node_stop(master).code, 0);
    cr_assert_eq(node_logged(master, "sesam") + node_logged(s1, "sesam"), 0);
    cr_assert(node_logged(master, "CLUSTER_TOKEN=set") == 1);
}
