/* What GET /health and GET /readyz say of a node. Belongs to the loop's thread. */
#ifndef REPLICATION_HEALTH_H
#define REPLICATION_HEALTH_H

#include "replication/admission.h"
#include "replication/follow.h"
#include "replication/gate.h"
#include "replication/registrar.h"

/* The parts of the node, all borrowed. */
struct health {
    const struct base *base;
    bool stopping;

    /* a master's; NULL in a secondary */
    const struct members *members;
    const struct admission *admission;
    const struct gate *gate;

    /* a secondary's; NULL in a master */
    const struct follow *follow;
    const struct registrar *registrar;
};

/* Adds the body of GET /health. */
void health_write(const struct health *health, int64_t now_ms, struct buf *out);

/* Adds the body of GET /readyz: {"status":"ready","checks":{"caught_up":"ok",…}}, or "unready" with a
 * sentence for each check that fails. Returns whether the node can do its work:
 * - a secondary, where it has once registered and caught up since its start, and is not refused. One whose
 *   master is away goes on answering reads;
 * - a master, where no list is being taken over, and it has once been sure (struct base);
 * - with a disk, where that takes messages and misses none;
 * - and none that is stopping. */
bool health_write_ready(const struct health *health, struct buf *out);

#endif
