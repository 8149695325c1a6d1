/* Faults of a storm in which somebody says what is not so, or what was so once. Main thread only. */
#ifndef TORTURE_LIES_H
#define TORTURE_LIES_H

#include "storm.h"

/* Somebody sends a secondary, in the name of its master, what that has not appended. With all of the master's
 * fields the secondary must take it, and count for nothing from there on; it is restarted then, as the
 * master's log line asks for. With one of them wrong it must be refused. */
void fault_forgery(struct storm *storm);

/* Somebody registers, and then answers the master with one thing wrong: nothing of it may count, and nothing
 * may be sent behind it. */
void fault_lying_member(struct storm *storm);

/* Somebody registers first with a master that was restarted, and serves another list than it tells of. */
void fault_lying_list(struct storm *storm);

/* The goodbye of a process comes when the member's next one is there. */
void fault_late_goodbye(struct storm *storm);

/* With NODES, the master and all secondaries but one are restarted: nothing may be appended before that one,
 * which cannot register for a while, has come with its list. */
void fault_newcomers(struct storm *storm);

#endif
