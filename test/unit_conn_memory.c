/* Each allocation fails in its turn while requests of every kind are served: a request gets its answer, or a
 * 503, or the connection ends; and nothing is lost. */
#include "by_hand.h"
#include "failing_malloc.h"

#include <criterion/criterion.h>

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
        cr_expect(hand.shared.open == 0 && hand.shared.buffered == 0, "%d", failures);
        close(client);
        cr_expect(hand.parked_first < hand.parked_end || hand.shared.answering == 0, "%d", failures);
        hand_close();
    }
    cr_expect(failures > 10, "%d", failures);
}

Test(memory, a_connection_for_which_there_is_none_is_closed)
{
    for (int failures = 0; failures < 3; failures++) {
        int ends[2];
        char nothing;
        hand_open();
        cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        failing_after(failures);
        int result = conn_open(&hand.shared, ends[0], "127.0.0.1:1");
        failing_after(-1);
        cr_expect(result == (failures ? 0 : -ENOMEM));
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
    cr_expect(failures == 5, "%d", failures); /* itself, three arrays; then it is there */
    loop_close(loop);
}
