#include "text.h"
#include "report.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes that grow */

void text_free(struct text *text)
{
    free(text->at);
    *text = (struct text){0};
}

static void text_reserve(struct text *text, size_t more)
{
    if (text->cap - text->len >= more)
        return;
    size_t cap = (text->len + more) * 2 + 64;
    char *at = realloc(text->at, cap);
    if (!at)
        report_fail("the torture program has no memory left");
    text->at = at;
    text->cap = cap;
}

void text_add(struct text *text, const void *bytes, size_t len)
{
    text_reserve(text, len + 1);
    if (len)
        memcpy(text->at + text->len, bytes, len);
    text->len += len;
    text->at[text->len] = '\0';
}

void text_addf(struct text *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_add(text, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

/* ---- messages */

struct kind {
    unsigned percent;
    unsigned longest; /* pieces */
    unsigned pieces;  /* of `pieces` below, the first so many */
};

/* From harmless to hard: what JSON escapes, what UTF-8 takes several bytes for, what looks like the wire. */
static const char *const pieces[] = {
    "a",
    "Z",
    "7",
    " ",
    "lorem ipsum",
    "-",
    ".",
    "\"",
    "\\",
    "/",
    "\n",
    "\t",
    "\r",
    "\b",
    "\f",
    "\x01",
    "\x1f",
    "\x7f",
    "\",\"",
    "]}",
    "{\"message\":",
    "\\u0041",
    "\r\n\r\n",
    "%00",
    "\xc3\xa9",
    "\xe2\x82\xac",
    "\xf0\x9f\x90\xbb",
    "\xf4\x8f\xbf\xbf",
    "\xef\xbf\xbf",
    "\xe2\x80\xa8",
};
enum { PIECES_PLAIN = 7, PIECES_ALL = sizeof pieces / sizeof *pieces };

static const struct kind kinds[] = {
    {60, 12, PIECES_PLAIN},
    {30, 40, PIECES_ALL},
    {8, 400, PIECES_ALL},
    {2, 4000, PIECES_ALL},
};

enum { HUGE_IN = 500, HUGE_LEAST = 20000, HUGE_MOST = 100000 };

static const struct kind *kind_choose(struct random *random)
{
    unsigned percent = random_between(random, 0, 99);
    const struct kind *kind = kinds;
    while (percent >= kind->percent)
        percent -= kind++->percent;
    return kind;
}

static void message_huge(struct text *out, struct random *random)
{
    size_t len = random_between(random, HUGE_LEAST, HUGE_MOST);
    text_reserve(out, len + 16);
    while (out->len < len) {
        uint64_t number = random_next(random);
        char letters[8];
        for (unsigned i = 0; i < sizeof letters; i++, number >>= 8)
            letters[i] = (char)('a' + (char)((number & 255) % 26));
        text_add(out, letters, sizeof letters);
    }
}

void text_message(struct text *out, uint64_t seed, text_key key)
{
    struct random random = random_stream(seed, 0x6d657373616765, key);
    out->len = 0;
    text_addf(out, "%u.%u.", text_writer(key), text_number(key));
    if (random_between(&random, 1, HUGE_IN) == 1) {
        message_huge(out, &random);
        return;
    }
    const struct kind *kind = kind_choose(&random);
    for (unsigned left = random_magnitude(&random, 1, kind->longest); left; left--) {
        unsigned piece = random_between(&random, 0, kind->pieces); /* the last one is a NUL */
        if (piece < kind->pieces)
            text_add(out, pieces[piece], strlen(pieces[piece]));
        else if (kind->pieces == PIECES_ALL)
            text_add(out, "", 1);
    }
}

static bool key_read(const struct text *bytes, text_key *key)
{
    unsigned writer;
    unsigned number;
    int used = 0;
    if (!bytes->len || sscanf(bytes->at, "%2u.%9u.%n", &writer, &number, &used) != 2 || !used)
        return false;
    if (writer >= TEXT_WRITERS || number >= TEXT_NUMBERS)
        return false;
    *key = text_key_of(writer, number);
    return true;
}

bool text_is_message(const struct text *bytes, uint64_t seed, text_key *key, struct text *scratch)
{
    if (!key_read(bytes, key))
        return false;
    text_message(scratch, seed, *key);
    return scratch->len == bytes->len && memcmp(scratch->at, bytes->at, bytes->len) == 0;
}

/* ---- JSON strings */

static const char short_escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t"; /* the letter, and what it stands for */

static char short_escape_of(char byte)
{
    for (const char *pair = short_escapes; *pair; pair += 2)
        if (pair[1] == byte)
            return *pair;
    return 0;
}

/* Length of the UTF-8 character at `at`, and its code point. The bytes are valid. */
static size_t utf8_read(const char *at, uint32_t *point)
{
    unsigned char first = (unsigned char)*at;
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    *point = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        *point = *point << 6 | ((unsigned char)at[i] & 0x3f);
    return len;
}

static void utf8_add(struct text *out, uint32_t point)
{
    char bytes[4];
    size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        bytes[i] = (char)(0x80 | (point & 0x3f));
    bytes[0] = (char)(marks[len] | point);
    text_add(out, bytes, len);
}

static void add_escaped(struct text *out, uint32_t point)
{
    if (point >= 0x10000) {
        point -= 0x10000;
        text_addf(out, "\\u%04x\\u%04X", (unsigned)(0xd800 + (point >> 10)),
                  (unsigned)(0xdc00 + (point & 0x3ff)));
    } else {
        text_addf(out, "\\u%04x", (unsigned)point);
    }
}

void text_add_json(struct text *out, const struct text *bytes, struct random *random)
{
    unsigned needless_percent = random_percent(random, 30) ? random_between(random, 1, 50) : 0;
    text_add(out, "\"", 1);
    for (size_t i = 0; i < bytes->len;) {
        uint32_t point;
        size_t len = utf8_read(bytes->at + i, &point);
        char letter = len == 1 ? short_escape_of(bytes->at[i]) : 0;
        bool must = point < 0x20 || point == '"' || point == '\\';
        bool may = needless_percent && random_percent(random, needless_percent);
        if (!must && !may)
            text_add(out, bytes->at + i, len);
        else if (letter && random_percent(random, 70))
            text_addf(out, "\\%c", letter);
        else
            add_escaped(out, point);
        i += len;
    }
    text_add(out, "\"", 1);
}

static bool read_hex(const char **at, const char *end, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, (*at)++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = *at < end && **at ? strchr(digits, **at) : NULL;
        if (!digit)
            return false;
        *out = *out << 4 | (uint32_t)((digit - digits) & 15);
    }
    return true;
}

/* What follows a backslash. */
static bool read_escape(const char **at, const char *end, struct text *out)
{
    uint32_t point;
    uint32_t low;
    if (*at == end)
        return false;
    char letter = *(*at)++;
    if (letter != 'u') {
        for (const char *pair = short_escapes; *pair; pair += 2)
            if (*pair == letter) {
                text_add(out, pair + 1, 1);
                return true;
            }
        return false;
    }
    if (!read_hex(at, end, &point))
        return false;
    if (point >= 0xd800 && point < 0xdc00) {
        if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
            return false;
        *at += 2;
        if (!read_hex(at, end, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    utf8_add(out, point);
    return true;
}

bool text_read_json(const char **at, const char *end, struct text *out)
{
    out->len = 0;
    text_reserve(out, 1);
    out->at[0] = '\0';
    if (*at == end || **at != '"')
        return false;
    for (++*at; *at < end;) {
        const char *from = *at;
        while (*at < end && **at != '"' && **at != '\\' && (unsigned char)**at >= 0x20)
            ++*at;
        text_add(out, from, (size_t)(*at - from));
        if (*at == end || (unsigned char)**at < 0x20)
            return false;
        if (*(*at)++ == '"')
            return true;
        if (!read_escape(at, end, out))
            return false;
    }
    return false;
}
