#include "by_hand.h"
#include "http/chunked.h"
#include "skipped_time.h"

#include <criterion/criterion.h>
#include <sys/ioctl.h>

/* Time goes on a little for each run, so that the loop sweeps. */
static void passes(int count)
{
    skipped_us += LOOP_SWEEP_LEAST_US;
    hand_run(count);
}

static void time_passes(int seconds)
{
    skipped_us += 1000000L * seconds;
    passes(2); /* deadlines are met, and what follows from them is sent */
}

/* ---- the client */

static int client;

static void start(void)
{
    hand_open();
    client = hand_connect();
}

static void stop(void)
{
    if (client >= 0)
        close(client);
    passes(2);
    cr_expect(hand.conns.open == 0);
    cr_expect(hand.conns.intakes.bytes == 0);
    hand_close();
}

TestSuite(conn, .init = start, .fini = stop, .timeout = 60);

static void say_bytes(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(client, bytes, len, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else if (sent < 0 && errno != EAGAIN) {
            return;
        }
        passes(1);
    }
    passes(2);
}

static void say(const char *text)
{
    say_bytes(text, strlen(text));
}

/* The same text many times. */
static void say_times(int times, const char *text)
{
    size_t len = strlen(text);
    char *all = malloc(len * (size_t)times);
    for (int i = 0; i < times; i++)
        memcpy(all + (size_t)i * len, text, len);
    say_bytes(all, len * (size_t)times);
    free(all);
}

static struct buf got; /* all that the client received and heard() did not tell of yet */
static bool was_reset; /* the stream has ended by a reset */

/* Receives what is there, `most` bytes at most. Returns whether the stream has ended. */
static bool receive(size_t most)
{
    char bytes[65536];
    for (;;) {
        size_t room = most < sizeof bytes ? most : sizeof bytes;
        ssize_t len = room ? recv(client, bytes, room, 0) : -1;
        if (len == 0)
            return true;
        if (len < 0) {
            was_reset = room && errno == ECONNRESET;
            return was_reset;
        }
        buf_add(&got, bytes, (size_t)len);
        most -= (size_t)len;
        passes(2);
    }
}

static void note(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(char *out, size_t size, const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, format);
    snprintf(out + len, size - len, "%s", len ? " " : "");
    len = strlen(out);
    vsnprintf(out + len, size - len, format, args);
    va_end(args);
}

/* What the client got since the last time: the status of each answer, `close` behind one that says so, `end`
 * or `reset` for the end of the stream. `+N` are N bytes that make no whole answer. */
static const char *heard_of(bool to_head)
{
    static char out[16384];
    size_t at = 0, taken;
    bool end = receive(SIZE_MAX);
    out[0] = '\0';
    for (; at < got.len; at += taken) {
        struct http_head head;
        struct http_refusal why;
        size_t scanned = 0;
        struct span in = {got.data + at, got.len - at};
        if (http_parse_response(in, &scanned, to_head, &head, &why) != HTTP_PARSE_DONE ||
            head.content_length > in.len - head.len)
            break;
        taken = head.len + (size_t)head.content_length;
        note(out, sizeof out, "%d", head.status);
        if (!head.keep_alive)
            note(out, sizeof out, "close");
    }
    if (at < got.len)
        note(out, sizeof out, "+%zu", got.len - at);
    if (end)
        note(out, sizeof out, was_reset ? "reset" : "end");
    buf_clear(&got);
    return out;
}

static const char *heard(void)
{
    return heard_of(false);
}

#define expect_heard(text)                                                                                   \
    do {                                                                                                     \
        const char *heard_now = heard();                                                                     \
        cr_expect(strcmp(heard_now, (text)) == 0, "line %d: heard '%.300s', not '%.300s'", __LINE__,         \
                  heard_now, (text));                                                                        \
    } while (0)

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST "\r\n"
#define PARK "GET /park HTTP/1.1\r\n" HOST "\r\n"
#define POST(fields) "POST / HTTP/1.1\r\n" HOST fields "\r\n"

/* ---- requests and answers */

Test(conn, a_request_is_answered)
{
    say(GET);
    expect_heard("200");
}

Test(conn, pipelined_requests_are_answered_in_order)
{
    say(GET PARK "GET /a HTTP/1.1\r\n" HOST "\r\n" PARK GET);
    cr_expect_str_eq(hand.log, "GET /, GET /park, GET /a, GET /park, GET /");
    expect_heard("200");
    http_answer(hand.parked[1], 202, NULL, (struct span){0});
    expect_heard("");
    http_answer(hand.parked[0], 201, NULL, (struct span){0});
    hand.parked_first = 2;
    passes(1);
    expect_heard("201 200 202 200");
}

static struct buf seen_bodies;

static void note_body(const struct http_request *request)
{
    buf_add_span(&seen_bodies, request->head->method);
    buf_add_span(&seen_bodies, request->head->target);
    buf_add_span(&seen_bodies, request->body);
    buf_add_char(&seen_bodies, '|');
}

static const char three[] = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                            "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
                            "\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
static const char three_seen[] = "POST/1hello|POST/2abcde|GET/3|";

static void expect_three(size_t a, size_t b)
{
    buf_add_char(&seen_bodies, '\0');
    cr_expect(strcmp(seen_bodies.data, three_seen) == 0, "cut at %zu and %zu: %s", a, b, seen_bodies.data);
    buf_clear(&seen_bodies);
    expect_heard("200 200 200");
}

Test(conn, requests_are_the_same_however_they_are_cut)
{
    size_t len = sizeof three - 1;
    hand.seen = note_body;
    for (size_t a = 0; a <= len; a++)
        for (size_t b = a; b <= len; b += 7) {
            say_bytes(three, a);
            say_bytes(three + a, b - a);
            say_bytes(three + b, len - b);
            expect_three(a, b);
        }
    for (size_t i = 0; i < len; i++)
        say_bytes(three + i, 1);
    expect_three(1, 1);
    buf_free(&seen_bodies);
}

Test(conn, a_body_past_the_limit_is_refused_before_it_comes)
{
    say(POST("Content-Length: 5000\r\n"));
    expect_heard("");
    say_times(500, "0123456789");
    expect_heard("200");
    say(POST("Content-Length: 5001\r\n"));
    expect_heard("413 close end");
    cr_expect(hand.handled == 1);
}

Test(conn, a_chunked_body_past_the_limit_is_refused_when_it_gets_there)
{
    say(POST("Transfer-Encoding: chunked\r\n") "1388\r\n");
    say_times(500, "0123456789");
    say("\r\n0\r\n\r\n");
    expect_heard("200");
    say(POST("Transfer-Encoding: chunked\r\n") "1389\r\n");
    say_times(500, "0123456789");
    expect_heard("");
    say("x");
    expect_heard("413 close end");
}

Test(conn, a_chunked_body_of_tiny_chunks_takes_no_more_memory_than_its_bytes)
{
    char chunk[HTTP_CHUNK_LINE_MAX + 16];
    memset(chunk, 'e', sizeof chunk);
    memcpy(chunk, "1;", 2);
    memcpy(chunk + 1000, "\r\nx\r\n", 6);
    say(POST("Transfer-Encoding: chunked\r\n"));
    for (int i = 0; i < 2000; i++)
        say(chunk);
    cr_expect(hand.conns.intakes.bytes <= 64 * 1024, "%zu bytes are held", hand.conns.intakes.bytes);
    say("0\r\n\r\n");
    expect_heard("200");
}

/* ---- ends */

Test(conn, a_client_that_has_sent_all_gets_its_answers)
{
    say(PARK GET);
    shutdown(client, SHUT_WR);
    passes(2);
    expect_heard("");
    hand_answer("late");
    passes(1);
    expect_heard("200 200 end");
}

static struct {
    int told;
    uint64_t connection;
} ended;

static void note_end(void *ctx, uint64_t connection)
{
    (void)ctx;
    ended.told++;
    ended.connection = connection;
}

Test(conn, the_end_of_a_connection_is_told_once_while_it_still_owes_an_answer)
{
    hand.service.ended = note_end;
    say(PARK);
    uint64_t number = http_exchange_connection(hand.parked[hand.parked_first]);
    cr_expect(number && ended.told == 0);
    shutdown(client, SHUT_WR);
    passes(2);
    cr_expect(ended.told == 1 && ended.connection == number);
    cr_expect_eq(http_exchange_connection(hand.parked[hand.parked_first]), 0);
    hand_answer("");
    passes(2);
    cr_expect(hand.conns.open == 0 && ended.told == 1);
}

Test(conn, a_connection_that_is_reset_has_ended_and_another_one_has_another_number)
{
    hand.service.ended = note_end;
    say(PARK);
    uint64_t number = http_exchange_connection(hand.parked[hand.parked_first]);
    hand_answer("");
    close(client); /* with an answer unread */
    passes(2);
    cr_expect(ended.told == 1 && ended.connection == number);
    client = hand_connect();
    say(PARK);
    cr_expect_neq(http_exchange_connection(hand.parked[hand.parked_first]), number);
}

Test(conn, a_request_cut_short_by_the_end_is_dropped)
{
    say(GET POST("Content-Length: 5\r\n") "hell");
    shutdown(client, SHUT_WR);
    passes(2);
    expect_heard("200 end");
    cr_expect(hand.handled == 1);
}

Test(conn, a_client_may_leave_while_it_waits)
{
    say(PARK PARK);
    close(client);
    client = -1;
    passes(2);
    cr_expect(hand.conns.open == 0);
    hand_answer("to nobody");
    passes(1);
}

Test(conn, nothing_is_taken_behind_a_request_that_closes)
{
    say("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" GET);
    expect_heard("200 close end");
    cr_expect(hand.handled == 1);
}

Test(conn, nothing_is_taken_behind_a_bad_request)
{
    say(GET "BAD\r\n\r\n" GET);
    expect_heard("200 400 close end");
    cr_expect(hand.handled == 1);
}

Test(conn, a_bad_request_waits_for_the_answers_before_it)
{
    say(PARK "BAD\r\n\r\n");
    expect_heard("");
    hand_answer("");
    passes(1);
    expect_heard("200 400 close end");
}

Test(conn, http_1_0_closes_unless_asked)
{
    say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    receive(SIZE_MAX);
    buf_add_char(&got, '\0');
    cr_expect(strstr(got.data, "\r\nConnection: keep-alive\r\n"));
    buf_clear(&got);
    say("GET / HTTP/1.0\r\n\r\n" GET);
    expect_heard("200 close end");
}

Test(conn, after_a_closing_answer_the_rest_is_dropped_for_a_while)
{
    say("BAD\r\n\r\n");
    expect_heard("400 close end");
    say_times(20000, "and more that nobody wants to read ");
    cr_expect(hand.conns.open == 1);
    time_passes(3);
    cr_expect(hand.conns.open == 0);
}

Test(conn, who_goes_on_behind_a_closing_answer_is_listened_to_for_half_a_minute)
{
    say("BAD\r\n\r\n");
    expect_heard("400 close end");
    for (int i = 0; i < 28; i++) {
        time_passes(1);
        say("and more");
        cr_expect(hand.conns.open == 1);
    }
    time_passes(1);
    say("and more");
    skipped_us += 1500000; /* less than the pause that ends it */
    passes(2);
    cr_expect(hand.conns.open == 0);
}

Test(conn, who_goes_on_behind_a_closing_answer_sends_so_much_at_most)
{
    static char mebibyte[1024 * 1024];
    say("BAD\r\n\r\n");
    expect_heard("400 close end");
    for (int i = 0; i < 250; i++)
        say_bytes(mebibyte, sizeof mebibyte);
    cr_expect(hand.conns.open == 1);
    for (int i = 0; i < 10; i++)
        say_bytes(mebibyte, sizeof mebibyte);
    cr_expect(hand.conns.open == 0);
}

/* ---- 100-continue */

#define EXPECT(length) POST("Expect: 100-continue\r\nContent-Length: " #length "\r\n")

Test(conn, who_waits_for_100_gets_it_once)
{
    say(EXPECT(5));
    expect_heard("100");
    say("he");
    expect_heard("");
    say("llo");
    expect_heard("200");
}

Test(conn, a_body_that_came_at_once_needs_no_100)
{
    say(EXPECT(5) "hello");
    expect_heard("200");
}

Test(conn, a_refusal_is_not_followed_by_100)
{
    say(EXPECT(5001));
    expect_heard("413 close end");
}

Test(conn, a_bad_chunk_is_not_followed_by_100)
{
    say(POST("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n") "x");
    expect_heard("400 close end");
}

Test(conn, a_100_waits_for_the_answers_before_it)
{
    say(PARK EXPECT(5));
    expect_heard("");
    hand_answer("");
    passes(1);
    expect_heard("200 100");
    say("hello");
    expect_heard("200");
}

Test(conn, who_waits_for_100_behind_a_slow_answer_is_not_late)
{
    say(PARK EXPECT(5));
    time_passes(100);
    expect_heard("");
    hand_answer("");
    passes(1);
    expect_heard("200 100");
    time_passes(29);
    say("hello");
    expect_heard("200");
    say(EXPECT(5));
    expect_heard("100");
    time_passes(31);
    expect_heard("408 close end");
}

/* ---- a service that wants to know of bodies on their way */

#define WATCHED(fields) "POST /x HTTP/1.1\r\n" HOST fields "\r\n"

static struct {
    int came; /* calls of body_came */
    bool tells;
} watching;

enum { MARK = 7, TELL_MS = 1000 };

static unsigned watches_x(void *ctx, const struct http_head *head, const struct http_target *target)
{
    (void)ctx;
    return span_equals(head->method, "POST") && strcmp(target->path, "/x") == 0 ? MARK : 0;
}

static int64_t count_came(void *ctx, unsigned mark)
{
    (void)ctx;
    cr_expect_eq(mark, MARK);
    watching.came++;
    return watching.tells ? TELL_MS : 0;
}

static void watch(bool tells)
{
    hand.service.watches_body = watches_x;
    hand.service.body_came = count_came;
    watching.tells = tells;
}

static void expect_told_of_each_piece(const char *head, const char *end)
{
    watch(false);
    watching.came = 0;
    say(head);
    cr_expect_eq(watching.came, 1);
    say("ab");
    say("c");
    cr_expect_eq(watching.came, 3);
    say(end);
    expect_heard("200");
    cr_expect_eq(watching.came, 3);
}

Test(conn, a_service_is_told_of_each_piece_of_a_body_that_it_watches)
{
    expect_told_of_each_piece(WATCHED("Content-Length: 4\r\n"), "d");
    expect_told_of_each_piece(WATCHED("Transfer-Encoding: chunked\r\n") "4\r\n", "d\r\n0\r\n\r\n");
}

Test(conn, a_service_is_told_nothing_of_whole_requests_and_of_those_that_it_does_not_watch)
{
    watch(true);
    say(WATCHED("Content-Length: 1\r\n") "a" POST("Content-Length: 2\r\n") "a");
    say("b");
    expect_heard("200 200");
    cr_assert_eq(watching.came, 0);
}

Test(conn, who_sends_a_watched_body_may_be_told_by_100_unless_an_earlier_answer_is_due)
{
    watch(true);
    say(PARK WATCHED("Content-Length: 3\r\n") "a");
    cr_assert_eq(watching.came, 1);
    expect_heard("");
    hand_answer("");
    passes(1);
    expect_heard("200");
    say("b");
    expect_heard("100");
    watch(false);
    say("c");
    expect_heard("200");
    say(WATCHED("Content-Length: 1\r\n"));
    say("a");
    expect_heard("200");
}

Test(conn, who_sends_a_watched_body_is_told_now_and_then_only)
{
    watch(true);
    say(WATCHED("Content-Length: 9\r\n") "a");
    expect_heard("100");
    say("b");
    expect_heard("");
    time_passes(2);
    say("c");
    expect_heard("100");
    say("d");
    expect_heard("");
}

Test(conn, who_sends_many_watched_bodies_in_pieces_is_told_now_and_then_only)
{
    watch(true);
    say(WATCHED("Content-Length: 2\r\n") "a");
    say("b" WATCHED("Content-Length: 2\r\n") "c");
    expect_heard("100 200");
    say("d");
    say(WATCHED("Content-Length: 2\r\n") "e");
    say("f");
    expect_heard("200 200");
    time_passes(2);
    say(WATCHED("Content-Length: 2\r\n") "g");
    say("h");
    expect_heard("100 200");
    say(WATCHED("Expect: 100-continue\r\nContent-Length: 1\r\n"));
    say("a");
    expect_heard("100 200");
}

Test(conn, who_waits_for_100_and_is_told_so_gets_it_once)
{
    watch(true);
    say(WATCHED("Expect: 100-continue\r\nContent-Length: 1\r\n"));
    expect_heard("100");
    say("a");
    expect_heard("200");
}

/* ---- HEAD */

static const char *head_of(const char *text)
{
    say(text);
    return heard_of(true);
}

Test(conn, head_is_answered_without_a_body)
{
    cr_expect_str_eq(head_of("HEAD /big?70000 HTTP/1.1\r\n" HOST "\r\n"), "200");
    cr_expect_str_eq(head_of("HEAD / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi"), "200");
}

Test(conn, a_refused_head_is_answered_without_a_body)
{
    cr_expect_str_eq(head_of("\r\nHEAD / HTTP/1.1\r\n\r\n"), "400 close end");
}

Test(conn, a_head_that_takes_too_long_is_answered_without_a_body)
{
    say("HEAD / HTTP/1.1\r\n");
    time_passes(31);
    cr_expect_str_eq(heard_of(true), "408 close end");
}

Test(conn, a_head_with_too_long_a_body_is_answered_without_one)
{
    cr_expect_str_eq(head_of("HEAD / HTTP/1.1\r\n" HOST "Content-Length: 10000\r\n\r\n"), "413 close end");
}

/* ---- time */

Test(conn, a_quiet_connection_is_closed_after_its_time)
{
    time_passes(4);
    say(GET);
    time_passes(4);
    expect_heard("200");
    time_passes(2);
    expect_heard("end");
}

/* Some clients send one behind a body. */
Test(conn, an_empty_line_behind_a_request_is_no_request_that_begins)
{
    say(GET "\r\n");
    time_passes(4);
    expect_heard("200");
    time_passes(2);
    expect_heard("end");
}

Test(conn, a_request_must_be_whole_in_time)
{
    say("G");
    for (int i = 0; i < 29; i++) {
        time_passes(1);
        say("E");
    }
    expect_heard("");
    time_passes(2);
    expect_heard("408 close end");
}

Test(conn, a_body_must_be_whole_in_time)
{
    say(GET POST("Content-Length: 100\r\n"));
    time_passes(20);
    say("x");
    time_passes(9);
    expect_heard("200");
    time_passes(2);
    expect_heard("408 close end");
}

Test(conn, each_request_has_its_own_time)
{
    for (int i = 0; i < 5; i++) {
        say("GET / HTTP/1.1\r\n");
        time_passes(25);
        say(HOST "\r\nGET / ");
        time_passes(25);
        say("HTTP/1.1\r\n" HOST "\r\n");
        expect_heard("200 200");
    }
}

Test(conn, who_waits_for_an_answer_has_all_the_time)
{
    say(PARK);
    time_passes(100000);
    hand_answer("");
    passes(1);
    expect_heard("200");
    time_passes(4);
    say(GET);
    expect_heard("200");
}

/* What each of many says in one pass, and what it hears then. */
static const struct {
    const char *says, *hears;
} many[] = {
    {GET, "200"},
    {"GET / HTTP/9.9\r\n" HOST "\r\n", "505 close end"},
    {"GET / HTTP/1.1\r\n", ""},
    {GET GET GET, "200 200 200"},
    {"GET / HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n", "200 close end"},
    {"GET /big?20000 HTTP/1.1\r\n" HOST "\r\n" GET, "200 200"},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc" GET "GET", "200 200"},
};

static void many_are_served(const char *carriers)
{
    enum { KINDS = sizeof many / sizeof *many, CLIENTS = 40 };
    int clients[CLIENTS];
    hand_close();
    setenv("CARRIERS", carriers, 1);
    hand_open();
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = hand_connect();
    for (int i = 0; i < CLIENTS; i++)
        cr_assert(send(clients[i], many[i % KINDS].says, strlen(many[i % KINDS].says), 0) > 0);
    passes(3);
    for (int i = 0; i < CLIENTS; i++) {
        client = clients[i];
        expect_heard(many[i % KINDS].hears);
    }
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    client = hand_connect();
    passes(3);
    cr_expect(hand.conns.open == 1);
}

Test(conn, many_at_once_are_served_as_each_would_be_alone)
{
    for (int round = 0; round < 100; round++)
        many_are_served(round % 3 == 0 ? "0" : "3");
}

/* The next pass sees both, what is said and that so much time has gone by. */
static void say_behind(int64_t seconds, const char *text)
{
    cr_assert_eq(send(client, text, strlen(text), 0), (ssize_t)strlen(text));
    skipped_us += seconds * 1000000;
    passes(2);
}

enum { IDLE_OVER_S = HAND_IDLE_MS / 1000 + 1 };

Test(conn, a_request_that_comes_as_the_idle_time_ends_is_answered)
{
    say(GET);
    expect_heard("200");
    say_behind(IDLE_OVER_S, GET);
    expect_heard("200");
    time_passes(IDLE_OVER_S);
    expect_heard("end");
}

Test(conn, the_last_request_that_comes_as_the_idle_time_ends_is_answered)
{
    say_behind(IDLE_OVER_S, "GET / HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
    expect_heard("200 close end");
}

Test(conn, a_bad_request_that_comes_as_the_idle_time_ends_is_told_so)
{
    say_behind(IDLE_OVER_S, "GET / HTTP/9.9\r\n" HOST "\r\n");
    expect_heard("505 close end");
}

Test(conn, a_request_that_begins_as_the_idle_time_ends_has_its_own_time)
{
    say_behind(IDLE_OVER_S, "GET / HTTP/1.1\r\n");
    say(HOST "\r\n");
    expect_heard("200");
}

Test(conn, a_request_whose_rest_comes_as_its_time_ends_is_answered)
{
    say("GET / HTTP/1.1\r\n");
    say_behind(31, HOST "\r\n");
    expect_heard("200");
}

Test(conn, a_reader_that_takes_nothing_is_cut)
{
    say("GET /big?5000000 HTTP/1.1\r\n" HOST "\r\n");
    time_passes(29);
    cr_expect(hand.conns.open == 1);
    time_passes(2);
    cr_expect(hand.conns.open == 0);
}

Test(conn, a_reader_that_takes_little_at_a_time_is_not_cut)
{
    say("GET /big?5000000 HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 3; i++) {
        time_passes(29);
        receive(40000); /* too little for poll to tell of room */
        time_passes(3); /* it is noticed */
    }
    time_passes(26);
    cr_expect(hand.conns.open == 1);
    time_passes(5);
    cr_expect(hand.conns.open == 0);
}

static int readable(void)
{
    int bytes = 0;
    ioctl(client, FIONREAD, &bytes);
    return bytes;
}

Test(conn, the_time_of_a_reader_begins_when_the_socket_is_full)
{
    int before;
    hand.conns.idle_timeout_ms = 1000000;
    say(GET);
    do {
        before = readable();
        time_passes(40);
        say("GET /big?20000 HTTP/1.1\r\n" HOST "\r\n");
    } while (readable() - before > 20000);
    time_passes(28);
    cr_expect(hand.conns.open == 1);
    time_passes(3);
    cr_expect(hand.conns.open == 0);
}

Test(conn, a_request_that_waits_behind_a_slow_reader_is_not_late)
{
    say("GET /big?5000000 HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n");
    for (int i = 0; i < 4; i++) {
        time_passes(20);
        receive(300000);
    }
    expect_heard("200");
    time_passes(20);
    say(HOST "\r\n");
    expect_heard("200");
}

Test(conn, a_request_that_waits_behind_a_full_pipeline_is_not_late)
{
    say(PARK);
    say_times(HTTP_PIPELINE_MAX - 1, GET);
    say("GET / HTTP/1.1\r\n");
    time_passes(100);
    hand_answer("");
    passes(3);
    receive(SIZE_MAX);
    time_passes(20);
    say(HOST "\r\n");
    cr_expect(hand.handled == HTTP_PIPELINE_MAX + 1, "%d", hand.handled);
    cr_expect(hand.conns.open == 1);
}

/* ---- many at once */

Test(conn, a_full_pipeline_is_not_read_and_goes_on_later)
{
    say(PARK);
    say_times(3000, GET);
    passes(30);
    cr_expect(hand.handled == HTTP_PIPELINE_MAX);
    hand_answer("");
    passes(30);
    receive(SIZE_MAX);
    cr_expect(hand.handled == 3001);
}

Test(conn, a_full_pipeline_goes_on_although_the_client_has_sent_all)
{
    say(PARK);
    say_times(3000, GET);
    passes(30);
    shutdown(client, SHUT_WR);
    passes(3);
    hand_answer("");
    passes(30);
    cr_expect(receive(SIZE_MAX));
    cr_expect(hand.handled == 3001);
}

Test(conn, a_connection_is_sent_no_more_than_its_turn_in_a_pass)
{
    const struct loop_watch *server = (const struct loop_watch *)hand.conns.lists[CONNS_OPEN];
    int room = 2 * HTTP_SEND_MOST;
    const char *text = "GET /big?5000000 HTTP/1.1\r\n" HOST "\r\n";
    setsockopt(server->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    cr_assert(send(client, text, strlen(text), 0) > 0);
    passes(1);
    cr_expect(readable() == HTTP_SEND_MOST, "%d", readable());
}

static void say_on_all(int *clients, int count, const char *first, int times)
{
    for (int i = 0; i < count; i++) {
        client = clients[i] = i ? hand_connect() : client;
        say(first);
        say_times(times, GET);
    }
}

static void hear_out_all(const int *clients, int count)
{
    for (int i = 0; i < count; i++) {
        client = clients[i];
        shutdown(client, SHUT_WR);
        while (!receive(SIZE_MAX))
            passes(1);
        buf_clear(&got);
        close(client);
    }
    client = -1;
}

Test(conn, answers_that_nobody_takes_are_not_made)
{
    int clients[100];
    say_on_all(clients, 100, "GET /big?1000000 HTTP/1.1\r\n" HOST "\r\n", 1100);
    cr_expect(hand.handled <= 100 * 100, "%d", hand.handled);
    cr_expect(hand.conns.answering < 100 * 100 * 1000, "%zu", hand.conns.answering);
    hear_out_all(clients, 100);
    cr_expect(hand.handled == 100 * 1101, "%d", hand.handled);
}

Test(conn, answers_that_wait_for_others_are_bounded_for_all_together)
{
    int clients[300];
    say_on_all(clients, 300, PARK, 1100);
    cr_expect(hand.handled > 300 * 100 && hand.handled < 300 * 1000, "%d", hand.handled);
    cr_expect(hand.conns.answering < HTTP_ANSWERS_MAX + 1000000, "%zu", hand.conns.answering);
    for (int i = 0; i < 300; i++)
        hand_answer("");
    hear_out_all(clients, 300);
    cr_expect(hand.handled == 300 * 1101, "%d", hand.handled);
}

Test(conn, a_client_that_asks_for_much_at_once_does_not_hold_the_others)
{
    int other = hand_connect();
    char bytes[16];
    enum { COUNT = 1400 };
    char *all = malloc(COUNT * sizeof GET);
    for (size_t i = 0; i < COUNT; i++)
        memcpy(all + i * strlen(GET), GET, strlen(GET));
    cr_assert(send(client, all, COUNT * strlen(GET), 0) == (ssize_t)(COUNT * strlen(GET)));
    cr_assert(send(other, GET, strlen(GET), 0) > 0);
    passes(1);
    cr_expect(recv(other, bytes, sizeof bytes, 0) > 0);
    cr_expect(hand.handled < COUNT / 2, "%d", hand.handled);
    for (int i = 0; i < 20; i++) {
        receive(SIZE_MAX);
        passes(1);
    }
    cr_expect(hand.handled == COUNT + 1, "%d", hand.handled);
    free(all);
    close(other);
}

Test(conn, a_client_may_leave_with_requests_left_for_the_next_pass)
{
    say(PARK);
    say_times(1400, GET);
    hand_answer("");
    hand_run(1);
    close(client);
    client = -1;
    passes(1);
    conns_finish(&hand.conns);
    passes(3);
    cr_expect(hand.conns.open == 0);
}

/* Others bring what is answered and not sent to its limit; then they are done. */
static void others_answer_all_there_is(void)
{
    hand.conns.answering += HTTP_ANSWERS_MAX;
}

static void others_are_done(void)
{
    hand.conns.answering -= HTTP_ANSWERS_MAX;
}

Test(conn, a_chunked_body_that_comes_while_others_fill_all_answers_is_whole)
{
    hand.seen = note_body;
    say(PARK POST("Transfer-Encoding: chunked\r\n") "5\r\nAAAAA\r\n");
    others_answer_all_there_is();
    say("5\r\nBBBBB\r\n");
    passes(3);
    others_are_done();
    say("5\r\nCCCCC\r\n0\r\n\r\n");
    hand_answer("");
    passes(3);
    expect_heard("200 200");
    buf_add_char(&seen_bodies, '\0');
    cr_expect_str_eq(seen_bodies.data, "GET/park|POST/AAAAABBBBBCCCCC|");
    buf_free(&seen_bodies);
}

Test(conn, a_request_that_waits_while_others_fill_all_answers_is_not_lost)
{
    say(PARK "GET /a HTTP/1.1\r\n");
    others_answer_all_there_is();
    say(HOST "\r\n" GET);
    passes(3);
    cr_expect_eq(hand.handled, 1);
    others_are_done();
    hand_answer("");
    passes(3);
    expect_heard("200 200 200");
}

/* ---- connections past the limit */

static void handle_badly(void *ctx, const struct http_request *request, const char *rest,
                         struct http_exchange *exchange)
{
    (void)ctx;
    (void)request;
    (void)rest;
    http_answer_error(exchange, 400, NULL, "that says nothing");
}

static const struct http_route node_routes[] = {
    {.method = "POST", .path = "/node/bad", .handle = handle_badly, .token = true},
    {.method = "GET", .path = "/park", .handle = hand_handle, .token = true},
    {.method = "POST", .path = "/node", .handle = hand_handle, .body_limit = hand_body_limit, .token = true},
    {.method = "DELETE", .path = "/node/*", .handle = hand_handle, .token = true},
    {.method = "GET", .path = "*", .handle = hand_handle},
    {0},
};

static bool has_password(void *ctx, const struct http_head *head)
{
    (void)ctx;
    return http_head_field(head, "Password");
}

/* The client has its connection past the limit, on a server with rows for nodes. */
static void be_extra(void)
{
    int ends[2];
    hand.service.routes = node_routes;
    hand.service.admits = has_password;
    close(client);
    passes(2);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    cr_assert(conn_open_extra(&hand.conns, ends[0], "127.0.0.1:2") == 0);
    client = ends[1];
    passes(2);
    cr_expect(hand.conns.open == 1 && hand.conns.extras == 1);
}

#define NODE(fields) "POST /node HTTP/1.1\r\n" HOST fields "Content-Length: 5\r\n\r\n"

Test(conn, a_client_past_the_limit_is_turned_away_and_can_read_why)
{
    static const char *const requests[] = {GET,
                                           "HEAD / HTTP/1.1\r\n" HOST "\r\n",
                                           NODE(""),
                                           NODE("") "hello",
                                           "DELETE /node/x HTTP/1.1\r\n" HOST "\r\n",
                                           "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        be_extra();
        say(requests[i]);
        const char *said = heard_of(requests[i][0] == 'H');
        cr_expect_str_eq(said, "503 close end", "%s", requests[i]);
        cr_expect_eq(hand.handled, 0);
        shutdown(client, SHUT_WR);
        passes(2);
        cr_expect(hand.conns.open == 0 && hand.conns.extras == 0);
    }
}

Test(conn, a_client_past_the_limit_that_says_nothing_is_turned_away_after_a_while)
{
    be_extra();
    time_passes(1);
    say("POST /node HTTP/1.1\r\n");
    time_passes(1);
    expect_heard("503 close end");
    time_passes(3);
    cr_expect(hand.conns.open == 0 && hand.conns.extras == 0, "it has not gone, and is cut");
}

Test(conn, a_node_past_the_limit_is_served_like_others)
{
    be_extra();
    say("POST /node HTTP/1.1\r\n" HOST);
    expect_heard("");
    say("Password: x\r\nContent-Length: 5\r\n\r\nhe");
    say("llo" GET);
    expect_heard("200 200");
    cr_expect(hand.conns.open == 1 && hand.conns.extras == 0);
    time_passes(3);
    say(NODE("") "hello");
    expect_heard("401");
}

Test(conn, a_node_past_the_limit_may_ask_with_a_request_without_a_body)
{
    be_extra();
    say("DELETE /node/x HTTP/1.1\r\n" HOST "Password: x\r\n\r\n");
    expect_heard("200");
    cr_expect(hand.conns.extras == 0);
}

Test(conn, who_is_refused_past_the_limit_has_no_place_there)
{
    be_extra();
    for (int i = 0; i < 2; i++) {
        say("POST /node/bad HTTP/1.1\r\n" HOST "Password: x\r\nContent-Length: 0\r\n\r\n");
        expect_heard("400");
        cr_expect(hand.conns.extras == 1);
    }
    say(GET);
    expect_heard("503 close end");
    be_extra();
    say("POST /node/bad HTTP/1.1\r\n" HOST "Password: x\r\nContent-Length: 0\r\n\r\n");
    expect_heard("400");
    time_passes(2);
    expect_heard("503 close end");
}

Test(conn, a_node_past_the_limit_may_wait_for_its_answer)
{
    be_extra();
    say("GET /park HTTP/1.1\r\n" HOST "Password: x\r\n\r\n");
    cr_expect(hand.conns.extras == 1);
    time_passes(30);
    cr_expect(!conns_drop_extra(&hand.conns));
    hand_answer("");
    passes(2);
    expect_heard("200");
    cr_expect(hand.conns.open == 1 && hand.conns.extras == 0);
    time_passes(3);
    say(GET);
    expect_heard("200");
}

Test(conn, of_those_past_the_limit_the_oldest_makes_room)
{
    be_extra();
    int ends[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    cr_assert(conn_open_extra(&hand.conns, ends[0], "127.0.0.1:3") == 0);
    cr_expect(conns_drop_extra(&hand.conns));
    passes(2);
    expect_heard("503 close end");
    cr_expect(hand.conns.open == 1 && hand.conns.extras == 1);
    close(client);
    client = ends[1];
    say(NODE("Password: x\r\n") "hello");
    expect_heard("200");
    cr_expect(!conns_drop_extra(&hand.conns), "it is a node's now");
}

/* ---- the end of the server */

static void server_stops(void)
{
    atomic_store(&hand.conns.stop_by_ms, 1);
    conns_finish(&hand.conns);
    passes(2);
}

Test(conn, at_the_end_only_the_last_answer_of_a_connection_closes_it)
{
    say(PARK PARK PARK);
    server_stops();
    for (int i = 0; i < 3; i++)
        hand_answer("");
    passes(2);
    expect_heard("200 200 200 close end");
}

Test(conn, at_the_end_no_request_is_taken_behind_an_answer_that_closes)
{
    say(PARK);
    server_stops();
    hand_answer("");
    cr_assert(send(client, PARK, strlen(PARK), 0) > 0);
    passes(2);
    cr_expect_eq(hand.parked_first, hand.parked_end, "nobody got it");
    expect_heard("200 close end");
}

Test(conn, at_the_end_a_part_of_a_request_keeps_no_answer_from_closing)
{
    say(PARK "GET / HT");
    server_stops();
    hand_answer("");
    passes(2);
    expect_heard("200 close end");
}

Test(conn, at_the_end_a_connection_without_a_request_is_closed)
{
    say(GET);
    expect_heard("200");
    time_passes(1);
    server_stops();
    expect_heard("end");
}

Test(conn, at_the_end_a_client_that_asked_a_moment_ago_may_ask_once_more)
{
    say(GET);
    expect_heard("200");
    server_stops();
    expect_heard("");
    say(GET);
    expect_heard("200 close end");
}

Test(conn, at_the_end_what_lies_in_the_socket_is_answered)
{
    say(GET);
    expect_heard("200");
    time_passes(1);
    cr_assert(send(client, GET GET, strlen(GET GET), 0) > 0);
    server_stops();
    expect_heard("200 200 close end");
}

Test(conn, at_the_end_what_the_client_goes_on_to_send_loses_no_answer)
{
    say(PARK PARK);
    server_stops();
    hand_answer("");
    passes(1);
    say(GET);
    hand_answer("");
    passes(1);
    server_stops();
    expect_heard("200 200 200 close end");
}

Test(conn, a_kept_connection_is_told_for_how_long)
{
    snprintf(hand.conns.keep_alive, sizeof hand.conns.keep_alive, "Keep-Alive: timeout=75\r\n");
    say(GET "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\n" HOST
            "Connection: close\r\n\r\n");
    passes(1);
    receive(SIZE_MAX);
    buf_add_char(&got, '\0');
    char *second = strstr(got.data + 1, "HTTP/1.1 200");
    char *third = second ? strstr(second + 1, "HTTP/1.1 200") : NULL;
    cr_assert(third && strstr(got.data, "\r\nKeep-Alive: timeout=75\r\n") < second);
    cr_expect(strstr(second, "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n") < third);
    cr_expect(strstr(third, "\r\nConnection: close\r\n") && !strstr(third, "Keep-Alive"));
    buf_clear(&got);
}

/* ---- memory for requests */

Test(conn, while_others_hold_much_only_requests_in_one_piece_are_taken)
{
    say(GET POST("Content-Length: 5\r\n") "he");
    hand.conns.intakes.bytes += HTTP_BUFFERED_MAX;
    say("ll");
    expect_heard("200");
    hand.conns.intakes.bytes += 1;
    say(GET);
    expect_heard("503 close end");
    close(client);
    client = hand_connect();
    say(GET);
    expect_heard("200");
    say("G");
    expect_heard("503 close end");
    hand.conns.intakes.bytes -= HTTP_BUFFERED_MAX + 1;
}

/* Another client's connection, which becomes the one that the test speaks on. */
static int be_other(const char *peer)
{
    int ends[2], before = client;
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    cr_assert(conn_open(&hand.conns, ends[0], peer) == 0);
    client = ends[1];
    return before;
}

Test(conn, one_address_does_not_take_the_memory_of_all)
{
    enum { CONNECTIONS = 40, KEPT = 1000 };
    char *body = malloc(KEPT);
    memset(body, 'x', KEPT);
    hand.conns.intakes.limit = 20 * KEPT;
    int greedy[CONNECTIONS], refused = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        greedy[i] = be_other("1.2.3.4:1");
        say(POST("Content-Length: 5000\r\n"));
        say_bytes(body, KEPT);
        refused += strcmp(heard(), "") != 0;
    }
    cr_expect(refused >= CONNECTIONS - 11 && refused < CONNECTIONS, "%d", refused);
    int last = be_other("1.2.3.5:1");
    say(POST("Content-Length: 1000\r\n"));
    say_bytes(body, KEPT);
    expect_heard("200");
    for (int i = 0; i < CONNECTIONS; i++)
        close(greedy[i]);
    close(last);
    free(body);
    passes(2);
    cr_expect(hand.conns.open == 1 && hand.conns.intakes.bytes == 0);
}

Test(conn, a_request_alone_may_be_long)
{
    say("G");
    hand.conns.intakes.bytes += HTTP_BUFFERED_MAX;
    say("ET / HTTP/1.1\r\n" HOST "\r\n");
    expect_heard("200");
    hand.conns.intakes.bytes -= HTTP_BUFFERED_MAX;
}

/* ---- what an error says */

static const char *error_body(const char *sentence)
{
    say(PARK);
    http_answer_error(hand.parked[hand.parked_first++], 400, NULL, "%s", sentence);
    passes(1);
    receive(SIZE_MAX);
    buf_add_char(&got, '\0');
    return strstr(got.data, "\r\n\r\n") + 4;
}

Test(conn, an_error_is_json_whatever_it_quotes)
{
    cr_expect_str_eq(error_body("no \"x\"\n"), "{\"error\":\"no \\\"x\\\"\\n\"}\n");
    buf_clear(&got);
    cr_expect_str_eq(error_body("no \xc3\xa4"), "{\"error\":\"no \xc3\xa4\"}\n");
    buf_clear(&got);
    cr_expect_str_eq(error_body("no \xc3\xa4\xff"), "{\"error\":\"no \x3f\x3f?\"}\n");
    buf_clear(&got);
}

static const char *whole_answer(void)
{
    passes(1);
    receive(SIZE_MAX);
    buf_add_char(&got, '\0');
    return got.data;
}

Test(conn, an_answer_that_is_not_there_now_says_when_to_ask_again)
{
    say(PARK);
    http_answer_unavailable(hand.parked[hand.parked_first++], "no \"%d\" now", 1);
    const char *answer = whole_answer();
    cr_expect(strstr(answer, "HTTP/1.1 503 ") && strstr(answer, "\r\nRetry-After: 1\r\n"), "%s", answer);
    cr_expect(strstr(answer, "\r\n\r\n{\"error\":\"no \\\"1\\\" now\"}"), "%s", answer);
    buf_clear(&got);
}

Test(conn, an_answer_in_a_buffer_takes_the_buffer)
{
    struct buf body = {0};
    say(PARK);
    buf_add_text(&body, "[1]");
    http_answer_json(hand.parked[hand.parked_first++], 200, NULL, &body);
    const char *answer = whole_answer();
    cr_expect(strstr(answer, "HTTP/1.1 200 ") && strstr(answer, "\r\n\r\n[1]"), "%s", answer);
    cr_expect(!body.data);
    buf_clear(&got);
}

Test(conn, an_answer_for_which_there_was_no_memory_is_a_503)
{
    struct buf body = {0};
    say(PARK);
    buf_add_text(&body, "[1]");
    body.failed = true;
    http_answer_json(hand.parked[hand.parked_first++], 200, NULL, &body);
    const char *answer = whole_answer();
    cr_expect(strstr(answer, "HTTP/1.1 503 ") && strstr(answer, "no memory for the answer"), "%s", answer);
    cr_expect(!body.data);
    buf_clear(&got);
}
