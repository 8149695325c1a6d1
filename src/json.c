#include "json.h"
#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Runs of plain bytes, eight at a time ----
 *
 * Catching up runs json_string over the whole list, so most bytes must cost less than a step of a loop. Eight
 * bytes are loaded as one little-endian number, and arithmetic marks the high bit of those looked for. A
 * borrow may mark bytes above a marked one wrongly, never the lowest, which is the only one used. */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH_BITS EACH(0x80)

/* An empty span may hold NULL, to which C lets nothing be added, not even 0. */
static const char *span_end(struct span span)
{
    return span.len > 0 ? span.at + span.len : span.at;
}

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

/* Quotes, backslashes and control bytes: what cannot stand in a string as it is. */
static uint64_t word_special(uint64_t word)
{
    uint64_t controls = (word - EACH(0x20)) & ~word & HIGH_BITS;
    return controls | word_equal(word, '"') | word_equal(word, '\\');
}

/* Which byte the lowest mark is on. */
static size_t word_first(uint64_t marks)
{
    return (size_t)__builtin_ctzll(marks) / 8;
}

static bool byte_special(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* Passes over ASCII that needs no escape. */
static const char *skip_plain(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word = word_load(at);
        uint64_t marks = word_special(word) | (word & HIGH_BITS);
        if (marks)
            return at + word_first(marks);
    }
    while (at < end && !byte_special(*at) && (unsigned char)*at < 0x80)
        at++;
    return at;
}

/* Passes over anything that needs no escape, for bytes known to be UTF-8. */
static const char *skip_unescaped(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t marks = word_special(word_load(at));
        if (marks)
            return at + word_first(marks);
    }
    while (at < end && !byte_special(*at))
        at++;
    return at;
}

static const char *skip_ascii(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t marks = word_load(at) & HIGH_BITS;
        if (marks)
            return at + word_first(marks);
    }
    while (at < end && (unsigned char)*at < 0x80)
        at++;
    return at;
}

/* ---- UTF-8 ---- */

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The first byte of a three or four byte sequence narrows the range of the second (RFC 3629 section 4). */
static bool second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0; /* below: an overlong form */
    case 0xed:
        return second < 0xa0; /* above: surrogates */
    case 0xf0:
        return second >= 0x90; /* below: an overlong form */
    case 0xf4:
        return second < 0x90; /* above: past U+10FFFF */
    default:
        return true;
    }
}

/* The length of the sequence of two to four bytes that starts at `at`, or 0 where there is no right one. */
static size_t utf8_len(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    size_t len = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (len == 0 || (size_t)(end - at) < len || !is_tail(at[1]) || !second_fits(first, (unsigned char)at[1]))
        return 0;
    for (size_t i = 2; i < len; i++)
        if (!is_tail(at[i]))
            return 0;
    return len;
}

static size_t utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(first[len] | code);
    return len;
}

bool json_utf8_valid(struct span bytes)
{
    const char *at = bytes.at;
    const char *end = span_end(bytes);
    while ((at = skip_ascii(at, end)) < end) {
        size_t len = utf8_len(at, end);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

/* ---- Tokens ---- */

static bool fail(struct json *json, const char *error)
{
    json->error = error;
    return false;
}

/* A text that is cut short gets a sentence of its own: it helps more than what was wanted there. */
static bool fail_here(struct json *json, const char *error)
{
    return fail(json, json->at == json->end ? "the JSON text ends too early" : error);
}

static void skip_space(struct json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

/* Takes `c` where it comes next. */
static bool take(struct json *json, char c)
{
    skip_space(json);
    if (json->at == json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

struct json json_text(struct span text)
{
    return (struct json){.at = text.at, .end = span_end(text)};
}

bool json_object(struct json *json)
{
    if (!take(json, '{'))
        return fail_here(json, "a JSON object is wanted");
    json->opened = true;
    return true;
}

bool json_array(struct json *json)
{
    if (!take(json, '['))
        return fail_here(json, "a JSON array is wanted");
    json->opened = true;
    return true;
}

/* What comes before a member or an element: the closing byte (false), or a comma unless it is the first. */
static bool next_item(struct json *json, char close, const char *error)
{
    bool first = json->opened;
    json->opened = false;
    if (take(json, close))
        return false;
    if (!first && !take(json, ','))
        return fail_here(json, error);
    skip_space(json);
    if (json->at == json->end)
        return fail_here(json, error);
    return true;
}

bool json_member(struct json *json, struct json_string *name)
{
    if (!next_item(json, '}', "a comma or \"}\" is wanted in a JSON object"))
        return false;
    if (*json->at != '"')
        return fail(json, "a name in quotes is wanted in a JSON object");
    if (!json_string(json, name))
        return false;
    return take(json, ':') || fail_here(json, "a colon is wanted behind a name in a JSON object");
}

bool json_element(struct json *json)
{
    return next_item(json, ']', "a comma or \"]\" is wanted in a JSON array");
}

/* ---- Strings: checking ---- */

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
    return byte < 0 ? (struct escape){0} : (struct escape){.code = (uint32_t)byte, .len = 2};
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
    if (escape.code >= 0x80 || !byte_special((char)escape.code))
        return false;
    return escape_write((char)escape.code, canonical) == escape.len && memcmp(at, canonical, escape.len) == 0;
}

static size_t code_len(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

bool json_string(struct json *json, struct json_string *out)
{
    if (!take(json, '"'))
        return fail_here(json, "a JSON string is wanted");
    const char *start = json->at;
    const char *end = json->end;
    const char *at = start;
    size_t saved = 0; /* bytes by which the value is shorter than the text */
    bool canonical = true;
    while ((at = skip_plain(at, end)) < end && *at != '"') {
        if (*at == '\\') {
            struct escape escape = escape_read(at, end);
            if (escape.len == 0)
                return fail(json, "a JSON string holds a bad escape or a lone surrogate");
            canonical = canonical && escape_canonical(at, escape);
            saved += escape.len - code_len(escape.code);
            at += escape.len;
            continue;
        }
        if ((unsigned char)*at < 0x20)
            return fail(json, "a JSON string holds a control character that is not escaped");
        while (at < end && (unsigned char)*at >= 0x80) {
            size_t len = utf8_len(at, end);
            if (len == 0)
                return fail(json, "a JSON string is not UTF-8");
            at += len;
        }
    }
    if (at == end)
        return fail(json, "a JSON string has no closing quote");
    size_t raw_len = (size_t)(at - start);
    *out = (struct json_string){
        .raw = {.at = start, .len = raw_len}, .value_len = raw_len - saved, .canonical = canonical};
    json->at = at + 1;
    return true;
}

/* ---- Strings: values ---- */

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

/* ---- Strings: writing ---- */

static void quote_inside(struct span value, struct buf *out)
{
    const char *at = value.at;
    const char *end = span_end(value);
    for (;;) {
        const char *stop = skip_unescaped(at, end);
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

size_t json_canonical_len(struct span text)
{
    const char *end = text.at + text.len;
    const char *at = text.at + 1;
    for (;;) {
        while (end - at >= 8) {
            uint64_t word = word_load(at);
            uint64_t marks = word_equal(word, '"') | word_equal(word, '\\');
            if (marks) {
                at += word_first(marks);
                break;
            }
            at += 8;
        }
        while (*at != '"' && *at != '\\')
            at++;
        if (*at == '"')
            return (size_t)(at + 1 - text.at);
        at += 2;
    }
}

/* ---- Numbers and other values ---- */

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* The end of the digits, or NULL where there is not one. */
static const char *need_digits(const char *at, const char *end)
{
    const char *stop = skip_digits(at, end);
    return stop > at ? stop : NULL;
}

/* The end of the number that starts at `at`, or NULL where the grammar of RFC 8259 section 6 has none. */
static const char *number_end(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    const char *stop = need_digits(at, end);
    if (!stop || (*at == '0' && stop - at > 1))
        return NULL;
    at = stop;
    if (at < end && *at == '.' && !(at = need_digits(at + 1, end)))
        return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = need_digits(at, end);
    }
    return at;
}

static bool number_token(struct json *json, struct span *out)
{
    skip_space(json);
    const char *stop = number_end(json->at, json->end);
    if (!stop)
        return fail_here(json, "a JSON number is wanted");
    *out = (struct span){.at = json->at, .len = (size_t)(stop - json->at)};
    json->at = stop;
    return true;
}

bool json_uint(struct json *json, uint64_t *out)
{
    struct span token;
    if (!number_token(json, &token))
        return false;
    return span_uint(token, out) || fail(json, "a whole number from 0 to 18446744073709551615 is wanted");
}

bool json_number(struct json *json, double *out)
{
    struct span token;
    char text[JSON_NUMBER_MAX + 1];
    if (!number_token(json, &token))
        return false;
    if (!span_copy(token, text, sizeof text))
        return fail(json, "a JSON number is too long");
    double number = strtod(text, NULL);
    if (!isfinite(number))
        return fail(json, "a JSON number is out of range");
    *out = number;
    return true;
}

static bool skip_word(struct json *json, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
        return fail(json, "a JSON value is wanted");
    json->at += len;
    return true;
}

static bool skip_value(struct json *json, int depth);

static bool skip_object(struct json *json, int depth)
{
    struct json_string name;
    json_object(json);
    while (json_member(json, &name))
        if (!skip_value(json, depth))
            return false;
    return !json->error;
}

static bool skip_array(struct json *json, int depth)
{
    json_array(json);
    while (json_element(json))
        if (!skip_value(json, depth))
            return false;
    return !json->error;
}

/* `depth` is how many more arrays and objects may open; it bounds the recursion. */
static bool skip_value(struct json *json, int depth)
{
    struct json_string string;
    struct span number;
    char next = json_peek(json);
    if ((next == '{' || next == '[') && depth == 0)
        return fail(json, "the JSON text is nested too deeply");
    switch (next) {
    case '{':
        return skip_object(json, depth - 1);
    case '[':
        return skip_array(json, depth - 1);
    case '"':
        return json_string(json, &string);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    default:
        return (next == '-' || (next >= '0' && next <= '9')) ? number_token(json, &number)
                                                             : fail_here(json, "a JSON value is wanted");
    }
}

bool json_skip(struct json *json)
{
    return skip_value(json, JSON_DEPTH_MAX);
}

char json_peek(struct json *json)
{
    skip_space(json);
    return json->at < json->end ? *json->at : '\0';
}

bool json_end(struct json *json)
{
    skip_space(json);
    return json->at == json->end || fail(json, "something stands behind the JSON value");
}
