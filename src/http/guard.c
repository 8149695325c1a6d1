#include "http/guard.h"
#include "clock.h"
#include "http/exchange.h"
#include "logline.h"
#include <stdio.h>
#include <string.h>

enum { LINES_APART_MS = 1000, LINES_APART_MOST_MS = 60000 };

/* ---- hosts */

/* A host without its port. */
static struct span host_name(struct span host)
{
    const char *colon = host.len && host.at[0] != '[' ? memchr(host.at, ':', host.len) : NULL;
    return colon ? (struct span){host.at, (size_t)(colon - host.at)} : host;
}

/* No top-level domain is a number, so a name of digits and dots alone is an address. */
static bool is_address(struct span name)
{
    size_t i = 0;
    while (i < name.len && (name.at[i] == '.' || (name.at[i] >= '0' && name.at[i] <= '9')))
        i++;
    return i == name.len || name.at[0] == '[';
}

bool http_host_allowed(struct span host, const char *names)
{
    struct span name = host_name(host);
    struct span list = span_of(names);
    struct span one;
    if (is_address(name) || !memchr(name.at, '.', name.len))
        return true;
    while (http_list_next(&list, &one))
        if ((one.len == 1 && one.at[0] == '*') ||
            (one.len == name.len && strncasecmp(one.at, name.at, name.len) == 0))
            return true;
    return false;
}

/* ---- pages of other sites */

/* Whether an Origin field's value is the server's own, as the request calls it. */
static bool is_own_origin(struct span origin, struct span host)
{
    const char *scheme = span_starts_nocase(origin, "https://") ? "https://" : "http://";
    if (!host.len || !span_starts_nocase(origin, scheme))
        return false;
    origin = span_after(origin, strlen(scheme));
    return origin.len == host.len && strncasecmp(origin.at, host.at, origin.len) == 0;
}

/* Whether the page that sent the request is of the server's own origin, or no page sent it. */
static bool is_own_page(const struct http_head *head, struct span host)
{
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (span_equals_nocase(field->name, "Sec-Fetch-Site") && !span_equals(field->value, "same-origin") &&
            !span_equals(field->value, "none"))
            return false;
        if (span_equals_nocase(field->name, "Origin") && !is_own_origin(field->value, host))
            return false;
    }
    return true;
}

static bool changes_nothing(struct span method)
{
    return span_equals(method, "GET") || span_equals(method, "HEAD") || span_equals(method, "OPTIONS");
}

/* ---- types */

struct span http_type_alone(struct span value)
{
    size_t len = 0;
    while (len < value.len && value.at[len] != ';' && value.at[len] != ',' && value.at[len] > ' ')
        len++;
    return (struct span){value.at, len};
}

const struct http_denial *http_denies_all_but_json(const struct http_head *head)
{
    static const struct http_denial denial = {415, "Accept: application/json\r\n",
                                              "the body must have Content-Type: application/json"};
    const struct http_field *type = http_head_field(head, "Content-Type");
    bool has_body = head->framing == HTTP_FRAMING_CHUNKED || head->content_length > 0;
    return !has_body || !type || span_equals_nocase(http_type_alone(type->value), "application/json")
               ? NULL
               : &denial;
}

/* ---- all of it */

/* The host that is asked: a target in absolute-form goes before Host (RFC 9112 section 3.2.2). Empty where
 * none is named. */
static struct span host_asked(const struct http_head *head, const struct http_target *target)
{
    const struct http_field *host = http_head_field(head, "Host");
    if (target->authority.len)
        return target->authority;
    return host ? host->value : (struct span){0};
}

const struct http_denial *http_guard_denies(const struct http_service *service,
                                            const struct http_route *route, const struct http_head *head,
                                            const struct http_target *target)
{
    static const struct http_denial other_host = {421, NULL,
                                                  "this node is not called by the name in Host (or in the "
                                                  "target); ALLOWED_HOSTS sets the names that it takes"};
    static const struct http_denial other_site = {403, NULL,
                                                  "a web page of another site must not change anything here"};
    static const struct http_denial no_token = {
        401, "WWW-Authenticate: Bearer\r\n",
        "this needs the field Authorization: Bearer with the cluster's token"};
    struct span host = host_asked(head, target);
    if (host.len && service->guard && !http_host_allowed(host, service->guard->hosts))
        return &other_host;
    if (!changes_nothing(head->method) && !is_own_page(head, host))
        return &other_site;
    const struct http_denial *closed =
        service->closed && !(route && route->always) ? service->closed(service->ctx) : NULL;
    if (closed)
        return closed;
    if (route && route->token && service->admits && !service->admits(service->ctx, head))
        return &no_token;
    return route && route->denies ? route->denies(head) : NULL;
}

/* Whether a line may come: at once, then a second later, and twice as long after each, up to a minute. */
static bool line_is_due(struct http_denials *denials, int64_t now_ms)
{
    int64_t since_ms = now_ms - denials->told_ms;
    if (denials->apart_ms && since_ms < denials->apart_ms)
        return false;
    bool calm = !denials->apart_ms || since_ms >= LINES_APART_MOST_MS + denials->apart_ms;
    denials->apart_ms = calm ? LINES_APART_MS : denials->apart_ms * 2;
    if (denials->apart_ms > LINES_APART_MOST_MS)
        denials->apart_ms = LINES_APART_MOST_MS;
    denials->told_ms = now_ms;
    return true;
}

/* Somebody who tries tokens, or a secondary with a wrong one, would fill the log. */
static void log_denial(struct http_denials *denials, const struct http_denial *denial,
                       const struct http_request *request, const char *peer)
{
    const char *why = denial->status == 401 ? "the token is wrong or missing" : denial->why;
    char untold[48] = "";
    char method[20];
    char path[HTTP_NOTED_MOST + 1];
    if (!line_is_due(denials, clock_ms())) {
        denials->untold++;
        return;
    }
    if (denials->untold)
        snprintf(untold, sizeof untold, "; and %u more since the last line", denials->untold);
    if (!span_copy(request->head->method, method, sizeof method))
        snprintf(method, sizeof method, "a method");
    snprintf(path, sizeof path, "%.*s", (int)request->head->target.len, request->head->target.at);
    logline_event(LOGLINE_WARN, "refused",
                  LOG_FIELDS(LOG_TEXT("peer", peer), LOG_TEXT("method", method), LOG_TEXT("path", path),
                             LOG_NUMBER("status", denial->status)),
                  "%s: %s %s is refused with %d: %s%s", peer, method, path, denial->status, why, untold);
    denials->untold = 0;
}

static enum http_refused denial_refusal(const struct http_denial *denial)
{
    switch (denial->status) {
    case 421:
        return HTTP_REFUSED_HOST;
    case 403:
        return HTTP_REFUSED_SITE;
    case 401:
        return HTTP_REFUSED_TOKEN;
    case 503:
        return HTTP_REFUSED_CLOSED;
    default:
        return HTTP_REFUSED_TYPE;
    }
}

void http_deny(const struct http_service *service, const struct http_denial *denial,
               const struct http_request *request, struct http_exchange *exchange)
{
    http_exchange_counters(exchange)->refused[denial_refusal(denial)]++;
    if (service->guard && (denial->status == 401 || denial->status == 403))
        log_denial(denial->status == 401 ? &service->guard->unauthorized : &service->guard->forbidden, denial,
                   request, http_exchange_peer(exchange));
    http_answer_error(exchange, denial->status, denial->fields, "%s", denial->why);
}
