/* What journal.c, opening.c, recovery.c and mending.c share; nobody else includes it. */
#ifndef LOG_JOURNAL_PRIVATE_H
#define LOG_JOURNAL_PRIVATE_H

#include "log/disk.h"
#include "log/frame.h"
#include "log/journal.h"
#include "log/meta.h"

enum { JOURNAL_NAME_SIZE = 64 };

/* The meta file's name, and what the names of files that are set aside hold. */
#define JOURNAL_META "meta"
#define JOURNAL_ASIDE ".damaged"

struct journal {
    enum journal_use use;
    char *path; /* owned; for sentences */
    int dir;
    int lock; /* -1: a directory that is only looked at may have none */

    struct journal_meta meta;
    uint64_t meta_synced; /* what the meta file says is on disk */
    bool meta_there;      /* there is a meta file */
    bool meta_bad;        /* the meta file is damaged, or there is none although there are messages */
    struct buf meta_text; /* of the meta file, while it is written */

    struct journal_file *files; /* owned; in order of their ids */
    size_t count, cap;
    unsigned aside; /* files that lie there set aside */

    /* Known once journal_load has been here. */
    int fd;          /* of the last file; -1: before, and where nothing is to be written */
    uint64_t end;    /* of the last frame in it; 0: it is unused */
    uint64_t room;   /* its zeros end here, all of them on disk */
    uint64_t last;   /* the last id that was written, */
    uint64_t digest; /* the digest of all up to it, */
    uint64_t synced; /* and the last one that is on disk */
    bool syncs;      /* what is written is to be on disk: not from journal_load to the first journal_sync */
    size_t unsynced; /* the files before this one are on disk */
    int failed;      /* an error that is final; 0: none */
};

/* "20 digits.log" */
void journal_name(uint64_t first, char out[JOURNAL_NAME_SIZE]);

/* Adds a file behind the last one. */
int journal_files_add(struct journal *journal, struct journal_file file);

/* Writes a sentence about a file of the directory, or about the directory where `name` is "". Returns
 * `result`. */
int journal_why(char why[JOURNAL_WHY_SIZE], int result, const struct journal *journal, const char *name,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* As strerror, of a negative errno that disk.h has returned. */
const char *journal_strerror(int result);

/* Whether an error says that what is on the disk cannot be read, now or later. */
bool journal_is_damage(int result);

/* Reads `len` bytes, or what there is where the file ends before. Returns how many, or a negative errno. */
int64_t journal_read(int fd, char *to, size_t len, uint64_t at);

/* Writes all of the bytes. */
int journal_write(int fd, struct span bytes, uint64_t at);

/* Sizes that a test may lower before it opens a journal. */
extern uint64_t journal_file_bytes, journal_ahead_bytes;

/* Remembers an error that is final: any but -ENOSPC and -EDQUOT. Returns it. */
int journal_error(struct journal *journal, int result);

/* As journal_put_meta, with the id that is on disk. */
int journal_put(struct journal *journal, const struct journal_meta *meta, uint64_t synced);

/* Sees to it that the last file is not full and has `need` bytes of room, or else makes some more than that.
 * Begins the first file where there is none. */
int journal_room(struct journal *journal, uint64_t need);

#endif
