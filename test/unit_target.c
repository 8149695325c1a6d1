#include "exact.h"
#include "http/target.h"

#include <criterion/criterion.h>

static struct http_target target;
static const char *why;

static int parse(const char *method, const char *text)
{
    return http_target_parse(span_of(method), span_of(text), &target, &why);
}

struct row {
    const char *method;
    const char *text;
    int status;
    const char *path; /* the rest is for a status of 0 */
    const char *query;
};

static const struct row rows[] = {
    {"GET", "/", 0, "/", ""},
    {"GET", "/messages", 0, "/messages", ""},
    {"GET", "/messages?from=3&limit=4", 0, "/messages", "from=3&limit=4"},
    {"GET", "/?", 0, "/", ""},
    {"GET", "/a?b?c/d", 0, "/a", "b?c/d"},
    {"GET", "//host/x", 0, "//host/x", ""}, /* a path, whatever it looks like */
    {"GET", "///", 0, "///", ""},
    {"GET", "/a/../b/./c", 0, "/a/../b/./c", ""},
    {"GET", "/a;b=c,d:e@f!$&'()*+~._-", 0, "/a;b=c,d:e@f!$&'()*+~._-", ""},
    {"GET", "/a%20b%C3%a4", 0, "/a b\xc3\xa4", ""},
    {"GET", "/secondaries/a%2Fb", 0, "/secondaries/a/b", ""},
    {"GET", "/%3F%23%25", 0, "/?#%", ""},
    {"GET", "/a+b", 0, "/a+b", ""}, /* a plus is a plus in a path */
    {"GET", "/http://a/b", 0, "/http://a/b", ""},
    {"GET", "/?a=%zz", 0, "/", "a=%zz"}, /* whoever reads the field finds out */
    {"GET", "/?a=[{|}]^`\\", 0, "/", "a=[{|}]^`\\"},
    {"GET", "http://a/b", 0, "/b", ""},
    {"GET", "HTTP://a:80/b?c", 0, "/b", "c"},
    {"GET", "https://[::1]:5000/", 0, "/", ""},
    {"GET", "http://a", 0, "/", ""},
    {"GET", "http://a?b", 0, "/", "b"},
    {"OPTIONS", "http://a", 0, "*", ""},
    {"OPTIONS", "http://a/", 0, "/", ""},
    {"OPTIONS", "http://a?b", 0, "/", "b"},
    {"OPTIONS", "*", 0, "*", ""},
    {"OPTIONS", "/", 0, "/", ""},
    {"GET", "*", 400, NULL, NULL},
    {"options", "*", 400, NULL, NULL}, /* methods have a case */
    {"OPTIONS", "**", 400, NULL, NULL},
    {"OPTIONS", "*?a", 400, NULL, NULL},
    {"CONNECT", "a:80", 501, NULL, NULL},
    {"CONNECT", "[::1]:80", 501, NULL, NULL},
    {"CONNECT", "a", 400, NULL, NULL},
    {"CONNECT", "a:", 400, NULL, NULL},
    {"CONNECT", "/", 400, NULL, NULL},
    {"GET", "a:80", 400, NULL, NULL},
    {"GET", "", 400, NULL, NULL},
    {"GET", "messages", 400, NULL, NULL},
    {"GET", "?a", 400, NULL, NULL},
    {"GET", "ftp://a/b", 400, NULL, NULL},
    {"GET", "http:/a", 400, NULL, NULL},
    {"GET", "http://", 400, NULL, NULL},
    {"GET", "https://", 400, NULL, NULL},
    {"GET", "http:///a", 400, NULL, NULL},
    {"GET", "http://?a", 400, NULL, NULL},
    {"GET", "http://:80/", 400, NULL, NULL},
    {"GET", "http://u@a/", 400, NULL, NULL},
    {"GET", "http://u:p@a/", 400, NULL, NULL},
    {"GET", "http://a:b/", 400, NULL, NULL},
    {"GET", "http://[::1/", 400, NULL, NULL},
    {"GET", "http://a b/", 400, NULL, NULL},
    {"GET", "/a#b", 400, NULL, NULL},
    {"GET", "/?a#b", 400, NULL, NULL},
    {"GET", "http://a#b", 400, NULL, NULL},
    {"GET", "/%00", 400, NULL, NULL},
    {"GET", "/%", 400, NULL, NULL},
    {"GET", "/%2", 400, NULL, NULL},
    {"GET", "/%g0", 400, NULL, NULL},
    {"GET", "/%0g", 400, NULL, NULL},
    {"GET", "/%%20", 400, NULL, NULL},
    {"GET", "/%\xc3\xa4", 400, NULL, NULL},
    {"GET", "/\xc3\xa4", 400, NULL, NULL},
    {"GET", "/a b", 400, NULL, NULL},
    {"GET", "/a\\b", 400, NULL, NULL},
    {"GET", "/\"", 400, NULL, NULL},
    {"GET", "/{a}", 400, NULL, NULL},
    {"GET", "/?a b", 400, NULL, NULL},
    {"GET", "/?\x01", 400, NULL, NULL},
    {"GET", "/?\xc3\xa4", 400, NULL, NULL},
    {"GET", "/?<a>", 400, NULL, NULL},
};

static void check(size_t i, int status)
{
    const struct row *row = &rows[i];
    cr_expect(status == row->status, "row %zu, %s: %d", i, row->text, status);
    if (status != 0 || row->status != 0)
        return;
    cr_expect_str_eq(target.path, row->path, "row %zu, %s", i, row->text);
    cr_expect(span_equals(target.query, row->query), "row %zu, %s", i, row->text);
}

Test(target, each_row_has_its_result)
{
    struct exact exact = exact_new(4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span text = exact_put(exact, rows[i].text, strlen(rows[i].text));
        check(i, http_target_parse(span_of(rows[i].method), text, &target, &why));
    }
}

Test(target, every_prefix_ends_where_it_ends)
{
    struct exact exact = exact_new(4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t len = 0; len < strlen(rows[i].text); len++) {
            struct span text = exact_put(exact, rows[i].text, len);
            int status = http_target_parse(span_of(rows[i].method), text, &target, &why);
            cr_expect(status == 0 || status == 400 || status == 501);
        }
}

Test(target, a_refusal_says_what_is_wrong)
{
    cr_expect(parse("GET", "/a#b") == 400);
    cr_expect_str_eq(why, "the target has a fragment");
    cr_expect(parse("GET", "a") == 400);
    cr_expect_str_eq(why, "the target is neither a path nor an http URL");
}

static int with_length(size_t len, const char *query)
{
    char text[3 * HTTP_PATH_MAX];
    memset(text, 'x', len);
    text[0] = '/';
    strcpy(text + len, query);
    return parse("GET", text);
}

Test(target, a_path_may_be_as_long_as_its_limit)
{
    cr_expect(with_length(HTTP_PATH_MAX - 1, "") == 0 && strlen(target.path) == HTTP_PATH_MAX - 1);
    cr_expect(with_length(HTTP_PATH_MAX - 1, "?a=b") == 0);
    cr_expect(with_length(HTTP_PATH_MAX, "") == 414);
    cr_expect(with_length(HTTP_PATH_MAX - 1, "%41") == 414);
}

Test(target, a_limit_is_of_the_decoded_path)
{
    char text[3 * HTTP_PATH_MAX] = "/";
    for (int i = 0; i < HTTP_PATH_MAX - 2; i++)
        strcat(text, "%41");
    cr_expect(parse("GET", text) == 0 && strlen(target.path) == HTTP_PATH_MAX - 1);
    cr_expect(parse("GET", strcat(text, "%41")) == 414);
}

static bool in_set(int byte, const char *set)
{
    return byte != 0 && strchr(set, byte) != NULL;
}

static bool alnum(int byte)
{
    return in_set(byte, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
}

static bool byte_taken(const char *before, int byte)
{
    char text[16];
    size_t len = strlen(before);
    memcpy(text, before, len);
    text[len] = (char)byte;
    text[len + 1] = 'b';
    return http_target_parse(span_of("GET"), (struct span){text, len + 2}, &target, &why) == 0;
}

Test(bytes, a_path_takes_what_rfc_3986_lists)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = alnum(byte) || in_set(byte, "-._~!$&'()*+,;=:@/?"); /* "?" ends it */
        cr_expect(byte_taken("/a", byte) == good, "0x%02x", (unsigned)byte);
    }
}

Test(bytes, a_query_takes_visible_ascii_but_four)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = byte > 0x20 && byte < 0x7f && !in_set(byte, "\"#<>");
        cr_expect(byte_taken("/?a", byte) == good, "0x%02x", (unsigned)byte);
    }
}

/* ---- query ---- */

static bool next(struct span *query, const char *want_name, const char *want_value)
{
    struct span name, value;
    return http_query_next(query, &name, &value) && span_equals(name, want_name) &&
           span_equals(value, want_value);
}

Test(query, fields_are_taken_one_after_another)
{
    struct span query = span_of("w=2&timeout=5&flag&=x&a=b=c&last=");
    cr_expect(next(&query, "w", "2"));
    cr_expect(next(&query, "timeout", "5"));
    cr_expect(next(&query, "flag", ""));
    cr_expect(next(&query, "", "x"));
    cr_expect(next(&query, "a", "b=c"));
    cr_expect(next(&query, "last", ""));
    cr_expect(!next(&query, "", ""));
}

Test(query, nothing_between_two_ampersands_is_no_field)
{
    struct span query = span_of("&&a=1&&&b=2&");
    cr_expect(next(&query, "a", "1"));
    cr_expect(next(&query, "b", "2"));
    struct span name, value, none = {NULL, 0};
    cr_expect(!http_query_next(&query, &name, &value) && !http_query_next(&none, &name, &value));
}

Test(query, a_value_is_decoded)
{
    char out[16];
    cr_expect(http_query_decode(span_of("a+b%20c%2B%c3%A4"), out, sizeof out) == 8);
    cr_expect_str_eq(out, "a b c+\xc3\xa4");
    cr_expect(http_query_decode(span_of(""), out, sizeof out) == 0);
    cr_expect_str_eq(out, "");
    cr_expect(http_query_decode((struct span){NULL, 0}, out, 1) == 0);
}

Test(query, a_malformed_value_is_refused)
{
    char out[16];
    const char *bad[] = {"%", "a%", "%2", "%g0", "%0g", "%00", "a%00b", "%+1", "% 1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(http_query_decode(span_of(bad[i]), out, sizeof out) == -1, "%s", bad[i]);
    cr_expect(http_query_decode((struct span){"a\0b", 3}, out, sizeof out) == -1);
}

Test(query, a_value_must_fit_with_its_terminator)
{
    char out[4];
    cr_expect(http_query_decode(span_of("abc"), out, sizeof out) == 3);
    cr_expect(http_query_decode(span_of("abcd"), out, sizeof out) == -1);
    cr_expect(http_query_decode(span_of("%41%41%41"), out, sizeof out) == 3);
}
