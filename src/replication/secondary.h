/* The secondary's part: its list, its registration, its routes. Threads: the HTTP server's loop runs the
 * routes, the registrar has one; secondary_start and secondary_stop are for main. */
#ifndef REPLICATION_SECONDARY_H
#define REPLICATION_SECONDARY_H

#include "settings.h"
#include <stdint.h>

struct secondary;

/* Listens, serves, and begins to register. The settings outlive the secondary. Returns 0, or a negative errno
 * with one sentence in why. */
int secondary_start(struct secondary **out, const struct settings *settings, char *why, size_t why_size);

/* The port that it listens on. */
uint16_t secondary_port(const struct secondary *secondary);

/* Says goodbye to the master, answers what waits, closes all connections and frees everything. */
void secondary_stop(struct secondary *secondary);

#endif
