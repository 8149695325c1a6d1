#include "replication/admission.h"
#include "clock.h"
#include "json.h"
#include "logline.h"
#include "replication/takeover.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUIET_MS = 2000,          /* a take-over that brings nothing for so long gives its place to another */
    REFUSED_SHOWN_MS = 60000, /* so long a refusal is told in GET /health, */
    REFUSED_SHOWN_MOST = 100, /* and so many of them */
    REASON_SIZE = WIRE_ERROR_SIZE
};

/* Who registers, and where. */
struct applicant {
    struct wire_register says;
    struct link_target at;
};

/* Why a list is refused. */
struct reason {
    const char *told;  /* for a log line, which should fit a terminal */
    const char *why;   /* the same for GET /health and the secondary */
    const char *raise; /* the setting of the master that it does not fit; NULL: one of the lists must go */
};

/* The latest refusal of an id. */
struct refusal {
    struct wire_register says;
    const struct reason *reason;
    int64_t at_ms; /* 0: it has been accepted since */
};

struct admission {
    struct base *base;
    struct members *members;
    struct takeover *takeover;           /* NULL: none under way */
    struct applicant holder;             /* whose list is taken over */
    struct http_exchange *exchange;      /* of its registration */
    struct refusal refused[MEMBERS_MAX]; /* a new id takes the oldest's place */
    unsigned refused_next;
};

struct admission *admission_open(struct base *base, struct members *members)
{
    struct admission *admission = calloc(1, sizeof *admission);
    if (!admission)
        return NULL;
    admission->base = base;
    admission->members = members;
    return admission;
}

void admission_close(struct admission *admission)
{
    free(admission);
}

bool admission_takes_over(const struct admission *admission)
{
    return admission->takeover != NULL;
}

/* ---- answers */

/* Fills in what a registration leaves out: the caller's address, and host:port as the id; and where it says
 * that the secondary is. Returns NULL, or what is wrong. */
static const char *applicant_complete(struct applicant *applicant, const char *peer)
{
    struct wire_register *registration = &applicant->says;
    struct link_target *at = &applicant->at;
    if (!registration->url[0]) {
        const char *colon = strrchr(peer, ':');
        if (!registration->port)
            return "send \"url\", or \"port\" for the caller's own address";
        snprintf(registration->url, sizeof registration->url, "http://%.*s:%u", (int)(colon - peer), peer,
                 registration->port);
    }
    *at = (struct link_target){.complete = registration->complete, .durable = registration->durable};
    snprintf(at->boot, sizeof at->boot, "%s", registration->from.boot);
    if (!http_url_parse(span_of(registration->url), &at->url))
        return "\"url\" must be http://HOST:PORT and nothing else";
    if (!registration->from.id[0])
        http_url_authority(&at->url, registration->from.id, sizeof registration->from.id);
    if (!wire_name_valid(registration->from.id))
        return "\"id\" must be visible ASCII without quotes and backslashes";
    if (registration->stored && !registration->from.log[0])
        return "\"log\" is missing: which list do the messages belong to?";
    return NULL;
}

static void answer_conflict(const struct admission *admission, struct http_exchange *exchange,
                            const char *why)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"error\":");
    json_quote(span_of(why), &body);
    buf_addf(&body, ",\"last_id\":%" PRIu64 "}", log_last(admission->base->log));
    http_answer_json(exchange, 409, NULL, &body);
}

static void answer_registered(const struct admission *admission, const char *id,
                              struct http_exchange *exchange)
{
    const struct base *base = admission->base;
    struct wire_registered answer = {
        .from = base->own, .last_id = log_last(base->log), .heartbeat_ms = base->settings->heartbeat_ms};
    struct buf body = {0};
    snprintf(answer.from.id, sizeof answer.from.id, "%s", id);
    wire_registered_write(&body, &answer);
    http_answer_json(exchange, 200, NULL, &body);
}

/* ---- refusals */

static unsigned refused_count(const struct admission *admission)
{
    return admission->refused_next < MEMBERS_MAX ? admission->refused_next : MEMBERS_MAX;
}

/* What a secondary was refused with last, or NULL. */
static struct refusal *refused_find(struct admission *admission, const char *id)
{
    for (unsigned i = 0; i < refused_count(admission); i++)
        if (strcmp(admission->refused[i].says.from.id, id) == 0)
            return &admission->refused[i];
    return NULL;
}

/* What the secondary was refused with last, where that was for just this list; else NULL. */
static const struct reason *reason_before(struct admission *admission,
                                          const struct wire_register *registration)
{
    const struct refusal *last = refused_find(admission, registration->from.id);
    bool same = last && strcmp(last->says.from.log, registration->from.log) == 0 &&
                last->says.stored == registration->stored &&
                last->says.digest.value == registration->digest.value;
    return same ? last->reason : NULL;
}

static void refused_remember(struct admission *admission, const struct wire_register *registration,
                             const struct reason *reason)
{
    struct refusal *last = refused_find(admission, registration->from.id);
    if (!last)
        last = &admission->refused[admission->refused_next++ % MEMBERS_MAX];
    *last = (struct refusal){.says = *registration, .reason = reason, .at_ms = clock_ms()};
}

static const struct reason reason_other = {"another log", "its list belongs to another log", NULL};
static const struct reason reason_ahead = {
    "ahead", "its list is ahead of this master's, to which others were appended since its start", NULL};
static const struct reason reason_differs = {
    "another list", "its list differs from this master's although both have the same log id", NULL};
static const struct reason reason_long_list = {
    "its list is too long", "its list is longer than this master's MAX_LOG allows", "MAX_LOG"};
static const struct reason reason_long_message = {
    "a message is too long", "a message of its list is longer than this master's MAX_MESSAGE allows",
    "MAX_MESSAGE"};

/* What a person can do: a list in memory goes with a restart, one on disk when its directory is moved away.
 */
static void reason_say(const struct admission *admission, const struct wire_register *registration,
                       const struct reason *reason, char out[REASON_SIZE])
{
    const char *secondary =
        registration->on_disk ? "move the secondary's DATA_DIR away and restart it" : "restart the secondary";
    const char *master =
        admission->base->store ? "move the master's DATA_DIR away, restart it" : "restart the master empty";
    if (reason->raise)
        snprintf(out, REASON_SIZE,
                 "%s; nothing is thrown away: restart the master with a greater %s to keep the list, or %s "
                 "to have it "
                 "take this master's",
                 reason->why, reason->raise, secondary);
    else
        snprintf(
            out, REASON_SIZE,
            "%s; nothing is thrown away: %s to have it take this master's list, or %s and let this secondary "
            "register first to keep the secondary's",
            reason->why, secondary, master);
}

/* The same in few words. */
static void reason_tell(const struct admission *admission, const struct wire_register *registration,
                        const struct reason *reason, char out[REASON_SIZE])
{
    const char *secondary = registration->on_disk ? "move its DATA_DIR away" : "restart it";
    static const char *const steps[2][2] = {{"the master", "restart the master"},
                                            {"move the master's DATA_DIR away", "the master's"}};
    const char *master = steps[admission->base->store != NULL][registration->on_disk];
    if (reason->raise)
        snprintf(out, REASON_SIZE, "%s: restart the master with a greater %s", reason->told, reason->raise);
    else
        snprintf(out, REASON_SIZE, "%s: %s, or %s to keep its list", reason->told, secondary, master);
}

/* A secondary that is refused tries again and again. */
static void registration_refuse(struct admission *admission, const struct wire_register *registration,
                                const struct reason *reason, struct http_exchange *exchange)
{
    char why[REASON_SIZE];
    reason_tell(admission, registration, reason, why);
    complain(admission->base->complaints, LOGLINE_ERROR, registration->from.id, "refused",
             LOG_FIELDS(LOG_TEXT("member", registration->from.id), LOG_NUMBER("last", registration->stored),
                        LOG_NUMBER("status", 409)),
             "refused %s, %s", registration->from.id, why);
    refused_remember(admission, registration, reason);
    reason_say(admission, registration, reason, why);
    answer_conflict(admission, exchange, why);
}

void admission_write_refused(const struct admission *admission, int64_t now_ms, struct buf *out)
{
    int rows = 0;
    buf_add_char(out, '[');
    for (unsigned i = 0; i < refused_count(admission) && rows < REFUSED_SHOWN_MOST; i++) {
        const struct refusal *refusal = &admission->refused[i];
        if (!refusal->at_ms || now_ms - refusal->at_ms > REFUSED_SHOWN_MS)
            continue;
        char why[REASON_SIZE];
        reason_say(admission, &refusal->says, refusal->reason, why);
        buf_add_text(out, rows++ ? ",{\"id\":" : "{\"id\":");
        json_quote(span_of(refusal->says.from.id), out);
        buf_addf(out, ",\"reason\":\"%s\"}", why);
    }
    buf_add_char(out, ']');
}

static void applicant_accept(struct admission *admission, const struct applicant *applicant,
                             struct http_exchange *exchange)
{
    const char *id = applicant->says.from.id;
    int result = members_register(admission->members, id, &applicant->at, applicant->says.last_id);
    struct refusal *refusal = refused_find(admission, id);
    if (result == 0 && refusal)
        refusal->at_ms = 0;
    if (result == 0)
        answer_registered(admission, id, exchange);
    else if (result == -ENOSPC)
        http_answer_unavailable(exchange, "there are as many members as this master takes");
    else
        http_answer_unavailable(exchange, "there is no memory for another member");
}

/* ---- how two lists stand to each other */

enum relation {
    LIST_BEGINS_OURS, /* the master can send the rest */
    LIST_GOES_ON,     /* the master can take it over, or what it has more */
    LIST_IS_OTHER
};

static enum relation registration_relation(const struct admission *admission,
                                           const struct wire_register *registration,
                                           const struct reason **why)
{
    const struct base *base = admission->base;
    uint64_t last = log_last(base->log);
    bool same = strcmp(base->own.log, registration->from.log) == 0;
    if (registration->stored == 0)
        return LIST_BEGINS_OURS;
    if (same && registration->stored <= last) {
        *why = &reason_differs;
        bool differs = registration->digest.is &&
                       registration->digest.value != log_digest(base->log, registration->stored);
        return differs ? LIST_IS_OTHER : LIST_BEGINS_OURS;
    }
    *why = same ? &reason_ahead : &reason_other;
    bool empty =
        last == 0 && !(base->store && store_missing(base->store)); /* those are messages of its own log */
    return !base->appended && (same || empty) ? LIST_GOES_ON : LIST_IS_OTHER;
}

/* ---- the take-over */

/* Keeps the registration open until the list is taken over. */
static void takeover_begin(struct admission *admission, const struct applicant *applicant,
                           struct http_exchange *exchange)
{
    struct applicant *holder = &admission->holder;
    *holder = *applicant;
    admission->exchange = exchange;
    admission->takeover = takeover_open(admission->base, &holder->says, &holder->at.url, clock_ms());
    if (admission->takeover)
        acks_gate(admission->base->acks, true); /* at once: a POST may come in this very pass */
    else
        http_answer_unavailable(exchange, "there is no memory to take over the list");
}

/* The list is proven: this master goes on with its log, in the next epoch, before its first message goes to
 * any member. */
static void takeover_adopt(struct admission *admission)
{
    struct wire_identity *own = &admission->base->own;
    const struct wire_register *holder = &admission->holder.says;
    if (strcmp(own->log, holder->from.log) == 0 && own->epoch > holder->from.epoch)
        return;
    snprintf(own->log, sizeof own->log, "%s", holder->from.log);
    own->epoch = holder->from.epoch < WIRE_EPOCH_MAX ? holder->from.epoch + 1 : WIRE_EPOCH_MAX;
    store_changed(admission->base->store);
    members_renew(admission->members);
}

/* Why a list that ends a take-over like this is refused; NULL where it is not. */
static const struct reason *takeover_refuses(enum takeover_state state)
{
    switch (state) {
    case TAKEOVER_DIFFERS:
        return &reason_differs;
    case TAKEOVER_LONG_LIST:
        return &reason_long_list;
    case TAKEOVER_LONG_MESSAGE:
        return &reason_long_message;
    default:
        return NULL;
    }
}

/* Ends the take-over, whatever its state, and answers the registration that began it. `why`: from outside, or
 * NULL. */
static void takeover_end(struct admission *admission, const char *why)
{
    struct http_exchange *exchange = admission->exchange;
    const struct wire_register *holder = &admission->holder.says;
    enum takeover_state state = takeover_state(admission->takeover);
    const struct reason *reason = takeover_refuses(state);
    if (state == TAKEOVER_DONE) {
        logline_event(LOGLINE_INFO, "takeover",
                      LOG_FIELDS(LOG_TEXT("member", holder->from.id),
                                 LOG_NUMBER("last", log_last(admission->base->log))),
                      "took over the list of %s: %" PRIu64 " messages", holder->from.id,
                      log_last(admission->base->log));
        applicant_accept(admission, &admission->holder, exchange);
    } else if (reason) {
        registration_refuse(admission, holder, reason, exchange);
    } else {
        complain(admission->base->complaints, LOGLINE_ERROR, holder->from.id, "takeover_failed",
                 LOG_FIELDS(LOG_TEXT("member", holder->from.id)),
                 "the list of %s could not be taken over: %s; nothing of it is kept that was not proven",
                 holder->from.id, why ? why : takeover_why(admission->takeover));
        http_answer_unavailable(exchange, "the list could not be fetched from the secondary's URL");
    }
    takeover_close(admission->takeover);
    admission->takeover = NULL;
}

/* Appends a part of the proven list. */
static void takeover_go_on(struct admission *admission)
{
    assert(!admission->base->appended); /* the gate is closed */
    takeover_adopt(admission);
    takeover_append(admission->takeover);
    acks_appended(admission->base->acks, base_held(admission->base).last);
}

int64_t admission_pass(struct admission *admission, int64_t now_ms, bool stop)
{
    if (!admission->takeover)
        return CLOCK_NEVER;
    int64_t next_ms = takeover_pass(admission->takeover, now_ms);
    if (takeover_state(admission->takeover) == TAKEOVER_PROVEN && !stop)
        takeover_go_on(admission);
    enum takeover_state state = takeover_state(admission->takeover);
    if (state == TAKEOVER_PROVEN && !stop)
        return now_ms; /* there is more to append */
    if (state != TAKEOVER_FETCHES || stop)
        takeover_end(admission, stop ? "the master is shutting down" : NULL);
    return admission->takeover ? next_ms : now_ms;
}

/* A registration comes while a list is taken over. The take-over ends where the secondary with the list has
 * come back with less, or where nothing comes any more and this secondary has messages that are missing. */
static void takeover_look(struct admission *admission, const struct wire_register *registration)
{
    const struct reason *why;
    const struct wire_register *holder = &admission->holder.says;
    if (takeover_state(admission->takeover) != TAKEOVER_FETCHES)
        return;
    if (strcmp(registration->from.id, holder->from.id) == 0) {
        if (registration->stored < holder->stored)
            takeover_end(admission, "it has come back with less");
    } else if (takeover_quiet_ms(admission->takeover, clock_ms()) >= QUIET_MS &&
               registration_relation(admission, registration, &why) == LIST_GOES_ON) {
        takeover_end(admission, "nothing comes, and another secondary has messages");
    }
}

/* ---- requests */

static void applicant_handle(struct admission *admission, const struct applicant *applicant,
                             struct http_exchange *exchange)
{
    const struct wire_register *registration = &applicant->says;
    const struct reason *why = NULL;
    const struct reason *before = reason_before(admission, registration);
    enum relation relation = registration_relation(admission, registration, &why);
    if (relation == LIST_GOES_ON && before) {
        registration_refuse(admission, registration, before, exchange); /* it was fetched before */
    } else if (relation == LIST_IS_OTHER) {
        registration_refuse(admission, registration, why, exchange);
    } else if (relation == LIST_BEGINS_OURS) {
        applicant_accept(admission, applicant, exchange);
    } else if (!registration->digest.is) {
        http_answer_error(exchange, 400, NULL,
                          "\"digest\" is missing: a list is taken over with its proof only");
    } else {
        takeover_begin(admission, applicant, exchange);
    }
}

void admission_register(struct admission *admission, const struct http_request *request,
                        struct http_exchange *exchange)
{
    struct applicant applicant;
    char place[JSON_WHY_SIZE];
    const char *why = wire_register_read(request->body, &applicant.says, place);
    if (!why)
        why = applicant_complete(&applicant, http_exchange_peer(exchange));
    if (why) {
        http_answer_error(exchange, 400, NULL, "%s", why);
        return;
    }
    if (members_said_goodbye(admission->members, applicant.at.boot)) {
        answer_conflict(admission, exchange, "this process has said goodbye");
        return;
    }
    if (admission->takeover)
        takeover_look(admission, &applicant.says);
    if (admission->takeover) {
        http_answer_unavailable(exchange,
                                "the master is taking over the list of %s; register again in a moment",
                                admission->holder.says.from.id);
        return;
    }
    applicant_handle(admission, &applicant, exchange);
}

/* The process whose list is being taken over says goodbye, or a person removes it. */
static bool holder_leaves(const struct admission *admission, const char *id, const char *boot)
{
    return admission->takeover && takeover_state(admission->takeover) == TAKEOVER_FETCHES &&
           strcmp(id, admission->holder.says.from.id) == 0 &&
           (!boot[0] || strcmp(boot, admission->holder.says.from.boot) == 0);
}

void admission_remove(struct admission *admission, const char *id, const char *boot,
                      struct http_exchange *exchange)
{
    bool holder = holder_leaves(admission, id, boot);
    if (holder)
        takeover_end(admission, "it leaves");
    enum members_removal removal = members_remove(admission->members, id, boot);
    if (removal == MEMBERS_REMOVED || holder)
        http_answer(exchange, 204, NULL, (struct span){0});
    else if (removal == MEMBERS_OTHER_BOOT)
        http_answer_error(exchange, 409, NULL, "the member %.200s is another process by now", id);
    else
        http_answer_error(exchange, 404, NULL, "there is no member %.200s", id);
}
