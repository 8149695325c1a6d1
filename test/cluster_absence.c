/* A member that is killed and does not come back. */
#include "cluster.h"
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads on to the event of this data. */
static void expect_told(struct stream *stream, const char *data)
{
    struct event event;
    do
        cr_assert(stream_event(stream, SOON, &event), "no event %s", data);
    while (strcmp(event.data, data) != 0);
}

SCENARIO(cluster_absence, a_killed_member_is_forgotten_posts_go_on_and_it_may_come_back)
{
    struct node *master = master_start("--heartbeat-interval 0.1 --forget-after 0.5");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    struct stream *stream = stream_open(master->port, NULL, "/events");
    node_kill(s2);
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
    expect_told(stream, "{\"id\":\"s2\",\"state\":\"removed\"}");
    cr_assert(shows(s1, "a b"));
    expect_logged(master, "WARN  master forgot s2, unhealthy for ", 1);
    cr_assert_eq(members(master), 1);
    node_restart(s2);
    expect_member(master, "s2");
    expect_stored(post(master, "", "c"), 201, 3, 3, 3);
    cr_assert(shows(s2, "a b c"));
}

/* Runs the command with which the line of the log that holds `part` ends. */
static int run_command_of(const struct node *master, const char *part)
{
    char *log = node_log(master);
    char command[512] = "";
    const char *line = strstr(log, part);
    const char *curl = line ? strstr(line, "curl ") : NULL;
    cr_assert(curl);
    snprintf(command, sizeof command, "%.*s -s -f", (int)strcspn(curl, "\n"), curl);
    free(log);
    return system(command);
}

SCENARIO(cluster_absence, the_command_that_the_warning_tells_lets_the_posts_go_on)
{
    struct node *master = master_start("--heartbeat-interval 0.1 CLUSTER_TOKEN=sesame");
    struct node *s2 = member_start(master, "s2", "CLUSTER_TOKEN=sesame");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    node_kill(s2);
    struct call *call = post_begin(master, "", "b");
    eventually(SOON, node_told(master, "WARN", "1 POST waits for s2, unhealthy for "));
    always(300, !call_done(call));
    cr_assert_eq(node_logged(master, "for s2, unhealthy for"), 1);
    cr_assert_neq(run_command_of(master, "1 POST waits"), 0, "without the token");
    setenv("CLUSTER_TOKEN", "sesame", 1);
    cr_assert_eq(run_command_of(master, "1 POST waits"), 0);
    unsetenv("CLUSTER_TOKEN");
    expect_stored(call_end(call), 201, 2, 1, 1);
    expect_logged(master, "removed s2; 0 members now", 1);
    cr_assert_eq(node_logged(master, "sesame"), 0);
}
