#include "http/stream.h"
#include <errno.h>
#include <linux/sockios.h>
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

/* One piece goes by send(2), which has no vector for the kernel to take in. */
static ssize_t pieces_send(int fd, struct iovec *iov, int pieces)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
    ssize_t sent = pieces == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                               : sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

/* Calls send once. Returns the bytes sent, or a negative errno. */
static ssize_t list_send(const struct stream *stream, struct outgoing *const *list, int count,
                         const struct stream_turn *turn)
{
    struct iovec iov[IOV_MAX_PIECES];
    int pieces = list_iov(list, count, iov);
    return pieces_send(stream->fd, iov, iov_cut(iov, pieces, turn->most));
}

static enum stream_verdict stream_fill(struct stream *stream)
{
    stream->full = true;
    if (ioctl(stream->fd, SIOCOUTQ, &stream->unsent) < 0)
        stream->unsent = 0;
    return STREAM_FULL;
}

/* Sending begins: from here on the other end has its time, unless it has been waited for already. */
static void stream_begin(struct stream *stream, const struct stream_turn *turn)
{
    if (!stream->full)
        stream->progress_ms = turn->now_ms;
    stream->full = false;
}

/* Counts what was sent. Returns whether to go on; where not, *verdict says why. */
static bool stream_goes_on(struct stream *stream, ssize_t sent, struct stream_turn *turn,
                           enum stream_verdict *verdict)
{
    if (sent == -EAGAIN) {
        *verdict = stream_fill(stream);
        return false;
    }
    if (sent < 0) {
        *verdict = STREAM_BROKEN;
        return sent == -EINTR;
    }
    stream->progress_ms = turn->now_ms;
    turn->most -= (size_t)sent;
    return true;
}

enum stream_verdict stream_send(struct stream *stream, struct outgoing *const *list, int count,
                                struct stream_turn *turn)
{
    enum stream_verdict verdict;
    stream_begin(stream, turn);
    for (int at = 0; at < count;) {
        ssize_t sent = turn->most ? list_send(stream, list + at, count - at, turn) : -EAGAIN;
        if (!stream_goes_on(stream, sent, turn, &verdict))
            return verdict;
        size_t left = sent > 0 ? (size_t)sent : 0;
        while (at < count && outgoing_skip(list[at], &left))
            at++;
    }
    return STREAM_SENT;
}

enum stream_verdict stream_send_bytes(struct stream *stream, struct span *bytes, struct stream_turn *turn)
{
    enum stream_verdict verdict;
    stream_begin(stream, turn);
    while (bytes->len) {
        struct iovec iov = {(void *)(uintptr_t)bytes->at, bytes->len};
        ssize_t sent = turn->most ? pieces_send(stream->fd, &iov, iov_cut(&iov, 1, turn->most)) : -EAGAIN;
        if (!stream_goes_on(stream, sent, turn, &verdict))
            return verdict;
        size_t taken = sent > 0 ? (size_t)sent : 0;
        *bytes = (struct span){bytes->at + taken, bytes->len - taken};
    }
    return STREAM_SENT;
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

void stream_abort(struct stream *stream)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
