/* The nodes of the cluster: real processes, each on a loopback address of its own, so that nobody else takes
 * the port of one that is down. A node's life is the time of one process; lives count from 1 on.
 *
 * All functions but node_life, node_touched and nodes_kill are for the main thread: a process dies with the
 * thread that started it. */
#ifndef TORTURE_NODE_H
#define TORTURE_NODE_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum { SECONDARIES = 3, NODES = 1 + SECONDARIES, MASTER = 0 };

enum node_state { NODE_DOWN, NODE_UP, NODE_FROZEN, NODE_STOPPING };

struct node {
    unsigned index; /* 0: the master */
    char name[8];   /* "master", "s1", … */
    struct sockaddr_in address;
    enum node_state state;
    pid_t pid;
    unsigned lives;
    _Atomic unsigned life; /* of the process that serves now; 0 while there is none */
    _Atomic bool frozen;
    _Atomic int64_t touched_ms; /* when it was last started, frozen or thawed */
    int64_t stop_by_ms;         /* while stopping */
    char log_path[300];
    bool durable;           /* it has a disk: DATA_DIR, with FSYNC=always */
    char data_setting[320]; /* DATA_DIR=… */
};

/* Chooses the addresses; who is to have a disk is the caller's to say. Nothing is started. `programs` and
 * `folder` outlive the nodes. */
void nodes_open(struct node nodes[NODES], const char *programs, const char *folder);

/* An address of this run: `number` from 5 on for others than nodes. */
struct in_addr nodes_address(unsigned number);

/* Starts the process with NAME=value settings (NULL at the end; HOST and PORT are added) and waits until it
 * listens. The same port each time. */
void node_start(struct node *node, const char *const settings[]);

void node_freeze(struct node *node);
void node_thaw(struct node *node);

/* SIGKILL, and waits for the end. */
void node_kill(struct node *node);

/* Removes the node's directory, where it has one; the node is down. */
void node_forget_data(const struct node *node);

/* SIGTERM; node_check then notices the end. */
void node_stop(struct node *node);

/* Fails the run where a process has ended by itself, or did not end, or not with 0, when it was told to
 * stop. */
void node_check(struct node *node);

/* The process that serves now, or 0. Any thread. */
unsigned node_life(const struct node *node);

/* Whether the node was frozen, thawed, started or down since then, so that it may have been slow. Any thread.
 */
bool node_touched(const struct node *node, int64_t since_ms);

/* Ends all, whatever their state. Any thread. */
void nodes_kill(struct node nodes[NODES]);

struct node_size {
    unsigned threads;
    unsigned descriptors;
    unsigned kilobytes; /* resident */
};

bool node_measure(const struct node *node, struct node_size *out);

/* Empties the node's log file, unless TORTURE_KEEP_LOGS is set. */
void node_forget_log(const struct node *node);

#endif
