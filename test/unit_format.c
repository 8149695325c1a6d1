/* Formatting: each conversion, and each length of the room, as snprintf has it. */
#include "format.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

TestSuite(format, .timeout = 60);

enum { ROOM = 96 };

/* Formats with both, in every size of room. */
__attribute__((format(printf, 1, 2))) static void same(const char *format, ...)
{
    for (size_t size = 0; size <= ROOM; size++) {
        char got[ROOM + 1], wanted[ROOM + 1];
        va_list args;
        memset(got, '#', sizeof got);
        memset(wanted, '#', sizeof wanted);
        va_start(args, format);
        int len = format_args(got, size, format, args);
        va_end(args);
        va_start(args, format);
        int wanted_len = vsnprintf(wanted, size, format, args);
        va_end(args);
        cr_assert_eq(len, wanted_len, "%s in %zu bytes", format, size);
        cr_assert_eq(memcmp(got, wanted, (size_t)len < size ? (size_t)len + 1 : size), 0,
                     "%s in %zu bytes: %.*s", format, size, (int)size, got);
        cr_assert_eq(got[size], '#', "%s wrote beyond %zu bytes", format, size);
    }
}

Test(format, what_log_lines_and_answers_hold)
{
    same("%s", "");
    same("plain");
    same("a %s b %s", "one", "two");
    same("%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
    same("%u %u", 0U, UINT_MAX);
    same("%zu %zu", (size_t)0, SIZE_MAX);
    same("%ld %ld %ld", 0L, LONG_MAX, LONG_MIN);
    same("%lu %lu", 0UL, ULONG_MAX);
    same("%" PRIu64 "..%" PRId64, UINT64_MAX, INT64_MIN);
    same("ACK from %s up to %" PRIu64 " after %" PRId64 ".%d ms", "s1", (uint64_t)17, (int64_t)2, 5);
}

Test(format, everything_else)
{
    same("%5d", 1);
    same("100 %%");
    same("%.*s", 2, "abc");
    same("%s %.1f", "a", 1.5);
    same("%x", 1U);
    same("%c", 'c');
    same("%lx", 1UL);
    same("%zd", (ssize_t)-1);
    same("%s and %5u", "a", 1U);
    same("%" PRIu64 " of %016" PRIx64, (uint64_t)3, UINT64_MAX);
}

Test(format, text_is_the_same_with_its_arguments_in_place)
{
    char out[16];
    cr_assert_eq(format_text(out, sizeof out, "%d of %s", 3, "four"), 9);
    cr_assert_str_eq(out, "3 of four");
}
