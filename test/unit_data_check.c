#include "data_check.h"
#include "journal_by_hand.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

static void directory_make(void)
{
    snprintf(path, sizeof path, "%s/data.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(path));
    journal_ahead_bytes = 4096;
    journal_file_bytes = 20000;
}

static void directory_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", path);
    cr_expect_eq(system(command), 0);
}

TestSuite(data_check, .timeout = 60, .init = directory_make, .fini = directory_remove);

/* What the check writes to a stream, and its result. */
static char *checked(int stream, int *result)
{
    static char text[4096];
    FILE *file = tmpfile();
    int kept = dup(stream);
    fflush(NULL);
    dup2(fileno(file), stream);
    *result = data_check(path);
    fflush(NULL);
    dup2(kept, stream);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void check_says(int result, const char *says)
{
    int got;
    const char *text = checked(STDOUT_FILENO, &got);
    cr_assert_eq(got, result, "%d: %s", got, text);
    cr_assert(strstr(text, says), "%s", text);
}

static void check_complains(int result, const char *says)
{
    int got;
    const char *text = checked(STDERR_FILENO, &got);
    cr_assert_eq(got, result, "%d: %s", got, text);
    cr_assert(strstr(text, says), "%s", text);
}

/* 20 frames of 10 messages in two files. */
static void list_make(void)
{
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    for (int i = 0; i < 20; i++)
        by_hand_append(&it, 10);
    by_hand_close(&it);
}

static void file_put(const char *name, const char *bytes, off_t at)
{
    char full[128];
    snprintf(full, sizeof full, "%s/%s", path, name);
    int fd = open(full, O_WRONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, bytes, strlen(bytes), at < 0 ? lseek(fd, 0, SEEK_END) : at),
                 (ssize_t)strlen(bytes));
    close(fd);
}

static void file_make(const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s/%s", path, name);
    int fd = open(full, O_WRONLY | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
}

Test(data_check, tells_what_a_whole_list_is)
{
    list_make();
    check_says(0, "log      a-list\nepoch    1\nlist     messages 1 to 200, ");
    check_says(0, "file     00000000000000000001.log  ");
    check_says(0, " bytes, messages 1 to 1");
    check_says(0, "result   whole\n");
    check_complains(0, "");
}

Test(data_check, says_of_a_new_directory_that_no_list_is_there)
{
    check_says(
        0,
        "log      none yet\nepoch    0\nlist     no messages, 0 bytes of files\nresult   no list is here\n");
}

Test(data_check, tells_of_a_torn_tail)
{
    list_make();
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    char name[JOURNAL_NAME_SIZE];
    journal_name(it.journal->files[it.journal->count - 1].first, name);
    by_hand_close(&it);
    file_put(name, "noise", -1);
    check_says(1, " bytes of an append that was not finished, behind message 200: a start drops them\n");
    check_says(1, "result   torn tail");
}

Test(data_check, tells_of_a_stray_file)
{
    list_make();
    file_make("00000000000000000500.log");
    check_says(1, "stray    00000000000000000500.log does not go on with the list");
    check_says(1, "result   torn tail");
}

Test(data_check, tells_of_damage_before_and_after_a_start)
{
    list_make();
    file_put("00000000000000000001.log", "#", FRAME_FILE_HEAD + FRAME_HEAD + 5);
    check_says(2, "list     no messages, ");
    check_says(2, "damaged  message 1 was on disk and cannot be read: ");
    check_says(2, "missing  messages 1 to 200, ");
    check_says(2, " bytes, behind the end of the list\n");
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    by_hand_close(&it);
    check_says(2, "missing  messages 1 to 200, ");
    check_says(2, " files that a start found damaged and set aside");
    it = by_hand_open(path, JOURNAL_WRITE, true);
    by_hand_append(&it, 3);
    by_hand_close(&it);
    check_says(2, " files that a start found damaged and set aside");
    check_says(2, "result   damaged, now or before");
}

Test(data_check, says_why_it_cannot_check)
{
    list_make();
    file_put("meta", "replicated-log data 2", 0);
    check_complains(3, "/meta: its format is not one that this program knows\n");
    file_put("meta", "replicated-log data 1", 0);
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    check_complains(4, "uses this directory\n");
    by_hand_close(&it);
    char name[128];
    snprintf(name, sizeof name, "%s/00000000000000000001.log", path);
    cr_assert_eq(unlink(name), 0);
    check_complains(2, "/00000000000000000001.log: the file is missing\n");
    directory_remove();
    check_complains(3, "cannot open the directory: No such file or directory\n");
    cr_assert_eq(mkdir(path, 0700), 0);
}
