/* What counts as an ACK: an answer on a link that says whose it is and which list it speaks of, and proves it
 * by the digest. Neither a registration, nor what an earlier process said, nor a list that differs. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

/* ---- a registration is a wish */

SCENARIO(cluster_proof, a_registration_alone_is_no_ack)
{
    struct node *master = master_start("");
    struct call *call = post_begin(master, "?w=2&timeout=2", "a");
    eventually(SOON, last_id(master) == 1);
    expect_status(
        register_by_hand(master, "{\"id\":\"nobody\",\"url\":\"http://127.0.0.1:1\",%s}", list_claim(master)),
        200);
    cr_assert_eq(members(master), 1); /* it is listed, and counts for nothing */
    expect_stored(call_end(call), 202, 1, 2, 1);
}

SCENARIO(cluster_proof, a_member_counts_for_all_and_majority_from_its_first_proven_answer)
{
    struct node *master = master_start("");
    expect_status(register_by_hand(master, "{\"id\":\"nobody\",\"url\":\"http://127.0.0.1:1\"}"), 200);
    expect_stored(post(master, "?timeout=1", "a"), 201, 1, 1, 1);
    expect_stored(post(master, "?w=majority&timeout=1", "b"), 201, 2, 1, 1);
    member_start(master, "s1", "");
    expect_stored(post(master, "?timeout=5", "c"), 201, 3, 2, 2);
}

SCENARIO(cluster_proof, the_quorum_counts_a_member_from_its_first_proven_answer)
{
    struct node *master = master_start("--quorum 2 --heartbeat-interval 0.2");
    expect_status(register_by_hand(master, "{\"id\":\"nobody\",\"url\":\"http://127.0.0.1:1\"}"), 200);
    expect_status(post(master, "?w=1&timeout=2", "x"), 503);
    cr_assert(shows(master, ""));
    member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
}

/* ---- earlier lives change nothing */

/* It is late on the wire; its successor at the same address has nothing yet. */
SCENARIO(cluster_proof, what_an_earlier_life_held_counts_for_nobody)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_DEAF);
    expect_status(fake_register(fake, master, "f1"), 200);
    struct call *call = post_begin(master, "?w=2&timeout=2", "a");
    eventually(SOON, last_id(master) == 1);
    expect_status(register_by_hand(
                      master, "{\"id\":\"f1\",\"url\":\"http://127.0.0.1:%u\",\"boot\":\"" NO_BOOT "\",%s}",
                      fake_port(fake), list_claim(master)),
                  200);
    expect_stored(call_end(call), 202, 1, 2, 1);
    cr_assert_eq(fake_last_id(fake), 0);
}

static void register_late(const struct node *master, const char *url)
{
    expect_status(register_by_hand(master, "{\"id\":\"s1\",\"url\":\"%s\",\"boot\":\"" NO_BOOT "\"}", url),
                  200);
}

SCENARIO(cluster_proof, a_late_registration_leaves_the_live_process_its_link)
{
    struct node *master = master_start("");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    for (int i = 1; i <= 6; i++) {
        register_late(master, i % 2 ? relay_url(relay) : "http://127.0.0.1:1");
        struct reply reply = post(master, "?w=2&timeout=5", "m");
        expect_stored(reply, 201, i, 2, 2);
        expect_at_once(reply);
    }
    cr_assert(equal_lists(master, s1, NULL));
    cr_assert_eq(members(master), 1);
}

SCENARIO(cluster_proof, a_node_that_came_back_empty_holds_nothing_of_what_it_held)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "", "a-long-one"), 201, 1, 2, 2);
    node_kill(s1);
    node_words(s1, "--master-url %s --secondary-id s1 --max-message 5", master->url);
    node_restart(s1); /* it cannot take the message again */
    eventually(SOON, member_number(master, "s1", "acked") == 0);
    expect_stored(http_get(master->port, "/messages/1?w=2&timeout=0.3"), 202, 1, 2, 1);
}

/* ---- one process is one member */

static void expect_two_nodes(const struct node *master, int id)
{
    expect_stored(post(master, "?w=3&timeout=1", "a"), 202, id, 3, 2);
    expect_stored(post(master, "?timeout=5", "b"), 201, id + 1, 2, 2);
}

SCENARIO(cluster_proof, one_program_under_two_names_counts_once)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    expect_status(register_by_hand(master, "{\"id\":\"again\",\"url\":\"%s\"}", s1->url), 200);
    expect_two_nodes(master, 1);
    eventually(SOON, node_told(master, "WARN", "again"));
}

SCENARIO(cluster_proof, one_program_at_two_addresses_counts_once)
{
    struct node *master = master_start("");
    struct node *s1 = secondary_start(master, "");
    expect_member(master, s1->authority);
    expect_status(register_by_hand(master, "{\"url\":\"http://localhost:%u\"}", s1->port), 200);
    expect_two_nodes(master, 1);
}

SCENARIO(cluster_proof, one_process_that_registers_under_another_name_is_one_member)
{
    struct node *master = master_start("");
    struct fake *fake = fake_open(FAKE_GOOD);
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    expect_status(fake_register(fake, master, "f2"), 200);
    expect_two_nodes(master, 2);
    eventually(SOON, members(master) == 1 && member_number(master, "f2", "lag") == 0);
}

/* ---- a registered secondary follows its master alone */

SCENARIO(cluster_proof, a_registered_secondary_takes_no_messages_of_another_log)
{
    struct node *master = master_start("");
    struct relay *relay;
    struct node *s1 = member_behind(master, "s1", &relay);
    expect_status(replicate_by_hand(s1, "{\"log\":\"other\",\"epoch\":1,\"first\":1,\"messages\":[\"x\"]}"),
                  409);
    expect_status(replicate_by_hand(s1, "{\"log\":\"other\",\"epoch\":1,\"digest\":\"0000000000000000\","
                                        "\"first\":1,\"messages\":[\"x\"]}"),
                  409);
    relay_cut(relay); /* the master asks anew how much it holds */
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    cr_assert(shows(s1, "a"));
    cr_assert_str_eq(log_name(s1), log_name(master));
}

SCENARIO(cluster_proof, a_registered_secondary_takes_no_messages_without_epoch_and_digest)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    const char *log = log_name(master);
    expect_stored(post(master, "", "one"), 201, 1, 2, 2);
    expect_status(replicate_by_hand(s1, "{\"log\":\"%s\",\"first\":2,\"messages\":[\"forged\"]}", log), 409);
    expect_status(
        replicate_by_hand(s1, "{\"log\":\"%s\",\"epoch\":1,\"first\":2,\"messages\":[\"forged\"]}", log),
        409);
    expect_status(
        replicate_by_hand(s1, "{\"log\":\"%s\",\"first\":2,\"digest\":\"%s\",\"messages\":[\"forged\"]}", log,
                          list_digest(master)),
        409);
    expect_stored(post(master, "", "two"), 201, 2, 2, 2);
    cr_assert(shows(master, "one two") && equal_lists(master, s1, NULL));
}

/* Sends a message in the name of the secondary's master, whose boot the answer to a registration tells. */
static void forge(const struct node *master, const struct node *secondary)
{
    char fields[256];
    char body[256];
    struct reply told = register_by_hand(master, "{\"id\":\"peek\",\"url\":\"http://127.0.0.1:9\"}");
    expect_status(http_request(master->port, "DELETE", "/secondaries/peek", NULL, NULL, 0, SOON), 204);
    snprintf(fields, sizeof fields, "Log: %s\r\nEpoch: 1\r\nMaster: %s\r\n", log_name(master),
             json_text_of(told.body, "boot"));
    snprintf(body, sizeof body,
             "{\"log\":\"%s\",\"epoch\":1,\"first\":2,\"digest\":\"%s\",\"messages\":[\"forged\"]}",
             log_name(master), list_digest(master));
    expect_status(http_request(secondary->port, "POST", "/replicate", fields, body, strlen(body), SOON), 200);
    http_free(&told);
}

/* Without a token, who knows all that a master says can forge. Then nothing is acknowledged, and a line says
 * that the lists differ. */
SCENARIO(cluster_proof, a_list_that_differs_is_never_an_ack_and_the_master_says_so)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "", "one"), 201, 1, 2, 2);
    forge(master, s1);
    cr_assert(shows(s1, "one forged"));
    expect_stored(post(master, "?w=2&timeout=1", "two"), 202, 2, 2, 1);
    eventually(SOON, node_told(master, "ERROR", "s1"));
    expect_stored(http_get(master->port, "/messages/2?w=2&timeout=0.5"), 202, 2, 2, 1);
    cr_assert(shows(master, "one two"));
}

/* ---- what an answer and a request say */

SCENARIO(cluster_proof, an_answer_says_whose_it_is_and_which_list_it_speaks_of)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
    struct reply reply = replicate_by_hand(s1, "");
    expect_status(reply, 200);
    cr_assert_str_eq(json_text_of(reply.body, "id"), "s1");
    cr_assert_str_eq(json_text_of(reply.body, "log"), log_name(master));
    cr_assert_str_eq(json_text_of(reply.body, "digest"), list_digest(master));
    cr_assert(json_number_of(reply.body, "epoch") == 1 && json_number_of(reply.body, "last_id") == 1);
    cr_assert_eq(strspn(json_text_of(reply.body, "boot"), "0123456789abcdef"), 32);
}

SCENARIO(cluster_proof, a_secondary_without_name_and_list_says_so)
{
    struct node *s1 = secondary_start(node_later("master", ""), "");
    struct reply reply = replicate_by_hand(s1, "");
    expect_status(reply, 200);
    cr_assert_not_null(strstr(reply.body, "\"id\":null"), "%s", reply.body);
    cr_assert_not_null(strstr(reply.body, "\"log\":null"), "%s", reply.body);
    expect_status(replicate_by_hand(s1, "{\"log\":\"L\",\"first\":1,\"messages\":[\"a\"]}"), 200);
    cr_assert(shows(s1, "a")); /* one that was never registered takes them from anybody */
}

SCENARIO(cluster_proof, every_request_of_a_master_says_whose_it_is_and_for_whom)
{
    struct node *master = master_start("--heartbeat-interval 0.1");
    struct fake *fake = fake_open(FAKE_GOOD);
    char log[128];
    char boot[64];
    fake_join(fake, master, "f1");
    snprintf(log, sizeof log, "\r\nLog: %s\r\n", log_name(master));
    snprintf(boot, sizeof boot, "\r\nBoot: %s\r\n", fake_boot(fake));
    for (int signs = 0; signs < 3; signs++) { /* signs of life and messages */
        eventually(SOON, fake_signs(fake) > signs);
        const char *head = fake_latest_head(fake);
        cr_assert(strstr(head, log) && strstr(head, boot) && strstr(head, "\r\nEpoch: 1\r\n"), "%s", head);
        expect_status(post(master, "?w=2", "a"), 201);
    }
}

SCENARIO(cluster_proof, a_request_of_another_logs_master_is_409)
{
    struct node *master = master_start("");
    struct node *s1 = member_start(master, "s1", "");
    static const char fields[] = "Log: other\r\nEpoch: 1\r\n";
    expect_status(http_request(s1->port, "POST", "/replicate", fields, "", 0, SOON), 409);
    expect_stored(post(master, "", "a"), 201, 1, 2, 2);
}

/* ---- answers that lie */

/* A member that was well answers like that from then on: what it is sent is not acknowledged. */
static struct node *expect_no_ack(struct fake *fake, enum fake_forge forge)
{
    struct node *master = master_start("--heartbeat-interval 0.2");
    fake_join(fake, master, "f1");
    expect_stored(post(master, "?w=2", "a"), 201, 1, 2, 2);
    fake_forge(fake, forge);
    expect_stored(post(master, "?w=2&timeout=1", "b"), 202, 2, 2, 1);
    cr_assert_leq(member_number(master, "f1", "acked"), 1);
    return master;
}

SCENARIO(cluster_proof, an_answer_of_another_name_is_no_ack_and_is_told_of_once)
{
    struct fake *fake = fake_open(FAKE_GOOD);
    struct node *master = expect_no_ack(fake, FORGE_ID);
    eventually(SOON, node_told(master, "WARN", "f1"));
    nap_ms(2000);
    cr_assert_leq(node_told(master, "WARN", "f1"),
                  4); /* others tell that it is unhealthy, and who waits for it */
    fake_forge(fake, FORGE_NOTHING);
    expect_stored(http_get(master->port, "/messages/2?w=2&timeout=20"), 200, 2, 2, 2);
}

SCENARIO(cluster_proof, an_answer_of_another_process_is_no_ack)
{
    struct node *master = expect_no_ack(fake_open(FAKE_GOOD), FORGE_BOOT);
    eventually(SOON, node_told(master, "WARN", "f1"));
}

SCENARIO(cluster_proof, an_answer_of_another_list_is_no_ack)
{
    expect_no_ack(fake_open(FAKE_GOOD), FORGE_LOG);
}

SCENARIO(cluster_proof, an_answer_to_an_earlier_master_is_no_ack)
{
    expect_no_ack(fake_open(FAKE_GOOD), FORGE_EPOCH);
}

SCENARIO(cluster_proof, an_answer_with_another_digest_is_no_ack_but_an_error)
{
    struct node *master = expect_no_ack(fake_open(FAKE_GOOD), FORGE_DIGEST);
    eventually(SOON, node_told(master, "ERROR", "f1"));
}

SCENARIO(cluster_proof, an_answer_without_a_digest_is_no_ack)
{
    expect_no_ack(fake_open(FAKE_GOOD), FORGE_NO_DIGEST);
}

SCENARIO(cluster_proof, an_answer_that_tells_of_more_than_there_is_is_no_ack)
{
    expect_no_ack(fake_open(FAKE_GOOD), FORGE_AHEAD);
}

SCENARIO(cluster_proof, one_that_lies_from_the_start_never_counts)
{
    static const enum fake_forge forges[] = {FORGE_ID, FORGE_BOOT, FORGE_LOG, FORGE_EPOCH, FORGE_NO_DIGEST};
    struct node *master = master_start("--heartbeat-interval 0.2");
    for (int i = 0; i < 5; i++) {
        char id[] = {'f', (char)('0' + i), '\0'};
        struct fake *fake = fake_open(FAKE_GOOD);
        fake_forge(fake, forges[i]);
        expect_status(fake_register(fake, master, id), 200);
    }
    nap_ms(500);
    expect_stored(post(master, "?timeout=2", "a"), 201, 1, 1, 1);
    expect_stored(post(master, "?w=2&timeout=1", "b"), 202, 2, 2, 1);
}

/* ---- the numbers of a 202 */

SCENARIO(cluster_proof, a_202_for_all_counts_those_alone_who_count_for_all)
{
    static char longer[101];
    struct node *master = master_start("--heartbeat-interval 0.2 --write-concern 1");
    struct node *s0 = member_start(master, "s0", "");
    node_freeze(s0);
    memset(longer, 'b', sizeof longer - 1);
    expect_status(post(master, "", "a"), 201);
    expect_status(post(master, "", longer), 201);
    struct node *low = secondary_start(master, "--secondary-id low --max-message 50");
    eventually(SOON, shows(low, "a")); /* and never the second one */
    struct reply reply = http_get(master->port, "/messages/1?w=all&timeout=0.5");
    expect_status(reply, 202);
    cr_assert_lt(json_number_of(reply.body, "acks"), json_number_of(reply.body, "w"), "%s", reply.body);
}
