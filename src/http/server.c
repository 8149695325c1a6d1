#include "complaint.h"
#include "http/conn.h"
#include "memory.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    LISTENERS_MAX = 8,
    ACCEPTS_A_PASS = 256,
    PORT_TRIES = 16,      /* a port that the kernel chose for one address may be taken on the next */
    STOP_PASS_MS = 10,    /* at a stop there is a pass so often at least */
    ACCEPT_PAUSE_MS = 100 /* without descriptors or memory: the listener rests for so long */
};

struct listener {
    struct loop_watch watch; /* first, so that a watch is its listener */
    struct http_server *server;
};

struct http_server {
    struct listener listeners[LISTENERS_MAX]; /* one for each address of the host */
    int listening;                            /* how many there are */
    struct http_conns conns;                  /* the loop's thread alone, once started */
    struct http_service service;
    int max_connections;
    uint16_t port;
    bool running; /* the loop's thread alone, as is the next */
    struct complaints complaints;

    bool started; /* main alone */
    pthread_t thread;
};

/* The port has the same place in both kinds of address. */
static uint16_t address_port(const struct sockaddr_storage *address)
{
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    return ntohs(in.sin_port);
}

/* ---- accepting */

static void socket_tune(int fd)
{
    const int on = 1, unsent = HTTP_UNSENT_MOST, idle_s = 30, interval_s = 10, probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    /* A client that vanished without a word, or closed while it waits for an answer, is found out by the
     * kernel. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static void peer_format(const struct sockaddr_storage *address, char out[HTTP_PEER_SIZE])
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    bool is_v6 = address->ss_family == AF_INET6;
    bool mapped = is_v6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    char host[INET6_ADDRSTRLEN] = "?";
    if (is_v6 && !mapped)
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    else
        inet_ntop(AF_INET, mapped ? (const void *)(in6->sin6_addr.s6_addr + 12) : &in->sin_addr, host,
                  sizeof host);
    snprintf(out, HTTP_PEER_SIZE, is_v6 && !mapped ? "[%s]:%u" : "%s:%u", host, address_port(address));
}

/* There are nodes enough in the room for them: an answer as far as the socket takes it at once, and a close.
 */
static void client_drop(int fd)
{
    static const char body[] = "{\"error\":\"this server has all the clients it takes\"}\n";
    struct buf answer = {0};
    char date[HTTP_DATE_SIZE];
    char dropped[4096];
    http_date(time(NULL), date);
    http_write_response_head(&answer, 503, date, strlen(body), "Connection: close\r\n", HTTP_RETRY);
    buf_add_text(&answer, body);
    if (!answer.failed)
        send(fd, answer.data, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    buf_free(&answer);
    shutdown(fd, SHUT_WR);
    /* a close with unread bytes would reset the answer away */
    recv(fd, dropped, sizeof dropped, MSG_DONTWAIT);
    close(fd);
}

static void client_accept(struct http_server *server, int fd, const struct sockaddr_storage *address)
{
    struct http_conns *conns = &server->conns;
    char peer[HTTP_PEER_SIZE];
    peer_format(address, peer);
    bool extra = conns->open - conns->extras >= server->max_connections;
    if (extra)
        complain(&server->complaints, LOGLINE_WARN, "", "connections_full", NULL,
                 "all %d connections are in use: new clients get 503", server->max_connections);
    if (conns->open >= server->max_connections + HTTP_EXTRAS_MAX && !conns_drop_extra(conns)) {
        conns->counters.refused[HTTP_REFUSED_CONNECTIONS]++;
        client_drop(fd);
        return;
    }
    socket_tune(fd);
    if ((extra ? conn_open_extra : conn_open)(conns, fd, peer) < 0)
        complain(&server->complaints, LOGLINE_ERROR, "", "no_memory", LOG_FIELDS(LOG_TEXT("peer", peer)),
                 "no memory for a connection from %s", peer);
}

static bool accept_error_passes(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == EHOSTUNREACH;
}

/* accept(2) fails for want of descriptors or memory: the listener rests. */
static void listener_rest(struct listener *listener, int error)
{
    struct http_server *server = listener->server;
    complain(&server->complaints, LOGLINE_WARN, "", "cannot_accept", NULL,
             "cannot accept a client: %s; trying again every %d ms", strerror(error), ACCEPT_PAUSE_MS);
    loop_want(server->conns.loop, &listener->watch, 0);
    loop_deadline(server->conns.loop, &listener->watch, loop_now_ms(server->conns.loop) + ACCEPT_PAUSE_MS);
}

static void listener_ready(struct loop_watch *watch, short revents)
{
    struct listener *listener = (struct listener *)watch;
    struct http_server *server = listener->server;
    (void)revents;
    for (int i = 0; i < ACCEPTS_A_PASS; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        int fd = accept4(watch->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            client_accept(server, fd, &address);
        } else if (errno == EAGAIN) {
            return;
        } else if (!accept_error_passes(errno)) {
            listener_rest(listener, errno);
            return;
        }
    }
}

static void listener_expired(struct loop_watch *watch)
{
    struct listener *listener = (struct listener *)watch;
    loop_want(listener->server->conns.loop, watch, POLLIN);
}

/* ---- stopping */

static void listeners_close(struct http_server *server)
{
    while (server->listening) {
        struct loop_watch *watch = &server->listeners[--server->listening].watch;
        loop_remove(server->conns.loop, watch);
        close(watch->fd);
    }
}

/* The clients are served as long as the service has something to do. */
static void pass_stop(struct http_server *server, bool over)
{
    bool busy = server->service.busy && server->service.busy(server->service.ctx);
    if (!busy) {
        for (int i = 0; i < server->listening; i++)
            listener_ready(&server->listeners[i].watch,
                           0); /* who is in the queue has sent a request, maybe */
        listeners_close(server);
        conns_finish(&server->conns);
    }
    server->running = (server->conns.open > 0 || busy) && !over;
}

static int64_t server_pass(void *ctx, int64_t now_ms)
{
    struct http_server *server = ctx;
    /* asked before the service's last pass, which must know of it */
    int64_t stop_by_ms = atomic_load(&server->conns.stop_by_ms);
    conns_receive(&server->conns);
    int64_t next_ms = server->service.pass(server->service.ctx, now_ms);
    if (conns_advance(&server->conns))
        next_ms = now_ms; /* the service has not yet seen the end of a pass with those requests */
    if (stop_by_ms) {
        pass_stop(server, now_ms >= stop_by_ms);
        next_ms = clock_earlier(next_ms, now_ms + STOP_PASS_MS);
    }
    conns_sweep(&server->conns);
    return next_ms;
}

/* ---- life */

/* Listens at an address and *port; where that is 0, the kernel chooses it. Returns the socket, or a negative
 * errno. */
static int address_listen(const struct addrinfo *address, uint16_t *port)
{
    const int on = 1;
    struct sockaddr_storage bound;
    socklen_t len = address->ai_addrlen;
    memcpy(&bound, address->ai_addr, len);
    ((struct sockaddr_in *)&bound)->sin_port = htons(*port); /* the same place in both kinds of address */
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&bound, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    *port = address_port(&bound);
    return fd;
}

/* Adds a listener. Returns 0 or a negative errno. */
static int listener_open(struct http_server *server, const struct addrinfo *address)
{
    struct listener *listener = &server->listeners[server->listening];
    int fd = address_listen(address, &server->port);
    if (fd < 0)
        return fd;
    *listener = (struct listener){.watch = {.fd = fd, .ready = listener_ready, .expired = listener_expired},
                                  .server = server};
    if (loop_add(server->conns.loop, &listener->watch, POLLIN) < 0) {
        close(fd);
        return -ENOMEM;
    }
    server->listening++;
    return 0;
}

/* Whether an address came already: a hosts file may name it twice. */
static bool is_repeated(const struct addrinfo *first, const struct addrinfo *address)
{
    for (; first != address; first = first->ai_next)
        if (first->ai_addrlen == address->ai_addrlen &&
            memcmp(first->ai_addr, address->ai_addr, address->ai_addrlen) == 0)
            return true;
    return false;
}

/* Listens on every address of the host. This machine may lack one of them (IPv6 is switched off, say); a port
 * that is taken on any of them is an error. */
static int addresses_open(struct http_server *server, const struct addrinfo *addresses)
{
    int result = -EADDRNOTAVAIL;
    for (const struct addrinfo *at = addresses; at && server->listening < LISTENERS_MAX; at = at->ai_next) {
        if (is_repeated(addresses, at))
            continue;
        result = listener_open(server, at);
        if (result == -EADDRINUSE || result == -EACCES)
            return result;
    }
    return server->listening ? 0 : result;
}

static int listeners_open(struct http_server *server, const struct http_server_config *config, char *why,
                          size_t why_size)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses;
    char service[8];
    snprintf(service, sizeof service, "%u", config->port);
    int error = getaddrinfo(config->host, service, &hints, &addresses);
    if (error) {
        snprintf(why, why_size, "HOST=%s: %s", config->host, gai_strerror(error));
        return -EINVAL;
    }
    int result = -EADDRINUSE;
    for (int try = 0; result == -EADDRINUSE && try < (config->port ? 1 : PORT_TRIES); try++) {
        listeners_close(server);
        server->port = config->port;
        result = addresses_open(server, addresses);
    }
    freeaddrinfo(addresses);
    if (result < 0) {
        snprintf(why, why_size, "cannot listen on %s port %u: %s", config->host, config->port,
                 strerror(-result));
        listeners_close(server);
    }
    return result;
}

static void server_free(struct http_server *server)
{
    conns_close(&server->conns);
    if (server->conns.loop)
        loop_close(server->conns.loop);
    free(server);
}

int http_server_open(struct http_server **out, const struct http_server_config *config,
                     const struct http_service *service, char *why, size_t why_size)
{
    struct http_server *server = calloc(1, sizeof *server);
    int result = -ENOMEM;
    snprintf(why, why_size, "there is no memory for the server");
    if (!server)
        return result;
    server->service = *service;
    server->max_connections = config->max_connections;
    server->conns.service = &server->service;
    server->conns.idle_timeout_ms = config->idle_timeout_ms;
    server->conns.intakes.limit = memory_part(config->memory, HTTP_BUFFERED_MAX);
    server->conns.answering_limit = memory_part(config->memory, HTTP_ANSWERS_MAX);
    if (config->idle_timeout_ms >= 1000)
        snprintf(server->conns.keep_alive, sizeof server->conns.keep_alive,
                 "Keep-Alive: timeout=%" PRId64 "\r\n", config->idle_timeout_ms / 1000);
    server->conns.loop = loop_open(server_pass, server);
    if (server->conns.loop)
        loop_measure(server->conns.loop, &server->conns.counters.passes);
    if (server->conns.loop && conns_open(&server->conns, config->carriers))
        result = listeners_open(server, config, why, why_size);
    if (result < 0)
        server_free(server);
    else
        *out = server;
    return result;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

static void *server_thread(void *arg)
{
    struct http_server *server = arg;
    server->running = true;
    loop_run(server->conns.loop, &server->running);
    return NULL;
}

int http_server_start(struct http_server *server)
{
    int error = pthread_create(&server->thread, NULL, server_thread, server);
    server->started = error == 0;
    return -error;
}

struct loop *http_server_loop(struct http_server *server)
{
    return server->conns.loop;
}

void http_server_stop(struct http_server *server, int64_t grace_ms)
{
    if (!server->started)
        return;
    atomic_store(&server->conns.stop_by_ms, clock_ms() + grace_ms);
    loop_wake(server->conns.loop);
}

void http_server_join(struct http_server *server)
{
    if (!server->started)
        return;
    pthread_join(server->thread, NULL);
    server->started = false;
}

void http_server_close(struct http_server *server)
{
    listeners_close(server);
    server_free(server);
}
