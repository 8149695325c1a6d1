/* Writing. Each frame is written into room that was made before: zeros that are on disk. So a frame meets no
 * full disk, its flush has nothing to write but itself, and -ENOSPC comes from making room, before anything
 * was begun.
 *
 * As long as journal_sync is not called, no file is synced, nor is its room: the first call makes up for it.
 * The name of a new file always is, since a gap between two files would be refused. */
#include "log/journal_private.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { IOV_MOST = 64, ZERO_BYTES = 64 * 1024 };

uint64_t journal_file_bytes = JOURNAL_FILE_BYTES;
uint64_t journal_ahead_bytes = JOURNAL_AHEAD_BYTES;

static const char meta_new_name[] = "meta.new";

void journal_name(uint64_t first, char out[JOURNAL_NAME_SIZE])
{
    snprintf(out, JOURNAL_NAME_SIZE, "%020" PRIu64 ".log", first);
}

int journal_why(char why[JOURNAL_WHY_SIZE], int result, const struct journal *journal, const char *name,
                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = snprintf(why, JOURNAL_WHY_SIZE, "%s%s%s: ", journal->path, *name ? "/" : "", name);
    if (len < JOURNAL_WHY_SIZE)
        vsnprintf(why + len, (size_t)(JOURNAL_WHY_SIZE - len), format, args);
    va_end(args);
    return result;
}

const char *journal_strerror(int result)
{
    return result == -EMEDIUMTYPE ? "this is not a regular file" : strerror(-result);
}

bool journal_is_damage(int result)
{
    return result == -EIO || result == -EBADMSG || result == -EUCLEAN;
}

bool journal_is_full(int result)
{
    return result == -ENOSPC || result == -EDQUOT;
}

int journal_error(struct journal *journal, int result)
{
    if (result < 0 && !journal_is_full(result))
        journal->failed = result;
    return result;
}

/* A full disk where there was room before, or where a flush may have lost frames, is no reason to try again.
 */
static int final_error(struct journal *journal, int result)
{
    return journal_error(journal, journal_is_full(result) ? -EIO : result);
}

int journal_files_add(struct journal *journal, struct journal_file file)
{
    if (journal->count == journal->cap) {
        size_t cap = journal->cap ? journal->cap * 2 : 16;
        struct journal_file *files = realloc(journal->files, cap * sizeof *files);
        if (!files)
            return -ENOMEM;
        journal->files = files;
        journal->cap = cap;
    }
    journal->files[journal->count++] = file;
    return 0;
}

int64_t journal_read(int fd, char *to, size_t len, uint64_t at)
{
    size_t have = 0;
    while (have < len) {
        int64_t got = disk_read(fd, to + have, len - have, at + have);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (int64_t)have;
}

int journal_write(int fd, struct span bytes, uint64_t at)
{
    while (bytes.len > 0) {
        struct iovec iov = {.iov_base = (char *)(uintptr_t)bytes.at, .iov_len = bytes.len};
        int64_t written = disk_write(fd, &iov, 1, at);
        if (written < 0)
            return (int)written;
        bytes = span_after(bytes, (size_t)written);
        at += (uint64_t)written;
    }
    return 0;
}

/* ---- the meta file ---- */

static int meta_replace(struct journal *journal, struct span text)
{
    int fd = disk_open(journal->dir, meta_new_name, DISK_NEW);
    if (fd < 0)
        return fd;
    int result = journal_write(fd, text, 0);
    if (result == 0)
        result = disk_sync(fd);
    disk_close(fd);
    if (result == 0)
        result = disk_rename(journal->dir, meta_new_name, JOURNAL_META);
    if (result == 0)
        result = disk_sync_dir(journal->dir);
    return result;
}

int journal_put(struct journal *journal, const struct journal_meta *meta, uint64_t synced)
{
    struct buf *text = &journal->meta_text;
    struct buf node = {0};
    buf_clear(text);
    meta_write(meta, synced, text);
    buf_add_span(&node, buf_span(&meta->node));
    int result = text->failed || node.failed ? -ENOMEM : meta_replace(journal, buf_span(text));
    if (result < 0) {
        buf_free(&node);
        return result;
    }
    struct journal_meta copy = *meta;
    copy.node = node;
    buf_free(&journal->meta.node);
    journal->meta = copy;
    journal->meta_synced = synced;
    return 0;
}

int journal_put_meta(struct journal *journal, const struct journal_meta *meta)
{
    if (strchr(meta->log, '\n') || (meta->node.len > 0 && memchr(meta->node.data, '\n', meta->node.len)))
        return -EINVAL;
    if (journal->failed)
        return journal->failed;
    int result = journal_put(journal, meta, journal->synced);
    return result == -ENOMEM ? result : journal_error(journal, result);
}

/* Once there is something in a new file, the meta tells of it: else nobody would miss the file. */
static int meta_renew(struct journal *journal)
{
    uint64_t newest = journal->files[journal->count - 1].first;
    bool due = journal->synced >= newest && journal->meta_synced < newest;
    return due ? journal_put_meta(journal, &journal->meta) : 0;
}

/* ---- room ---- */

/* Writes zeros from one offset to another. */
static int zeros_write(int fd, uint64_t at, uint64_t to)
{
    static const char zeros[ZERO_BYTES];
    struct iovec iov[IOV_MOST];
    while (at < to) {
        int count = 0;
        for (uint64_t left = to - at; left > 0 && count < IOV_MOST; count++) {
            size_t len = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;
            iov[count] = (struct iovec){.iov_base = (char *)(uintptr_t)zeros, .iov_len = len};
            left -= len;
        }
        int64_t written = disk_write(fd, iov, count, at);
        if (written < 0)
            return (int)written;
        at += (uint64_t)written;
    }
    return 0;
}

/* A flush that found no room has lost what it was to write: nothing but zeros, which are written again,
 * unless there were frames. */
static int room_sync(struct journal *journal, int fd, bool frames)
{
    int result = journal->syncs ? disk_sync(fd) : 0;
    return frames ? final_error(journal, result) : result;
}

/* Lets the last file's zeros go on to an offset. */
static int room_extend(struct journal *journal, uint64_t to)
{
    struct journal_file *file = &journal->files[journal->count - 1];
    int result = zeros_write(journal->fd, journal->room, to);
    if (result == 0)
        result = room_sync(journal, journal->fd, journal->last > journal->synced);
    if (result < 0)
        return result;
    journal->room = to;
    if (to > file->bytes)
        file->bytes = to;
    return 0;
}

/* Begins the file behind the last one, or leaves none there. Until its first frame it is nothing but zeros.
 */
static int file_begin(struct journal *journal, uint64_t room)
{
    char name[JOURNAL_NAME_SIZE];
    struct journal_file file = {.first = journal->last + 1, .last = journal->last, .bytes = room};
    journal_name(file.first, name);
    int fd = disk_open(journal->dir, name, DISK_NEW);
    if (fd < 0)
        return fd;
    int result = zeros_write(fd, 0, room);
    if (result == 0)
        result = room_sync(journal, fd, false);
    if (result == 0)
        result = disk_sync_dir(journal->dir);
    if (result == 0)
        result = journal_files_add(journal, file);
    if (result < 0) {
        disk_close(fd);
        (void)disk_remove(journal->dir, name); /* where it stays, it is one that is unused */
        return result;
    }
    if (journal->fd >= 0)
        disk_close(journal->fd);
    journal->fd = fd;
    journal->end = 0;
    journal->room = room;
    return 0;
}

int journal_room(struct journal *journal, uint64_t need)
{
    if (journal->count > 0 && journal->end < journal_file_bytes) {
        bool has = journal->room >= journal->end && journal->room - journal->end >= need;
        return has ? 0 : room_extend(journal, journal->end + need + journal_ahead_bytes);
    }
    /* Whoever wants to know what is on disk must not see a later file hold what an earlier one has lost. */
    int result = journal->count > 0 && journal->syncs ? journal_sync(journal) : 0;
    return result < 0 ? result : file_begin(journal, need + journal_ahead_bytes);
}

int journal_reserve(struct journal *journal)
{
    if (journal->failed)
        return journal->failed;
    int result = journal_error(journal, journal_room(journal, journal_ahead_bytes));
    return result < 0 ? result : meta_renew(journal);
}

/* ---- frames ---- */

/* What is still to be written of a frame. */
struct outgoing {
    char heads[FRAME_FILE_HEAD + FRAME_HEAD];
    struct span head; /* in `heads` */
    struct log_slice slice;
    struct span padding;
};

static int outgoing_iov(const struct outgoing *out, struct iovec iov[IOV_MOST])
{
    int count = 0;
    if (out->head.len > 0)
        iov[count++] = (struct iovec){.iov_base = (char *)(uintptr_t)out->head.at, .iov_len = out->head.len};
    int pieces = log_slice_iov(&out->slice, iov + count, IOV_MOST - 2);
    uint64_t taken = 0;
    for (int i = 0; i < pieces; i++)
        taken += iov[count + i].iov_len;
    count += pieces;
    if (taken == out->slice.len && out->padding.len > 0)
        iov[count++] =
            (struct iovec){.iov_base = (char *)(uintptr_t)out->padding.at, .iov_len = out->padding.len};
    return count;
}

static void outgoing_take(struct outgoing *out, uint64_t written)
{
    size_t head = written < out->head.len ? (size_t)written : out->head.len;
    out->head = span_after(out->head, head);
    written -= head;
    uint64_t messages = written < out->slice.len ? written : out->slice.len;
    log_slice_skip(&out->slice, messages);
    out->padding = span_after(out->padding, (size_t)(written - messages));
}

static int outgoing_write(struct outgoing *out, int fd, uint64_t at)
{
    struct iovec iov[IOV_MOST];
    while (out->head.len > 0 || out->slice.len > 0 || out->padding.len > 0) {
        int64_t written = disk_write(fd, iov, outgoing_iov(out, iov), at);
        if (written < 0)
            return (int)written;
        outgoing_take(out, (uint64_t)written);
        at += (uint64_t)written;
    }
    return 0;
}

/* The header of the last file, which is unused. */
static void file_head(const struct journal *journal, char out[FRAME_FILE_HEAD])
{
    struct frame_file file = {
        .epoch = journal->meta.epoch,
        .first = journal->files[journal->count - 1].first,
        .before = journal->count > 1 ? journal->files[journal->count - 2].first : 0,
        .digest = journal->digest,
    };
    memcpy(file.log, journal->meta.log, sizeof file.log);
    frame_file_write(&file, out);
}

static int frame_put(struct journal *journal, const struct frame *frame, struct log_slice slice)
{
    static const char zeros[FRAME_ALIGN];
    struct outgoing out = {.slice = slice, .padding = {.at = zeros, .len = frame_padding(frame->len)}};
    size_t head = journal->end == 0 ? FRAME_FILE_HEAD : 0;
    if (head > 0)
        file_head(journal, out.heads);
    frame_write(frame, out.heads + head);
    out.head = (struct span){.at = out.heads, .len = head + FRAME_HEAD};
    int result = outgoing_write(&out, journal->fd, journal->end);
    if (result == 0)
        journal->end += head + frame_bytes(frame);
    return result;
}

int journal_append(struct journal *journal, struct log_slice slice, uint64_t first, uint64_t digest)
{
    assert(journal->use == JOURNAL_WRITE && journal->meta.log[0] && slice.count > 0 &&
           first == journal->last + 1);
    const struct frame frame = {
        .len = slice.len,
        .count = slice.count,
        .first = first,
        .synced = journal->synced,
        .epoch = journal->meta.epoch,
        .digest = digest,
    };
    if (journal->failed)
        return journal->failed;
    int result = journal_error(journal, journal_room(journal, FRAME_FILE_HEAD + frame_bytes(&frame)));
    if (result < 0)
        return result;
    result = frame_put(journal, &frame, slice);
    if (result < 0)
        return final_error(journal, result);
    journal->last += frame.count;
    journal->digest = digest;
    journal->files[journal->count - 1].last = journal->last;
    return 0;
}

/* Syncs the files behind which others were begun without it. */
static int older_sync(struct journal *journal)
{
    for (; journal->unsynced + 1 < journal->count; journal->unsynced++) {
        char name[JOURNAL_NAME_SIZE];
        journal_name(journal->files[journal->unsynced].first, name);
        int fd = disk_open(journal->dir, name, DISK_WRITE);
        int result = fd < 0 ? fd : disk_sync(fd);
        if (fd >= 0)
            disk_close(fd);
        if (result < 0)
            return result;
    }
    return 0;
}

int journal_sync(struct journal *journal)
{
    if (journal->failed)
        return journal->failed;
    journal->syncs = true;
    if (journal->synced == journal->last)
        return 0;
    int result = older_sync(journal);
    if (result == 0)
        result = disk_sync(journal->fd);
    if (result < 0)
        return final_error(journal, result);
    journal->synced = journal->last;
    return 0;
}

uint64_t journal_synced(const struct journal *journal)
{
    return journal->synced;
}

uint64_t journal_bytes(const struct journal *journal)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < journal->count; i++)
        bytes += journal->files[i].bytes;
    return bytes;
}

const struct journal_meta *journal_meta(const struct journal *journal)
{
    return &journal->meta;
}

size_t journal_files(const struct journal *journal, const struct journal_file **files)
{
    *files = journal->files;
    return journal->count;
}
