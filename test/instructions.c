/* A fixed run of appends through everything that an append passes, in one thread: a connection of the master,
 * its router, the list, the ACK count, a link to each secondary, the secondary's connection and list, and the
 * way back. Run under callgrind for two numbers of appends, the difference tells what one append costs in
 * instructions; the script of the same name does that.
 *
 * Only the threads are missing. Clients, and links, are socket pairs, and the clock ticks by calls, so that
 * each run executes the same instructions. Log lines are on at their default level. */
#include "clock.h"
#include "http/conn.h"
#include "http/router.h"
#include "log/log.h"
#include "logline.h"
#include "replication/acks.h"
#include "replication/link.h"
#include "replication/posts.h"
#include "replication/receiver.h"
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 256,
    SECONDARIES_MAX = 8,
    MESSAGE_BYTES = 100,
    REQUEST_MAX = 512,
    HEARTBEAT_MS = 1000,
    IDLE_MS = 75000,
    MAX_MESSAGE = 1024 * 1024
};

#define HEAD                                                                                                 \
    "POST /messages HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"          \
    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s"

/* A loop with its connections, and the list behind them. */
struct node {
    struct http_conns conns;
    struct http_service service;
    struct log *log;
    struct identity identity;
    bool running;
};

struct secondary {
    struct node node;
    struct receiver *receiver;
    struct link link; /* the master's end */
    struct acks_member *member;
    char name[32];
};

struct request {
    char bytes[REQUEST_MAX];
    size_t len;
};

static struct node master;
static struct acks *acks;
static struct posts *posts;
static struct link_shared links;
static struct secondary secondaries[SECONDARIES_MAX];
static int secondary_count;
static struct request requests[CLIENTS_MAX];
static int clients[CLIENTS_MAX];
static int client_count;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "instructions: %s\n", what);
    _Exit(1);
}

static void need(bool there)
{
    if (!there)
        fail("it could not be built");
}

/* A microsecond passes between two looks at the clock. */
int clock_gettime(clockid_t clock, struct timespec *now) /* NOLINT(readability-inconsistent-*) */
{
    static _Atomic int64_t us = INT64_C(1700000000) * 1000000;
    int64_t now_us = ++us;
    (void)clock;
    *now = (struct timespec){.tv_sec = now_us / 1000000, .tv_nsec = now_us % 1000000 * 1000};
    return 0;
}

/* ---- nodes */

static void node_open(struct node *node, int64_t (*pass)(void *ctx, int64_t now_ms), void *ctx)
{
    node->identity = (struct identity)IDENTITY_INIT;
    node->log = log_open();
    node->conns = (struct http_conns){
        .loop = loop_open(pass, ctx),
        .service = &node->service,
        .idle_timeout_ms = IDLE_MS,
        .read_buffer = malloc(HTTP_READ_BYTES),
    };
    need(node->log && node->conns.loop && node->conns.read_buffer);
}

/* A new connection to the node; returns the other end of it. */
static int node_connect(struct node *node)
{
    int ends[2];
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0 &&
         conn_open(&node->conns, ends[0], "127.0.0.1:50000") == 0);
    return ends[1];
}

static void node_pass(struct node *node)
{
    node->running = true;
    loop_run(node->conns.loop, &node->running);
}

/* The end of each pass. */
static int64_t node_passed(struct node *node, int64_t now_ms)
{
    conns_advance(&node->conns);
    conns_sweep(&node->conns);
    node->running = false;
    return now_ms;
}

/* ---- secondaries */

static void handle_replicate(void *ctx, const struct http_request *request, const char *rest,
                             struct http_exchange *exchange)
{
    struct secondary *secondary = ctx;
    (void)rest;
    if (request->body.len)
        receiver_replicate(secondary->receiver, links.run, request, exchange);
    else
        receiver_sign_of_life(secondary->receiver, exchange);
}

static uint64_t replicate_body_limit(void *ctx, const struct http_head *head)
{
    const struct secondary *secondary = ctx;
    (void)head;
    return receiver_body_limit(secondary->receiver);
}

static const struct http_route secondary_routes[] = {
    {.method = "POST", .path = "/replicate", .handle = handle_replicate, .body_limit = replicate_body_limit},
    {0},
};

static int64_t secondary_pass(void *ctx, int64_t now_ms)
{
    struct secondary *secondary = ctx;
    receiver_pass(secondary->receiver, now_ms, HEARTBEAT_MS / 2);
    return node_passed(&secondary->node, now_ms);
}

/* The secondary takes what was sent and answers, and the master records what it says. */
static void secondary_turn(struct secondary *secondary)
{
    node_pass(&secondary->node);
    if (link_receive(&secondary->link, clock_ms()) != 1)
        fail(secondary->link.why[0] ? secondary->link.why : "a secondary did not answer");
    if (acks_record(acks, secondary->member, secondary->link.position))
        loop_wake(master.conns.loop);
}

static void secondary_send(struct secondary *secondary)
{
    if (link_send(&secondary->link, clock_ms()) < 0)
        fail(secondary->link.why);
}

static void secondary_open(struct secondary *secondary, int number)
{
    struct http_url url;
    bool released;
    snprintf(secondary->name, sizeof secondary->name, "127.0.0.1:%d", 5000 + number);
    need(http_url_parse(span_of("http://127.0.0.1:5001"), &url));
    node_open(&secondary->node, secondary_pass, secondary);
    secondary->node.service = (struct http_service){.ctx = secondary, .routes = secondary_routes};
    const struct receiver_config config = {
        .log = secondary->node.log, .identity = &secondary->node.identity, .max_message = MAX_MESSAGE};
    secondary->receiver = receiver_open(&config);
    secondary->member = acks_join(acks, 0, 0, &released);
    need(secondary->receiver && secondary->member);
    link_open(&secondary->link, &links, secondary->name, &url, "", node_connect(&secondary->node),
              LINK_ATTEMPT_MS, clock_ms());
    secondary_send(secondary);
    secondary_turn(secondary);
}

/* ---- the master */

static void handle_append(void *ctx, const struct http_request *request, const char *rest,
                          struct http_exchange *exchange)
{
    (void)ctx;
    (void)rest;
    posts_append(posts, request, exchange);
}

static bool no_condition(void *ctx, const struct http_request *request, struct http_exchange *exchange)
{
    (void)ctx;
    (void)request;
    (void)exchange;
    return true;
}

static uint64_t append_body_limit(void *ctx, const struct http_head *head)
{
    (void)ctx;
    return posts_body_limit(posts, head);
}

static const struct http_route master_routes[] = {
    {.method = "POST", .path = "/messages", .handle = handle_append, .body_limit = append_body_limit},
    {0},
};

static int64_t master_pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    posts_announce(posts);
    for (int i = 0; i < secondary_count; i++)
        secondary_send(&secondaries[i]);
    posts_pass(posts, now_ms);
    return node_passed(&master, now_ms);
}

static void master_open(void)
{
    node_open(&master, master_pass, NULL);
    master.service = (struct http_service){.routes = master_routes};
    acks = acks_open();
    const struct posts_config config = {.log = master.log,
                                        .acks = acks,
                                        .max_message = MAX_MESSAGE,
                                        .write_concern = CONCERN_ALL,
                                        .condition = no_condition};
    posts = posts_open(&config);
    need(acks && posts);
    identity_set(&master.identity, "0123456789abcdef0123456789abcdef");
    links = (struct link_shared){
        .log = master.log,
        .identity = &master.identity,
        .run = "fedcba9876543210fedcba9876543210",
        .fields = "Content-Type: application/json\r\n",
        .heartbeat_ms = HEARTBEAT_MS,
    };
}

/* ---- clients */

/* Random printable text; quotes and backslashes are left out of it where it stands in JSON as it is. */
static void message_make(char out[MESSAGE_BYTES + 1], bool json)
{
    static uint64_t random = 1;
    for (int i = 0; i < MESSAGE_BYTES; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        out[i] = (char)(' ' + (random >> 40) % ('~' - ' ' + 1));
        if (json && (out[i] == '"' || out[i] == '\\'))
            out[i] = '-';
    }
    out[MESSAGE_BYTES] = '\0';
}

static void request_make(struct request *request, bool json)
{
    char message[MESSAGE_BYTES + 1];
    char body[MESSAGE_BYTES + 64];
    message_make(message, json);
    snprintf(body, sizeof body, json ? "{\"message\": \"%s\\n\"}" : "%s", message);
    request->len = (size_t)snprintf(request->bytes, sizeof request->bytes, HEAD,
                                    json ? "application/json" : "text/plain", strlen(body), body);
}

static void client_ask(int client)
{
    const struct request *request = &requests[client];
    if (send(clients[client], request->bytes, request->len, 0) != (ssize_t)request->len)
        fail("a request could not be sent");
}

static void client_hear(int client)
{
    static const char right[] = "HTTP/1.1 201 ";
    char answer[1024];
    ssize_t got = recv(clients[client], answer, sizeof answer, 0);
    if (got < (ssize_t)sizeof right || memcmp(answer, right, sizeof right - 1) != 0)
        fail("a request was not answered with 201");
}

/* Each client appends one message. */
static void round_make(void)
{
    for (int i = 0; i < client_count; i++)
        client_ask(i);
    node_pass(&master);
    for (int i = 0; i < secondary_count; i++)
        secondary_turn(&secondaries[i]);
    if (secondary_count > 0)
        node_pass(&master);
    for (int i = 0; i < client_count; i++)
        client_hear(i);
}

/* ---- */

static int number(const char *text, int most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 0 || value > most)
        fail("usage: instructions text|json CLIENTS SECONDARIES ROUNDS");
    return (int)value;
}

static void build(bool json)
{
    master_open();
    for (int i = 0; i < secondary_count; i++)
        secondary_open(&secondaries[i], i + 1);
    for (int i = 0; i < client_count; i++) {
        request_make(&requests[i], json);
        clients[i] = node_connect(&master);
    }
}

int main(int argc, char *argv[])
{
    if (argc != 5)
        fail("usage: instructions text|json CLIENTS SECONDARIES ROUNDS");
    client_count = number(argv[2], CLIENTS_MAX);
    secondary_count = number(argv[3], SECONDARIES_MAX);
    int rounds = number(argv[4], 1000000);
    uint64_t appends = (uint64_t)client_count * (uint64_t)rounds;
    logline_start(STDERR_FILENO, LOGLINE_INFO, false, "master");
    build(strcmp(argv[1], "json") == 0);
    while (rounds-- > 0)
        round_make();
    for (int i = 0; i < secondary_count; i++)
        if (log_last(secondaries[i].node.log) != appends)
            fail("a secondary has another list");
    if (log_last(master.log) != appends)
        fail("the master has another list");
    logline_stop();
    _Exit(0);
}
