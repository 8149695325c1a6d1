#include "http/stream.h"
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { IOV_MAX_PIECES = 64 };

ssize_t stream_receive(struct stream *stream, char *to, size_t room)
{
    ssize_t got = recv(stream->fd, to, room, MSG_DONTWAIT);
    if (got >= 0)
        return got;
    return errno == EINTR ? -EAGAIN : -errno;
}

/* ---- messages */

int outgoing_iov(const struct outgoing *outgoing, struct iovec *iov, int max)
{
    const struct http_source *source = &outgoing->source;
    size_t head_left = outgoing->head.len - outgoing->head_sent;
    uint64_t left = source->len;
    int count = 0;
    if (head_left)
        iov[count++] = (struct iovec){outgoing->head.data + outgoing->head_sent, head_left};
    int end = left ? count + source->pieces(source->state, iov + count, max - count - 1) : count;
    while (count < end)
        left -= iov[count++].iov_len;
    if (!left && outgoing->after.len)
        iov[count++] = (struct iovec){(void *)(uintptr_t)outgoing->after.at, outgoing->after.len};
    return count;
}

/* The smaller one, taken off *sent. */
static size_t sent_take(size_t *sent, uint64_t part)
{
    size_t taken = part < *sent ? (size_t)part : *sent;
    *sent -= taken;
    return taken;
}

bool outgoing_skip(struct outgoing *outgoing, size_t *sent)
{
    outgoing->head_sent += sent_take(sent, outgoing->head.len - outgoing->head_sent);
    if (outgoing->source.len) {
        size_t taken = sent_take(sent, outgoing->source.len);
        outgoing->source.skip(outgoing->source.state, taken);
        outgoing->source.len -= taken;
    }
    if (!outgoing->source.len)
        outgoing->after = span_after(outgoing->after, sent_take(sent, outgoing->after.len));
    return outgoing_done(outgoing);
}

bool outgoing_done(const struct outgoing *outgoing)
{
    return outgoing->head_sent == outgoing->head.len && !outgoing->source.len && !outgoing->after.len;
}

void outgoing_clear(struct outgoing *outgoing)
{
    buf_clear(&outgoing->head);
    outgoing->head_sent = 0;
    outgoing->source.len = 0;
    outgoing->after = (struct span){0};
}

void outgoing_free(struct outgoing *outgoing)
{
    buf_free(&outgoing->head);
    outgoing_clear(outgoing);
}

/* ---- sending */

/* The messages as far as iovecs reach. */
static int list_iov(struct outgoing *const *list, int count, struct iovec *iov)
{
    int pieces = 0;
    for (int i = 0; i < count && pieces + 3 < IOV_MAX_PIECES; i++)
        pieces += outgoing_iov(list[i], iov + pieces, IOV_MAX_PIECES - pieces);
    return pieces;
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

/* Calls the kernel once. One piece goes by send(2), which has no vector for the kernel to take in. Returns
 * the bytes sent, or a negative errno. */
static ssize_t list_send(const struct stream *stream, struct outgoing *const *list, int count, size_t most)
{
    struct iovec iov[IOV_MAX_PIECES];
    int pieces = list_iov(list, count, iov);
    pieces = iov_cut(iov, pieces, most);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
    ssize_t sent = pieces == 1 ? send(stream->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                               : sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

static enum stream_verdict stream_fill(struct stream *stream)
{
    stream->full = true;
    if (ioctl(stream->fd, SIOCOUTQ, &stream->unsent) < 0)
        stream->unsent = 0;
    return STREAM_FULL;
}

enum stream_verdict stream_send(struct stream *stream, struct outgoing *const *list, int count,
                                struct stream_turn *turn)
{
    if (!stream->full) /* else the other end's time has begun already */
        stream->progress_ms = turn->now_ms;
    stream->full = false;
    for (int at = 0; at < count;) {
        ssize_t sent = turn->most ? list_send(stream, list + at, count - at, turn->most) : -EAGAIN;
        if (sent == -EINTR)
            continue;
        if (sent < 0)
            return sent == -EAGAIN ? stream_fill(stream) : STREAM_BROKEN;
        stream->progress_ms = turn->now_ms;
        turn->most -= (size_t)sent;
        size_t left = (size_t)sent;
        while (at < count && outgoing_skip(list[at], &left))
            at++;
    }
    return STREAM_SENT;
}

enum stream_verdict stream_send_bytes(struct stream *stream, struct span *bytes, struct stream_turn *turn)
{
    struct outgoing out = {.after = *bytes};
    struct outgoing *const list[] = {&out};
    enum stream_verdict verdict = stream_send(stream, list, bytes->len > 0, turn);
    *bytes = out.after;
    return verdict;
}

bool stream_drains(struct stream *stream, int64_t now_ms, int64_t within_ms)
{
    int unsent;
    if (ioctl(stream->fd, SIOCOUTQ, &unsent) == 0 && unsent < stream->unsent) {
        stream->unsent = unsent;
        stream->progress_ms = now_ms;
    }
    return now_ms < stream->progress_ms + within_ms;
}

void stream_acknowledge(struct stream *stream)
{
    const int on = 1;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void stream_abort(struct stream *stream)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
