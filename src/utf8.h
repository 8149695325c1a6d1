/* UTF-8 (RFC 3629), one sequence at a time. In a header, to be inlined: all text that comes in meets it. */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool utf8_is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The first byte of a three or four byte sequence narrows the range of the second (RFC 3629 section 4). */
static inline bool utf8_second_fits(unsigned char first, unsigned char second)
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
static inline size_t utf8_len(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    if (end - at < 2 || first < 0xc2 || !utf8_is_tail(at[1]))
        return 0;
    if (first < 0xe0)
        return 2;
    if (end - at < 3 || !utf8_is_tail(at[2]) || !utf8_second_fits(first, (unsigned char)at[1]))
        return 0;
    if (first < 0xf0)
        return 3;
    return end - at >= 4 && utf8_is_tail(at[3]) && first < 0xf5 ? 4 : 0;
}

/* Passes over all sequences that follow one another, since few texts have just one; NULL at a wrong one. */
static inline const char *utf8_skip(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at >= 0x80) {
        size_t len = utf8_len(at, end);
        if (len == 0)
            return NULL;
        at += len;
    }
    return at;
}

/* The bytes that a character takes. */
static inline size_t utf8_code_len(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* Writes the character and returns its length. */
static inline size_t utf8_encode(uint32_t code, char out[4])
{
    static const unsigned char first[5] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    size_t len = utf8_code_len(code);
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(first[len] | code);
    return len;
}

#endif
