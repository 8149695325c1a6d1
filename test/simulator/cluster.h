/* The nodes of a schedule: real ones (replication/node.h) on simulated hosts. */
#ifndef SIMULATOR_CLUSTER_H
#define SIMULATOR_CLUSTER_H

#include "drive.h"
#include "network.h"
#include "replication/node.h"

enum {
    SECONDARIES_MAX = 4,
    LIST_MAX = 1024,
    PROOFS_MAX = 16,
    /* hosts */
    HOST_MASTER = 0,
    HOST_SECONDARY = 1, /* to 5 */
    HOST_SPARES = 5,
    HOST_OTHER_MASTER = 6,
    HOST_LIAR = 7,
    HOST_OUTSIDE = 8 /* to 11 */
};

/* What a master knows of a member. */
struct proof {
    struct machine *process; /* that was proven last */
    unsigned highest;        /* what any process of that id has proven */
    bool counts;             /* for w=all */
    struct machine *before;  /* the process that was in its place, */
    int64_t since_us;        /* until then */
};

/* The list and the epoch with which a process began. */
struct life {
    char log[WIRE_NAME_SIZE];
    uint64_t epoch;
};

/* The disk of a node, whatever process it is and on which host. */
struct volume {
    struct drive *drive;
    bool always; /* FSYNC=always: what showed is on it for ever */

    /* what showed last, and is to show again after a restart */
    unsigned short list[LIST_MAX];
    unsigned shown;
    struct life life; /* of a master: the latest process that has appended something */
};

/* One process. What the checker knows of it stays when it is dead. */
struct machine {
    struct proc proc; /* first */
    struct machine *next;
    enum settings_role role;
    struct settings settings;
    struct node *node; /* NULL: dead */
    int slot;          /* a secondary's */
    char id[32];       /* a secondary's name as a member */
    char boot[WIRE_NAME_SIZE];
    bool stopping;
    struct volume *volume; /* NULL: its list is in memory alone */
    struct worker *worker; /* of its disk */
    bool loaded;           /* its list is there */
    struct life life;
    bool unusable;  /* its list cannot be loaded: the program ends */
    int registered; /* the status of the last answer to a registration; 0: none since the mending */

    /* its list as the checker has seen it: numbers of messages */
    unsigned short list[LIST_MAX];
    unsigned listed, shown;
    bool handmade;          /* a person's messages are in it */
    struct machine *source; /* the master whose list it was a beginning of when it was looked at last */

    /* a master's */
    bool appended;                   /* something that was posted to it */
    int64_t removed_us;              /* when a person removed a member last */
    struct proof proofs[PROOFS_MAX]; /* each id once */
};

extern struct machine *machines; /* the latest first */

void cluster_begin(void);

/* The settings are filled in but for what follows from the host and the slot; DATA_DIR of any kind means that
 * it has a disk. NULL: the host is taken, or the disk is full or fails. */
struct machine *machine_start(enum settings_role role, int slot, int host, const struct settings *settings);

/* SIGKILL, or, where `silent`, the whole host. */
void machine_kill(struct machine *machine, bool silent);

/* The power of its host is cut. */
void machine_cut(struct machine *machine);

/* The volume of a node, which some process of it has had; or NULL. */
struct volume *volume_of(enum settings_role role, int slot);

/* Whether the disk is in order and the list there, as the node says. */
bool machine_disk_failed(const struct machine *machine);

/* SIGTERM: it ends some time later. */
void machine_stop(struct machine *machine);

/* All are dead. */
void cluster_end(void);

#endif
