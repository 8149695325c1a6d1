/* What journal_load changes.
 *
 * Mending may be interrupted at any point and is then begun again by the next start, which finds the same:
 * the meta file tells first what was on disk, later files go before earlier ones, and the end of the damaged
 * file goes last. */
#include "log/recovery.h"
#include <errno.h>
#include <stdio.h>

static const char copy_name[] = "copy.new";

int recovery_why(struct recovery *recovery, int result, const char *name, const char *what)
{
    return journal_why(recovery->why, result, recovery->journal, name, "%s: %s%s", what,
                       journal_strerror(result),
                       journal_is_full(result) ? "; make room for it and start again" : "");
}

int recovery_file_open(struct recovery *recovery, size_t index, enum disk_open how,
                       char name[JOURNAL_NAME_SIZE])
{
    journal_name(recovery->journal->files[index].first, name);
    int fd = disk_open(recovery->journal->dir, name, how);
    return fd < 0 ? recovery_why(recovery, fd, name, "cannot open the file") : fd;
}

/* ---- setting aside ---- */

/* A name for a file that is set aside, which no file has. */
static int aside_name(struct recovery *recovery, const char *name, char out[JOURNAL_NAME_SIZE])
{
    int fd = 0;
    snprintf(out, JOURNAL_NAME_SIZE, "%s" JOURNAL_ASIDE, name);
    for (unsigned i = 2;; i++) {
        fd = disk_open(recovery->journal->dir, out, DISK_READ);
        if (fd < 0 && fd != -EMEDIUMTYPE)
            break;
        if (fd >= 0)
            disk_close(fd);
        snprintf(out, JOURNAL_NAME_SIZE, "%s" JOURNAL_ASIDE ".%u", name, i);
    }
    return fd == -ENOENT ? 0 : fd;
}

static int aside_rename(struct recovery *recovery, const char *from, const char *name)
{
    char aside[JOURNAL_NAME_SIZE];
    int result = aside_name(recovery, name, aside);
    if (result == 0)
        result = disk_rename(recovery->journal->dir, from, aside);
    if (result == 0)
        result = disk_sync_dir(recovery->journal->dir);
    if (result < 0)
        return recovery_why(recovery, result, name, "cannot set the file aside");
    recovery->journal->aside++;
    if (!recovery->found->aside_name[0])
        memcpy(recovery->found->aside_name, aside, sizeof recovery->found->aside_name);
    return 0;
}

/* Copies a file; where it cannot be read, the copy has zeros. */
static int copy_write(int from, uint64_t size, int to)
{
    char page[PAGE];
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        int64_t len = disk_read(from, page, left < PAGE ? (size_t)left : PAGE, at);
        if (len == 0)
            break;
        if (len < 0 && !journal_is_damage((int)len))
            return (int)len;
        if (len < 0) {
            len = left < PAGE ? (int64_t)left : PAGE;
            memset(page, 0, (size_t)len);
        }
        int result = journal_write(to, (struct span){.at = page, .len = (size_t)len}, at);
        if (result < 0)
            return result;
        at += (uint64_t)len;
    }
    return disk_sync(to);
}

static int aside_copy(struct recovery *recovery, size_t index)
{
    char name[JOURNAL_NAME_SIZE];
    int from = recovery_file_open(recovery, index, DISK_READ, name);
    if (from < 0)
        return from;
    int to = disk_open(recovery->journal->dir, copy_name, DISK_NEW);
    int result = to < 0 ? to : copy_write(from, recovery->journal->files[index].bytes, to);
    disk_close(from);
    if (to >= 0)
        disk_close(to);
    result = result < 0 ? recovery_why(recovery, result, name, "cannot copy the file, which is damaged")
                        : aside_rename(recovery, copy_name, name);
    if (result < 0)
        (void)disk_remove(recovery->journal->dir, copy_name); /* it may have taken the last room */
    return result;
}

/* Takes the last file away: renamed, or, where it is unused, removed. */
static int last_take_away(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    char name[JOURNAL_NAME_SIZE];
    size_t index = journal->count - 1;
    int result = 0;
    journal_name(journal->files[index].first, name);
    if (!recovery_file_unused(recovery, index)) {
        result = aside_rename(recovery, name, name);
    } else {
        result = disk_remove(journal->dir, name);
        if (result == 0)
            result = disk_sync_dir(journal->dir);
        if (result < 0)
            recovery_why(recovery, result, name, "cannot remove the file");
    }
    if (result == 0)
        journal->count--;
    return result;
}

/* ---- mending ---- */

static int file_cut(struct recovery *recovery, size_t index)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t end = recovery->extents[index].end;
    int fd = recovery_file_open(recovery, index, DISK_WRITE, name);
    if (fd < 0)
        return fd;
    int result = disk_cut(fd, end);
    if (result == 0)
        result = disk_sync(fd);
    disk_close(fd);
    if (result < 0)
        return recovery_why(recovery, result, name, "cannot cut the file");
    recovery->journal->files[index].bytes = end;
    return 0;
}

int recovery_meta_put(struct recovery *recovery, uint64_t synced)
{
    struct journal *journal = recovery->journal;
    struct journal_meta meta = journal->meta;
    meta.missing = recovery->found->missing;
    int result = journal_put(journal, &meta, synced);
    return result < 0 ? recovery_why(recovery, result, JOURNAL_META, "cannot write the file") : 0;
}

/* Lets the files end where the list ends. */
static int files_mend(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    if (recovery->bad == journal->count)
        return 0;
    const struct extent *extent = &recovery->extents[recovery->bad];
    bool dirty = extent_dirty(extent);
    int result = 0;
    if (dirty && recovery->found->damaged && extent->end > 0)
        result = aside_copy(recovery, recovery->bad);
    while (result == 0 && journal->count > recovery->bad + 1)
        result = last_take_away(recovery);
    if (result < 0 || !dirty)
        return result;
    return recovery->found->damaged && extent->end == 0 ? last_take_away(recovery)
                                                        : file_cut(recovery, recovery->bad);
}

int recovery_mend(struct recovery *recovery)
{
    int result = 0;
    if (recovery->journal->meta_bad && recovery->journal->meta_there)
        result = aside_rename(recovery, JOURNAL_META, JOURNAL_META);
    if (result == 0 && recovery->found->damaged)
        result = recovery_meta_put(recovery, recovery->synced);
    return result < 0 ? result : files_mend(recovery);
}

/* ---- what was not known to be on disk ---- */

/* Where the first frame begins that holds an id behind `synced`; 0 where that is the file's first one. */
static int tail_begin(int fd, uint64_t synced, uint64_t end, uint64_t *begin)
{
    uint64_t at = FRAME_FILE_HEAD;
    while (at < end) {
        char head[FRAME_HEAD];
        struct frame frame;
        int64_t len = journal_read(fd, head, sizeof head, at);
        if (len < 0)
            return (int)len;
        if (len < FRAME_HEAD || !frame_read(head, &frame))
            return -EIO;
        if (frame.first + frame.count - 1 > synced)
            break;
        at += frame_bytes(&frame);
    }
    *begin = at == FRAME_FILE_HEAD ? 0 : at;
    return 0;
}

/* Writes the bytes between two offsets once more, as they are. */
static int again_write(int fd, uint64_t at, uint64_t end)
{
    char page[PAGE];
    while (at < end) {
        int64_t len = disk_read(fd, page, end - at < PAGE ? (size_t)(end - at) : PAGE, at);
        if (len <= 0)
            return len < 0 ? (int)len : -EIO;
        int result = journal_write(fd, (struct span){.at = page, .len = (size_t)len}, at);
        if (result < 0)
            return result;
        at += (uint64_t)len;
    }
    return 0;
}

/* A process that was here before may have had a sync that failed: the system holds those pages for clean, and
 * another sync alone would write nothing. */
static int file_settle(struct recovery *recovery, size_t index)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t end = recovery->extents[index].end;
    uint64_t begin = end;
    int fd = recovery_file_open(recovery, index, DISK_WRITE, name);
    if (fd < 0)
        return fd;
    int result = tail_begin(fd, recovery->synced, end, &begin);
    if (result == 0)
        result = again_write(fd, begin, end);
    if (result == 0)
        result = disk_sync(fd);
    disk_close(fd);
    return result < 0 ? recovery_why(recovery, result, name, "cannot write the file") : 0;
}

int recovery_settle(struct recovery *recovery)
{
    const struct journal *journal = recovery->journal;
    int result = 0;
    for (size_t i = 0; result == 0 && i < journal->count; i++)
        if (recovery->extents[i].end > 0 && journal->files[i].last > recovery->synced)
            result = file_settle(recovery, i);
    if (result < 0)
        return result;
    result = disk_sync_dir(journal->dir);
    return result < 0 ? recovery_why(recovery, result, "", "cannot sync the directory") : 0;
}
