#include "log/reader.h"
#include "log/disk.h"
#include <errno.h>

enum { PIECE_BYTES = 1024 * 1024 };

/* Forgets what is before an offset. */
static void reader_move(struct reader *reader, uint64_t at)
{
    bool within = at >= reader->at && at - reader->at <= reader->buf.len;
    if (within)
        buf_drop(&reader->buf, (size_t)(at - reader->at));
    else
        buf_clear(&reader->buf);
    reader->at = at;
}

/* Reads on, up to a length or the end of the file. */
static int reader_fill(struct reader *reader, size_t len)
{
    if (!buf_reserve(&reader->buf, len - reader->buf.len))
        return -ENOMEM;
    while (reader->buf.len < len) {
        int64_t got = disk_read(reader->fd, reader->buf.data + reader->buf.len, len - reader->buf.len,
                                reader->at + reader->buf.len);
        if (got <= 0)
            return (int)got;
        reader->buf.len += (size_t)got;
        if (reader->done)
            atomic_fetch_add_explicit(reader->done, (uint64_t)got, memory_order_relaxed);
    }
    return 0;
}

const char *reader_get(struct reader *reader, uint64_t at, size_t len)
{
    if (at < reader->at || at - reader->at > reader->buf.len || reader->buf.len - (at - reader->at) < len) {
        reader->error = 0;
        if (at > reader->size || len > reader->size - at)
            return NULL;
        reader_move(reader, at);
        uint64_t left = reader->size - at;
        size_t piece = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        reader->error = reader_fill(reader, len > piece ? len : piece);
        /* A part that cannot be read may be behind what is wanted. */
        if (reader->buf.len < len)
            return NULL;
    }
    return reader->buf.data + (at - reader->at);
}
