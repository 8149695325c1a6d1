/* Whoever is no node and no friend: pages of other sites, callers without the token, and clients that take
 * more than their share. */
#include "cluster.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The status of a request with a Host of its own, which lives for the one request. */
static int status_of(uint16_t port, const char *method, const char *target, const char *host,
                     const char *fields, const char *body)
{
    int fd = raw_open(port);
    raw_text(fd, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n%s\r\n%s", method, target, host,
             strlen(body), fields, body);
    struct reply reply = raw_reply(fd, false, SOON);
    close(fd);
    return reply.status;
}

/* ---- by which name */

SCENARIO(cluster_strangers, a_name_that_is_not_the_node_s_own_gets_nothing)
{
    struct node *master = master_start("--allowed-hosts log.example,b.example");
    static const char *const targets[] = {"/messages", "/", "/health", "/nowhere"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        cr_expect_eq(status_of(master->port, "GET", targets[i], "evil.example", "", ""), 421, "%s",
                     targets[i]);
    cr_expect_eq(status_of(master->port, "POST", "/messages", "evil.example:80", "", "a"), 421);
    cr_expect_eq(status_of(master->port, "GET", "/messages", "log.example:5000", "", ""), 200);
    cr_expect_eq(status_of(master->port, "GET", "/messages", "B.Example", "", ""), 200);
    cr_expect_eq(status_of(master->port, "GET", "/messages", "localhost", "", ""), 200);
    cr_expect_eq(status_of(master->port, "GET", "/messages", "master:5000", "", ""), 200);
    cr_expect(shows(master, ""));
}

SCENARIO(cluster_strangers, a_secondary_goes_by_the_names_in_its_urls)
{
    struct node *secondary =
        node_start("secondary", "--master-url http://m.example:1 --advertise-url http://s.example:2");
    cr_expect_eq(status_of(secondary->port, "GET", "/messages", "s.example:2", "", ""), 200);
    cr_expect_eq(status_of(secondary->port, "GET", "/messages", "m.example", "", ""), 200);
    cr_expect_eq(status_of(secondary->port, "GET", "/messages", "t.example", "", ""), 421);
}

/* ---- web pages */

SCENARIO(cluster_strangers, a_page_of_another_site_appends_and_registers_nothing)
{
    struct node *master = master_start("");
    static const char page[] = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n"
                               "Content-Type: text/plain\r\n";
    static const char json[] = "{\"url\":\"http://127.0.0.1:1\"}";
    cr_expect_eq(status_of(master->port, "POST", "/messages?w=1", "127.0.0.1", page, "a"), 403);
    cr_expect_eq(status_of(master->port, "POST", "/register", "127.0.0.1", page, json), 403);
    cr_expect_eq(status_of(master->port, "DELETE", "/secondaries/s1", "127.0.0.1", page, ""), 403);
    cr_expect_eq(status_of(master->port, "GET", "/messages", "127.0.0.1", page, ""), 200);
    cr_expect_eq(members(master), 0);
    cr_expect(shows(master, ""));
    char own[64];
    snprintf(own, sizeof own, "Origin: http://%s\r\n", master->authority);
    cr_expect_eq(status_of(master->port, "POST", "/messages?w=1", master->authority, own, "a"), 201);
    eventually(SOON, node_told(master, "WARN", "is refused with 403") == 1);
}

SCENARIO(cluster_strangers, calls_between_nodes_are_json)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    static const char plain[] = "Content-Type: text/plain\r\n";
    cr_expect_eq(status_of(master->port, "POST", "/register", "a", plain, "{\"url\":\"http://127.0.0.1:1\"}"),
                 415);
    cr_expect_eq(status_of(s1->port, "POST", "/replicate", "a", plain, "{}"), 415);
    cr_expect_eq(members(master), 1);
}

/* ---- before the body */

/* The status of a request whose body does not come. */
static int status_at_head(const struct node *node, const char *method, const char *target, const char *fields)
{
    int fd = raw_open(node->port);
    raw_text(fd, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n%s\r\nsome", method, target,
             fields);
    struct reply reply = raw_reply(fd, false, 5000);
    const char *connection = http_field(&reply, "Connection");
    cr_expect(connection && strcmp(connection, "close") == 0, "%s %s", method, target);
    close(fd);
    return reply.status;
}

SCENARIO(cluster_strangers, what_the_head_decides_is_answered_before_the_body)
{
    struct node *master = master_start("--cluster-token secret-of-the-cluster");
    struct node *s1 = member_start(master, "s1", "--cluster-token secret-of-the-cluster");
    cr_expect_eq(status_at_head(s1, "POST", "/replicate", ""), 401);
    cr_expect_eq(status_at_head(s1, "POST", "/replicate", "Authorization: Bearer guess\r\n"), 401);
    cr_expect_eq(status_at_head(master, "POST", "/register", ""), 401);
    cr_expect_eq(status_at_head(s1, "POST", "/messages", ""), 405);
    cr_expect_eq(status_at_head(s1, "POST", "/", ""), 405);
    cr_expect_eq(status_at_head(master, "POST", "/message", ""), 404);
    cr_expect_eq(status_at_head(master, "POST", "/messages", "Content-Type: multipart/form-data\r\n"), 415);
    cr_expect_eq(status_at_head(master, "POST", "/messages", "Content-Encoding: gzip\r\n"), 415);
    struct reply reply = http_post(s1->port, "/messages", "a", 1);
    cr_expect(reply.status == 405 && strstr(reply.body, master->url), "%s", reply.body);
}

SCENARIO(cluster_strangers, wrong_tokens_are_counted_and_logged_once_a_second)
{
    struct node *master = master_start("--cluster-token secret-of-the-cluster");
    for (int i = 0; i < 50; i++)
        cr_assert_eq(status_of(master->port, "DELETE", "/secondaries/x", "a", "", ""), 401);
    eventually(SOON, node_told(master, "WARN", "the token is wrong or missing") >= 1);
    nap_ms(1100);
    cr_assert_eq(status_of(master->port, "DELETE", "/secondaries/x", "a", "", ""), 401);
    eventually(SOON, node_logged(master, "more since the last line"));
    cr_expect(node_told(master, "WARN", "is refused with 401") <= 4 + late(0) / 1000);
}

SCENARIO(cluster_strangers, a_flood_of_wrong_tokens_hides_no_page_of_another_site)
{
    struct node *master = master_start("--cluster-token secret-of-the-cluster --log-format json");
    char path[301];
    memset(path, 'a', sizeof path - 1);
    memcpy(path, "/secondaries/", 13);
    path[sizeof path - 1] = '\0';
    for (int i = 0; i < 50; i++)
        cr_assert_eq(status_of(master->port, "DELETE", path, "a", "", ""), 401);
    cr_assert_eq(status_of(master->port, "POST", "/?b", "a", "Origin: http://evil.example\r\n", "x"), 403);
    eventually(SOON, node_logged(master, "\"path\":\"/?b\",\"status\":403") == 1);
    path[100] = '\0';
    char field[128];
    snprintf(field, sizeof field, "\"path\":\"%s\",", path);
    eventually(SOON, node_logged(master, field));
}

SCENARIO(cluster_strangers, a_host_in_the_target_goes_before_host)
{
    struct node *master = master_start("");
    cr_expect_eq(status_of(master->port, "GET", "http://evil.example/messages", "a", "", ""), 421);
    cr_expect_eq(status_of(master->port, "GET", "http://a/messages", "evil.example", "", ""), 200);
}

/* ---- settings that let strangers in */

/* What a master says of such settings before it ends, since its port is taken. */
static const char *says(const struct node *running, const char *words)
{
    static char out[16384];
    char all[256];
    snprintf(all, sizeof all, "%s --port %u", words, running->port);
    cr_assert_eq(program_run("master", all, out, sizeof out), 1);
    return out;
}

SCENARIO(cluster_strangers, settings_that_let_strangers_in_are_warned_of)
{
    static const char open_to_all[] =
        "whoever reaches 0.0.0.0 can join as a node: set CLUSTER_TOKEN on all nodes";
    static const char short_token[] =
        "CLUSTER_TOKEN is short, and may be guessed: take 16 characters or more";
    struct node *master = master_start("");
    cr_expect(strstr(says(master, "HOST=0.0.0.0"), open_to_all));
    cr_expect(!strstr(says(master, "HOST=0.0.0.0 --cluster-token secret-of-the-cluster"), "WARN"));
    cr_expect(strstr(says(master, "--cluster-token x"), short_token));
    cr_expect_eq(node_told(master, "WARN", ""), 0);
}

/* ---- shares */

enum { PIPELINED = 1000, GREEDY = 12 };

static const char waiting_post[] = "POST /messages?w=65535 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";

/* Connections that pipeline POSTs which wait for nobody they could get. */
static void be_greedy(const struct node *master, int fds[GREEDY])
{
    char *all = malloc(sizeof waiting_post * PIPELINED);
    size_t len = 0;
    for (int i = 0; i < PIPELINED; i++)
        len += (size_t)sprintf(all + len, "%s", waiting_post);
    for (int i = 0; i < GREEDY; i++) {
        fds[i] = raw_open(master->port);
        cr_assert(raw_send(fds[i], all, len));
    }
    free(all);
}

SCENARIO(cluster_strangers, one_address_does_not_take_the_places_of_all)
{
    enum { PLACES = 100000 / 10 / 2 }; /* the other half is for the first of each connection */
    int fds[GREEDY];
    struct node *master = master_start("");
    member_start(master, "s1", "");
    be_greedy(master, fds);
    eventually(SOON, last_id(master) >= PLACES);
    always(200, last_id(master) <= PLACES + GREEDY);
    /* the only request of a connection has its place */
    for (int i = 0; i < 3; i++)
        expect_status(post(master, "", "honest"), 201);
    int fd = raw_open(master->port);
    raw_text(fd, "POST /messages?timeout=20 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"
                 "POST /messages?w=9 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb");
    expect_status(raw_reply(fd, false, SOON), 201);
    long long before = last_id(master);
    int other = raw_open_from("127.0.61.2", master->port);
    cr_assert(raw_text(other, "%s%s", waiting_post, waiting_post));
    eventually(SOON, last_id(master) == before + 2);
    for (int i = 0; i < GREEDY; i++)
        close(fds[i]);
    close(fd);
    close(other);
    expect_status(post(master, "", "honest"), 201);
}

/* Fills the places for clients with connections that stay. */
static void fill(const struct node *node, int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        fds[i] = raw_open(node->port);
        raw_text(fds[i], "GET /messages HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_assert_eq(raw_reply(fds[i], false, SOON).status, 200);
    }
}

SCENARIO(cluster_strangers, where_clients_have_all_connections_nodes_find_room)
{
    enum { PLACES = 4 };
    int at_master[PLACES], at_secondary[PLACES];
    struct node *master = master_start("--max-connections %d", PLACES);
    struct node *s1 = node_start(
        "secondary", "--max-connections %d --secondary-id s1 --master-url http://127.0.0.1:1", PLACES);
    fill(master, at_master, PLACES);
    fill(s1, at_secondary, PLACES);
    cr_expect_eq(http_get(master->port, "/messages").status, 503);
    cr_expect_eq(http_get(s1->port, "/messages").status, 503);
    struct node *s2 = secondary_start(master, "--secondary-id s2");
    expect_status(register_by_hand(master, "{\"id\":\"s1\",\"url\":\"%s\"}", s1->url), 200);
    expect_logged(master, "connected to s1", 1);
    expect_logged(master, "connected to s2", 1);
    raw_text(at_master[0], "POST /messages?w=3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na");
    expect_status(raw_reply(at_master[0], false, SOON), 201);
    expect_end(node_stop(s2));
    expect_logged(master, "removed s2", 1); /* its goodbye found room, too */
    for (int i = 0; i < PLACES; i++) {
        close(at_master[i]);
        close(at_secondary[i]);
    }
    eventually(SOON, http_get(master->port, "/messages").status == 200);
}

SCENARIO(cluster_strangers, who_is_no_node_keeps_no_place_in_the_room_for_nodes)
{
    enum { PLACES = 2, STRANGERS = 64 };
    int clients[PLACES], strangers[STRANGERS];
    struct node *master = master_start("--max-connections %d", PLACES);
    fill(master, clients, PLACES);
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = raw_open(master->port);
        raw_text(strangers[i], "POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                               "Content-Length: 2\r\n\r\n{}");
        expect_status(raw_reply(strangers[i], false, SOON), 400);
    }
    secondary_start(master, "--secondary-id s1");
    expect_logged(master, "connected to s1", 1);
    for (int i = 0; i < STRANGERS; i++)
        cr_expect(raw_closed(strangers[i], 5000)); /* behind a 503 */
    for (int i = 0; i < PLACES; i++)
        close(clients[i]);
    for (int i = 0; i < STRANGERS; i++)
        close(strangers[i]);
}

/* ---- the terminal is closed */

SCENARIO(cluster_strangers, a_hangup_stops_a_node_as_a_stop_does)
{
    signal(SIGHUP, SIG_DFL); /* whatever the tests were started with */
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    expect_end(node_signal(s1, SIGHUP));
    expect_logged(s1, "stopping: SIGHUP", 1);
    expect_logged(master, "removed s1", 1);
    expect_end(node_signal(master, SIGHUP));
}

SCENARIO(cluster_strangers, help_is_told_by_a_short_flag_too)
{
    char out[16384];
    cr_assert_eq(program_run("master", "-h", out, sizeof out), 0);
    cr_expect(strstr(out, "Usage: master") && strstr(out, "--max-log") && strstr(out, "--ready-check"));
    cr_assert_eq(program_run("secondary", "--version", out, sizeof out), 0);
    cr_expect(strstr(out, "replicated-log "));
}
