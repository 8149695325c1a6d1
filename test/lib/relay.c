/* One thread polls all sockets. Each connection is a pair of sockets with a queue of chunks each way; a chunk
 * may be sent on when its time has come. Orders change the relay's fields under the mutex, which the thread
 * gives up only while it polls. */
#include "relay.h"
#include "eventually.h"
#include "http.h"
#include "node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 256, CHUNK = 16 * 1024, QUEUED_MAX = 64 };

struct chunk {
    struct chunk *next;
    int64_t due_ms;
    size_t len, sent;
    char bytes[CHUNK];
};

/* One direction of a pair. */
struct flow {
    int from, to;
    long left;       /* bytes until the cut; -1: no cut */
    int64_t next_us; /* with a rate: when the next bytes are taken */
    bool eof;        /* `from` sends no more */
    bool shut;       /* and `to` was told */
    struct chunk *first, **last;
    int queued;
};

struct pair {
    struct flow flows[2]; /* by relay_way */
    bool used;
};

struct relay {
    pthread_mutex_t mutex;
    int port_fd; /* keeps the port while nobody listens */
    int wake_fd;
    uint16_t port;
    char url[32];

    /* guarded by mutex */
    uint16_t target;
    int listen_fd; /* -1 while connections are refused */
    enum relay_mode mode;
    int delay_ms;
    int rate; /* bytes a second each way; 0: as fast as they come */
    long cut_after[2];
    struct pair pairs[PAIRS_MAX];
    int connections, cuts;
};

/* ---- pairs */

static void flow_open(struct flow *flow, int from, int to, long left)
{
    *flow = (struct flow){.from = from, .to = to, .left = left, .last = &flow->first};
}

static void pair_close(struct pair *pair, bool reset)
{
    for (int way = 0; way < 2; way++) {
        struct flow *flow = &pair->flows[way];
        while (flow->first) {
            struct chunk *chunk = flow->first;
            flow->first = chunk->next;
            free(chunk);
        }
        if (reset)
            raw_reset(flow->from);
        else
            close(flow->from);
    }
    pair->used = false;
}

static void pairs_cut(struct relay *relay)
{
    for (int i = 0; i < PAIRS_MAX; i++) {
        if (!relay->pairs[i].used)
            continue;
        pair_close(&relay->pairs[i], true);
        relay->cuts++;
    }
}

static void pair_accept(struct relay *relay)
{
    int from = accept4(relay->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    int to = from < 0 ? -1 : raw_try(relay->target);
    struct pair *pair = relay->pairs;
    if (from < 0)
        return;
    relay->connections++;
    while (pair < relay->pairs + PAIRS_MAX && pair->used)
        pair++;
    if (to < 0 || pair == relay->pairs + PAIRS_MAX) {
        raw_reset(from);
        if (to >= 0)
            close(to);
        return;
    }
    flow_open(&pair->flows[RELAY_THERE], from, to, relay->cut_after[RELAY_THERE]);
    flow_open(&pair->flows[RELAY_BACK], to, from, relay->cut_after[RELAY_BACK]);
    pair->used = true;
}

/* ---- bytes */

/* Each of these returns false where the pair is over. */

/* With a rate, as many bytes as 20 ms carry are taken at a time. */
static size_t flow_room(const struct relay *relay, const struct flow *flow)
{
    size_t room = CHUNK;
    if (relay->rate && (size_t)relay->rate / 50 < room)
        room = (size_t)relay->rate / 50;
    return flow->left >= 0 && (size_t)flow->left < room ? (size_t)flow->left : room;
}

static void flow_took(const struct relay *relay, struct flow *flow, long got)
{
    int64_t now_us = now_ms() * 1000;
    if (flow->next_us < now_us - 20000)
        flow->next_us = now_us;
    if (relay->rate)
        flow->next_us += got * 1000000 / relay->rate;
    if (flow->left > 0)
        flow->left -= got;
}

static bool flow_receive(const struct relay *relay, struct flow *flow)
{
    struct chunk *chunk = malloc(sizeof *chunk);
    if (!chunk)
        return false;
    ssize_t got = recv(flow->from, chunk->bytes, flow_room(relay, flow), MSG_DONTWAIT);
    if (got <= 0) {
        free(chunk);
        flow->eof = flow->eof || got == 0;
        return got == 0 || errno == EAGAIN;
    }
    chunk->next = NULL;
    chunk->len = (size_t)got;
    chunk->sent = 0;
    chunk->due_ms = now_ms() + relay->delay_ms;
    *flow->last = chunk;
    flow->last = &chunk->next;
    flow->queued++;
    flow_took(relay, flow, got);
    return true;
}

static bool flow_send(struct flow *flow)
{
    struct chunk *chunk = flow->first;
    ssize_t sent =
        send(flow->to, chunk->bytes + chunk->sent, chunk->len - chunk->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return errno == EAGAIN;
    chunk->sent += (size_t)sent;
    if (chunk->sent < chunk->len)
        return true;
    flow->first = chunk->next;
    if (!flow->first)
        flow->last = &flow->first;
    flow->queued--;
    free(chunk);
    return true;
}

static bool flow_open_for_more(const struct relay *relay, const struct flow *flow)
{
    return relay->mode == RELAY_PASS && !flow->eof && flow->left != 0 && flow->queued < QUEUED_MAX;
}

static bool flow_wants(const struct relay *relay, const struct flow *flow)
{
    return flow_open_for_more(relay, flow) && (!relay->rate || now_ms() * 1000 >= flow->next_us);
}

static bool flow_due(const struct relay *relay, const struct flow *flow)
{
    return relay->mode == RELAY_PASS && flow->first && now_ms() >= flow->first->due_ms;
}

static bool flow_run(struct relay *relay, struct flow *flow)
{
    if (flow_wants(relay, flow) && !flow_receive(relay, flow))
        return false;
    while (flow_due(relay, flow)) {
        int queued = flow->queued;
        if (!flow_send(flow))
            return false;
        if (flow->queued == queued)
            break;
    }
    if (flow->left == 0 && !flow->first) {
        relay->cuts++;
        return false;
    }
    if (flow->eof && !flow->first && !flow->shut) {
        shutdown(flow->to, SHUT_WR);
        flow->shut = true;
    }
    return true;
}

static void pair_run(struct relay *relay, struct pair *pair)
{
    bool lives = flow_run(relay, &pair->flows[RELAY_THERE]) && flow_run(relay, &pair->flows[RELAY_BACK]);
    if (!lives || (pair->flows[RELAY_THERE].shut && pair->flows[RELAY_BACK].shut))
        pair_close(pair, false);
}

/* ---- the thread */

/* Adds what to poll for; returns the earliest time at which a chunk is due, or `due_ms`. */
static int64_t flow_poll(const struct relay *relay, const struct flow *flow, struct pollfd *in,
                         struct pollfd *out, int64_t due_ms)
{
    if (flow_wants(relay, flow))
        in->events |= POLLIN;
    else if (flow_open_for_more(relay, flow) && flow->next_us / 1000 + 1 < due_ms)
        due_ms = flow->next_us / 1000 + 1;
    if (flow_due(relay, flow))
        out->events |= POLLOUT;
    else if (relay->mode == RELAY_PASS && flow->first && flow->first->due_ms < due_ms)
        return flow->first->due_ms;
    return due_ms;
}

static size_t relay_polled(const struct relay *relay, struct pollfd *polled, int64_t *due_ms)
{
    size_t count = 0;
    polled[count++] = (struct pollfd){.fd = relay->wake_fd, .events = POLLIN};
    polled[count++] =
        (struct pollfd){.fd = relay->mode == RELAY_PASS ? relay->listen_fd : -1, .events = POLLIN};
    for (const struct pair *pair = relay->pairs; pair < relay->pairs + PAIRS_MAX; pair++) {
        struct pollfd *ends = polled + count;
        if (!pair->used)
            continue;
        ends[0] = (struct pollfd){.fd = pair->flows[RELAY_THERE].from};
        ends[1] = (struct pollfd){.fd = pair->flows[RELAY_BACK].from};
        *due_ms = flow_poll(relay, &pair->flows[RELAY_THERE], &ends[0], &ends[1], *due_ms);
        *due_ms = flow_poll(relay, &pair->flows[RELAY_BACK], &ends[1], &ends[0], *due_ms);
        for (int i = 0; i < 2; i++)
            if (!ends[i].events)
                ends[i].fd = -1; /* a hang-up that nobody asked for would wake the poll for ever */
        count += 2;
    }
    return count;
}

static void *relay_run(void *arg)
{
    struct relay *relay = arg;
    static _Thread_local struct pollfd polled[2 + 2 * PAIRS_MAX];
    uint64_t count;
    pthread_mutex_lock(&relay->mutex);
    for (;;) {
        int64_t due_ms = now_ms() + 60000;
        size_t used = relay_polled(relay, polled, &due_ms);
        int64_t wait_ms = due_ms - now_ms();
        pthread_mutex_unlock(&relay->mutex);
        poll(polled, used, wait_ms > 0 ? (int)wait_ms : 0);
        pthread_mutex_lock(&relay->mutex);
        if (polled[0].revents && read(relay->wake_fd, &count, sizeof count) < 0)
            continue;
        if (polled[1].revents && relay->mode == RELAY_PASS)
            pair_accept(relay);
        for (struct pair *pair = relay->pairs; pair < relay->pairs + PAIRS_MAX; pair++)
            if (pair->used)
                pair_run(relay, pair);
    }
    return NULL;
}

/* ---- orders */

static void listen_begin(struct relay *relay)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(relay->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    relay->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(relay->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(relay->listen_fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(relay->listen_fd, 64) < 0)
        trouble("a relay cannot listen: %s", strerror(errno));
}

static void listen_end(struct relay *relay)
{
    if (relay->listen_fd >= 0)
        close(relay->listen_fd);
    relay->listen_fd = -1;
}

static void order_done(struct relay *relay)
{
    uint64_t one = 1;
    pthread_mutex_unlock(&relay->mutex);
    if (write(relay->wake_fd, &one, sizeof one) < 0)
        trouble("a relay cannot be woken");
}

struct relay *relay_open(uint16_t target)
{
    struct relay *relay = calloc(1, sizeof *relay);
    pthread_t thread;
    if (!relay)
        trouble("no memory");
    pthread_mutex_init(&relay->mutex, NULL);
    relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    relay->target = target;
    relay->cut_after[0] = relay->cut_after[1] = -1;
    relay->port_fd = port_reserve(&relay->port);
    snprintf(relay->url, sizeof relay->url, "http://127.0.0.1:%u", relay->port);
    listen_begin(relay);
    if (pthread_create(&thread, NULL, relay_run, relay) != 0)
        trouble("no thread");
    pthread_detach(thread);
    return relay;
}

uint16_t relay_port(const struct relay *relay)
{
    return relay->port;
}

const char *relay_url(const struct relay *relay)
{
    return relay->url;
}

void relay_target(struct relay *relay, uint16_t target)
{
    pthread_mutex_lock(&relay->mutex);
    relay->target = target;
    order_done(relay);
}

void relay_mode(struct relay *relay, enum relay_mode mode)
{
    pthread_mutex_lock(&relay->mutex);
    relay->mode = mode;
    if (mode == RELAY_REFUSE) {
        listen_end(relay);
        pairs_cut(relay);
    } else if (relay->listen_fd < 0) {
        listen_begin(relay);
    }
    order_done(relay);
}

void relay_delay(struct relay *relay, int ms)
{
    pthread_mutex_lock(&relay->mutex);
    relay->delay_ms = ms;
    order_done(relay);
}

void relay_rate(struct relay *relay, int bytes)
{
    pthread_mutex_lock(&relay->mutex);
    relay->rate = bytes;
    order_done(relay);
}

void relay_cut_after(struct relay *relay, enum relay_way way, long bytes)
{
    pthread_mutex_lock(&relay->mutex);
    relay->cut_after[way] = bytes;
    order_done(relay);
}

void relay_cut(struct relay *relay)
{
    pthread_mutex_lock(&relay->mutex);
    pairs_cut(relay);
    order_done(relay);
}

static int relay_count(const struct relay *relay, const int *count)
{
    pthread_mutex_t *mutex = &((struct relay *)(uintptr_t)relay)->mutex;
    pthread_mutex_lock(mutex);
    int value = *count;
    pthread_mutex_unlock(mutex);
    return value;
}

int relay_connections(const struct relay *relay)
{
    return relay_count(relay, &relay->connections);
}

int relay_cuts(const struct relay *relay)
{
    return relay_count(relay, &relay->cuts);
}
