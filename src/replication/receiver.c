#include "replication/receiver.h"
#include "clock.h"
#include "json.h"
#include "logline.h"
#include "replication/answer.h"
#include "replication/link.h"
#include "replication/wire.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_AROUND = 4096 };

/* A request whose messages do not all show yet. */
struct waiting {
    struct waiting *next;
    struct http_exchange *exchange;
    uint64_t last;
    bool interim; /* a master waits, which understands interim answers: many clients take one for the final */
};

/* Messages that will show. Their times come in order, since each is the arrival and the same delay. */
struct arrival {
    struct arrival *next;
    int64_t due_ms;
    uint64_t last;
};

struct receiver {
    struct receiver_config config;
    _Atomic uint64_t shown; /* written by the loop's thread */
    struct arrival *arrivals, **arrivals_end;
    struct waiting *waiting, **waiting_end;
    int64_t interim_ms; /* when to send the next signs of life */
    unsigned random;
};

struct receiver *receiver_open(const struct receiver_config *config)
{
    struct receiver *receiver = calloc(1, sizeof *receiver);
    if (!receiver)
        return NULL;
    receiver->config = *config;
    receiver->arrivals_end = &receiver->arrivals;
    receiver->waiting_end = &receiver->waiting;
    receiver->random = (unsigned)clock_us();
    return receiver;
}

void receiver_close(struct receiver *receiver)
{
    while (receiver->arrivals) {
        struct arrival *arrival = receiver->arrivals;
        receiver->arrivals = arrival->next;
        free(arrival);
    }
    free(receiver);
}

uint64_t receiver_shown(const struct receiver *receiver)
{
    return atomic_load_explicit(&receiver->shown, memory_order_acquire);
}

uint64_t receiver_body_limit(const struct receiver *receiver)
{
    uint64_t longest = (uint64_t)receiver->config.max_message * JSON_EXPANSION_MAX;
    return (longest > LINK_BATCH_BYTES ? longest : LINK_BATCH_BYTES) + JSON_AROUND;
}

/* ---- answers */

static void answer_position(struct receiver *receiver, struct http_exchange *exchange)
{
    struct buf body = {0};
    wire_position_write(&body, receiver_shown(receiver));
    http_answer_json(exchange, 200, &body);
}

static void refuse(struct receiver *receiver, struct http_exchange *exchange, const char *why)
{
    logline(LOGLINE_WARN, "refused messages from %s: %s", http_exchange_peer(exchange), why);
    answer_conflict(exchange, why, receiver_shown(receiver));
}

/* The answer to a request whose messages show. */
static void answer_stored(struct receiver *receiver, struct http_exchange *exchange)
{
    double random = rand_r(&receiver->random) / ((double)RAND_MAX + 1);
    if (random < receiver->config.errors)
        http_answer_error(exchange, 500, NULL,
                          "the messages were stored; SECONDARY_ERRORS asks for this answer");
    else
        answer_position(receiver, exchange);
}

void receiver_sign_of_life(struct receiver *receiver, struct http_exchange *exchange)
{
    answer_position(receiver, exchange);
}

/* ---- showing */

static void show(struct receiver *receiver, uint64_t last)
{
    atomic_store_explicit(&receiver->shown, last, memory_order_release);
}

static void waiting_answer(struct receiver *receiver)
{
    uint64_t shown = receiver_shown(receiver);
    for (struct waiting **at = &receiver->waiting; *at;) {
        struct waiting *waiting = *at;
        if (waiting->last > shown) {
            at = &waiting->next;
            continue;
        }
        *at = waiting->next;
        if (!*at)
            receiver->waiting_end = at;
        answer_stored(receiver, waiting->exchange);
        free(waiting);
    }
}

static void arrivals_show(struct receiver *receiver, int64_t now_ms)
{
    uint64_t before = receiver_shown(receiver);
    while (receiver->arrivals && receiver->arrivals->due_ms <= now_ms) {
        struct arrival *arrival = receiver->arrivals;
        receiver->arrivals = arrival->next;
        if (!receiver->arrivals)
            receiver->arrivals_end = &receiver->arrivals;
        show(receiver, arrival->last);
        free(arrival);
    }
    if (receiver_shown(receiver) == before)
        return;
    logline(LOGLINE_INFO, "messages up to %" PRIu64 " show now, %" PRId64 " ms after they arrived",
            receiver_shown(receiver), receiver->config.delay_ms);
    waiting_answer(receiver);
}

/* The messages up to `last` are stored: they show after the delay. `arrival` is what was allocated for it,
 * unless there is no delay. */
static void arrival_add(struct receiver *receiver, struct arrival *arrival, uint64_t last)
{
    if (!arrival) {
        show(receiver, last);
        return;
    }
    /* One more for what clock_ms cuts off: never early. */
    *arrival = (struct arrival){.due_ms = clock_ms() + 1 + receiver->config.delay_ms, .last = last};
    *receiver->arrivals_end = arrival;
    receiver->arrivals_end = &arrival->next;
}

static bool waiting_add(struct receiver *receiver, struct http_exchange *exchange, uint64_t last,
                        bool interim)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting)
        return false;
    waiting->exchange = exchange;
    waiting->last = last;
    waiting->interim = interim;
    *receiver->waiting_end = waiting;
    receiver->waiting_end = &waiting->next;
    return true;
}

int64_t receiver_pass(struct receiver *receiver, int64_t now_ms, int64_t interim_ms)
{
    arrivals_show(receiver, now_ms);
    if (!receiver->arrivals)
        return CLOCK_NEVER;
    if (now_ms >= receiver->interim_ms) {
        receiver->interim_ms = now_ms + interim_ms;
        for (struct waiting *waiting = receiver->waiting; waiting; waiting = waiting->next)
            if (waiting->interim)
                http_interim(waiting->exchange, 102);
    }
    int64_t due_ms = receiver->arrivals->due_ms;
    return due_ms < receiver->interim_ms ? due_ms : receiver->interim_ms;
}

void receiver_refuse_waiting(struct receiver *receiver)
{
    while (receiver->waiting) {
        struct waiting *waiting = receiver->waiting;
        receiver->waiting = waiting->next;
        http_answer_error(waiting->exchange, 503, NULL, "the secondary is shutting down");
        free(waiting);
    }
    receiver->waiting_end = &receiver->waiting;
}

/* ---- storing */

/* Why the messages cannot follow those that are here; NULL where they can. */
static const char *replicate_conflict(struct receiver *receiver, const char *run,
                                      const struct wire_replicate *request, char *why, size_t why_size)
{
    char name[WIRE_NAME_SIZE];
    uint64_t stored = log_last(receiver->config.log);
    identity_get(receiver->config.identity, name);
    if (run[0] && request->run[0] && strcmp(run, request->run) != 0)
        return "they come from an earlier run of the master";
    if (stored && strcmp(name, request->log) != 0) {
        snprintf(why, why_size, "this secondary holds the log %s, and they belong to %s", name, request->log);
        return why;
    }
    if (request->first > stored + 1) {
        snprintf(why, why_size, "the messages between %" PRIu64 " and %" PRIu64 " are missing here", stored,
                 request->first);
        return why;
    }
    if (request->has_digest && request->digest != log_digest(receiver->config.log, request->first - 1))
        return "the messages before them are not those that are here";
    return NULL;
}

/* What is behind the first `count` strings, which are not all. */
static struct span elements_skip(struct span elements, const size_t *lens, uint64_t count)
{
    size_t skipped = 0;
    for (uint64_t i = 0; i < count; i++)
        skipped += lens[i] + 1; /* and its comma */
    return (struct span){elements.at + skipped, elements.len - skipped};
}

/* Appends those that are not here yet. Returns false where there is no memory. */
static bool elements_store(struct receiver *receiver, const struct wire_replicate *request, const char *peer)
{
    uint64_t stored = log_last(receiver->config.log);
    uint64_t known = stored + 1 - request->first;
    uint64_t last;
    if (known >= request->count)
        return true;
    struct arrival *arrival = receiver->config.delay_ms ? malloc(sizeof *arrival) : NULL;
    if (receiver->config.delay_ms && !arrival)
        return false;
    if (stored == 0)
        identity_set(receiver->config.identity, request->log);
    const size_t *lens = wire_replicate_lens(request);
    struct span elements = elements_skip(request->elements, lens, known);
    if (log_append(receiver->config.log, elements, lens + known, request->count - known, &last) < 0) {
        free(arrival);
        return false;
    }
    arrival_add(receiver, arrival, last);
    if (last == stored + 1)
        logline(LOGLINE_INFO, "stored %" PRIu64 " from %s", last, peer);
    else
        logline(LOGLINE_INFO, "stored %" PRIu64 "..%" PRIu64 " (%" PRIu64 " messages) from %s", stored + 1,
                last, last - stored, peer);
    return true;
}

static void replicate(struct receiver *receiver, char run[WIRE_NAME_SIZE],
                      const struct wire_replicate *request, struct http_exchange *exchange)
{
    char text[256];
    const char *why = replicate_conflict(receiver, run, request, text, sizeof text);
    uint64_t last = request->first + request->count - 1;
    if (!why && !run[0])
        snprintf(run, WIRE_NAME_SIZE, "%s", request->run);
    if (why)
        refuse(receiver, exchange, why);
    else if (request->longest > receiver->config.max_message)
        http_answer_error(exchange, 413, NULL, "a message has %" PRIu64 " bytes, and MAX_MESSAGE here is %zu",
                          request->longest, receiver->config.max_message);
    else if (!elements_store(receiver, request, http_exchange_peer(exchange)))
        http_answer_unavailable(exchange, "there is no memory for the messages");
    else if (last <= receiver_shown(receiver))
        answer_stored(receiver, exchange);
    else if (!waiting_add(receiver, exchange, last, request->run[0]))
        http_answer_unavailable(exchange, "there is no memory to wait");
}

void receiver_replicate(struct receiver *receiver, char run[WIRE_NAME_SIZE],
                        const struct http_request *request, struct http_exchange *exchange)
{
    struct wire_replicate read;
    const char *error = wire_replicate_read(request->body, &read);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
        return;
    }
    replicate(receiver, run, &read, exchange);
    wire_replicate_free(&read);
}
