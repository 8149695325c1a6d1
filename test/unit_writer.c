#include "http/parser.h"
#include "http/writer.h"

#include <criterion/criterion.h>
#include <string.h>

/* In every answer: a browser takes the type as it is told. */
#define NOSNIFF "X-Content-Type-Options: nosniff\r\n"

/* The text, valid until the next call. */
static const char *text_of(struct buf *out)
{
    static char text[1024];
    cr_assert(out->len < sizeof text);
    memcpy(text, out->data, out->len);
    text[out->len] = '\0';
    buf_free(out);
    return text;
}

static const char *response(int status, uint64_t length, const char *connection, const char *fields)
{
    struct buf out = {0};
    http_write_response_head(&out, status, "now", length, connection, fields);
    return text_of(&out);
}

static const char *request(const char *method, const char *fields, uint64_t length)
{
    struct buf out = {0};
    http_write_request_head(&out, method, "/a?b", "h:1", fields, length);
    return text_of(&out);
}

Test(writer, an_answer_tells_its_date_type_and_length)
{
    cr_expect_str_eq(response(200, 18446744073709551613U, "", NULL),
                     "HTTP/1.1 200 OK\r\n" NOSNIFF "Date: now\r\nContent-Type: application/json\r\n"
                     "Content-Length: 18446744073709551613\r\n\r\n");
}

Test(writer, a_body_of_unknown_length_is_chunked_or_ends_with_the_connection)
{
    cr_expect_str_eq(response(200, HTTP_LENGTH_CHUNKED, "", "Content-Type: a/b\r\nVary: Accept\r\n"),
                     "HTTP/1.1 200 OK\r\n" NOSNIFF
                     "Date: now\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\nVary: Accept\r\n\r\n");
    cr_expect_str_eq(response(200, HTTP_LENGTH_CLOSE, "Connection: close\r\n", NULL),
                     "HTTP/1.1 200 OK\r\n" NOSNIFF
                     "Date: now\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
}

Test(writer, an_answer_without_a_body_has_its_length_all_the_same)
{
    cr_expect(strstr(response(200, 0, "", NULL), "\r\nContent-Length: 0\r\n"));
}

Test(writer, statuses_that_have_no_body_have_no_length)
{
    cr_expect_str_eq(response(204, 0, "", NULL), "HTTP/1.1 204 No Content\r\n" NOSNIFF "Date: now\r\n\r\n");
    cr_expect_str_eq(response(304, 0, "", "ETag: \"1\"\r\n"),
                     "HTTP/1.1 304 Not Modified\r\n" NOSNIFF "Date: now\r\nETag: \"1\"\r\n\r\n");
}

Test(writer, an_answer_tells_what_becomes_of_the_connection)
{
    cr_expect_str_eq(response(204, 0, "Connection: close\r\n", NULL),
                     "HTTP/1.1 204 No Content\r\n" NOSNIFF "Date: now\r\nConnection: close\r\n\r\n");
}

Test(writer, an_unknown_status_has_a_reason_too)
{
    cr_expect_str_eq(http_reason(299), "Unknown");
    cr_expect_str_eq(http_reason(100), "Continue");
}

Test(writer, dates_are_those_of_the_rfc)
{
    char date[HTTP_DATE_SIZE];
    http_date(784111777, date); /* RFC 9110 section 5.6.7 */
    cr_expect_str_eq(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_date(0, date);
    cr_expect_str_eq(date, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date(951782400, date);
    cr_expect_str_eq(date, "Tue, 29 Feb 2000 00:00:00 GMT");
}

Test(writer, a_request_with_a_body_tells_its_length)
{
    cr_expect_str_eq(request("POST", NULL, 5),
                     "POST /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\n");
    cr_expect_str_eq(request("POST", "A: b\r\n", 0),
                     "POST /a?b HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 0\r\n\r\n");
}

Test(writer, requests_that_have_no_body_have_no_length)
{
    const char *methods[] = {"GET", "HEAD", "DELETE"};
    for (size_t i = 0; i < 3; i++)
        cr_expect(!strstr(request(methods[i], NULL, 0), "Content-Length"), "%s", methods[i]);
}

Test(writer, the_parser_takes_what_is_written)
{
    struct http_head head;
    struct http_refusal why;
    size_t scanned = 0;
    const char *answer = response(201, 7, "Connection: keep-alive\r\n", "A: b\r\n");
    cr_assert(http_parse_response(span_of(answer), &scanned, false, &head, &why) == HTTP_PARSE_DONE);
    cr_expect(head.status == 201 && head.content_length == 7 && head.keep_alive);
    scanned = 0;
    cr_assert(http_parse_request(span_of(request("POST", NULL, 7)), &scanned, &head, &why) ==
              HTTP_PARSE_DONE);
    cr_expect(head.content_length == 7 && head.keep_alive);
}
