#include "journal_by_hand.h"
#include "log/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a directory, and what is in it ---- */

static char path[64];

static const char *in_path(const char *name)
{
    static char out[512];
    snprintf(out, sizeof out, "%s/%s", path, name);
    return out;
}

struct file {
    char name[64];
    char *bytes;
    size_t len;
};

/* All files of the directory, as they were. */
struct shot {
    struct file files[32];
    int count;
};

static void file_write(const char *name, const char *bytes, size_t len)
{
    int fd = open(in_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static struct shot shot_take(void)
{
    struct shot shot = {0};
    DIR *stream = opendir(path);
    cr_assert(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        struct stat status;
        int fd = open(in_path(entry->d_name), O_RDONLY);
        cr_assert_eq(fstat(fd, &status), 0);
        if (S_ISREG(status.st_mode)) {
            struct file *file = &shot.files[shot.count++];
            cr_assert(span_copy(span_of(entry->d_name), file->name, sizeof file->name));
            file->len = (size_t)status.st_size;
            file->bytes = malloc(file->len + 1);
            cr_assert_eq(read(fd, file->bytes, file->len + 1), status.st_size);
        }
        close(fd);
    }
    closedir(stream);
    return shot;
}

static void shot_free(struct shot *shot)
{
    for (int i = 0; i < shot->count; i++)
        free(shot->files[i].bytes);
}

static struct file *shot_find(struct shot *shot, const char *name)
{
    for (int i = 0; i < shot->count; i++)
        if (strcmp(shot->files[i].name, name) == 0)
            return &shot->files[i];
    return NULL;
}

static bool shot_has(const struct shot *shot, const struct file *file)
{
    for (int i = 0; i < shot->count; i++)
        if (shot->files[i].len == file->len && memcmp(shot->files[i].bytes, file->bytes, file->len) == 0)
            return true;
    return false;
}

/* Makes the directory hold the files of the shot and no others. */
static void shot_put_back(const struct shot *shot)
{
    struct shot now = shot_take();
    for (int i = 0; i < now.count; i++)
        cr_assert_eq(unlink(in_path(now.files[i].name)), 0);
    for (int i = 0; i < shot->count; i++)
        file_write(shot->files[i].name, shot->files[i].bytes, shot->files[i].len);
    shot_free(&now);
}

/* Whether the directory is as it was. */
static void check_unchanged(struct shot *before)
{
    struct shot now = shot_take();
    cr_assert_eq(now.count, before->count);
    for (int i = 0; i < now.count; i++) {
        const struct file *old = shot_find(before, now.files[i].name);
        cr_assert(old && old->len == now.files[i].len &&
                      memcmp(old->bytes, now.files[i].bytes, old->len) == 0,
                  "%s", now.files[i].name);
    }
    shot_free(&now);
}

static void directory_make(void)
{
    snprintf(path, sizeof path, "%s/journal.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(path));
    journal_ahead_bytes = 8 * 1024;
    journal_file_bytes = 32 * 1024;
}

static void directory_remove(void)
{
    const struct shot nothing = {0};
    shot_put_back(&nothing);
    rmdir(path);
}

TestSuite(journal, .timeout = 120, .init = directory_make, .fini = directory_remove);

/* ---- lists ---- */

static struct by_hand open_well(void)
{
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_check(&it);
    return it;
}

static uint64_t last_frame; /* the first id of the last frame that list_make wrote, */
static uint64_t last_id;    /* and its last one */

/* Writes frames of 1, 2, 3 messages and so on until there are so many files, with three frames in the last
 * one. */
static void list_make(size_t files)
{
    const struct journal_file *at;
    struct by_hand it = open_well();
    for (uint64_t count = 1, rest = 3; rest > 0; count++) {
        last_frame = log_last(it.log) + 1;
        by_hand_append(&it, count % 9 + 1);
        rest -= journal_files(it.journal, &at) == files && at[files - 1].last >= at[files - 1].first;
    }
    last_id = log_last(it.log);
    by_hand_close(&it);
}

/* The name of a file, the first being 0. */
static const char *file_name(size_t index)
{
    static char name[JOURNAL_NAME_SIZE];
    const struct journal_file *files;
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_lt(index, journal_files(it.journal, &files));
    journal_name(files[index].first, name);
    by_hand_close(&it);
    return name;
}

/* The last frame's last id. */
static uint64_t list_last(void)
{
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    uint64_t last = it.found.last;
    by_hand_close(&it);
    return last;
}

/* What another start finds where the one before has mended. */
static void check_mended(const struct by_hand *before)
{
    struct by_hand it = open_well();
    cr_assert_eq(it.found.last, before->found.last);
    cr_assert_eq(it.found.missing, before->found.missing);
    cr_assert_eq(it.found.aside, before->found.aside);
    cr_assert_eq(it.found.torn_bytes, 0);
    cr_assert_eq(it.found.damaged, 0);
    cr_assert_not(it.found.meta_damaged);
    by_hand_close(&it);
}

static void check_whole(const struct by_hand *it, uint64_t last)
{
    cr_assert_eq(it->found.last, last);
    cr_assert_eq(it->found.torn_bytes, 0);
    cr_assert_eq(it->found.damaged, 0);
    cr_assert_eq(it->found.missing, 0);
    cr_assert_eq(it->found.aside, 0);
    cr_assert_str_eq(it->found.aside_name, "");
}

/* ---- what is written is read ---- */

Test(journal, gives_back_what_was_written)
{
    const struct journal_file *files;
    struct by_hand it = open_well();
    for (int i = 1; i <= 40; i++)
        by_hand_append(&it, (uint64_t)i);
    uint64_t last = log_last(it.log), digest = log_tail(it.log).digest, bytes = journal_bytes(it.journal);
    cr_assert_eq(journal_synced(it.journal), last);
    by_hand_close(&it);

    it = open_well();
    check_whole(&it, last);
    cr_assert_eq(log_tail(it.log).digest, digest);
    cr_assert_eq(journal_synced(it.journal), last);
    cr_assert_geq(it.found.files, 3);
    cr_assert_eq(journal_files(it.journal, &files), it.found.files);
    cr_assert_eq(files[0].first, 1);
    cr_assert_eq(files[1].first, files[0].last + 1);
    cr_assert_lt(journal_bytes(it.journal), bytes + 3 * journal_ahead_bytes);
    by_hand_append(&it, 3);
    by_hand_close(&it);

    it = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_check(&it);
    cr_assert_eq(it.found.last, last + 3);
    by_hand_close(&it);
}

Test(journal, tells_how_far_it_is)
{
    struct journal_progress progress;
    struct journal_found found;
    struct journal *journal;
    char why[JOURNAL_WHY_SIZE];
    struct log *log = log_open();
    list_make(3);
    cr_assert_eq(journal_open(&journal, path, JOURNAL_LOOK, why), 0);
    uint64_t bytes = journal_bytes(journal);
    cr_assert_eq(journal_load(journal, log, false, &progress, &found, why), 0);
    cr_assert_eq(progress.all, bytes);
    cr_assert_eq(progress.done, bytes);
    journal_close(journal);
    log_close(log);
}

Test(journal, keeps_what_its_owner_puts_into_the_meta_file)
{
    struct by_hand it = open_well();
    struct journal_meta meta = {.log = "another", .epoch = 7, .missing = 0};
    buf_add_text(&meta.node, "{\"members\":[\"a\",\"b c\"]}");
    cr_assert_eq(journal_put_meta(it.journal, &meta), 0);
    buf_add_text(&meta.node, "\n");
    cr_assert_eq(journal_put_meta(it.journal, &meta), -EINVAL);
    buf_free(&meta.node);
    by_hand_append(&it, 1);
    by_hand_close(&it);
    it = open_well();
    cr_assert_str_eq(journal_meta(it.journal)->log, "another");
    cr_assert_eq(journal_meta(it.journal)->epoch, 7);
    cr_assert(span_equals(buf_span(&journal_meta(it.journal)->node), "{\"members\":[\"a\",\"b c\"]}"));
    by_hand_close(&it);
}

/* Longer than a piece that is read, than the room ahead, than a file. */
Test(journal, takes_a_message_of_many_mebibytes)
{
    enum { LEN = 5 * 1024 * 1024 };
    char *text = malloc(LEN);
    uint64_t last;
    cr_assert(text);
    memset(text, 'x', LEN);
    text[0] = text[LEN - 1] = '"';
    struct by_hand it = open_well();
    cr_assert_eq(log_append(it.log, (struct span){.at = text, .len = LEN}, NULL, 1, &last), 0);
    cr_assert_eq(by_hand_write(&it), 0);
    by_hand_append(&it, 2);
    uint64_t digest = log_tail(it.log).digest;
    by_hand_close(&it);
    it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    check_whole(&it, 3);
    cr_assert_eq(log_tail(it.log).digest, digest);
    cr_assert_eq(it.found.files, 2);
    by_hand_close(&it);
    free(text);
}

Test(journal, leaves_names_that_it_does_not_know_alone)
{
    list_make(2);
    uint64_t last = list_last();
    cr_assert_eq(mkdir(in_path("lost+found"), 0700), 0);
    file_write("0000000000000000001.log", "a digit too few", 15);
    file_write("00000000000000000000.log", "no id", 5);
    file_write("99999999999999999999.log", "no id", 5);
    file_write("meta.new", "left by a crash", 15);
    struct by_hand it = open_well();
    check_whole(&it, last);
    by_hand_append(&it, 1);
    by_hand_close(&it);
    cr_assert_eq(access(in_path("0000000000000000001.log"), F_OK), 0);
    cr_assert_eq(access(in_path("00000000000000000000.log"), F_OK), 0);
    cr_assert_eq(access(in_path("99999999999999999999.log"), F_OK), 0);
    cr_assert_eq(rmdir(in_path("lost+found")), 0);
}

Test(journal, says_that_the_list_is_longer_than_its_limit)
{
    struct journal_progress progress;
    struct journal_found found;
    struct journal *journal;
    char why[JOURNAL_WHY_SIZE];
    list_make(2);
    struct shot shot = shot_take();
    struct log *log = log_open();
    log_limit(log, 10000);
    cr_assert_eq(journal_open(&journal, path, JOURNAL_WRITE, why), 0);
    cr_assert_eq(journal_load(journal, log, false, &progress, &found, why), -ENOSPC);
    cr_assert(strstr(why, "longer than"), "%s", why);
    journal_close(journal);
    log_close(log);
    unlink(in_path("lock"));
    file_write("lock", shot_find(&shot, "lock")->bytes, shot_find(&shot, "lock")->len);
    check_unchanged(&shot);
    shot_free(&shot);
}

/* ---- the end is torn ---- */

/* At each length that its last file may have from the last but one of its frames on. */
Test(journal, drops_an_append_that_was_not_finished)
{
    list_make(2);
    struct shot shot = shot_take();
    const struct file *file = shot_find(&shot, file_name(1));
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    uint64_t least = it.found.last, whole = it.found.last, lengths = 0;
    by_hand_close(&it);
    for (size_t len = file->len; least >= last_frame - 1; len--) { /* until the second one is gone as well */
        shot_put_back(&shot);
        cr_assert_eq(truncate(in_path(file->name), (off_t)len), 0);
        it = by_hand_open(path, len % 16 ? JOURNAL_LOOK : JOURNAL_WRITE, false);
        cr_assert_eq(it.result, 0);
        by_hand_check(&it);
        cr_assert_leq(it.found.last, least);
        least = it.found.last;
        cr_assert_eq(it.found.damaged, 0, "%zu", len);
        cr_assert_eq(it.found.missing, 0);
        cr_assert_eq(it.found.aside, 0);
        cr_assert(least < whole || it.found.torn_bytes == 0);
        cr_assert_leq(it.found.torn_bytes, len);
        cr_assert(least == whole || least < last_frame);
        lengths++;
        by_hand_close(&it);
    }
    cr_assert_gt(lengths, 1000);
    shot_free(&shot);
}

Test(journal, tells_how_much_it_dropped_and_goes_on)
{
    list_make(1);
    uint64_t last = list_last();
    const char *name = file_name(0);
    struct stat status;
    cr_assert_eq(stat(in_path(name), &status), 0);
    char noise[312];
    memset(noise, 0x5a, sizeof noise);
    int fd = open(in_path(name), O_WRONLY | O_APPEND);
    cr_assert_eq(ftruncate(fd, status.st_size + 4000), 0); /* zeros */
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    check_whole(&it, last);
    by_hand_close(&it);
    cr_assert_eq(write(fd, noise, sizeof noise), (ssize_t)sizeof noise);
    close(fd);
    it = open_well();
    cr_assert_eq(it.found.last, last);
    cr_assert_eq(it.found.torn_bytes, (uint64_t)status.st_size + 4000 + sizeof noise - it.journal->end);
    by_hand_append(&it, 5);
    by_hand_close(&it);
    it = open_well();
    check_whole(&it, last + 5);
    by_hand_close(&it);
}

/* Its header is there and says more than the file has. */
Test(journal, tells_no_more_of_a_torn_frame_than_there_is_of_it)
{
    static const uint64_t lens[] = {100, 5000, 1u << 20, INT64_MAX - 7, INT64_MAX};
    list_make(1);
    struct shot shot = shot_take();
    struct by_hand it = open_well();
    uint64_t end = it.journal->end;
    by_hand_close(&it);
    for (size_t i = 0; i < 2 * sizeof lens / sizeof *lens; i++) {
        const struct frame frame = {
            .len = lens[i / 2], .count = 1, .first = last_id + 1, .synced = last_id, .epoch = 1, .digest = 1};
        char head[FRAME_HEAD];
        shot_put_back(&shot);
        frame_write(&frame, head);
        int fd = open(in_path("00000000000000000001.log"), O_WRONLY);
        off_t size = (off_t)end + (i % 2 ? FRAME_HEAD : 2000);
        cr_assert_eq(pwrite(fd, head, sizeof head, (off_t)end), (ssize_t)sizeof head);
        cr_assert_eq(ftruncate(fd, size), 0);
        close(fd);
        it = open_well();
        cr_assert_eq(it.found.last, last_id);
        cr_assert_gt(it.found.torn_bytes, 0);
        cr_assert_leq(it.found.torn_bytes, (uint64_t)size - end, "%" PRIu64, it.found.torn_bytes);
        by_hand_close(&it);
    }
    shot_free(&shot);
}

/* ---- damage ---- */

static void check_flip(struct shot *shot, struct file *file, size_t at, uint64_t last)
{
    shot_put_back(shot);
    file->bytes[at] ^= (char)(1 << at % 8);
    file_write(file->name, file->bytes, file->len);
    struct by_hand look = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_eq(look.result, 0, "%s", look.why);
    by_hand_close(&look);
    struct by_hand it = open_well();
    struct shot after = shot_take();
    cr_assert_eq(look.found.last, it.found.last);
    cr_assert_eq(look.found.damaged, it.found.damaged);
    cr_assert_eq(look.found.missing, it.found.missing);
    cr_assert_eq(look.found.torn_bytes, it.found.torn_bytes);
    if (it.found.damaged) {
        cr_assert_eq(it.found.damaged, it.found.last + 1);
        cr_assert_eq(it.found.missing, last_id, "%s at %zu", file->name, at);
        cr_assert_geq(it.found.aside, 1);
        cr_assert(shot_has(&after, file), "%s at %zu is gone", file->name, at);
        cr_assert(shot_find(&after, it.found.aside_name), "%s", it.found.aside_name);
    } else {
        cr_assert_eq(it.found.missing, 0);
        cr_assert_eq(it.found.aside, 0);
        cr_assert(it.found.last == last || it.found.last == last_frame - 1, "%s at %zu", file->name, at);
        cr_assert(it.found.last == last || it.found.torn_bytes > 0);
    }
    by_hand_close(&it);
    check_mended(&it);
    shot_free(&after);
    file->bytes[at] ^= (char)(1 << at % 8);
}

/* Anywhere in the two files, and at each place of their headers. */
Test(journal, sets_aside_what_is_damaged_wherever_a_bit_has_changed)
{
    list_make(2);
    unsigned seed = 1;
    struct shot shot = shot_take();
    uint64_t last = list_last();
    struct file *files[2];
    files[0] = shot_find(&shot, file_name(0));
    files[1] = shot_find(&shot, file_name(1));
    for (int i = 0; i < 500; i++) {
        seed = seed * 1664525u + 1013904223u;
        check_flip(&shot, files[i % 2], (seed >> 8) % files[i % 2]->len, last);
    }
    for (size_t at = 0; at < FRAME_FILE_HEAD + FRAME_HEAD; at++)
        check_flip(&shot, files[at % 2], at, last);
    shot_free(&shot);
}

/* Damages a frame in the middle of the first of three files. */
static void damage_make(void)
{
    list_make(3);
    int fd = open(in_path(file_name(0)), O_WRONLY);
    cr_assert_eq(pwrite(fd, "#", 1, 10000), 1);
    close(fd);
}

Test(journal, misses_what_is_damaged_until_it_is_there_again)
{
    damage_make();
    struct by_hand it = open_well();
    uint64_t missing = it.found.missing;
    cr_assert_eq(it.found.aside, 3);
    cr_assert_eq(missing, last_id);
    cr_assert_eq(journal_meta(it.journal)->missing, missing);
    by_hand_append(&it, missing - it.found.last - 1);
    by_hand_close(&it);
    it = open_well();
    cr_assert_eq(it.found.missing, missing);
    by_hand_append(&it, 1);
    by_hand_close(&it);
    it = open_well();
    cr_assert_eq(it.found.missing, 0);
    cr_assert_eq(journal_meta(it.journal)->missing, 0);
    cr_assert_eq(it.found.aside, 3);
    by_hand_close(&it);
}

/* Where all of the list is on disk, only what is found behind the damage tells of the last frame. */
Test(journal, misses_the_last_frame_behind_the_damage_as_well)
{
    char name[JOURNAL_NAME_SIZE];
    struct by_hand it = open_well();
    for (int i = 0; i < 3; i++)
        by_hand_append(&it, 2);
    journal_name(1, name);
    uint64_t end = it.journal->end;
    by_hand_close(&it);
    int fd = open(in_path(name), O_WRONLY);
    cr_assert_eq(pwrite(fd, "#", 1, FRAME_FILE_HEAD + FRAME_HEAD + 3), 1);
    cr_assert_eq(pwrite(fd, "#", 1, (off_t)end - 16), 1, "nor can the last one be checked");
    close(fd);
    it = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_eq(it.found.damaged, 1);
    cr_assert_eq(it.found.missing, 6, "%" PRIu64, it.found.missing);
    by_hand_close(&it);
    it = open_well();
    cr_assert_eq(it.found.missing, 6);
    by_hand_close(&it);
    check_mended(&it);
}

/* Nobody had synced them. */
Test(journal, misses_nothing_of_a_torn_tail_of_several_frames)
{
    char name[JOURNAL_NAME_SIZE];
    struct by_hand it = open_well();
    by_hand_append(&it, 2);
    uint64_t end = it.journal->end;
    for (int i = 0; i < 3; i++) {
        by_hand_list(&it, 2);
        cr_assert_eq(by_hand_write(&it), 0);
    }
    by_hand_close(&it);
    journal_name(1, name);
    int fd = open(in_path(name), O_WRONLY);
    cr_assert_eq(pwrite(fd, "#", 1, (off_t)end + FRAME_HEAD + 3), 1);
    close(fd);
    it = open_well();
    cr_assert_eq(it.found.last, 2);
    cr_assert_eq(it.found.missing, 0);
    cr_assert_eq(it.found.damaged, 0);
    cr_assert_gt(it.found.torn_bytes, 0);
    by_hand_close(&it);
    check_mended(&it);
}

/* Whoever refills the list may be interrupted as anybody else. */
Test(journal, tells_a_torn_end_from_damage_while_ids_are_missing)
{
    damage_make();
    struct by_hand it = open_well();
    uint64_t missing = it.found.missing;
    by_hand_append(&it, 2);
    uint64_t last = it.found.last + 2, end = it.journal->end;
    by_hand_close(&it);
    int fd = open(in_path(file_name(0)), O_WRONLY);
    cr_assert_eq(pwrite(fd, "half a frame", 12, (off_t)end), 12);
    close(fd);
    it = open_well();
    cr_assert_eq(it.found.last, last);
    cr_assert_eq(it.found.damaged, 0);
    cr_assert_eq(it.found.torn_bytes, 16, "in words of 8 bytes");
    cr_assert_eq(it.found.missing, missing);
    cr_assert_eq(it.found.aside, 3);
    by_hand_close(&it);
}

Test(journal, finds_free_names_for_what_it_sets_aside)
{
    damage_make();
    struct by_hand it = open_well();
    cr_assert_str_eq(it.found.aside_name, "00000000000000000001.log" JOURNAL_ASIDE);
    by_hand_close(&it);
    for (int i = 0; i < 3; i++) {
        struct by_hand again = open_well();
        by_hand_append(&again, 3);
        by_hand_append(&again, 3);
        by_hand_close(&again);
        int fd = open(in_path(file_name(0)), O_WRONLY);
        cr_assert_eq(pwrite(fd, "#", 1, FRAME_FILE_HEAD + FRAME_HEAD + 5), 1);
        close(fd);
    }
    it = open_well();
    cr_assert_eq(it.found.last, 0);
    cr_assert_eq(it.found.missing, last_id, "the highest that was ever there");
    cr_assert_eq(it.found.aside, 6);
    cr_assert_str_eq(it.found.aside_name, "00000000000000000001.log" JOURNAL_ASIDE ".4");
    by_hand_close(&it);
}

Test(journal, forgets_what_is_missing_where_a_person_accepts_it)
{
    damage_make();
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, true);
    cr_assert_eq(it.result, 0, "%s", it.why);
    cr_assert_gt(it.found.damaged, 0);
    cr_assert_eq(it.found.missing, 0);
    by_hand_append(&it, 1);
    by_hand_close(&it);
    it = open_well();
    cr_assert_eq(it.found.missing, 0);
    cr_assert_eq(it.found.aside, 3);
    by_hand_close(&it);
}

/* As if the list went on in it, and what is damaged were of no use any more. */
Test(journal, is_not_misled_by_a_strange_file_that_is_named_as_the_next)
{
    char name[JOURNAL_NAME_SIZE];
    damage_make();
    struct by_hand look = by_hand_open(path, JOURNAL_LOOK, false);
    by_hand_close(&look);
    journal_name(look.found.damaged, name);
    file_write(name, "anything", 8);
    struct by_hand it = open_well();
    cr_assert_eq(it.found.last, look.found.last);
    cr_assert_eq(it.found.damaged, look.found.damaged);
    cr_assert_eq(it.found.missing, look.found.missing);
    cr_assert_eq(it.found.aside, 4);
    by_hand_close(&it);
    check_mended(&it);
}

/* ---- files that are not the list's ---- */

/* Puts a file behind a whole list. Returns whether a start sets it aside, or, if not, removes it. */
static bool stray_aside(const struct shot *whole, const char *name, const char *bytes, size_t len)
{
    char aside[JOURNAL_NAME_SIZE + 16];
    uint64_t first = strtoull(name, NULL, 10);
    shot_put_back(whole);
    file_write(name, bytes, len);
    struct by_hand look = by_hand_open(path, JOURNAL_LOOK, false);
    struct by_hand it = open_well();
    cr_assert_eq(it.found.last, last_id);
    cr_assert_eq(it.found.damaged, 0);
    cr_assert_eq(it.found.missing, 0);
    cr_assert_eq(it.found.torn_bytes, 0);
    cr_assert_eq(it.found.stray, look.found.stray);
    cr_assert(it.found.stray == 0 || it.found.stray == first);
    cr_assert_eq(it.found.aside, it.found.stray > 0);
    by_hand_append(&it, 1);
    bool is_aside = it.found.stray > 0;
    by_hand_close(&it);
    by_hand_close(&look);
    struct shot now = shot_take();
    snprintf(aside, sizeof aside, "%s" JOURNAL_ASIDE, name);
    const struct file *kept = shot_find(&now, aside);
    cr_assert_eq(kept != NULL, is_aside);
    cr_assert(!kept || (kept->len == len && memcmp(kept->bytes, bytes, len) == 0));
    shot_free(&now);
    return is_aside;
}

Test(journal, removes_of_the_files_behind_the_list_those_that_it_has_begun)
{
    static const char zeros[8192];
    char next[JOURNAL_NAME_SIZE];
    list_make(1);
    struct shot whole = shot_take();
    journal_name(last_id + 1, next);
    cr_assert(stray_aside(&whole, "00000000000000000900.log", "somebody's", 10));
    cr_assert(stray_aside(&whole, "00000000000000000900.log", "", 0));
    cr_assert_not(stray_aside(&whole, "00000000000000000900.log", zeros, sizeof zeros));
    cr_assert_not(stray_aside(&whole, next, "", 0));
    cr_assert_not(stray_aside(&whole, next, zeros, sizeof zeros));
    shot_free(&whole);
}

/* ---- files are gone ---- */

static void check_refused(int error, const char *says)
{
    struct shot shot = shot_take();
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, error, "%s", it.why);
    cr_assert(strstr(it.why, says), "%s", it.why);
    by_hand_close(&it);
    it = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_eq(it.result, error, "%s", it.why);
    by_hand_close(&it);
    file_write("lock", shot_find(&shot, "lock")->bytes, shot_find(&shot, "lock")->len); /* the process's id */
    check_unchanged(&shot);
    shot_free(&shot);
}

Test(journal, refuses_a_directory_in_which_a_file_is_missing_between_two_others)
{
    list_make(4);
    char name[JOURNAL_NAME_SIZE];
    snprintf(name, sizeof name, "%s", file_name(2));
    cr_assert_eq(unlink(in_path(name)), 0);
    check_refused(-ENODATA, name);
}

Test(journal, refuses_a_directory_whose_first_file_is_missing)
{
    list_make(3);
    cr_assert_eq(unlink(in_path("00000000000000000001.log")), 0);
    check_refused(-ENODATA, "00000000000000000001.log");
}

Test(journal, misses_the_newest_file)
{
    list_make(3);
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    const struct journal_file *files;
    cr_assert_eq(journal_files(it.journal, &files), 3);
    uint64_t last = files[1].last;
    by_hand_close(&it);
    cr_assert_eq(unlink(in_path(file_name(2))), 0);
    it = open_well();
    cr_assert_eq(it.found.last, last);
    cr_assert_eq(it.found.damaged, last + 1);
    cr_assert_gt(it.found.missing, last, "as far as the meta file knows");
    cr_assert_eq(it.found.aside, 0);
    by_hand_close(&it);
    check_mended(&it);
}

Test(journal, misses_all_files)
{
    list_make(3);
    struct shot shot = shot_take();
    for (int i = 0; i < shot.count; i++)
        if (strstr(shot.files[i].name, ".log"))
            unlink(in_path(shot.files[i].name));
    shot_free(&shot);
    struct by_hand it = open_well();
    cr_assert_eq(it.found.damaged, 1);
    cr_assert_gt(it.found.missing, 0);
    by_hand_close(&it);
    check_mended(&it);
}

/* A file that another list has written. */
Test(journal, takes_a_file_of_another_list_for_damage)
{
    list_make(3);
    struct shot shot = shot_take();
    char name[JOURNAL_NAME_SIZE];
    snprintf(name, sizeof name, "%s", file_name(1));
    struct file *file = shot_find(&shot, name);
    struct frame_file head;
    cr_assert_eq(frame_file_read(file->bytes, &head), FRAME_FILE_GOOD);
    snprintf(head.log, sizeof head.log, "stranger");
    frame_file_write(&head, file->bytes);
    file_write(name, file->bytes, file->len);
    struct by_hand it = open_well();
    cr_assert_eq(it.found.damaged, head.first);
    cr_assert_eq(it.found.last, head.first - 1);
    cr_assert_eq(it.found.missing, last_id);
    cr_assert_eq(it.found.aside, 2);
    by_hand_close(&it);
    check_mended(&it);
    shot_free(&shot);
}

/* ---- formats ---- */

Test(journal, refuses_a_format_that_it_does_not_know)
{
    list_make(2);
    struct shot shot = shot_take();
    struct file *meta = shot_find(&shot, "meta");
    meta->bytes[strlen("replicated-log data ")] = '2';
    file_write("meta", meta->bytes, meta->len);
    check_refused(-EPROTO, "/meta: ");
    meta->bytes[strlen("replicated-log data ")] = '1';
    file_write("meta", meta->bytes, meta->len);
    struct file *file = shot_find(&shot, "00000000000000000001.log");
    uint64_t check;
    file->bytes[8] = 2;
    check = digest_chain(0, (struct span){.at = file->bytes, .len = FRAME_FILE_HEAD - 8});
    memcpy(file->bytes + FRAME_FILE_HEAD - 8, &check, 8);
    file_write(file->name, file->bytes, file->len);
    check_refused(-EPROTO, "00000000000000000001.log: ");
    shot_free(&shot);
}

Test(journal, sets_a_damaged_meta_file_aside_and_believes_the_files)
{
    list_make(2);
    uint64_t last = list_last();
    struct shot shot = shot_take();
    struct file *meta = shot_find(&shot, "meta");
    for (size_t at = strlen("replicated-log data 1\n"); at < meta->len; at++) {
        shot_put_back(&shot);
        meta->bytes[at] ^= 1;
        file_write("meta", meta->bytes, meta->len);
        struct by_hand it = open_well();
        cr_assert(it.found.meta_damaged);
        cr_assert_eq(it.found.last, last);
        cr_assert_eq(it.found.missing, 0);
        cr_assert_eq(it.found.aside, 1);
        cr_assert_str_eq(it.found.aside_name, "meta" JOURNAL_ASIDE);
        cr_assert_str_eq(journal_meta(it.journal)->log, "a-list");
        cr_assert_eq(journal_meta(it.journal)->epoch, 1);
        by_hand_close(&it);
        check_mended(&it);
        meta->bytes[at] ^= 1;
    }
    shot_free(&shot);
}

/* The epoch may be another since the file was begun. */
Test(journal, believes_the_newest_frame_where_there_is_no_meta_file)
{
    list_make(2);
    struct by_hand it = open_well();
    struct journal_meta meta = *journal_meta(it.journal);
    meta.epoch = 5;
    meta.node = (struct buf){0};
    cr_assert_eq(journal_put_meta(it.journal, &meta), 0);
    by_hand_append(&it, 1);
    by_hand_close(&it);
    cr_assert_eq(unlink(in_path("meta")), 0);
    it = open_well();
    cr_assert(it.found.meta_damaged);
    cr_assert_eq(it.found.aside, 0);
    cr_assert_str_eq(journal_meta(it.journal)->log, "a-list");
    cr_assert_eq(journal_meta(it.journal)->epoch, 5);
    by_hand_close(&it);
    check_mended(&it);
}

/* ---- what is no file ---- */

/* Whoever writes and whoever looks is told at once that a name is not that of a file. */
static void check_no_file(const char *name)
{
    static const enum journal_use uses[] = {JOURNAL_WRITE, JOURNAL_LOOK};
    char says[128];
    snprintf(says, sizeof says, "/%s: ", name);
    for (size_t i = 0; i < 2; i++) {
        struct by_hand it = by_hand_open(path, uses[i], false);
        cr_assert_eq(it.result, -EMEDIUMTYPE, "%s: %d %s", name, it.result, it.why);
        cr_assert(strstr(it.why, says) && strstr(it.why, "this is not a regular file"), "%s", it.why);
        by_hand_close(&it);
    }
}

Test(journal, says_of_what_is_no_file_that_it_is_none)
{
    static const char *const names[] = {"meta", "lock", "00000000000000000001.log"};
    list_make(1);
    struct shot shot = shot_take();
    for (size_t i = 0; i < 3; i++) {
        char link[512];
        snprintf(link, sizeof link, "%s", in_path("elsewhere"));
        shot_put_back(&shot);
        cr_assert_eq(rename(in_path(names[i]), link), 0);
        cr_assert_eq(symlink("elsewhere", in_path(names[i])), 0);
        check_no_file(names[i]);
        cr_assert_eq(unlink(in_path(names[i])), 0);
        cr_assert_eq(symlink("/dev/zero", in_path(names[i])), 0);
        check_no_file(names[i]);
        cr_assert_eq(unlink(in_path(names[i])), 0);
        cr_assert_eq(mkfifo(in_path(names[i]), 0600), 0);
        check_no_file(names[i]);
        cr_assert_eq(unlink(in_path(names[i])), 0);
        cr_assert_eq(mkdir(in_path(names[i]), 0700), 0);
        check_no_file(names[i]);
        cr_assert_eq(rmdir(in_path(names[i])), 0);
    }
    shot_put_back(&shot);
    shot_free(&shot);
}

/* And what bears a name that a file is to get when it is set aside is let alone. */
Test(journal, sets_a_file_aside_beside_what_is_no_file)
{
    damage_make();
    cr_assert_eq(mkfifo(in_path("00000000000000000001.log" JOURNAL_ASIDE), 0600), 0);
    cr_assert_eq(symlink("nowhere", in_path("00000000000000000001.log" JOURNAL_ASIDE ".2")), 0);
    struct by_hand it = open_well();
    cr_assert_str_eq(it.found.aside_name, "00000000000000000001.log" JOURNAL_ASIDE ".3");
    by_hand_close(&it);
    cr_assert_eq(unlink(in_path("00000000000000000001.log" JOURNAL_ASIDE)), 0);
    cr_assert_eq(unlink(in_path("00000000000000000001.log" JOURNAL_ASIDE ".2")), 0);
}

/* The directory itself may be anywhere. */
Test(journal, takes_a_link_to_its_directory)
{
    list_make(1);
    uint64_t last = list_last();
    char link[96];
    snprintf(link, sizeof link, "%s.link", path);
    cr_assert_eq(symlink(path, link), 0);
    struct by_hand it = by_hand_open(link, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    check_whole(&it, last);
    by_hand_close(&it);
    cr_assert_eq(unlink(link), 0);
}

/* ---- who may use the directory ---- */

Test(journal, who_looks_keeps_nobody_from_writing)
{
    list_make(1);
    struct by_hand look = by_hand_open(path, JOURNAL_LOOK, false);
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_close(&it);
    by_hand_close(&look);
}

Test(journal, says_which_process_uses_the_directory)
{
    int ready[2];
    char byte, text[32];
    list_make(1);
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct journal *journal;
        char why[JOURNAL_WHY_SIZE];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (journal_open(&journal, path, JOURNAL_WRITE, why) == 0)
            (void)!write(ready[1], "", 1);
        pause();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    snprintf(text, sizeof text, "process %d ", (int)child);
    check_refused(-EBUSY, text);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    struct by_hand it = open_well();
    by_hand_close(&it);
}

Test(journal, changes_nothing_where_it_only_looks)
{
    damage_make();
    cr_assert_eq(unlink(in_path("lock")), 0);
    struct shot shot = shot_take();
    cr_assert_eq(chmod(path, 0500), 0);
    struct by_hand it = by_hand_open(path, JOURNAL_LOOK, false);
    struct by_hand beside = by_hand_open(path, JOURNAL_LOOK, true);
    cr_assert_eq(it.result, 0, "%s", it.why);
    cr_assert_eq(beside.result, 0, "%s", beside.why);
    by_hand_check(&it);
    cr_assert_gt(it.found.damaged, 0);
    cr_assert_eq(it.found.missing, last_id);
    cr_assert_eq(it.found.aside, 0);
    by_hand_close(&it);
    by_hand_close(&beside);
    check_unchanged(&shot);
    shot_free(&shot);
    cr_assert_eq(chmod(path, 0700), 0);
}

Test(journal, refuses_a_directory_in_which_it_may_not_write)
{
    list_make(1);
    uint64_t last = list_last();
    uid_t user = geteuid();
    if (user == 0) { /* who may write everywhere */
        struct shot shot = shot_take();
        for (int i = 0; i < shot.count; i++)
            cr_assert_eq(chown(in_path(shot.files[i].name), 65534, 65534), 0);
        shot_free(&shot);
        cr_assert_eq(chown(path, 65534, 65534), 0);
        cr_assert_eq(seteuid(65534), 0);
    }
    cr_assert_eq(chmod(path, 0500), 0);
    struct by_hand it = by_hand_open(path, JOURNAL_WRITE, false);
    cr_assert_eq(it.result, -EACCES, "%s", it.why);
    by_hand_close(&it);
    it = by_hand_open(path, JOURNAL_LOOK, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    check_whole(&it, last);
    by_hand_close(&it);
    cr_assert_eq(chmod(path, 0700), 0);
    cr_assert_eq(seteuid(user), 0);
}

static void made_remove(void)
{
    static const char *const names[] = {"new/meta", "new/lock", "new/00000000000000000001.log"};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(unlink(in_path(names[i])), 0);
    cr_assert_eq(rmdir(in_path("new")), 0);
}

/* It cannot be synced then. */
Test(journal, makes_the_directory_in_a_parent_that_may_not_be_read)
{
    uid_t user = geteuid();
    if (user == 0) { /* who may read everything */
        cr_assert_eq(chown(path, 65534, 65534), 0);
        cr_assert_eq(seteuid(65534), 0);
    }
    cr_assert_eq(chmod(path, 0300), 0);
    struct by_hand it = by_hand_open(in_path("new"), JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_close(&it);
    cr_assert_eq(chmod(path, 0700), 0);
    cr_assert_eq(seteuid(user), 0);
    made_remove();
}

Test(journal, makes_the_directory_but_not_its_parents)
{
    struct stat status;
    struct by_hand it = by_hand_open(in_path("new"), JOURNAL_WRITE, false);
    cr_assert_eq(it.result, 0, "%s", it.why);
    by_hand_close(&it);
    cr_assert_eq(stat(in_path("new"), &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
    it = by_hand_open(in_path("no/new"), JOURNAL_WRITE, false);
    cr_assert_eq(it.result, -ENOENT);
    by_hand_close(&it);
    it = by_hand_open(in_path("no"), JOURNAL_LOOK, false);
    cr_assert_eq(it.result, -ENOENT);
    by_hand_close(&it);
    made_remove();
}
