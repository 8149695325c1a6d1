/* Real nodes: build/master and build/secondary, found in the folder that BUILD_DIR names (build/ where it is
 * not set), as child processes on 127.0.0.1. A node listens on a port that the kernel chose and keeps it over
 * its restarts. Nothing outlives the test: a node dies with the thread that started it, and its log lines are
 * kept in memory.
 *
 * Words of settings are flags and their values, `--write-concern 2`, or variables of the environment,
 * `WRITE_CONCERN=2`, parted by spaces; printf puts values into them.
 *
 * Start and stop nodes from the test's own thread. What goes wrong there ends the test with trouble(). */
#ifndef TEST_NODE_H
#define TEST_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Words may be "". */
#pragma GCC diagnostic ignored "-Wformat-zero-length"

struct node {
    uint16_t port;
    char url[32]; /* http://127.0.0.1:PORT */
    char authority[24];
    pid_t pid; /* 0 while it does not run */

    const char *program;
    char words[512];
    int log_fd;
    int port_fd; /* bound to the port while the node does not run, so that nobody else gets it; or -1 */
    struct node *next;
};

/* How a node ended. */
struct ending {
    int code; /* the exit code, or -SIGKILL and the like */
    int ms;   /* from the signal to the end */
};

/* Starts a program ("master", "secondary") and waits until it listens. */
struct node *node_start(const char *program, const char *words, ...) __attribute__((format(printf, 2, 3)));
struct node *master_start(const char *words, ...) __attribute__((format(printf, 1, 2)));
struct node *secondary_start(const struct node *master, const char *words, ...)
    __attribute__((format(printf, 2, 3)));

/* A node with a port of its own that does not run yet: node_restart starts it. */
struct node *node_later(const char *program, const char *words, ...) __attribute__((format(printf, 2, 3)));

/* Stops a running node by a signal and waits for its end. */
struct ending node_stop(struct node *node);
struct ending node_signal(struct node *node, int signal);
void node_kill(struct node *node); /* SIGKILL */

/* Starts a node that was stopped again, on its old port, with its old words or, after node_words, others. */
void node_restart(struct node *node);
void node_words(struct node *node, const char *words, ...) __attribute__((format(printf, 2, 3)));

void node_freeze(struct node *node); /* SIGSTOP, and waits until it is in force */
void node_thaw(struct node *node);   /* SIGCONT */

/* Stops every node that runs, all at once by SIGTERM (thawed before), the secondaries first. Ends the test
 * with trouble() where one does not exit with code 0 in good time: the sanitizers speak through the exit
 * code. */
void nodes_stop(void);

/* Log lines, those from before a restart included. */
int node_logged(const struct node *node, const char *text); /* the lines that hold the text */
int node_told(const struct node *node, const char *level, const char *text); /* those of a level: "WARN" */
char *node_log(const struct node *node);                                     /* all; free it */
void nodes_print_logs(void); /* the end of each node's, on standard error */

/* What the process uses, from /proc. */
int node_threads(const struct node *node);
int node_descriptors(const struct node *node);
long node_memory_kb(const struct node *node); /* resident */

/* A program run to its end with standard error and output in out, for flags that end it at once. Returns the
 * exit code. */
int program_run(const char *program, const char *words, char *out, size_t out_size);

/* A socket bound to a port of 127.0.0.1 that the kernel chose and that a listener with SO_REUSEADDR may take
 * over while it is open: until then connections there are refused. */
int port_reserve(uint16_t *port);

/* The word that gives a node the names and ports of test/preload/net.c. */
const char *net_words(void);

/* Whether the programs are built with a sanitizer, which makes them slower. */
bool nodes_sanitized(void);

#endif
