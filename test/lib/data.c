#include "data.h"
#include "eventually.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 320 };

static char base[PATH_SIZE];

const char *data_dir(const char *name)
{
    char *path;
    if (!base[0]) {
        const char *temporary = getenv("TMPDIR");
        snprintf(base, sizeof base, "%s/data.XXXXXX", temporary ? temporary : "/tmp");
        if (!mkdtemp(base))
            trouble("cannot make %s: %s", base, strerror(errno));
    }
    if (asprintf(&path, "%s/%s", base, name) < 0)
        trouble("no memory");
    return path;
}

const char *data_path(const char *dir, const char *name)
{
    static char path[2 * PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Calls a function with each name but . and .. */
static void names_each(const char *dir, void (*each)(void *ctx, const char *dir, const char *name), void *ctx)
{
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    if (!stream)
        trouble("cannot read %s: %s", dir, strerror(errno));
    while ((entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(ctx, dir, entry->d_name);
    closedir(stream);
}

static void remove_one(void *ctx, const char *dir, const char *name)
{
    char path[2 * PATH_SIZE];
    (void)ctx;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (unlink(path) == 0)
        return;
    chmod(path, 0700);
    names_each(path, remove_one, NULL);
    rmdir(path);
}

void data_remove(void)
{
    if (!base[0])
        return;
    names_each(base, remove_one, NULL);
    rmdir(base);
}

static void last_take(void *ctx, const char *dir, const char *name)
{
    char *last = ctx;
    size_t len = strlen(name);
    (void)dir;
    if (len == 24 && strcmp(name + 20, ".log") == 0 && strcmp(name, last) > 0)
        memcpy(last, name, len + 1);
}

const char *data_last(const char *dir)
{
    char last[32] = "";
    names_each(dir, last_take, last);
    if (!last[0])
        trouble("no file with frames in %s", dir);
    return data_path(dir, last);
}

struct counted {
    const char *text;
    int count;
};

static void count_one(void *ctx, const char *dir, const char *name)
{
    struct counted *counted = ctx;
    (void)dir;
    counted->count += strstr(name, counted->text) != NULL;
}

int data_count(const char *dir, const char *text)
{
    struct counted counted = {.text = text};
    names_each(dir, count_one, &counted);
    return counted.count;
}

/* A file in memory; what is written there is written to the file. */
struct mapped {
    char *at;
    size_t len;
};

static struct mapped file_map(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size == 0)
        trouble("cannot open %s: %s", path, strerror(errno));
    struct mapped file = {.len = (size_t)status.st_size};
    file.at = mmap(NULL, file.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (file.at == MAP_FAILED)
        trouble("cannot map %s: %s", path, strerror(errno));
    return file;
}

int64_t data_end(const char *path)
{
    struct mapped file = file_map(path);
    size_t end = file.len;
    while (end > 0 && file.at[end - 1] == 0)
        end--;
    munmap(file.at, file.len);
    return (int64_t)end;
}

int64_t data_find(const char *path, const char *text)
{
    struct mapped file = file_map(path);
    const char *found = memmem(file.at, file.len, text, strlen(text));
    if (!found)
        trouble("%s does not hold %s", path, text);
    int64_t at = found - file.at;
    munmap(file.at, file.len);
    return at;
}

void data_flip(const char *path, int64_t at)
{
    struct mapped file = file_map(path);
    file.at[at] ^= 1;
    munmap(file.at, file.len);
}

void data_cut(const char *path, int64_t at)
{
    if (truncate(path, at) < 0)
        trouble("cannot cut %s: %s", path, strerror(errno));
}

void data_put(const char *path, int64_t at, const void *bytes, int len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, bytes, (size_t)len, at) != len)
        trouble("cannot write %s: %s", path, strerror(errno));
    close(fd);
}
