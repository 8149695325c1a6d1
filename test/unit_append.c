/* Appends on a master by hand, whose clock stands still: lists of messages, expected ids, receipts, and who
 * waits. */
#include "master_by_hand.h"

#include <criterion/criterion.h>

#define JSON "Content-Type: application/json\r\n"

/* Sends a request, and lets happen what can happen now. */
static int ask(const char *method, const char *target, const char *fields, const char *body)
{
    int fd = node_ask(method, target, fields, body);
    settle();
    return fd;
}

static void expect_answer(int fd, int status, const char *body)
{
    settle();
    struct node_answer answer = node_answer(fd);
    cr_assert_eq(answer.status, status, "%d instead of %d: %s", answer.status, status, answer.body);
    cr_assert_str_eq(answer.body, body);
    close(fd);
    settle();
}

static void expect_waits(int fd)
{
    settle();
    struct node_answer answer = node_answer(fd);
    cr_assert_eq(answer.status, 0, "%d: %s", answer.status, answer.body);
}

static void expect_list(const char *list)
{
    struct node_answer answer = node_call("GET", "/messages", "", "");
    cr_assert_str_eq(answer.body, list);
}

static void expect_pending(const char *query, const char *body)
{
    char target[64];
    snprintf(target, sizeof target, "/pending%s", query);
    struct node_answer answer = node_call("GET", target, "", "");
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(answer.body, body);
}

static void master_with(int nodes)
{
    hand.settings.nodes = (unsigned)nodes;
    node_start(SETTINGS_MASTER);
}

TestSuite(append, .init = secondaries_open, .fini = master_end, .timeout = 60);

/* ---- lists of messages */

Test(append, a_list_is_appended_together_and_waits_for_its_last_message)
{
    master_with(0);
    join(1);
    secondaries[0].silent = true;
    int fd = ask("POST", "/messages?w=2", JSON, "{\"messages\":[\"a\",\"b\",\"c\"]}");
    expect_list("{\"messages\":[\"a\",\"b\",\"c\"]}");
    expect_waits(fd);
    secondaries[0].silent = false;
    expect_answer(fd, 201, "{\"id\":3,\"first_id\":1,\"count\":3,\"w\":2,\"acks\":2}");
    cr_assert_eq(log_last(secondaries[0].list), 3);
}

Test(append, lists_that_wait_at_the_gate_keep_their_texts_and_their_order)
{
    master_with(2);
    int first = ask("POST", "/messages", JSON, "{\"messages\":[\"a\",\"b\"]}");
    int second = ask("POST", "/messages", "", "c");
    int third = ask("POST", "/messages", JSON, "{\"messages\":[\"\\u0064\",\"e\",\"f\"],\"w\":2}");
    expect_waits(first);
    expect_list("{\"messages\":[]}");
    join(1);
    expect_answer(first, 201, "{\"id\":2,\"first_id\":1,\"count\":2,\"w\":1,\"acks\":1}");
    expect_answer(second, 201, "{\"id\":3,\"w\":1,\"acks\":1}");
    expect_answer(third, 201, "{\"id\":6,\"first_id\":4,\"count\":3,\"w\":2,\"acks\":2}");
    expect_list("{\"messages\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]}");
}

Test(append, no_post_has_anything_of_an_earlier_one)
{
    master_with(0);
    node_call("POST", "/messages", JSON, "{\"messages\":[\"a\",\"bb\"]}");
    node_call("POST", "/messages", "", "ccc");
    node_call("POST", "/messages", JSON, "{\"messages\":[\"dddd\",\"\"]}");
    node_call("POST", "/messages?w=x", JSON, "{\"messages\":[\"dddd\"]}");
    node_call("POST", "/messages?expect=9", JSON, "{\"messages\":[\"dddd\",\"d\"]}");
    node_call("POST", "/messages", JSON, "{\"messages\":[\"eeeee\",\"f\",\"gg\"]}");
    node_call("POST", "/messages", JSON, "{\"message\":\"h\"}");
    expect_list("{\"messages\":[\"a\",\"bb\",\"ccc\",\"eeeee\",\"f\",\"gg\",\"h\"]}");
    cr_assert_str_eq(node_call("GET", "/messages/6", "", "").body, "{\"id\":6,\"message\":\"gg\"}");
}

/* ---- expected ids */

Test(append, an_expected_id_is_looked_at_when_the_gate_lets_the_post_through)
{
    master_with(2);
    int first = ask("POST", "/messages?expect=1", "", "x");
    int third = ask("POST", "/messages?expect=3", JSON, "{\"messages\":[\"c\",\"d\"]}");
    int late = ask("POST", "/messages?expect=3", "", "y");
    expect_waits(first);
    has_old_list(1); /* two messages */
    join(1);
    expect_answer(first, 412, "{\"error\":\"the next id is 3, and 1 was expected\",\"last_id\":2}");
    expect_answer(third, 201, "{\"id\":4,\"first_id\":3,\"count\":2,\"w\":1,\"acks\":1}");
    expect_answer(late, 412, "{\"error\":\"the next id is 5, and 3 was expected\",\"last_id\":4}");
    expect_list("{\"messages\":[\"a\",\"b\",\"c\",\"d\"]}");
}

/* ---- receipts */

Test(append, a_receipt_tells_when_each_node_came_to_hold_the_message)
{
    master_with(0);
    join(1);
    join(2);
    secondaries[1].silent = true;
    int fd = ask("POST", "/messages?w=3&receipt=1", "", "a");
    wait(700); /* and a few signs of life */
    expect_waits(fd);
    secondaries[1].silent = false;
    expect_answer(fd, 201,
                  "{\"id\":1,\"w\":3,\"acks\":3,\"nodes\":[{\"id\":\"master\",\"ms\":0.0},"
                  "{\"id\":\"s1\",\"ms\":0.0},{\"id\":\"s2\",\"ms\":700.0}]}");
    fd = ask("POST", "/messages?w=3&receipt=0", "", "b");
    expect_answer(fd, 201, "{\"id\":2,\"w\":3,\"acks\":3}");
}

Test(append, who_does_not_hold_it_yet_has_no_time_in_a_receipt)
{
    master_with(0);
    join(1);
    join(2);
    secondaries[1].silent = true;
    secondaries[2].silent = true;
    join(3); /* is registered, and not proven */
    int fd = ask("POST", "/messages?w=4&timeout=0.2&receipt=1", JSON, "{\"messages\":[\"a\",\"b\"]}");
    wait(200);
    expect_answer(
        fd, 202,
        "{\"id\":2,\"first_id\":1,\"count\":2,\"w\":4,\"acks\":2,\"error\":\"the time is over before "
        "enough nodes hold the message; it is in the log and is still being replicated\","
        "\"nodes\":[{\"id\":\"master\",\"ms\":0.0},{\"id\":\"s1\",\"ms\":0.0},{\"id\":\"s2\",\"ms\":null},"
        "{\"id\":\"s3\",\"ms\":null}]}");
}

Test(append, the_time_at_the_gate_counts_in_a_receipt)
{
    master_with(2);
    int fd = ask("POST", "/messages?receipt=1&w=2", "", "a");
    wait(70);
    join(1);
    expect_answer(fd, 201,
                  "{\"id\":1,\"w\":2,\"acks\":2,\"nodes\":[{\"id\":\"master\",\"ms\":70.0},"
                  "{\"id\":\"s1\",\"ms\":70.0}]}");
}

Test(append, a_get_that_finds_it_there_has_0_and_a_later_one_the_time_since_the_get)
{
    master_with(0);
    join(1);
    secondaries[1].silent = true;
    join(2);
    node_call("POST", "/messages?w=2", "", "a");
    wait(300);
    int fd = ask("GET", "/messages/1?w=3&receipt=1", "", "");
    wait(50);
    expect_waits(fd);
    secondaries[1].silent = false;
    expect_answer(fd, 200,
                  "{\"id\":1,\"w\":3,\"acks\":3,\"nodes\":[{\"id\":\"master\",\"ms\":0.0},"
                  "{\"id\":\"s1\",\"ms\":0.0},{\"id\":\"s2\",\"ms\":50.0}]}");
}

Test(append, receipts_of_different_messages_are_told_apart)
{
    master_with(0);
    join(1);
    secondaries[0].silent = true;
    int a = ask("POST", "/messages?w=2&receipt=1", "", "a");
    wait(10);
    secondaries[0].silent = false;
    settle();
    secondaries[0].silent = true;
    int b = ask("POST", "/messages?w=2&receipt=1", "", "b");
    wait(10);
    int c = ask("POST", "/messages?w=2&receipt=1", "", "c");
    wait(10);
    secondaries[0].silent = false;
#define RECEIPT(ms)                                                                                          \
    ",\"w\":2,\"acks\":2,\"nodes\":[{\"id\":\"master\",\"ms\":0.0},{\"id\":\"s1\",\"ms\":" ms "}]}"
    expect_answer(a, 201, "{\"id\":1" RECEIPT("10.0"));
    expect_answer(b, 201, "{\"id\":2" RECEIPT("20.0"));
    expect_answer(c, 201, "{\"id\":3" RECEIPT("10.0"));
}

/* ---- who waits */

#define CLIENT ",\"client\":\"127.0.0.1:1\"}"

Test(append, pending_tells_who_waits_for_whom_and_for_how_long)
{
    master_with(0);
    expect_pending("", "{\"count\":0,\"pending\":[]}");
    join(1);
    join(2);
    secondaries[1].silent = true;
    int late = ask("POST", "/messages?w=3&timeout=2", JSON, "{\"messages\":[\"a\",\"b\"]}");
    wait(100);
    int ever = ask("POST", "/messages?w=all", "", "c");
    wait(20);
    int get = ask("GET", "/messages/1?w=9", "", "");
    settle();
    wait(3);
    expect_pending(
        "",
        "{\"count\":3,\"pending\":["
        "{\"id\":2,\"w\":3,\"acks\":2,\"age\":0.123,\"timeout\":1.877,\"waits_for\":[\"s2\"]" CLIENT
        ",{\"id\":3,\"w\":3,\"acks\":2,\"age\":0.023,\"timeout\":null,\"waits_for\":[\"s2\"]" CLIENT
        ",{\"id\":1,\"w\":9,\"acks\":2,\"age\":0.003,\"timeout\":null,\"waits_for\":[\"s2\"]" CLIENT "]}");
    expect_pending(
        "?limit=1",
        "{\"count\":3,\"pending\":["
        "{\"id\":2,\"w\":3,\"acks\":2,\"age\":0.123,\"timeout\":1.877,\"waits_for\":[\"s2\"]" CLIENT "]}");
    expect_pending("?limit=0", "{\"count\":3,\"pending\":[]}");
    cr_expect_eq(node_call("GET", "/pending?limit=x", "", "").status, 400);
    secondaries[1].silent = false;
    settle();
    expect_pending("", "{\"count\":1,\"pending\":["
                       "{\"id\":1,\"w\":9,\"acks\":3,\"age\":0.003,\"timeout\":null,\"waits_for\":[]" CLIENT
                       "]}");
    close(late);
    close(ever);
    close(get);
    settle();
    expect_pending("", "{\"count\":0,\"pending\":[]}");
}

Test(append, those_at_the_gate_have_no_id_and_wait_for_no_member)
{
    master_with(3);
    join(1);
    int first = ask("POST", "/messages?timeout=1", "", "x");
    int second = ask("POST", "/messages?w=all", "", "y");
    wait(250);
    expect_pending(
        "", "{\"count\":2,\"pending\":["
            "{\"id\":null,\"w\":1,\"acks\":0,\"age\":0.250,\"timeout\":0.750,\"waits_for\":[]" CLIENT
            ",{\"id\":null,\"w\":3,\"acks\":0,\"age\":0.250,\"timeout\":null,\"waits_for\":[]" CLIENT "]}");
    close(first);
    close(second);
}

/* A newcomer with a long way to go is a member for which `all` does not wait, and 3 does. */
Test(append, who_does_not_count_for_all_is_not_waited_for)
{
    master_with(0);
    join(1);
    node_call("POST", "/messages?w=2", "", "a");
    secondaries[0].silent = true;
    join(2);
    secondaries[1].silent = true;
    secondaries[2].silent = true;
    join(3); /* is registered, and not proven */
    int all = ask("POST", "/messages?w=all", "", "b");
    int four = ask("POST", "/messages?w=4", "", "c");
    expect_pending(
        "", "{\"count\":2,\"pending\":["
            "{\"id\":2,\"w\":3,\"acks\":1,\"age\":0.000,\"timeout\":null,\"waits_for\":[\"s1\",\"s2\"]" CLIENT
            ",{\"id\":3,\"w\":4,\"acks\":1,\"age\":0.000,\"timeout\":null,\"waits_for\":[\"s1\",\"s2\","
            "\"s3\"]" CLIENT "]}");
    close(all);
    close(four);
}

Test(append, all_waits_for_who_does_not_count_where_nodes_tells_of_more)
{
    master_with(3);
    join(1);
    join(2);
    node_call("DELETE", "/secondaries/s2", "", "");
    secondaries[1].silent = true;
    join(2); /* is registered, and not proven */
    int all = ask("POST", "/messages?w=all", "", "a");
    expect_pending(
        "", "{\"count\":1,\"pending\":["
            "{\"id\":1,\"w\":3,\"acks\":2,\"age\":0.000,\"timeout\":null,\"waits_for\":[\"s2\"]" CLIENT "]}");
    close(all);
}
