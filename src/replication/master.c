#include "replication/master.h"
#include "clock.h"
#include "http/router.h"
#include "json.h"
#include "replication/members.h"
#include "replication/posts.h"
#include "replication/reading.h"
#include "replication/takeover.h"
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
    SMALL_BODY = 64 * 1024
};

struct master {
    const struct settings *settings;
    struct log *log;
    struct identity identity;
    struct acks *acks;
    struct http_server *server;
    struct sender_shared senders;
    char fields[TOKEN_FIELDS_SIZE];
    atomic_bool stopping;

    /* the loop's thread, once the server is started */
    struct members *members;
    struct posts *posts;
    struct takeover *takeover;        /* NULL: none under way */
    struct wire_register taking_from; /* the registration that began it */
    struct http_url taking_url;
    struct http_exchange *taking_exchange;
    uint64_t woken_to; /* the last id that the senders were woken for */
    bool read_only;
};

static void answer_buf(struct http_exchange *exchange, int status, struct buf *body)
{
    if (body->failed)
        http_answer_error(exchange, 503, "Retry-After: 1\r\n", "there is no memory for the answer");
    else
        http_answer(exchange, status, NULL, buf_span(body));
    buf_free(body);
}

/* ---- quorum */

/* The nodes that must be there for appends, the master included. */
static unsigned quorum_need(const struct master *master)
{
    if (master->settings->quorum == SETTINGS_QUORUM_MAJORITY)
        return (members_count(master->members) + 1) / 2 + 1;
    return (unsigned)master->settings->quorum;
}

static unsigned quorum_missing(const struct master *master)
{
    unsigned need = quorum_need(master);
    unsigned alive = members_alive(master->members) + 1;
    return alive < need ? need - alive : 0;
}

static void quorum_notice(struct master *master)
{
    unsigned missing = quorum_missing(master);
    if (master->read_only == (missing > 0))
        return;
    master->read_only = missing > 0;
    if (missing)
        logline(LOGLINE_WARN, "read-only: %u of the %u nodes of the quorum are missing", missing,
                quorum_need(master));
    else
        logline(LOGLINE_INFO, "writable again: the %u nodes of the quorum are there", quorum_need(master));
}

/* ---- appends and reads */

static bool appends_allowed(struct master *master, struct http_exchange *exchange)
{
    if (atomic_load(&master->stopping)) {
        http_answer_error(exchange, 503, "Retry-After: 1\r\n", "the master is shutting down");
        return false;
    }
    unsigned missing = quorum_missing(master);
    if (missing == 0)
        return true;
    http_answer_error(exchange, 503, "Retry-After: 1\r\n",
                      "the log is read-only: %u of the %u nodes of the quorum are missing", missing,
                      quorum_need(master));
    return false;
}

static void handle_append(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct master *master = ctx;
    (void)rest;
    if (appends_allowed(master, exchange))
        posts_append(master->posts, request, exchange);
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
    answer_buf(exchange, 200, &body);
}

/* ---- registration */

/* Fills in what a registration leaves out: the caller's address, and host:port as the id. Returns NULL, or
 * what is wrong. */
static const char *registration_complete(struct wire_register *registration, const char *peer,
                                         struct http_url *url)
{
    if (!registration->url[0]) {
        const char *colon = strrchr(peer, ':');
        if (!registration->port)
            return "send \"url\", or \"port\" for the caller's own address";
        snprintf(registration->url, sizeof registration->url, "http://%.*s:%u", (int)(colon - peer), peer,
                 registration->port);
    }
    if (!http_url_parse(span_of(registration->url), url))
        return "\"url\" must be http://HOST:PORT and nothing else";
    if (!registration->id[0])
        http_url_authority(url, registration->id, sizeof registration->id);
    if (!wire_name_valid(registration->id))
        return "\"id\" must be visible ASCII without quotes and backslashes";
    if (registration->last_id && !registration->log[0])
        return "\"log\" is missing: which list do the messages belong to?";
    return NULL;
}

static void registration_accept(struct master *master, const struct wire_register *registration,
                                const struct http_url *url, struct http_exchange *exchange)
{
    struct wire_registered answer = {.last_id = log_last(master->log),
                                     .heartbeat_ms = master->settings->heartbeat_ms};
    struct buf body = {0};
    int result = members_register(master->members, registration->id, url, registration->last_id);
    if (result < 0) {
        http_answer_error(exchange, 503, "Retry-After: 1\r\n", "%s",
                          result == -ENOSPC ? "there are as many members as this master takes"
                                            : "there is no memory for another member");
        return;
    }
    identity_get(&master->identity, answer.log);
    snprintf(answer.id, sizeof answer.id, "%s", registration->id);
    snprintf(answer.run, sizeof answer.run, "%s", master->senders.link.run);
    wire_registered_write(&body, &answer);
    answer_buf(exchange, 200, &body);
}

static void registration_refuse(struct master *master, const struct wire_register *registration,
                                const char *why, struct http_exchange *exchange)
{
    struct buf body = {0};
    char sentence[512];
    snprintf(sentence, sizeof sentence,
             "%s; nothing is thrown away: restart the secondary to have it take this master's list, or "
             "restart the "
             "master empty and let this secondary register first to keep the secondary's",
             why);
    logline(LOGLINE_ERROR, "refused %s, which holds %" PRIu64 " messages: %s", registration->id,
            registration->last_id, sentence);
    buf_add_text(&body, "{\"error\":");
    json_quote(span_of(sentence), &body);
    buf_addf(&body, ",\"last_id\":%" PRIu64 "}", log_last(master->log));
    answer_buf(exchange, 409, &body);
}

/* How the list of one who registers stands to the master's. */
enum standing {
    STANDING_PREFIX, /* the master can send the rest */
    STANDING_BEYOND, /* the master can take it over, or what it has more */
    STANDING_FOREIGN
};

static enum standing registration_standing(struct master *master, const struct wire_register *registration,
                                           const char **why)
{
    char name[WIRE_NAME_SIZE];
    uint64_t last = log_last(master->log);
    identity_get(&master->identity, name);
    bool same = strcmp(name, registration->log) == 0;
    if (registration->last_id == 0)
        return STANDING_PREFIX;
    if (same && registration->last_id <= last) {
        *why = "its list differs from this master's although both have the same log id";
        bool differs = registration->has_digest &&
                       registration->digest != log_digest(master->log, registration->last_id);
        return differs ? STANDING_FOREIGN : STANDING_PREFIX;
    }
    *why = same ? "its list is ahead of this master's, to which others were appended since its start"
                : "its list belongs to another log";
    return !posts_appended(master->posts) && (same || last == 0) ? STANDING_BEYOND : STANDING_FOREIGN;
}

static void server_wake(void *ctx)
{
    struct master *master = ctx;
    http_server_wake(master->server);
}

/* Keeps the registration open until the list is taken over. */
static void takeover_begin(struct master *master, const struct wire_register *registration,
                           const struct http_url *url, struct http_exchange *exchange)
{
    master->taking_from = *registration;
    master->taking_url = *url;
    const struct takeover_config config = {
        .log = master->log,
        .name = master->taking_from.id,
        .url = *url,
        .last = registration->last_id,
        .fields = master->fields,
        .progress = server_wake,
        .ctx = master,
    };
    master->takeover = takeover_start(&config);
    if (!master->takeover) {
        http_answer_error(exchange, 503, "Retry-After: 1\r\n", "there is no memory to take over the list");
        return;
    }
    identity_set(&master->identity, registration->log);
    posts_hold(master->posts, true);
    master->taking_exchange = exchange;
}

/* Ends a take-over that is over, or all the same where the program stops. */
static void takeover_settle(struct master *master, bool stop)
{
    bool complete;
    if (!master->takeover || (!takeover_ended(master->takeover, &complete) && !stop))
        return;
    takeover_close(master->takeover);
    master->takeover = NULL;
    acks_appended(master->acks, log_last(master->log));
    if (complete) {
        logline(LOGLINE_INFO, "took over the list of %s: %" PRIu64 " messages", master->taking_from.id,
                log_last(master->log));
        registration_accept(master, &master->taking_from, &master->taking_url, master->taking_exchange);
    } else {
        logline(LOGLINE_ERROR,
                "the list of %s could be taken over up to %" PRIu64 " of %" PRIu64
                " only; let it register again before anything is appended",
                master->taking_from.id, log_last(master->log), master->taking_from.last_id);
        http_answer_error(master->taking_exchange, 503, "Retry-After: 1\r\n",
                          "the list could not be fetched from the secondary's URL");
    }
    posts_hold(master->posts, false);
}

static void handle_register(void *ctx, const struct http_request *request, const char *rest,
                            struct http_exchange *exchange)
{
    struct master *master = ctx;
    struct wire_register registration;
    struct http_url url;
    (void)rest;
    if (!token_admits(master->settings->cluster_token, request, exchange))
        return;
    const char *why = wire_register_read(request->body, &registration);
    if (!why)
        why = registration_complete(&registration, request->peer, &url);
    if (why) {
        http_answer_error(exchange, 400, NULL, "%s", why);
        return;
    }
    if (master->takeover || atomic_load(&master->stopping)) {
        http_answer_error(exchange, 503, "Retry-After: 1\r\n", "the master is %s; register again in a moment",
                          master->takeover ? "taking over a list" : "shutting down");
        return;
    }
    switch (registration_standing(master, &registration, &why)) {
    case STANDING_PREFIX:
        registration_accept(master, &registration, &url, exchange);
        break;
    case STANDING_BEYOND:
        takeover_begin(master, &registration, &url, exchange);
        break;
    case STANDING_FOREIGN:
        registration_refuse(master, &registration, why, exchange);
        break;
    }
}

static void handle_remove(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct master *master = ctx;
    if (!token_admits(master->settings->cluster_token, request, exchange))
        return;
    if (members_remove(master->members, rest))
        http_answer(exchange, 204, NULL, (struct span){0});
    else
        http_answer_error(exchange, 404, NULL, "there is no member %.200s", rest);
}

/* ---- the service */

static const struct http_route routes[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST", .path = "/messages", .handle = handle_append},
    {.method = "GET", .path = "/", .handle = handle_list},
    {.method = "POST", .path = "/", .handle = handle_append},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "POST", .path = "/register", .handle = handle_register},
    {.method = "DELETE", .path = "/secondaries/*", .handle = handle_remove},
    {0},
};

static uint64_t service_body_limit(void *ctx, const struct http_head *head, const struct http_target *target)
{
    struct master *master = ctx;
    bool append = strcmp(target->path, "/messages") == 0 || strcmp(target->path, "/") == 0;
    return append ? posts_body_limit(master->posts, head) : SMALL_BODY;
}

static void service_handle(void *ctx, const struct http_request *request, struct http_exchange *exchange)
{
    http_route(routes, ctx, request, exchange);
}

/* Wakes the senders where the list has grown: once for all that a pass appended. */
static void senders_wake(struct master *master)
{
    uint64_t last = log_last(master->log);
    if (last == master->woken_to)
        return;
    master->woken_to = last;
    if (master->takeover)
        acks_appended(master->acks, last);
    members_wake(master->members);
}

static int64_t service_pass(void *ctx, int64_t now_ms)
{
    struct master *master = ctx;
    bool stopping = atomic_load(&master->stopping);
    takeover_settle(master, stopping);
    if (stopping)
        posts_refuse_held(master->posts);
    posts_announce(master->posts);
    senders_wake(master);
    int64_t posts_ms = posts_pass(master->posts, now_ms);
    int64_t members_ms = members_pass(master->members, now_ms);
    quorum_notice(master);
    return posts_ms < members_ms ? posts_ms : members_ms;
}

/* ---- life */

static int master_listen(struct master *master, char *why, size_t why_size)
{
    const struct settings *settings = master->settings;
    const struct http_server_config config = {
        .host = settings->host,
        .port = settings->port,
        .max_connections = settings->max_connections,
        .idle_timeout_ms = settings->idle_timeout_ms,
    };
    const struct http_service service = {
        .ctx = master,
        .body_limit = service_body_limit,
        .handle = service_handle,
        .pass = service_pass,
    };
    return http_server_open(&master->server, &config, &service, why, why_size);
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
                 .fields = master->fields,
                 .heartbeat_ms = settings->heartbeat_ms},
        .acks = master->acks,
        .released = server_wake,
        .ctx = master,
    };
    wire_name_new(master->senders.link.run);
    const struct posts_config config = {
        .log = master->log,
        .acks = master->acks,
        .max_message = settings->max_message,
        .write_concern = settings->write_concern,
        .ack_timeout_ms = settings->ack_timeout_ms,
    };
    master->members = members_open(&master->senders);
    master->posts = posts_open(&config);
    return master->log && master->acks && master->members && master->posts;
}

static void master_free(struct master *master)
{
    if (master->members)
        members_close(master->members);
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
            http_server_stop(master->server, 0);
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
