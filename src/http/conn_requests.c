#include "http/conn_state.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READ_LEAST = 16 * 1024,
    READ_MOST = 256 * 1024,
    TURN_REQUESTS = 256, /* taken of a connection before the others have their turn */
    SEND_EARLY = 64      /* so many answers do not wait for the end of the pass */
};

void conn_release_in(struct http_conn *conn)
{
    conn->shared->buffered -= conn->in.cap;
    buf_free(&conn->in);
}

static struct http_exchange *conn_add_exchange(struct http_conn *conn)
{
    struct http_exchange *exchange = exchange_new(conn->shared, conn, conn->peer);
    if (!exchange) {
        conn_close(conn);
        return NULL;
    }
    if (conn->last && conn->first)
        conn->last->next = exchange;
    else
        conn->first = exchange;
    conn->last = exchange;
    conn->exchanges++;
    return exchange;
}

/* Whether a request that begins with these bytes, and need not be a good one, is HEAD. */
static bool bytes_ask_head(struct span in)
{
    while (in.len && (in.at[0] == '\r' || in.at[0] == '\n'))
        in = (struct span){in.at + 1, in.len - 1};
    return in.len >= 5 && memcmp(in.at, "HEAD ", 5) == 0;
}

/* Answers the request that begins with `in` and cannot be served, and ends the connection behind it: where
 * the next request would start is not known, or not wanted. */
void conn_refuse(struct http_conn *conn, struct span in, int status, const char *why)
{
    struct http_exchange *exchange = conn_add_exchange(conn);
    if (!exchange)
        return;
    conn->state = CONN_ENDING;
    conn->receiving.owes_continue = false;
    exchange->close = true;
    exchange->to_head = bytes_ask_head(in);
    if (status == 503)
        http_answer_unavailable(exchange, "%s", why);
    else
        http_answer_error(exchange, status, NULL, "%s", why);
}

enum step {
    STEP_MORE,  /* the request is not complete */
    STEP_READY, /* it is */
    STEP_OVER   /* it was refused */
};

static enum step body_too_long(struct http_conn *conn, struct span in)
{
    char why[80];
    snprintf(why, sizeof why, "the body is longer than the %" PRIu64 " bytes that are taken here",
             conn->receiving.limit);
    conn_refuse(conn, in, 413, why);
    return STEP_OVER;
}

static enum step body_begin(struct http_conn *conn, struct span in, const struct http_head *head,
                            const struct http_target *target)
{
    struct receiving *receiving = &conn->receiving;
    const struct http_service *service = conn->shared->service;
    receiving->head_done = true;
    receiving->head_len = head->len;
    receiving->need = head->framing == HTTP_FRAMING_CHUNKED ? 0 : head->len;
    receiving->raw = head->len;
    if (head->framing == HTTP_FRAMING_NONE)
        return STEP_READY;
    receiving->limit = service->body_limit(service->ctx, head, target);
    receiving->owes_continue = head->expect_continue;
    if (head->framing == HTTP_FRAMING_LENGTH) {
        if (head->content_length > receiving->limit)
            return body_too_long(conn, in);
        receiving->need += (size_t)head->content_length;
    }
    return STEP_READY;
}

/* Decodes, in place, what came in of a chunked body. Where it is not complete, nothing is left behind the
 * decoded bytes, and *len says so. */
static enum step body_decode(struct http_conn *conn, char *bytes, size_t *len)
{
    struct receiving *receiving = &conn->receiving;
    size_t used = 0;
    size_t decoded = 0;
    enum http_parse parsed =
        http_chunked_decode(&receiving->chunked, bytes + receiving->raw, *len - receiving->raw, &used,
                            bytes + receiving->head_len + receiving->body_len, &decoded);
    receiving->raw += used;
    receiving->body_len += decoded;
    if (parsed == HTTP_PARSE_BAD) {
        conn_refuse(conn, (struct span){bytes, *len}, 400, "the chunked body is malformed");
        return STEP_OVER;
    }
    if (receiving->body_len > receiving->limit)
        return body_too_long(conn, (struct span){bytes, *len});
    if (parsed == HTTP_PARSE_DONE)
        return STEP_READY;
    *len = receiving->raw = receiving->head_len + receiving->body_len;
    return STEP_MORE;
}

/* Whether the body is there, as far as it can be told from the bytes that are. */
static enum step body_take(struct http_conn *conn, char *bytes, size_t *len)
{
    if (!conn->receiving.need)
        return body_decode(conn, bytes, len);
    return *len < conn->receiving.need ? STEP_MORE : STEP_READY;
}

/* More of a request that is not complete has come. */
static void body_tell(struct http_conn *conn)
{
    const struct http_service *service = conn->shared->service;
    struct receiving *receiving = &conn->receiving;
    int64_t now_ms = loop_now_ms(conn->shared->loop);
    if (!receiving->watched)
        return;
    int64_t pause_ms = service->body_came(service->ctx, receiving->watched);
    if (!pause_ms || now_ms < receiving->tell_ms || conn->first || conn->interim.len)
        return;
    receiving->tell_ms = now_ms + pause_ms;
    receiving->owes_continue = false;
    conn_add_interim(conn, 100);
}

static enum step head_parse(struct http_conn *conn, struct span in, struct http_head *head,
                            struct http_target *target)
{
    struct http_refusal refusal;
    switch (http_parse_request(in, &conn->receiving.scanned, head, &refusal)) {
    case HTTP_PARSE_MORE:
        return STEP_MORE;
    case HTTP_PARSE_BAD:
        conn_refuse(conn, in, refusal.status, refusal.text);
        return STEP_OVER;
    case HTTP_PARSE_DONE:
        break;
    }
    const char *why = NULL;
    int status = http_target_parse(head->method, head->target, target, &why);
    if (status == 0)
        return STEP_READY;
    conn_refuse(conn, in, status, why);
    return STEP_OVER;
}

static void request_dispatch(struct http_conn *conn, const struct http_head *head,
                             const struct http_target *target, struct span body)
{
    struct http_exchange *exchange = conn_add_exchange(conn);
    if (!exchange)
        return;
    exchange->to_head = span_equals(head->method, "HEAD");
    exchange->http10 = head->minor == 0;
    exchange->close = !head->keep_alive;
    if (exchange->close)
        conn->state = CONN_ENDING;
    const struct http_request request = {
        .head = head, .target = target, .body = body, .peer = exchange->peer};
    const struct http_service *service = conn->shared->service;
    service->handle(service->ctx, &request, exchange);
}

/* Takes one whole request off the front and hands it to the service. Returns its length, 0 where it is not
 * complete or was refused: then *len is how many of the bytes are still needed. The head is parsed when it is
 * complete and once more when its body is: that is cheaper for the usual request, which comes in one piece,
 * than keeping the parsed head of each connection.
 */
static size_t request_take(struct http_conn *conn, char *bytes, size_t *len)
{
    struct receiving *receiving = &conn->receiving;
    const struct http_service *service = conn->shared->service;
    enum step step = receiving->head_done ? body_take(conn, bytes, len) : STEP_READY;
    if (step == STEP_MORE)
        body_tell(conn);
    if (step != STEP_READY)
        return 0;

    struct http_head head;
    struct http_target target;
    if (receiving->head_done)
        receiving->scanned = 0;
    if (head_parse(conn, (struct span){bytes, receiving->head_done ? receiving->head_len : *len}, &head,
                   &target) != STEP_READY)
        return 0;
    if (!receiving->head_done) {
        struct span in = {bytes, *len};
        if (body_begin(conn, in, &head, &target) != STEP_READY)
            return 0;
        step = body_take(conn, bytes, len);
        if (step == STEP_MORE && service->watches_body) {
            receiving->watched = service->watches_body(service->ctx, &head, &target);
            body_tell(conn);
        }
        if (step != STEP_READY)
            return 0;
    }
    size_t taken = receiving->need ? receiving->need : receiving->raw;
    size_t body_len = receiving->need ? receiving->need - receiving->head_len : receiving->body_len;
    struct span body = {bytes + receiving->head_len, body_len};
    *receiving = (struct receiving){0};
    request_dispatch(conn, &head, &target, body);
    return taken;
}

/* Hands on the whole requests in bytes, a turn of them at most; returns how many bytes they were. *len
 * becomes what is needed of the bytes, those included. */
static size_t requests_take(struct http_conn *conn, char *bytes, size_t *len)
{
    size_t at = 0;
    for (int turn = 0; turn < TURN_REQUESTS && at < *len && conn_takes_requests(conn); turn++) {
        size_t left = *len - at;
        size_t taken = request_take(conn, bytes + at, &left);
        if (!taken) {
            *len = at + left;
            return at;
        }
        at += taken;
        if (conn->exchanges >= SEND_EARLY && conn->first->ready)
            conn_send(conn);
    }
    conn->paused = at < *len;
    return at;
}

/* Makes room for more bytes of an incomplete request. Returns false where there is no memory for it. */
static bool in_reserve(struct http_conn *conn, size_t room)
{
    size_t cap = conn->in.cap;
    if (conn->shared->buffered - cap > HTTP_BUFFERED_MAX || !buf_reserve(&conn->in, room))
        return false;
    conn->shared->buffered += conn->in.cap - cap;
    return true;
}

/* Keeps bytes for later; where there is no memory for them, the request is refused. */
static void conn_keep(struct http_conn *conn, const char *bytes, size_t len)
{
    if (in_reserve(conn, len))
        buf_add(&conn->in, bytes, len);
    else
        conn_refuse(conn, (struct span){bytes, len}, 503, "there is no memory for this request");
}

void conn_take_kept(struct http_conn *conn)
{
    size_t len = conn->in.len;
    size_t taken = requests_take(conn, conn->in.data, &len);
    if (conn->state == CONN_CLOSED)
        return;
    conn->in.len = len;
    buf_drop(&conn->in, taken);
    if (conn->in.len == 0 || conn->state != CONN_OPEN)
        conn_release_in(conn);
}

/* ---- reading */

/* Room for the next bytes: the shared buffer, or behind those that the connection keeps. */
static char *read_room(struct http_conn *conn, size_t *room)
{
    *room = HTTP_READ_BYTES;
    if (!conn->in.len)
        return conn->shared->read_buffer;
    size_t need = conn->receiving.need;
    size_t want = need > conn->in.len ? need - conn->in.len : 0;
    *room = want < READ_LEAST ? READ_LEAST : want > READ_MOST ? READ_MOST : want;
    if (in_reserve(conn, *room))
        return conn->in.data + conn->in.len;
    conn_refuse(conn, buf_span(&conn->in), 503, "there is no memory for this request");
    conn_release_in(conn);
    return NULL;
}

static void conn_took(struct http_conn *conn, char *bytes, size_t len)
{
    if (conn->in.len) {
        conn->in.len += len;
        conn_take_kept(conn);
        return;
    }
    size_t taken = requests_take(conn, bytes, &len);
    if (taken < len && conn->state == CONN_OPEN)
        conn_keep(conn, bytes + taken, len - taken);
}

static void conn_end_of_input(struct http_conn *conn)
{
    conn->eof = true;
    conn_release_in(conn); /* a request cut short will never be whole */
    conn->receiving = (struct receiving){0};
    if (!conn->first)
        conn_close(conn);
}

void conn_read(struct http_conn *conn)
{
    size_t room;
    char *to = read_room(conn, &room);
    if (!to)
        return;
    ssize_t got = recv(conn->watch.fd, to, room, 0);
    if (got > 0)
        conn_took(conn, to, (size_t)got);
    else if (got == 0)
        conn_end_of_input(conn);
    else if (errno != EAGAIN && errno != EINTR)
        conn_close(conn);
}
