/* A fixed run of appends through everything that an append passes, in one thread: a connection of the master,
 * its router, the list, the ACK count, a link to each secondary, the secondary's connection and list, and the
 * way back. Run under callgrind for two numbers of appends, the difference tells what one append costs in
 * instructions; the script of the same name does that.
 *
 * Only the threads and the listeners are missing. Clients, and links, are socket pairs, and the clock ticks
 * by calls, so that each run executes the same instructions. Log lines are on at their default level. */
#include "clock.h"
#include "http/conn.h"
#include "http/exchange.h"
#include "logline.h"
#include "replication/node.h"

#include <arpa/inet.h>
#include <inttypes.h>
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
    MAX_MESSAGE = 1024 * 1024,
    MASTER_PORT = 5000, /* the secondaries' follow it */
    SETTLED_PASSES = 50
};

#define HEAD                                                                                                 \
    "POST /messages HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"          \
    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s"

/* A node with its loop and its connections. */
struct served {
    struct http_conns conns;
    struct http_service service;
    struct settings settings;
    struct http_dialer dialer;
    struct node *node;
    bool running;
};

struct request {
    char bytes[REQUEST_MAX];
    size_t len;
};

static struct served master;
static struct served secondaries[SECONDARIES_MAX];
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

/* A new connection to the node; returns the other end of it. */
static int served_connect(struct served *served)
{
    int ends[2];
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0 &&
         conn_open(&served->conns, ends[0], "127.0.0.1:50000") == 0);
    return ends[1];
}

/* What connects to a node's port gets a socket pair in place of its socket. */
int connect(int fd, const struct sockaddr *address, socklen_t len) /* NOLINT(readability-inconsistent-*) */
{
    uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    int end = served_connect(port == MASTER_PORT ? &master : &secondaries[port - MASTER_PORT - 1]);
    (void)len;
    need(dup2(end, fd) == fd);
    close(end);
    return 0;
}

/* The ends of a socket pair have no names, which would make them look like one. */
int getsockname(int fd, struct sockaddr *address, socklen_t *len) /* NOLINT(readability-*) */
{
    (void)fd;
    (void)address;
    (void)len;
    return -1;
}

/* The end of each pass: only one is made at a time. */
static int64_t served_passed(void *ctx, int64_t now_ms)
{
    struct served *served = ctx;
    conns_receive(&served->conns);
    served->service.pass(served->node, now_ms);
    conns_advance(&served->conns);
    conns_sweep(&served->conns);
    served->running = false;
    return now_ms;
}

static void served_pass(struct served *served)
{
    served->running = true;
    loop_run(served->conns.loop, &served->running);
}

static void all_pass(void)
{
    served_pass(&master);
    for (int i = 0; i < secondary_count; i++)
        served_pass(&secondaries[i]);
}

static void nothing_wakes(void *ctx)
{
    (void)ctx;
}

static void served_open(struct served *served, enum settings_role role, uint16_t port)
{
    served->settings.max_message = MAX_MESSAGE;
    served->settings.max_log = INT64_MAX;
    served->settings.write_concern = CONCERN_ALL;
    served->settings.heartbeat_ms = HEARTBEAT_MS;
    snprintf(served->settings.master_url, sizeof served->settings.master_url, "http://127.0.0.1:%d",
             MASTER_PORT);
    snprintf(served->settings.advertise_url, sizeof served->settings.advertise_url, "http://127.0.0.1:%d",
             port);
    served->conns = (struct http_conns){
        .loop = loop_open(served_passed, served),
        .service = &served->service,
        .intakes.limit = HTTP_BUFFERED_MAX,
        .answering_limit = HTTP_ANSWERS_MAX,
        .idle_timeout_ms = IDLE_MS,
    };
    served->dialer =
        (struct http_dialer){.loop = served->conns.loop, .worker = worker_open(nothing_wakes, NULL)};
    need(served->conns.loop && conns_open(&served->conns, 0) && served->dialer.worker);
    served->node = node_open(&served->settings, role, &served->dialer);
    need(served->node != NULL);
    served->service = node_service(served->node);
    node_port(served->node, port);
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
    served_pass(&master);
    for (int i = 0; i < secondary_count; i++)
        served_pass(&secondaries[i]);
    if (secondary_count > 0)
        served_pass(&master);
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

/* What a node answers. */
static const char *ask(struct served *served, const char *target)
{
    static char answer[4096];
    char text[128];
    int fd = served_connect(served);
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    need(send(fd, text, (size_t)len, 0) == len);
    served_pass(served);
    ssize_t got = recv(fd, answer, sizeof answer - 1, 0);
    need(got > 0);
    answer[got] = '\0';
    close(fd);
    return answer;
}

static bool has_all(struct served *served, uint64_t appends)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"last_id\":%" PRIu64, appends);
    const char *at = strstr(ask(served, "/health"), wanted);
    return at && strchr(",}", at[strlen(wanted)]);
}

/* Opens the nodes, and lets them pass until every secondary is a member that has answered. */
static void build(bool json)
{
    served_open(&master, SETTINGS_MASTER, MASTER_PORT);
    for (int i = 0; i < secondary_count; i++)
        served_open(&secondaries[i], SETTINGS_SECONDARY, (uint16_t)(MASTER_PORT + 1 + i));
    for (int i = 0; i < SETTLED_PASSES; i++)
        all_pass();
    for (int i = 0; i < client_count; i++) {
        request_make(&requests[i], json);
        clients[i] = served_connect(&master);
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
    if (!has_all(&master, appends))
        fail("the master has another list");
    for (int i = 0; i < secondary_count; i++)
        if (!has_all(&secondaries[i], appends))
            fail("a secondary has another list");
    logline_stop();
    _Exit(0);
}
