/* What goes wrong: links are spoiled, nodes freeze, die, stop and come back, the master too, and somebody
 * lies to them (lies.h). In a storm faults come at random, several at a time, each for a while; storm_end
 * mends all of them. Main thread only. */
#ifndef TORTURE_STORM_H
#define TORTURE_STORM_H

#include "cluster.h"
#include "random.h"

struct storm;

struct storm_config {
    struct cluster *cluster;
    bool spare_master; /* it is never killed, stopped or frozen */
};

/* Starts the relays and all nodes. */
struct storm *storm_open(const struct storm_config *config);

/* Lets faults happen for so long. */
void storm_blow(struct storm *storm, int64_t ms);

/* Mends everything: links pass, all nodes run. Returns when all have been told so. */
void storm_end(struct storm *storm);

/* Kills a secondary and starts it again, empty: without what its disk had. */
void storm_restart_secondary(struct storm *storm, unsigned number);

/* Notices nodes that ended by themselves. To be called now and then. */
void storm_watch(struct storm *storm);

/* Tells all nodes to stop, waits until they have, and frees everything. */
void storm_close(struct storm *storm);

struct storm_counts {
    unsigned links[8];                         /* by enum relay_kind */
    unsigned frozen, killed, stopped, removed; /* secondaries */
    unsigned master_frozen, master_killed, master_stopped;
    unsigned with_nodes;          /* runs of the master with NODES */
    unsigned forged, misdirected; /* messages that a secondary took; that it refused */
    unsigned told_of;             /* of the forged ones: the master has logged an ERROR */
    unsigned lying_acks, lying_lists, late_goodbyes, newcomers;
    unsigned blackouts; /* all nodes killed at once */
    unsigned diverged;  /* killed because what they hold is not in the master's list any more */
};

struct storm_counts storm_count(const struct storm *storm);

#endif
