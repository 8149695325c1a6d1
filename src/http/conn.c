/* The happy path: bytes are read into the shared read buffer, whole requests in it are handed to the service,
 * their answers are sent together at the end of the pass. Only a request that is not complete yet is kept in
 * the connection's own buffer, and only an answer that the socket did not take waits for POLLOUT.
 *
 * Ways to end: the client closes its side (it still gets its answers); an answer that closes (the request was
 * bad, asked for it, or the server stops): what was written is followed by a half-close and a while of
 * reading, so that the client sees the answer instead of a reset (RFC 9112 section 9.6); a deadline; an error
 * of the socket. */
#include "http/conn_state.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DRAIN_CHECK_MS = 2000,             /* a slow reader is looked after so often */
    GIVE_BACK_BYTES = 32 * 1024 * 1024 /* see memory_give_back */
};

/* ---- life */

static void conn_ready(struct loop_watch *watch, short revents);
static void conn_expired(struct loop_watch *watch);

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

/* Waiting exchanges stay with the service, which answers them into nothing. */
static void conn_drop_exchanges(struct http_conn *conn)
{
    const struct http_service *service = conn->shared->service;
    while (conn->first) {
        struct http_exchange *exchange = conn->first;
        conn->first = exchange->next;
        exchange->conn = NULL;
        if (exchange->ready)
            exchange_free(exchange);
        else if (exchange->waiter && service->gone)
            service->gone(service->ctx, exchange->waiter);
    }
    conn->exchanges = 0;
}

void conn_close(struct http_conn *conn)
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

/* The allocator may keep what long requests took, for ever: after many of them at a time the system gets it
 * back. */
static void memory_give_back(struct conn_shared *shared)
{
    if (shared->buffered > shared->buffered_most)
        shared->buffered_most = shared->buffered;
    if (shared->buffered_most < GIVE_BACK_BYTES || shared->buffered > shared->buffered_most / 4)
        return;
    shared->buffered_most = shared->buffered;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
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
    memory_give_back(shared);
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

bool conn_takes_requests(const struct http_conn *conn)
{
    return conn->state == CONN_OPEN && !conn->blocked && conn->exchanges < HTTP_PIPELINE_MAX &&
           (!conn->exchanges || conn->shared->answering < HTTP_ANSWERS_MAX);
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
        conn_add_interim(conn, 100);
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
        conn_take_kept(conn);
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
    else if (conn->events & POLLIN && conn_takes_requests(conn))
        conn_read(conn); /* since it was asked for, others may have used the room up */
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
