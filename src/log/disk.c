#include "log/disk.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char lock_name[] = "lock";

/* Opens by path, or by name in a directory, once more after an interruption. */
static int open_at(int dir, const char *name, int flags, mode_t mode)
{
    int fd;
    do
        fd = openat(dir, name, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* Opens a file by its name in a directory. Waits for nobody, and goes nowhere else. */
static int open_file(int dir, const char *name, int flags)
{
    struct stat status;
    int fd = open_at(dir, name, flags | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO) /* a link, a directory, a socket */
        return -EMEDIUMTYPE;
    if (fd < 0)
        return fd;
    int result = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? fd : -EMEDIUMTYPE;
    if (result < 0)
        close(fd);
    return result;
}

int disk_open_dir(const char *path, bool make)
{
    bool made = make && mkdir(path, 0700) == 0;
    if (make && !made && errno != EEXIST)
        return -errno;
    int dir = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0 || !made)
        return dir;
    int parent = open_at(dir, "..", O_RDONLY | O_DIRECTORY, 0);
    int result = parent < 0 ? parent : disk_sync_dir(parent);
    if (result == -EACCES) /* it may be entered and not read, so nobody can sync it */
        result = 0;
    if (parent >= 0)
        close(parent);
    if (result < 0) {
        close(dir);
        return result;
    }
    return dir;
}

/* Who has locked the file; 0 where it does not say. */
static uint64_t lock_holder(int fd)
{
    char text[32];
    uint64_t holder = 0;
    int64_t len = disk_read(fd, text, sizeof text, 0);
    struct span digits = {.at = text, .len = len > 0 ? (size_t)len : 0};
    if (digits.len > 0 && text[digits.len - 1] == '\n')
        digits.len--;
    return span_uint(digits, &holder) ? holder : 0;
}

static int lock_sign(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0)
        return -errno;
    return 0;
}

int disk_lock(int dir, bool alone, uint64_t *holder)
{
    if (alone && faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return -errno;
    int fd = open_file(dir, lock_name, alone ? O_RDWR | O_CREAT : O_RDONLY);
    if (fd < 0)
        return fd == -EACCES && !alone ? -ENOENT : fd;
    int result = flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0 ? -errno : 0;
    if (result == -EWOULDBLOCK) {
        *holder = lock_holder(fd);
        result = -EBUSY;
    }
    if (result == 0)
        result = alone ? lock_sign(fd) : -ENOENT; /* who only looks keeps nobody from starting */
    /* A full disk keeps nobody from reading a list: the lock holds, it only does not say whose it is. */
    if (result == -ENOSPC || result == -EDQUOT)
        result = 0;
    if (result < 0)
        close(fd);
    return result < 0 ? result : fd;
}

int disk_names(int dir, struct buf *names)
{
    int fd = open_at(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        int result = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    const struct dirent *entry;
    while ((void)(errno = 0), (entry = readdir(stream)))
        buf_add(names, entry->d_name, strlen(entry->d_name) + 1);
    int result = names->failed ? -ENOMEM : -errno;
    closedir(stream);
    return result;
}

int disk_open(int dir, const char *name, enum disk_open how)
{
    static const int flags[] = {
        [DISK_READ] = O_RDONLY,
        [DISK_WRITE] = O_RDWR,
        [DISK_NEW] = O_RDWR | O_CREAT | O_TRUNC,
    };
    return open_file(dir, name, flags[how]);
}

void disk_close(int fd)
{
    close(fd);
}

int64_t disk_size(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : status.st_size;
}

int64_t disk_read(int fd, void *to, size_t len, uint64_t at)
{
    ssize_t got;
    do
        got = pread(fd, to, len, (off_t)at);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

int64_t disk_write(int fd, const struct iovec *iov, int count, uint64_t at)
{
    ssize_t written;
    do
        written = pwritev(fd, iov, count, (off_t)at);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return -errno;
    return written > 0 ? written : -EIO; /* or the caller would try for ever */
}

int disk_cut(int fd, uint64_t size)
{
    return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int disk_sync(int fd)
{
    return fdatasync(fd) < 0 ? -errno : 0;
}

int disk_sync_dir(int dir)
{
    return fsync(dir) < 0 ? -errno : 0;
}

int disk_rename(int dir, const char *from, const char *to)
{
    return renameat(dir, from, dir, to) < 0 ? -errno : 0;
}

int disk_remove(int dir, const char *name)
{
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}
