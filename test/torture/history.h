/* The checker: what was sent, what was answered, and what every list showed. Whoever sees something tells it
 * here, and the first thing that cannot be ends the run with report_fail. Any thread may call; one mutex.
 *
 * What must hold, and how it is known here:
 *
 * - Every list is the list of some run of the master, cut somewhere. A run (a life of the master's process)
 *   begins with what it took over, which is a part of an earlier run's list, and goes on with what was posted
 *   to it. Each message is posted once, to one run, so each position of each list tells which run appended
 *   it; runs only rise along a list. For each run there is one id at which its own messages begin, and one
 *   earlier run whose list it goes on from: all lists ever seen must agree on both, and on the message at
 *   each id of each run. So every list that is seen is a beginning of its run's final list.
 * - A message has one id, ever: no duplicates, no reordering. Its text must be the very text.
 * - A message that nobody sent, that was refused, or whose request was cut off before its end, is in no list.
 * - The id of a 201 or 202 is the message's id in the run that it was posted to.
 * - A secondary shows nothing of the present run that the master does not show (see the readers).
 * - The master counts no secondary for more of its list than the secondary has: where its list is another one
 *   from some id on, it counts to that id at most.
 * - A secondary that took forged messages shows nothing behind them until its end, and the master counts it
 * for nothing from the first of them on. No other list has them.
 * - What must survive a restart of the master. The restarted master takes no appends before QUORUM nodes are
 *   there, itself included: so QUORUM - 1 of the secondaries have registered with it, and it has taken over
 *   the longest of their lists. If more than SECONDARIES - (QUORUM - 1) of the secondaries hold a message
 *   when the new run starts, one of those that registered holds it, and it must be in the new run's list. A
 *   secondary that was killed or stopped has lost its memory and holds nothing. How many hold a message is
 *   known from two sources: a 201 or 202 says that `acks` nodes do, of which one is the master that dies; and
 *   each reader knows how far its secondary's list came. A message with w=1 may die with its master, one with
 *   w=2 when only its other holder has not registered in time; the new master then refuses that holder.
 * - With NODES the restarted master waits for all secondaries, or for two that came with their lists. So two
 *   holders suffice; and one, where WRITE_CONCERN nodes held the message at once before.
 * - A node with a disk comes back with the list that it showed, or more of it, however it ended. A secondary
 *   with one goes on holding what it held. A master with one goes on with what it showed; with NODES its disk
 *   is one of the two that came with their lists, so that the rule of WRITE_CONCERN alone holds. And its
 * `acks` may count others than itself. */
#ifndef TORTURE_HISTORY_H
#define TORTURE_HISTORY_H

#include "node.h"
#include "text.h"

/* How a POST ended. */
enum history_end {
    HISTORY_NEVER = 1, /* it must not be in the list: refused, or cut off before the end of the request */
    HISTORY_UNKNOWN,   /* no answer came: it may be in the list */
    HISTORY_201,
    HISTORY_202
};

/* What a master waits for before its first append. */
enum history_gate { HISTORY_QUORUM_3 = 1, HISTORY_QUORUM_4, HISTORY_NODES };

/* The setting of each. */
extern const char *const history_gates[];

/* The node has a disk. Before the run. */
void history_keeps(unsigned node);

/* A node is about to be started, the master too. */
void history_node_starts(unsigned node, unsigned life);

/* A new run of the master. */
void history_master_starts(unsigned run, enum history_gate gate);

/* A secondary is about to end. Its list is lost, or kept on its disk. */
void history_secondary_ends(unsigned node, unsigned life, bool list_is_kept);

/* How many secondaries have lost their list so far. */
unsigned history_ends(void);

/* Before a message is sent to the master's process `run`. */
void history_sent(text_key key, unsigned run);

void history_ended(text_key key, enum history_end end);

/* It was answered: `held` nodes hold it, the master included. ends_before: history_ends before it was sent.
 */
void history_answered(text_key key, enum history_end end, uint32_t id, unsigned held, unsigned ends_before);

/* Somebody is about to send the secondary's present life `count` messages, the first of them `key`, which no
 * master has appended, for the ids from `first` on. */
void history_forges(unsigned node, unsigned life, uint32_t first, text_key key, uint32_t count);

/* Whether it took them. */
void history_forged(unsigned node, bool taken);

/* A part of a node's list, seen on a connection to its `life`. Returns the run of its last message; 0 where
 * that is forged. */
unsigned history_list(unsigned node, unsigned life, uint32_t first, const text_key *keys, uint32_t count);

/* A node's list was read to its end, `last`; its last message is of `run`. */
void history_end_seen(unsigned node, unsigned life, uint32_t last, unsigned run);

/* The master's process `run` says that a secondary holds its list up to `acked`. */
void history_member(unsigned node, unsigned run, uint32_t acked);

/* Whether the present run has messages of its own, but where they begin was not seen yet. */
bool history_start_unseen(void);

/* Whether it was seen. */
bool history_start_seen(void);

/* Whether what the secondary's life showed last is not part of the master's list, and the master cannot take
 * it over: it must be refused, and has to be restarted. */
bool history_diverged(unsigned node, unsigned life);

/* All nodes show the same list of `last` messages, read to its end, the present run has added to it, and
 * nobody is writing: every message that was answered is there, unless it went with a run of the master. */
void history_settled(uint32_t last);

struct history_counts {
    unsigned posted, acked, late, refused, unknown;
    unsigned runs, judged; /* runs of the master; those before which something had to survive */
    uint64_t surviving;    /* messages that had to survive, and did; all runs together */
    unsigned dropped;      /* that were answered, and rightly went with a run of the master */
    unsigned kept;         /* lists that came back from a disk as long as they were, or longer */
    uint64_t elements;     /* of lists that were seen */
};

struct history_counts history_count(void);

#endif
