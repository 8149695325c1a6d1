/* GET /pending: who waits, and for whom. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The number that wait, once the answer is as it should be. */
static long long pending_count(const struct node *master)
{
    struct reply reply = http_get(master->port, "/pending");
    expect_status(reply, 200);
    cr_assert_str_eq(http_field(&reply, "Cache-Control"), "no-store");
    long long count = json_number_of(reply.body, "count");
    http_free(&reply);
    return count;
}

static void expect_row(const struct node *master, const char *part)
{
    struct reply reply = http_get(master->port, "/pending");
    cr_assert(strstr(reply.body, part), "%s", reply.body);
    http_free(&reply);
}

SCENARIO(cluster_pending, it_tells_for_whom_a_post_waits_until_it_is_answered)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    static const char two[] = "{\"messages\":[\"b\",\"c\"]}";
    cr_assert_eq(pending_count(master), 0);
    cr_assert_str_eq(http_get(master->port, "/pending").body, "{\"count\":0,\"pending\":[]}");
    node_freeze(s2);
    struct call *all = post_begin(master, "", "a");
    eventually(SOON, member_number(master, "s1", "acked") == 1);
    struct call *list = call_begin(master->port, "POST", "/messages?w=3&timeout=60",
                                   "Content-Type: application/json\r\n", two, sizeof two - 1);
    eventually(SOON, member_number(master, "s1", "acked") == 3);
    eventually(SOON, pending_count(master) == 2);
    expect_row(master, "{\"count\":2,\"pending\":[{\"id\":1,\"w\":3,\"acks\":2,\"age\":");
    expect_row(master, ",\"timeout\":null,\"waits_for\":[\"s2\"],\"client\":\"127.0.0.1:");
    expect_row(master, "},{\"id\":3,\"w\":3,\"acks\":2,\"age\":");
    node_thaw(s2);
    expect_status(call_end(all), 201);
    expect_status(call_end(list), 201);
    cr_assert_eq(pending_count(master), 0);
    expect_status(http_get(s2->port, "/pending"), 404);
}

SCENARIO(cluster_pending, who_waits_at_the_gate_has_no_id_and_is_not_forgotten_when_its_client_goes)
{
    struct node *master = master_start("--nodes 2");
    struct call *call = post_begin(master, "?timeout=60", "a");
    int fd = raw_open(master->port);
    raw_text(fd, "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb");
    eventually(SOON, pending_count(master) == 2);
    expect_row(master, "{\"id\":null,\"w\":2,\"acks\":0,\"age\":");
    expect_row(master, "\"waits_for\":[]");
    raw_reset(fd);
    always(100, pending_count(master) == 2);
    member_start(master, "s1", "");
    expect_status(call_end(call), 201);
    eventually(SOON, last_id(master) == 2 && pending_count(master) == 0);
}

SCENARIO(cluster_pending, who_has_gone_waits_no_longer_and_gets_are_told_as_well)
{
    struct node *master = master_start("--write-concern 1");
    expect_status(post(master, "", "a"), 201);
    int fd = raw_open(master->port);
    raw_text(fd, "GET /messages/1?w=2 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually(SOON, pending_count(master) == 1);
    expect_row(master, "{\"id\":1,\"w\":2,\"acks\":1,");
    raw_reset(fd);
    eventually(SOON, pending_count(master) == 0);
}

/* Rows of many members, and of many who wait, would be an answer of any length. */
SCENARIO(cluster_pending, an_answer_has_100_rows_or_as_many_as_are_asked_for_up_to_a_mebibyte)
{
    enum { CONNECTIONS = 5, POSTS = 980, MEBIBYTE = 1024 * 1024 };
    static const char request[] = "POST /messages?w=9 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    struct node *master = master_start("");
    char name[201] = "";
    memset(name, 'n', sizeof name - 1);
    expect_status(register_by_hand(master, "{\"id\":\"%s\",\"url\":\"http://127.0.0.1:9\"}", name), 200);
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = raw_open(master->port);
        for (int n = 0; n < POSTS; n++)
            raw_text(fd, "%s", request);
    }
    eventually(SOON, pending_count(master) == CONNECTIONS * POSTS);
    struct reply reply = http_get(master->port, "/pending");
    cr_assert(strstr(reply.body, "{\"id\":100,") && !strstr(reply.body, "{\"id\":101,"));
    reply = http_get(master->port, "/pending?limit=300");
    cr_assert(strstr(reply.body, "{\"id\":300,") && !strstr(reply.body, "{\"id\":301,"));
    reply = http_get(master->port, "/pending?limit=100000");
    cr_assert(reply.body_len >= MEBIBYTE && reply.body_len < MEBIBYTE + 1000, "%zu", reply.body_len);
    cr_assert_eq(json_number_of(reply.body, "count"), CONNECTIONS * POSTS);
    cr_assert_eq(strcmp(reply.body + reply.body_len - 3, "}]}"), 0);
    expect_status(http_get(master->port, "/pending?limit=-1"), 400);
}
