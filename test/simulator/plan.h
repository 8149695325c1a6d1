/* What kind of schedule it is: drawn once, at its start. */
#ifndef SIMULATOR_PLAN_H
#define SIMULATOR_PLAN_H

#include "cluster.h"

struct plan {
    int secondaries;
    bool named, second_master, kills, stops, freezes, network, liars, liar_greets, forges, hands, removals;
    bool disks, cuts, faults; /* some nodes have a disk; its power is cut, and it fails, now and then */
    bool recipe;              /* NODES or QUORUM: no impostor may become a member */
    struct settings master;
    struct settings secondary[SECONDARIES_MAX];
    int actions;
    int64_t gap_us;     /* between two actions, on average */
    int64_t latency_us; /* of a link, at most, at the start */
};

struct plan plan_draw(void);

#endif
