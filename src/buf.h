/* A growable run of bytes that its user owns and frees with buf_free. `struct buf b = {0}` is empty and
 * valid. No thread may use a buffer while another changes it.
 *
 * When memory runs out the bytes are dropped and `failed` is set and stays set, so that a writer checks it
 * once, at the end, instead of at each step. */
#ifndef BUF_H
#define BUF_H

#include "span.h"

struct buf {
    char *data;  /* owned; NULL while cap is 0 */
    size_t len;  /* bytes in use */
    size_t cap;  /* bytes allocated */
    bool failed; /* memory ran out at some step: the content is incomplete */
};

void buf_free(struct buf *buf);

/* Empties it and keeps the memory; clears `failed`. */
void buf_clear(struct buf *buf);

/* Makes room for `room` more bytes behind len. Returns false and sets `failed` where there is no memory. */
bool buf_reserve(struct buf *buf, size_t room);

void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_span(struct buf *buf, struct span span);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);

/* Adds a number in decimal. */
void buf_add_uint(struct buf *buf, uint64_t number);

/* Adds printf output. */
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first `len` bytes; the rest moves to the front. */
void buf_drop(struct buf *buf, size_t len);

/* The content, borrowed until the next change. */
struct span buf_span(const struct buf *buf);

#endif
