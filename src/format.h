/* snprintf for the conversions that log lines and answers are made of: %s, %d, %u, %zu, %ld, %lu, and what
 * PRIu64 and PRId64 stand for. A format of these, where all fits, costs about a fifth of what it costs there;
 * any other is left to the C library. */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* As snprintf and vsnprintf. */
int format_text(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int format_args(char *out, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

enum { FORMAT_DIGITS = 20 }; /* of the largest number */

/* Writes a number in decimal so that it ends before `end`, in front of which there is room for FORMAT_DIGITS
 * bytes. Returns where it begins. */
char *format_uint(char *end, uint64_t number);

#endif
