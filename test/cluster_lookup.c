/* Names: a look-up that hangs is no matter of anybody else, and of a name with several addresses each one
 * gets its share of the time. */
#include "cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANGS "http://hangs-60000.test:5001" /* longer than any test */

static struct node *master_with_names(void)
{
    return master_start("--heartbeat-interval 0.5 %s", net_words());
}

static void register_hanging(const struct node *master, const char *id)
{
    expect_status(register_by_hand(master, "{\"id\":\"%s\",\"url\":\"" HANGS "\"}", id), 200);
}

static void expect_prompt(const struct node *master, int ms)
{
    for (int64_t until = now_ms() + ms; now_ms() < until; nap_ms(20)) {
        struct reply reply = http_get(master->port, "/health");
        expect_status(reply, 200);
        expect_at_once(reply);
        http_free(&reply);
    }
}

SCENARIO(cluster_lookup, health_is_answered_at_once_while_a_look_up_hangs)
{
    struct node *master = master_with_names();
    register_hanging(master, "ghost");
    expect_prompt(master, 500);
    register_hanging(master, "ghost"); /* once more, and from another address */
    expect_prompt(master, 500);
    expect_status(register_by_hand(master, "{\"id\":\"ghost\",\"url\":\"http://hangs-50000.test:1\"}"), 200);
    expect_prompt(master, 500);
    cr_assert_eq(remove_member(master, "ghost"), 204);
    expect_prompt(master, 500);
    register_hanging(master, "ghost");
    expect_prompt(master, 500);
}

SCENARIO(cluster_lookup, a_look_up_that_hangs_is_no_matter_of_other_members)
{
    struct node *master = master_with_names();
    register_hanging(master, "ghost");
    struct node *s1 = member_start(master, "s1", "");
    for (int i = 1; i <= 20; i++) {
        register_hanging(master, i % 2 ? "ghost" : "spectre");
        struct reply reply = post(master, "?w=2", "m");
        expect_stored(reply, 201, i, 2, 2);
        expect_at_once(reply);
    }
    cr_assert(equal_lists(master, s1, NULL));
}

static struct call *register_hanging_list(const struct node *master)
{
    static const char body[] = "{\"id\":\"ghost\",\"url\":\"" HANGS
                               "\",\"log\":\"L\",\"epoch\":1,\"last_id\":2,\"digest\":\"0123456789abcdef\"}";
    struct call *call = call_begin(master->port, "POST", "/register", "Content-Type: application/json\r\n",
                                   body, sizeof body - 1);
    eventually(SOON, node_logged(master, "taking over"));
    return call;
}

SCENARIO(cluster_lookup, a_take_over_whose_look_up_hangs_makes_way_for_another_and_nobody_waits)
{
    struct node *master = master_with_names();
    struct node *s1 = member_start(master, "s1", "");
    expect_status(post(master, "?w=2", "a"), 201);
    node_freeze(s1);
    node_kill(master);
    node_restart(master);
    struct call *ghost = register_hanging_list(master);
    node_thaw(s1);
    expect_prompt(master, 5000); /* two seconds with nothing are enough */
    eventually(SOON, shows(master, "a"));
    expect_end(node_stop(master));
    call_end(ghost);
}

SCENARIO(cluster_lookup, a_master_stops_in_time_while_a_look_up_hangs)
{
    struct node *master = master_with_names();
    register_hanging(master, "ghost");
    register_hanging(master, "spectre");
    nap_ms(200);
    expect_end(node_stop(master));
}

SCENARIO(cluster_lookup, a_master_stops_in_time_while_it_looks_up_whose_list_to_take_over)
{
    struct node *master = master_with_names();
    struct call *call = register_hanging_list(master);
    expect_prompt(master, 500);
    expect_end(node_stop(master));
    call_end(call);
}

SCENARIO(cluster_lookup, a_secondary_answers_and_stops_in_time_while_it_looks_its_master_up)
{
    struct node *s1 = node_start("secondary", "--master-url http://hangs-60000.test:5000 %s", net_words());
    expect_prompt(s1, 500);
    expect_end(node_stop(s1));
}

/* The name server has fallen silent since. */
SCENARIO(cluster_lookup, a_goodbye_does_not_look_the_master_up_again)
{
    struct node *master = master_start("--allowed-hosts once.test");
    struct node *s1 = node_start("secondary", "--secondary-id s1 --master-url http://once.test:%u %s",
                                 master->port, net_words());
    expect_member(master, "s1");
    expect_end(node_stop(s1));
    eventually(SOON, members(master) == 0);
}

/* ---- a name with two addresses */

/* Makes 127.0.0.2 drop what wants to connect to that port: a listener whose queue is full. */
static void drop_connections(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.2", &address.sin_addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 0), 0);
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, sizeof address);
        nap_ms(20);
    }
}

SCENARIO(cluster_lookup, a_master_is_found_at_its_names_second_address_where_the_first_one_is_dead)
{
    struct node *master = master_start("--allowed-hosts two.test");
    drop_connections(master->port);
    struct node *s1 =
        node_start("secondary", "HOST=127.0.0.1 --secondary-id s1 --master-url http://two.test:%u %s",
                   master->port, net_words());
    eventually(SOON, registered(s1));
    expect_member(master, "s1");
}

SCENARIO(cluster_lookup, a_secondary_is_found_at_its_names_second_address_where_the_first_one_is_dead)
{
    struct node *master = master_with_names();
    struct node *s1 = node_later("secondary", "");
    drop_connections(s1->port);
    node_words(s1, "--secondary-id s1 --master-url %s --advertise-url http://two.test:%u", master->url,
               s1->port);
    node_restart(s1);
    struct reply reply = post(master, "?w=2&timeout=15", "a");
    expect_stored(reply, 201, 1, 2, 2);
    cr_assert(shows(s1, "a"));
}
