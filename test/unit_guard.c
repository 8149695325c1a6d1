/* What is refused by the head alone, by plain calls. */
#include "exact.h"
#include "http/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static bool allowed(const char *host, const char *names)
{
    struct exact room = exact_new(64);
    return http_host_allowed(exact_put(room, host, strlen(host)), names);
}

Test(guard, addresses_localhost_and_names_without_a_dot_are_always_its_own)
{
    static const char *const own[] = {"127.0.0.1", "127.0.0.1:5000", "[::1]",  "[::1]:5000",  "10.1.2.3:80",
                                      "localhost", "localhost:5000", "master", "master:5000", "MASTER",
                                      ""};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        cr_expect(allowed(own[i], ""), "%s", own[i]);
}

Test(guard, other_names_are_its_own_where_they_are_listed)
{
    static const char names[] = "127.0.0.1,,Log.Example, b.example";
    static const char *const others[] = {"evil.example", "evil.example:5000", "log.example.evil.example",
                                         "xlog.example", "log.exampl",        "127.0.0.1.evil.example",
                                         "1.2.3.4a",     "log.example."};
    cr_expect(allowed("log.example", names) && allowed("LOG.EXAMPLE:5000", names));
    cr_expect(allowed("b.example:1", names));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_expect(!allowed(others[i], names), "%s", others[i]);
        cr_expect(!allowed(others[i], ""), "%s", others[i]);
        cr_expect(allowed(others[i], "a.example,*"), "%s", others[i]);
    }
}

Test(guard, a_type_stands_in_front_of_its_parameters)
{
    static const char *const values[] = {"a/b",    "a/b; charset=utf-8", "a/b;c=d", "a/b ;c=d", "a/b\t",
                                         "a/b,a/b"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        cr_expect(span_equals(http_type_alone(span_of(values[i])), "a/b"), "%s", values[i]);
    cr_expect(span_equals(http_type_alone(span_of("")), ""));
}

/* ---- whole heads */

static bool has_password(void *ctx, const struct http_head *head)
{
    (void)ctx;
    return http_head_field(head, "Password");
}

static struct http_guard guard = {.hosts = "log.example"};
static struct http_service service = {.guard = &guard, .admits = has_password};
static const struct http_route open_row = {0};
static const struct http_route node_row = {.token = true, .denies = http_denies_all_but_json};

/* The status with which such a request is refused; 0: it may go on. */
static int denial_at(const struct http_route *route, const char *method, const char *url, const char *fields)
{
    static char text[1024];
    static struct http_head head;
    size_t scanned = 0;
    struct http_refusal refusal;
    struct http_target target;
    const char *why;
    int len = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\n%s\r\n", method, url, fields);
    cr_assert_eq(http_parse_request((struct span){text, (size_t)len}, &scanned, &head, &refusal),
                 HTTP_PARSE_DONE, "%s", text);
    cr_assert_eq(http_target_parse(head.method, head.target, &target, &why), 0, "%s", text);
    const struct http_denial *denial = http_guard_denies(&service, route, &head, &target);
    return denial ? denial->status : 0;
}

static int denial_of(const struct http_route *route, const char *method, const char *fields)
{
    return denial_at(route, method, "/", fields);
}

#define HOST "Host: a:5000\r\n"

Test(guard, another_host_is_421_whatever_is_asked)
{
    cr_expect_eq(denial_of(&open_row, "GET", "Host: evil.example\r\n"), 421);
    cr_expect_eq(denial_of(&node_row, "POST", "Host: evil.example\r\n"), 421);
    cr_expect_eq(denial_of(NULL, "GET", "Host: evil.example\r\n"), 421);
    cr_expect_eq(denial_of(&open_row, "GET", "Host: log.example:5000\r\n"), 0);
    service.guard = NULL;
    cr_expect_eq(denial_of(&open_row, "GET", "Host: evil.example\r\n"), 0, "nobody guards");
}

Test(guard, a_target_with_a_host_goes_before_host)
{
    cr_expect_eq(denial_at(&open_row, "GET", "http://evil.example/", HOST), 421);
    cr_expect_eq(denial_at(&open_row, "GET", "http://evil.example:5000/?a", HOST), 421);
    cr_expect_eq(denial_at(&open_row, "GET", "http://log.example/", "Host: evil.example\r\n"), 0);
    cr_expect_eq(denial_at(&open_row, "POST", "http://b/", HOST "Origin: http://a:5000\r\n"), 403);
    cr_expect_eq(denial_at(&open_row, "POST", "http://b/", HOST "Origin: http://b\r\n"), 0);
}

Test(guard, a_page_of_another_site_changes_nothing)
{
    static const char *const others[] = {"Sec-Fetch-Site: cross-site\r\n",
                                         "Sec-Fetch-Site: same-site\r\n",
                                         "Sec-Fetch-Site: \r\n",
                                         "Origin: http://evil.example\r\n",
                                         "Origin: http://a\r\n",
                                         "Origin: http://a:5001\r\n",
                                         "Origin: null\r\n",
                                         "Origin: a:5000\r\n",
                                         "Origin: http://a:5000\r\nSec-Fetch-Site: cross-site\r\n"};
    static const char *const own[] = {"",
                                      "Sec-Fetch-Site: same-origin\r\n",
                                      "Sec-Fetch-Site: none\r\n",
                                      "Origin: http://a:5000\r\n",
                                      "Origin: HTTPS://A:5000\r\n",
                                      "Origin: http://a:5000\r\nSec-Fetch-Site: same-origin\r\n"};
    char fields[256];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(fields, sizeof fields, HOST "%s", others[i]);
        cr_expect_eq(denial_of(&open_row, "POST", fields), 403, "%s", others[i]);
        cr_expect_eq(denial_of(&open_row, "DELETE", fields), 403, "%s", others[i]);
        cr_expect_eq(denial_of(NULL, "PUT", fields), 403, "%s", others[i]);
        cr_expect_eq(denial_of(&open_row, "GET", fields), 0, "%s", others[i]);
        cr_expect_eq(denial_of(&open_row, "HEAD", fields), 0, "%s", others[i]);
        cr_expect_eq(denial_of(NULL, "OPTIONS", fields), 0, "%s", others[i]);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        snprintf(fields, sizeof fields, HOST "%s", own[i]);
        cr_expect_eq(denial_of(&open_row, "POST", fields), 0, "%s", own[i]);
    }
}

/* ---- a service that is closed */

static const struct http_denial closing = {503, HTTP_RETRY, "not yet"};
static const struct http_denial *closes;

static const struct http_denial *is_closed(void *ctx)
{
    (void)ctx;
    return closes;
}

Test(guard, a_closed_service_refuses_all_but_the_rows_that_are_always_open)
{
    static const struct http_route always_row = {.always = true};
    service.closed = is_closed;
    closes = &closing;
    cr_expect_eq(denial_of(&open_row, "GET", HOST), 503);
    cr_expect_eq(denial_of(&open_row, "POST", HOST "Content-Length: 5\r\n"), 503);
    cr_expect_eq(denial_of(NULL, "GET", HOST), 503, "a path that is not there");
    cr_expect_eq(denial_of(&node_row, "POST", HOST), 503, "before the token is asked for");
    cr_expect_eq(denial_of(&always_row, "GET", HOST), 0);
    cr_expect_eq(denial_of(&open_row, "POST", HOST "Origin: null\r\n"), 403);
    cr_expect_eq(denial_of(&always_row, "GET", "Host: evil.example\r\n"), 421);
    closes = NULL;
    cr_expect_eq(denial_of(&open_row, "GET", HOST), 0);
    cr_expect_eq(denial_of(&node_row, "POST", HOST), 401);
}

Test(guard, rows_for_nodes_ask_for_the_token_before_the_type)
{
    cr_expect_eq(denial_of(&node_row, "POST", HOST), 401);
    cr_expect_eq(denial_of(&node_row, "POST", HOST "Content-Type: text/plain\r\n"), 401);
    cr_expect_eq(denial_of(&node_row, "POST", HOST "Password: x\r\n"), 0);
    cr_expect_eq(
        denial_of(&node_row, "POST", HOST "Password: x\r\nContent-Length: 1\r\nContent-Type: text/plain\r\n"),
        415);
    cr_expect_eq(denial_of(&node_row, "POST", HOST "Password: x\r\nContent-Type: application/json\r\n"), 0);
    cr_expect_eq(denial_of(&node_row, "POST", HOST "Password: x\r\nContent-Type: text/plain\r\n"), 0,
                 "there is no body");
    cr_expect_eq(denial_of(&open_row, "POST", HOST), 0);
}
