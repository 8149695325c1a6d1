/* Answers that stream, by hand: byte for byte what the client gets, and what their service is told. */
#include "by_hand.h"
#include "failing_malloc.h"
#include "skipped_time.h"

#include <criterion/criterion.h>

enum { ROOM = 4 * 1024 * 1024 };

/* The stream of the test: GET /stream. */
static struct {
    struct http_waiter waiter;
    struct http_exchange *exchange; /* NULL: none, or gone */
    int sent, gone, ended;
} stream;

static int client;

static void stream_gone(struct http_waiter *waiter)
{
    cr_assert_eq(waiter, &stream.waiter);
    stream.gone++;
    http_stream_end(stream.exchange);
    stream.exchange = NULL;
}

static void stream_sent(struct http_waiter *waiter)
{
    cr_assert_eq(waiter, &stream.waiter);
    stream.sent++;
}

static void stream_ended(struct http_waiter *waiter)
{
    cr_assert_eq(waiter, &stream.waiter);
    stream.ended++;
}

static void handle_stream(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    (void)ctx;
    (void)request;
    (void)rest;
    if (!http_stream_begin(exchange, "Content-Type: text/plain\r\n"))
        return;
    stream.exchange = exchange;
    http_exchange_waiter(exchange, &stream.waiter);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/stream", .handle = handle_stream},
    HAND_ROUTE("GET"),
    HAND_ROUTE("POST"),
    {0},
};

static void start(void)
{
    hand_open();
    hand.service.routes = routes;
    stream.waiter = (struct http_waiter){.gone = stream_gone, .sent = stream_sent, .ended = stream_ended};
    client = hand_connect();
}

static void stop(void)
{
    if (client >= 0)
        close(client);
    hand_run(3);
    cr_expect(hand.conns.open == 0);
    cr_expect(hand.parked_first < hand.parked_end || hand.conns.answering == 0, "%zu bytes are counted",
              hand.conns.answering);
    hand_close();
}

TestSuite(exchange, .init = start, .fini = stop, .timeout = 20);

/* ---- both ends */

static void say(const char *text)
{
    cr_assert(send(client, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    hand_run(3);
}

/* All that the client has got since the last time, up to the end of the stream. */
static struct span heard(bool *end)
{
    static char got[ROOM];
    size_t len = 0;
    ssize_t more;
    while ((more = recv(client, got + len, sizeof got - len, 0)) > 0) {
        len += (size_t)more;
        hand_run(2);
    }
    *end = more == 0 || (more < 0 && errno != EAGAIN);
    return (struct span){got, len};
}

/* Those bytes, and no end. */
static void expect_bytes(struct span want)
{
    bool end;
    struct span got = heard(&end);
    cr_assert(got.len == want.len && memcmp(got.at, want.at, want.len) == 0 && !end,
              "got '%.*s', %zu bytes%s", (int)(got.len < 200 ? got.len : 200), got.at, got.len,
              end ? ", and the end" : "");
}

#define expect_heard(text) expect_bytes(span_of(text))

/* A whole answer's head; what stands behind it is returned. */
static struct span expect_head(const char *field, bool chunked, bool *end)
{
    struct span got = heard(end);
    const char *body = got.len ? memmem(got.at, got.len, "\r\n\r\n", 4) : NULL;
    cr_assert(body, "%.*s", (int)got.len, got.at);
    size_t len = (size_t)(body - got.at) + 2;
    cr_expect(span_starts_nocase(got, "HTTP/1.1 200 OK\r\n"));
    cr_expect(memmem(got.at, len, field, strlen(field)), "no %s in %.*s", field, (int)len, got.at);
    cr_expect_eq(memmem(got.at, len, "Transfer-Encoding: chunked\r\n", 28) != NULL, chunked);
    cr_expect_null(memmem(got.at, len, "Content-Length", 14));
    return span_after(got, len + 2);
}

static void expect_begun(void)
{
    bool end;
    struct span rest = expect_head("Keep-Alive", true, &end);
    cr_assert(!rest.len && !end);
}

static void give_source(const char *text, uint64_t bytes)
{
    struct buf piece = {0};
    struct http_source source = {.len = bytes, .pieces = hand_source_pieces, .skip = hand_source_skip};
    memcpy(source.state, &bytes, sizeof bytes);
    buf_add_text(&piece, text);
    http_stream_send(stream.exchange, &piece, bytes ? &source : NULL);
    buf_free(&piece);
}

static void give(const char *text)
{
    give_source(text, 0);
    hand_run(1);
}

static void end_stream(void)
{
    http_stream_end(stream.exchange);
    stream.exchange = NULL;
    hand_run(1);
}

#define STREAM "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
#define OLD_STREAM "GET /stream HTTP/1.0\r\nHost: a\r\n"

static void begin(void)
{
    snprintf(hand.conns.keep_alive, sizeof hand.conns.keep_alive, "Keep-Alive: timeout=5\r\n");
    say(STREAM);
    expect_begun();
}

/* ---- what the client gets */

Test(exchange, each_piece_is_a_chunk_and_the_last_one_is_empty)
{
    begin();
    cr_expect_eq(stream.sent, 1, "the head alone was sent");
    give("hello");
    expect_heard("5\r\nhello\r\n");
    give("0123456789abcdef");
    expect_heard("10\r\n0123456789abcdef\r\n");
    cr_expect_eq(stream.sent, 3);
    end_stream();
    expect_heard("0\r\n\r\n");
    cr_expect_eq(stream.sent, 3);
    cr_expect_eq(stream.gone, 0);
    say("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    bool end;
    cr_expect(span_starts_nocase(heard(&end), "HTTP/1.1 200 OK\r\n") && !end);
}

Test(exchange, a_piece_and_the_end_may_be_given_before_the_head_has_left)
{
    bool end;
    say("GET /park HTTP/1.1\r\nHost: a\r\n\r\n" STREAM);
    give("one");
    end_stream();
    expect_heard("");
    hand_answer("");
    hand_run(2);
    struct span got = heard(&end);
    const char *body = memmem(got.at, got.len, "3\r\n", 3);
    cr_assert(body && !end);
    cr_expect(span_equals(span_after(got, (size_t)(body - got.at)), "3\r\none\r\n0\r\n\r\n"));
    cr_expect_eq(hand.conns.answering, 0, "%zu bytes are counted", hand.conns.answering);
}

Test(exchange, a_piece_may_have_a_source_behind_its_text)
{
    enum { LONG = 3 * HAND_PIECE + 17 };
    begin();
    give_source("ab", LONG);
    hand_run(2);
    struct buf want = {0};
    buf_addf(&want, "%x\r\nab", LONG + 2);
    for (int i = 0; i < LONG; i++)
        buf_add_char(&want, 'b');
    buf_add_text(&want, "\r\n");
    expect_bytes(buf_span(&want));
    cr_expect_eq(stream.sent, 2);
    give("c");
    expect_heard("1\r\nc\r\n");
    end_stream();
    expect_heard("0\r\n\r\n");
    buf_free(&want);
}

Test(exchange, the_end_may_be_told_while_a_piece_is_under_way)
{
    begin();
    give_source("", 2 * 1024 * 1024);
    hand_run(1);
    cr_expect_eq(stream.sent, 1);
    end_stream();
    bool end;
    struct span got = heard(&end);
    cr_expect(got.len == strlen("200000\r\n") + 2 * 1024 * 1024 + strlen("\r\n0\r\n\r\n") && !end);
    cr_expect(span_equals(span_after(got, got.len - 8), "b\r\n0\r\n\r\n"));
    cr_expect_eq(stream.sent, 1);
}

static void expect_old_stream(const char *request)
{
    bool end;
    say(request);
    struct span rest = expect_head("Connection: close\r\n", false, &end);
    cr_expect(!rest.len && !end);
    give("hello");
    give_source(" ", 3);
    hand_run(2);
    expect_heard("hello bbb");
    cr_expect_eq(stream.sent, 3);
    end_stream();
    rest = heard(&end);
    cr_expect(!rest.len && end);
    cr_expect_eq(hand.handled, 0);
}

Test(exchange, an_http10_client_gets_the_bytes_and_a_close)
{
    expect_old_stream(OLD_STREAM "\r\n");
}

Test(exchange, an_http10_client_that_would_keep_the_connection_gets_a_close_as_well)
{
    expect_old_stream(OLD_STREAM "Connection: keep-alive\r\n\r\nGET /next HTTP/1.0\r\nHost: a\r\n\r\n");
}

Test(exchange, an_http10_request_may_come_in_parts)
{
    say(OLD_STREAM "Connection: kee");
    expect_old_stream("p-alive\r\n\r\nGET /next HTTP/1.0\r\n");
}

Test(exchange, an_http10_stream_without_a_piece_ends_with_its_head)
{
    bool end;
    say(OLD_STREAM "\r\n");
    end_stream();
    struct span rest = expect_head("Connection: close\r\n", false, &end);
    cr_expect(!rest.len && end);
}

Test(exchange, head_gets_the_head_alone)
{
    bool end;
    say("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    struct span rest = expect_head("text/plain", true, &end);
    cr_expect(!rest.len && !end && !stream.exchange && !stream.sent);
    cr_expect_eq(hand.conns.answering, 0);
    say("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(span_starts_nocase(heard(&end), "HTTP/1.1 200 OK\r\n") && !end);
}

Test(exchange, what_is_asked_behind_a_stream_is_answered_behind_it)
{
    bool end;
    begin();
    say("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_str_eq(hand.log, "GET /next");
    give("hello");
    expect_heard("5\r\nhello\r\n");
    end_stream();
    struct span got = heard(&end);
    cr_expect(span_starts_nocase(got, "0\r\n\r\nHTTP/1.1 200 OK\r\n") && !end);
}

Test(exchange, no_interim_answer_comes_inside_a_stream)
{
    begin();
    give("hello");
    http_interim(stream.exchange, 102);
    hand_run(2);
    expect_heard("5\r\nhello\r\n");
    say("POST /next HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    expect_heard("");
    end_stream();
    hand_run(1);
    expect_heard("0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
}

/* ---- clients that go, or read nothing */

static void time_passes(int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        skipped_us += 1000000;
        hand_run(3);
    }
}

Test(exchange, a_client_that_has_closed_its_side_is_sent_pieces_and_no_interim_answers)
{
    begin();
    cr_expect_eq(stream.ended, 0);
    shutdown(client, SHUT_WR);
    hand_run(2);
    cr_expect_eq(stream.ended, 1);
    time_passes(25000);
    expect_heard("");
    cr_expect_eq(stream.ended, 1);
    give("hello");
    expect_heard("5\r\nhello\r\n");
    end_stream();
    bool end;
    cr_expect(span_equals(heard(&end), "0\r\n\r\n") && end);
}

static void expect_gone(void)
{
    cr_expect_eq(stream.gone, 1);
    cr_expect_null(stream.exchange);
    cr_expect_eq(hand.conns.open, 0);
    cr_expect_eq(hand.conns.answering, 0, "%zu bytes are counted", hand.conns.answering);
}

Test(exchange, a_client_that_goes_between_two_pieces_is_told_once)
{
    begin();
    give("hello");
    close(client);
    client = -1;
    hand_run(2);
    expect_gone();
    cr_expect_eq(stream.sent, 2);
}

Test(exchange, a_client_that_goes_while_a_piece_is_under_way_is_told_once)
{
    begin();
    give_source("", ROOM);
    hand_run(2);
    cr_expect(stream.sent == 1 && stream.exchange);
    close(client);
    client = -1;
    hand_run(2);
    expect_gone();
    cr_expect_eq(stream.sent, 1);
}

Test(exchange, a_client_that_reads_nothing_is_cut)
{
    begin();
    give_source("", ROOM);
    hand_run(2);
    time_passes(HTTP_WRITE_TIME_MS - 5000);
    cr_expect(stream.exchange && !stream.gone);
    time_passes(10000);
    expect_gone();
}

Test(exchange, a_client_that_reads_slowly_is_not_cut)
{
    static char bytes[200000];
    begin();
    give_source("", ROOM);
    hand_run(2);
    for (int i = 0; i < 8; i++) {
        time_passes(HTTP_WRITE_TIME_MS / 2);
        cr_expect(recv(client, bytes, sizeof bytes, 0) > 0);
    }
    cr_expect(stream.exchange && !stream.gone);
}

Test(exchange, a_stream_that_is_quiet_is_not_idle)
{
    begin();
    time_passes(10 * HAND_IDLE_MS);
    cr_expect(stream.exchange && !stream.gone);
    give("hello");
    expect_heard("5\r\nhello\r\n");
    end_stream();
    expect_heard("0\r\n\r\n");
    time_passes(2 * HAND_IDLE_MS);
    cr_expect_eq(hand.conns.open, 0, "behind it, it is");
}

/* ---- memory */

Test(exchange, what_a_piece_takes_is_counted_until_it_has_left)
{
    static char text[100001];
    memset(text, 't', sizeof text - 1);
    begin();
    size_t before = hand.conns.answering;
    for (int i = 0; i < 50; i++) {
        give(text);
        cr_expect_geq(hand.conns.answering + HTTP_SEND_MOST, before);
        bool end;
        cr_assert_eq(heard(&end).len, strlen("186a0\r\n") + 100000 + 2);
        hand_run(1);
        cr_expect_eq(hand.conns.answering, before);
    }
    give_source(text, ROOM);
    hand_run(1);
    cr_expect_geq(hand.conns.answering, before + 100000);
    bool end;
    heard(&end);
    hand_run(1);
    cr_expect_eq(hand.conns.answering, before);
}

Test(exchange, a_text_for_which_there_was_no_memory_ends_the_connection)
{
    begin();
    struct buf text = {.failed = true};
    http_stream_send(stream.exchange, &text, NULL);
    hand_run(2);
    expect_gone();
    bool end;
    cr_expect(!heard(&end).len && end);
}

/* The head and two pieces while an allocation fails. Returns whether it was called. */
static bool stream_fails(int failures)
{
    static char text[5000];
    memset(text, 't', sizeof text - 1);
    start();
    stream.gone = stream.sent = 0;
    failing_after(failures);
    ssize_t asked = send(client, STREAM, strlen(STREAM), 0);
    hand_run(2);
    struct buf piece = {.data = text, .len = sizeof text - 1};
    for (int i = 0; i < 2 && stream.exchange; i++) {
        http_stream_send(stream.exchange, &piece, NULL);
        hand_run(2);
    }
    bool called = failing_done();
    failing_after(-1);
    cr_assert(asked > 0);
    cr_expect(stream.sent == 3 || (called && !stream.exchange && hand.conns.open == 0), "%d", failures);
    if (stream.exchange)
        end_stream();
    stop();
    return called;
}

Test(exchange_memory, every_allocation_may_fail)
{
    int failures = 0;
    while (stream_fails(failures))
        failures++;
    cr_expect(failures > 2, "%d", failures);
}
