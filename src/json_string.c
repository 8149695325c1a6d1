/* JSON strings: checking, value, canonical form. json.c has the rest of the reader. */
#include "block.h"
#include "hex.h"
#include "json_private.h"
#include "utf8.h"
#include <string.h>

/* ---- Blocks ----
 *
 * Every text passes here on each node, some more than once, so a byte must cost less than a step of a loop.
 * Random text has an escape in 47 bytes: a loop that stopped at each of them would spend its time on branches
 * that are foretold wrongly. */

/* Which bytes are escaped, given which are backslashes. *open is 1 where the byte before the block is a
 * backslash that escapes the first one, and is set for the next block. Of a run of backslashes every second
 * one is escaped, and the byte behind it where the run is odd. A run that is added to its first bit carries
 * into the bit behind it (G. Langdale, D. Lemire: Parsing Gigabytes of JSON per Second, section 3.1.1). */
static inline uint64_t block_escaped(uint64_t slashes, uint64_t *open)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    slashes &= ~*open;
    uint64_t behind = slashes << 1 | *open;
    uint64_t odd_starts = slashes & ~even & ~behind;
    unsigned long long ends;
    *open = __builtin_uaddll_overflow(odd_starts, slashes, &ends);
    return (even ^ ends << 1) & behind;
}

bool json_utf8_valid(struct span bytes)
{
    const char *at = bytes.at;
    const char *end = span_after(bytes, bytes.len).at;
    while (at < end) {
        struct block block = block_read(at, end);
        uint64_t high = block_high(&block);
        const char *next = end - at > BLOCK_BYTES ? at + BLOCK_BYTES : end;
        while (high) {
            const char *behind = utf8_skip(at + __builtin_ctzll(high), end);
            if (!behind)
                return false;
            if (behind >= next) {
                next = behind;
                break;
            }
            high &= ~block_below((unsigned)(behind - at));
        }
        at = next;
    }
    return true;
}

/* ---- Checking ---- */

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
    static const char bytes[UINT8_MAX + 1] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                              ['t'] = '\t', ['n'] = '\n',  ['f'] = '\f', ['r'] = '\r'};
    if (end - at < 2)
        return (struct escape){0};
    if (at[1] == 'u')
        return unicode_escape(at, end);
    uint32_t byte = (unsigned char)bytes[(unsigned char)at[1]];
    return (struct escape){.code = byte, .len = byte ? 2 : 0};
}

static bool needs_escape(char c)
{
    return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

/* Writes the escape of a byte that needs one; returns its length. */
static inline size_t escape_write(char c, char out[6])
{
    static const char letters[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    char letter = letters[(unsigned char)c];
    out[0] = '\\';
    out[1] = letter;
    if (letter)
        return 2;
    memcpy(out + 1, "u00", 3);
    out[4] = hex_char((unsigned char)c >> 4);
    out[5] = hex_char((unsigned char)c);
    return 6;
}

/* Whether an escape is the one that the canonical form uses for its character. */
static bool escape_canonical(const char *at, struct escape escape)
{
    if (escape.code >= 0x80 || !needs_escape((char)escape.code))
        return false;
    char canonical[6];
    return escape_write((char)escape.code, canonical) == escape.len && memcmp(at, canonical, escape.len) == 0;
}

/* What is known of a string that is being read. */
struct reading {
    size_t saved;  /* bytes by which the value is shorter than the text */
    uint64_t open; /* see block_escaped */
    bool canonical;
};

/* Takes what is neither printable ASCII nor the escape \" or \\: another escape, or sequences of UTF-8. */
static bool take_special(struct json *json, struct reading *reading)
{
    if (*json->at == '\\') {
        struct escape escape = escape_read(json->at, json->end);
        if (escape.len == 0)
            return json_fail(json, "a JSON string holds a bad escape or a lone surrogate");
        reading->canonical = reading->canonical && escape_canonical(json->at, escape);
        reading->saved += escape.len - utf8_code_len(escape.code);
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

/* Takes a block of a string, and what reaches beyond it, or as much as comes before the closing quote.
 * Returns whether all is well. */
static bool block_take(struct json *json, struct reading *reading, bool *closed)
{
    const char *start = json->at;
    const char *next = json->end - start > BLOCK_BYTES ? start + BLOCK_BYTES : json->end;
    struct block block = block_read(start, json->end);
    uint64_t quotes = block_equal(&block, '"');
    uint64_t slashes = block_equal(&block, '\\');
    uint64_t escaped = block_escaped(slashes, &reading->open);
    uint64_t usual = escaped & (quotes | slashes); /* nearly all escapes are \" and \\ */
    uint64_t ends = quotes & ~escaped;
    uint64_t stops = ends | (escaped & ~usual) | block_control(&block) | block_high(&block);
    while (stops && json->at < next) {
        unsigned i = (unsigned)__builtin_ctzll(stops);
        *closed = ends >> i & 1;
        if (*closed) {
            next = start + i;
            usual &= block_below(i);
            break;
        }
        json->at = start + i - (escaped >> i & 1);
        if (!take_special(json, reading))
            return false;
        if (json->at - start >= BLOCK_BYTES) {
            next = json->at;
            reading->open = 0;
        } else {
            stops &= ~block_below((unsigned)(json->at - start));
        }
    }
    reading->saved += block_count(usual);
    json->at = next;
    return true;
}

bool json_string(struct json *json, struct json_string *out)
{
    if (!json_take(json, '"'))
        return json_fail(json, "a JSON string is wanted");
    const char *start = json->at;
    struct reading reading = {.canonical = true};
    for (bool closed = false; !closed;) {
        if (json->at == json->end)
            return json_fail(json, "a JSON string has no closing quote");
        if (!block_take(json, &reading, &closed))
            return false;
    }
    struct span raw = {.at = start, .len = (size_t)(json->at - start)};
    *out = (struct json_string){
        .raw = raw, .value_len = raw.len - reading.saved, .canonical = reading.canonical};
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
    if (raw.len == string->value_len) /* no escapes: each is longer than what it stands for */
        return memcmp(raw.at, text, raw.len) == 0;
    for (; piece_next(&raw, scratch, &piece); text += piece.len)
        if (memcmp(piece.at, text, piece.len) != 0)
            return false;
    return true;
}

bool json_string_copy(const struct json_string *string, char *out, size_t out_size)
{
    if (string->value_len >= out_size)
        return false;
    struct span raw = string->raw;
    struct span piece;
    char scratch[4];
    char *end = out;
    for (; piece_next(&raw, scratch, &piece); end += piece.len)
        memcpy(end, piece.at, piece.len);
    *end = '\0';
    return strlen(out) == string->value_len;
}

/* ---- Writing ---- */

/* What block_quote may write. */
enum { QUOTED_MOST = (JSON_EXPANSION_MAX + 1) * BLOCK_BYTES };

/* Writes one block of a value in canonical form and returns where that ends. At each escape the rest moves
 * on: 64 bytes in any case, since a copy of a fixed length costs less than to find out how many are left. So
 * it reads up to 64 bytes more than the block. */
static inline char *block_quote(const char *at, char *out)
{
    struct block block = block_load(at);
    uint64_t marks = block_equal(&block, '"') | block_equal(&block, '\\') | block_control(&block);
    memcpy(out, at, BLOCK_BYTES);
    for (; marks; marks &= marks - 1) {
        unsigned i = (unsigned)__builtin_ctzll(marks);
        out += escape_write(at[i], out + i) - 1;
        memcpy(out + i + 1, at + i + 1, BLOCK_BYTES);
    }
    return out + BLOCK_BYTES;
}

/* The last bytes of a value, fewer than two blocks. */
static void last_quote(struct span value, struct buf *out)
{
    char padded[3 * BLOCK_BYTES];
    char quoted[2 * QUOTED_MOST];
    char *end = quoted;
    memset(padded, 'a', sizeof padded);
    memcpy(padded, value.at, value.len);
    for (size_t i = 0; i < value.len; i += BLOCK_BYTES)
        end = block_quote(padded + i, end);
    buf_add(out, quoted, (size_t)(end - quoted) - (BLOCK_BYTES - value.len % BLOCK_BYTES) % BLOCK_BYTES);
}

void json_quote(struct span value, struct buf *out)
{
    if (!buf_reserve(out, value.len + value.len / 16 + 2))
        return;
    buf_add_char(out, '"');
    for (; value.len >= 2 * BLOCK_BYTES; value.at += BLOCK_BYTES, value.len -= BLOCK_BYTES) {
        if (!buf_reserve(out, QUOTED_MOST))
            return;
        out->len = (size_t)(block_quote(value.at, out->data + out->len) - out->data);
    }
    if (value.len > 0)
        last_quote(value, out);
    buf_add_char(out, '"');
}

void json_quote_sentence(const char *sentence, struct buf *out)
{
    size_t start = out->len;
    json_quote(span_of(sentence), out);
    if (json_utf8_valid(span_of(sentence)))
        return;
    for (size_t i = start; i < out->len; i++)
        if ((unsigned char)out->data[i] >= 0x80)
            out->data[i] = '?';
}

/* Only what was escaped may need to be so again. */
static void piece_add(struct span piece, const char scratch[4], struct buf *out)
{
    char escape[6];
    if (piece.at == scratch && needs_escape(scratch[0]))
        piece = (struct span){escape, escape_write(scratch[0], escape)};
    buf_add_span(out, piece);
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
            piece_add(piece, scratch, out);
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
