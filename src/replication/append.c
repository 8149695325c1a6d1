/* The happy path: append_post reads the request into a `struct post`, appends its messages, parks the post
 * with the ACK count; an ACK releases it; append_pass answers it and frees it. While the gate is closed, the
 * post is parked before it is appended as well, and append_pass appends it when the gate has let it through.
 */
#include "replication/append.h"
#include "clock.h"
#include "container.h"
#include "http/condition.h"
#include "http/shares.h"
#include "json.h"
#include "memory.h"
#include "replication/append_answer.h"
#include "replication/append_lines.h"
#include "replication/reads.h"
#include "replication/receipts.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    JSON_AROUND = 4096, /* bytes of a JSON body around the message */
    SPARES_MAX = 1024,
    SPARE_JSON_MAX = 256 * 1024 /* bytes of the buffer that is kept for the next message */
};

struct append {
    struct base *base;
    const struct gate *gate;
    const struct members *members;
    size_t gated_bytes; /* memory of the messages at the gate */
    struct buf json; /* for the next message: one that is still in the processor's cache, and not allocated */
    struct buf answer; /* the body that is written; has APPEND_ANSWER_MAX bytes */
    struct post *spare;
    size_t waiting; /* posts in use */
    size_t spares;
    struct shares shares; /* posts that wait, and their gated_bytes */
    struct append_lines lines;
    struct append_counters counters;
};

struct append *append_open(struct base *base, const struct gate *gate, const struct members *members)
{
    struct append *append = calloc(1, sizeof *append);
    if (!append)
        return NULL;
    append->base = base;
    append->gate = gate;
    append->members = members;
    if (!buf_reserve(&append->answer, APPEND_ANSWER_MAX)) {
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
    buf_free(&append->json);
    buf_free(&append->answer);
    free(append);
}

static void json_borrow(struct append *append, struct post *post)
{
    post->messages.json = append->json;
    append->json = (struct buf){0};
    buf_clear(&post->messages.json);
}

/* Once the messages are in the list, their post needs no text of them. */
static void json_return(struct append *append, struct post *post)
{
    struct append_messages *messages = &post->messages;
    if (append->json.cap || messages->json.cap > SPARE_JSON_MAX)
        buf_free(&messages->json);
    else
        append->json = messages->json;
    messages->json = (struct buf){0};
    if (messages->lens.cap)
        buf_free(&messages->lens);
}

/* The memory that a post at the gate takes for its messages. */
static size_t post_bytes(const struct post *post)
{
    return post->messages.json.cap + post->messages.lens.cap;
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
        shares_leave(&append->shares, post->share);
    if (post->receipt)
        receipt_free(append->base->receipts, post->receipt);
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
    if (!append_is_json(head))
        return max;
    uint64_t most = max * JSON_EXPANSION_MAX + JSON_AROUND;
    return most > APPEND_LIST_BYTES_MAX ? most : APPEND_LIST_BYTES_MAX;
}

static void answer_too_long(const struct append *append, const struct append_messages *messages,
                            struct http_exchange *exchange)
{
    size_t max = append->base->settings->max_message;
    if (messages->is_list)
        http_answer_error(exchange, 413, NULL,
                          "message %" PRIu64 " of the list has %zu bytes, and MAX_MESSAGE is %zu",
                          messages->longest_at, messages->longest, max);
    else
        http_answer_error(exchange, 413, NULL, "the message has %zu bytes, and MAX_MESSAGE is %zu",
                          messages->longest, max);
}

static void count_refused(struct append *append, enum append_refusal reason)
{
    append->counters.refused[reason]++;
}

/* Reads the whole request into post and terms; answers it and returns false where it is bad. */
static bool request_read(struct append *append, const struct http_request *request, struct post *post,
                         struct append_terms *terms, struct http_exchange *exchange)
{
    char why[JSON_WHY_SIZE];
    const struct append_messages *messages = &post->messages;
    const char *error = append_read(request, &post->messages, terms, why);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
    } else if (messages->longest > append->base->settings->max_message) {
        answer_too_long(append, messages, exchange);
    } else if (messages->json.failed || messages->lens.failed) {
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
    post->receipt = NULL;
    return post;
}

/* Whether there is a place. Half of them, and half of an address's, are for the first request of each
 * connection: nobody who pipelines takes the place of one that asks for one thing at a time. */
static bool has_place(struct append *append, struct post *post)
{
    size_t most = http_exchange_is_first(post->exchange) ? APPEND_WAITING_MAX : APPEND_WAITING_MAX / 2;
    post->share = shares_join(&append->shares, http_exchange_address(post->exchange));
    return post->share && post->share->count <= most / APPEND_ADDRESSES && append->waiting <= most;
}

static bool has_gated_room(const struct append *append, const struct post *post)
{
    size_t most = memory_part(append->base->settings->memory, APPEND_GATED_BYTES_MAX);
    return share_has_room(post->share, 0, append->gated_bytes, most);
}

/* Whether one more may wait; where not, the exchange is answered. What the master's own copy satisfies
 * never waits. */
static bool may_wait(struct append *append, struct post *post, const struct append_terms *terms,
                     struct http_exchange *exchange)
{
    bool gated = acks_gate_closed(append->base->acks);
    if (!gated && terms->w == 1 && base_holds_at_once(append->base))
        return true;
    if (!has_place(append, post))
        http_answer_unavailable(exchange, "too many requests are waiting");
    else if (gated && !has_gated_room(append, post))
        http_answer_unavailable(exchange, "too many bytes are waiting already");
    else
        return true;
    count_refused(append, APPEND_REFUSED_WAITING);
    return false;
}

/* RFC 9110 section 13: an append may be meant for the list as its client saw it. Where the condition does
 * not hold, the exchange is answered. */
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

/* Returns false where there is no memory for a receipt that is wanted: the exchange is answered then. */
static bool post_terms(struct post *post, const struct append_terms *terms, struct http_exchange *exchange)
{
    post->waiter.w = terms->w;
    post->deadline_ms =
        terms->timeout_ms ? clock_after((post->began_us + 999) / 1000, terms->timeout_ms) : CLOCK_NEVER;
    post->waiter.deadline_ms = post->deadline_ms;
    post->expect = terms->expect;
    if (!terms->receipt)
        return true;
    post->receipt = receipt_new();
    if (!post->receipt)
        http_answer_unavailable(exchange, "there is no memory for a receipt");
    return post->receipt != NULL;
}

static struct append_terms terms_default(const struct append *append)
{
    return (struct append_terms){.w = append->base->settings->write_concern,
                                 .timeout_ms = append->base->settings->ack_timeout_ms};
}

static void post_answer(struct append *append, struct post *post)
{
    char fields[APPEND_FIELDS_SIZE];
    int status = post->waiter.outcome != ACKS_REACHED ? 202 : post->is_get ? 200 : 201;
    int64_t waited_us = clock_us() - post->began_us;
    append_lines_answered(&append->lines, post, status, waited_us);
    if (!post->is_get)
        histogram_observe(&append->counters.answered, waited_us);
    if (status != 200)
        events_tell(append->base->events, .kind = EVENT_ANSWERED, .last = post->waiter.id, .status = status,
                    .w = post->waiter.count.need, .acks = post->waiter.count.have,
                    .ms = (double)waited_us / 1000);
    buf_clear(&append->answer);
    append_answer_write(&append->answer, post, append->base, append->members);
    http_answer(post->exchange, status, append_fields(post, append->base, fields), buf_span(&append->answer));
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

/* Whether the first message gets the id that the client expects; where not, the exchange is answered. */
static bool expectation_holds(const struct append *append, const struct post *post)
{
    uint64_t last = log_last(append->base->log);
    struct buf body = {0};
    if (!post->expect || post->expect == last + 1)
        return true;
    buf_addf(&body,
             "{\"error\":\"the next id is %" PRIu64 ", and %" PRIu64 " was expected\",\"last_id\":%" PRIu64
             "}",
             last + 1, post->expect, last);
    http_answer_json(post->exchange, 412, NULL, &body);
    return false;
}

/* Whether the messages are in the list; where not, the exchange is answered. */
static bool messages_append(struct append *append, struct post *post)
{
    const struct append_messages *messages = &post->messages;
    if (!expectation_holds(append, post))
        return false;
    int result = log_append(append->base->log, buf_span(&messages->json), append_lens(messages),
                            messages->count, &post->waiter.id);
    if (result < 0)
        count_refused(append, result == -ENOSPC ? APPEND_REFUSED_FULL : APPEND_REFUSED_MEMORY);
    if (result == -ENOSPC)
        http_answer_error(post->exchange, 507, NULL, "the list is full: MAX_LOG is %" PRId64 " bytes",
                          append->base->settings->max_log);
    else if (result < 0)
        http_answer_unavailable(post->exchange, "there is no memory for the message");
    return result == 0;
}

static void post_append(struct append *append, struct post *post)
{
    if (!messages_append(append, post)) {
        post_free(append, post);
        return;
    }
    json_return(append, post);
    append->base->appended = true;
    if (post->receipt)
        receipt_await(append->base->receipts, post->receipt, post->waiter.id, false);
    post->waiter.deadline_ms = post->deadline_ms;
    acks_appended(append->base->acks, base_held(append->base).last);
    events_tell(append->base->events, .kind = EVENT_APPENDED, .first = post_first(post),
                .last = post->waiter.id, .bytes = post->messages.value_len);
    append_lines_appended(&append->lines, post);
    post_park(append, post);
}

/* Whether there is a quorum, and a disk that takes messages; where not, the exchange is answered. */
static bool is_admitted(struct append *append, struct http_exchange *exchange)
{
    const char *refuses = append->base->store ? store_refuses(append->base->store) : NULL;
    if (refuses) {
        count_refused(append, APPEND_REFUSED_DISK);
        http_answer_unavailable(exchange, "%s; nothing was appended", refuses);
        return false;
    }
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
    append->gated_bytes -= post_bytes(post);
    post->share->bytes -= post_bytes(post);
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

/* Waits at the gate. It keeps its text, and no more room than that takes. Where the gate waits for messages
 * that this disk has lost, nobody knows whether they come. */
static void post_gate(struct append *append, struct post *post)
{
    const struct base *base = append->base;
    post->waiter.id = 0;
    if (post->deadline_ms == CLOCK_NEVER && base->store && store_missing(base->store))
        post->waiter.deadline_ms = clock_ms() + MEMBER_UNHEALTHY_INTERVALS * base->settings->heartbeat_ms;
    append->gated_bytes += post_bytes(post);
    post->share->bytes += post_bytes(post);
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
        !condition_holds(append, request, exchange) || !post_terms(post, &terms, exchange)) {
        post_free(append, post);
        return;
    }
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
        reads_answer_missing(append->base, log_last(append->base->log), text, exchange);
        return;
    }
    struct post *post = post_begin(append, exchange);
    if (!post)
        return;
    post->is_get = true;
    post->messages.count = 1;
    post->messages.is_list = false;
    post->waiter.id = id;
    if (!may_wait(append, post, &terms, exchange) || !post_terms(post, &terms, exchange)) {
        post_free(append, post);
        return;
    }
    if (post->receipt)
        receipt_await(append->base->receipts, post->receipt, id, true);
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

void append_strand(struct append *append)
{
    acks_strand(append->base->acks, append);
}

/* ---- the end of a pass */

uint64_t append_unannounced_bytes(const struct append *append)
{
    return append->lines.appends.bytes;
}

void append_announce(struct append *append)
{
    const struct append_line *line = &append->lines.appends;
    append->counters.messages += line->count;
    append->counters.bytes += line->bytes;
    append_lines_tell_appended(&append->lines);
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

int64_t append_pass(struct append *append, int64_t now_ms)
{
    int64_t next_ms = acks_expire(append->base->acks, now_ms);
    acks_hand_back(append->base->acks);
    if (append_unannounced_bytes(append)) { /* POSTs that the gate has let through wait for ACKs now */
        next_ms = acks_expire(append->base->acks, now_ms);
        acks_hand_back(append->base->acks); /* whose time is over already */
    }
    append_lines_tell_answered(&append->lines);
    return next_ms;
}
