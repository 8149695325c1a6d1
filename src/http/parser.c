/* How a head is read. First the search for its end goes from line feed to line feed, with memchr, and stops
 * at the empty line; what it can refuse (a bare LF, a limit) it refuses at once, however much is missing.
 * Then the whole head is read in one pass. CR and LF belong to no class of bytes, and the head ends with CRLF
 * CRLF, so loops over one class need no other end: each stops within the head, at a CR at the latest, and a
 * CR always has a byte behind it.
 *
 * Every refusal depends on the bytes up to some place alone, not on how they were cut into reads. */
#include "http/parser.h"

#include "http/authority.h"
#include "http/bytes.h"
#include "http/fields.h"

#include <string.h>

/* ---- the head's end ---- */

/* The length of the empty lines, two at most, at the start of in. */
static size_t empty_lines(struct span in)
{
    size_t len = 0;
    while (len < 4 && in.len - len >= 2 && in.at[len] == '\r' && in.at[len + 1] == '\n')
        len += 2;
    return len;
}

/* Finds the empty line, from *scanned on. The start line has a byte in it, so two can be looked back at. */
static enum http_parse end_find(struct span in, size_t *scanned, struct http_refusal *refusal)
{
    size_t limit = in.len < HTTP_HEAD_MAX ? in.len : HTTP_HEAD_MAX;
    while (*scanned < limit) {
        const char *lf = memchr(in.at + *scanned, '\n', limit - *scanned);
        *scanned = lf ? (size_t)(lf - in.at) + 1 : limit;
        if (lf && lf[-1] != '\r') {
            http_refuse(refusal, 400, "a line ends with a bare line feed");
            return HTTP_PARSE_BAD;
        }
        if (lf && lf[-2] == '\n')
            return HTTP_PARSE_DONE;
    }
    if (limit == HTTP_HEAD_MAX) {
        http_refuse(refusal, 431, "the request line and the fields are too long together");
        return HTTP_PARSE_BAD;
    }
    return HTTP_PARSE_MORE;
}

/* ---- framing and connection ---- */

/* Says why a Transfer-Encoding other than plain `chunked` is refused. With `chunked` last, the body's end is
 * known and a coding before it is one that this server lacks, 501 (RFC 9112 section 6.1); otherwise nobody
 * knows where the body ends, 400 (section 6.3). */
static bool coding_refuse(struct http_reader *reader)
{
    size_t others = 0;
    size_t chunked = 0;
    bool last = false;
    struct span list = reader->coding;
    struct span coding;
    while (http_list_next(&list, &coding)) {
        last = span_equals_nocase(coding, "chunked");
        chunked += last;
        others += !last;
    }
    if (last && chunked == 1 && others > 0)
        return http_refuse(reader->refusal, 501, "no transfer coding other than chunked is understood here");
    return http_refuse(reader->refusal, 400,
                       "the Transfer-Encoding field must be chunked, once and without more");
}

/* RFC 9112 section 6: how the body's end is found, from the fields alone. */
static bool framing_read(struct http_reader *reader)
{
    struct http_head *head = reader->head;
    head->framing = HTTP_FRAMING_NONE;
    head->content_length = 0;
    if (reader->coding.at) {
        if (reader->length.at)
            return http_refuse(reader->refusal, 400, "there are both Transfer-Encoding and Content-Length");
        if (head->minor == 0)
            return http_refuse(reader->refusal, 400, "there is a Transfer-Encoding in an HTTP/1.0 message");
        head->framing = HTTP_FRAMING_CHUNKED;
        return span_equals_nocase(reader->coding, "chunked") || coding_refuse(reader);
    }
    if (reader->length.at) {
        head->framing = HTTP_FRAMING_LENGTH;
        return span_uint(reader->length, &head->content_length) ||
               http_refuse(reader->refusal, 400, "the Content-Length is not a number, or too great a one");
    }
    return true;
}

/* RFC 9112 section 9.3. */
static bool keeps_alive(const struct http_reader *reader)
{
    return !reader->close && (reader->head->minor >= 1 || reader->keep_alive);
}

/* ---- start lines and requests ---- */

/* Reads "HTTP/1.x" and checks that `after` follows. The head's end is looked at, since a comparison may read
 * all bytes it was promised. */
static bool version_read(struct http_reader *reader, char after)
{
    const char *at = reader->at;
    if (reader->end - at <= 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' ||
        at[7] < '0' || at[7] > '9' || at[8] != after)
        return http_refuse(reader->refusal, 400, "the start line has no HTTP version in its place");
    if (at[5] != '1')
        return http_refuse(reader->refusal, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    reader->head->minor = at[7] - '0';
    reader->at = at + 8;
    return true;
}

static bool method_read(struct http_reader *reader)
{
    const char *at = reader->at;
    while (http_byte_is(*at, HTTP_BYTE_TOKEN))
        at++;
    if (*at != ' ')
        return http_refuse(reader->refusal, 400, "the method is not a token with a space after it");
    reader->head->method = (struct span){reader->at, (size_t)(at - reader->at)};
    reader->at = at + 1;
    return true;
}

static bool target_read(struct http_reader *reader)
{
    const char *at = reader->at;
    while (http_byte_is(*at, HTTP_BYTE_TARGET))
        at++;
    if (at == reader->at)
        return http_refuse(reader->refusal, 400, "there is no target one space after the method");
    if (*at == '\r' && at[1] == '\n')
        return http_refuse(reader->refusal, 400, "the request line has no HTTP version");
    if (*at != ' ')
        return http_refuse(reader->refusal, 400, "the target holds a byte that no target may have");
    reader->head->target = (struct span){reader->at, (size_t)(at - reader->at)};
    reader->at = at + 1;
    return true;
}

static bool request_line_read(struct http_reader *reader)
{
    if (!method_read(reader) || !target_read(reader) || !version_read(reader, '\r'))
        return false;
    if (reader->at[1] != '\n')
        return http_refuse(reader->refusal, 400, "a line holds a control byte or a bare carriage return");
    reader->at += 2;
    return true;
}

/* RFC 9112 section 3.2. An empty value is right: it is what a client sends whose URL has no authority, and
 * there is one server here whatever its name. */
static bool host_check(const struct http_reader *reader)
{
    if (reader->host_repeated)
        return http_refuse(reader->refusal, 400, "the Host field is repeated");
    if (!reader->host.at)
        return reader->head->minor == 0 || http_refuse(reader->refusal, 400, "the Host field is missing");
    struct span host, port;
    return reader->host.len == 0 || http_authority_split(reader->host, &host, &port) ||
           http_refuse(reader->refusal, 400, "the Host field is not a host with an optional port");
}

/* RFC 9110 section 10.1.1: HTTP/1.0 clients do not wait, and nobody waits who has no body to send. */
static bool expect_check(const struct http_reader *reader)
{
    struct http_head *head = reader->head;
    if (reader->expect_other)
        return http_refuse(reader->refusal, 417, "no expectation other than 100-continue is met here");
    bool body = head->framing == HTTP_FRAMING_CHUNKED || head->content_length > 0;
    head->expect_continue = reader->expect_continue && head->minor >= 1 && body;
    return true;
}

static bool request_read(struct http_reader *reader)
{
    if (!request_line_read(reader) || !http_fields_read(reader) || !host_check(reader) ||
        !framing_read(reader) || !expect_check(reader))
        return false;
    reader->head->status = 0;
    reader->head->keep_alive = keeps_alive(reader);
    return true;
}

/* Whether the first line is too long, known as soon as so many bytes are there. */
static bool line_too_long(struct span in, size_t start)
{
    size_t longest = HTTP_REQUEST_LINE_MAX + 2; /* its CRLF */
    return in.len - start >= longest && !memchr(in.at + start, '\n', longest);
}

enum http_parse http_parse_request(struct span in, size_t *scanned, struct http_head *head,
                                   struct http_refusal *refusal)
{
    size_t start = empty_lines(in);
    if (start == in.len || (start < 4 && start + 1 == in.len && in.at[start] == '\r'))
        return HTTP_PARSE_MORE;
    if (!http_byte_is(in.at[start], HTTP_BYTE_TOKEN)) {
        http_refuse(refusal, 400, "the request does not begin with a method");
        return HTTP_PARSE_BAD;
    }
    if (line_too_long(in, start)) {
        http_refuse(refusal, 414, "the request line is too long");
        return HTTP_PARSE_BAD;
    }
    *scanned = *scanned > start ? *scanned : start;
    enum http_parse found = end_find(in, scanned, refusal);
    if (found != HTTP_PARSE_DONE)
        return found;
    struct http_reader reader = {
        .at = in.at + start, .end = in.at + *scanned, .head = head, .refusal = refusal};
    head->len = *scanned;
    return request_read(&reader) ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
}

/* ---- responses ---- */

/* Reads the status line (RFC 9112 section 4). The space before the reason must be there, the reason need not.
 */
static bool status_line_read(struct http_reader *reader)
{
    if (!version_read(reader, ' '))
        return false;
    const char *at = reader->at;
    if (at[1] < '1' || at[1] > '9' || at[2] < '0' || at[2] > '9' || at[3] < '0' || at[3] > '9' ||
        at[4] != ' ')
        return http_refuse(reader->refusal, 400, "the status line has no status between two spaces");
    reader->head->status = (at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0');
    reader->at = at + 5;
    struct span reason;
    return http_value_read(reader, &reason);
}

/* RFC 9112 section 6.3, rules 1, 2 and 8. */
static void response_frame(struct http_head *head, bool to_head)
{
    if (to_head || head->status < 200 || head->status == 204 || head->status == 304) {
        head->framing = HTTP_FRAMING_NONE;
        head->content_length = 0;
    } else if (head->framing == HTTP_FRAMING_NONE) {
        head->framing = HTTP_FRAMING_CLOSE;
    }
}

static bool response_read(struct http_reader *reader, bool to_head)
{
    struct http_head *head = reader->head;
    if (!status_line_read(reader) || !http_fields_read(reader) || !framing_read(reader))
        return false;
    head->method = head->target = (struct span){0};
    head->expect_continue = false;
    response_frame(head, to_head);
    head->keep_alive = head->framing != HTTP_FRAMING_CLOSE && keeps_alive(reader);
    return true;
}

enum http_parse http_parse_response(struct span in, size_t *scanned, bool to_head, struct http_head *head,
                                    struct http_refusal *refusal)
{
    if (in.len == 0)
        return HTTP_PARSE_MORE;
    if (memcmp(in.at, "HTTP/", in.len < 5 ? in.len : 5) != 0) {
        http_refuse(refusal, 400, "the response does not begin with an HTTP version");
        return HTTP_PARSE_BAD;
    }
    enum http_parse found = end_find(in, scanned, refusal);
    if (found != HTTP_PARSE_DONE)
        return found;
    struct http_reader reader = {.at = in.at, .end = in.at + *scanned, .head = head, .refusal = refusal};
    head->len = *scanned;
    return response_read(&reader, to_head) ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
}
