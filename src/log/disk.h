/* All that the journal asks of the disk. A test program may bring functions of its own in the place of
 * disk.c: a disk that loses what was not synced, has no room, or lies. Private to the journal.
 *
 * `dir` is a descriptor of the directory, `fd` one of a file in it. Each function that can fail returns a
 * negative errno then; -EMEDIUMTYPE: what has a file's name is none (a link, a directory, a pipe, a device).
 * Calls block. */
#ifndef LOG_DISK_H
#define LOG_DISK_H

#include "buf.h"
#include <sys/uio.h>

/* Opens a directory and returns its descriptor. `make`: makes it (0700) where there is none, on disk at
 * return if its parent may be read. */
int disk_open_dir(const char *path, bool make);

/* Locks the directory by its file `lock` until the descriptor that is returned is closed. `alone`: keeps
 * everybody else out, makes the file where there is none, and writes this process's id in it; the directory
 * must be writable. Else only looks whether somebody is alone there, and returns -ENOENT where nobody is, or
 * nobody can be asked. -EBUSY: another process has the directory; its id, if it is known, is in *holder. */
int disk_lock(int dir, bool alone, uint64_t *holder);

/* Adds the names in the directory to `names`, each with a NUL behind it, in no order. */
int disk_names(int dir, struct buf *names);

enum disk_open {
    DISK_READ,
    DISK_WRITE, /* and read */
    DISK_NEW    /* the same, of an empty file: made where there is none (0600), else cut */
};

int disk_open(int dir, const char *name, enum disk_open how);
void disk_close(int fd);

int64_t disk_size(int fd);

/* Reads from the offset on. Returns how many bytes came: fewer than `len` at the end of the file, or for no
 * reason. */
int64_t disk_read(int fd, void *to, size_t len, uint64_t at);

/* Writes at the offset. Returns how many bytes were written: one at least, and maybe fewer than were given.
 */
int64_t disk_write(int fd, const struct iovec *iov, int count, uint64_t at);

/* Lets the file end at `size`, which is not behind its end. */
int disk_cut(int fd, uint64_t size);

/* What was written and cut is on disk at return. After an error nobody knows what is: see journal_append. */
int disk_sync(int fd);

/* What was made, renamed and removed is on disk at return. */
int disk_sync_dir(int dir);

int disk_rename(int dir, const char *from, const char *to);
int disk_remove(int dir, const char *name);

#endif
