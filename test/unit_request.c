/* Requests out of bytes, by plain calls. */
#include "buf.h"
#include "http/request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { LIMIT = 10 };

static struct request_state state;
static struct request_parts parts;

/* Looks at the bytes as a connection does. *len: see request_take. */
static enum request_verdict look(char *bytes, size_t *len)
{
    enum request_verdict verdict = request_take(&state, bytes, len, &parts);
    if (verdict != REQUEST_HEAD)
        return verdict;
    state.limit = LIMIT;
    return request_take(&state, bytes, len, &parts);
}

/* The verdict on a whole text that came in one piece. */
static enum request_verdict verdict_of(const char *text)
{
    static char bytes[4096];
    size_t len = strlen(text);
    state = (struct request_state){0};
    memcpy(bytes, text, len);
    return look(bytes, &len);
}

/* Feeds a text in two or more pieces; returns the last verdict, and how many bytes were left behind it. */
static enum request_verdict verdict_of_pieces(const char *text, size_t piece, size_t *left)
{
    static char bytes[4096];
    size_t len = 0;
    enum request_verdict verdict = REQUEST_MORE;
    state = (struct request_state){0};
    for (size_t at = 0; text[at] && verdict == REQUEST_MORE; at += piece) {
        if (piece > strlen(text + at))
            piece = strlen(text + at);
        memcpy(bytes + len, text + at, piece);
        len += piece;
        size_t there = len;
        verdict = look(bytes, &len);
        *left = there - (verdict == REQUEST_WHOLE ? parts.len : len);
    }
    return verdict;
}

#define POST(fields) "POST /a?b HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define CHUNKED POST("Transfer-Encoding: chunked\r\n")

static const char *const good[] = {
    POST(""),
    POST("Content-Length: 5\r\n") "hello",
    POST("Content-Length: 0\r\n"),
    CHUNKED "3;x=y\r\nhel\r\n02\r\nlo\r\n0\r\nTrailer: t\r\n\r\n",
    CHUNKED "0\r\n\r\n",
};

static const char *const bodies[] = {"", "hello", "", "hello", ""};

Test(request, it_is_the_same_however_it_is_cut)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t piece = 1; piece <= strlen(good[i]); piece++) {
            size_t left;
            cr_assert_eq(verdict_of_pieces(good[i], piece, &left), REQUEST_WHOLE, "%zu by %zu", i, piece);
            cr_expect_eq(left, 0);
            cr_expect(span_equals(parts.body, bodies[i]));
            cr_expect(span_equals(parts.head.method, "POST"));
            cr_expect_str_eq(parts.target.path, "/a");
            cr_expect_eq(state.phase, REQUEST_IN_HEAD);
        }
}

Test(request, each_part_of_it_is_not_yet_all)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t len = 0; len < strlen(good[i]); len++) {
            static char bytes[4096];
            size_t there = len;
            state = (struct request_state){0};
            memcpy(bytes, good[i], len);
            cr_expect_eq(look(bytes, &there), REQUEST_MORE, "%zu, %zu bytes", i, len);
        }
}

Test(request, what_follows_it_is_left)
{
    cr_expect_eq(verdict_of(POST("Content-Length: 2\r\n") "hiGET"), REQUEST_WHOLE);
    cr_expect_eq(parts.len, strlen(POST("Content-Length: 2\r\n") "hi"));
    cr_expect_eq(verdict_of(CHUNKED "2\r\nhi\r\n0\r\n\r\nGET"), REQUEST_WHOLE);
    cr_expect_eq(parts.len, strlen(CHUNKED "2\r\nhi\r\n0\r\n\r\n"));
    cr_expect(span_equals(parts.body, "hi"));
}

Test(request, of_a_chunked_body_only_what_was_decoded_is_needed)
{
    static char bytes[] = CHUNKED "3\r\nabc\r\n2\r\nd";
    size_t len = strlen(bytes);
    cr_expect_eq(look(bytes, &len), REQUEST_MORE);
    cr_expect_eq(len, strlen(CHUNKED "abcd"));
    cr_expect(memcmp(bytes, CHUNKED "abcd", len) == 0);
}

static void expect_refused(const char *text, int status, const char *why)
{
    size_t left;
    cr_expect_eq(verdict_of(text), REQUEST_REFUSED, "%s", text);
    cr_expect_eq(parts.status, status, "%s: %d", text, parts.status);
    cr_expect(strstr(parts.why, why), "%s: %s", text, parts.why);
    cr_expect_eq(state.phase, REQUEST_IN_HEAD);
    cr_expect_eq(verdict_of_pieces(text, 1, &left), REQUEST_REFUSED, "%s", text);
    cr_expect_eq(parts.status, status, "%s: %d", text, parts.status);
}

Test(request, one_that_cannot_be_served_is_refused)
{
    expect_refused("BAD\r\n\r\n", 400, "");
    expect_refused("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "");
    expect_refused(POST("Content-Length: 11\r\n"), 413, "longer than the 10 bytes that are taken here");
    expect_refused(CHUNKED "x", 400, "chunked");
    expect_refused(CHUNKED "b\r\nhello world", 413, "longer than the 10 bytes");
}

/* Of a POST that announces no body, its head and what follows. */
#define BARE "POST / HTTP/1.1\r\nHost: a\r\n\r\n"

Test(request, a_body_without_its_length_is_411)
{
    static const char *const bodies_bare[] = {"hello",           "{\"message\":\"a\"}", "a=b",  "HELLO",
                                              "GETS it",         "5\r\nhello\r\n",      "POST", "GET x",
                                              " GET / HTTP/1.1", "get / HTTP/1.1"};
    static const char *const next[] = {
        "",     "GET / HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n", "G",
        "GET ", "BREW /pot HTTP/1.1", "OPTIONS * HTTP/1.1",     "GET http://a/ HTTP/1.1"};
    char text[256];
    for (size_t i = 0; i < sizeof bodies_bare / sizeof *bodies_bare; i++) {
        snprintf(text, sizeof text, BARE "%s", bodies_bare[i]);
        bool could_be = strcmp(bodies_bare[i], "HELLO") == 0 || strcmp(bodies_bare[i], "POST") == 0;
        cr_expect_eq(verdict_of(text), could_be ? REQUEST_WHOLE : REQUEST_REFUSED, "%s", bodies_bare[i]);
        if (!could_be)
            cr_expect(parts.status == 411 && strstr(parts.why, "Content-Length"), "%s", bodies_bare[i]);
    }
    for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
        snprintf(text, sizeof text, BARE "%s", next[i]);
        cr_expect_eq(verdict_of(text), REQUEST_WHOLE, "%s", next[i]);
    }
    cr_expect_eq(verdict_of("DELETE / HTTP/1.1\r\nHost: a\r\n\r\nhello"), REQUEST_WHOLE);
    cr_expect_eq(verdict_of(POST("Content-Length: 0\r\n") "hello"), REQUEST_WHOLE);
}

Test(request, one_that_is_refused_may_be_head)
{
    cr_expect(request_asks_head(span_of("HEAD /%zz HTTP/1.1\r\n")));
    cr_expect(request_asks_head(span_of("\r\nHEAD / HTTP/1.1\r\n")));
    cr_expect(!request_asks_head(span_of("POST / HTTP/1.1\r\n")));
    cr_expect(!request_asks_head(span_of("HEA")) && !request_asks_head(span_of("HEADER")));
}

Test(request, what_is_missing_of_a_body_is_known_where_its_length_is)
{
    cr_expect_eq(verdict_of("GET / HT"), REQUEST_MORE);
    cr_expect_eq(request_missing(&state, 8), 0);
    cr_expect_eq(verdict_of(POST("Content-Length: 5\r\n") "he"), REQUEST_MORE);
    cr_expect_eq(request_missing(&state, strlen(POST("Content-Length: 5\r\n") "he")), 3);
    cr_expect_eq(verdict_of(CHUNKED "5\r\nhe"), REQUEST_MORE);
    cr_expect_eq(request_missing(&state, strlen(CHUNKED "he")), 0);
}

#define EXPECT(length) POST("Expect: 100-continue\r\nContent-Length: " length "\r\n")

Test(request, who_waits_for_100_and_has_sent_nothing_since_is_held_up)
{
    cr_expect_eq(verdict_of(EXPECT("5")), REQUEST_MORE);
    cr_expect(state.wants_continue);
    cr_expect(request_is_held_up(&state, strlen(EXPECT("5"))));
    cr_expect(!request_is_held_up(&state, strlen(EXPECT("5")) + 1));
    state.wants_continue = false;
    cr_expect(!request_is_held_up(&state, strlen(EXPECT("5"))));
    cr_expect_eq(verdict_of(EXPECT("5") "hello"), REQUEST_WHOLE);
    cr_expect(!state.wants_continue);
    cr_expect_eq(verdict_of(EXPECT("11")), REQUEST_REFUSED);
    cr_expect(!state.wants_continue);
}
