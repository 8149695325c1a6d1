/* MAX_LOG: nodes whose list is full, on either role, and what goes on. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

enum { LEN = 100, FITS = 1024 / (LEN + 3) }; /* a message has quotes around it and a comma behind it */

static char *text_of(char fill)
{
    static char text[LEN + 1];
    memset(text, fill, LEN);
    return text;
}

SCENARIO(cluster_full, past_max_log_a_master_refuses_posts_and_reads_go_on)
{
    struct node *master = master_start("--max-log 1k");
    struct node *s1 = member_start(master, "s1", "");
    for (int i = 1; i <= FITS; i++)
        expect_status(post(master, "", text_of('a')), 201);
    struct reply reply = post(master, "", text_of('b'));
    cr_expect_eq(reply.status, 507);
    cr_expect_str_eq(reply.body, "{\"error\":\"the list is full: MAX_LOG is 1024 bytes\"}");
    expect_status(http_post_json(master->port, "/messages",
                                 "{\"message\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
                                 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
                                 "bbbbbbbbbbbbbbbbbbbbb\"}"),
                  507);
    cr_expect_eq(last_id(master), FITS);
    cr_expect_eq(http_get(master->port, "/messages").status, 200);
    expect_status(http_get(master->port, "/messages/%d?w=2", FITS), 200);
    expect_stored(post(master, "", "short"), 201, FITS + 1, 2, 2); /* no id was used, and this one fits */
    cr_expect(equal_lists(master, s1, NULL));
    expect_logged(master, "the list has ", 1);
    expect_logged(master, "the list is full: ", 1);
    cr_expect_eq(node_told(master, "WARN", "MAX_LOG"), 2);
}

SCENARIO(cluster_full, a_post_that_waited_at_the_gate_is_refused_as_well)
{
    struct node *master = master_start("--max-log 10 --nodes 2 --write-concern 1");
    struct call *call = post_begin(master, "", "much too long");
    always(200, !call_done(call));
    member_start(master, "s1", "");
    expect_status(call_end(call), 507);
    expect_stored(post(master, "", "a"), 201, 1, 1, 1);
}

SCENARIO(cluster_full, a_secondary_that_is_full_says_so_to_its_master)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "--max-log 1k");
    struct node *s2 = member_start(master, "s2", "");
    for (int i = 1; i <= FITS; i++)
        expect_status(post(master, "", text_of('a')), 201);
    expect_status(post(master, "?timeout=0.5", text_of('b')), 202);
    eventually(SOON, node_told(master, "WARN",
                               "s1: it answered 507: the list here is full: MAX_LOG is 1024 bytes") == 1);
    nap_ms(3000); /* and a few more tries */
    cr_expect_eq(node_told(master, "WARN", "it answered 507"), 1);
    expect_status(post(master, "?w=2", "go on"), 201);
    cr_expect(equal_lists(master, s2, NULL));
    cr_expect_eq(last_id(s1), FITS);
    cr_expect_eq(http_get(s1->port, "/messages").status, 200);
    node_stop(s1);
    node_words(s1, "--master-url %s --secondary-id s1", master->url); /* with more room */
    node_restart(s1);
    eventually(SOON, equal_lists(master, s1, s2, NULL));
}

/* Restarts the master with less than the list needs. The list is fetched once, refused, and kept. */
static void expect_refused_for_length(const char *words, const char *told, const char *reason)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    for (int i = 1; i <= 3; i++)
        expect_status(post(master, "", text_of('a')), 201);
    node_kill(master);
    node_words(master, "%s", words);
    node_restart(master);
    eventually(SOON, node_told(master, "ERROR", told));
    eventually(SOON, strstr(http_get(master->port, "/health").body, reason));
    eventually(SOON, node_logged(s1, reason));
    nap_ms(3000); /* it tries again */
    cr_expect_eq(node_told(master, "ERROR", "s1"), 1);
    cr_expect_eq(node_logged(master, "taking over"), 1);
    cr_expect_eq(last_id(master), 0);
    cr_expect_eq(last_id(s1), 3);
    node_kill(master);
    node_words(master, "");
    node_restart(master);
    eventually(SOON, equal_lists(master, s1, NULL) && last_id(master) == 3);
}

SCENARIO(cluster_full, a_restarted_master_with_less_room_refuses_a_list_that_is_longer)
{
    expect_refused_for_length("--max-log 200", "refused s1, its list is too long", "greater MAX_LOG to keep");
}

SCENARIO(cluster_full, a_restarted_master_with_a_lower_max_message_refuses_a_list_with_a_longer_one)
{
    expect_refused_for_length("--max-message 10", "refused s1, a message is too long",
                              "greater MAX_MESSAGE to keep");
}
