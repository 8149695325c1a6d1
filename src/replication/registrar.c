#include "replication/registrar.h"
#include "clock.h"
#include "http/writer.h"
#include "logline.h"
#include "replication/retry.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEAT_UNKNOWN_MS = 1000,
    PATIENCE_MS = 5000, /* a master that is away for less is no warning: nodes start in any order */
    CALL_MS = 2000 /* for an answer. A master that takes over this secondary's list, and needs longer, goes on
                      with it all the same, and answers the next try */
};

enum registrar_state {
    REGISTRAR_PAUSES,  /* until until_ms */
    REGISTRAR_CALLS,   /* a registration is under way, until until_ms at most */
    REGISTRAR_LISTENS, /* registered */
    REGISTRAR_LEAVES,  /* the goodbye is under way, until until_ms at most */
    REGISTRAR_LEFT
};

struct registrar {
    const struct base *base;
    struct follow *follow;
    struct http_url url; /* of the master */
    enum registrar_state state;
    struct http_client *client; /* of the call under way, or of one that is over and to be closed */
    struct http_address master; /* where the master was reached last */
    int64_t until_ms;
    int64_t rests_until_ms; /* REGISTRAR_PAUSES: the first part of the pause, which nothing ends */
    int64_t heard_ms;
    int64_t heartbeat_ms;
    uint64_t connection;    /* on which the master was heard last; 0: it has ended */
    int64_t connected_ms;   /* when the master was first heard on it */
    int64_t comes_back_ms;  /* it has ended: until then the master may dial again; CLOCK_NEVER: it has not */
    struct retry connected; /* its pause: how much longer the master may take to dial again */
    int64_t lost_ms;        /* since when it is not registered; 0: it is, or has not tried yet */
    bool farewell;          /* the master that it was registered with last has said that it stops */
    bool refused;           /* by the latest answer */
    char why[512];          /* the latest try has failed; "": none has, since it was registered last */
    uint64_t described;     /* the end of the list when the registration under way was written */
    bool told;              /* a registration was sent: the master may hold this secondary for a member */
    bool over;              /* the call has its answer, or has failed */
    struct retry retry;
};

enum registrar_status registrar_status(const struct registrar *registrar)
{
    if (registrar->state == REGISTRAR_LISTENS)
        return REGISTRAR_OK;
    return registrar->refused ? REGISTRAR_REFUSED : REGISTRAR_NO_MASTER;
}

const char *registrar_reason(const struct registrar *registrar)
{
    return registrar->why[0] ? registrar->why : "it is registering with its master";
}

bool registrar_leaving(const struct registrar *registrar)
{
    return registrar->state == REGISTRAR_LEAVES;
}

/* Whether a call is under way, or over and not looked at yet. */
static bool is_calling(const struct registrar *registrar)
{
    return registrar->state == REGISTRAR_CALLS || registrar->state == REGISTRAR_LEAVES;
}

int64_t registrar_silent_ms(const struct registrar *registrar, int64_t now_ms)
{
    return registrar->heard_ms ? now_ms - registrar->heard_ms : -1;
}

int64_t registrar_heartbeat_ms(const struct registrar *registrar)
{
    return registrar->heartbeat_ms;
}

/* ---- pauses */

static void registrar_pause(struct registrar *registrar, int64_t now_ms)
{
    registrar->state = REGISTRAR_PAUSES;
    registrar->until_ms = now_ms + retry_pause(&registrar->retry);
    registrar->rests_until_ms = now_ms + registrar->retry.pause_ms / 4;
}

/* A sign of life ends the pause, but not its first part: it may be no more than the echo of the last try,
 * whose answer was lost on the way, and the next answer would be lost as well. */
static void master_heard(struct registrar *registrar)
{
    registrar->heard_ms = clock_ms();
    if (registrar->state == REGISTRAR_PAUSES && registrar->rests_until_ms < registrar->until_ms)
        registrar->until_ms = registrar->rests_until_ms;
    if (registrar->state == REGISTRAR_LISTENS)
        registrar->retry.pause_ms = 0;
}

static int64_t silence_ms(const struct registrar *registrar)
{
    return REGISTRAR_SILENCE * registrar->heartbeat_ms;
}

static void connection_note(struct registrar *registrar, uint64_t connection)
{
    if (!connection || connection == registrar->connection)
        return;
    registrar->connection = connection;
    registrar->connected_ms = clock_ms();
    registrar->comes_back_ms = CLOCK_NEVER;
}

void registrar_heard(struct registrar *registrar, enum follow_sender sender, uint64_t connection)
{
    if (sender == FOLLOW_MASTER) {
        connection_note(registrar, connection);
        master_heard(registrar);
    } else if (sender == FOLLOW_OTHER && registrar->state == REGISTRAR_LISTENS) {
        registrar_pause(registrar, clock_ms());
    }
}

void registrar_farewell(struct registrar *registrar)
{
    registrar->farewell = true;
}

/* A master that lives dials again soon. One that does not may have been restarted, and knows nobody: this
 * registers again. Where one connection after another ends young, the master has longer each time, up to the
 * silence that is allowed: so neither a link that always fails nor two secondaries of one id register without
 * end. */
void registrar_ended(struct registrar *registrar, uint64_t connection)
{
    int64_t now_ms = clock_ms();
    int64_t young_ms = 2 * silence_ms(registrar) + RETRY_MOST_MS;
    if (!connection || connection != registrar->connection)
        return;
    registrar->connection = 0;
    if (now_ms - registrar->connected_ms >= young_ms)
        registrar->connected.pause_ms = 0;
    if (registrar->connected.pause_ms < RETRY_MOST_MS)
        registrar->comes_back_ms = now_ms + RETRY_LEAST_MS + retry_pause(&registrar->connected);
}

/* ---- calls */

/* The master may just be a little later than this secondary, or be restarted: the first failure tells so, and
 * then a warning after PATIENCE_MS. `status`: of its answer, or 0. */
__attribute__((format(printf, 4, 5))) static void registration_failed(struct registrar *registrar,
                                                                      enum logline_level level, int status,
                                                                      const char *format, ...)
{
    bool patient = clock_ms() - registrar->lost_ms < PATIENCE_MS;
    va_list args;
    if (level == LOGLINE_WARN && (patient || registrar->farewell))
        level = patient && registrar->why[0] ? LOGLINE_DEBUG : LOGLINE_INFO;
    va_start(args, format);
    vsnprintf(registrar->why, sizeof registrar->why, format, args);
    va_end(args);
    registrar->refused = status && status != 503;
    complain(registrar->base->complaints, level, "", "register_failed",
             status ? LOG_FIELDS(LOG_NUMBER("status", status)) : NULL, "%s", registrar->why);
}

static void complain_unreachable(struct registrar *registrar, int error, const char *why)
{
    char master[HTTP_AUTHORITY_MAX];
    http_url_authority(&registrar->url, master, sizeof master);
    registration_failed(registrar, LOGLINE_WARN, 0,
                        "cannot register with the master at http://%s: %s%s; trying again", master, why,
                        error == -EINVAL ? " (it is not to be reached from the address in HOST)" : "");
}

static void complain_refused(struct registrar *registrar, int status, struct span body)
{
    struct wire_ack answer;
    wire_ack_read(body, &answer);
    registration_failed(registrar, status == 503 ? LOGLINE_WARN : LOGLINE_ERROR, status,
                        "the master answered %d to the registration: %s%s", status, answer.error,
                        status == 401 ? "; CLUSTER_TOKEN must be the same on all nodes" : "");
}

/* Whether the master took the list that there is: not where the list is not any more what another master was
 * told of. */
static bool answer_fits(const struct registrar *registrar, const struct wire_registered *answer)
{
    const struct wire_identity *own = &registrar->base->own;
    uint64_t last = log_last(registrar->base->log);
    bool same_log = strcmp(own->log, answer->from.log) == 0;
    if (last && !same_log)
        return false; /* no master accepts another log's list */
    return (same_log && own->epoch == answer->from.epoch) || last == registrar->described;
}

/* An idle link carries a sign of life in each heartbeat interval. */
static void idle_warn(const struct registrar *registrar)
{
    int64_t idle_ms = registrar->base->settings->idle_timeout_ms;
    if (idle_ms <= registrar->heartbeat_ms)
        complain(registrar->base->complaints, LOGLINE_WARN, "", "idle_timeout", NULL,
                 "IDLE_TIMEOUT=%.3f closes the master's connection again and again: take more than its "
                 "HEARTBEAT_INTERVAL, %.3f",
                 (double)idle_ms / 1000, (double)registrar->heartbeat_ms / 1000);
}

static bool answer_take(struct registrar *registrar, struct span body)
{
    struct wire_registered answer;
    if (!wire_registered_read(body, &answer) || !answer.from.log[0] || !answer.from.epoch) {
        registration_failed(registrar, LOGLINE_ERROR, 0, "the answer to the registration is not a master's");
        return false;
    }
    if (!answer_fits(registrar, &answer)) {
        registration_failed(registrar, LOGLINE_WARN, 0,
                            "messages of another master came while this registered with the present one: "
                            "registering again");
        return false;
    }
    follow_master(registrar->follow, &answer);
    if (answer.heartbeat_ms)
        registrar->heartbeat_ms = answer.heartbeat_ms;
    registrar->heard_ms = clock_ms();
    registrar->lost_ms = 0;
    registrar->comes_back_ms = CLOCK_NEVER;
    registrar->refused = registrar->farewell = false;
    registrar->why[0] = '\0';
    complain(registrar->base->complaints, LOGLINE_INFO, answer.from.id, "registered",
             LOG_FIELDS(LOG_TEXT("member", answer.from.id), LOG_NUMBER("last", answer.last_id)),
             "registered with the master as %s; the log has %" PRIu64 " messages", answer.from.id,
             answer.last_id);
    idle_warn(registrar);
    return true;
}

/* `status`: of the answer, or 0; `why`: it could not be said; `expected`: as happens where all nodes are
 * stopped together. */
static void goodbye_log(int status, const char *why, bool expected)
{
    const struct log_field *fields = status ? LOG_FIELDS(LOG_NUMBER("status", status)) : NULL;
    if (why)
        logline_event(expected ? LOGLINE_INFO : LOGLINE_WARN, "goodbye", fields,
                      "could not say goodbye to the master: %s", why);
    else
        logline_event(LOGLINE_INFO, "goodbye", fields, "said goodbye to the master");
}

static void goodbye_answered(int status)
{
    if (status == 503)
        goodbye_log(status, "it is shutting down", true);
    else
        goodbye_log(status, status == 204 ? NULL : http_reason(status), false);
}

static int call_answered(void *ctx, int status, struct span body)
{
    struct registrar *registrar = ctx;
    registrar->over = true;
    if (registrar->state == REGISTRAR_LEAVES)
        goodbye_answered(status);
    else if (status != 200)
        complain_refused(registrar, status, body);
    else if (answer_take(registrar, body))
        registrar->state = REGISTRAR_LISTENS;
    return 0;
}

static void call_failed(void *ctx, int error, const char *why)
{
    struct registrar *registrar = ctx;
    if (registrar->over)
        return;
    registrar->over = true;
    if (registrar->state == REGISTRAR_LEAVES)
        goodbye_log(0, why, error == -ECONNREFUSED);
    else
        complain_unreachable(registrar, error, why);
}

/* Closes the client of a call that is over. */
static void call_end(struct registrar *registrar)
{
    if (!registrar->client)
        return;
    if (http_client_connected(registrar->client))
        registrar->master = http_client_address(registrar->client);
    http_client_close(registrar->client);
    registrar->client = NULL;
}

/* Calls the master, in the state that the call is of. */
static void call_begin(struct registrar *registrar, const struct http_address *known, const char *method,
                       const char *target, const struct buf *body)
{
    static const struct http_client_events events = {.answered = call_answered, .failed = call_failed};
    const struct base *base = registrar->base;
    call_end(registrar);
    registrar->over = false;
    int result = body->failed ? -ENOMEM
                              : http_client_open(&registrar->client, base->dialer, &registrar->url, known,
                                                 &events, registrar);
    if (result >= 0)
        result =
            http_client_request(registrar->client, method, target, base->fields, buf_span(body), NULL, "");
    if (result < 0)
        call_failed(registrar, result, strerror(-result));
}

static void registration_write(struct registrar *registrar, struct buf *out)
{
    const struct base *base = registrar->base;
    struct log_tail tail = base_will_hold(base);
    struct wire_register registration = {
        .from = base->own,
        .port = base->port,
        .last_id = follow_shown(registrar->follow),
        .stored = tail.last, /* what does not show yet will: a new master must have it, too */
        .digest = {true, tail.digest},
        .complete = follow_complete(registrar->follow),
        .durable = !base_holds_at_once(base),
        .on_disk = base->store != NULL,
    };
    snprintf(registration.from.id, sizeof registration.from.id, "%s", base->settings->secondary_id);
    snprintf(registration.url, sizeof registration.url, "%s", base->settings->advertise_url);
    wire_register_write(out, &registration);
    registrar->described = log_last(base->log);
}

static void registrar_register(struct registrar *registrar, int64_t now_ms)
{
    struct buf body = {0};
    registration_write(registrar, &body);
    registrar->state = REGISTRAR_CALLS;
    registrar->until_ms = now_ms + CALL_MS;
    registrar->told = true;
    if (!registrar->lost_ms)
        registrar->lost_ms = now_ms;
    call_begin(registrar, NULL, "POST", "/register", &body);
    buf_free(&body);
}

void registrar_leave(struct registrar *registrar, int64_t until_ms)
{
    char target[WIRE_ID_SIZE * 3 + WIRE_NAME_SIZE + 32] = "/secondaries/";
    size_t len = strlen(target);
    if (registrar->state == REGISTRAR_LEAVES || registrar->state == REGISTRAR_LEFT)
        return;
    for (const char *c = registrar->base->own.id; *c; c++)
        len += (size_t)snprintf(target + len, sizeof target - len, "%%%02X", (unsigned char)*c);
    snprintf(target + len, sizeof target - len, "?boot=%s", registrar->base->own.boot);
    bool known = registrar->told && registrar->base->own.id[0];
    if (known && !registrar->base->settings->goodbye) {
        logline_event(LOGLINE_INFO, "goodbye", NULL, "says no goodbye, and stays the master's member");
        known = false;
    }
    registrar->state = known ? REGISTRAR_LEAVES : REGISTRAR_LEFT;
    registrar->until_ms = until_ms;
    if (known)
        call_begin(registrar, &registrar->master, "DELETE", target, &(struct buf){0});
    else
        call_end(registrar);
}

/* ---- the whole */

/* The time of a call is over, unless it has ended already. */
static void call_expire(struct registrar *registrar, int64_t now_ms)
{
    if (registrar->state == REGISTRAR_CALLS && !registrar->over && http_client_looks_up(registrar->client))
        registrar->until_ms = now_ms + CALL_MS;
    if (now_ms >= registrar->until_ms)
        call_failed(registrar, -ETIMEDOUT, strerror(ETIMEDOUT));
}

/* Registered: notices that the master has closed its connection and not dialled again, or has been silent for
 * too long. */
static void silence_notice(struct registrar *registrar, int64_t now_ms)
{
    bool ended = registrar->comes_back_ms != CLOCK_NEVER;
    registrar->until_ms =
        clock_earlier(registrar->heard_ms + silence_ms(registrar), registrar->comes_back_ms);
    if (now_ms < registrar->until_ms)
        return;
    if (ended)
        complain(registrar->base->complaints, LOGLINE_INFO, "", "silent", NULL,
                 "the master's connection has ended: registering again");
    else
        complain(registrar->base->complaints, LOGLINE_WARN, "", "silent",
                 LOG_FIELDS(LOG_NUMBER("ms", silence_ms(registrar))),
                 "heard nothing from the master for %.1f s: registering again",
                 (double)silence_ms(registrar) / 1000);
    registrar_register(registrar, now_ms);
}

int64_t registrar_pass(struct registrar *registrar, int64_t now_ms)
{
    if (is_calling(registrar))
        call_expire(registrar, now_ms);
    if (registrar->over && registrar->client)
        call_end(registrar);
    if (registrar->over && registrar->state == REGISTRAR_LEAVES)
        registrar->state = REGISTRAR_LEFT;
    else if (registrar->over && registrar->state == REGISTRAR_CALLS)
        registrar_pause(registrar, now_ms);
    else if (registrar->state == REGISTRAR_LISTENS)
        silence_notice(registrar, now_ms);
    else if (registrar->state == REGISTRAR_PAUSES && now_ms >= registrar->until_ms)
        registrar_register(registrar, now_ms);
    if (registrar->over && (is_calling(registrar) || registrar->client))
        return now_ms;
    return registrar->state == REGISTRAR_LEFT ? CLOCK_NEVER : registrar->until_ms;
}

struct registrar *registrar_open(const struct base *base, struct follow *follow)
{
    struct registrar *registrar = calloc(1, sizeof *registrar);
    if (!registrar || !http_url_parse(span_of(base->settings->master_url), &registrar->url)) {
        free(registrar);
        return NULL;
    }
    registrar->base = base;
    registrar->follow = follow;
    registrar->state = REGISTRAR_PAUSES;
    registrar->heartbeat_ms = HEARTBEAT_UNKNOWN_MS;
    registrar->comes_back_ms = CLOCK_NEVER;
    return registrar;
}

void registrar_close(struct registrar *registrar)
{
    call_end(registrar);
    free(registrar);
}
