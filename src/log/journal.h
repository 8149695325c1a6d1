/* The list on disk: a directory of files that are written in order and read once, at the start.
 *
 *   meta                       which list this is: a small text, replaced as a whole
 *   00000000000000000001.log   frames of messages, one behind the other; the name is the first one's id
 *   00000000000000048213.log   a file ends at JOURNAL_FILE_BYTES or a little later
 *   lock                       held while a process uses the directory
 *
 * A frame is what was written at once: some messages, the digest through the last of them, and `synced`, the
 * id that was known to be on disk when the frame was written. So what cannot be read is told apart: behind
 * everything that was known to be on disk it is the torn tail of a write that was not finished, and nobody
 * was promised it; before that it is damage.
 *
 * Knows nothing of nodes. One thread at a time uses a journal, and its calls block. What it asks of the
 * system goes through disk.h. */
#ifndef LOG_JOURNAL_H
#define LOG_JOURNAL_H

#include "buf.h"
#include "log/log.h"
#include <stdatomic.h>

enum {
    JOURNAL_FILE_BYTES = 64 * 1024 * 1024,
    JOURNAL_AHEAD_BYTES = 1024 * 1024, /* zeros on disk behind the last frame: room that is there */
    JOURNAL_LOG_SIZE = 72,
    JOURNAL_WHY_SIZE = 512
};

struct journal;

/* What the meta file says. */
struct journal_meta {
    char log[JOURNAL_LOG_SIZE]; /* the list's name; "": the directory is new */
    uint64_t epoch;
    uint64_t missing; /* the highest id that was here once, synced or not, and was lost by damage; 0: none */
    struct buf node;  /* one line of the owner's text, without its newline */
};

enum journal_use {
    JOURNAL_WRITE, /* locks the directory, makes it (0700) where there is none */
    JOURNAL_LOOK   /* changes nothing, needs no write permission, and cannot be written */
};

/* Opens a directory: locks it, reads the meta file and the files' headers, and on JOURNAL_WRITE sees to it
 * that the first file is there with room in it. Returns 0, or a negative errno with one sentence in `why`
 * that names the file or, where another process has the directory (-EBUSY), that process. -EPROTO: a format
 * that this program does not know. -ENODATA: a file is missing between two others. Nothing was changed then.
 */
int journal_open(struct journal **out, const char *path, enum journal_use use, char why[JOURNAL_WHY_SIZE]);

/* Lets the directory go. Writes nothing. */
void journal_close(struct journal *journal);

/* As it was read, or put last; borrowed. */
const struct journal_meta *journal_meta(const struct journal *journal);

/* How far journal_load is. Any thread may read it meanwhile. */
struct journal_progress {
    _Atomic uint64_t done, all; /* bytes of files */
};

/* What journal_load has found. */
struct journal_found {
    uint64_t last;       /* the messages 1 to last are in the list now, and on disk */
    uint64_t torn_bytes; /* of an append that was not finished, which were cut off; 0: none */
    uint64_t damaged;    /* the first id that could not be read although it was on disk; 0: none */
    uint64_t missing;    /* as in the meta, which tells it from now on: see journal_meta */
    uint64_t stray;    /* the id that the first file is named by which does not go on with the list and is set
                          aside although nothing says that it was on disk; 0: none */
    uint64_t accepted; /* the highest id that was missing and is forgotten (accept_loss); 0: none */
    bool meta_damaged; /* the meta file could not be read: it is set aside, and the headers were believed */
    unsigned files;    /* with messages */
    unsigned aside;    /* files that lie there set aside, by this start or earlier ones */
    char aside_name[64]; /* the first file that was set aside now; "": none */
};

/* Reads all messages into an empty list, and mends: a torn tail is cut off; a file with damage is set aside
 * under another name, never deleted, with those behind it (those in which nothing was written are removed),
 * and what comes before the damage is kept. What was read and was not known to be on disk is written once
 * more and synced. With JOURNAL_LOOK nothing of this is changed, only told. `accept_loss`: forget the ids
 * that are missing. Before it no other function but journal_meta, journal_files, journal_bytes and
 * journal_close may be called. Returns 0, or a negative errno with a sentence: -ENOSPC where the list's limit
 * (log_limit) is less than what is here (why says so), -ENOMEM, -EIO and the like where mending failed. */
int journal_load(struct journal *journal, struct log *log, bool accept_loss,
                 struct journal_progress *progress, struct journal_found *found, char why[JOURNAL_WHY_SIZE]);

/* The files in order, borrowed until the next call that changes the journal. */
struct journal_file {
    uint64_t first; /* the first message's id, and the file's name */
    uint64_t last;  /* first - 1: there is none yet. Known once journal_load was here */
    uint64_t bytes;
};
size_t journal_files(const struct journal *journal, const struct journal_file **files);

/* Replaces the meta file: what is given (copied), and the id that is on disk now. Whole and on disk at
 * return. Returns as journal_append; -EINVAL where a line holds a newline. */
int journal_put_meta(struct journal *journal, const struct journal_meta *meta);

/* Writes the next messages as one frame: the slice (read to its end), from id `first` on, which comes behind
 * the last one written; `digest` is that of the list through its last message. Begins another file where this
 * one is full. Returns 0, or -ENOSPC or -EDQUOT where there is no room: nothing was begun, and the same call
 * may be made again later. Any other error, of this or journal_sync, is final: nothing more is written in
 * this process, and each further call returns it again. Whoever retries a failed sync is lied to: the kernel
 * has marked the pages clean. */
int journal_append(struct journal *journal, struct log_slice slice, uint64_t first, uint64_t digest);

/* What was written is on disk at return, if that is 0. Before its first call in a process no file is synced,
 * so that who never calls it waits for no flush. */
int journal_sync(struct journal *journal);

/* Sees to it that JOURNAL_AHEAD_BYTES of room are there behind the last frame. Returns as journal_append. */
int journal_reserve(struct journal *journal);

/* Whether a result says that the disk is full: such a call may be made again later. Any thread. */
bool journal_is_full(int result);

/* The last id that is on disk for sure. */
uint64_t journal_synced(const struct journal *journal);

/* Bytes of the files, what is set aside not counted. */
uint64_t journal_bytes(const struct journal *journal);

#endif
