/* Lines that may come again and again: how many there are at which level, and what they count. */
#include "complaint.h"
#include "hand_clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static struct complaints complaints;
static char text[1 << 20];
static int fd;

static void start(void)
{
    clock_hold();
    fd = memfd_create("lines", MFD_CLOEXEC);
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "m"), 0);
}

static void end(void)
{
    logline_stop();
    cr_assert(pread(fd, text, sizeof text - 1, 0) >= 0);
}

TestSuite(complaint, .init = start, .timeout = 60);

static void warn(const char *about, int number)
{
    complain(&complaints, LOGLINE_WARN, about, "refused", NULL, "it failed after %d ms", number);
}

static int lines_with(const char *part)
{
    int lines = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        lines++;
    return lines;
}

Test(complaint, a_warning_comes_once_a_minute_and_says_how_often_it_was)
{
    for (int i = 0; i < 150; i++) { /* a second apart */
        warn("s1", i);
        clock_move(1000);
    }
    end();
    cr_assert_eq(lines_with("WARN  m it failed"), 3);
    cr_assert(strstr(text, "it failed after 0 ms\n"));
    cr_assert(strstr(text, "it failed after 60 ms; 60 times in the last minute\n"));
    cr_assert(strstr(text, "it failed after 120 ms; 60 times in the last minute\n"));
}

Test(complaint, one_that_comes_again_after_a_while_says_for_how_long_it_counts)
{
    warn("s1", 1);
    warn("s1", 2);
    clock_move(10 * COMPLAINT_MINUTE_MS);
    warn("s1", 3);
    clock_move(10 * COMPLAINT_MINUTE_MS);
    warn("s1", 4);
    end();
    cr_assert(strstr(text, "it failed after 3 ms; 2 times in the last 10 minutes\n"));
    cr_assert(strstr(text, "it failed after 4 ms\n"), "all of them had lines");
}

Test(complaint, two_that_alternate_are_told_of_once_each)
{
    for (int i = 0; i < 50; i++) {
        warn("s1", i);
        warn("s2", i);
        complain(&complaints, LOGLINE_WARN, "s1", "refused", NULL, "it is silent");
        clock_move(1000);
    }
    end();
    cr_assert_eq(lines_with("WARN  m it failed after 0 ms\n"), 2);
    cr_assert_eq(lines_with("WARN  m it failed"), 2);
    cr_assert_eq(lines_with("WARN  m it is silent"), 1);
}

Test(complaint, what_is_no_warning_comes_three_times_and_then_once_a_minute)
{
    for (int i = 0; i < 120; i++) {
        complain(&complaints, LOGLINE_INFO, "s1", "registered", NULL, "registered %d", i);
        clock_move(1000);
    }
    end();
    cr_assert_eq(lines_with("INFO  m registered"), COMPLAINT_INFOS + 1);
    cr_assert(strstr(text, "registered 60; 58 times in the last minute\n"));
}

/* A client may invent names. */
Test(complaint, there_is_a_limit_to_the_lines_of_a_minute_whatever_comes)
{
    for (int minute = 0; minute < 2; minute++) {
        for (int i = 0; i < 10 * COMPLAINT_KINDS; i++) {
            char about[16];
            snprintf(about, sizeof about, "x%d", i);
            warn(about, i);
        }
        clock_move(COMPLAINT_MINUTE_MS);
    }
    end();
    cr_assert_eq(lines_with("WARN  m it failed"), 2 * (COMPLAINT_KINDS + 1));
}

static void be_named(enum logline_level level, int names)
{
    for (int i = 0; i < names; i++) {
        char about[16];
        snprintf(about, sizeof about, "x%d", i);
        complain(&complaints, level, about, "removed", NULL, "removed %s", about);
    }
}

Test(complaint, no_number_of_names_keeps_other_lines_away)
{
    be_named(LOGLINE_WARN, 10 * COMPLAINT_KINDS);
    warn("s1", 1);
    complain(&complaints, LOGLINE_INFO, "s1", "registered", NULL, "registered");
    clock_move(COMPLAINT_MINUTE_MS - 1);
    warn("s2", 2);
    clock_move(1);
    warn("s2", 3);
    end();
    cr_assert(strstr(text, "WARN  m it failed after 1 ms\n"));
    cr_assert(strstr(text, "INFO  m registered\n"));
    cr_assert_eq(lines_with("after 2 ms"), 0, "of one format there is one line");
    cr_assert(strstr(text, "WARN  m it failed after 3 ms\n"));
}

Test(complaint, a_warning_takes_the_place_of_what_is_none)
{
    be_named(LOGLINE_INFO, 10 * COMPLAINT_KINDS);
    for (int i = 0; i < 5; i++) {
        warn("s1", 1);
        warn("s2", 2);
    }
    end();
    cr_assert_eq(lines_with("WARN  m it failed after 1 ms\n"), 1);
    cr_assert_eq(lines_with("WARN  m it failed after 2 ms\n"), 1);
}

Test(complaint, at_debug_all_of_them_are_there)
{
    logline_stop();
    cr_assert_eq(logline_start(fd, LOGLINE_DEBUG, LOGLINE_TEXT, "m"), 0);
    for (int i = 0; i < 20; i++)
        warn("s1", i);
    end();
    cr_assert_eq(lines_with("WARN  m it failed"), 1);
    cr_assert_eq(lines_with("DEBUG m it failed"), 19);
}

/* The monotonic clock of a machine that has just been started. */
Test(complaint, the_first_minute_of_a_machine_is_like_any_other)
{
    int64_t now_us = hand_us;
    hand_us = 0;
    warn("s1", 1);
    warn("s1", 2);
    hand_us = now_us;
    end();
    cr_assert_eq(lines_with("WARN  m it failed"), 1);
}
