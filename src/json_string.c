/* JSON strings: checking, value, canonical form. json.c has the rest of the reader. */
#include "json_private.h"
#include "utf8.h"
#include <endian.h>
#include <string.h>

/* ---- Runs of plain bytes, eight at a time ----
 *
 * Catching up runs json_string over the whole list, so most bytes must cost less than a step of a loop. Eight
 * bytes are loaded as one little-endian number, and arithmetic marks the high bit of those looked for. A
 * borrow may mark bytes above a marked one wrongly, never the lowest, which is the only one used. */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH_BITS EACH(0x80)

static uint64_t word_load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

static uint64_t word_equal(uint64_t word, unsigned char byte)
{
    uint64_t zeros = word ^ EACH(byte);
    return (zeros - EACH(1)) & ~zeros & HIGH_BITS;
}

/* Which byte the lowest mark is on. */
static size_t word_first(uint64_t marks)
{
    return (size_t)__builtin_ctzll(marks) / 8;
}

/* What skip stops at. */
static uint64_t stop_high(uint64_t word)
{
    return word & HIGH_BITS;
}

static uint64_t stop_quote(uint64_t word)
{
    return word_equal(word, '"') | word_equal(word, '\\');
}

static uint64_t stop_special(uint64_t word)
{
    return stop_quote(word) | ((word - EACH(0x20)) & ~word & HIGH_BITS);
}

static uint64_t stop_special_or_high(uint64_t word)
{
    return stop_special(word) | stop_high(word);
}

/* The first byte that `stops` marks, or end. Always inline, so that each use gets a loop of its own. */
static inline __attribute__((always_inline)) const char *skip(const char *at, const char *end,
                                                              uint64_t (*stops)(uint64_t word))
{
    uint64_t marks;
    for (; end - at >= 8; at += 8)
        if ((marks = stops(word_load(at))) != 0)
            return at + word_first(marks);
    if (at == end)
        return end;
    uint64_t last = EACH('a');
    memcpy(&last, at, (size_t)(end - at));
    marks = stops(le64toh(last));
    return marks ? at + word_first(marks) : end;
}

bool json_utf8_valid(struct span bytes)
{
    const char *at = bytes.at;
    const char *end = json_span_end(bytes);
    while ((at = skip(at, end, stop_high)) < end)
        if (!(at = utf8_skip(at, end)))
            return false;
    return true;
}

/* ---- Checking ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Reads four hex digits; -1 where they are not four. */
static int32_t hex_four(const char *at, const char *end)
{
    int32_t code = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* The byte that a short escape such as \n stands for, or -1. */
static int short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    default:
        return -1;
    }
}

struct escape {
    uint32_t code; /* the character it stands for */
    size_t len;    /* its bytes in the text, the backslash included; 0: it is wrong */
};

/* Reads \uXXXX, and the second half where it is a surrogate. */
static struct escape unicode_escape(const char *at, const char *end)
{
    int32_t code = hex_four(at + 2, end);
    if (code < 0 || (code >= 0xdc00 && code < 0xe000))
        return (struct escape){0};
    if (code < 0xd800 || code >= 0xe000)
        return (struct escape){.code = (uint32_t)code, .len = 6};
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u')
        return (struct escape){0};
    int32_t low = hex_four(at + 8, end);
    if (low < 0xdc00 || low >= 0xe000)
        return (struct escape){0};
    uint32_t pair = ((uint32_t)(code - 0xd800) << 10) + (uint32_t)(low - 0xdc00) + 0x10000;
    return (struct escape){.code = pair, .len = 12};
}

/* Reads the escape whose backslash is at `at`. */
static struct escape escape_read(const char *at, const char *end)
{
    if (end - at < 2)
        return (struct escape){0};
    if (at[1] == 'u')
        return unicode_escape(at, end);
    int byte = short_escape(at[1]);
    if (byte < 0)
        return (struct escape){0};
    return (struct escape){.code = (uint32_t)byte, .len = 2};
}

/* Writes the escape of a byte that needs one; returns its length. */
static size_t escape_write(char c, char out[6])
{
    static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    static const char digits[] = "0123456789abcdef";
    out[0] = '\\';
    out[1] = c;
    if (c == '"' || c == '\\')
        return 2;
    out[1] = (size_t)c < sizeof letters ? letters[(size_t)c] : '\0';
    if (out[1])
        return 2;
    memcpy(out + 1, "u00", 3);
    out[4] = digits[(unsigned char)c >> 4];
    out[5] = digits[(unsigned char)c & 15];
    return 6;
}

/* Whether an escape is the one that the canonical form uses for its character. */
static bool escape_canonical(const char *at, struct escape escape)
{
    char canonical[6];
    if (escape.code >= 0x80 || !stop_special(EACH(escape.code)))
        return false;
    return escape_write((char)escape.code, canonical) == escape.len && memcmp(at, canonical, escape.len) == 0;
}

/* Takes what a string holds besides plain ASCII: an escape, or sequences of UTF-8. Counts in *saved the bytes
 * by which the value is shorter than the text. */
static bool take_special(struct json *json, size_t *saved, bool *canonical)
{
    if (*json->at == '\\') {
        if (json->end - json->at >= 2 &&
            (json->at[1] == '"' || json->at[1] == '\\')) { /* nearly all escapes are these */
            *saved += 1;
            json->at += 2;
            return true;
        }
        struct escape escape = escape_read(json->at, json->end);
        if (escape.len == 0)
            return json_fail(json, "a JSON string holds a bad escape or a lone surrogate");
        *canonical = *canonical && escape_canonical(json->at, escape);
        *saved += escape.len - utf8_code_len(escape.code);
        json->at += escape.len;
        return true;
    }
    if ((unsigned char)*json->at < 0x20)
        return json_fail(json, "a JSON string holds a control character that is not escaped");
    const char *behind = utf8_skip(json->at, json->end);
    if (!behind)
        return json_fail(json, "a JSON string is not UTF-8");
    json->at = behind;
    return true;
}

bool json_string(struct json *json, struct json_string *out)
{
    if (!json_take(json, '"'))
        return json_fail_here(json, "a JSON string is wanted");
    const char *start = json->at;
    size_t saved = 0;
    bool canonical = true;
    for (;;) {
        json->at = skip(json->at, json->end, stop_special_or_high);
        if (json->at == json->end)
            return json_fail(json, "a JSON string has no closing quote");
        if (*json->at == '"')
            break;
        if (!take_special(json, &saved, &canonical))
            return false;
    }
    struct span raw = {.at = start, .len = (size_t)(json->at - start)};
    *out = (struct json_string){.raw = raw, .value_len = raw.len - saved, .canonical = canonical};
    json->at++;
    return true;
}

/* ---- Values ---- */

/* Takes the next piece of a checked string's value off the front of *raw: a run without escapes, which is
 * borrowed, or the character of an escape, written to `scratch`. Returns false where nothing is left. */
static bool piece_next(struct span *raw, char scratch[4], struct span *piece)
{
    if (raw->len == 0)
        return false;
    const char *end = raw->at + raw->len;
    const char *stop = memchr(raw->at, '\\', raw->len);
    if (stop == raw->at) {
        struct escape escape = escape_read(raw->at, end);
        *piece = (struct span){.at = scratch, .len = utf8_encode(escape.code, scratch)};
        stop = raw->at + escape.len;
    } else {
        stop = stop ? stop : end;
        *piece = (struct span){.at = raw->at, .len = (size_t)(stop - raw->at)};
    }
    *raw = (struct span){.at = stop, .len = (size_t)(end - stop)};
    return true;
}

bool json_string_is(const struct json_string *string, const char *text)
{
    struct span raw = string->raw;
    struct span piece;
    char scratch[4];
    if (string->value_len != strlen(text))
        return false;
    for (; piece_next(&raw, scratch, &piece); text += piece.len)
        if (memcmp(piece.at, text, piece.len) != 0)
            return false;
    return true;
}

void json_string_value(const struct json_string *string, struct buf *out)
{
    struct span raw = string->raw;
    struct span piece;
    char scratch[4];
    buf_reserve(out, string->value_len);
    while (piece_next(&raw, scratch, &piece))
        buf_add_span(out, piece);
}

/* A NUL can only come from an escape. */
static bool holds_nul(const struct json_string *string)
{
    struct span raw = string->raw;
    struct span piece;
    char scratch[4];
    while (piece_next(&raw, scratch, &piece))
        if (piece.at == scratch && scratch[0] == '\0')
            return true;
    return false;
}

bool json_string_copy(const struct json_string *string, char *out, size_t out_size)
{
    struct span raw = string->raw;
    struct span piece;
    char scratch[4];
    if (string->value_len >= out_size || holds_nul(string))
        return false;
    for (; piece_next(&raw, scratch, &piece); out += piece.len)
        memcpy(out, piece.at, piece.len);
    *out = '\0';
    return true;
}

/* ---- Writing ---- */

static void quote_inside(struct span value, struct buf *out)
{
    const char *at = value.at;
    const char *end = json_span_end(value);
    for (;;) {
        const char *stop = skip(at, end, stop_special);
        buf_add(out, at, (size_t)(stop - at));
        if (stop == end)
            return;
        char escape[6];
        buf_add(out, escape, escape_write(*stop, escape));
        at = stop + 1;
    }
}

void json_quote(struct span value, struct buf *out)
{
    if (!buf_reserve(out, value.len + 2))
        return;
    buf_add_char(out, '"');
    quote_inside(value, out);
    buf_add_char(out, '"');
}

void json_string_canonical(const struct json_string *string, struct buf *out)
{
    struct span raw = string->raw;
    struct span piece;
    char scratch[4];
    if (!buf_reserve(out, raw.len + 2))
        return;
    buf_add_char(out, '"');
    if (string->canonical)
        buf_add_span(out, raw);
    else
        while (piece_next(&raw, scratch, &piece))
            quote_inside(piece, out);
    buf_add_char(out, '"');
}

/* The first quote that an even number of backslashes precedes: memchr finds quotes faster than any loop over
 * both. */
size_t json_canonical_len(struct span text)
{
    const char *end = text.at + text.len;
    const char *quote = text.at;
    const char *at;
    do {
        quote = memchr(quote + 1, '"', (size_t)(end - quote - 1));
        for (at = quote; at[-1] == '\\';)
            at--;
    } while ((quote - at) % 2 != 0);
    return (size_t)(quote + 1 - text.at);
}
