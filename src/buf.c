#include "buf.h"
#include "format.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 128 };

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

/* Doubles, so that a run of small additions costs linear time. */
bool buf_grow(struct buf *buf, size_t room)
{
    size_t need;
    if (buf->failed || __builtin_add_overflow(buf->len, room, &need) || need > PTRDIFF_MAX) {
        buf->failed = true;
        return false;
    }
    size_t cap = buf->cap < BUF_FIRST ? BUF_FIRST : buf->cap;
    while (cap < need)
        cap *= 2;
    char *data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void buf_add_uint(struct buf *buf, uint64_t number)
{
    char digits[FORMAT_DIGITS];
    char *end = digits + sizeof digits;
    char *at = format_uint(end, number);
    buf_add(buf, at, (size_t)(end - at));
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* vsnprintf also writes a terminator, which stays behind len. */
    if (len < 0 || !buf_reserve(buf, (size_t)len + 1)) {
        buf->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void buf_drop(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len -= len;
    if (len > 0 && buf->len > 0)
        memmove(buf->data, buf->data + len, buf->len);
}

struct span buf_span(const struct buf *buf)
{
    return (struct span){.at = buf->data, .len = buf->len};
}
