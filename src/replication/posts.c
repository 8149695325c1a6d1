/* The happy path: posts_append reads the request into a `struct post`, appends its message, parks the post
 * with the ACK count; an ACK releases it; posts_pass answers it and frees it.
 *
 * What happens to many posts at once is logged as one line. */
#include "replication/posts.h"
#include "clock.h"
#include "format.h"
#include "json.h"
#include "logline.h"
#include "replication/append_request.h"
#include "replication/reading.h"
#include <assert.h>
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
    struct http_exchange *exchange;
    struct post *next; /* held, or spare */
    bool is_get;
    bool gone; /* its client, while it was held */
    int64_t began_ms;
    struct append_message message;
};

/* What was done with many posts at once. */
struct tally_line {
    uint64_t first, last, count, bytes;
    char peer[64];
    unsigned held;
    int64_t waited_ms; /* the longest */
};

struct posts {
    struct posts_config config;
    struct post *held, *held_last;
    size_t held_bytes;   /* memory of their messages */
    int64_t held_due_ms; /* not after the first deadline of a held one */
    struct buf json; /* for the next message: one that is still in the processor's cache, and not allocated */
    struct buf answer; /* the body that is written; ANSWER_MAX bytes are there, so that it cannot fail */
    struct post *spare;
    size_t waiting; /* posts in use */
    size_t spares;
    bool hold;
    bool appended;
    struct tally_line appends, answers;
};

struct posts *posts_open(const struct posts_config *config)
{
    struct posts *posts = calloc(1, sizeof *posts);
    if (!posts)
        return NULL;
    posts->config = *config;
    posts->held_due_ms = CLOCK_NEVER;
    if (!buf_reserve(&posts->answer, ANSWER_MAX)) {
        posts_close(posts);
        return NULL;
    }
    return posts;
}

void posts_close(struct posts *posts)
{
    while (posts->spare) {
        struct post *post = posts->spare;
        posts->spare = post->next;
        free(post);
    }
    buf_free(&posts->json);
    buf_free(&posts->answer);
    free(posts);
}

static void json_borrow(struct posts *posts, struct post *post)
{
    post->message.json = posts->json;
    posts->json = (struct buf){0};
    buf_clear(&post->message.json);
}

/* Once the message is in the list, its post needs no text of it. */
static void json_return(struct posts *posts, struct post *post)
{
    if (posts->json.cap || post->message.json.cap > SPARE_JSON_MAX)
        buf_free(&post->message.json);
    else
        posts->json = post->message.json;
    post->message.json = (struct buf){0};
}

static struct post *post_new(struct posts *posts)
{
    struct post *post = posts->spare;
    if (post) {
        posts->spare = post->next;
        posts->spares--;
    } else {
        post = calloc(1, sizeof *post);
        if (!post)
            return NULL;
    }
    posts->waiting++;
    post->next = NULL;
    return post;
}

static void post_free(struct posts *posts, struct post *post)
{
    posts->waiting--;
    json_return(posts, post);
    if (posts->spares == SPARES_MAX) {
        free(post);
        return;
    }
    post->next = posts->spare;
    posts->spare = post;
    posts->spares++;
}

uint64_t posts_body_limit(const struct posts *posts, const struct http_head *head)
{
    uint64_t max = posts->config.max_message;
    return append_is_json(head) ? max * JSON_EXPANSION_MAX + JSON_AROUND : max;
}

/* Reads the whole request into post and wish; answers it and returns false where it is bad. */
static bool request_read(struct posts *posts, const struct http_request *request, struct post *post,
                         struct append_wish *wish, struct http_exchange *exchange)
{
    const char *error = append_read(request, &post->message, wish);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
    } else if (post->message.value_len > posts->config.max_message) {
        http_answer_error(exchange, 413, NULL, "the message has %zu bytes, and MAX_MESSAGE is %zu",
                          post->message.value_len, posts->config.max_message);
    } else if (post->message.json.failed) {
        http_answer_unavailable(exchange, "there is no memory for the message");
    } else {
        return true;
    }
    return false;
}

/* ---- waiting */

/* A post for the exchange, its wait not begun, or NULL: answered then. */
static struct post *post_begin(struct posts *posts, struct http_exchange *exchange)
{
    struct post *post = post_new(posts);
    if (!post) {
        http_answer_unavailable(exchange, "there is no memory for the request");
        return NULL;
    }
    post->exchange = exchange;
    http_exchange_waiter(exchange, post);
    post->began_ms = clock_ms();
    post->gone = false;
    post->message.value_len = 0;
    return post;
}

/* Whether one more may wait; where not, the exchange is answered. What the master's own copy satisfies never
 * waits. */
static bool may_wait(const struct posts *posts, const struct append_wish *wish,
                     struct http_exchange *exchange)
{
    if (posts->waiting <= POSTS_WAITING_MAX || (wish->w == 1 && !posts->hold))
        return true;
    http_answer_unavailable(exchange, "too many requests are waiting");
    return false;
}

/* The same for one that would be held. */
static bool may_hold(const struct posts *posts, const struct post *post, struct http_exchange *exchange)
{
    if (posts->held_bytes + post->message.json.cap <= POSTS_HELD_BYTES_MAX)
        return true;
    http_answer_unavailable(exchange, "too much is held back already");
    return false;
}

static void post_wish(struct post *post, const struct append_wish *wish)
{
    post->waiter.w = wish->w;
    post->waiter.deadline_ms = wish->timeout_ms ? clock_after(post->began_ms, wish->timeout_ms) : CLOCK_NEVER;
}

static struct append_wish wish_default(const struct posts *posts)
{
    return (struct append_wish){.w = posts->config.write_concern, .timeout_ms = posts->config.ack_timeout_ms};
}

static void tally_add(struct tally_line *line, uint64_t id)
{
    if (line->count == 0 || id < line->first)
        line->first = id;
    if (id > line->last)
        line->last = id;
    line->count++;
}

static void answer_log(struct posts *posts, const struct post *post, int status, int64_t waited_ms)
{
    const struct acks_count *count = &post->waiter.count;
    if (status != 201) {
        logline(status == 202 ? LOGLINE_WARN : LOGLINE_DEBUG,
                "answered %" PRIu64 " with %d after %" PRId64 " ms: %u of %u nodes hold it", post->waiter.id,
                status, waited_ms, count->have, count->need);
        return;
    }
    tally_add(&posts->answers, post->waiter.id);
    posts->answers.held = count->have;
    if (waited_ms > posts->answers.waited_ms)
        posts->answers.waited_ms = waited_ms;
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

static struct span answer_write(struct posts *posts, const struct acks_waiter *waiter)
{
    struct buf *out = &posts->answer;
    buf_clear(out);
    buf_add_text(out, "{\"id\":");
    buf_add_uint(out, waiter->id);
    buf_add_text(out, ",\"w\":");
    buf_add_uint(out, waiter->count.need);
    buf_add_text(out, ",\"acks\":");
    buf_add_uint(out, waiter->count.have);
    buf_add_text(out, outcome_text(waiter->outcome));
    buf_add_char(out, '}');
    assert(out->len <= ANSWER_MAX && !out->failed);
    return buf_span(out);
}

static void post_answer(struct posts *posts, struct post *post)
{
    const struct acks_waiter *waiter = &post->waiter;
    int status = waiter->outcome != ACKS_REACHED ? 202 : post->is_get ? 200 : 201;
    answer_log(posts, post, status, clock_ms() - post->began_ms);
    char field[LOCATION_SIZE];
    http_answer(post->exchange, status, location_write(waiter->id, field), answer_write(posts, waiter));
    post_free(posts, post);
}

/* Frees one whose client has gone. */
static void post_forget(struct posts *posts, struct post *post)
{
    http_answer_error(post->exchange, 503, NULL, "the client has gone");
    post_free(posts, post);
}

static void post_park(struct posts *posts, struct post *post)
{
    if (post->gone) { /* nobody would end its wait */
        post_forget(posts, post);
        return;
    }
    switch (acks_park(posts->config.acks, &post->waiter)) {
    case ACKS_PARKED:
        return;
    case ACKS_SATISFIED:
        break;
    case ACKS_NO_MEMORY: /* it is appended, and nobody can wait: say what is known now */
        post->waiter.outcome = ACKS_LATE;
        post->waiter.count = acks_count(posts->config.acks, post->waiter.id, post->waiter.w);
        break;
    }
    post_answer(posts, post);
}

static void post_append(struct posts *posts, struct post *post)
{
    struct tally_line *line = &posts->appends;
    if (log_append(posts->config.log, buf_span(&post->message.json), NULL, 1, &post->waiter.id) < 0) {
        http_answer_unavailable(post->exchange, "there is no memory for the message");
        post_free(posts, post);
        return;
    }
    json_return(posts, post);
    posts->appended = true;
    acks_appended(posts->config.acks, post->waiter.id);
    tally_add(line, post->waiter.id);
    line->bytes += post->message.value_len;
    if (line->count == 1)
        format_text(line->peer, sizeof line->peer, "%s", http_exchange_peer(post->exchange));
    post_park(posts, post);
}

static void held_add(struct posts *posts, struct post *post)
{
    if (posts->held)
        posts->held_last->next = post;
    else
        posts->held = post;
    posts->held_last = post;
    posts->held_bytes += post->message.json.cap;
    if (post->waiter.deadline_ms < posts->held_due_ms)
        posts->held_due_ms = post->waiter.deadline_ms;
}

void posts_append(struct posts *posts, const struct http_request *request, struct http_exchange *exchange)
{
    struct append_wish wish = wish_default(posts);
    struct post *post = post_begin(posts, exchange);
    if (!post)
        return;
    post->is_get = false;
    if (!posts->hold) /* one that is held keeps its text, and no more room than that takes */
        json_borrow(posts, post);
    /* RFC 9110 13.2.1: the condition counts only where the request is good without it */
    if (!request_read(posts, request, post, &wish, exchange) || !may_wait(posts, &wish, exchange) ||
        (posts->hold && !may_hold(posts, post, exchange)) ||
        !posts->config.condition(posts->config.ctx, request, exchange)) {
        post_free(posts, post);
        return;
    }
    post_wish(post, &wish);
    if (posts->hold)
        held_add(posts, post);
    else
        post_append(posts, post);
}

void posts_wait(struct posts *posts, const struct http_request *request, const char *text,
                struct http_exchange *exchange)
{
    struct append_wish wish = wish_default(posts);
    uint64_t id;
    const char *error = append_read_wish(request, &wish);
    if (error) {
        http_answer_error(exchange, 400, NULL, "%s", error);
        return;
    }
    if (!reading_id(text, &id) || id > log_last(posts->config.log)) {
        http_answer_error(exchange, 404, NULL, "there is no message %.100s here", text);
        return;
    }
    struct post *post = post_begin(posts, exchange);
    if (!post)
        return;
    if (!may_wait(posts, &wish, exchange)) {
        post_free(posts, post);
        return;
    }
    post->is_get = true;
    post->waiter.id = id;
    post_wish(post, &wish);
    post_park(posts, post);
}

void posts_gone(struct posts *posts, void *waiter)
{
    struct post *post = waiter;
    if (acks_unpark(posts->config.acks, &post->waiter))
        post_forget(posts, post);
    else /* held, or just released: answered in its turn, into nothing */
        post->gone = true;
}

/* ---- holding */

static struct post *held_take(struct posts *posts)
{
    struct post *post = posts->held;
    posts->held = post->next;
    posts->held_bytes -= post->message.json.cap;
    post->next = NULL;
    return post;
}

void posts_hold(struct posts *posts, bool hold)
{
    posts->hold = hold;
    while (!hold && posts->held) {
        struct post *post = held_take(posts);
        if (posts->config.allowed(posts->config.ctx, post->exchange))
            post_append(posts, post);
        else
            post_free(posts, post);
    }
}

/* Refuses those whose time is over. Returns when the next one's may be. */
static int64_t held_expire(struct posts *posts, int64_t now_ms)
{
    if (now_ms < posts->held_due_ms)
        return posts->held_due_ms;
    struct post *post = posts->held;
    posts->held = NULL;
    posts->held_bytes = 0;
    posts->held_due_ms = CLOCK_NEVER;
    while (post) {
        struct post *next = post->next;
        post->next = NULL;
        if (post->waiter.deadline_ms > now_ms) {
            held_add(posts, post);
        } else {
            http_answer_unavailable(post->exchange,
                                    "the time is over while the master waits for what its secondaries hold; "
                                    "nothing was appended");
            post_free(posts, post);
        }
        post = next;
    }
    return posts->held_due_ms;
}

bool posts_held_back(const struct posts *posts)
{
    return posts->hold;
}

bool posts_any_held(const struct posts *posts)
{
    return posts->held != NULL;
}

void posts_refuse_held(struct posts *posts)
{
    while (posts->held) {
        struct post *post = held_take(posts);
        http_answer_unavailable(post->exchange, "the master is shutting down");
        post_free(posts, post);
    }
}

bool posts_appended(const struct posts *posts)
{
    return posts->appended;
}

/* ---- the end of a pass */

static void appends_log(const struct tally_line *line)
{
    if (line->count == 1)
        logline(LOGLINE_INFO, "appended %" PRIu64 " (%" PRIu64 " %s) from %s", line->first, line->bytes,
                line->bytes == 1 ? "byte" : "bytes", line->peer);
    else if (line->count)
        logline(LOGLINE_INFO, "appended %" PRIu64 "..%" PRIu64 " (%" PRIu64 " messages, %" PRIu64 " bytes)",
                line->first, line->last, line->count, line->bytes);
}

uint64_t posts_unannounced_bytes(const struct posts *posts)
{
    return posts->appends.bytes;
}

void posts_announce(struct posts *posts)
{
    appends_log(&posts->appends);
    posts->appends.count = posts->appends.bytes = posts->appends.last = 0;
}

static void answers_log(const struct tally_line *line)
{
    if (line->count == 1)
        logline(LOGLINE_INFO, "answered %" PRIu64 " with 201 after %" PRId64 " ms: %u %s it", line->first,
                line->waited_ms, line->held, line->held == 1 ? "node holds" : "nodes hold");
    else if (line->count)
        logline(LOGLINE_INFO,
                "answered %" PRIu64 " messages of %" PRIu64 "..%" PRIu64 " with 201 after %" PRId64
                " ms at most",
                line->count, line->first, line->last, line->waited_ms);
}

int64_t posts_pass(struct posts *posts, int64_t now_ms)
{
    int64_t next_ms = acks_expire(posts->config.acks, now_ms);
    struct acks_waiter *released = acks_take_released(posts->config.acks);
    while (released) {
        struct acks_waiter *waiter = released;
        released = waiter->next;
        post_answer(posts, (struct post *)waiter);
    }
    answers_log(&posts->answers);
    posts->answers.count = posts->answers.last = 0;
    posts->answers.waited_ms = 0;
    int64_t held_ms = held_expire(posts, now_ms);
    return held_ms < next_ms ? held_ms : next_ms;
}
