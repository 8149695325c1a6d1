/* The master's part: its list, its members, its routes. Threads: the HTTP server's loop runs the routes; each
 * member has a sender; a take-over has one while it lasts; master_start and master_stop are for main. */
#ifndef REPLICATION_MASTER_H
#define REPLICATION_MASTER_H

#include "settings.h"
#include <stdint.h>

struct master;

/* Listens and serves. The settings outlive the master. Returns 0, or a negative errno with one sentence in
 * why. */
int master_start(struct master **out, const struct settings *settings, char *why, size_t why_size);

/* The port that it listens on. */
uint16_t master_port(const struct master *master);

/* Refuses new appends, gives the waiting ones up to a second for their ACKs, answers those that are left,
 * closes all connections and frees everything. */
void master_stop(struct master *master);

#endif
