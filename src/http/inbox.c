#include "http/inbox.h"
#include "http/server.h"
#include <malloc.h>

enum {
    SHRINK_LEAST = 32 * 1024,          /* a smaller buffer stays as it is */
    SHRINK_SHARE = 4,                  /* one of which no more than a quarter is used is replaced */
    GIVE_BACK_BYTES = 32 * 1024 * 1024 /* see inbox_give_back */
};

bool inbox_reserve(struct inbox_total *total, struct buf *in, size_t room)
{
    size_t cap = in->cap;
    if (total->bytes - cap > HTTP_BUFFERED_MAX)
        return false;
    if (!buf_reserve(in, room)) {
        in->failed = false; /* what is there is whole */
        return false;
    }
    total->bytes += in->cap - cap;
    return true;
}

bool inbox_add(struct inbox_total *total, struct buf *in, struct span bytes)
{
    if (!inbox_reserve(total, in, bytes.len))
        return false;
    buf_add_span(in, bytes);
    return true;
}

/* Moves what is left of a large buffer into a small one, where there is memory for it. */
static void shrink(struct inbox_total *total, struct buf *in)
{
    struct buf small = {0};
    buf_add_span(&small, buf_span(in));
    if (small.failed)
        return;
    total->bytes -= in->cap - small.cap;
    buf_free(in);
    *in = small;
}

void inbox_drop(struct inbox_total *total, struct buf *in, size_t len)
{
    if (len == in->len) {
        inbox_free(total, in);
        return;
    }
    buf_drop(in, len);
    if (in->cap >= SHRINK_LEAST && in->len <= in->cap / SHRINK_SHARE && len)
        shrink(total, in);
}

void inbox_free(struct inbox_total *total, struct buf *in)
{
    total->bytes -= in->cap;
    buf_free(in);
}

void inbox_give_back(struct inbox_total *total)
{
    if (total->bytes > total->most)
        total->most = total->bytes;
    if (total->most < GIVE_BACK_BYTES || total->bytes > total->most / 4)
        return;
    total->most = total->bytes;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
