#include "replication/node.h"
#include "clock.h"
#include "exposition.h"
#include "http/accept.h"
#include "http/guard.h"
#include "http/router.h"
#include "logline.h"
#include "replication/admission.h"
#include "replication/append.h"
#include "replication/append_request.h"
#include "replication/follow.h"
#include "replication/gate.h"
#include "replication/health.h"
#include "replication/metrics.h"
#include "replication/note.h"
#include "replication/pending.h"
#include "replication/registrar.h"
#include "replication/tail.h"
#include "replication/token.h"
#include "ui/ui.h"
#include "usage.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Of messages: the members begin with them while the loop still reads others. */
    SEND_EARLY_BYTES = 256 * 1024,
    PAUSE_LEAST_MS = 100, /* a pass that is late by less is no pause of the process */
    INTERIM_LEAST_MS = 20 /* between two interim answers: fewer than HTTP_INTERIM_MOST */
};

struct node {
    struct base base;
    struct tail *tail;
    struct complaints complaints;
    int64_t suspended_ms;       /* as the clock told last */
    int64_t started_us;         /* since 1970 */
    bool looked;                /* pause_notice was asked in this pass */
    int64_t due_ms;             /* when the next pass was to be called at the latest */
    _Atomic int64_t stop_by_ms; /* set by any thread; CLOCK_NEVER: not to stop */
    atomic_bool drained;        /* set by main: nobody waits for an ACK any more, or for too long */
    bool ended;                 /* nobody waits any more, nor will */
    uint64_t held;              /* with a disk: up to where the list was held when that was looked at last */
    bool stranded;              /* the disk has failed, and those who waited for it know */
    struct http_denial loading; /* what is answered while the list is loaded, */
    char loading_why[STORE_SAY_SIZE]; /* its sentence */
    void (*unusable)(void *ctx);
    void *unusable_ctx;
    struct buf hosts; /* the names that it is called by */
    struct http_guard guard;

    /* a master's; NULL in a secondary */
    struct members *members;
    struct admission *admission;
    struct gate *gate;
    struct append *append;
    struct receipts receipts;
    int64_t check_ms; /* when to look at the members' states next */

    /* a secondary's; NULL in a master */
    struct follow *follow;
    struct registrar *registrar;
};

/* The id up to which messages show. */
static uint64_t node_shown(const struct node *node)
{
    return node->follow ? follow_shown(node->follow) : base_held(&node->base).last;
}

/* ---- the master's process stands still */

/* A pass comes far too late where the process was stopped (SIGSTOP, a suspended machine). Asked once a pass,
 * before anything that depends on who is there. */
static void pause_notice(struct node *node, int64_t now_ms)
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

/* ---- appends and reads */

/* Whether it is stopping; the exchange is answered then. */
static bool refuse_stopping(struct node *node, struct http_exchange *exchange)
{
    if (atomic_load(&node->stop_by_ms) == CLOCK_NEVER)
        return false;
    http_answer_unavailable(exchange, "the %s is shutting down", node->members ? "master" : "secondary");
    return true;
}

/* What was appended since the last call goes to the members, all of it at once. Returns when there is
 * something to send again. */
static int64_t appended_send(struct node *node, int64_t now_ms)
{
    append_announce(node->append);
    return members_pass(node->members, now_ms);
}

static void handle_append(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    if (refuse_stopping(node, exchange))
        return;
    pause_notice(node, clock_ms());
    append_post(node->append, request, exchange);
    if (append_unannounced_bytes(node->append) >= SEND_EARLY_BYTES)
        appended_send(node, clock_ms());
}

static void handle_list(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    if (!node->follow || !follow_misdirected(node->follow, request, exchange))
        tail_list(node->tail, node_shown(node), request, exchange);
}

static void handle_message(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    struct node *node = ctx;
    char w[32];
    if (node->append && http_request_query(request, "w", w, sizeof w) != -1)
        append_wait(node->append, request, rest, exchange);
    else
        tail_message(node->tail, node_shown(node), request, rest, exchange);
}

/* ---- the page */

static void handle_file(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    const struct ui_file *file = ui_file(request->target->path);
    (void)ctx;
    (void)rest;
    http_answer_source(exchange, 200, file->fields, (struct span){0}, NULL, file->text);
}

/* At / a browser gets the page, and everybody else the list. */
static void handle_root(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    static const char *const types[] = {"application/json", "text/html", "application/x-ndjson",
                                        "text/event-stream"};
    const struct ui_file *page = ui_file(UI_PAGE);
    if (http_accept(request->head, types, 4) == 1)
        http_answer_source(exchange, 200, page->fields, (struct span){0}, NULL, page->text);
    else
        handle_list(ctx, request, rest, exchange);
}

/* ---- how it is */

static struct health node_health(const struct node *node)
{
    return (struct health){.base = &node->base,
                           .stopping = atomic_load(&node->stop_by_ms) != CLOCK_NEVER,
                           .members = node->members,
                           .admission = node->admission,
                           .gate = node->gate,
                           .follow = node->follow,
                           .registrar = node->registrar};
}

static void handle_health(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct health health = node_health(ctx);
    struct buf body = {0};
    (void)request;
    (void)rest;
    health_write(&health, clock_ms(), &body);
    http_answer_json(exchange, 200, HTTP_NO_STORE, &body);
}

static void handle_events(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct node *node = ctx;
    struct health health = node_health(node);
    struct buf at = {0};
    (void)request;
    (void)rest;
    health_write(&health, clock_ms(), &at);
    events_begin(node->base.events, &at, exchange);
    buf_free(&at);
}

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

static void handle_ready(void *ctx, const struct http_request *request, const char *rest,
                         struct http_exchange *exchange)
{
    struct health health = node_health(ctx);
    struct buf body = {0};
    (void)request;
    (void)rest;
    bool ready = health_write_ready(&health, &body);
    http_answer_json(exchange, ready ? 200 : 503, HTTP_NO_STORE, &body);
}

static void handle_live(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct buf body = {0};
    (void)ctx;
    (void)request;
    (void)rest;
    buf_add_text(&body, "{\"status\":\"alive\"}");
    http_answer_json(exchange, 200, HTTP_NO_STORE, &body);
}

static void handle_pending(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    pending_answer(&node->base, node->members, node->append, request, exchange);
}

static void handle_metrics(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    const struct node *node = ctx;
    struct health health = node_health(node);
    struct metrics metrics = {.health = &health,
                              .append = node->append,
                              .http = http_exchange_counters(exchange),
                              .followers = tail_count(node->tail),
                              .started_us = node->started_us};
    struct buf body = {0};
    (void)request;
    (void)rest;
    metrics_write(&metrics, clock_us(), &body);
    if (body.failed)
        http_answer_unavailable(exchange, "there is no memory for the answer");
    else
        http_answer(exchange, 200, EXPOSITION_TYPE HTTP_NO_STORE, buf_span(&body));
    buf_free(&body);
}

/* ---- calls between nodes */

static void handle_register(void *ctx, const struct http_request *request, const char *rest,
                            struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)rest;
    if (!refuse_stopping(node, exchange))
        admission_register(node->admission, request, exchange);
}

static void handle_remove(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct node *node = ctx;
    char boot[WIRE_NAME_SIZE] = "";
    if (refuse_stopping(node, exchange))
        return;
    if (http_request_query(request, "boot", boot, sizeof boot) == -2)
        http_answer_error(exchange, 400, NULL, "boot names a process by 1 to 71 bytes");
    else
        admission_remove(node->admission, rest, boot, exchange);
}

static void handle_replicate(void *ctx, const struct http_request *request, const char *rest,
                             struct http_exchange *exchange)
{
    struct node *node = ctx;
    uint64_t connection = http_exchange_connection(exchange); /* before it is answered */
    (void)rest;
    if (refuse_stopping(node, exchange))
        return;
    enum follow_sender sender = follow_replicate(node->follow, request, exchange);
    registrar_heard(node->registrar, sender, connection);
    if (sender == FOLLOW_MASTER && !request->head->keep_alive)
        registrar_farewell(node->registrar);
}

static void handle_elsewhere(void *ctx, const struct http_request *request, const char *rest,
                             struct http_exchange *exchange)
{
    struct node *node = ctx;
    (void)request;
    (void)rest;
    http_answer_error(exchange, 405, "Allow: GET, HEAD, OPTIONS\r\n",
                      "a secondary takes no messages: POST goes to the master, which this node knows as %s",
                      node->base.settings->master_url);
}

/* ---- the routes */

static uint64_t limit_append(void *ctx, const struct http_head *head)
{
    struct node *node = ctx;
    return append_body_limit(node->append, head);
}

static uint64_t limit_replicate(void *ctx, const struct http_head *head)
{
    struct node *node = ctx;
    (void)head;
    return follow_body_limit(node->follow);
}

static const struct http_route master_routes[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST",
     .path = "/messages",
     .handle = handle_append,
     .body_limit = limit_append,
     .denies = append_denies},
    {.method = "GET", .path = "/", .handle = handle_root},
    {.method = "GET", .path = UI_PAGE, .handle = handle_file},
    {.method = "GET", .path = "/ui.js", .handle = handle_file},
    {.method = "GET", .path = "/ui.css", .handle = handle_file},
    {.method = "POST",
     .path = "/",
     .handle = handle_append,
     .body_limit = limit_append,
     .denies = append_denies},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "GET", .path = "/events", .handle = handle_events},
    {.method = "GET", .path = "/readyz", .handle = handle_ready},
    {.method = "GET", .path = "/livez", .handle = handle_live, .always = true},
    {.method = "GET", .path = "/pending", .handle = handle_pending},
    {.method = "GET", .path = "/metrics", .handle = handle_metrics},
    {.method = "GET", .path = "/openapi.json", .handle = handle_file},
    {.method = "POST",
     .path = "/register",
     .handle = handle_register,
     .token = true,
     .denies = http_denies_all_but_json},
    {.method = "DELETE", .path = "/secondaries/*", .handle = handle_remove, .token = true},
    {0},
};

static const struct http_route secondary_routes[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST", .path = "/messages", .handle = handle_elsewhere, .at_head = true, .unlisted = true},
    {.method = "GET", .path = "/", .handle = handle_root},
    {.method = "GET", .path = UI_PAGE, .handle = handle_file},
    {.method = "GET", .path = "/ui.js", .handle = handle_file},
    {.method = "GET", .path = "/ui.css", .handle = handle_file},
    {.method = "POST", .path = "/", .handle = handle_elsewhere, .at_head = true, .unlisted = true},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "GET", .path = "/events", .handle = handle_events},
    {.method = "GET", .path = "/readyz", .handle = handle_ready},
    {.method = "GET", .path = "/livez", .handle = handle_live, .always = true},
    {.method = "GET", .path = "/metrics", .handle = handle_metrics},
    {.method = "GET", .path = "/openapi.json", .handle = handle_file},
    {.method = "POST",
     .path = "/replicate",
     .handle = handle_replicate,
     .body_limit = limit_replicate,
     .token = true,
     .denies = http_denies_all_but_json},
    {0},
};

static bool service_admits(void *ctx, const struct http_head *head)
{
    struct node *node = ctx;
    return token_is_right(node->base.settings->cluster_token, head);
}

/* ---- a request that arrives slowly */

/* On a slow link a request of the master may take longer to arrive than this would wait for a word of it. */
static unsigned service_watches_body(void *ctx, const struct http_head *head,
                                     const struct http_target *target)
{
    struct node *node = ctx;
    if (!node->follow || strcmp(target->path, "/replicate") != 0 || head->minor == 0 ||
        !token_is_right(node->base.settings->cluster_token, head))
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
    pause_notice(node, now_ms);
    int64_t admission_ms = admission_pass(node->admission, now_ms, stopping);
    if (now_ms >= node->check_ms || node->check_ms == CLOCK_NEVER)
        node->check_ms = members_check(node->members, now_ms);
    /* Who waits at the gate when the master stops is refused: a take-over that ends with it lets nobody
     * through. */
    int64_t gate_ms = stopping ? CLOCK_NEVER : gate_pass(node->gate, now_ms);
    int64_t send_ms = appended_send(node, now_ms);
    if (stopping)
        waits_end(node, now_ms, stop_by_ms);
    int64_t append_ms = append_pass(node->append, now_ms);
    if (append_unannounced_bytes(node->append)) /* what the gate has let through */
        send_ms = appended_send(node, now_ms);
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

/* What the disk's thread has done since. */
static void disk_collect(struct node *node)
{
    struct store *store = node->base.store;
    store_collect(store);
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
static void disk_loaded(void *ctx, const struct journal_meta *meta)
{
    struct node *node = ctx;
    struct wire_identity *own = &node->base.own;
    bool complete = note_read(buf_span(&meta->node), member_known, node) && !store_missing(node->base.store);
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
    const struct node *node = ctx;
    bool complete = node->members ? node->base.sure : follow_complete(node->follow);
    note_write(complete && store_keeps(node->base.store), node->members, out);
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
    node->base.store = store_open(&node->base, journal, worker, &owner);
    return node->base.store ? 0 : -ENOMEM;
}

static const struct http_denial *service_closed(void *ctx)
{
    struct node *node = ctx;
    if (!node->base.store || store_runs(node->base.store))
        return NULL;
    store_say_loading(node->base.store, node->loading_why);
    node->loading = (struct http_denial){503, HTTP_RETRY, node->loading_why};
    return &node->loading;
}

static int64_t role_pass(struct node *node, int64_t now_ms, int64_t stop_by_ms)
{
    return node->members ? master_pass(node, now_ms, stop_by_ms) : secondary_pass(node, now_ms, stop_by_ms);
}

static int64_t service_pass(void *ctx, int64_t now_ms)
{
    struct node *node = ctx;
    struct store *store = node->base.store;
    int64_t stop_by_ms = atomic_load(&node->stop_by_ms);
    worker_collect(node->base.dialer->worker);
    if (store)
        disk_collect(node);
    if (store && !store_runs(store)) {
        node->ended = stop_by_ms != CLOCK_NEVER;
        return node->due_ms = node->ended ? CLOCK_NEVER : store_pass(store, now_ms);
    }
    if (stop_by_ms != CLOCK_NEVER)
        streams_stop(node);
    int64_t role_ms = role_pass(node, now_ms, stop_by_ms);
    int64_t tail_ms = tail_pass(node->tail, node_shown(node), now_ms);
    if (store && node->ended)
        store_stop(store);
    int64_t disk_ms = store ? store_pass(store, now_ms) : CLOCK_NEVER;
    node->due_ms =
        clock_earlier(clock_earlier(role_ms, disk_ms), clock_earlier(tail_ms, events_go_on(node, now_ms)));
    node->looked = false;
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
        .routes = node->members ? master_routes : secondary_routes,
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
