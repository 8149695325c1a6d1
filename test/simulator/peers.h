/* Those who are no nodes: a program that answers a master's requests with one thing wrong, and people who
 * send by hand what nodes send. */
#ifndef SIMULATOR_PEERS_H
#define SIMULATOR_PEERS_H

#include "cluster.h"

/* A liar begins to serve on its host. `greets`: its first answer on a connection is right, so that it becomes
 * a member, with nothing. */
void liar_start(bool greets);
void liar_end(void);

/* It registers with the master as if it had a part of its list, all of it, or more. */
void liar_register(struct proc *person, const struct machine *master);

/* A registration of a secondary's name, made up: from another host, with another position, with no process.
 */
void forge_registration(struct proc *person, const struct machine *master, const struct machine *secondary);

/* A message by hand to a secondary. */
void forge_replicate(struct proc *person, const struct machine *secondary);

#endif
