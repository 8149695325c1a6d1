/* What stands in a file of the journal: its header, then frames, then zeros. Private to the journal.
 *
 *     file     "rlogfile", format, epoch, first id, first id of the file before, digest before, log id, check
 *     frame    8 bytes that no message has, length, count, first id, `synced`, epoch, digest, check;
 *              then the messages as the list has them, `"a","b"`, and zeros up to a multiple of 8
 *
 * Numbers have 8 bytes, the lowest first. A check is digest_chain of the header before it; the digest checks
 * the messages. */
#ifndef LOG_FRAME_H
#define LOG_FRAME_H

#include "log/journal.h"

enum { FRAME_FORMAT = 1, FRAME_ALIGN = 8, FRAME_FILE_HEAD = 128, FRAME_HEAD = 64 };

struct frame_file {
    uint64_t epoch;
    uint64_t first;  /* the file's first id */
    uint64_t before; /* the first id of the file before; 0: this is the list's first file */
    uint64_t digest; /* of the messages before `first` */
    char log[JOURNAL_LOG_SIZE];
};

enum frame_file_kind {
    FRAME_FILE_GOOD,
    FRAME_FILE_UNUSED, /* zeros */
    FRAME_FILE_BAD,
    FRAME_FILE_UNKNOWN /* whole, and of a format that this program does not know */
};

struct frame {
    uint64_t len;    /* bytes of its messages */
    uint64_t count;  /* of its messages; 1 at least */
    uint64_t first;  /* the first one's id */
    uint64_t synced; /* the id that was known to be on disk when the frame was written */
    uint64_t epoch;
    uint64_t digest; /* of the list through the last one */
};

void frame_file_write(const struct frame_file *file, char out[FRAME_FILE_HEAD]);
enum frame_file_kind frame_file_read(const char in[FRAME_FILE_HEAD], struct frame_file *file);

void frame_write(const struct frame *frame, char out[FRAME_HEAD]);

/* Returns false where no frame begins here. */
bool frame_read(const char in[FRAME_HEAD], struct frame *frame);

/* The zeros behind the messages of a frame. */
static inline size_t frame_padding(uint64_t len)
{
    return (size_t)(-len % FRAME_ALIGN);
}

/* Bytes from a frame to the next one. */
static inline uint64_t frame_bytes(const struct frame *frame)
{
    return FRAME_HEAD + frame->len + frame_padding(frame->len);
}

/* Adds the lengths of a frame's messages to `lens`, each a size_t. Takes any bytes: returns false where they
 * are not `count` strings with commas between. Memory may run out: see lens->failed. */
bool frame_split(struct span messages, uint64_t count, struct buf *lens);

#endif
