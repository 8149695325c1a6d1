#include "http/target.h"

#include "hex.h"
#include "http/bytes.h"
#include "url.h"

#include <arpa/inet.h>
#include <string.h>

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

/* Takes %XX at the front of text, which starts with "%". Returns the byte, or -1 where it is malformed. */
static int percent_decode(struct span text)
{
    if (text.len < 3)
        return -1;
    int high = hex_digit(text.at[1]);
    int low = hex_digit(text.at[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* ---- authorities */

/* How many bytes at the start of text are a reg-name. */
static size_t name_len(struct span text)
{
    size_t i = 0;
    while (i < text.len)
        if (http_byte_is(text.at[i], HTTP_BYTE_HOST))
            i++;
        else if (text.at[i] == '%' && percent_decode(span_after(text, i)) >= 0)
            i += 3;
        else
            break;
    return i;
}

/* The bytes at the start of text that are a host; 0 where there is none. */
static size_t host_len(struct span text)
{
    if (text.len == 0 || text.at[0] != '[')
        return name_len(text);
    const char *close = memchr(text.at, ']', text.len);
    size_t len = close ? (size_t)(close - text.at) + 1 : 0;
    return close && http_address_valid(AF_INET6, (struct span){text.at + 1, len - 2}) ? len : 0;
}

bool http_authority_valid(struct span text, bool *has_port)
{
    size_t host = host_len(text);
    struct span port = span_after(text, host);
    uint64_t number;
    *has_port = port.len > 1;
    if (host == 0 || port.len == 0)
        return host > 0;
    struct span digits = span_after(port, 1);
    return port.at[0] == ':' && (digits.len == 0 || (span_uint(digits, &number) && number <= UINT16_MAX));
}

/* ---- targets */

static int path_decode(struct span text, struct http_target *out, const char **why)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; len++) {
        if (len == HTTP_PATH_MAX - 1)
            return refuse(414, "the path is too long", why);
        if (http_byte_is(text.at[i], HTTP_BYTE_PATH)) {
            out->path[len] = text.at[i++];
            continue;
        }
        int byte = text.at[i] == '%' ? percent_decode(span_after(text, i)) : 0;
        if (byte <= 0) {
            return refuse(400, "the path holds a byte that must be percent-encoded, or a wrong encoding",
                          why);
        }
        out->path[len] = (char)byte;
        i += 3;
    }
    out->path[len] = '\0';
    return 0;
}

static bool query_valid(struct span query)
{
    for (size_t i = 0; i < query.len; i++)
        if (!http_byte_is(query.at[i], HTTP_BYTE_QUERY))
            return false;
    return true;
}

/* Takes scheme and authority off the front of *text and leaves the path, which may be empty, and the query.
 */
static bool authority_take(struct span *text, struct span *authority)
{
    size_t start = span_starts_nocase(*text, "http://") ? 7 : span_starts_nocase(*text, "https://") ? 8 : 0;
    if (!start)
        return false;
    size_t end = start;
    while (end < text->len && text->at[end] != '/' && text->at[end] != '?')
        end++;
    bool has_port;
    *authority = (struct span){text->at + start, end - start};
    *text = span_after(*text, end);
    return http_authority_valid(*authority, &has_port);
}

/* Takes what stands before the next `mark`, and the mark, off the front of *text. */
static struct span part_take(struct span *text, char mark)
{
    const char *end = text->len > 0 ? memchr(text->at, mark, text->len) : NULL;
    struct span part = {text->at, end ? (size_t)(end - text->at) : text->len};
    *text = span_after(*text, part.len + (end != NULL));
    return part;
}

int http_target_parse(struct span method, struct span target, struct http_target *out, const char **why)
{
    bool has_port;
    out->query = out->authority = (struct span){0};
    if (span_equals(method, "CONNECT"))
        return http_authority_valid(target, &has_port) && has_port
                   ? refuse(501, "this server makes no tunnels", why)
                   : refuse(400, "the target of CONNECT is not a host and a port", why);
    if (target.len == 0)
        return refuse(400, "the target is empty", why);
    if (memchr(target.at, '#', target.len))
        return refuse(400, "the target has a fragment", why);
    bool asks_server = span_equals(method, "OPTIONS") && !memchr(target.at, '?', target.len);
    if (span_equals(target, "*"))
        return asks_server ? path_decode(target, out, why)
                           : refuse(400, "the target * is for OPTIONS alone", why);
    if (target.at[0] != '/' && !authority_take(&target, &out->authority))
        return refuse(400, "the target is neither a path nor an http URL", why);
    struct span path = part_take(&target, '?');
    out->query = target;
    if (!query_valid(out->query))
        return refuse(400, "the query holds a byte that must be percent-encoded", why);
    if (path.len == 0) /* "OPTIONS http://host" asks about the server (RFC 9112 section 3.2.4) */
        path = span_of(asks_server ? "*" : "/");
    return path_decode(path, out, why);
}

/* ---- queries */

bool http_query_next(struct span *query, struct span *name, struct span *value)
{
    while (query->len > 0) {
        struct span field = part_take(query, '&');
        if (field.len > 0) {
            *name = part_take(&field, '=');
            *value = field;
            return true;
        }
    }
    return false;
}

int http_query_decode(struct span encoded, char *out, size_t out_size)
{
    size_t len = 0;
    for (size_t i = 0; i < encoded.len; len++) {
        int byte = (unsigned char)encoded.at[i];
        size_t taken = 1;
        if (byte == '%') {
            byte = percent_decode(span_after(encoded, i));
            taken = 3;
        } else if (byte == '+') {
            byte = ' ';
        }
        if (byte <= 0 || len + 1 >= out_size)
            return -1;
        out[len] = (char)byte;
        i += taken;
    }
    out[len] = '\0';
    return (int)len;
}
