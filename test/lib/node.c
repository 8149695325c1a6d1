#include "node.h"
#include "eventually.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    START_MS = 20000, /* for the line that tells the port */
    END_MS = 20000,   /* for the end after a signal; tests that care compare ending.ms */
    WORDS_MAX = 64,
    PRINTED_BYTES = 6000 /* of a node's log, when a test fails */
};

static struct node *nodes;

/* ---- programs and their words */

static const char *build_dir(void)
{
    const char *dir = getenv("BUILD_DIR");
    return dir ? dir : "build";
}

const char *net_words(void)
{
    static char word[512];
    snprintf(word, sizeof word, "LD_PRELOAD=%s/test/net.so", build_dir());
    return word;
}

bool nodes_sanitized(void)
{
    return strstr(build_dir(), "asan") || strstr(build_dir(), "tsan");
}

/* Becomes the program. After fork: only calls that are safe there. */
static _Noreturn void become(const char *path, char **argv, char **envp, int out_fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int null_fd = open("/dev/null", O_RDONLY);
    if (dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
        _exit(127);
    close_range(3, ~0U, 0);
    execve(path, argv, envp);
    _exit(127);
}

/* Adds NAME=value, or replaces the value that the name has. Returns the count. */
static size_t environment_set(char **envp, size_t envc, char *word)
{
    size_t name = strcspn(word, "=") + 1;
    for (size_t i = 0; i < envc; i++) {
        if (strncmp(envp[i], word, name) == 0) {
            envp[i] = word;
            return envc;
        }
    }
    if (envc == WORDS_MAX)
        trouble("too many variables");
    envp[envc] = word;
    return envc + 1;
}

/* Forks and runs the program with the words, PORT being 0 unless they say otherwise. */
static pid_t spawn(const char *program, const char *words, int out_fd)
{
    char path[512];
    char copy[1024];
    char *argv[WORDS_MAX + 1] = {path};
    char *envp[WORDS_MAX + 1] = {"HOST=127.0.0.1", "PORT=0"};
    size_t argc = 1;
    size_t envc = 2;
    char *rest;
    snprintf(path, sizeof path, "%s/%s", build_dir(), program);
    snprintf(copy, sizeof copy, "%s", words);
    static const char *const passed_on[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
                                            "LSAN_OPTIONS", "PATH",          "LLVM_PROFILE_FILE",
                                            "CARRIERS"};
    for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++) {
        const char *value = getenv(passed_on[i]);
        char *word;
        if (value && asprintf(&word, "%s=%s", passed_on[i], value) >= 0)
            envc = environment_set(envp, envc, word);
    }
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        bool value = argc > 1 && argv[argc - 1][0] == '-' && !strchr(argv[argc - 1], '=');
        if (argc == WORDS_MAX)
            trouble("too many words: %s", words);
        if (word[0] == '-' || value || !strchr(word, '='))
            argv[argc++] = word;
        else
            envc = environment_set(envp, envc, word);
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        trouble("fork: %s", strerror(errno));
    if (pid == 0)
        become(path, argv, envp, out_fd, parent);
    return pid;
}

int program_run(const char *program, const char *words, char *out, size_t out_size)
{
    int fd = memfd_create("output", MFD_CLOEXEC);
    pid_t pid = spawn(program, words, fd);
    int64_t until = now_ms() + END_MS;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() > until) {
            kill(pid, SIGKILL);
            trouble("%s %s did not end", program, words);
        }
        nap_ms(2);
    }
    ssize_t got = pread(fd, out, out_size - 1, 0);
    out[got > 0 ? got : 0] = '\0';
    close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- ports */

static int port_bind(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, len) < 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)&address, &len);
    *port = ntohs(address.sin_port);
    return fd;
}

int port_reserve(uint16_t *port)
{
    *port = 0;
    int fd = port_bind(port);
    if (fd < 0)
        trouble("cannot bind a port: %s", strerror(errno));
    return fd;
}

static void port_set(struct node *node, uint16_t port)
{
    node->port = port;
    snprintf(node->authority, sizeof node->authority, "127.0.0.1:%u", port);
    snprintf(node->url, sizeof node->url, "http://%s", node->authority);
}

/* ---- log lines */

char *node_log(const struct node *node)
{
    off_t len = lseek(node->log_fd, 0, SEEK_END);
    char *text = malloc((size_t)len + 1);
    if (!text)
        trouble("no memory");
    ssize_t got = pread(node->log_fd, text, (size_t)len, 0);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

int node_told(const struct node *node, const char *level, const char *text)
{
    char *log = node_log(node);
    char *rest;
    int count = 0;
    for (char *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        count += strstr(line, level) && strstr(line, text);
    free(log);
    return count;
}

int node_logged(const struct node *node, const char *text)
{
    return node_told(node, "", text);
}

void nodes_print_logs(void)
{
    for (const struct node *node = nodes; node; node = node->next) {
        char *log = node_log(node);
        size_t len = strlen(log);
        fprintf(stderr, "--- %s at %s (pid %d)\n%s\n", node->program, node->authority, (int)node->pid,
                len > PRINTED_BYTES ? log + len - PRINTED_BYTES : log);
        free(log);
    }
}

/* The port from the line `listening on http://127.0.0.1:PORT` behind `from`; 0 until it is there. */
static uint16_t port_told(const struct node *node, off_t from)
{
    static const char line[] = "listening on http://127.0.0.1:";
    char *log = node_log(node);
    const char *at = (size_t)from <= strlen(log) ? strstr(log + from, line) : NULL;
    uint16_t port = at && strchr(at, '\n') ? (uint16_t)strtoul(at + sizeof line - 1, NULL, 10) : 0;
    free(log);
    return port;
}

/* ---- life */

static struct node *node_new(const char *program)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        trouble("no memory");
    trouble_more = nodes_print_logs;
    node->program = program;
    node->port_fd = -1;
    node->log_fd = memfd_create("log", MFD_CLOEXEC);
    node->next = nodes;
    nodes = node;
    return node;
}

static void node_begin(struct node *node)
{
    char words[sizeof node->words + 32];
    off_t from = lseek(node->log_fd, 0, SEEK_END);
    int64_t until = now_ms() + START_MS;
    snprintf(words, sizeof words, "%s --port %u", node->words, node->port);
    node->pid = spawn(node->program, words, node->log_fd);
    uint16_t port;
    while (!(port = port_told(node, from))) {
        if (waitpid(node->pid, NULL, WNOHANG) != 0 || now_ms() > until) {
            nodes_print_logs();
            trouble("%s/%s %s does not start", build_dir(), node->program, words);
        }
        nap_ms(2);
    }
    port_set(node, port);
    if (node->port_fd >= 0)
        close(node->port_fd);
    node->port_fd = -1;
}

#define WORDS_INTO(buffer, format)                                                                           \
    do {                                                                                                     \
        va_list words_args;                                                                                  \
        va_start(words_args, format);                                                                        \
        vsnprintf(buffer, sizeof(buffer), format, words_args);                                               \
        va_end(words_args);                                                                                  \
    } while (0)

struct node *node_start(const char *program, const char *words, ...)
{
    struct node *node = node_new(program);
    WORDS_INTO(node->words, words);
    node_begin(node);
    return node;
}

struct node *master_start(const char *words, ...)
{
    struct node *node = node_new("master");
    WORDS_INTO(node->words, words);
    node_begin(node);
    return node;
}

struct node *secondary_start(const struct node *master, const char *words, ...)
{
    struct node *node = node_new("secondary");
    char own[sizeof node->words - 64];
    WORDS_INTO(own, words);
    snprintf(node->words, sizeof node->words, "--master-url %s %s", master->url, own);
    node_begin(node);
    return node;
}

struct node *node_later(const char *program, const char *words, ...)
{
    struct node *node = node_new(program);
    uint16_t port;
    WORDS_INTO(node->words, words);
    node->port_fd = port_reserve(&port);
    port_set(node, port);
    return node;
}

void node_words(struct node *node, const char *words, ...)
{
    WORDS_INTO(node->words, words);
}

void node_restart(struct node *node)
{
    if (node->pid)
        trouble("%s runs already", node->authority);
    node_begin(node);
}

/* ---- ends */

static bool node_reap(struct node *node, int *code)
{
    int status;
    if (waitpid(node->pid, &status, WNOHANG) == 0)
        return false;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    node->pid = 0;
    node->port_fd = port_bind(&node->port);
    return true;
}

struct ending node_signal(struct node *node, int signal)
{
    struct ending ending = {0};
    int64_t began = now_ms();
    kill(node->pid, signal);
    while (!node_reap(node, &ending.code)) {
        if (now_ms() - began > END_MS)
            trouble("%s %s does not end after signal %d", node->program, node->authority, signal);
        nap_ms(1);
    }
    ending.ms = (int)(now_ms() - began);
    return ending;
}

struct ending node_stop(struct node *node)
{
    return node_signal(node, SIGTERM);
}

void node_kill(struct node *node)
{
    node_signal(node, SIGKILL);
}

static char node_state(const struct node *node)
{
    char path[64];
    char text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)node->pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return '?';
    const char *at = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    fclose(file);
    return at ? at[2] : '?';
}

void node_freeze(struct node *node)
{
    kill(node->pid, SIGSTOP);
    eventually(END_MS, node_state(node) == 'T');
}

void node_thaw(struct node *node)
{
    kill(node->pid, SIGCONT);
}

/* Waits for the end of all nodes of a kind. */
static void kind_stop(const char *program)
{
    int64_t until = now_ms() + END_MS;
    for (struct node *node = nodes; node; node = node->next) {
        if (!node->pid || strcmp(node->program, program) != 0)
            continue;
        kill(node->pid, SIGCONT); /* first: later it may undo the stop by which LeakSanitizer looks at it */
        kill(node->pid, SIGTERM);
    }
    for (struct node *node = nodes; node; node = node->next) {
        int code = 0;
        while (node->pid && strcmp(node->program, program) == 0 && !node_reap(node, &code)) {
            if (now_ms() > until)
                trouble("%s %s does not end", node->program, node->authority);
            nap_ms(2);
        }
        if (code)
            trouble("%s %s ended with exit code %d", node->program, node->authority, code);
    }
}

void nodes_stop(void)
{
    kind_stop("secondary");
    kind_stop("master");
}

/* ---- what a process uses */

static int entries(const struct node *node, const char *folder)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)node->pid, folder);
    DIR *dir = opendir(path);
    if (!dir)
        trouble("cannot read %s", path);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2; /* . and .. */
}

int node_threads(const struct node *node)
{
    return entries(node, "task");
}

int node_descriptors(const struct node *node)
{
    return entries(node, "fd");
}

long node_memory_kb(const struct node *node)
{
    char path[64];
    char line[256];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)node->pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kb;
}
