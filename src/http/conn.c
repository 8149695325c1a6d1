/* The happy path: bytes are read into the shared read buffer, whole requests in it are handed to the service,
 * their answers are sent together at the end of the pass. Only a request that is not complete yet is kept in
 * the connection's own buffer, and only an answer that the socket did not take waits for POLLOUT.
 *
 *             .------ KEEPS <-------.        requests are left: first there must be room, then it is its turn
 *             |                     |
 *             '------> OPEN --------'
 *                     /    \
 *        refused, or /      \ the client
 *   asked to close, /        \ has closed its side
 *   or the server  /          \
 *      stops    ENDING       ENDED           what is owed is answered
 *                  |            |
 *                LINGER         |            what still comes in is dropped for a while, so that the client
 *                  |           /             sees the answer instead of a reset (RFC 9112 section 9.6)
 *                CLOSED  <----'
 *
 * An error of the socket, lack of memory for an answer, and a deadline close a connection in any state. */
#include "http/conn.h"
#include "http/exchange.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TURN_REQUESTS = 256,   /* taken of a connection before the others have their turn */
    SEND_EARLY = 64,       /* so many answers do not wait for the end of the pass */
    DRAIN_CHECK_MS = 2000, /* a slow reader is looked after so often */
    ENDED_CHECK_MS =
        10000,         /* a client that has closed its side and waits is asked so often whether it is there */
    STOP_BUSY_MS = 100 /* at a stop, a client that asked so lately may ask once more */
};

enum conn_state {
    CONN_OPEN,   /* reads and takes requests, while there is room for their answers */
    CONN_KEEPS,  /* the intake may hold whole requests; they come before what is in the socket, and are
                    taken in the pass after there is room (CONNS_TURNS) */
    CONN_ENDING, /* takes no further request; our side is closed behind its last answer */
    CONN_ENDED,  /* the client sends no more; closed behind its last answer */
    CONN_LINGER, /* all is sent and our side closed; drops what still comes in */
    CONN_CLOSED  /* is freed at the end of the pass */
};

struct http_conn {
    struct loop_watch watch; /* first, so that a watch is its connection */
    struct http_conns *conns;
    struct http_conn *next[CONN_LISTS], **at[CONN_LISTS]; /* `at` leads to it in its list; NULL: not there */
    enum conn_state state;
    uint64_t number; /* 0: the service was told of its end */
    short events;    /* that the loop waits for */
    struct stream stream;
    char peer[HTTP_PEER_SIZE];
    struct intake intake;
    struct span interim; /* static; what is left of an interim answer, which goes before `pipeline` */
    struct pipeline pipeline;
    bool more;        /* bytes lie behind the last whole request: another one, maybe */
    int64_t asked_ms; /* when its last request came */
    int64_t until_ms; /* lingers, or in CONNS_EXTRA: at the latest */
    size_t lingered;  /* lingers: bytes dropped */
};

/* What a pass does with one connection. Its first part, turn_receive or turn_send, may run on any thread,
 * beside those of other connections: it uses the connection's own alone. What follows from it is the loop's.
 */
struct conn_turn {
    struct http_conn *conn;
    char *buffer; /* HTTP_READ_BYTES, to receive into */
    struct intake_bytes bytes;
    ssize_t got;
    bool received; /* `got` and, where that is more than 0, `bytes` tell what came */
    bool parsed;   /* `verdict` and `parts` tell what comes first in the bytes */
    enum request_verdict verdict;
    struct request_parts parts;
    struct stream_turn send;
    enum stream_verdict sent;
};

/* ---- lists */

static void list_put(struct http_conn *conn, enum conn_list list)
{
    struct http_conn **first = &conn->conns->lists[list];
    if (conn->at[list])
        return;
    conn->next[list] = *first;
    if (*first)
        (*first)->at[list] = &conn->next[list];
    *first = conn;
    conn->at[list] = first;
}

static void list_leave(struct http_conn *conn, enum conn_list list)
{
    if (!conn->at[list])
        return;
    *conn->at[list] = conn->next[list];
    if (conn->next[list])
        conn->next[list]->at[list] = conn->at[list];
    conn->at[list] = NULL;
}

/* It has something to do: it is advanced at the end of the pass. */
static void conn_touch(struct http_conn *conn)
{
    list_put(conn, CONNS_TOUCHED);
}

/* ---- states */

static bool conn_has_room(const struct http_conn *conn)
{
    return !conn->stream.full && conn->pipeline.count < HTTP_PIPELINE_MAX &&
           (!conn->pipeline.count || conn->conns->answering < conn->conns->answering_limit);
}

/* Whether another request may be taken now. */
static bool conn_takes_requests(const struct http_conn *conn)
{
    return conn->state == CONN_OPEN && conn_has_room(conn);
}

/* Whether it will take requests, now or later. */
static bool conn_goes_on(const struct http_conn *conn)
{
    return conn->state <= CONN_KEEPS;
}

static bool conn_is_extra(const struct http_conn *conn)
{
    return conn->at[CONNS_EXTRA];
}

static void extra_leave(struct http_conn *conn)
{
    conn->conns->extras -= conn_is_extra(conn);
    list_leave(conn, CONNS_EXTRA);
}

void conn_answered(struct http_conn *conn, int status)
{
    if (status < 400) /* one past the limit has been a node's, and is no stranger's */
        extra_leave(conn);
    conn_touch(conn);
}

/* Whether an answer is due that the service has not given yet. */
static bool conn_is_served(const struct http_conn *conn)
{
    return conn->pipeline.first && !pipeline_is_ready(&conn->pipeline);
}

/* It takes no more requests. */
static void conn_stop(struct http_conn *conn, enum conn_state state)
{
    list_leave(conn, CONNS_READY);
    list_leave(conn, CONNS_TURNS);
    intake_drop(&conn->intake);
    conn->state = state;
}

void conn_take_no_more(struct http_conn *conn)
{
    if (!conn_goes_on(conn))
        return;
    list_leave(conn, CONNS_TURNS);
    conn->state = CONN_ENDING;
}

bool conn_end_behind(struct http_conn *conn)
{
    if (conn->more)
        return false;
    if (conn_goes_on(conn))
        conn->state = CONN_ENDING;
    return true;
}

uint64_t conn_number(const struct http_conn *conn)
{
    return conn->number;
}

/* Tells the service, once, that it has ended. */
static void conn_tell_end(struct http_conn *conn)
{
    const struct http_service *service = conn->conns->service;
    uint64_t number = conn->number;
    conn->number = 0;
    if (!number || !service->ended)
        return;
    service->ended(service->ctx, number);
    conn->conns->told = true;
}

/* Closes it in whatever state it is; it is in CONNS_CLOSED then, and in no other list. */
static void conn_close(struct http_conn *conn)
{
    struct http_conns *conns = conn->conns;
    if (conn->state == CONN_CLOSED)
        return;
    conns->open--;
    extra_leave(conn);
    conn_stop(conn, CONN_CLOSED);
    list_leave(conn, CONNS_OPEN);
    list_leave(conn, CONNS_TOUCHED);
    list_put(conn, CONNS_CLOSED);
    loop_remove(conns->loop, &conn->watch);
    close(conn->watch.fd);
    pipeline_drop(&conn->pipeline);
    conn_tell_end(conn);
}

/* ---- lingering */

static void linger_on(struct http_conn *conn)
{
    int64_t until_ms = loop_now_ms(conn->conns->loop) + HTTP_LINGER_MS;
    loop_deadline(conn->conns->loop, &conn->watch, clock_earlier(until_ms, conn->until_ms));
}

static void conn_want(struct http_conn *conn, short events)
{
    conn->events = events;
    loop_want(conn->conns->loop, &conn->watch, events);
}

/* Behind the last answer. */
static void linger_begin(struct http_conn *conn)
{
    int64_t most_ms = conn_is_extra(conn) ? HTTP_LINGER_MS : HTTP_LINGER_MOST_MS;
    shutdown(conn->watch.fd, SHUT_WR);
    conn_stop(conn, CONN_LINGER);
    conn->until_ms = loop_now_ms(conn->conns->loop) + most_ms;
    conn_want(conn, POLLIN);
    linger_on(conn);
}

/* Drops what still comes in. */
static void conn_linger(struct http_conn *conn)
{
    ssize_t got = stream_receive(&conn->stream, conn->conns->read_buffer, HTTP_READ_BYTES);
    if (got > 0)
        conn->lingered += (size_t)got;
    if (got == 0 || (got < 0 && got != -EAGAIN) || conn->lingered > HTTP_LINGER_BYTES)
        conn_close(conn);
    else if (got > 0)
        linger_on(conn);
}

/* ---- answers */

static struct http_exchange *conn_add_exchange(struct http_conn *conn)
{
    struct http_exchange *exchange = exchange_new(conn->conns, conn, conn->peer);
    if (!exchange) {
        conn_close(conn);
        return NULL;
    }
    pipeline_add(&conn->pipeline, exchange);
    return exchange;
}

/* The first line of a request that need not be a good one. */
static struct span first_line(struct span bytes)
{
    bytes = request_start(bytes);
    for (size_t len = 0; len < bytes.len; len++)
        if (bytes.at[len] == '\r' || bytes.at[len] == '\n')
            bytes.len = len;
    return bytes;
}

/* Answers a request that cannot be served, and ends the connection behind it. */
static void conn_refuse(struct http_conn *conn, enum http_refused reason, int status, const char *why,
                        struct span request)
{
    struct http_exchange *exchange = conn_add_exchange(conn);
    if (!exchange)
        return;
    conn->conns->counters.refused[reason]++;
    exchange_count_for(exchange, conn->intake.ruled ? conn->intake.ruling.route : NULL);
    exchange->close = true;
    exchange->to_head = request_asks_head(request);
    exchange_note(exchange, first_line(request));
    http_answer_error(exchange, status, status == 503 ? HTTP_RETRY : NULL, "%s", why);
    conn_stop(conn, CONN_ENDING);
}

static void conn_refuse_memory(struct http_conn *conn, struct span request)
{
    conn_refuse(conn, HTTP_REFUSED_MEMORY, 503, "there is no memory for this request", request);
}

static void conn_add_interim(struct http_conn *conn, int status)
{
    conn->interim =
        span_of(status == 100 ? "HTTP/1.1 100 Continue\r\n\r\n" : "HTTP/1.1 102 Processing\r\n\r\n");
    conn_touch(conn);
}

void http_interim(struct http_exchange *exchange, int status)
{
    struct http_conn *conn = exchange->conn;
    if (http_exchange_is_first(exchange) && !exchange->http10 && !exchange->streams && !conn->interim.len)
        conn_add_interim(conn, status);
}

bool http_exchange_is_first(const struct http_exchange *exchange)
{
    return exchange->conn && exchange->conn->pipeline.first == exchange;
}

uint64_t http_exchange_address(const struct http_exchange *exchange)
{
    return exchange->conn ? exchange->conn->intake.share->address : shares_address(exchange->peer);
}

/* Sends what is ready. */
static void turn_send(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    turn->send = (struct stream_turn){.now_ms = loop_now_ms(conn->conns->loop), .most = HTTP_SEND_MOST};
    turn->sent = STREAM_SENT;
    if (conn->interim.len)
        turn->sent = stream_send_bytes(&conn->stream, &conn->interim, &turn->send);
    if (turn->sent == STREAM_SENT)
        turn->sent = pipeline_send(&conn->pipeline, &conn->stream, &turn->send);
}

/* Takes leave of what was sent, and goes on until nothing is ready, the socket is full or others are to have
 * their turn. Returns whether the connection is still there. */
static bool turn_sent(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    pipeline_settle(&conn->pipeline);
    while (turn->sent == STREAM_SENT && pipeline_is_ready(&conn->pipeline)) {
        turn->sent = pipeline_send(&conn->pipeline, &conn->stream, &turn->send);
        pipeline_settle(&conn->pipeline);
    }
    if (turn->sent == STREAM_BROKEN)
        conn_close(conn);
    return turn->sent != STREAM_BROKEN;
}

static bool conn_send(struct http_conn *conn)
{
    struct conn_turn turn;
    turn.conn = conn;
    turn_send(&turn);
    return turn_sent(&turn);
}

/* ---- requests */

/* Sends a 100, for which the client may wait. */
static void request_continue(struct http_conn *conn)
{
    conn->intake.request.wants_continue = false;
    conn_add_interim(conn, 100);
}

/* More of a request that is not complete has come. */
static void request_incomplete(struct http_conn *conn)
{
    const struct http_service *service = conn->conns->service;
    struct intake *intake = &conn->intake;
    int64_t now_ms = loop_now_ms(conn->conns->loop);
    if (!intake->began_ms)
        stream_acknowledge(&conn->stream);
    if (!intake->watched)
        return;
    int64_t pause_ms = service->body_came(service->ctx, intake->watched);
    if (!pause_ms || now_ms < intake->tell_ms || conn->pipeline.first || conn->interim.len)
        return;
    intake->tell_ms = now_ms + pause_ms;
    request_continue(conn);
}

/* The method and the target, which stand in one line. */
static struct span request_line(const struct http_head *head)
{
    const char *end = head->target.at + head->target.len;
    return (struct span){head->method.at, (size_t)(end - head->method.at)};
}

/* `last`: the connection ends with its answer. */
static void request_dispatch(struct http_conn *conn, const struct request_parts *parts, bool last)
{
    const struct http_service *service = conn->conns->service;
    const struct http_ruling ruling = *intake_rule(&conn->intake, service, parts);
    struct http_exchange *exchange = conn_add_exchange(conn);
    if (!exchange)
        return;
    intake_begin_next(&conn->intake);
    exchange_count_for(exchange, ruling.route);
    conn->asked_ms = loop_now_ms(conn->conns->loop);
    exchange->to_head = span_equals(parts->head.method, "HEAD");
    exchange->http10 = parts->head.minor == 0;
    exchange->close = last || !parts->head.keep_alive;
    exchange_note(exchange, request_line(&parts->head));
    if (exchange->close)
        conn->state = CONN_ENDING;
    const struct http_request request = {.head = &parts->head, .target = &parts->target, .body = parts->body};
    http_ruling_handle(service, &ruling, &request, exchange);
}

static void extra_refuse(struct http_conn *conn, struct span request)
{
    conn_refuse(conn, HTTP_REFUSED_CONNECTIONS, 503, "this server has all the clients it takes", request);
}

/* A request on a connection past the limit. Returns false where it is no node's, and was refused. */
static bool extra_take(struct http_conn *conn, enum request_verdict verdict,
                       const struct request_parts *parts)
{
    if (verdict == REQUEST_REFUSED || (verdict == REQUEST_MORE && !conn->intake.ruled))
        return true;
    const struct http_ruling *ruling = intake_rule(&conn->intake, conn->conns->service, parts);
    if (ruling->route && ruling->route->token && !ruling->denial)
        return true;
    extra_refuse(conn, request_line(&parts->head));
    return false;
}

/* Looks for the first request in the bytes. */
static void turn_parse(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    turn->verdict = intake_next(&conn->intake, conn->conns->service, &turn->bytes, &turn->parts);
    turn->parsed = true;
}

/* Takes the next request. Returns whether there was a whole one. */
static bool request_take_next(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    const struct intake_bytes *bytes = &turn->bytes;
    if (!turn->parsed)
        turn_parse(turn);
    turn->parsed = false;
    conn->more = turn->verdict == REQUEST_WHOLE && bytes->at < bytes->len;
    if (conn_is_extra(conn) && !extra_take(conn, turn->verdict, &turn->parts))
        return false;
    if (turn->verdict == REQUEST_WHOLE || turn->verdict == REQUEST_HEAD)
        request_dispatch(conn, &turn->parts, turn->verdict == REQUEST_HEAD);
    else if (turn->verdict == REQUEST_REFUSED)
        conn_refuse(conn, HTTP_REFUSED_REQUEST, turn->parts.status, turn->parts.why,
                    (struct span){bytes->data + bytes->at, bytes->len - bytes->at});
    else
        request_incomplete(conn);
    return turn->verdict == REQUEST_WHOLE;
}

/* Whether there is a request to take: one that was parsed, or bytes of one. */
static bool turn_goes_on(const struct conn_turn *turn)
{
    if (turn->parsed)
        return turn->conn->state == CONN_OPEN;
    return turn->bytes.at < turn->bytes.len && conn_takes_requests(turn->conn);
}

/* Hands on the whole requests in the bytes, a turn of them at most. */
static void requests_take(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    for (int taken = 0; taken < TURN_REQUESTS && turn_goes_on(turn); taken++) {
        if (!request_take_next(turn))
            return;
        if (conn->pipeline.count >= SEND_EARLY && pipeline_is_ready(&conn->pipeline) && !conn_send(conn))
            return;
    }
    if (turn->bytes.at < turn->bytes.len && conn->state == CONN_OPEN)
        conn->state = CONN_KEEPS;
}

/* The same, and keeps what is left of the bytes. */
static void turn_take(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    const struct intake_bytes *bytes = &turn->bytes;
    requests_take(turn);
    if (!conn_goes_on(conn))
        intake_drop(&conn->intake);
    else if (!intake_keep(&conn->intake, bytes))
        conn_refuse_memory(conn, (struct span){bytes->data + bytes->at, bytes->len - bytes->at});
}

/* The client sends no more: a request cut short will never be whole. */
static void conn_end(struct http_conn *conn)
{
    conn_stop(conn, CONN_ENDED);
    conn_tell_end(conn);
    pipeline_end(&conn->pipeline);
}

/* Receives once, and parses the first request of what came. */
static void turn_receive(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    turn->got = intake_receive(&conn->intake, &conn->stream, turn->buffer, &turn->bytes);
    turn->received = true;
    if (turn->got > 0)
        turn_parse(turn);
}

/* Hands on the requests that are whole. */
static void turn_received(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    if (turn->got > 0)
        turn_take(turn);
    else if (turn->got == 0)
        conn_end(conn);
    else if (turn->got == -ENOMEM)
        conn_refuse_memory(conn, buf_span(&conn->intake.kept));
    else if (turn->got != -EAGAIN)
        conn_close(conn);
}

static void turn_begin(struct conn_turn *turn, struct http_conn *conn, char *buffer)
{
    turn->conn = conn;
    turn->buffer = buffer;
    turn->received = turn->parsed = false;
}

static void conn_read(struct http_conn *conn)
{
    struct conn_turn turn;
    turn_begin(&turn, conn, conn->conns->read_buffer);
    turn_receive(&turn);
    turn_received(&turn);
}

/* ---- what to wait for */

/* Whether the rest of a request is the client's to send. It is not while its bytes are left in the socket,
 * nor while the client waits for a 100 that an earlier answer holds up. */
static bool conn_lacks_request(const struct http_conn *conn)
{
    return request_has_begun(buf_span(&conn->intake.kept)) && conn_takes_requests(conn) &&
           !request_is_held_up(&conn->intake.request, conn->intake.kept.len);
}

static void conn_set_deadline(struct http_conn *conn)
{
    int64_t now_ms = loop_now_ms(conn->conns->loop);
    int64_t deadline_ms = CLOCK_NEVER;
    if (!conn_lacks_request(conn))
        conn->intake.began_ms = 0;
    else if (!conn->intake.began_ms)
        conn->intake.began_ms = now_ms;
    if (conn->stream.full)
        deadline_ms = now_ms + DRAIN_CHECK_MS;
    else if (conn_is_extra(conn) && !conn_is_served(conn))
        deadline_ms = conn->until_ms;
    else if (conn->intake.began_ms)
        deadline_ms = conn->intake.began_ms + HTTP_REQUEST_TIME_MS;
    else if (conn->state == CONN_ENDED)
        deadline_ms = now_ms + ENDED_CHECK_MS;
    else if (!conn->pipeline.first)
        deadline_ms = clock_after(now_ms, conn->conns->idle_timeout_ms);
    loop_deadline(conn->conns->loop, &conn->watch, deadline_ms);
}

static void conn_wait(struct http_conn *conn)
{
    if (conn->state == CONN_KEEPS && conn_has_room(conn))
        list_put(conn, CONNS_TURNS);
    conn_want(conn, conn->stream.full ? POLLOUT : conn_takes_requests(conn) ? POLLIN : 0);
    conn_set_deadline(conn);
}

/* What was ready is sent: settles what the connection waits for next. Comes after everything that happens to
 * it. */
static void turn_settle(struct conn_turn *turn)
{
    struct http_conn *conn = turn->conn;
    if (!turn_sent(turn))
        return;
    if (conn->intake.request.wants_continue && !conn->pipeline.first)
        request_continue(conn);
    if (conn->pipeline.first || conn_goes_on(conn))
        conn_wait(conn);
    else if (conn->state == CONN_ENDING)
        linger_begin(conn);
    else
        conn_close(conn);
}

static void conn_ready(struct loop_watch *watch, short revents)
{
    struct http_conn *conn = (struct http_conn *)watch;
    if (conn->state == CONN_LINGER)
        conn_linger(conn);
    else if (revents & (POLLERR | POLLNVAL) || (revents & POLLHUP && !(conn->events & POLLIN)))
        conn_close(conn);                 /* both sides are closed: nobody is there to take an answer */
    else if (conn_takes_requests(conn)) { /* since the loop was asked, others may have used the room up */
        if (conn->conns->carriers)
            list_put(conn, CONNS_READY);
        else
            conn_read(conn);
    }
    if (conn->state != CONN_CLOSED)
        conn_touch(conn);
}

static void conn_expired(struct loop_watch *watch)
{
    struct http_conn *conn = (struct http_conn *)watch;
    if (conn->at[CONNS_READY]) { /* what came is looked at first, as without carriers */
        list_leave(conn, CONNS_READY);
        conn_read(conn);
        if (conn->state == CONN_CLOSED)
            return;
    }
    struct span kept = buf_span(&conn->intake.kept);
    /* Something came in this very pass, or is taken in the next: the deadline was that of an idle connection,
     * and a new one is set. */
    bool is_busy = conn->at[CONNS_TOUCHED] || conn->at[CONNS_TURNS];
    if (conn->state == CONN_ENDED && conn->pipeline.first && !conn->stream.full) {
        http_interim(conn->pipeline.first, 102); /* where the client has gone, its kernel says so */
        conn_touch(conn);
    } else if (conn->stream.full &&
               stream_drains(&conn->stream, loop_now_ms(conn->conns->loop), HTTP_WRITE_TIME_MS)) {
        conn_set_deadline(conn);
    } else if (conn_is_extra(conn) && conn_goes_on(conn)) {
        extra_refuse(conn, kept);
        conn_touch(conn);
    } else if (!conn->stream.full && conn->state == CONN_OPEN && request_has_begun(kept) &&
               (conn->intake.began_ms || !is_busy)) {
        conn_refuse(conn, HTTP_REFUSED_LATE, 408, "the request was not complete in time", kept);
    } else if (conn->stream.full || conn->state == CONN_LINGER || !is_busy) {
        if (conn->stream.full)
            stream_abort(&conn->stream);
        conn_close(conn);
    }
}

/* ---- life */

static void conn_free(struct http_conn *conn, struct http_conns *conns)
{
    if (conn->intake.share)
        shares_leave(&conns->shares, conn->intake.share);
    free(conn);
}

int conn_open(struct http_conns *conns, int fd, const char *peer)
{
    struct http_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        goto no_memory;
    conn->watch = (struct loop_watch){.fd = fd, .ready = conn_ready, .expired = conn_expired};
    conn->conns = conns;
    conn->number = ++conns->numbered;
    conn->stream.fd = fd;
    conn->intake.total = &conns->intakes;
    conn->intake.share = shares_join(&conns->shares, shares_address(peer));
    memcpy(conn->peer, peer, strlen(peer) + 1);
    conn->events = POLLIN;
    if (!conn->intake.share || loop_add(conns->loop, &conn->watch, POLLIN) < 0)
        goto no_memory;
    loop_deadline(conns->loop, &conn->watch, clock_after(loop_now_ms(conns->loop), conns->idle_timeout_ms));
    conn->asked_ms = loop_now_ms(conns->loop);
    list_put(conn, CONNS_OPEN);
    conns->open++;
    return 0;

no_memory:
    if (conn)
        conn_free(conn, conns);
    close(fd);
    return -ENOMEM;
}

int conn_open_extra(struct http_conns *conns, int fd, const char *peer)
{
    if (conn_open(conns, fd, peer) < 0)
        return -ENOMEM;
    struct http_conn *conn = conns->lists[CONNS_OPEN];
    list_put(conn, CONNS_EXTRA);
    conns->extras++;
    conn->until_ms = loop_now_ms(conns->loop) + HTTP_EXTRA_MS;
    conn_set_deadline(conn);
    return 0;
}

bool conns_drop_extra(struct http_conns *conns)
{
    struct http_conn *conn = NULL;
    for (struct http_conn *at = conns->lists[CONNS_EXTRA]; at; at = at->next[CONNS_EXTRA])
        if (!conn_is_served(at))
            conn = at; /* the last is the oldest */
    if (!conn)
        return false;
    if (conn_goes_on(conn))
        extra_refuse(conn, buf_span(&conn->intake.kept));
    if (conn->state == CONN_CLOSED || conn_send(conn))
        conn_close(conn);
    return true;
}

/* ---- the table */

bool conns_open(struct http_conns *conns, unsigned carriers)
{
    conns->turns_most = carriers ? CONNS_BESIDE : 1;
    conns->turns = malloc(conns->turns_most * sizeof *conns->turns);
    conns->read_buffer = malloc(conns->turns_most * HTTP_READ_BYTES);
    if (carriers)
        conns->carriers = carriers_open(carriers);
    return conns->turns && conns->read_buffer && !conns->carriers == !carriers;
}

/* Requests were left: takes them. */
static void conn_take_turn(struct http_conn *conn)
{
    list_leave(conn, CONNS_TURNS);
    conn->state = conn_has_room(conn) ? CONN_OPEN : CONN_KEEPS;
    if (conn->state == CONN_OPEN) {
        struct conn_turn turn;
        turn_begin(&turn, conn, NULL);
        turn.bytes = intake_again(&conn->intake);
        turn_take(&turn);
    }
    if (conn->state != CONN_CLOSED)
        conn_touch(conn);
}

/* Takes connections out of a list, no more than are dealt out at a time. Of those that are ready the ones
 * that still take requests: all of them are asked before any is read, so that they may use up more than there
 * is room for, by a request each. */
static size_t turns_gather(struct http_conns *conns, enum conn_list list)
{
    size_t count = 0;
    while (conns->lists[list] && count < conns->turns_most) {
        struct http_conn *conn = conns->lists[list];
        list_leave(conn, list);
        if (list == CONNS_READY && !conn_takes_requests(conn))
            continue;
        turn_begin(&conns->turns[count], conn, conns->read_buffer + count * HTTP_READ_BYTES);
        count++;
    }
    return count;
}

/* What an address may keep is counted for all of its connections: where something is kept, the loop receives.
 */
static void turn_receive_beside(void *ctx, size_t item)
{
    struct conn_turn *turn = &((struct conn_turn *)ctx)[item];
    if (!turn->conn->intake.kept.len)
        turn_receive(turn);
}

void conns_receive(struct http_conns *conns)
{
    while (conns->lists[CONNS_READY]) {
        size_t count = turns_gather(conns, CONNS_READY);
        carriers_do(conns->carriers, count, turn_receive_beside, conns->turns);
        while (count > 0) { /* the list had the last one first */
            struct conn_turn *turn = &conns->turns[--count];
            if (turn->conn->state == CONN_CLOSED)
                continue;
            if (!turn->received)
                turn_receive(turn);
            turn_received(turn);
        }
    }
}

static void turn_send_beside(void *ctx, size_t item)
{
    struct conn_turn *turn = &((struct conn_turn *)ctx)[item];
    if (turn->conn->state != CONN_LINGER)
        turn_send(turn);
}

static void touched_advance(struct http_conns *conns)
{
    size_t count = turns_gather(conns, CONNS_TOUCHED);
    carriers_do(conns->carriers, count, turn_send_beside, conns->turns);
    for (size_t i = 0; i < count; i++)
        if (conns->turns[i].conn->state < CONN_LINGER)
            turn_settle(&conns->turns[i]);
}

bool conns_advance(struct http_conns *conns)
{
    bool taken = conns->lists[CONNS_TURNS];
    while (conns->lists[CONNS_TURNS])
        conn_take_turn(conns->lists[CONNS_TURNS]);
    while (conns->lists[CONNS_TOUCHED])
        touched_advance(conns);
    bool told = conns->told;
    conns->told = false;
    return taken || told || conns->lists[CONNS_TURNS];
}

void conns_sweep(struct http_conns *conns)
{
    while (conns->lists[CONNS_CLOSED]) {
        struct http_conn *conn = conns->lists[CONNS_CLOSED];
        conns->lists[CONNS_CLOSED] = conn->next[CONNS_CLOSED];
        conn_free(conn, conns);
    }
    intakes_give_back(&conns->intakes, conns->answering + (size_t)conns->open * sizeof(struct http_conn));
}

/* Whether the client has connected, asked or begun to ask a moment ago: it may send more before it can know
 * of the stop. */
static bool conn_is_busy(const struct http_conn *conn)
{
    int64_t began_ms = conn->intake.began_ms;
    int64_t last_ms = began_ms > conn->asked_ms ? began_ms : conn->asked_ms;
    return loop_now_ms(conn->conns->loop) - last_ms < STOP_BUSY_MS;
}

/* The server stops: answers what was sent already, and closes it behind the last answer. */
static void conn_finish(struct http_conn *conn)
{
    if (conn->state == CONN_LINGER)
        conn_linger(conn); /* bytes left unread would make the close a reset, and lose the answer */
    else if (!conn->pipeline.first && conn_takes_requests(conn))
        conn_read(conn);
    if (conn->pipeline.first)
        conn_touch(conn);
    else if (!conn_is_busy(conn))
        conn_close(conn);
}

void conns_finish(struct http_conns *conns)
{
    for (struct http_conn *conn = conns->lists[CONNS_OPEN], *next; conn; conn = next) {
        next = conn->next[CONNS_OPEN];
        conn_finish(conn);
    }
}

void conns_close(struct http_conns *conns)
{
    while (conns->lists[CONNS_OPEN]) {
        struct http_conn *conn = conns->lists[CONNS_OPEN];
        conn->number = 0; /* the service may be gone */
        conn_close(conn);
    }
    conns_sweep(conns);
    exchanges_free_spare(conns);
    carriers_close(conns->carriers);
    free(conns->turns);
    free(conns->read_buffer);
}
