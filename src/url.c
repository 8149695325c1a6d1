#include "url.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool http_address_valid(int family, struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    return span_copy(text, copy, sizeof copy) && inet_pton(family, copy, address) == 1;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* Takes the brackets off an IPv6 address. Returns false where this is no host. */
static bool host_check(struct span *host)
{
    if (host->len > 2 && host->at[0] == '[' && host->at[host->len - 1] == ']') {
        *host = (struct span){.at = host->at + 1, .len = host->len - 2};
        return http_address_valid(AF_INET6, *host);
    }
    for (size_t i = 0; i < host->len; i++)
        if (!is_name_byte(host->at[i]))
            return false;
    return host->len > 0;
}

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text | 0x20);
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
    if (!host_check(&host) || !span_copy(host, out->host, sizeof out->host))
        return false;
    lower(out->host);
    out->port = (uint16_t)port;
    return true;
}

void http_url_authority(const struct http_url *url, char *out, size_t out_size)
{
    bool ipv6 = strchr(url->host, ':');
    snprintf(out, out_size, ipv6 ? "[%s]:%u" : "%s:%u", url->host, (unsigned)url->port);
}
