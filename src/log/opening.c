/* journal_open: what the names and the headers tell. */
#include "log/journal_private.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_DIGITS = 20, META_MOST = 64 * 1024 * 1024 };

/* ---- names ---- */

/* The id that a file is named by; 0 where the name is not one of a file with frames. */
static uint64_t name_first(const char *name)
{
    uint64_t first;
    struct span digits = {.at = name, .len = NAME_DIGITS};
    if (strlen(name) != NAME_DIGITS + 4 || strcmp(name + NAME_DIGITS, ".log") != 0)
        return 0;
    return span_uint(digits, &first) ? first : 0;
}

static int by_first(const void *a, const void *b)
{
    const struct journal_file *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static int names_take(struct journal *journal, struct span names)
{
    int result = 0;
    while (result == 0 && names.len > 0) {
        const char *name = names.at;
        uint64_t first = name_first(name);
        if (first > 0)
            result = journal_files_add(journal, (struct journal_file){.first = first, .last = first - 1});
        journal->aside += strstr(name, JOURNAL_ASIDE) != NULL;
        names = span_after(names, strlen(name) + 1);
    }
    if (journal->count > 0)
        qsort(journal->files, journal->count, sizeof *journal->files, by_first);
    return result;
}

/* ---- the meta file ---- */

static int meta_text(const struct journal *journal, struct buf *text)
{
    int fd = disk_open(journal->dir, JOURNAL_META, DISK_READ);
    if (fd < 0)
        return fd;
    int64_t size = disk_size(fd);
    int64_t len = size;
    if (size > META_MOST)
        len = -EFBIG;
    if (len > 0)
        len = buf_reserve(text, (size_t)size) ? journal_read(fd, text->data, (size_t)size, 0) : -ENOMEM;
    disk_close(fd);
    if (len > 0)
        text->len = (size_t)len;
    return len < 0 ? (int)len : 0;
}

static int meta_take(struct journal *journal, char why[JOURNAL_WHY_SIZE])
{
    struct journal_meta meta = {0};
    struct buf text = {0};
    int result = meta_text(journal, &text);
    enum meta_kind kind = META_BAD;
    if (result == 0)
        kind = meta_read(buf_span(&text), &meta, &journal->meta_synced);
    buf_free(&text);
    journal->meta_there = result != -ENOENT;
    if (journal_is_damage(result) || result == -ENOENT)
        result = 0;
    if (result == 0 && meta.node.failed)
        result = -ENOMEM;
    if (result < 0)
        return journal_why(why, result, journal, JOURNAL_META, "%s", journal_strerror(result));
    if (kind == META_GOOD) {
        journal->meta = meta;
        return 0;
    }
    buf_free(&meta.node);
    journal->meta_synced = 0;
    journal->meta_bad = true; /* unless the directory is new */
    return kind == META_BAD ? 0
                            : journal_why(why, -EPROTO, journal, JOURNAL_META,
                                          "its format is not one that this program knows");
}

/* ---- headers ---- */

/* Reads a file's size and header. One that cannot be read is bad, which journal_load tells. */
static int head_take(struct journal *journal, struct journal_file *file, enum frame_file_kind *kind,
                     struct frame_file *head, char why[JOURNAL_WHY_SIZE])
{
    char name[JOURNAL_NAME_SIZE], bytes[FRAME_FILE_HEAD] = {0};
    journal_name(file->first, name);
    int fd = disk_open(journal->dir, name, DISK_READ);
    if (fd < 0)
        return journal_why(why, fd, journal, name, "%s", journal_strerror(fd));
    int64_t size = disk_size(fd);
    int64_t len = journal_read(fd, bytes, sizeof bytes, 0);
    disk_close(fd);
    if (size < 0)
        return journal_why(why, (int)size, journal, name, "%s", journal_strerror((int)size));
    if (len < 0 && !journal_is_damage((int)len))
        return journal_why(why, (int)len, journal, name, "%s", journal_strerror((int)len));
    file->bytes = (uint64_t)size;
    *kind = len < 0 ? FRAME_FILE_BAD : frame_file_read(bytes, head);
    return *kind == FRAME_FILE_UNKNOWN
               ? journal_why(why, -EPROTO, journal, name, "its format is not one that this program knows")
               : 0;
}

/* The meta file's place where it cannot be read. */
static void head_believe(struct journal *journal, const struct frame_file *head)
{
    memcpy(journal->meta.log, head->log, sizeof journal->meta.log);
    if (journal->meta.epoch < head->epoch)
        journal->meta.epoch = head->epoch;
}

static int heads_take(struct journal *journal, char why[JOURNAL_WHY_SIZE])
{
    bool used = false;
    uint64_t before = 0;
    for (size_t i = 0; i < journal->count; i++) {
        struct journal_file *file = &journal->files[i];
        enum frame_file_kind kind = FRAME_FILE_BAD;
        struct frame_file head;
        int result = head_take(journal, file, &kind, &head, why);
        if (result < 0)
            return result;
        bool gap = kind == FRAME_FILE_GOOD && head.before > before && head.before < file->first;
        if (gap || (i == 0 && file->first != 1)) {
            char name[JOURNAL_NAME_SIZE];
            journal_name(gap ? head.before : 1, name);
            return journal_why(why, -ENODATA, journal, name, "the file is missing");
        }
        used |= kind != FRAME_FILE_UNUSED;
        if (kind == FRAME_FILE_GOOD && journal->meta_bad)
            head_believe(journal, &head);
        before = file->first;
    }
    if (!used && !journal->meta_there)
        journal->meta_bad = false;
    return 0;
}

/* ---- all of it ---- */

static int directory_lock(struct journal *journal, char why[JOURNAL_WHY_SIZE])
{
    uint64_t holder = 0;
    journal->lock = disk_lock(journal->dir, journal->use == JOURNAL_WRITE, &holder);
    if (journal->lock == -ENOENT && journal->use == JOURNAL_LOOK)
        return 0;
    if (journal->lock == -EBUSY && holder > 0)
        return journal_why(why, -EBUSY, journal, "", "process %" PRIu64 " uses this directory", holder);
    if (journal->lock == -EBUSY)
        return journal_why(why, -EBUSY, journal, "", "another process uses this directory");
    if (journal->lock < 0)
        return journal_why(why, journal->lock, journal, journal->lock == -EMEDIUMTYPE ? "lock" : "",
                           "cannot lock the directory: %s", journal_strerror(journal->lock));
    return 0;
}

static int directory_read(struct journal *journal, char why[JOURNAL_WHY_SIZE])
{
    struct buf names = {0};
    int result = disk_names(journal->dir, &names);
    if (result == 0)
        result = names_take(journal, buf_span(&names));
    buf_free(&names);
    if (result < 0)
        return journal_why(why, result, journal, "", "cannot read the directory: %s",
                           journal_strerror(result));
    result = meta_take(journal, why);
    return result < 0 ? result : heads_take(journal, why);
}

static int directory_begin(struct journal *journal, char why[JOURNAL_WHY_SIZE])
{
    int result = journal->use == JOURNAL_WRITE && journal->count == 0 ? journal_room(journal, 0) : 0;
    return result < 0 ? journal_why(why, result, journal, "", "there is no room for the first file: %s",
                                    journal_strerror(result))
                      : 0;
}

int journal_open(struct journal **out, const char *path, enum journal_use use, char why[JOURNAL_WHY_SIZE])
{
    struct journal *journal = calloc(1, sizeof *journal);
    char *copy = strdup(path);
    if (!journal || !copy) {
        free(journal);
        free(copy);
        snprintf(why, JOURNAL_WHY_SIZE, "%s: %s", path, strerror(ENOMEM));
        return -ENOMEM;
    }
    *journal = (struct journal){.use = use, .path = copy, .dir = -1, .lock = -1, .fd = -1, .syncs = true};
    journal->dir = disk_open_dir(path, use == JOURNAL_WRITE);
    int result = journal->dir < 0
                     ? journal_why(why, journal->dir, journal, "", "cannot open the directory: %s",
                                   journal_strerror(journal->dir))
                     : directory_lock(journal, why);
    if (result == 0)
        result = directory_read(journal, why);
    if (result == 0)
        result = directory_begin(journal, why);
    if (result < 0)
        journal_close(journal);
    else
        *out = journal;
    return result;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        disk_close(journal->fd);
    if (journal->dir >= 0)
        disk_close(journal->dir);
    if (journal->lock >= 0)
        disk_close(journal->lock);
    buf_free(&journal->meta.node);
    buf_free(&journal->meta_text);
    free(journal->files);
    free(journal->path);
    free(journal);
}
