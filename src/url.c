#include "url.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool http_address_valid(int family, struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    return span_copy(text, copy, sizeof copy) && inet_pton(family, copy, address) == 1;
}

/* Copies a host in lower case, and without the brackets of an IPv6 address. Returns false where it is none.
 */
static bool host_take(struct span host, char out[HTTP_HOST_MAX])
{
    bool ipv6 = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
    if (ipv6)
        host = (struct span){.at = host.at + 1, .len = host.len - 2};
    if (host.len == 0 || !span_copy(host, out, HTTP_HOST_MAX))
        return false;
    for (char *at = out; *at; at++)
        *at = (char)tolower((unsigned char)*at); /* no locale is ever set */
    return ipv6 ? http_address_valid(AF_INET6, host)
                : strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789-._") == host.len;
}

bool http_url_parse(struct span text, struct http_url *out)
{
    static const char scheme[] = "http://";
    size_t scheme_len = sizeof scheme - 1;
    if (text.len <= scheme_len || strncasecmp(text.at, scheme, scheme_len) != 0)
        return false;
    struct span host = span_after(text, scheme_len);
    if (host.at[host.len - 1] == '/')
        host.len--;
    const char *colon = memrchr(host.at, ':', host.len);
    if (!colon)
        return false;
    uint64_t port;
    struct span digits = span_after(host, (size_t)(colon - host.at) + 1);
    if (!span_uint(digits, &port) || port == 0 || port > UINT16_MAX)
        return false;
    host.len = (size_t)(colon - host.at);
    struct http_url url = {.port = (uint16_t)port};
    if (!host_take(host, url.host))
        return false;
    *out = url;
    return true;
}

void http_url_authority(const struct http_url *url, char *out, size_t out_size)
{
    bool ipv6 = strchr(url->host, ':');
    snprintf(out, out_size, ipv6 ? "[%s]:%u" : "%s:%u", url->host, (unsigned)url->port);
}

const char *http_host_reached(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}
