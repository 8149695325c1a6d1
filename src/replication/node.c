#include "replication/node.h"
#include "clock.h"
#include "logline.h"
#include "replication/admission.h"
#include "replication/follow.h"
#include "replication/gate.h"
#include "replication/node_private.h"
#include "replication/note.h"
#include "replication/registrar.h"
#include "replication/token.h"
#include "usage.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_LEAST_MS = 100,  /* a pass that is late by less is no pause of the process */
    INTERIM_LEAST_MS = 20, /* between two interim answers: fewer than HTTP_INTERIM_MOST */
    TELL_AGAIN_MS = 1000
};

uint64_t node_shown(const struct node *node)
{
    return node->follow ? follow_shown(node->follow) : base_held(&node->base).last;
}

struct health node_health(const struct node *node)
{
    return (struct health){.base = &node->base,
                           .stopping = atomic_load(&node->stop_by_ms) != CLOCK_NEVER,
                           .members = node->members,
                           .admission = node->admission,
                           .gate = node->gate,
                           .follow = node->follow,
                           .registrar = node->registrar};
}

int64_t node_send(struct node *node, int64_t now_ms)
{
    append_announce(node->append);
    return members_pass(node->members, now_ms);
}

/* ---- the master's process stands still */

void node_notice_pause(struct node *node, int64_t now_ms)
{
    if (!node->members || node->looked)
        return;
    node->looked = true;
    int64_t suspended_ms = clock_suspended_ms();
    int64_t late_ms = suspended_ms - node->suspended_ms;
    if (node->due_ms != CLOCK_NEVER && now_ms > node->due_ms)
        late_ms += now_ms - node->due_ms;
    node->suspended_ms = suspended_ms;
    int64_t least_ms = MEMBER_SUSPECTED_INTERVALS * node->base.settings->heartbeat_ms;
    if (late_ms < (least_ms > PAUSE_LEAST_MS ? least_ms : PAUSE_LEAST_MS))
        return;
    logline_event(LOGLINE_INFO, "stood_still", LOG_FIELDS(LOG_NUMBER("ms", late_ms)),
                  "this process stood still for %.1f s", (double)late_ms / 1000);
    members_woke(node->members, late_ms, now_ms);
    gate_woke(node->gate, now_ms);
}

/* ---- whose a request is, and one that arrives slowly */

static bool service_admits(void *ctx, const struct http_head *head)
{
    struct node *node = ctx;
    return token_is_right(node->base.settings->cluster_token, head);
}

/* On a slow link a request of the master may take longer to arrive than this would wait for a word of it. */
static unsigned service_watches_body(void *ctx, const struct http_head *head,
                                     const struct http_target *target)
{
    struct node *node = ctx;
    if (!node->follow || strcmp(target->path, "/replicate") != 0 || head->minor == 0 ||
        !service_admits(node, head))
        return 0;
    return follow_mark(node->follow, head);
}

static int64_t interim_ms(const struct node *node)
{
    int64_t half_ms = registrar_heartbeat_ms(node->registrar) / 2;
    return half_ms > INTERIM_LEAST_MS ? half_ms : INTERIM_LEAST_MS;
}

/* The master takes the 100 for a sign of life. */
static int64_t service_body_came(void *ctx, unsigned mark)
{
    struct node *node = ctx;
    if (!follow_mark_holds(node->follow, mark))
        return 0;
    registrar_heard(node->registrar, FOLLOW_MASTER, 0);
    return interim_ms(node);
}

/* ---- the pass */

static int64_t events_go_on(struct node *node, int64_t now_ms)
{
    struct events *events = node->base.events;
    if (events_at_is_due(events, now_ms)) {
        struct health health = node_health(node);
        struct buf at = {0};
        health_write(&health, now_ms, &at);
        events_at(events, &at, now_ms);
        buf_free(&at);
    }
    return events_pass(events, now_ms);
}

/* Lets everybody go who waits: a master that stops does so when nothing is left to wait for, or too long. */
static void waits_end(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    bool ended = node->ended;
    node->ended = ended || !node->members || atomic_load(&node->drained) || now_ms >= stop_by_ms;
    if (node->ended)
        acks_end(node->base.acks);
    if (node->ended && !ended && node->members)
        members_farewell(node->members, now_ms);
}

static int64_t master_pass(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    bool stopping = stop_by_ms != CLOCK_NEVER;
    node_notice_pause(node, now_ms);
    int64_t admission_ms = admission_pass(node->admission, now_ms, stopping);
    if (now_ms >= node->check_ms || node->check_ms == CLOCK_NEVER) {
        node->check_ms = members_check(node->members, now_ms);
        if (!stopping)
            absence_look(&node->absence, &node->base, node->members, node->gate, node->append, now_ms);
    }
    /* Who waits at the gate when the master stops is refused: a take-over that ends with it lets nobody
     * through. */
    int64_t gate_ms = stopping ? CLOCK_NEVER : gate_pass(node->gate, now_ms);
    int64_t send_ms = node_send(node, now_ms);
    if (stopping)
        waits_end(node, now_ms, stop_by_ms);
    int64_t append_ms = append_pass(node->append, now_ms);
    if (append_unannounced_bytes(node->append)) /* what the gate has let through */
        send_ms = node_send(node, now_ms);
    int64_t end_ms = node->ended ? CLOCK_NEVER : stop_by_ms;
    return clock_earlier(
        clock_earlier(clock_earlier(admission_ms, gate_ms), clock_earlier(send_ms, append_ms)),
        clock_earlier(node->check_ms, end_ms));
}

static int64_t secondary_pass(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    if (stop_by_ms != CLOCK_NEVER) {
        registrar_leave(node->registrar, stop_by_ms);
        waits_end(node, now_ms, stop_by_ms);
    }
    int64_t registrar_ms = registrar_pass(node->registrar, now_ms);
    int64_t late_ms = acks_expire(node->base.acks, now_ms);
    return clock_earlier(clock_earlier(registrar_ms, late_ms),
                         follow_pass(node->follow, now_ms, interim_ms(node)));
}

/* What was to be told is told, and those who waited for more know that none will come. */
static void streams_stop(struct node *node)
{
    tail_stop(node->tail);
    if (node->ended)
        events_stop(node->base.events);
}

/* ---- the disk */

/* Whether the disk has whatever the node ever held, and that was once all that was acknowledged. Without
 * NODES a master never knows whether it was. */
static bool disk_is_complete(const struct node *node)
{
    const struct base *base = &node->base;
    bool sure = base->sure && base->settings->nodes && base_held(base).last >= base->sure_last;
    bool complete = node->members ? base->kept || sure : follow_complete(node->follow);
    return complete && store_keeps(base->store);
}

/* What the disk's thread has done since. */
static void disk_collect(struct node *node)
{
    struct store *store = node->base.store;
    store_collect(store);
    if (store_runs(store) && disk_is_complete(node) != node->complete) {
        node->complete = !node->complete;
        store_changed(store);
    }
    uint64_t held = base_held(&node->base).last;
    if (held > node->held && node->members && !store_holds_at_once(store)) {
        receipts_ack(&node->receipts, RECEIPTS_MASTER, node->held, held);
        acks_appended(node->base.acks, held);
    }
    node->held = held;
    if (node->stranded || store_disk(store) != STORE_FAILED)
        return;
    node->stranded = true;
    if (node->members)
        append_strand(node->append);
    else
        follow_strand(node->follow);
}

static void member_known(void *ctx, const char *id, const struct http_url *url)
{
    struct node *node = ctx;
    if (node->members && members_restore(node->members, id, url) < 0)
        logline_event(LOGLINE_ERROR, "member", LOG_FIELDS(LOG_TEXT("member", id)),
                      "there is no memory for %s, a member that the disk tells of", id);
}

/* The list was loaded. A master goes on with it in the next epoch. */
static void disk_loaded(void *ctx, const struct journal_meta *meta, const struct journal_found *found)
{
    struct node *node = ctx;
    struct wire_identity *own = &node->base.own;
    bool lost = found->missing || found->accepted;
    bool complete = note_read(buf_span(&meta->node), member_known, node) && !lost;
    if (meta->log[0] && (node->members || log_last(node->base.log))) {
        snprintf(own->log, sizeof own->log, "%s", meta->log);
        own->epoch = meta->epoch;
        if (node->members && own->epoch < WIRE_EPOCH_MAX)
            own->epoch++;
    }
    node->held = log_last(node->base.log);
    if (node->follow)
        follow_restored(node->follow, complete);
    else
        acks_appended(node->base.acks, node->held);
    node->base.kept = node->members && complete;
}

static void disk_note(void *ctx, struct buf *out)
{
    struct node *node = ctx;
    node->complete = disk_is_complete(node);
    note_write(node->complete, node->members, out);
}

static void disk_unusable(void *ctx)
{
    const struct node *node = ctx;
    node->unusable(node->unusable_ctx);
}

int node_keep(struct node *node, struct journal *journal, struct worker *worker, void (*unusable)(void *ctx),
              void *ctx)
{
    const struct store_owner owner = {
        .ctx = node, .loaded = disk_loaded, .note = disk_note, .unusable = disk_unusable};
    node->unusable = unusable;
    node->unusable_ctx = ctx;
    node->loading = (struct http_denial){503, HTTP_RETRY, node->loading_why};
    node->base.store = store_open(&node->base, journal, worker, &owner);
    if (!node->base.store)
        return -ENOMEM;
    store_say_loading(node->base.store, node->loading_why);
    return 0;
}

/* Carriers ask, too: what it tells is written in the pass. */
static const struct http_denial *service_closed(void *ctx)
{
    const struct node *node = ctx;
    return !node->base.store || store_runs(node->base.store) ? NULL : &node->loading;
}

/* The list is loaded still. */
static int64_t loading_pass(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    node->ended = stop_by_ms != CLOCK_NEVER;
    store_say_loading(node->base.store, node->loading_why);
    return node->ended ? CLOCK_NEVER : store_pass(node->base.store, now_ms);
}

static int64_t role_pass(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    return node->members ? master_pass(node, now_ms, stop_by_ms) : secondary_pass(node, now_ms, stop_by_ms);
}

static int64_t serving_pass(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    struct store *store = node->base.store;
    if (stop_by_ms != CLOCK_NEVER)
        streams_stop(node);
    int64_t role_ms = role_pass(node, now_ms, stop_by_ms);
    int64_t tail_ms = tail_pass(node->tail, node_shown(node), now_ms);
    if (store && node->ended)
        store_stop(store);
    int64_t disk_ms = store ? store_pass(store, now_ms) : CLOCK_NEVER;
    node->looked = false;
    return clock_earlier(clock_earlier(role_ms, disk_ms), clock_earlier(tail_ms, events_go_on(node, now_ms)));
}

static struct node_condition condition_now(const struct node *node, bool stopping)
{
    const struct store *store = node->base.store;
    struct node_condition now = {.state = NODE_SERVES};
    if (stopping || (store && !store_runs(store))) {
        now.state = stopping ? NODE_STOPS : NODE_LOADS;
    } else if (node->members) {
        now.members = members_count(node->members).all;
        now.unhealthy = members_count(node->members).unhealthy;
    } else {
        now.registered = registrar_status(node->registrar) == REGISTRAR_OK;
    }
    return now;
}

/* Tells the process what it has not been told yet. Returns when to try again. */
static int64_t watcher_tell(struct node *node, int64_t now_ms, bool stopping)
{
    if (!node->tell)
        return CLOCK_NEVER;
    struct node_condition now = condition_now(node, stopping), told = node->told;
    if (now.state == told.state && now.members == told.members && now.unhealthy == told.unhealthy &&
        now.registered == told.registered)
        return CLOCK_NEVER;
    if (now_ms < node->tell_ms)
        return node->tell_ms;
    if (!node->tell(node->tell_ctx, &now)) {
        node->tell_ms = now_ms + TELL_AGAIN_MS;
        return node->tell_ms;
    }
    node->told = now;
    return CLOCK_NEVER;
}

void node_watch(struct node *node, bool (*tell)(void *ctx, const struct node_condition *condition), void *ctx)
{
    node->tell = tell;
    node->tell_ctx = ctx;
}

static int64_t service_pass(void *ctx, int64_t now_ms)
{
    struct node *node = ctx;
    struct store *store = node->base.store;
    int64_t stop_by_ms = atomic_load(&node->stop_by_ms);
    worker_collect(node->base.dialer->worker);
    if (store)
        disk_collect(node);
    if (store && !store_runs(store))
        node->due_ms = loading_pass(node, now_ms, stop_by_ms);
    else
        node->due_ms = serving_pass(node, now_ms, stop_by_ms);
    node->due_ms = clock_earlier(node->due_ms, watcher_tell(node, now_ms, stop_by_ms != CLOCK_NEVER));
    return node->due_ms;
}

/* A master that stops has something to do as long as somebody waits, a secondary as long as it says goodbye.
 */
static bool service_busy(void *ctx)
{
    struct node *node = ctx;
    return !node->ended || (node->registrar && registrar_leaving(node->registrar)) ||
           (node->base.store && store_busy(node->base.store));
}

static void service_ended(void *ctx, uint64_t connection)
{
    struct node *node = ctx;
    if (node->registrar)
        registrar_ended(node->registrar, connection);
}

struct http_service node_service(struct node *node)
{
    return (struct http_service){
        .ctx = node,
        .routes = node->members ? routes_master : routes_secondary,
        .guard = &node->guard,
        .admits = service_admits,
        .closed = service_closed,
        .watches_body = service_watches_body,
        .body_came = service_body_came,
        .pass = service_pass,
        .busy = service_busy,
        .ended = service_ended,
    };
}

/* ---- life */

static bool master_build(struct node *node)
{
    wire_name_new(node->base.own.log);
    node->base.own.epoch = 1;
    node->base.receipts = &node->receipts;
    node->members = members_open(&node->base);
    node->admission = admission_open(&node->base, node->members);
    if (!node->members || !node->admission)
        return false;
    node->gate = gate_open(&node->base, node->members, node->admission);
    node->append = append_open(&node->base, node->gate, node->members);
    return node->gate && node->append;
}

static bool secondary_build(struct node *node)
{
    snprintf(node->base.own.id, sizeof node->base.own.id, "%s", node->base.settings->secondary_id);
    node->follow = follow_open(&node->base);
    node->registrar = registrar_open(&node->base, node->follow);
    return node->follow && node->registrar;
}

/* The names of the settings by which clients call the node. */
static bool hosts_build(struct node *node)
{
    const struct settings *settings = node->base.settings;
    const char *const urls[] = {settings->master_url, settings->advertise_url};
    struct http_url url;
    buf_addf(&node->hosts, "%s,%s", settings->host, settings->allowed_hosts);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        if (http_url_parse(span_of(urls[i]), &url))
            buf_addf(&node->hosts, ",%s", url.host);
    buf_add(&node->hosts, "", 1);
    node->guard.hosts = node->hosts.data;
    return !node->hosts.failed;
}

struct node *node_open(const struct settings *settings, enum settings_role role,
                       const struct http_dialer *dialer)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->base.settings = settings;
    node->base.dialer = dialer;
    node->base.complaints = &node->complaints;
    node->due_ms = node->check_ms = CLOCK_NEVER;
    atomic_init(&node->stop_by_ms, CLOCK_NEVER);
    node->suspended_ms = clock_suspended_ms();
    node->started_us = usage_wall_us();
    wire_name_new(node->base.own.boot);
    token_fields(settings->cluster_token, node->base.fields);
    node->base.log = log_open();
    node->base.acks = acks_open(role == SETTINGS_MASTER ? settings->nodes : 0);
    node->base.events = events_open();
    node->tail = tail_open(&node->base);
    bool built = node->base.log && node->base.acks && node->base.events && node->tail && hosts_build(node);
    if (built)
        log_limit(node->base.log, (uint64_t)settings->max_log);
    if (built)
        built = role == SETTINGS_MASTER ? master_build(node) : secondary_build(node);
    if (built)
        return node;
    node_close(node);
    return NULL;
}

void node_close(struct node *node)
{
    if (node->tail)
        tail_close(node->tail);
    events_close(node->base.events);
    if (node->registrar)
        registrar_close(node->registrar);
    if (node->follow)
        follow_close(node->follow);
    if (node->gate)
        gate_free(node->gate);
    if (node->admission)
        admission_close(node->admission);
    if (node->members)
        members_close(node->members);
    if (node->append)
        append_close(node->append);
    acks_close(node->base.acks);
    if (store_close(node->base.store))
        log_close(node->base.log);
    buf_free(&node->hosts);
    free(node);
}

void node_port(struct node *node, uint16_t port)
{
    node->base.port = port;
}

struct node_view node_view(const struct node *node)
{
    return (struct node_view){.log = node->base.log, .shown = node_shown(node), .own = &node->base.own};
}

void node_stop(struct node *node, int64_t patience_ms)
{
    atomic_store(&node->stop_by_ms, clock_ms() + patience_ms);
}

void node_drain(struct node *node)
{
    if (node->members)
        acks_drain(node->base.acks, atomic_load(&node->stop_by_ms));
    atomic_store(&node->drained, true);
}
