#include "http/router.h"
#include "http/guard.h"
#include <stdio.h>
#include <string.h>

enum { ALLOW_SIZE = 128 };

/* The length of what a pattern demands word for word. */
static size_t pattern_len(const char *pattern)
{
    size_t len = strlen(pattern);
    return len && pattern[len - 1] == '*' ? len - 1 : len;
}

static bool path_matches(const char *pattern, const char *path)
{
    size_t len = pattern_len(pattern);
    return strncmp(pattern, path, len) == 0 && !pattern[len] == !path[len];
}

static void allow_add(char *out, size_t out_size, const char *method)
{
    size_t len = strlen(out);
    if (!strstr(out, method))
        snprintf(out + len, out_size - len, "%s%s", len ? ", " : "", method);
}

void http_route_allow(const struct http_route *routes, const char *path, char *out, size_t out_size)
{
    bool any = strcmp(path, "*") == 0;
    out[0] = '\0';
    for (const struct http_route *route = routes; route->method; route++) {
        if (route->unlisted || !(any || path_matches(route->path, path)))
            continue;
        allow_add(out, out_size, route->method);
        if (strcmp(route->method, "GET") == 0)
            allow_add(out, out_size, "HEAD");
    }
    if (out[0])
        allow_add(out, out_size, "OPTIONS");
}

static bool method_matches(const struct http_route *route, struct span method)
{
    return span_equals(method, route->method) ||
           (span_equals(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

/* RFC 9110 section 9.1: a method that nobody here knows is 501, one that has no place here 405. */
static bool method_known(struct span method)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_equals(method, known[i]))
            return true;
    return false;
}

/* Whether the path has a slash too many at its end. */
static bool slash_is_wrong(const struct http_route *routes, const char *path)
{
    size_t len = strlen(path);
    for (const struct http_route *route = routes; len > 1 && path[len - 1] == '/' && route->method; route++)
        if (strlen(route->path) == len - 1 && strncmp(route->path, path, len - 1) == 0)
            return true;
    return false;
}

/* No route takes the method: OPTIONS, a path that is not there, or one that is with other methods. */
static void route_refuse(const struct http_route *routes, const struct http_request *request,
                         struct http_exchange *exchange)
{
    const char *path = request->target->path;
    char allow[ALLOW_SIZE];
    char field[ALLOW_SIZE + sizeof "Allow: \r\n"];
    http_route_allow(routes, path, allow, sizeof allow);
    snprintf(field, sizeof field, "Allow: %s\r\n", allow);
    if (!method_known(request->head->method))
        http_answer_error(exchange, 501, NULL, "this server does not know the method %.*s",
                          (int)(request->head->method.len < 40 ? request->head->method.len : 40),
                          request->head->method.at);
    else if (!allow[0])
        http_answer_error(exchange, 404, NULL, "there is nothing at %.200s%s", path,
                          slash_is_wrong(routes, path) ? "; without the slash at its end there is" : "");
    else if (span_equals(request->head->method, "OPTIONS"))
        http_answer(exchange, 204, field, (struct span){0});
    else
        http_answer_error(exchange, 405, field, "%.200s takes %s", path, allow);
}

static const struct http_route *route_find(const struct http_route *routes, struct span method,
                                           const char *path)
{
    for (const struct http_route *route = routes; route->method; route++)
        if (method_matches(route, method) && path_matches(route->path, path))
            return route;
    return NULL;
}

struct http_ruling http_rule(const struct http_service *service, const struct http_head *head,
                             const struct http_target *target)
{
    const struct http_route *route = route_find(service->routes, head->method, target->path);
    return (struct http_ruling){route, http_guard_denies(service, route, head, target)};
}

void http_ruling_handle(const struct http_service *service, const struct http_ruling *ruling,
                        const struct http_request *request, struct http_exchange *exchange)
{
    const struct http_route *route = ruling->route;
    if (ruling->denial)
        http_deny(service, ruling->denial, request, exchange);
    else if (!route)
        route_refuse(service->routes, request, exchange);
    else
        route->handle(service->ctx, request, request->target->path + pattern_len(route->path), exchange);
}

int http_request_query(const struct http_request *request, const char *name, char *out, size_t out_size)
{
    struct span query = request->target->query;
    struct span field_name;
    struct span value;
    while (http_query_next(&query, &field_name, &value)) {
        if (!span_equals(field_name, name))
            continue;
        int len = http_query_decode(value, out, out_size);
        return len < 0 ? -2 : len;
    }
    return -1;
}
