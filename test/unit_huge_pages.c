/* When a list gets huge pages, with a madvise(2) that is told what to answer; and with the real one. */
#include "log/huge_pages.h"
#include "log/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { MESSAGE = 1000, SEGMENT = LOG_SEGMENT_BYTES / (MESSAGE + 1) }; /* messages in a segment */

static atomic_int calls;    /* to collapse */
static atomic_int good;     /* how many of the next ones succeed */
static atomic_int failures; /* how many of those behind them fail */
static atomic_int failure;  /* with which error */
static atomic_bool real;
static atomic_bool none_left; /* the real one found no huge page */

int madvise(void *at, size_t len, int advice)
{
    if (advice == MADV_COLLAPSE)
        atomic_fetch_add(&calls, 1);
    if (advice != MADV_COLLAPSE || atomic_load(&real)) {
        int result = (int)syscall(SYS_madvise, at, len, advice);
        if (result < 0 && (errno == ENOMEM || errno == EBUSY))
            atomic_store(&none_left, true);
        return result;
    }
    if (atomic_load(&good) > 0 || atomic_load(&failures) == 0) {
        atomic_fetch_sub(&good, 1);
        return 0;
    }
    atomic_fetch_sub(&failures, 1);
    errno = atomic_load(&failure);
    return -1;
}

static struct log *list;

static void list_start(void)
{
    list = log_open();
}

TestSuite(huge_pages, .init = list_start, .timeout = 60);

static void append_one(size_t len)
{
    char *text = malloc(len);
    uint64_t last;
    memset(text, 'x', len);
    text[0] = text[len - 1] = '"';
    cr_assert_eq(log_append(list, (struct span){text, len}, NULL, 1, &last), 0);
    free(text);
}

static void append(int messages)
{
    for (int i = 0; i < messages; i++)
        append_one(MESSAGE);
}

/* The next collapses fail, so many of them. */
static void fail(int error, int times)
{
    atomic_store(&failure, error);
    atomic_store(&failures, times);
}

static void read_all(int times)
{
    for (int i = 0; i < times; i++)
        log_slice(list, 1, UINT64_MAX);
}

static void expect_calls(int count)
{
    for (int i = 0; i < 5000 && atomic_load(&calls) < count; i++)
        usleep(1000);
    cr_assert(atomic_load(&calls) == count, "%d calls, not %d", atomic_load(&calls), count);
}

/* Reads on until a round that follows another has begun. */
static void read_until_calls(int count)
{
    for (int i = 0; i < 5000 && atomic_load(&calls) < count; i++) {
        read_all(HUGE_PAGES_READS);
        usleep(1000);
    }
    expect_calls(count);
}

/* What is under way goes on to its end, and nothing follows. */
static void expect_calls_at_end(int count)
{
    expect_calls(count);
    log_close(list);
    cr_assert(atomic_load(&calls) == count, "%d calls at the end, not %d", atomic_load(&calls), count);
}

Test(huge_pages, a_list_that_is_read_now_and_then_stays_as_it_is)
{
    append(3 * SEGMENT);
    read_all(HUGE_PAGES_READS - 1);
    expect_calls_at_end(0);
}

Test(huge_pages, each_segment_moves_once)
{
    append(3 * SEGMENT);
    read_all(HUGE_PAGES_READS);
    expect_calls(3);
    read_all(10 * HUGE_PAGES_READS);
    expect_calls_at_end(3);
}

Test(huge_pages, short_reads_do_not_count)
{
    append(3 * SEGMENT);
    for (int i = 0; i < 100 * HUGE_PAGES_READS; i++)
        log_slice(list, 1, SEGMENT / 4);
    expect_calls_at_end(0);
}

Test(huge_pages, batches_for_a_secondary_do_not_count)
{
    append(3 * SEGMENT);
    for (int i = 0; i < 100 * HUGE_PAGES_READS; i++)
        log_next(list, &(struct log_cursor){.id = 1}, LOG_SEGMENT_BYTES);
    expect_calls_at_end(0);
}

Test(huge_pages, the_last_segment_moves_when_it_is_half_full)
{
    append(SEGMENT + SEGMENT / 3);
    read_all(HUGE_PAGES_READS);
    expect_calls(1);
    append(SEGMENT / 3);
    read_until_calls(2);
    append(2 * SEGMENT);
    read_until_calls(4);
    expect_calls_at_end(4);
}

Test(huge_pages, what_is_on_its_way_to_a_reader_is_tried_again)
{
    fail(EAGAIN, 7);
    append(2 * SEGMENT);
    read_all(HUGE_PAGES_READS);
    expect_calls_at_end(2 + 7);
}

Test(huge_pages, a_round_ends_and_the_next_one_goes_on)
{
    fail(EAGAIN, HUGE_PAGES_TRIES);
    append(SEGMENT);
    read_all(HUGE_PAGES_READS);
    expect_calls(HUGE_PAGES_TRIES);
    read_until_calls(HUGE_PAGES_TRIES + 1);
    expect_calls_at_end(HUGE_PAGES_TRIES + 1);
}

Test(huge_pages, a_list_that_is_closed_ends_its_round)
{
    fail(EAGAIN, 1000000);
    append(SEGMENT);
    read_all(HUGE_PAGES_READS);
    while (atomic_load(&calls) == 0)
        usleep(100);
    log_close(list);
    cr_expect(atomic_load(&calls) < HUGE_PAGES_TRIES / 2);
}

Test(huge_pages, a_system_without_them_is_asked_once)
{
    fail(EINVAL, 1000000);
    append(3 * SEGMENT);
    read_all(HUGE_PAGES_READS);
    expect_calls(1);
    append(3 * SEGMENT);
    read_all(3 * HUGE_PAGES_READS);
    expect_calls_at_end(1);
}

Test(huge_pages, one_odd_segment_does_not_keep_the_others_from_it)
{
    atomic_store(&good, 1);
    fail(EINVAL, 1); /* but for that one */
    append(3 * SEGMENT);
    read_all(HUGE_PAGES_READS);
    expect_calls(3);
    append(SEGMENT);
    read_until_calls(4);
    expect_calls_at_end(4);
}

Test(huge_pages, where_there_is_none_left_a_later_round_tries_again)
{
    fail(ENOMEM, 1);
    append(3 * SEGMENT);
    read_all(HUGE_PAGES_READS);
    expect_calls(1);
    read_all(10 * HUGE_PAGES_READS);
    cr_expect_eq(atomic_load(&calls), 1, "not at once");
    read_until_calls(1 + 3);
    expect_calls_at_end(1 + 3);
}

/* The long message does not fit behind the short one, and has a segment to itself. */
Test(huge_pages, a_segment_of_little_stays_as_it_is)
{
    for (int i = 0; i < 2; i++) {
        append(1);
        append_one(LOG_SEGMENT_BYTES);
    }
    read_all(HUGE_PAGES_READS);
    expect_calls_at_end(2);
}

/* ---- the real ones */

static long huge_kb(void)
{
    char text[8192];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    cr_assert(len > 0);
    text[len] = '\0';
    const char *line = strstr(text, "AnonHugePages:");
    return line ? atol(line + strlen("AnonHugePages:")) : 0;
}

/* Whether this system moves pages when it is asked to. */
static bool system_moves(void)
{
    char *pages =
        mmap(NULL, 2 * LOG_SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 1, 2 * LOG_SEGMENT_BYTES);
    bool moves = syscall(SYS_madvise, pages, 2 * LOG_SEGMENT_BYTES, MADV_COLLAPSE) == 0;
    munmap(pages, 2 * LOG_SEGMENT_BYTES);
    return moves;
}

/* From here on collapses are real; skips the test where the system has none. */
static void collapse_really(void)
{
    if (!system_moves())
        cr_skip_test("this system does not move memory into huge pages (Linux 6.1 does)");
    atomic_store(&real, true);
}

/* Reads on until so much is in huge pages; skips the test where the system has none left. */
static void read_until_huge_kb(long kb)
{
    for (int i = 0; i < 5000 && huge_kb() < kb && !atomic_load(&none_left); i++) {
        read_all(HUGE_PAGES_READS);
        usleep(1000);
    }
    if (atomic_load(&none_left))
        cr_skip_test("this system has no huge page left");
    cr_assert(huge_kb() >= kb, "%ld KiB in huge pages", huge_kb());
}

/* Whatever the system does by itself, new segments have small pages. */
Test(huge_pages, a_new_list_has_none)
{
    long before_kb = huge_kb();
    append(3 * SEGMENT);
    cr_expect_eq(huge_kb(), before_kb);
    log_close(list);
}

Test(huge_pages, the_messages_are_the_same_in_them)
{
    collapse_really();
    append(3 * SEGMENT);
    long before_kb = huge_kb();
    uint64_t digest = log_digest(list, log_last(list) - 1);
    read_until_huge_kb(before_kb + 3 * LOG_SEGMENT_BYTES / 1024);
    cr_expect(log_digest(list, log_last(list) - 1) == digest);
    struct log_slice slice = log_slice(list, 1, UINT64_MAX);
    struct iovec piece;
    for (uint64_t at = 0; log_slice_iov(&slice, &piece, 1) == 1; at += piece.iov_len) {
        for (size_t i = 0; i < piece.iov_len; i++) {
            size_t place = (at + i) % (MESSAGE + 1);
            char expected = place == MESSAGE ? ',' : place == 0 || place == MESSAGE - 1 ? '"' : 'x';
            if (((const char *)piece.iov_base)[i] != expected)
                cr_assert_fail("another byte at %lu", (unsigned long)(at + i));
        }
        log_slice_skip(&slice, piece.iov_len);
    }
    log_close(list);
}

Test(huge_pages, a_page_in_a_pipe_is_not_moved_away_from_it)
{
    collapse_really();
    append(SEGMENT);
    long before_kb = huge_kb();
    struct log_slice slice = log_slice(list, 1, UINT64_MAX);
    struct iovec piece;
    int ends[2];
    char bytes[4096];
    cr_assert_eq(log_slice_iov(&slice, &piece, 1), 1);
    piece.iov_len = sizeof bytes;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(vmsplice(ends[1], &piece, 1, 0), (ssize_t)sizeof bytes);
    read_all(HUGE_PAGES_READS);
    for (int i = 0; i < 50000 && atomic_load(&calls) < 3; i++)
        usleep(100);
    cr_assert_geq(atomic_load(&calls), 3);
    cr_expect_eq(huge_kb(), before_kb);
    cr_expect_eq(read(ends[0], bytes, sizeof bytes), (ssize_t)sizeof bytes);
    cr_expect(memcmp(bytes, piece.iov_base, sizeof bytes) == 0);
    read_until_huge_kb(before_kb + LOG_SEGMENT_BYTES / 1024);
    log_close(list);
}
