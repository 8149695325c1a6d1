/* The end: a goodbye, exit code 0 within two seconds, and an answer for everyone who waits. */
#include "cluster.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* As nohup(1) starts it. */
SCENARIO(cluster_stop, a_node_that_is_to_ignore_a_hangup_goes_on)
{
    signal(SIGHUP, SIG_IGN);
    struct node *master = master_start("");
    signal(SIGHUP, SIG_DFL);
    kill(master->pid, SIGHUP);
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
    expect_end(node_stop(master));
    expect_logged(master, "stopping: SIGTERM", 1);
}

SCENARIO(cluster_stop, every_node_ends_well_beside_clients_that_stay)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    struct node *ends[] = {s1, master};
    for (int i = 0; i < 2; i++) {
        int idle = raw_open(ends[i]->port);
        int begun = raw_open(ends[i]->port);
        raw_text(idle, "GET /messages HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_assert_eq(raw_reply(idle, false, SOON).status, 200);
        raw_text(begun, "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Le");
        expect_end(i ? node_signal(ends[i], SIGINT) : node_signal(ends[i], SIGTERM));
        cr_assert(raw_closed(idle, SOON) && raw_closed(begun, SOON));
        expect_logged(ends[i], i ? "stopping: SIGINT" : "stopping: SIGTERM", 1);
    }
}

static void expect_goodbye(int signal)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    expect_end(node_signal(s2, signal));
    cr_assert_eq(members(master), 1);
    expect_logged(master, "removed s2; 1 member now", 1);
    expect_logged(s2, "said goodbye to the master", 1);
    expect_stored(post(master, "", "b"), 201, 2, 2, 2);
}

SCENARIO(cluster_stop, a_secondary_says_goodbye_on_sigterm_and_appends_no_longer_wait_for_it)
{
    expect_goodbye(SIGTERM);
}

SCENARIO(cluster_stop, a_secondary_says_goodbye_on_sigint_as_well)
{
    expect_goodbye(SIGINT);
}

SCENARIO(cluster_stop, a_goodbye_lets_the_posts_go_that_waited_for_it)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct node *slow = member_start(master, "slow", "--secondary-delays 60");
    struct call *call = post_begin(master, "", "a");
    eventually(SOON, member_number(master, "s1", "acked") == 1);
    always(200, !call_done(call));
    expect_end(node_stop(slow));
    expect_stored(call_end(call), 201, 1, 2, 2);
}

SCENARIO(cluster_stop, a_secondary_refuses_what_waits_for_its_delay_when_it_stops)
{
    struct node *slow = secondary_start(node_later("master", ""), "--secondary-delays 60");
    static const char body[] = "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]}";
    struct call *call = call_begin(slow->port, "POST", "/replicate", NULL, body, sizeof body - 1);
    eventually(SOON, node_logged(slow, "stored 1 "));
    cr_assert_not(call_done(call));
    expect_end(node_stop(slow));
    expect_status(call_end(call), 503);
}

SCENARIO(cluster_stop, a_master_answers_all_who_wait_before_it_ends)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct call *waiting = post_begin(master, "?w=5", "a");
    eventually(SOON, member_number(master, "s1", "acked") == 1);
    struct call *again = call_begin(master->port, "GET", "/messages/1?w=4&timeout=60", NULL, NULL, 0);
    always(100, !call_done(again) && !call_done(waiting));
    expect_end(node_stop(master));
    expect_stored_at_end(call_end(waiting), 1, 5, 2);
    expect_stored_at_end(call_end(again), 1, 4, 2);
}

SCENARIO(cluster_stop, a_post_under_way_gets_its_acks_while_the_master_stops)
{
    struct node *master = master_start("");
    member_start(master, "slow", "--secondary-delays 0.7");
    struct call *call = post_begin(master, "", "a");
    eventually(SOON, shows(master, "a"));
    expect_end(node_stop(master));
    expect_stored(call_end(call), 201, 1, 2, 2);
}

SCENARIO(cluster_stop, acks_that_come_while_the_master_ends_are_no_trouble)
{
    for (int round = 0; round < 8; round++) {
        struct node *master = master_start("--write-concern 2");
        struct node *s1 = member_start(master, "s1", "--secondary-delays 0.05");
        struct node *s2 = member_start(master, "s2", "--secondary-delays 0.05");
        struct call *call = post_begin(master, "", "a");
        eventually(SOON, shows(master, "a"));
        expect_end(node_stop(master));
        expect_status(call_end(call), 201);
        expect_end(node_stop(s1));
        expect_end(node_stop(s2));
    }
}

SCENARIO(cluster_stop, a_master_that_stops_takes_no_more_appends)
{
    struct node *master = master_start("");
    int fd = raw_open(master->port);
    struct call *waiting = post_begin(master, "?w=2", "a");
    eventually(SOON, shows(master, "a"));
    kill(master->pid, SIGTERM);
    eventually(SOON, node_logged(master, "stopping"));
    raw_text(fd, "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb");
    struct reply reply = raw_reply(fd, false, SOON);
    cr_assert(reply.status == 503 || reply.status == 0, "%d %s", reply.status, reply.body);
    expect_status(call_end(waiting), 202);
    expect_end(node_stop(master));
    expect_logged(master, "appended 1 ", 1);
    expect_logged(master, "appended", 1);
}

SCENARIO(cluster_stop, a_master_ends_in_time_beside_a_frozen_secondary)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    node_freeze(s1);
    struct call *waiting = post_begin(master, "", "a");
    eventually(SOON, shows(master, "a"));
    expect_end(node_stop(master));
    expect_stored_at_end(call_end(waiting), 1, 2, 1);
    node_thaw(s1);
}

SCENARIO(cluster_stop, a_secondary_ends_in_time_whose_master_is_frozen_or_gone)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    node_freeze(master);
    expect_end(node_stop(s1));
    expect_logged(s1, "could not say goodbye", 1);
    node_kill(master);
    expect_end(node_stop(s2));
}

SCENARIO(cluster_stop, a_secondary_that_never_found_a_master_ends_in_time)
{
    struct node *nowhere = node_later("master", "");
    struct node *s1 = secondary_start(nowhere, "");
    eventually(SOON, node_logged(s1, "cannot register"));
    expect_end(node_stop(s1));
}

SCENARIO(cluster_stop, a_reader_that_is_slow_does_not_hold_up_the_end)
{
    enum { BIG = 1000 * 1000 };
    static char big[BIG];
    struct node *master = master_start("");
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 12; i++)
        expect_status(http_post(master->port, "/messages", big, sizeof big), 201);
    int fd = raw_open(master->port);
    raw_text(fd, "GET /messages HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_eq(raw_receive(fd, big, 16, SOON), 16);
    expect_end(node_stop(master));
    close(fd);
}

SCENARIO(cluster_stop, a_master_that_was_stopped_is_no_warning_and_one_that_was_killed_is)
{
    struct node *stopped = master_start("");
    struct node *killed = master_start("");
    struct node *s1 = member_start(stopped, "s1", "");
    struct node *s2 = member_start(killed, "s2", "");
    expect_status(post(stopped, "", "a"), 201);
    expect_status(post(killed, "", "a"), 201);
    node_kill(killed);
    expect_end(node_stop(stopped));
    eventually(SOON, node_told(s2, "WARN", "cannot register with the master"));
    nap_ms(1000);
    cr_expect_eq(node_told(s1, "WARN", "master"), 0);
    cr_expect(node_told(s1, "INFO", "cannot register with the master"));
    node_restart(stopped);
    eventually(SOON, last_id(stopped) == 1);
    node_kill(stopped);
    eventually(SOON, node_told(s1, "WARN", "cannot register with the master"));
}
