/* The node's list on its own disk (DATA_DIR): a node holds a message when its disk does.
 *
 * What is new in the list at the end of a pass is handed to the disk's thread (worker.h) as one group,
 * written and synced there (log/journal.h), and held when that is done. Meanwhile the next group gathers: so
 * one write and one sync serve whatever came during the one before. What is shown and acknowledged is what is
 * held; replication begins at once, beside the write.
 *
 * At first the list is loaded; until the store runs, the node has no list and serves nothing. A write or sync
 * that fails ends it for good: nothing more is held in this process.
 *
 * Belongs to the loop's thread, and never blocks it. */
#ifndef REPLICATION_STORE_H
#define REPLICATION_STORE_H

#include "histogram.h"
#include "log/journal.h"
#include "log/log.h"
#include "settings.h"
#include "worker.h"

enum {
    STORE_RETRY_MS = 1000,               /* a full disk is asked again so often */
    STORE_GROUP_BYTES = 8 * 1024 * 1024, /* of messages written at once, but for a single longer one */
    STORE_SAY_SIZE = 160
};

struct base;
struct store;

/* The node whose list it is. */
struct store_owner {
    void *ctx;
    /* The list is there, and what the meta file told: sets the identity with which the node goes on. */
    void (*loaded)(void *ctx, const struct journal_meta *meta, const struct journal_found *found);
    /* Adds what the meta file is to tell beside the list, in one line. */
    void (*note)(void *ctx, struct buf *out);
    /* The list cannot be loaded; that was logged. */
    void (*unusable)(void *ctx);
};

/* Takes the journal, whatever becomes of it; the worker is borrowed, and does nothing else. NULL where there
 * is no memory. */
struct store *store_open(struct base *base, struct journal *journal, struct worker *worker,
                         const struct store_owner *owner);

/* Returns whether the list may be freed: not where the disk hangs in the midst of writing it. All of that is
 * left to the end of the process then. NULL is harmless. */
bool store_close(struct store *store);

/* Whether the list is there and the node may serve; and how far the loading is, in a sentence. */
bool store_runs(const struct store *store);
void store_say_loading(const struct store *store, char out[STORE_SAY_SIZE]);

/* The end of the list as the node holds it: with FSYNC=always what is on disk, else all that is in memory. */
struct log_tail store_held(const struct store *store);

/* Whether a message is held as soon as it is in memory: FSYNC is not always. */
bool store_holds_at_once(const struct store *store);

/* The last id that is on disk for sure. */
uint64_t store_durable(const struct store *store);

/* The highest id that was here once and that a damage has taken; 0: none, or it is here again. */
uint64_t store_missing(const struct store *store);

/* Whether the disk keeps whatever this node ever held, so that another process of it need not ask who had
 * more. */
bool store_keeps(const struct store *store);

enum store_disk {
    STORE_OK,
    STORE_FULL,  /* nothing more is to be put into the list until there is room again */
    STORE_FAILED /* never again in this process */
};
enum store_disk store_disk(const struct store *store);

/* Why nothing may be put into the list, for who wants to; NULL: it may. */
const char *store_refuses(const struct store *store);

/* Since the start. */
struct store_counters {
    struct histogram syncs; /* from the begin of a group's write to the end of its sync */
};
const struct store_counters *store_counters(const struct store *store);

/* What the note tells has changed: it is written anew. Returns the number of the change, for store_noted. */
uint64_t store_changed(struct store *store);

/* Whether the disk knows of that change. A node without a disk (NULL) has told it all. */
bool store_noted(const struct store *store, uint64_t change);

/* Takes what the disk's thread has done; called first in each pass. */
void store_collect(struct store *store);

/* Called at the end of each pass: hands what is new to the disk's thread. Returns when it must be called
 * again. */
int64_t store_pass(struct store *store, int64_t now_ms);

/* Nothing more is put into the list: the rest is written and synced, and the meta file last. Busy until then.
 */
void store_stop(struct store *store);
bool store_busy(const struct store *store);

#endif
