/* host[:port], as it stands in a Host field or a request's target. */
#ifndef HTTP_AUTHORITY_H
#define HTTP_AUTHORITY_H

#include "span.h"

/* Splits host[:port] as in a Host field or an absolute-form target (RFC 9110 section 7.2, RFC 3986 section
 * 3.2). The host is a non-empty reg-name, or an IPv6 address, which *host gets without its brackets. *port
 * holds the digits, 0 to 65535; its `at` is NULL where there is no colon, and its len 0 where nothing follows
 * the colon, which the grammar allows. Both borrow from text. Returns false, outputs untouched, for anything
 * else, userinfo and IPvFuture too. */
bool http_authority_split(struct span text, struct span *host, struct span *port);

#endif
