#include "replication/follow.h"
#include "clock.h"
#include "container.h"
#include "json.h"
#include "log/digest.h"
#include "logline.h"
#include "replication/link.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_AROUND = 4096 };

/* A request whose messages do not all show yet. */
struct waiting {
    struct acks_waiter waiter; /* first, so that a released waiter is its request */
    struct http_waiter http;
    struct http_exchange *exchange;
    bool interim; /* a master waits, which understands interim answers: many clients take one for the final */
};

/* Messages that will show. Their times come in order, since each is the arrival and the same delay. */
struct arrival {
    struct arrival *next;
    int64_t due_ms;
    struct log_tail tail; /* of the list, the last of these messages included */
};

struct follow {
    struct base *base;
    bool registered;             /* with the log and the epoch in own, once for all */
    char master[WIRE_NAME_SIZE]; /* registered: the boot of that master */
    uint64_t goal;               /* registered: the end of the list that the master told then */
    bool caught_up;              /* it has once shown the list up to the goal */
    bool complete;               /* it has once held all that was acknowledged: see struct wire_register */
    unsigned mark;               /* another, and never 0, for each master that is followed */
    struct buf identity;         /* own, as it stands in every answer */
    struct buf expected; /* what the bodies of the master begin with that is followed; empty: none is */
    struct log_tail shown;
    struct arrival *arrivals, **arrivals_end;
    int64_t interim_ms; /* when to send the next signs of life */
    unsigned random;
};

/* Own has changed. */
static void identity_renew(struct follow *follow)
{
    buf_clear(&follow->identity);
    wire_identity_write(&follow->identity, &follow->base->own);
    buf_clear(&follow->expected);
    if (follow->registered)
        wire_replicate_begin(&follow->expected, follow->base->own.log, follow->base->own.epoch);
}

struct follow *follow_open(struct base *base)
{
    struct follow *follow = calloc(1, sizeof *follow);
    if (!follow)
        return NULL;
    follow->base = base;
    follow->mark = 1;
    follow->arrivals_end = &follow->arrivals;
    follow->random = (unsigned)clock_us();
    identity_renew(follow);
    return follow;
}

void follow_close(struct follow *follow)
{
    while (follow->arrivals) {
        struct arrival *arrival = follow->arrivals;
        follow->arrivals = arrival->next;
        free(arrival);
    }
    buf_free(&follow->identity);
    buf_free(&follow->expected);
    free(follow);
}

void follow_restored(struct follow *follow, bool complete)
{
    follow->shown = base_held(follow->base);
    follow->complete = complete;
    identity_renew(follow);
    acks_appended(follow->base->acks, follow->shown.last);
}

void follow_strand(struct follow *follow)
{
    acks_strand(follow->base->acks, follow);
}

uint64_t follow_shown(const struct follow *follow)
{
    return follow->shown.last;
}

uint64_t follow_body_limit(const struct follow *follow)
{
    uint64_t longest = (uint64_t)follow->base->settings->max_message * JSON_EXPANSION_MAX;
    return (longest > LINK_BATCH_BYTES ? longest : LINK_BATCH_BYTES) + JSON_AROUND;
}

/* ---- whom it follows */

/* Takes the name of a list, or another master of it. */
static void list_adopt(struct follow *follow, const char *log, uint64_t epoch)
{
    struct wire_identity *own = &follow->base->own;
    if (strcmp(own->log, log) == 0 && (own->epoch == epoch || !epoch))
        return;
    snprintf(own->log, sizeof own->log, "%s", log);
    own->epoch = epoch;
    follow->mark++;
    identity_renew(follow);
    store_changed(follow->base->store);
}

/* Behind a registration, and whenever more shows. */
static void caught_up_notice(struct follow *follow)
{
    follow->caught_up = follow->caught_up || (follow->registered && follow->shown.last >= follow->goal);
}

bool follow_caught_up(const struct follow *follow)
{
    return follow->caught_up;
}

void follow_master(struct follow *follow, const struct wire_registered *answer)
{
    struct wire_identity *own = &follow->base->own;
    follow->registered = true;
    follow->goal = answer->last_id;
    caught_up_notice(follow);
    if (answer->from.id[0])
        snprintf(own->id, sizeof own->id, "%s", answer->from.id);
    if (strcmp(follow->master, answer->from.boot) != 0)
        follow->mark++;
    snprintf(follow->master, sizeof follow->master, "%s", answer->from.boot);
    list_adopt(follow, answer->from.log, answer->from.epoch);
    identity_renew(follow);
}

bool follow_complete(const struct follow *follow)
{
    return follow->complete;
}

/* Behind a request of the master that is followed: whether what is held here reaches as far as the master's
 * list did when that was sure that it lacks nothing. */
static void complete_notice(struct follow *follow, const struct http_head *head)
{
    const struct http_field *sure = follow->complete ? NULL : http_head_field(head, WIRE_SURE_FIELD);
    uint64_t id;
    if (sure && span_uint(sure->value, &id))
        follow->complete = base_held(follow->base).last >= id;
}

/* Whether a request of that log and epoch is of the master that is followed. */
static bool is_followed(const struct follow *follow, struct span log, uint64_t epoch)
{
    const struct wire_identity *own = &follow->base->own;
    return follow->registered && span_equals(log, own->log) && epoch == own->epoch;
}

/* What the fields of a request say. */
struct sender {
    bool is_master;   /* it says which list it is of, as a person with curl does not */
    struct span log;  /* empty where it is not told */
    uint64_t epoch;   /* 0: not told */
    bool is_other;    /* it names another master than the one that is followed */
    bool is_followed; /* it names the one that is followed */
    enum follow_sender who;
};

static struct sender sender_read(const struct follow *follow, const struct http_head *head)
{
    const struct http_field *log = http_head_field(head, WIRE_LOG_FIELD);
    const struct http_field *epoch = http_head_field(head, WIRE_EPOCH_FIELD);
    const struct http_field *master = http_head_field(head, WIRE_MASTER_FIELD);
    const struct http_field *boot = http_head_field(head, WIRE_BOOT_FIELD);
    struct sender sender = {.is_master = log || epoch, .log = log ? log->value : (struct span){0}};
    if (epoch)
        span_uint(epoch->value, &sender.epoch);
    bool followed = is_followed(follow, sender.log, sender.epoch);
    bool same = master && span_equals(master->value, follow->master);
    sender.is_followed = followed && same;
    sender.is_other = follow->registered && sender.is_master && (!followed || (master && !same));
    /* One that does not name this process may be to another member, which somebody has registered by hand
     * with this one's address. */
    bool names_this = boot && span_equals(boot->value, follow->base->own.boot);
    if (!sender.is_master || (follow->registered && !names_this))
        sender.who = FOLLOW_ANYONE;
    else
        sender.who = sender.is_other ? FOLLOW_OTHER : FOLLOW_MASTER;
    return sender;
}

unsigned follow_mark(const struct follow *follow, const struct http_head *head)
{
    return follow->registered && sender_read(follow, head).who == FOLLOW_MASTER ? follow->mark : 0;
}

bool follow_mark_holds(const struct follow *follow, unsigned mark)
{
    return mark == follow->mark;
}

/* ---- answers */

/* Answers with what this secondary has, and with an error where `why` is there. */
static void answer_position(struct follow *follow, struct http_exchange *exchange, const char *why)
{
    struct buf body = {0};
    buf_add_char(&body, '{');
    if (why) {
        buf_add_text(&body, "\"error\":");
        json_quote(span_of(why), &body);
        buf_add_char(&body, ',');
    }
    wire_ack_write(&body, follow->shown.last, buf_span(&follow->identity), follow->shown.digest);
    buf_add_char(&body, '}');
    body.failed = body.failed || follow->identity.failed;
    http_answer_json(exchange, why ? 409 : 200, NULL, &body);
}

static void refusal_log(struct follow *follow, const struct http_exchange *exchange, int status,
                        const char *why)
{
    const char *peer = http_exchange_peer(exchange);
    complain(follow->base->complaints, LOGLINE_WARN, "", "refused",
             LOG_FIELDS(LOG_TEXT("peer", peer), LOG_NUMBER("status", status)), "refused messages from %s: %s",
             peer, why);
}

static void refuse(struct follow *follow, struct http_exchange *exchange, const char *why)
{
    refusal_log(follow, exchange, 409, why);
    answer_position(follow, exchange, why);
}

/* The answer to a request whose messages show. */
static void answer_stored(struct follow *follow, struct http_exchange *exchange)
{
    double random = rand_r(&follow->random) / ((double)RAND_MAX + 1);
    if (random < follow->base->settings->errors)
        http_answer_error(exchange, 500, NULL,
                          "the messages were stored; SECONDARY_ERRORS asks for this answer");
    else
        answer_position(follow, exchange, NULL);
}

bool follow_misdirected(struct follow *follow, const struct http_request *request,
                        struct http_exchange *exchange)
{
    const struct http_field *boot = http_head_field(request->head, WIRE_BOOT_FIELD);
    if (!boot || span_equals(boot->value, follow->base->own.boot))
        return false;
    answer_position(follow, exchange, "another program answers at this address than the one that registered");
    return true;
}

/* ---- showing */

static void show(struct follow *follow, struct log_tail tail)
{
    events_tell(follow->base->events, .kind = EVENT_SHOWN, .first = follow->shown.last + 1,
                .last = tail.last);
    follow->shown = tail;
    caught_up_notice(follow);
    acks_appended(follow->base->acks, tail.last);
}

/* Whether the first of those that arrived may be shown: its time has come, and the disk has it. */
static bool arrival_is_due(const struct follow *follow, int64_t now_ms)
{
    const struct arrival *arrival = follow->arrivals;
    return arrival && arrival->due_ms <= now_ms && arrival->tail.last <= base_held(follow->base).last;
}

static void arrivals_show(struct follow *follow, int64_t now_ms)
{
    uint64_t before = follow->shown.last;
    while (arrival_is_due(follow, now_ms)) {
        struct arrival *arrival = follow->arrivals;
        follow->arrivals = arrival->next;
        if (!follow->arrivals)
            follow->arrivals_end = &follow->arrivals;
        show(follow, arrival->tail);
        free(arrival);
    }
    if (follow->shown.last != before && follow->base->settings->delay_ms)
        logline_event(LOGLINE_INFO, "shown",
                      LOG_FIELDS(LOG_NUMBER("first", before + 1), LOG_NUMBER("last", follow->shown.last),
                                 LOG_NUMBER("ms", follow->base->settings->delay_ms)),
                      "messages up to %" PRIu64 " show now, %" PRId64 " ms after they arrived",
                      follow->shown.last, follow->base->settings->delay_ms);
}

/* The messages up to the list's end are stored: they show after the delay, and when the disk has them.
 * `arrival` is what was allocated for that, unless there is neither. */
static void arrival_add(struct follow *follow, struct arrival *arrival)
{
    struct log_tail tail = log_tail(follow->base->log);
    if (!arrival) {
        show(follow, tail);
        return;
    }
    int64_t delay_ms = follow->base->settings->delay_ms;
    /* One more for what clock_ms cuts off: never early. */
    *arrival = (struct arrival){.due_ms = delay_ms ? clock_ms() + 1 + delay_ms : 0, .tail = tail};
    *follow->arrivals_end = arrival;
    follow->arrivals_end = &arrival->next;
}

static void waiting_over(void *owner, struct acks_waiter *waiter)
{
    struct follow *follow = owner;
    struct waiting *waiting = (struct waiting *)waiter;
    if (waiting->waiter.outcome == ACKS_REACHED)
        answer_stored(follow, waiting->exchange);
    else if (waiting->waiter.outcome == ACKS_STRANDED)
        http_answer_unavailable(waiting->exchange, "%s", store_refuses(follow->base->store));
    else
        http_answer_error(waiting->exchange, 503, NULL, "the secondary is shutting down");
    free(waiting);
}

static void waiting_gone(struct http_waiter *http)
{
    struct waiting *waiting = CONTAINER_OF(http, struct waiting, http);
    struct follow *follow = waiting->waiter.owner;
    if (!acks_unpark(follow->base->acks, &waiting->waiter))
        return; /* it was released: answered in its turn, into nothing */
    http_answer_error(waiting->exchange, 503, NULL, "the client has gone");
    free(waiting);
}

static void waiting_begin(struct follow *follow, struct http_exchange *exchange, uint64_t last, bool interim)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting) {
        http_answer_unavailable(exchange, "there is no memory to wait");
        return;
    }
    waiting->waiter = (struct acks_waiter){
        .id = last, .w = 1, .deadline_ms = CLOCK_NEVER, .owner = follow, .over = waiting_over};
    waiting->http.gone = waiting_gone;
    waiting->exchange = exchange;
    waiting->interim = interim;
    http_exchange_waiter(exchange, &waiting->http);
    if (!acks_park(follow->base->acks, &waiting->waiter))
        waiting_over(follow, &waiting->waiter);
}

static void interim_send(void *ctx, struct acks_waiter *waiter)
{
    struct waiting *waiting = (struct waiting *)waiter;
    if (waiter->owner == ctx && waiting->interim)
        http_interim(waiting->exchange, 102);
}

int64_t follow_pass(struct follow *follow, int64_t now_ms, int64_t interim_ms)
{
    arrivals_show(follow, now_ms);
    acks_hand_back(follow->base->acks);
    if (!follow->arrivals)
        return CLOCK_NEVER;
    if (now_ms >= follow->interim_ms) {
        follow->interim_ms = now_ms + interim_ms;
        acks_each(follow->base->acks, interim_send, follow);
    }
    /* What is due waits for the disk, whose end makes a pass. */
    int64_t due_ms = follow->arrivals->due_ms > now_ms ? follow->arrivals->due_ms : CLOCK_NEVER;
    return clock_earlier(due_ms, follow->interim_ms);
}

/* ---- storing */

/* Whether those of the messages that are here already are the sender's: the list may go on with another
 * master's behind what the digest in the request is of. */
static bool known_are_same(const struct follow *follow, const struct wire_replicate *request)
{
    uint64_t id = request->first - 1;
    uint64_t digest = request->digest.value;
    const size_t *lens = wire_replicate_lens(request);
    struct span left = request->elements;
    for (uint64_t i = 0; i < request->count && id < log_last(follow->base->log); i++, id++) {
        digest = digest_chain(digest, (struct span){left.at, lens[i]});
        left = span_after(left, i + 1 < request->count ? lens[i] + 1 : lens[i]);
    }
    return digest == log_digest(follow->base->log, id);
}

/* Why the messages cannot follow those that are here; NULL where they can. */
static const char *replicate_conflict(const struct follow *follow, const struct wire_replicate *request,
                                      const struct sender *sender, char *why, size_t why_size)
{
    const struct wire_identity *own = &follow->base->own;
    uint64_t stored = log_last(follow->base->log);
    if (follow->registered && !request->expected &&
        !is_followed(follow, span_of(request->log), request->epoch))
        return "this secondary follows another master, and takes messages from that alone";
    if (follow->registered && !sender->is_followed)
        return "the fields Log, Epoch and Master are missing: a secondary that is registered takes messages "
               "from "
               "its master only";
    if (follow->registered && !request->digest.is)
        return "\"digest\" is missing: a secondary that is registered takes messages with their proof only";
    if (stored && !request->expected && strcmp(own->log, request->log) != 0)
        snprintf(why, why_size, "this secondary holds the log %s, and they belong to %s", own->log,
                 request->log);
    else if (request->first > stored + 1)
        snprintf(why, why_size, "the messages between %" PRIu64 " and %" PRIu64 " are missing here", stored,
                 request->first);
    else if (request->digest.is && request->digest.value != log_digest(follow->base->log, request->first - 1))
        return "the messages before them are not those that are here";
    else if (request->digest.is && !known_are_same(follow, request))
        return "some of them are here already, and are others";
    else
        return NULL;
    return why;
}

/* What is behind the first `count` strings, which are not all. */
static struct span elements_skip(struct span elements, const size_t *lens, uint64_t count)
{
    size_t skipped = 0;
    for (uint64_t i = 0; i < count; i++)
        skipped += lens[i] + 1; /* and its comma */
    return (struct span){elements.at + skipped, elements.len - skipped};
}

static void log_stored(uint64_t first, uint64_t last, const char *peer)
{
    if (last == first)
        logline_event(LOGLINE_INFO, "stored", LOG_FIELDS(LOG_NUMBER("id", last), LOG_TEXT("peer", peer)),
                      "stored %" PRIu64 " from %s", last, peer);
    else
        logline_event(LOGLINE_INFO, "stored",
                      LOG_FIELDS(LOG_NUMBER("first", first), LOG_NUMBER("last", last),
                                 LOG_NUMBER("count", last - first + 1), LOG_TEXT("peer", peer)),
                      "stored %" PRIu64 "..%" PRIu64 " (%" PRIu64 " messages) from %s", first, last,
                      last - first + 1, peer);
}

/* Appends those that are not here yet. Returns 0, -ENOMEM or -ENOSPC. */
static int elements_store(struct follow *follow, const struct wire_replicate *request, const char *peer)
{
    uint64_t stored = log_last(follow->base->log);
    uint64_t known = stored + 1 - request->first;
    uint64_t last;
    if (known >= request->count)
        return 0;
    bool waits = follow->base->settings->delay_ms || !base_holds_at_once(follow->base);
    struct arrival *arrival = waits ? malloc(sizeof *arrival) : NULL;
    if (waits && !arrival)
        return -ENOMEM;
    const size_t *lens = wire_replicate_lens(request);
    struct span elements = elements_skip(request->elements, lens, known);
    int result = log_append(follow->base->log, elements, lens + known, request->count - known, &last);
    if (result < 0) {
        free(arrival);
        return result;
    }
    events_tell(follow->base->events, .kind = EVENT_STORED, .first = stored + 1, .last = last);
    arrival_add(follow, arrival);
    log_stored(stored + 1, last, peer);
    return 0;
}

static void messages_take(struct follow *follow, const struct wire_replicate *request,
                          const struct sender *sender, struct http_exchange *exchange)
{
    uint64_t last = request->first + request->count - 1;
    char why[128];
    if (request->longest > follow->base->settings->max_message) {
        snprintf(why, sizeof why, "a message has %" PRIu64 " bytes, and MAX_MESSAGE here is %zu",
                 request->longest, follow->base->settings->max_message);
        refusal_log(follow, exchange, 413, why);
        http_answer_error(exchange, 413, NULL, "%s", why);
        return;
    }
    const char *refuses = follow->base->store ? store_refuses(follow->base->store) : NULL;
    if (refuses && last > base_will_hold(follow->base).last) {
        refusal_log(follow, exchange, 503, refuses);
        http_answer_unavailable(exchange, "%s", refuses);
        return;
    }
    int result = elements_store(follow, request, http_exchange_peer(exchange));
    if (result == -ENOSPC)
        http_answer_error(exchange, 507, NULL, "the list here is full: MAX_LOG is %" PRId64 " bytes",
                          follow->base->settings->max_log);
    else if (result < 0)
        http_answer_unavailable(exchange, "there is no memory for the messages");
    else if (last <= follow->shown.last)
        answer_stored(follow, exchange);
    else
        waiting_begin(follow, exchange, last, sender->is_master);
}

/* A request with messages. */
static void messages_handle(struct follow *follow, const struct http_request *http,
                            const struct sender *sender, struct http_exchange *exchange)
{
    struct wire_replicate request;
    char text[256];
    char place[JSON_WHY_SIZE];
    const char *error = wire_replicate_read(http->body, buf_span(&follow->expected), &request, place);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
        return;
    }
    const char *why = replicate_conflict(follow, &request, sender, text, sizeof text);
    if (!why && !follow->registered)
        list_adopt(follow, request.log, request.epoch);
    if (!why)
        messages_take(follow, &request, sender, exchange);
    else
        refuse(follow, exchange, why);
    wire_replicate_free(&request);
}

/* A request without messages: a master asks what is here, or a person. One that was never registered follows
 * whoever asks, as long as that has the same list, or it has none. */
static void sign_of_life(struct follow *follow, const struct sender *sender, struct http_exchange *exchange)
{
    char log[WIRE_NAME_SIZE];
    bool same = span_equals(sender->log, follow->base->own.log) || !log_last(follow->base->log);
    if (follow->registered || !sender->is_master) {
        answer_position(follow, exchange, NULL);
    } else if (!same || !span_copy(sender->log, log, sizeof log) || !wire_name_valid(log)) {
        answer_position(follow, exchange, "this secondary holds another log");
    } else {
        list_adopt(follow, log, sender->epoch);
        answer_position(follow, exchange, NULL);
    }
}

enum follow_sender follow_replicate(struct follow *follow, const struct http_request *request,
                                    struct http_exchange *exchange)
{
    if (follow_misdirected(follow, request, exchange))
        return FOLLOW_ANYONE;
    struct sender sender = sender_read(follow, request->head);
    if (sender.is_other)
        answer_position(follow, exchange, "this secondary follows another master");
    else if (request->body.len)
        messages_handle(follow, request, &sender, exchange);
    else
        sign_of_life(follow, &sender, exchange);
    if (sender.is_followed)
        complete_notice(follow, request->head);
    return sender.who;
}
