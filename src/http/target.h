/* Request targets (RFC 9112 section 3.2): the path, percent-decoded, and the query's fields; and host[:port],
 * as it stands in a target or a Host field. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "span.h"

enum { HTTP_PATH_MAX = 1024 }; /* bytes of a decoded path, its terminator included; longer: 414 */

struct http_target {
    char
        path[HTTP_PATH_MAX]; /* decoded, "%2F" too, so that it cannot be told from "/"; "*" for asterisk-form.
                              * Dot segments are not resolved, and "//host/x" is a path like any other */
    struct span query;       /* borrowed, still encoded; empty where there is none */
    struct span authority;   /* of absolute-form, borrowed; else empty */
};

/* Takes origin-form ("/a?b=c"), absolute-form ("http://host/a"; scheme http or https, any right host; without
 * a path it means "/") and, for OPTIONS alone, "*" or the absolute-form without a path. Returns 0, or the
 * status to answer with (400, 414 for a path too long, 501 for a CONNECT to a host and a port) and a static
 * sentence in *why, with *out in no state to be used: bad percent-encoding in the path, an encoded NUL, a
 * fragment, userinfo, a byte that no target may have. The query is held against what browsers leave
 * unencoded, which is more than RFC 3986 lists; its percent-encoding is checked by http_query_decode, so a
 * field that nobody reads harms nobody. */
int http_target_parse(struct span method, struct span target, struct http_target *out, const char **why);

/* Takes the next name=value field off the front of *query. Both are still encoded; a field without "=" has an
 * empty value; nothing between two "&" is no field. Returns false when there is none left. */
bool http_query_next(struct span *query, struct span *name, struct span *value);

/* Decodes %XX, and "+" as a space, into out, terminated. Returns the length, or -1 where it does not fit, is
 * malformed, or holds a NUL; out, of one byte at least, is in no state to be used then. */
int http_query_decode(struct span encoded, char *out, size_t out_size);

/* Whether text is host[:port] as in a Host field or an absolute-form target (RFC 9110 section 7.2, RFC 3986
 * section 3.2): a non-empty reg-name, or an IPv6 address in brackets, and a port of 0 to 65535, which may be
 * missing behind its colon. Anything else is none, userinfo and IPvFuture too. */
bool http_authority_valid(struct span text, bool *has_port);

#endif
