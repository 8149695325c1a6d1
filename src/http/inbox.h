/* The bytes of requests that are not complete: a buffer for each connection that has any, and the count of
 * what all of them have allocated, which has a limit. A buffer is freed when nothing is in it, and gives
 * memory back when little is. One thread at a time uses all that share a total. */
#ifndef HTTP_INBOX_H
#define HTTP_INBOX_H

#include "buf.h"

struct inbox_total {
    size_t bytes; /* allocated */
    size_t most;  /* its highest since memory was last given back to the system */
};

/* Makes room for `room` more bytes. Returns false, the bytes untouched, where there is no memory, or where
 * the others hold more than HTTP_BUFFERED_MAX together. */
bool inbox_reserve(struct inbox_total *total, struct buf *in, size_t room);

/* Adds bytes; false as above. */
bool inbox_add(struct inbox_total *total, struct buf *in, struct span bytes);

/* Drops the first `len` bytes. */
void inbox_drop(struct inbox_total *total, struct buf *in, size_t len);

/* Drops all of them. */
void inbox_free(struct inbox_total *total, struct buf *in);

/* The allocator may keep what long requests took, for ever: after many of them at a time the system gets it
 * back. Called now and then. */
void inbox_give_back(struct inbox_total *total);

#endif
