#include "format.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct out {
    char *at;
    size_t left;
};

static bool add(struct out *out, const char *bytes, size_t len)
{
    if (len >= out->left)
        return false;
    memcpy(out->at, bytes, len);
    out->at += len;
    out->left -= len;
    return true;
}

char *format_uint(char *end, uint64_t number)
{
    do
        *--end = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return end;
}

static bool add_number(struct out *out, bool negative, uint64_t number)
{
    char digits[FORMAT_DIGITS + 1];
    char *end = digits + sizeof digits;
    char *at = format_uint(end, number);
    if (negative)
        *--at = '-';
    return add(out, at, (size_t)(end - at));
}

static bool add_signed(struct out *out, int64_t number)
{
    return add_number(out, number < 0, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* Adds what a conversion stands for. Returns the conversion's length without its %, or 0 where it is not
 * known here or does not fit. */
static size_t add_conversion(struct out *out, const char *conversion, va_list *args)
{
    const char *text;
    switch (conversion[0]) {
    case 's':
        text = va_arg(*args, const char *);
        return text && add(out, text, strlen(text)) ? 1 : 0;
    case 'd':
        return add_signed(out, va_arg(*args, int)) ? 1 : 0;
    case 'u':
        return add_number(out, false, va_arg(*args, unsigned)) ? 1 : 0;
    case 'z':
        return conversion[1] == 'u' && add_number(out, false, va_arg(*args, size_t)) ? 2 : 0;
    case 'l':
        if (conversion[1] == 'd')
            return add_signed(out, va_arg(*args, long)) ? 2 : 0;
        return conversion[1] == 'u' && add_number(out, false, va_arg(*args, unsigned long)) ? 2 : 0;
    default:
        return 0;
    }
}

/* The length, or -1 where this is not for here; `out` is undefined then. */
static int format_simple(char *out, size_t size, const char *format, va_list args)
{
    struct out end = {.at = out, .left = size};
    va_list rest;
    bool fits = true;
    va_copy(rest, args);
    while (fits) {
        size_t len = (size_t)(strchrnul(format, '%') - format);
        fits = add(&end, format, len);
        format += len;
        if (!*format)
            break;
        len = fits ? add_conversion(&end, format + 1, &rest) : 0;
        fits = len > 0;
        format += 1 + len;
    }
    va_end(rest);
    if (!fits)
        return -1;
    *end.at = '\0';
    return (int)(end.at - out);
}

int format_args(char *out, size_t size, const char *format, va_list args)
{
    int len = format_simple(out, size, format, args);
    return len >= 0 ? len : vsnprintf(out, size, format, args);
}

int format_text(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = format_args(out, size, format, args);
    va_end(args);
    return len;
}
