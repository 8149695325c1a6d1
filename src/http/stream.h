/* One socket that does not block: bytes in, messages out in pieces. Knows nothing of what they are. What it
 * finds it returns; what follows from that is its user's to decide. One thread at a time uses it. */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include "http/writer.h"
#include <sys/types.h>

/* One message on its way out: a head, then what a source holds, then static bytes. The head and the bytes
 * behind the source may each be all there is. All zero: empty. */
struct outgoing {
    struct buf head; /* owned; also holds a short body */
    size_t head_sent;
    struct http_source source; /* what is left of it; len 0: none */
    struct span after;         /* what is left of the static bytes behind the source */
};

/* Points iovecs at the next bytes of the message, in order; returns how many. max is 3 at least. */
int outgoing_iov(const struct outgoing *outgoing, struct iovec *iov, int max);

/* Counts up to *sent bytes as sent, takes them off *sent, and returns whether the whole message was sent. */
bool outgoing_skip(struct outgoing *outgoing, size_t *sent);

/* Whether nothing is left to send. */
bool outgoing_done(const struct outgoing *outgoing);

/* Empties it and keeps the head's memory. */
void outgoing_clear(struct outgoing *outgoing);

void outgoing_free(struct outgoing *outgoing);

struct stream {
    int fd;
    bool full;           /* more is to be sent: the socket takes nothing now, or the turn was over */
    int unsent;          /* full: bytes in the socket when that was looked at last */
    int64_t progress_ms; /* full: when the other end took something last */
};

/* What may be sent at a time, on one stream. */
struct stream_turn {
    int64_t now_ms;
    size_t most; /* bytes left of it */
};

enum stream_verdict {
    STREAM_SENT,  /* all of it */
    STREAM_FULL,  /* some of it, or nothing; go on when the socket is ready to be written */
    STREAM_BROKEN /* nothing can be sent any more */
};

/* Receives up to `room` bytes. Returns how many, 0 at their end, or a negative errno: -EAGAIN where there are
 * none now. */
ssize_t stream_receive(struct stream *stream, char *to, size_t room);

/* Sends messages in their order, as far as the socket and the turn go; outgoing_done tells which are sent. */
enum stream_verdict stream_send(struct stream *stream, struct outgoing *const *list, int count,
                                struct stream_turn *turn);

/* The same for a few bytes, which are taken off *bytes. */
enum stream_verdict stream_send_bytes(struct stream *stream, struct span *bytes, struct stream_turn *turn);

/* Whether the other end of a full stream has taken something within so many milliseconds. The kernel wants a
 * good part of a socket's buffer to be free before it tells of room in it, which takes a slow reader of much
 * a while; so ask now and then. */
bool stream_drains(struct stream *stream, int64_t now_ms, int64_t within_ms);

/* Acknowledges at once what was received. A client that sends its head and its body apart, with Nagle's
 * algorithm on, sends the body only then, and the kernel may wait for 40 ms (tcp(7), TCP_QUICKACK). */
void stream_acknowledge(struct stream *stream);

/* Lets the close that follows throw away what the other end did not take. */
void stream_abort(struct stream *stream);

#endif
