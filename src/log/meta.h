/* The text of the journal's meta file. Private to the journal.
 *
 *     replicated-log data 1
 *     log 5f0c…
 *     epoch 3
 *     synced 48212       the id that was on disk when the file was written
 *     missing 0
 *     node …             what the owner of the journal keeps
 *     digest 9a3b…       of all lines above */
#ifndef LOG_META_H
#define LOG_META_H

#include "log/journal.h"

enum meta_kind {
    META_GOOD,
    META_BAD,    /* of this format, and damaged */
    META_UNKNOWN /* of another format */
};

void meta_write(const struct journal_meta *meta, uint64_t synced, struct buf *out);

/* Takes any bytes. `meta` must be zero; where META_GOOD is not returned, or where meta->node.failed, it holds
 * nothing of use. The caller frees meta->node. */
enum meta_kind meta_read(struct span text, struct journal_meta *meta, uint64_t *synced);

#endif
