/* Real programs under clients that mean no good, or know no better: a master, and a secondary that is one's
 * member. While each of them is at it, and after it, others are served as usual; and when it is over, memory
 * and descriptors are what they were. */
#include "answers.h"
#include "node.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET /messages/1 HTTP/1.1\r\nHost: a\r\n\r\n"

static struct node *master; /* takes the messages */
static struct node *node;   /* takes the abuse */
static const char *path;    /* where it takes long bodies */
static int descriptors;
static int usual_ms; /* the longest that a request took when nobody else was there */
static long memory_kb;
static unsigned seed = 12345;

/* Fewer of everything where the program is slowed down by a sanitizer. */
static int scaled(int count)
{
    return nodes_sanitized() ? count / 4 : count;
}

/* A POST that the node is to hold, and a GET, on connections of their own: how long the longer of them took.
 */
static int served_ms(void)
{
    struct reply post = http_post(master->port, node == master ? "/messages?w=1" : "/messages?w=2", "m", 1);
    struct reply get = http_get(node->port, "/messages/1");
    int ms = post.ms > get.ms ? post.ms : get.ms;
    if (post.status != 201 || get.status != 200)
        ms = INT_MAX;
    http_free(&post);
    http_free(&get);
    return ms;
}

/* Not much slower than before the abuse began; a machine may stand still for 100 ms by itself. */
static bool served_quickly(void)
{
    return served_ms() < 300 + 20 * usual_ms;
}

enum { CONNECTIONS_MOST = 10000, CONNECTIONS_MORE = 20, DESCRIPTORS_KEPT = 200 };

/* How many connections there can be: less where the descriptor limit is low. */
static int connections_most(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t most = limit.rlim_cur - CONNECTIONS_MORE - DESCRIPTORS_KEPT;
    return scaled(most < CONNECTIONS_MOST ? (int)most : CONNECTIONS_MOST);
}

static void start(bool secondary)
{
    int most = connections_most() + CONNECTIONS_MORE;
    path = secondary ? "/replicate" : "/messages";
    node = master = master_start("--max-connections %d", most);
    if (secondary)
        node = secondary_start(master, "--max-connections %d", most);
    eventually(SOON, served_ms() < INT_MAX);
    for (int i = 0; i < 100; i++) {
        int ms = served_ms();
        cr_assert_lt(ms, INT_MAX);
        usual_ms = ms > usual_ms ? ms : usual_ms;
    }
    descriptors = node_descriptors(node);
    memory_kb = node_memory_kb(node);
}

/* A sanitizer keeps freed memory back, so how much is in use cannot be seen from outside then. */
static bool memory_within(long more_kb)
{
    return nodes_sanitized() || node_memory_kb(node) < memory_kb + more_kb;
}

static void end(void)
{
    eventually(SOON, served_quickly());
    eventually(SOON, node_descriptors(node) <= descriptors);
    eventually(SOON, memory_within(12000));
    nodes_stop();
}

/* An abuse, tried on either. */
#define ABUSE(name)                                                                                          \
    static void name(void);                                                                                  \
    Test(abuse_of_a_master, name, .timeout = 120)                                                            \
    {                                                                                                        \
        start(false);                                                                                        \
        name();                                                                                              \
        end();                                                                                               \
    }                                                                                                        \
    Test(abuse_of_a_secondary, name, .timeout = 120)                                                         \
    {                                                                                                        \
        start(true);                                                                                         \
        name();                                                                                              \
        end();                                                                                               \
    }                                                                                                        \
    static void name(void)

static unsigned chance(unsigned below)
{
    return (unsigned)rand_r(&seed) % below;
}

static void open_all(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        fds[i] = raw_open(node->port);
}

/* By a reset each, so that no port is left waiting. */
static void close_all(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        raw_reset(fds[i]);
}

ABUSE(thousands_of_connections)
{
    static int fds[CONNECTIONS_MOST];
    int count = connections_most();
    open_all(fds, count);
    eventually(SOON, node_descriptors(node) >= descriptors + count - 5);
    eventually(SOON, served_quickly());
    for (int i = 0; i < count; i++)
        raw_text(fds[i], GET);
    for (int i = 0; i < count; i++) {
        struct reply reply = raw_reply(fds[i], false, SOON);
        cr_assert(reply.status == 200, "connection %d: %d", i, reply.status);
        http_free(&reply);
    }
    eventually(SOON, served_quickly());
    close_all(fds, count);
}

ABUSE(connections_that_come_and_go)
{
    for (int i = 0; i < scaled(8000); i++) {
        int fd = raw_open(node->port);
        if (chance(2))
            raw_send(fd, GET, chance(sizeof GET));
        if (chance(4))
            raw_reset(fd);
        else
            close(fd);
    }
}

ABUSE(slow_senders_by_the_hundred)
{
    char text[200];
    int fds[500];
    int count = scaled(500);
    snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nand so on and",
             path);
    open_all(fds, count);
    for (size_t i = 0; i < strlen(text); i++) {
        for (int j = 0; j < count; j++)
            raw_send(fds[j], text + i, 1);
        if (i % 10 == 0)
            eventually(SOON, served_quickly());
    }
    cr_expect(memory_within(20000));
    close_all(fds, count);
}

ABUSE(slow_readers_by_the_hundred)
{
    enum { MESSAGE = 1000000, MESSAGES = 20 };
    char *message = malloc(MESSAGE), bytes[500];
    int fds[300];
    int count = scaled(300);
    memset(message, 'm', MESSAGE);
    for (int i = 0; i < MESSAGES; i++)
        cr_assert(http_post(master->port, "/messages", message, MESSAGE).status == 201);
    memory_kb = node_memory_kb(node); /* the list is there to stay */
    open_all(fds, count);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < 100; j++)
            raw_text(fds[i], "GET /messages HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < count; i++)
            raw_receive(fds[i], bytes, sizeof bytes, 1000);
        eventually(SOON, served_quickly());
    }
    cr_expect(memory_within(40000));
    close_all(fds, count);
    free(message);
}

/* How many of them have a 503 to read. */
static int refused_count(const int *fds, int count)
{
    int refused = 0;
    for (int i = 0; i < count; i++) {
        struct reply reply = raw_reply(fds[i], false, 1);
        refused += reply.status == 503;
        http_free(&reply);
    }
    return refused;
}

/* Each body would be right, and all together are more than is kept of them. */
ABUSE(long_bodies_that_never_end)
{
    enum { CONNECTIONS = 400, BODY = 1000000, KEPT = 270 };
    int refused = 0;
    static int fds[CONNECTIONS];
    static char body[BODY];
    memset(body, 'b', sizeof body);
    open_all(fds, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        raw_text(fds[i], "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, BODY + 1);
        raw_send(fds[i], body, BODY); /* to no avail once the server has closed */
        if (i % 40 == 0)
            eventually(SOON, served_quickly());
    }
    eventually(SOON, (refused += refused_count(fds, CONNECTIONS)) >= CONNECTIONS - KEPT);
    cr_expect(memory_within(300000));
    close_all(fds, CONNECTIONS);
}

ABUSE(resets_in_mid_request)
{
    char text[200];
    size_t len = (size_t)snprintf(
        text, sizeof text, "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        path);
    for (int i = 0; i < scaled(5000); i++) {
        int fd = raw_open(node->port);
        if (chance(2))
            raw_text(fd, "POST /messages?w=3&timeout=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na");
        raw_send(fd, text, chance((unsigned)len + 1));
        if (chance(8) == 0)
            usleep(500);
        raw_reset(fd);
    }
    nap_ms(1100); /* for those that waited for an ACK */
}

ABUSE(a_hundred_megabytes_of_headers)
{
    enum { CONNECTIONS = 20, BLOCK = 100000 };
    int fds[CONNECTIONS];
    char *block = malloc(BLOCK);
    for (int i = 0; i < BLOCK; i++)
        block[i] = "Name: value\r\n"[i % 13];
    open_all(fds, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++)
        raw_text(fds[i], "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int round = 0; round < scaled(50); round++)
        for (int i = 0; i < CONNECTIONS; i++)
            raw_send(fds[i], block, BLOCK); /* to no avail once the server has closed */
    cr_expect(memory_within(20000));
    for (int i = 0; i < CONNECTIONS; i++) {
        struct reply reply = raw_reply(fds[i], false, SOON);
        cr_expect(reply.status == 431, "%d", reply.status);
        http_free(&reply);
    }
    close_all(fds, CONNECTIONS);
    free(block);
}

/* ---- a million requests */

struct million {
    int fd;
    int count;
};

static void *million_send(void *arg)
{
    enum { BLOCK = 1000 };
    const struct million *million = arg;
    static char block[BLOCK * sizeof GET];
    for (int i = 0; i < BLOCK; i++)
        memcpy(block + (size_t)i * (sizeof GET - 1), GET, sizeof GET - 1);
    for (int sent = 0; sent < million->count; sent += BLOCK)
        if (!raw_send(million->fd, block, BLOCK * (sizeof GET - 1)))
            break;
    return NULL;
}

/* Counts answers, whose first lines may be cut anywhere. */
static int answers_count(int fd, int want)
{
    static const char line[] = "HTTP/1.1 200 OK\r\n";
    static char bytes[65536];
    static size_t matched; /* of the line; it goes on in the next call */
    int count = 0;
    while (count < want) {
        long got = raw_receive(fd, bytes, sizeof bytes, SOON);
        if (got <= 0)
            break;
        for (long i = 0; i < got; i++) {
            matched = bytes[i] == line[matched] ? matched + 1 : bytes[i] == line[0];
            if (matched < sizeof line - 1)
                continue;
            matched = 0;
            count++;
        }
    }
    return count;
}

ABUSE(a_million_pipelined_requests)
{
    pthread_t sender;
    struct million million = {.fd = raw_open(node->port), .count = scaled(1000000)};
    cr_assert(pthread_create(&sender, NULL, million_send, &million) == 0);
    int half = answers_count(million.fd, million.count / 2);
    eventually(SOON, served_quickly());
    cr_expect(memory_within(12000));
    int count = half + answers_count(million.fd, million.count - half);
    cr_expect(count == million.count, "%d", count);
    pthread_join(sender, NULL);
    close(million.fd);
}

ABUSE(a_million_pipelined_requests_whose_answers_nobody_takes)
{
    int fds[50];
    int count = scaled(50);
    static char block[400 * sizeof GET];
    for (size_t i = 0; i < 400; i++)
        memcpy(block + i * (sizeof GET - 1), GET, sizeof GET - 1);
    open_all(fds, count);
    for (int i = 0; i < count; i++)
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    for (int round = 0; round < scaled(50); round++) {
        for (int i = 0; i < count; i++)
            send(fds[i], block, 400 * (sizeof GET - 1), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (round % 10 == 0)
            eventually(SOON, served_quickly());
    }
    cr_expect(memory_within(12000));
    close_all(fds, count);
}

/* ---- noise */

static const char *const words[] = {
    "GET ",    "POST ",  "HEAD ",     "/messages",  "/",        "?w=2",      " HTTP/1.1\r\n",
    "Host: a", "\r\n",   "\r\n\r\n",  "\n",         "\r",       "\0",        "Content-Length: ",
    "5",       "99999",  "Transfer-", "Encoding: ", "chunked",  "0\r\n\r\n", "Connection: close\r\n",
    "Expect",  ": 100-", "continue",  "%41",        "\xff\xfe", "*",         "Authorization: Bearer x\r\n",
};

static size_t noise(char *out, size_t size)
{
    size_t len = 0, want = chance((unsigned)size);
    while (len < want) {
        const char *word = words[chance(sizeof words / sizeof *words)];
        size_t more = chance(3) ? strlen(word) : 0;
        if (len + more + 1 > size)
            break;
        memcpy(out + len, word, more);
        len += more;
        if (!more)
            out[len++] = (char)chance(256);
    }
    return len;
}

ABUSE(random_bytes)
{
    char bytes[3000], dropped[4096];
    for (int i = 0; i < scaled(5000); i++) {
        int fd = raw_open(node->port);
        size_t len = noise(bytes, sizeof bytes);
        size_t cut = len ? chance((unsigned)len) : 0;
        raw_send(fd, bytes, cut);
        raw_send(fd, bytes + cut, len - cut);
        if (chance(3) == 0)
            shutdown(fd, SHUT_WR);
        if (chance(3) == 0)
            raw_receive(fd, dropped, sizeof dropped, 5);
        if (chance(2))
            raw_reset(fd);
        else
            close(fd);
    }
}
