#include "node.h"
#include "report.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 15000, STOP_MS = 8000, SETTINGS_MOST = 24 };

static const char *program_folder;
static uint32_t network; /* 127.a.b.0 */

struct in_addr nodes_address(unsigned number)
{
    return (struct in_addr){htonl(network | number)};
}

void nodes_open(struct node nodes[NODES], const char *programs, const char *folder)
{
    unsigned pid = (unsigned)getpid();
    program_folder = programs;
    network = 127u << 24 | (20 + (pid >> 8) % 200) << 16 | (pid & 255) << 8;
    for (unsigned i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        *node = (struct node){.index = i, .pid = -1};
        if (i == MASTER)
            snprintf(node->name, sizeof node->name, "master");
        else
            snprintf(node->name, sizeof node->name, "s%u", i);
        node->address.sin_family = AF_INET;
        node->address.sin_addr = nodes_address(1 + i);
        snprintf(node->log_path, sizeof node->log_path, "%s/%s.log", folder, node->name);
        snprintf(node->data_setting, sizeof node->data_setting, "DATA_DIR=%s/%s.data", folder, node->name);
    }
}

/* ---- starting */

static _Noreturn void child_run(const struct node *node, const char *const settings[])
{
    char program[512];
    char host[32];
    char port[16];
    char *argv[] = {program, NULL};
    const char *environment[SETTINGS_MOST + 5] = {host, port};
    size_t count = 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log_fd = open(node->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log_fd < 0 || dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
        _exit(126);
    snprintf(program, sizeof program, "%s/%s", program_folder,
             node->index == MASTER ? "master" : "secondary");
    snprintf(host, sizeof host, "HOST=%s", inet_ntoa(node->address.sin_addr));
    snprintf(port, sizeof port, "PORT=%u", ntohs(node->address.sin_port));
    if (node->durable)
        environment[count++] = node->data_setting;
    while (*settings && count < SETTINGS_MOST)
        environment[count++] = *settings++;
    static const char *const inherited[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "CARRIERS"};
    enum { INHERITED = sizeof inherited / sizeof *inherited };
    static char kept[INHERITED][512];
    for (size_t i = 0; i < INHERITED; i++) {
        const char *value = getenv(inherited[i]);
        if (!value)
            continue;
        snprintf(kept[i], sizeof kept[i], "%s=%s", inherited[i], value);
        environment[count++] = kept[i];
    }
    execve(program, argv, (char **)environment);
    fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

/* Looks for the line that names the port, in what the process has logged from `offset` on. */
static bool port_logged(const struct node *node, off_t offset, uint16_t *port)
{
    char text[32768];
    unsigned number = 0;
    int fd = open(node->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = pread(fd, text, sizeof text - 1, offset);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, "listening on http://");
    if (!line || !strchr(line, '\n') || sscanf(line, "listening on http://%*[0-9.]:%u", &number) != 1)
        return false;
    *port = (uint16_t)number;
    return true;
}

static off_t log_size(const struct node *node)
{
    struct stat status;
    return stat(node->log_path, &status) == 0 ? status.st_size : 0;
}

static bool node_ended(const struct node *node, int *status)
{
    return waitpid(node->pid, status, WNOHANG) == node->pid;
}

static const char *status_text(int status)
{
    static char text[64];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "exit status %d", WEXITSTATUS(status));
    return text;
}

static void touch(struct node *node)
{
    atomic_store(&node->touched_ms, now_ms());
}

void node_start(struct node *node, const char *const settings[])
{
    off_t offset = log_size(node);
    uint16_t port = 0;
    int status;
    int64_t until_ms = now_ms() + START_MS;
    node->pid = fork();
    if (node->pid < 0)
        report_fail("cannot start a process: %s", strerror(errno));
    if (node->pid == 0)
        child_run(node, settings);
    while (!port_logged(node, offset, &port)) {
        if (node_ended(node, &status))
            report_fail("%s ended at its start with %s", node->name, status_text(status));
        if (now_ms() > until_ms)
            report_fail("%s does not listen after %d s", node->name, START_MS / 1000);
        sleep_ms(2);
    }
    node->address.sin_port = htons(port);
    node->state = NODE_UP;
    touch(node);
    atomic_store(&node->life, ++node->lives);
}

/* ---- freezing and ending */

void node_freeze(struct node *node)
{
    touch(node);
    atomic_store(&node->frozen, true);
    kill(node->pid, SIGSTOP);
    node->state = NODE_FROZEN;
}

void node_thaw(struct node *node)
{
    kill(node->pid, SIGCONT);
    node->state = NODE_UP;
    touch(node);
    atomic_store(&node->frozen, false);
}

void node_kill(struct node *node)
{
    atomic_store(&node->life, 0);
    kill(node->pid, SIGKILL);
    waitpid(node->pid, NULL, 0);
    node->pid = -1;
    node->state = NODE_DOWN;
    touch(node);
    atomic_store(&node->frozen, false);
}

void node_forget_data(const struct node *node)
{
    const char *path = node->data_setting + strlen("DATA_DIR=");
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = folder < 0 ? NULL : fdopendir(folder);
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            unlinkat(folder, entry->d_name, 0);
    if (stream)
        closedir(stream);
    rmdir(path);
}

void node_stop(struct node *node)
{
    if (node->state == NODE_FROZEN)
        node_thaw(node);
    atomic_store(&node->life, 0);
    touch(node);
    kill(node->pid, SIGTERM);
    node->state = NODE_STOPPING;
    node->stop_by_ms = now_ms() + STOP_MS;
}

void node_check(struct node *node)
{
    int status = 0;
    if (node->pid < 0)
        return;
    if (!node_ended(node, &status)) {
        if (node->state == NODE_STOPPING && now_ms() > node->stop_by_ms)
            report_fail("%s still runs %d s after SIGTERM", node->name, STOP_MS / 1000);
        return;
    }
    if (node->state != NODE_STOPPING)
        report_fail("%s ended by itself with %s", node->name, status_text(status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        report_fail("%s ended with %s after SIGTERM", node->name, status_text(status));
    node->pid = -1;
    node->state = NODE_DOWN;
    touch(node);
}

void nodes_kill(struct node nodes[NODES])
{
    for (unsigned i = 0; i < NODES; i++)
        if (nodes[i].pid > 0)
            kill(nodes[i].pid, SIGKILL);
}

unsigned node_life(const struct node *node)
{
    return atomic_load(&node->life);
}

bool node_touched(const struct node *node, int64_t since_ms)
{
    return atomic_load(&node->frozen) || !atomic_load(&node->life) ||
           atomic_load(&node->touched_ms) >= since_ms;
}

/* ---- measuring */

bool node_measure(const struct node *node, struct node_size *out)
{
    char path[64];
    char line[256];
    *out = (struct node_size){0};
    snprintf(path, sizeof path, "/proc/%d/status", (int)node->pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "VmRSS: %u", &out->kilobytes);
        sscanf(line, "Threads: %u", &out->threads);
    }
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)node->pid);
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    for (const struct dirent *entry; (entry = readdir(folder));)
        out->descriptors += entry->d_name[0] != '.';
    closedir(folder);
    return true;
}

void node_forget_log(const struct node *node)
{
    if (getenv("TORTURE_KEEP_LOGS"))
        return;
    /* The process appends to it: what comes next goes to the new end. */
    if (truncate(node->log_path, 0) < 0 && errno != ENOENT)
        report_event("cannot empty %s: %s", node->log_path, strerror(errno));
}
