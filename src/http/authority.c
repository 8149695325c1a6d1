#include "http/authority.h"

#include "hex.h"
#include "http/bytes.h"
#include "url.h"

#include <arpa/inet.h>
#include <string.h>

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
        if (!http_address_valid(AF_INET6, *host))
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
