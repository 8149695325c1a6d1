#include "replication/takeover.h"
#include "clock.h"
#include "json.h"
#include "log/digest.h"
#include "logline.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_MS = 100,
    IDLE_MS = 2000,            /* a connection on which nothing comes for so long is given up */
    CHUNK_BYTES = 1024 * 1024, /* of messages */
    CHUNKS_A_PASS = 4,
    LIST_BEGIN_MOST = 4096, /* bytes before a list's first message, white space included */
    MB = 1000 * 1000
};

/* What a list's text begins with, white space between the tokens passed over. */
static const char *const list_begin[] = {"{", "\"messages\"", ":", "["};
enum { LIST_BEGIN_TOKENS = sizeof list_begin / sizeof *list_begin };

/* Messages that were fetched and not appended yet. */
struct chunk {
    struct chunk *next;
    struct buf elements; /* canonical strings, one comma between two */
    uint64_t count;
};

struct takeover {
    const struct base *base;
    const struct wire_register *holder;
    const struct http_url *url;
    enum takeover_state state;
    const char *why;            /* static */
    struct http_client *client; /* NULL: a pause until dial_ms */
    bool lost;                  /* the client has failed, or has given all it had: close it */
    int64_t dial_ms;
    int64_t until_ms;      /* the end, see TAKEOVER_TIME_MS */
    uint64_t came;         /* bytes of messages */
    int64_t heard_ms;      /* when bytes came last, or the client was opened */
    int64_t progressed_ms; /* when messages came last, or it began */
    int64_t refused_ms;    /* since when nobody listens at the address; 0: somebody does */
    int64_t began_ms;

    struct chunk *first, *last; /* in order */
    uint64_t reached;           /* the id of the last message that was fetched */
    uint64_t digest;            /* of the list up to there */

    bool begun;     /* list_begin was passed in the present answer */
    struct buf in;  /* text not yet taken */
    size_t scanned; /* of the string at its front whose end has not come; or 0 */
};

/* It ends like this, unless it has ended before. */
static void outcome_set(struct takeover *takeover, enum takeover_state state, const char *why)
{
    if (takeover->state != TAKEOVER_FETCHES)
        return;
    takeover->state = state;
    takeover->why = why;
}

/* ---- the list's text, as it comes in */

/* The string at the front of text with its quotes; empty where its end has not come yet. *scanned is 0 for a
 * new string, and kept from call to call while more of it comes. */
static struct span string_whole(struct span text, size_t *scanned)
{
    size_t at = *scanned ? *scanned : 1;
    for (; at < text.len; at++) {
        if (text.at[at] == '\\') {
            at++;
        } else if (text.at[at] == '"') {
            *scanned = 0;
            return (struct span){text.at, at + 1};
        }
    }
    *scanned = at; /* behind the end where that cuts an escape in two */
    return (struct span){0};
}

/* The chunk that takes the next message, or NULL. */
static struct chunk *chunk_next(struct takeover *takeover)
{
    if (takeover->last && takeover->last->elements.len < CHUNK_BYTES)
        return takeover->last;
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        return NULL;
    if (takeover->last)
        takeover->last->next = chunk;
    else
        takeover->first = chunk;
    return takeover->last = chunk;
}

static bool chunk_add(struct takeover *takeover, const struct json_string *message)
{
    struct chunk *chunk = chunk_next(takeover);
    if (!chunk)
        return false;
    if (chunk->count)
        buf_add_char(&chunk->elements, ',');
    size_t start = chunk->elements.len;
    json_string_canonical(message, &chunk->elements);
    size_t len = chunk->elements.len - start;
    if (chunk->elements.failed)
        return false;
    chunk->count++;
    takeover->came += len;
    takeover->until_ms =
        takeover->began_ms + TAKEOVER_TIME_MS + (int64_t)(takeover->came / MB) * TAKEOVER_TIME_MB_MS;
    takeover->reached++;
    takeover->digest = digest_chain(takeover->digest, (struct span){chunk->elements.data + start, len});
    return true;
}

/* What has been fetched takes in the list: each message has a comma behind it. */
static uint64_t fetched_bytes(const struct takeover *takeover)
{
    return takeover->came + (takeover->reached - log_last(takeover->base->log));
}

/* Takes one message. Returns whether the list may go on. */
static bool message_take(struct takeover *takeover, struct span text)
{
    struct json json = json_text(text);
    struct json_string message;
    if (!json_string(&json, &message) || message.value_len == 0)
        outcome_set(takeover, TAKEOVER_FAILED, "its answer is no list");
    else if (message.value_len > takeover->base->settings->max_message)
        outcome_set(takeover, TAKEOVER_LONG_MESSAGE, "a message is longer than MAX_MESSAGE here");
    else if (!chunk_add(takeover, &message))
        outcome_set(takeover, TAKEOVER_FAILED, "there is no memory for its list");
    else if (!log_has_room(takeover->base->log, fetched_bytes(takeover)))
        outcome_set(takeover, TAKEOVER_LONG_LIST, "its list is longer than MAX_LOG here");
    return takeover->state == TAKEOVER_FETCHES;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The bytes before a list's first message; 0 where they have not all come yet, -EPROTO where it is none. */
static ssize_t list_begin_len(struct span in)
{
    size_t at = 0;
    for (int i = 0; i < LIST_BEGIN_TOKENS; i++) {
        size_t len = strlen(list_begin[i]);
        while (at < in.len && is_space(in.at[at]))
            at++;
        if (in.len - at < len)
            return in.len > LIST_BEGIN_MOST ? -EPROTO : 0;
        if (memcmp(in.at + at, list_begin[i], len) != 0)
            return -EPROTO;
        at += len;
    }
    return (ssize_t)at;
}

static bool all_fetched(const struct takeover *takeover)
{
    return takeover->reached >= takeover->holder->stored;
}

/* Takes the whole messages from the buffered text, and no more than were told of. */
static void messages_take(struct takeover *takeover, size_t at)
{
    struct span in = buf_span(&takeover->in);
    while (at < in.len && !all_fetched(takeover)) {
        if (in.at[at] != '"') { /* a comma, white space, or the end */
            at++;
            continue;
        }
        struct span string = string_whole((struct span){in.at + at, in.len - at}, &takeover->scanned);
        if (!string.len || !message_take(takeover, string))
            break;
        takeover->progressed_ms = clock_ms();
        at += string.len;
    }
    buf_drop(&takeover->in, at);
}

static int text_take(struct takeover *takeover)
{
    ssize_t begin = takeover->begun ? 0 : list_begin_len(buf_span(&takeover->in));
    if (begin < 0)
        return -EPROTO;
    takeover->begun = takeover->begun || begin > 0;
    if (takeover->begun)
        messages_take(takeover, (size_t)begin);
    /* a string is at most so long that one of MAX_MESSAGE bytes may be, in its longest form */
    if (takeover->in.len > takeover->base->settings->max_message * JSON_EXPANSION_MAX + LIST_BEGIN_MOST)
        outcome_set(takeover, TAKEOVER_LONG_MESSAGE, "a message is longer than MAX_MESSAGE here");
    return takeover->state == TAKEOVER_FETCHES && !all_fetched(takeover) ? 0 : -ECANCELED;
}

/* ---- the connection */

/* Says why. */
static void attempt_failed(struct takeover *takeover, const char *why)
{
    takeover->lost = true;
    if (takeover->state != TAKEOVER_FETCHES || all_fetched(takeover))
        return;
    complain(takeover->base->complaints, LOGLINE_WARN, takeover->holder->from.id, "takeover_failed",
             LOG_FIELDS(LOG_TEXT("member", takeover->holder->from.id)),
             "cannot take over from %s: %s; trying again", takeover->holder->from.id, why);
}

static int takeover_heard(void *ctx)
{
    struct takeover *takeover = ctx;
    takeover->heard_ms = clock_ms();
    takeover->refused_ms = 0;
    return 0;
}

/* A part of the answer's body; only that of a 200 is looked at. */
static int takeover_part(void *ctx, const struct http_head *head, struct span bytes)
{
    struct takeover *takeover = ctx;
    if (head->status != 200)
        return 0;
    buf_add_span(&takeover->in, bytes);
    return takeover->in.failed ? -ENOMEM : text_take(takeover);
}

static int takeover_answered(void *ctx, int status, struct span body)
{
    struct takeover *takeover = ctx;
    char why[64] = "its answer is no list";
    (void)body;
    if (status == 409) {
        outcome_set(takeover, TAKEOVER_FAILED, "another program answers at its address now");
    } else if (status != 200 || !takeover->begun) {
        if (status != 200)
            snprintf(why, sizeof why, "it answered %d", status);
        attempt_failed(takeover, why);
    }
    takeover->lost = true;
    return 0;
}

static void takeover_failed(void *ctx, int error, const char *why)
{
    struct takeover *takeover = ctx;
    if (error == -ECONNREFUSED && !takeover->refused_ms)
        takeover->refused_ms = clock_ms();
    attempt_failed(takeover, error == -EPROTO ? "its answer is no list" : why);
}

static int fetch_begin(struct takeover *takeover)
{
    static const struct http_client_events events = {.heard = takeover_heard,
                                                     .part = takeover_part,
                                                     .answered = takeover_answered,
                                                     .failed = takeover_failed};
    const char *boot = takeover->holder->from.boot;
    char target[64];
    char fields[1024];
    snprintf(target, sizeof target, "/messages?from=%" PRIu64, takeover->reached + 1);
    snprintf(fields, sizeof fields, "%s%s%s%s", takeover->base->fields, boot[0] ? WIRE_BOOT_FIELD ": " : "",
             boot, boot[0] ? "\r\n" : "");
    takeover->begun = takeover->lost = false;
    takeover->scanned = 0;
    buf_clear(&takeover->in);
    int result =
        http_client_open(&takeover->client, takeover->base->dialer, takeover->url, NULL, &events, takeover);
    if (result < 0)
        return result;
    return http_client_request(takeover->client, "GET", target, fields, (struct span){0}, NULL, "");
}

static void fetch_end(struct takeover *takeover, int64_t now_ms)
{
    if (takeover->client)
        http_client_close(takeover->client);
    takeover->client = NULL;
    takeover->dial_ms = now_ms + PAUSE_MS;
}

/* ---- the whole */

struct takeover *takeover_open(const struct base *base, const struct wire_register *holder,
                               const struct http_url *url, int64_t now_ms)
{
    struct takeover *takeover = calloc(1, sizeof *takeover);
    if (!takeover)
        return NULL;
    struct log_tail tail = log_tail(base->log);
    takeover->base = base;
    takeover->holder = holder;
    takeover->url = url;
    takeover->why = "";
    takeover->reached = tail.last;
    takeover->digest = tail.digest;
    takeover->began_ms = takeover->progressed_ms = takeover->heard_ms = now_ms;
    takeover->until_ms = now_ms + TAKEOVER_TIME_MS;
    complain(base->complaints, LOGLINE_INFO, holder->from.id, "takeover",
             LOG_FIELDS(LOG_NUMBER("first", tail.last + 1), LOG_NUMBER("last", holder->stored),
                        LOG_TEXT("member", holder->from.id)),
             "taking over messages %" PRIu64 "..%" PRIu64 " from %s; appends wait meanwhile", tail.last + 1,
             holder->stored, holder->from.id);
    return takeover;
}

static struct chunk *chunk_free(struct chunk *chunk)
{
    struct chunk *next = chunk->next;
    buf_free(&chunk->elements);
    free(chunk);
    return next;
}

void takeover_close(struct takeover *takeover)
{
    if (takeover->client)
        http_client_close(takeover->client);
    while (takeover->first)
        takeover->first = chunk_free(takeover->first);
    buf_free(&takeover->in);
    free(takeover);
}

enum takeover_state takeover_state(const struct takeover *takeover)
{
    return takeover->state;
}

int64_t takeover_quiet_ms(const struct takeover *takeover, int64_t now_ms)
{
    return now_ms - takeover->progressed_ms;
}

const char *takeover_why(const struct takeover *takeover)
{
    return takeover->why;
}

/* What has been fetched, and how late it is, decides whether it goes on. */
static void takeover_judge(struct takeover *takeover, int64_t now_ms)
{
    if (all_fetched(takeover) && takeover->digest == takeover->holder->digest.value)
        outcome_set(takeover, TAKEOVER_PROVEN, "");
    else if (all_fetched(takeover))
        outcome_set(takeover, TAKEOVER_DIFFERS, "what was fetched is not the list that it told of");
    else if (takeover->refused_ms && now_ms - takeover->refused_ms >= TAKEOVER_REFUSED_MS)
        outcome_set(takeover, TAKEOVER_FAILED, "nobody listens at its address any more");
    else if (now_ms >= takeover->until_ms)
        outcome_set(takeover, TAKEOVER_FAILED, "the time is over");
}

int64_t takeover_pass(struct takeover *takeover, int64_t now_ms)
{
    takeover_judge(takeover, now_ms);
    if (takeover->client && http_client_looks_up(takeover->client))
        takeover->heard_ms = now_ms;
    bool idle = takeover->client && now_ms - takeover->heard_ms >= IDLE_MS;
    if (idle)
        attempt_failed(takeover, "nothing comes");
    if (takeover->lost || idle || takeover->state != TAKEOVER_FETCHES) {
        fetch_end(takeover, now_ms);
        takeover->lost = false;
    }
    if (takeover->state != TAKEOVER_FETCHES)
        return now_ms;
    if (!takeover->client && now_ms >= takeover->dial_ms) {
        takeover->heard_ms = now_ms;
        int result = fetch_begin(takeover);
        if (result < 0)
            takeover_failed(takeover, result, strerror(-result));
        if (result < 0)
            fetch_end(takeover, now_ms);
    }
    int64_t next_ms = takeover->client ? takeover->heard_ms + IDLE_MS : takeover->dial_ms;
    return clock_earlier(next_ms, takeover->until_ms);
}

/* Appends the messages of a chunk. Returns 0 or a negative errno. */
static int chunk_append(const struct chunk *chunk, struct log *log)
{
    struct buf lens = {0}; /* a size_t for each */
    uint64_t last;
    struct span left = buf_span(&chunk->elements);
    while (left.len) {
        size_t len = json_canonical_len(left);
        buf_add(&lens, &len, sizeof len);
        left = span_after(left, len < left.len ? len + 1 : len); /* and the comma */
    }
    int result = lens.failed ? -ENOMEM
                             : log_append(log, buf_span(&chunk->elements),
                                          (const size_t *)(const void *)lens.data, chunk->count, &last);
    buf_free(&lens);
    return result;
}

void takeover_append(struct takeover *takeover)
{
    for (int i = 0; i < CHUNKS_A_PASS && takeover->first; i++) {
        struct chunk *chunk = takeover->first;
        if (chunk_append(chunk, takeover->base->log) < 0) {
            takeover->state = TAKEOVER_FAILED;
            takeover->why = "there is no memory for its list";
            return;
        }
        takeover->first = chunk_free(chunk);
    }
    if (!takeover->first)
        takeover->state = TAKEOVER_DONE;
}
