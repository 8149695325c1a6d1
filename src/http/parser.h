/* HTTP/1.1 message heads (RFC 9112), parsed from bytes. Takes bytes and gives numbers and borrowed spans;
 * does no I/O and allocates nothing, so it is tested by plain calls and may be called from any thread.
 *
 * It reads as an origin server and as a client that must not be fooled: what RFC 9112 lets a recipient repair
 * (bare LF, obs-fold, white space before a colon) is refused instead, since repairs are what request
 * smuggling lives on. */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include "span.h"

enum {
    HTTP_REQUEST_LINE_MAX = 8192, /* bytes without CRLF; longer: 414 */
    HTTP_HEAD_MAX = 16384,        /* bytes of start line and fields together; longer: 431 */
    HTTP_FIELDS_MAX = 64          /* fields; more: 431 */
};

struct http_field {
    struct span name;
    struct span value; /* white space around it removed */
};

enum http_framing {
    HTTP_FRAMING_NONE,   /* no body */
    HTTP_FRAMING_LENGTH, /* content_length bytes */
    HTTP_FRAMING_CHUNKED,
    HTTP_FRAMING_CLOSE /* responses only: the body ends with the connection */
};

struct http_head {
    struct span method; /* requests */
    struct span target; /* requests: as sent */
    int status;         /* responses: 100 to 999 */
    int minor;          /* the version's minor digit; the major one is 1. From 1.2 on it is read like 1.1 */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    size_t len; /* bytes of the whole head, the empty line included */
    enum http_framing framing;
    uint64_t content_length; /* with HTTP_FRAMING_LENGTH */
    bool keep_alive;         /* RFC 9112 section 9.3: by version and Connection field */
    bool expect_continue; /* requests: an HTTP/1.1 client waits for 100 before it sends its body; false where
                           * it announced none */
};

enum http_parse {
    HTTP_PARSE_DONE,
    HTTP_PARSE_MORE, /* what is there is right so far, as far as it was looked at */
    HTTP_PARSE_BAD
};

/* Why a head was refused. */
struct http_refusal {
    int status;       /* to answer a request with: 400, 414, 417, 431, 501, 505; of no use for a response */
    const char *text; /* one clear sentence, static; lower case at its start, no full stop */
};

/* Parses the request head at the start of in. Up to two empty lines before it are passed over (RFC 9112
 * section 2.2; they count in head->len). `*scanned` must be 0 at a request's first call and be handed on
 * unchanged with more bytes: it remembers how far the search for the head's end came, so that a slow sender
 * costs no second look at each byte. DONE fills *head, whose spans point into in. BAD fills *refusal, and the
 * connection must be closed after the answer, since the framing is in doubt. Limits are enforced on
 * incomplete heads, too. Refused beyond what RFC 9112 demands: any repeated Content-Length or
 * Transfer-Encoding, equal values too; a Transfer-Encoding other than `chunked` alone (501 where a coding
 * that is not known comes before it, 400 otherwise); a Host without a host before its colon, though an empty
 * Host is taken. */
enum http_parse http_parse_request(struct span in, size_t *scanned, struct http_head *head,
                                   struct http_refusal *refusal);

/* The same for a response, before which no empty line is passed over. `to_head` says that the request was
 * HEAD: no body follows then (nor with 1xx, 204 and 304; RFC 9112 section 6.3). A body that ends with the
 * connection makes keep_alive false. */
enum http_parse http_parse_response(struct span in, size_t *scanned, bool to_head, struct http_head *head,
                                    struct http_refusal *refusal);

/* The first field of that name (compared without case), or NULL. */
static inline const struct http_field *http_head_field(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (span_equals_nocase(head->fields[i].name, name))
            return &head->fields[i];
    return NULL;
}

/* Takes the next element off the front of a comma-separated list; empty ones are passed over (RFC 9110
 * section 5.6.1.2), and a comma in a quoted string separates nothing. Returns false when there is none left.
 */
bool http_list_next(struct span *list, struct span *element);

#endif
