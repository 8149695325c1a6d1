/* journal_load.
 *
 * Where all is well, each file's frames are read and appended to the list, and behind the last file's last
 * one are zeros. Else the list ends at some id X - 1. `synced` is the highest id that anything, before that
 * place or behind it, says was on disk: where that is below X, nobody was promised anything of what follows,
 * and it is cut off; else it is damage.
 *
 * Mending may be interrupted at any point and is then begun again by the next start, which finds the same:
 * the meta file tells first what was on disk, later files go before earlier ones, and the end of the damaged
 * file goes last. */
#include "log/journal_private.h"
#include "log/reader.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE_BYTES = 64 * 1024, PAGE = 4096 };

static const char meta_name[] = "meta";
static const char copy_name[] = "copy.new";

/* What was found in a file. */
struct extent {
    uint64_t end;    /* of the last frame that is in the list now; 0: there is none, and no header counts */
    uint64_t filled; /* the zeros that end the file begin here, or at `end` */
};

struct load {
    struct journal *journal;
    struct log *log;
    struct journal_found *found;
    char *why;
    _Atomic uint64_t *done;
    struct extent *extents; /* owned; of each file */
    size_t bad;             /* the file in which the list ends too early; journal->count: it does not */
    uint64_t synced;
    uint64_t epoch;  /* the highest of the frames */
    struct buf lens; /* of a frame's messages */
};

static int load_why(struct load *load, int result, const char *name, const char *what)
{
    return journal_why(load->why, result, load->journal, name, "%s: %s", what, strerror(-result));
}

static int file_open(struct load *load, size_t index, enum disk_open how, char name[JOURNAL_NAME_SIZE])
{
    journal_name(load->journal->files[index].first, name);
    int fd = disk_open(load->journal->dir, name, how);
    return fd < 0 ? load_why(load, fd, name, "cannot open the file") : fd;
}

/* ---- reading ---- */

enum taken { TAKEN, NOT_TAKEN };

/* What it means that bytes cannot be had: nothing good is there, or an error. */
static int not_had(const struct reader *reader)
{
    return reader->error == 0 || journal_is_damage(reader->error) ? NOT_TAKEN : reader->error;
}

/* Appends the messages of the frame at an offset. Returns TAKEN, NOT_TAKEN where no good frame is there, or a
 * negative errno. */
static int frame_take(struct load *load, struct reader *reader, uint64_t at, struct frame *frame)
{
    uint64_t last;
    const char *head = reader_get(reader, at, FRAME_HEAD);
    if (!head)
        return not_had(reader);
    if (!frame_read(head, frame) || frame->first != log_last(load->log) + 1)
        return NOT_TAKEN;
    if (frame->len > reader->size - at - FRAME_HEAD)
        return NOT_TAKEN;
    struct span messages = {.len = (size_t)frame->len};
    messages.at = reader_get(reader, at + FRAME_HEAD, messages.len);
    if (!messages.at)
        return not_had(reader);
    buf_clear(&load->lens);
    if (!frame_split(messages, frame->count, &load->lens))
        return load->lens.failed ? -ENOMEM : NOT_TAKEN;
    int result = log_append_proven(load->log, messages, (const size_t *)(const void *)load->lens.data,
                                   frame->count, frame->digest, &last);
    return result == -EBADMSG ? (int)NOT_TAKEN : result == 0 ? (int)TAKEN : result;
}

/* Whether the file goes on with the list. */
static bool head_fits(const struct load *load, size_t index, const char bytes[FRAME_FILE_HEAD])
{
    const struct journal *journal = load->journal;
    const struct log_tail tail = log_tail(load->log);
    struct frame_file head;
    return frame_file_read(bytes, &head) == FRAME_FILE_GOOD && head.first == journal->files[index].first &&
           head.first == tail.last + 1 && head.digest == tail.digest &&
           strcmp(head.log, journal->meta.log) == 0 &&
           head.before == (index > 0 ? journal->files[index - 1].first : 0);
}

static int frames_take(struct load *load, size_t index, struct reader *reader)
{
    uint64_t *end = &load->extents[index].end;
    const char *head = reader_get(reader, 0, FRAME_FILE_HEAD);
    if (!head)
        return not_had(reader);
    if (!head_fits(load, index, head))
        return NOT_TAKEN;
    *end = FRAME_FILE_HEAD;
    for (;;) {
        struct frame frame;
        int result = frame_take(load, reader, *end, &frame);
        if (result != TAKEN && *end == FRAME_FILE_HEAD)
            *end = 0; /* the header is written anew: an empty list may get another name */
        if (result != TAKEN)
            return result;
        *end += frame_bytes(&frame);
        load->synced = frame.synced > load->synced ? frame.synced : load->synced;
        load->epoch = frame.epoch > load->epoch ? frame.epoch : load->epoch;
    }
}

/* Looks at some bytes behind the list's end, which begin at an offset of the file, for a frame's header and
 * for anything that is not zero. Returns the offset where to go on. */
static uint64_t piece_search(struct load *load, struct extent *extent, struct span piece, uint64_t at)
{
    uint64_t behind = at + piece.len;
    for (size_t i = 0; i < piece.len; i += FRAME_ALIGN) {
        uint64_t word = 0;
        struct frame frame;
        size_t len = piece.len - i < sizeof word ? piece.len - i : sizeof word;
        memcpy(&word, piece.at + i, len);
        if (word == 0)
            continue;
        extent->filled = at + i + len;
        if (piece.len - i >= FRAME_HEAD && frame_read(piece.at + i, &frame)) {
            load->synced = frame.synced > load->synced ? frame.synced : load->synced;
            extent->filled = at + i + frame_bytes(&frame);
            return extent->filled;
        }
    }
    return behind;
}

/* Searches the file from the end of the good frames on. */
static int rest_search(struct load *load, struct extent *extent, struct reader *reader)
{
    for (uint64_t at = extent->end; at < reader->size;) {
        uint64_t left = reader->size - at;
        uint64_t page = PAGE - at % PAGE;
        struct span piece = {.len = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES};
        piece.at = reader_get(reader, at, piece.len);
        if (!piece.at && not_had(reader) == NOT_TAKEN) {
            piece.len = page < left ? (size_t)page : (size_t)left;
            piece.at = reader_get(reader, at, piece.len);
        }
        if (!piece.at && not_had(reader) < 0)
            return reader->error;
        uint64_t next = at + piece.len;
        if (!piece.at)
            extent->filled = next; /* whatever it is */
        else
            next = piece_search(load, extent, piece, at);
        /* A header may lie across two pieces. */
        bool more = piece.at && next == at + piece.len && next < reader->size && piece.len > FRAME_HEAD;
        at = more ? next - FRAME_HEAD : next;
    }
    if (extent->filled > reader->size)
        extent->filled = reader->size;
    return 0;
}

/* Takes a file's frames, or, where the list has ended before, only searches it. */
static int file_read(struct load *load, size_t index, bool take)
{
    char name[JOURNAL_NAME_SIZE];
    struct extent *extent = &load->extents[index];
    struct reader reader = {.size = load->journal->files[index].bytes, .done = load->done};
    reader.fd = file_open(load, index, DISK_READ, name);
    if (reader.fd < 0)
        return reader.fd;
    int result = take ? frames_take(load, index, &reader) : 0;
    if (take)
        load->journal->files[index].last = log_last(load->log);
    extent->filled = extent->end;
    if (result >= 0)
        result = rest_search(load, extent, &reader);
    disk_close(reader.fd);
    buf_free(&reader.buf);
    if (result == -ENOSPC)
        return journal_why(load->why, result, load->journal, name,
                           "the list on disk is longer than MAX_LOG allows");
    return result < 0 ? load_why(load, result, name, "cannot read the file") : 0;
}

/* Whether the list goes on behind a file that was read, or ends there as it should. */
static bool file_ends_well(const struct load *load, size_t index)
{
    const struct journal *journal = load->journal;
    const struct extent *extent = &load->extents[index];
    if (extent->filled > extent->end)
        return false;
    return index + 1 == journal->count ||
           (extent->end > 0 && journal->files[index + 1].first == log_last(load->log) + 1);
}

static int files_read(struct load *load)
{
    struct journal *journal = load->journal;
    load->bad = journal->count;
    for (size_t i = 0; i < journal->count; i++) {
        int result = file_read(load, i, load->bad == journal->count);
        if (result < 0)
            return result;
        if (load->bad == journal->count && !file_ends_well(load, i))
            load->bad = i;
        load->found->files += journal->files[i].last >= journal->files[i].first;
    }
    return 0;
}

/* ---- setting aside ---- */

/* A name for a file that is set aside, which no file has. */
static int aside_name(struct load *load, const char *name, char out[JOURNAL_NAME_SIZE])
{
    int fd = 0;
    snprintf(out, JOURNAL_NAME_SIZE, "%s" JOURNAL_ASIDE, name);
    for (unsigned i = 2; (fd = disk_open(load->journal->dir, out, DISK_READ)) >= 0; i++) {
        disk_close(fd);
        snprintf(out, JOURNAL_NAME_SIZE, "%s" JOURNAL_ASIDE ".%u", name, i);
    }
    return fd == -ENOENT ? 0 : fd;
}

static int aside_rename(struct load *load, const char *from, const char *name)
{
    char aside[JOURNAL_NAME_SIZE];
    int result = aside_name(load, name, aside);
    if (result == 0)
        result = disk_rename(load->journal->dir, from, aside);
    if (result == 0)
        result = disk_sync_dir(load->journal->dir);
    if (result < 0)
        return load_why(load, result, name, "cannot set the file aside");
    load->journal->aside++;
    if (!load->found->aside_name[0])
        memcpy(load->found->aside_name, aside, sizeof load->found->aside_name);
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

static int aside_copy(struct load *load, size_t index)
{
    char name[JOURNAL_NAME_SIZE];
    int from = file_open(load, index, DISK_READ, name);
    if (from < 0)
        return from;
    int to = disk_open(load->journal->dir, copy_name, DISK_NEW);
    int result = to < 0 ? to : copy_write(from, load->journal->files[index].bytes, to);
    disk_close(from);
    if (to >= 0)
        disk_close(to);
    return result < 0 ? load_why(load, result, name, "cannot copy the file, which is damaged")
                      : aside_rename(load, copy_name, name);
}

/* Takes the last file away: renamed, or, where nothing is in it, removed. */
static int last_take_away(struct load *load)
{
    struct journal *journal = load->journal;
    char name[JOURNAL_NAME_SIZE];
    size_t index = journal->count - 1;
    int result = 0;
    journal_name(journal->files[index].first, name);
    if (load->extents[index].filled > 0) {
        result = aside_rename(load, name, name);
    } else {
        result = disk_remove(journal->dir, name);
        if (result == 0)
            result = disk_sync_dir(journal->dir);
        if (result < 0)
            load_why(load, result, name, "cannot remove the file");
    }
    if (result == 0)
        journal->count--;
    return result;
}

/* ---- mending ---- */

static int file_cut(struct load *load, size_t index)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t end = load->extents[index].end;
    int fd = file_open(load, index, DISK_WRITE, name);
    if (fd < 0)
        return fd;
    int result = disk_cut(fd, end);
    if (result == 0)
        result = disk_sync(fd);
    disk_close(fd);
    if (result < 0)
        return load_why(load, result, name, "cannot cut the file");
    load->journal->files[index].bytes = end;
    return 0;
}

static int meta_put(struct load *load, uint64_t synced)
{
    struct journal *journal = load->journal;
    struct journal_meta meta = journal->meta;
    meta.missing = load->found->missing;
    int result = journal_put(journal, &meta, synced);
    return result < 0 ? load_why(load, result, meta_name, "cannot write the file") : 0;
}

/* Lets the files end where the list ends. */
static int files_mend(struct load *load)
{
    struct journal *journal = load->journal;
    if (load->bad == journal->count)
        return 0;
    const struct extent *extent = &load->extents[load->bad];
    bool dirty = extent->filled > extent->end;
    int result = 0;
    if (dirty && load->found->damaged && extent->end > 0)
        result = aside_copy(load, load->bad);
    while (result == 0 && journal->count > load->bad + 1)
        result = last_take_away(load);
    if (result < 0 || !dirty)
        return result;
    return load->found->damaged && extent->end == 0 ? last_take_away(load) : file_cut(load, load->bad);
}

static int mend(struct load *load)
{
    int result = 0;
    if (load->journal->meta_bad && load->journal->meta_there)
        result = aside_rename(load, meta_name, meta_name);
    if (result == 0 && load->found->damaged)
        result = meta_put(load, load->synced);
    return result < 0 ? result : files_mend(load);
}

/* ---- what was not known to be on disk ---- */

/* Where the first frame begins that holds an id behind `synced`; 0 where that is the file's first one. */
static int tail_begin(int fd, uint64_t synced, uint64_t end, uint64_t *begin)
{
    uint64_t at = FRAME_FILE_HEAD;
    while (at < end) {
        char head[FRAME_HEAD];
        struct frame frame;
        int64_t len = disk_read(fd, head, sizeof head, at);
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
static int file_settle(struct load *load, size_t index, bool again)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t end = load->extents[index].end;
    uint64_t begin = end;
    int fd = file_open(load, index, DISK_WRITE, name);
    if (fd < 0)
        return fd;
    int result = again ? tail_begin(fd, load->synced, end, &begin) : 0;
    if (result == 0)
        result = again_write(fd, begin, end);
    if (result == 0)
        result = disk_sync(fd);
    disk_close(fd);
    return result < 0 ? load_why(load, result, name, "cannot write the file") : 0;
}

/* Sees to it that all messages that were read are on disk. Those of an older file are written again by
 * nobody: its sync failed in no process that began another file, unless that one did without. */
static int files_settle(struct load *load)
{
    const struct journal *journal = load->journal;
    size_t used = journal->count;
    int result = 0;
    while (used > 0 && load->extents[used - 1].end == 0)
        used--;
    for (size_t i = 0; result == 0 && i < used; i++)
        if (journal->files[i].last > load->synced)
            result = file_settle(load, i, i + 1 == used);
    if (result < 0)
        return result;
    result = disk_sync_dir(journal->dir);
    return result < 0 ? load_why(load, result, "", "cannot sync the directory") : 0;
}

/* ---- all of it ---- */

/* Goes on behind the last frame. What zeros are behind it are not believed to be on disk. */
static int writing_begin(struct load *load)
{
    struct journal *journal = load->journal;
    char name[JOURNAL_NAME_SIZE];
    journal->synced = journal->last;
    journal->unsynced = journal->count > 0 ? journal->count - 1 : 0;
    if (journal->fd >= 0)
        disk_close(journal->fd);
    journal->fd = -1;
    if (journal->count > 0) {
        journal->fd = file_open(load, journal->count - 1, DISK_WRITE, name);
        if (journal->fd < 0)
            return journal->fd;
        journal->end = journal->room = load->extents[journal->count - 1].end;
    }
    int result = journal_room(journal, journal_ahead_bytes);
    return result < 0 && !journal_is_full(result) ? load_why(load, result, "", "cannot make room") : 0;
}

/* Decides what was lost. */
static void loss_find(struct load *load)
{
    struct journal_found *found = load->found;
    uint64_t missing = load->journal->meta.missing;
    found->last = log_last(load->log);
    if (load->synced > found->last) {
        found->damaged = found->last + 1;
        missing = load->synced > missing ? load->synced : missing;
    } else if (load->bad < load->journal->count) {
        found->torn_bytes = load->extents[load->bad].filled - load->extents[load->bad].end;
    }
    found->missing = missing > found->last ? missing : 0;
    found->meta_damaged = load->journal->meta_bad;
}

static int load_all(struct load *load, bool accept_loss)
{
    struct journal *journal = load->journal;
    int result = files_read(load);
    if (result < 0)
        return result;
    if (journal->meta_bad && journal->meta.epoch < load->epoch)
        journal->meta.epoch = load->epoch;
    loss_find(load);
    journal->last = log_last(load->log);
    journal->digest = log_tail(load->log).digest;
    if (journal->use == JOURNAL_LOOK)
        return 0;
    result = mend(load);
    if (result == 0)
        result = files_settle(load);
    if (result == 0)
        result = writing_begin(load);
    if (result < 0)
        return result;
    if (accept_loss)
        load->found->missing = 0;
    bool changed = load->found->damaged || journal->meta_bad || load->found->missing != journal->meta.missing;
    if (changed || (journal->meta.log[0] && journal->meta_synced < journal->last))
        result = meta_put(load, journal->last);
    return journal_is_full(result) && !changed ? 0 : result;
}

int journal_load(struct journal *journal, struct log *log, bool accept_loss,
                 struct journal_progress *progress, struct journal_found *found, char why[JOURNAL_WHY_SIZE])
{
    struct load load = {.journal = journal,
                        .log = log,
                        .found = found,
                        .why = why,
                        .done = &progress->done,
                        .synced = journal->meta_synced};
    *found = (struct journal_found){0};
    load.extents = calloc(journal->count + 1, sizeof *load.extents);
    if (!load.extents)
        return load_why(&load, -ENOMEM, "", "cannot read the files");
    atomic_store_explicit(&progress->done, 0, memory_order_relaxed);
    atomic_store_explicit(&progress->all, journal_bytes(journal), memory_order_relaxed);
    int result = load_all(&load, accept_loss);
    found->aside = journal->aside;
    buf_free(&load.lens);
    free(load.extents);
    return result;
}
