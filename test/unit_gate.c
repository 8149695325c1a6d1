/* A master by hand: when its appends wait, go on, or are refused. Its secondaries are lists, and answer when
 * the test lets them. */
#include "elements.h"
#include "node_by_hand.h"

#include "concern.h"
#include "log/log.h"
#include "replication/members.h"
#include "replication/retry.h"

#include <criterion/criterion.h>
#include <inttypes.h>

enum { FIRST_PORT = 5001, SECONDARIES = 4, UNHEALTHY_MS = 5 * NODE_HEARTBEAT_MS, TURNS = 10 };

/* s1 to s4; they listen on ports of their own, which tell whose a connection is. */
static struct secondary {
    struct log *list;
    char log[WIRE_NAME_SIZE];
    uint64_t epoch;
    bool silent;     /* it answers nothing */
    bool incomplete; /* it has never held all that its master had */
} secondaries[SECONDARIES];

static unsigned answered[FAKE_CLIENTS_MAX]; /* requests, of each connection */

static struct secondary *secondary_of(const struct http_client *client)
{
    return &secondaries[client->url.port - FIRST_PORT];
}

static void elements_append(struct log *list, struct span elements, uint64_t count)
{
    uint64_t last;
    cr_assert(!count || list_append(list, elements, count, &last) == 0);
}

/* A secondary gets a request: it takes the messages, and the master for its own. */
static void take_request(struct http_client *client)
{
    struct secondary *secondary = secondary_of(client);
    struct wire_replicate batch;
    char why[JSON_WHY_SIZE];
    if (!client->body.len)
        return;
    cr_assert_null(wire_replicate_read(buf_span(&client->body), (struct span){0}, &batch, why));
    cr_assert(batch.first == log_last(secondary->list) + 1 &&
              batch.digest.value == log_tail(secondary->list).digest);
    elements_append(secondary->list, batch.elements, batch.count);
    wire_replicate_free(&batch);
}

/* It follows the master whose fields came. */
static void master_follow(struct secondary *secondary, const char *fields)
{
    const char *log = strstr(fields, "Log: ");
    cr_assert(log && sscanf(log, "Log: %71s Epoch: %" SCNu64, secondary->log, &secondary->epoch) == 2);
}

static void say_ack(struct http_client *client, struct secondary *secondary)
{
    char body[512];
    struct log_tail tail = log_tail(secondary->list);
    master_follow(secondary, client->fields);
    snprintf(body, sizeof body,
             "{\"last_id\":%" PRIu64 ",\"id\":\"s%d\",\"boot\":\"b%d\",\"log\":\"%s\",\"epoch\":%" PRIu64
             ",\"digest\":\"%016" PRIx64 "\"}",
             tail.last, client->url.port - FIRST_PORT + 1, client->url.port - FIRST_PORT + 1, secondary->log,
             secondary->epoch, tail.digest);
    fake_answer(client, 200, body);
}

/* GET /messages?from=1. */
static void say_list(struct http_client *client, const struct secondary *secondary)
{
    const struct http_head head = {.status = 200, .framing = HTTP_FRAMING_CLOSE};
    struct buf text = {0};
    struct log_slice slice = log_slice(secondary->list, 1, UINT64_MAX);
    struct iovec iov;
    cr_assert_str_eq(client->target, "/messages?from=1");
    cr_assert_eq(log_slice_iov(&slice, &iov, 1), 1);
    buf_add_text(&text, "{\"messages\":[");
    buf_add(&text, iov.iov_base, (size_t)slice.len);
    buf_add_text(&text, "]}");
    fake_part(client, &head, buf_span(&text));
    buf_free(&text);
}

/* The secondaries answer what they were asked, those that are not silent. */
static void secondaries_turn(void)
{
    for (int i = 0; i < fake.opened; i++)
        while (fake.clients[i] && !fake.clients[i]->over && !secondary_of(fake.clients[i])->silent &&
               answered[i] < fake.clients[i]->requests) {
            answered[i]++;
            if (strcmp(fake.clients[i]->method, "GET") == 0)
                say_list(fake.clients[i], secondary_of(fake.clients[i]));
            else
                say_ack(fake.clients[i], secondary_of(fake.clients[i]));
        }
}

/* Lets all that can happen now happen. */
static void settle(void)
{
    for (int i = 0; i < TURNS; i++) {
        node_pass();
        secondaries_turn();
    }
}

/* Lets so much time go by. */
static void wait(int64_t ms)
{
    enum { STEP_MS = 10 };
    for (; ms > 0; ms -= STEP_MS) {
        node_wait(ms < STEP_MS ? ms : STEP_MS);
        secondaries_turn();
    }
    settle();
}

/* Registers s1 to s4 by its number, and lets it be dialled, and answer. Returns the status; 0: not yet. */
static int join(int number)
{
    const struct secondary *secondary = &secondaries[number - 1];
    struct log_tail tail = log_tail(secondary->list);
    char body[512];
    snprintf(body, sizeof body,
             "{\"id\":\"s%d\",\"url\":\"http://a:%d\",\"boot\":\"b%d\",\"log\":\"%s\",\"epoch\":%" PRIu64
             ",\"last_id\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "\",\"complete\":%s}",
             number, FIRST_PORT + number - 1, number, secondary->log, secondary->epoch, tail.last,
             tail.digest, secondary->incomplete ? "false" : "true");
    int fd = node_ask("POST", "/register", "", body);
    settle();
    struct node_answer answer = node_answer(fd);
    close(fd);
    settle();
    return answer.status;
}

/* It holds two messages of a log from before this master. */
static void has_old_list(int number)
{
    struct secondary *secondary = &secondaries[number - 1];
    elements_append(secondary->list, span_of("\"a\",\"b\""), 2);
    strcpy(secondary->log, "old");
    secondary->epoch = 4;
}

/* ---- appends */

static int post_begin(const char *query)
{
    char target[64];
    snprintf(target, sizeof target, "/messages%s", query);
    int fd = node_ask("POST", target, "", "m");
    settle();
    return fd;
}

/* The status of a POST so far; 0: it waits. */
static int status(int fd)
{
    settle();
    return node_answer(fd).status;
}

static int post(void)
{
    int fd = post_begin("?w=1");
    int got = status(fd);
    close(fd);
    settle();
    return got;
}

/* ---- */

static void start(void)
{
    fake.asked = take_request;
    for (int i = 0; i < SECONDARIES; i++)
        secondaries[i].list = log_open();
}

static void master_start(void)
{
    node_start(SETTINGS_MASTER);
}

static void end(void)
{
    node_stopped();
    for (int i = 0; i < SECONDARIES; i++)
        log_close(secondaries[i].list);
    cr_assert_eq(fake_open(), 0);
}

TestSuite(gate, .init = start, .fini = end, .timeout = 60);

Test(gate, a_master_that_is_told_of_no_nodes_and_no_quorum_is_open)
{
    master_start();
    cr_assert_eq(post(), 201);
}

/* ---- NODES */

Test(gate, appends_wait_until_all_nodes_have_been_met)
{
    hand.settings.nodes = 3;
    master_start();
    int fd = post_begin("");
    cr_assert_eq(status(fd), 0);
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 0);
    cr_assert_eq(join(2), 200);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_has_registered_and_not_answered_has_not_been_met)
{
    hand.settings.nodes = 2;
    master_start();
    secondaries[0].silent = true;
    int fd = post_begin("");
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_was_sure_once_is_sure_for_good)
{
    hand.settings.nodes = 2;
    master_start();
    join(1);
    cr_assert_eq(post(), 201);
    cr_assert_eq(node_call("DELETE", "/secondaries/s1", "", "").status, 204);
    cr_assert_eq(post(), 201);
}

Test(gate, no_time_opens_it_while_nodes_have_not_been_met)
{
    hand.settings.nodes = 3;
    master_start();
    join(1);
    int fd = post_begin("");
    wait(10 * UNHEALTHY_MS);
    cr_assert_eq(status(fd), 0);
    close(fd);
}

Test(gate, a_witness_that_holds_all_that_was_acknowledged_by_all_is_enough)
{
    hand.settings.nodes = 4;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1");
    has_old_list(1);
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, so_many_witnesses_as_no_majority_goes_without)
{
    hand.settings.nodes = 5;
    hand.settings.write_concern = CONCERN_MAJORITY;
    master_start();
    int fd = post_begin("?w=1");
    for (int number = 1; number <= 3; number++) {
        has_old_list(number);
        cr_assert_eq(status(fd), 0, "%d witnesses", number - 1);
        cr_assert_eq(join(number), 200);
    }
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_came_empty_is_no_witness)
{
    hand.settings.nodes = 4;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1");
    cr_assert_eq(join(1), 200);
    cr_assert_eq(join(2), 200);
    cr_assert_eq(status(fd), 0);
    cr_assert_eq(join(3), 200);
    cr_assert_eq(status(fd), 201, "all have been met");
    close(fd);
}

Test(gate, who_had_never_caught_up_is_no_witness)
{
    hand.settings.nodes = 4;
    hand.settings.write_concern = CONCERN_ALL;
    master_start();
    int fd = post_begin("?w=1");
    has_old_list(1);
    secondaries[0].incomplete = true;
    cr_assert_eq(join(1), 200);
    cr_assert_eq(status(fd), 0);
    has_old_list(2);
    cr_assert_eq(join(2), 200);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, who_was_given_a_list_by_this_master_is_no_witness)
{
    hand.settings.nodes = 5;
    hand.settings.write_concern = 4;
    master_start();
    int fd = post_begin("?w=1");
    has_old_list(1);
    join(1);
    cr_assert_eq(join(2), 200);
    settle();
    cr_assert_eq(log_last(secondaries[1].list), 2);
    cr_assert_eq(status(fd), 0, "one witness of the two that are needed");
    has_old_list(3);
    join(3);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

/* ---- QUORUM */

static void start_with_quorum(int quorum)
{
    hand.settings.quorum = quorum;
    master_start();
}

Test(gate, without_the_quorum_appends_are_refused)
{
    start_with_quorum(3);
    struct node_answer answer = node_call("POST", "/messages", "", "m");
    cr_assert(answer.status == 503 && strstr(answer.body, "2 of the 3 nodes of the quorum are missing"));
    join(1);
    answer = node_call("POST", "/messages", "", "m");
    cr_assert(answer.status == 503 && strstr(answer.body, "1 of the 3 nodes of the quorum is missing"));
    join(2);
    cr_assert_eq(post(), 201);
}

Test(gate, who_has_registered_and_not_answered_is_missing)
{
    start_with_quorum(2);
    secondaries[0].silent = true;
    cr_assert_eq(join(1), 200);
    cr_assert_eq(post(), 503);
}

Test(gate, a_node_that_is_silent_for_so_long_is_missing)
{
    start_with_quorum(2);
    join(1);
    wait(UNHEALTHY_MS);
    cr_assert_eq(post(), 201);
    secondaries[0].silent = true;
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    cr_assert_eq(post(), 201);
    wait(2 * NODE_HEARTBEAT_MS);
    cr_assert_eq(post(), 503);
    secondaries[0].silent = false;
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(post(), 201);
}

Test(gate, a_majority_is_of_the_nodes_that_are_meant)
{
    hand.settings.nodes = 4;
    start_with_quorum(CONCERN_MAJORITY);
    join(1);
    cr_assert_eq(post(), 503);
    join(2);
    int fd = post_begin("?w=1");
    cr_assert_eq(status(fd), 0, "the third may hold what was acknowledged");
    join(3);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, before_the_first_append_members_that_have_not_answered_are_waited_for)
{
    start_with_quorum(2);
    join(1);
    secondaries[1].silent = true;
    join(2);
    int fd = post_begin("?w=1");
    cr_assert_eq(status(fd), 0);
    secondaries[1].silent = false;
    cr_assert_eq(status(fd), 201);
    close(fd);
    secondaries[2].silent = true;
    join(3);
    cr_assert_eq(post(), 201, "not before the second one");
}

Test(gate, members_that_do_not_answer_are_waited_for_so_long_and_no_longer)
{
    start_with_quorum(2);
    join(1);
    secondaries[1].silent = true;
    join(2);
    int fd = post_begin("?w=1");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 0);
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, members_that_register_meanwhile_do_not_make_that_longer)
{
    start_with_quorum(2);
    join(1);
    secondaries[1].silent = secondaries[2].silent = true;
    join(2);
    int fd = post_begin("?w=1");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    join(3);
    cr_assert_eq(status(fd), 0);
    wait(NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

/* ---- the process stands still */

/* The process is stopped for so long, and goes on. */
static void stand_still(int64_t ms)
{
    clock_move(ms);
    node_pass();
}

Test(gate, behind_a_pause_appends_wait_until_the_quorum_has_answered_afresh)
{
    start_with_quorum(2);
    join(1);
    cr_assert_eq(post(), 201);
    secondaries[0].silent = true;
    stand_still(100 * UNHEALTHY_MS);
    int fd = post_begin("?w=1");
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, behind_a_pause_a_quorum_that_does_not_answer_is_missing)
{
    start_with_quorum(2);
    join(1);
    cr_assert_eq(post(), 201);
    secondaries[0].silent = true;
    stand_still(100 * UNHEALTHY_MS);
    int fd = post_begin("?w=1");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 0);
    wait(2 * NODE_HEARTBEAT_MS);
    cr_assert_eq(status(fd), 503);
    close(fd);
}

Test(gate, behind_a_pause_a_quorum_that_was_missing_is_waited_for)
{
    start_with_quorum(2);
    join(1);
    secondaries[0].silent = true;
    wait(2 * UNHEALTHY_MS);
    cr_assert_eq(post(), 503);
    stand_still(100 * UNHEALTHY_MS);
    int fd = post_begin("?w=1");
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    wait(RETRY_MOST_MS);
    cr_assert_eq(status(fd), 201);
    close(fd);
}

Test(gate, without_a_quorum_a_pause_changes_nothing)
{
    start_with_quorum(SETTINGS_QUORUM_OFF);
    join(1);
    secondaries[0].silent = true;
    stand_still(100 * UNHEALTHY_MS);
    cr_assert_eq(post(), 201);
}

/* ---- a take-over, and the end */

Test(gate, appends_wait_while_a_list_is_taken_over_and_follow_it)
{
    master_start();
    has_old_list(1);
    secondaries[0].silent = true;
    cr_assert_eq(join(1), 0);
    int fd = node_ask("POST", "/messages", "", "m");
    cr_assert_eq(status(fd), 0);
    secondaries[0].silent = false;
    settle();
    struct node_answer answer = node_answer(fd);
    cr_assert(answer.status == 201 && strstr(answer.body, "\"id\":3"), "%d: %s", answer.status, answer.body);
    cr_assert(strstr(node_call("GET", "/health", "", "").body, "\"log\":\"old\",\"last_id\":3"));
    cr_assert_eq(secondaries[0].epoch, 5);
    close(fd);
}

Test(gate, a_master_that_stops_while_it_takes_over_lets_nobody_through)
{
    master_start();
    has_old_list(1);
    secondaries[0].silent = true;
    cr_assert_eq(join(1), 0);
    int fd = post_begin("?w=1");
    node_stop(hand.node, 0);
    node_pass();
    struct node_answer answer = node_answer(fd);
    cr_assert(answer.status == 503 && strstr(answer.body, "the master is shutting down"));
    close(fd);
}

Test(gate, a_master_that_stops_refuses_appends)
{
    master_start();
    node_stop(hand.node, 0);
    node_pass();
    struct node_answer answer = node_call("POST", "/messages", "", "m");
    cr_assert(answer.status == 503 && strstr(answer.body, "the master is shutting down"));
}

Test(gate, a_master_that_stops_is_busy_as_long_as_it_waits_for_acks)
{
    master_start();
    int fd = post_begin("?w=2");
    node_stop(hand.node, 1000);
    node_wait(999);
    cr_assert(node_answer(fd).status == 0 && hand.service.busy(hand.node));
    node_wait(1);
    cr_assert_eq(node_answer(fd).status, 202);
    cr_assert(!hand.service.busy(hand.node));
    close(fd);
}
