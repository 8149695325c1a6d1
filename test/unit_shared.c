/* The small parts under everything else: clock, span, buffer, write concern. */
#include "buf.h"
#include "clock.h"
#include "concern.h"

#include <criterion/criterion.h>
#include <limits.h>

/* ---- clock ---- */

Test(clock, goes_forward)
{
    int64_t before_us = clock_us();
    int64_t before_ms = clock_ms();
    cr_assert(before_us > 0);
    cr_assert(clock_us() >= before_us);
    cr_assert(clock_ms() >= before_ms);
    cr_assert(before_ms - before_us / 1000 <= 1000);
}

Test(clock, a_deadline_past_the_end_never_comes)
{
    cr_assert_eq(clock_after(5, 10), 15);
    cr_assert_eq(clock_after(5, 0), 5);
    cr_assert_eq(clock_after(5, CLOCK_NEVER), CLOCK_NEVER);
    cr_assert_eq(clock_after(INT64_MAX - 1, 2), CLOCK_NEVER);
}

Test(clock, poll_timeout_is_what_is_left)
{
    cr_assert_eq(clock_poll_timeout(100, 350), 250);
    cr_assert_eq(clock_poll_timeout(100, 100), 0);
    cr_assert_eq(clock_poll_timeout(100, 99), 0);
    cr_assert_eq(clock_poll_timeout(100, INT64_MIN), 0);
    cr_assert_eq(clock_poll_timeout(100, CLOCK_NEVER), -1);
    cr_assert_eq(clock_poll_timeout(100, CLOCK_NEVER - 1), INT_MAX);
    cr_assert_eq(clock_poll_timeout(0, (int64_t)INT_MAX + 1), INT_MAX);
}

/* ---- span ---- */

Test(span, compares_bytes)
{
    struct span empty = {0};
    cr_assert(span_equals(span_of("all"), "all"));
    cr_assert(!span_equals(span_of("all"), "alL"));
    cr_assert(!span_equals(span_of("all"), "al"));
    cr_assert(!span_equals(span_of("all"), "allo"));
    cr_assert(span_equals(empty, ""));
    cr_assert(!span_equals(empty, "a"));
    cr_assert(!span_equals((struct span){.at = "a\0b", .len = 3}, "a"));
}

Test(span, compares_ascii_letters_alone_without_case)
{
    cr_assert(span_equals_nocase(span_of("Content-Length"), "content-LENGTH"));
    cr_assert(!span_equals_nocase(span_of("content_length"), "content-length"));
    cr_assert(!span_equals_nocase(span_of("[a"), "{a"));
    cr_assert(!span_equals_nocase(span_of("\xc3\x89"), "\xc3\xa9"));
    cr_assert(!span_equals_nocase(span_of("ab"), "abc"));
    cr_assert(span_equals_nocase((struct span){0}, ""));
    cr_assert(span_starts_nocase(span_of("Text/plain"), "text/PLAIN"));
    cr_assert(span_starts_nocase(span_of("Text/plain"), "text/"));
    cr_assert(!span_starts_nocase(span_of("text"), "text/"));
    cr_assert(!span_starts_nocase(span_of("next/plain"), "text/"));
    cr_assert(span_starts_nocase((struct span){0}, ""));
    cr_assert(!span_starts_nocase((struct span){0}, "a"));
}

Test(span, reads_numbers_up_to_the_largest)
{
    static const struct {
        const char *text;
        bool taken;
        uint64_t number;
    } rows[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x1", false, 0},
        {"1.0", false, 0},
        {"/", false, 0},
        {":", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t number = 42;
        cr_assert_eq(span_uint(span_of(rows[i].text), &number), rows[i].taken, "%s", rows[i].text);
        cr_assert_eq(number, rows[i].taken ? rows[i].number : 42, "%s", rows[i].text);
    }
}

Test(span, copies_what_fits_and_holds_no_nul)
{
    char out[4] = "old";
    cr_assert(!span_copy(span_of("four"), out, sizeof out));
    cr_assert(!span_copy((struct span){.at = "a\0", .len = 2}, out, sizeof out));
    cr_assert(!span_copy((struct span){0}, out, 0));
    cr_assert_str_eq(out, "old");
    cr_assert(span_copy(span_of("new"), out, sizeof out));
    cr_assert_str_eq(out, "new");
    cr_assert(span_copy((struct span){0}, out, sizeof out));
    cr_assert_str_eq(out, "");
}

/* ---- buf ---- */

Test(buf, adds_and_grows)
{
    struct buf buf = {0};
    for (int i = 0; i < 10000; i++)
        buf_addf(&buf, "%d,", i % 10);
    cr_assert_eq(buf.len, 20000);
    cr_assert(memcmp(buf.data + 19990, "5,6,7,8,9,", 10) == 0);
    buf_free(&buf);
    cr_assert_null(buf.data);
    cr_assert_eq(buf.cap, 0);
}

Test(buf, each_adder_adds_its_kind)
{
    struct buf buf = {0};
    buf_add(&buf, "a\0b", 3);
    buf_add(&buf, NULL, 0);
    buf_add_span(&buf, span_of("cd"));
    buf_add_span(&buf, (struct span){0});
    buf_add_text(&buf, "ef");
    buf_add_char(&buf, ' ');
    buf_add_uint(&buf, 0);
    buf_add_char(&buf, ' ');
    buf_add_uint(&buf, UINT64_MAX);
    buf_addf(&buf, "%s", "");
    buf_addf(&buf, " %05.1f", 2.25);
    static const char wanted[] = "a\0bcdef 0 18446744073709551615 002.2";
    cr_assert_eq(buf.len, sizeof wanted - 1);
    cr_assert(memcmp(buf.data, wanted, buf.len) == 0);
    cr_assert_eq(buf_span(&buf).at, buf.data);
    cr_assert_eq(buf_span(&buf).len, buf.len);
    buf_free(&buf);
}

Test(buf, drops_from_the_front)
{
    struct buf buf = {0};
    buf_drop(&buf, 0);
    buf_add_text(&buf, "0123456789");
    buf_drop(&buf, 3);
    cr_assert(span_equals(buf_span(&buf), "3456789"));
    buf_drop(&buf, 0);
    cr_assert_eq(buf.len, 7);
    buf_drop(&buf, 7);
    cr_assert_eq(buf.len, 0);
    buf_free(&buf);
}

Test(buf, want_of_memory_is_remembered_until_it_is_cleared)
{
    static const size_t too_much[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 2};
    for (size_t i = 0; i < sizeof too_much / sizeof *too_much; i++) {
        struct buf buf = {0};
        buf_add_text(&buf, "abc");
        cr_assert(!buf_reserve(&buf, too_much[i]));
        cr_assert(buf.failed);
        buf_add_text(&buf, "d");
        buf_addf(&buf, "e");
        cr_assert_eq(buf.len, 3, "bytes behind a gap would look whole");
        cr_assert(buf.failed);
        buf_clear(&buf);
        cr_assert(!buf.failed);
        buf_add_text(&buf, "f");
        cr_assert(span_equals(buf_span(&buf), "f"));
        buf_free(&buf);
    }
}

Test(buf, room_that_was_reserved_does_not_move)
{
    struct buf buf = {0};
    cr_assert(buf_reserve(&buf, 1000));
    const char *data = buf.data;
    for (int i = 0; i < 1000; i++)
        buf_add_char(&buf, 'x');
    cr_assert_eq(buf.data, data);
    buf_clear(&buf);
    cr_assert_eq(buf.data, data);
    buf_free(&buf);
}

/* ---- concern ---- */

Test(concern, takes_names_and_numbers)
{
    static const struct {
        const char *text;
        int concern; /* 0: refused */
    } rows[] = {
        {"all", CONCERN_ALL},
        {"majority", CONCERN_MAJORITY},
        {"1", 1},
        {"65535", CONCERN_MAX},
        {"65536", 0},
        {"0", 0},
        {"-1", 0},
        {"", 0},
        {"ALL", 0},
        {"all ", 0},
        {"two", 0},
        {"1.0", 0},
        {"4294967297", 0},
        {"18446744073709551617", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int concern = 42;
        cr_assert_eq(concern_parse(span_of(rows[i].text), &concern), rows[i].concern != 0, "%s",
                     rows[i].text);
        cr_assert_eq(concern, rows[i].concern ? rows[i].concern : 42, "%s", rows[i].text);
    }
}
