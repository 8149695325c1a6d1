#include "http/exchange.h"
#include "json.h"
#include "logline.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPARES_MAX = 1024,   /* exchanges kept for reuse */
    SPARE_BUFFER = 1024, /* a kept one gives a larger buffer back */
    ERROR_SENTENCE = 512,
    SEND_TOGETHER = 60 /* answers in one call to the kernel */
};

struct http_exchange *exchange_new(struct http_conns *conns, struct http_conn *conn, const char *peer)
{
    struct http_exchange *exchange = conns->spare ? conns->spare : calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    if (exchange == conns->spare) {
        conns->spare = exchange->next;
        conns->spares--;
    }
    conns->answering += sizeof *exchange;
    exchange->next = NULL;
    exchange->conn = conn;
    exchange->conns = conns;
    exchange->waiter = NULL;
    exchange->note = NULL;
    exchange->ready = exchange->to_head = exchange->http10 = exchange->close = false;
    memcpy(exchange->peer, peer, sizeof exchange->peer);
    return exchange;
}

/* Keeps it for the next request, or frees it. */
static void exchange_free(struct http_exchange *exchange)
{
    struct http_conns *conns = exchange->conns;
    conns->answering -= sizeof *exchange + (exchange->ready ? exchange->out.head.cap : 0);
    if (conns->spares == SPARES_MAX || exchange->out.head.cap > SPARE_BUFFER) {
        outgoing_free(&exchange->out);
        free(exchange);
        return;
    }
    outgoing_clear(&exchange->out);
    exchange->next = conns->spare;
    conns->spare = exchange;
    conns->spares++;
}

void exchanges_free_spare(struct http_conns *conns)
{
    while (conns->spare) {
        struct http_exchange *exchange = conns->spare;
        conns->spare = exchange->next;
        outgoing_free(&exchange->out);
        free(exchange);
    }
    conns->spares = 0;
}

void http_exchange_waiter(struct http_exchange *exchange, void *waiter)
{
    exchange->waiter = waiter;
}

uint64_t http_exchange_connection(const struct http_exchange *exchange)
{
    return exchange->conn ? conn_number(exchange->conn) : 0;
}

const char *http_exchange_peer(const struct http_exchange *exchange)
{
    return exchange->peer;
}

/* ---- log lines at debug */

/* Takes what is in front of the first space, or all, off the front; the space, too. */
static void word_take(struct span *text, char out[HTTP_NOTED_MOST + 1])
{
    const char *space = text->len ? memchr(text->at, ' ', text->len) : NULL;
    size_t len = space ? (size_t)(space - text->at) : text->len;
    size_t kept = len < HTTP_NOTED_MOST ? len : HTTP_NOTED_MOST;
    for (size_t i = 0; i < kept; i++)
        out[i] = text->at[i] ? text->at[i] : '?';
    out[kept] = '\0';
    *text = span_after(*text, space ? len + 1 : len);
}

void exchange_note(struct http_exchange *exchange, struct span line)
{
    if (!logline_on(LOGLINE_DEBUG))
        return;
    struct request_note *note = exchange->note = calloc(1, sizeof *note);
    if (!note)
        return;
    note->began_us = clock_us();
    word_take(&line, note->method);
    word_take(&line, note->target);
}

static void note_tell(struct http_exchange *exchange, int status)
{
    struct request_note *note = exchange->note;
    int64_t tenths = (clock_us() - note->began_us + 50) / 100; /* of a millisecond */
    logline_event(LOGLINE_DEBUG, "request",
                  LOG_FIELDS(LOG_TEXT("method", note->method), LOG_TEXT("path", note->target),
                             LOG_TEXT("peer", exchange->peer), LOG_NUMBER("status", status),
                             LOG_NUMBER("ms", (double)tenths / 10)),
                  "%s%s%s from %s: %d after %" PRId64 ".%d ms%s%s",
                  note->method[0] ? note->method : "a request", note->target[0] ? " " : "", note->target,
                  exchange->peer, status, tenths / 10, (int)(tenths % 10), note->why[0] ? ": " : "",
                  note->why);
    free(note);
    exchange->note = NULL;
}

/* ---- answers */

static const char *date_now(struct http_conns *conns)
{
    int64_t now_ms = loop_now_ms(conns->loop);
    if (now_ms >= conns->date_until_ms) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        http_date(now.tv_sec, conns->date);
        conns->date_until_ms = now_ms + 1000 - now.tv_nsec / 1000000;
    }
    return conns->date;
}

static void answer_head(struct http_exchange *exchange, int status, const char *fields, uint64_t length)
{
    if (conns_stopping(exchange->conns) && !exchange->next && conn_end_behind(exchange->conn))
        exchange->close = true;
    const char *connection = exchange->close ? "Connection: close\r\n" : exchange->conns->keep_alive;
    char http10[64];
    if (exchange->http10 && !exchange->close) {
        snprintf(http10, sizeof http10, "Connection: keep-alive\r\n%s", connection);
        connection = http10;
    }
    http_write_response_head(&exchange->out.head, status, date_now(exchange->conns), length, connection,
                             fields);
}

void http_answer_source(struct http_exchange *exchange, int status, const char *fields, struct span before,
                        const struct http_source *source, const char *after)
{
    struct span end = span_of(after);
    struct outgoing *out = &exchange->out;
    if (exchange->note)
        note_tell(exchange, status);
    if (!exchange->conn) { /* the client has gone */
        exchange_free(exchange);
        return;
    }
    answer_head(exchange, status, fields, before.len + (source ? source->len : 0) + end.len);
    if (!exchange->to_head && http_status_has_body(status)) {
        buf_add_span(&out->head, before);
        if (source)
            out->source = *source;
        out->after = end;
    }
    exchange->ready = true;
    exchange->conns->answering += out->head.cap;
    conn_answered(exchange->conn, status);
}

void http_answer(struct http_exchange *exchange, int status, const char *fields, struct span body)
{
    http_answer_source(exchange, status, fields, body, NULL, "");
}

void http_answer_error(struct http_exchange *exchange, int status, const char *fields, const char *format,
                       ...)
{
    char sentence[ERROR_SENTENCE];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (exchange->note)
        snprintf(exchange->note->why, sizeof exchange->note->why, "%.255s", sentence);

    struct buf body = {0};
    buf_add_text(&body, "{\"error\":");
    json_quote_sentence(sentence, &body);
    buf_add_text(&body, "}\n");
    http_answer(exchange, status, fields, buf_span(&body));
    buf_free(&body);
}

void http_answer_json(struct http_exchange *exchange, int status, const char *fields, struct buf *body)
{
    buf_add_char(body, '\n');
    if (body->failed)
        http_answer_unavailable(exchange, "there is no memory for the answer");
    else
        http_answer(exchange, status, fields, buf_span(body));
    buf_free(body);
}

/* ---- the pipeline */

void pipeline_add(struct pipeline *pipeline, struct http_exchange *exchange)
{
    if (pipeline->first)
        pipeline->last->next = exchange;
    else
        pipeline->first = exchange;
    pipeline->last = exchange;
    pipeline->count++;
}

static struct http_exchange *pipeline_take(struct pipeline *pipeline)
{
    struct http_exchange *exchange = pipeline->first;
    pipeline->first = exchange->next;
    pipeline->count--;
    return exchange;
}

bool pipeline_is_ready(const struct pipeline *pipeline)
{
    return pipeline->first && pipeline->first->ready;
}

/* The answers that are ready, up to one that is not, or for which there was no memory. */
static int ready_list(const struct pipeline *pipeline, struct outgoing *list[SEND_TOGETHER])
{
    int count = 0;
    for (struct http_exchange *exchange = pipeline->first;
         exchange && exchange->ready && !exchange->out.head.failed && count < SEND_TOGETHER;
         exchange = exchange->next)
        list[count++] = &exchange->out;
    return count;
}

enum stream_verdict pipeline_send(struct pipeline *pipeline, struct stream *stream, struct stream_turn *turn)
{
    enum stream_verdict verdict = STREAM_SENT;
    while (verdict == STREAM_SENT && pipeline_is_ready(pipeline)) {
        struct outgoing *list[SEND_TOGETHER];
        int count = ready_list(pipeline, list);
        if (!count)
            return STREAM_BROKEN;
        verdict = stream_send(stream, list, count, turn);
        for (int i = 0; i < count && outgoing_done(list[i]); i++)
            exchange_free(pipeline_take(pipeline));
    }
    return verdict;
}

void pipeline_drop(struct pipeline *pipeline, const struct http_service *service)
{
    while (pipeline->first) {
        struct http_exchange *exchange = pipeline_take(pipeline);
        exchange->conn = NULL;
        if (exchange->ready)
            exchange_free(exchange);
        else if (exchange->waiter && service->gone)
            service->gone(service->ctx, exchange->waiter);
    }
}
