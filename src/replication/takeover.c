#include "replication/takeover.h"
#include "clock.h"
#include "http/client.h"
#include "json.h"
#include "logline.h"
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
    PAUSE_MS = 100
};

static const char list_begin[] = "{\"messages\":[";

struct takeover {
    struct takeover_config config;
    pthread_t thread;
    int cancel_fd;
    atomic_bool ended;
    atomic_bool complete;
    _Atomic int64_t progressed_ms; /* when messages came last, or the take-over began */

    /* the thread alone */
    bool begun;     /* list_begin was passed */
    struct buf in;  /* text not yet taken */
    struct buf run; /* messages taken and not yet appended, canonical, one comma between two */
    uint64_t run_count;
};

/* ---- the list's text, as it comes in */

/* The string at the front of text with its quotes; empty where its end has not come yet. */
static struct span string_whole(struct span text)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.at[i] == '\\')
            i++;
        else if (text.at[i] == '"')
            return (struct span){text.at, i + 1};
    }
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
        result = log_append(takeover->config.log, buf_span(&takeover->run), takeover->run_count, &last);
    if (takeover->run_count)
        atomic_store(&takeover->progressed_ms, clock_ms());
    buf_clear(&takeover->run);
    takeover->run_count = 0;
    if (result == 0)
        takeover->config.progress(takeover->config.ctx);
    return result;
}

/* Takes all whole messages from the buffered text. */
static int text_take(struct takeover *takeover)
{
    struct span in = buf_span(&takeover->in);
    size_t at = 0;
    int result = 0;
    if (!takeover->begun) {
        at = sizeof list_begin - 1;
        if (in.len < at)
            return 0;
        if (memcmp(in.at, list_begin, at) != 0)
            return -EPROTO;
        takeover->begun = true;
    }
    while (at < in.len && result == 0) {
        if (in.at[at] != '"') { /* a comma, or the end */
            at++;
            continue;
        }
        struct span string = string_whole((struct span){in.at + at, in.len - at});
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
    int result = http_call(&call, &reply);
    buf_free(&reply.body);
    if (result == 0 && reply.status != 200)
        return -EPROTO;
    return result;
}

static bool takeover_complete(const struct takeover *takeover)
{
    return log_last(takeover->config.log) >= takeover->config.last;
}

static void *takeover_thread(void *arg)
{
    struct takeover *takeover = arg;
    const struct takeover_config *config = &takeover->config;
    uint64_t reached = log_last(config->log);
    int64_t until_ms = clock_ms() + TAKEOVER_PATIENCE_MS;
    int result = 0;
    logline(LOGLINE_INFO, "taking over messages %" PRIu64 "..%" PRIu64 " from %s; appends wait meanwhile",
            reached + 1, config->last, config->name);
    while (!takeover_complete(takeover) && result != -ECANCELED && clock_ms() < until_ms) {
        result = takeover_attempt(takeover);
        if (log_last(config->log) > reached)
            until_ms = clock_ms() + TAKEOVER_PATIENCE_MS;
        reached = log_last(config->log);
        if (!takeover_complete(takeover) && result != -ECANCELED)
            result = http_wait(-1, 0, clock_ms() + PAUSE_MS, takeover->cancel_fd);
    }
    atomic_store(&takeover->complete, takeover_complete(takeover));
    atomic_store(&takeover->ended, true);
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

bool takeover_ended(const struct takeover *takeover, bool *complete)
{
    *complete = atomic_load(&takeover->complete);
    return atomic_load(&takeover->ended);
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
