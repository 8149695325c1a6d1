#include "replication/link.h"
#include "clock.h"
#include "logline.h"
#include "replication/reads.h"
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char close_field[] = "Connection: close\r\n";

/* Bytes of fields that come later. */
enum { SURE_FIELD_MAX = 40, LATER_FIELDS_MAX = SURE_FIELD_MAX + sizeof close_field };

int link_fail(struct link *link, int error, const char *format, ...)
{
    if (link->state == LINK_FAILED)
        return link->error;
    va_list args;
    va_start(args, format);
    vsnprintf(link->why, sizeof link->why, format, args);
    va_end(args);
    link->state = LINK_FAILED;
    return link->error = -error;
}

/* ---- sending */

static bool messages_left(const struct link *link)
{
    return link->next.id <= log_last(link->base->log);
}

/* With half of the window in use, requests are held back so that the other half lasts for a whole round: new
 * messages then go together, and none has to wait for an answer. */
static bool link_paced(const struct link *link, int64_t now_ms)
{
    if (link->under_way < LINK_WINDOW / 2)
        return false;
    return now_ms - link->sent_ms < link->round_us / 1000 / (LINK_WINDOW / 2);
}

static bool link_can_begin(const struct link *link)
{
    return !http_client_sending(link->client) && link->under_way < LINK_WINDOW && !link->farewell;
}

static bool messages_due(const struct link *link, int64_t now_ms)
{
    return link->state == LINK_PROVEN && link->bytes_under_way < LINK_WINDOW_BYTES && messages_left(link) &&
           !link_paced(link, now_ms);
}

static void flight_add(struct link *link, struct flight flight, int64_t now_ms)
{
    flight.sent_us = clock_us();
    link->flights[(link->oldest + link->under_way) % LINK_WINDOW] = flight;
    if (link->under_way++ == 0)
        link->waits_ms = now_ms;
    link->bytes_under_way += flight.bytes;
    link->sent_ms = now_ms;
}

/* Tells the member once that the master is sure; the field stays in the requests. */
static void sure_tell(struct link *link)
{
    if (link->sure || !link->base->sure || !link->base->settings->nodes)
        return;
    link->sure = true;
    snprintf(link->fields + link->fields_len, sizeof link->fields - link->fields_len,
             WIRE_SURE_FIELD ": %" PRIu64 "\r\n", log_last(link->base->log));
}

static int request_send(struct link *link, struct span start, const struct http_source *messages,
                        const char *end)
{
    sure_tell(link);
    int result = http_client_request(link->client, "POST", "/replicate", link->fields, start, messages, end);
    return result < 0 ? link_fail(link, -result, "%s", strerror(-result)) : 0;
}

static int send_sign_of_life(struct link *link, int64_t now_ms)
{
    flight_add(link, (struct flight){0}, now_ms);
    return request_send(link, (struct span){0}, NULL, "");
}

void link_farewell(struct link *link, int64_t now_ms)
{
    size_t len = strlen(link->fields);
    if (link->state != LINK_PROVEN || !link_can_begin(link))
        return;
    snprintf(link->fields + len, sizeof link->fields - len, "%s", close_field);
    send_sign_of_life(link, now_ms);
    link->farewell = true;
}

static void log_sending(const struct link *link, uint64_t first, uint64_t count)
{
    uint64_t last = first + count - 1;
    events_tell(link->base->events, .kind = EVENT_SENT, .node = link->id, .first = first, .last = last);
    const struct log_field *fields = LOG_FIELDS(LOG_NUMBER("first", first), LOG_NUMBER("last", last),
                                                LOG_NUMBER("count", count), LOG_TEXT("member", link->id));
    if (last <= link->sent_before && count == 1)
        complain(link->base->complaints, LOGLINE_INFO, link->id, "sending", fields,
                 "sending %" PRIu64 " to %s again", first, link->id);
    else if (last <= link->sent_before)
        complain(link->base->complaints, LOGLINE_INFO, link->id, "sending", fields,
                 "sending %" PRIu64 "..%" PRIu64 " to %s again", first, last, link->id);
    else if (count == 1)
        logline_event(LOGLINE_INFO, "sending", fields, "sending %" PRIu64 " to %s", first, link->id);
    else
        logline_event(LOGLINE_INFO, "sending", fields,
                      "sending %" PRIu64 "..%" PRIu64 " to %s (%" PRIu64 " messages)", first, last, link->id,
                      count);
}

/* The member has all of the list but what is sent now for the first time. */
static void lag_begin(struct link *link, int64_t now_us)
{
    struct link_counters *counters = link->counters;
    counters->held_us = counters->mark_us = now_us;
}

static void lag_end(struct link *link, int64_t now_us)
{
    struct link_counters *counters = link->counters;
    uint64_t last = log_last(link->base->log);
    if (link->position < counters->mark)
        return;
    counters->held_us = link->position == last ? now_us : counters->mark_us;
    counters->mark = last;
    counters->mark_us = now_us;
}

static int send_messages(struct link *link, int64_t now_ms)
{
    uint64_t first = link->next.id;
    uint64_t before = link->next.digest;
    struct log_slice slice = log_next(link->base->log, &link->next, link->batch_bytes);
    struct http_source source = reads_source(&slice);
    size_t begin_len = link->begin.len;
    link->batch_begun++;
    wire_replicate_first(&link->begin, first, before);
    if (link->begin.failed)
        return link_fail(link, ENOMEM, "there is no memory for a request");
    struct span start = buf_span(&link->begin);
    link->begin.len = begin_len;
    flight_add(link,
               (struct flight){.last = link->next.id - 1, .digest = link->next.digest, .bytes = slice.len},
               now_ms);
    if (link->position + 1 == first)
        lag_begin(link, link->flights[(link->oldest + link->under_way - 1) % LINK_WINDOW].sent_us);
    log_sending(link, first, slice.count);
    return request_send(link, start, &source, WIRE_REPLICATE_END);
}

/* Returns whether the link is as it was, or better. */
static bool link_send(struct link *link, int64_t now_ms)
{
    int result = 0;
    if (link->state == LINK_DIALS && http_client_connected(link->client)) {
        link->state = LINK_GREETS;
        link->heard_ms = now_ms;
        result = send_sign_of_life(link, now_ms);
    }
    while (result == 0 && link->state == LINK_PROVEN && link_can_begin(link)) {
        if (messages_due(link, now_ms))
            result = send_messages(link, now_ms);
        else if (now_ms - link->sent_ms >= link->base->settings->heartbeat_ms)
            result = send_sign_of_life(link, now_ms);
        else
            break;
    }
    return result == 0;
}

/* ---- receiving */

static void log_ack(const struct link *link, const struct flight *flight, uint64_t position)
{
    if (!flight->last)
        return;
    histogram_observe(&link->counters->acks, link->round_us);
    int64_t tenths = (link->round_us + 50) / 100; /* of a millisecond */
    events_tell(link->base->events, .kind = EVENT_ACK, .node = link->id, .last = position,
                .ms = (double)tenths / 10);
    logline_event(LOGLINE_INFO, "ack",
                  LOG_FIELDS(LOG_TEXT("member", link->id), LOG_NUMBER("last", position),
                             LOG_NUMBER("ms", (double)tenths / 10)),
                  "ACK from %s up to %" PRIu64 " after %" PRId64 ".%d ms", link->id, position, tenths / 10,
                  (int)(tenths % 10));
}

/* A request was answered, with whatever: it arrived. */
static void batch_answered(struct link *link, const struct flight *flight)
{
    if (flight->last <= link->batch_grown_at)
        return; /* a sign of life, or a request of an earlier length */
    link->batch_answered++;
    if (link->batch_answered < LINK_BATCH_GROWS || link->batch_bytes >= LINK_BATCH_BYTES)
        return;
    link->batch_bytes *= 2;
    link->batch_begun = link->batch_answered = 0;
    link->batch_grown_at = link->next.id - 1;
}

uint64_t link_next_batch(const struct link *link)
{
    if (link->status == 413)
        return LINK_BATCH_SINGLE;
    if (!link->batch_begun || link->batch_answered || link->batch_bytes < LINK_BATCH_LEAST)
        return link->batch_bytes;
    uint64_t quarter = link->batch_bytes / 4;
    return quarter > LINK_BATCH_LEAST ? quarter : LINK_BATCH_LEAST;
}

/* Whether the answer is the member's, and of the process that registered; where a person registered it by
 * hand, the first answer decides which process that is. */
static int peer_prove(struct link *link, const struct wire_identity *from)
{
    const char *boot = link->state == LINK_PROVEN ? link->peer.boot : link->target.boot;
    if (from->id[0] && strcmp(from->id, link->id) != 0)
        return link_fail(link, EBADMSG, "the program at its address is %s", from->id);
    if (!from->boot[0])
        return link_fail(link, EBADMSG, "its answer names no boot");
    if (boot[0] && strcmp(boot, from->boot) != 0)
        return link_fail(link, EBADMSG,
                         "another program answers at its address than the one that registered");
    link->peer = *from;
    return 0;
}

/* Whether the answer speaks of this master's list. */
static int list_prove(struct link *link, const struct wire_ack *ack)
{
    const struct wire_identity *own = &link->base->own;
    if (!ack->from.log[0] && ack->last_id.value == 0)
        return 0; /* it has no list yet */
    if (strcmp(ack->from.log, own->log) != 0)
        return link_fail(link, EBADMSG, "it holds the log %s",
                         ack->from.log[0] ? ack->from.log : "of nobody");
    if (ack->from.epoch != own->epoch)
        return link_fail(link, EBADMSG, "it follows epoch %" PRIu64 ", and this master's is %" PRIu64,
                         ack->from.epoch, own->epoch);
    return 0;
}

/* Whether the list up to `last_id` is the same on both sides. */
static int digest_prove(struct link *link, const struct flight *flight, uint64_t last_id, uint64_t digest)
{
    const struct log *log = link->base->log;
    if (last_id > log_last(log))
        return link_fail(link, EBADMSG, "it holds %" PRIu64 " messages, and this master %" PRIu64, last_id,
                         log_last(log));
    bool sent = flight->last && last_id == flight->last;
    if (digest == (sent ? flight->digest : log_digest(log, last_id)))
        return 0;
    link->differs = true;
    return link_fail(link, EBADMSG,
                     "its list differs from this master's at message %" PRIu64
                     " or before: restart it to have it take this master's list",
                     last_id);
}

/* The first answer on the link, proven: where to go on from. */
static void link_greeted(struct link *link, uint64_t last_id, uint64_t digest)
{
    link->state = LINK_PROVEN;
    link->position = last_id;
    link->next = (struct log_cursor){.id = last_id + 1, .digest = digest};
    complain(link->base->complaints, LOGLINE_INFO, link->id, "connected",
             LOG_FIELDS(LOG_TEXT("member", link->id), LOG_NUMBER("last", last_id)),
             "connected to %s, which holds %" PRIu64 " of %" PRIu64 " messages", link->id, last_id,
             log_last(link->base->log));
}

/* An answer of the member's process about this master's list: proves the position, and takes it. */
static int position_take(struct link *link, const struct flight *flight, uint64_t last_id, uint64_t digest)
{
    int result = digest_prove(link, flight, last_id, digest);
    if (result < 0)
        return result;
    if (last_id < flight->last)
        return link_fail(link, EBADMSG, "it holds %" PRIu64 " after it took %" PRIu64, last_id, flight->last);
    if (link->state == LINK_GREETS)
        link_greeted(link, last_id, digest);
    else
        link->progressed = true;
    int64_t now_us = clock_us();
    link->round_us = now_us - flight->sent_us;
    link->asked_us = flight->sent_us;
    /* A sign of life is answered with the position at its arrival, and leaves behind the answers before it.
     */
    if (last_id > link->position)
        link->position = last_id;
    lag_end(link, now_us);
    log_ack(link, flight, last_id);
    return link->told(link);
}

/* An answer of whomever, read member by member. */
static int answer_prove(struct link *link, const struct flight *flight, struct span body)
{
    struct wire_ack ack;
    if (!wire_ack_read(body, &ack))
        return link_fail(link, EBADMSG, "its answer makes no sense");
    if (!ack.last_id.is)
        return link_fail(link, EBADMSG, "its answer has no last_id");
    int result = peer_prove(link, &ack.from);
    if (result == 0)
        result = list_prove(link, &ack);
    if (result == 0 && !ack.digest.is)
        result = link_fail(link, EBADMSG, "its answer has no digest");
    if (result < 0)
        return result;
    buf_clear(&link->expected);
    if (ack.from.log[0])
        wire_identity_write(&link->expected, &ack.from);
    return position_take(link, flight, ack.last_id.value, ack.digest.value);
}

static int answer_refused(struct link *link, int status, struct span body)
{
    struct wire_ack ack;
    wire_ack_read(body, &ack);
    link->status = status;
    if (status == 413)
        return link_fail(
            link, EPROTO,
            "it answered 413: %s; its MAX_MESSAGE is too low for what this log holds: restart it "
            "with this master's",
            ack.error);
    return link_fail(link, EPROTO, "it answered %d%s%s", status, ack.error[0] ? ": " : "", ack.error);
}

/* One answer, to the oldest request under way. */
static int link_answered(void *ctx, int status, struct span body)
{
    struct link *link = ctx;
    uint64_t last_id;
    uint64_t digest;
    if (!link->under_way)
        return link_fail(link, EBADMSG, "it answered what was not asked");
    const struct flight *flight = &link->flights[link->oldest];
    link->oldest = (link->oldest + 1) % LINK_WINDOW;
    link->under_way--;
    link->bytes_under_way -= flight->bytes;
    if (status != 408) /* it did not arrive in time */
        batch_answered(link, flight);
    if (status != 200)
        return answer_refused(link, status, body);
    if (wire_ack_match(body, buf_span(&link->expected), &last_id, &digest))
        return position_take(link, flight, last_id, digest);
    return answer_prove(link, flight, body);
}

static int link_heard(void *ctx)
{
    struct link *link = ctx;
    link->heard_ms = clock_ms();
    return 0;
}

static void link_failed(void *ctx, int error, const char *why)
{
    struct link *link = ctx;
    if (link->state == LINK_DIALS)
        link_fail(link, -error, "cannot connect to %s port %u: %s", link->target.url.host,
                  link->target.url.port, why);
    else
        link_fail(link, -error, "%s", why);
}

/* ---- life */

static bool link_prepare(struct link *link)
{
    const struct wire_identity *own = &link->base->own;
    const char *boot = link->target.boot;
    link->fields_len = (size_t)snprintf(link->fields, sizeof link->fields,
                                        "%s" WIRE_LOG_FIELD ": %s\r\n" WIRE_EPOCH_FIELD ": %" PRIu64
                                        "\r\n" WIRE_MASTER_FIELD ": %s\r\n%s%s%s",
                                        link->base->fields, own->log, own->epoch, own->boot,
                                        boot[0] ? WIRE_BOOT_FIELD ": " : "", boot, boot[0] ? "\r\n" : "");
    wire_replicate_begin(&link->begin, own->log, own->epoch);
    return link->fields_len + LATER_FIELDS_MAX <= sizeof link->fields && !link->begin.failed;
}

struct link *link_open(const struct base *base, const char *id, const struct link_target *target,
                       int64_t now_ms)
{
    static const struct http_client_events events = {
        .heard = link_heard, .answered = link_answered, .failed = link_failed};
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->base = base;
    link->id = id;
    link->target = *target;
    link->batch_bytes = LINK_BATCH_BYTES;
    link->attempt_ms = LINK_ATTEMPT_MS;
    link->heard_ms = link->sent_ms = now_ms;
    int result = link_prepare(link)
                     ? http_client_open(&link->client, base->dialer, &target->url, NULL, &events, link)
                     : -ENOMEM;
    if (result < 0)
        link_failed(link, result, strerror(-result));
    return link;
}

void link_close(struct link *link)
{
    if (link->client)
        http_client_close(link->client);
    buf_free(&link->begin);
    buf_free(&link->expected);
    free(link);
}

/* ---- waiting */

/* Since when the secondary has been silent although an answer is due. */
static int64_t link_silent_since_ms(const struct link *link)
{
    return link->heard_ms > link->waits_ms ? link->heard_ms : link->waits_ms;
}

static int64_t link_overdue_ms(const struct link *link)
{
    int64_t allowed_ms = link->state == LINK_PROVEN ? link->attempt_ms : LINK_ATTEMPT_MS;
    return link->under_way ? link_silent_since_ms(link) + allowed_ms : CLOCK_NEVER;
}

void link_woke(struct link *link, int64_t paused_ms, int64_t now_ms)
{
    link->heard_ms = clock_earlier(link->heard_ms + paused_ms, now_ms);
    link->waits_ms = clock_earlier(link->waits_ms + paused_ms, now_ms);
    link->sent_ms = now_ms - link->base->settings->heartbeat_ms;
}

static int64_t link_due_ms(const struct link *link, int64_t now_ms)
{
    int64_t due_ms = link->sent_ms + link->base->settings->heartbeat_ms;
    if (link->state != LINK_PROVEN || !link_can_begin(link))
        due_ms = CLOCK_NEVER;
    else if (link_paced(link, now_ms) && messages_left(link))
        due_ms = now_ms + 1;
    return clock_earlier(due_ms, link_overdue_ms(link));
}

int64_t link_pass(struct link *link, int64_t now_ms)
{
    if (link->state == LINK_FAILED || !link_send(link, now_ms))
        return now_ms;
    if (now_ms < link_overdue_ms(link))
        return link_due_ms(link, now_ms);
    link_fail(link, ETIMEDOUT, "it did not answer within %.1f s",
              (double)(now_ms - link_silent_since_ms(link)) / 1000);
    return now_ms;
}
