/* One job at a time is at the disk's thread: the load at first, then one write after the other. A write that
 * finds the disk full stays as it is, and is handed again. */
#include "replication/store.h"
#include "clock.h"
#include "logline.h"
#include "replication/base.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MB = 1000 * 1000, LINE_MS = 1000 /* between two lines that tell how far the loading is */ };

enum store_state {
    STORE_NEW,
    STORE_LOADS,
    STORE_BEGINS, /* the first meta file of this process is written: it tells the epoch */
    STORE_RUNS,
    STORE_UNUSABLE
};

struct load {
    struct worker_job job; /* first, as in the other */
    struct store *store;
    struct journal *journal;
    struct log *log;
    bool accept_loss;
    struct journal_progress progress;
    struct journal_found found;
    int result;
    char why[JOURNAL_WHY_SIZE];
};

/* What is to be done in this order, each once; and what came of it. */
struct write {
    struct worker_job job;
    struct store *store;
    struct journal *journal;
    bool meta;
    struct journal_meta told;
    struct log_slice slice; /* count 0: none */
    uint64_t first;
    bool sync;
    bool full; /* there is no room ahead, or not enough for this */
    int result;
    uint64_t synced;
    int64_t took_us;

    struct log_tail tail; /* of the list, what was handed included */
};

struct store {
    struct base *base;
    struct journal *journal;
    struct worker *worker;
    struct store_owner owner;
    enum store_state state;
    struct load *load;   /* NULL: it is over */
    struct write *write; /* that is under way, or full; else empty */
    bool under_way;      /* the worker has one of them */
    struct log_cursor next;
    struct log_tail disk; /* the end of the list as it is on disk */
    uint64_t durable;     /* the last id that is there for sure */
    uint64_t missing;
    enum store_disk condition;
    uint64_t changes; /* of what the meta file tells, */
    uint64_t handed;  /* those that were handed to the disk's thread, */
    uint64_t noted;   /* and those that are there */
    bool untold;      /* there was no memory for what it tells */
    bool stopping;    /* nothing new comes */
    bool finished;    /* and all is written */
    int64_t retry_ms; /* STORE_FULL */
    int64_t sync_ms;  /* the last sync, where FSYNC tells how often */
    int64_t began_ms, line_ms;
    struct store_counters counters;
};

/* ---- how it is */

bool store_runs(const struct store *store)
{
    return store->state == STORE_RUNS;
}

void store_say_loading(const struct store *store, char out[STORE_SAY_SIZE])
{
    uint64_t done = store->load ? atomic_load(&store->load->progress.done) : 0;
    uint64_t all = store->load ? atomic_load(&store->load->progress.all) : 0;
    if (!all) { /* not known yet */
        snprintf(out, STORE_SAY_SIZE, "it is loading its list from disk");
        return;
    }
    snprintf(out, STORE_SAY_SIZE, "it is loading its list from disk: %" PRIu64 " of %" PRIu64 " MB",
             done / MB, (all + MB - 1) / MB);
}

bool store_holds_at_once(const struct store *store)
{
    return store->base->settings->fsync_ms != SETTINGS_FSYNC_ALWAYS;
}

struct log_tail store_held(const struct store *store)
{
    return store_holds_at_once(store) && store_runs(store) ? log_tail(store->base->log) : store->disk;
}

uint64_t store_durable(const struct store *store)
{
    return store->durable;
}

uint64_t store_missing(const struct store *store)
{
    return store->missing;
}

bool store_keeps(const struct store *store)
{
    return !store->missing && store->condition != STORE_FAILED &&
           (!store_holds_at_once(store) ||
            (store->finished && store_durable(store) == log_last(store->base->log)));
}

enum store_disk store_disk(const struct store *store)
{
    return store->condition;
}

const char *store_refuses(const struct store *store)
{
    switch (store->condition) {
    case STORE_FULL:
        return "the disk is full";
    case STORE_FAILED:
        return "the disk has failed: see the log, mend it, and restart this node";
    default:
        return NULL;
    }
}

const struct store_counters *store_counters(const struct store *store)
{
    return &store->counters;
}

uint64_t store_changed(struct store *store)
{
    return store ? ++store->changes : 0;
}

bool store_noted(const struct store *store, uint64_t change)
{
    return !store || store->noted >= change;
}

/* ---- loading */

static void load_work(struct worker_job *job)
{
    struct load *load = (struct load *)job;
    load->result =
        journal_load(load->journal, load->log, load->accept_loss, &load->progress, &load->found, load->why);
}

static void log_torn(const struct journal_found *found)
{
    logline_event(LOGLINE_WARN, "torn",
                  LOG_FIELDS(LOG_NUMBER("last", found->last), LOG_NUMBER("bytes", found->torn_bytes)),
                  "dropped %" PRIu64 " bytes of an append that was not finished, behind message %" PRIu64,
                  found->torn_bytes, found->last);
}

static void log_missing(const struct store *store, const struct journal_found *found)
{
    bool master = store->base->receipts != NULL;
    logline_event(
        LOGLINE_ERROR, "missing",
        LOG_FIELDS(LOG_NUMBER("first", found->last + 1), LOG_NUMBER("last", found->missing)),
        "messages %" PRIu64 "..%" PRIu64 " were on this disk and are missing%s%s%s: %s", found->last + 1,
        found->missing, found->aside_name[0] ? ", damaged: " : "", found->aside_name,
        found->aside_name[0] ? " is set aside" : "",
        master ? "POSTs wait until a secondary that has them registers; --accept-loss goes on without them"
               : "the master is to send them again");
}

static void log_loaded(const struct store *store, const struct journal_found *found)
{
    if (found->meta_damaged)
        logline_event(
            LOGLINE_ERROR, "meta_damaged", NULL,
            "the meta file cannot be read and is set aside: what it told but for the list is forgotten");
    if (found->stray)
        logline_event(LOGLINE_WARN, "stray", LOG_FIELDS(LOG_NUMBER("first", found->stray)),
                      "the file %020" PRIu64 ".log does not go on with the list, and is set aside",
                      found->stray);
    if (found->torn_bytes)
        log_torn(found);
    if (found->missing)
        log_missing(store, found);
    if (found->accepted)
        logline_event(LOGLINE_WARN, "loss_accepted",
                      LOG_FIELDS(LOG_NUMBER("first", found->last + 1), LOG_NUMBER("last", found->accepted)),
                      "messages %" PRIu64 "..%" PRIu64
                      " were on this disk and are missing: it goes on without them, as --accept-loss asks",
                      found->last + 1, found->accepted);
    logline_event(LOGLINE_INFO, "loaded",
                  LOG_FIELDS(LOG_NUMBER("last", found->last), LOG_NUMBER("ms", clock_ms() - store->began_ms)),
                  "loaded %" PRIu64 " messages from %s in %.1f s", found->last,
                  store->base->settings->data_dir, (double)(clock_ms() - store->began_ms) / 1000);
}

static void load_done(struct worker_job *job)
{
    struct load *load = (struct load *)job;
    struct store *store = load->store;
    store->under_way = false;
    store->load = NULL;
    if (load->result < 0) {
        logline_event(LOGLINE_ERROR, "cannot_load", NULL, "cannot load the list: %s", load->why);
        store->state = STORE_UNUSABLE;
        store->owner.unusable(store->owner.ctx);
    } else {
        log_loaded(store, &load->found);
        store->state = STORE_BEGINS;
        store->disk = log_tail(store->base->log);
        store->next = (struct log_cursor){.id = store->disk.last + 1};
        store->write->tail = store->disk;
        store->durable = journal_synced(store->journal);
        store->missing = load->found.missing;
        snprintf(store->write->told.log, sizeof store->write->told.log, "%s",
                 journal_meta(store->journal)->log);
        store_changed(store);
        store->owner.loaded(store->owner.ctx, journal_meta(store->journal), &load->found);
    }
    free(load);
}

static void load_begin(struct store *store, int64_t now_ms)
{
    struct load *load = store->load;
    load->job = (struct worker_job){.work = load_work, .done = load_done};
    load->store = store;
    load->journal = store->journal;
    load->log = store->base->log;
    load->accept_loss = store->base->settings->accept_loss;
    store->state = STORE_LOADS;
    store->began_ms = now_ms;
    store->line_ms = now_ms + LINE_MS;
    store->under_way = true;
    worker_do(store->worker, &load->job);
}

/* ---- writing, on the disk's thread */

/* Does what is left of it. Returns 0 or the first error. */
static int write_steps(struct write *write)
{
    int result = write->meta ? journal_put_meta(write->journal, &write->told) : 0;
    if (result < 0)
        return result;
    write->meta = false;
    if (write->slice.count)
        result = journal_append(write->journal, write->slice, write->first, write->tail.digest);
    if (result < 0)
        return result;
    write->slice.count = 0;
    if (write->sync)
        result = journal_sync(write->journal);
    if (result == 0)
        write->sync = false;
    return result;
}

static void write_work(struct worker_job *job)
{
    struct write *write = (struct write *)job;
    int64_t began_us = clock_us();
    int room = journal_reserve(write->journal);
    write->result = room < 0 && !journal_is_full(room) ? room : write_steps(write);
    write->full = journal_is_full(room) || journal_is_full(write->result);
    if (journal_is_full(write->result))
        write->result = 0; /* what is left of it is done again */
    write->synced = journal_synced(write->journal);
    write->took_us = clock_us() - began_us;
}

/* ---- writing, on the loop's */

static bool write_is_left(const struct write *write)
{
    return write->meta || write->slice.count || write->sync;
}

static void disk_fail(struct store *store, int error)
{
    store->condition = STORE_FAILED;
    logline_event(LOGLINE_ERROR, "disk_failed", NULL,
                  "writing to %s failed: %s; nothing more is held here until a restart",
                  store->base->settings->data_dir, strerror(-error));
}

static void full_notice(struct store *store, bool full)
{
    if (full == (store->condition == STORE_FULL))
        return;
    store->condition = full ? STORE_FULL : STORE_OK;
    if (full)
        logline_event(LOGLINE_WARN, "disk_full", NULL,
                      "there is no room left at %s: nothing is taken until there is",
                      store->base->settings->data_dir);
    else
        logline_event(LOGLINE_INFO, "disk_has_room", NULL, "there is room at %s again",
                      store->base->settings->data_dir);
}

/* What was missing is here again. */
static void missing_notice(struct store *store)
{
    if (!store->missing || store->disk.last < store->missing)
        return;
    logline_event(LOGLINE_INFO, "restored", LOG_FIELDS(LOG_NUMBER("last", store->missing)),
                  "the messages up to %" PRIu64 " that were missing are on this disk again", store->missing);
    store->missing = 0;
    store_changed(store);
}

static void write_done(struct worker_job *job)
{
    struct write *write = (struct write *)job;
    struct store *store = write->store;
    store->under_way = false;
    store->state = STORE_RUNS; /* where the disk did not take the first meta file, it takes no message */
    if (write->result < 0) {
        disk_fail(store, write->result);
        return;
    }
    full_notice(store, write->full);
    store->retry_ms = clock_ms() + STORE_RETRY_MS;
    if (write_is_left(write))
        return;
    store->noted = store->handed;
    if (write->synced > store->durable)
        histogram_observe(&store->counters.syncs, write->took_us);
    store->durable = write->synced;
    if (store->durable >= write->tail.last || store->base->settings->fsync_ms == SETTINGS_FSYNC_OFF)
        store->disk = write->tail;
    missing_notice(store);
}

/* Whether FSYNC asks for a sync of what was written before. */
static bool sync_is_due(const struct store *store, int64_t now_ms)
{
    int64_t fsync_ms = store->base->settings->fsync_ms;
    if (fsync_ms <= 0 || store->durable >= store->write->tail.last)
        return false;
    return store->stopping || now_ms >= store->sync_ms + fsync_ms;
}

/* What the meta file is to tell. Returns false where there is no memory to say it. */
static bool meta_gather(struct store *store)
{
    struct journal_meta *told = &store->write->told;
    const struct wire_identity *own = &store->base->own;
    if (told->log[0] && strcmp(told->log, own->log) != 0)
        store->missing = 0; /* those were messages of another list */
    snprintf(told->log, sizeof told->log, "%s", own->log);
    told->epoch = own->epoch;
    told->missing = store->missing;
    buf_clear(&told->node);
    store->owner.note(store->owner.ctx, &told->node);
    if (told->node.failed)
        return false;
    store->handed = store->changes;
    return true;
}

/* What is new in the list. */
static void slice_gather(struct store *store)
{
    struct write *write = store->write;
    write->first = store->next.id;
    write->slice = log_next(store->base->log, &store->next, STORE_GROUP_BYTES);
    if (write->slice.count)
        write->tail = (struct log_tail){store->next.id - 1, store->next.digest};
}

/* Puts together what there is to do; the write before it is over. No message is written before the meta file
 * tells which list it is of. Returns whether there is anything. */
static bool write_gather(struct store *store, int64_t now_ms)
{
    struct write *write = store->write;
    bool news = store->state == STORE_RUNS && store->next.id <= log_last(store->base->log);
    bool late = sync_is_due(store, now_ms);
    bool ends = store->stopping && !news && !late && !store->finished;
    write->meta = (store->changes != store->handed || ends) && store->base->own.log[0];
    store->untold = write->meta && !meta_gather(store);
    if (store->untold) {
        write->meta = false; /* again in a later pass */
        return false;
    }
    store->finished = store->finished || ends;
    if (news)
        slice_gather(store);
    write->sync = late || (news && !store_holds_at_once(store));
    if (write->sync)
        store->sync_ms = now_ms;
    return write_is_left(write);
}

static int64_t loading_pass(struct store *store, int64_t now_ms)
{
    char say[STORE_SAY_SIZE];
    if (store->state == STORE_NEW)
        load_begin(store, now_ms);
    if (now_ms >= store->line_ms) {
        store_say_loading(store, say);
        logline_event(LOGLINE_INFO, "loading", NULL, "%s", say);
        store->line_ms = now_ms + LINE_MS;
    }
    return store->line_ms;
}

/* When there may be something to do although nothing comes. */
static int64_t write_due_ms(const struct store *store, int64_t now_ms)
{
    int64_t fsync_ms = store->base->settings->fsync_ms;
    if (store->untold)
        return clock_after(now_ms, STORE_RETRY_MS);
    if (store->condition == STORE_FULL)
        return store->retry_ms;
    if (fsync_ms > 0 && store->durable < store->write->tail.last)
        return clock_after(store->sync_ms, fsync_ms);
    return CLOCK_NEVER;
}

int64_t store_pass(struct store *store, int64_t now_ms)
{
    if (store->state == STORE_NEW || store->state == STORE_LOADS)
        return loading_pass(store, now_ms);
    if (store->under_way || store->state == STORE_UNUSABLE || store->condition == STORE_FAILED)
        return CLOCK_NEVER;
    bool retries = store->condition == STORE_FULL && now_ms >= store->retry_ms;
    bool any = write_is_left(store->write) ? retries : write_gather(store, now_ms) || retries;
    if (!any && store->state == STORE_BEGINS) {
        store->state = STORE_RUNS; /* a list without a name has no meta file yet */
        return now_ms;
    }
    if (!any)
        return write_due_ms(store, now_ms);
    store->write->job = (struct worker_job){.work = write_work, .done = write_done};
    store->under_way = true;
    worker_do(store->worker, &store->write->job);
    return CLOCK_NEVER;
}

void store_collect(struct store *store)
{
    worker_collect(store->worker);
}

/* ---- life */

struct store *store_open(struct base *base, struct journal *journal, struct worker *worker,
                         const struct store_owner *owner)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        goto no_memory;
    store->load = calloc(1, sizeof *store->load);
    store->write = calloc(1, sizeof *store->write);
    if (!store->load || !store->write)
        goto no_memory;
    store->base = base;
    store->journal = store->write->journal = journal;
    store->write->store = store;
    store->worker = worker;
    store->owner = *owner;
    return store;
no_memory:
    if (store) {
        free(store->load);
        free(store->write);
    }
    free(store);
    journal_close(journal);
    return NULL;
}

bool store_close(struct store *store)
{
    if (!store)
        return true;
    if (store->under_way) {
        worker_abandon(store->worker, store->load ? &store->load->job : &store->write->job);
        return false;
    }
    buf_free(&store->write->told.node);
    free(store->load);
    free(store->write);
    journal_close(store->journal);
    free(store);
    return true;
}

void store_stop(struct store *store)
{
    store->stopping = true;
}

bool store_busy(const struct store *store)
{
    if (store->state != STORE_RUNS || store->condition != STORE_OK)
        return false;
    return store->under_way || !store->finished;
}
