/* URLs of nodes: http://HOST:PORT and nothing else (RFC 9110 section 4.2.1, RFC 3986 section 3.2). */
#ifndef URL_H
#define URL_H

#include "span.h"

enum { HTTP_HOST_MAX = 254 }; /* bytes of a host name or address, its terminator included */

struct http_url {
    char host[HTTP_HOST_MAX]; /* name, IPv4 address, or IPv6 address without its brackets */
    uint16_t port;            /* 1 to 65535 */
};

/* Takes http://HOST:PORT with a "/" behind it at most. The scheme and host compare without case, and the host
 * is kept in lower case. Refused are userinfo, a path, a query, a fragment, port 0, no port (port 80 is
 * hardly what a node's URL without one means), an empty host, and host bytes other than letters, digits, "-",
 * "." and "_": no resolver takes them. Returns false then, *out untouched. */
bool http_url_parse(struct span text, struct http_url *out);

/* Writes host:port, an IPv6 host in brackets. out_size must be HTTP_AUTHORITY_MAX at least. */
enum { HTTP_AUTHORITY_MAX = HTTP_HOST_MAX + 8 };
void http_url_authority(const struct http_url *url, char *out, size_t out_size);

/* The host at which a node is reached from its own machine that listens on `host`: of a wildcard the loopback
 * address. */
const char *http_host_reached(const char *host);

/* Whether text is an address of that family, AF_INET or AF_INET6. */
bool http_address_valid(int family, struct span text);

#endif
