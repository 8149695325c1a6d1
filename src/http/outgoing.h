/* One message on its way out: a head, then what a source holds, then static bytes. The head and the bytes
 * behind the source may each be all there is. Used by one thread at a time; does no I/O. */
#ifndef HTTP_OUTGOING_H
#define HTTP_OUTGOING_H

#include "http/writer.h"

/* All zero: empty. */
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

#endif
