#include "span.h"

bool span_uint(struct span span, uint64_t *out)
{
    uint64_t number = 0;
    if (span.len == 0)
        return false;
    for (size_t i = 0; i < span.len; i++) {
        char c = span.at[i];
        if (c < '0' || c > '9')
            return false;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(c - '0'), &number))
            return false;
    }
    *out = number;
    return true;
}

bool span_copy(struct span span, char *out, size_t out_size)
{
    if (span.len >= out_size)
        return false;
    if (span.len > 0) {
        if (memchr(span.at, '\0', span.len))
            return false;
        memcpy(out, span.at, span.len);
    }
    out[span.len] = '\0';
    return true;
}
