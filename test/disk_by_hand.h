/* The disk of a node by hand: a job of its thread waits until the test does it, and the system's calls fail
 * when the test says so. The files are real ones, in a directory of the test's own. Include it in one file of
 * a program: its functions stand in the place of src/worker.c, which the Makefile leaves out for such a
 * program, and of some of libc. */
#ifndef TEST_DISK_BY_HAND_H
#define TEST_DISK_BY_HAND_H

#include "master_by_hand.h"

#include "log/journal_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* ---- worker.h, without a thread */

struct worker {
    struct worker_job *job; /* NULL: it has none */
    bool done;              /* its work; worker_collect tells so */
};

struct worker *worker_open(void (*wake)(void *ctx), void *ctx)
{
    (void)wake, (void)ctx;
    return calloc(1, sizeof(struct worker));
}

void worker_do(struct worker *worker, struct worker_job *job)
{
    if (worker->job)
        abort();
    job->abandoned = false;
    worker->job = job;
}

void worker_abandon(struct worker *worker, struct worker_job *job)
{
    if (worker->job != job)
        abort();
    job->abandoned = true;
}

void worker_collect(struct worker *worker)
{
    struct worker_job *job = worker->job;
    if (!worker->done)
        return;
    worker->job = NULL;
    worker->done = false;
    job->done(job);
}

/* With a job that hangs it stays. */
void worker_close(struct worker *worker)
{
    if (!worker->job)
        free(worker);
}

/* Does the job that waits. Returns whether there was one. NULL is harmless. */
static inline bool worker_work(struct worker *worker)
{
    if (!worker || !worker->job || worker->done)
        return false;
    worker->job->work(worker->job);
    worker->done = true;
    return true;
}

/* ---- what the system does */

static struct {
    int write_error, sync_error; /* of each call; 0: it works */
    int full;                    /* of each write that would make a file longer; 0: there is room */
    void (*reads)(void);         /* optional: told of each read, before it */
    unsigned writes, syncs;
} disk;

static inline bool disk_grows(int fd, const struct iovec *iov, int count, off_t at)
{
    struct stat status;
    for (int i = 0; i < count; i++)
        at += (off_t)iov[i].iov_len;
    return fstat(fd, &status) < 0 || at > status.st_size;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    disk.writes++;
    errno = disk.full && disk_grows(fd, iov, count, at) ? disk.full : disk.write_error;
    return errno ? -1 : syscall(SYS_pwritev, fd, iov, count, at, 0);
}

/* Under another name here: where libc's headers guard pread, clang would not have it defined. */
ssize_t disk_pread(int fd, void *to, size_t len, off_t at) __asm__("pread");
ssize_t disk_pread(int fd, void *to, size_t len, off_t at)
{
    if (disk.reads)
        disk.reads();
    return syscall(SYS_pread64, fd, to, len, at);
}

int fdatasync(int fd)
{
    (void)fd;
    disk.syncs++;
    errno = disk.sync_error;
    return errno ? -1 : 0;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

/* ---- the node's disk */

enum {
    DISK_AHEAD = 64 * 1024,
    PATIENCE_MS = 5 * NODE_HEARTBEAT_MS /* of a master that waits for members */
};

static inline void disk_begin(void)
{
    char path[] = "/tmp/unit_store.XXXXXX";
    cr_assert(mkdtemp(path));
    snprintf(hand.settings.data_dir, sizeof hand.settings.data_dir, "%s", path);
    journal_ahead_bytes = DISK_AHEAD;
}

static inline void disk_end(void)
{
    struct dirent *entry;
    DIR *files = opendir(hand.settings.data_dir);
    while ((entry = readdir(files)))
        unlinkat(dirfd(files), entry->d_name, 0);
    closedir(files);
    rmdir(hand.settings.data_dir);
}

/* The disk does one job, and the node learns of it. */
static inline bool disk_step(void)
{
    bool any = worker_work(hand.disk);
    node_pass();
    return any;
}

/* The disk and the node do all that there is to do now. */
static inline void disk_run(void)
{
    do
        node_pass();
    while (worker_work(hand.disk) || hand.due_ms <= clock_ms());
}

/* A node whose list is loaded. */
static inline void disk_start(enum settings_role role)
{
    node_start(role);
    disk_run();
}

/* The node stops, and has all the time that it takes for that. */
static inline void disk_stop(void)
{
    node_stop(hand.node, 0);
    do
        node_pass();
    while (hand.service.busy(hand.node) && worker_work(hand.disk));
    cr_assert(!hand.service.busy(hand.node));
}

/* The same, and the node's end. */
static inline void disk_stopped(void)
{
    disk_stop();
    node_stopped();
}

/* The node's process dies: nothing more gets to disk. */
static inline void disk_died(void)
{
    disk.write_error = EIO;
    disk_stopped();
    disk.write_error = 0;
}

/* Reads a file of the directory. Returns its length. */
static inline size_t disk_file(const char *name, char *out, size_t size)
{
    char path[SETTINGS_TEXT_MAX + JOURNAL_NAME_SIZE];
    snprintf(path, sizeof path, "%s/%s", hand.settings.data_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, out, size - 1);
    cr_assert(len >= 0, "%s", path);
    close(fd);
    out[len] = '\0';
    return (size_t)len;
}

/* One byte of the first file is another: the first one of this text. */
static inline void disk_damage(const char *text)
{
    static char bytes[4 * DISK_AHEAD];
    char name[JOURNAL_NAME_SIZE], path[SETTINGS_TEXT_MAX + JOURNAL_NAME_SIZE];
    journal_name(1, name);
    size_t len = disk_file(name, bytes, sizeof bytes);
    const char *at = memmem(bytes, len, text, strlen(text));
    cr_assert(at);
    snprintf(path, sizeof path, "%s/%s", hand.settings.data_dir, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, "?", 1, at - bytes), 1);
    close(fd);
}

/* ---- requests */

/* A message that is on disk. */
static inline void append(const char *text)
{
    int fd = post_begin("?w=1", text);
    disk_run();
    struct node_answer answer = answer_of(fd);
    cr_assert_eq(answer.status, 201, "%d %s", answer.status, answer.body);
    close(fd);
}

#define expect_answer(answer, is, part)                                                                      \
    do {                                                                                                     \
        struct node_answer now = (answer);                                                                   \
        cr_assert(now.status == (is) && strstr(now.body, (part)), "line %d: %d %s", __LINE__, now.status,    \
                  now.body);                                                                                 \
    } while (0)

#define expect_shows(elements)                                                                               \
    expect_answer(node_call("GET", "/messages", "", ""), 200, "{\"messages\":[" elements "]}")
#define expect_health(part) expect_answer(node_call("GET", "/health", "", ""), 200, part)

/* Before and after each test of a master with a disk. */
static inline void disk_master_begin(void)
{
    disk_begin();
    secondaries_open();
}

static inline void disk_master_end(void)
{
    disk_stop();
    master_end();
    disk_end();
}

/* Whether a POST is answered although nobody else comes. */
static inline bool is_sure(void)
{
    int fd = post_begin("?w=1", "b");
    wait(10 * PATIENCE_MS);
    disk_run();
    int status = answer_of(fd).status;
    close(fd);
    cr_assert(status == 0 || status == 201);
    return status == 201;
}

/* ---- log lines */

static int disk_lines_fd;

static inline void disk_lines_begin(void)
{
    disk_lines_fd = memfd_create("lines", MFD_CLOEXEC);
    cr_assert_eq(logline_start(disk_lines_fd, LOGLINE_INFO, LOGLINE_TEXT, "node"), 0);
}

/* How many lines since then hold the text. */
static inline int disk_lines(const char *line)
{
    static char text[64 * 1024];
    int lines = 0;
    logline_stop();
    lseek(disk_lines_fd, 0, SEEK_SET);
    ssize_t len = read(disk_lines_fd, text, sizeof text - 1);
    cr_assert(len >= 0);
    text[len] = '\0';
    close(disk_lines_fd);
    for (const char *at = text; (at = strstr(at, line)); at++)
        lines++;
    return lines;
}

#endif
