#include "http.h"
#include "eventually.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 64 * 1024 };

static void *grown(void *memory, size_t size)
{
    void *more = realloc(memory, size);
    if (!more)
        trouble("no memory");
    return more;
}

/* ---- raw sockets */

/* `from`: an address of this machine; NULL: any. */
static int raw_connect(const char *from, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        trouble("no socket: %s", strerror(errno));
    if ((from && (inet_pton(AF_INET, from, &own.sin_addr) != 1 ||
                  bind(fd, (struct sockaddr *)&own, sizeof own) < 0)) ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int raw_try(uint16_t port)
{
    return raw_connect(NULL, port);
}

int raw_open_from(const char *from, uint16_t port)
{
    int fd = raw_connect(from, port);
    if (fd < 0)
        trouble("cannot connect to port %u: %s", port, strerror(errno));
    return fd;
}

int raw_open(uint16_t port)
{
    return raw_open_from(NULL, port);
}

/* As raw_send, but gives up at until_ms. */
static bool send_until(int fd, const char *bytes, size_t len, int64_t until_ms)
{
    while (len) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd polled = {.fd = fd, .events = POLLOUT};
            int64_t left = until_ms - now_ms();
            if (left <= 0 || poll(&polled, 1, (int)left) == 0)
                return false;
        } else if (sent < 0 && errno != EINTR) {
            return false;
        } else if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        }
    }
    return true;
}

bool raw_send(int fd, const void *bytes, size_t len)
{
    return send_until(fd, bytes, len, now_ms() + HTTP_LIMIT_MS);
}

bool raw_text(int fd, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        trouble("no memory");
    bool sent = raw_send(fd, text, (size_t)len);
    free(text);
    return sent;
}

long raw_receive(int fd, void *bytes, size_t size, int limit_ms)
{
    int64_t until = now_ms() + limit_ms;
    for (;;) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        int64_t left = until - now_ms();
        if (poll(&polled, 1, left > 0 ? (int)left : 0) > 0) {
            ssize_t got = recv(fd, bytes, size, MSG_DONTWAIT);
            if (got >= 0)
                return got;
            if (errno != EAGAIN && errno != EINTR)
                return -2;
        }
        if (now_ms() >= until)
            return -1;
    }
}

bool raw_closed(int fd, int limit_ms)
{
    char dropped[4096];
    int64_t until = now_ms() + limit_ms;
    for (;;) {
        int64_t left = until - now_ms();
        long got = raw_receive(fd, dropped, sizeof dropped, left > 0 ? (int)left : 0);
        if (got <= 0)
            return got != -1;
    }
}

void raw_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

/* ---- answers */

static int left_ms(int64_t until_ms)
{
    int64_t left = until_ms - now_ms();
    return left > 0 ? (int)left : 0;
}

/* Receives the head, not a byte more: peeks first. Returns its length, or 0. */
static size_t head_receive(int fd, char *head, int64_t until_ms)
{
    size_t len = 0;
    while (len < HEAD_MAX - 1) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        if (poll(&polled, 1, left_ms(until_ms)) <= 0)
            return 0;
        ssize_t got = recv(fd, head + len, HEAD_MAX - 1 - len, MSG_PEEK | MSG_DONTWAIT);
        if (got <= 0)
            return 0;
        size_t from = len > 3 ? len - 3 : 0;
        const char *end = memmem(head + from, len + (size_t)got - from, "\r\n\r\n", 4);
        size_t take = end ? (size_t)(end + 4 - head) - len : (size_t)got;
        if (recv(fd, head + len, take, 0) != (ssize_t)take)
            return 0;
        len += take;
        head[len] = '\0';
        if (end)
            return len;
    }
    return 0;
}

const char *http_field(const struct reply *reply, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(reply->head, "\r\n"); line && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
            continue;
        const char *value = line + 3 + len + strspn(line + 3 + len, " ");
        return strndup(value, strcspn(value, "\r"));
    }
    return NULL;
}

static bool body_receive(int fd, struct reply *reply, int64_t until_ms)
{
    const char *length = http_field(reply, "Content-Length");
    size_t want = length ? strtoul(length, NULL, 10) : 0;
    free((char *)(uintptr_t)length);
    reply->body = grown(reply->body, want + 1);
    while (reply->body_len < want) {
        long got = raw_receive(fd, reply->body + reply->body_len, want - reply->body_len, left_ms(until_ms));
        if (got <= 0)
            return false;
        reply->body_len += (size_t)got;
    }
    reply->newline = want && reply->body[want - 1] == '\n';
    reply->body_len -= reply->newline;
    reply->body[reply->body_len] = '\0';
    return true;
}

struct reply raw_reply(int fd, bool head_only, int limit_ms)
{
    struct reply reply = {.head = grown(NULL, HEAD_MAX), .body = grown(NULL, 1)};
    int64_t began = now_ms();
    int status = 0;
    do {
        reply.head[0] = reply.body[0] = '\0';
        if (!head_receive(fd, reply.head, began + limit_ms))
            goto out;
        if (strncmp(reply.head, "HTTP/1.", 7) != 0)
            goto out;
        status = (int)strtol(reply.head + 9, NULL, 10);
    } while (status < 200);
    if (head_only || status == 204 || status == 304 || body_receive(fd, &reply, began + limit_ms))
        reply.status = status;
out:
    reply.head = grown(reply.head, strlen(reply.head) + 1);
    reply.ms = (int)(now_ms() - began);
    return reply;
}

void http_free(struct reply *reply)
{
    free(reply->head);
    free(reply->body);
    *reply = (struct reply){0};
}

/* ---- requests */

struct reply http_request(uint16_t port, const char *method, const char *target, const char *fields,
                          const void *body, size_t body_len, int limit_ms)
{
    struct reply reply = {.head = strdup(""), .body = strdup("")};
    int64_t began = now_ms();
    char *head;
    int fd = raw_try(port);
    if (fd < 0)
        return reply;
    int head_len = asprintf(&head,
                            "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n"
                            "Content-Length: %zu\r\n%s\r\n",
                            method, target, port, body_len, fields ? fields : "");
    if (head_len < 0)
        trouble("no memory");
    /* A server may answer and close before it has read all: what it said counts. */
    if (send_until(fd, head, (size_t)head_len, began + limit_ms))
        send_until(fd, body, body_len, began + limit_ms);
    http_free(&reply);
    reply = raw_reply(fd, strcmp(method, "HEAD") == 0, left_ms(began + limit_ms));
    reply.ms = (int)(now_ms() - began);
    free(head);
    close(fd);
    return reply;
}

struct reply http_get(uint16_t port, const char *target, ...)
{
    char *text;
    va_list args;
    va_start(args, target);
    if (vasprintf(&text, target, args) < 0)
        trouble("no memory");
    va_end(args);
    struct reply reply = http_request(port, "GET", text, NULL, NULL, 0, HTTP_LIMIT_MS);
    free(text);
    return reply;
}

struct reply http_post_json(uint16_t port, const char *target, const char *json)
{
    return http_request(port, "POST", target, "Content-Type: application/json\r\n", json, strlen(json),
                        HTTP_LIMIT_MS);
}

struct reply http_post(uint16_t port, const char *target, const void *bytes, size_t len)
{
    return http_request(port, "POST", target, "Content-Type: text/plain\r\n", bytes, len, HTTP_LIMIT_MS);
}

/* ---- JSON, as far as tests need it */

static const char *json_value(const char *json, const char *name)
{
    char quoted[128];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(json, quoted);
    return at ? at + strlen(quoted) : NULL;
}

long long json_number_of(const char *json, const char *name)
{
    const char *value = json_value(json, name);
    return value && *value >= '0' && *value <= '9' ? strtoll(value, NULL, 10) : -1;
}

const char *json_text_of(const char *json, const char *name)
{
    const char *value = json_value(json, name);
    return value && *value == '"' ? strndup(value + 1, strcspn(value + 1, "\"")) : NULL;
}

bool json_true_of(const char *json, const char *name)
{
    const char *value = json_value(json, name);
    return value && strncmp(value, "true", 4) == 0;
}

/* ---- in the background */

struct call {
    pthread_t thread;
    uint16_t port;
    char *method, *target, *fields;
    void *body;
    size_t body_len;
    struct reply reply; /* valid once done */
    atomic_bool done;
};

static void *call_run(void *arg)
{
    struct call *call = arg;
    call->reply = http_request(call->port, call->method, call->target, call->fields, call->body,
                               call->body_len, HTTP_LIMIT_MS);
    atomic_store(&call->done, true);
    return NULL;
}

struct call *call_begin(uint16_t port, const char *method, const char *target, const char *fields,
                        const void *body, size_t body_len)
{
    struct call *call = grown(NULL, sizeof *call);
    *call = (struct call){.port = port,
                          .method = strdup(method),
                          .target = strdup(target),
                          .fields = strdup(fields ? fields : ""),
                          .body = grown(NULL, body_len + 1),
                          .body_len = body_len};
    if (body_len)
        memcpy(call->body, body, body_len);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    if (pthread_create(&call->thread, &small, call_run, call) != 0)
        trouble("no thread");
    pthread_attr_destroy(&small);
    return call;
}

struct call *call_post(uint16_t port, const char *target, const char *message)
{
    return call_begin(port, "POST", target, "Content-Type: text/plain\r\n", message, strlen(message));
}

bool call_done(const struct call *call)
{
    return atomic_load(&call->done);
}

struct reply call_end(struct call *call)
{
    pthread_join(call->thread, NULL);
    struct reply reply = call->reply;
    free(call->method);
    free(call->target);
    free(call->fields);
    free(call->body);
    free(call);
    return reply;
}
