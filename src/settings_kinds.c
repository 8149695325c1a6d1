#include "settings_kinds.h"
#include "clock.h"
#include "concern.h"
#include "settings.h"
#include "url.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ID_MAX = 200,
    HOST_LEN_MAX = 253, /* RFC 1035 section 2.3.4, as text */
    LABEL_MAX = 63,
    CONNECTIONS_MAX = 1000000,
    MESSAGE_MAX = 1 << 30
};

#define DIGITS_OF(number) #number
#define DIGITS(number) DIGITS_OF(number)

/* ---- Texts ---- */

static bool text_take(struct span text, void *field)
{
    return span_copy(text, field, SETTINGS_TEXT_MAX);
}

static void text_show(const void *field, struct buf *out)
{
    const char *text = field;
    buf_add_text(out, *text ? text : "auto");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* Takes the first label of a host name off the front of *name, and the dot behind it. */
static bool label_take(struct span *name, struct span *label)
{
    size_t len = 0;
    while (len < name->len && is_name(name->at[len]))
        len++;
    *label = (struct span){.at = name->at, .len = len};
    if (len == 0 || len > LABEL_MAX || label->at[0] == '-' || (len < name->len && name->at[len] != '.'))
        return false;
    len += len < name->len;
    *name = span_after(*name, len);
    return true;
}

/* A name that ends in a number would be an IPv4 address with a slip of the pen. */
static bool name_valid(struct span name)
{
    struct span label = {0};
    if (name.len == 0 || name.len > HOST_LEN_MAX)
        return false;
    while (name.len > 0)
        if (!label_take(&name, &label))
            return false;
    for (size_t i = 0; i < label.len; i++)
        if (!is_digit(label.at[i]))
            return true;
    return false;
}

static bool host_valid(struct span host)
{
    return name_valid(host) || http_address_valid(AF_INET, host) || http_address_valid(AF_INET6, host);
}

static bool host_take(const char *text, void *field)
{
    return host_valid(span_of(text)) && text_take(span_of(text), field);
}

static bool url_take(const char *text, void *field)
{
    struct http_url url;
    return http_url_parse(span_of(text), &url) && host_valid(span_of(url.host)) &&
           text_take(span_of(text), field);
}

static bool is_visible(char c)
{
    return c > ' ' && c <= '~';
}

/* An id stands in URLs, log lines and JSON as it is. */
static bool id_take(const char *text, void *field)
{
    struct span id = span_of(text);
    if (id.len < 1 || id.len > ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!is_visible(id.at[i]) || strchr("\"'/?#%\\", id.at[i]))
            return false;
    return text_take(id, field);
}

static bool token_take(const char *text, void *field)
{
    for (const char *at = text; *at; at++)
        if (!is_visible(*at))
            return false;
    return *text && text_take(span_of(text), field);
}

static void token_show(const void *field, struct buf *out)
{
    const char *token = field;
    buf_add_text(out, *token ? "set" : "none");
}

/* ---- Words ---- */

static const char *const levels[] = {"debug", "info", "warn", "error"};

static bool level_take(const char *text, void *field)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(text, levels[i]) == 0) {
            *(enum logline_level *)field = (enum logline_level)i;
            return true;
        }
    return false;
}

static void level_show(const void *field, struct buf *out)
{
    buf_add_text(out, levels[*(const enum logline_level *)field]);
}

static bool format_take(const char *text, void *field)
{
    bool json = strcmp(text, "json") == 0;
    if (!json && strcmp(text, "text") != 0)
        return false;
    *(bool *)field = json;
    return true;
}

static void format_show(const void *field, struct buf *out)
{
    buf_add_text(out, *(const bool *)field ? "json" : "text");
}

/* ---- Whole numbers ---- */

static bool number_take(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    uint64_t number;
    if (!span_uint(span_of(text), &number) || number < least || number > most)
        return false;
    *out = number;
    return true;
}

static bool port_take(const char *text, void *field)
{
    uint64_t number;
    if (!number_take(text, 0, UINT16_MAX, &number))
        return false;
    *(uint16_t *)field = (uint16_t)number;
    return true;
}

static void port_show(const void *field, struct buf *out)
{
    buf_add_uint(out, *(const uint16_t *)field);
}

static bool bytes_take(const char *text, void *field)
{
    uint64_t number;
    if (!number_take(text, 1, MESSAGE_MAX, &number))
        return false;
    *(size_t *)field = (size_t)number;
    return true;
}

static void bytes_show(const void *field, struct buf *out)
{
    buf_add_uint(out, *(const size_t *)field);
}

static bool connections_take(const char *text, void *field)
{
    uint64_t number;
    if (!number_take(text, 1, CONNECTIONS_MAX, &number))
        return false;
    *(int *)field = (int)number;
    return true;
}

static void connections_show(const void *field, struct buf *out)
{
    buf_addf(out, "%d", *(const int *)field);
}

static bool concern_take(const char *text, void *field)
{
    return concern_parse(span_of(text), field);
}

static void concern_show(const void *field, struct buf *out)
{
    int nodes = *(const int *)field;
    if (nodes == CONCERN_ALL)
        buf_add_text(out, "all");
    else if (nodes == CONCERN_MAJORITY)
        buf_add_text(out, "majority");
    else
        buf_addf(out, "%d", nodes);
}

static bool quorum_take(const char *text, void *field)
{
    if (strcmp(text, "off") == 0)
        *(int *)field = SETTINGS_QUORUM_OFF;
    else if (strcmp(text, "all") == 0)
        return false;
    else
        return concern_take(text, field);
    return true;
}

static void quorum_show(const void *field, struct buf *out)
{
    if (*(const int *)field == SETTINGS_QUORUM_OFF)
        buf_add_text(out, "off");
    else
        concern_show(field, out);
}

enum { NODES_MAX = 1001 };

static bool nodes_take(const char *text, void *field)
{
    uint64_t nodes;
    if (!span_uint(span_of(text), &nodes) || nodes < 1 || nodes > NODES_MAX)
        return false;
    *(unsigned *)field = (unsigned)nodes;
    return true;
}

static void nodes_show(const void *field, struct buf *out)
{
    if (*(const unsigned *)field)
        buf_addf(out, "%u", *(const unsigned *)field);
    else
        buf_add_text(out, "none");
}

/* ---- Numbers with decimals ---- */

/* Digits with a point among them at most. strtod(3) alone would take signs, exponents, "inf" and hex. */
static bool is_decimal(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t point = text[whole] == '.' ? 1 : 0;
    return whole + fraction > 0 && text[whole + point + fraction] == '\0';
}

/* Rounds up to the next millisecond, so that a duration that is not 0 never becomes 0, which may mean "for
 * ever". Exact: in floating-point numbers 0.07 s would be more than 70 ms. */
static bool seconds_take(const char *text, int64_t least_ms, int64_t *out)
{
    if (!is_decimal(text))
        return false;
    int64_t ms = 0;
    const char *at = text;
    for (; is_digit(*at) && ms <= CLOCK_LONGEST_S; at++)
        ms = ms * 10 + (*at - '0');
    if (ms > CLOCK_LONGEST_S)
        return false;
    at += *at == '.';
    for (int i = 0; i < 3; i++)
        ms = ms * 10 + (is_digit(*at) ? *at++ - '0' : 0);
    ms += at[strspn(at, "0")] != '\0';
    if (ms < least_ms || ms > CLOCK_LONGEST_S * INT64_C(1000))
        return false;
    *out = ms;
    return true;
}

static bool duration_take(const char *text, void *field)
{
    return seconds_take(text, 0, field);
}

static bool timeout_take(const char *text, void *field)
{
    return seconds_take(text, 1, field);
}

static bool interval_take(const char *text, void *field)
{
    int64_t ms;
    if (!seconds_take(text, 10, &ms) || ms > 60000)
        return false;
    *(int64_t *)field = ms;
    return true;
}

/* Adds a number with decimals, without the zeros at its end. */
static void decimal_show(double number, int decimals, struct buf *out)
{
    buf_addf(out, "%.*f", decimals, number);
    while (!out->failed && out->data[out->len - 1] == '0')
        out->len--;
    if (!out->failed && out->data[out->len - 1] == '.')
        out->len--;
}

static void duration_show(const void *field, struct buf *out)
{
    decimal_show((double)*(const int64_t *)field / 1000, 3, out);
}

static bool share_take(const char *text, void *field)
{
    if (!is_decimal(text))
        return false;
    double share = strtod(text, NULL);
    if (share > 1)
        return false;
    *(double *)field = share;
    return true;
}

static void share_show(const void *field, struct buf *out)
{
    decimal_show(*(const double *)field, 9, out);
}

/* ---- The kinds ---- */

const struct settings_kind settings_kind_host = {
    .take = host_take,
    .show = text_show,
    .want = "an IPv4 address, an IPv6 address without brackets, or a host name",
    .about = "ADDRESS",
};
const struct settings_kind settings_kind_url = {
    .take = url_take,
    .show = text_show,
    .want = "http://HOST:PORT, such as http://127.0.0.1:5000",
    .about = "URL",
};
const struct settings_kind settings_kind_id = {
    .take = id_take,
    .show = text_show,
    .want = "1 to 200 visible ASCII characters, none of them a space or one of \" ' / ? # % \\",
    .about = "NAME",
};
const struct settings_kind settings_kind_token = {
    .take = token_take,
    .show = token_show,
    .want = "1 to 255 visible ASCII characters without a space",
    .about = "TOKEN",
    .secret = true,
};
const struct settings_kind settings_kind_port = {
    .take = port_take,
    .show = port_show,
    .want = "a number from 0 to 65535",
    .about = "PORT",
};
const struct settings_kind settings_kind_level = {
    .take = level_take,
    .show = level_show,
    .want = "debug, info, warn or error",
    .about = "LEVEL",
};
const struct settings_kind settings_kind_format = {
    .take = format_take,
    .show = format_show,
    .want = "text or json",
    .about = "FORMAT",
};
const struct settings_kind settings_kind_bytes = {
    .take = bytes_take,
    .show = bytes_show,
    .want = "a number of bytes from 1 to 1073741824",
    .about = "BYTES",
};
const struct settings_kind settings_kind_connections = {
    .take = connections_take,
    .show = connections_show,
    .want = "a number from 1 to 1000000",
    .about = "NUMBER",
};
const struct settings_kind settings_kind_concern = {
    .take = concern_take,
    .show = concern_show,
    .want = CONCERN_HINT,
    .about = "W",
};
const struct settings_kind settings_kind_quorum = {
    .take = quorum_take,
    .show = quorum_show,
    .want = "\"off\", \"majority\" or a number of nodes from 1 to 65535",
    .about = "NODES",
};
const struct settings_kind settings_kind_nodes = {
    .take = nodes_take,
    .show = nodes_show,
    .want = "a number of nodes from 1 to 1001",
    .about = "NODES",
};
const struct settings_kind settings_kind_duration = {
    .take = duration_take,
    .show = duration_show,
    .want = "seconds from 0 to " DIGITS(CLOCK_LONGEST_S) ", such as 2 or 0.25",
    .about = "SECONDS",
};
const struct settings_kind settings_kind_timeout = {
    .take = timeout_take,
    .show = duration_show,
    .want = "seconds from 0.001 to " DIGITS(CLOCK_LONGEST_S) ", such as 75 or 0.25",
    .about = "SECONDS",
};
const struct settings_kind settings_kind_interval = {
    .take = interval_take,
    .show = duration_show,
    .want = "seconds from 0.01 to 60, such as 1 or 0.25",
    .about = "SECONDS",
};
const struct settings_kind settings_kind_share = {
    .take = share_take,
    .show = share_show,
    .want = "a share from 0 to 1, such as 0.25",
    .about = "SHARE",
};
