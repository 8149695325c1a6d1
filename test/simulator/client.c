/* http_client_… over the simulated network, and requests from outside. */
#include "clock.h"
#include "conn.h"
#include "world.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS_MAX = 1024 };

struct http_client {
    struct conn *conn;
    const struct http_client_events *events;
    void *ctx;
    bool connected, over;
    bool inside;                 /* a call-back that must not close it */
    const struct message *waits; /* for the connection */
};

static struct proc *proc_of(const struct http_dialer *dialer)
{
    return (struct proc *)(uintptr_t)dialer;
}

/* The host of 10.0.0.N, or -1. */
static int host_of(const char *text)
{
    int host = -1;
    return sscanf(text, "10.0.0.%d", &host) == 1 && host >= 1 && host <= HOSTS ? host - 1 : -1;
}

/* ---- the end */

static void client_fail(struct conn *conn, int error, const char *why)
{
    struct http_client *client = conn->client;
    if (!client || client->over)
        return;
    client->over = true;
    client->events->failed(client->ctx, error, why);
}

void client_lost(struct conn *conn, bool midway)
{
    struct http_client *client = conn->client;
    int result = 0;
    if (!client || client->over)
        return;
    if (midway && client->connected && client->events->heard)
        result = client->events->heard(client->ctx);
    client_fail(conn, result < 0 ? result : -ECONNRESET, "it closed the connection");
}

void http_client_close(struct http_client *client)
{
    struct conn *conn = client->conn;
    assert(!client->inside);
    conn->client = NULL;
    if (conn->near->alive && !conn->closed[CONN_THERE]) {
        conn_send(conn, &(struct message){.kind = MESSAGE_CLOSED, .way = CONN_THERE});
        conn->closed[CONN_THERE] = true;
    }
    free(client);
}

/* ---- the beginning */

static void dial_late_take(void *subject, void *object)
{
    struct conn *conn = subject;
    (void)object;
    if (conn->client && !conn->client->connected)
        client_fail(conn, -ETIMEDOUT, strerror(ETIMEDOUT));
}

static void dial_late(void *subject, void *object)
{
    struct conn *conn = subject;
    if (conn->client && !conn->client->connected)
        proc_deliver(conn->near, dial_late_take, conn, object);
}

static int destination(const struct proc *proc, const struct http_url *url, const struct http_address *known)
{
    int host = host_of(url->host);
    if (host >= 0 || strcmp(url->host, "master") != 0)
        return host;
    if (known && known->len)
        return (int)(ntohl(((const struct sockaddr_in *)(const void *)&known->name)->sin_addr.s_addr) &
                     0xff) -
               1;
    return proc->resolves_to;
}

int http_client_open(struct http_client **out, const struct http_dialer *dialer, const struct http_url *url,
                     const struct http_address *known, const struct http_client_events *events, void *ctx)
{
    struct proc *proc = proc_of(dialer);
    int to = destination(proc, url, known);
    if (proc->ends || to < 0)
        return -ENETUNREACH;
    struct http_client *client = calloc(1, sizeof *client);
    client->events = events;
    client->ctx = ctx;
    client->conn = conn_new(proc, proc->host, to);
    client->conn->client = client;
    conn_send(client->conn, &(struct message){.kind = MESSAGE_DIAL, .way = CONN_THERE});
    world_after(HTTP_CONNECT_MS * 1000, dial_late, client->conn, NULL);
    *out = client;
    return 0;
}

bool http_client_looks_up(const struct http_client *client)
{
    (void)client;
    return false;
}

bool http_client_connected(const struct http_client *client)
{
    return client->connected && !client->over;
}

struct http_address http_client_address(const struct http_client *client)
{
    struct http_address address = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *name = (struct sockaddr_in *)(void *)&address.name;
    name->sin_family = AF_INET;
    name->sin_port = htons(NETWORK_PORT);
    name->sin_addr.s_addr = htonl(0x0a000000u | (unsigned)(client->conn->to + 1));
    return address;
}

/* ---- requests */

bool http_client_sending(const struct http_client *client)
{
    return client->waits != NULL;
}

static struct span body_of(struct span before, const struct http_source *source, const char *after)
{
    struct http_source rest = source ? *source : (struct http_source){0};
    size_t after_len = strlen(after);
    size_t len = before.len + rest.len + after_len;
    char *body = world_alloc(len + 1);
    size_t at = before.len;
    if (at)
        memcpy(body, before.at, at);
    while (rest.len) {
        struct iovec iov[8];
        int count = rest.pieces(rest.state, iov, 8);
        uint64_t taken = 0;
        for (int i = 0; i < count; i++) {
            memcpy(body + at, iov[i].iov_base, iov[i].iov_len);
            at += iov[i].iov_len;
            taken += iov[i].iov_len;
        }
        rest.skip(rest.state, taken);
        rest.len -= taken;
    }
    memcpy(body + at, after, after_len);
    return (struct span){body, len};
}

static void request_send(struct conn *conn, const struct message *message)
{
    if (conn->near->serves && message->body.len && network_piece_due()) {
        struct message piece = *message;
        piece.kind = MESSAGE_BEGIN;
        conn_send(conn, &piece);
        piece.kind = MESSAGE_MORE;
        for (unsigned i = random_below(4); i > 0; i--) {
            conn->last_us[CONN_THERE] += random_between(0, 700000);
            conn_send(conn, &piece);
        }
    }
    conn_send(conn, message);
    if (conn->near->serves && network_duplicate_due(message))
        network_duplicate(conn, message);
}

static int client_request(struct http_client *client, const struct message *message)
{
    if (client->over)
        return -ECONNRESET;
    assert(!client->waits);
    if (client->connected)
        request_send(client->conn, message);
    else
        client->waits = message;
    return 0;
}

int http_client_request(struct http_client *client, const char *method, const char *target,
                        const char *fields, struct span before, const struct http_source *source,
                        const char *after)
{
    struct message *message = world_alloc(sizeof *message);
    *message = (struct message){.kind = MESSAGE_REQUEST,
                                .way = CONN_THERE,
                                .method = method,
                                .target = world_copy(target, strlen(target)),
                                .fields = fields ? world_copy(fields, strlen(fields)) : "",
                                .body = body_of(before, source, after)};
    return client_request(client, message);
}

/* ---- answers */

/* A body that is handed on in parts. */
static int parts_hand_on(struct http_client *client, const struct message *message)
{
    const struct http_head head = {
        .status = message->status, .framing = HTTP_FRAMING_LENGTH, .content_length = message->body.len};
    struct span left = message->body;
    int result = 0;
    while (left.len && result == 0) {
        size_t len = 1 + random_below((unsigned)left.len);
        result = client->events->part(client->ctx, &head, (struct span){left.at, len});
        left = span_after(left, len);
    }
    return result < 0 ? result : client->events->answered(client->ctx, message->status, (struct span){0});
}

static int answer_hand_on(struct http_client *client, const struct message *message)
{
    int result = client->events->heard ? client->events->heard(client->ctx) : 0;
    if (result < 0 || message->kind == MESSAGE_INTERIM)
        return result;
    if (client->events->part)
        return parts_hand_on(client, message);
    return client->events->answered(client->ctx, message->status, message->body);
}

/* The checker hears of what was taken. */
static void answer_tell(const struct conn *conn, const struct message *message)
{
    const char *target = message->request->target;
    if (strcmp(target, "/replicate") == 0 && message->status == 200)
        network_rules()->acknowledged(conn->near, conn->far, message->body);
    if (strcmp(target, "/register") == 0)
        network_rules()->registered(conn->near, message->status);
}

static void answer_take(struct conn *conn, const struct message *message)
{
    struct http_client *client = conn->client;
    client->inside = true;
    int result = answer_hand_on(client, message);
    client->inside = false;
    bool taken = result >= 0 && message->kind == MESSAGE_ANSWER && conn->near->serves;
    if (taken)
        answer_tell(conn, message);
    if (result < 0)
        client_fail(conn, result, strerror(-result));
}

void client_take(struct conn *conn, const struct message *message)
{
    struct http_client *client = conn->client;
    if (!client || client->over)
        return;
    switch (message->kind) {
    case MESSAGE_ACCEPTED:
        client->connected = true;
        if (client->waits)
            request_send(conn, client->waits);
        client->waits = NULL;
        break;
    case MESSAGE_REFUSED:
        client_fail(conn, -ECONNREFUSED, strerror(ECONNREFUSED));
        break;
    case MESSAGE_CLOSED:
        client_fail(conn, -ECONNRESET, "it closed the connection");
        break;
    default:
        answer_take(conn, message);
        break;
    }
}

/* ---- from outside */

static void ask_over(void *subject, void *object)
{
    struct conn *conn = subject;
    (void)object;
    if (conn->client)
        http_client_close(conn->client);
}

static int ask_answered(void *ctx, int status, struct span body)
{
    (void)status;
    (void)body;
    world_after(0, ask_over, ctx, NULL);
    return 0;
}

static void ask_failed(void *ctx, int error, const char *why)
{
    (void)error;
    (void)why;
    world_after(0, ask_over, ctx, NULL);
}

void network_ask(struct proc *from, int to, const char *method, const char *target, const char *fields,
                 struct span body, void *tag, int64_t patience_us)
{
    static const struct http_client_events events = {.answered = ask_answered, .failed = ask_failed};
    struct http_url url;
    struct http_client *client;
    if (!http_url_parse(span_of(network_url(to)), &url) ||
        http_client_open(&client, &from->dialer, &url, NULL, &events, NULL) < 0)
        return;
    client->ctx = client->conn;
    struct message *message = world_alloc(sizeof *message);
    *message = (struct message){.kind = MESSAGE_REQUEST,
                                .method = method,
                                .target = world_copy(target, strlen(target)),
                                .fields = fields,
                                .body = {world_copy(body.at, body.len), body.len},
                                .tag = tag};
    world_after(patience_us, ask_over, client->conn, NULL);
    client_request(client, message);
}
