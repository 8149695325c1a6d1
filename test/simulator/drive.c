#include "drive.h"
#include "log/disk.h"
#include "world.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRIVES_MAX = 8, NAMES_MAX = 128, NAME_SIZE = 96, OPEN_MAX_FILES = 256, FD_FIRST = 1000, SECTOR = 64 };

/* A change of a file that is not on the platters yet. */
struct change {
    struct change *next;
    uint64_t at;
    size_t len; /* of the bytes that were written; 0: the file was cut at `at` */
    char bytes[];
};

struct inode {
    struct inode *next; /* of all that the drive ever had */
    struct buf seen, sure;
    struct change *changes, **changes_end;
};

struct entry {
    char name[NAME_SIZE];
    struct inode *inode;
};

struct directory {
    struct entry entries[NAMES_MAX];
    unsigned count;
};

/* A change of the directory. `inode` NULL: `from` is removed; `from` "": `to` is made. */
struct naming {
    char from[NAME_SIZE], to[NAME_SIZE];
    struct inode *inode;
};

struct drive {
    char path[NAME_SIZE];
    struct inode *inodes;
    struct directory seen, sure;
    struct naming namings[NAMES_MAX];
    unsigned naming_count;
    unsigned life; /* counts its processes */
    bool locked;
    unsigned calls_left; /* UINT_MAX: no end */
    unsigned fails_in;   /* that many calls from now; 0: none does */
    bool troubled;
    int64_t full_until_us;
};

static struct {
    struct drive drives[DRIVES_MAX];
    unsigned count;
    bool calm;
    struct {
        struct drive *drive; /* NULL: free */
        struct inode *inode; /* NULL: the directory, or the lock */
        unsigned life;
        bool is_lock;
    } open[OPEN_MAX_FILES];
} disks;

/* ---- files */

/* A buf's bytes up to `len` are there, zeros where there was nothing. */
static void grow(struct buf *buf, size_t len)
{
    if (len <= buf->len)
        return;
    if (!buf_reserve(buf, len - buf->len))
        abort();
    memset(buf->data + buf->len, 0, len - buf->len);
    buf->len = len;
}

static void change_apply(struct buf *to, const struct change *change, size_t begin, size_t end)
{
    if (!change->len) {
        if (change->at < to->len)
            to->len = (size_t)change->at;
        return;
    }
    if (begin >= end)
        return;
    grow(to, (size_t)change->at + end);
    memcpy(to->data + change->at + begin, change->bytes + begin, end - begin);
}

static void change_add(struct inode *inode, uint64_t at, const void *bytes, size_t len)
{
    struct change *change = malloc(sizeof *change + len);
    if (!change)
        abort();
    change->next = NULL;
    change->at = at;
    change->len = len;
    if (len)
        memcpy(change->bytes, bytes, len);
    *inode->changes_end = change;
    inode->changes_end = &change->next;
    change_apply(&inode->seen, change, 0, len);
}

static void change_half(struct buf *to, const struct change *change)
{
    for (size_t at = 0; at < change->len; at += SECTOR)
        if (random_percent(50))
            change_apply(to, change, at, at + SECTOR < change->len ? at + SECTOR : change->len);
}

/* How much of what was not synced is there: drawn for each cut. */
enum mood { MOOD_ALL, MOOD_NOTHING, MOOD_ANY };

/* All changes are on the platters or gone. */
static void changes_settle(struct inode *inode, enum mood mood)
{
    struct change *next;
    for (struct change *change = inode->changes; change; change = next) {
        unsigned luck = mood == MOOD_ANY ? random_below(5) : mood == MOOD_ALL ? 0 : 4;
        next = change->next;
        if (luck < 2)
            change_apply(&inode->sure, change, 0, change->len);
        else if (luck == 2)
            change_half(&inode->sure, change);
        free(change);
    }
    inode->changes = NULL;
    inode->changes_end = &inode->changes;
}

static struct inode *inode_new(struct drive *drive)
{
    struct inode *inode = calloc(1, sizeof *inode);
    if (!inode)
        abort();
    inode->changes_end = &inode->changes;
    inode->next = drive->inodes;
    drive->inodes = inode;
    return inode;
}

/* ---- names */

static struct entry *entry_find(struct directory *directory, const char *name)
{
    for (unsigned i = 0; i < directory->count; i++)
        if (strcmp(directory->entries[i].name, name) == 0)
            return &directory->entries[i];
    return NULL;
}

static void entry_remove(struct directory *directory, const char *name)
{
    struct entry *entry = entry_find(directory, name);
    if (entry)
        *entry = directory->entries[--directory->count];
}

static void naming_apply(struct directory *directory, const struct naming *naming)
{
    entry_remove(directory, naming->from);
    if (!naming->inode)
        return;
    entry_remove(directory, naming->to);
    if (directory->count == NAMES_MAX)
        broken("a directory has too many names");
    struct entry *entry = &directory->entries[directory->count++];
    snprintf(entry->name, sizeof entry->name, "%s", naming->to);
    entry->inode = naming->inode;
}

static void naming_add(struct drive *drive, const char *from, const char *to, struct inode *inode)
{
    if (drive->naming_count == NAMES_MAX)
        broken("%s is never synced", drive->path);
    struct naming *naming = &drive->namings[drive->naming_count++];
    snprintf(naming->from, sizeof naming->from, "%s", from);
    snprintf(naming->to, sizeof naming->to, "%s", to);
    naming->inode = inode;
    naming_apply(&drive->seen, naming);
}

static void namings_settle(struct drive *drive, enum mood mood)
{
    for (unsigned i = 0; i < drive->naming_count; i++)
        if (mood == MOOD_ALL || (mood == MOOD_ANY && random_percent(50)))
            naming_apply(&drive->sure, &drive->namings[i]);
    drive->naming_count = 0;
}

/* ---- the drives */

static void drive_clear(struct drive *drive)
{
    struct inode *next;
    for (struct inode *inode = drive->inodes; inode; inode = next) {
        next = inode->next;
        changes_settle(inode, MOOD_NOTHING);
        buf_free(&inode->seen);
        buf_free(&inode->sure);
        free(inode);
    }
    drive->inodes = NULL;
    drive->seen.count = drive->sure.count = drive->naming_count = 0;
}

void drives_begin(void)
{
    disks.count = 0;
    disks.calm = false;
}

void drives_end(void)
{
    for (unsigned i = 0; i < disks.count; i++)
        drive_clear(&disks.drives[i]);
    if (disks.count)
        memset(&disks.open, 0, sizeof disks.open);
    disks.count = 0;
}

void drives_mend(void)
{
    disks.calm = true;
    for (unsigned i = 0; i < disks.count; i++)
        disks.drives[i].fails_in = 0;
}

struct drive *drive_at(const char *path)
{
    for (unsigned i = 0; i < disks.count; i++)
        if (strcmp(disks.drives[i].path, path) == 0)
            return &disks.drives[i];
    if (disks.count == DRIVES_MAX)
        broken("there are too many drives");
    struct drive *drive = &disks.drives[disks.count++];
    memset(drive, 0, sizeof *drive);
    snprintf(drive->path, sizeof drive->path, "%s", path);
    drive->calls_left = UINT_MAX;
    return drive;
}

void drive_expire(struct drive *drive, unsigned calls)
{
    drive->calls_left = calls;
}

void drive_leave(struct drive *drive)
{
    drive->life++;
    drive->locked = false;
    drive->calls_left = UINT_MAX;
    drive->troubled = false;
}

void drive_cut(struct drive *drive)
{
    enum mood mood = random_percent(30) ? MOOD_NOTHING : random_percent(15) ? MOOD_ALL : MOOD_ANY;
    trace("the power of %s is cut", drive->path);
    namings_settle(drive, mood);
    for (struct inode *inode = drive->inodes; inode; inode = inode->next) {
        changes_settle(inode, mood);
        buf_clear(&inode->seen);
        buf_add_span(&inode->seen, buf_span(&inode->sure));
    }
    drive->seen = drive->sure;
}

void drive_empty(struct drive *drive)
{
    trace("%s is moved away", drive->path);
    drive_clear(drive);
}

void drive_fill(struct drive *drive, int64_t until_us)
{
    trace("%s is full for a while", drive->path);
    drive->full_until_us = until_us;
}

void drive_fail(struct drive *drive)
{
    trace("%s will fail once", drive->path);
    drive->fails_in = 1 + random_below(12);
}

bool drive_troubled(const struct drive *drive)
{
    return drive->troubled;
}

int64_t drive_job_us(void)
{
    if (disks.calm)
        return random_between(20, 500);
    if (random_percent(2))
        return random_between(20, 3000000);
    return random_percent(10) ? random_between(20, 100000) : random_between(20, 2000);
}

void drive_worst(const struct drive *drive, struct drive *copy)
{
    drive_clear(copy);
    copy->sure = drive->sure;
    for (unsigned i = 0; i < copy->sure.count; i++) {
        struct inode *inode = inode_new(copy);
        buf_add_span(&inode->sure, buf_span(&copy->sure.entries[i].inode->sure));
        buf_add_span(&inode->seen, buf_span(&inode->sure));
        copy->sure.entries[i].inode = inode;
    }
    copy->seen = copy->sure;
}

/* ---- calls: log/disk.h */

/* A call of a process begins. Returns 0, or why it fails. */
static int call_begin(struct drive *drive, unsigned life, bool changes)
{
    if (life != drive->life || drive->calls_left == 0)
        return -EIO; /* nobody sees it: the process is dead */
    if (drive->calls_left != UINT_MAX)
        drive->calls_left--;
    if (!changes || !drive->fails_in || --drive->fails_in)
        return 0;
    trace("a call fails at %s", drive->path);
    drive->troubled = true;
    return -EIO;
}

static bool is_full(struct drive *drive)
{
    bool full = !disks.calm && world_now_us() < drive->full_until_us;
    drive->troubled = drive->troubled || full;
    return full;
}

static int descriptor_new(struct drive *drive, struct inode *inode, bool is_lock)
{
    for (int i = 0; i < OPEN_MAX_FILES; i++) {
        if (disks.open[i].drive)
            continue;
        disks.open[i].drive = drive;
        disks.open[i].inode = inode;
        disks.open[i].life = drive->life;
        disks.open[i].is_lock = is_lock;
        return FD_FIRST + i;
    }
    broken("too many files are open");
}

static struct inode *inode_of(int fd)
{
    return disks.open[fd - FD_FIRST].inode;
}

static int call_at(int fd, bool changes)
{
    return call_begin(disks.open[fd - FD_FIRST].drive, disks.open[fd - FD_FIRST].life, changes);
}

int disk_open_dir(const char *path, bool make)
{
    (void)make;
    struct drive *drive = drive_at(path);
    int result = call_begin(drive, drive->life, false);
    return result < 0 ? result : descriptor_new(drive, NULL, false);
}

int disk_lock(int dir, bool alone, uint64_t *holder)
{
    struct drive *drive = disks.open[dir - FD_FIRST].drive;
    *holder = 0;
    if (!alone)
        return -ENOENT;
    if (drive->locked)
        return -EBUSY;
    drive->locked = true;
    return descriptor_new(drive, NULL, true);
}

int disk_names(int dir, struct buf *names)
{
    struct drive *drive = disks.open[dir - FD_FIRST].drive;
    for (unsigned i = 0; i < drive->seen.count; i++)
        buf_add(names, drive->seen.entries[i].name, strlen(drive->seen.entries[i].name) + 1);
    return call_at(dir, false);
}

int disk_open(int dir, const char *name, enum disk_open how)
{
    struct drive *drive = disks.open[dir - FD_FIRST].drive;
    int result = call_at(dir, how == DISK_NEW);
    if (result < 0)
        return result;
    struct entry *entry = entry_find(&drive->seen, name);
    if (!entry && how != DISK_NEW)
        return -ENOENT;
    if (!entry && is_full(drive) && random_percent(20))
        return -ENOSPC;
    if (!entry) {
        naming_add(drive, "", name, inode_new(drive));
        entry = entry_find(&drive->seen, name);
    } else if (how == DISK_NEW) {
        change_add(entry->inode, 0, NULL, 0);
    }
    return descriptor_new(drive, entry->inode, false);
}

void disk_close(int fd)
{
    struct drive *drive = disks.open[fd - FD_FIRST].drive;
    if (disks.open[fd - FD_FIRST].is_lock && disks.open[fd - FD_FIRST].life == drive->life)
        drive->locked = false;
    disks.open[fd - FD_FIRST].drive = NULL;
}

int64_t disk_size(int fd)
{
    int result = call_at(fd, false);
    return result < 0 ? result : (int64_t)inode_of(fd)->seen.len;
}

int64_t disk_read(int fd, void *to, size_t len, uint64_t at)
{
    int result = call_at(fd, false);
    if (result < 0)
        return result;
    const struct buf *seen = &inode_of(fd)->seen;
    if (at >= seen->len || !len)
        return 0;
    size_t got = seen->len - (size_t)at < len ? seen->len - (size_t)at : len;
    if (random_percent(5))
        got = 1 + random_below((unsigned)got);
    memcpy(to, seen->data + at, got);
    return (int64_t)got;
}

int64_t disk_write(int fd, const struct iovec *iov, int count, uint64_t at)
{
    struct inode *inode = inode_of(fd);
    struct buf bytes = {0};
    int64_t result = call_at(fd, true);
    for (int i = 0; i < count; i++)
        buf_add(&bytes, iov[i].iov_base, iov[i].iov_len);
    size_t len = bytes.len;
    bool part = result < 0 ? disks.open[fd - FD_FIRST].drive->troubled : random_percent(3);
    if (part && len)
        len = result < 0 ? random_below((unsigned)len) : 1 + random_below((unsigned)len);
    if (result == 0 && at + len > inode->seen.len && is_full(disks.open[fd - FD_FIRST].drive) &&
        random_percent(80)) /* else its sync tells */
        result = -ENOSPC;
    if (len && (result == 0 || (part && result != -ENOSPC)))
        change_add(inode, at, bytes.data, len);
    buf_free(&bytes);
    return result < 0 ? result : (int64_t)len;
}

int disk_cut(int fd, uint64_t size)
{
    int result = call_at(fd, true);
    if (result == 0)
        change_add(inode_of(fd), size, NULL, 0);
    return result;
}

/* Whether a change that waits makes the file longer. */
static bool inode_grows(const struct inode *inode)
{
    for (const struct change *change = inode->changes; change; change = change->next)
        if (change->len && change->at + change->len > inode->sure.len)
            return true;
    return false;
}

int disk_sync(int fd)
{
    struct drive *drive = disks.open[fd - FD_FIRST].drive;
    bool lives = disks.open[fd - FD_FIRST].life == drive->life && drive->calls_left > 0;
    int result = call_at(fd, true);
    if (result == 0 && inode_grows(inode_of(fd)) && is_full(drive))
        result = -ENOSPC;
    if (lives)
        changes_settle(inode_of(fd), result < 0 ? MOOD_ANY : MOOD_ALL);
    return result;
}

int disk_sync_dir(int dir)
{
    int result = call_at(dir, true);
    if (result == 0)
        namings_settle(disks.open[dir - FD_FIRST].drive, MOOD_ALL);
    return result;
}

int disk_rename(int dir, const char *from, const char *to)
{
    struct drive *drive = disks.open[dir - FD_FIRST].drive;
    struct entry *entry = entry_find(&drive->seen, from);
    int result = entry ? call_at(dir, true) : -ENOENT;
    if (result == 0)
        naming_add(drive, from, to, entry->inode);
    return result;
}

int disk_remove(int dir, const char *name)
{
    struct drive *drive = disks.open[dir - FD_FIRST].drive;
    int result = entry_find(&drive->seen, name) ? call_at(dir, true) : -ENOENT;
    if (result == 0)
        naming_add(drive, name, "", NULL);
    return result;
}
