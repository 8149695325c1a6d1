#include "http/url.h"

#include "hex.h"
#include "http/bytes.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool ipv6_valid(struct span text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;
    return span_copy(text, copy, sizeof copy) && inet_pton(AF_INET6, copy, &address) == 1;
}

/* How many bytes at the start of text are a reg-name. */
static size_t name_len(struct span text)
{
    size_t i = 0;
    while (i < text.len)
        if (http_byte_is(text.at[i], HTTP_BYTE_HOST))
            i++;
        else if (text.at[i] == '%' && text.len - i > 2 && hex_digit(text.at[i + 1]) >= 0 &&
                 hex_digit(text.at[i + 2]) >= 0)
            i += 3;
        else
            break;
    return i;
}

/* Takes the host off the front of *text. */
static bool host_take(struct span *text, struct span *host)
{
    size_t taken;
    if (text->len > 0 && text->at[0] == '[') {
        const char *close = memchr(text->at, ']', text->len);
        if (!close)
            return false;
        taken = (size_t)(close - text->at) + 1;
        *host = (struct span){text->at + 1, taken - 2};
        if (!ipv6_valid(*host))
            return false;
    } else {
        taken = name_len(*text);
        *host = (struct span){text->at, taken};
    }
    *text = span_after(*text, taken);
    return host->len > 0;
}

bool http_authority_split(struct span text, struct span *host, struct span *port)
{
    struct span name;
    if (text.len == 0 || !host_take(&text, &name))
        return false;
    struct span digits = {0};
    if (text.len > 0) {
        uint64_t number;
        digits = span_after(text, 1);
        if (text.at[0] != ':' || (digits.len > 0 && (!span_uint(digits, &number) || number > UINT16_MAX)))
            return false;
    }
    *host = name;
    *port = digits;
    return true;
}

/* Brackets are off already, so a colon tells an IPv6 address, which was checked as a whole. */
static bool host_resolvable(struct span host)
{
    if (memchr(host.at, ':', host.len))
        return true;
    for (size_t i = 0; i < host.len; i++)
        if (!http_byte_is(host.at[i], HTTP_BYTE_NAME))
            return false;
    return true;
}

/* Checks the scheme and returns what is between it and a "/" at the end, if there is one. */
static bool authority_of(struct span text, struct span *authority)
{
    static const char scheme[] = "http://";
    size_t scheme_len = sizeof scheme - 1;
    if (text.len <= scheme_len || strncasecmp(text.at, scheme, scheme_len) != 0)
        return false;
    *authority = span_after(text, scheme_len);
    if (authority->at[authority->len - 1] == '/')
        authority->len--;
    return true;
}

static void lower(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text | 0x20);
}

bool http_url_parse(struct span text, struct http_url *out)
{
    struct span authority, host, digits;
    if (!authority_of(text, &authority) || !http_authority_split(authority, &host, &digits))
        return false;
    uint64_t port;
    if (!span_uint(digits, &port) || port == 0 || port > UINT16_MAX)
        return false;
    if (!host_resolvable(host) || !span_copy(host, out->host, sizeof out->host))
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
