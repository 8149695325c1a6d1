#include "journal_by_hand.h"

#include <unistd.h>

static char path[64];

static void begin(void)
{
    snprintf(path, sizeof path, "%s", "/tmp/journal-header-XXXXXX");
    cr_assert(mkdtemp(path));
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", path);
    cr_assert_eq(system(command), 0);
}

TestSuite(journal_header, .init = begin, .fini = end);

/* The first append was torn, and only the header of its file, with the list's name, is there. Then the owner
 * goes on with another list, as an empty master that takes one over. */
Test(journal_header, of_a_torn_first_append_does_not_name_the_list_that_comes_instead)
{
    char name[128];
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    by_hand_list(&it, 1);
    cr_assert_eq(by_hand_write(&it), 0);
    by_hand_close(&it);
    snprintf(name, sizeof name, "%s/00000000000000000001.log", path);
    cr_assert_eq(truncate(name, FRAME_FILE_HEAD + 8), 0);

    it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.found.last, 0);
    cr_assert_eq(it.found.damaged, 0);
    const struct journal_meta other = {.log = "another-list", .epoch = 2};
    cr_assert_eq(journal_put_meta(it.journal, &other), 0);
    by_hand_append(&it, 3);
    by_hand_close(&it);

    it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.found.last, 3);
    cr_assert_eq(it.found.missing, 0);
    by_hand_check(&it);
    by_hand_close(&it);
}
