#include "journal_by_hand.h"

#include <errno.h>
#include <unistd.h>

TestSuite(journal, .timeout = 60);

static char *directory(void)
{
    static char path[] = "/tmp/journal.XXXXXX";
    cr_assert(mkdtemp(path));
    journal_ahead_bytes = 16 * 1024;
    journal_file_bytes = 64 * 1024;
    return path;
}

Test(journal, gives_back_what_was_written)
{
    const char *path = directory();
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    for (int i = 1; i <= 40; i++)
        by_hand_append(&it, (uint64_t)i);
    uint64_t last = log_last(it.log), digest = log_tail(it.log).digest;
    cr_assert_eq(journal_synced(it.journal), last);
    by_hand_close(&it);

    it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_check(&it);
    cr_assert_eq(log_last(it.log), last);
    cr_assert_eq(log_tail(it.log).digest, digest);
    cr_assert_eq(it.found.last, last);
    cr_assert_eq(it.found.torn_bytes, 0);
    cr_assert_eq(it.found.damaged, 0);
    cr_assert_eq(it.found.missing, 0);
    cr_assert_geq(it.found.files, 2);
    cr_assert_eq(it.found.aside, 0);
    by_hand_append(&it, 3);
    by_hand_close(&it);

    it = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_check(&it);
    cr_assert_eq(log_last(it.log), last + 3);
    by_hand_close(&it);
}
