#include "replication/health_check.h"
#include "clock.h"
#include "http/client.h"
#include <stdio.h>
#include <string.h>

enum { HEALTH_CHECK_MS = 2000 };

int health_check(const struct settings *settings)
{
    struct http_url url = {.port = settings->port};
    struct http_reply reply;
    const char *host = settings->host;
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    if (!span_copy(span_of(host), url.host, sizeof url.host)) {
        fprintf(stderr, "HOST is too long\n");
        return 1;
    }
    const struct http_call call = {
        .url = &url,
        .method = "GET",
        .target = "/health",
        .deadline_ms = clock_ms() + HEALTH_CHECK_MS,
        .cancel_fd = -1,
    };
    int result = http_call(&call, &reply);
    buf_free(&reply.body);
    if (result == 0 && reply.status == 200)
        return 0;
    if (result < 0)
        fprintf(stderr, "no answer from %s port %u: %s\n", url.host, url.port, strerror(-result));
    else
        fprintf(stderr, "%s port %u answered %d\n", url.host, url.port, reply.status);
    return 1;
}
