/* Whether a node can do its work, what it says where it cannot, and the first seconds: of a new cluster, and
 * of a master that comes back. */
#include "cluster.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = 5000 /* a master that is away for less is no warning */ };

static int ready(const struct node *node)
{
    return http_get(node->port, "/readyz").status;
}

static bool status_is(const struct node *node, const char *status)
{
    const char *told = json_text_of(http_get(node->port, "/health").body, "status");
    return told && strcmp(told, status) == 0;
}

static int exit_code_of_ready_check(const struct node *node)
{
    char words[80];
    char out[512];
    snprintf(words, sizeof words, "--ready-check --port %u", node->port);
    return program_run(node->program, words, out, sizeof out);
}

/* ---- readiness */

SCENARIO(cluster_ready, a_master_is_ready_when_it_has_met_its_nodes_and_its_first_post_blocks)
{
    struct node *master = master_start("--nodes 3");
    cr_assert_eq(ready(master), 503);
    cr_assert_eq(exit_code_of_ready_check(master), 1);
    struct node *s1 = member_start(master, "s1", "");
    cr_assert_eq(ready(s1), 200);
    cr_assert_eq(ready(master), 503);
    member_start(master, "s2", "--secondary-delays 0.5");
    eventually(SOON, ready(master) == 200);
    cr_assert_eq(exit_code_of_ready_check(master), 0);
    struct reply reply = post(master, "", "a");
    expect_stored(reply, 201, 1, 3, 3);
    cr_assert_geq(reply.ms, 500);
}

SCENARIO(cluster_ready, a_master_without_nodes_is_ready_at_once_and_stays_so)
{
    struct node *master = master_start("");
    cr_assert_eq(ready(master), 200);
    struct node *s1 = member_start(master, "s1", "");
    node_kill(s1);
    cr_assert_eq(ready(master), 200);
}

SCENARIO(cluster_ready, a_secondary_is_ready_when_it_has_once_caught_up_and_stays_so_without_its_master)
{
    struct node *master = master_start("");
    post_numbered(master, "?w=1", 1, 5);
    struct node *s1 = secondary_start(master, "--secondary-id s1 --secondary-delays 0.7");
    eventually(SOON, registered(s1));
    cr_assert_eq(ready(s1), 503);
    eventually(SOON, ready(s1) == 200);
    cr_assert(shows_numbered(s1, 5));
    node_kill(master);
    eventually(SOON, status_is(s1, "no_master"));
    cr_assert_eq(ready(s1), 200);
    cr_assert_eq(http_get(s1->port, "/livez").status, 200);
}

SCENARIO(cluster_ready, a_secondary_that_never_found_its_master_is_not_ready_and_says_why)
{
    struct node *s1 = node_start("secondary", "--secondary-id s1 --master-url http://127.0.0.1:9");
    eventually(SOON, node_logged(s1, "cannot register"));
    struct reply health = http_get(s1->port, "/health");
    cr_assert(status_is(s1, "no_master") && strstr(health.body, "\"reason\":\"cannot register"), "%s",
              health.body);
    struct reply reply = http_get(s1->port, "/readyz");
    expect_status(reply, 503);
    cr_assert_str_eq(json_text_of(reply.body, "status"), "unready");
    cr_assert_not_null(strstr(reply.body, "\"caught_up\":\"cannot register"), "%s", reply.body);
    cr_assert_str_eq(http_field(&reply, "Cache-Control"), "no-store");
    cr_assert_eq(exit_code_of_ready_check(s1), 1);
    struct reply alive = http_get(s1->port, "/livez");
    expect_status(alive, 200);
    cr_assert_str_eq(http_field(&alive, "Cache-Control"), "no-store");
}

SCENARIO(cluster_ready, a_refused_list_is_told_by_the_secondary_and_the_master)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "?w=2", "old"), 201, 1, 2, 2);
    node_freeze(s1);
    node_kill(master);
    node_restart(master);
    expect_stored(post(master, "?w=1", "new"), 201, 1, 1, 1);
    node_thaw(s1);
    eventually(SOON, status_is(s1, "refused"));
    struct reply health = http_get(s1->port, "/health");
    cr_assert_not_null(strstr(health.body, "its list belongs to another log"), "%s", health.body);
    cr_assert_eq(ready(s1), 503);
    health = http_get(master->port, "/health");
    cr_assert_not_null(
        strstr(health.body, "\"refused\":[{\"id\":\"s1\",\"reason\":\"its list belongs to another"), "%s",
        health.body);
    node_kill(s1);
    node_restart(s1);
    expect_member(master, "s1");
    cr_assert_eq(ready(s1), 200);
    health = http_get(master->port, "/health");
    cr_assert_not_null(strstr(health.body, "\"refused\":[]"), "%s", health.body);
}

SCENARIO(cluster_ready, a_member_whose_link_has_a_complaint_shows_it)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    struct reply health = http_get(master->port, "/health");
    cr_assert_null(strstr(health.body, "\"error\""), "%s", health.body);
    cr_assert_not_null(json_text_of(health.body, "version"));
    node_kill(s1);
    eventually(SOON, strstr(http_get(master->port, "/health").body, "\"error\":\"cannot connect"));
    node_restart(s1);
    eventually(SOON, !strstr(http_get(master->port, "/health").body, "\"error\""));
}

/* ---- who starts first */

SCENARIO(cluster_ready, a_secondary_that_is_quicker_than_its_master_is_no_warning)
{
    struct node *master = node_later("master", "");
    struct node *s1 = node_start("secondary", "--secondary-id s1 --master-url %s", master->url);
    eventually(SOON, node_told(s1, "INFO", "cannot register with the master"));
    node_restart(master);
    expect_member(master, "s1");
    cr_assert_eq(node_told(s1, "WARN", ""), 0);
}

SCENARIO(cluster_ready, a_master_that_is_away_for_some_seconds_is_one_warning)
{
    struct node *s1 = node_start("secondary", "--secondary-id s1 --master-url http://127.0.0.1:9");
    always(PATIENCE_MS - 500, node_told(s1, "WARN", "") == 0);
    cr_assert_eq(node_logged(s1, "cannot register with the master"), 1);
    eventually(SOON, node_told(s1, "WARN", "cannot register with the master") == 1);
    always(3000, node_told(s1, "WARN", "") == 1);
}

/* ---- a master that comes back while somebody posts */

/* Posts m1, m2, … one after the other, and remembers those that were answered 201. */
struct poster {
    const struct node *master;
    pthread_t thread;
    atomic_bool stop;
    int stored;
    long long ids[20000];
    int numbers[20000];
    _Atomic int64_t stored_ms; /* when the latest 201 came */
};

static void *poster_run(void *of)
{
    struct poster *poster = of;
    for (int number = 1; !atomic_load(&poster->stop); number++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", number);
        struct reply reply = http_post(poster->master->port, "/messages", text, strlen(text));
        if (reply.status == 201 && poster->stored < 20000) {
            poster->ids[poster->stored] = json_number_of(reply.body, "id");
            poster->numbers[poster->stored++] = number;
            atomic_store(&poster->stored_ms, now_ms());
        }
        http_free(&reply);
        nap_ms(1);
    }
    return NULL;
}

static struct poster *poster_start(const struct node *master)
{
    static struct poster poster;
    poster.master = master;
    cr_assert_eq(pthread_create(&poster.thread, NULL, poster_run, &poster), 0);
    eventually(SOON, atomic_load(&poster.stored_ms));
    return &poster;
}

/* Each 201 is where it said, on all nodes. */
static void expect_nothing_lost(struct poster *poster, const struct node *s1, const struct node *s2)
{
    atomic_store(&poster->stop, true);
    pthread_join(poster->thread, NULL);
    cr_assert(equal_lists(poster->master, s1, s2, NULL));
    for (int i = 0; i < poster->stored; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", poster->numbers[i]);
        struct reply reply = http_get(poster->master->port, "/messages/%lld", poster->ids[i]);
        cr_assert(reply.status == 200 && strcmp(json_text_of(reply.body, "message"), text) == 0, "%s: %s",
                  text, reply.body);
        http_free(&reply);
    }
}

/* Waits for the next 201; returns how long that takes from now. */
static int next_stored_ms(struct poster *poster)
{
    int64_t began_ms = now_ms();
    eventually(SOON, atomic_load(&poster->stored_ms) >= began_ms);
    return (int)(atomic_load(&poster->stored_ms) - began_ms);
}

/* Shorter than the three heartbeats of silence, which are 30 s. */
enum { WINDOW_MS = AT_ONCE_MS };

/* Kills the master again and again while somebody posts, and a secondary with it or not. */
static void expect_restarts_to_lose_nothing(bool secondary_too)
{
    struct node *master = master_start("--nodes 3 --heartbeat-interval 10");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    struct poster *poster = poster_start(master);
    for (int i = 0; i < 3; i++) {
        nap_ms(300);
        if (secondary_too)
            node_kill(s2);
        node_kill(master);
        node_restart(master);
        if (secondary_too)
            node_restart(s2);
        cr_assert_leq(next_stored_ms(poster), WINDOW_MS);
    }
    expect_nothing_lost(poster, s1, s2);
    cr_assert_eq(node_logged(master, "refused"), 0);
}

SCENARIO(cluster_ready,
         a_master_that_is_killed_and_restarted_while_somebody_posts_loses_nothing_and_appends_soon)
{
    expect_restarts_to_lose_nothing(false);
}

SCENARIO(cluster_ready, with_a_secondary_restarted_beside_it_a_master_loses_nothing_either)
{
    expect_restarts_to_lose_nothing(true);
}

SCENARIO(cluster_ready, a_master_that_is_stopped_and_started_again_is_no_warning_to_its_secondaries)
{
    struct node *master = master_start("--nodes 3");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "--secondary-delays 0.3");
    struct poster *poster = poster_start(master);
    expect_end(node_stop(master));
    nap_ms(700);
    node_restart(master);
    next_stored_ms(poster);
    expect_nothing_lost(poster, s1, s2);
    cr_assert_eq(node_told(s1, "WARN", ""), 0);
    cr_assert_eq(node_told(s2, "WARN", ""), 0);
    cr_assert_geq(node_logged(s1, "the master's connection has ended: registering again"), 1);
}
