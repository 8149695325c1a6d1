#include "replication/takeover.h"
#include "clock.h"
#include "http/client.h"
#include "json.h"
#include "logline.h"
#include "replication/reading.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ATTEMPT_MS = 2000, /* to connect, and between two parts of the answer */
    PAUSE_MS = 100,
    LIST_BEGIN_MOST = 4096 /* bytes before a list's first message, white space included */
};

/* What a list's text begins with, white space between the tokens passed over. */
static const char *const list_begin[] = {"{", "\"messages\"", ":", "["};
enum { LIST_BEGIN_TOKENS = sizeof list_begin / sizeof *list_begin };

struct takeover {
    struct takeover_config config;
    pthread_t thread;
    int cancel_fd;
    _Atomic enum takeover_state state;
    _Atomic int64_t progressed_ms; /* when messages came last, or the take-over began */

    /* the thread alone */
    bool begun;      /* list_begin was passed */
    bool complained; /* of an attempt that failed */
    struct buf in;   /* text not yet taken */
    size_t scanned;  /* of the string at its front whose end has not come; or 0 */
    struct buf run;  /* messages taken and not yet appended, canonical, one comma between two */
    uint64_t run_count;
};

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

static int run_add(struct takeover *takeover, struct span text)
{
    struct json json = json_text(text);
    struct json_string message;
    if (!json_string(&json, &message) || message.value_len == 0)
        return -EPROTO;
    if (takeover->run_count++)
        buf_add_char(&takeover->run, ',');
    json_string_canonical(&message, &takeover->run);
    return takeover->run.failed ? -ENOMEM : 0;
}

static int run_append(struct takeover *takeover)
{
    uint64_t last;
    int result = 0;
    if (takeover->run_count)
        result = log_append(takeover->config.log, buf_span(&takeover->run), NULL, takeover->run_count, &last);
    if (takeover->run_count)
        atomic_store(&takeover->progressed_ms, clock_ms());
    buf_clear(&takeover->run);
    takeover->run_count = 0;
    if (result == 0)
        takeover->config.progress(takeover->config.ctx);
    return result;
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
            return 0;
        if (memcmp(in.at + at, list_begin[i], len) != 0)
            return -EPROTO;
        at += len;
    }
    return (ssize_t)at;
}

/* Takes all whole messages from the buffered text. */
static int text_take(struct takeover *takeover)
{
    struct span in = buf_span(&takeover->in);
    size_t at = 0;
    int result = 0;
    if (!takeover->begun) {
        ssize_t begin = list_begin_len(in);
        if (begin == 0 && in.len > LIST_BEGIN_MOST)
            begin = -EPROTO;
        if (begin <= 0)
            return (int)begin;
        at = (size_t)begin;
        takeover->begun = true;
    }
    while (at < in.len && result == 0) {
        if (in.at[at] != '"') { /* a comma, white space, or the end */
            at++;
            continue;
        }
        struct span string = string_whole((struct span){in.at + at, in.len - at}, &takeover->scanned);
        if (!string.len)
            break;
        result = run_add(takeover, string);
        at += string.len;
    }
    buf_drop(&takeover->in, at);
    return result;
}

static int body_take(void *ctx, struct span bytes)
{
    struct takeover *takeover = ctx;
    buf_add_span(&takeover->in, bytes);
    int result = takeover->in.failed ? -ENOMEM : text_take(takeover);
    int appended = run_append(takeover);
    return result < 0 ? result : appended;
}

/* ---- the thread */

static bool takeover_complete(const struct takeover *takeover)
{
    return log_last(takeover->config.log) >= takeover->config.last;
}

/* Says why, once: there will be many attempts. `outcome` is the status of the answer, or a negative errno. */
static void attempt_failed(struct takeover *takeover, int outcome)
{
    char why[64] = "its answer is no list";
    if (takeover->complained || outcome == -ECANCELED || takeover_complete(takeover))
        return;
    if (outcome > 0)
        snprintf(why, sizeof why, "it answered %d", outcome);
    else if (outcome != -EPROTO)
        snprintf(why, sizeof why, "%s", strerror(-outcome));
    takeover->complained = true;
    logline(LOGLINE_WARN, "cannot take over from %s: %s; trying again", takeover->config.name, why);
}

/* Asks for the answer's status only. Returns it, or a negative errno. */
static int status_ask(struct takeover *takeover, const char *target, const char *field)
{
    char fields[512];
    struct http_reply reply;
    snprintf(fields, sizeof fields, "%s%s", takeover->config.fields, field);
    const struct http_call call = {
        .url = &takeover->config.url,
        .method = "HEAD",
        .target = target,
        .fields = fields,
        .deadline_ms = clock_ms() + ATTEMPT_MS,
        .cancel_fd = takeover->cancel_fd,
    };
    int result = http_call(&call, &reply);
    buf_free(&reply.body);
    return result < 0 ? result : reply.status;
}

/* Whether the secondary's list begins with the master's: with the entity tag of that part of it, which has
 * the digest of its messages. Returns 1 or 0, or a negative errno where that is not known: nobody answered,
 * or not all of that part shows yet. */
static int lists_join(struct takeover *takeover)
{
    uint64_t last = log_last(takeover->config.log);
    char target[64];
    char etag[READING_ETAG_SIZE];
    char field[READING_ETAG_SIZE + 32];
    if (last == 0)
        return 1;
    snprintf(target, sizeof target, "/messages/%" PRIu64, last);
    int status = status_ask(takeover, target, "");
    if (status != 200 && status != 404) /* 404: it does not show yet */
        attempt_failed(takeover, status);
    if (status != 200)
        return status < 0 ? status : -EAGAIN;
    reading_etag(takeover->config.log, 1, last, etag);
    snprintf(field, sizeof field, "If-None-Match: %s\r\n", etag);
    snprintf(target, sizeof target, "/messages?limit=%" PRIu64, last);
    status = status_ask(takeover, target, field);
    if (status == 304 || status == 200)
        return status == 304;
    attempt_failed(takeover, status);
    return status < 0 ? status : -EPROTO;
}

static int takeover_attempt(struct takeover *takeover)
{
    char target[64];
    struct http_reply reply;
    snprintf(target, sizeof target, "/messages?from=%" PRIu64, log_last(takeover->config.log) + 1);
    const struct http_call call = {
        .url = &takeover->config.url,
        .method = "GET",
        .target = target,
        .fields = takeover->config.fields,
        .deadline_ms = clock_ms() + ATTEMPT_MS,
        .cancel_fd = takeover->cancel_fd,
        .take = body_take,
        .ctx = takeover,
        .idle_ms = ATTEMPT_MS,
    };
    takeover->begun = false;
    buf_clear(&takeover->in);
    takeover->scanned = 0;
    int result = http_call(&call, &reply);
    buf_free(&reply.body);
    if (result == 0 && (reply.status != 200 || !takeover->begun))
        result = -EPROTO;
    if (result < 0)
        attempt_failed(takeover, reply.status > 0 && reply.status != 200 ? reply.status : result);
    return result;
}

/* Fetches until all is there. Returns whether it is. */
static bool list_fetch(struct takeover *takeover)
{
    struct log *log = takeover->config.log;
    uint64_t reached = log_last(log);
    int64_t until_ms = clock_ms() + TAKEOVER_PATIENCE_MS;
    int result = 0;
    logline(LOGLINE_INFO, "taking over messages %" PRIu64 "..%" PRIu64 " from %s; appends wait meanwhile",
            reached + 1, takeover->config.last, takeover->config.name);
    while (!takeover_complete(takeover) && result != -ECANCELED && clock_ms() < until_ms) {
        result = takeover_attempt(takeover);
        if (log_last(log) > reached)
            until_ms = clock_ms() + TAKEOVER_PATIENCE_MS;
        reached = log_last(log);
        if (!takeover_complete(takeover) && result != -ECANCELED)
            result = http_wait(-1, 0, clock_ms() + PAUSE_MS, takeover->cancel_fd);
    }
    return takeover_complete(takeover);
}

/* Asks until it is known. Returns 1 or 0 as lists_join, or a negative errno. */
static int lists_join_wait(struct takeover *takeover)
{
    int64_t until_ms = clock_ms() + TAKEOVER_PATIENCE_MS;
    int joins = lists_join(takeover);
    while (joins < 0 && joins != -ECANCELED && clock_ms() < until_ms) {
        joins = http_wait(-1, 0, clock_ms() + PAUSE_MS, takeover->cancel_fd);
        if (joins != -ECANCELED)
            joins = lists_join(takeover);
    }
    return joins;
}

static void *takeover_thread(void *arg)
{
    struct takeover *takeover = arg;
    const struct takeover_config *config = &takeover->config;
    enum takeover_state state = TAKEOVER_BROKEN;
    int joins = lists_join_wait(takeover);
    if (joins == 0)
        state = TAKEOVER_DIFFERS;
    else if (joins > 0 && list_fetch(takeover))
        state = TAKEOVER_COMPLETE;
    atomic_store(&takeover->state, state);
    config->progress(config->ctx);
    return NULL;
}

struct takeover *takeover_start(const struct takeover_config *config)
{
    struct takeover *takeover = calloc(1, sizeof *takeover);
    if (!takeover)
        return NULL;
    takeover->config = *config;
    atomic_store(&takeover->progressed_ms, clock_ms());
    takeover->cancel_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (takeover->cancel_fd >= 0 && pthread_create(&takeover->thread, NULL, takeover_thread, takeover) == 0)
        return takeover;
    if (takeover->cancel_fd >= 0)
        close(takeover->cancel_fd);
    free(takeover);
    return NULL;
}

int64_t takeover_quiet_ms(const struct takeover *takeover, int64_t now_ms)
{
    return now_ms - atomic_load(&takeover->progressed_ms);
}

enum takeover_state takeover_state(const struct takeover *takeover)
{
    return atomic_load(&takeover->state);
}

void takeover_close(struct takeover *takeover)
{
    uint64_t one = 1;
    while (write(takeover->cancel_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_join(takeover->thread, NULL);
    close(takeover->cancel_fd);
    buf_free(&takeover->in);
    buf_free(&takeover->run);
    free(takeover);
}
