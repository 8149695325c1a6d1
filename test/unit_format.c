/* The conversions of log lines, each against vsnprintf. */
#include "format.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

TestSuite(format, .timeout = 60);

enum { ROOM = 64 };

/* Formats in `size` bytes with both. Where it is not left to vsnprintf, both agree. Returns whether it was.
 */
__attribute__((format(printf, 2, 3))) static bool left_over(size_t size, const char *format, ...)
{
    char got[ROOM], wanted[ROOM];
    va_list args;
    memset(got, '#', sizeof got);
    va_start(args, format);
    int len = format_simple(got, size, format, args);
    va_end(args);
    va_start(args, format);
    int wanted_len = vsnprintf(wanted, sizeof wanted, format, args);
    va_end(args);
    for (size_t i = size; i < ROOM; i++)
        cr_assert_eq(got[i], '#', "%s wrote beyond its room", format);
    if (len < 0)
        return true;
    cr_assert_eq(len, wanted_len, "%s", format);
    cr_assert_str_eq(got, wanted);
    return false;
}

Test(format, what_log_lines_hold_is_as_printf_has_it)
{
    cr_assert(!left_over(ROOM, "%s", ""));
    cr_assert(!left_over(ROOM, "plain"));
    cr_assert(!left_over(ROOM, "a %s b %s", "one", "two"));
    cr_assert(!left_over(ROOM, "%d %d %d %d", 0, -1, INT_MAX, INT_MIN));
    cr_assert(!left_over(ROOM, "%u %u", 0U, UINT_MAX));
    cr_assert(!left_over(ROOM, "%zu %zu", (size_t)0, SIZE_MAX));
    cr_assert(!left_over(ROOM, "%ld %ld %ld", 0L, LONG_MAX, LONG_MIN));
    cr_assert(!left_over(ROOM, "%" PRIu64 "..%" PRId64, UINT64_MAX, INT64_MIN));
    cr_assert(!left_over(ROOM, "ACK from %s up to %" PRIu64 " after %" PRId64 ".%d ms", "s1", (uint64_t)17,
                         (int64_t)2, 5));
}

Test(format, everything_else_is_left_to_printf)
{
    cr_assert(left_over(ROOM, "%5d", 1));
    cr_assert(left_over(ROOM, "%%"));
    cr_assert(left_over(ROOM, "%.*s", 2, "abc"));
    cr_assert(left_over(ROOM, "%.1f", 1.5));
    cr_assert(left_over(ROOM, "%x", 1U));
    cr_assert(left_over(ROOM, "%c", 'c'));
    cr_assert(left_over(ROOM, "%lx", 1UL));
    cr_assert(left_over(ROOM, "%zd", (ssize_t)1));
    cr_assert(left_over(ROOM, "%s and %5u", "a", 1U));
}

Test(format, what_does_not_fit_is_left_to_printf)
{
    for (size_t size = 0; size <= 12; size++) {
        cr_assert_eq(left_over(size, "twelve bytes"), size <= 12);
        cr_assert_eq(left_over(size, "%s", "twelve bytes"), size <= 12);
        cr_assert_eq(left_over(size, "ten %d bytes", 7), size <= 11);
    }
    cr_assert(!left_over(13, "%s", "twelve bytes"));
}
