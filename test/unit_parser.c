#include "exact.h"
#include "http/parser.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct http_head head;
static struct http_refusal refusal;

static enum http_parse request(const char *text)
{
    size_t scanned = 0;
    return http_parse_request(span_of(text), &scanned, &head, &refusal);
}

static enum http_parse response(const char *text, bool to_head)
{
    size_t scanned = 0;
    return http_parse_response(span_of(text), &scanned, to_head, &head, &refusal);
}

/* Whether the request built of these three, the byte between them, is taken. */
static bool byte_taken(const char *before, int byte, const char *after)
{
    char text[256];
    size_t len = strlen(before);
    memcpy(text, before, len);
    text[len] = (char)byte;
    memcpy(text + len + 1, after, strlen(after));
    size_t scanned = 0;
    struct span in = {text, len + 1 + strlen(after)};
    return http_parse_request(in, &scanned, &head, &refusal) == HTTP_PARSE_DONE;
}

static bool in_set(int byte, const char *set)
{
    return byte != 0 && strchr(set, byte) != NULL;
}

static bool alnum(int byte)
{
    return in_set(byte, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
}

static bool token(int byte)
{
    return alnum(byte) || in_set(byte, "!#$%&'*+-.^_`|~");
}

/* ---- what a head says ---- */

static const char browser[] = "GET /messages?from=3 HTTP/1.1\r\n"
                              "Host: localhost:5000\r\n"
                              "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
                              "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"
                              "Accept-Encoding: gzip, deflate\r\n"
                              "Empty:\r\n"
                              "Padded: \t a b \t \r\n"
                              "\r\n";

Test(request, parts_of_a_browsers_request_are_found)
{
    cr_assert(request(browser) == HTTP_PARSE_DONE);
    cr_expect(span_equals(head.method, "GET"));
    cr_expect(span_equals(head.target, "/messages?from=3"));
    cr_expect(head.minor == 1 && head.field_count == 6 && head.len == sizeof browser - 1);
    cr_expect(head.framing == HTTP_FRAMING_NONE && head.keep_alive && !head.expect_continue);
    cr_expect(span_equals(head.fields[0].name, "Host"));
    cr_expect(span_equals(head.fields[0].value, "localhost:5000"));
    cr_expect(span_equals(http_head_field(&head, "empty")->value, ""));
    cr_expect(span_equals(http_head_field(&head, "PADDED")->value, "a b"));
    cr_expect(http_head_field(&head, "Absent") == NULL);
}

Test(request, every_prefix_of_a_good_head_wants_more)
{
    struct exact exact = exact_new(sizeof browser);
    for (size_t len = 0; len < sizeof browser - 1; len++) {
        size_t scanned = 0;
        struct span in = exact_put(exact, browser, len);
        cr_expect(http_parse_request(in, &scanned, &head, &refusal) == HTTP_PARSE_MORE, "%zu", len);
        cr_expect(scanned == len, "%zu", len);
    }
}

Test(request, bytes_that_were_searched_are_not_searched_again)
{
    char text[] = "GET / HTTP/1.1\r\nHost: a\r\nA: b";
    size_t len = sizeof text - 1, scanned = 0;
    cr_assert(http_parse_request((struct span){text, len - 1}, &scanned, &head, &refusal) == HTTP_PARSE_MORE);
    text[20] = '\n'; /* would be refused */
    cr_expect(http_parse_request((struct span){text, len}, &scanned, &head, &refusal) == HTTP_PARSE_MORE);
}

Test(request, a_head_leaves_what_follows_it)
{
    const char *two = "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert(request(two) == HTTP_PARSE_DONE);
    cr_expect(span_equals(head.target, "/a"));
    cr_assert(request(two + head.len) == HTTP_PARSE_DONE);
    cr_expect(span_equals(head.target, "/b"));
    cr_expect(head.len == strlen("GET /b HTTP/1.1\r\nHost: a\r\n\r\n"));
}

Test(request, a_refusal_says_what_is_wrong)
{
    cr_assert(request("GET / HTTP/1.1\r\n\r\n") == HTTP_PARSE_BAD);
    cr_expect_str_eq(refusal.text, "the Host field is missing");
    cr_assert(request("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n") == HTTP_PARSE_BAD);
    cr_expect_str_eq(refusal.text, "a field name is followed by white space");
    cr_assert(request("GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n") == HTTP_PARSE_BAD);
    cr_expect_str_eq(refusal.text, "a field line has no colon");
    cr_assert(request("GET /\r\n\r\n") == HTTP_PARSE_BAD);
    cr_expect_str_eq(refusal.text, "the request line has no HTTP version");
    cr_assert(request("GET / HTTP/1.1\nHost: a\n\n") == HTTP_PARSE_BAD);
    cr_expect_str_eq(refusal.text, "a line ends with a bare line feed");
}

Test(request, a_line_feed_alone_is_refused_before_the_head_ends)
{
    cr_expect(request("GET / HTTP/1.1\n") == HTTP_PARSE_BAD);
    cr_expect(request("GET / HTTP/1.1\r\nHost: a\n") == HTTP_PARSE_BAD);
}

/* ---- classes of bytes ---- */

Test(bytes, a_method_takes_token_bytes_only)
{
    for (int byte = 0; byte < 256; byte++)
        cr_expect(byte_taken("A", byte, "B / HTTP/1.0\r\n\r\n") == token(byte), "0x%02x", (unsigned)byte);
}

Test(bytes, a_method_begins_with_token_bytes_only)
{
    for (int byte = 0; byte < 256; byte++)
        cr_expect(byte_taken("", byte, "B / HTTP/1.0\r\n\r\n") == token(byte), "0x%02x", (unsigned)byte);
}

Test(bytes, a_target_takes_visible_ascii_only)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = byte > 0x20 && byte < 0x7f;
        cr_expect(byte_taken("GET /", byte, "b HTTP/1.0\r\n\r\n") == good, "0x%02x", (unsigned)byte);
    }
}

Test(bytes, a_field_name_takes_token_bytes_only)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = token(byte) || byte == ':'; /* the name is A then */
        cr_expect(byte_taken("GET / HTTP/1.0\r\nA", byte, "B: c\r\n\r\n") == good, "0x%02x", (unsigned)byte);
    }
}

Test(bytes, a_field_name_begins_with_token_bytes_only)
{
    for (int byte = 0; byte < 256; byte++)
        cr_expect(byte_taken("GET / HTTP/1.0\r\n", byte, "B: c\r\n\r\n") == token(byte), "0x%02x",
                  (unsigned)byte);
}

Test(bytes, a_field_value_takes_no_control_byte_but_the_tab)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        cr_expect(byte_taken("GET / HTTP/1.0\r\nA: b", byte, "c\r\n\r\n") == good, "0x%02x", (unsigned)byte);
    }
}

Test(bytes, a_host_takes_no_byte_that_ends_or_splits_it)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = alnum(byte) || in_set(byte, "-._~!$&'()*+,;=");
        cr_expect(byte_taken("GET / HTTP/1.1\r\nHost: a", byte, "b\r\n\r\n") == good, "0x%02x",
                  (unsigned)byte);
    }
}

Test(bytes, a_content_length_takes_digits_only)
{
    for (int byte = 0; byte < 256; byte++)
        cr_expect(byte_taken("POST / HTTP/1.0\r\nContent-Length: 1", byte, "2\r\n\r\n") ==
                      (byte >= '0' && byte <= '9'),
                  "0x%02x", (unsigned)byte);
}

/* ---- limits ---- */

/* A text of `len` bytes: `before`, then as many `x` as it takes, then `after`. Freed by the test's end. */
static struct span padded(const char *before, const char *after, size_t len)
{
    char *text = malloc(len);
    memcpy(text, before, strlen(before));
    memset(text + strlen(before), 'x', len - strlen(before) - strlen(after));
    memcpy(text + len - strlen(after), after, strlen(after));
    return (struct span){text, len};
}

static int padded_result(const char *before, const char *after, size_t len)
{
    struct span in = padded(before, after, len);
    size_t scanned = 0;
    enum http_parse got = http_parse_request(in, &scanned, &head, &refusal);
    free((char *)in.at);
    return got == HTTP_PARSE_BAD ? refusal.status : (int)got;
}

Test(limits, a_request_line_may_be_as_long_as_its_limit)
{
    const char *end = " HTTP/1.0\r\n\r\n";
    cr_expect(padded_result("GET /", end, HTTP_REQUEST_LINE_MAX + 4) == HTTP_PARSE_DONE);
    cr_expect(padded_result("GET /", end, HTTP_REQUEST_LINE_MAX + 5) == 414);
    cr_expect(padded_result("\r\n\r\nGET /", end, HTTP_REQUEST_LINE_MAX + 8) == HTTP_PARSE_DONE);
    cr_expect(padded_result("\r\n\r\nGET /", end, HTTP_REQUEST_LINE_MAX + 9) == 414);
}

Test(limits, a_request_line_too_long_is_refused_before_it_ends)
{
    cr_expect(padded_result("GET /", "", HTTP_REQUEST_LINE_MAX + 1) == HTTP_PARSE_MORE);
    cr_expect(padded_result("GET /", "", HTTP_REQUEST_LINE_MAX + 2) == 414);
    cr_expect(padded_result("GET /", "", 100000) == 414);
}

Test(limits, a_head_may_be_as_long_as_its_limit)
{
    const char *start = "GET / HTTP/1.0\r\nA: ";
    cr_expect(padded_result(start, "\r\n\r\n", HTTP_HEAD_MAX) == HTTP_PARSE_DONE);
    cr_expect(head.len == HTTP_HEAD_MAX);
    cr_expect(padded_result(start, "\r\n\r\n", HTTP_HEAD_MAX + 1) == 431);
}

Test(limits, a_head_too_long_is_refused_before_it_ends)
{
    cr_expect(padded_result("GET / HTTP/1.0\r\nA: ", "", HTTP_HEAD_MAX - 1) == HTTP_PARSE_MORE);
    cr_expect(padded_result("GET / HTTP/1.0\r\nA: ", "", HTTP_HEAD_MAX) == 431);
    cr_expect(padded_result("GET / HTTP/1.0\r\nA: ", "", 100000) == 431);
}

Test(limits, a_limit_holds_however_the_bytes_come)
{
    struct span in = padded("GET / HTTP/1.0\r\nA: ", "\r\n\r\n", HTTP_HEAD_MAX + 1);
    size_t scanned = 0;
    for (size_t len = 0; len < HTTP_HEAD_MAX; len++) {
        struct span part = {in.at, len};
        cr_assert(http_parse_request(part, &scanned, &head, &refusal) == HTTP_PARSE_MORE, "%zu", len);
    }
    cr_assert(http_parse_request(in, &scanned, &head, &refusal) == HTTP_PARSE_BAD);
    cr_expect(refusal.status == 431);
    free((char *)in.at);
}

Test(limits, a_long_body_behind_a_head_does_not_count)
{
    cr_expect(padded_result("GET / HTTP/1.0\r\n\r\n", "", 100000) == HTTP_PARSE_DONE);
}

static enum http_parse with_fields(size_t count)
{
    char text[HTTP_HEAD_MAX] = "GET / HTTP/1.0\r\n";
    for (size_t i = 0; i < count; i++)
        strcat(text, "A: b\r\n");
    return request(strcat(text, "\r\n"));
}

Test(limits, fields_may_be_as_many_as_their_limit)
{
    cr_expect(with_fields(HTTP_FIELDS_MAX) == HTTP_PARSE_DONE);
    cr_expect(head.field_count == HTTP_FIELDS_MAX);
    cr_expect(with_fields(HTTP_FIELDS_MAX + 1) == HTTP_PARSE_BAD);
    cr_expect(refusal.status == 431);
}

/* ---- framing ---- */

Test(framing, a_request_without_a_length_has_no_body)
{
    cr_assert(request("POST / HTTP/1.1\r\nHost: a\r\n\r\n") == HTTP_PARSE_DONE);
    cr_expect(head.framing == HTTP_FRAMING_NONE && head.content_length == 0);
}

Test(framing, a_content_length_is_read)
{
    cr_assert(request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0123\r\n\r\n") == HTTP_PARSE_DONE);
    cr_expect(head.framing == HTTP_FRAMING_LENGTH && head.content_length == 123);
    cr_assert(request("POST / HTTP/1.0\r\nContent-Length: 18446744073709551615\r\n\r\n") == HTTP_PARSE_DONE);
    cr_expect(head.content_length == UINT64_MAX);
}

Test(framing, a_chunked_request_is_seen)
{
    cr_assert(request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n") == HTTP_PARSE_DONE);
    cr_expect(head.framing == HTTP_FRAMING_CHUNKED && head.content_length == 0);
}

Test(framing, nothing_of_the_head_before_is_kept)
{
    cr_assert(request("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n") ==
              HTTP_PARSE_DONE);
    cr_assert(request("GET / HTTP/1.0\r\n\r\n") == HTTP_PARSE_DONE);
    cr_expect(head.framing == HTTP_FRAMING_NONE && head.content_length == 0 && head.field_count == 0);
    cr_expect(!head.expect_continue && !head.keep_alive && head.minor == 0);
}

static bool waits(const char *version, const char *fields)
{
    char text[256];
    snprintf(text, sizeof text, "POST / HTTP/%s\r\nHost: a\r\nExpect: 100-Continue\r\n%s\r\n", version,
             fields);
    cr_assert(request(text) == HTTP_PARSE_DONE);
    return head.expect_continue;
}

Test(framing, only_a_client_of_http_1_1_with_a_body_waits_for_100)
{
    cr_expect(waits("1.1", "Content-Length: 5\r\n"));
    cr_expect(waits("1.1", "Transfer-Encoding: chunked\r\n"));
    cr_expect(waits("1.2", "Content-Length: 5\r\n"));
    cr_expect(!waits("1.0", "Content-Length: 5\r\n"));
    cr_expect(!waits("1.1", "Content-Length: 0\r\n"));
    cr_expect(!waits("1.1", ""));
}

/* ---- connections ---- */

static bool keeps(const char *version, const char *connection)
{
    char text[256];
    snprintf(text, sizeof text, "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", version, connection);
    cr_assert(request(text) == HTTP_PARSE_DONE);
    return head.keep_alive;
}

Test(connection, http_1_1_stays_open_until_somebody_says_close)
{
    cr_expect(keeps("1.1", ""));
    cr_expect(keeps("1.3", ""));
    cr_expect(keeps("1.1", "Connection: keep-alive\r\n"));
    cr_expect(keeps("1.1", "Connection: upgrade\r\n"));
    cr_expect(keeps("1.1", "Connection: closed\r\n"));
    cr_expect(keeps("1.1", "Connection: x=\"a, close\"\r\n"));
    cr_expect(!keeps("1.1", "Connection: close\r\n"));
    cr_expect(!keeps("1.1", "connection: upgrade , CLOSE\r\n"));
    cr_expect(!keeps("1.1", "Connection: keep-alive\r\nConnection: ,close,\r\n"));
}

Test(connection, http_1_0_stays_open_only_when_asked)
{
    cr_expect(!keeps("1.0", ""));
    cr_expect(!keeps("1.0", "Connection: x\r\n"));
    cr_expect(keeps("1.0", "Connection: x,Keep-Alive\r\n"));
    cr_expect(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}

static void expect_next(struct span *list, const char *wanted)
{
    struct span element;
    bool there = http_list_next(list, &element);
    cr_expect(there == (wanted != NULL));
    cr_expect(!there || span_equals(element, wanted), "%s: got %.*s", wanted, (int)element.len, element.at);
}

Test(connection, a_list_is_taken_element_by_element)
{
    struct span list = span_of("b, c d\t,,\"e,f\" ,g h,");
    expect_next(&list, "b");
    expect_next(&list, "c d");
    expect_next(&list, "\"e,f\"");
    expect_next(&list, "g h");
    expect_next(&list, NULL);
}

Test(connection, a_quoted_element_that_does_not_end_is_one_element)
{
    struct span list = span_of("b, \"c, d");
    expect_next(&list, "b");
    expect_next(&list, "\"c, d");
    list = span_of("\"e\\");
    expect_next(&list, "\"e\\");
    list = span_of("\"f\\\", g\"");
    expect_next(&list, "\"f\\\", g\"");
    expect_next(&list, NULL);
}

/* ---- responses ---- */

Test(response, parts_of_an_answer_are_found)
{
    const char *text = "HTTP/1.1 201 Created\r\nContent-Length: 3\r\nLocation: /messages/7\r\n\r\nabc";
    cr_assert(response(text, false) == HTTP_PARSE_DONE);
    cr_expect(head.status == 201 && head.minor == 1 && head.keep_alive && head.field_count == 2);
    cr_expect(head.framing == HTTP_FRAMING_LENGTH && head.content_length == 3);
    cr_expect(head.len == strlen(text) - 3);
    cr_expect(span_equals(http_head_field(&head, "location")->value, "/messages/7"));
}

static enum http_framing framing(int status, bool to_head, const char *fields)
{
    char text[256];
    snprintf(text, sizeof text, "HTTP/1.1 %d \r\n%s\r\n", status, fields);
    cr_assert(response(text, to_head) == HTTP_PARSE_DONE);
    return head.framing;
}

Test(response, some_statuses_and_head_have_no_body)
{
    const char *length = "Content-Length: 3\r\n";
    cr_expect(framing(100, false, length) == HTTP_FRAMING_NONE);
    cr_expect(framing(199, false, "") == HTTP_FRAMING_NONE);
    cr_expect(framing(204, false, "Transfer-Encoding: chunked\r\n") == HTTP_FRAMING_NONE);
    cr_expect(framing(304, false, length) == HTTP_FRAMING_NONE && head.content_length == 0);
    cr_expect(framing(200, true, length) == HTTP_FRAMING_NONE && head.keep_alive);
    cr_expect(framing(200, true, "") == HTTP_FRAMING_NONE && head.keep_alive);
    cr_expect(framing(200, false, length) == HTTP_FRAMING_LENGTH);
    cr_expect(framing(205, false, length) == HTTP_FRAMING_LENGTH);
    cr_expect(framing(404, false, "Transfer-Encoding: chunked\r\n") == HTTP_FRAMING_CHUNKED);
}

Test(response, a_body_of_unknown_length_ends_with_the_connection)
{
    cr_expect(framing(200, false, "") == HTTP_FRAMING_CLOSE);
    cr_expect(!head.keep_alive);
    cr_expect(framing(200, false, "Connection: keep-alive\r\n") == HTTP_FRAMING_CLOSE);
    cr_expect(!head.keep_alive);
}

Test(response, every_prefix_of_a_good_answer_wants_more)
{
    const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n";
    struct exact exact = exact_new(sizeof text);
    for (size_t len = 0; len < sizeof text - 1; len++) {
        size_t scanned = 0;
        struct span in = exact_put(exact, text, len);
        cr_expect(http_parse_response(in, &scanned, false, &head, &refusal) == HTTP_PARSE_MORE, "%zu", len);
    }
}

Test(response, a_head_too_long_is_refused_before_it_ends)
{
    struct span in = padded("HTTP/1.1 200 ", "", HTTP_HEAD_MAX);
    size_t scanned = 0;
    cr_expect(http_parse_response(in, &scanned, false, &head, &refusal) == HTTP_PARSE_BAD);
    free((char *)in.at);
}
