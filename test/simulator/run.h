/* The schedule that is played: its plan, its nodes and its clients. */
#ifndef SIMULATOR_RUN_H
#define SIMULATOR_RUN_H

#include "plan.h"

enum { CLIENTS = HOSTS - HOST_OUTSIDE };

extern struct run {
    struct plan plan;
    struct machine *master, *other; /* NULL or dead: none */
    int master_slot;                /* 1: the other is the only one by now */
    struct machine *secondary[SECONDARIES_MAX];
    int points_to[SECONDARIES_MAX]; /* what `master` stands for on a secondary's host */
    struct proc clients[CLIENTS];
    bool mended; /* no fault comes any more */
} run;

static inline bool run_alive(const struct machine *machine)
{
    return machine && machine->node;
}

/* Lets happen what is due until then. */
void run_until(int64_t until_us);

/* The nodes and clients of the plan. */
void run_start(void);

/* Any of the clients, and any node that lives; NULL: the one that was drawn is dead. */
struct proc *run_client(void);
struct machine *run_master(void);
struct machine *run_secondary(void);
struct machine *run_machine(void);

/* Starts a secondary there, where that host is free. */
void run_secondary_start(int slot, int host);

/* Starts the secondary of that slot, where it is dead: where it was or elsewhere. */
void run_start_slot(int slot);

/* Starts any secondary that is dead, where it was or elsewhere; and the master, where that is dead. */
void run_start_secondary(void);
void run_start_master(void);

/* All nodes die at once; `cut`: since the power is cut. */
void run_kill_all(bool cut);

/* A person removes a member. */
void run_remove(const struct machine *master, const char *id);

#endif
