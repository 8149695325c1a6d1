/* The ordered list of messages, kept in memory in the form in which it is sent: JSON strings in canonical
 * form (json.h), one after another with a comma behind each, in append-only segments. An id is a position: 1,
 * 2, 3, … Any part of the list is therefore a slice of memory that can go to a socket as it is.
 *
 * Knows nothing of HTTP, sockets or peers. What is appended never changes or moves until log_close, so
 * slices stay valid. One thread at a time uses a list; a slice that it has handed over may be read by another
 * one meanwhile.
 *
 * Cost: an append does not grow with the list; finding an id is a binary search over marks (one every
 * LOG_MARK_BYTES, or every LOG_MARK_MESSAGES where they are short) and a walk from one mark towards the
 * next. Who follows the list walks once: a cursor knows where it goes on. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "span.h"
#include <sys/uio.h>

enum {
    LOG_SEGMENT_BYTES = 2 * 1024 * 1024, /* a longer message has a segment to itself */
    LOG_MARK_BYTES = 16 * 1024,
    LOG_MARK_MESSAGES = 256
};

struct log;

/* A run of the list: `"a","b"`, the comma behind its last element left out. A value; copy it freely. */
struct log_slice {
    uint64_t len;                      /* bytes still to be taken */
    uint64_t count;                    /* messages in the whole slice */
    const struct log_segment *segment; /* private: where the next byte is */
    size_t offset;                     /* private */
};

/* Where someone who follows the list goes on. {.id = ID} begins at any id, 1 at least, of any list; it is
 * good for that list alone from then on, and for one thread at a time. */
struct log_cursor {
    uint64_t id;       /* of the next message */
    uint64_t digest;   /* of the messages before `id`, once log_next has moved the cursor */
    uint64_t position; /* private: of its first byte in the list; 0: to be looked for */
};

/* The end of the list: the id of the last message and the digest of all of them. 0 and 0: an empty list. */
struct log_tail {
    uint64_t last;
    uint64_t digest;
};

/* An empty list without a limit, or NULL where there is no memory. */
struct log *log_open(void);
void log_close(struct log *log);

/* The bytes that the list may have at most; a message has those of its JSON string and one more. The log
 * lines tell once when four fifths are reached, and once when the list is full. */
void log_limit(struct log *log, uint64_t max_bytes);

/* Whether messages of so many bytes may be appended. */
bool log_has_room(const struct log *log, uint64_t bytes);

/* Appends `count` messages at once: canonical strings with one comma between two, none behind the last, as a
 * slice gives them. They become visible together. Copies the bytes. `lens` are the lengths of the strings,
 * quotes included; NULL where there is one. Returns 0 and the id of the last one in *last_id, or -ENOMEM or,
 * past the limit, -ENOSPC with nothing appended. The form is the caller's promise and is not checked. */
int log_append(struct log *log, struct span elements, const size_t *lens, uint64_t count, uint64_t *last_id);

/* The same where the digest of the list behind it is known beforehand: -EBADMSG, with nothing appended, where
 * it would be another. */
int log_append_proven(struct log *log, struct span elements, const size_t *lens, uint64_t count,
                      uint64_t digest, uint64_t *last_id);

/* The id of the last message, 0 for an empty list. */
uint64_t log_last(const struct log *log);

struct log_tail log_tail(const struct log *log);

/* The bytes of the list, as log_limit counts them. */
uint64_t log_bytes(const struct log *log);

/* The messages from id `from` (1 at least) to id `to`; where to is past the end, to the end; empty where from
 * is behind to. */
struct log_slice log_slice(const struct log *log, uint64_t from, uint64_t to);

/* The messages from the cursor on, as many as max_bytes hold and one at least; the cursor moves behind them
 * and knows their digest: at no cost where they reach to the end, else by a walk from one mark towards the
 * next. Empty, and the cursor as it was, where its id is past the end. */
struct log_slice log_next(const struct log *log, struct log_cursor *cursor, uint64_t max_bytes);

/* Points up to `max` iovecs at the slice's next bytes, in order, and returns how many. Takes nothing. */
int log_slice_iov(const struct log_slice *slice, struct iovec *iov, int max);

/* Takes `bytes` bytes (slice->len at most) off the front. */
void log_slice_skip(struct log_slice *slice, uint64_t bytes);

/* A 64-bit digest of the messages 1 to id, in order: equal lists have equal digests, and two lists that
 * differ have different ones but for one chance in 2^64 or so. It guards against mix-ups, not against an
 * attacker. The digest of an empty list is 0. id must not be past the end. */
uint64_t log_digest(const struct log *log, uint64_t id);

#endif
