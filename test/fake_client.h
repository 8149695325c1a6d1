/* Connections of http/client.h without a socket: a test sees what is asked, and says what is answered, byte
 * for byte or answer for answer. Include it in one file of a program: its functions stand in the place of
 * src/http/client.c, which the Makefile leaves out for such a program. */
#ifndef TEST_FAKE_CLIENT_H
#define TEST_FAKE_CLIENT_H

#include "http/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_CLIENTS_MAX = 256 };

struct http_client {
    const struct http_client_events *events;
    void *ctx;
    struct http_url url;
    struct http_address known; /* what it was opened with; or len 0 */
    int number;                /* its place in fake.clients */
    bool connected;
    bool full;    /* what is asked does not leave: set and cleared by the test */
    bool sending; /* what was asked last has not left */
    bool over;    /* it has failed */

    /* what was asked last */
    unsigned requests;
    char method[16];
    char target[1200];
    char fields[1024];
    struct buf body;
};

static struct {
    struct http_client *clients[FAKE_CLIENTS_MAX]; /* in the order in which they were opened; NULL: closed */
    int opened;
    int open_result;                           /* what http_client_open returns where it is not 0 */
    int request_result;                        /* the same for http_client_request */
    bool connects;                             /* a client is connected at once */
    void (*asked)(struct http_client *client); /* optional: told of each request */
} fake;

/* ---- what the test sees and says */

/* The client that was opened last; it must be open still. */
static inline struct http_client *fake_last(void)
{
    if (!fake.opened || !fake.clients[fake.opened - 1])
        abort();
    return fake.clients[fake.opened - 1];
}

/* How many are open. */
static inline int fake_open(void)
{
    int count = 0;
    for (int i = 0; i < fake.opened; i++)
        count += fake.clients[i] != NULL;
    return count;
}

/* What was asked leaves. */
static inline void fake_drain(struct http_client *client)
{
    client->full = client->sending = false;
}

/* The connection fails: nothing follows. */
static inline void fake_fail(struct http_client *client, int error, const char *why)
{
    if (client->over)
        abort();
    client->over = true;
    client->connected = false;
    client->events->failed(client->ctx, error, why);
}

/* As the real one does with what a call-back returns. Returns whether the connection goes on. */
static inline bool fake_goes_on(struct http_client *client, int result)
{
    if (result < 0)
        fake_fail(client, result, strerror(-result));
    return result >= 0;
}

/* Bytes come. */
static inline bool fake_hear(struct http_client *client)
{
    return !client->events->heard || fake_goes_on(client, client->events->heard(client->ctx));
}

/* A whole answer comes. */
static inline void fake_answer(struct http_client *client, int status, const char *body)
{
    if (fake_hear(client))
        fake_goes_on(client, client->events->answered(client->ctx, status, span_of(body)));
}

/* A part of an answer's body comes. Returns whether the connection goes on. */
static inline bool fake_part(struct http_client *client, const struct http_head *head, struct span bytes)
{
    return fake_hear(client) && fake_goes_on(client, client->events->part(client->ctx, head, bytes));
}

/* ---- http/client.h */

void http_dialer_from(struct http_dialer *dialer, const char *host)
{
    (void)host;
    dialer->from.len = 0;
}

int http_client_open(struct http_client **out, const struct http_dialer *dialer, const struct http_url *url,
                     const struct http_address *known, const struct http_client_events *events, void *ctx)
{
    (void)dialer;
    if (fake.open_result < 0)
        return fake.open_result;
    struct http_client *client = calloc(1, sizeof *client);
    if (!client || fake.opened == FAKE_CLIENTS_MAX)
        abort();
    client->events = events;
    client->ctx = ctx;
    client->url = *url;
    client->known = known ? *known : (struct http_address){0};
    client->connected = fake.connects;
    client->number = fake.opened;
    fake.clients[fake.opened++] = client;
    *out = client;
    return 0;
}

void http_client_close(struct http_client *client)
{
    fake.clients[client->number] = NULL;
    buf_free(&client->body);
    free(client);
}

bool http_client_looks_up(const struct http_client *client)
{
    (void)client;
    return false;
}

bool http_client_connected(const struct http_client *client)
{
    return client->connected;
}

struct http_address http_client_address(const struct http_client *client)
{
    struct http_address address = {.len = 1 + (socklen_t)client->number};
    return address;
}

bool http_client_sending(const struct http_client *client)
{
    return client->sending;
}

static inline void fake_source_read(struct http_source source, struct buf *out)
{
    while (source.len) {
        struct iovec iov;
        if (source.pieces(source.state, &iov, 1) != 1)
            abort();
        buf_add(out, iov.iov_base, iov.iov_len);
        source.skip(source.state, iov.iov_len);
        source.len -= iov.iov_len;
    }
}

int http_client_request(struct http_client *client, const char *method, const char *target,
                        const char *fields, struct span before, const struct http_source *source,
                        const char *after)
{
    if (client->sending || client->over)
        abort();
    if (fake.request_result < 0)
        return fake.request_result;
    snprintf(client->method, sizeof client->method, "%s", method);
    snprintf(client->target, sizeof client->target, "%s", target);
    snprintf(client->fields, sizeof client->fields, "%s", fields ? fields : "");
    buf_clear(&client->body);
    buf_add_span(&client->body, before);
    if (source)
        fake_source_read(*source, &client->body);
    buf_add_text(&client->body, after);
    client->requests++;
    client->sending = client->full;
    if (fake.asked)
        fake.asked(client);
    return 0;
}

#endif
