/* The happy path: bytes are read into the shared read buffer, whole requests in it are handed to the service,
 * their answers are sent together at the end of the pass. Only a request that is not complete yet is kept in
 * the connection's own buffer, and only an answer that the socket did not take waits for POLLOUT.
 *
 * Ways to end: the client closes its side (it still gets its answers); an answer that closes (the request was
 * bad, asked for it, or the server stops): what was written is followed by a half-close and a while of
 * reading, so that the client sees the answer instead of a reset (RFC 9112 section 9.6); a deadline; an error
 * of the socket. */
#include "http/conn.h"
#include "http/exchange.h"
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IOV_MAX_PIECES = 64,
    READ_LEAST = 16 * 1024,
    READ_MOST = 256 * 1024,
    TURN_REQUESTS = 256,  /* taken of a connection before the others have their turn */
    SEND_EARLY = 64,      /* so many answers do not wait for the end of the pass */
    DRAIN_CHECK_MS = 2000 /* a slow reader is looked after so often */
};

enum conn_state {
    CONN_OPEN,
    CONN_ENDING, /* takes no further request; closes behind its last answer */
    CONN_LINGER, /* all is sent and our side closed; drops what still comes in */
    CONN_CLOSED
};

/* The request that is being received: what is known once its head is there. */
struct receiving {
    bool head_done;
    size_t scanned; /* see http_parse_request */
    size_t head_len;
    size_t need;     /* bytes without which the request is not complete; for a chunked body unknown: 0 */
    size_t raw;      /* chunked: bytes looked at, head included */
    size_t body_len; /* chunked: bytes decoded, which lie right behind the head */
    uint64_t limit;  /* the longest body allowed */
    struct http_chunked chunked;
    bool owes_continue;
    int64_t began_ms; /* since when the client may send the rest; 0: not now */
};

struct http_conn {
    struct loop_watch watch; /* first, so that a watch is its connection */
    struct conn_shared *shared;
    struct http_conn *prev, *next;
    struct http_conn *touched_next;
    bool touched;
    struct http_conn *turns_next;
    bool has_turn;
    enum conn_state state;
    short events;
    bool eof;            /* the client sends no more */
    bool paused;         /* `in` may hold whole requests that had to wait for room */
    bool blocked;        /* more is ready to be sent: the socket is full, or the others have their turn */
    int64_t progress_ms; /* blocked: when the client last took something */
    int unsent;          /* blocked: bytes in the socket then */
    bool turned_away;
    char peer[HTTP_PEER_SIZE];
    struct buf in; /* bytes from the start of an incomplete request on */
    struct receiving receiving;
    struct buf interim; /* interim answers, sent before the first exchange's */
    struct http_exchange *first, *last;
    int exchanges;
};

/* ---- life */

static void conn_ready(struct loop_watch *watch, short revents);
static void conn_expired(struct loop_watch *watch);
static void conn_refuse(struct http_conn *conn, struct span in, int status, const char *why);
static void conn_linger(struct http_conn *conn);
static void conn_send(struct http_conn *conn);

int conn_open(struct conn_shared *shared, int fd, const char *peer)
{
    struct http_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        goto no_memory;
    conn->watch = (struct loop_watch){.fd = fd, .ready = conn_ready, .expired = conn_expired};
    conn->shared = shared;
    memcpy(conn->peer, peer, strlen(peer) + 1);
    conn->events = POLLIN;
    if (loop_add(shared->loop, &conn->watch, POLLIN) < 0)
        goto no_memory;
    loop_deadline(shared->loop, &conn->watch,
                  clock_after(loop_now_ms(shared->loop), shared->idle_timeout_ms));
    conn->next = shared->all;
    if (conn->next)
        conn->next->prev = conn;
    shared->all = conn;
    shared->open++;
    return 0;

no_memory:
    free(conn);
    close(fd);
    return -ENOMEM;
}

int conn_turn_away(struct conn_shared *shared, int fd, const char *peer)
{
    if (conn_open(shared, fd, peer) < 0)
        return -ENOMEM;
    shared->all->turned_away = true;
    shared->turned_away++;
    conn_refuse(shared->all, (struct span){0}, 503, "this server has all the clients it takes");
    return 0;
}

static void conn_release_in(struct http_conn *conn)
{
    conn->shared->buffered -= conn->in.cap;
    buf_free(&conn->in);
}

/* Waiting exchanges stay with the service, which answers them into nothing. */
static void conn_drop_exchanges(struct http_conn *conn)
{
    while (conn->first) {
        struct http_exchange *exchange = conn->first;
        conn->first = exchange->next;
        exchange->conn = NULL;
        if (exchange->ready)
            exchange_free(exchange);
    }
    conn->exchanges = 0;
}

static void conn_close(struct http_conn *conn)
{
    struct conn_shared *shared = conn->shared;
    if (conn->state == CONN_CLOSED)
        return;
    conn->state = CONN_CLOSED;
    loop_remove(shared->loop, &conn->watch);
    close(conn->watch.fd);
    conn_release_in(conn);
    buf_free(&conn->interim);
    conn_drop_exchanges(conn);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        shared->all = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    shared->open--;
    shared->turned_away -= conn->turned_away;
    conn->next = shared->closed;
    shared->closed = conn;
}

void conns_sweep(struct conn_shared *shared)
{
    struct http_conn *kept = NULL; /* those that a list still leads to */
    while (shared->closed) {
        struct http_conn *conn = shared->closed;
        shared->closed = conn->next;
        if (conn->has_turn) {
            conn->next = kept;
            kept = conn;
        } else {
            free(conn);
        }
    }
    shared->closed = kept;
}

void conns_finish(struct conn_shared *shared)
{
    shared->stopping = true;
    for (struct http_conn *conn = shared->all, *next; conn; conn = next) {
        next = conn->next;
        if (conn->state == CONN_LINGER)
            conn_linger(conn); /* bytes left unread would make the close a reset, and lose the answer */
        if (!conn->first)
            conn_close(conn);
        else
            conn->state = conn->state == CONN_OPEN ? CONN_ENDING : conn->state;
    }
}

void conns_close(struct conn_shared *shared)
{
    while (shared->all)
        conn_close(shared->all);
    shared->touched = NULL;
    for (; shared->turns; shared->turns = shared->turns->turns_next)
        shared->turns->has_turn = false;
    conns_sweep(shared);
    exchanges_free_spare(shared);
}

void conn_touch(struct http_conn *conn)
{
    if (conn->touched)
        return;
    conn->touched = true;
    conn->touched_next = conn->shared->touched;
    conn->shared->touched = conn;
}

/* ---- requests */

static bool conn_takes_requests(const struct http_conn *conn)
{
    return conn->state == CONN_OPEN && !conn->blocked && conn->exchanges < HTTP_PIPELINE_MAX &&
           (!conn->exchanges || conn->shared->answering < HTTP_ANSWERS_MAX);
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
static void conn_refuse(struct http_conn *conn, struct span in, int status, const char *why)
{
    struct http_exchange *exchange = conn_add_exchange(conn);
    if (!exchange)
        return;
    conn->state = CONN_ENDING;
    conn->receiving.owes_continue = false;
    exchange->close = true;
    exchange->to_head = bytes_ask_head(in);
    http_answer_error(exchange, status, status == 503 ? "Retry-After: 1\r\n" : NULL, "%s", why);
}

enum step {
    STEP_MORE,  /* the request is not complete */
    STEP_READY, /* it is */
    STEP_OVER   /* it was refused */
};

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
        if (head->content_length > receiving->limit) {
            conn_refuse(conn, in, 413, "the body is longer than this server takes");
            return STEP_OVER;
        }
        receiving->need += (size_t)head->content_length;
    }
    return STEP_READY;
}

/* Decodes, in place, what came in of a chunked body. Where it is not complete, nothing is left behind the
 * decoded bytes: see request_len. */
static enum step body_decode(struct http_conn *conn, char *bytes, size_t len)
{
    struct receiving *receiving = &conn->receiving;
    size_t used = 0;
    size_t decoded = 0;
    enum http_parse parsed =
        http_chunked_decode(&receiving->chunked, bytes + receiving->raw, len - receiving->raw, &used,
                            bytes + receiving->head_len + receiving->body_len, &decoded);
    receiving->raw += used;
    receiving->body_len += decoded;
    if (parsed == HTTP_PARSE_BAD) {
        conn_refuse(conn, (struct span){bytes, len}, 400, "the chunked body is malformed");
        return STEP_OVER;
    }
    if (receiving->body_len > receiving->limit) {
        conn_refuse(conn, (struct span){bytes, len}, 413, "the body is longer than this server takes");
        return STEP_OVER;
    }
    if (parsed == HTTP_PARSE_DONE)
        return STEP_READY;
    receiving->raw = receiving->head_len + receiving->body_len;
    return STEP_MORE;
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
 * complete or was refused. The head is parsed when it is complete and once more when its body is: that is
 * cheaper for the usual request, which comes in one piece, than keeping the parsed head of each connection.
 */
static size_t request_take(struct http_conn *conn, char *bytes, size_t len)
{
    struct receiving *receiving = &conn->receiving;
    if (receiving->head_done && len < receiving->need)
        return 0;
    if (receiving->head_done && !receiving->need && body_decode(conn, bytes, len) != STEP_READY)
        return 0;

    struct http_head head;
    struct http_target target;
    if (receiving->head_done)
        receiving->scanned = 0;
    if (head_parse(conn, (struct span){bytes, receiving->head_done ? receiving->head_len : len}, &head,
                   &target) != STEP_READY)
        return 0;
    if (!receiving->head_done) {
        struct span in = {bytes, len};
        if (body_begin(conn, in, &head, &target) != STEP_READY || len < receiving->need)
            return 0;
        if (!receiving->need && body_decode(conn, bytes, len) != STEP_READY)
            return 0;
    }
    size_t taken = receiving->need ? receiving->need : receiving->raw;
    size_t body_len = receiving->need ? receiving->need - receiving->head_len : receiving->body_len;
    struct span body = {bytes + receiving->head_len, body_len};
    *receiving = (struct receiving){0};
    request_dispatch(conn, &head, &target, body);
    return taken;
}

/* Hands on the whole requests in bytes, a turn of them at most; returns how many bytes they were. */
static size_t requests_take(struct http_conn *conn, char *bytes, size_t len)
{
    size_t at = 0;
    for (int turn = 0; turn < TURN_REQUESTS && at < len && conn_takes_requests(conn); turn++) {
        size_t taken = request_take(conn, bytes + at, len - at);
        if (!taken)
            return at;
        at += taken;
        if (conn->exchanges >= SEND_EARLY && conn->first->ready)
            conn_send(conn);
    }
    conn->paused = at < len;
    return at;
}

/* How many of the bytes that came of an incomplete request are needed. */
static size_t request_len(const struct http_conn *conn, size_t len)
{
    const struct receiving *receiving = &conn->receiving;
    return receiving->head_done && !receiving->need ? receiving->raw : len;
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

static void requests_take_kept(struct http_conn *conn)
{
    size_t taken = requests_take(conn, conn->in.data, conn->in.len);
    if (conn->state == CONN_CLOSED)
        return;
    buf_drop(&conn->in, taken);
    conn->in.len = request_len(conn, conn->in.len);
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
        requests_take_kept(conn);
        return;
    }
    size_t taken = requests_take(conn, bytes, len);
    if (taken < len && conn->state == CONN_OPEN)
        conn_keep(conn, bytes + taken, request_len(conn, len - taken));
}

static void conn_end_of_input(struct http_conn *conn)
{
    conn->eof = true;
    conn_release_in(conn); /* a request cut short will never be whole */
    conn->receiving = (struct receiving){0};
    if (!conn->first)
        conn_close(conn);
}

static void conn_read(struct http_conn *conn)
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

/* ---- writing */

static bool interim_allowed(const struct http_conn *conn)
{
    return !conn->first || conn->first->head_sent == 0;
}

static void interim_add(struct http_conn *conn, int status)
{
    buf_add_text(&conn->interim, "HTTP/1.1 ");
    buf_add_uint(&conn->interim, (uint64_t)status);
    buf_add_char(&conn->interim, ' ');
    buf_add_text(&conn->interim, http_reason(status));
    buf_add_text(&conn->interim, "\r\n\r\n");
    conn_touch(conn);
}

void http_interim(struct http_exchange *exchange, int status)
{
    struct http_conn *conn = exchange->conn;
    if (conn && conn->first == exchange && !exchange->http10 && !conn->interim.len && interim_allowed(conn))
        interim_add(conn, status);
}

static void conn_pop(struct http_conn *conn)
{
    struct http_exchange *exchange = conn->first;
    conn->first = exchange->next;
    conn->exchanges--;
    exchange_free(exchange);
}

/* All ready answers, as far as iovecs reach. */
static int conn_iov(const struct http_conn *conn, struct iovec *iov)
{
    int count = 0;
    if (conn->interim.len)
        iov[count++] = (struct iovec){conn->interim.data, conn->interim.len};
    for (const struct http_exchange *exchange = conn->first;
         exchange && exchange->ready && !exchange->head.failed && count + 3 < IOV_MAX_PIECES;
         exchange = exchange->next)
        count += exchange_iov(exchange, iov + count, IOV_MAX_PIECES - count);
    return count;
}

static void conn_skip(struct http_conn *conn, size_t sent)
{
    size_t early = sent < conn->interim.len ? sent : conn->interim.len;
    buf_drop(&conn->interim, early);
    sent -= early;
    while (conn->first && conn->first->ready && exchange_skip(conn->first, &sent)) {
        conn_pop(conn);
        if (!sent)
            break;
    }
}

static int iov_cut(struct iovec *iov, int count, size_t most)
{
    int kept = 0;
    while (kept < count && most > 0) {
        if (iov[kept].iov_len > most)
            iov[kept].iov_len = most;
        most -= iov[kept++].iov_len;
    }
    return kept;
}

static void conn_block(struct http_conn *conn)
{
    conn->blocked = true;
    if (ioctl(conn->watch.fd, SIOCOUTQ, &conn->unsent) < 0)
        conn->unsent = 0;
}

/* Whether the client of a blocked connection has taken something within its time. The kernel wants a good
 * part of a socket's buffer to be free before it tells of room in it, which takes a slow reader of much a
 * while. */
static bool conn_drains(struct http_conn *conn)
{
    int64_t now_ms = loop_now_ms(conn->shared->loop);
    int unsent;
    if (ioctl(conn->watch.fd, SIOCOUTQ, &unsent) == 0 && unsent < conn->unsent) {
        conn->unsent = unsent;
        conn->progress_ms = now_ms;
    }
    return now_ms < conn->progress_ms + HTTP_WRITE_TIME_MS;
}

/* Sends what is ready until nothing is, the socket is full or others are to have their turn. */
static void conn_send(struct http_conn *conn)
{
    size_t most = HTTP_SEND_MOST;
    if (!conn->blocked)
        conn->progress_ms = loop_now_ms(conn->shared->loop);
    conn->blocked = false;
    while (conn->interim.len || (conn->first && conn->first->ready)) {
        if (conn->first && conn->first->ready && conn->first->head.failed) {
            conn_close(conn); /* there was no memory for the answer */
            return;
        }
        struct iovec iov[IOV_MAX_PIECES];
        int pieces = conn_iov(conn, iov);
        pieces = iov_cut(iov, pieces, most);
        if (pieces == 0) {
            conn_block(conn);
            return;
        }
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
        ssize_t sent = sendmsg(conn->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            conn_block(conn);
            return;
        }
        if (sent < 0) {
            conn_close(conn);
            return;
        }
        conn->progress_ms = loop_now_ms(conn->shared->loop);
        most -= (size_t)sent;
        conn_skip(conn, (size_t)sent);
    }
}

/* Behind the last answer of an ending connection. */
static void conn_end(struct http_conn *conn)
{
    if (conn->eof) {
        conn_close(conn);
        return;
    }
    shutdown(conn->watch.fd, SHUT_WR);
    conn->state = CONN_LINGER;
    conn_release_in(conn);
    loop_deadline(conn->shared->loop, &conn->watch,
                  clock_after(loop_now_ms(conn->shared->loop), HTTP_LINGER_MS));
}

static void conn_linger(struct http_conn *conn)
{
    ssize_t got = recv(conn->watch.fd, conn->shared->read_buffer, HTTP_READ_BYTES, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        conn_close(conn);
}

/* ---- what to wait for */

static void conn_want(struct http_conn *conn)
{
    short events = 0;
    if (conn->state == CONN_LINGER)
        events = POLLIN;
    else if (conn->blocked)
        events = POLLOUT;
    else if (!conn->eof && !conn->paused && conn_takes_requests(conn))
        events = POLLIN;
    if (events != conn->events)
        loop_want(conn->shared->loop, &conn->watch, events);
    conn->events = events;
}

/* Whether the rest of a request is the client's to send. It is not while its bytes are left in the socket,
 * nor while the client waits for a 100 that an earlier answer holds up. */
static bool conn_lacks_request(const struct http_conn *conn)
{
    bool held_up = conn->receiving.owes_continue && conn->in.len == conn->receiving.head_len;
    return conn->in.len && !held_up && !conn->paused && conn_takes_requests(conn);
}

static void conn_set_deadline(struct http_conn *conn)
{
    int64_t now_ms = loop_now_ms(conn->shared->loop);
    int64_t deadline_ms = CLOCK_NEVER;
    if (!conn_lacks_request(conn))
        conn->receiving.began_ms = 0;
    else if (!conn->receiving.began_ms)
        conn->receiving.began_ms = now_ms;
    if (conn->blocked)
        deadline_ms = now_ms + DRAIN_CHECK_MS;
    else if (conn->receiving.began_ms)
        deadline_ms = conn->receiving.began_ms + HTTP_REQUEST_TIME_MS;
    else if (!conn->first)
        deadline_ms = clock_after(now_ms, conn->shared->idle_timeout_ms);
    loop_deadline(conn->shared->loop, &conn->watch, deadline_ms);
}

static void turn_wait(struct http_conn *conn)
{
    if (conn->has_turn)
        return;
    conn->has_turn = true;
    conn->turns_next = conn->shared->turns;
    conn->shared->turns = conn;
}

/* Called after everything that happens to a connection: sends, and settles what it waits for next. */
static void conn_advance(struct http_conn *conn)
{
    conn_send(conn);
    if (conn->state == CONN_CLOSED || conn->state == CONN_LINGER)
        return;
    if (conn->paused && conn_takes_requests(conn))
        turn_wait(conn);
    if (conn->receiving.owes_continue && !conn->first) {
        conn->receiving.owes_continue = false;
        interim_add(conn, 100);
        conn_send(conn);
        if (conn->state == CONN_CLOSED)
            return;
    }
    if (!conn->first && (conn->state == CONN_ENDING || conn->eof)) {
        conn_end(conn);
        if (conn->state != CONN_CLOSED)
            conn_want(conn);
        return;
    }
    conn_want(conn);
    conn_set_deadline(conn);
}

/* Takes requests that had to wait, for their connection's turn or for room. */
static bool turns_take(struct conn_shared *shared)
{
    struct http_conn *turns = shared->turns;
    bool any = turns;
    shared->turns = NULL;
    while (turns) {
        struct http_conn *conn = turns;
        turns = conn->turns_next;
        conn->has_turn = false;
        if (conn->state != CONN_OPEN || !conn->paused || !conn_takes_requests(conn))
            continue;
        conn->paused = false;
        requests_take_kept(conn);
        if (conn->state != CONN_CLOSED)
            conn_touch(conn);
    }
    return any;
}

bool conns_advance(struct conn_shared *shared)
{
    bool taken = turns_take(shared);
    while (shared->touched) {
        struct http_conn *conn = shared->touched;
        shared->touched = conn->touched_next;
        conn->touched = false;
        if (conn->state != CONN_CLOSED)
            conn_advance(conn);
    }
    return taken || shared->turns;
}

static void conn_ready(struct loop_watch *watch, short revents)
{
    struct http_conn *conn = (struct http_conn *)watch;
    if (conn->state == CONN_LINGER)
        conn_linger(conn);
    else if (revents & (POLLERR | POLLNVAL) || (revents & POLLHUP && !(conn->events & POLLIN)))
        conn_close(conn); /* both sides are closed: nobody is there to take an answer */
    else if (conn->events & POLLIN)
        conn_read(conn);
    if (conn->state == CONN_OPEN || conn->state == CONN_ENDING)
        conn_touch(conn);
}

/* Closes so that the kernel keeps nothing of what the client does not take. */
static void conn_abort(struct http_conn *conn)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(conn->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    conn_close(conn);
}

static void conn_expired(struct loop_watch *watch)
{
    struct http_conn *conn = (struct http_conn *)watch;
    if (conn->blocked && conn_drains(conn)) {
        conn_set_deadline(conn);
    } else if (conn->blocked) {
        conn_abort(conn);
    } else if (conn->state == CONN_OPEN && conn->in.len) {
        conn_refuse(conn, buf_span(&conn->in), 408, "the request was not complete in time");
        conn_release_in(conn);
    } else {
        conn_close(conn);
    }
}
