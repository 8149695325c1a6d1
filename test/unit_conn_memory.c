/* Each allocation fails in its turn while requests of every kind are served: a request gets its answer, or a
 * 503, or the connection ends; and nothing is lost. */
#include "by_hand.h"
#include "failing_malloc.h"
#include "skipped_time.h"

#include <criterion/criterion.h>
#include <malloc.h>

static const char *const sayings[] = {
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    "llo",
    "POST /c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\nGET /park HTTP/1.1\r\nHost: a\r\n\r\nGET /big?100 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /d HTTP/1.1\r\nHost: a\r\n\r\nGET /e HTTP/1.1\r\nHos",
    "BAD\r\n\r\n",
};

/* All that the client gets, for its statuses. */
static const char *conversation(int client)
{
    static char got[65536];
    size_t len = 0;
    for (size_t i = 0; i < sizeof sayings / sizeof *sayings; i++) {
        if (send(client, sayings[i], strlen(sayings[i]), MSG_NOSIGNAL) < 0)
            break;
        hand_run(2);
        if (hand.parked_first < hand.parked_end)
            hand_answer("late");
        hand_run(1);
    }
    shutdown(client, SHUT_WR);
    hand_run(3);
    for (ssize_t more; (more = recv(client, got + len, sizeof got - 1 - len, 0)) > 0;)
        len += (size_t)more;
    got[len] = '\0';
    return got;
}

static int count(const char *text, const char *what)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        found++;
    return found;
}

Test(memory, every_allocation_may_fail)
{
    int failures = 0;
    for (bool done = false; !done; failures++) {
        hand_open();
        int client = hand_connect();
        failing_after(failures);
        const char *got = conversation(client);
        done = !failing_done();
        failing_after(-1);
        int answers = count(got, "HTTP/1.1 200 "), refusals = count(got, "HTTP/1.1 503 ");
        cr_expect(answers <= 6 && refusals <= 1, "%d: %d and %d", failures, answers, refusals);
        cr_expect(!done || (answers == 6 && count(got, "HTTP/1.1 400 ") == 1), "%s", got);
        cr_expect(hand.conns.open == 0 && hand.conns.intakes.bytes == 0, "%d", failures);
        close(client);
        cr_expect(hand.parked_first < hand.parked_end || hand.conns.answering == 0, "%d", failures);
        hand_close();
    }
    cr_expect(failures > 10, "%d", failures);
}

Test(memory, a_connection_for_which_there_is_none_is_closed)
{
    for (int failures = 0; failures < 4; failures++) {
        int ends[2];
        char nothing;
        hand_open();
        cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        failing_after(failures);
        int result = conn_open(&hand.conns, ends[0], "127.0.0.1:1");
        failing_after(-1);
        cr_expect(result == (failures > 1 ? 0 : -ENOMEM)); /* itself, the share of its address */
        cr_expect(result == 0 || recv(ends[1], &nothing, 1, 0) == 0);
        close(ends[1]);
        hand_close();
    }
}

Test(memory, a_loop_for_which_there_is_none_is_not_opened)
{
    struct loop *loop = NULL;
    int failures = 0;
    for (; !loop; failures++) {
        failing_after(failures);
        loop = loop_open(hand_pass, NULL);
        failing_after(-1);
    }
    cr_expect(failures == 4, "%d", failures); /* itself, two arrays; then it is there */
    loop_close(loop);
}

/* ---- memory that is no longer needed */

/* Time goes on a little, so that the loop sweeps. */
static void passes(int count)
{
    skipped_us += 20000;
    hand_run(count);
}

static void say_bytes(int client, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(client, bytes, len, MSG_NOSIGNAL);
        cr_assert(sent > 0 || errno == EAGAIN);
        bytes += sent > 0 ? sent : 0;
        len -= sent > 0 ? (size_t)sent : 0;
        passes(2);
    }
}

static void say(int client, const char *text)
{
    say_bytes(client, text, strlen(text));
}

/* Takes all that is there; returns whether it holds the text. */
static bool heard(int client, const char *text)
{
    static char got[65536];
    size_t len = 0;
    bool found = false;
    for (ssize_t more; (more = recv(client, got + len, sizeof got - 1 - len, 0)) > 0; passes(2)) {
        got[len + (size_t)more] = '\0';
        found = found || strstr(got, text);
    }
    return found;
}

enum { LONG_BODY = 6000000 };

static char *long_request(const char *next)
{
    char *bytes = malloc(LONG_BODY + 200);
    int head = sprintf(bytes, "POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", LONG_BODY);
    memset(bytes + head, 'x', LONG_BODY);
    strcpy(bytes + head + LONG_BODY, next);
    return bytes;
}

Test(memory, the_first_bytes_of_a_request_do_not_keep_that_of_a_long_one_before_it)
{
    hand_open();
    hand.body_max = LONG_BODY;
    int client = hand_connect();
    char *bytes = long_request("GET /a HT");
    say_bytes(client, bytes, strlen(bytes) - 100);
    say(client, bytes + strlen(bytes) - 100);
    cr_expect(heard(client, "200 OK"));
    cr_expect(hand.conns.intakes.bytes <= 64 * 1024, "%zu bytes are held", hand.conns.intakes.bytes);
    say(client, "TP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(heard(client, "200 OK"));
    cr_expect(strstr(hand.log, "GET /a"), "%s", hand.log);
    free(bytes);
    close(client);
    passes(2);
    hand_close();
}

/* Lets an allocation fail while the end of a long request comes, with the first bytes of the next. Returns
 * whether it was called. */
static bool long_request_end_fails(int failures)
{
    hand_open();
    hand.body_max = LONG_BODY;
    int client = hand_connect();
    char *bytes = long_request("GET /a HT");
    say_bytes(client, bytes, strlen(bytes) - 100);
    cr_assert_eq(send(client, bytes + strlen(bytes) - 100, 100, 0), 100);
    failing_after(failures);
    passes(1);
    bool called = failing_done();
    failing_after(-1);
    passes(1);
    if (send(client, "TP/1.1\r\nHost: a\r\n\r\n", 19, MSG_NOSIGNAL) > 0)
        passes(2);
    cr_expect(strstr(hand.log, "GET /a") || heard(client, "HTTP/1.1 503 ") || hand.conns.open == 0, "%d: %s",
              failures, hand.log);
    free(bytes);
    close(client);
    passes(2);
    cr_expect_eq(hand.conns.intakes.bytes, 0);
    hand_close();
    return called;
}

Test(memory, where_there_is_none_the_end_of_a_long_request_loses_nothing)
{
    int failures = 0;
    while (long_request_end_fails(failures))
        failures++;
    cr_expect(failures > 0);
}

Test(memory, a_connection_that_is_idle_owns_nothing_of_what_it_had_to_say)
{
    enum { COUNT = 100 };
    int clients[COUNT];
    hand_open();
    hand.conns.idle_timeout_ms = 1000000;
    for (int i = 0; i < COUNT; i++)
        clients[i] = hand_connect();
    size_t before = 0;
    for (int i = 0; i < COUNT; i++) {
        say(clients[i], "POST /c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        cr_expect(heard(clients[i], "100 Continue"));
        say(clients[i], "hello");
        cr_expect(heard(clients[i], "200 OK"));
        if (i == 0)
            before = mallinfo2().uordblks;
    }
    cr_expect_leq(mallinfo2().uordblks - before, COUNT * 8, "%zu bytes more", mallinfo2().uordblks - before);
    cr_expect_eq(hand.conns.intakes.bytes, 0);
    for (int i = 0; i < COUNT; i++)
        close(clients[i]);
    passes(2);
    hand_close();
}
