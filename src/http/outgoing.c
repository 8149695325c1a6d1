#include "http/outgoing.h"

static int iov_head(const struct outgoing *outgoing, struct iovec *iov)
{
    size_t left = outgoing->head.len - outgoing->head_sent;
    *iov = (struct iovec){outgoing->head.data + outgoing->head_sent, left};
    return left > 0;
}

static int iov_after(const struct outgoing *outgoing, struct iovec *iov)
{
    *iov = (struct iovec){(void *)(uintptr_t)outgoing->after.at, outgoing->after.len};
    return outgoing->after.len > 0;
}

int outgoing_iov(const struct outgoing *outgoing, struct iovec *iov, int max)
{
    int count = iov_head(outgoing, iov);
    uint64_t left = outgoing->source.len;
    if (!left)
        return count + iov_after(outgoing, iov + count);
    int pieces = outgoing->source.pieces(outgoing->source.state, iov + count, max - count - 1);
    for (int i = 0; i < pieces; i++)
        left -= iov[count + i].iov_len;
    count += pieces;
    return left ? count : count + iov_after(outgoing, iov + count);
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
    if (!outgoing->source.len && outgoing->after.len) {
        size_t taken = sent_take(sent, outgoing->after.len);
        outgoing->after.at += taken;
        outgoing->after.len -= taken;
    }
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
