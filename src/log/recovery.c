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
static int not_had(struct load *load, const struct reader *reader, uint64_t id)
{
    if (reader->error == 0)
        return NOT_TAKEN;
    if (!journal_is_damage(reader->error))
        return reader->error;
    load->unread = id > load->unread ? id : load->unread;
    return NOT_TAKEN;
}

/* Appends the messages of the frame at an offset. Returns TAKEN, NOT_TAKEN where no good frame is there, or a
 * negative errno. */
static int frame_take(struct load *load, struct reader *reader, uint64_t at, struct frame *frame)
{
    uint64_t last;
    const char *head = reader_get(reader, at, FRAME_HEAD);
    if (!head)
        return not_had(load, reader, log_last(load->log) + 1);
    if (!frame_read(head, frame) || frame->first != log_last(load->log) + 1)
        return NOT_TAKEN;
    if (frame_bytes(frame) > reader->size - at)
        return NOT_TAKEN;
    struct span messages = {.len = (size_t)frame->len};
    messages.at = reader_get(reader, at + FRAME_HEAD, messages.len);
    if (!messages.at)
        return not_had(load, reader, frame->first + frame->count - 1);
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
        return not_had(load, reader, log_last(load->log) + 1);
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
            const uint64_t last = frame.first + frame.count - 1;
            load->synced = frame.synced > load->synced ? frame.synced : load->synced;
            load->behind = last > load->behind ? last : load->behind;
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
    reader.fd = load_file_open(load, index, DISK_READ, name);
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

/* Whether the list goes on in the file behind one that was read, or ends here as it should. What lies behind
 * the last frame of an older file matters to nobody. */
static bool file_ends_well(const struct load *load, size_t index)
{
    const struct journal *journal = load->journal;
    const struct extent *extent = &load->extents[index];
    if (index + 1 == journal->count)
        return !extent_dirty(extent);
    return extent->end > 0 && journal->files[index + 1].first == log_last(load->log) + 1;
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
            load->bad = i > 0 && load->extents[i].end == 0 && extent_dirty(&load->extents[i - 1]) ? i - 1 : i;
        load->found->files += journal->files[i].last >= journal->files[i].first;
    }
    return 0;
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
        journal->fd = load_file_open(load, journal->count - 1, DISK_WRITE, name);
        if (journal->fd < 0)
            return journal->fd;
        journal->end = journal->room = load->extents[journal->count - 1].end;
    }
    int result = journal_room(journal, journal_ahead_bytes);
    return result < 0 && !journal_is_full(result) ? load_why(load, result, "", "cannot make room") : 0;
}

bool load_file_unused(const struct load *load, size_t index)
{
    const struct journal_file *file = &load->journal->files[index];
    return load->extents[index].filled == 0 && (file->bytes > 0 || file->first == load->found->last + 1);
}

/* The first file behind the list's end that is set aside; 0: there is none. */
static uint64_t stray_find(const struct load *load)
{
    for (size_t i = load->bad + 1; i < load->journal->count; i++)
        if (!load_file_unused(load, i))
            return load->journal->files[i].first;
    return 0;
}

/* Decides what was lost. */
static void loss_find(struct load *load)
{
    struct journal_found *found = load->found;
    uint64_t missing = load->journal->meta.missing;
    found->last = log_last(load->log);
    if (load->bad < load->journal->count && load->unread > load->synced)
        load->synced = load->unread; /* nobody can say that it was not */
    if (load->synced > found->last) {
        found->damaged = found->last + 1;
        missing = load->synced > missing ? load->synced : missing;
        missing = load->behind > missing ? load->behind : missing;
    } else if (load->bad < load->journal->count) {
        found->torn_bytes = load->extents[load->bad].filled - load->extents[load->bad].end;
        found->stray = stray_find(load);
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
    result = load_mend(load);
    if (result == 0)
        result = load_settle(load);
    if (result == 0)
        result = writing_begin(load);
    if (result < 0)
        return result;
    if (accept_loss) {
        load->found->accepted = load->found->missing;
        load->found->missing = 0;
    }
    journal->syncs = false;
    bool changed = load->found->damaged || journal->meta_bad || load->found->missing != journal->meta.missing;
    if (changed || (journal->meta.log[0] && journal->meta_synced < journal->last))
        result = load_meta_put(load, journal->last);
    return journal_is_full(result) && !changed ? 0 : result;
}

int journal_load(struct journal *journal, struct log *log, bool accept_loss,
                 struct journal_progress *progress, struct journal_found *found, char why[JOURNAL_WHY_SIZE])
{
    struct load load = {.journal = journal, .log = log, .found = found, .done = &progress->done};
    load.why = why;
    load.synced = journal->meta_synced;
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
