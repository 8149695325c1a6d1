#include "replication/secondary.h"
#include "clock.h"
#include "http/router.h"
#include "json.h"
#include "replication/answer.h"
#include "replication/listen.h"
#include "replication/reading.h"
#include "replication/receiver.h"
#include "replication/registrar.h"
#include "replication/token.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOODBYE_MS = 700, GRACE_MS = 300 };

struct secondary {
    const struct settings *settings;
    struct log *log;
    struct identity identity; /* of the log */
    struct receiver *receiver;
    struct http_server *server;
    struct registrar *registrar;
    char fields[TOKEN_FIELDS_SIZE];
    char own_run[WIRE_NAME_SIZE]; /* names this run of the program */
    atomic_bool stopping;

    /* Held while messages are stored, so that those of an earlier run of the master come before a
     * registration with the present one is described, or are seen when it was taken, or are refused. */
    pthread_mutex_t taking;
    char run[WIRE_NAME_SIZE]; /* guarded by it: the master's run that messages are taken from; "": any */
    unsigned run_number;      /* guarded by it: another, and never 0, for each run that is followed */
    uint64_t described;       /* guarded by it: where the list ended when it was described to the master */
};

/* ---- routes */

static void handle_list(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct secondary *secondary = ctx;
    (void)rest;
    reading_list(secondary->log, receiver_shown(secondary->receiver), request, exchange);
}

static void handle_message(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    struct secondary *secondary = ctx;
    (void)request;
    reading_message(secondary->log, receiver_shown(secondary->receiver), rest, exchange);
}

static void handle_health(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct secondary *secondary = ctx;
    struct buf body = {0};
    char name[WIRE_NAME_SIZE];
    (void)request;
    (void)rest;
    identity_get(&secondary->identity, name);
    buf_add_text(&body, "{\"role\":\"secondary\",\"status\":\"ok\",\"log\":");
    if (name[0])
        json_quote(span_of(name), &body);
    else
        buf_add_text(&body, "null");
    buf_addf(&body, ",\"last_id\":%" PRIu64 ",\"master\":", receiver_shown(secondary->receiver));
    json_quote(span_of(secondary->settings->master_url), &body);
    buf_addf(&body, ",\"registered\":%s}", registrar_registered(secondary->registrar) ? "true" : "false");
    http_answer_json(exchange, 200, &body);
}

/* Whether the request has the field, and that names another run than this. */
static bool names_another(const struct http_head *head, const char *name, const char *run)
{
    const struct http_field *field = http_head_field(head, name);
    return field && run[0] && !span_equals(field->value, run);
}

static void handle_replicate(void *ctx, const struct http_request *request, const char *rest,
                             struct http_exchange *exchange)
{
    struct secondary *secondary = ctx;
    (void)rest;
    if (atomic_load(&secondary->stopping)) {
        http_answer_error(exchange, 503, NULL, "the secondary is shutting down");
        return;
    }
    pthread_mutex_lock(&secondary->taking);
    bool foreign = names_another(request->head, WIRE_RUN_FIELD, secondary->run);
    bool misdirected = names_another(request->head, WIRE_SECONDARY_RUN_FIELD, secondary->own_run);
    if (!foreign && !misdirected && request->body.len)
        receiver_replicate(secondary->receiver, secondary->run, request, exchange);
    pthread_mutex_unlock(&secondary->taking);
    /* A master that looks for another is there all the same, for one that it does not know yet. */
    if (!foreign && !(misdirected && registrar_registered(secondary->registrar)))
        registrar_heard(secondary->registrar);
    if (foreign)
        answer_conflict(exchange, "this secondary follows another run of a master",
                        receiver_shown(secondary->receiver));
    else if (misdirected)
        answer_conflict(exchange, "another program answers at this address than the one that registered",
                        receiver_shown(secondary->receiver));
    else if (!request->body.len)
        receiver_sign_of_life(secondary->receiver, exchange);
}

static void handle_post(void *ctx, const struct http_request *request, const char *rest,
                        struct http_exchange *exchange)
{
    struct secondary *secondary = ctx;
    (void)request;
    (void)rest;
    http_answer_error(exchange, 405, "Allow: GET, HEAD, OPTIONS\r\n",
                      "a secondary takes no messages: post them to the master at %s",
                      secondary->settings->master_url);
}

static uint64_t replicate_body_limit(void *ctx, const struct http_head *head)
{
    struct secondary *secondary = ctx;
    (void)head;
    return receiver_body_limit(secondary->receiver);
}

/* Who posts a message here learns where to post it, not that it is too long. */
static const struct http_route routes[] = {
    {.method = "GET", .path = "/messages", .handle = handle_list},
    {.method = "POST",
     .path = "/messages",
     .handle = handle_post,
     .body_limit = replicate_body_limit,
     .unlisted = true},
    {.method = "GET", .path = "/", .handle = handle_list},
    {.method = "POST",
     .path = "/",
     .handle = handle_post,
     .body_limit = replicate_body_limit,
     .unlisted = true},
    {.method = "GET", .path = "/messages/*", .handle = handle_message},
    {.method = "GET", .path = "/health", .handle = handle_health},
    {.method = "POST",
     .path = "/replicate",
     .handle = handle_replicate,
     .body_limit = replicate_body_limit,
     .token = true},
    {0},
};

/* ---- the service */

static bool service_admits(void *ctx, const struct http_head *head)
{
    struct secondary *secondary = ctx;
    return token_is_right(secondary->settings->cluster_token, head);
}

/* On a slow link a request of the master may take longer to arrive than this would wait for a word of it. */
static unsigned service_watches_body(void *ctx, const struct http_head *head,
                                     const struct http_target *target)
{
    struct secondary *secondary = ctx;
    const struct http_field *run = http_head_field(head, WIRE_RUN_FIELD);
    if (strcmp(target->path, "/replicate") != 0 || head->minor == 0 || !run || !service_admits(ctx, head) ||
        names_another(head, WIRE_SECONDARY_RUN_FIELD, secondary->own_run))
        return 0;
    pthread_mutex_lock(&secondary->taking);
    bool follows = secondary->run[0] && span_equals(run->value, secondary->run);
    unsigned mark = follows ? secondary->run_number : 0;
    pthread_mutex_unlock(&secondary->taking);
    return mark;
}

/* The master takes the 100 for a sign of life. */
static int64_t service_body_came(void *ctx, unsigned run_number)
{
    struct secondary *secondary = ctx;
    pthread_mutex_lock(&secondary->taking);
    bool follows = run_number == secondary->run_number;
    pthread_mutex_unlock(&secondary->taking);
    if (!follows)
        return 0;
    registrar_heard(secondary->registrar);
    int64_t half_ms = registrar_heartbeat_ms(secondary->registrar) / 2;
    return half_ms > 0 ? half_ms : 1;
}

static int64_t service_pass(void *ctx, int64_t now_ms)
{
    struct secondary *secondary = ctx;
    if (atomic_load(&secondary->stopping))
        receiver_refuse_waiting(secondary->receiver);
    return receiver_pass(secondary->receiver, now_ms, registrar_heartbeat_ms(secondary->registrar) / 2);
}

/* ---- the registrar's questions, on its thread */

static void registration_describe(void *ctx, struct wire_register *registration)
{
    struct secondary *secondary = ctx;
    const struct settings *settings = secondary->settings;
    snprintf(registration->id, sizeof registration->id, "%s", settings->secondary_id);
    snprintf(registration->url, sizeof registration->url, "%s", settings->advertise_url);
    registration->port = http_server_port(secondary->server);
    pthread_mutex_lock(&secondary->taking);
    identity_get(&secondary->identity, registration->log);
    registration->last_id = receiver_shown(secondary->receiver);
    registration->stored =
        log_last(secondary->log); /* what does not show yet will: a new master must have it, too */
    secondary->described = registration->stored;
    pthread_mutex_unlock(&secondary->taking);
    snprintf(registration->run, sizeof registration->run, "%s", secondary->own_run);
    registration->digest = log_digest(secondary->log, registration->stored);
    registration->has_digest = true;
}

static bool registration_accepted(void *ctx, const struct wire_registered *answer)
{
    struct secondary *secondary = ctx;
    pthread_mutex_lock(&secondary->taking);
    bool accepted =
        strcmp(secondary->run, answer->run) == 0 || log_last(secondary->log) == secondary->described;
    if (accepted) {
        secondary->run_number += strcmp(secondary->run, answer->run) != 0;
        snprintf(secondary->run, sizeof secondary->run, "%s", answer->run);
        if (log_last(secondary->log) == 0)
            identity_set(&secondary->identity, answer->log);
    }
    pthread_mutex_unlock(&secondary->taking);
    return accepted;
}

/* ---- life */

static bool host_is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static int secondary_listen(struct secondary *secondary, char *why, size_t why_size)
{
    const struct http_service service = {
        .ctx = secondary,
        .routes = routes,
        .admits = service_admits,
        .watches_body = service_watches_body,
        .body_came = service_body_came,
        .pass = service_pass,
    };
    return listen_open(&secondary->server, secondary->settings, &service, why, why_size);
}

static bool secondary_register(struct secondary *secondary)
{
    const struct settings *settings = secondary->settings;
    struct registrar_config config = {
        .from = host_is_wildcard(settings->host) ? NULL : settings->host,
        .fields = secondary->fields,
        .describe = registration_describe,
        .accepted = registration_accepted,
        .ctx = secondary,
    };
    if (http_url_parse(span_of(settings->master_url), &config.master))
        secondary->registrar = registrar_start(&config);
    return secondary->registrar != NULL;
}

static bool secondary_build(struct secondary *secondary)
{
    const struct settings *settings = secondary->settings;
    token_fields(settings->cluster_token, secondary->fields);
    wire_name_new(secondary->own_run);
    secondary->log = log_open();
    const struct receiver_config config = {
        .log = secondary->log,
        .identity = &secondary->identity,
        .max_message = settings->max_message,
        .delay_ms = settings->delay_ms,
        .errors = settings->errors,
    };
    secondary->receiver = receiver_open(&config);
    return secondary->log && secondary->receiver;
}

static void secondary_free(struct secondary *secondary)
{
    if (secondary->server)
        http_server_close(secondary->server);
    if (secondary->registrar)
        registrar_free(secondary->registrar);
    if (secondary->receiver)
        receiver_close(secondary->receiver);
    if (secondary->log)
        log_close(secondary->log);
    pthread_mutex_destroy(&secondary->taking);
    free(secondary);
}

int secondary_start(struct secondary **out, const struct settings *settings, char *why, size_t why_size)
{
    struct secondary *secondary = calloc(1, sizeof *secondary);
    int result = -ENOMEM;
    snprintf(why, why_size, "there is no memory to start");
    if (!secondary)
        return result;
    secondary->settings = settings;
    secondary->identity = (struct identity)IDENTITY_INIT;
    secondary->run_number = 1;
    pthread_mutex_init(&secondary->taking, NULL);
    if (secondary_build(secondary))
        result = secondary_listen(secondary, why, why_size);
    if (result < 0)
        goto fail;
    result = -EAGAIN;
    snprintf(why, why_size, "cannot start a thread");
    if (!secondary_register(secondary))
        goto fail;
    result = http_server_start(secondary->server);
    if (result < 0)
        goto no_thread;
    *out = secondary;
    return 0;

no_thread:
    registrar_stop(secondary->registrar, GOODBYE_MS);
fail:
    secondary_free(secondary);
    return result;
}

uint16_t secondary_port(const struct secondary *secondary)
{
    return http_server_port(secondary->server);
}

void secondary_stop(struct secondary *secondary)
{
    atomic_store(&secondary->stopping, true);
    http_server_wake(secondary->server);
    registrar_stop(secondary->registrar, GOODBYE_MS);
    http_server_stop(secondary->server, GRACE_MS);
    secondary_free(secondary);
}
