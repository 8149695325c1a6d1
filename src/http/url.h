/* URLs of nodes: http://HOST:PORT and nothing else (RFC 9110 section 4.2.1, RFC 3986 section 3.2). */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include "span.h"

enum { HTTP_HOST_MAX = 254 }; /* bytes of a host name or address, its terminator included */

struct http_url {
    char host[HTTP_HOST_MAX]; /* name, IPv4 address, or IPv6 address without its brackets */
    uint16_t port;            /* 1 to 65535 */
};

/* Takes http://HOST:PORT with a "/" behind it at most; the port may be left out and is 80 then. The scheme
 * and host compare without case. Userinfo, a path, a query, a fragment, port 0, an empty host, and bytes that
 * no host may have are refused. Returns false, *out untouched. */
bool http_url_parse(struct span text, struct http_url *out);

/* Writes host:port, an IPv6 host in brackets. out_size must be HTTP_AUTHORITY_MAX at least. */
enum { HTTP_AUTHORITY_MAX = HTTP_HOST_MAX + 8 };
void http_url_authority(const struct http_url *url, char *out, size_t out_size);

#endif
