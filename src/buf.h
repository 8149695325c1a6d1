/* A growable run of bytes that its user owns and frees with buf_free. `struct buf b = {0}` is empty and
 * valid. No thread may use a buffer while another changes it.
 *
 * When memory runs out the bytes are dropped and `failed` is set and stays set, so that a writer checks it
 * once, at the end, instead of at each step. */
#ifndef BUF_H
#define BUF_H

#include "span.h"
#include <string.h>

struct buf {
    char *data;  /* owned; NULL while cap is 0 */
    size_t len;  /* bytes in use */
    size_t cap;  /* bytes allocated */
    bool failed; /* memory ran out at some step: the content is incomplete */
};

void buf_free(struct buf *buf);

/* Empties it and keeps the memory; clears `failed`. */
void buf_clear(struct buf *buf);

/* For buf_reserve alone: gets memory for `room` more bytes and for some that may follow. Returns false and
 * sets `failed` where there is none, or where `failed` was set before. */
bool buf_grow(struct buf *buf, size_t room);

/* Makes room for `room` more bytes behind len. Returns false and sets `failed` where there is no memory. */
static inline bool buf_reserve(struct buf *buf, size_t room)
{
    return (room <= buf->cap - buf->len && !buf->failed) || buf_grow(buf, room);
}

/* Where `len` is 0, `bytes` may be NULL. */
static inline void buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (len == 0 || !buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
}

static inline void buf_add_span(struct buf *buf, struct span span)
{
    buf_add(buf, span.at, span.len);
}

/* The length of a literal is counted by the compiler. */
static inline void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

static inline void buf_add_char(struct buf *buf, char c)
{
    if (buf_reserve(buf, 1))
        buf->data[buf->len++] = c;
}

/* Adds a number in decimal. */
void buf_add_uint(struct buf *buf, uint64_t number);

/* Adds printf output. */
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first `len` bytes; the rest moves to the front. */
void buf_drop(struct buf *buf, size_t len);

/* The content, borrowed until the next change. */
struct span buf_span(const struct buf *buf);

#endif
