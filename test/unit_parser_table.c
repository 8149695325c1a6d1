/* What is taken and what is refused, a row for each rule. Every row is read whole, cut in two at every place,
 * and with every prefix ending at the end of memory; all must agree. */
#include "exact.h"
#include "http/parser.h"

#include <criterion/criterion.h>

enum { DONE = 0, MORE = 1 }; /* beside the statuses of refusals */

struct row {
    const char *section; /* of RFC 9112, or of the document that it names */
    const char *bytes;
    size_t len;
    int result;
};

#define ROW(section, bytes, result)                                                                          \
    {                                                                                                        \
        section, bytes, sizeof(bytes) - 1, result                                                            \
    }
#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define POST10 "POST / HTTP/1.0\r\n"
#define END "\r\n"

static const struct row requests[] = {
    /* empty lines before the request */
    ROW("2.2", "", MORE),
    ROW("2.2", "\r", MORE),
    ROW("2.2", "\r\n", MORE),
    ROW("2.2", "\r\n\r", MORE),
    ROW("2.2", "\r\n\r\n", MORE),
    ROW("2.2", "\r\n" GET HOST END, DONE),
    ROW("2.2", "\r\n\r\n" GET HOST END, DONE),
    ROW("2.2", "\r\n\r\n\r\n" GET HOST END, 400),
    ROW("2.2", "\r\n\r\n\r", 400),
    ROW("2.2", "\n" GET HOST END, 400),
    ROW("2.2", "\r" GET HOST END, 400),
    ROW("2.2", "\r\n ", 400),
    /* the request line */
    ROW("3", GET HOST END, DONE),
    ROW("3", "GET / HTTP/1.1", MORE),
    ROW("3", GET HOST, MORE),
    ROW("3", GET HOST "\r", MORE),
    ROW("3", " " GET HOST END, 400),
    ROW("3", "GET  / HTTP/1.1\r\n" HOST END, 400),
    ROW("3", "GET /  HTTP/1.1\r\n" HOST END, 400),
    ROW("3", "GET  HTTP/1.1\r\n" HOST END, 400),
    ROW("3", "GET\t/ HTTP/1.1\r\n" HOST END, 400),
    ROW("3", "GET /\tHTTP/1.1\r\n" HOST END, 400),
    ROW("3", "GET / HTTP/1.1 \r\n" HOST END, 400),
    ROW("3", "GET / HTTP/1.1\t\r\n" HOST END, 400),
    ROW("3", "GET\r\n" HOST END, 400),
    ROW("3", "GET \r\n" HOST END, 400),
    ROW("3", "GET /\r\n" HOST END, 400),
    ROW("3", "GET / \r\n" HOST END, 400),
    ROW("3", "GET / \r\n\r\n", 400),
    ROW("3", "GET / H\r\n\r\n", 400),
    ROW("3", "GET / / HTTP/1.1\r\n" HOST END, 400),
    ROW("3", "GET HTTP/1.1\r\n" HOST END, 400),
    ROW("3", "G\r\n\r\n", 400),
    ROW("2.2", "GET / HTTP/1.1\n" HOST END, 400),
    ROW("2.2", "GET / HTTP/1.1\r" HOST END, 400),
    ROW("2.2", "GET / HTTP/1.0\rXA: b\r\n" END, 400),
    ROW("2.2", "GET / HTTP/1.1\r\r\n" HOST END, 400),
    ROW("2.2", "GET /\r HTTP/1.1\r\n" HOST END, 400),
    ROW("2.2", "GET / HTTP/1.1\r\n" HOST "\n", 400),
    ROW("2.2", "\x16\x03\x01\x02", 400), /* TLS knocks at the wrong port */
    /* methods */
    ROW("3.1", "get / HTTP/1.1\r\n" HOST END, DONE),
    ROW("3.1", "BREW / HTTP/1.1\r\n" HOST END, DONE),
    ROW("3.1", "M-SEARCH!#$%&'*+.^_`|~ * HTTP/1.1\r\n" HOST END, DONE),
    ROW("3.1", "G(T / HTTP/1.1\r\n" HOST END, 400),
    ROW("3.1", "G\0T / HTTP/1.1\r\n" HOST END, 400),
    ROW("3.1", "G\x80T / HTTP/1.1\r\n" HOST END, 400),
    ROW("3.1", ": / HTTP/1.1\r\n" HOST END, 400),
    ROW("3.1", "\"GET\" / HTTP/1.1\r\n" HOST END, 400),
    /* targets: the form is another module's business, the bytes are checked here */
    ROW("3.2", "GET http://a/ HTTP/1.1\r\n" HOST END, DONE),
    ROW("3.2", "OPTIONS * HTTP/1.1\r\n" HOST END, DONE),
    ROW("3.2", "CONNECT a:1 HTTP/1.1\r\n" HOST END, DONE),
    ROW("3.2", "GET /\x7f HTTP/1.1\r\n" HOST END, 400),
    ROW("3.2", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST END, 400),
    ROW("3.2", "GET /\0 HTTP/1.1\r\n" HOST END, 400),
    ROW("3.2", "GET /\x0b HTTP/1.1\r\n" HOST END, 400),
    ROW("3.2", "GET /\x1b[1m HTTP/1.1\r\n" HOST END, 400),
    /* versions */
    ROW("2.3", "GET / HTTP/1.0\r\n" END, DONE),
    ROW("2.3", "GET / HTTP/1.2\r\n" HOST END, DONE),
    ROW("2.3", "GET / HTTP/1.9\r\n" HOST END, DONE),
    ROW("2.3", "GET / HTTP/1.9\r\n" END, 400), /* no Host, as in 1.1 */
    ROW("2.3", "GET / HTTP/2.0\r\n" HOST END, 505),
    ROW("2.3", "GET / HTTP/0.9\r\n" HOST END, 505),
    ROW("2.3", "GET / HTTP/9.9\r\n" END, 505),
    ROW("2.3", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), /* RFC 9113 section 3.4 */
    ROW("2.3", "GET / HTTP/2\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/1.\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/1.10\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/11.1\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/1,1\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/1.a\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/a.1\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP/-1.1\r\n" HOST END, 400),
    ROW("2.3", "GET / http/1.1\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTP 1.1\r\n" HOST END, 400),
    ROW("2.3", "GET / HTTPS/1.1\r\n" HOST END, 400),
    ROW("2.3", "GET / ICY/1.1\r\n" HOST END, 400),
    /* Host */
    ROW("3.2", GET END, 400),
    ROW("3.2", GET "Hos: a\r\n" END, 400),
    ROW("3.2", GET HOST HOST END, 400),
    ROW("3.2", GET HOST "X: y\r\nhOST: b\r\n" HOST END, 400),
    ROW("3.2", "GET / HTTP/1.0\r\n" HOST HOST END, 400),
    ROW("3.2", "GET / HTTP/1.0\r\nHost: a b\r\n" END, 400),
    ROW("3.2", GET "Host:\r\n" END, DONE),
    ROW("3.2", GET "Host:  \t \r\n" END, DONE),
    ROW("3.2", GET "HOST:a.example:8080\r\n" END, DONE),
    ROW("3.2", GET "Host: 127.0.0.1:5000\r\n" END, DONE),
    ROW("3.2", GET "Host: [::1]:5000\r\n" END, DONE),
    ROW("3.2", GET "Host: [::1]\r\n" END, DONE),
    ROW("3.2", GET "Host: a:\r\n" END, DONE),
    ROW("3.2", GET "Host: a_b-c.d~!$&'()*+,;=\r\n" END, DONE),
    ROW("3.2", GET "Host: %41b\r\n" END, DONE),
    ROW("3.2", GET "Host: a:65535\r\n" END, DONE),
    ROW("3.2", GET "Host: a:65536\r\n" END, 400),
    ROW("3.2", GET "Host: a:99999999999999999999999\r\n" END, 400),
    ROW("3.2", GET "Host: a:b\r\n" END, 400),
    ROW("3.2", GET "Host: a:-1\r\n" END, 400),
    ROW("3.2", GET "Host: a:1:2\r\n" END, 400),
    ROW("3.2", GET "Host: :80\r\n" END, 400),
    ROW("3.2", GET "Host: a b\r\n" END, 400),
    ROW("3.2", GET "Host: a/b\r\n" END, 400),
    ROW("3.2", GET "Host: u@a\r\n" END, 400),
    ROW("3.2", GET "Host: a?b\r\n" END, 400),
    ROW("3.2", GET "Host: a#b\r\n" END, 400),
    ROW("3.2", GET "Host: %4\r\n" END, 400),
    ROW("3.2", GET "Host: %4g\r\n" END, 400),
    ROW("3.2", GET "Host: \xc3\xa4\r\n" END, 400),
    ROW("3.2", GET "Host: ::1\r\n" END, 400),
    ROW("3.2", GET "Host: [::1\r\n" END, 400),
    ROW("3.2", GET "Host: [::g]\r\n" END, 400),
    ROW("3.2", GET "Host: []\r\n" END, 400),
    ROW("3.2", GET "Host: [::1]5000\r\n" END, 400),
    ROW("3.2", GET "Host: [v1.a]\r\n" END, 400),
    /* field lines */
    ROW("5", GET HOST "A:\r\n" END, DONE),
    ROW("5", GET HOST "A:b\r\n" END, DONE),
    ROW("5", GET HOST "A: \t b c \t\r\n" END, DONE),
    ROW("5", GET HOST "A: \x80\xff\tb\r\n" END, DONE), /* RFC 9110 section 5.5: obs-text */
    ROW("5", GET HOST "!#$%&'*+-.^_`|~09az: b\r\n" END, DONE),
    ROW("5", GET HOST "A\r\n" END, 400),
    ROW("5", GET HOST ": b\r\n" END, 400),
    ROW("5", GET HOST ":\r\n" END, 400),
    ROW("5", GET HOST "A(: b\r\n" END, 400),
    ROW("5", GET HOST "A\0: b\r\n" END, 400),
    ROW("5", GET HOST "\xc3\xa4: b\r\n" END, 400),
    ROW("5", GET HOST "A/B: c\r\n" END, 400),
    ROW("5.1", GET HOST "A : b\r\n" END, 400),
    ROW("5.1", GET HOST "A\t: b\r\n" END, 400),
    ROW("5.1", POST "Content-Length : 5\r\n" END, 400),
    ROW("5.1", POST "Transfer-Encoding : chunked\r\n" END, 400),
    ROW("2.2", GET " " HOST END, 400),
    ROW("2.2", GET "\t" HOST END, 400),
    ROW("5.2", GET HOST "A: b\r\n c\r\n" END, 400),
    ROW("5.2", GET HOST "A: b\r\n\tc\r\n" END, 400),
    ROW("5.2", GET HOST " \r\n" END, 400),
    ROW("5.2", POST "Content-Length:\r\n 5\r\n" END, 400),
    ROW("5", GET HOST "A: b\0c\r\n" END, 400), /* RFC 9110 section 5.5 */
    ROW("5", GET HOST "A: b\x01\r\n" END, 400),
    ROW("5", GET HOST "A: b\x0b\r\n" END, 400),
    ROW("5", GET HOST "A: b\x0c\r\n" END, 400),
    ROW("5", GET HOST "A: \x1b[1m\r\n" END, 400),
    ROW("5", GET HOST "A: b\x7f\r\n" END, 400),
    ROW("2.2", GET HOST "A: b\rC: d\r\n" END, 400),
    ROW("2.2", GET HOST "A: b\r\r\n" END, 400),
    ROW("2.2", GET HOST "A: b\nC: d\r\n" END, 400),
    ROW("2.2", GET HOST "A\r: b\r\n" END, 400),
    ROW("2.2", GET HOST "\rA: b\r\n" END, 400),
    ROW("2.2", GET HOST "A: b\n\n", 400),
    ROW("2.2", GET HOST "A: b\n\r\n", 400),
    ROW("2.2", GET HOST "A: b\r\n\n", 400),
    /* Content-Length */
    ROW("6.2", POST "Content-Length: 0\r\n" END, DONE),
    ROW("6.2", POST "Content-Length: 5\r\n" END "hello", DONE),
    ROW("6.2", POST "cONTENT-lENGTH: 005\r\n" END, DONE),
    ROW("6.2", POST "Content-Length: 18446744073709551615\r\n" END, DONE),
    ROW("6.3", POST "Content-Length: 18446744073709551616\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 99999999999999999999999999\r\n" END, 400),
    ROW("6.3", POST "Content-Length:\r\n" END, 400),
    ROW("6.3", POST "Content-Length: -1\r\n" END, 400),
    ROW("6.3", POST "Content-Length: +1\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 0x5\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5.0\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5 5\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5,\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5, 5\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5, 6\r\n" END, 400),
    ROW("6.3", POST "Content-Length: \"5\"\r\n" END, 400),
    ROW("6.3", POST "Content-Length: five\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5\r\nContent-Length: 6\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5\r\nContent-Length: 5\r\n" END, 400),
    ROW("6.3", POST "Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n" END, 400),
    /* Transfer-Encoding */
    ROW("6.1", POST "Transfer-Encoding: chunked\r\n" END, DONE),
    ROW("6.1", POST "TRANSFER-encoding:CHUNKED \r\n" END, DONE),
    ROW("6.1", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END, 400),
    ROW("6.1", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, 400),
    ROW("6.1", POST "Content-Length: 0\r\nTransfer-Encoding: identity\r\n" END, 400),
    ROW("6.1", POST10 "Transfer-Encoding: chunked\r\n" END, 400),
    ROW("6.1", POST10 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: gzip, chunked\r\n" END, 501),
    ROW("6.1", POST "Transfer-Encoding: x;q=\"a, b\", chunked\r\n" END, 501),
    ROW("6.1", POST "Transfer-Encoding: identity, chunked\r\n" END, 501),
    ROW("6.3", POST "Transfer-Encoding: gzip\r\n" END, 400),
    ROW("6.3", POST "Transfer-Encoding: identity\r\n" END, 400),
    ROW("6.3", POST "Transfer-Encoding: xchunked\r\n" END, 400),
    ROW("6.3", POST "Transfer-Encoding: chunkedx\r\n" END, 400),
    ROW("6.3", POST "Transfer-Encoding: chunked, gzip\r\n" END, 400),
    ROW("6.3", POST "Transfer-Encoding: chunked, identity\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: chunked, chunked\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: gzip, chunked, chunked\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" END, 400),
    ROW("7.1", POST "Transfer-Encoding: chunked;a=b\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: \"chunked\"\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: ,chunked\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding: chunked,\r\n" END, 400),
    ROW("6.1", POST "Transfer-Encoding:\r\n" END, 400),
    ROW("6.1",
        POST "Transfer-Encoding: \x0b"
             "chunked\r\n" END,
        400),
    ROW("6.1", POST "Transfer-Encoding: chunked\x80\r\n" END, 400),
    /* Expect */
    ROW("RFC 9110 10.1.1", POST "Expect: 100-continue\r\n" END, DONE),
    ROW("RFC 9110 10.1.1", POST "Expect: 100-Continue\r\n" END, DONE),
    ROW("RFC 9110 10.1.1", POST "Expect:\r\n" END, DONE),
    ROW("RFC 9110 10.1.1", POST10 "Expect: 100-continue\r\n" END, DONE),
    ROW("RFC 9110 10.1.1", POST "Expect: 101-continue\r\n" END, 417),
    ROW("RFC 9110 10.1.1", POST "Expect: 100-continue, tea\r\n" END, 417),
    ROW("RFC 9110 10.1.1", POST "Expect: tea\r\nExpect: 100-continue\r\n" END, 417),
    ROW("RFC 9110 10.1.1", POST "Expect: 100-continue;a=b\r\n" END, 417),
    ROW("RFC 9110 10.1.1", POST10 "Expect: tea\r\n" END, 417),
    /* what follows the head is not looked at */
    ROW("2.1", GET HOST END "\x01\n\n", DONE),
    ROW("2.1", GET HOST END GET HOST END, DONE),
};

#define OK "HTTP/1.1 200 OK\r\n"

static const struct row responses[] = {
    ROW("4", "", MORE),
    ROW("4", "HTTP", MORE),
    ROW("4", "HTTP/1.1 200 OK\r\n", MORE),
    ROW("4", OK END, DONE),
    ROW("4", "HTTP/1.1 200 \r\n" END, DONE),
    ROW("4", "HTTP/1.1 200 all is \xc3\xa4\twell\r\n" END, DONE),
    ROW("4", "HTTP/1.0 404 Not Found\r\n" END, DONE),
    ROW("4", "HTTP/1.1 100 Continue\r\n" END, DONE),
    ROW("4", "HTTP/1.1 999 ?\r\n" END, DONE),
    ROW("4", "HTTP/1.1 200\r\n" END, 400),
    ROW("4", "HTTP/1.1 099 ?\r\n" END, 400),
    ROW("4", "HTTP/1.1 20 OK\r\n" END, 400),
    ROW("4", "HTTP/1.1 2000 OK\r\n" END, 400),
    ROW("4", "HTTP/1.1 2x0 OK\r\n" END, 400),
    ROW("4", "HTTP/1.1 20x OK\r\n" END, 400),
    ROW("4", "HTTP/1.1 -20 OK\r\n" END, 400),
    ROW("4", "HTTP/1.1  200 OK\r\n" END, 400),
    ROW("4", "HTTP/1.1\t200 OK\r\n" END, 400),
    ROW("4", "HTTP/1.1 \r\n\r\n", 400),
    ROW("4", "HTTP/1.1 2\r\n\r\n", 400),
    ROW("4", "HTTP/1.1\r\n" END, 400),
    ROW("4", "HTTP/1.1 200 O\x01K\r\n" END, 400),
    ROW("4", "HTTP/1.1 200 O\rK\r\n" END, 400),
    ROW("4", "HTTP/1.1 200 OK\n\n", 400),
    ROW("4", "HTTP/2.0 200 OK\r\n" END, 505),
    ROW("4", "HTTP/1.x 200 OK\r\n" END, 400),
    ROW("4", "http/1.1 200 OK\r\n" END, 400),
    ROW("4", "HTTQ", 400),
    ROW("4", "SSH-2.0-x\r\n", 400),
    ROW("2.2", "\r\n" OK END, 400), /* only servers pass over empty lines */
    ROW("5", OK "A : b\r\n" END, 400),
    ROW("5.2", OK "A: b\r\n c\r\n" END, 400),
    ROW("5", OK HOST HOST "Expect: tea\r\n" END, DONE), /* both mean nothing here */
    ROW("6.3", OK "Content-Length: 5\r\n" END "hello", DONE),
    ROW("6.3", OK "Transfer-Encoding: chunked\r\n" END, DONE),
    ROW("6.3", OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END, 400),
    ROW("6.3", OK "Content-Length: 5\r\nContent-Length: 5\r\n" END, 400),
    ROW("6.3", OK "Content-Length: 5,5\r\n" END, 400),
    ROW("6.3", OK "Content-Length: x\r\n" END, 400),
    ROW("6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END, 400),
    ROW("6.1", OK "Transfer-Encoding: gzip\r\n" END, 400),
    ROW("6.1", OK "Transfer-Encoding: gzip, chunked\r\n" END, 501),
};

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

/* A parse of either kind, as the table puts it. */
struct outcome {
    int result;
    const char *text;
    size_t head_len;
    size_t fields;
};

static struct outcome parse(bool response, struct span in, size_t *scanned)
{
    struct http_head head;
    struct http_refusal refusal;
    enum http_parse got = response ? http_parse_response(in, scanned, false, &head, &refusal)
                                   : http_parse_request(in, scanned, &head, &refusal);
    switch (got) {
    case HTTP_PARSE_DONE:
        return (struct outcome){DONE, NULL, head.len, head.field_count};
    case HTTP_PARSE_MORE:
        return (struct outcome){MORE, NULL, 0, 0};
    default:
        return (struct outcome){refusal.status, refusal.text, 0, 0};
    }
}

static bool same(struct outcome a, struct outcome b)
{
    return a.result == b.result && a.text == b.text && a.head_len == b.head_len && a.fields == b.fields;
}

static void check_whole(const struct row *rows, size_t count, bool response)
{
    struct exact exact = exact_new(HTTP_HEAD_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t scanned = 0;
        struct outcome got = parse(response, exact_put(exact, rows[i].bytes, rows[i].len), &scanned);
        cr_expect(got.result == rows[i].result, "row %zu (%s), %.*s: %d instead of %d", i, rows[i].section,
                  (int)rows[i].len, rows[i].bytes, got.result, rows[i].result);
        cr_expect(got.head_len <= rows[i].len);
    }
}

static void check_splits(const struct row *rows, size_t count, bool response)
{
    struct exact exact = exact_new(HTTP_HEAD_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t none = 0;
        struct outcome whole = parse(response, exact_put(exact, rows[i].bytes, rows[i].len), &none);
        for (size_t cut = 0; cut <= rows[i].len; cut++) {
            size_t scanned = 0;
            struct outcome got = parse(response, exact_put(exact, rows[i].bytes, cut), &scanned);
            if (got.result == MORE)
                got = parse(response, exact_put(exact, rows[i].bytes, rows[i].len), &scanned);
            cr_expect(same(got, whole), "row %zu, %.*s, cut at %zu: %d instead of %d", i, (int)rows[i].len,
                      rows[i].bytes, cut, got.result, whole.result);
        }
    }
}

static void check_bytewise(const struct row *rows, size_t count, bool response)
{
    struct exact exact = exact_new(HTTP_HEAD_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t scanned = 0;
        struct outcome got = {MORE, NULL, 0, 0};
        for (size_t len = 0; len <= rows[i].len && got.result == MORE; len++)
            got = parse(response, exact_put(exact, rows[i].bytes, len), &scanned);
        cr_expect(got.result == rows[i].result, "row %zu, %.*s", i, (int)rows[i].len, rows[i].bytes);
    }
}

static void check_sentences(const struct row *rows, size_t count, bool response)
{
    for (size_t i = 0; i < count; i++) {
        size_t scanned = 0;
        struct outcome got = parse(response, (struct span){rows[i].bytes, rows[i].len}, &scanned);
        if (got.result == DONE || got.result == MORE)
            continue;
        size_t len = got.text != NULL ? strlen(got.text) : 0;
        cr_expect(len > 10 && len < 100, "row %zu", i);
        cr_expect(len > 0 && (got.text[0] < 'A' || got.text[0] > 'Z') && got.text[len - 1] != '.', "row %zu",
                  i);
        cr_expect(got.text != NULL && strpbrk(got.text, "\"\\\n") == NULL, "row %zu: goes into JSON", i);
    }
}

Test(table, each_request_row_has_its_result)
{
    cr_assert(COUNT(requests) >= 100);
    check_whole(requests, COUNT(requests), false);
}

Test(table, each_response_row_has_its_result)
{
    check_whole(responses, COUNT(responses), true);
}

Test(table, a_request_cut_in_two_anywhere_has_the_same_result)
{
    check_splits(requests, COUNT(requests), false);
}

Test(table, a_response_cut_in_two_anywhere_has_the_same_result)
{
    check_splits(responses, COUNT(responses), true);
}

Test(table, a_request_that_comes_byte_by_byte_has_the_same_result)
{
    check_bytewise(requests, COUNT(requests), false);
}

Test(table, a_response_that_comes_byte_by_byte_has_the_same_result)
{
    check_bytewise(responses, COUNT(responses), true);
}

Test(table, each_refusal_is_a_sentence_that_fits_into_json)
{
    check_sentences(requests, COUNT(requests), false);
    check_sentences(responses, COUNT(responses), true);
}
