/* A master by hand whose gate is closed: which POSTs may wait. One whose client has gone keeps its place. */
#include "node_by_hand.h"

#include "replication/append.h"

#include <criterion/criterion.h>

enum { OF_ADDRESS = APPEND_WAITING_MAX / APPEND_ADDRESSES, MIB = 1024 * 1024 };

static void start(void)
{
    hand.settings.nodes = 2; /* who are never met */
    hand.settings.max_message = 4 * MIB;
}

TestSuite(append_waiting, .init = start, .fini = node_stopped, .timeout = 60);

/* How many POSTs of a peer may wait, each on a connection of its own, and at most `most`. */
static int posts(const char *peer, int most, const char *body)
{
    hand.peer = peer;
    for (int i = 0; i < most; i++) {
        struct node_answer answer = node_call("POST", "/messages", "", body);
        cr_assert(answer.status == 0 || answer.status == 503, "%d", answer.status);
        if (answer.status)
            return i;
    }
    return most;
}

/* So many POSTs, all on one connection. */
static void pipeline(const char *peer, int count)
{
    static const char one[] = "POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    struct buf all = {0};
    hand.peer = peer;
    int fd = node_connect();
    for (int i = 0; i < count; i++)
        buf_add_text(&all, one);
    cr_assert_eq(send(fd, all.data, all.len, 0), (ssize_t)all.len);
    for (int i = 0; i < 10; i++)
        node_pass();
    close(fd);
    node_pass();
    buf_free(&all);
}

Test(append_waiting, an_address_has_a_tenth_of_the_places)
{
    node_start(SETTINGS_MASTER);
    cr_expect_eq(posts("1.2.3.4:1", 2 * OF_ADDRESS, "x"), OF_ADDRESS);
    cr_expect_eq(posts("1.2.3.4:2", 1, "x"), 0);
    cr_expect_eq(posts("[2001:db8::1]:1", 2 * OF_ADDRESS, "x"), OF_ADDRESS);
    cr_expect_eq(posts("[2001:db8::2]:1", 1, "x"), 0);
    cr_expect_eq(posts("[2001:db8:0:1::2]:1", 1, "x"), 1);
}

Test(append_waiting, half_of_them_are_for_the_first_request_of_each_connection)
{
    enum { PIPELINED = 1000, CONNECTIONS = OF_ADDRESS / 2 / PIPELINED };
    node_start(SETTINGS_MASTER);
    for (int i = 0; i < CONNECTIONS + 3; i++)
        pipeline("1.2.3.4:1", PIPELINED);
    cr_expect_eq(posts("1.2.3.4:1", OF_ADDRESS, "x"), OF_ADDRESS / 2 - 3);
    pipeline("1.2.3.5:1", PIPELINED);
    cr_expect_eq(posts("1.2.3.5:1", OF_ADDRESS, "x"), OF_ADDRESS - PIPELINED);
}

Test(append_waiting, all_addresses_have_no_more_than_all_places)
{
    char peer[32];
    node_start(SETTINGS_MASTER);
    for (int i = 0; i < APPEND_ADDRESSES; i++) {
        snprintf(peer, sizeof peer, "1.2.3.%d:1", i);
        cr_assert_eq(posts(peer, OF_ADDRESS, "x"), OF_ADDRESS);
    }
    cr_expect_eq(posts("1.2.3.40:1", 1, "x"), 0);
}

/* ---- the memory of their messages */

static char text[2 * MIB + 1];

static const char *text_of(int len)
{
    memset(text, 'x', (size_t)len);
    text[len] = '\0';
    return text;
}

Test(append_waiting, an_address_has_half_of_the_memory_and_two_have_a_third_each)
{
    enum { LEN = 50000, MOST = APPEND_GATED_BYTES_MAX / LEN };
    node_start(SETTINGS_MASTER);
    int first = posts("1.2.3.4:1", MOST, text_of(LEN));
    cr_expect(first >= MOST / 4 && first <= MOST / 2 + 1, "%d of %d", first, MOST);
    int second = posts("1.2.3.5:1", MOST, text_of(LEN));
    cr_expect(second >= first / 2 && second <= first / 2 + 1, "%d after %d", second, first);
    cr_expect_eq(posts("1.2.3.4:1", 1, text_of(LEN)), 0);
    cr_expect_eq(posts("1.2.3.6:1", 1, text_of(LEN)), 1);
}

Test(append_waiting, a_node_with_little_memory_keeps_less)
{
    enum { LEN = 50000, MEMORY = 256 * MIB, MOST = MEMORY / 32 / LEN };
    hand.settings.memory = MEMORY;
    node_start(SETTINGS_MASTER);
    int first = posts("1.2.3.4:1", MOST, text_of(LEN));
    cr_expect(first >= MOST / 4 && first <= MOST / 2 + 1, "%d of %d", first, MOST);
}

Test(append_waiting, the_only_message_of_an_address_may_be_longer_than_its_share)
{
    enum { MEMORY = 64 * MIB };
    hand.settings.memory = MEMORY;
    node_start(SETTINGS_MASTER);
    cr_expect_eq(posts("1.2.3.4:1", 5, text_of(MEMORY / 32 * 6 / 10)), 1);
    cr_expect_eq(posts("1.2.3.5:1", 5, "x"), 1);
}
