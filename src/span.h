/* A borrowed run of bytes: where it starts and how long it is. It owns nothing and is not terminated. */
#ifndef SPAN_H
#define SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *at;
    size_t len;
};

/* The bytes of a C string, without its terminator. */
static inline struct span span_of(const char *text)
{
    return (struct span){.at = text, .len = strlen(text)};
}

/* What is behind the first `bytes` bytes. An empty span may hold NULL, to which C lets nothing be added, not
 * even 0. */
static inline struct span span_after(struct span span, size_t bytes)
{
    return (struct span){.at = bytes > 0 ? span.at + bytes : span.at, .len = span.len - bytes};
}

/* Whether both hold the same bytes. */
static inline bool span_equals(struct span span, const char *text)
{
    return span.len == strlen(text) && (span.len == 0 || memcmp(span.at, text, span.len) == 0);
}

/* Whether span begins with the bytes of text, ASCII letters compared without case: no locale is ever set. */
static inline bool span_starts_nocase(struct span span, const char *text)
{
    return span.len >= strlen(text) && (span.len == 0 || strncasecmp(span.at, text, strlen(text)) == 0);
}

/* Whether both hold the same bytes, without case. */
static inline bool span_equals_nocase(struct span span, const char *text)
{
    return span.len == strlen(text) && span_starts_nocase(span, text);
}

/* Reads all of span as a decimal number: digits alone, at least one, at most UINT64_MAX.
 * Returns false, *out untouched, otherwise. */
bool span_uint(struct span span, uint64_t *out);

/* Copies span to out and terminates it. Returns false, out untouched, where it holds a NUL or does not fit.
 */
bool span_copy(struct span span, char *out, size_t out_size);

#endif
