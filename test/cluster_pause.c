/* The master's process stands still for a while (SIGSTOP, a suspended machine): what it did not hear
 * meanwhile is nobody's silence, and what it heard before proves nothing any more. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 3000 }; /* three times as long as a member may be silent */

static const char *const settings = "--heartbeat-interval 0.2 --write-concern 1";

SCENARIO(cluster_pause, members_that_are_well_are_not_called_unhealthy_after_a_pause_of_the_master)
{
    struct node *master = master_start("%s --quorum 3", settings);
    member_start(master, "s1", "");
    member_start(master, "s2", "");
    struct call *calls[10];
    expect_stored(post(master, "?w=3", "a"), 201, 1, 3, 3);
    int read_only = node_logged(master, "read-only"); /* before the members came */
    node_freeze(master);
    for (int i = 0; i < 10; i++) /* they wait in the master's sockets */
        calls[i] = post_begin(master, "?w=3", "b");
    nap_ms(PAUSE_MS);
    node_thaw(master);
    for (int i = 0; i < 10; i++)
        expect_status(post(master, "?w=3", "c"), 201);
    for (int i = 0; i < 10; i++)
        expect_status(call_end(calls[i]), 201);
    cr_assert(!node_logged(master, "unhealthy") || late(0)); /* unless the machine stood still as well */
    cr_assert(node_logged(master, "read-only") == read_only || late(0));
}

SCENARIO(cluster_pause, a_post_is_answered_soon_after_a_pause_of_the_master)
{
    struct node *master = master_start("%s --quorum 2", settings);
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    node_freeze(master);
    nap_ms(PAUSE_MS);
    node_thaw(master);
    struct reply reply = post(master, "?w=2", "b");
    expect_stored(reply, 201, 2, 2, 2);
    expect_at_once(reply);
    cr_assert(shows(s1, "a b"));
}

static bool post_on(int fd, const char *message)
{
    return raw_text(fd, "POST /messages?w=1 HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(message), message);
}

/* The quorum is the master and s1, and s1 is gone when the master wakes: `end` takes it away. A POST lies on
 * a connection that was open before. */
static void expect_nothing_appended(void (*end)(struct node *))
{
    struct node *master = master_start("%s --quorum 2", settings);
    struct node *s1 = member_start(master, "s1", "");
    int fd = raw_open(master->port);
    post_on(fd, "a");
    expect_stored(raw_reply(fd, false, SOON), 201, 1, 1, 1);
    eventually(SOON, shows(s1, "a"));
    node_freeze(master);
    end(s1);
    post_on(fd, "b");
    nap_ms(PAUSE_MS);
    node_thaw(master);
    expect_status(raw_reply(fd, false, SOON), 503);
    cr_assert(shows(master, "a"));
}

SCENARIO(cluster_pause, what_lies_in_the_sockets_is_not_appended_where_the_quorum_died_in_the_pause)
{
    expect_nothing_appended(node_kill);
}

SCENARIO(cluster_pause, what_lies_in_the_sockets_is_not_appended_where_the_quorum_fell_silent_in_the_pause)
{
    expect_nothing_appended(node_freeze);
}

SCENARIO(cluster_pause, appends_go_on_after_a_pause_when_the_quorum_has_answered)
{
    struct node *master = master_start("%s --quorum 2", settings);
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    node_freeze(master);
    node_freeze(s1);
    struct call *call = post_begin(master, "?w=1", "b");
    nap_ms(PAUSE_MS);
    node_thaw(master);
    always(400, !call_done(call)); /* s1 may be silent for a second from here on */
    node_thaw(s1);
    expect_stored(call_end(call), 201, 2, 1, 1);
    eventually(SOON, shows(s1, "a b"));
}
