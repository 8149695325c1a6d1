/* How a head is read. First the search for its end goes from line feed to line feed, with memchr, and stops
 * at the empty line; what it can refuse (a bare LF, a limit) it refuses at once, however much is missing.
 * Then the whole head is read in one pass. CR and LF belong to no class of bytes, and the head ends with CRLF
 * CRLF, so loops over one class need no other end: each stops within the head, at a CR at the latest, and a
 * CR always has a byte behind it.
 *
 * Every refusal depends on the bytes up to some place alone, not on how they were cut into reads. */
#include "http/parser.h"

#include "http/bytes.h"
#include "http/target.h"

#include <string.h>

/* One head while it is read. Zeroed but for its first four. */
struct reader {
    const char *at; /* the next byte */
    const char *end;
    struct http_head *head;
    struct http_refusal *refusal;
    struct span host; /* these three: the field's value, `at` NULL where it is missing */
    struct span length;
    struct span coding;
    bool host_repeated;
    bool close; /* tokens of Connection */
    bool keep_alive;
    bool expect_continue; /* members of Expect */
    bool expect_other;
};

static enum http_parse bad(struct http_refusal *refusal, int status, const char *text)
{
    *refusal = (struct http_refusal){status, text};
    return HTTP_PARSE_BAD;
}

static bool refuse(struct reader *reader, int status, const char *text)
{
    *reader->refusal = (struct http_refusal){status, text};
    return false;
}

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
        if (lf && lf[-1] != '\r')
            return bad(refusal, 400, "a line ends with a bare line feed");
        if (lf && lf[-2] == '\n')
            return HTTP_PARSE_DONE;
    }
    if (limit == HTTP_HEAD_MAX)
        return bad(refusal, 431, "the request line and the fields are too long together");
    return HTTP_PARSE_MORE;
}

/* ---- field lines (RFC 9112 section 5) ---- */

bool http_list_next(struct span *list, struct span *element)
{
    const char *at = list->at;
    const char *end = list->at + list->len;
    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    const char *start = at;
    bool quoted = false;
    for (; at < end && (quoted || *at != ','); at++)
        if (*at == '"')
            quoted = !quoted;
        else if (quoted && *at == '\\' && end - at > 1)
            at++;
    *list = (struct span){at, (size_t)(end - at)};
    while (at > start && (at[-1] == ' ' || at[-1] == '\t'))
        at--;
    *element = (struct span){start, (size_t)(at - start)};
    return element->len > 0;
}

static void connection_note(struct reader *reader, struct span list)
{
    struct span option;
    while (http_list_next(&list, &option))
        if (span_equals_nocase(option, "close"))
            reader->close = true;
        else if (span_equals_nocase(option, "keep-alive"))
            reader->keep_alive = true;
}

static void expect_note(struct reader *reader, struct span list)
{
    struct span expectation;
    while (http_list_next(&list, &expectation))
        if (span_equals_nocase(expectation, "100-continue"))
            reader->expect_continue = true;
        else
            reader->expect_other = true;
}

/* Remembers the value of a field that frames the body. RFC 9112 section 6.3 lets equal Content-Length values
 * pass; here a repeat is refused whatever it says, as is a Transfer-Encoding spread over lines. */
static bool framing_note(struct reader *reader, struct span *kept, struct span value, const char *repeated)
{
    if (kept->at)
        return refuse(reader, 400, repeated);
    *kept = value;
    return true;
}

/* Remembers what the framing and the connection depend on. Few fields have a length of interest. */
static bool field_note(struct reader *reader, const struct http_field *field)
{
    struct span name = field->name;
    switch (name.len) {
    case 4:
        if (span_equals_nocase(name, "Host")) {
            reader->host_repeated = reader->host.at != NULL;
            reader->host = field->value;
        }
        return true;
    case 6:
        if (span_equals_nocase(name, "Expect"))
            expect_note(reader, field->value);
        return true;
    case 10:
        if (span_equals_nocase(name, "Connection"))
            connection_note(reader, field->value);
        return true;
    case 14:
        return !span_equals_nocase(name, "Content-Length") ||
               framing_note(reader, &reader->length, field->value, "the Content-Length field is repeated");
    case 17:
        return !span_equals_nocase(name, "Transfer-Encoding") ||
               framing_note(reader, &reader->coding, field->value, "the Transfer-Encoding field is repeated");
    default:
        return true;
    }
}

/* Says what is wrong with a field line whose name, of that length, is not followed by a colon. */
static bool name_refuse(struct reader *reader, size_t name_len)
{
    char byte = reader->at[name_len];
    bool space = byte == ' ' || byte == '\t';
    if (space && name_len == 0)
        return refuse(reader, 400, "a field line begins with white space");
    if (space)
        return refuse(reader, 400, "a field name is followed by white space");
    if (byte == '\r' && reader->at[name_len + 1] == '\n')
        return refuse(reader, 400, "a field line has no colon");
    return refuse(reader, 400, "a field name is empty or holds a byte that no name may have");
}

static bool name_read(struct reader *reader, struct span *name)
{
    const char *at = reader->at;
    while (http_byte_is(*at, HTTP_BYTE_TOKEN))
        at++;
    *name = (struct span){reader->at, (size_t)(at - reader->at)};
    if (*at != ':' || name->len == 0)
        return name_refuse(reader, name->len);
    reader->at = at + 1;
    return true;
}

/* Reads the rest of a line, of bytes that a field value may have, without the white space around it. */
static bool value_read(struct reader *reader, struct span *value)
{
    const char *start = reader->at;
    while (*start == ' ' || *start == '\t')
        start++;
    const char *end = start;
    while (http_byte_is(*end, HTTP_BYTE_VALUE))
        end++;
    if (end[0] != '\r' || end[1] != '\n')
        return refuse(reader, 400, "a line holds a control byte or a bare carriage return");
    reader->at = end + 2;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *value = (struct span){start, (size_t)(end - start)};
    return true;
}

static bool fields_read(struct reader *reader)
{
    struct http_head *head = reader->head;
    head->field_count = 0;
    while (reader->at[0] != '\r' || reader->at[1] != '\n') {
        if (head->field_count == HTTP_FIELDS_MAX)
            return refuse(reader, 431, "there are too many fields");
        struct http_field *field = &head->fields[head->field_count];
        if (!name_read(reader, &field->name) || !value_read(reader, &field->value) ||
            !field_note(reader, field))
            return false;
        head->field_count++;
    }
    return true;
}

/* ---- framing and connection ---- */

/* Says why a Transfer-Encoding other than plain `chunked` is refused. With `chunked` last, the body's end is
 * known and a coding before it is one that this server lacks, 501 (RFC 9112 section 6.1); otherwise nobody
 * knows where the body ends, 400 (section 6.3). */
static bool coding_refuse(struct reader *reader)
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
        return refuse(reader, 501, "no transfer coding other than chunked is understood here");
    return refuse(reader, 400, "the Transfer-Encoding field must be chunked, once and without more");
}

/* RFC 9112 section 6: how the body's end is found, from the fields alone. */
static bool framing_read(struct reader *reader)
{
    struct http_head *head = reader->head;
    head->framing = HTTP_FRAMING_NONE;
    head->content_length = 0;
    if (reader->coding.at) {
        if (reader->length.at)
            return refuse(reader, 400, "there are both Transfer-Encoding and Content-Length");
        if (head->minor == 0)
            return refuse(reader, 400, "there is a Transfer-Encoding in an HTTP/1.0 message");
        head->framing = HTTP_FRAMING_CHUNKED;
        return span_equals_nocase(reader->coding, "chunked") || coding_refuse(reader);
    }
    if (reader->length.at) {
        head->framing = HTTP_FRAMING_LENGTH;
        return span_uint(reader->length, &head->content_length) ||
               refuse(reader, 400, "the Content-Length is not a number, or too great a one");
    }
    return true;
}

/* RFC 9112 section 9.3. */
static bool keeps_alive(const struct reader *reader)
{
    return !reader->close && (reader->head->minor >= 1 || reader->keep_alive);
}

/* ---- start lines and requests ---- */

/* Reads "HTTP/1.x" and checks that `after` follows. The head's end is looked at, since a comparison may read
 * all bytes it was promised. */
static bool version_read(struct reader *reader, char after)
{
    const char *at = reader->at;
    if (reader->end - at <= 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' ||
        at[7] < '0' || at[7] > '9' || at[8] != after)
        return refuse(reader, 400, "the start line has no HTTP version in its place");
    if (at[5] != '1')
        return refuse(reader, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    reader->head->minor = at[7] - '0';
    reader->at = at + 8;
    return true;
}

static bool method_read(struct reader *reader)
{
    const char *at = reader->at;
    while (http_byte_is(*at, HTTP_BYTE_TOKEN))
        at++;
    if (*at != ' ')
        return refuse(reader, 400, "the method is not a token with a space after it");
    reader->head->method = (struct span){reader->at, (size_t)(at - reader->at)};
    reader->at = at + 1;
    return true;
}

static bool target_read(struct reader *reader)
{
    const char *at = reader->at;
    while (http_byte_is(*at, HTTP_BYTE_TARGET))
        at++;
    if (at == reader->at)
        return refuse(reader, 400, "there is no target one space after the method");
    if (*at == '\r' && at[1] == '\n')
        return refuse(reader, 400, "the request line has no HTTP version");
    if (*at != ' ')
        return refuse(reader, 400, "the target holds a byte that no target may have");
    reader->head->target = (struct span){reader->at, (size_t)(at - reader->at)};
    reader->at = at + 1;
    return true;
}

static bool request_line_read(struct reader *reader)
{
    if (!method_read(reader) || !target_read(reader) || !version_read(reader, '\r'))
        return false;
    if (reader->at[1] != '\n')
        return refuse(reader, 400, "a line holds a control byte or a bare carriage return");
    reader->at += 2;
    return true;
}

/* RFC 9112 section 3.2. An empty value is right: it is what a client sends whose URL has no authority, and
 * there is one server here whatever its name. */
static bool host_check(struct reader *reader)
{
    if (reader->host_repeated)
        return refuse(reader, 400, "the Host field is repeated");
    if (!reader->host.at)
        return reader->head->minor == 0 || refuse(reader, 400, "the Host field is missing");
    bool has_port;
    return reader->host.len == 0 || http_authority_valid(reader->host, &has_port) ||
           refuse(reader, 400, "the Host field is not a host with an optional port");
}

/* RFC 9110 section 10.1.1: HTTP/1.0 clients do not wait, and nobody waits who has no body to send. */
static bool expect_check(struct reader *reader)
{
    struct http_head *head = reader->head;
    if (reader->expect_other)
        return refuse(reader, 417, "no expectation other than 100-continue is met here");
    bool body = head->framing == HTTP_FRAMING_CHUNKED || head->content_length > 0;
    head->expect_continue = reader->expect_continue && head->minor >= 1 && body;
    return true;
}

static bool request_read(struct reader *reader)
{
    if (!request_line_read(reader) || !fields_read(reader) || !host_check(reader) || !framing_read(reader) ||
        !expect_check(reader))
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
    if (!http_byte_is(in.at[start], HTTP_BYTE_TOKEN))
        return bad(refusal, 400, "the request does not begin with a method");
    if (line_too_long(in, start))
        return bad(refusal, 414, "the request line is too long");
    *scanned = *scanned > start ? *scanned : start;
    enum http_parse found = end_find(in, scanned, refusal);
    if (found != HTTP_PARSE_DONE)
        return found;
    struct reader reader = {.at = in.at + start, .end = in.at + *scanned, .head = head, .refusal = refusal};
    head->len = *scanned;
    return request_read(&reader) ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
}

/* ---- responses ---- */

/* Reads the status line (RFC 9112 section 4). The space before the reason must be there, the reason need not.
 */
static bool status_line_read(struct reader *reader)
{
    if (!version_read(reader, ' '))
        return false;
    const char *at = reader->at;
    if (at[1] < '1' || at[1] > '9' || at[2] < '0' || at[2] > '9' || at[3] < '0' || at[3] > '9' ||
        at[4] != ' ')
        return refuse(reader, 400, "the status line has no status between two spaces");
    reader->head->status = (at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0');
    reader->at = at + 5;
    struct span reason;
    return value_read(reader, &reason);
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

static bool response_read(struct reader *reader, bool to_head)
{
    struct http_head *head = reader->head;
    if (!status_line_read(reader) || !fields_read(reader) || !framing_read(reader))
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
    if (memcmp(in.at, "HTTP/", in.len < 5 ? in.len : 5) != 0)
        return bad(refusal, 400, "the response does not begin with an HTTP version");
    enum http_parse found = end_find(in, scanned, refusal);
    if (found != HTTP_PARSE_DONE)
        return found;
    struct reader reader = {.at = in.at, .end = in.at + *scanned, .head = head, .refusal = refusal};
    head->len = *scanned;
    return response_read(&reader, to_head) ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
}
