/* What GET /health says. Belongs to the loop's thread. */
#ifndef REPLICATION_REPORT_H
#define REPLICATION_REPORT_H

#include "replication/members.h"

/* Adds the JSON object of a master. */
void report_master(struct buf *out, const struct wire_identity *own, uint64_t last_id, bool read_only,
                   const struct members *members);

/* Adds the JSON object of a secondary. */
void report_secondary(struct buf *out, const struct wire_identity *own, uint64_t last_id,
                      const char *master_url, bool registered);

#endif
