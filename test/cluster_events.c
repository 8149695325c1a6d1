/* GET /events, and the page at /: what a person sees of a node while it works. */
#include "cluster.h"
#include "stream.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct node *master, *s1;

static void pair_start(void)
{
    master = master_start("--heartbeat-interval 0.2");
    s1 = member_start(master, "s1", "");
}

/* The next event that is not one of those that come each second. */
static struct event next_event(struct stream *stream)
{
    struct event event;
    do
        cr_assert(stream_event(stream, SOON, &event), "no event");
    while (strcmp(event.name, "at") == 0);
    return event;
}

/* On a busy machine a member may be suspected in between. */
static void expect_event(struct stream *stream, const char *name, const char *data)
{
    struct event event = next_event(stream);
    while (strcmp(event.name, "member") == 0 && strcmp(name, "member") != 0)
        event = next_event(stream);
    cr_assert(strcmp(event.name, name) == 0 && strncmp(event.data, data, strlen(data)) == 0,
              "%s %s instead of %s %s", event.name, event.data, name, data);
    cr_assert_eq(event.id, -1);
}

/* Follows, and has got the first event: from here on it misses nothing. */
static struct stream *follow(const struct node *node)
{
    struct event event;
    struct stream *stream = stream_open(node->port, NULL, "/events");
    cr_assert(stream->status == 200 && stream_event(stream, SOON, &event));
    cr_assert_str_eq(event.name, "at");
    return stream;
}

/* ---- what is told */

SCENARIO(cluster_events, one_post_is_told_from_append_to_answer)
{
    pair_start();
    struct stream *of_master = follow(master), *of_s1 = follow(s1);
    expect_status(post(master, "", "hello"), 201);
    expect_event(of_master, "appended", "{\"first\":1,\"last\":1,\"bytes\":5}");
    expect_event(of_master, "sent", "{\"node\":\"s1\",\"first\":1,\"last\":1}");
    expect_event(of_master, "ack", "{\"node\":\"s1\",\"last\":1,\"ms\":");
    expect_event(of_master, "answered", "{\"id\":1,\"status\":201,\"w\":2,\"acks\":2,\"ms\":");
    expect_event(of_s1, "stored", "{\"first\":1,\"last\":1}");
    expect_event(of_s1, "shown", "{\"first\":1,\"last\":1}");
}

SCENARIO(cluster_events, what_is_late_is_told_when_it_happens)
{
    master = master_start("--heartbeat-interval 0.2");
    struct node *slow = member_start(master, "slow", "--secondary-delays 0.5");
    struct stream *of_master = follow(master), *of_slow = follow(slow);
    expect_status(post(master, "?w=2&timeout=0.1", "a"), 202);
    expect_event(of_master, "appended", "{\"first\":1,\"last\":1,");
    expect_event(of_master, "sent", "{\"node\":\"slow\",");
    expect_event(of_master, "answered", "{\"id\":1,\"status\":202,\"w\":2,\"acks\":1,\"ms\":");
    expect_event(of_master, "ack", "{\"node\":\"slow\",\"last\":1,");
    expect_event(of_slow, "stored", "{\"first\":1,\"last\":1}");
    expect_event(of_slow, "shown", "{\"first\":1,\"last\":1}");
}

SCENARIO(cluster_events, the_states_of_members_are_told)
{
    pair_start();
    struct stream *stream = follow(master);
    node_freeze(s1);
    expect_event(stream, "member", "{\"id\":\"s1\",\"state\":\"suspected\"}");
    expect_event(stream, "member", "{\"id\":\"s1\",\"state\":\"unhealthy\"}");
    node_thaw(s1);
    expect_event(stream, "member", "{\"id\":\"s1\",\"state\":\"healthy\"}");
    expect_end(node_stop(s1));
    expect_event(stream, "member", "{\"id\":\"s1\",\"state\":\"removed\"}");
    node_restart(s1);
    expect_event(stream, "member", "{\"id\":\"s1\",\"state\":\"registered\"}");
    expect_event(stream, "member", "{\"id\":\"s1\",\"state\":\"healthy\"}");
}

/* The names of the members of JSON objects, in their order, whatever they hold. */
static char *shape(const char *json)
{
    char *out = calloc(1, strlen(json) + 1);
    for (const char *at = json; (at = strchr(at, '"')); at++) {
        const char *end = strchr(at + 1, '"');
        if (!end)
            break;
        if (end[1] == ':')
            strncat(out, at, (size_t)(end - at) + 1);
        at = end;
    }
    return out;
}

SCENARIO(cluster_events, at_first_and_each_second_it_is_told_what_health_says)
{
    pair_start();
    expect_status(post(master, "", "a"), 201);
    struct node *nodes[] = {master, s1};
    for (int i = 0; i < 2; i++) {
        struct stream *stream = stream_open(nodes[i]->port, "Accept: application/json\r\n", "/events");
        struct event event;
        cr_assert_str_eq(stream_field(stream, "Content-Type"), "text/event-stream");
        cr_assert_str_eq(stream_field(stream, "Cache-Control"), "no-store");
        cr_assert_str_eq(stream_field(stream, "X-Accel-Buffering"), "no");
        cr_assert_str_eq(stream_next(stream, "\n\n", SOON), "retry: 1000");
        int64_t began = now_ms();
        for (int j = 0; j < 3; j++) {
            cr_assert(stream_event(stream, SOON, &event));
            char *health = shape(http_get(nodes[i]->port, "/health").body);
            cr_assert_str_eq(event.name, "at");
            cr_assert_str_eq(shape(event.data), health);
            cr_assert_eq(json_number_of(event.data, "last_id"), 1);
        }
        cr_assert(now_ms() - began > 1800, "%d ms", (int)(now_ms() - began));
        cr_assert(now_ms() - began < late(5000), "%d ms", (int)(now_ms() - began));
    }
}

SCENARIO(cluster_events, under_load_everything_is_told_in_few_events)
{
    enum { COUNT = 5000 };
    pair_start();
    struct stream *of_master = follow(master), *of_s1 = follow(s1);
    post_numbered(master, "", 1, COUNT);
    long long appended = 0, acked = 0, sent = 0, shown = 0;
    int events = 0;
    for (; acked < COUNT || appended < COUNT || sent < COUNT; events++) {
        struct event event = next_event(of_master);
        long long first = json_number_of(event.data, "first"), last = json_number_of(event.data, "last");
        long long *told = strcmp(event.name, "appended") == 0 ? &appended
                          : strcmp(event.name, "sent") == 0   ? &sent
                                                              : NULL;
        cr_assert_str_neq(event.name, "lost");
        if (told) {
            cr_assert_eq(first, *told + 1, "%s %s behind %lld", event.name, event.data, *told);
            *told = last;
        }
        if (strcmp(event.name, "ack") == 0) {
            cr_assert(last > acked && last <= sent, "%s behind %lld, of %lld", event.data, acked, sent);
            acked = last;
        }
    }
    cr_assert(events < COUNT / 2, "%d events", events);
    while (shown < COUNT) {
        struct event event = next_event(of_s1);
        if (strcmp(event.name, "shown") != 0)
            continue;
        cr_assert_eq(json_number_of(event.data, "first"), shown + 1);
        shown = json_number_of(event.data, "last");
    }
}

/* ---- readers */

/* Asks for the events from another address, and returns the connection. */
static int follow_from(const char *from, int status)
{
    char text[64] = "";
    int fd = raw_open_from(from, master->port);
    raw_text(fd, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_gt(raw_receive(fd, text, sizeof text - 1, SOON), 12);
    cr_assert_eq(atoi(text + strlen("HTTP/1.1 ")), status, "%s", text);
    return fd;
}

SCENARIO(cluster_events, thirty_two_of_an_address_may_read_and_sixty_four_of_all)
{
    enum { MOST = 32 };
    struct stream *streams[MOST];
    pair_start();
    for (int i = 0; i < MOST; i++)
        streams[i] = follow(master);
    struct reply more = http_get(master->port, "/events");
    expect_status(more, 503);
    cr_assert_not_null(http_field(&more, "Retry-After"));
    cr_assert_not_null(json_text_of(more.body, "error"));
    for (int i = 0; i < MOST; i++)
        follow_from("127.0.68.2", 200);
    follow_from("127.0.68.3", 503);
    struct reply head = http_request(s1->port, "HEAD", "/events", NULL, NULL, 0, HTTP_LIMIT_MS);
    expect_status(head, 200);
    expect_status(post(master, "", "a"), 201);
    for (int i = 0; i < MOST; i++)
        expect_event(streams[i], "appended", "{\"first\":1,");
    raw_reset(streams[0]->fd);
    streams[0]->fd = -1;
    eventually(SOON, stream_open(master->port, NULL, "/events")->status == 200);
}

SCENARIO(cluster_events, who_reads_nothing_for_a_while_holds_nobody_up_and_goes_on)
{
    enum { BATCH = 2000, COUNT = 30 * BATCH };
    pair_start();
    struct stream *slow = follow(master), *quick = follow(master);
    for (int posted = 0; posted < COUNT; posted += BATCH) {
        post_numbered(master, "", posted + 1, posted + BATCH);
        while (stream_more(quick, 0))
            quick->at = quick->len;
    }
    /* what it has missed is told as such: see unit_events */
    struct event event;
    do
        event = next_event(slow);
    while (strcmp(event.name, "appended") != 0 || json_number_of(event.data, "last") != COUNT);
}

SCENARIO(cluster_events, a_reader_that_has_gone_costs_nothing)
{
    pair_start();
    for (int i = 0; i < 200; i++) {
        struct stream *stream = follow(i % 2 ? master : s1);
        raw_reset(stream->fd);
        stream->fd = -1;
        stream_close(stream);
        eventually(SOON, http_request(master->port, "HEAD", "/events", NULL, NULL, 0, SOON).status == 200);
    }
    expect_status(post(master, "", "a"), 201);
}

SCENARIO(cluster_events, a_stop_ends_the_streams_and_tells_the_last_answers)
{
    pair_start();
    struct stream *of_master = follow(master), *of_s1 = follow(s1);
    struct call *held = post_begin(master, "?w=5", "held");
    expect_event(of_master, "appended", "{\"first\":1,");
    expect_end(node_stop(s1));
    cr_assert(stream_ends(of_s1, SOON));
    expect_end(node_stop(master));
    expect_status(call_end(held), 202);
    struct event event;
    bool told = false;
    while (stream_event(of_master, SOON, &event))
        told = told || (strcmp(event.name, "answered") == 0 && json_number_of(event.data, "status") == 202);
    cr_assert(told && of_master->last_chunk);
}

/* ---- the page */

static struct reply get_with(const struct node *node, const char *target, const char *fields)
{
    return http_request(node->port, "GET", target, fields, NULL, 0, HTTP_LIMIT_MS);
}

static bool is_page(struct reply reply)
{
    return reply.status == 200 && strstr(http_field(&reply, "Content-Type"), "text/html") &&
           strncmp(reply.body, "<!doctype html>", 15) == 0;
}

SCENARIO(cluster_events, a_browser_gets_the_page_and_everybody_else_the_list)
{
    static const char *const browsers[] = {
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n",
        /* Chromium */
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8,a/b;v=b3;q=0.7\r\n",
        "Accept: text/html\r\n"};
    static const char *const others[] = {NULL,
                                         "Accept: */*\r\n",
                                         "Accept: application/json\r\n",
                                         "Accept: application/json, text/plain, */*\r\n",
                                         "Accept: image/png\r\n",
                                         "Accept: text/html;q=0.5, */*\r\n"};
    pair_start();
    expect_status(post(master, "", "a"), 201);
    struct node *nodes[] = {master, s1};
    for (int i = 0; i < 2; i++) {
        for (size_t j = 0; j < sizeof browsers / sizeof *browsers; j++) {
            struct reply page = get_with(nodes[i], "/", browsers[j]);
            cr_assert(is_page(page), "%d %s", page.status, browsers[j]);
            cr_assert_str_eq(http_field(&page, "Vary"), "Accept");
            struct reply list = get_with(nodes[i], "/messages", browsers[j]);
            cr_assert_str_eq(list.body, "{\"messages\":[\"a\"]}");
        }
        for (size_t j = 0; j < sizeof others / sizeof *others; j++) {
            struct reply list = get_with(nodes[i], "/", others[j]);
            cr_assert_str_eq(list.body, "{\"messages\":[\"a\"]}", "%s", others[j]);
            cr_assert_str_eq(http_field(&list, "Vary"), "Accept");
            cr_assert(is_page(get_with(nodes[i], "/ui", others[j])), "%s", others[j]);
        }
    }
}

SCENARIO(cluster_events, the_page_and_what_it_loads_are_small_and_may_load_nothing_else)
{
    static const struct {
        const char *path, *type;
    } files[] = {{"/ui", "text/html"}, {"/ui.js", "text/javascript"}, {"/ui.css", "text/css"}};
    pair_start();
    struct node *nodes[] = {master, s1};
    for (int i = 0; i < 2; i++) {
        size_t bytes = 0;
        for (int j = 0; j < 3; j++) {
            struct reply file = http_get(nodes[i]->port, "%s", files[j].path);
            expect_status(file, 200);
            cr_assert(strncmp(http_field(&file, "Content-Type"), files[j].type, strlen(files[j].type)) == 0);
            cr_assert_str_eq(http_field(&file, "X-Content-Type-Options"), "nosniff");
            cr_assert_str_eq(http_field(&file, "Cache-Control"), "no-cache");
            bytes += file.body_len + file.newline;
            struct reply head =
                http_request(nodes[i]->port, "HEAD", files[j].path, NULL, NULL, 0, HTTP_LIMIT_MS);
            cr_assert_eq(strtoul(http_field(&head, "Content-Length"), NULL, 10),
                         file.body_len + file.newline);
        }
        cr_assert(bytes <= 30 * 1024, "%zu bytes", bytes);
        struct reply page = http_get(nodes[i]->port, "/ui");
        const char *policy = http_field(&page, "Content-Security-Policy");
        cr_assert(policy && strstr(policy, "default-src 'none'") && strstr(policy, "script-src 'self'") &&
                  strstr(policy, "connect-src 'self'") && strstr(policy, "frame-ancestors 'none'"));
        cr_assert_null(strstr(policy, "unsafe"));
        cr_assert_null(strstr(page.body, "http://"));
        cr_assert_null(strstr(page.body, "https://"));
        cr_assert_str_eq(http_field(&page, "Referrer-Policy"), "no-referrer");
    }
    expect_status(http_request(master->port, "POST", "/ui", NULL, "a", 1, HTTP_LIMIT_MS), 405);
}
