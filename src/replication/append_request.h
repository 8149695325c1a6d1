/* What a POST /messages asks for, read and checked: the message or the list of messages, the write concern,
 * the time limit, the id that is expected, whether a receipt is wanted. No I/O. */
#ifndef REPLICATION_APPEND_REQUEST_H
#define REPLICATION_APPEND_REQUEST_H

#include "buf.h"
#include "http/server.h"
#include "json.h"

struct append_terms {
    int w;              /* see concern.h */
    int64_t timeout_ms; /* 0: for ever */
    uint64_t expect;    /* the id that the first message is to get; 0: any */
    bool receipt;       /* the answer is to tell when each node came to hold it: see receipts.h */
};

enum {
    APPEND_LIST_MAX = 10000, /* messages of one request */
    APPEND_LIST_BYTES_MAX =
        8 * 1024 * 1024, /* of a JSON body, or what one message may take if that is more */
};

/* What is appended together. */
struct append_messages {
    struct buf json; /* canonical JSON strings, one comma between two */
    struct buf lens; /* of a list: a size_t for each of them, its length, quotes included */
    uint64_t count;
    bool is_list;        /* sent as a list, which may have one message */
    size_t value_len;    /* the bytes of all of them */
    size_t longest;      /* the bytes of the longest one, */
    uint64_t longest_at; /* which is the first, second, … of them, from 1 on */
};

/* Whether the body is JSON (application/json, application/…+json, text/json); any other is the message
 * itself.
 */
bool append_is_json(const struct http_head *head);

/* What no message may be sent as: 415. For a row's `denies`. */
const struct http_denial *append_denies(const struct http_head *head);

/* Reads the query's w, timeout and receipt over the defaults in *terms. Returns NULL, or one sentence for the
 * client. */
const char *append_read_terms(const struct http_request *request, struct append_terms *terms);

/* The same for the whole request, and `expect`; what a JSON body names goes before the query. The two buffers
 * of `messages` must be empty; `failed` of one of them tells that there was no memory. The sentence may be in
 * `why`. */
const char *append_read(const struct http_request *request, struct append_messages *messages,
                        struct append_terms *terms, char why[JSON_WHY_SIZE]);

/* The lengths of the messages of a list, as log_append takes them; NULL for a single message. */
static inline const size_t *append_lens(const struct append_messages *messages)
{
    return (const size_t *)(const void *)messages->lens.data;
}

#endif
