/* The happy path: a numeric host gives its address at once, a name by a job of the worker; connect(2);
 * POLLOUT says that the connection is there; a request is sent as far as the socket takes it, the rest at
 * POLLOUT; answers are read into one buffer and handed on one by one.
 *
 * Ways to fail: every one ends in client_fail, which tells the owner once. */
#include "http/client.h"
#include "clock.h"
#include "http/chunked.h"
#include "http/parser.h"
#include "http/stream.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024, ADDRESSES_MAX = 8, INTERIM_WINDOW_MS = 1000 };

/* A look-up: the worker fills `addresses`. */
struct lookup {
    struct worker_job job;
    struct http_client *client;
    char host[HTTP_HOST_MAX];
    char port[8];
    struct http_address addresses[ADDRESSES_MAX];
    int count;
    int error; /* of getaddrinfo */
};

enum client_state { CLIENT_LOOKS_UP, CLIENT_CONNECTS, CLIENT_OPEN, CLIENT_OVER };

struct http_client {
    struct loop_watch watch; /* first, so that a watch is its client; its fd is -1 while there is no socket */
    const struct http_dialer *dialer;
    const struct http_client_events *events;
    void *ctx;
    enum client_state state;
    char authority[HTTP_AUTHORITY_MAX];

    struct lookup *lookup; /* under way, or NULL */
    struct http_address addresses[ADDRESSES_MAX];
    int count;
    int next;            /* the address to try after the present one */
    int64_t deadline_ms; /* until the connection must be there */

    struct stream stream;
    struct outgoing out; /* the request that is being sent */

    struct buf in; /* bytes of answers */
    size_t taken;  /* of `in`: handed on, to be dropped */
    size_t scanned;
    struct http_head head;
    bool head_done; /* `head`, but for its spans, is that of the answer whose body comes */
    int interims;   /* since interim_ms */
    int64_t interim_ms;
    struct http_chunked chunked;
    uint64_t left; /* of the body, with a length */
};

static void client_ready(struct loop_watch *watch, short revents);
static void client_expired(struct loop_watch *watch);

/* ---- addresses */

static bool address_parse(const char *host, uint16_t port, struct http_address *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    *out = (struct http_address){0};
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        memcpy(&out->name, &in, sizeof in);
        out->len = sizeof in;
    } else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        memcpy(&out->name, &in6, sizeof in6);
        out->len = sizeof in6;
    }
    return out->len > 0;
}

void http_dialer_from(struct http_dialer *dialer, const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || !address_parse(host, 0, &dialer->from))
        dialer->from.len = 0;
}

static void lookup_work(struct worker_job *job)
{
    struct lookup *lookup = (struct lookup *)job;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    lookup->error = getaddrinfo(lookup->host, lookup->port, &hints, &found);
    if (lookup->error)
        return;
    for (const struct addrinfo *at = found; at && lookup->count < ADDRESSES_MAX; at = at->ai_next) {
        struct http_address *address = &lookup->addresses[lookup->count++];
        memcpy(&address->name, at->ai_addr, at->ai_addrlen);
        address->len = at->ai_addrlen;
    }
    freeaddrinfo(found);
}

/* ---- the end */

static void socket_close(struct http_client *client)
{
    if (client->watch.fd < 0)
        return;
    loop_remove(client->dialer->loop, &client->watch);
    close(client->watch.fd);
    client->watch.fd = -1;
}

static const char *failure_text(int error)
{
    switch (error) {
    case -ECONNRESET:
        return "it closed the connection";
    case -EPROTO:
        return "its answer is not HTTP";
    case -EOVERFLOW:
        return "its interim answers have no end";
    case -EMSGSIZE:
        return "its answer has no Content-Length, or too large a one";
    default:
        return strerror(-error);
    }
}

static void client_fail(struct http_client *client, int error, const char *why)
{
    socket_close(client);
    client->state = CLIENT_OVER;
    client->events->failed(client->ctx, error, why);
}

/* Ends the client where something failed. */
static void client_settle(struct http_client *client, int result)
{
    if (result < 0)
        client_fail(client, result, failure_text(result));
}

void http_client_close(struct http_client *client)
{
    socket_close(client);
    if (client->lookup)
        worker_abandon(client->dialer->worker, &client->lookup->job);
    outgoing_free(&client->out);
    buf_free(&client->in);
    free(client);
}

/* ---- connecting */

/* Whether both ends of the connection are one: connect(2) to a free port of this machine out of the range
 * that the kernel takes local ports from may end so (RFC 9293 section 3.5: simultaneous open). */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    socklen_t own_len = sizeof own;
    socklen_t peer_len = sizeof peer;
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

/* Begins to connect to an address. Returns 0 or a negative errno. */
static int address_connect(struct http_client *client, const struct http_address *address)
{
    const struct http_address *from = &client->dialer->from;
    const int on = 1;
    int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bool binds = from->len && from->name.ss_family == address->name.ss_family;
    int result = binds && bind(fd, (const struct sockaddr *)&from->name, from->len) < 0 ? -errno : 0;
    if (result == 0 && connect(fd, (const struct sockaddr *)&address->name, address->len) < 0 &&
        errno != EINPROGRESS)
        result = -errno;
    client->watch = (struct loop_watch){.fd = fd, .ready = client_ready, .expired = client_expired};
    if (result == 0)
        result = loop_add(client->dialer->loop, &client->watch, POLLOUT);
    if (result < 0) {
        close(fd);
        client->watch.fd = -1;
    }
    return result;
}

/* The address before failed: goes on to the next one. Returns 0, or the error of the last one. */
static int next_connect(struct http_client *client, int error)
{
    int64_t now_ms = clock_ms();
    socket_close(client);
    while (client->next < client->count && now_ms < client->deadline_ms) {
        int left = client->count - client->next;
        error = address_connect(client, &client->addresses[client->next++]);
        if (error < 0)
            continue;
        loop_deadline(client->dialer->loop, &client->watch, now_ms + (client->deadline_ms - now_ms) / left);
        return 0;
    }
    return error;
}

/* The addresses are known. Returns 0 or a negative errno. */
static int connect_begin(struct http_client *client)
{
    client->state = CLIENT_CONNECTS;
    client->deadline_ms = clock_ms() + HTTP_CONNECT_MS;
    return next_connect(client, -ENXIO);
}

static void lookup_done(struct worker_job *job)
{
    struct lookup *lookup = (struct lookup *)job;
    struct http_client *client = lookup->client;
    int error = lookup->error;
    client->lookup = NULL;
    client->count = lookup->count;
    memcpy(client->addresses, lookup->addresses, sizeof client->addresses);
    free(lookup);
    if (error)
        client_fail(client, -ENXIO, gai_strerror(error));
    else
        client_settle(client, connect_begin(client));
}

static int lookup_begin(struct http_client *client, const struct http_url *url)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->job = (struct worker_job){.work = lookup_work, .done = lookup_done};
    lookup->client = client;
    memcpy(lookup->host, url->host, sizeof lookup->host);
    snprintf(lookup->port, sizeof lookup->port, "%u", url->port);
    client->lookup = lookup;
    worker_do(client->dialer->worker, &lookup->job);
    return 0;
}

int http_client_open(struct http_client **out, const struct http_dialer *dialer, const struct http_url *url,
                     const struct http_address *known, const struct http_client_events *events, void *ctx)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    client->dialer = dialer;
    client->events = events;
    client->ctx = ctx;
    client->watch.fd = -1;
    http_url_authority(url, client->authority, sizeof client->authority);
    client->count = address_parse(url->host, url->port, &client->addresses[0]);
    if (!client->count && known && known->len) {
        client->addresses[0] = *known;
        client->count = 1;
    }
    int result = client->count ? connect_begin(client) : lookup_begin(client, url);
    if (result == 0)
        *out = client;
    else
        http_client_close(client);
    return result;
}

bool http_client_looks_up(const struct http_client *client)
{
    return client->state == CLIENT_LOOKS_UP;
}

bool http_client_connected(const struct http_client *client)
{
    return client->state == CLIENT_OPEN;
}

struct http_address http_client_address(const struct http_client *client)
{
    return client->next ? client->addresses[client->next - 1] : (struct http_address){0};
}

/* ---- sending */

bool http_client_sending(const struct http_client *client)
{
    return !outgoing_done(&client->out);
}

/* Sends what the socket takes. Returns 0 or a negative errno. */
static int client_send(struct http_client *client)
{
    struct outgoing *const list[] = {&client->out};
    struct stream_turn turn = {.now_ms = clock_ms(), .most = SIZE_MAX};
    if (http_client_sending(client) && stream_send(&client->stream, list, 1, &turn) == STREAM_BROKEN)
        return -ECONNRESET;
    loop_want(client->dialer->loop, &client->watch, http_client_sending(client) ? POLLIN | POLLOUT : POLLIN);
    return 0;
}

int http_client_request(struct http_client *client, const char *method, const char *target,
                        const char *fields, struct span before, const struct http_source *source,
                        const char *after)
{
    struct outgoing *out = &client->out;
    if (client->state == CLIENT_OVER)
        return -ECONNRESET;
    outgoing_clear(out);
    out->after = span_of(after);
    if (source)
        out->source = *source;
    http_write_request_head(&out->head, method, target, client->authority, fields,
                            before.len + out->source.len + out->after.len);
    buf_add_span(&out->head, before);
    if (out->head.failed)
        return -ENOMEM;
    return client->state == CLIENT_OPEN ? client_send(client) : 0;
}

/* ---- answers */

/* Returns as answer_take. */
static int interim_count(struct http_client *client)
{
    int64_t now_ms = loop_now_ms(client->dialer->loop);
    if (now_ms - client->interim_ms >= INTERIM_WINDOW_MS) {
        client->interim_ms = now_ms;
        client->interims = 0;
    }
    return ++client->interims > HTTP_INTERIM_MOST ? -EOVERFLOW : 1;
}

static struct span bytes_left(const struct http_client *client)
{
    return span_after(buf_span(&client->in), client->taken);
}

/* Hands on what came of a body. Returns 1 where the body is complete, 0 where more must come, or a negative
 * errno. */
static int part_take(struct http_client *client)
{
    struct span bytes = bytes_left(client);
    size_t used = bytes.len;
    enum http_parse parsed = HTTP_PARSE_MORE;
    if (client->head.framing == HTTP_FRAMING_CHUNKED) {
        parsed = http_chunked_decode(&client->chunked, bytes.at, bytes.len, &used,
                                     client->in.data + client->taken, &bytes.len);
    } else if (client->head.framing != HTTP_FRAMING_CLOSE) {
        if (bytes.len > client->left)
            used = bytes.len = (size_t)client->left;
        client->left -= used;
        parsed = client->left ? HTTP_PARSE_MORE : HTTP_PARSE_DONE;
    }
    if (parsed == HTTP_PARSE_BAD)
        return -EPROTO;
    client->taken += used;
    int result = bytes.len ? client->events->part(client->ctx, &client->head, bytes) : 0;
    return result < 0 ? result : parsed == HTTP_PARSE_DONE;
}

/* The answer is complete; `body` is empty where it was handed on in parts. Returns as answer_take. */
static int answer_end(struct http_client *client, struct span body)
{
    client->head_done = false;
    client->taken += body.len;
    int result = client->events->answered(client->ctx, client->head.status, body);
    return result < 0 ? result : 1;
}

static int body_take(struct http_client *client)
{
    struct span bytes = bytes_left(client);
    if (!client->events->part)
        return bytes.len < client->left ? 0 : answer_end(client, (struct span){bytes.at, client->left});
    int result = part_take(client);
    return result > 0 ? answer_end(client, (struct span){0}) : result;
}

/* Whether the body of such an answer may be handed on as a whole. */
static bool is_bounded(const struct http_head *head)
{
    return head->framing != HTTP_FRAMING_CHUNKED && head->framing != HTTP_FRAMING_CLOSE &&
           head->content_length <= HTTP_ANSWER_MAX;
}

static int head_take(struct http_client *client)
{
    struct http_head *head = &client->head;
    struct http_refusal refusal;
    enum http_parse parsed = http_parse_response(bytes_left(client), &client->scanned, false, head, &refusal);
    if (parsed != HTTP_PARSE_DONE)
        return parsed == HTTP_PARSE_MORE ? 0 : -EPROTO;
    client->taken += head->len;
    client->scanned = 0;
    if (head->status < 200)
        return interim_count(client);
    if (!client->events->part && !is_bounded(head))
        return -EMSGSIZE;
    client->head_done = true;
    client->left = head->content_length;
    client->chunked = (struct http_chunked){0};
    return 1;
}

/* Takes the next thing out of `in`. Returns 1 where there may be more to take, 0 where more must come, or a
 * negative errno. */
static int answer_take(struct http_client *client)
{
    return client->head_done ? body_take(client) : head_take(client);
}

static int answers_take(struct http_client *client)
{
    int result = client->events->heard ? client->events->heard(client->ctx) : 0;
    if (result < 0)
        return result;
    while ((result = answer_take(client)) > 0)
        continue;
    buf_drop(&client->in, client->taken);
    client->taken = 0;
    return result;
}

/* The other side has closed. */
static int end_of_input(struct http_client *client)
{
    bool whole = client->head_done && client->head.framing == HTTP_FRAMING_CLOSE;
    int result = whole ? answer_end(client, (struct span){0}) : 0;
    return result < 0 ? result : -ECONNRESET;
}

static int client_receive(struct http_client *client)
{
    if (!buf_reserve(&client->in, READ_BYTES))
        return -ENOMEM;
    ssize_t got = stream_receive(&client->stream, client->in.data + client->in.len, READ_BYTES);
    if (got == 0)
        return end_of_input(client);
    if (got < 0)
        return got == -EAGAIN ? 0 : (int)got;
    client->in.len += (size_t)got;
    return answers_take(client);
}

/* ---- what the loop tells */

/* POLLOUT, or an error, of a socket that was being connected. Returns 0, also where the next address is
 * tried, or a negative errno. */
static int connected(struct http_client *client)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(client->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0 &&
        is_connected_to_itself(client->watch.fd)) {
        stream_abort(&(struct stream){.fd = client->watch.fd});
        error = ECONNREFUSED;
    }
    if (error)
        return next_connect(client, -error);
    client->state = CLIENT_OPEN;
    client->stream = (struct stream){.fd = client->watch.fd};
    loop_deadline(client->dialer->loop, &client->watch, CLOCK_NEVER);
    return client_send(client);
}

static void client_ready(struct loop_watch *watch, short revents)
{
    struct http_client *client = (struct http_client *)watch;
    bool connects = client->state == CLIENT_CONNECTS;
    int result = connects ? connected(client) : revents & ~POLLOUT ? client_receive(client) : 0;
    if (!connects && result >= 0 && revents & POLLOUT)
        result = client_send(client);
    client_settle(client, result);
}

static void client_expired(struct loop_watch *watch)
{
    struct http_client *client = (struct http_client *)watch;
    client_settle(client, next_connect(client, -ETIMEDOUT));
}
