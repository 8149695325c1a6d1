/* A connection is two sockets and two pipes between them. A pipe is a queue of chunks, each with a time at
 * which it may leave; a fault sets that time, shortens the pipe or empties it. A connection ends when both
 * pipes are through, when a socket fails, or where a cut was due. */
#include "relay.h"
#include "report.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RELAYS_MOST = 16,
    CONNECTIONS_MOST = 2000,
    READ_BYTES = 64 * 1024,
    QUEUE_BYTES = 256 * 1024,
    TRICKLE_BYTES = 97,
    TRICKLE_MS = 2,
    HASTE = 200, /* connections in a second; more means that somebody tries again without a pause */
    SILENT_MS =
        4000 /* how long the half of a swallowed connection stays open after its other half has gone */
};

#define NEVER INT64_MAX

struct chunk {
    struct chunk *next;
    int64_t due_ms;
    size_t len;
    size_t sent;
    char bytes[];
};

struct pipe {
    int from, to; /* sockets of the connection */
    struct chunk *first, **end;
    size_t queued;
    int64_t cut_left; /* bytes until the cut; -1: none */
    bool ended;       /* nothing more comes in */
    bool told;        /* and the other side knows */
    bool swallows;
};

struct connection {
    struct connection *next;
    struct relay *relay;
    int client, server; /* server: -1 until it is dialled */
    int64_t dial_ms;
    bool connecting;
    bool cutting; /* ends when what is queued has left */
    bool failed;  /* ends now */
    int64_t silent_until_ms;
    struct pipe to_server, to_client;
};

struct relay {
    char name[16];
    const struct node *server;
    struct sockaddr_in address;
    int listener;              /* -1: refuses */
    int64_t second_ms;         /* the second that began here … */
    unsigned second_count;     /* … brought so many connections */
    struct relay_fault fault;  /* the thread's */
    struct relay_fault wanted; /* guarded by the mutex, as is the next */
    bool changed;
};

const char *const relay_kind_names[RELAY_KINDS] = {"pass",    "delay", "trickle", "cut",
                                                   "swallow", "stall", "refuse"};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct relay relays[RELAYS_MOST];
static unsigned relay_total;
static struct connection *connections;
static unsigned connection_total;
static struct relay_counts counts; /* guarded by the mutex */
static struct random cut_random;
static int wake_fd;
static bool ending; /* guarded by the mutex */
static pthread_t thread;

/* ---- pipes */

static void pipe_open(struct pipe *pipe, int from, int to)
{
    *pipe = (struct pipe){.from = from, .to = to, .cut_left = -1};
    pipe->end = &pipe->first;
}

static void pipe_empty(struct pipe *pipe)
{
    while (pipe->first) {
        struct chunk *chunk = pipe->first;
        pipe->first = chunk->next;
        free(chunk);
    }
    pipe->end = &pipe->first;
    pipe->queued = 0;
}

static void pipe_add(struct pipe *pipe, const char *bytes, size_t len, int64_t due_ms)
{
    struct chunk *chunk = malloc(sizeof *chunk + len);
    if (!chunk)
        report_fail("the relays have no memory left");
    *chunk = (struct chunk){.due_ms = due_ms, .len = len};
    memcpy(chunk->bytes, bytes, len);
    *pipe->end = chunk;
    pipe->end = &chunk->next;
    pipe->queued += len;
}

/* What is read is due later by the delay, or in pieces. In a connection that is cut, what goes to the server
 * is late: some of it arrives when its sender has connected anew and sent other things. */
static void pipe_take(struct connection *connection, struct pipe *pipe, const char *bytes, size_t len)
{
    const struct relay_fault *fault = &connection->relay->fault;
    int64_t due_ms = now_ms();
    if (fault->kind == RELAY_DELAY || (fault->kind == RELAY_CUT && pipe == &connection->to_server))
        due_ms += fault->delay_ms;
    while (fault->kind == RELAY_TRICKLE && len > TRICKLE_BYTES) {
        pipe_add(pipe, bytes, TRICKLE_BYTES, due_ms);
        bytes += TRICKLE_BYTES;
        len -= TRICKLE_BYTES;
        due_ms += TRICKLE_MS;
    }
    pipe_add(pipe, bytes, len, due_ms);
}

static bool pipe_stalls(const struct relay *relay, const struct pipe *pipe,
                        const struct connection *connection)
{
    unsigned direction = pipe == &connection->to_server ? RELAY_TO_SERVER : RELAY_TO_CLIENT;
    return relay->fault.kind == RELAY_STALL && (relay->fault.directions & direction);
}

static bool pipe_wants_bytes(const struct connection *connection, const struct pipe *pipe)
{
    return !pipe->ended && !connection->cutting && pipe->queued < QUEUE_BYTES &&
           !pipe_stalls(connection->relay, pipe, connection);
}

/* When the next chunk may leave. Once a link is well again nothing is held back any more. */
static int64_t pipe_due_ms(const struct connection *connection, const struct pipe *pipe)
{
    if (!pipe->first || pipe->to < 0)
        return NEVER;
    return connection->relay->fault.kind == RELAY_PASS ? 0 : pipe->first->due_ms;
}

static void pipe_read(struct connection *connection, struct pipe *pipe)
{
    static char bytes[READ_BYTES];
    ssize_t got = recv(pipe->from, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        pipe->ended = true;
        if (got < 0)
            connection->cutting = true; /* what is on its way still arrives, as on a real network */
        if (connection->to_server.swallows || connection->to_client.swallows)
            connection->silent_until_ms = now_ms() + SILENT_MS;
        return;
    }
    if (pipe->swallows)
        return;
    size_t len = (size_t)got;
    if (pipe->cut_left >= 0 && (int64_t)len >= pipe->cut_left) {
        len = (size_t)pipe->cut_left;
        connection->cutting = true;
        counts.cuts++;
    } else if (pipe->cut_left >= 0) {
        pipe->cut_left -= got;
    }
    counts.bytes += len;
    if (len)
        pipe_take(connection, pipe, bytes, len);
}

static void pipe_write(struct connection *connection, struct pipe *pipe)
{
    while (pipe->first && pipe_due_ms(connection, pipe) <= now_ms()) {
        struct chunk *chunk = pipe->first;
        ssize_t sent = send(pipe->to, chunk->bytes + chunk->sent, chunk->len - chunk->sent, MSG_NOSIGNAL);
        if (sent < 0) {
            connection->failed = connection->failed || (errno != EAGAIN && errno != EINTR);
            return;
        }
        chunk->sent += (size_t)sent;
        if (chunk->sent < chunk->len)
            continue;
        pipe->queued -= chunk->len;
        pipe->first = chunk->next;
        if (!pipe->first)
            pipe->end = &pipe->first;
        free(chunk);
    }
    if (pipe->ended && !pipe->told && !pipe->first && pipe->to >= 0 && !pipe->swallows) {
        shutdown(pipe->to, SHUT_WR);
        pipe->told = true;
    }
}

/* ---- connections */

static void socket_close(int fd, bool reset)
{
    struct linger linger = {.l_onoff = 1};
    if (fd < 0)
        return;
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void connection_free(struct connection *connection)
{
    bool reset = connection->failed || (connection->cutting && connection->relay->fault.reset);
    socket_close(connection->client, reset);
    socket_close(connection->server, reset);
    pipe_empty(&connection->to_server);
    pipe_empty(&connection->to_client);
    free(connection);
    connection_total--;
}

/* Sets what the relay's present fault means for a connection. */
static void connection_spoil(struct connection *connection)
{
    const struct relay_fault *fault = &connection->relay->fault;
    struct pipe *pipe = &connection->to_server;
    if (fault->directions == RELAY_TO_CLIENT ||
        (fault->directions == RELAY_BOTH_WAYS && random_percent(&cut_random, 50)))
        pipe = &connection->to_client;
    connection->to_server.cut_left = connection->to_client.cut_left = -1;
    if (fault->kind == RELAY_CUT && fault->cut_most && !connection->cutting)
        pipe->cut_left = random_between(&cut_random, 0, random_magnitude(&cut_random, 1, fault->cut_most));
    if (fault->kind == RELAY_CUT && !fault->cut_most)
        connection->failed = true;
    if (fault->kind == RELAY_REFUSE)
        connection->failed = true;
    if (fault->kind == RELAY_SWALLOW && (fault->directions & RELAY_TO_SERVER))
        connection->to_server.swallows = true;
    if (fault->kind == RELAY_SWALLOW && (fault->directions & RELAY_TO_CLIENT))
        connection->to_client.swallows = true;
}

static void haste_check(struct relay *relay)
{
    if (now_ms() >= relay->second_ms + 1000) {
        relay->second_ms = now_ms();
        relay->second_count = 0;
    }
    if (++relay->second_count > HASTE)
        report_fail("the link %s got %d connections within a second", relay->name, HASTE);
}

static void connection_accept(struct relay *relay)
{
    int one = 1;
    int fd = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection || ++connection_total > CONNECTIONS_MOST)
        report_fail("the relay %s has too many connections", relay->name);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->relay = relay;
    connection->client = fd;
    connection->server = -1;
    connection->dial_ms = now_ms() + (relay->fault.kind == RELAY_DELAY ? relay->fault.delay_ms : 0);
    pipe_open(&connection->to_server, fd, -1);
    pipe_open(&connection->to_client, -1, fd);
    connection->to_client.ended = true; /* until there is a server */
    connection_spoil(connection);
    connection->next = connections;
    connections = connection;
    counts.connections++;
    haste_check(relay);
}

static void connection_dial(struct connection *connection)
{
    const struct sockaddr_in *to = &connection->relay->server->address;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        report_fail("the relays cannot open a socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->server = fd;
    connection->connecting = true;
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS)
        connection->failed = true;
}

static void connection_connected(struct connection *connection)
{
    int error = 0;
    socklen_t len = sizeof error;
    connection->connecting = false;
    getsockopt(connection->server, SOL_SOCKET, SO_ERROR, &error, &len);
    connection->failed = connection->failed || error;
    connection->to_server.to = connection->server;
    connection->to_client.from = connection->server;
    connection->to_client.ended = false;
}

/* The client of a connection that is cut sees its end at once. */
static void client_cut(struct connection *connection)
{
    if (connection->client < 0 || !connection->cutting || connection->to_client.first)
        return;
    socket_close(connection->client, connection->relay->fault.reset);
    connection->client = connection->to_server.from = connection->to_client.to = -1;
}

/* What poll says of its two sockets. */
static void connection_run(struct connection *connection, short client_events, short server_events)
{
    int64_t now = now_ms();
    if (connection->server < 0 && now >= connection->dial_ms && !connection->failed)
        connection_dial(connection);
    else if (connection->connecting && server_events)
        connection_connected(connection);
    if (client_events & ~POLLOUT && pipe_wants_bytes(connection, &connection->to_server))
        pipe_read(connection, &connection->to_server);
    if (server_events & ~POLLOUT && !connection->connecting &&
        pipe_wants_bytes(connection, &connection->to_client))
        pipe_read(connection, &connection->to_client);
    if (!connection->connecting) {
        pipe_write(connection, &connection->to_server);
        pipe_write(connection, &connection->to_client);
    }
    client_cut(connection);
}

static bool connection_over(const struct connection *connection)
{
    const struct pipe *up = &connection->to_server;
    const struct pipe *down = &connection->to_client;
    if (connection->failed)
        return true;
    if (connection->silent_until_ms)
        return now_ms() >= connection->silent_until_ms;
    if (connection->server < 0 || connection->connecting)
        return connection->cutting;
    return (connection->cutting && !up->first && !down->first) || (up->told && down->told);
}

/* ---- the thread */

static void relay_listen(struct relay *relay)
{
    int one = 1;
    socklen_t len = sizeof relay->address;
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(relay->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(relay->listener, (struct sockaddr *)&relay->address, sizeof relay->address) < 0 ||
        listen(relay->listener, 128) < 0 ||
        getsockname(relay->listener, (struct sockaddr *)&relay->address, &len) < 0)
        report_fail("the relay %s cannot listen: %s", relay->name, strerror(errno));
}

static void relay_change(struct relay *relay)
{
    if (!relay->changed)
        return;
    relay->changed = false;
    relay->fault = relay->wanted;
    for (struct connection *connection = connections; connection; connection = connection->next)
        if (connection->relay == relay)
            connection_spoil(connection);
    if (relay->fault.kind == RELAY_REFUSE && relay->listener >= 0) {
        close(relay->listener);
        relay->listener = -1;
    } else if (relay->fault.kind != RELAY_REFUSE && relay->listener < 0) {
        relay_listen(relay);
    }
}

static short socket_events(const struct connection *connection, const struct pipe *in, const struct pipe *out)
{
    short events = 0;
    if (pipe_wants_bytes(connection, in))
        events |= POLLIN;
    if (pipe_due_ms(connection, out) <= now_ms())
        events |= POLLOUT;
    return events;
}

/* A socket of which nothing is wanted is left out: poll would tell of its end again and again. */
static struct pollfd polled_socket(int fd, short events)
{
    return (struct pollfd){.fd = events ? fd : -1, .events = events};
}

static size_t polled_fill(struct pollfd *polled, int64_t *due_ms)
{
    size_t count = 0;
    polled[count++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    for (unsigned i = 0; i < relay_total; i++)
        polled[count++] = (struct pollfd){.fd = relays[i].listener, .events = POLLIN};
    for (struct connection *at = connections; at; at = at->next) {
        int64_t up_ms = pipe_due_ms(at, &at->to_server);
        int64_t down_ms = pipe_due_ms(at, &at->to_client);
        int64_t now = now_ms();
        polled[count++] = polled_socket(at->client, socket_events(at, &at->to_server, &at->to_client));
        polled[count++] = polled_socket(
            at->server, at->connecting ? POLLOUT : socket_events(at, &at->to_client, &at->to_server));
        if (up_ms > now && up_ms < *due_ms)
            *due_ms = up_ms;
        if (down_ms > now && down_ms < *due_ms)
            *due_ms = down_ms;
        if (at->server < 0 && at->dial_ms < *due_ms)
            *due_ms = at->dial_ms;
        if (at->silent_until_ms && at->silent_until_ms < *due_ms)
            *due_ms = at->silent_until_ms;
    }
    return count;
}

static void connections_reap(void)
{
    for (struct connection **at = &connections; *at;) {
        struct connection *connection = *at;
        if (connection_over(connection)) {
            *at = connection->next;
            connection_free(connection);
        } else {
            at = &connection->next;
        }
    }
}

/* One round, under the mutex. */
static void relays_run(const struct pollfd *polled)
{
    const struct pollfd *sockets = polled + 1 + relay_total;
    uint64_t woken;
    if (polled[0].revents && read(wake_fd, &woken, sizeof woken) < 0)
        return;
    for (struct connection *at = connections; at; at = at->next, sockets += 2)
        connection_run(at, sockets[0].revents, sockets[1].revents);
    for (unsigned i = 0; i < relay_total; i++)
        if (polled[1 + i].revents)
            connection_accept(&relays[i]);
    for (unsigned i = 0; i < relay_total; i++)
        relay_change(&relays[i]);
    connections_reap();
}

static void *relays_thread(void *arg)
{
    static struct pollfd polled[1 + RELAYS_MOST + 2 * (CONNECTIONS_MOST + 1)];
    (void)arg;
    pthread_mutex_lock(&mutex);
    while (!ending) {
        int64_t due_ms = now_ms() + 1000;
        size_t count = polled_fill(polled, &due_ms);
        int64_t wait_ms = due_ms - now_ms();
        pthread_mutex_unlock(&mutex);
        poll(polled, count, wait_ms > 0 ? (int)wait_ms : 0);
        pthread_mutex_lock(&mutex);
        relays_run(polled);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* ---- for the others */

struct relay *relay_add(const char *name, struct in_addr address, const struct node *server)
{
    struct relay *relay = &relays[relay_total++];
    snprintf(relay->name, sizeof relay->name, "%s", name);
    relay->server = server;
    relay->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = address};
    relay_listen(relay);
    return relay;
}

void relays_start(struct random random)
{
    cut_random = random;
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_fd < 0 || pthread_create(&thread, NULL, relays_thread, NULL) != 0)
        report_fail("cannot start the relays");
}

static void relays_wake(void)
{
    uint64_t one = 1;
    while (write(wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void relays_stop(void)
{
    pthread_mutex_lock(&mutex);
    ending = true;
    pthread_mutex_unlock(&mutex);
    relays_wake();
    pthread_join(thread, NULL);
    while (connections) {
        struct connection *connection = connections;
        connections = connection->next;
        connection_free(connection);
    }
    for (unsigned i = 0; i < relay_total; i++)
        socket_close(relays[i].listener, false);
    close(wake_fd);
}

uint16_t relay_port(const struct relay *relay)
{
    return ntohs(relay->address.sin_port);
}

const char *relay_name(const struct relay *relay)
{
    return relay->name;
}

void relay_spoil(struct relay *relay, const struct relay_fault *fault)
{
    pthread_mutex_lock(&mutex);
    relay->wanted = *fault;
    relay->changed = true;
    pthread_mutex_unlock(&mutex);
    relays_wake();
}

struct relay_counts relays_count(void)
{
    pthread_mutex_lock(&mutex);
    struct relay_counts out = counts;
    pthread_mutex_unlock(&mutex);
    return out;
}
