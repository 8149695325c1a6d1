#include "by_hand.h"
#include "http/router.h"

#include <criterion/criterion.h>

static char called[256]; /* what the routes were called with: "list " or "one x " */

static void list(void *ctx, const struct http_request *request, const char *rest,
                 struct http_exchange *exchange)
{
    (void)request;
    strcat(called, ctx);
    strcat(called, "list ");
    strcat(called, rest);
    http_answer(exchange, 200, NULL, span_of("a list"));
}

static void one(void *ctx, const struct http_request *request, const char *rest,
                struct http_exchange *exchange)
{
    (void)ctx;
    (void)request;
    strcat(called, "one ");
    strcat(called, rest);
    http_answer(exchange, 200, NULL, span_of("one"));
}

static void refuse(void *ctx, const struct http_request *request, const char *rest,
                   struct http_exchange *exchange)
{
    (void)ctx;
    (void)request;
    (void)rest;
    http_answer_error(exchange, 405, "Allow: X\r\n", "elsewhere");
}

static uint64_t limit(void *ctx, const struct http_head *head)
{
    (void)ctx;
    return http_head_field(head, "Large") ? 100000 : 10;
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/list", .handle = list},
    {.method = "GET", .path = "/list/*", .handle = one},
    {.method = "DELETE", .path = "/list/*", .handle = one},
    {.method = "PUT", .path = "/put", .handle = list, .body_limit = limit},
    {.method = "PUT", .path = "/mine", .handle = one, .token = true},
    {.method = "PUT", .path = "/early", .handle = one, .at_head = true},
    {.method = "POST", .path = "/list", .handle = refuse, .unlisted = true},
    {0},
};

/* The answer to a request with such further fields, and a body of so many bytes. */
static const char *answer_to(const char *method, const char *target, const char *fields, int body_len)
{
    static char text[4096];
    int client = hand_connect();
    called[0] = '\0';
    hand.service.ctx = "";
    hand.service.routes = routes;
    cr_assert(
        dprintf(client, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n%*s", method, target, fields, body_len, "") > 0);
    hand_run(5);
    ssize_t len = recv(client, text, sizeof text - 1, 0);
    cr_assert(len > 0);
    text[len] = '\0';
    close(client);
    hand_run(2);
    return text;
}

static const char *answer(const char *method, const char *target)
{
    return answer_to(method, target, "", 0);
}

#define expect_answer(method, target, status, holds)                                                         \
    do {                                                                                                     \
        const char *text = answer(method, target);                                                           \
        cr_expect(strncmp(text, "HTTP/1.1 " status " ", 13) == 0 && strstr(text, holds), "%s %s: %s",        \
                  (method), (target), text);                                                                 \
    } while (0)

TestSuite(router, .init = hand_open, .fini = hand_close);

Test(router, a_route_is_found_by_method_and_path)
{
    expect_answer("GET", "/list", "200", "a list");
    cr_expect_str_eq(called, "list ");
    expect_answer("PUT", "/put?x=y", "200", "a list");
}

Test(router, a_star_stands_for_one_byte_and_more)
{
    expect_answer("GET", "/list/x%20y/z", "200", "one");
    cr_expect_str_eq(called, "one x y/z");
    expect_answer("GET", "/list/", "404", "");
    cr_expect_str_eq(called, "");
}

Test(router, head_goes_where_get_goes)
{
    expect_answer("HEAD", "/list", "200", "\r\nContent-Length: 6\r\n");
    cr_expect(!strstr(answer("HEAD", "/list"), "a list"));
    expect_answer("HEAD", "/put", "405", "\r\nAllow: PUT, OPTIONS\r\n");
}

Test(router, a_path_that_is_not_there_is_404)
{
    expect_answer("GET", "/lis", "404", "there is nothing at /lis\"");
    expect_answer("GET", "/lists", "404", "");
    expect_answer("GET", "/List", "404", "");
    expect_answer("GET", "//list", "404", "");
    expect_answer("OPTIONS", "/lists", "404", "");
    expect_answer("GET", "/%22%0a%ff", "404", "nothing at /\\\"\\n?\"");
}

Test(router, a_method_that_has_no_place_is_405_and_allow_tells_what_has)
{
    expect_answer("DELETE", "/list", "405", "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    expect_answer("PATCH", "/list/x", "405", "\r\nAllow: GET, HEAD, DELETE, OPTIONS\r\n");
    expect_answer("TRACE", "/put", "405", "\r\nAllow: PUT, OPTIONS\r\n");
}

Test(router, a_route_may_refuse_by_itself)
{
    expect_answer("POST", "/list", "405", "elsewhere");
}

Test(router, a_method_that_nobody_knows_is_501)
{
    expect_answer("BREW", "/list", "501", "the method BREW\"");
    expect_answer("get", "/list", "501", "");
    expect_answer("GETS", "/nowhere", "501", "");
    expect_answer("A23456789012345678901234567890123456789012345", "/", "501",
                  "A234567890123456789012345678901234567890\"");
}

static int put_of(const char *path, const char *fields, int body_len)
{
    char all[100];
    snprintf(all, sizeof all, "%sContent-Length: %d\r\n", fields, body_len);
    return atoi(answer_to("PUT", path, all, body_len) + strlen("HTTP/1.1 "));
}

Test(router, a_row_says_how_long_a_body_may_be)
{
    cr_expect_eq(put_of("/put", "", 10), 200);
    cr_expect_eq(put_of("/put", "", 11), 413);
    cr_expect_eq(put_of("/put", "Large: yes\r\n", 100000), 200);
    cr_expect_eq(put_of("/put", "Large: yes\r\n", 100001), 413);
}

Test(router, where_no_row_says_more_a_body_may_be_small)
{
    cr_expect_eq(put_of("/mine", "", HTTP_SMALL_BODY), 200);
    cr_expect_eq(put_of("/mine", "", HTTP_SMALL_BODY + 1), 413);
    cr_expect_eq(put_of("/nowhere", "", HTTP_SMALL_BODY), 404);
    cr_expect_eq(put_of("/nowhere", "", HTTP_SMALL_BODY + 1), 404);
}

/* The answer to a head that announces a body of which nothing comes. */
static int at_head(const char *method, const char *path)
{
    return atoi(answer_to(method, path, "Content-Length: 100000000\r\n", 0) + strlen("HTTP/1.1 "));
}

Test(router, what_no_row_takes_is_answered_before_its_body)
{
    cr_expect_eq(at_head("PUT", "/nowhere"), 404);
    cr_expect_eq(at_head("POST", "/put"), 405);
    cr_expect_eq(at_head("BREW", "/list"), 501);
    cr_expect_eq(at_head("PUT", "/early"), 200);
    cr_expect_str_eq(called, "one ");
    cr_expect(strstr(answer_to("PUT", "/nowhere", "Content-Length: 5\r\n", 0), "Connection: close\r\n"));
    cr_expect(!strstr(answer_to("PUT", "/nowhere", "Content-Length: 5\r\n", 5), "Connection: close\r\n"));
}

Test(router, a_slash_too_many_is_told)
{
    expect_answer("PUT", "/put/", "404", "nothing at /put/; without the slash at its end there is");
    cr_expect(!strstr(answer("PUT", "/puts/"), "slash"));
    cr_expect(!strstr(answer("PUT", "/put//"), "slash"));
}

static bool has_password(void *ctx, const struct http_head *head)
{
    (void)ctx;
    return http_head_field(head, "Password");
}

Test(router, a_row_with_a_token_is_for_those_that_the_service_admits)
{
    expect_answer("PUT", "/mine", "200", "one");
    hand.service.admits = has_password;
    expect_answer("PUT", "/mine", "401", "\r\nWWW-Authenticate: Bearer\r\n");
    cr_expect_str_eq(called, "");
    cr_expect(strstr(answer("PUT", "/mine"), "this needs the field Authorization: Bearer"));
    cr_expect(strstr(answer_to("PUT", "/mine", "Password: x\r\n", 0), "200 OK"));
    expect_answer("PUT", "/put", "200", "a list");
    expect_answer("GET", "/mine", "405", "\r\nAllow: PUT, OPTIONS\r\n");
}

Test(router, options_tells_the_methods)
{
    expect_answer("OPTIONS", "/list", "204", "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    expect_answer("OPTIONS", "*", "204", "\r\nAllow: GET, HEAD, DELETE, PUT, OPTIONS\r\n");
    cr_expect(!strstr(answer("OPTIONS", "*"), "Content-Length"));
}

Test(router, what_is_allowed_can_be_asked_for)
{
    char allow[128];
    http_route_allow(routes, "/list", allow, sizeof allow);
    cr_expect_str_eq(allow, "GET, HEAD, OPTIONS");
    http_route_allow(routes, "/nothing", allow, sizeof allow);
    cr_expect_str_eq(allow, "");
}

/* ---- the query */

static int query(const char *text, const char *name, char *out, size_t size)
{
    const struct http_target target = {.query = span_of(text)};
    const struct http_request request = {.target = &target};
    return http_request_query(&request, name, out, size);
}

Test(query, a_field_is_found_and_decoded)
{
    char out[8];
    cr_expect(query("a=1&bc=x%20y+z&a=2", "bc", out, sizeof out) == 5);
    cr_expect_str_eq(out, "x y z");
    cr_expect(query("a=1&bc=x&a=2", "a", out, sizeof out) == 1);
    cr_expect_str_eq(out, "1");
    cr_expect(query("&&a", "a", out, sizeof out) == 0);
    cr_expect_str_eq(out, "");
}

Test(query, a_field_that_is_not_there_is_told_from_a_bad_one)
{
    char out[4];
    cr_expect(query("", "a", out, sizeof out) == -1);
    cr_expect(query("ab=1&=2", "a", out, sizeof out) == -1);
    cr_expect(query("a=1234", "a", out, sizeof out) == -2);
    cr_expect(query("a=%4", "a", out, sizeof out) == -2);
    cr_expect(query("a=%00", "a", out, sizeof out) == -2);
    cr_expect(query("a=123", "a", out, sizeof out) == 3);
}
