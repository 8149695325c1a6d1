/* The node as its two files see it: node.c, what it is and does in each pass, and routes.c, what it answers.
 * Nobody else includes this. */
#ifndef REPLICATION_NODE_PRIVATE_H
#define REPLICATION_NODE_PRIVATE_H

#include "http/guard.h"
#include "replication/absence.h"
#include "replication/health.h"
#include "replication/node.h"
#include "replication/tail.h"
#include <stdatomic.h>

struct node {
    struct base base;
    struct tail *tail;
    struct complaints complaints;
    int64_t suspended_ms;       /* as the clock told last */
    int64_t started_us;         /* since 1970 */
    bool looked;                /* node_notice_pause was asked in this pass */
    int64_t due_ms;             /* when the next pass was to be called at the latest */
    _Atomic int64_t stop_by_ms; /* set by any thread; CLOCK_NEVER: not to stop */
    atomic_bool drained;        /* set by main: nobody waits for an ACK any more, or for too long */
    bool ended;                 /* nobody waits any more, nor will */
    uint64_t held;              /* with a disk: up to where the list was held when that was looked at last */
    bool complete;              /* as the disk was to note it last */
    bool stranded;              /* the disk has failed, and those who waited for it know */
    struct http_denial loading; /* what is answered while the list is loaded, */
    char loading_why[STORE_SAY_SIZE]; /* its sentence */
    void (*unusable)(void *ctx);
    void *unusable_ctx;
    bool (*tell)(void *ctx, const struct node_condition *condition); /* NULL: nobody asks */
    void *tell_ctx;
    int64_t tell_ms; /* not before: it could not be told */
    struct node_condition told;
    struct buf hosts; /* the names that it is called by */
    struct http_guard guard;

    /* a master's; NULL in a secondary */
    struct members *members;
    struct admission *admission;
    struct gate *gate;
    struct append *append;
    struct receipts receipts;
    int64_t check_ms; /* when to look at the members' states next */
    struct absence absence;

    /* a secondary's; NULL in a master */
    struct follow *follow;
    struct registrar *registrar;
};

/* The rows of each role, for node_service. */
extern const struct http_route routes_master[], routes_secondary[];

/* The id up to which messages show. */
uint64_t node_shown(const struct node *node);

/* What GET /health and others look at. */
struct health node_health(const struct node *node);

/* A pass comes far too late where the process was stopped (SIGSTOP, a suspended machine). Asked once a pass,
 * before anything that depends on who is there. */
void node_notice_pause(struct node *node, int64_t now_ms);

/* What was appended since the last call goes to the members, all of it at once. Returns when there is
 * something to send again. */
int64_t node_send(struct node *node, int64_t now_ms);

#endif
