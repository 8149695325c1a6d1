#include "replication/master.h"
#include "clock.h"
#include "http/condition.h"
#include "http/router.h"
#include "json.h"
#include "replication/listen.h"
#include "replication/members.h"
#include "replication/posts.h"
#include "replication/reading.h"
#include "replication/registry.h"
#include "replication/token.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DRAIN_MS = 1000, /* for the ACKs of what waits, when the program stops */
    GRACE_MS = 500,  /* for the last answers to leave */
    /* Of messages: the members begin with them while the loop still reads others. */
    SEND_EARLY_BYTES = 256 * 1024
};

struct master {
    const struct settings *settings;
    struct log *log;
    struct identity identity;
    struct acks *acks;
    struct http_server *server;
    struct sender_shared senders;
    char fields[TOKEN_FIELDS_SIZE];
    char link_fields[LINK_FIELDS_SIZE];
    atomic_bool stopping;

    /* the loop's thread, once the server is started */
    struct members *members;
    struct posts *posts;
    struct registry *registry;
    uint64_t sent_to;      /* the end of the list when the senders were called last */
    int64_t check_ms;      /* when to look at the members' states next */
    unsigned members_seen; /* how many there were then */
    bool read_only;
};

/* ---- quorum */

/* The nodes that must be there for appends, the master included. */
static unsigned quorum_need(const struct master *master)
{
    if (master->settings->quorum == CONCERN_MAJORITY)
        return (members_count(master->members) + 1) / 2 + 1;
    return (unsigned)master->settings->quorum;
}

static unsigned quorum_missing(const struct master *master)
{
    unsigned need = quorum_need(master);
    unsigned alive = members_alive(master->members) + 1;
    return alive < need ? need - alive : 0;
}

/* "1 of the 3 nodes of the quorum is missing" */
static void quorum_say_missing(const struct master *master, unsigned missing, char *out, size_t out_size)
{
    unsigned need = quorum_need(master);
    snprintf(out, out_size, "%u of the %u nodes of the quorum %s missing", missing, need,
             missing == 1 ? "is" : "are");
}

static void quorum_notice(struct master *master)
{
    unsigned missing = quorum_missing(master);
    char why[80];
    if (master->read_only == (missing > 0))
        return;
    master->read_only = missing > 0;
    quorum_say_missing(master, missing, why, sizeof why);
    if (missing)
        logline(LOGLINE_WARN, "read-only: %s", why);
    else
        logline(LOGLINE_INFO, "writable again: no node of the quorum of %u is missing", quorum_need(master));
}

/* ---- appends and reads */

static bool appends_allowed(void *ctx, struct http_exchange *exchange)
{
    struct master *master = ctx;
    if (atomic_load(&master->stopping)) {
        http_answer_unavailable(exchange, "the master is shutting down");
        return false;
    }
    unsigned missing = quorum_missing(master);
    if (missing == 0)
        return true;
    char why[80];
    quorum_say_missing(master, missing, why, sizeof why);
    http_answer_unavailable(exchange, "the log is read-only: %s", why);
    return false;
}

/* RFC 9110 section 13: an append may be meant for the list as its client saw it. */
static bool append_condition(void *ctx, const struct http_request *request, struct http_exchange *exchange)
{
    struct master *master = ctx;
    char etag[READING_ETAG_SIZE];
    if (!http_head_field(request->head, "If-Match") && !http_head_field(request->head, "If-None-Match"))
        return true;
    if (posts_held_back(master->posts)) {
        http_answer_unavailable(exchange, "it is not known yet which list this will be");
        return false;
    }
    reading_etag(master->log, 1, log_last(master->log), etag);
    if (http_condition(request->head, etag) == 0)
        return true;
    http_answer_error(exchange, 412, NULL, "the list is not the one that the request is meant for");
    return false;
}

/* What was appended since the last call goes to the members, all of it at once. Returns when there is
 * something to send again. */
static int64_t appended_send(struct master *master, int64_t now_ms)
{
    uint64_t last = log_last(master->log);
    bool grown = last != master->sent_to;
    master->sent_to = last;
    if (grown && registry_taking_over(master->registry))
        acks_appended(master->acks, last);
    posts_announce(master->posts);
    return members_send(master->members, http_server_loop(master->server), now_ms, grown);
}

static void handle_append(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct master *master = ctx;
    (void)rest;
    if (appends_allowed(master, exchange))
        posts_append(master->posts, request, exchange);
    if (posts_unannounced_bytes(master->posts) >= SEND_EARLY_BYTES)
        appended_send(master, loop_now_ms(http_server_loop(master->server)));
}

static void handle_list(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct master *master = ctx;
    (void)rest;
    reading_list(master->log, log_last(master->log), request, exchange);
}

static void handle_message(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    struct master *master = ctx;
    char w[32];
    if (http_request_query(request, "w", w, sizeof w) != -1)
        posts_wait(master->posts, request, rest, exchange);
    else
        reading_message(master->log, log_last(master->log), rest, exchange);
}

static void handle_health(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct master *master = ctx;
    struct buf body = {0};
    char name[WIRE_NAME_SIZE];
    bool read_only = quorum_missing(master) > 0;
    (void)request;
    (void)rest;
    identity_get(&master->identity, name);
    buf_addf(&body, "{\"role\":\"master\",\"status\":\"%s\",\"log\":", read_only ? "read_only" : "ok");
    json_quote(span_of(name), &body);
    buf_addf(&body, ",\"last_id\":%" PRIu64 ",\"read_only\":%s,\"secondaries\":", log_last(master->log),
             read_only ? "true" : "false");
    members_write(master->members, clock_ms(), &body);
    buf_add_char(&body, '}');
    http_answer_json(exchange, 200, &body);
}

/* ---- members */

static bool members_may_change(struct master *master, struct http_exchange *exchange)
{
    if (!atomic_load(&master->stopping))
        return true;
    http_answer_unavailable(exchange, "the master is shutting down");
    return false;
}

static void handle_register(void *ctx, const struct http_request *request, const char *rest,
                            struct http_exchange *exchange)
{
    struct master *master = ctx;
    (void)rest;
    if (members_may_change(master, exchange))
        registry_register(master->registry, request, exchange);
}

static void handle_remove(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct master *master = ctx;
    (void)request;
    if (!members_may_change(master, exchange))
        return;
    if (members_remove(master->members, rest))
        http_answer(exchange, 204, NULL, (struct span){0});
    else
        http_answer_error(exchange, 404, NULL, "there is no member %.200s", rest);
}

/* ---- the service */

static uint64_t append_body_limit(void *ctx, const struct http_head *head)
{
    struct master *master = ctx;
    return posts_body_limit(master->posts, head);
}

static bool service_admits(void *ctx, const struct http_head *head)
{
    struct master *master = ctx;
    return token_is_right(master->settings->cluster_token, head);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST", .path = "/messages", .handle = handle_append, .body_limit = append_body_limit},
    {.method = "GET", .path = "/", .handle = handle_list},
    {.method = "POST", .path = "/", .handle = handle_append, .body_limit = append_body_limit},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "POST", .path = "/register", .handle = handle_register, .token = true},
    {.method = "DELETE", .path = "/secondaries/*", .handle = handle_remove, .token = true},
    {0},
};

/* States and the quorum are functions of time: looked at when they may have changed, or a member came or
 * went. */
static int64_t members_look(struct master *master, int64_t now_ms)
{
    if (now_ms >= master->check_ms || members_count(master->members) != master->members_seen) {
        master->members_seen = members_count(master->members);
        master->check_ms = members_check(master->members, now_ms);
        quorum_notice(master);
    }
    return master->check_ms;
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static int64_t service_pass(void *ctx, int64_t now_ms)
{
    struct master *master = ctx;
    bool stopping = atomic_load(&master->stopping);
    if (stopping)
        posts_refuse_held(master->posts); /* before the end of a take-over would append them */
    int64_t hold_ms = registry_settle(master->registry, now_ms, stopping);
    int64_t send_ms = appended_send(master, now_ms);
    int64_t posts_ms = posts_pass(master->posts, now_ms);
    return earlier(earlier(send_ms, posts_ms), earlier(hold_ms, members_look(master, now_ms)));
}

static void service_gone(void *ctx, void *waiter)
{
    struct master *master = ctx;
    posts_gone(master->posts, waiter);
}

/* ---- life */

static void server_wake(void *ctx)
{
    struct master *master = ctx;
    http_server_wake(master->server);
}

static int master_listen(struct master *master, char *why, size_t why_size)
{
    const struct http_service service = {
        .ctx = master,
        .routes = routes,
        .admits = service_admits,
        .pass = service_pass,
        .gone = service_gone,
    };
    return listen_open(&master->server, master->settings, &service, why, why_size);
}

static bool master_build(struct master *master)
{
    const struct settings *settings = master->settings;
    char name[WIRE_NAME_SIZE];
    wire_name_new(name);
    identity_set(&master->identity, name);
    token_fields(settings->cluster_token, master->fields);
    master->log = log_open();
    master->acks = acks_open();
    master->senders = (struct sender_shared){
        .link = {.log = master->log,
                 .identity = &master->identity,
                 .fields = master->link_fields,
                 .heartbeat_ms = settings->heartbeat_ms},
        .acks = master->acks,
        .wake = server_wake,
        .ctx = master,
    };
    wire_name_new(master->senders.link.run);
    _Static_assert(TOKEN_FIELDS_SIZE + WIRE_NAME_SIZE + sizeof WIRE_RUN_FIELD ": \r\n" <= LINK_FIELDS_SIZE,
                   "the fields of a link fit");
    snprintf(master->link_fields, sizeof master->link_fields, "%s" WIRE_RUN_FIELD ": %s\r\n", master->fields,
             master->senders.link.run);
    const struct posts_config config = {
        .log = master->log,
        .acks = master->acks,
        .max_message = settings->max_message,
        .write_concern = settings->write_concern,
        .ack_timeout_ms = settings->ack_timeout_ms,
        .allowed = appends_allowed,
        .condition = append_condition,
        .ctx = master,
    };
    master->members = members_open(&master->senders);
    master->posts = posts_open(&config);
    const struct registry_config registry = {
        .log = master->log,
        .identity = &master->identity,
        .acks = master->acks,
        .members = master->members,
        .posts = master->posts,
        .run = master->senders.link.run,
        .fields = master->fields,
        .heartbeat_ms = settings->heartbeat_ms,
        .has_quorum = settings->quorum != SETTINGS_QUORUM_OFF,
        .progress = server_wake,
        .ctx = master,
    };
    master->registry = registry_open(&registry);
    return master->log && master->acks && master->members && master->posts && master->registry;
}

/* The server was stopped, where there is one; senders use it to the last. */
static void master_free(struct master *master)
{
    if (master->registry)
        registry_close(master->registry);
    if (master->members)
        members_close(master->members);
    if (master->server)
        http_server_close(master->server);
    if (master->posts)
        posts_close(master->posts);
    if (master->acks)
        acks_close(master->acks);
    if (master->log)
        log_close(master->log);
    free(master);
}

int master_start(struct master **out, const struct settings *settings, char *why, size_t why_size)
{
    struct master *master = calloc(1, sizeof *master);
    int result = -ENOMEM;
    snprintf(why, why_size, "there is no memory to start");
    if (!master)
        return result;
    master->settings = settings;
    master->identity = (struct identity)IDENTITY_INIT;
    if (master_build(master))
        result = master_listen(master, why, why_size);
    if (result == 0) {
        result = http_server_start(master->server);
        if (result < 0) {
            snprintf(why, why_size, "cannot start a thread: %s", strerror(-result));
        }
    }
    if (result < 0)
        master_free(master);
    else
        *out = master;
    return result;
}

uint16_t master_port(const struct master *master)
{
    return http_server_port(master->server);
}

void master_stop(struct master *master)
{
    atomic_store(&master->stopping, true);
    http_server_wake(master->server);
    acks_drain(master->acks, clock_ms() + DRAIN_MS);
    acks_end(master->acks);
    http_server_stop(master->server, GRACE_MS);
    master_free(master);
}
