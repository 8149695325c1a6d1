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
    exchange->ready = exchange->streams = exchange->to_head = exchange->http10 = exchange->close = false;
    memcpy(exchange->peer, peer, sizeof exchange->peer);
    return exchange;
}

/* There is something to send. */
static void exchange_is_ready(struct http_exchange *exchange, int status)
{
    exchange->ready = true;
    exchange->conns->answering += exchange->out.head.cap;
    conn_answered(exchange->conn, status);
}

static void exchange_is_sent(struct http_exchange *exchange)
{
    if (exchange->ready)
        exchange->conns->answering -= exchange->out.head.cap;
    exchange->ready = false;
}

/* Keeps it for the next request, or frees it. */
static void exchange_free(struct http_exchange *exchange)
{
    struct http_conns *conns = exchange->conns;
    exchange_is_sent(exchange);
    conns->answering -= sizeof *exchange;
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

void http_exchange_waiter(struct http_exchange *exchange, struct http_waiter *waiter)
{
    exchange->waiter = waiter;
}

bool http_stream_has_room(const struct http_exchange *exchange)
{
    return exchange->conns->answering < exchange->conns->answering_limit / 2;
}

uint64_t http_exchange_connection(const struct http_exchange *exchange)
{
    return exchange->conn ? conn_number(exchange->conn) : 0;
}

const char *http_exchange_peer(const struct http_exchange *exchange)
{
    return exchange->peer;
}

void exchange_count_for(struct http_exchange *exchange, const struct http_route *route)
{
    const struct http_route *routes = exchange->conns->service->routes;
    bool counted = route && route - routes < HTTP_ROUTES_MAX;
    exchange->answers = exchange->conns->counters.answers[counted ? route - routes + 1 : 0];
}

struct http_counters *http_exchange_counters(const struct http_exchange *exchange)
{
    struct http_conns *conns = exchange->conns;
    conns->counters.routes = conns->service->routes;
    conns->counters.connections = conns->numbered;
    conns->counters.open = (unsigned)conns->open;
    return &conns->counters;
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
    exchange->answers[status]++;
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
    exchange_is_ready(exchange, status);
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

/* ---- answers in pieces */

static const char chunk_end[] = "\r\n" /* of every chunk; and the last one, which is empty: */
                                "0\r\n\r\n";
enum { CHUNK_END = 2, LAST_CHUNK = sizeof chunk_end - 1 - CHUNK_END };

bool http_stream_begin(struct http_exchange *exchange, const char *fields)
{
    if (exchange->note)
        note_tell(exchange, 200);
    if (!exchange->conn) { /* the client has gone */
        exchange_free(exchange);
        return false;
    }
    if (exchange->http10) {
        exchange->close = true;
        conn_take_no_more(exchange->conn);
    }
    answer_head(exchange, 200, fields, exchange->http10 ? HTTP_LENGTH_CLOSE : HTTP_LENGTH_CHUNKED);
    exchange_is_ready(exchange, 200);
    exchange->streams = !exchange->to_head;
    return exchange->streams;
}

void http_stream_send(struct http_exchange *exchange, const struct buf *text,
                      const struct http_source *source)
{
    struct outgoing *out = &exchange->out;
    if (!exchange->conn)
        return;
    exchange_is_sent(exchange); /* the head of the answer may be there still, and grows */
    if (!exchange->http10) {
        buf_addf(&out->head, "%" PRIx64 "\r\n", text->len + (source ? source->len : 0));
        out->after = (struct span){chunk_end, CHUNK_END};
    }
    buf_add_span(&out->head, buf_span(text));
    out->head.failed = out->head.failed || text->failed;
    if (source)
        out->source = *source;
    exchange_is_ready(exchange, 200);
}

void http_stream_end(struct http_exchange *exchange)
{
    struct span *after = &exchange->out.after;
    exchange->streams = false;
    if (!exchange->conn) {
        exchange_free(exchange);
        return;
    }
    if (!after->len)
        after->at = chunk_end + CHUNK_END;
    if (!exchange->http10)
        after->len += LAST_CHUNK;
    exchange_is_sent(exchange);
    exchange_is_ready(exchange, 200);
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

/* The answers that are ready, up to one that is not, or not all of it, or for which there was no memory; and
 * up to the last one of the connection. */
static int ready_list(const struct pipeline *pipeline, struct outgoing *list[SEND_TOGETHER])
{
    int count = 0;
    for (struct http_exchange *exchange = pipeline->first;
         exchange && exchange->ready && !exchange->out.head.failed && count < SEND_TOGETHER;
         exchange = exchange->streams || exchange->close ? NULL : exchange->next)
        list[count++] = &exchange->out;
    return count;
}

/* What there was of an answer that streams has been sent. */
static void piece_sent(struct http_exchange *exchange)
{
    exchange_is_sent(exchange);
    if (exchange->out.head.cap > SPARE_BUFFER)
        outgoing_free(&exchange->out);
    else
        outgoing_clear(&exchange->out);
    exchange->conns->told = true;
    exchange->waiter->sent(exchange->waiter);
}

/* The first answer has been sent, or its piece. Behind one that ends with the connection nothing can follow.
 */
static void first_sent(struct pipeline *pipeline)
{
    bool last = pipeline->first->close;
    if (pipeline->first->streams) {
        piece_sent(pipeline->first);
        return;
    }
    exchange_free(pipeline_take(pipeline));
    if (last)
        pipeline_drop(pipeline);
}

enum stream_verdict pipeline_send(struct pipeline *pipeline, struct stream *stream, struct stream_turn *turn)
{
    struct outgoing *list[SEND_TOGETHER];
    int count = ready_list(pipeline, list);
    if (!pipeline_is_ready(pipeline))
        return STREAM_SENT;
    return count ? stream_send(stream, list, count, turn) : STREAM_BROKEN;
}

void pipeline_settle(struct pipeline *pipeline)
{
    while (pipeline_is_ready(pipeline) && !pipeline->first->out.head.failed &&
           outgoing_done(&pipeline->first->out))
        first_sent(pipeline);
}

void pipeline_end(struct pipeline *pipeline)
{
    struct http_exchange *first = pipeline->first;
    if (!first || !first->streams || !first->waiter->ended)
        return;
    first->conns->told = true;
    first->waiter->ended(first->waiter);
}

void pipeline_drop(struct pipeline *pipeline)
{
    while (pipeline->first) {
        struct http_exchange *exchange = pipeline_take(pipeline);
        exchange->conn = NULL;
        if (exchange->ready && !exchange->streams)
            exchange_free(exchange);
        else if (exchange->waiter)
            exchange->waiter->gone(exchange->waiter);
    }
}
