/* GET /events by hand: what is told together, who is told what, and who has missed something. */
#include "by_hand.h"
#include "failing_malloc.h"
#include "hand_clock.h"
#include "replication/events.h"

#include <criterion/criterion.h>
#include <inttypes.h>

static struct events *events;
static int64_t due_ms; /* when they asked to pass again */

static void handle_events(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct buf at = {0};
    (void)ctx;
    (void)request;
    (void)rest;
    buf_add_text(&at, "{\"now\":1}");
    events_begin(events, &at, exchange);
    buf_free(&at);
}

static const struct http_route routes[] = {{.method = "GET", .path = "/events", .handle = handle_events},
                                           {0}};

static void start(void)
{
    clock_hold();
    hand_open();
    hand.service.routes = routes;
    events = events_open();
    cr_assert(events);
}

static void stop(void)
{
    hand_run(3);
    events_close(events);
    hand_run(2);
    cr_expect_eq(hand.conns.answering, hand.conns.open ? hand.conns.answering : 0);
    hand_close();
}

TestSuite(events, .init = start, .fini = stop, .timeout = 20);

static void pass(int64_t ms)
{
    clock_move(ms);
    due_ms = events_pass(events, clock_ms());
    hand_run(3);
}

static int reader(void)
{
    static const char request[] = "GET /events HTTP/1.0\r\nHost: a\r\n\r\n"; /* without chunks */
    int client = hand_connect();
    cr_assert(send(client, request, sizeof request - 1, 0) > 0);
    hand_run(3);
    return client;
}

/* What came since the last time; behind the head, where that is among it. */
static const char *told(int client)
{
    static char got[1024 * 1024];
    size_t len = 0;
    for (ssize_t more; (more = recv(client, got + len, sizeof got - 1 - len, 0)) > 0; hand_run(2))
        len += (size_t)more;
    got[len] = '\0';
    const char *body = strstr(got, "\r\n\r\n");
    return body ? body + 4 : got;
}

#define expect_told(client, text)                                                                            \
    do {                                                                                                     \
        const char *told_now = told(client);                                                                 \
        cr_expect(strcmp(told_now, (text)) == 0, "line %d: '%s', not '%s'", __LINE__, told_now, (text));     \
    } while (0)

#define FIRST "retry: 1000\n\nevent: at\ndata: {\"now\":1}\n\n"

static void appended(uint64_t id)
{
    events_tell(events, .kind = EVENT_APPENDED, .first = id, .last = id, .bytes = 10);
}

static void ack(const char *node, uint64_t last, double ms)
{
    events_tell(events, .kind = EVENT_ACK, .node = node, .last = last, .ms = ms);
}

static void answered(uint64_t id, int status)
{
    events_tell(events, .kind = EVENT_ANSWERED, .last = id, .status = status, .w = 2, .acks = 2, .ms = 1.5);
}

Test(events, each_kind_has_its_own_fields)
{
    int client = reader();
    expect_told(client, FIRST);
    appended(1);
    events_tell(events, .kind = EVENT_SENT, .node = "s\"1", .first = 1, .last = 1);
    ack("s\"1", 1, 0.25);
    answered(1, 201);
    events_tell(events, .kind = EVENT_MEMBER, .node = "s2", .state = "healthy");
    events_tell(events, .kind = EVENT_STORED, .first = 1, .last = 7);
    events_tell(events, .kind = EVENT_SHOWN, .first = 2, .last = 7);
    pass(0);
    expect_told(client, "event: appended\ndata: {\"first\":1,\"last\":1,\"bytes\":10}\n\n"
                        "event: sent\ndata: {\"node\":\"s\\\"1\",\"first\":1,\"last\":1}\n\n"
                        "event: ack\ndata: {\"node\":\"s\\\"1\",\"last\":1,\"ms\":0.2}\n\n"
                        "event: answered\ndata: {\"id\":1,\"status\":201,\"w\":2,\"acks\":2,\"ms\":1.5}\n\n"
                        "event: member\ndata: {\"id\":\"s2\",\"state\":\"healthy\"}\n\n"
                        "event: stored\ndata: {\"first\":1,\"last\":7}\n\n"
                        "event: shown\ndata: {\"first\":2,\"last\":7}\n\n");
    close(client);
}

Test(events, what_is_of_one_kind_and_one_node_and_follows_on_one_another_is_one)
{
    int client = reader();
    told(client);
    for (uint64_t id = 1; id <= 5; id++) {
        appended(id);
        ack("s1", id, 1);
        ack("s2", id, 2);
    }
    appended(9); /* does not follow on 5 */
    pass(0);
    expect_told(client, "event: appended\ndata: {\"first\":1,\"last\":5,\"bytes\":50}\n\n"
                        "event: appended\ndata: {\"first\":9,\"last\":9,\"bytes\":10}\n\n"
                        "event: ack\ndata: {\"node\":\"s1\",\"last\":5,\"ms\":1.0}\n\n"
                        "event: ack\ndata: {\"node\":\"s2\",\"last\":5,\"ms\":2.0}\n\n");
    close(client);
}

Test(events, what_leads_to_another_is_told_before_it)
{
    int client = reader();
    told(client);
    ack("s1", 1, 1); /* of a message that was sent before */
    appended(2);
    events_tell(events, .kind = EVENT_SENT, .node = "s1", .first = 2, .last = 2);
    ack("s1", 2, 2);
    pass(0);
    expect_told(client, "event: appended\ndata: {\"first\":2,\"last\":2,\"bytes\":10}\n\n"
                        "event: sent\ndata: {\"node\":\"s1\",\"first\":2,\"last\":2}\n\n"
                        "event: ack\ndata: {\"node\":\"s1\",\"last\":2,\"ms\":2.0}\n\n");
    close(client);
}

Test(events, states_of_members_are_never_one)
{
    int client = reader();
    told(client);
    events_tell(events, .kind = EVENT_MEMBER, .node = "s1", .state = "suspected");
    events_tell(events, .kind = EVENT_MEMBER, .node = "s1", .state = "healthy");
    pass(0);
    expect_told(client, "event: member\ndata: {\"id\":\"s1\",\"state\":\"suspected\"}\n\n"
                        "event: member\ndata: {\"id\":\"s1\",\"state\":\"healthy\"}\n\n");
    close(client);
}

static int count(const char *text, const char *what)
{
    int found = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        found++;
    return found;
}

Test(events, a_few_answers_are_told_one_by_one_and_many_as_one_of_each_status)
{
    int client = reader();
    told(client);
    for (uint64_t id = 1; id <= 100; id++)
        answered(id, id % 2 ? 201 : 202);
    pass(0);
    const char *text = told(client);
    cr_expect_eq(count(text, "event: answered"), 16);
    cr_expect(strstr(text, "{\"id\":1,") && strstr(text, "{\"id\":14,"), "%s", text);
    cr_expect(strstr(text, "{\"id\":99,\"status\":201") && strstr(text, "{\"id\":100,\"status\":202"), "%s",
              text);
    close(client);
}

Test(events, more_than_are_told_together_are_all_told)
{
    char node[16];
    int client = reader();
    told(client);
    for (int i = 0; i < 200; i++) {
        snprintf(node, sizeof node, "s%d", i);
        ack(node, 1, 0);
    }
    pass(0);
    const char *text = told(client);
    cr_expect_eq(count(text, "event: ack"), 200);
    cr_expect(strstr(text, "\"s0\"") && strstr(text, "\"s199\""));
    cr_expect_eq(count(text, "lost"), 0);
    close(client);
}

Test(events, the_first_after_a_quiet_while_is_told_at_once_and_more_at_the_end_of_its_window)
{
    int client = reader();
    told(client);
    appended(1);
    pass(0);
    cr_expect_eq(count(told(client), "appended"), 1);
    appended(2);
    pass(EVENTS_WINDOW_MS / 2);
    expect_told(client, "");
    cr_expect_eq(due_ms, clock_ms() + EVENTS_WINDOW_MS / 2);
    appended(3);
    pass(EVENTS_WINDOW_MS / 2);
    expect_told(client, "event: appended\ndata: {\"first\":2,\"last\":3,\"bytes\":20}\n\n");
    pass(EVENTS_WINDOW_MS);
    appended(4);
    pass(0);
    cr_expect_eq(count(told(client), "appended"), 1);
    close(client);
}

Test(events, a_reader_gets_nothing_from_before_its_time)
{
    int first = reader();
    told(first);
    appended(1);
    int second = reader();
    pass(0);
    cr_expect_eq(count(told(first), "appended"), 1);
    expect_told(second, FIRST);
    appended(2);
    pass(EVENTS_WINDOW_MS);
    cr_expect_eq(count(told(second), "appended"), 1);
    close(first);
    close(second);
}

Test(events, where_nobody_reads_nothing_is_kept_and_no_pass_is_asked_for)
{
    cr_expect_not(events_watched(events));
    appended(1);
    pass(0);
    cr_expect_eq(due_ms, CLOCK_NEVER);
    int client = reader();
    cr_expect(events_watched(events));
    pass(0);
    expect_told(client, FIRST);
    close(client);
    hand_run(2);
    cr_expect_not(events_watched(events));
    cr_expect_not(events_watched(NULL));
}

Test(events, it_is_told_how_the_node_is_once_a_second)
{
    struct buf at = {0};
    buf_add_text(&at, "{\"now\":2}");
    int client = reader();
    told(client);
    cr_expect_not(events_at_is_due(events, clock_ms() + EVENTS_AT_MS - 1));
    pass(0);
    cr_expect_eq(due_ms, clock_ms() + EVENTS_AT_MS);
    clock_move(EVENTS_AT_MS);
    cr_expect(events_at_is_due(events, clock_ms()));
    appended(1);
    events_at(events, &at, clock_ms());
    pass(0);
    expect_told(client, "event: appended\ndata: {\"first\":1,\"last\":1,\"bytes\":10}\n\n"
                        "event: at\ndata: {\"now\":2}\n\n");
    cr_expect_not(events_at_is_due(events, clock_ms() + EVENTS_AT_MS - 1));
    buf_free(&at);
    close(client);
}

/* Tells so many of a node that none is made one with another. */
static void flood(int from, int to)
{
    char node[72];
    for (int i = from; i <= to; i++) {
        snprintf(node, sizeof node, "%063d", i);
        ack(node, (uint64_t)i, 0);
    }
    pass(EVENTS_WINDOW_MS);
}

#define LOST "event: lost\ndata: {\"count\":"

Test(events, who_falls_behind_is_told_how_much_it_has_missed_and_goes_on)
{
    enum { EACH = 50, FLOODS = 150 };
    int slow = reader(), small = 4096;
    const struct loop_watch *its_end = (struct loop_watch *)hand.conns.lists[CONNS_OPEN];
    cr_assert(setsockopt(its_end->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    int quick = reader();
    int counted = 0;
    told(slow);
    told(quick);
    for (int i = 0; i < FLOODS; i++) {
        flood(i * EACH + 1, (i + 1) * EACH);
        counted += count(told(quick), "event: ack");
    }
    for (int i = 0; i < 3; i++) {
        pass(EVENTS_WINDOW_MS);
        counted += count(told(quick), "event: ack");
    }
    cr_expect_eq(counted, EACH * FLOODS);
    /* it reads what has left for it, falls behind once more, and then reads all */
    int got = count(told(slow), "event: ack"), lost = 0, losses = 0;
    pass(EVENTS_WINDOW_MS);
    for (int i = 0; i < FLOODS; i++)
        flood((FLOODS + i) * EACH + 1, (FLOODS + i + 1) * EACH);
    for (int i = 0; i < 30; i++) {
        const char *text = told(slow), *at = strstr(text, LOST);
        losses += count(text, LOST);
        lost += at ? atoi(at + strlen(LOST)) : 0;
        got += count(text, "event: ack");
        pass(EVENTS_WINDOW_MS);
    }
    cr_expect_eq(losses, 2, "%d", losses);
    cr_expect_eq(got + lost, 2 * EACH * FLOODS, "%d and %d", got, lost);
    flood(1, 1);
    cr_expect(count(told(slow), "event: ack") == 1);
    close(slow);
    close(quick);
}

Test(events, a_reader_past_the_most_is_refused_until_one_has_gone)
{
    int clients[EVENTS_READERS_MAX];
    for (int i = 0; i < EVENTS_READERS_MAX; i++) {
        if (i == EVENTS_READERS_SHARE) {
            int of_same = reader();
            cr_expect(strstr(told(of_same), "or 32 of one address"));
            close(of_same);
            hand.peer = "127.0.0.2:1";
        }
        clients[i] = reader();
    }
    hand.peer = "127.0.0.3:1";
    int more = reader();
    cr_expect(strstr(told(more), "64 clients follow the events already"));
    close(more);
    close(clients[7]);
    hand_run(2);
    more = reader();
    appended(1);
    pass(0);
    for (int i = 0; i < EVENTS_READERS_MAX; i++)
        if (i != 7)
            cr_expect_eq(count(told(clients[i]), "appended"), 1, "%d", i);
    cr_expect_eq(count(told(more), "appended"), 1);
    for (int i = 0; i < EVENTS_READERS_MAX; i++)
        if (i != 7)
            close(clients[i]);
    close(more);
}

Test(events, at_a_stop_what_is_pending_is_told_and_the_stream_ends)
{
    int client = reader();
    told(client);
    pass(0);
    appended(1);
    pass(0);
    appended(2);
    events_stop(events);
    pass(1);
    pass(1);
    const char *text = told(client);
    cr_expect_eq(count(text, "appended"), 2, "%s", text);
    cr_expect_not(events_watched(events));
    cr_expect_eq(recv(client, (char[1]){0}, 1, 0), 0);
    close(client);
}

Test(events, at_a_stop_a_reader_that_has_all_ends_as_well)
{
    int client = reader();
    told(client);
    pass(0);
    events_stop(events);
    pass(1);
    cr_expect_not(events_watched(events));
    cr_expect_eq(recv(client, (char[1]){0}, 1, 0), 0);
    close(client);
}

Test(events, what_there_is_no_memory_for_is_missed_whole)
{
    for (int failures = 0; failures < 6; failures++) {
        int client = reader();
        told(client);
        for (int i = 1; i <= 5; i++) {
            ack("s1", 1, 0);
            events_tell(events, .kind = EVENT_MEMBER, .node = "a-longer-name", .state = "healthy");
            events_tell(events, .kind = EVENT_STORED, .first = 1, .last = 1);
            failing_after(failures);
            clock_move(EVENTS_WINDOW_MS);
            events_pass(events, clock_ms());
            failing_after(-1);
            hand_run(3);
        }
        const char *text = told(client);
        int whole = count(text, "}\n\n");
        cr_expect(count(text, "event: ") == whole && count(text, "data: {") == whole, "%d: %s", failures,
                  text);
        close(client);
        hand_run(3);
        events_close(events);
        events = events_open();
    }
}
