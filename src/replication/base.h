/* What the parts of a node stand on. The node owns it, and it outlives them. Belongs to the loop's thread. */
#ifndef REPLICATION_BASE_H
#define REPLICATION_BASE_H

#include "complaint.h"
#include "http/client.h"
#include "log/log.h"
#include "replication/acks.h"
#include "replication/events.h"
#include "replication/receipts.h"
#include "replication/token.h"
#include "replication/wire.h"
#include "settings.h"

struct base {
    const struct settings *settings;
    const struct http_dialer *dialer;
    struct log *log;
    struct complaints *complaints;
    struct events *events;     /* NULL: nobody can see them */
    struct receipts *receipts; /* a master's */
    struct acks *acks;         /* a secondary's one node is itself, at what shows */
    /* Who this is, and which list it has: a master's take-over, or a secondary's master, changes the log and
     * the epoch. */
    struct wire_identity own;
    char fields[TOKEN_FIELDS_SIZE]; /* of every request that it sends */
    uint16_t port;                  /* that it listens on */
    bool sure;     /* a master: nobody is missing who holds what was acknowledged; for good */
    bool appended; /* a master: some POST was appended since the program started */
};

#endif
