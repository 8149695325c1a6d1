#include "client.h"
#include "report.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 2000, READ_BYTES = 64 * 1024 };

void client_open(struct client *client, const struct node *node)
{
    *client = (struct client){.node = node, .fd = -1};
}

static void client_disconnect(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->in.len = client->taken = 0;
}

void client_close(struct client *client)
{
    client_disconnect(client);
    text_free(&client->in);
}

void client_abort(struct client *client)
{
    struct linger linger = {.l_onoff = 1};
    if (client->fd >= 0)
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    client_disconnect(client);
}

static bool client_wait(const struct client *client, short events, int64_t deadline_ms)
{
    struct pollfd polled = {.fd = client->fd, .events = events};
    int64_t left_ms = deadline_ms - now_ms();
    return left_ms > 0 && poll(&polled, 1, (int)left_ms) > 0;
}

static bool client_dial(struct client *client)
{
    const struct sockaddr_in *to = &client->node->address;
    int one = 1;
    int error = 0;
    socklen_t len = sizeof error;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        report_fail("cannot open a socket: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(client->fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return true;
    return errno == EINPROGRESS && client_wait(client, POLLOUT, now_ms() + CONNECT_MS) &&
           getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

bool client_connect(struct client *client)
{
    unsigned life = node_life(client->node);
    if (client->fd >= 0 && client->life == life)
        return true;
    client_disconnect(client);
    client->life = life;
    /* The process that serves before and after is the one that listened in between. */
    if (life && client_dial(client) && node_life(client->node) == life)
        return true;
    client_disconnect(client);
    return false;
}

bool client_send(struct client *client, const struct text *bytes, int64_t deadline_ms)
{
    size_t at = 0;
    while (at < bytes->len) {
        ssize_t sent = send(client->fd, bytes->at + at, bytes->len - at, MSG_NOSIGNAL);
        if (sent >= 0)
            at += (size_t)sent;
        else if ((errno != EAGAIN && errno != EINTR) || !client_wait(client, POLLOUT, deadline_ms))
            break;
    }
    if (at < bytes->len)
        client_disconnect(client);
    return at == bytes->len;
}

static bool client_read(struct client *client, int64_t deadline_ms)
{
    static _Thread_local char bytes[READ_BYTES];
    for (;;) {
        ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
        if (got > 0) {
            text_add(&client->in, bytes, (size_t)got);
            return true;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR) || !client_wait(client, POLLIN, deadline_ms))
            return false;
    }
}

/* The value of a field of the head, or NULL. */
static const char *head_field(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 3 + len;
    return NULL;
}

/* Takes one answer off the bytes that came. Returns false where it is not complete. */
static bool answer_take(struct client *client, struct answer *answer)
{
    char *start = client->in.at + client->taken;
    size_t there = client->in.len - client->taken;
    char *end = there ? memmem(start, there, "\r\n\r\n", 4) : NULL;
    if (!end)
        return false;
    *end = '\0';
    const char *length = head_field(start, "Content-Length");
    size_t head_len = (size_t)(end + 4 - start);
    answer->status = strncmp(start, "HTTP/1.1 ", 9) == 0 ? atoi(start + 9) : 0;
    bool bare = answer->status < 200 || answer->status == 204 || answer->status == 304;
    if (!answer->status || (!length && !bare))
        report_fail("%s sent what is not an answer: %.200s", client->node->name, start);
    answer->body_len = bare ? 0 : strtoul(length, NULL, 10);
    answer->retry_after = head_field(start, "Retry-After") != NULL;
    answer->body = end + 4;
    *end = '\r';
    if (there - head_len < answer->body_len)
        return false;
    client->taken += head_len + answer->body_len;
    return true;
}

bool client_receive(struct client *client, struct answer *answer, int64_t deadline_ms)
{
    if (client->taken == client->in.len)
        client->in.len = client->taken = 0;
    for (;;) {
        if (answer_take(client, answer)) {
            if (answer->status >= 200)
                return true;
        } else if (!client_read(client, deadline_ms)) {
            client_disconnect(client);
            return false;
        }
    }
}

bool client_ask(struct client *client, const struct text *request, struct answer *answer, int64_t deadline_ms)
{
    return client_connect(client) && client_send(client, request, deadline_ms) &&
           client_receive(client, answer, deadline_ms);
}

bool client_get(struct client *client, const char *target, struct answer *answer, int64_t deadline_ms)
{
    struct text request = {0};
    text_addf(&request, "GET %s HTTP/1.1\r\nHost: torture\r\n\r\n", target);
    bool good = client_ask(client, &request, answer, deadline_ms);
    text_free(&request);
    return good;
}

int64_t answer_number(const struct answer *answer, const char *name)
{
    char member[64];
    int len = snprintf(member, sizeof member, "\"%s\":", name);
    const char *at = memmem(answer->body, answer->body_len, member, (size_t)len);
    return at ? strtoll(at + len, NULL, 10) : -1;
}

int64_t answer_acked(const struct answer *health, const char *id)
{
    char member[64];
    int len = snprintf(member, sizeof member, "{\"id\":\"%s\",\"url\":", id);
    const char *at = memmem(health->body, health->body_len, member, (size_t)len);
    if (!at)
        return -1;
    struct answer rest = {.body = at, .body_len = health->body_len - (size_t)(at - health->body)};
    return answer_number(&rest, "acked");
}

bool answer_name(const struct answer *answer, const char *name, char *out, size_t out_size)
{
    char member[64];
    int len = snprintf(member, sizeof member, "\"%s\":\"", name);
    const char *at = memmem(answer->body, answer->body_len, member, (size_t)len);
    const char *end = at ? memchr(at + len, '"', answer->body_len - (size_t)(at + len - answer->body)) : NULL;
    if (!end || (size_t)(end - at - len) >= out_size)
        return false;
    snprintf(out, out_size, "%.*s", (int)(end - at - len), at + len);
    return true;
}
