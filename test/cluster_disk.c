/* DATA_DIR: nodes that are ended, in any order and by any signal, come back with what they held. */
#include "cluster.h"
#include "data.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A master and two secondaries with disks. */
struct cluster {
    struct node *master, *s1, *s2;
    const char *m_dir, *s1_dir, *s2_dir;
};

static struct cluster cluster_start(const char *words)
{
    struct cluster c = {.m_dir = data_dir("m"), .s1_dir = data_dir("s1"), .s2_dir = data_dir("s2")};
    c.master = master_start("--data-dir %s %s", c.m_dir, words);
    c.s1 = member_start(c.master, "s1", "--data-dir %s", c.s1_dir);
    c.s2 = member_start(c.master, "s2", "--data-dir %s", c.s2_dir);
    return c;
}

static void all_signal(struct cluster *c, int signal)
{
    struct node *nodes[] = {c->master, c->s1, c->s2};
    for (int i = 0; i < 3; i++)
        kill(nodes[i]->pid, signal);
    for (int i = 0; i < 3; i++) {
        struct ending ending = node_signal(nodes[i], signal);
        if (signal == SIGTERM)
            expect_end(ending);
    }
}

/* A POST that waits for nobody but the gate, which the members open. */
static void expect_next(const struct node *master, int number)
{
    char text[16];
    snprintf(text, sizeof text, "m%d", number);
    eventually(SOON, serves(master));
    struct reply reply = post(master, "?w=3", text);
    expect_status(reply, 201);
    cr_assert_eq(json_number_of(reply.body, "id"), number);
}

static void expect_all(struct cluster *c, int count)
{
    eventually(SOON, shows_numbered(c->master, count));
    eventually(SOON, shows_numbered(c->s1, count) && shows_numbered(c->s2, count));
    cr_assert_eq(node_logged(c->master, "refused s"), 0);
    cr_assert_eq(node_told(c->master, "ERROR", "") + node_told(c->s1, "ERROR", ""), 0);
}

/* ---- one, and all */

SCENARIO(cluster_disk, a_master_alone_comes_back_with_its_list_and_goes_on_in_the_next_epoch)
{
    struct node *master = master_start("--data-dir %s", data_dir("m"));
    eventually(SOON, serves(master));
    post_numbered(master, "", 1, 300);
    char *log = log_name(master);
    node_kill(master);
    node_restart(master);
    eventually(SOON, serves(master));
    cr_assert(shows_numbered(master, 300));
    cr_assert_str_eq(log_name(master), log);
    expect_stored(post(master, "", "m301"), 201, 301, 1, 1);
    expect_end(node_stop(master));
    node_restart(master);
    eventually(SOON, serves(master));
    cr_assert(shows_numbered(master, 301));
    expect_logged(master, "loaded 301 messages", 1);
    cr_assert_eq(node_told(master, "WARN", "dropped"), 0);
}

SCENARIO(cluster_disk, each_node_in_its_turn_comes_back_while_the_others_run)
{
    struct cluster c = cluster_start("");
    struct node *nodes[] = {c.master, c.s1, c.s2};
    int count = 0;
    for (int i = 0; i < 6; i++) {
        post_numbered(c.master, "?w=3", count + 1, count + 50);
        count += 50;
        node_signal(nodes[i % 3], i % 2 ? SIGKILL : SIGTERM);
        if (nodes[i % 3] != c.master)
            expect_stored(post(c.master, "?w=2", "m"), 201, ++count, 2, 2);
        node_restart(nodes[i % 3]);
        eventually(SOON, serves(c.master) && members_met(c.master) == 2);
        eventually(SOON, equal_lists(c.master, c.s1, c.s2, NULL) && last_id(c.master) == count);
    }
    cr_assert_eq(node_logged(c.master, "refused s"), 0);
}

static void expect_back_from(int signal, const int order[3])
{
    struct cluster c = cluster_start("--nodes 3");
    struct node *nodes[] = {c.master, c.s1, c.s2};
    post_numbered(c.master, "", 1, 100);
    all_signal(&c, signal);
    for (int i = 0; i < 3; i++)
        node_restart(nodes[order[i]]);
    expect_next(c.master, 101);
    expect_all(&c, 101);
}

SCENARIO(cluster_disk, all_of_them_come_back_from_sigkill_the_master_first)
{
    expect_back_from(SIGKILL, (const int[]){0, 1, 2});
}

SCENARIO(cluster_disk, all_of_them_come_back_from_sigkill_the_master_last)
{
    expect_back_from(SIGKILL, (const int[]){2, 1, 0});
}

SCENARIO(cluster_disk, all_of_them_come_back_from_sigterm_the_master_first)
{
    expect_back_from(SIGTERM, (const int[]){0, 2, 1});
}

SCENARIO(cluster_disk, all_of_them_come_back_from_sigterm_the_master_last)
{
    expect_back_from(SIGTERM, (const int[]){1, 2, 0});
}

SCENARIO(cluster_disk, the_master_takes_nobody_who_is_starting_for_a_fault)
{
    struct cluster c = cluster_start("");
    post_numbered(c.master, "", 1, 10);
    all_signal(&c, SIGKILL);
    int before = node_told(c.master, "WARN", "");
    node_restart(c.master);
    eventually(SOON, serves(c.master));
    node_restart(c.s1);
    node_restart(c.s2);
    expect_next(c.master, 11);
    expect_all(&c, 11);
    cr_assert_eq(node_told(c.master, "WARN", ""), before);
}

/* ---- at a random moment */

enum { POSTERS = 4, STORED_MAX = 20000, ROUNDS_MS = 6000 };

/* Posts texts that nobody else posts, one after the other, and remembers those that were answered 201. */
struct poster {
    uint16_t port;
    int number;
    const char *target;
    pthread_t thread;
    int stored;
    long long ids[STORED_MAX];
    int counts[STORED_MAX];
};

static struct poster posters[POSTERS];
static atomic_bool posters_stop;
static atomic_int stored_all;

static void *poster_run(void *of)
{
    struct poster *poster = of;
    for (int count = 1; !atomic_load(&posters_stop) && poster->stored < STORED_MAX; count++) {
        char text[32];
        snprintf(text, sizeof text, "p%d-%d", poster->number, count);
        struct reply reply = http_post(poster->port, poster->target, text, strlen(text));
        if (reply.status == 201) {
            poster->ids[poster->stored] = json_number_of(reply.body, "id");
            poster->counts[poster->stored++] = count;
            atomic_fetch_add(&stored_all, 1);
        } else {
            nap_ms(10);
        }
        http_free(&reply);
    }
    return NULL;
}

static void posters_begin(const struct node *master)
{
    static const char *const targets[] = {"/messages", "/messages?w=3"};
    for (int i = 0; i < POSTERS; i++) {
        posters[i].port = master->port;
        posters[i].number = i;
        posters[i].target = targets[i % 2];
        cr_assert_eq(pthread_create(&posters[i].thread, NULL, poster_run, &posters[i]), 0);
    }
}

/* Each 201 is where it said, and each text is there once. */
static void expect_posted(const struct node *master)
{
    struct reply list = http_get(master->port, "/messages");
    size_t seen_max = (size_t)last_id(master) + 1;
    char(*at)[32] = calloc(seen_max, sizeof *at);
    long long count = 0;
    char *rest;
    strtok_r(list.body, "[", &rest);
    for (char *text; (text = strtok_r(NULL, "\",]}", &rest)) && (size_t)count + 1 < seen_max;)
        snprintf(at[++count], sizeof *at, "%s", text);
    cr_assert_eq((size_t)count + 1, seen_max);
    for (int i = 0; i < POSTERS; i++) {
        int next = 0;
        for (int j = 0; j < posters[i].stored; j++) {
            char text[32];
            snprintf(text, sizeof text, "p%d-%d", i, posters[i].counts[j]);
            cr_assert((size_t)posters[i].ids[j] < seen_max, "%s was stored as %lld of %lld", text,
                      posters[i].ids[j], count);
            cr_assert_str_eq(at[posters[i].ids[j]], text);
        }
        for (long long id = 1; id <= count; id++) {
            int number, own;
            if (sscanf(at[id], "p%d-%d", &number, &own) == 2 && number == i) {
                cr_assert(own > next, "p%d-%d is there twice or late", i, own);
                next = own;
            }
        }
    }
    free(at);
}

SCENARIO(cluster_disk, killed_all_at_a_random_moment_they_have_all_that_was_acknowledged_once_and_in_order)
{
    struct cluster c = cluster_start("--nodes 3 --write-concern majority");
    struct node *nodes[] = {c.master, c.s1, c.s2};
    unsigned random = (unsigned)getpid() * 2654435761U;
    int64_t until_ms = now_ms() + ROUNDS_MS;
    fprintf(stderr, "random moments from %u\n", random);
    posters_begin(c.master);
    for (int round = 0; round < 3 || now_ms() < until_ms; round++) {
        int before = atomic_load(&stored_all);
        eventually(SOON, atomic_load(&stored_all) > before);
        random = random * 1103515245U + 12345U;
        nap_ms((int)(random >> 16) % 100);
        all_signal(&c, SIGKILL);
        for (int i = 0; i < 3; i++)
            node_restart(nodes[((int)(random >> 8) + i) % 3]);
    }
    atomic_store(&posters_stop, true);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    eventually(SOON, serves(c.master));
    expect_status(post(c.master, "?w=3", "end"), 201);
    eventually(SOON, equal_lists(c.master, c.s1, c.s2, NULL));
    expect_posted(c.master);
    cr_assert_eq(node_logged(c.master, "refused s"), 0);
    cr_assert_eq(node_told(c.master, "ERROR", "") + node_told(c.s1, "ERROR", ""), 0);
}

/* ---- the master alone */

SCENARIO(cluster_disk, a_master_that_is_killed_and_restarted_takes_nothing_over_and_loses_nothing)
{
    struct cluster c = cluster_start("");
    post_numbered(c.master, "?w=3", 1, 200);
    node_kill(c.master);
    node_restart(c.master);
    expect_next(c.master, 201);
    expect_all(&c, 201);
    cr_assert_eq(node_logged(c.master, "taking over"), 0);
    cr_assert_eq(node_told(c.master, "WARN", "this secondary follows another master"), 0);
}

/* Two nodes have acknowledged it, and the master's own disk did not have it yet. */
SCENARIO(cluster_disk, what_only_the_secondaries_had_on_disk_comes_back_to_the_master)
{
    struct cluster c = cluster_start("--nodes 3 --write-concern majority");
    post_numbered(c.master, "?w=3", 1, 5);
    post_numbered(c.master, "?w=3", 6, 6);
    all_signal(&c, SIGKILL);
    data_cut(data_last(c.m_dir), data_end(data_last(c.m_dir)) - 3);
    node_restart(c.master);
    node_restart(c.s1);
    node_restart(c.s2);
    expect_next(c.master, 7);
    expect_all(&c, 7);
    expect_logged(c.master, "bytes of an append that was not finished, behind message 5", 1);
}

/* Nobody has registered yet: the members of the meta file are waited for. */
SCENARIO(cluster_disk, a_post_that_is_quicker_than_the_secondaries_does_not_take_their_message_s_place)
{
    struct cluster c = cluster_start("--write-concern 2");
    post_numbered(c.master, "?w=3", 1, 6);
    all_signal(&c, SIGKILL);
    data_cut(data_last(c.m_dir), data_end(data_last(c.m_dir)) - 3);
    node_restart(c.master);
    eventually(SOON, serves(c.master));
    struct call *call = post_begin(c.master, "?w=1", "m7");
    always(300, !call_done(call));
    node_restart(c.s2);
    node_restart(c.s1);
    struct reply reply = call_end(call);
    expect_status(reply, 201);
    cr_assert_eq(json_number_of(reply.body, "id"), 7);
    expect_all(&c, 7);
}

/* ---- what nodes say of their disks */

SCENARIO(cluster_disk, health_tells_what_is_on_disk_and_of_which_members)
{
    struct cluster c = cluster_start("");
    struct node *s3 = member_start(c.master, "s3", "");
    expect_status(post(c.master, "?w=4", "a"), 201);
    static const char data[] = "\"data\":{\"fsync\":\"always\",\"durable\":1,\"disk\":\"ok\"}";
    struct node *nodes[] = {c.master, c.s1, c.s2};
    for (int i = 0; i < 3; i++) {
        struct reply health = http_get(nodes[i]->port, "/health");
        cr_assert_not_null(strstr(health.body, data), "%s", health.body);
        cr_assert_null(strstr(health.body, "\"missing\""));
    }
    cr_assert_null(strstr(http_get(s3->port, "/health").body, "\"data\""));
    const char *members = http_get(c.master->port, "/health").body;
    const char *third = strstr(members, "{\"id\":\"s3\"");
    cr_assert(third && !json_true_of(third, "durable"), "%s", members);
    cr_assert(json_true_of(strstr(members, "{\"id\":\"s1\""), "durable"), "%s", members);
    cr_assert(json_true_of(strstr(members, "{\"id\":\"s2\""), "durable"), "%s", members);
}

SCENARIO(cluster_disk, a_number_of_seconds_and_off_hold_at_once_and_keep_what_a_kill_of_the_process_leaves)
{
    struct node *master = master_start("--fsync 0.05 --data-dir %s", data_dir("m"));
    struct node *s1 = member_start(master, "s1", "--fsync off --data-dir %s", data_dir("s1"));
    eventually(SOON, serves(master));
    post_numbered(master, "?w=2", 1, 100);
    eventually(SOON, json_number_of(http_get(master->port, "/health").body, "durable") == 100);
    struct reply health = http_get(master->port, "/health");
    cr_assert_not_null(strstr(health.body, "\"data\":{\"fsync\":0.050,\"durable\":100,"), "%s", health.body);
    cr_assert_null(strstr(health.body, "\"durable\":true"), "%s", health.body);
    health = http_get(s1->port, "/health");
    cr_assert_not_null(strstr(health.body, "\"fsync\":\"off\""), "%s", health.body);
    node_kill(s1);
    node_kill(master);
    node_restart(master);
    node_restart(s1);
    eventually(SOON, shows_numbered(master, 100) && shows_numbered(s1, 100));
    eventually(SOON, serves(master));
    post_numbered(master, "?w=2", 101, 110);
    expect_end(node_stop(s1));
    expect_end(node_stop(master));
    node_restart(master);
    eventually(SOON, shows_numbered(master, 110));
}

SCENARIO(cluster_disk, a_member_that_was_removed_stays_removed_and_the_others_stay_members)
{
    struct cluster c = cluster_start("");
    expect_status(post(c.master, "?w=3", "a"), 201);
    node_kill(c.s2);
    cr_assert_eq(remove_member(c.master, "s2"), 204);
    expect_stored(post(c.master, "", "b"), 201, 2, 2, 2);
    node_kill(c.s1);
    node_kill(c.master);
    node_restart(c.master);
    eventually(SOON, serves(c.master));
    struct reply health = http_get(c.master->port, "/health");
    cr_assert(strstr(health.body, "{\"id\":\"s1\"") && !strstr(health.body, "{\"id\":\"s2\""), "%s",
              health.body);
    node_restart(c.s1);
    expect_stored(post(c.master, "?w=all", "c"), 201, 3, 2, 2);
}

/* ---- a long list */

enum { LONG = 200 * 1000, PIECE = 10 * 1000 };

static void post_piece(const struct node *master, int from, int to)
{
    char *json;
    size_t len;
    FILE *text = open_memstream(&json, &len);
    fputs("{\"messages\":[", text);
    for (int i = from; i <= to; i++)
        fprintf(text, "%s\"m%d\"", i > from ? "," : "", i);
    fputs("]}", text);
    fclose(text);
    expect_status(http_post_json(master->port, "/messages?w=2", json), 201);
    free(json);
}

SCENARIO(cluster_disk, a_long_list_is_loaded_and_too_small_a_max_log_is_told_instead)
{
    const char *m_dir = data_dir("m");
    struct node *master = master_start("--data-dir %s", m_dir);
    struct node *s1 = member_start(master, "s1", "--data-dir %s", data_dir("s1"));
    for (int i = 0; i < LONG; i += PIECE)
        post_piece(master, i + 1, i + PIECE);
    node_kill(master);
    node_kill(s1);
    char words[256];
    char out[8192];
    snprintf(words, sizeof words, "--max-log 1m --data-dir %s", m_dir);
    cr_assert_eq(program_run("master", words, out, sizeof out), 1);
    cr_assert(strstr(out, "the list on disk is longer than MAX_LOG allows") && strstr(out, m_dir), "%s", out);
    node_restart(master);
    node_restart(s1);
    eventually(SOON, shows_numbered(master, LONG) && shows_numbered(s1, LONG));
}
