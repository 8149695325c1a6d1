/* journal_load.
 *
 * Where all is well, each file's frames are read and appended to the list, and behind the last file's last
 * one are zeros. Else the list ends at some id X - 1. `synced` is the highest id that anything, before that
 * place or behind it, says was on disk: where that is below X, nobody was promised anything of what follows,
 * and it is cut off; else it is damage. What the disk cannot read where the list ends is damage in any case.
 * Where it is damage, all that is found behind it was here and is missing, the last frame included: it may
 * have been synced and acknowledged as well, and only a frame behind it would tell.
 */
#include "log/recovery.h"
#include "log/reader.h"
#include <errno.h>
#include <stdlib.h>

enum { PIECE_BYTES = 64 * 1024 };

/* ---- reading ---- */

enum taken { TAKEN, NOT_TAKEN };

/* What it means that bytes cannot be had in which messages up to an id may be: nothing good is there, or an
 * error. */
static int not_had(struct recovery *recovery, const struct reader *reader, uint64_t id)
{
    if (reader->error == 0)
        return NOT_TAKEN;
    if (!journal_is_damage(reader->error))
        return reader->error;
    recovery->unread = id > recovery->unread ? id : recovery->unread;
    return NOT_TAKEN;
}

/* Appends the messages of the frame at an offset. Returns TAKEN, NOT_TAKEN where no good frame is there, or a
 * negative errno. */
static int frame_take(struct recovery *recovery, struct reader *reader, uint64_t at, struct frame *frame)
{
    uint64_t last;
    const char *head = reader_get(reader, at, FRAME_HEAD);
    if (!head)
        return not_had(recovery, reader, log_last(recovery->log) + 1);
    if (!frame_read(head, frame) || frame->first != log_last(recovery->log) + 1)
        return NOT_TAKEN;
    if (frame_bytes(frame) > reader->size - at)
        return NOT_TAKEN;
    struct span messages = {.len = (size_t)frame->len};
    messages.at = reader_get(reader, at + FRAME_HEAD, messages.len);
    if (!messages.at)
        return not_had(recovery, reader, frame->first + frame->count - 1);
    buf_clear(&recovery->lens);
    if (!frame_split(messages, frame->count, &recovery->lens))
        return recovery->lens.failed ? -ENOMEM : NOT_TAKEN;
    int result = log_append_proven(recovery->log, messages, (const size_t *)(const void *)recovery->lens.data,
                                   frame->count, frame->digest, &last);
    return result == -EBADMSG ? (int)NOT_TAKEN : result == 0 ? (int)TAKEN : result;
}

/* Whether the file goes on with the list. */
static bool head_fits(const struct recovery *recovery, size_t index, const char bytes[FRAME_FILE_HEAD])
{
    const struct journal *journal = recovery->journal;
    const struct log_tail tail = log_tail(recovery->log);
    struct frame_file head;
    return frame_file_read(bytes, &head) == FRAME_FILE_GOOD && head.first == journal->files[index].first &&
           head.first == tail.last + 1 && head.digest == tail.digest &&
           strcmp(head.log, journal->meta.log) == 0 &&
           head.before == (index > 0 ? journal->files[index - 1].first : 0);
}

static int frames_take(struct recovery *recovery, size_t index, struct reader *reader)
{
    uint64_t *end = &recovery->extents[index].end;
    const char *head = reader_get(reader, 0, FRAME_FILE_HEAD);
    if (!head)
        return not_had(recovery, reader, log_last(recovery->log) + 1);
    if (!head_fits(recovery, index, head))
        return NOT_TAKEN;
    *end = FRAME_FILE_HEAD;
    for (;;) {
        struct frame frame;
        int result = frame_take(recovery, reader, *end, &frame);
        if (result != TAKEN && *end == FRAME_FILE_HEAD)
            *end = 0; /* the header is written anew: an empty list may get another name */
        if (result != TAKEN)
            return result;
        *end += frame_bytes(&frame);
        recovery->synced = frame.synced > recovery->synced ? frame.synced : recovery->synced;
        recovery->epoch = frame.epoch > recovery->epoch ? frame.epoch : recovery->epoch;
    }
}

/* Looks at some bytes behind the list's end, which begin at an offset of the file, for a frame's header and
 * for anything that is not zero. Returns the offset where to go on. */
static uint64_t piece_search(struct recovery *recovery, struct extent *extent, struct span piece, uint64_t at)
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
            const uint64_t last = frame.first + frame.count - 1;
            recovery->synced = frame.synced > recovery->synced ? frame.synced : recovery->synced;
            recovery->behind = last > recovery->behind ? last : recovery->behind;
            extent->filled = at + i + frame_bytes(&frame);
            return extent->filled;
        }
    }
    return behind;
}

/* Searches the file from the end of the good frames on. */
static int rest_search(struct recovery *recovery, struct extent *extent, struct reader *reader)
{
    for (uint64_t at = extent->end; at < reader->size;) {
        uint64_t left = reader->size - at;
        uint64_t page = PAGE - at % PAGE;
        struct span piece = {.len = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES};
        piece.at = reader_get(reader, at, piece.len);
        if (!piece.at) {
            piece.len = page < left ? (size_t)page : (size_t)left;
            piece.at = reader_get(reader, at, piece.len);
        }
        if (!piece.at && reader->error < 0 && !journal_is_damage(reader->error))
            return reader->error;
        uint64_t next = at + piece.len;
        if (!piece.at)
            extent->filled = next; /* whatever it is */
        else
            next = piece_search(recovery, extent, piece, at);
        /* A header may lie across two pieces. */
        bool more = piece.at && next == at + piece.len && next < reader->size && piece.len > FRAME_HEAD;
        at = more ? next - FRAME_HEAD : next;
    }
    if (extent->filled > reader->size)
        extent->filled = reader->size;
    return 0;
}

/* Takes a file's frames, or, where the list has ended before, only searches it. */
static int file_read(struct recovery *recovery, size_t index, bool take)
{
    char name[JOURNAL_NAME_SIZE];
    struct extent *extent = &recovery->extents[index];
    struct reader reader = {.size = recovery->journal->files[index].bytes, .done = recovery->done};
    reader.fd = recovery_file_open(recovery, index, DISK_READ, name);
    if (reader.fd < 0)
        return reader.fd;
    int result = take ? frames_take(recovery, index, &reader) : 0;
    if (take)
        recovery->journal->files[index].last = log_last(recovery->log);
    extent->filled = extent->end;
    if (result >= 0)
        result = rest_search(recovery, extent, &reader);
    disk_close(reader.fd);
    buf_free(&reader.buf);
    if (result == -ENOSPC)
        return journal_why(recovery->why, result, recovery->journal, name,
                           "the list on disk is longer than MAX_LOG allows");
    return result < 0 ? recovery_why(recovery, result, name, "cannot read the file") : 0;
}

/* Whether the list goes on in the file behind one that was read, or ends here as it should. What lies behind
 * the last frame of an older file matters to nobody. */
static bool file_ends_well(const struct recovery *recovery, size_t index)
{
    const struct journal *journal = recovery->journal;
    const struct extent *extent = &recovery->extents[index];
    if (index + 1 == journal->count)
        return !extent_dirty(extent);
    return extent->end > 0 && journal->files[index + 1].first == log_last(recovery->log) + 1;
}

static int files_read(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    recovery->bad = journal->count;
    for (size_t i = 0; i < journal->count; i++) {
        int result = file_read(recovery, i, recovery->bad == journal->count);
        if (result < 0)
            return result;
        if (recovery->bad == journal->count && !file_ends_well(recovery, i))
            recovery->bad =
                i > 0 && recovery->extents[i].end == 0 && extent_dirty(&recovery->extents[i - 1]) ? i - 1 : i;
        recovery->found->files += journal->files[i].last >= journal->files[i].first;
    }
    return 0;
}

/* ---- all of it ---- */

/* Goes on behind the last frame. What zeros are behind it are not believed to be on disk. */
static int writing_begin(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    char name[JOURNAL_NAME_SIZE];
    journal->synced = journal->last;
    journal->unsynced = journal->count > 0 ? journal->count - 1 : 0;
    if (journal->fd >= 0)
        disk_close(journal->fd);
    journal->fd = -1;
    if (journal->count > 0) {
        journal->fd = recovery_file_open(recovery, journal->count - 1, DISK_WRITE, name);
        if (journal->fd < 0)
            return journal->fd;
        journal->end = journal->room = recovery->extents[journal->count - 1].end;
    }
    int result = journal_room(journal, journal_ahead_bytes);
    return result < 0 && !journal_is_full(result) ? recovery_why(recovery, result, "", "cannot make room")
                                                  : 0;
}

bool recovery_file_unused(const struct recovery *recovery, size_t index)
{
    const struct journal_file *file = &recovery->journal->files[index];
    return recovery->extents[index].filled == 0 &&
           (file->bytes > 0 || file->first == recovery->found->last + 1);
}

/* The first file behind the list's end that is set aside; 0: there is none. */
static uint64_t stray_find(const struct recovery *recovery)
{
    for (size_t i = recovery->bad + 1; i < recovery->journal->count; i++)
        if (!recovery_file_unused(recovery, i))
            return recovery->journal->files[i].first;
    return 0;
}

/* Decides what was lost. */
static void loss_find(struct recovery *recovery)
{
    struct journal_found *found = recovery->found;
    uint64_t missing = recovery->journal->meta.missing;
    found->last = log_last(recovery->log);
    if (recovery->bad < recovery->journal->count && recovery->unread > recovery->synced)
        recovery->synced = recovery->unread; /* nobody can say that it was not */
    if (recovery->synced > found->last) {
        found->damaged = found->last + 1;
        missing = recovery->synced > missing ? recovery->synced : missing;
        missing = recovery->behind > missing ? recovery->behind : missing;
    } else if (recovery->bad < recovery->journal->count) {
        found->torn_bytes = recovery->extents[recovery->bad].filled - recovery->extents[recovery->bad].end;
        found->stray = stray_find(recovery);
    }
    found->missing = missing > found->last ? missing : 0;
    found->meta_damaged = recovery->journal->meta_bad;
}

static int recovery_all(struct recovery *recovery, bool accept_loss)
{
    struct journal *journal = recovery->journal;
    int result = files_read(recovery);
    if (result < 0)
        return result;
    if (journal->meta_bad && journal->meta.epoch < recovery->epoch)
        journal->meta.epoch = recovery->epoch;
    loss_find(recovery);
    journal->last = log_last(recovery->log);
    journal->digest = log_tail(recovery->log).digest;
    if (journal->use == JOURNAL_LOOK)
        return 0;
    result = recovery_mend(recovery);
    if (result == 0)
        result = recovery_settle(recovery);
    if (result == 0)
        result = writing_begin(recovery);
    if (result < 0)
        return result;
    if (accept_loss) {
        recovery->found->accepted = recovery->found->missing;
        recovery->found->missing = 0;
    }
    journal->syncs = false;
    bool changed =
        recovery->found->damaged || journal->meta_bad || recovery->found->missing != journal->meta.missing;
    if (changed || (journal->meta.log[0] && journal->meta_synced < journal->last))
        result = recovery_meta_put(recovery, journal->last);
    return journal_is_full(result) && !changed ? 0 : result;
}

int journal_load(struct journal *journal, struct log *log, bool accept_loss,
                 struct journal_progress *progress, struct journal_found *found, char why[JOURNAL_WHY_SIZE])
{
    struct recovery recovery = {.journal = journal, .log = log, .found = found, .done = &progress->done};
    recovery.why = why;
    recovery.synced = journal->meta_synced;
    *found = (struct journal_found){0};
    recovery.extents = calloc(journal->count + 1, sizeof *recovery.extents);
    if (!recovery.extents)
        return recovery_why(&recovery, -ENOMEM, "", "cannot read the files");
    atomic_store_explicit(&progress->done, 0, memory_order_relaxed);
    atomic_store_explicit(&progress->all, journal_bytes(journal), memory_order_relaxed);
    int result = recovery_all(&recovery, accept_loss);
    found->aside = journal->aside;
    buf_free(&recovery.lens);
    free(recovery.extents);
    return result;
}
