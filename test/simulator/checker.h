/* The checker: the rules of test/torture/history.h, judged after each event on the lists themselves. The
 * first rule that is broken ends the process.
 *
 * With disks (FSYNC=always), as long as no person moves one away:
 *
 * - What a node shows, and so what it acknowledges, would be there after a power cut that loses all it may.
 * - Its next process comes back with what showed, or more, and misses nothing.
 * - A master counts itself only once it shows the message, and never appends in an epoch that an earlier
 * process of it has begun with and appended in.
 * - With NODES a disk is a holder, be its node dead or not: what WRITE_CONCERN nodes held is not gone on
 * without.
 * - All nodes are killed at once, with all messages on disks, and started again in any order within a few
 *   heartbeat intervals: whatever was acknowledged is there. */
#ifndef SIMULATOR_CHECKER_H
#define SIMULATOR_CHECKER_H

#include "cluster.h"

enum { MESSAGES_MAX = 2048 };

/* What a message's text begins with: who it is from. */
enum message_source {
    SOURCE_CLIENT = 'm', /* posted to a master */
    SOURCE_HAND = 'h',   /* a person sent it to a secondary */
    SOURCE_LIAR = 'l'    /* in nobody's list, ever */
};

struct posted {
    unsigned number;
    enum message_source source;
    char text[64];
    int w;
    unsigned expects;   /* the id that it must get, or none; 0: any */
    int64_t timeout_ms; /* 0: for ever */
    struct machine *at; /* the master that it has come to */
    int64_t arrived_us;
    bool answered, refused, acked, abandoned;
    unsigned acks;       /* as the best answer told */
    unsigned id;         /* where it is, in every list that has it; 0: in none yet */
    struct machine *run; /* the master that appended it */
};

extern const struct network_rules check_rules;

/* How many nodes the log is meant to have (0: not told), and the default write concern. `sole`: there is one
 * master at a time, so that what the recipe of NODES or QUORUM promises must hold. */
struct check_terms {
    unsigned nodes, quorum, secondaries;
    int write_concern;
    bool sole;
    bool ghosts; /* a process may be a member under two ids, one after the other */
};
void check_begin(const struct check_terms *terms);

/* A new message, or NULL where there are too many. */
struct posted *posted_new(enum message_source source, int w, int64_t timeout_ms);

/* Looks at what is new in a machine's list. */
void check_look(struct machine *machine);

/* Reads all lists once more from their beginning. */
void check_all(void);

/* Whether the secondary's list is a beginning of the master's. */
bool check_begins(const struct machine *secondary, const struct machine *master);

/* Whether the machine shows the message. */
bool check_holds(const struct machine *machine, const struct posted *posted);

/* Whether the master counts the process as a member with its whole list. */
bool check_counts(struct machine *master, struct machine *secondary);

/* What was acknowledged and is in the list of `before` is in that of `after`. */
void check_kept(const struct machine *before, const struct machine *after);

/* A person moves the directory away: nothing is to be on its disk any more. */
void volume_empty(struct volume *volume);

/* Nobody waits any more who has no reason to. */
void check_nobody_waits(const struct machine *master);

struct check_totals {
    uint64_t posts, acked, late, refused, unknown, runs, judged;
};
struct check_totals check_totals(void);

#endif
