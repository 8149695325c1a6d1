/* Links: one that works is left alone, one that is connected to itself is none, and what a peer says of times
 * has bounds. */
#include "cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- registrations over a link that works */

SCENARIO(cluster_links, a_registration_of_the_same_process_leaves_its_link_alone)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    for (int i = 0; i < 10; i++)
        expect_status(fake_register(fake, master, "f1"), 200);
    expect_stored(post(master, "?w=2", "b"), 201, 2, 2, 2);
    cr_assert_eq(fake_connections(fake), 1);
}

/* The link carries nothing for longer than the secondary takes for silence, again and again, and each time
 * that registers. */
SCENARIO(cluster_links, a_long_message_arrives_over_a_link_that_stalls_again_and_again)
{
    enum { LEN = 2000 * 1000, STALL_MS = 800, PASS_MS = 400 };
    static char text[LEN + 1];
    struct node *master = master_start("--heartbeat-interval 0.2 --max-message %d", LEN);
    struct node *s1 = node_later("secondary", "");
    struct relay *relay = relay_open(s1->port);
    node_words(s1, "--master-url %s --secondary-id s1 --advertise-url %s --max-message %d --log-level debug",
               master->url, relay_url(relay), LEN);
    node_restart(s1);
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    relay_rate(relay, 1000 * 1000);
    memset(text, 'x', LEN);
    struct call *call = post_begin(master, "?w=2", text);
    for (int i = 0; i < 16 && !call_done(call); i++) {
        relay_mode(relay, RELAY_HOLD);
        nap_ms(STALL_MS);
        relay_mode(relay, RELAY_PASS);
        nap_ms(PASS_MS);
    }
    cr_assert(call_done(call), "it has not arrived after 6 s of passing");
    expect_stored(call_end(call), 201, 2, 2, 2);
    cr_assert_geq(node_logged(s1, "registering again"), 2);
}

/* ---- a port that connects to itself */

SCENARIO(cluster_links, a_masters_port_that_connects_to_itself_is_left_free)
{
    struct node *master = node_later("master", "--heartbeat-interval 0.2");
    struct node *s1 = node_start("secondary", "--secondary-id s1 --master-url %s SELF_CONNECT=%u %s",
                                 master->url, master->port, net_words());
    nap_ms(1500);
    cr_assert_not(registered(s1));
    node_restart(master);
    expect_member(master, "s1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
}

SCENARIO(cluster_links, a_secondarys_port_that_connects_to_itself_counts_for_nobody_and_is_left_free)
{
    struct node *s1 = node_later("secondary", "");
    struct node *master = master_start("--heartbeat-interval 0.2 SELF_CONNECT=%u %s", s1->port, net_words());
    expect_status(register_by_hand(master, "{\"id\":\"s1\",\"url\":\"%s\"}", s1->url), 200);
    expect_stored(post(master, "?w=2&timeout=1.5", "a"), 202, 1, 2, 1);
    node_words(s1, "--secondary-id s1 --master-url %s", master->url);
    node_restart(s1);
    expect_stored(http_get(master->port, "/messages/1?w=2&timeout=20"), 200, 1, 2, 2);
    cr_assert(shows(s1, "a"));
}

/* ---- bounds on what a peer says */

SCENARIO(cluster_links, interim_answers_without_end_are_no_signs_of_life)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    fake_mode(fake, FAKE_INTERIM);
    struct call *call = post_begin(master, "?w=2", "b");
    eventually(SOON, fake_connections(fake) >= 3); /* it is given up, and tried again */
    cr_assert(!call_done(call) && node_told(master, "WARN", "f1"));
    fake_mode(fake, FAKE_GOOD);
    expect_stored(call_end(call), 201, 2, 2, 2);
}

/* The tests' own program stands in for a master that tells of such a heartbeat. */
static int listener_open(uint16_t *port)
{
    int listener = port_reserve(port);
    cr_assert_eq(listen(listener, 64), 0);
    return listener;
}

/* Answers what comes within that time, and counts it. */
static int registrations(int listener, const char *heartbeat, int ms)
{
    static char request[4096];
    int count = 0;
    for (int64_t until = now_ms() + ms; now_ms() < until;) {
        struct pollfd polled = {.fd = listener, .events = POLLIN};
        if (poll(&polled, 1, 10) <= 0)
            continue;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        char body[256];
        int len =
            snprintf(body, sizeof body,
                     "{\"log\":\"L\",\"epoch\":1,\"last_id\":0,\"id\":\"s1\",\"run\":\"R\",\"heartbeat\":%s}",
                     heartbeat);
        raw_receive(fd, request, sizeof request, 1000);
        raw_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len, body);
        close(fd);
        count++;
    }
    return count;
}

SCENARIO(cluster_links, a_heartbeat_of_next_to_nothing_is_clamped)
{
    uint16_t port;
    int listener = listener_open(&port);
    node_start("secondary", "--secondary-id s1 --master-url http://127.0.0.1:%u", port);
    cr_assert_geq(registrations(listener, "1.000", 300), 1);
    int count = registrations(listener, "0.001", 4000);
    cr_assert(count >= 2 && count < 150, "%d registrations", count); /* 30 ms apart at least */
    close(listener);
}

/* Nobody hears from it for three times its heartbeat, which is 60 s at most: too long to be waited for here.
 */
SCENARIO(cluster_links, a_heartbeat_that_is_no_number_of_seconds_is_not_believed)
{
    static const char *const odd[] = {"-1", "1e999", "\"1\"", "999999999999999999999"};
    uint16_t port;
    int listener = listener_open(&port);
    struct node *s1 = node_start("secondary", "--secondary-id s1 --master-url http://127.0.0.1:%u", port);
    for (int i = 0; i < 4; i++) {
        cr_assert_leq(registrations(listener, odd[i], 400), 100);
        expect_status(http_get(s1->port, "/health"), 200);
    }
    close(listener);
}
