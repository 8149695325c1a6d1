#include "setting.h"
#include "url.h"
#include <string.h>
#include <sys/socket.h>

enum {
    ID_MAX = 200,
    HOST_LEN_MAX = 253, /* RFC 1035 section 2.3.4, as text */
    LABEL_MAX = 63
};

#define DIGITS "0123456789"
#define NAME_BYTES DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

/* ---- Texts ---- */

/* A name that ends in a number would be an IPv4 address with a slip of the pen. */
static bool name_valid(const char *name)
{
    size_t len = 0; /* of the last label */
    size_t digits = 0;
    if (strlen(name) > HOST_LEN_MAX)
        return false;
    while (*name) {
        len = strspn(name, NAME_BYTES);
        digits = strspn(name, DIGITS);
        if (len == 0 || len > LABEL_MAX || *name == '-' || (name[len] && name[len] != '.'))
            return false;
        name += len + (name[len] == '.');
    }
    return digits < len;
}

bool setting_host_valid(const char *text)
{
    struct span host = span_of(text);
    return name_valid(text) || http_address_valid(AF_INET, host) || http_address_valid(AF_INET6, host);
}

bool setting_url_valid(const char *text)
{
    struct http_url url;
    return http_url_parse(span_of(text), &url) && setting_host_valid(url.host);
}

static bool is_visible(const char *text, const char *except)
{
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at > '~' || strchr(except, *at))
            return false;
    return *text;
}

bool setting_id_valid(const char *text)
{
    return strlen(text) <= ID_MAX && is_visible(text, "\"'/?#%\\");
}

bool setting_token_valid(const char *text)
{
    return is_visible(text, "");
}

bool setting_path_valid(const char *text)
{
    return *text;
}

bool setting_hosts_valid(const char *text)
{
    while (*text) {
        char name[HOST_LEN_MAX + 1];
        size_t len = strcspn(text, ",");
        if (!span_copy((struct span){text, len}, name, sizeof name) ||
            !(name_valid(name) || strcmp(name, "*") == 0))
            return false;
        text += len + (text[len] == ',');
    }
    return true;
}

static void text_show(const struct setting *setting, const char *text, struct buf *out)
{
    if (setting->secret)
        buf_add_text(out, *text ? "set" : "none");
    else
        buf_add_text(out, *text ? text : strcmp(setting->empty, "none") == 0 ? "none" : "auto");
}

/* ---- Numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits, with a point among them at most where there are steps below 1. strtod(3) alone would take signs,
 * exponents, "inf" and hex. */
static bool is_number(const char *text, unsigned steps)
{
    size_t whole = strspn(text, DIGITS);
    size_t point = steps > 1 && text[whole] == '.';
    size_t fraction = point ? strspn(text + whole + 1, DIGITS) : 0;
    return whole + fraction > 0 && text[whole + point + fraction] == '\0';
}

/* Rounds up to the next step, so that a duration that is not 0 never becomes 0, which may mean "for ever".
 * Exact: in floating-point numbers 0.07 s would be more than 70 ms. */
static bool number_read(const struct setting *setting, const char *text, int64_t *out)
{
    int64_t number = 0;
    if (!is_number(text, setting->kind))
        return false;
    for (; is_digit(*text) && number <= setting->most; text++)
        number = number * 10 + (*text - '0');
    if (number > setting->most)
        return false;
    text += *text == '.';
    for (unsigned steps = setting->kind; steps > 1; steps /= 10)
        number = number * 10 + (is_digit(*text) ? *text++ - '0' : 0);
    *out = number + (text[strspn(text, "0")] != '\0');
    return *out >= setting->least && *out <= setting->most;
}

/* A number of bytes with its unit. */
static bool bytes_read(const struct setting *setting, const char *text, int64_t *out)
{
    static const char units[] = "kmg";
    char digits[24];
    size_t len = strlen(text);
    const char *unit = len ? strchr(units, text[len - 1] | 0x20) : NULL;
    if (!unit || !*unit)
        return number_read(setting, text, out);
    if (!span_copy((struct span){text, len - 1}, digits, sizeof digits) || !number_read(setting, digits, out))
        return false;
    int shift = 10 * (int)(unit - units + 1);
    if (*out > setting->most >> shift)
        return false;
    *out <<= shift;
    return true;
}

static bool number_take(const struct setting *setting, const char *text, int64_t *out)
{
    for (const struct setting_word *word = setting->words; word->text; word++)
        if (strcmp(text, word->text) == 0) {
            *out = word->number;
            return true;
        }
    return setting->bytes ? bytes_read(setting, text, out) : number_read(setting, text, out);
}

static void number_show(const struct setting *setting, int64_t number, struct buf *out)
{
    for (const struct setting_word *word = setting->words; word->text; word++)
        if (number == word->number) {
            buf_add_text(out, word->text);
            return;
        }
    if (number < setting->least) {
        buf_add_text(out, "none");
        return;
    }
    buf_add_uint(out, (uint64_t)(number / setting->kind));
    int64_t rest = number % setting->kind;
    if (rest > 0)
        buf_add_char(out, '.');
    for (; rest > 0; rest = rest * 10 % setting->kind)
        buf_add_char(out, (char)('0' + rest * 10 / setting->kind));
}

/* ---- Fields ---- */

static void number_store(const struct setting *setting, int64_t number, void *field)
{
    if (setting->kind == SETTING_SHARE)
        *(double *)field = (double)number / (double)SETTING_SHARE;
    else if (setting->size == sizeof(bool))
        *(bool *)field = number;
    else if (setting->size == sizeof(uint16_t))
        *(uint16_t *)field = (uint16_t)number;
    else if (setting->size == sizeof(int))
        *(int *)field = (int)number;
    else
        *(int64_t *)field = number;
}

static int64_t number_load(const struct setting *setting, const void *field)
{
    if (setting->kind == SETTING_SHARE)
        return (int64_t)(*(const double *)field * (double)SETTING_SHARE + 0.5);
    if (setting->size == sizeof(bool))
        return *(const bool *)field;
    if (setting->size == sizeof(uint16_t))
        return *(const uint16_t *)field;
    if (setting->size == sizeof(int))
        return *(const int *)field;
    return *(const int64_t *)field;
}

bool setting_take(const struct setting *setting, const char *text, void *field)
{
    int64_t number;
    if (setting->kind == SETTING_TEXT)
        return setting->valid(text) && span_copy(span_of(text), field, SETTINGS_TEXT_MAX);
    if (!number_take(setting, text, &number))
        return false;
    number_store(setting, number, field);
    return true;
}

void setting_show(const struct setting *setting, const void *field, struct buf *out)
{
    if (setting->kind == SETTING_TEXT)
        text_show(setting, field, out);
    else
        number_show(setting, number_load(setting, field), out);
}
