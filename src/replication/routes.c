/* What a node answers: a handler for each kind of request, and the rows that name them. */
#include "clock.h"
#include "exposition.h"
#include "http/accept.h"
#include "http/router.h"
#include "replication/append_request.h"
#include "replication/metrics.h"
#include "replication/node_private.h"
#include "replication/pending.h"
#include "ui/ui.h"
#include <stdlib.h>
#include <string.h>

enum {
    SEND_EARLY_BYTES =
        256 * 1024 /* of messages: the members begin with them while the loop still reads others */
};

/* ---- appends and reads */

/* Whether it is stopping; the exchange is answered then. */
static bool refuse_stopping(struct node *node, struct http_exchange *exchange)
{
    if (atomic_load(&node->stop_by_ms) == CLOCK_NEVER)
        return false;
    http_answer_unavailable(exchange, "the %s is shutting down", node->members ? "master" : "secondary");
    return true;
}

static void handle_append(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    if (refuse_stopping(node, exchange))
        return;
    node_notice_pause(node, clock_ms());
    append_post(node->append, request, exchange);
    if (append_unannounced_bytes(node->append) >= SEND_EARLY_BYTES)
        node_send(node, clock_ms());
}

static void handle_list(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    if (!node->follow || !follow_misdirected(node->follow, request, exchange))
        tail_list(node->tail, node_shown(node), request, exchange);
}

static void handle_message(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    struct node *node = ctx;
    char w[32];
    if (node->append && http_request_query(request, "w", w, sizeof w) != -1)
        append_wait(node->append, request, rest, exchange);
    else
        tail_message(node->tail, node_shown(node), request, rest, exchange);
}

/* ---- the page */

static void handle_file(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    const struct ui_file *file = ui_file(request->target->path);
    (void)ctx;
    (void)rest;
    http_answer_source(exchange, 200, file->fields, (struct span){0}, NULL, file->text);
}

/* At / a browser gets the page, and everybody else the list. */
static void handle_root(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    static const char *const types[] = {"application/json", "text/html", "application/x-ndjson",
                                        "text/event-stream"};
    const struct ui_file *page = ui_file(UI_PAGE);
    if (http_accept(request->head, types, 4) == 1)
        http_answer_source(exchange, 200, page->fields, (struct span){0}, NULL, page->text);
    else
        handle_list(ctx, request, rest, exchange);
}

/* ---- how it is */

static void handle_health(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct health health = node_health(ctx);
    struct buf body = {0};
    (void)request;
    (void)rest;
    health_write(&health, clock_ms(), &body);
    http_answer_json(exchange, 200, HTTP_NO_STORE, &body);
}

static void handle_events(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct node *node = ctx;
    struct health health = node_health(node);
    struct buf at = {0};
    (void)request;
    (void)rest;
    health_write(&health, clock_ms(), &at);
    events_begin(node->base.events, &at, exchange);
    buf_free(&at);
}

static void handle_ready(void *ctx, const struct http_request *request, const char *rest,
                         struct http_exchange *exchange)
{
    struct health health = node_health(ctx);
    struct buf body = {0};
    (void)request;
    (void)rest;
    bool ready = health_write_ready(&health, &body);
    http_answer_json(exchange, ready ? 200 : 503, HTTP_NO_STORE, &body);
}

static void handle_live(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct buf body = {0};
    (void)ctx;
    (void)request;
    (void)rest;
    buf_add_text(&body, "{\"status\":\"alive\"}");
    http_answer_json(exchange, 200, HTTP_NO_STORE, &body);
}

static void handle_pending(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    pending_answer(&node->base, node->members, node->append, request, exchange);
}

static void handle_metrics(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    const struct node *node = ctx;
    struct health health = node_health(node);
    struct metrics metrics = {.health = &health,
                              .append = node->append,
                              .http = http_exchange_counters(exchange),
                              .followers = tail_count(node->tail),
                              .started_us = node->started_us};
    struct buf body = {0};
    (void)request;
    (void)rest;
    metrics_write(&metrics, clock_us(), &body);
    if (body.failed)
        http_answer_unavailable(exchange, "there is no memory for the answer");
    else
        http_answer(exchange, 200, EXPOSITION_TYPE HTTP_NO_STORE, buf_span(&body));
    buf_free(&body);
}

/* ---- calls between nodes */

static void handle_register(void *ctx, const struct http_request *request, const char *rest,
                            struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    if (!refuse_stopping(node, exchange))
        admission_register(node->admission, request, exchange);
}

static void handle_remove(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct node *node = ctx;
    char boot[WIRE_NAME_SIZE] = "";
    if (refuse_stopping(node, exchange))
        return;
    if (http_request_query(request, "boot", boot, sizeof boot) == -2)
        http_answer_error(exchange, 400, NULL, "boot names a process by 1 to 71 bytes");
    else
        admission_remove(node->admission, rest, boot, exchange);
}

static void handle_replicate(void *ctx, const struct http_request *request, const char *rest,
                             struct http_exchange *exchange)
{
    struct node *node = ctx;
    uint64_t connection = http_exchange_connection(exchange); /* before it is answered */
    (void)rest;
    if (refuse_stopping(node, exchange))
        return;
    enum follow_sender sender = follow_replicate(node->follow, request, exchange);
    registrar_heard(node->registrar, sender, connection);
    if (sender == FOLLOW_MASTER && !request->head->keep_alive)
        registrar_farewell(node->registrar);
}

static void handle_elsewhere(void *ctx, const struct http_request *request, const char *rest,
                             struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)request;
    (void)rest;
    http_answer_error(exchange, 405, "Allow: GET, HEAD, OPTIONS\r\n",
                      "a secondary takes no messages: POST goes to the master, which this node knows as %s",
                      node->base.settings->master_url);
}

/* ---- the routes */

static uint64_t limit_append(void *ctx, const struct http_head *head)
{
    struct node *node = ctx;
    return append_body_limit(node->append, head);
}

static uint64_t limit_replicate(void *ctx, const struct http_head *head)
{
    struct node *node = ctx;
    (void)head;
    return follow_body_limit(node->follow);
}

const struct http_route routes_master[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST",
     .path = "/messages",
     .handle = handle_append,
     .body_limit = limit_append,
     .denies = append_denies},
    {.method = "GET", .path = "/", .handle = handle_root},
    {.method = "GET", .path = UI_PAGE, .handle = handle_file},
    {.method = "GET", .path = "/ui.js", .handle = handle_file},
    {.method = "GET", .path = "/ui.css", .handle = handle_file},
    {.method = "POST",
     .path = "/",
     .handle = handle_append,
     .body_limit = limit_append,
     .denies = append_denies},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "GET", .path = "/events", .handle = handle_events},
    {.method = "GET", .path = "/readyz", .handle = handle_ready},
    {.method = "GET", .path = "/livez", .handle = handle_live, .always = true},
    {.method = "GET", .path = "/pending", .handle = handle_pending},
    {.method = "GET", .path = "/metrics", .handle = handle_metrics},
    {.method = "GET", .path = "/openapi.json", .handle = handle_file},
    {.method = "POST",
     .path = "/register",
     .handle = handle_register,
     .token = true,
     .denies = http_denies_all_but_json},
    {.method = "DELETE", .path = "/secondaries/*", .handle = handle_remove, .token = true},
    {0},
};

const struct http_route routes_secondary[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST", .path = "/messages", .handle = handle_elsewhere, .at_head = true, .unlisted = true},
    {.method = "GET", .path = "/", .handle = handle_root},
    {.method = "GET", .path = UI_PAGE, .handle = handle_file},
    {.method = "GET", .path = "/ui.js", .handle = handle_file},
    {.method = "GET", .path = "/ui.css", .handle = handle_file},
    {.method = "POST", .path = "/", .handle = handle_elsewhere, .at_head = true, .unlisted = true},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "GET", .path = "/events", .handle = handle_events},
    {.method = "GET", .path = "/readyz", .handle = handle_ready},
    {.method = "GET", .path = "/livez", .handle = handle_live, .always = true},
    {.method = "GET", .path = "/metrics", .handle = handle_metrics},
    {.method = "GET", .path = "/openapi.json", .handle = handle_file},
    {.method = "POST",
     .path = "/replicate",
     .handle = handle_replicate,
     .body_limit = limit_replicate,
     .token = true,
     .denies = http_denies_all_but_json},
    {0},
};
