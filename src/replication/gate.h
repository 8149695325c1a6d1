/* When the master's appends may go on. It says no (503) while the quorum is missing or the master stops, and
 * lets POSTs wait (acks_gate) as long as it is not known which list this will be, or who is there:
 *
 * - while a list is taken over;
 * - while its own disk misses messages that it once had (store_missing);
 * - with NODES, from the start until it is sure that nobody is missing who holds what was acknowledged with
 * the default write concern w: all NODES - 1 secondaries have been met, or NODES - w + 1 of them whose
 * process came with messages. One that came empty is no witness of what it may have held before; the master's
 * own disk is one. Without a disk those that are still missing then have a quarter of a second more, before
 * the first append: one of them may hold more, which nobody was told is acknowledged;
 * - with a QUORUM, or with a disk, which tells who the members were, before the first append, until each
 * member that is not unhealthy has answered once, five heartbeat intervals at most from when the first POST
 * waits;
 * - with a QUORUM, when the master's own process was stopped for a while (SIGSTOP, a suspended machine):
 * until the quorum has answered afresh, or would have been called unhealthy by now.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_GATE_H
#define REPLICATION_GATE_H

#include "http/server.h"
#include "replication/admission.h"

struct gate;

/* NULL where there is no memory. The gate is closed or open as it should be at once. */
struct gate *gate_open(struct base *base, const struct members *members, const struct admission *admission);
void gate_free(struct gate *gate);

/* Whether a POST may be taken, or may wait; where not, the exchange is answered. */
bool gate_admits(const struct gate *gate, struct http_exchange *exchange);

/* The process was stopped until now. */
void gate_woke(struct gate *gate, int64_t now_ms);

/* Called once a pass of the loop: opens and closes, and logs it. Returns when it must be called again. */
int64_t gate_pass(struct gate *gate, int64_t now_ms);

/* Whether the quorum is missing. */
bool gate_read_only(const struct gate *gate);

#endif
