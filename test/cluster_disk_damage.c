/* DATA_DIR: what nodes do about files that were cut, and those that cannot be read. */
#include "cluster.h"
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 20 };

/* A master and a secondary with m1, m2, … each in a frame of its own. */
struct pair {
    struct node *master, *s1;
    const char *m_dir, *s1_dir;
};

static struct pair pair_start(const char *words)
{
    struct pair pair = {.m_dir = data_dir("m"), .s1_dir = data_dir("s1")};
    pair.master = master_start("--data-dir %s %s", pair.m_dir, words);
    pair.s1 = member_start(pair.master, "s1", "--data-dir %s", pair.s1_dir);
    for (int i = 1; i <= COUNT; i++)
        post_numbered(pair.master, "?w=2", i, i);
    return pair;
}

/* The message m11 gets another byte in its place. */
static void middle_damage(const char *dir)
{
    const char *file = data_last(dir);
    data_flip(file, data_find(file, "\"m11\"") + 1);
}

static long long missing(const struct node *node)
{
    struct reply reply = http_get(node->port, "/health");
    long long id = reply.status == 200 ? json_number_of(reply.body, "missing") : 0;
    http_free(&reply);
    return id;
}

/* ---- a torn tail */

static void expect_torn(int bytes)
{
    const char *dir = data_dir(bytes % 2 ? "odd" : "even");
    struct node *master = master_start("--data-dir %s", dir);
    eventually(SOON, serves(master));
    for (int i = 1; i <= 7; i++)
        post_numbered(master, "", i, i);
    node_kill(master);
    data_cut(data_last(dir), data_end(data_last(dir)) - bytes);
    node_restart(master);
    eventually(SOON, shows_numbered(master, 6));
    expect_logged(master, "bytes of an append that was not finished, behind message 6", 1);
    cr_assert_eq(node_told(master, "WARN", "dropped"), 1);
    cr_assert_eq(node_told(master, "ERROR", ""), 0);
    cr_assert_eq(missing(master), -1);
    cr_assert_eq(data_count(dir, "damaged"), 0);
    expect_stored(post(master, "", "m7"), 201, 7, 1, 1);
    node_kill(master);
    node_restart(master);
    eventually(SOON, shows_numbered(master, 7));
    cr_assert_eq(node_logged(master, "dropped"), 1);
}

SCENARIO(cluster_disk_damage, a_torn_tail_is_one_warning_and_the_start_goes_on)
{
    expect_torn(1);
}

SCENARIO(cluster_disk_damage, a_tail_torn_within_a_frame_s_header_is_one_as_well)
{
    expect_torn(30);
}

/* ---- a secondary's */

SCENARIO(cluster_disk_damage, a_secondary_sets_the_file_aside_and_is_filled_up_by_its_master)
{
    struct pair pair = pair_start("");
    node_kill(pair.s1);
    middle_damage(pair.s1_dir);
    node_freeze(pair.master);
    node_restart(pair.s1);
    eventually(SOON, missing(pair.s1) == COUNT);
    cr_assert(shows_numbered(pair.s1, 10));
    expect_status(http_get(pair.s1->port, "/readyz"), 503);
    cr_assert_eq(node_told(pair.s1, "ERROR", "messages 11.."), 1);
    cr_assert_eq(data_count(pair.s1_dir, ".damaged"), 1);
    node_thaw(pair.master);
    eventually(SOON, missing(pair.s1) == -1);
    eventually(SOON, shows_numbered(pair.s1, COUNT));
    eventually(SOON, http_get(pair.s1->port, "/readyz").status == 200);
    expect_logged(pair.s1, "that were missing are on this disk again", 1);
    expect_status(post(pair.master, "?w=2", "m21"), 201);
    node_kill(pair.s1);
    node_restart(pair.s1);
    eventually(SOON, shows_numbered(pair.s1, COUNT + 1));
    cr_assert_eq(missing(pair.s1), -1);
    cr_assert_eq(data_count(pair.s1_dir, ".damaged"), 1);
}

SCENARIO(cluster_disk_damage, a_secondary_whose_files_are_gone_knows_it_by_the_meta_file)
{
    struct pair pair = pair_start("");
    expect_end(node_stop(pair.s1));
    cr_assert_eq(remove(data_last(pair.s1_dir)), 0);
    node_freeze(pair.master);
    node_restart(pair.s1);
    eventually(SOON, missing(pair.s1) == COUNT);
    cr_assert(shows_numbered(pair.s1, 0));
    node_thaw(pair.master);
    eventually(SOON, shows_numbered(pair.s1, COUNT) && missing(pair.s1) == -1);
}

/* ---- a master's */

SCENARIO(cluster_disk_damage, a_master_appends_nothing_until_a_secondary_has_brought_what_is_missing)
{
    struct pair pair = pair_start("--heartbeat-interval 0.2");
    node_kill(pair.master);
    node_kill(pair.s1);
    middle_damage(pair.m_dir);
    node_restart(pair.master);
    eventually(SOON, missing(pair.master) == COUNT);
    cr_assert(shows_numbered(pair.master, 10));
    cr_assert_eq(node_told(pair.master, "ERROR", "POSTs wait until a secondary that has them registers"), 1);
    struct reply ready = http_get(pair.master->port, "/readyz");
    expect_status(ready, 503);
    cr_assert_not_null(strstr(ready.body, "\"missing\":\"messages that were on its disk"), "%s", ready.body);
    struct reply reply = post(pair.master, "?w=1&timeout=0.3", "x");
    expect_status(reply, 503);
    expect_took(reply, 300);
    reply = post(pair.master, "?w=1", "x");
    expect_status(reply, 503);
    expect_took(reply, 5 * 200);
    cr_assert_not_null(http_field(&reply, "Retry-After"));
    struct call *call = post_begin(pair.master, "?w=1&timeout=20", "m21");
    node_restart(pair.s1);
    expect_status(call_end(call), 201);
    eventually(SOON, shows_numbered(pair.master, COUNT + 1) && shows_numbered(pair.s1, COUNT + 1));
    cr_assert_eq(missing(pair.master), -1);
    expect_status(http_get(pair.master->port, "/readyz"), 200);
    node_kill(pair.master);
    node_restart(pair.master);
    eventually(SOON, shows_numbered(pair.master, COUNT + 1));
    cr_assert_eq(missing(pair.master), -1);
}

SCENARIO(cluster_disk_damage, a_person_may_have_a_master_go_on_without_what_is_missing)
{
    struct pair pair = pair_start("--heartbeat-interval 0.2");
    node_kill(pair.master);
    node_kill(pair.s1);
    middle_damage(pair.m_dir);
    node_words(pair.master, "--data-dir %s --heartbeat-interval 0.2 --accept-loss", pair.m_dir);
    node_restart(pair.master);
    eventually(SOON, shows_numbered(pair.master, 10));
    cr_assert_eq(missing(pair.master), -1);
    expect_status(post(pair.master, "?w=1", "another"), 201);
    cr_assert_eq(last_id(pair.master), 11);
    cr_assert_eq(data_count(pair.m_dir, ".damaged"), 1);
    /* for one start: the next one needs it no more */
    node_kill(pair.master);
    node_words(pair.master, "--data-dir %s --heartbeat-interval 0.2", pair.m_dir);
    node_restart(pair.master);
    eventually(SOON, last_id(pair.master) == 11);
    cr_assert_eq(missing(pair.master), -1);
    /* the other list is not thrown away */
    node_restart(pair.s1);
    eventually(SOON, node_told(pair.master, "ERROR", "refused s1, "));
    cr_assert(shows_numbered(pair.s1, COUNT));
}

SCENARIO(cluster_disk_damage, a_master_whose_meta_file_is_damaged_goes_on_with_the_list_that_its_files_name)
{
    struct pair pair = pair_start("");
    char *log = log_name(pair.master);
    node_kill(pair.master);
    data_flip(data_path(pair.m_dir, "meta"), data_find(data_path(pair.m_dir, "meta"), "epoch ") + 6);
    node_restart(pair.master);
    eventually(SOON, serves(pair.master));
    expect_member(pair.master, "s1");
    cr_assert_str_eq(log_name(pair.master), log);
    expect_stored(post(pair.master, "?w=2", "m21"), 201, COUNT + 1, 2, 2);
    cr_assert(shows_numbered(pair.master, COUNT + 1) && shows_numbered(pair.s1, COUNT + 1));
    expect_logged(pair.master, "the meta file cannot be read and is set aside", 1);
}

/* The whole list is damaged on the master: the file goes with its header. */
SCENARIO(cluster_disk_damage, a_master_with_nothing_left_takes_all_back)
{
    struct pair pair = pair_start("");
    expect_end(node_stop(pair.master));
    data_flip(data_last(pair.m_dir), 20);
    node_restart(pair.master);
    eventually(SOON, serves(pair.master));
    expect_status(post(pair.master, "?w=2", "m21"), 201);
    cr_assert(shows_numbered(pair.master, COUNT + 1) && shows_numbered(pair.s1, COUNT + 1));
    cr_assert_eq(data_count(pair.m_dir, ".damaged"), 1);
}
