/* What the parts of a node stand on. The node owns it, and it outlives them. Belongs to the loop's thread. */
#ifndef REPLICATION_BASE_H
#define REPLICATION_BASE_H

#include "complaint.h"
#include "http/client.h"
#include "log/log.h"
#include "replication/acks.h"
#include "replication/events.h"
#include "replication/receipts.h"
#include "replication/store.h"
#include "replication/token.h"
#include "replication/wire.h"
#include "settings.h"

struct base {
    const struct settings *settings;
    const struct http_dialer *dialer;
    struct log *log;
    struct store *store; /* the list on disk; NULL: it is in memory alone */
    struct complaints *complaints;
    struct events *events;     /* NULL: nobody can see them */
    struct receipts *receipts; /* a master's */
    struct acks *acks;         /* a secondary's one node is itself, at what shows */
    /* Who this is, and which list it has: a master's take-over, or a secondary's master, changes the log and
     * the epoch. */
    struct wire_identity own;
    char fields[TOKEN_FIELDS_SIZE]; /* of every request that it sends */
    uint16_t port;                  /* that it listens on */
    bool sure;          /* a master: nobody is missing who holds what was acknowledged; for good */
    uint64_t sure_last; /* and its list reached so far when it became sure */
    bool appended;      /* a master: some POST was appended since the program started */
    bool kept;          /* a master: as its disk told at the start, that has whatever the node ever held */
};

/* The end of the list as this node holds it. */
static inline struct log_tail base_held(const struct base *base)
{
    return base->store ? store_held(base->store) : log_tail(base->log);
}

/* The same once the disk has done what it can: one that has failed gets nothing more. */
static inline struct log_tail base_will_hold(const struct base *base)
{
    bool failed = base->store && store_disk(base->store) == STORE_FAILED;
    return failed ? base_held(base) : log_tail(base->log);
}

/* Whether a message is held as soon as it is in the list. */
static inline bool base_holds_at_once(const struct base *base)
{
    return !base->store || store_holds_at_once(base->store);
}

#endif
