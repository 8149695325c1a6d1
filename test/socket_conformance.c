/* What RFC 9110 and 9112 ask of an origin server, a row for each rule: raw bytes to a live master, and to a
 * live secondary where no message is posted, and what becomes of them. Each answer is also held against what
 * holds for all: see answers.h. */
#include "answers.h"
#include "node.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

struct row {
    const char *section; /* of RFC 9112, or of the one that it names */
    const char *bytes;
    size_t len;
    const char *expected; /* statuses, then what becomes of the connection; "nothing": no answer */
};

#define ROW(section, bytes, expected)                                                                        \
    {                                                                                                        \
        section, bytes, sizeof(bytes) - 1, expected                                                          \
    }
#define LINE "GET /messages HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define GET(fields) LINE HOST fields "\r\n"
#define GETS(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"
#define METHOD(method, target) method " " target " HTTP/1.1\r\n" HOST "\r\n"
#define VERSION(version) "GET /messages " version "\r\n" HOST "\r\n"
#define HOSTED(value) LINE "Host: " value "\r\n\r\n"
#define POST(fields, body) "POST /messages HTTP/1.1\r\n" HOST fields "\r\n" body
#define CHUNKED(body) POST("Transfer-Encoding: chunked\r\n", body)
#define JSON "Content-Type: application/json\r\n"

static const struct row parsing[] = {
    ROW("2.1", GET(""), "200 open"),
    ROW("2.2", "\r\n" GET(""), "200 open"),
    ROW("2.2", "\r\n\r\n" GET(""), "200 open"),
    ROW("2.2", "\r\n\r\n\r\n" GET(""), "400 closed"),
    ROW("2.2", POST("Content-Length: 1\r\n", "a") "\r\n" GET(""), "201 200 open"),
    ROW("2.2", "\n" GET(""), "400 closed"),
    ROW("2.2", " " GET(""), "400 closed"),
    ROW("2.2", "\0" GET(""), "400 closed"),
    ROW("2.2", "GET /messages HTTP/1.1\nHost: a\n\n", "400 closed"),
    ROW("2.2", LINE "Host: a\n\r\n", "400 closed"),
    ROW("2.2", LINE HOST "\n", "400 closed"),
    ROW("2.2", "GET /messages HTTP/1.1\rHost: a\r\n\r\n", "400 closed"),
    ROW("2.2", GET("A: b\rc\r\n"), "400 closed"),
    ROW("2.2", GET("A: b\r\r\n"), "400 closed"),
    ROW("2.2", LINE " " HOST "\r\n", "400 closed"),
    ROW("2.2", LINE "\t" HOST "\r\n", "400 closed"),
    ROW("2.2", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 closed"), /* TLS */
    ROW("2.2", "{\"message\":\"a\"}\r\n\r\n", "400 closed"),
    ROW("8", "", "nothing"),
    ROW("8", "\r\n", "nothing"),
    ROW("8", "GET /messages HTT", "nothing"),
    ROW("8", LINE HOST, "nothing"),
    ROW("8", POST("Content-Length: 5\r\n", "hell"), "nothing"),
    ROW("8", CHUNKED("5\r\nhello\r\n"), "nothing"),
    ROW("8", GET("") LINE, "200 nothing"),
};

static const struct row versions[] = {
    ROW("2.3", VERSION("HTTP/1.0"), "200 closed"),
    ROW("2.3", "GET /messages HTTP/1.0\r\n\r\n", "200 closed"),
    ROW("2.3", VERSION("HTTP/1.2"), "200 open"),
    ROW("2.3", VERSION("HTTP/1.9"), "200 open"),
    ROW("2.3", VERSION("HTTP/2.0"), "505 closed"),
    ROW("2.3", VERSION("HTTP/3.0"), "505 closed"),
    ROW("2.3", VERSION("HTTP/0.9"), "505 closed"),
    ROW("2.3", VERSION("http/1.1"), "400 closed"),
    ROW("2.3", VERSION("HTTP/1"), "400 closed"),
    ROW("2.3", VERSION("HTTP/1.10"), "400 closed"),
    ROW("2.3", VERSION("HTTP/01.1"), "400 closed"),
    ROW("2.3", VERSION("HTTP/1.1x"), "400 closed"),
    ROW("2.3", VERSION("HTTP/1.1 "), "400 closed"),
    ROW("2.3", VERSION("HTTP 1.1"), "400 closed"),
    ROW("2.3", VERSION("XTTP/1.1"), "400 closed"),
    ROW("RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 closed"),
};

static const struct row lines[] = {
    ROW("3", "GET /messages\r\n\r\n", "400 closed"),
    ROW("3", "GET  /messages HTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3", "GET /messages  HTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3", "GET\t/messages HTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3", "GET /messages\tHTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3", "GET /a b HTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3", "GET HTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3", "/messages HTTP/1.1\r\n" HOST "\r\n", "400 closed"),
    ROW("3.1", METHOD("G@T", "/messages"), "400 closed"),
    ROW("3.1", METHOD("G\xc3\xa4T", "/messages"), "400 closed"),
    ROW("3.1", METHOD("", "/messages"), "400 closed"),
    ROW("3.1", METHOD("get", "/messages"), "501 open"),
    ROW("3.1", METHOD("BREW", "/messages"), "501 open"),
    ROW("3.1", METHOD("GETGETGETGETGETGETGETGETGETGETGETGETGETGETGETGET", "/messages"), "501 open"),
    ROW("3.1", METHOD("!#$%&'*+-.^_`|~0aZ", "/messages"), "501 open"),
};

static const struct row targets[] = {
    ROW("3.2.1", GETS("/"), "200 open"),
    ROW("3.2.1", GETS("/messages?"), "200 open"),
    ROW("3.2.1", GETS("/messages?unknown=x&&=&y"), "200 open"),
    ROW("3.2.1", GETS("/messages?from=1&limit=1"), "200 open"),
    ROW("3.2.1", GETS("/messages/"), "404 open"),
    ROW("3.2.1", GETS("//messages"), "404 open"),
    ROW("3.2.1", GETS("/messages/../messages"), "404 open"),
    ROW("3.2.1", GETS("/MESSAGES"), "404 open"),
    ROW("3.2.1", GETS("messages"), "400 closed"),
    ROW("3.2.1", GETS("?from=1"), "400 closed"),
    ROW("3.2.1", GETS("/messages#x"), "400 closed"),
    ROW("3.2.1", GETS("/\x7f"), "400 closed"),
    ROW("3.2.1", GETS("/\xc3\xa4"), "400 closed"),
    ROW("3.2.1", GETS("/a\\b"), "400 closed"),
    ROW("3.2.1", GETS("/<a>"), "400 closed"),
    ROW("3.2.2", GETS("http://a/messages"), "200 open"),
    ROW("3.2.2", GETS("HTTP://other:80/messages?from=1"), "200 open"),
    ROW("3.2.2", GETS("http://other.example/messages"), "421 open"),
    ROW("3.2.2", GETS("https://a/messages"), "200 open"),
    ROW("3.2.2", GETS("http://a"), "200 open"),
    ROW("3.2.2", GETS("http://a?from=1"), "200 open"),
    ROW("3.2.2", GETS("http:///messages"), "400 closed"),
    ROW("3.2.2", GETS("http://user@a/messages"), "400 closed"),
    ROW("3.2.2", GETS("ftp://a/messages"), "400 closed"),
    ROW("3.2.2", "GET http://a/messages HTTP/1.1\r\n\r\n", "400 closed"),
    ROW("3.2.3", GETS("a:80"), "400 closed"),
    ROW("3.2.4", METHOD("OPTIONS", "*"), "204 open"),
    ROW("3.2.4", METHOD("OPTIONS", "http://a"), "204 open"),
    ROW("3.2.4", GETS("*"), "400 closed"),
    ROW("3.2.4", METHOD("POST", "*"), "400 closed"),
    ROW("RFC 3986 2.1", GETS("/%6dessages"), "200 open"),
    ROW("RFC 3986 2.1", GETS("/%6Dessages?from=%31"), "200 open"),
    ROW("RFC 3986 2.1", GETS("/messages%2f1"), "200 open"),
    ROW("RFC 3986 2.1", GETS("/%"), "400 closed"),
    ROW("RFC 3986 2.1", GETS("/%4"), "400 closed"),
    ROW("RFC 3986 2.1", GETS("/%4g"), "400 closed"),
    ROW("RFC 3986 2.1", GETS("/messages%00"), "400 closed"),
    ROW("RFC 3986 2.1", GETS("/messages?from=%zz"), "400 open"),
};

static const struct row hosts[] = {
    ROW("3.2", LINE "\r\n", "400 closed"),
    ROW("3.2", LINE HOST HOST "\r\n", "400 closed"),
    ROW("3.2", LINE HOST "hOsT: b\r\n\r\n", "400 closed"),
    ROW("3.2", "GET /messages HTTP/1.0\r\n" HOST HOST "\r\n", "400 closed"),
    ROW("3.2", HOSTED(""), "200 open"),
    ROW("3.2", HOSTED("  a  "), "200 open"),
    ROW("3.2", HOSTED("127.0.0.1:5000"), "200 open"),
    ROW("3.2", HOSTED("[::1]:5000"), "200 open"),
    ROW("3.2", HOSTED("a:"), "200 open"),
    ROW("3.2", HOSTED("a.example"), "421 open"),
    ROW("3.2", HOSTED("a:65536"), "400 closed"),
    ROW("3.2", HOSTED("a:x"), "400 closed"),
    ROW("3.2", HOSTED("a:1:2"), "400 closed"),
    ROW("3.2", HOSTED("a b"), "400 closed"),
    ROW("3.2", HOSTED("a, b"), "400 closed"),
    ROW("3.2", HOSTED("a/b"), "400 closed"),
    ROW("3.2", HOSTED("http://a"), "400 closed"),
    ROW("3.2", HOSTED("user@a"), "400 closed"),
    ROW("3.2", HOSTED("[::1"), "400 closed"),
    ROW("3.2", HOSTED("a\x80"), "400 closed"),
};

static const struct row fields[] = {
    ROW("5.1", GET("A:b\r\n"), "200 open"),
    ROW("5.1", GET("A:\r\n"), "200 open"),
    ROW("5.1", GET("A: \t b \t \r\n"), "200 open"),
    ROW("5.1", GET("A : b\r\n"), "400 closed"),
    ROW("5.1", GET("A\t: b\r\n"), "400 closed"),
    ROW("5.1", LINE "Host : a\r\n\r\n", "400 closed"),
    ROW("5.1", GET(": b\r\n"), "400 closed"),
    ROW("5.1", GET("A\r\n"), "400 closed"),
    ROW("5.1", GET("A b: c\r\n"), "400 closed"),
    ROW("RFC 9110 5.1", GET("A(b): c\r\n"), "400 closed"),
    ROW("RFC 9110 5.1", GET("A\x80: c\r\n"), "400 closed"),
    ROW("RFC 9110 5.1", GET("A\0: c\r\n"), "400 closed"),
    ROW("RFC 9110 5.1", GET("!#$%&'*+-.^_`|~: c\r\n"), "200 open"),
    ROW("5.2", GET("A: b\r\n c\r\n"), "400 closed"),
    ROW("5.2", GET("A: b\r\n\tc\r\n"), "400 closed"),
    ROW("5.2", GET("A: b\r\n \r\n"), "400 closed"),
    ROW("RFC 9110 5.5", GET("A: \x80\xff\tb\r\n"), "200 open"),
    ROW("RFC 9110 5.5", GET("A: b\0c\r\n"), "400 closed"),
    ROW("RFC 9110 5.5", GET("A: b\x0b\r\n"), "400 closed"),
    ROW("RFC 9110 5.5", GET("A: b\x7f\r\n"), "400 closed"),
};

static const struct row framing[] = {
    ROW("6", POST("", ""), "400 open"), /* no body: an empty message */
    ROW("6.2", POST("Content-Length: 5\r\n", "hello"), "201 open"),
    ROW("6.2", POST("Content-Length: 0005\r\n", "hello"), "201 open"),
    ROW("6.2", POST("Content-Length: 0\r\n", ""), "400 open"),
    ROW("6.2", GET("Content-Length: 5\r\n") "hello", "200 open"),
    ROW("6.2", GET("Transfer-Encoding: chunked\r\n") "1\r\na\r\n0\r\n\r\n", "200 open"),
    ROW("6.2", POST("Content-Length: 4\r\n", "hello"), "201 501 closed"), /* the method behind it is oGET */
    ROW("6.3", POST("Content-Length: +5\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: -5\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5x\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 0x5\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5.0\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5 5\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: \"5\"\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length:\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5, 5\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5, 6\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "400 closed"),
    ROW("6.3", POST("Content-Length: 18446744073709551616\r\n", ""), "400 closed"),
    ROW("6.3", POST("Content-Length: 99999999999999999999999\r\n", ""), "400 closed"),
    ROW("6.3", POST("Content-Length: 18446744073709551615\r\n", ""), "413 closed"),
    ROW("6.3", POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400 closed"),
    ROW("6.3", POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), "400 closed"),
    ROW("6.3", POST("Transfer-Encoding: gzip\r\n", ""), "400 closed"),
    ROW("6.3", POST("Transfer-Encoding: identity\r\n", ""), "400 closed"),
    ROW("6.3", POST("Transfer-Encoding:\r\n", ""), "400 closed"),
    ROW("6.3", POST("Transfer-Encoding: xchunked\r\n", ""), "400 closed"),
    ROW("6.3", POST("Transfer-Encoding: chunked, gzip\r\n", ""), "400 closed"),
    ROW("6.1", POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "501 closed"),
    ROW("6.1", POST("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), "400 closed"),
    ROW("6.1", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), "400 closed"),
    ROW("6.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 closed"),
    ROW("6.1", POST("Transfer-Encoding: CHUNKED\r\n", "1\r\na\r\n0\r\n\r\n"), "201 open"),
    ROW("6.1", POST("Transfer-Encoding: \"chunked\"\r\n", "1\r\na\r\n0\r\n\r\n"), "400 closed"),
    ROW("6.1", POST("Transfer_Encoding: chunked\r\nContent-Length: 1\r\n", "a"), "201 open"),
};

static const struct row chunks[] = {
    ROW("7.1", CHUNKED("5\r\nhello\r\n0\r\n\r\n"), "201 open"),
    ROW("7.1", CHUNKED("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), "201 open"),
    ROW("7.1", CHUNKED("00005\r\nhello\r\n000\r\n\r\n"), "201 open"),
    ROW("7.1", CHUNKED("A\r\n0123456789\r\n0\r\n\r\n"), "201 open"),
    ROW("7.1", CHUNKED("a\r\n0123456789\r\n0\r\n\r\n"), "201 open"),
    ROW("7.1", CHUNKED("0\r\n\r\n"), "400 open"), /* an empty message */
    ROW("7.1", CHUNKED("\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("x\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("0x5\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("+5\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("-5\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED(" 5\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("5 \r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("5\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("5\rhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("5\r\nhello0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("5\r\nhello\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("5\r\nhello!\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("6\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("10000000000000005\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1", CHUNKED("ffffffffffffffff\r\nhello"), "nothing"),
    ROW("7.1.1", CHUNKED("5;a\r\nhello\r\n0;b=c\r\n\r\n"), "201 open"),
    ROW("7.1.1", CHUNKED("5 ; a = \"b;\\\"c\"\r\nhello\r\n0\r\n\r\n"), "201 open"),
    ROW("7.1.1", CHUNKED("5;a\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1.1", CHUNKED("5;\0\r\nhello\r\n0\r\n\r\n"), "400 closed"),
    ROW("7.1.2", CHUNKED("1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n"), "201 open"),
    ROW("7.1.2", CHUNKED("1\r\na\r\n0\r\nContent-Length: 7\r\n\r\n"), "201 open"),
    ROW("7.1.2", CHUNKED("1\r\na\r\n0\r\nA : b\r\n\r\n"), "400 closed"),
    ROW("7.1.2", CHUNKED("1\r\na\r\n0\r\nA\r\n\r\n"), "400 closed"),
    ROW("7.1.2", CHUNKED("1\r\na\r\n0\r\nA: b\n\r\n"), "400 closed"),
    ROW("7.1.2", CHUNKED("1\r\na\r\n0\r\n\n"), "400 closed"),
};

static const struct row methods[] = {
    ROW("RFC 9110 9.3.1", GETS("/messages/1"), "200 open"),
    ROW("RFC 9110 9.3.1", GETS("/messages/0"), "404 open"),
    ROW("RFC 9110 9.3.1", GETS("/health"), "200 open"),
    ROW("RFC 9110 9.3.2", METHOD("HEAD", "/messages"), "200 open"),
    ROW("RFC 9110 9.3.2", METHOD("HEAD", "/messages/1"), "200 open"),
    ROW("RFC 9110 9.3.2", METHOD("HEAD", "/health"), "200 open"),
    ROW("RFC 9110 9.3.2", METHOD("HEAD", "/nowhere"), "404 open"),
    ROW("RFC 9110 9.3.2", METHOD("HEAD", "/register"), "405 open"),
    ROW("RFC 9110 9.3.2", METHOD("HEAD", "/%"), "400 closed"),
    ROW("RFC 9110 9.3.2", "HEAD / HTTP/1.1\r\n\r\n", "400 closed"),
    ROW("RFC 9110 9.3.2", "HEAD / HTTP/1.0\r\n\r\n", "200 closed"),
    ROW("RFC 9110 9.3.2", "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "200 open"),
    ROW("RFC 9110 9.3.3", POST("Content-Length: 2\r\n" JSON, "{}"), "400 open"),
    ROW("RFC 9110 9.3.3", METHOD("POST", "/health"), "405 open"),
    ROW("RFC 9110 9.3.3", METHOD("POST", "/messages/1"), "405 open"),
    ROW("RFC 9110 9.3.4", METHOD("PUT", "/messages"), "405 open"),
    ROW("RFC 9110 9.3.4", METHOD("PUT", "/nowhere"), "404 open"),
    ROW("RFC 9110 9.3.5", METHOD("DELETE", "/messages"), "405 open"),
    ROW("RFC 9110 9.3.5", METHOD("DELETE", "/secondaries/none"), "404 open"),
    ROW("RFC 9110 9.3.5", METHOD("GET", "/secondaries/none"), "405 open"),
    ROW("RFC 9110 9.3.6", METHOD("CONNECT", "a:80"), "501 closed"),
    ROW("RFC 9110 9.3.6", METHOD("CONNECT", "[::1]:80"), "501 closed"),
    ROW("RFC 9110 9.3.6", METHOD("CONNECT", "a"), "400 closed"),
    ROW("RFC 9110 9.3.6", "CONNECT a:80 HTTP/1.1\r\n\r\n", "400 closed"),
    ROW("RFC 9110 9.3.6", METHOD("CONNECT", "/messages"), "400 closed"),
    ROW("RFC 9110 9.3.7", METHOD("OPTIONS", "/messages"), "204 open"),
    ROW("RFC 9110 9.3.7", METHOD("OPTIONS", "/"), "204 open"),
    ROW("RFC 9110 9.3.7", METHOD("OPTIONS", "/messages/1"), "204 open"),
    ROW("RFC 9110 9.3.7", METHOD("OPTIONS", "/nowhere"), "404 open"),
    ROW("RFC 9110 9.3.7", "OPTIONS / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "204 open"),
    ROW("RFC 9110 9.3.8", METHOD("TRACE", "/messages"), "405 open"),
    ROW("RFC 5789 2", METHOD("PATCH", "/messages"), "405 open"),
};

static const struct row conditions[] = {
    ROW("RFC 9110 13.1.1", GET("If-Match: *\r\n"), "200 open"),
    ROW("RFC 9110 13.1.1", GET("If-Match: \"other\"\r\n"), "412 open"),
    ROW("RFC 9110 13.1.1", GET("If-Match:\r\n"), "412 open"),
    ROW("RFC 9110 13.1.1", GET("If-Match: other\r\n"), "412 open"),
    ROW("RFC 9110 13.1.1", GET("If-Match: \"a\"\r\nIf-Match: *\r\n"), "200 open"),
    ROW("RFC 9110 13.1.1", "HEAD / HTTP/1.1\r\n" HOST "If-Match: \"other\"\r\n\r\n", "412 open"),
    ROW("RFC 9110 13.1.1", POST("Content-Length: 1\r\nIf-Match: *\r\n", "a"), "201 open"),
    ROW("RFC 9110 13.1.1", POST("Content-Length: 1\r\nIf-Match: \"other\"\r\n", "a"), "412 open"),
    ROW("RFC 9110 13.1.2", POST("Content-Length: 1\r\nIf-None-Match: *\r\n", "a"), "412 open"),
    ROW("RFC 9110 13.2.2", GET("If-None-Match: *\r\nIf-Match: \"other\"\r\n"), "412 open"),
    ROW("RFC 9110 13.2.2", GET("If-None-Match: *\r\nIf-Match: *\r\n"), "304 open"),
    ROW("RFC 9110 13.2.1", "GET /messages?from=x HTTP/1.1\r\n" HOST "If-Match: \"other\"\r\n\r\n",
        "400 open"),
    ROW("RFC 9110 13.2.1", POST("Content-Length: 1\r\nIf-Match: \"other\"\r\n", "\xff"), "400 open"),
    ROW("RFC 9110 13.2.1",
        POST("Content-Type: application/json\r\nContent-Length: 1\r\nIf-Match: \"other\"\r\n", "{"),
        "400 open"),
    ROW("RFC 9110 13.1.2", GET("If-None-Match: \"other\"\r\nIf-None-Match: *\r\n"), "304 open"),
    ROW("RFC 9110 13.1.2", GET("If-None-Match: *\r\n"), "304 open"),
    ROW("RFC 9110 13.1.2", GET("If-None-Match: \"other\"\r\n"), "200 open"),
    ROW("RFC 9110 13.1.2", GET("If-None-Match: W/\"other\", \"x\"\r\n"), "200 open"),
    ROW("RFC 9110 13.1.2", "HEAD / HTTP/1.1\r\n" HOST "If-None-Match: *\r\n\r\n", "304 open"),
    ROW("RFC 9110 13.1.3", GET("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "200 open"),
    ROW("RFC 9110 13.2.1", "OPTIONS / HTTP/1.1\r\n" HOST "If-None-Match: *\r\n\r\n", "204 open"),
    ROW("RFC 9110 14.2", GET("Range: bytes=0-1\r\n"), "200 open"),
    ROW("RFC 9110 12.5.1", GET("Accept: text/html\r\n"), "200 open"),
    ROW("RFC 9110 12.5.3", GET("Accept-Encoding: gzip\r\n"), "200 open"),
};

static const struct row expectations[] = {
    ROW("RFC 9110 10.1.1", POST("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"), "201 open"),
    ROW("RFC 9110 10.1.1", POST("Content-Length: 0\r\nExpect: 100-continue\r\n", ""), "400 open"),
    ROW("RFC 9110 10.1.1", GET("Expect: 100-Continue\r\n"), "200 open"),
    ROW("RFC 9110 10.1.1", "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\na",
        "201 closed"),
    ROW("RFC 9110 10.1.1", GET("Expect: miracles\r\n"), "417 closed"),
    ROW("RFC 9110 10.1.1", GET("Expect: 100-continue, miracles\r\n"), "417 closed"),
    ROW("RFC 9110 10.1.1", POST("Content-Length: 99999999\r\nExpect: 100-continue\r\n", ""), "413 closed"),
    ROW("RFC 9110 10.1.1", POST("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "x"), "400 closed"),
};

static const struct row connections[] = {
    ROW("9.3", GET("Connection: close\r\n"), "200 closed"),
    ROW("9.3", GET("Connection: CLOSE\r\n"), "200 closed"),
    ROW("9.3", GET("Connection: x, close ,y\r\n"), "200 closed"),
    ROW("9.3", GET("Connection: x\r\nConnection: close\r\n"), "200 closed"),
    ROW("9.3", GET("Connection: keep-alive, close\r\n"), "200 closed"),
    ROW("9.3", GET("Connection: closed\r\n"), "200 open"),
    ROW("9.3", GET("Connection: keep-alive\r\n"), "200 open"),
    ROW("9.3", GET("Connection:\r\n"), "200 open"),
    ROW("9.3", GET("Proxy-Connection: close\r\n"), "200 open"),
    ROW("9.3", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 open"),
    ROW("9.3", "GET / HTTP/1.0\r\nConnection: Keep-Alive, x\r\n\r\n", "200 open"),
    ROW("9.3", "GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", "200 closed"),
    ROW("9.3", "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na", "201 closed"),
    ROW("9.3", METHOD("PUT", "/messages") GET(""), "405 200 open"),
    ROW("9.3", POST("Connection: close\r\nContent-Length: 1\r\n", "a") GET(""), "201 closed"),
    ROW("9.3.2", GET("") GET("") GET(""), "200 200 200 open"),
    ROW("9.3.2", GET("") METHOD("OPTIONS", "*") GETS("/x") GET(""), "200 204 404 200 open"),
    ROW("9.3.2", POST("Content-Length: 1\r\n", "a") CHUNKED("1\r\na\r\n0\r\n\r\n") GET(""),
        "201 201 200 open"),
    ROW("9.3.2", GET("") GET("Connection: close\r\n") GET(""), "200 200 closed"),
    ROW("9.3.2", GET("") "BAD\r\n\r\n" GET(""), "200 400 closed"),
    ROW("9.3.2", GET("") "GET / HTTP/1.0\r\n\r\n" GET(""), "200 200 closed"),
    ROW("9.6", GETS("/messages?limit=x") GET(""), "400 200 open"),
    ROW("RFC 9110 7.8", GET("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"), "200 open"),
};

/* What is wrong for the application leaves the framing, and so the connection, alone. */
static const struct row contents[] = {
    ROW("RFC 9110 8.3", POST("Content-Length: 15\r\n" JSON, "{\"message\":\"a\"}"), "201 open"),
    ROW("RFC 9110 8.3",
        POST("Content-Length: 15\r\nContent-Type: Application/JSON;charset=utf-8\r\n", "{\"message\":\"a\"}"),
        "201 open"),
    ROW("RFC 9110 8.3", POST("Content-Length: 1\r\nContent-Type: application/x-www-form-urlencoded\r\n", "a"),
        "201 open"),
    ROW("RFC 9110 15.5.1", POST("Content-Length: 5\r\n" JSON, "hello"), "400 open"),
    ROW("RFC 9110 15.5.1", POST("Content-Length: 2\r\n", "\xff\xfe"), "400 open"),
    ROW("RFC 9110 15.5.1", "POST /messages?w=none HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na",
        "400 open"),
    ROW("RFC 9110 15.5.1", METHOD("POST", "/register"), "400 open"),
    ROW("RFC 9110 15.5.14", POST("Content-Length: 2000\r\n", ""), "413 closed"),
    ROW("RFC 9110 15.5.14", "POST /register HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n",
        "413 closed"),
    ROW("RFC 9110 15.5.14", "PUT /nowhere HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n",
        "404 closed"),
};

/* ---- how a row is tried */

static struct node *node;

static void start(void)
{
    node = master_start("--write-concern 1 --max-message 1000");
    cr_assert(http_post(node->port, "/messages", "one", 3).status == 201);
}

/* Without a master, but with a message. */
static void start_secondary(void)
{
    node = node_start("secondary", "--master-url http://127.0.0.1:1");
    struct reply reply =
        http_post_json(node->port, "/replicate",
                       "{\"log\":\"0123456789abcdef0123456789abcdef\",\"first\":1,\"messages\":[\"one\"]}");
    cr_assert(reply.status == 200, "%s", reply.body);
}

TestSuite(conformance, .init = start, .fini = nodes_stop, .timeout = 120);
TestSuite(conformance_of_a_secondary, .init = start_secondary, .fini = nodes_stop, .timeout = 120);

static const char probe[] = "GET /health?probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

static bool is_probe(const struct answer *answer)
{
    return answer->status == 200 && answer->close && strncmp(answer->body, "{\"role\":", 8) == 0;
}

static void add(char *out, size_t size, const char *word)
{
    size_t len = strlen(out);
    snprintf(out + len, size - len, "%s%s", len ? " " : "", word);
}

/* What the answers say, in the words of the rows, faults included. */
static const char *outcome_read(struct answers *all, bool to_head, bool probed)
{
    static char out[512];
    struct answer answer = {0};
    bool open = false;
    out[0] = '\0';
    while (answer_next(all, to_head, &answer)) {
        open = probed && is_probe(&answer);
        if (open)
            break;
        char status[16];
        snprintf(status, sizeof status, "%d", answer.status);
        add(out, sizeof out, status);
        if (answer.fault)
            add(out, sizeof out, answer.fault);
        to_head = false; /* the probe comes next */
    }
    if (all->at < all->len)
        add(out, sizeof out, "and more");
    if (!all->ended)
        add(out, sizeof out, "and no end");
    if (!open && probed && !answer.close)
        add(out, sizeof out, "without a word");
    add(out, sizeof out, open ? "open" : probed ? "closed" : "nothing");
    return out;
}

/* Sends the row's bytes, and behind them a request that is answered where the connection stays open. */
static const char *outcome(const struct row *row)
{
    bool probed = !strstr(row->expected, "nothing");
    size_t lead = strspn(row->bytes, "\r\n");
    int fd = raw_open(node->port);
    raw_send(fd, row->bytes, row->len);
    if (probed)
        raw_send(fd, probe, sizeof probe - 1);
    shutdown(fd, SHUT_WR);
    struct answers all = answers_read(fd, SOON);
    const char *text = outcome_read(&all, strncmp(row->bytes + lead, "HEAD ", 5) == 0, probed);
    close(fd);
    free(all.bytes);
    return text;
}

static void try_row(const struct row *row)
{
    const char *text = outcome(row);
    cr_expect(strcmp(text, row->expected) == 0, "RFC 9112 %s: '%.*s': %s, not %s", row->section,
              (int)(row->len < 200 ? row->len : 200), row->bytes, text, row->expected);
}

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
#define TABLE(rows)                                                                                          \
    Test(conformance, rows)                                                                                  \
    {                                                                                                        \
        for (size_t i = 0; i < COUNT(rows); i++)                                                             \
            try_row(&rows[i]);                                                                               \
    }

/* The same for either; where a message is posted a secondary has an answer of its own. */
#define TABLE_OF_BOTH(rows)                                                                                  \
    TABLE(rows)                                                                                              \
    Test(conformance_of_a_secondary, rows)                                                                   \
    {                                                                                                        \
        for (size_t i = 0; i < COUNT(rows); i++)                                                             \
            if (!memmem(rows[i].bytes, rows[i].len, "POST", 4))                                              \
                try_row(&rows[i]);                                                                           \
    }

TABLE_OF_BOTH(parsing)
TABLE_OF_BOTH(versions)
TABLE_OF_BOTH(lines)
TABLE_OF_BOTH(targets)
TABLE_OF_BOTH(hosts)
TABLE_OF_BOTH(fields)
TABLE(framing)
TABLE(chunks)
TABLE(methods)
TABLE_OF_BOTH(conditions)
TABLE_OF_BOTH(expectations)
TABLE_OF_BOTH(connections)
TABLE(contents)

_Static_assert(COUNT(parsing) + COUNT(versions) + COUNT(lines) + COUNT(targets) + COUNT(hosts) +
                       COUNT(fields) + COUNT(framing) + COUNT(chunks) + COUNT(methods) + COUNT(conditions) +
                       COUNT(expectations) + COUNT(connections) + COUNT(contents) >
                   150,
               "rows");
