/* A disk in memory that behaves as badly as a real one may. Include it in one file of a program: its
 * functions stand in the place of src/log/disk.c, which the Makefile leaves out for such a program.
 *
 * There is one directory. What is written is there to be read, and on disk only once it was synced; until
 * then each sector may get there by itself, at any time. When the power fails, each sector, each change of a
 * size, and each name that was made, renamed or removed since the last sync is kept or lost, as the seed has
 * it. A sync that fails has written some sectors, and holds the others for clean as well: only who writes
 * them anew gets them to disk. */
#ifndef TEST_LYING_DISK_H
#define TEST_LYING_DISK_H

#include "log/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECTOR = 512,
    LYING_PAGE = 4096,
    LYING_FILES = 96,
    LYING_FDS = 16,
    LYING_NAMES = 96,
    LYING_NAME = 64,
    LYING_PENDING = 64
};

struct lying_bytes {
    char *at; /* owned; zeros behind `len` */
    size_t len;
};

struct lying_file {
    struct lying_bytes now, disk;
    bool *dirty; /* owned; of each sector: it may get to disk yet */
    size_t cap;  /* bytes of all of these */
};

struct lying_name {
    char name[LYING_NAME];
    int file;
};

struct lying_names {
    struct lying_name at[LYING_NAMES];
    int count;
};

/* A change of the names: from "" to a name: made; to "": removed. */
struct lying_change {
    char from[LYING_NAME], to[LYING_NAME];
    int file;
};

struct lying_disk {
    struct lying_file files[LYING_FILES];
    int count;
    struct lying_names now, disk;
    struct lying_change pending[LYING_PENDING]; /* of the names, since the last sync */
    int changes;
};

static struct {
    struct lying_disk disk;
    int fds[LYING_FDS];    /* file + 1, or -1 of the directory; 0: closed */
    unsigned seed;         /* of all that is random */
    unsigned calls;        /* since lying_begin */
    unsigned dies_at;      /* the call before which the process ends; 0: none */
    unsigned fails_at;     /* the call that fails; 0: none */
    int error;             /* what it returns */
    bool failed;           /* it was reached */
    bool dead;             /* the process has ended: nothing it calls does anything */
    const char *last_call; /* that failed, or at which it died */
    int bad_file;          /* + 1: one that has a page that cannot be read; 0: none */
    size_t bad_page;
} lying;

static inline unsigned lying_random(unsigned below)
{
    lying.seed = lying.seed * 1664525u + 1013904223u;
    return (lying.seed >> 8) % below;
}

/* ---- files ---- */

static inline void lying_grow(struct lying_file *file, size_t len)
{
    size_t cap = file->cap ? file->cap : 4096;
    while (cap < len)
        cap *= 2;
    if (cap == file->cap)
        return;
    file->now.at = realloc(file->now.at, cap);
    file->disk.at = realloc(file->disk.at, cap);
    file->dirty = realloc(file->dirty, cap / SECTOR);
    memset(file->now.at + file->cap, 0, cap - file->cap);
    memset(file->disk.at + file->cap, 0, cap - file->cap);
    memset(file->dirty + file->cap / SECTOR, 0, (cap - file->cap) / SECTOR);
    file->cap = cap;
}

/* A sector gets to disk. */
static inline void lying_keep(struct lying_file *file, size_t sector)
{
    memcpy(file->disk.at + sector * SECTOR, file->now.at + sector * SECTOR, SECTOR);
    file->dirty[sector] = false;
}

/* How likely the next sectors are kept, in 8: all, none, or some. */
static inline unsigned lying_odds(void)
{
    static const unsigned odds[] = {0, 8, 1, 4, 7};
    return odds[lying_random(5)];
}

/* Some sectors get to disk by themselves, now and then. */
static inline void lying_background(struct lying_file *file)
{
    if (lying_random(6) > 0)
        return;
    unsigned odds = lying_odds();
    for (size_t i = 0; i < file->cap / SECTOR; i++)
        if (file->dirty[i] && lying_random(8) < odds)
            lying_keep(file, i);
}

static inline void lying_power_fails_file(struct lying_file *file)
{
    unsigned odds = lying_odds();
    for (size_t i = 0; i < file->cap / SECTOR; i++)
        if (file->dirty[i] && lying_random(8) < odds)
            lying_keep(file, i);
    if (file->disk.len != file->now.len && lying_random(2))
        file->disk.len = file->now.len;
    /* Nobody sees what was behind the end of a file. */
    if (file->cap)
        memset(file->disk.at + file->disk.len, 0, file->cap - file->disk.len);
    if (file->cap)
        memcpy(file->now.at, file->disk.at, file->cap);
    file->now.len = file->disk.len;
    if (file->cap)
        memset(file->dirty, 0, file->cap / SECTOR);
}

/* ---- names ---- */

static inline struct lying_name *lying_find(struct lying_names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->at[i].name, name) == 0)
            return &names->at[i];
    return NULL;
}

static inline void lying_unname(struct lying_names *names, const char *name)
{
    struct lying_name *at = lying_find(names, name);
    if (at)
        *at = names->at[--names->count];
}

static inline void lying_name(struct lying_names *names, const char *name, int file)
{
    lying_unname(names, name);
    if (names->count == LYING_NAMES)
        abort();
    struct lying_name *at = &names->at[names->count++];
    snprintf(at->name, sizeof at->name, "%s", name);
    at->file = file;
}

static inline void lying_apply(struct lying_names *names, const struct lying_change *change)
{
    if (change->from[0] && !lying_find(names, change->from))
        return;
    if (change->from[0])
        lying_unname(names, change->from);
    if (change->to[0])
        lying_name(names, change->to, change->file);
}

static inline void lying_change(const char *from, const char *to, int file)
{
    struct lying_disk *disk = &lying.disk;
    if (disk->changes == LYING_PENDING)
        abort();
    struct lying_change change = {.file = file};
    strncpy(change.from, from, LYING_NAME - 1);
    strncpy(change.to, to, LYING_NAME - 1);
    disk->pending[disk->changes++] = change;
    lying_apply(&disk->now, &change);
}

/* ---- what a test does ---- */

/* The process has ended, and another one begins. */
static inline void lying_restart(void)
{
    memset(lying.fds, 0, sizeof lying.fds);
    lying.calls = lying.dies_at = lying.fails_at = 0;
    lying.failed = lying.dead = false;
}

/* The power fails, and comes back. */
static inline void lying_power_fails(void)
{
    struct lying_disk *disk = &lying.disk;
    unsigned odds = lying_odds();
    for (int i = 0; i < disk->count; i++)
        lying_power_fails_file(&disk->files[i]);
    for (int i = 0; i < disk->changes; i++)
        if (lying_random(8) < odds)
            lying_apply(&disk->disk, &disk->pending[i]);
    disk->changes = 0;
    disk->now = disk->disk;
    lying_restart();
}

static inline void lying_free(struct lying_disk *disk)
{
    for (int i = 0; i < disk->count; i++) {
        free(disk->files[i].now.at);
        free(disk->files[i].disk.at);
        free(disk->files[i].dirty);
    }
    memset(disk, 0, sizeof *disk);
}

/* A new disk. */
static inline void lying_begin(unsigned seed)
{
    lying_free(&lying.disk);
    memset(&lying, 0, sizeof lying);
    lying.seed = seed;
}

static inline void lying_copy(struct lying_disk *to, const struct lying_disk *from)
{
    lying_free(to);
    *to = *from;
    for (int i = 0; i < to->count; i++) {
        struct lying_file *file = &to->files[i];
        const struct lying_file *source = &from->files[i];
        file->cap = 0;
        file->now.at = file->disk.at = NULL;
        file->dirty = NULL;
        if (!source->cap)
            continue;
        lying_grow(file, source->cap);
        memcpy(file->now.at, source->now.at, source->cap);
        memcpy(file->disk.at, source->disk.at, source->cap);
        memcpy(file->dirty, source->dirty, source->cap / SECTOR);
    }
}

/* ---- disk.h ---- */

/* Whether a call is to fail; returns what it is to return, or 0. */
static inline int lying_call(const char *name)
{
    lying.calls++;
    if (lying.calls == lying.dies_at)
        lying.dead = true;
    if (lying.dead || lying.calls == lying.fails_at)
        lying.last_call = name;
    if (lying.dead)
        return -ENXIO;
    if (lying.calls != lying.fails_at)
        return 0;
    lying.failed = true;
    return lying.error;
}

static inline int lying_fd(int what)
{
    for (int fd = 0; fd < LYING_FDS; fd++)
        if (lying.fds[fd] == 0) {
            lying.fds[fd] = what;
            return fd;
        }
    abort();
}

static inline struct lying_file *lying_of(int fd)
{
    if (fd < 0 || fd >= LYING_FDS || lying.fds[fd] <= 0)
        abort();
    return &lying.disk.files[lying.fds[fd] - 1];
}

int disk_open_dir(const char *path, bool make)
{
    (void)path, (void)make;
    int result = lying_call(__func__);
    return result < 0 ? result : lying_fd(-1);
}

int disk_lock(int dir, bool alone, uint64_t *holder)
{
    (void)dir, (void)alone;
    *holder = 0;
    int result = lying_call(__func__);
    return result < 0 ? result : lying_fd(-1);
}

int disk_names(int dir, struct buf *names)
{
    (void)dir;
    int result = lying_call(__func__);
    for (int i = 0; result == 0 && i < lying.disk.now.count; i++)
        buf_add(names, lying.disk.now.at[i].name, strlen(lying.disk.now.at[i].name) + 1);
    return result;
}

int disk_open(int dir, const char *name, enum disk_open how)
{
    (void)dir;
    struct lying_disk *disk = &lying.disk;
    const struct lying_name *at = lying_find(&disk->now, name);
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    if (!at && how != DISK_NEW)
        return -ENOENT;
    if (!at) {
        if (disk->count == LYING_FILES)
            abort();
        lying_change("", name, disk->count++);
    }
    int fd = lying_fd(lying_find(&disk->now, name)->file + 1);
    if (how == DISK_NEW && lying_of(fd)->now.len > 0) {
        struct lying_file *file = lying_of(fd);
        memset(file->now.at, 0, file->cap);
        memset(file->dirty, 1, file->cap / SECTOR);
        file->now.len = 0;
    }
    return fd;
}

void disk_close(int fd)
{
    lying.fds[fd] = 0;
}

int64_t disk_size(int fd)
{
    int result = lying_call(__func__);
    return result < 0 ? result : (int64_t)lying_of(fd)->now.len;
}

int64_t disk_read(int fd, void *to, size_t len, uint64_t at)
{
    const struct lying_file *file = lying_of(fd);
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    size_t left = at < file->now.len ? file->now.len - (size_t)at : 0;
    size_t bad = lying.bad_page * LYING_PAGE;
    len = len < left ? len : left;
    if (lying.fds[fd] == lying.bad_file && at < bad + LYING_PAGE && at + len > bad) {
        if (at >= bad)
            return -EIO;
        len = bad - (size_t)at;
    }
    if (len > 1 && lying_random(4) == 0)
        len = 1 + lying_random((unsigned)len);
    if (len > 0)
        memcpy(to, file->now.at + at, len);
    return (int64_t)len;
}

int64_t disk_write(int fd, const struct iovec *iov, int count, uint64_t at)
{
    struct lying_file *file = lying_of(fd);
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    size_t all = 0, written = 0;
    for (int i = 0; i < count; i++)
        all += iov[i].iov_len;
    if (all > 1 && lying_random(4) == 0)
        all = 1 + lying_random((unsigned)all);
    lying_grow(file, (size_t)at + all);
    for (int i = 0; written < all; i++) {
        size_t part = iov[i].iov_len < all - written ? iov[i].iov_len : all - written;
        memcpy(file->now.at + at + written, iov[i].iov_base, part);
        written += part;
    }
    for (size_t sector = (size_t)at / SECTOR; sector * SECTOR < at + all; sector++)
        file->dirty[sector] = true;
    if (lying.fds[fd] == lying.bad_file && at < (lying.bad_page + 1) * LYING_PAGE &&
        at + all > lying.bad_page * LYING_PAGE)
        lying.bad_file = 0; /* the disk takes another one for it */
    if (at + all > file->now.len)
        file->now.len = (size_t)at + all;
    lying_background(file);
    return (int64_t)all;
}

int disk_cut(int fd, uint64_t size)
{
    struct lying_file *file = lying_of(fd);
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    if (size > file->now.len)
        abort();
    if (size == file->now.len)
        return 0;
    memset(file->now.at + size, 0, file->cap - (size_t)size);
    memset(file->dirty + size / SECTOR, 1, file->cap / SECTOR - (size_t)size / SECTOR);
    file->now.len = (size_t)size;
    return 0;
}

int disk_sync(int fd)
{
    struct lying_file *file = lying_of(fd);
    int result = lying_call(__func__);
    if (lying.dead)
        return result;
    unsigned odds = result < 0 ? lying_odds() : 8;
    for (size_t i = 0; i < file->cap / SECTOR; i++) {
        if (file->dirty[i] && lying_random(8) < odds)
            lying_keep(file, i);
        file->dirty[i] = false;
    }
    if (result == 0)
        file->disk.len = file->now.len;
    return result;
}

int disk_sync_dir(int dir)
{
    (void)dir;
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    for (int i = 0; i < lying.disk.changes; i++)
        lying_apply(&lying.disk.disk, &lying.disk.pending[i]);
    lying.disk.changes = 0;
    return 0;
}

int disk_rename(int dir, const char *from, const char *to)
{
    (void)dir;
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    const struct lying_name *at = lying_find(&lying.disk.now, from);
    if (!at)
        return -ENOENT;
    lying_change(from, to, at->file);
    return 0;
}

int disk_remove(int dir, const char *name)
{
    (void)dir;
    int result = lying_call(__func__);
    if (result < 0)
        return result;
    if (!lying_find(&lying.disk.now, name))
        return -ENOENT;
    lying_change(name, "", 0);
    return 0;
}

#endif
