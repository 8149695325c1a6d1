/* What storm.c and lies.c share, and nobody else knows. Main thread only. */
#ifndef TORTURE_STORM_PARTS_H
#define TORTURE_STORM_PARTS_H

#include "client.h"
#include "relay.h"
#include "storm.h"

enum {
    LINKS = 2 * SECONDARIES,
    PASS_MS = 5,
    SETTING_SIZE = 96,
    HEALTH_MS = 1500,
    QUORUM_USUAL = 3 /* one secondary may be away */
};

/* Addresses of this run, see nodes_address. */
enum { ADDRESS_LIAR = 8, ADDRESS_FROM_MASTER = 10, ADDRESS_TO_MASTER = 20 };

struct link {
    struct relay *relay;
    int64_t until_ms; /* 0: it is well */
};

struct storm {
    struct storm_config config;
    struct node *nodes;
    struct link links[LINKS]; /* for each secondary: from the master to it, and from it to the master */
    int64_t until_ms[NODES];  /* for a frozen node, or one that is down */
    int64_t next_ms;          /* when the next fault is due */
    unsigned gap_most_ms;
    enum history_gate next_gate; /* of the master's next run; 0: any */
    unsigned next_forged;        /* number of the next forged message */
    struct random random;
    struct client master; /* the operator's */
    struct storm_counts counts;
};

static inline struct link *link_from_master(struct storm *storm, unsigned secondary)
{
    return &storm->links[2 * (secondary - 1)];
}

static inline struct link *link_to_master(struct storm *storm, unsigned secondary)
{
    return &storm->links[2 * (secondary - 1) + 1];
}

/* Writes NAME=URL, or the URL alone where the setting is NULL, of a relay at an address of this run. */
void relay_url(const struct relay *relay, unsigned address, const char *setting, char *out);

void link_spoil(struct storm *storm, struct link *link, struct relay_fault fault, unsigned ms);
void link_mend(struct link *link);

void any_start(struct storm *storm, unsigned number);
void secondary_kill(struct storm *storm, unsigned number);

/* Kills it, and what its disk had is gone, too. */
void secondary_lose(struct storm *storm, unsigned number);

/* Whether the master can be ended now: the history must have seen where its own messages begin. */
bool master_may_end(struct storm *storm);

/* It comes back after so long, unless somebody starts it before. */
void master_end(struct storm *storm, bool stop, unsigned ms);

/* Whether the secondary has the list, as far as one can tell. */
bool list_there(const struct storm *storm, unsigned number);

/* Mostly spares those that hold the last copies, so that there is something to lose. */
bool secondary_may_end(struct storm *storm, unsigned number);

#endif
