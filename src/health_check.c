#include "health_check.h"
#include "clock.h"
#include "http/client.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HEALTH_CHECK_MS = 2000 };

/* The question, and its outcome. */
struct check {
    struct http_url url;
    int64_t until_ms;
    struct worker *worker;
    bool running;
    int status; /* exit status */
};

static int check_answered(void *ctx, int status, struct span body)
{
    struct check *check = ctx;
    (void)body;
    check->running = false;
    check->status = status != 200;
    if (status != 200)
        fprintf(stderr, "%s port %u answered %d\n", check->url.host, check->url.port, status);
    return 0;
}

static void check_failed(void *ctx, int error, const char *why)
{
    struct check *check = ctx;
    (void)error;
    if (check->running)
        fprintf(stderr, "no answer from %s port %u: %s\n", check->url.host, check->url.port, why);
    check->running = false;
}

static int64_t check_pass(void *ctx, int64_t now_ms)
{
    struct check *check = ctx;
    worker_collect(check->worker);
    if (now_ms >= check->until_ms)
        check_failed(check, -ETIMEDOUT, strerror(ETIMEDOUT));
    return check->until_ms;
}

/* Asks, and runs the loop until the answer is there. */
static int check_run(struct check *check, const struct http_dialer *dialer)
{
    static const struct http_client_events events = {.answered = check_answered, .failed = check_failed};
    struct http_client *client = NULL;
    int result = http_client_open(&client, dialer, &check->url, NULL, &events, check);
    if (result == 0)
        result = http_client_request(client, "GET", "/health", NULL, (struct span){0}, NULL, "");
    if (result < 0)
        check_failed(check, result, strerror(-result));
    loop_run(dialer->loop, &check->running);
    if (client)
        http_client_close(client);
    return check->status;
}

static void loop_woken(void *ctx)
{
    struct http_dialer *dialer = ctx;
    loop_wake(dialer->loop);
}

int health_check(const struct settings *settings)
{
    struct check check = {.url = {.port = settings->port},
                          .until_ms = clock_ms() + HEALTH_CHECK_MS,
                          .running = true,
                          .status = 1};
    struct http_dialer dialer = {0};
    const char *host = settings->host;
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    (void)span_copy(span_of(host), check.url.host, sizeof check.url.host); /* no HOST is longer */
    dialer.loop = loop_open(check_pass, &check);
    dialer.worker = check.worker = worker_open(loop_woken, &dialer);
    int status = dialer.loop && dialer.worker ? check_run(&check, &dialer) : 1;
    if (dialer.worker)
        worker_close(dialer.worker);
    if (dialer.loop)
        loop_close(dialer.loop);
    return status;
}
