#include "peers.h"
#include "checker.h"
#include "clock.h"
#include "http/router.h"
#include "log/digest.h"
#include "world.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_US = 5000000 };

static const char json_fields[] = "Content-Type: application/json\r\n";

/* What is wrong with its answers. */
enum lie {
    LIE_ID,
    LIE_BOOT,
    LIE_LOG,
    LIE_EPOCH,
    LIE_DIGEST,
    LIE_AHEAD,
    LIE_LESS,
    LIE_NO_DIGEST,
    LIE_STATUS,
    LIE_WORDS,
    LIES
};

static struct {
    struct proc proc;
    enum lie lie;
    bool greets;
    bool stingy; /* tells of messages, and gives none */
    char boot[WIRE_NAME_SIZE];
} liar;

static const struct machine *dialler(const struct http_exchange *exchange)
{
    int host = 0;
    sscanf(http_exchange_peer(exchange), "10.0.0.%d", &host);
    struct proc *proc = host ? network_proc(host - 1) : NULL;
    return proc ? proc->owner : NULL;
}

/* The right answer for all that the master has, or for nothing. */
static struct wire_ack truth(const struct machine *master, bool whole)
{
    const struct node_view view = node_view(master->node);
    struct wire_ack ack = {.from = *view.own, .last_id = {true, whole ? log_last(view.log) : 0}};
    snprintf(ack.from.id, sizeof ack.from.id, "liar");
    snprintf(ack.from.boot, sizeof ack.from.boot, "%s", liar.boot);
    ack.digest.value = log_digest(view.log, ack.last_id.value);
    return ack;
}

static uint64_t before_of(struct span body)
{
    const char *first = body.len ? strstr(body.at, "\"first\":") : NULL;
    return first ? strtoull(first + 8, NULL, 10) - 1 : 0;
}

/* `before`: what comes before the messages of the request. */
static void lie_into(struct wire_ack *ack, uint64_t before, const struct log *log)
{
    switch (liar.lie) {
    case LIE_ID:
        snprintf(ack->from.id, sizeof ack->from.id, "s1");
        break;
    case LIE_BOOT:
        wire_name_new(ack->from.boot);
        break;
    case LIE_LOG:
        wire_name_new(ack->from.log);
        break;
    case LIE_EPOCH:
        ack->from.epoch += random_percent(50) ? 1 : (uint64_t)-1;
        break;
    case LIE_AHEAD:
        ack->last_id.value += 1 + random_below(3);
        ack->digest.value ^= 1;
        break;
    case LIE_LESS:
        ack->last_id.value = before < log_last(log) ? before : 0;
        ack->digest.value = log_digest(log, ack->last_id.value) ^ !ack->last_id.value; /* nothing is no lie */
        break;
    default:
        ack->digest.value ^= 1 + random_below(100);
        break;
    }
}

static void ack_answer(struct http_exchange *exchange, const struct wire_ack *ack)
{
    struct buf body = {0};
    struct buf identity = {0};
    if (liar.lie == LIE_NO_DIGEST) {
        buf_addf(&body,
                 "{\"last_id\":%" PRIu64 ",\"id\":\"liar\",\"boot\":\"%s\",\"log\":\"%s\",\"epoch\":%" PRIu64
                 "}",
                 ack->last_id.value, ack->from.boot, ack->from.log, ack->from.epoch);
    } else {
        buf_add_char(&body, '{');
        wire_identity_write(&identity, &ack->from);
        wire_ack_write(&body, ack->last_id.value, buf_span(&identity), ack->digest.value);
        buf_add_char(&body, '}');
    }
    http_answer_json(exchange, liar.lie == LIE_STATUS ? 409 : 200, NULL, &body);
    buf_free(&identity);
}

static void liar_replicate(void *ctx, const struct http_request *request, const char *rest,
                           struct http_exchange *exchange)
{
    const struct machine *master = dialler(exchange);
    (void)ctx;
    (void)rest;
    bool greeting = !request->body.len;
    if (!master || !master->node || (liar.lie == LIE_WORDS && !greeting)) {
        http_answer(exchange, 200, NULL, span_of("{\"last_id\":\"all\"}"));
        return;
    }
    struct wire_ack ack = truth(master, !greeting || !liar.greets);
    if (!greeting || !liar.greets)
        lie_into(&ack, before_of(request->body), node_view(master->node).log);
    enum lie lie = liar.lie;
    if (greeting && liar.greets)
        liar.lie = LIE_DIGEST; /* which is not looked at */
    ack_answer(exchange, &ack);
    liar.lie = lie;
}

/* Some messages that nobody has sent. */
static void liar_messages(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    struct buf body = {0};
    unsigned count = liar.stingy ? 0 : random_below(5);
    (void)ctx;
    (void)request;
    (void)rest;
    buf_add_text(&body, "{\"messages\":[");
    for (unsigned i = 0; i < count; i++) {
        const struct posted *posted = posted_new(SOURCE_LIAR, 0, 0);
        buf_addf(&body, "%s\"%s\"", i ? "," : "", posted ? posted->text : "l");
    }
    buf_add_text(&body, "]}");
    http_answer_json(exchange, 200, NULL, &body);
}

static int64_t liar_pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    (void)now_ms;
    return CLOCK_NEVER;
}

static const struct http_route liar_routes[] = {
    {.method = "POST", .path = "/replicate", .handle = liar_replicate},
    {.method = "GET", .path = "/messages", .handle = liar_messages},
    {0},
};

void liar_start(bool greets)
{
    if (liar.proc.alive)
        return;
    memset(&liar, 0, sizeof liar);
    liar.lie = random_below(LIES);
    liar.greets = greets;
    liar.stingy = random_percent(30);
    wire_name_new(liar.boot);
    liar.proc.host = HOST_LIAR;
    liar.proc.serves = true;
    liar.proc.service = (struct http_service){.routes = liar_routes, .pass = liar_pass};
    snprintf(liar.proc.name, sizeof liar.proc.name, "liar%d", (int)liar.lie);
    proc_start(&liar.proc);
}

void liar_end(void)
{
    if (liar.proc.alive)
        proc_die(&liar.proc, false);
}

/* ---- registrations */

static void registration_send(struct proc *person, const struct machine *master,
                              const struct wire_register *registration)
{
    struct buf body = {0};
    wire_register_write(&body, registration);
    trace("a registration by hand: %.*s", (int)body.len, body.data);
    network_ask(person, master->proc.host, "POST", "/register", json_fields, buf_span(&body), NULL,
                PATIENCE_US);
    buf_free(&body);
}

/* One that tells some position in the master's list. */
static struct wire_register registration_of(const struct machine *master, unsigned more)
{
    const struct node_view view = node_view(master->node);
    struct wire_register registration = {
        .port = NETWORK_PORT, .from.epoch = view.own->epoch, .digest.is = true};
    uint64_t last = log_last(view.log);
    registration.stored = random_below((unsigned)last + more + 1);
    registration.last_id = registration.stored;
    registration.digest.value =
        registration.stored <= last ? log_digest(view.log, registration.stored) : random_below(1000000);
    snprintf(registration.from.log, sizeof registration.from.log, "%s", view.own->log);
    return registration;
}

void liar_register(struct proc *person, const struct machine *master)
{
    struct wire_register registration = registration_of(master, liar.greets ? 0 : 3);
    snprintf(registration.from.id, sizeof registration.from.id, "liar");
    snprintf(registration.url, sizeof registration.url, "%s", network_url(HOST_LIAR));
    snprintf(registration.from.boot, sizeof registration.from.boot, "%s", liar.boot);
    registration_send(person, master, &registration);
}

void forge_registration(struct proc *person, const struct machine *master, const struct machine *secondary)
{
    struct wire_register registration = registration_of(master, 0);
    bool ghost = random_percent(30);
    int host = random_percent(50) ? secondary->proc.host : (int)random_below(HOST_SPARES) + 1;
    snprintf(registration.from.id, sizeof registration.from.id, "%s", ghost ? "ghost" : secondary->id);
    snprintf(registration.url, sizeof registration.url, "%s", network_url(host));
    if (random_percent(50))
        wire_name_new(registration.from.boot);
    registration_send(person, master, &registration);
}

/* ---- messages by hand */

void forge_replicate(struct proc *person, const struct machine *secondary)
{
    const struct posted *posted = posted_new(SOURCE_HAND, 0, 0);
    struct buf body = {0};
    if (!posted)
        return;
    buf_addf(&body, "{\"log\":\"%s\",\"first\":%u,\"messages\":[\"%s\"]}",
             random_percent(50) && secondary->source && secondary->source->node
                 ? node_view(secondary->source->node).own->log
                 : "by-hand",
             secondary->listed + 1, posted->text);
    trace("a message by hand to %s: %s", secondary->proc.name, posted->text);
    network_ask(person, secondary->proc.host, "POST", "/replicate", json_fields, buf_span(&body), NULL,
                PATIENCE_US);
    buf_free(&body);
}
