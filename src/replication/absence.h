/* What a master does about a member that stays unhealthy, for it may be gone for good: while POSTs wait for
 * it it warns once a minute, and says how to remove it; and it removes it by itself after FORGET_AFTER. It
 * warns as well while POSTs wait because fewer nodes are there than NODES tells of.
 *
 * To forget is not to make appends possible: as long as the gate is closed, or the quorum is missing, nobody
 * is forgotten, and what a master waits for before its first append is decided as ever. Time in which the
 * master's own process stood still does not count (members_woke), and a member that its disk tells of counts
 * from its start (members_restore).
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_ABSENCE_H
#define REPLICATION_ABSENCE_H

#include "replication/append.h"

struct absence {
    int64_t warn_ms; /* when to look next for POSTs that wait for more nodes; 0 at the beginning */
};

/* Follows members_check, and is called as often. */
void absence_look(struct absence *absence, const struct base *base, struct members *members,
                  const struct gate *gate, const struct append *append, int64_t now_ms);

#endif
