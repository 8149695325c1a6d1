/* What a POST /messages asks for, read and checked: the message, the write concern and the time limit. No
 * I/O. */
#ifndef REPLICATION_APPEND_REQUEST_H
#define REPLICATION_APPEND_REQUEST_H

#include "buf.h"
#include "http/server.h"
#include "json.h"

struct append_terms {
    int w;              /* see concern.h */
    int64_t timeout_ms; /* 0: for ever */
};

struct append_message {
    struct buf json;  /* the message as a canonical JSON string */
    size_t value_len; /* its own bytes */
};

/* Whether the body is JSON (application/json, application/…+json, text/json); any other is the message
 * itself.
 */
bool append_is_json(const struct http_head *head);

/* What no message may be sent as: 415. For a row's `denies`. */
const struct http_denial *append_denies(const struct http_head *head);

/* Reads the query's w and timeout over the defaults in *terms. Returns NULL, or one sentence for the client.
 */
const char *append_read_terms(const struct http_request *request, struct append_terms *terms);

/* The same for the whole request; what a JSON body names goes before the query. `message` must be empty;
 * json.failed tells where there was no memory for it. The sentence may be in `why`. */
const char *append_read(const struct http_request *request, struct append_message *message,
                        struct append_terms *terms, char why[JSON_WHY_SIZE]);

#endif
