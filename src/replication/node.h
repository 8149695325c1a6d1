/* One node, master or secondary: its parts, its routes, and what it does in each pass of the loop. It opens
 * no socket by itself and has no thread: requests come in through node_service, its own go out through the
 * dialer, and the time comes from clock.h. So a whole cluster of nodes may live in one process
 * (test/simulator).
 *
 * Belongs to the loop's thread, but for the functions that say otherwise. */
#ifndef REPLICATION_NODE_H
#define REPLICATION_NODE_H

#include "http/client.h"
#include "http/server.h"
#include "log/journal.h"
#include "log/log.h"
#include "replication/wire.h"
#include "settings.h"

struct node;

/* The settings and the dialer outlive the node. NULL where there is no memory. */
struct node *node_open(const struct settings *settings, enum settings_role role,
                       const struct http_dialer *dialer);

/* Nobody may be waiting: node_stop comes first, and passes. */
void node_close(struct node *node);

/* Before the first pass: the list is kept in the journal, too, which the node owns from now on, whatever it
 * returns. The worker does nothing else, and outlives the node. `unusable` is called where the list cannot be
 * loaded: the program has to end then. Returns 0 or -ENOMEM. */
int node_keep(struct node *node, struct journal *journal, struct worker *worker, void (*unusable)(void *ctx),
              void *ctx);

enum node_state {
    NODE_STARTS, /* its first pass is to come */
    NODE_LOADS,  /* its list is being loaded from disk: it serves nothing */
    NODE_SERVES,
    NODE_STOPS /* node_stop was called */
};

struct node_condition {
    enum node_state state;
    unsigned members;   /* of a master that serves, as it looked at them last */
    unsigned unhealthy; /* of these */
    bool registered;    /* a secondary that serves */
};

/* Before the first pass: `tell` is called on the loop's thread, and must not block, in each pass in which the
 * condition is another than before. Where it returns false it is called again a second later, with what is
 * then. */
void node_watch(struct node *node, bool (*tell)(void *ctx, const struct node_condition *condition),
                void *ctx);

/* What the HTTP server calls; its ctx is the node. */
struct http_service node_service(struct node *node);

/* The port that it listens on, before the first pass: a secondary registers with it. */
void node_port(struct node *node, uint16_t port);

/* What a node has, for one who watches it in its own process: borrowed, and valid as long as the node. */
struct node_view {
    const struct log *log;
    uint64_t shown; /* up to where its messages show */
    const struct wire_identity *own;
};
struct node_view node_view(const struct node *node);

/* Nothing new is taken from the next pass on. A master gives those who wait patience_ms at most for their
 * ACKs, and what was acknowledged as long to reach another node; a secondary says goodbye, for as long at
 * most. The service is busy until then. Any thread. */
void node_stop(struct node *node, int64_t patience_ms);

/* Behind node_stop: blocks the calling thread, main, until all ACKs have come that somebody waits for, and
 * what was acknowledged is on another node, or the patience is over. Those who still wait are answered in the
 * next pass of the loop. */
void node_drain(struct node *node);

#endif
