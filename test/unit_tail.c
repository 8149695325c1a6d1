/* Reads that wait and streams, on a node by hand: when each is answered, and who has its turn. */
#include "node_by_hand.h"
#include "replication/tail.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

TestSuite(tail, .timeout = 60);

static const char events_wanted[] = "Accept: text/event-stream\r\n";

/* What came on a connection since the last look, without the heads of answers. */
static const char *got(int fd)
{
    static char text[1024 * 1024];
    size_t len = 0;
    for (ssize_t more; (more = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0; node_pass())
        len += (size_t)more;
    text[len] = '\0';
    for (char *head; (head = strstr(text, "HTTP/1.1 ")) != NULL;) {
        char *body = strstr(head, "\r\n\r\n");
        cr_assert(body);
        memmove(head, body + 4, strlen(body + 4) + 1);
    }
    return text;
}

#define expect_got(fd, want)                                                                                 \
    do {                                                                                                     \
        const char *now = got(fd);                                                                           \
        cr_assert(strcmp(now, (want)) == 0, "line %d: got '%.300s', not '%s'", __LINE__, now, (want));       \
    } while (0)

static void append(const char *text)
{
    struct node_answer answer = node_call("POST", "/messages", "Content-Type: text/plain\r\n", text);
    cr_assert_eq(answer.status, 201, "%d %s", answer.status, answer.body);
}

/* ---- long polls */

Test(tail, a_long_poll_is_held_until_its_message_is_there)
{
    node_start(SETTINGS_MASTER);
    int polls[] = {node_ask("GET", "/messages?from=2&wait=60", "", ""),
                   node_ask("GET", "/messages?from=1&wait=60", "", ""),
                   node_ask("GET", "/messages/1?min_id=2&wait=60", "", "")};
    node_wait(59000);
    append("a");
    expect_got(polls[1], "{\"messages\":[\"a\"]}\n");
    expect_got(polls[0], "");
    append("b");
    node_wait(100);
    expect_got(polls[0], "{\"messages\":[\"b\"]}\n");
    expect_got(polls[2], "{\"id\":1,\"message\":\"a\"}\n");
    node_stopped();
}

/* Waits until just before it is over, and then until it is. */
static void expect_held(int fd, int64_t ms, const char *want)
{
    node_wait(ms - 1);
    expect_got(fd, "");
    node_wait(1);
    expect_got(fd, want);
}

Test(tail, a_long_poll_without_a_message_ends_with_its_time)
{
    node_start(SETTINGS_MASTER);
    expect_held(node_ask("GET", "/messages?from=1&wait=1.5", "", ""), 1500, "{\"messages\":[]}\n");
    expect_held(node_ask("GET", "/messages?from=7&wait=0.001", "", ""), 1, "{\"messages\":[]}\n");
    expect_held(node_ask("GET", "/messages?from=140737488355328&wait=300", "", ""), 300000,
                "{\"messages\":[]}\n");
    expect_got(node_ask("GET", "/messages?from=1&wait=0", "", ""), "{\"messages\":[]}\n");
    node_stopped();
}

Test(tail, a_read_waits_five_seconds_for_min_id_unless_it_tells_another_time)
{
    static const char late[] = "{\"error\":\"this node does not show message 2 yet\",\"last_id\":1}\n";
    node_start(SETTINGS_MASTER);
    append("a");
    expect_held(node_ask("GET", "/messages?min_id=2", "", ""), TAIL_MIN_ID_MS, late);
    expect_held(node_ask("GET", "/messages/1?min_id=2", "", ""), TAIL_MIN_ID_MS, late);
    expect_held(node_ask("GET", "/messages?min_id=2&wait=0.25", "", ""), 250, late);
    expect_held(node_ask("GET", "/messages?from=1&min_id=2&wait=0.25", events_wanted, ""), 250, late);
    expect_got(node_ask("GET", "/messages?min_id=2&wait=0", "", ""), late);
    expect_got(node_ask("GET", "/messages?min_id=1", "", ""), "{\"messages\":[\"a\"]}\n");
    node_stopped();
}

/* ---- streams */

#define AT(last) "event: at\ndata: {\"last_id\":" #last ",\"log\":\"L\"}\n\n"

/* A secondary that takes messages from anyone. */
static void secondary_start(int64_t delay_ms)
{
    hand.settings.delay_ms = delay_ms;
    node_start(SETTINGS_SECONDARY);
}

static int stored; /* messages m1, m2, ... */

/* Sends the next message, and does not wait for the answer. */
static void replicate(void)
{
    char body[200];
    snprintf(body, sizeof body, "{\"log\":\"L\",\"first\":%d,\"messages\":[\"m%d\"]}", stored + 1,
             stored + 1);
    stored++;
    node_ask("POST", "/replicate", "Content-Type: application/json\r\n", body);
}

/* An event stream without chunks. */
static int follow(const char *query, const char *fields)
{
    char text[300];
    int ends[2];
    snprintf(text, sizeof text, "GET /messages%s HTTP/1.0\r\nHost: a\r\n%s%s\r\n", query, events_wanted,
             fields);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0 ||
        conn_open(&hand.conns, ends[0], "127.0.0.1:1") < 0 || send(ends[1], text, strlen(text), 0) < 0)
        abort();
    node_pass();
    node_pass();
    return ends[1];
}

Test(tail, a_stream_tells_every_ten_quiet_seconds_how_far_it_is)
{
    secondary_start(0);
    replicate();
    int fd = follow("", "");
    expect_got(fd, "retry: 1000\n\n" AT(1) "id: 1\ndata: \"m1\"\n\n" AT(1));
    node_wait(TAIL_SILENCE_MS - 10);
    expect_got(fd, "");
    replicate();
    expect_got(fd, "id: 2\ndata: \"m2\"\n\n");
    for (int i = 0; i < 3; i++) {
        node_wait(TAIL_SILENCE_MS - 1);
        expect_got(fd, "");
        node_wait(1);
        expect_got(fd, AT(2));
    }
    node_stopped();
}

Test(tail, a_client_that_has_closed_its_side_is_told_how_far_the_list_is_and_goes_on)
{
    secondary_start(0);
    replicate();
    int fd = node_ask("GET", "/messages?from=end", events_wanted, "");
    node_wait(1);
    cr_expect(strstr(got(fd), AT(1)));
    shutdown(fd, SHUT_WR);
    node_pass();
    node_wait(1);
    cr_expect(strstr(got(fd), AT(1)));
    replicate();
    node_wait(1);
    cr_expect(strstr(got(fd), "id: 2\ndata: \"m2\"\n\n"));
    node_stopped();
}

Test(tail, nothing_is_sent_before_it_shows)
{
    secondary_start(1000);
    int fd = follow("", "");
    expect_got(fd, "retry: 1000\n\nevent: at\ndata: {\"last_id\":0,\"log\":null}\n\n");
    replicate();
    node_wait(400);
    replicate();
    node_wait(599);
    expect_got(fd, "");
    node_wait(10);
    expect_got(fd, AT(1) "id: 1\ndata: \"m1\"\n\n");
    int second = follow("", "");
    expect_got(second, "retry: 1000\n\n" AT(1) "id: 1\ndata: \"m1\"\n\n" AT(1));
    int lines = node_ask("GET", "/messages", "Accept: application/x-ndjson\r\n", "");
    node_pass();
    cr_expect_null(strstr(got(lines), "m2"));
    node_wait(300);
    expect_got(fd, "");
    node_wait(100);
    expect_got(fd, "id: 2\ndata: \"m2\"\n\n");
    expect_got(second, "id: 2\ndata: \"m2\"\n\n");
    node_stopped();
}

Test(tail, a_stream_that_goes_on_in_a_log_waits_until_the_node_knows_its_own)
{
    secondary_start(0);
    int same = follow("?log=L", "Last-Event-ID: 1\r\n");
    int other = follow("?log=M", "Last-Event-ID: 1\r\n");
    node_wait(1);
    expect_got(same, "retry: 1000\n\n");
    expect_got(other, "retry: 1000\n\n");
    replicate();
    node_wait(1);
    expect_got(same, AT(1));
    expect_got(other, "event: at\ndata: {\"last_id\":1,\"log\":\"L\",\"reset\":true}\n\n"
                      "id: 1\ndata: \"m1\"\n\n" AT(1));
    replicate();
    node_wait(1);
    expect_got(same, "id: 2\ndata: \"m2\"\n\n");
    expect_got(other, "id: 2\ndata: \"m2\"\n\n");
    node_stopped();
}

Test(tail, where_the_node_never_learns_its_log_a_stream_tells_that_there_is_none)
{
    secondary_start(0);
    int fd = follow("?log=L", "Last-Event-ID: 1\r\n");
    node_wait(TAIL_SILENCE_MS + 10);
    expect_got(fd, "retry: 1000\n\nevent: at\ndata: {\"last_id\":0,\"log\":null}\n\n");
    replicate();
    node_wait(1);
    expect_got(fd, "");
    replicate();
    node_wait(1);
    expect_got(fd, "id: 2\ndata: \"m2\"\n\n");
    node_stopped();
}

/* ---- turns */

static int count_answered(const int *fds, int count, bool *done)
{
    int answered = 0;
    for (int i = 0; i < count; i++) {
        done[i] = done[i] || *got(fds[i]);
        answered += done[i];
    }
    return answered;
}

enum { WAITING = 10 * TAIL_TURN };
static int waiting[WAITING];
static bool answered[WAITING];

static void wait_many(int from)
{
    char target[64];
    snprintf(target, sizeof target, "/messages?from=%d&wait=60", from);
    memset(answered, 0, sizeof answered);
    for (int i = 0; i < WAITING; i++)
        waiting[i] = node_ask("GET", target, "", "");
    node_wait(1);
}

Test(tail, many_readers_are_served_in_turns_with_a_rest_between_them_while_the_list_grows)
{
    node_start(SETTINGS_MASTER);
    wait_many(1);
    append("a");
    int64_t rest_ms = hand.due_ms - clock_ms();
    cr_assert(rest_ms > 1 && rest_ms < TAIL_QUIET_MS, "%" PRId64, rest_ms);
    for (int turn = 1; turn <= WAITING / TAIL_TURN; turn++) {
        int count = count_answered(waiting, WAITING, answered);
        cr_expect_eq(count, turn * TAIL_TURN, "%d: %d", turn, count);
        clock_move(rest_ms - 1);
        append("b"); /* the pass serves nobody */
        count = count_answered(waiting, WAITING, answered);
        cr_expect_eq(count, turn * TAIL_TURN, "%d: %d", turn, count);
        clock_move(1);
        node_pass();
    }
    node_stopped();
}

Test(tail, where_the_list_does_not_grow_the_turns_follow_on_one_another)
{
    node_start(SETTINGS_MASTER);
    wait_many(1);
    append("a");
    cr_expect_eq(count_answered(waiting, WAITING, answered), TAIL_TURN);
    cr_expect_leq(hand.due_ms, clock_ms() + TAIL_QUIET_MS);
    clock_move(TAIL_QUIET_MS);
    for (int turn = 3; turn <= WAITING / TAIL_TURN; turn++) {
        node_pass();
        cr_expect_leq(hand.due_ms, clock_ms());
    }
    node_pass();
    cr_expect_eq(count_answered(waiting, WAITING, answered), WAITING);
    node_stopped();
}

Test(tail, a_reader_is_served_at_once_while_nobody_else_was)
{
    node_start(SETTINGS_MASTER);
    for (int i = 0; i < 5; i++) {
        char target[64];
        snprintf(target, sizeof target, "/messages?from=%d&wait=60", i + 1);
        int fd = node_ask("GET", target, "", "");
        node_wait(2); /* it stands in the line when it comes, too */
        append("a");
        expect_got(fd, "{\"messages\":[\"a\"]}\n");
    }
    node_stopped();
}

/* ---- who goes, and the end */

Test(tail, a_client_may_go_whenever_it_likes)
{
    node_start(SETTINGS_MASTER);
    int rests = node_ask("GET", "/messages?from=1&wait=60", "", "");
    int follows = follow("", "");
    int due = follow("?from=1", "");
    close(rests);
    node_pass();
    append("a");
    close(due);
    node_wait(50);
    close(follows);
    node_wait(50);
    cr_expect_eq(hand.conns.open, 0);
    cr_expect_eq(hand.conns.answering, 0);
    /* while a piece is under way */
    char text[1000] = "";
    memset(text, 'x', sizeof text - 1);
    int full = follow("", "");
    for (int i = 0; i < 500; i++) {
        append(text);
        node_wait(1);
    }
    cr_expect(hand.conns.answering > 0);
    close(full);
    node_wait(10);
    cr_expect_eq(hand.conns.open, 0);
    cr_expect_eq(hand.conns.answering, 0);
    /* due, and not yet served */
    int fds[2 * TAIL_TURN];
    for (int i = 0; i < 2 * TAIL_TURN; i++)
        fds[i] = follow("", "");
    node_wait(100);
    append("b");
    for (int i = 0; i < 2 * TAIL_TURN; i++)
        close(fds[i]);
    node_pass();
    node_wait(100);
    cr_expect_eq(hand.conns.open, 0);
    cr_expect_eq(hand.conns.answering, 0);
    node_stopped();
}

Test(tail, at_a_stop_all_who_wait_are_answered_and_streams_end)
{
    node_start(SETTINGS_MASTER);
    append("a");
    int fds[2 * TAIL_TURN];
    for (int i = 0; i < 2 * TAIL_TURN; i++)
        fds[i] = i % 2 ? follow("", "") : node_ask("GET", "/messages?from=2&wait=60", "", "");
    int min_id = node_ask("GET", "/messages?min_id=9&wait=60", "", "");
    node_wait(100);
    for (int i = 1; i < 2 * TAIL_TURN; i += 2)
        got(fds[i]);
    node_stop(hand.node, clock_ms() + 1000);
    node_pass();
    node_pass();
    for (int i = 0; i < 2 * TAIL_TURN; i += 2)
        expect_got(fds[i], "{\"messages\":[]}\n");
    for (int i = 1; i < 2 * TAIL_TURN; i += 2)
        cr_expect(recv(fds[i], (char[1]){0}, 1, 0) == 0, "%d", i);
    cr_expect(strstr(got(min_id), "does not show message 9"));
    node_stopped();
}

Test(tail, past_the_most_only_the_first_request_of_a_connection_may_wait)
{
    enum { EACH = 1024, CONNECTIONS = TAIL_READERS_MAX / EACH };
    static const char poll[] = "GET /messages?from=9&wait=200 HTTP/1.1\r\nHost: a\r\n\r\n";
    int fds[CONNECTIONS];
    node_start(SETTINGS_MASTER);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = node_ask("GET", "/messages?from=9&wait=200", "", "");
        for (int j = 1; j < EACH - (i == 0); j++) { /* one less than the most */
            cr_assert(send(fds[i], poll, sizeof poll - 1, 0) == sizeof poll - 1);
            if (j % 100 == 0)
                node_wait(1);
        }
        for (int j = 0; j < 8; j++)
            node_wait(1);
    }
    int one_more = node_ask("GET", "/messages?from=9&wait=10", "", "");
    cr_assert(send(one_more, poll, sizeof poll - 1, 0) > 0);
    node_wait(9999);
    expect_got(one_more, "");
    node_wait(1);
    expect_got(one_more, "{\"messages\":[]}\n{\"error\":\"too many reads are waiting\"}\n");
    close(one_more);
    node_stopped();
}
