/* Every limit, from both sides, and what is left to those who keep to them: of a master, and of a secondary
 * where it has the same one. */
#include "answers.h"
#include "node.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(limits, .fini = nodes_stop, .timeout = 120);

#define HOST "Host: a\r\n"
#define GET "GET /messages HTTP/1.1\r\n" HOST "\r\n"

static bool of_secondary; /* whose limit is tried */

/* The limit of either: start(words) gives the node. The secondary has no master, so that its connections are
 * the test's alone. */
#define LIMIT(name)                                                                                          \
    static void name(void);                                                                                  \
    Test(limits, name)                                                                                       \
    {                                                                                                        \
        name();                                                                                              \
    }                                                                                                        \
    Test(limits, name##_of_a_secondary)                                                                      \
    {                                                                                                        \
        of_secondary = true;                                                                                 \
        name();                                                                                              \
    }                                                                                                        \
    static void name(void)

static struct node *start(const char *words)
{
    return of_secondary ? node_start("secondary", "--master-url http://127.0.0.1:1 %s", words)
                        : master_start("--write-concern 1 %s", words);
}

/* Where it takes messages. */
static const char *messages_path(void)
{
    return of_secondary ? "/replicate" : "/messages";
}

/* Puts a message into the node. */
static void store(const struct node *node, int id, const char *message)
{
    char *json = malloc(strlen(message) + 100);
    sprintf(json, "{\"log\":\"%032d\",\"first\":%d,\"messages\":[\"%s\"]}", 1, id, message);
    if (of_secondary)
        cr_assert(http_post_json(node->port, "/replicate", json).status == 200);
    else
        cr_assert(http_post(node->port, "/messages", message, strlen(message)).status == 201);
    free(json);
}

enum { PATIENCE_MS = 30000 };

/* `before`, as many `fill` as make it `len` bytes long with `after`, and `after`. The caller frees it. */
static char *padded(const char *before, const char *fill, const char *after, size_t len)
{
    size_t start = strlen(before), step = strlen(fill), end = len - strlen(after);
    char *text = malloc(len + step + 1);
    memcpy(text, before, start);
    for (size_t at = start; at < end; at += step)
        memcpy(text + at, fill, step);
    memcpy(text + end, after, strlen(after) + 1);
    return text;
}

/* The status for such a request, and whether the connection is still good for another. */
static int status_of(const struct node *node, const char *text, bool *open)
{
    int fd = raw_open(node->port);
    raw_text(fd, "%s", text);
    struct reply reply = raw_reply(fd, false, SOON);
    raw_text(fd, GET);
    struct reply next = raw_reply(fd, false, SOON);
    *open = next.status == 200;
    close(fd);
    return reply.status;
}

static void expect_limit(const struct node *node, const char *before, const char *fill, const char *after,
                         size_t limit, int past)
{
    bool open;
    char *good = padded(before, fill, after, limit);
    char *bad = padded(before, fill, after, limit + 1);
    int status = status_of(node, good, &open);
    cr_expect((status == 200 || status == 404) && open, "%zu bytes: %d", limit, status);
    status = status_of(node, bad, &open);
    cr_expect(status == past && !open, "%zu bytes: %d", limit + 1, status);
    free(good);
    free(bad);
}

LIMIT(a_request_line_has_a_limit)
{
    struct node *node = start("");
    expect_limit(node, "GET /messages?", "x", " HTTP/1.1\r\n" HOST "\r\n", 8192 + strlen("\r\n" HOST "\r\n"),
                 414);
}

LIMIT(a_path_has_a_limit)
{
    struct node *node = start("");
    expect_limit(node, "GET /", "p", " HTTP/1.1\r\n" HOST "\r\n",
                 1023 + strlen("GET  HTTP/1.1\r\n" HOST "\r\n"), 414);
}

LIMIT(a_head_has_a_limit)
{
    struct node *node = start("");
    expect_limit(node, "GET /messages HTTP/1.1\r\n" HOST "A: ", "x", "\r\n\r\n", 16384, 431);
}

static int status_with_fields(const struct node *node, int count)
{
    char text[16384] = "GET /messages HTTP/1.1\r\n" HOST;
    bool open;
    for (int i = 1; i < count; i++)
        strcat(text, "A: b\r\n");
    return status_of(node, strcat(text, "\r\n"), &open);
}

LIMIT(fields_have_a_limit)
{
    struct node *node = start("");
    cr_expect(status_with_fields(node, 64) == 200);
    cr_expect(status_with_fields(node, 65) == 431);
    cr_expect(status_with_fields(node, 1000) == 431);
}

/* ---- bodies */

static int post_status(const struct node *node, const char *fields, const char *body)
{
    struct reply reply = http_request(node->port, "POST", "/messages", fields, body, strlen(body), SOON);
    return reply.status;
}

Test(limits, a_message_has_a_limit)
{
    struct node *master = master_start("--write-concern 1 --max-message 1000");
    const char *json = "Content-Type: application/json\r\n";
    cr_expect(post_status(master, NULL, padded("", "m", "", 1000)) == 201);
    cr_expect(post_status(master, NULL, padded("", "m", "", 1001)) == 413);
    const char *before = "{\"message\":\"", *after = "\"}";
    size_t around = strlen(before) + strlen(after);
    cr_expect(post_status(master, json, padded(before, "m", after, around + 1000)) == 201);
    cr_expect(post_status(master, json, padded(before, "m", after, around + 1001)) == 413);
    cr_expect(post_status(master, json, padded(before, "\\u0001", after, around + 6000)) == 201);
    cr_expect(post_status(master, json, padded(before, "\\u0001", after, around + 6006)) == 413);
    cr_expect(post_status(master, json, padded(before, "m", after, 100000)) == 413);
    struct reply health = http_get(master->port, "/health");
    cr_expect(json_number_of(health.body, "last_id") == 3);
}

Test(limits, a_chunked_message_has_the_same_limit)
{
    struct node *master = master_start("--write-concern 1 --max-message 1000");
    const char *head = "POST /messages HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
    char text[2048];
    bool open;
    snprintf(text, sizeof text, "%s3e8\r\n%s\r\n0\r\n\r\n", head, padded("", "m", "", 1000));
    cr_expect(status_of(master, text, &open) == 201 && open);
    snprintf(text, sizeof text, "%s3e9\r\n%s\r\n0\r\n\r\n", head, padded("", "m", "", 1001));
    cr_expect(status_of(master, text, &open) == 413 && !open);
}

/* The status for a body of that length, which is not sent where it is too long. */
static int announced_status(const struct node *node, const char *path, size_t len)
{
    int fd = raw_open(node->port);
    raw_text(fd, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", path, len);
    struct reply reply = raw_reply(fd, false, 100);
    if (!reply.status) {
        raw_send(fd, padded("", "b", "", len), len);
        reply = raw_reply(fd, false, SOON);
    }
    close(fd);
    return reply.status;
}

Test(limits, a_secondary_takes_six_times_the_longest_message_and_a_mebibyte_at_least)
{
    enum { LEAST = 1048576 + 4096 };
    of_secondary = true;
    struct node *node = start("--max-message 1000");
    cr_expect(announced_status(node, "/replicate", LEAST) == 400);
    cr_expect(announced_status(node, "/replicate", LEAST + 1) == 413);
    cr_expect(announced_status(node, "/messages", LEAST + 1) == 405);
    node = start("--max-message 500000");
    cr_expect(announced_status(node, "/replicate", 3004096) == 400);
    cr_expect(announced_status(node, "/replicate", 3004097) == 413);
}

LIMIT(a_body_far_too_large_is_refused_early_and_its_sender_can_read_why)
{
    enum { LEN = 50000000 };
    struct node *node = start("");
    char *bytes = calloc(1, LEN);
    int fd = raw_open(node->port);
    raw_text(fd, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", messages_path(), LEN);
    raw_send(fd, bytes, LEN); /* looks up only when it has said all */
    struct answers answers = answers_read(fd, SOON);
    struct answer answer;
    cr_expect(answer_next(&answers, false, &answer) && answer.status == 413 && answer.close && !answer.fault);
    cr_expect(answers.ended);
    cr_expect(node_memory_kb(node) < (nodes_sanitized() ? 200000 : 20000));
    close(fd);
    free(bytes);
}

LIMIT(a_slow_sender_of_a_body_far_too_large_can_read_why_too)
{
    enum { PIECE = 100000, PIECES = 120 };
    struct node *node = start("");
    char *bytes = calloc(1, PIECE);
    int fd = raw_open(node->port);
    raw_text(fd, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", messages_path(), PIECE * PIECES);
    for (int i = 0; i < PIECES; i++) {
        cr_assert(raw_send(fd, bytes, PIECE), "after %d bytes", i * PIECE);
        nap_ms(25);
    }
    cr_expect(raw_reply(fd, false, SOON).status == 413);
    cr_expect(raw_closed(fd, SOON));
    close(fd);
    free(bytes);
}

/* ---- connections */

LIMIT(past_the_connection_limit_clients_get_503)
{
    enum { MOST = 8, MORE = 50 };
    struct node *node = start("--max-connections 8");
    int kept[MOST], more[MORE];
    for (int i = 0; i < MOST; i++) {
        kept[i] = raw_open(node->port);
        raw_text(kept[i], GET);
        cr_assert(raw_reply(kept[i], false, SOON).status == 200);
    }
    for (int i = 0; i < MORE; i++) {
        more[i] = raw_open(node->port);
        raw_text(more[i], GET);
    }
    for (int i = 0; i < MORE; i++) {
        struct reply reply = raw_reply(more[i], false, SOON);
        cr_expect(reply.status == 503 && http_field(&reply, "Retry-After"), "%d: %d", i, reply.status);
        cr_expect(raw_closed(more[i], SOON));
        close(more[i]);
    }
    for (int i = 0; i < MOST; i++) {
        raw_text(kept[i], GET);
        cr_expect(raw_reply(kept[i], false, SOON).status == 200);
    }
    close(kept[0]);
    eventually(SOON, http_get(node->port, "/messages").status == 200);
    cr_expect(node_logged(node, "connections are in use") >= 1);
}

LIMIT(at_the_descriptor_limit_the_others_are_served)
{
    /* A limit that leaves room for fewer connections than the program believes: some are kept open in it. */
    struct node *node = start("");
    char command[128];
    snprintf(command, sizeof command, "prlimit --pid %d --nofile=%d 2>/dev/null", (int)node->pid,
             node_descriptors(node) + 4);
    if (system(command) != 0)
        cr_skip("there is no prlimit");
    int fds[12];
    for (int i = 0; i < 12; i++)
        fds[i] = raw_open(node->port);
    eventually(SOON, node_logged(node, "cannot accept") > 0);
    for (int round = 0; round < 10; round++) {
        raw_text(fds[0], GET);
        struct reply reply = raw_reply(fds[0], false, SOON);
        cr_expect(reply.status == 200, "%d after %d ms", reply.status, reply.ms);
        nap_ms(20);
    }
    for (int i = 0; i < 11; i++)
        close(fds[i]);
    raw_text(fds[11], GET);
    cr_expect(raw_reply(fds[11], false, SOON).status == 200);
    cr_expect(node_logged(node, "cannot accept") < 5);
    close(fds[11]);
}

/* ---- time */

LIMIT(a_connection_without_a_request_is_closed)
{
    struct node *node = start("--idle-timeout 1");
    int64_t began_ms = now_ms();
    int silent = raw_open(node->port);
    int waiting = raw_open(node->port);
    int sending = raw_open(node->port);
    int served = raw_open(node->port);
    int waited = of_secondary ? 405 : 202;
    char nothing;
    raw_text(waiting, "POST /messages?w=2&timeout=6 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na");
    raw_text(sending, "GET /messages");
    raw_text(served, GET);
    cr_expect(raw_reply(served, false, SOON).status == 200);
    cr_expect(raw_closed(silent, SOON) && raw_closed(served, SOON));
    int took = (int)(now_ms() - began_ms);
    cr_expect(took >= 950, "%d ms", took);
    cr_expect(of_secondary || raw_receive(waiting, &nothing, 1, 0) == -1, "%d ms", took);
    cr_expect(raw_reply(waiting, false, SOON).status == waited);
    raw_text(sending, " HTTP/1.1\r\n" HOST "\r\n");
    cr_expect(raw_reply(sending, false, SOON).status == 200);
    cr_expect(raw_closed(waiting, SOON) && raw_closed(sending, SOON));
}

static void expect_cut(int fd, int64_t began_ms, bool told)
{
    if (told)
        cr_expect(raw_reply(fd, false, SOON).status == 408);
    cr_expect(raw_closed(fd, SOON));
    int took = (int)(now_ms() - began_ms);
    cr_expect(took > PATIENCE_MS - 500 && took < PATIENCE_MS + SOON, "%d ms", took);
}

/* Without one that a secondary opens for a moment, to ask for its master. */
static int descriptors_settled(const struct node *node)
{
    int least = node_descriptors(node);
    for (int i = 0; i < 10; i++) {
        nap_ms(5);
        int now = node_descriptors(node);
        least = now < least ? now : least;
    }
    return least;
}

LIMIT(who_does_not_go_on_is_cut_after_thirty_seconds)
{
    if (nodes_sanitized())
        cr_skip("once is enough");
    struct node *node = start("");
    for (int i = 0; i < 20; i++)
        store(node, i + 1, padded("", "m", "", 1000000));
    nap_ms(100);
    int descriptors = descriptors_settled(node);
    int silent = raw_open(node->port);   /* says half a head */
    int dripping = raw_open(node->port); /* says a byte a second */
    int body = raw_open(node->port);     /* says half a body */
    int deaf = raw_open(node->port);     /* asks for much and takes nothing */
    int waiting = raw_open(node->port);  /* waits for ACKs: nobody's fault */
    int waited = of_secondary ? 405 : 202;
    static char dropped[65536];
    int64_t began_ms = now_ms();
    raw_text(silent, "GET /mess");
    raw_text(body, "POST %s HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhello", messages_path());
    raw_text(deaf, GET GET GET GET GET);
    raw_text(waiting, "POST /messages?w=2&timeout=31 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na");
    while (now_ms() - began_ms < PATIENCE_MS - 2000) {
        raw_text(dripping, "G");
        nap_ms(1000);
    }
    cr_expect(descriptors_settled(node) == descriptors + 5);
    expect_cut(silent, began_ms, true);
    expect_cut(dripping, began_ms, true);
    expect_cut(body, began_ms, true);
    cr_expect(raw_reply(waiting, false, SOON).status == waited);
    close(waiting);
    close(silent);
    close(dripping);
    close(body);
    eventually(SOON, node_descriptors(node) <= descriptors);
    long got;
    while ((got = raw_receive(deaf, dropped, sizeof dropped, 100)) > 0)
        continue;
    cr_expect(got == -2); /* a reset: the kernel holds nothing any more */
    close(deaf);
}

/* ---- readers */

/* What the kernel keeps for the other ends of the node's connections. */
static unsigned long kernel_bytes(const struct node *node)
{
    char line[512];
    unsigned long sum = 0;
    FILE *file = fopen("/proc/net/tcp", "r");
    while (file && fgets(line, sizeof line, file)) {
        unsigned port, state, queued;
        if (sscanf(line, "%*s %*8x:%x %*s %x %x:", &port, &state, &queued) == 3 && port == node->port)
            sum += queued;
    }
    if (file)
        fclose(file);
    return sum;
}

LIMIT(readers_that_take_nothing_cost_the_kernel_little)
{
    enum { READERS = 50, EACH = 300000 };
    struct node *node = start("");
    char *message = padded("", "m", "", 1000000);
    int fds[READERS];
    for (int i = 0; i < 5; i++)
        store(node, i + 1, message);
    for (int i = 0; i < READERS; i++) {
        int small = 4096;
        fds[i] = raw_open(node->port);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        raw_text(fds[i], GET);
    }
    eventually(SOON, kernel_bytes(node) > READERS * 1000);
    always(300, kernel_bytes(node) < READERS * EACH);
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
}

LIMIT(readers_that_take_their_time_hold_nobody_and_cost_little)
{
    enum { READERS = 100, MESSAGE = 1000000, MESSAGES = 30 };
    struct node *node = start("");
    char *message = padded("", "m", "", MESSAGE);
    int fds[READERS];
    char bytes[1000];
    for (int i = 0; i < MESSAGES; i++)
        store(node, i + 1, message);
    long memory_kb = node_memory_kb(node);
    for (int i = 0; i < READERS; i++) {
        int small = 4096;
        fds[i] = raw_open(node->port);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        raw_text(fds[i], GET GET GET);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < READERS; i++)
            raw_receive(fds[i], bytes, sizeof bytes, 1000);
        struct reply reply = http_get(node->port, "/health");
        cr_expect(reply.status == 200 && reply.ms < PATIENCE_MS / 3, "%d after %d ms", reply.status,
                  reply.ms);
    }
    cr_expect(node_memory_kb(node) - memory_kb < 10000, "%ld kB more", node_memory_kb(node) - memory_kb);
    struct reply list = http_get(node->port, "/messages");
    cr_expect(list.body_len == (size_t)MESSAGES * (MESSAGE + 3) - 1 + strlen("{\"messages\":[]}"));
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
}
