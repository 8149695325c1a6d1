/* The happy path: append_post reads the request into a `struct post`, appends its message, parks the post
 * with the ACK count; an ACK releases it; append_pass answers it and frees it. While the gate is closed, the
 * post is parked before it is appended as well, and append_pass appends it when the gate has let it through.
 *
 * What happens to many posts at once is logged as one line. */
#include "replication/append.h"
#include "clock.h"
#include "container.h"
#include "format.h"
#include "http/condition.h"
#include "json.h"
#include "logline.h"
#include "replication/append_request.h"
#include "replication/reads.h"
#include "replication/shares.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    JSON_AROUND = 4096, /* bytes of a JSON body around the message */
    SPARES_MAX = 1024,
    ANSWER_MAX = 256,           /* bytes of the longest body of an answer */
    SPARE_JSON_MAX = 256 * 1024 /* bytes of the buffer that is kept for the next message */
};

static const char location[] = "Location: /messages/";
enum { LOCATION_SIZE = sizeof location + FORMAT_DIGITS + sizeof "\r\n" };

/* A request that waits. */
struct post {
    struct acks_waiter waiter; /* first, so that a released waiter is its post */
    struct http_waiter http;
    struct http_exchange *exchange;
    struct post *next; /* spare */
    bool is_get;
    bool gone;           /* its client, while it waited at the gate */
    struct share *share; /* of its client's address; NULL: it has a place as the first of its connection */
    int64_t began_us;
    struct append_message message;
};

/* What was done with many posts at once, for one log line. */
struct summary {
    uint64_t first, last, count, bytes;
    char peer[64];
    unsigned have;     /* nodes that hold the last one, */
    unsigned need;     /* of so many */
    int64_t waited_us; /* the longest */
};

struct append {
    struct base *base;
    const struct gate *gate;
    size_t gated_bytes; /* memory of the messages at the gate */
    struct buf json; /* for the next message: one that is still in the processor's cache, and not allocated */
    struct buf answer; /* the body that is written; ANSWER_MAX bytes are there, so that it cannot fail */
    struct post *spare;
    size_t waiting; /* posts in use */
    size_t spares;
    struct shares *shares; /* posts in use that wait, for each address */
    struct summary appends, answers;
    struct summary lates; /* answers 202 */
    struct append_counters counters;
};

struct append *append_open(struct base *base, const struct gate *gate)
{
    struct append *append = calloc(1, sizeof *append);
    if (!append)
        return NULL;
    append->base = base;
    append->gate = gate;
    append->shares = shares_open();
    if (!append->shares || !buf_reserve(&append->answer, ANSWER_MAX)) {
        append_close(append);
        return NULL;
    }
    return append;
}

void append_close(struct append *append)
{
    while (append->spare) {
        struct post *post = append->spare;
        append->spare = post->next;
        free(post);
    }
    if (append->shares)
        shares_close(append->shares);
    buf_free(&append->json);
    buf_free(&append->answer);
    free(append);
}

static void json_borrow(struct append *append, struct post *post)
{
    post->message.json = append->json;
    append->json = (struct buf){0};
    buf_clear(&post->message.json);
}

/* Once the message is in the list, its post needs no text of it. */
static void json_return(struct append *append, struct post *post)
{
    if (append->json.cap || post->message.json.cap > SPARE_JSON_MAX)
        buf_free(&post->message.json);
    else
        append->json = post->message.json;
    post->message.json = (struct buf){0};
}

static struct post *post_new(struct append *append)
{
    struct post *post = append->spare;
    if (post) {
        append->spare = post->next;
        append->spares--;
    } else {
        post = calloc(1, sizeof *post);
        if (!post)
            return NULL;
    }
    append->waiting++;
    post->next = NULL;
    return post;
}

static void post_free(struct append *append, struct post *post)
{
    append->waiting--;
    if (post->share)
        shares_leave(append->shares, post->share);
    json_return(append, post);
    if (append->spares == SPARES_MAX) {
        free(post);
        return;
    }
    post->next = append->spare;
    append->spare = post;
    append->spares++;
}

uint64_t append_body_limit(const struct append *append, const struct http_head *head)
{
    uint64_t max = append->base->settings->max_message;
    return append_is_json(head) ? max * JSON_EXPANSION_MAX + JSON_AROUND : max;
}

static void count_refused(struct append *append, enum append_refusal reason)
{
    append->counters.refused[reason]++;
}

/* Reads the whole request into post and terms; answers it and returns false where it is bad. */
static bool request_read(struct append *append, const struct http_request *request, struct post *post,
                         struct append_terms *terms, struct http_exchange *exchange)
{
    char why[APPEND_WHY_SIZE];
    const char *error = append_read(request, &post->message, terms, why);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
    } else if (post->message.value_len > append->base->settings->max_message) {
        http_answer_error(exchange, 413, NULL, "the message has %zu bytes, and MAX_MESSAGE is %zu",
                          post->message.value_len, append->base->settings->max_message);
    } else if (post->message.json.failed) {
        count_refused(append, APPEND_REFUSED_MEMORY);
        http_answer_unavailable(exchange, "there is no memory for the message");
    } else {
        return true;
    }
    return false;
}

/* ---- waiting */

static void post_over(void *owner, struct acks_waiter *waiter);
static void post_gone(struct http_waiter *http);

/* A post for the exchange, its wait not begun, or NULL: answered then. */
static struct post *post_begin(struct append *append, struct http_exchange *exchange)
{
    struct post *post = post_new(append);
    if (!post) {
        count_refused(append, APPEND_REFUSED_MEMORY);
        http_answer_unavailable(exchange, "there is no memory for the request");
        return NULL;
    }
    post->waiter.owner = append;
    post->waiter.over = post_over;
    post->http.gone = post_gone;
    post->exchange = exchange;
    http_exchange_waiter(exchange, &post->http);
    post->began_us = clock_us();
    post->gone = false;
    post->share = NULL;
    post->message.value_len = 0;
    return post;
}

/* Whether there is a place for a request behind others of its connection. Those of an address share a tenth
 * of all places. */
static bool has_place(struct append *append, struct post *post)
{
    post->share = shares_join(append->shares, http_exchange_peer(post->exchange));
    return post->share && post->share->count <= APPEND_WAITING_SHARE && append->waiting <= APPEND_WAITING_MAX;
}

/* Whether one more may wait; where not, the exchange is answered. What the master's own copy satisfies never
 * waits. The first request of a connection has a place in any case: there are few connections, and nobody who
 * pipelines takes the place of one that asks for one thing at a time. */
static bool may_wait(struct append *append, struct post *post, const struct append_terms *terms,
                     struct http_exchange *exchange)
{
    bool gated = acks_gate_closed(append->base->acks);
    if (!gated && terms->w == 1)
        return true;
    if (!http_exchange_is_first(exchange) && !has_place(append, post))
        http_answer_unavailable(exchange, "too many requests are waiting");
    else if (gated && append->gated_bytes + post->message.json.cap > APPEND_GATED_BYTES_MAX)
        http_answer_unavailable(exchange, "too many bytes are waiting already");
    else
        return true;
    count_refused(append, APPEND_REFUSED_WAITING);
    return false;
}

/* RFC 9110 section 13: an append may be meant for the list as its client saw it. Where the condition does not
 * hold, the exchange is answered. */
static bool condition_holds(const struct append *append, const struct http_request *request,
                            struct http_exchange *exchange)
{
    char etag[READS_ETAG_SIZE];
    if (!http_head_field(request->head, "If-Match") && !http_head_field(request->head, "If-None-Match"))
        return true;
    if (acks_gate_closed(append->base->acks)) {
        http_answer_unavailable(exchange, "it is not known yet which list this will be");
        return false;
    }
    reads_etag(append->base->log, 1, log_last(append->base->log), etag);
    if (http_condition(request->head, etag) == 0)
        return true;
    http_answer_error(exchange, 412, NULL, "the list is not the one that the request is meant for");
    return false;
}

static void post_terms(struct post *post, const struct append_terms *terms)
{
    post->waiter.w = terms->w;
    post->waiter.deadline_ms =
        terms->timeout_ms ? clock_after(post->began_us / 1000, terms->timeout_ms) : CLOCK_NEVER;
}

static struct append_terms terms_default(const struct append *append)
{
    return (struct append_terms){.w = append->base->settings->write_concern,
                                 .timeout_ms = append->base->settings->ack_timeout_ms};
}

static void summary_add(struct summary *line, uint64_t id)
{
    if (line->count == 0 || id < line->first)
        line->first = id;
    if (id > line->last)
        line->last = id;
    line->count++;
}

static void answer_log(struct append *append, const struct post *post, int status, int64_t waited_us)
{
    struct summary *line = status == 202 ? &append->lates : &append->answers;
    if (!post->is_get)
        histogram_observe(&append->counters.answered, waited_us);
    if (status == 200) /* a wait that appended nothing */
        return;
    summary_add(line, post->waiter.id);
    line->have = post->waiter.count.have;
    line->need = post->waiter.count.need;
    if (waited_us > line->waited_us)
        line->waited_us = waited_us;
}

/* What the answer says of a wait that ended like this. */
static const char *outcome_text(enum acks_outcome outcome)
{
    switch (outcome) {
    case ACKS_LATE:
        return ",\"error\":\"the time is over before enough nodes hold the message; it is in the log and "
               "is still being replicated\"";
    case ACKS_ENDED:
        return ",\"error\":\"the master is shutting down before enough nodes hold the message\"";
    case ACKS_REACHED:
    case ACKS_ADMITTED:
        break;
    }
    return "";
}

/* Writes the field and returns where it begins: at the end of `out`. */
static const char *location_write(uint64_t id, char out[LOCATION_SIZE])
{
    char *at = out + LOCATION_SIZE - sizeof "\r\n";
    memcpy(at, "\r\n", sizeof "\r\n");
    at = format_uint(at, id);
    return memcpy(at - strlen(location), location, strlen(location));
}

static struct span answer_write(struct append *append, const struct acks_waiter *waiter)
{
    struct buf *out = &append->answer;
    buf_clear(out);
    buf_add_text(out, "{\"id\":");
    buf_add_uint(out, waiter->id);
    buf_add_text(out, ",\"w\":");
    buf_add_uint(out, waiter->count.need);
    buf_add_text(out, ",\"acks\":");
    buf_add_uint(out, waiter->count.have);
    buf_add_text(out, outcome_text(waiter->outcome));
    buf_add_text(out, "}\n");
    assert(out->len <= ANSWER_MAX && !out->failed);
    return buf_span(out);
}

static void post_answer(struct append *append, struct post *post)
{
    const struct acks_waiter *waiter = &post->waiter;
    int status = waiter->outcome != ACKS_REACHED ? 202 : post->is_get ? 200 : 201;
    answer_log(append, post, status, clock_us() - post->began_us);
    char field[LOCATION_SIZE];
    http_answer(post->exchange, status, location_write(waiter->id, field), answer_write(append, waiter));
    post_free(append, post);
}

/* Frees one whose client has gone. */
static void post_forget(struct append *append, struct post *post)
{
    http_answer_error(post->exchange, 503, NULL, "the client has gone");
    post_free(append, post);
}

/* Waits for ACKs. */
static void post_park(struct append *append, struct post *post)
{
    if (post->gone) /* nobody would end its wait */
        post_forget(append, post);
    else if (!acks_park(append->base->acks, &post->waiter))
        post_answer(append, post);
}

static void post_append(struct append *append, struct post *post)
{
    struct summary *line = &append->appends;
    int result = log_append(append->base->log, buf_span(&post->message.json), NULL, 1, &post->waiter.id);
    if (result < 0) {
        count_refused(append, result == -ENOSPC ? APPEND_REFUSED_FULL : APPEND_REFUSED_MEMORY);
        if (result == -ENOSPC)
            http_answer_error(post->exchange, 507, NULL, "the list is full: MAX_LOG is %" PRId64 " bytes",
                              append->base->settings->max_log);
        else
            http_answer_unavailable(post->exchange, "there is no memory for the message");
        post_free(append, post);
        return;
    }
    json_return(append, post);
    append->base->appended = true;
    acks_appended(append->base->acks, post->waiter.id);
    summary_add(line, post->waiter.id);
    line->bytes += post->message.value_len;
    if (line->count == 1)
        format_text(line->peer, sizeof line->peer, "%s", http_exchange_peer(post->exchange));
    post_park(append, post);
}

/* Whether there is a quorum; where not, the exchange is answered. */
static bool is_admitted(struct append *append, struct http_exchange *exchange)
{
    bool admitted = gate_admits(append->gate, exchange);
    append->counters.refused[APPEND_REFUSED_READ_ONLY] += !admitted;
    return admitted;
}

/* The gate has let it through, and was closed again before this pass has come to it: it waits on. */
static bool gated_again(struct append *append, struct post *post)
{
    struct acks *acks = append->base->acks;
    return post->waiter.outcome == ACKS_ADMITTED && acks_gate_closed(acks) && acks_park(acks, &post->waiter);
}

/* A POST that waited at the gate: let through, late, or ended. */
static void gated_release(struct append *append, struct post *post)
{
    if (gated_again(append, post))
        return;
    append->gated_bytes -= post->message.json.cap;
    if (post->waiter.outcome == ACKS_LATE) {
        count_refused(append, APPEND_REFUSED_HELD);
        http_answer_unavailable(
            post->exchange, "the time is over while the master waits for what its secondaries hold; nothing "
                            "was appended");
    } else if (post->waiter.outcome == ACKS_ENDED) {
        http_answer_unavailable(post->exchange, "the master is shutting down");
    } else if (is_admitted(append, post->exchange)) {
        post_append(append, post);
        return;
    }
    post_free(append, post);
}

/* Waits at the gate. It keeps its text, and no more room than that takes. */
static void post_gate(struct append *append, struct post *post)
{
    post->waiter.id = 0;
    append->gated_bytes += post->message.json.cap;
    if (!acks_park(append->base->acks, &post->waiter))
        gated_release(append, post); /* the node stops */
}

static void post_over(void *owner, struct acks_waiter *waiter)
{
    struct post *post = (struct post *)waiter;
    if (waiter->id)
        post_answer(owner, post);
    else
        gated_release(owner, post);
}

void append_post(struct append *append, const struct http_request *request, struct http_exchange *exchange)
{
    struct append_terms terms = terms_default(append);
    if (!is_admitted(append, exchange))
        return;
    struct post *post = post_begin(append, exchange);
    if (!post)
        return;
    bool gated = acks_gate_closed(append->base->acks);
    post->is_get = false;
    if (!gated)
        json_borrow(append, post);
    /* RFC 9110 13.2.1: the condition counts only where the request is good without it */
    if (!request_read(append, request, post, &terms, exchange) || !may_wait(append, post, &terms, exchange) ||
        !condition_holds(append, request, exchange)) {
        post_free(append, post);
        return;
    }
    post_terms(post, &terms);
    if (gated)
        post_gate(append, post);
    else
        post_append(append, post);
}

void append_wait(struct append *append, const struct http_request *request, const char *text,
                 struct http_exchange *exchange)
{
    struct append_terms terms = terms_default(append);
    uint64_t id;
    const char *error = append_read_terms(request, &terms);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
        return;
    }
    if (!reads_id(text, &id) || id > log_last(append->base->log)) {
        http_answer_error(exchange, 404, NULL, "there is no message %.100s here", text);
        return;
    }
    struct post *post = post_begin(append, exchange);
    if (!post)
        return;
    if (!may_wait(append, post, &terms, exchange)) {
        post_free(append, post);
        return;
    }
    post->is_get = true;
    post->waiter.id = id;
    post_terms(post, &terms);
    post_park(append, post);
}

static void post_gone(struct http_waiter *http)
{
    struct post *post = CONTAINER_OF(http, struct post, http);
    struct append *append = post->waiter.owner;
    if (post->waiter.id && acks_unpark(append->base->acks, &post->waiter))
        post_forget(append, post);
    else /* at the gate, or just released: answered in its turn, into nothing */
        post->gone = true;
}

/* ---- the end of a pass */

static void appends_log(const struct summary *line)
{
    if (line->count == 1)
        logline_event(LOGLINE_INFO, "appended",
                      LOG_FIELDS(LOG_NUMBER("id", line->first), LOG_NUMBER("bytes", line->bytes),
                                 LOG_TEXT("peer", line->peer)),
                      "appended %" PRIu64 " (%" PRIu64 " %s) from %s", line->first, line->bytes,
                      line->bytes == 1 ? "byte" : "bytes", line->peer);
    else if (line->count)
        logline_event(LOGLINE_INFO, "appended",
                      LOG_FIELDS(LOG_NUMBER("first", line->first), LOG_NUMBER("last", line->last),
                                 LOG_NUMBER("count", line->count), LOG_NUMBER("bytes", line->bytes)),
                      "appended %" PRIu64 "..%" PRIu64 " (%" PRIu64 " messages, %" PRIu64 " bytes)",
                      line->first, line->last, line->count, line->bytes);
}

uint64_t append_unannounced_bytes(const struct append *append)
{
    return append->appends.bytes;
}

void append_announce(struct append *append)
{
    appends_log(&append->appends);
    append->counters.messages += append->appends.count;
    append->counters.bytes += append->appends.bytes;
    append->appends.count = append->appends.bytes = append->appends.last = 0;
}

const struct append_counters *append_counters(const struct append *append)
{
    return &append->counters;
}

static void waiting_count(void *ctx, struct acks_waiter *waiter)
{
    struct append_waiting *found = ctx;
    const struct post *post = (const struct post *)waiter;
    if (waiter->over != post_over || post->is_get)
        return;
    found->held += !waiter->id;
    found->for_acks += waiter->id != 0;
    found->oldest_us = clock_earlier(found->oldest_us, post->began_us);
}

struct append_waiting append_waiting(const struct append *append)
{
    struct append_waiting found = {.oldest_us = CLOCK_NEVER};
    acks_each(append->base->acks, waiting_count, &found);
    return found;
}

static void answer_log_one(const struct summary *line, enum logline_level level, int status)
{
    int64_t waited_ms = line->waited_us / 1000;
    const struct log_field *fields =
        LOG_FIELDS(LOG_NUMBER("id", line->first), LOG_NUMBER("status", status), LOG_NUMBER("ms", waited_ms),
                   LOG_NUMBER("acks", line->have), LOG_NUMBER("w", line->need));
    if (status == 202)
        logline_event(level, "answered", fields,
                      "answered %" PRIu64 " with 202 after %" PRId64 " ms: %u of %u nodes hold it",
                      line->first, waited_ms, line->have, line->need);
    else
        logline_event(level, "answered", fields,
                      "answered %" PRIu64 " with 201 after %" PRId64 " ms: %u %s it", line->first, waited_ms,
                      line->have, line->have == 1 ? "node holds" : "nodes hold");
}

/* Logs what was answered with this status, and forgets it. */
static void answers_log(struct summary *line, enum logline_level level, int status)
{
    int64_t waited_ms = line->waited_us / 1000;
    if (line->count == 1)
        answer_log_one(line, level, status);
    else if (line->count)
        logline_event(level, "answered",
                      LOG_FIELDS(LOG_NUMBER("first", line->first), LOG_NUMBER("last", line->last),
                                 LOG_NUMBER("count", line->count), LOG_NUMBER("status", status),
                                 LOG_NUMBER("ms", waited_ms)),
                      "answered %" PRIu64 " messages of %" PRIu64 "..%" PRIu64 " with %d after %" PRId64
                      " ms at most",
                      line->count, line->first, line->last, status, waited_ms);
    line->count = line->last = 0;
    line->waited_us = 0;
}

int64_t append_pass(struct append *append, int64_t now_ms)
{
    int64_t next_ms = acks_expire(append->base->acks, now_ms);
    acks_hand_back(append->base->acks);
    if (append_unannounced_bytes(append)) { /* POSTs that the gate has let through wait for ACKs now */
        next_ms = acks_expire(append->base->acks, now_ms);
        acks_hand_back(append->base->acks); /* whose time is over already */
    }
    answers_log(&append->answers, LOGLINE_INFO, 201);
    answers_log(&append->lates, LOGLINE_WARN, 202);
    return next_ms;
}
