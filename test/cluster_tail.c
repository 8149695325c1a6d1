/* Reads that follow the list, on both roles: long polls, min_id, event streams, lines of JSON. */
#include "cluster.h"
#include "stream.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct node *master, *s1, *slow;

static void trio_start(void)
{
    master = master_start("");
    s1 = member_start(master, "s1", "");
    slow = member_start(master, "slow", "--secondary-delays 0.5");
}

static void pair_start(void)
{
    master = master_start("");
    s1 = member_start(master, "s1", "");
}

static struct reply get_with(const struct node *node, const char *fields, const char *target)
{
    return http_request(node->port, "GET", target, fields, NULL, 0, HTTP_LIMIT_MS);
}

static struct call *get_begin(const struct node *node, const char *fields, const char *target)
{
    return call_begin(node->port, "GET", target, fields, NULL, 0);
}

/* ---- long polls */

SCENARIO(cluster_tail, a_long_poll_is_answered_when_its_message_shows)
{
    trio_start();
    struct node *nodes[] = {master, s1, slow};
    for (int i = 0; i < 3; i++) {
        char target[64], text[16], body[64];
        snprintf(target, sizeof target, "/messages?from=%d&wait=60", i + 1);
        struct call *call = get_begin(nodes[i], NULL, target);
        always(200, !call_done(call));
        snprintf(text, sizeof text, "m%d", i + 1);
        int64_t began = now_ms();
        expect_status(post(master, "?w=1", text), 201);
        struct reply reply = call_end(call);
        int took = (int)(now_ms() - began);
        snprintf(body, sizeof body, "{\"messages\":[\"%s\"]}", text);
        expect_status(reply, 200);
        cr_assert_str_eq(reply.body, body);
        cr_assert(took < late(AT_ONCE_MS), "%d ms", took);
        cr_assert(i < 2 || took > 300, "%d ms", took);
        cr_assert_eq(atoi(http_field(&reply, "Last-Id")), i + 1);
        expect_at_once(get_with(nodes[i], NULL, target));
        cr_assert_str_eq(get_with(nodes[i], NULL, target).body, body);
    }
}

SCENARIO(cluster_tail, a_long_poll_that_gets_nothing_ends_with_an_empty_list_or_a_304)
{
    pair_start();
    expect_status(post(master, "", "a"), 201);
    struct node *nodes[] = {master, s1};
    for (int i = 0; i < 2; i++) {
        struct reply late = get_with(nodes[i], NULL, "/messages?from=2&wait=0.3");
        expect_status(late, 200);
        expect_took(late, 300);
        cr_assert_str_eq(late.body, "{\"messages\":[]}");
        char known[128];
        snprintf(known, sizeof known, "If-None-Match: %s\r\n", http_field(&late, "ETag"));
        struct reply unchanged = get_with(nodes[i], known, "/messages?from=2&wait=0.3");
        expect_status(unchanged, 304);
        expect_took(unchanged, 300);
        cr_assert_str_eq(http_field(&unchanged, "Last-Id"), "1");
        cr_assert_str_eq(http_field(&unchanged, "Log-Id"), log_name(master));
        cr_assert_str_eq(http_field(&unchanged, "Vary"), "Accept");
        struct reply part = get_with(nodes[i], NULL, "/messages?from=1");
        snprintf(known, sizeof known, "If-None-Match: %s\r\n", http_field(&part, "ETag"));
        struct reply same = get_with(nodes[i], known, "/messages?from=1&wait=60");
        expect_status(same, 304);
        expect_at_once(same);
        struct reply head =
            http_request(nodes[i]->port, "HEAD", "/messages?from=2&wait=0.3", NULL, NULL, 0, HTTP_LIMIT_MS);
        expect_status(head, 200);
        expect_took(head, 300);
    }
}

SCENARIO(cluster_tail, a_long_poll_with_a_condition_gets_what_has_come)
{
    pair_start();
    struct reply empty = get_with(s1, NULL, "/messages?from=1");
    char known[128];
    snprintf(known, sizeof known, "If-None-Match: %s\r\n", http_field(&empty, "ETag"));
    struct call *call = get_begin(s1, known, "/messages?from=1&wait=60");
    always(100, !call_done(call));
    expect_status(post(master, "", "a"), 201);
    struct reply reply = call_end(call);
    expect_status(reply, 200);
    cr_assert_str_eq(reply.body, "{\"messages\":[\"a\"]}");
}

SCENARIO(cluster_tail, a_wait_that_makes_no_sense_is_refused)
{
    static const char *const queries[] = {
        "from=1&wait=-1", "from=1&wait=300.001", "from=1&wait=x", "from=1&wait=",    "from=1&wait=1x",
        "wait=1",         "limit=1&wait=1",      "wait=0",        "from=0&wait=1",   "from=1&wait=%221%22",
        "from=end",       "from=end&wait=1",     "min_id=0",      "min_id=x&wait=1", "min_id=",
        "from=1&wait=nan"};
    pair_start();
    expect_status(post(master, "", "a"), 201);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        struct reply reply = http_get(i % 2 ? s1->port : master->port, "/messages?%s", queries[i]);
        cr_assert_eq(reply.status, 400, "%s: %d %s", queries[i], reply.status, reply.body);
        expect_at_once(reply);
    }
    expect_status(http_get(master->port, "/messages?from=1&wait=300"), 200);
    expect_status(http_get(master->port, "/messages?from=1&wait=1e1"), 200);
    expect_status(http_get(master->port, "/messages?from=2&wait=0"), 200);
    expect_status(http_get(master->port, "/messages/1?min_id=x"), 400);
}

SCENARIO(cluster_tail, many_who_wait_for_one_message_all_get_it)
{
    enum { COUNT = 300 };
    static struct call *calls[COUNT];
    pair_start();
    for (int i = 0; i < COUNT; i++)
        calls[i] = get_begin(i % 2 ? s1 : master, NULL, "/messages?from=1&wait=60");
    for (int i = 0; i < COUNT; i++)
        cr_assert_not(call_done(calls[i]));
    expect_at_once(post(master, "", "a"));
    for (int i = 0; i < COUNT; i++)
        cr_assert_str_eq(call_end(calls[i]).body, "{\"messages\":[\"a\"]}");
}

/* ---- min_id */

SCENARIO(cluster_tail, a_read_with_min_id_waits_for_what_was_written_elsewhere)
{
    trio_start();
    expect_status(post(master, "?w=1", "a"), 201);
    struct reply reply = http_get(slow->port, "/messages?min_id=1");
    cr_assert_str_eq(reply.body, "{\"messages\":[\"a\"]}");
    expect_status(post(master, "?w=1", "b"), 201);
    cr_assert_str_eq(http_get(slow->port, "/messages/2?min_id=2").body, "{\"id\":2,\"message\":\"b\"}");
    cr_assert_str_eq(http_get(slow->port, "/messages/1?min_id=2").body, "{\"id\":1,\"message\":\"a\"}");
    expect_status(post(master, "?w=1", "c"), 201);
    cr_assert_str_eq(http_get(slow->port, "/messages?from=3&min_id=3&wait=20").body,
                     "{\"messages\":[\"c\"]}");
    /* what `from` asks for is answered then, and not waited for as well */
    struct reply past = http_get(master->port, "/messages?from=9&min_id=3&wait=20");
    cr_assert_str_eq(past.body, "{\"messages\":[]}");
    expect_at_once(past);
    expect_at_once(http_get(master->port, "/messages/1?min_id=3"));
}

SCENARIO(cluster_tail, a_read_whose_min_id_does_not_come_is_503_with_what_there_is)
{
    pair_start();
    expect_status(post(master, "", "a"), 201);
    struct node *nodes[] = {master, s1};
    const char *targets[] = {"/messages?min_id=2&wait=0.3", "/messages/1?min_id=2&wait=0.3",
                             "/?min_id=2&from=1&wait=0.3"};
    for (int i = 0; i < 6; i++) {
        struct reply reply = http_get(nodes[i % 2]->port, "%s", targets[i / 2]);
        expect_status(reply, 503);
        expect_took(reply, 300);
        cr_assert_eq(json_number_of(reply.body, "last_id"), 1);
        cr_assert_not_null(json_text_of(reply.body, "error"));
        cr_assert_not_null(http_field(&reply, "Retry-After"));
        cr_assert_str_eq(http_field(&reply, "Last-Id"), "1");
    }
    struct reply five = http_get(s1->port, "/messages?min_id=2");
    expect_status(five, 503);
    expect_took(five, 5000);
}

/* ---- event streams */

static void expect_event(struct stream *stream, const char *name, long long id, const char *data)
{
    struct event event;
    cr_assert(stream_event(stream, SOON, &event), "no event, but %s %lld %s", name, id, data);
    cr_assert(strcmp(event.name, name) == 0 && event.id == id && strcmp(event.data, data) == 0,
              "%s %lld %s instead of %s %lld %s", event.name, event.id, event.data, name, id, data);
}

static void expect_place(struct stream *stream, long long last, bool reset)
{
    char data[160];
    snprintf(data, sizeof data, "{\"last_id\":%lld,\"log\":\"%s\"%s}", last, log_name(master),
             reset ? ",\"reset\":true" : "");
    expect_event(stream, "at", -1, data);
}

static void expect_message(struct stream *stream, int number)
{
    char data[24];
    snprintf(data, sizeof data, "\"m%d\"", number);
    expect_event(stream, "", number, data);
}

static void expect_messages(struct stream *stream, int from, int to)
{
    for (int i = from; i <= to; i++)
        expect_message(stream, i);
}

SCENARIO(cluster_tail, an_event_stream_begins_with_the_backlog_and_goes_on)
{
    trio_start();
    post_numbered(master, "", 1, 3);
    struct node *nodes[] = {master, s1, slow};
    struct stream *streams[3];
    for (int i = 0; i < 3; i++) {
        struct stream *stream = streams[i] = events_open(nodes[i]->port, NULL, i ? "/messages" : "/");
        cr_assert_eq(stream->status, 200);
        cr_assert_str_eq(stream_field(stream, "Content-Type"), "text/event-stream");
        cr_assert_str_eq(stream_field(stream, "Cache-Control"), "no-store");
        cr_assert_str_eq(stream_field(stream, "X-Accel-Buffering"), "no");
        cr_assert_str_eq(stream_field(stream, "Vary"), "Accept");
        cr_assert_str_eq(stream_field(stream, "Last-Id"), "3");
        cr_assert_str_eq(stream_field(stream, "Log-Id"), log_name(master));
        cr_assert_str_eq(stream_field(stream, "Transfer-Encoding"), "chunked");
        cr_assert_null(stream_field(stream, "Content-Length"));
        cr_assert_str_eq(stream_next(stream, "\n\n", SOON), "retry: 1000");
        expect_place(stream, 3, false);
        expect_messages(stream, 1, 3);
        expect_place(stream, 3, false);
    }
    post_numbered(master, "?w=1", 4, 6);
    for (int i = 0; i < 3; i++)
        expect_messages(streams[i], 4, 6);
    for (int i = 0; i < 3; i++)
        cr_assert_not(stream_more(streams[i], 50));
}

struct start {
    const char *query;
    const char *fields;
    int first; /* the message that comes first; there are 3 at first, and 10 later */
    bool reset;
};

#define LAST(id) "Last-Event-ID: " id "\r\n"
static const struct start starts[] = {
    {"", "", 1, false},
    {"?from=2", "", 2, false},
    {"?from=4", "", 4, false},
    {"?from=end", "", 4, false},
    {"?from=3", LAST("1"), 2, false},
    {"?from=end", LAST("2"), 3, false},
    {"", LAST("0"), 1, false},
    {"", LAST("3"), 4, false},
    {"", LAST("4"), 1, true}, /* past the end, and nobody knows of which log */
    {"?from=9", "", 1, true},
    {"", LAST("abc"), 1, true},
    {"", LAST("-1"), 1, true},
    {"", LAST("99999999999999999999999999"), 1, true},
    {"?log=LOG", LAST("2"), 3, false},
    {"?log=LOG", LAST("8"), 9, false}, /* waits for it */
    {"?from=9&log=LOG", "", 9, false},
    {"?log=LOG&from=end", "", 4, false},
    {"?log=LOG", "", 1, false},
    {"?log=0123456789abcdef0123456789abcdef", LAST("2"), 1, true},
    {"?log=0123456789abcdef0123456789abcdef", LAST("8"), 1, true},
    {"?log=0123456789abcdef0123456789abcdef&from=end", "", 4, false},
    {"?log=LOG", LAST("none"), 1, true},
    {"?log=LOG", LAST(""), 1, false},
    {"?log=LOG", LAST("99999999999999999999"), 1, true},
    {"?log=", LAST("2"), 1, true},
    {"?log=012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
     "01234567890123456789",
     LAST("2"), 1, true},
};

static struct stream *start_open(const struct node *node, const struct start *start)
{
    char query[160];
    const char *log = strstr(start->query, "LOG");
    int before = log ? (int)(log - start->query) : (int)strlen(start->query);
    snprintf(query, sizeof query, "%.*s%s%s", before, start->query, log ? log_name(master) : "",
             log ? log + 3 : "");
    return events_open(node->port, start->fields, "/messages%s", query);
}

static void expect_starts(const struct node *node)
{
    enum { COUNT = sizeof starts / sizeof *starts };
    struct stream *streams[COUNT];
    int last = (int)last_id(node);
    for (int i = 0; i < COUNT; i++) {
        streams[i] = start_open(node, &starts[i]);
        struct event event;
        cr_assert(stream_event(streams[i], SOON, &event), "%s %s", starts[i].query, starts[i].fields);
        cr_assert_eq(json_true_of(event.data, "reset"), starts[i].reset, "%s %s: %s", starts[i].query,
                     starts[i].fields, event.data);
    }
    post_numbered(master, "", last + 1, 10);
    for (int i = 0; i < COUNT; i++) {
        struct event event;
        int next = starts[i].first;
        while (next <= 10) {
            cr_assert(stream_event(streams[i], SOON, &event), "%s %s", starts[i].query, starts[i].fields);
            if (*event.name)
                continue; /* the end of the backlog */
            cr_assert_eq(event.id, next, "%s %s: %lld", starts[i].query, starts[i].fields, event.id);
            next++;
        }
        stream_close(streams[i]);
    }
}

SCENARIO(cluster_tail, a_stream_begins_where_its_client_was_or_tells_that_it_begins_anew)
{
    pair_start();
    post_numbered(master, "", 1, 3);
    expect_starts(master);
}

SCENARIO(cluster_tail, a_stream_on_a_secondary_begins_alike)
{
    pair_start();
    post_numbered(master, "", 1, 3);
    expect_starts(s1);
}

SCENARIO(cluster_tail, every_text_survives_in_one_line)
{
    static const char *const texts[] = {"\" \"",
                                        "\"two\\nlines\"",
                                        "\"\\r\\n\\n\\r\"",
                                        "\"\\u0000 and more\"",
                                        "\"\\\"quoted\\\" \\\\ \"",
                                        "\"\xf0\x9f\x98\x80 \xe2\x82\xac\"",
                                        "\"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\"",
                                        "\"data: x\"",
                                        "\": id: 7\"",
                                        "\"\\t\\u001f\\u007f\"",
                                        "\"\xef\xbb\xbf\""};
    enum { COUNT = sizeof texts / sizeof *texts };
    pair_start();
    struct stream *before = events_open(s1->port, NULL, "/messages");
    expect_place(before, 0, false);
    for (int i = 0; i < COUNT; i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"message\":%s}", texts[i]);
        expect_status(http_post_json(master->port, "/messages", json), 201);
    }
    struct stream *after = events_open(master->port, NULL, "/messages");
    expect_place(after, COUNT, false);
    for (int i = 0; i < COUNT; i++) {
        struct reply reply = http_get(master->port, "/messages/%d", i + 1);
        char *text = strdup(strstr(reply.body, "\"message\":") + strlen("\"message\":"));
        text[strlen(text) - 1] = '\0';
        cr_assert_null(strpbrk(text, "\r\n"));
        expect_event(before, "", i + 1, text);
        expect_event(after, "", i + 1, text);
    }
}

SCENARIO(cluster_tail, head_of_a_stream_is_a_head)
{
    pair_start();
    const char *const types[] = {"Accept: text/event-stream\r\n", "Accept: application/x-ndjson\r\n"};
    for (int i = 0; i < 2; i++) {
        int fd = raw_open(s1->port);
        raw_text(fd, "HEAD /messages HTTP/1.1\r\nHost: a\r\n%s\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
                 types[i]);
        struct reply head = raw_reply(fd, true, SOON);
        expect_status(head, 200);
        cr_assert_str_eq(http_field(&head, "Content-Type"), i ? "application/x-ndjson" : "text/event-stream");
        cr_assert_str_eq(raw_reply(fd, false, SOON).body, "{\"status\":\"alive\"}");
        close(fd);
    }
}

/* ---- lines */

static char *lines(const struct node *node, const char *query)
{
    struct stream *stream = stream_open(node->port, "Accept: application/x-ndjson\r\n", "/messages%s", query);
    cr_assert_eq(stream->status, 200);
    cr_assert_str_eq(stream_field(stream, "Content-Type"), "application/x-ndjson");
    cr_assert_str_eq(stream_field(stream, "Cache-Control"), "no-cache");
    cr_assert_str_eq(stream_field(stream, "Vary"), "Accept");
    cr_assert_str_eq(stream_field(stream, "Log-Id"), log_name(node));
    char *text = stream_rest(stream, SOON);
    cr_assert(text, "%s", query);
    raw_text(stream->fd, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"); /* the connection is kept */
    expect_status(raw_reply(stream->fd, false, SOON), 200);
    stream_close(stream);
    return text;
}

SCENARIO(cluster_tail, lines_reach_to_the_present_end)
{
#define LINE(id) "{\"id\":" #id ",\"message\":\"m" #id "\"}\n"
    static const struct {
        const char *query, *want;
    } rows[] = {{"", LINE(1) LINE(2) LINE(3)},
                {"?from=2", LINE(2) LINE(3)},
                {"?limit=2", LINE(1) LINE(2)},
                {"?from=2&limit=1", LINE(2)},
                {"?from=3&limit=18446744073709551615", LINE(3)},
                {"?from=4", ""},
                {"?from=9&limit=2", ""},
                {"?limit=0", ""},
                {"?from=2&limit=0", ""},
                {"?min_id=3&from=3", LINE(3)},
                {"?from=18446744073709551615", ""}};
    pair_start();
    cr_assert_str_eq(lines(master, ""), "");
    post_numbered(master, "", 1, 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_str_eq(lines(master, rows[i].query), rows[i].want, "%s", rows[i].query);
        cr_assert_str_eq(lines(s1, rows[i].query), rows[i].want, "%s", rows[i].query);
    }
}

SCENARIO(cluster_tail, lines_of_a_long_list_are_all_of_it)
{
    enum { COUNT = 20000 };
    pair_start();
    post_numbered(master, "?w=1", 1, COUNT);
    eventually(SOON, last_id(s1) == COUNT);
    char *text = lines(s1, ""), *at = text;
    for (int i = 1; i <= COUNT; i++) {
        char want[64];
        int len = snprintf(want, sizeof want, "{\"id\":%d,\"message\":\"m%d\"}\n", i, i);
        cr_assert(strncmp(at, want, (size_t)len) == 0, "%d: %.60s", i, at);
        at += len;
    }
    cr_assert_str_eq(at, "");
}

SCENARIO(cluster_tail, long_messages_are_sent_whole)
{
    enum { LONG = 1024 * 1024 };
    static const int lens[] = {10,   LONG, 4093, 4094, 4095, 4096,  4097, 8190,
                               8191, 8192, 20,   LONG, LONG, 30000, 1};
    enum { COUNT = sizeof lens / sizeof *lens };
    static char text[LONG + 3], want[LONG + 64];
    pair_start();
    struct stream *live = events_open(s1->port, NULL, "/messages");
    expect_place(live, 0, false);
    for (int i = 0; i < COUNT; i++) {
        memset(text, 'a' + i, (size_t)lens[i]);
        expect_status(http_post(master->port, "/messages", text, (size_t)lens[i]), 201);
    }
    struct stream *late = events_open(master->port, NULL, "/messages");
    expect_place(late, COUNT, false);
    char *all = lines(master, ""), *at = all;
    for (int i = 0; i < COUNT; i++) {
        int len = lens[i];
        memset(text, 'a' + i, (size_t)len + 2);
        text[0] = text[len + 1] = '"';
        text[len + 2] = '\0';
        expect_event(live, "", i + 1, text);
        expect_event(late, "", i + 1, text);
        size_t line = (size_t)snprintf(want, sizeof want, "{\"id\":%d,\"message\":%s}\n", i + 1, text);
        cr_assert(strncmp(at, want, line) == 0, "%d", i);
        at += line;
    }
    expect_place(late, COUNT, false);
    cr_assert_eq(*at, '\0');
}

/* ---- fields */

SCENARIO(cluster_tail, every_read_tells_how_far_the_node_is_and_of_which_log)
{
    static const struct {
        const char *target, *fields;
        int status;
        bool varies;
    } rows[] = {{"/messages", NULL, 200, true},
                {"/", NULL, 200, true},
                {"/messages?from=9", NULL, 200, true},
                {"/messages?from=9&wait=0.01", NULL, 200, true},
                {"/messages", "If-None-Match: *\r\n", 304, true},
                {"/messages", "If-Match: \"x\"\r\n", 412, true},
                {"/messages/1", NULL, 200, false},
                {"/messages/9", NULL, 404, false},
                {"/messages/x", NULL, 404, false},
                {"/messages?min_id=9&wait=0", NULL, 503, true},
                {"/messages/1?min_id=9&wait=0", NULL, 503, false},
                {"/messages/1?from=x&limit=x", NULL, 200, false}};
    pair_start();
    post_numbered(master, "", 1, 2);
    const char *log = log_name(master);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct reply reply = get_with(i % 2 ? s1 : master, rows[i / 2].fields, rows[i / 2].target);
        cr_assert_eq(reply.status, rows[i / 2].status, "%s: %d", rows[i / 2].target, reply.status);
        const char *last = http_field(&reply, "Last-Id"), *id = http_field(&reply, "Log-Id");
        const char *vary = http_field(&reply, "Vary");
        cr_assert(last && strcmp(last, "2") == 0, "%s", rows[i / 2].target);
        cr_assert(id && strcmp(id, log) == 0, "%s", rows[i / 2].target);
        cr_assert((vary && strcmp(vary, "Accept") == 0) == rows[i / 2].varies, "%s", rows[i / 2].target);
    }
    struct node *alone = secondary_start(node_later("master", ""), "");
    struct reply reply = http_get(alone->port, "/messages");
    cr_assert_str_eq(http_field(&reply, "Last-Id"), "0");
    cr_assert_null(http_field(&reply, "Log-Id"));
    expect_event(events_open(alone->port, NULL, "/messages"), "at", -1, "{\"last_id\":0,\"log\":null}");
}

/* ---- many */

/* Posts m1, m2, ... in the background, so many at a time, up to a number. */
struct poster {
    pthread_t thread;
    int to;
    atomic_int done;
};

static void *poster_run(void *arg)
{
    struct poster *poster = arg;
    enum { BATCH = 20 };
    for (int from = 1; from <= poster->to; from += BATCH) {
        int to = from + BATCH - 1 < poster->to ? from + BATCH - 1 : poster->to;
        post_numbered(master, "?w=1", from, to);
        atomic_store(&poster->done, to);
    }
    return NULL;
}

static void poster_begin(struct poster *poster, int to)
{
    poster->to = to;
    if (pthread_create(&poster->thread, NULL, poster_run, poster) != 0)
        trouble("no thread");
}

SCENARIO(cluster_tail, many_followers_each_get_each_message_once_and_in_order_while_many_post)
{
    enum { POSTERS = 64, ROUNDS = 5, FOLLOWERS = 100, COUNT = POSTERS * ROUNDS };
    static struct call *posts[COUNT];
    static struct stream *streams[FOLLOWERS];
    pair_start();
    for (int i = 0; i < FOLLOWERS / 2; i++)
        streams[i] = events_open(i % 2 ? s1->port : master->port, NULL, "/messages");
    for (int i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "from %d", i);
        if (i >= POSTERS)
            expect_status(call_end(posts[i - POSTERS]), 201);
        posts[i] = post_begin(master, "", text);
        if (i < FOLLOWERS / 2)
            streams[FOLLOWERS / 2 + i] = events_open(i % 2 ? s1->port : master->port, NULL, "/messages");
    }
    for (int i = COUNT - POSTERS; i < COUNT; i++)
        expect_status(call_end(posts[i]), 201);
    char *list = http_get(master->port, "/messages").body;
    for (int i = 0; i < FOLLOWERS; i++) {
        const char *at = list + strlen("{\"messages\":[");
        for (int id = 1; id <= COUNT;) {
            struct event event;
            cr_assert(stream_event(streams[i], SOON, &event), "%d of follower %d", id, i);
            if (*event.name)
                continue;
            cr_assert_eq(event.id, id, "follower %d: %lld", i, event.id);
            size_t len = strlen(event.data);
            cr_assert(strncmp(at, event.data, len) == 0, "follower %d, %d: %s", i, id, event.data);
            at += len + 1;
            id++;
        }
        cr_assert_str_eq(at, "}");
        stream_close(streams[i]);
    }
}

/* Follows from the last event that it has, is cut after so many bytes, and follows again. */
static void expect_once_each(const struct node *node, const struct poster *poster, unsigned cuts)
{
    unsigned random = 1, cut = 0;
    int next = 1;
    while (cut < cuts || next <= poster->to) {
        char fields[64] = "";
        struct event event;
        if (next > 1)
            snprintf(fields, sizeof fields, LAST("%d"), next - 1);
        struct stream *stream = events_open(node->port, fields, "/messages?log=%s", log_name(master));
        cr_assert(stream_event(stream, SOON, &event));
        cr_assert_not(json_true_of(event.data, "reset"), "%s", event.data);
        random = random * 1103515245 + 12345;
        for (int events = (int)(random >> 16) % 12; events > 0 && next <= poster->to; events--) {
            cr_assert(stream_event(stream, SOON, &event));
            if (*event.name)
                continue;
            char want[24];
            snprintf(want, sizeof want, "\"m%d\"", next);
            cr_assert(event.id == next && strcmp(event.data, want) == 0, "%lld %s instead of %d", event.id,
                      event.data, next);
            next++;
        }
        if (random & 0x8000)
            raw_reset(stream->fd), stream->fd = -1;
        stream_close(stream); /* in the middle of what it was sent */
        cut++;
    }
}

SCENARIO(cluster_tail, who_is_cut_a_thousand_times_gets_each_message_once_on_the_master)
{
    struct poster poster = {0};
    pair_start();
    poster_begin(&poster, 4000);
    expect_once_each(master, &poster, 1000);
    pthread_join(poster.thread, NULL);
}

SCENARIO(cluster_tail, who_is_cut_a_thousand_times_gets_each_message_once_on_a_secondary)
{
    struct poster poster = {0};
    pair_start();
    poster_begin(&poster, 4000);
    expect_once_each(s1, &poster, 1000);
    pthread_join(poster.thread, NULL);
}

SCENARIO(cluster_tail, a_follower_that_reads_nothing_makes_nobody_late)
{
    enum { LEN = 100000, COUNT = 200 };
    static char text[LEN];
    pair_start();
    memset(text, 'x', sizeof text);
    struct stream *deaf[20];
    for (int i = 0; i < 20; i++)
        deaf[i] = events_open(i % 2 ? s1->port : master->port, NULL, "/messages");
    struct stream *reads = events_open(s1->port, NULL, "/messages");
    expect_place(reads, 0, false);
    long before_kb = 0;
    for (int i = 1; i <= COUNT; i++) {
        struct event event;
        struct reply reply = http_post(master->port, "/messages", text, LEN);
        expect_status(reply, 201);
        expect_at_once(reply);
        cr_assert(stream_event(reads, SOON, &event) && event.id == i && strlen(event.data) == LEN + 2);
        if (i == COUNT / 2)
            before_kb = node_memory_kb(s1);
    }
    /* the list alone has grown, and no queue for who does not read */
    long grown_kb = node_memory_kb(s1) - before_kb;
    cr_assert(nodes_sanitized() || grown_kb < 2 * COUNT / 2 * LEN / 1024, "%ld KiB", grown_kb);
    for (int i = 0; i < 20; i++)
        stream_close(deaf[i]);
}

SCENARIO(cluster_tail, memory_does_not_grow_with_reconnections)
{
    pair_start();
    post_numbered(master, "", 1, 50);
    long first_kb = 0;
    for (int i = 0; i < 4000; i++) {
        struct event event;
        struct stream *stream =
            events_open(i % 2 ? s1->port : master->port, i % 3 ? LAST("40") : NULL, "/messages");
        cr_assert(stream_event(stream, SOON, &event) && event.id == -1);
        if (i % 5 == 0) {
            raw_reset(stream->fd);
            stream->fd = -1;
        }
        stream_close(stream);
        if (i == 1000)
            first_kb = node_memory_kb(s1) + node_memory_kb(master);
    }
    long grown_kb = node_memory_kb(s1) + node_memory_kb(master) - first_kb;
    cr_assert(nodes_sanitized() || grown_kb < 1024, "%ld KiB more than after 1000 of 4000", grown_kb);
}

SCENARIO(cluster_tail, a_client_that_closes_its_side_gets_messages_and_one_that_has_gone_is_noticed)
{
    pair_start();
    struct stream *half = events_open(s1->port, NULL, "/messages");
    expect_place(half, 0, false);
    shutdown(half->fd, SHUT_WR);
    expect_place(half, 0, false); /* one that has gone does not take it */
    post_numbered(master, "", 1, 2);
    expect_messages(half, 1, 2);
    int before = node_descriptors(s1);
    for (int i = 0; i < 20; i++)
        stream_close(events_open(s1->port, NULL, "/messages?from=end"));
    for (int i = 0; i < 20; i++) {
        int fd = raw_open(s1->port);
        raw_text(fd, "GET /messages?from=9&wait=300 HTTP/1.1\r\nHost: a\r\n\r\n");
        raw_reset(fd);
    }
    eventually(2000, node_descriptors(s1) <= before);
    post_numbered(master, "", 3, 4);
    expect_messages(half, 3, 4);
}

/* ---- the end, and other lists */

static void expect_streams_end(struct node *node, struct stream **streams, int count)
{
    expect_end(node_stop(node));
    for (int i = 0; i < count; i++) {
        cr_assert(stream_ends(streams[i], SOON), "stream %d", i);
        stream_close(streams[i]);
    }
}

SCENARIO(cluster_tail, a_stop_ends_a_thousand_streams_with_their_last_chunk)
{
    enum { COUNT = 1000 };
    static struct stream *streams[COUNT];
    pair_start();
    post_numbered(master, "", 1, 5);
    struct node *nodes[] = {s1, master};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++)
            streams[i] = events_open(nodes[round]->port, NULL, i % 2 ? "/messages" : "/messages?from=end");
        expect_streams_end(nodes[round], streams, COUNT);
    }
}

SCENARIO(cluster_tail, a_stop_ends_streams_while_messages_come)
{
    enum { COUNT = 50 };
    static struct stream *streams[COUNT];
    pair_start();
    struct poster poster = {0};
    poster_begin(&poster, 2000);
    for (int i = 0; i < COUNT; i++)
        streams[i] = events_open(s1->port, NULL, "/messages");
    expect_streams_end(s1, streams, COUNT);
    pthread_join(poster.thread, NULL);
    for (int i = 0; i < COUNT; i++)
        streams[i] = events_open(master->port, NULL, "/messages");
    struct call *held = post_begin(master, "?w=5", "held");
    eventually(SOON, last_id(master) == 2001);
    expect_streams_end(master, streams, COUNT);
    expect_status(call_end(held), 202);
}

SCENARIO(cluster_tail, a_stop_answers_long_polls_at_once)
{
    pair_start();
    expect_status(post(master, "", "a"), 201);
    struct node *nodes[] = {s1, master};
    for (int i = 0; i < 2; i++) {
        struct call *poll = get_begin(nodes[i], NULL, "/messages?from=2&wait=300");
        struct call *min_id = get_begin(nodes[i], NULL, "/messages?min_id=2&wait=300");
        always(100, !call_done(poll) && !call_done(min_id));
        expect_end(node_stop(nodes[i]));
        struct reply reply = call_end(poll);
        expect_status(reply, 200);
        cr_assert_str_eq(reply.body, "{\"messages\":[]}");
        cr_assert_str_eq(http_field(&reply, "Connection"), "close");
        expect_status(call_end(min_id), 503);
    }
}

SCENARIO(cluster_tail, who_follows_an_empty_master_from_1_gets_the_list_that_it_takes_over)
{
    struct relay *to_master, *relay;
    master = master_start("--heartbeat-interval 0.2");
    s1 = member_between(master, "s1", &to_master, &relay);
    post_numbered(master, "", 1, 500);
    const char *log = log_name(master);
    node_kill(master);
    relay_mode(to_master, RELAY_REFUSE);
    node_restart(master);
    struct stream *stream = events_open(master->port, NULL, "/messages");
    struct stream *ahead = events_open(master->port, NULL, "/messages?log=%s&from=8", log_name(master));
    struct stream *end = events_open(master->port, NULL, "/messages?from=end");
    struct call *poll = get_begin(master, NULL, "/messages?from=500&wait=60");
    expect_place(stream, 0, false);
    expect_place(ahead, 0, false);
    expect_place(end, 0, false);
    cr_assert_not(stream_more(stream, 100));
    relay_mode(to_master, RELAY_PASS);
    struct event event;
    cr_assert(stream_event(stream, SOON, &event) && strcmp(event.name, "at") == 0 && strstr(event.data, log));
    expect_messages(stream, 1, 500);
    /* what these have an id of, or would take for new, is not of the list that they began with */
    cr_assert(!stream_event(ahead, SOON, &event) && ahead->last_chunk);
    cr_assert(!stream_event(end, SOON, &event) && end->last_chunk);
    cr_assert_str_eq(call_end(poll).body, "{\"messages\":[\"m500\"]}");
    cr_assert_str_eq(log_name(master), log);
    expect_status(post(master, "", "m501"), 201);
    expect_message(stream, 501);
}

SCENARIO(cluster_tail, who_follows_a_secondary_goes_on_when_it_has_started_anew)
{
    pair_start();
    post_numbered(master, "", 1, 300);
    struct stream *stream = events_open(s1->port, NULL, "/messages");
    expect_place(stream, 300, false);
    expect_messages(stream, 1, 200);
    const char *log = log_name(master);
    node_kill(s1);
    stream_close(stream);
    node_freeze(master); /* the secondary starts, and hears nothing of its list */
    node_restart(s1);
    stream = events_open(s1->port, LAST("200"), "/messages?log=%s", log);
    cr_assert_str_eq(stream_next(stream, "\n\n", SOON), "retry: 1000");
    node_thaw(master);
    struct event event;
    cr_assert(stream_event(stream, SOON, &event));
    cr_assert_not(json_true_of(event.data, "reset"), "%s", event.data);
    for (int next = 201; next <= 300;) {
        cr_assert(stream_event(stream, SOON, &event));
        if (!*event.name)
            cr_assert_eq(event.id, next++);
    }
    post_numbered(master, "?w=1", 301, 310);
    for (int next = 301; next <= 310;) {
        cr_assert(stream_event(stream, SOON, &event));
        if (!*event.name)
            cr_assert_eq(event.id, next++);
    }
}

SCENARIO(cluster_tail, a_list_that_was_lost_makes_those_who_followed_it_begin_anew)
{
    master = master_start("");
    post_numbered(master, "", 1, 20);
    const char *log = log_name(master);
    node_kill(master);
    node_restart(master);
    post_numbered(master, "", 1, 30);
    struct stream *stream = events_open(master->port, LAST("20"), "/messages?log=%s", log);
    expect_place(stream, 30, true);
    expect_messages(stream, 1, 30);
}

/* ---- what others may not feel */

SCENARIO(cluster_tail, lines_may_wait_for_their_first_message)
{
    pair_start();
    post_numbered(master, "", 1, 2);
    char text[1024] = "";
    int fd = raw_open(s1->port);
    raw_text(fd, "GET /messages?from=3&wait=60 HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n");
    expect_status(http_get(s1->port, "/livez"), 200);
    cr_assert_eq(raw_receive(fd, text, sizeof text - 1, 50), -1);
    expect_status(post(master, "", "m3"), 201);
    for (size_t len = 0; !strstr(text, "{\"id\":3,\"message\":\"m3\"}\n"); len = strlen(text))
        cr_assert_gt(raw_receive(fd, text + len, sizeof text - 1 - len, SOON), 0);
}

/* Its end is the connection's end: a second answer would be a part of it. */
SCENARIO(cluster_tail, nothing_follows_a_stream_to_a_client_of_http_1_0)
{
    char text[4096] = "";
    size_t len = 0;
    long got;
    pair_start();
    post_numbered(master, "", 1, 2);
    int fd = raw_open(master->port);
    raw_text(fd, "GET /messages HTTP/1.0\r\nConnection: keep-alive\r\nAccept: application/x-ndjson\r\n\r\n"
                 "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    while ((got = raw_receive(fd, text + len, sizeof text - 1 - len, SOON)) > 0)
        len += (size_t)got;
    cr_assert_eq(got, 0);
    const char *last = strstr(text, "{\"id\":2,\"message\":\"m2\"}\n");
    cr_assert(last && strcmp(last, "{\"id\":2,\"message\":\"m2\"}\n") == 0, "%s", text);
}

/* Slow readers may have half of the memory for answers; the master's link waits for its answers, too. */
SCENARIO(cluster_tail, many_readers_that_take_nothing_keep_no_link_from_being_read)
{
    enum { READERS = 1500, BATCH = 50, TEXTS = 8000 };
    master = master_start("");
    s1 = member_start(master, "s1", "--secondary-delays 0.2");
    static char batch[16 + 4 * TEXTS + 2] = "{\"messages\":[";
    for (int i = 0; i < TEXTS; i++)
        memcpy(batch + strlen("{\"messages\":[") + 4 * (size_t)i, "\"a\",", 4);
    memcpy(batch + strlen("{\"messages\":[") + 4 * TEXTS - 1, "]}", 3);
    for (int i = 0; i < BATCH; i++)
        expect_status(http_post_json(master->port, "/messages?w=1", batch), 201);
    for (int i = 0; i < READERS; i++)
        raw_text(raw_open(s1->port),
                 "GET /messages HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        struct reply reply = post(master, "?w=2", "b");
        expect_status(reply, 201);
        cr_assert(reply.ms < late(2000), "%d ms", reply.ms);
    }
}
