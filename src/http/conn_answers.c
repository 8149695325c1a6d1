#include "http/conn_state.h"
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { IOV_MAX_PIECES = 64 };

static bool interim_allowed(const struct http_conn *conn)
{
    return !conn->first || conn->first->head_sent == 0;
}

void conn_add_interim(struct http_conn *conn, int status)
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
        conn_add_interim(conn, status);
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
bool conn_drains(struct http_conn *conn)
{
    int64_t now_ms = loop_now_ms(conn->shared->loop);
    int unsent;
    if (ioctl(conn->watch.fd, SIOCOUTQ, &unsent) == 0 && unsent < conn->unsent) {
        conn->unsent = unsent;
        conn->progress_ms = now_ms;
    }
    return now_ms < conn->progress_ms + HTTP_WRITE_TIME_MS;
}

/* One piece goes by send(2), which has no vector for the kernel to take in. */
static ssize_t pieces_send(int fd, struct iovec *iov, int pieces)
{
    if (pieces == 1)
        return send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Sends up to `most` bytes of what is ready; returns how many, or a negative errno. */
static ssize_t conn_send_some(struct http_conn *conn, size_t most)
{
    struct iovec iov[IOV_MAX_PIECES];
    int pieces = conn_iov(conn, iov);
    pieces = iov_cut(iov, pieces, most);
    ssize_t sent = pieces_send(conn->watch.fd, iov, pieces);
    return sent < 0 ? -errno : sent;
}

/* Sends what is ready until nothing is, the socket is full or others are to have their turn. */
void conn_send(struct http_conn *conn)
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
        ssize_t sent = most ? conn_send_some(conn, most) : -EAGAIN;
        if (sent == -EINTR)
            continue;
        if (sent == -EAGAIN) {
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

/* Waits for more to drop. */
static void linger_on(struct http_conn *conn)
{
    int64_t until_ms = loop_now_ms(conn->shared->loop) + HTTP_LINGER_MS;
    loop_deadline(conn->shared->loop, &conn->watch,
                  until_ms < conn->linger_until_ms ? until_ms : conn->linger_until_ms);
}

/* Behind the last answer of an ending connection. */
void conn_end(struct http_conn *conn)
{
    if (conn->eof) {
        conn_close(conn);
        return;
    }
    shutdown(conn->watch.fd, SHUT_WR);
    conn->state = CONN_LINGER;
    conn_release_in(conn);
    conn->linger_until_ms =
        loop_now_ms(conn->shared->loop) + (conn->turned_away ? HTTP_LINGER_MS : HTTP_LINGER_MOST_MS);
    linger_on(conn);
}

void conn_linger(struct http_conn *conn)
{
    ssize_t got = recv(conn->watch.fd, conn->shared->read_buffer, HTTP_READ_BYTES, 0);
    if (got > 0)
        conn->lingered += (size_t)got;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) || conn->lingered > HTTP_LINGER_BYTES)
        conn_close(conn);
    else if (got > 0)
        linger_on(conn);
}
