/* http_answer… and http_exchange_… over the simulated network: requests are handed to the service's routes,
 * and answers leave in the order of the requests. */
#include "buf.h"
#include "conn.h"
#include "http/router.h"
#include "http/shares.h"
#include "json.h"
#include "world.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_exchange {
    struct http_exchange *next;
    struct conn *conn; /* NULL: a peek, or the process is dead */
    struct proc *proc;
    const struct message *message;
    struct buf *peek;
    struct http_waiter *waiter;
    bool answered, gone;
    int status;
    struct span body;
    char peer[32];
};

/* ---- requests */

/* Splits "Name: value" lines. */
static void fields_split(struct http_head *head, const char *text)
{
    while (*text) {
        const char *colon = strchr(text, ':');
        const char *end = strstr(text, "\r\n");
        assert(colon && end && head->field_count < HTTP_FIELDS_MAX);
        head->fields[head->field_count++] =
            (struct http_field){{text, (size_t)(colon - text)}, {colon + 2, (size_t)(end - colon - 2)}};
        text = end + 2;
    }
}

static void head_fill(struct http_head *head, const struct message *message)
{
    head->method = span_of(message->method);
    head->target = span_of(message->target);
    head->status = 0;
    head->minor = 1;
    head->field_count = 0;
    head->framing = HTTP_FRAMING_LENGTH;
    head->content_length = message->body.len;
    head->keep_alive = true;
    head->expect_continue = false;
    fields_split(head, message->fields);
}

static void request_handle(struct proc *proc, struct http_exchange *exchange)
{
    struct http_head head;
    struct http_target target;
    const char *why;
    head_fill(&head, exchange->message);
    int status = http_target_parse(head.method, head.target, &target, &why);
    assert(status == 0);
    (void)status;
    const struct http_request request = {.head = &head, .target = &target, .body = exchange->message->body};
    const struct http_ruling ruling = http_rule(&proc->service, &head, &target);
    http_ruling_handle(&proc->service, &ruling, &request, exchange);
}

void exchange_take(struct conn *conn, const struct message *message)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    struct http_exchange **end = &conn->exchanges;
    exchange->conn = conn;
    exchange->proc = conn->far;
    exchange->message = message;
    snprintf(exchange->peer, sizeof exchange->peer, "10.0.0.%d:%u", conn->from + 1, 10000 + conn->number);
    while (*end)
        end = &(*end)->next;
    *end = exchange;
    conn->begun = NULL;
    if (message->tag)
        network_rules()->arrived(conn->far, message->tag);
    request_handle(conn->far, exchange);
}

struct buf network_peek(struct proc *proc, const char *target)
{
    struct buf body = {0};
    const struct message message = {.method = "GET", .target = target, .fields = ""};
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    exchange->proc = proc;
    exchange->peek = &body;
    exchange->message = &message;
    request_handle(proc, exchange);
    return body;
}

/* ---- a request that comes in pieces */

static void interim_send(struct conn *conn, const struct message *request, int status)
{
    if (!conn->exchanges)
        conn_send(conn, &(struct message){
                            .kind = MESSAGE_INTERIM, .way = CONN_BACK, .status = status, .request = request});
}

void exchange_begin(struct conn *conn, const struct message *message)
{
    struct http_head head;
    struct http_target target;
    const char *why;
    const struct http_service *service = &conn->far->service;
    head_fill(&head, message);
    if (!service->watches_body || http_target_parse(head.method, head.target, &target, &why) != 0)
        return;
    conn->begun = message;
    conn->mark = service->watches_body(service->ctx, &head, &target);
    exchange_more(conn);
}

void exchange_more(struct conn *conn)
{
    const struct http_service *service = &conn->far->service;
    if (conn->begun && conn->mark && service->body_came(service->ctx, conn->mark) > 0)
        interim_send(conn, conn->begun, 100);
}

/* ---- answers */

static void exchange_unlink(struct http_exchange *exchange)
{
    struct http_exchange **at = &exchange->conn->exchanges;
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
}

static void answers_send(struct conn *conn)
{
    while (conn->exchanges && conn->exchanges->answered) {
        struct http_exchange *exchange = conn->exchanges;
        conn->exchanges = exchange->next;
        conn_send(conn, &(struct message){.kind = MESSAGE_ANSWER,
                                          .way = CONN_BACK,
                                          .status = exchange->status,
                                          .body = exchange->body,
                                          .request = exchange->message});
        free(exchange);
    }
}

static void exchange_tell(const struct http_exchange *exchange, int status, struct span body)
{
    const struct answer answer = {.proc = exchange->proc,
                                  .method = exchange->message->method,
                                  .target = exchange->message->target,
                                  .request = exchange->message->body,
                                  .tag = exchange->message->tag,
                                  .status = status,
                                  .body = body,
                                  .gone = exchange->gone};
    network_rules()->answered(&answer);
}

static void exchange_answer(struct http_exchange *exchange, int status, struct span body)
{
    assert(!exchange->answered);
    if (exchange->peek) {
        buf_add_span(exchange->peek, body);
        free(exchange);
    } else if (!exchange->conn) {
        free(exchange);
    } else {
        exchange_tell(exchange, status, body);
        exchange->answered = true;
        exchange->status = status;
        exchange->body = (struct span){world_copy(body.at, body.len), body.len};
        if (exchange->gone) {
            exchange_unlink(exchange);
            free(exchange);
        } else {
            answers_send(exchange->conn);
        }
    }
}

void http_answer(struct http_exchange *exchange, int status, const char *fields, struct span body)
{
    (void)fields;
    exchange_answer(exchange, status, body);
}

void http_answer_error(struct http_exchange *exchange, int status, const char *fields, const char *format,
                       ...)
{
    char sentence[512];
    struct buf body = {0};
    va_list args;
    (void)fields;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    buf_add_text(&body, "{\"error\":");
    json_quote(span_of(sentence), &body);
    buf_add_char(&body, '}');
    exchange_answer(exchange, status, buf_span(&body));
    buf_free(&body);
}

void http_answer_json(struct http_exchange *exchange, int status, const char *fields, struct buf *body)
{
    (void)fields;
    assert(!body->failed);
    exchange_answer(exchange, status, buf_span(body));
    buf_free(body);
}

void http_answer_source(struct http_exchange *exchange, int status, const char *fields, struct span before,
                        const struct http_source *source, const char *after)
{
    struct buf body = {0};
    struct http_source rest = *source;
    (void)fields;
    buf_add_span(&body, before);
    while (rest.len) {
        struct iovec iov;
        rest.pieces(rest.state, &iov, 1);
        buf_add(&body, iov.iov_base, iov.iov_len);
        rest.skip(rest.state, iov.iov_len);
        rest.len -= iov.iov_len;
    }
    buf_add_text(&body, after);
    exchange_answer(exchange, status, buf_span(&body));
    buf_free(&body);
}

/* Nobody here asks for a stream. */
bool http_stream_begin(struct http_exchange *exchange, const char *fields)
{
    http_answer(exchange, 200, fields, (struct span){0});
    return false;
}

void http_stream_send(struct http_exchange *exchange, const struct buf *text,
                      const struct http_source *source)
{
    (void)exchange;
    (void)text;
    (void)source;
    abort();
}

bool http_stream_has_room(const struct http_exchange *exchange)
{
    (void)exchange;
    return true;
}

void http_stream_end(struct http_exchange *exchange)
{
    (void)exchange;
    abort();
}

void http_interim(struct http_exchange *exchange, int status)
{
    struct conn *conn = exchange->conn;
    if (conn && conn->exchanges == exchange && !exchange->gone)
        conn_send(conn, &(struct message){.kind = MESSAGE_INTERIM,
                                          .way = CONN_BACK,
                                          .status = status,
                                          .request = exchange->message});
}

void http_exchange_waiter(struct http_exchange *exchange, struct http_waiter *waiter)
{
    exchange->waiter = waiter;
}

bool http_exchange_is_first(const struct http_exchange *exchange)
{
    return exchange->conn && exchange->conn->exchanges == exchange;
}

uint64_t http_exchange_connection(const struct http_exchange *exchange)
{
    return exchange->conn ? exchange->conn->number : 0;
}

const char *http_exchange_peer(const struct http_exchange *exchange)
{
    return exchange->peer;
}

uint64_t http_exchange_address(const struct http_exchange *exchange)
{
    return shares_address(http_exchange_peer(exchange));
}

struct http_counters *http_exchange_counters(const struct http_exchange *exchange)
{
    static struct http_counters none;
    (void)exchange;
    return &none;
}

/* ---- clients that go, and processes that die */

void exchanges_gone(struct conn *conn)
{
    const struct http_service *service = &conn->far->service;
    struct http_exchange *exchange = conn->exchanges;
    struct http_exchange *next;
    for (; exchange; exchange = next) {
        next = exchange->next;
        if (exchange->gone)
            continue;
        exchange->gone = true;
        if (exchange->answered) {
            exchange_unlink(exchange);
            free(exchange);
        } else if (exchange->waiter) {
            exchange->waiter->gone(exchange->waiter);
        }
    }
    if (service->ended)
        service->ended(service->ctx, conn->number);
}

void exchanges_orphan(struct conn *conn)
{
    struct http_exchange *exchange = conn->exchanges;
    struct http_exchange *next;
    conn->exchanges = NULL;
    for (; exchange; exchange = next) {
        next = exchange->next;
        exchange->conn = NULL;
        if (exchange->answered)
            free(exchange);
    }
}
