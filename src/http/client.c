#include "http/client.h"
#include "clock.h"
#include "http/chunked.h"
#include "http/writer.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

int http_wait(int fd, short events, int64_t deadline_ms, int cancel_fd)
{
    for (;;) {
        struct pollfd polled[] = {{.fd = fd, .events = events}, {.fd = cancel_fd, .events = POLLIN}};
        int ready = poll(polled, 2, clock_poll_timeout(clock_ms(), deadline_ms));
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0 && polled[1].revents)
            return -ECANCELED;
        if (ready > 0)
            return 0;
        if (clock_ms() >= deadline_ms)
            return -ETIMEDOUT;
    }
}

/* Gives the socket a local address; one of another family is passed over. */
static int bind_local(int fd, int family, const char *from)
{
    const struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_family = family, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *local;
    if (getaddrinfo(from, NULL, &hints, &local) != 0)
        return 0;
    int result = bind(fd, local->ai_addr, local->ai_addrlen) < 0 ? -errno : 0;
    freeaddrinfo(local);
    return result;
}

static int connect_address(const struct addrinfo *address, const char *from, int64_t deadline_ms,
                           int cancel_fd)
{
    const int on = 1;
    int error = 0;
    socklen_t len = sizeof error;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int result = from ? bind_local(fd, address->ai_family, from) : 0;
    if (result == 0 && connect(fd, address->ai_addr, address->ai_addrlen) < 0)
        result = -errno;
    if (result == -EINPROGRESS)
        result = http_wait(fd, POLLOUT, deadline_ms, cancel_fd);
    if (result == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
        result = -error;
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

int http_connect(const struct http_url *url, const char *from, int64_t deadline_ms, int cancel_fd)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses;
    char service[8];
    snprintf(service, sizeof service, "%u", url->port);
    if (getaddrinfo(url->host, service, &hints, &addresses) != 0)
        return -ENXIO;
    int result = -ENXIO;
    for (const struct addrinfo *address = addresses; address && result < 0; address = address->ai_next) {
        result = connect_address(address, from, deadline_ms, cancel_fd);
        if (result == -ETIMEDOUT || result == -ECANCELED)
            break;
    }
    freeaddrinfo(addresses);
    return result;
}

/* One call under way. */
struct calling {
    const struct http_call *call;
    struct http_reply *reply;
    int fd;
    int64_t deadline_ms;
    struct buf in; /* the answer's bytes not yet taken */
    size_t scanned;
    struct http_head head;
    struct http_chunked chunked;
    uint64_t left; /* of the body, with a length */
};

static int call_send(struct calling *calling)
{
    const struct http_call *call = calling->call;
    char authority[HTTP_AUTHORITY_MAX];
    struct buf out = {0};
    http_url_authority(call->url, authority, sizeof authority);
    http_write_request_head(&out, call->method, call->target, authority, call->fields, call->body.len);
    buf_add_span(&out, call->body);
    int result = out.failed ? -ENOMEM : 0;
    while (result == 0 && out.len) {
        ssize_t sent = send(calling->fd, out.data, out.len, MSG_NOSIGNAL);
        if (sent > 0)
            buf_drop(&out, (size_t)sent);
        else if (errno == EAGAIN)
            result = http_wait(calling->fd, POLLOUT, calling->deadline_ms, call->cancel_fd);
        else if (errno != EINTR)
            result = -errno;
    }
    buf_free(&out);
    return result;
}

/* Reads more into calling->in. Returns 1, 0 at the end of the stream, or a negative errno. */
static int call_read(struct calling *calling)
{
    if (!buf_reserve(&calling->in, READ_BYTES))
        return -ENOMEM;
    for (;;) {
        int result = http_wait(calling->fd, POLLIN, calling->deadline_ms, calling->call->cancel_fd);
        if (result < 0)
            return result;
        ssize_t got = recv(calling->fd, calling->in.data + calling->in.len, READ_BYTES, 0);
        if (got > 0) {
            calling->in.len += (size_t)got;
            if (calling->call->take)
                calling->deadline_ms = clock_after(clock_ms(), calling->call->idle_ms);
            return 1;
        }
        if (got == 0)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
}

/* The head of the final answer; interim ones are passed over. */
static int call_read_head(struct calling *calling)
{
    struct http_refusal refusal;
    bool to_head = strcmp(calling->call->method, "HEAD") == 0;
    for (;;) {
        switch (http_parse_response(buf_span(&calling->in), &calling->scanned, to_head, &calling->head,
                                    &refusal)) {
        case HTTP_PARSE_BAD:
            return -EPROTO;
        case HTTP_PARSE_DONE:
            buf_drop(&calling->in, calling->head.len);
            calling->scanned = 0;
            if (calling->head.status >= 200)
                return 0;
            if (clock_ms() >= calling->deadline_ms) /* there may be no end of interim answers */
                return -ETIMEDOUT;
            break;
        case HTTP_PARSE_MORE: {
            int result = call_read(calling);
            if (result <= 0)
                return result == 0 ? -ECONNRESET : result;
        }
        }
    }
}

static int call_give(struct calling *calling, struct span bytes)
{
    if (calling->call->take)
        return calling->call->take(calling->call->ctx, bytes);
    if (calling->reply->body.len + bytes.len > HTTP_REPLY_MAX)
        return -EMSGSIZE;
    buf_add_span(&calling->reply->body, bytes);
    return calling->reply->body.failed ? -ENOMEM : 0;
}

/* Hands on what has come of the body. Returns 1 where it is complete, 0 where more must come, or an error. */
static int call_take_body(struct calling *calling)
{
    struct span bytes = buf_span(&calling->in);
    enum http_parse parsed = HTTP_PARSE_MORE;
    if (calling->head.framing == HTTP_FRAMING_LENGTH) {
        if (bytes.len > calling->left)
            bytes.len = (size_t)calling->left;
        calling->left -= bytes.len;
        parsed = calling->left == 0 ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
    } else if (calling->head.framing == HTTP_FRAMING_CHUNKED) {
        size_t used;
        parsed =
            http_chunked_decode(&calling->chunked, bytes.at, bytes.len, &used, calling->in.data, &bytes.len);
    }
    if (parsed == HTTP_PARSE_BAD)
        return -EPROTO;
    int result = bytes.len ? call_give(calling, bytes) : 0;
    buf_clear(&calling->in);
    return result ? result : parsed == HTTP_PARSE_DONE;
}

static int call_read_body(struct calling *calling)
{
    calling->left = calling->head.content_length;
    if (calling->head.framing == HTTP_FRAMING_NONE)
        return 0;
    for (;;) {
        int result = call_take_body(calling);
        if (result != 0)
            return result < 0 ? result : 0;
        result = call_read(calling);
        if (result == 0)
            return calling->head.framing == HTTP_FRAMING_CLOSE ? 0 : -ECONNRESET;
        if (result < 0)
            return result;
    }
}

int http_call(const struct http_call *call, struct http_reply *reply)
{
    struct calling calling = {.call = call, .reply = reply, .deadline_ms = call->deadline_ms};
    *reply = (struct http_reply){0};
    calling.fd = http_connect(call->url, call->from, call->deadline_ms, call->cancel_fd);
    if (calling.fd < 0)
        return calling.fd;
    int result = call_send(&calling);
    if (result == 0)
        result = call_read_head(&calling);
    if (result == 0) {
        reply->status = calling.head.status;
        result = call_read_body(&calling);
    }
    close(calling.fd);
    buf_free(&calling.in);
    return result;
}
