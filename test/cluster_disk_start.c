/* DATA_DIR: directories that cannot be used, and those of other nodes and other lists. */
#include "cluster.h"
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <linux/capability.h>

static struct node *master_on(const char *dir)
{
    struct node *master = master_start("--data-dir %s", dir);
    eventually(SOON, serves(master));
    return master;
}

/* That a program does not start on a directory, and what it says; `name` is in the line as well. */
static void expect_no_start(const char *program, const char *dir, const char *says, const char *name)
{
    char words[400];
    char out[8192];
    snprintf(words, sizeof words, "%s--data-dir %s",
             strcmp(program, "master") == 0 ? "" : "--master-url http://127.0.0.1:9 ", dir);
    cr_assert_eq(program_run(program, words, out, sizeof out), 1, "%s", out);
    const char *line = strstr(out, "ERROR");
    cr_assert(line && strstr(line, says) && strstr(line, name), "%s", out);
}

static void expect_neither_starts(const char *dir, const char *says, const char *name)
{
    expect_no_start("master", dir, says, name);
    expect_no_start("secondary", dir, says, name);
}

/* ---- directories that cannot be used */

SCENARIO(cluster_disk_start, a_directory_in_use_ends_the_start_and_the_line_names_the_process)
{
    const char *dir = data_dir("m");
    struct node *master = master_on(dir);
    char process[32];
    snprintf(process, sizeof process, "process %d uses", (int)master->pid);
    expect_neither_starts(dir, process, dir);
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
    node_kill(master);
    node_restart(master);
    eventually(SOON, shows(master, "a"));
}

SCENARIO(cluster_disk_start, a_directory_that_cannot_be_written_ends_the_start)
{
    const char *dir = data_dir("m");
    cr_assert_eq(mkdir(dir, 0500), 0);
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0); /* or root may write everywhere */
    expect_neither_starts(dir, "Permission denied", dir);
}

SCENARIO(cluster_disk_start, a_file_in_its_place_ends_the_start)
{
    const char *dir = data_dir("file");
    data_put(dir, 0, "text", 4);
    expect_neither_starts(dir, "Not a directory", dir);
}

SCENARIO(cluster_disk_start, a_directory_below_none_ends_the_start)
{
    expect_neither_starts("/proc/none/at/all", "No such file or directory", "/proc/none/at/all");
}

SCENARIO(cluster_disk_start, a_format_that_is_not_known_ends_the_start_and_changes_nothing)
{
    const char *dir = data_dir("m");
    struct node *master = master_on(dir);
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
    expect_end(node_stop(master));
    int64_t at = data_find(data_path(dir, "meta"), "data 1") + 5;
    data_put(data_path(dir, "meta"), at, "2", 1);
    expect_neither_starts(dir, "its format is not one that this program knows", "/meta");
    data_put(data_path(dir, "meta"), at, "1", 1);
    node_restart(master);
    eventually(SOON, shows(master, "a"));
}

SCENARIO(cluster_disk_start, files_of_others_are_left_alone)
{
    const char *dir = data_dir("m");
    struct node *master = master_on(dir);
    data_put(data_path(dir, "notes.txt"), 0, "mine", 4);
    cr_assert_eq(mkdir(data_path(dir, "lost+found"), 0700), 0);
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
    node_kill(master);
    node_restart(master);
    eventually(SOON, shows(master, "a"));
    cr_assert_eq(data_end(data_path(dir, "notes.txt")), 4);
    cr_assert_eq(data_count(dir, "lost+found"), 1);
}

/* ---- directories of others */

SCENARIO(cluster_disk_start, a_master_and_a_secondary_may_change_their_directories)
{
    const char *m_dir = data_dir("m");
    const char *s1_dir = data_dir("s1");
    struct node *master = master_on(m_dir);
    struct node *s1 = member_start(master, "s1", "--data-dir %s", s1_dir);
    post_numbered(master, "?w=2", 1, 100);
    char *log = log_name(master);
    node_kill(master);
    node_kill(s1);
    node_words(master, "--data-dir %s", s1_dir);
    node_words(s1, "--secondary-id s1 --master-url %s --data-dir %s", master->url, m_dir);
    node_restart(master);
    node_restart(s1);
    expect_member(master, "s1");
    cr_assert_str_eq(log_name(master), log);
    expect_stored(post(master, "?w=2", "m101"), 201, 101, 2, 2);
    cr_assert(shows_numbered(master, 101) && shows_numbered(s1, 101));
}

/* Where one of two lists may be another's, nothing is thrown away, and a restart would not help. */
SCENARIO(cluster_disk_start, another_log_is_refused_and_the_sentence_says_to_move_it_away)
{
    const char *old_dir = data_dir("old");
    struct node *old = master_on(old_dir);
    expect_stored(post(old, "", "old"), 201, 1, 1, 1);
    expect_end(node_stop(old));
    struct node *master = master_on(data_dir("m"));
    expect_stored(post(master, "", "new"), 201, 1, 1, 1);
    struct node *s1 = secondary_start(master, "--secondary-id s1 --data-dir %s", old_dir);
    eventually(SOON, node_told(master, "ERROR", "move its DATA_DIR away, or the master's to keep its list"));
    eventually(SOON, node_told(s1, "", "move the secondary's DATA_DIR away and restart it"));
    struct reply health = http_get(s1->port, "/health");
    cr_assert_not_null(strstr(health.body, "move the secondary's DATA_DIR away and restart it to have it "
                                           "take this master's list, or move the master's DATA_DIR away"),
                       "%s", health.body);
    cr_assert(shows(s1, "old") && shows(master, "new"));
    expect_status(http_get(s1->port, "/readyz"), 503);
    node_kill(s1);
    node_restart(s1);
    eventually(SOON, shows(s1, "old")); /* still there */
    node_kill(s1);
    node_words(s1, "--master-url %s --secondary-id s1 --data-dir %s", master->url, data_dir("away"));
    node_restart(s1);
    expect_member(master, "s1");
    cr_assert(shows(s1, "new"));
}
