/* Nothing grows: not threads, not descriptors, not memory, however often links are cut and nodes restart. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MEMORY_KB = 3000 /* of noise; the sanitizers' own bookkeeping is not measured */
};

struct usage {
    int threads, descriptors;
    long memory_kb;
};

static struct usage usage_of(const struct node *node)
{
    return (struct usage){.threads = node_threads(node),
                          .descriptors = node_descriptors(node),
                          .memory_kb = node_memory_kb(node)};
}

/* What is still on its way out has its time. */
static void expect_no_growth(const struct node *node, struct usage before)
{
    eventually(SOON, node_threads(node) <= before.threads);
    eventually(SOON, node_descriptors(node) <= before.descriptors);
    long grown_kb = node_memory_kb(node) - before.memory_kb;
    cr_assert(nodes_sanitized() || grown_kb < MEMORY_KB, "%ld KB more", grown_kb);
}

/* Leaves a connection in the middle of something. */
static void leave(const struct node *node, int how)
{
    int fd = raw_open(node->port);
    switch (how % 6) {
    case 0:
        break;
    case 1:
        raw_text(fd, "GET /messages HTTP/1.1\r\nHo");
        break;
    case 2:
        raw_text(fd, "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
        break;
    case 3: /* parked */
        raw_text(fd, "POST /messages?w=9&timeout=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        break;
    case 4:
        raw_text(fd, "GET /messages HTTP/1.1\r\nHost: a\r\n\r\nGET /messages HTTP/1.1\r\nHost: a\r\n\r\n");
        break;
    case 5:
        raw_text(fd, "rubbish\r\n\r\n");
        break;
    }
    if (how % 2)
        raw_reset(fd);
    else
        close(fd);
}

SCENARIO(cluster_growth, clients_that_leave_in_the_middle_leave_nothing_behind)
{
    struct node *master = master_start("--heartbeat-interval 0.3");
    struct node *s1 = member_start(master, "s1", "");
    for (int i = 0; i < 60; i++)
        leave(i % 2 ? master : s1, i / 2);
    nap_ms(1200);
    struct usage before = usage_of(master);
    struct usage before_s1 = usage_of(s1);
    for (int i = 0; i < 600; i++)
        leave(i % 2 ? master : s1, i / 2);
    expect_status(post(master, "", "end"), 201);
    expect_no_growth(master, before);
    expect_no_growth(s1, before_s1);
}

/* The buffer that reads long messages is no waiter's to keep. */
SCENARIO(cluster_growth, a_request_that_waits_holds_no_text)
{
    enum { WAITERS = 200, BYTES = 200000 };
    static char body[BYTES + 1];
    int waiters[WAITERS];
    struct node *master = master_start("");
    expect_status(post(master, "", "a"), 201);
    memset(body, 'x', BYTES);
    memcpy(body, "{\"message\":\"", 12);
    int poster = raw_open(master->port);
    long before_kb = 0;
    for (int i = 0; i < WAITERS; i++) {
        if (i == 1)
            before_kb = node_memory_kb(master);
        raw_text(poster,
                 "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n%s\"} x",
                 BYTES + 4, body);
        expect_status(raw_reply(poster, false, SOON), 400);
        waiters[i] = raw_open(master->port);
        raw_text(waiters[i], "GET /messages/1?w=9&timeout=60 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    expect_status(post(master, "", "b"), 201);
    long grown_kb = node_memory_kb(master) - before_kb;
    cr_assert(nodes_sanitized() || grown_kb < 3 * MEMORY_KB, "%ld KB more", grown_kb);
    for (int i = 0; i < WAITERS; i++)
        close(waiters[i]);
    close(poster);
}

SCENARIO(cluster_growth, links_that_are_cut_leave_nothing_behind)
{
    enum { LINKS = 6, ROUNDS = 50 };
    struct node *master = master_start("--heartbeat-interval 0.2 --write-concern 1");
    struct node *nodes[LINKS];
    struct relay *relays[LINKS];
    struct usage before = {0}, before_s0 = {0};
    char id[8];
    for (int i = 0; i < LINKS; i++) {
        snprintf(id, sizeof id, "s%d", i);
        nodes[i] = member_behind(master, id, &relays[i]);
    }
    for (int round = 0; round < ROUNDS + 5; round++) {
        if (round == 5) {
            before = usage_of(master);
            before_s0 = usage_of(nodes[0]);
        }
        int connections = relay_connections(relays[0]);
        for (int i = 0; i < LINKS; i++)
            relay_cut(relays[i]);
        snprintf(id, sizeof id, "m%d", round + 1);
        expect_status(post(master, "", id), 201);
        eventually(SOON, relay_connections(relays[0]) > connections);
        for (int i = 0; i < LINKS; i++) { /* progress ends the growth of the pause */
            snprintf(id, sizeof id, "s%d", i);
            expect_member(master, id);
        }
    }
    for (int i = 0; i < LINKS; i++)
        eventually(SOON, shows_numbered(nodes[i], ROUNDS + 5));
    cr_assert(relay_cuts(relays[0]) >= ROUNDS);
    expect_no_growth(master, before);
    expect_no_growth(nodes[0], before_s0);
}

SCENARIO(cluster_growth, secondaries_that_restart_leave_nothing_behind)
{
    enum { NODES = 4, ROUNDS = 12 };
    struct node *master = master_start("--heartbeat-interval 0.2 --log-level debug");
    struct node *nodes[NODES];
    struct usage before = {0};
    char id[8];
    for (int i = 0; i < NODES; i++) {
        snprintf(id, sizeof id, "s%d", i);
        nodes[i] = member_start(master, id, "");
    }
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < NODES; i++) {
            if ((round + i) % 3) /* some say goodbye, some do not */
                node_kill(nodes[i]);
            else
                node_stop(nodes[i]);
        }
        for (int i = 0; i < NODES; i++)
            node_restart(nodes[i]);
        eventually(SOON, members_met(master) == NODES);
        snprintf(id, sizeof id, "m%d", round);
        expect_status(post(master, "?w=5", id), 201);
        if (round == 2)
            before = usage_of(master);
    }
    for (int i = 0; i < NODES; i++)
        cr_assert(shows_numbered(nodes[i], ROUNDS));
    expect_no_growth(master, before);
}

SCENARIO(cluster_growth, members_that_come_and_go_leave_nothing_behind)
{
    struct node *master = master_start("");
    struct usage before = {0};
    char id[16];
    int threads = node_threads(master);
    struct fake *fake = fake_open(FAKE_GOOD);
    for (int i = 0; i < 220; i++) {
        snprintf(id, sizeof id, "f%d", i);
        expect_status(fake_register(fake, master, id), 200);
        cr_assert_eq(remove_member(master, id), 204);
        if (i == 20) {
            eventually(SOON,
                       node_threads(master) <= threads + nodes_sanitized()); /* which may have one later */
            before = usage_of(master);
        }
    }
    expect_no_growth(master, before);
}

SCENARIO(cluster_growth, a_secondary_that_looks_for_its_master_for_long_does_not_grow)
{
    struct node *master = node_later("master", "");
    struct node *s1 = secondary_start(master, "");
    eventually(SOON, node_logged(s1, "cannot register"));
    struct usage before = usage_of(s1);
    for (int i = 0; i < 100; i++) /* each sign of life ends its pause */
        expect_status(http_request(s1->port, "POST", "/replicate", NULL, NULL, 0, SOON), 200);
    expect_no_growth(s1, before);
}
