/* Content negotiation by the Accept field (RFC 9110 section 12.5.1). No I/O. */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include "http/parser.h"

/* Which of `count` types ("text/html"), the server's favourite first, the client wants most: by the quality
 * that its field gives each, then by how closely it names them, then in their order. Without a field, and
 * where it takes none of them, the first. */
int http_accept(const struct http_head *head, const char *const *types, int count);

/* Whether the field names that very type, and not only a range that it is in. */
bool http_accept_names(const struct http_head *head, const char *type);

#endif
