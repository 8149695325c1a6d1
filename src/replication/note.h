/* What a node keeps on disk beside its list, in the line `node` of the meta file (log/journal.h):
 * {"complete":true,"members":[{"id":"s1","url":"http://10.0.0.7:5001"}]}. No I/O. */
#ifndef REPLICATION_NOTE_H
#define REPLICATION_NOTE_H

#include "replication/members.h"

/* `complete`: the node has once held all that was acknowledged, and its disk has kept whatever it held since.
 * Of the members those are told that are proven, by this process or as the disk told; a secondary has none
 * (NULL). */
void note_write(bool complete, const struct members *members, struct buf *out);

/* Calls `member` for each member in the note, and returns whether it says "complete". What cannot be read is
 * passed over. */
bool note_read(struct span note, void (*member)(void *ctx, const char *id, const struct http_url *url),
               void *ctx);

#endif
