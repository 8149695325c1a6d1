/* POST of several messages at once, of a message that is meant for one id, and of one that wants a receipt.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct reply post_list(const struct node *master, const char *query, const char *json)
{
    char target[64];
    snprintf(target, sizeof target, "/messages%s", query);
    return http_post_json(master->port, target, json);
}

static void expect_reply(struct reply reply, int status, const char *body)
{
    expect_status(reply, status);
    cr_assert_str_eq(reply.body, body);
}

/* {"messages":["xxx…","xxx…"]} of so many texts of so many bytes; free it. */
static char *list_of(int count, size_t len)
{
    char *json = malloc((size_t)count * (len + 3) + 32);
    cr_assert_not_null(json);
    char *at = json + sprintf(json, "{\"messages\":[");
    for (int i = 0; i < count; i++) {
        *at++ = '"';
        memset(at, 'x', len);
        at += len;
        *at++ = '"';
        *at++ = ',';
    }
    strcpy(at - 1, "]}");
    return json;
}

/* ---- lists of messages */

SCENARIO(cluster_batch, a_list_gets_consecutive_ids_and_one_answer)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    struct reply reply = post_list(master, "", "{\"messages\":[\"a\",\"b\"],\"w\":2}");
    expect_reply(reply, 201, "{\"id\":2,\"first_id\":1,\"count\":2,\"w\":2,\"acks\":2}");
    cr_assert_str_eq(http_field(&reply, "Location"), "/messages?from=1&limit=2");
    expect_status(post(master, "", "c"), 201);
    reply = post_list(master, "?w=all", "{\"messages\":[\"\\u0064\"]}");
    expect_reply(reply, 201, "{\"id\":4,\"first_id\":4,\"count\":1,\"w\":2,\"acks\":2}");
    cr_assert_str_eq(http_field(&reply, "Location"), "/messages?from=4&limit=1");
    cr_assert(shows(master, "a b c d") && shows(s1, "a b c d"));
    cr_assert_str_eq(http_get(s1->port, "/messages/4").body, "{\"id\":4,\"message\":\"d\"}");
    expect_logged(master, "appended 1..2 (2 messages, 2 bytes)", 1);
    expect_logged(master, "answered 2 messages of 1..2 with 201", 1);
    expect_logged(master, "appended 4 (1 byte) from 127.0.0.1:", 1);
}

SCENARIO(cluster_batch, a_list_whose_time_is_over_is_202_and_goes_on)
{
    struct node *master = master_start("");
    struct reply reply = post_list(master, "?w=2&timeout=0.2", "{\"messages\":[\"a\",\"b\"]}");
    expect_reply(
        reply, 202,
        "{\"id\":2,\"first_id\":1,\"count\":2,\"w\":2,\"acks\":1,\"error\":\"the time is over before "
        "enough nodes hold the message; it is in the log and is still being replicated\"}");
    cr_assert_str_eq(http_field(&reply, "Location"), "/messages?from=1&limit=2");
    cr_assert(shows(member_start(master, "s1", ""), "a b"));
    expect_stored(http_get(master->port, "/messages/2?w=2"), 200, 2, 2, 2);
}

SCENARIO(cluster_batch, a_list_is_appended_whole_or_not_at_all)
{
    struct node *master = master_start("--max-message 5 --max-log 60");
    static const char *const bad[] = {
        "{\"messages\":[]}",
        "{\"messages\":[\"a\",\"\"]}",
        "{\"messages\":[\"a\",7]}",
        "{\"messages\":[\"a\",\"\xff\"]}",
        "{\"messages\":[\"a\",\"b\"}",
        "{\"messages\":[\"a\"],\"message\":\"b\"}",
        "{\"message\":\"b\",\"messages\":[\"a\"]}",
        "{\"messages\":[\"a\"],\"w\":0}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_status(post_list(master, "", bad[i]), 400);
    expect_reply(post_list(master, "", "{\"messages\":[\"a\",\"bbbbbb\",\"c\"]}"), 413,
                 "{\"error\":\"message 2 of the list has 6 bytes, and MAX_MESSAGE is 5\"}");
    char *list = list_of(8, 5); /* of eight bytes each, a comma included */
    expect_reply(post_list(master, "", list), 507, "{\"error\":\"the list is full: MAX_LOG is 60 bytes\"}");
    free(list);
    cr_assert(shows(master, ""));
    list = list_of(7, 5);
    expect_reply(post_list(master, "", list), 201,
                 "{\"id\":7,\"first_id\":1,\"count\":7,\"w\":1,\"acks\":1}");
    free(list);
    cr_assert(shows(master, "xxxxx xxxxx xxxxx xxxxx xxxxx xxxxx xxxxx"));
}

SCENARIO(cluster_batch, a_list_may_have_10000_texts_and_8_mib)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    char *list = list_of(10000, 100);
    expect_reply(post_list(master, "?w=2", list), 201,
                 "{\"id\":10000,\"first_id\":1,\"count\":10000,\"w\":2,\"acks\":2}");
    free(list);
    list = list_of(10001, 1);
    expect_status(post_list(master, "", list), 400);
    free(list);
    list = list_of(8, 1048574); /* with what is around them 8 MiB and a few bytes */
    size_t len = strlen(list);
    expect_status(post_list(master, "", list), 413);
    strcpy(list + len - 30, "\"]}");
    expect_reply(post_list(master, "?w=2", list), 201,
                 "{\"id\":10008,\"first_id\":10001,\"count\":8,\"w\":2,\"acks\":2}");
    free(list);
    cr_assert(equal_lists(master, s1, NULL));
}

SCENARIO(cluster_batch, where_a_message_may_be_longer_the_body_of_a_list_may_as_well)
{
    struct node *master = master_start("--max-message 3000000");
    char *list = list_of(5, 3000000);
    expect_status(post_list(master, "", list), 201);
    free(list);
    list = list_of(7, 3000000); /* more than 18000000 and 4096 */
    expect_status(post_list(master, "", list), 413);
    free(list);
    cr_assert_eq(last_id(master), 5);
}

SCENARIO(cluster_batch, readers_see_all_of_a_list_or_nothing_of_it)
{
    enum { LISTS = 40, LEN = 25, READERS = 30 };
    struct node *master = master_start("");
    char *list = list_of(LEN, 1000);
    struct call *calls[LISTS];
    for (int i = 0; i < LISTS; i++)
        calls[i] = call_begin(master->port, "POST", "/messages?w=1", "Content-Type: application/json\r\n",
                              list, strlen(list));
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(last_id(master) % LEN, 0);
    for (int i = 0; i < LISTS; i++) {
        struct reply reply = call_end(calls[i]);
        expect_status(reply, 201);
        cr_assert_eq(json_number_of(reply.body, "first_id") % LEN, 1);
        cr_assert_eq(json_number_of(reply.body, "id") % LEN, 0);
    }
    free(list);
}

/* ---- expected ids */

SCENARIO(cluster_batch, an_append_that_expects_another_id_is_412_and_appends_nothing)
{
    struct node *master = master_start("");
    expect_stored(post(master, "?expect=1", "a"), 201, 1, 1, 1);
    expect_reply(post(master, "?expect=1", "b"), 412,
                 "{\"error\":\"the next id is 2, and 1 was expected\",\"last_id\":1}");
    expect_reply(post(master, "?expect=3", "b"), 412,
                 "{\"error\":\"the next id is 2, and 3 was expected\",\"last_id\":1}");
    expect_reply(post_list(master, "", "{\"messages\":[\"b\",\"c\"],\"expect\":2}"), 201,
                 "{\"id\":3,\"first_id\":2,\"count\":2,\"w\":1,\"acks\":1}");
    expect_status(post_list(master, "", "{\"messages\":[\"d\",\"e\"],\"expect\":3}"), 412);
    expect_stored(post_list(master, "?expect=9", "{\"message\":\"d\",\"expect\":4}"), 201, 4, 1, 1);
    static const char *const bad[] = {"0", "-1", "x", "", "1.0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char query[32];
        snprintf(query, sizeof query, "?expect=%s", bad[i]);
        expect_status(post(master, query, "e"), 400);
    }
    expect_status(post_list(master, "", "{\"message\":\"e\",\"expect\":\"5\"}"), 400);
    cr_assert(shows(master, "a b c d"));
}

SCENARIO(cluster_batch, of_many_that_expect_the_same_id_one_appends)
{
    enum { WRITERS = 20 };
    struct node *master = master_start("");
    struct call *calls[WRITERS];
    int appended = 0;
    for (int i = 0; i < WRITERS; i++)
        calls[i] = post_begin(master, "?expect=1", "m");
    for (int i = 0; i < WRITERS; i++) {
        struct reply reply = call_end(calls[i]);
        cr_assert(reply.status == 201 || reply.status == 412, "%d %s", reply.status, reply.body);
        cr_assert(reply.status == 201 || json_number_of(reply.body, "last_id") == 1);
        appended += reply.status == 201;
    }
    cr_assert_eq(appended, 1);
    cr_assert(shows(master, "m"));
}

/* ---- receipts */

/* What a receipt says of a node: milliseconds; -1 for null, -2 where the node is not in it. */
static double receipt_of(struct reply reply, const char *id)
{
    char wanted[64];
    double ms;
    snprintf(wanted, sizeof wanted, "{\"id\":\"%s\",\"ms\":", id);
    const char *at = strstr(reply.body, wanted);
    if (!at)
        return -2;
    return sscanf(at + strlen(wanted), "%lf}", &ms) == 1 ? ms : -1;
}

SCENARIO(cluster_batch, a_receipt_has_every_member_and_when_it_came_to_hold_the_message)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    member_start(master, "slow", "--secondary-delays 0.4");
    struct reply reply = post(master, "?w=3&receipt=1", "a");
    expect_status(reply, 201);
    cr_assert(strstr(reply.body, "{\"id\":1,\"w\":3,\"acks\":3,\"nodes\":[{\"id\":\"master\",\"ms\":"), "%s",
              reply.body);
    double master_ms = receipt_of(reply, "master");
    double s1_ms = receipt_of(reply, "s1"), slow_ms = receipt_of(reply, "slow");
    cr_assert(master_ms >= 0 && s1_ms >= master_ms && s1_ms <= reply.ms && slow_ms >= 400 &&
                  slow_ms <= reply.ms + 1,
              "%s", reply.body);
    reply = http_get(master->port, "/messages/1?w=1&receipt=1");
    cr_assert(receipt_of(reply, "master") == 0 && receipt_of(reply, "s1") == 0 &&
                  receipt_of(reply, "slow") == 0,
              "%s", reply.body);
    reply = post(master, "?w=1&receipt=1", "b");
    cr_assert(receipt_of(reply, "s1") == -1 && receipt_of(reply, "slow") == -1, "%s", reply.body);
    cr_assert_not(strstr(post(master, "?receipt=0", "c").body, "nodes"));
    expect_status(post(master, "?receipt=yes", "d"), 400);
    expect_status(http_get(master->port, "/messages/1?w=1&receipt=2"), 400);
}

SCENARIO(cluster_batch, who_has_lost_the_message_again_has_no_time_in_a_receipt)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct fake *fake = fake_open(FAKE_GOOD);
    member_start(master, "s1", "");
    fake_join(fake, master, "f1");
    struct call *call = call_post(master->port, "/messages?w=4&timeout=2&receipt=1", "a");
    eventually(SOON, member_number(master, "f1", "acked") == 1);
    fake_mode(fake, FAKE_500);
    fake_restart(fake);
    expect_status(fake_register(fake, master, "f1"), 200);
    eventually(SOON, member_number(master, "f1", "acked") == 0);
    struct reply reply = call_end(call);
    expect_status(reply, 202);
    cr_assert(receipt_of(reply, "s1") >= 0 && receipt_of(reply, "f1") == -1, "%s", reply.body);
}

SCENARIO(cluster_batch, a_member_keeps_its_time_under_another_name)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    fake_slow(fake, 300);
    struct call *call = call_post(master->port, "/messages?w=3&receipt=1", "a");
    eventually(SOON, member_number(master, "f1", "acked") == 1);
    fake_join(fake, master, "f2");
    member_start(master, "s1", "");
    struct reply reply = call_end(call);
    expect_status(reply, 201);
    double ms = receipt_of(reply, "f2");
    cr_assert(receipt_of(reply, "f1") == -2 && ms >= 300 && ms < receipt_of(reply, "s1"), "%s", reply.body);
}

SCENARIO(cluster_batch, who_has_left_is_not_in_a_receipt_and_who_has_come_is)
{
    struct node *master = master_start("");
    member_start(master, "s1", "");
    struct node *s2 = member_start(master, "s2", "");
    struct call *call = call_post(master->port, "/messages?w=4&receipt=1", "a");
    eventually(SOON, member_number(master, "s2", "acked") == 1);
    cr_assert_eq(node_stop(s2).code, 0);
    eventually(SOON, members(master) == 1);
    member_start(master, "s3", "");
    cr_assert_not(call_done(call));
    secondary_start(master, "--secondary-id s4");
    struct reply reply = call_end(call);
    expect_status(reply, 201);
    cr_assert(receipt_of(reply, "s1") >= 0 && receipt_of(reply, "s2") == -2, "%s", reply.body);
    cr_assert(receipt_of(reply, "s4") >= receipt_of(reply, "s3") && receipt_of(reply, "s3") > 0, "%s",
              reply.body);
}
