/* What recovery.c and mending.c share: journal_load while it runs. */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "log/journal_private.h"

enum { PAGE = 4096 }; /* what a disk can or cannot read */

/* What was found in a file. */
struct extent {
    uint64_t end;    /* of the last frame that is in the list now; 0: there is none, and no header counts */
    uint64_t filled; /* the zeros that end the file begin here, or at `end` */
};

struct recovery {
    struct journal *journal;
    struct log *log;
    struct journal_found *found;
    char *why;
    _Atomic uint64_t *done;
    struct extent *extents; /* owned; of each file */
    size_t bad;             /* the file in which the list ends too early; journal->count: it does not */
    uint64_t synced;        /* the highest id that anything says was on disk */
    uint64_t behind;        /* the last id of any frame that begins behind the list's end; 0: there is none */
    uint64_t unread;        /* the highest id that may stand where the disk cannot read; 0: it can */
    uint64_t epoch;         /* the highest of the frames */
    struct buf lens;        /* of a frame's messages */
};

/* Whether anything but zeros lies behind the good frames. */
static inline bool extent_dirty(const struct extent *extent)
{
    return extent->filled > extent->end;
}

/* Whether a file behind the list's end is one that was begun for messages that never came. An empty one may
 * be anybody's, but where the name is the one that the list would begin next. */
bool recovery_file_unused(const struct recovery *recovery, size_t index);

/* Writes a sentence about a file, or about the directory where `name` is "". Returns `result`. */
int recovery_why(struct recovery *recovery, int result, const char *name, const char *what);

/* Opens one of the files, and tells its name. Returns a descriptor, or a negative errno with a sentence. */
int recovery_file_open(struct recovery *recovery, size_t index, enum disk_open how,
                       char name[JOURNAL_NAME_SIZE]);

/* Replaces the meta file: what is missing is as found. Returns 0, or a negative errno with a sentence. */
int recovery_meta_put(struct recovery *recovery, uint64_t synced);

/* Lets the files end where the list ends, and sets aside what is damaged. Returns as recovery_meta_put. */
int recovery_mend(struct recovery *recovery);

/* Sees to it that all messages that were read are on disk. Returns as recovery_meta_put. */
int recovery_settle(struct recovery *recovery);

#endif
