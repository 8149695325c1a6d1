/* Request targets (RFC 9112 section 3.2): the path, percent-decoded, and the query's fields. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "span.h"

enum { HTTP_PATH_MAX = 1024 }; /* bytes of a decoded path, its terminator included; longer: 414 */

struct http_target {
    char path[HTTP_PATH_MAX]; /* decoded; "*" for asterisk-form. Dot segments are not resolved */
    size_t path_len;
    struct span query; /* borrowed, still encoded; empty where there is none */
    struct span
        authority; /* absolute-form: its host[:port], borrowed, which stands for the Host field; else empty */
};

/* Takes origin-form ("/a?b=c"), absolute-form ("http://host/a"; scheme http or https) and, for OPTIONS alone,
 * "*". Returns 0, or the status to answer with (400, or 414 for a path too long) and a static sentence in
 * *why: bad percent-encoding, an encoded NUL, a fragment, a byte that no target may have. */
int http_target_parse(struct span method, struct span target, struct http_target *out, const char **why);

/* Takes the next name=value field off the front of *query. Both are still encoded; a field without "=" has an
 * empty value. Returns false when there is none left. */
bool http_query_next(struct span *query, struct span *name, struct span *value);

/* Decodes %XX, and "+" as a space, into out, terminated. Returns the length, or -1 where it does not fit, is
 * malformed, or holds a NUL. */
int http_query_decode(struct span encoded, char *out, size_t out_size);

#endif
