/* A node without its thread and listener: it passes when a test says so, its clients are the other ends of
 * socket pairs, its own connections are fake ones, and the clock stands still until the test moves it.
 * Include it in one file of a program. */
#ifndef TEST_NODE_BY_HAND_H
#define TEST_NODE_BY_HAND_H

#include "clock.h"
#include "fake_client.h"
#include "hand_clock.h"
#include "http/conn.h"
#include "http/exchange.h"
#include "replication/node.h"
#include "replication/wire.h"

#include <sys/socket.h>
#include <unistd.h>

enum { NODE_HEARTBEAT_MS = 300, NODE_ANSWER_MAX = 8192 };

/* Change the settings before node_start. */
static struct {
    struct settings settings;
    struct http_conns conns;
    struct http_service service;
    struct http_dialer dialer;
    struct node *node;
    struct worker *disk; /* NULL: the node has no disk */
    unsigned unusable;   /* how often it said that the list cannot be loaded */
    int64_t due_ms;      /* when it asked to pass again */
    bool running;
    const char *peer; /* of the next connections */
} hand = {.peer = "127.0.0.1:1",
          .settings = {.max_message = 1000,
                       .max_log = 1 << 30,
                       .write_concern = 1,
                       .heartbeat_ms = NODE_HEARTBEAT_MS,
                       .secondary_id = "s1",
                       .master_url = "http://m:5000"}};

static int64_t hand_pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    conns_receive(&hand.conns);
    hand.due_ms = hand.service.pass(hand.service.ctx, now_ms);
    conns_advance(&hand.conns);
    conns_sweep(&hand.conns);
    hand.running = false;
    return now_ms;
}

static inline void node_pass(void)
{
    hand.running = true;
    loop_run(hand.conns.loop, &hand.running);
}

static void hand_wake(void *ctx)
{
    (void)ctx;
}

static void hand_unusable(void *ctx)
{
    (void)ctx;
    hand.unusable++;
}

/* With DATA_DIR the node gets a disk there, and a thread for it. */
static inline void node_start_disk(void)
{
    struct journal *journal;
    char why[JOURNAL_WHY_SIZE];
    hand.disk = NULL;
    if (!hand.settings.data_dir[0])
        return;
    hand.disk = worker_open(hand_wake, NULL);
    if (!hand.disk || journal_open(&journal, hand.settings.data_dir, JOURNAL_WRITE, why) < 0 ||
        node_keep(hand.node, journal, hand.disk, hand_unusable, NULL) < 0)
        abort();
}

static inline void node_start(enum settings_role role)
{
    if (!hand_holds)
        clock_hold();
    fake.connects = true;
    hand.conns = (struct http_conns){.loop = loop_open(hand_pass, NULL),
                                     .service = &hand.service,
                                     .idle_timeout_ms = 3600 * 1000,
                                     .intakes.limit = HTTP_BUFFERED_MAX,
                                     .answering_limit = HTTP_ANSWERS_MAX};
    hand.dialer = (struct http_dialer){.loop = hand.conns.loop, .worker = worker_open(hand_wake, NULL)};
    hand.node = node_open(&hand.settings, role, &hand.dialer);
    if (!hand.conns.loop || !conns_open(&hand.conns, 0) || !hand.dialer.worker || !hand.node)
        abort();
    node_start_disk();
    hand.service = node_service(hand.node);
    node_port(hand.node, 5001);
    node_pass();
}

static inline void node_stopped(void)
{
    node_stop(hand.node, 0);
    node_pass();
    conns_close(&hand.conns);
    node_close(hand.node);
    worker_close(hand.dialer.worker);
    if (hand.disk)
        worker_close(hand.disk);
    loop_close(hand.conns.loop);
}

/* Lets so much time go by, with passes when the node asks for them, and at the end. */
static inline void node_wait(int64_t ms)
{
    for (int64_t until_ms = clock_ms() + ms; clock_ms() < until_ms;) {
        int64_t next_ms = hand.due_ms < until_ms ? hand.due_ms : until_ms;
        clock_move(next_ms > clock_ms() ? next_ms - clock_ms() : 1);
        node_pass();
    }
}

/* ---- requests to it */

/* Returns the client's end of a new connection. */
static inline int node_connect(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0 ||
        conn_open(&hand.conns, ends[0], hand.peer) < 0)
        abort();
    return ends[1];
}

/* Sends a request on a connection of its own, which is returned. */
static inline int node_ask(const char *method, const char *target, const char *fields, const char *body)
{
    int fd = node_connect();
    struct buf text = {0};
    buf_addf(&text, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n%s", method, target,
             strlen(body), fields, body);
    for (size_t sent = 0; sent < text.len; node_pass()) {
        ssize_t more = send(fd, text.data + sent, text.len - sent, MSG_NOSIGNAL);
        if (more < 0 && errno != EAGAIN)
            abort();
        sent += more > 0 ? (size_t)more : 0;
    }
    buf_free(&text);
    node_pass();
    return fd;
}

struct node_answer {
    int status; /* 0: none */
    int interims;
    char fields[1024];          /* its head */
    char body[NODE_ANSWER_MAX]; /* without the newline at its end */
};

/* What came on a connection since the last look. */
static inline struct node_answer node_answer(int fd)
{
    struct node_answer answer = {0};
    char text[NODE_ANSWER_MAX];
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    const char *at = text;
    for (; strncmp(at, "HTTP/1.1 1", 10) == 0; at = strstr(at, "\r\n\r\n") + 4)
        answer.interims++;
    if (!*at)
        return answer;
    const char *body = strstr(at, "\r\n\r\n") + 4;
    answer.status = atoi(at + 9);
    snprintf(answer.fields, sizeof answer.fields, "%.*s", (int)(body - at), at);
    snprintf(answer.body, sizeof answer.body, "%s", body);
    answer.body[strcspn(answer.body, "\n")] = '\0';
    return answer;
}

/* A request that is answered at once, or not (status 0). */
static inline struct node_answer node_call(const char *method, const char *target, const char *fields,
                                           const char *body)
{
    int fd = node_ask(method, target, fields, body);
    struct node_answer answer = node_answer(fd);
    close(fd);
    node_pass();
    return answer;
}

#endif
