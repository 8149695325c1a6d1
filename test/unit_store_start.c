/* A master by hand that starts with what its disk holds, and stops. */
#include "concern.h"
#include "disk_by_hand.h"
#include "replication/store.h"

TestSuite(store_start, .init = disk_master_begin, .fini = disk_master_end, .timeout = 60);

static void restart(void)
{
    disk_stopped();
    disk_start(SETTINGS_MASTER);
    settle();
    disk_run();
}

/* ---- loading */

static int calls_while_reading;

static void expect_loading(const char *method, const char *target, const char *fields, const char *body)
{
    struct node_answer answer = node_call(method, target, fields, body);
    cr_expect(answer.status == 503 && strstr(answer.body, "it is loading its list from disk"), "%s %s: %d %s",
              method, target, answer.status, answer.body);
    cr_expect(strstr(answer.fields, "Retry-After: 1\r\n"), "%s", answer.fields);
}

static void call_while_reading(void)
{
    if (calls_while_reading++)
        return;
    node_pass(); /* what is told is as old as the last one */
    expect_answer(node_call("GET", "/messages", "", ""), 503, "it is loading its list from disk: 0 of 1 MB");
    expect_answer(node_call("GET", "/livez", "", ""), 200, "alive");
}

Test(store_start, while_the_list_is_loaded_it_lives_and_serves_nothing)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    disk_stopped();
    node_start(SETTINGS_MASTER);
    expect_answer(node_call("GET", "/livez", "", ""), 200, "alive");
    expect_loading("GET", "/messages", "", "");
    expect_loading("GET", "/health", "", "");
    expect_loading("GET", "/readyz", "", "");
    expect_loading("GET", "/metrics", "", "");
    expect_loading("GET", "/nowhere", "", "");
    expect_loading("POST", "/messages", "", "b");
    expect_loading("POST", "/register", "Content-Type: application/json\r\n", "{\"id\":\"s1\"}");
    expect_loading("DELETE", "/secondaries/s1", "", "");
    expect_loading("PUT", "/messages", "", "b");
    disk.reads = call_while_reading;
    disk_run();
    disk.reads = NULL;
    cr_expect_gt(calls_while_reading, 0);
    expect_shows("\"a\"");
    append("b");
    expect_shows("\"a\",\"b\"");
}

Test(store_start, a_list_that_cannot_be_loaded_ends_the_node)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    disk_stopped();
    hand.settings.max_log = 1;
    disk_lines_begin();
    disk_start(SETTINGS_MASTER);
    cr_expect_eq(hand.unusable, 1);
    cr_expect_eq(node_call("POST", "/messages", "", "b").status, 503);
    cr_expect_eq(disk_lines("cannot load the list: "), 1);
}

/* ---- which list it is */

Test(store_start, each_start_is_another_epoch_of_the_same_list)
{
    char log[WIRE_NAME_SIZE];
    disk_start(SETTINGS_MASTER);
    append("a");
    strcpy(log, node_view(hand.node).own->log);
    for (uint64_t epoch = 2; epoch < 5; epoch++) {
        restart();
        cr_expect_eq(node_view(hand.node).own->epoch, epoch);
        cr_expect_str_eq(node_view(hand.node).own->log, log);
        expect_shows("\"a\"");
    }
    disk_died();
    disk_start(SETTINGS_MASTER);
    cr_expect_eq(node_view(hand.node).own->epoch, 5, "the epoch is on disk before the first message");
}

Test(store_start, on_a_full_disk_it_serves_what_it_has)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    disk_stopped();
    disk.full = ENOSPC;
    disk_start(SETTINGS_MASTER);
    expect_shows("\"a\"");
    expect_health("\"disk\":\"full\"");
    cr_expect_eq(node_call("POST", "/messages?w=1", "", "b").status, 503);
    disk.full = 0;
    wait(STORE_RETRY_MS);
    disk_run();
    append("b");
    disk_died();
    disk_start(SETTINGS_MASTER);
    cr_expect_eq(node_view(hand.node).own->epoch, 3, "the second one was on disk before a message of it");
    expect_shows("\"a\",\"b\"");
}

Test(store_start, on_a_disk_that_fails_it_serves_what_it_has)
{
    disk_start(SETTINGS_MASTER);
    append("a");
    disk_stopped();
    node_start(SETTINGS_MASTER);
    cr_assert(disk_step(), "the list is loaded");
    disk.write_error = EIO;
    disk_run();
    expect_shows("\"a\"");
    expect_health("\"disk\":\"failed\"");
    cr_expect_eq(node_call("POST", "/messages?w=1", "", "b").status, 503);
}

/* ---- members */

/* It has a member, s1, and a message; and starts again, while the member does not answer. */
static void restart_with_member(void)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    append("a");
    secondaries[0].silent = true;
    restart();
}

Test(store_start, members_count_from_the_start)
{
    restart_with_member();
    int fd = post_begin("?w=all", "b");
    wait(PATIENCE_MS);
    disk_run();
    expect_answer(node_call("GET", "/pending", "", ""), 200, "\"w\":2,\"acks\":1,");
    expect_answer(node_call("GET", "/pending", "", ""), 200, "\"waits_for\":[\"s1\"]");
    secondaries[0].silent = false;
    expect_answer(answer_of(fd), 201, "{\"id\":2,\"w\":2,\"acks\":2}");
    close(fd);
}

Test(store_start, who_was_removed_is_no_member_of_the_next_process)
{
    restart_with_member();
    cr_assert_eq(node_call("DELETE", "/secondaries/s1", "", "").status, 204);
    disk_run();
    restart();
    expect_health("\"secondaries\":[]");
    int fd = post_begin("?w=all", "b");
    disk_run();
    expect_answer(answer_of(fd), 201, "{\"id\":2,\"w\":1,\"acks\":1}");
    close(fd);
}

Test(store_start, a_member_that_does_not_come_is_forgotten_where_it_is_told_to_long_after_the_gate_has_waited)
{
    hand.settings.forget_after_ms = PATIENCE_MS;
    restart_with_member();
    int fd = post_begin("?w=all", "b");
    wait(2 * PATIENCE_MS - NODE_HEARTBEAT_MS);
    disk_run();
    expect_answer(node_call("GET", "/pending", "", ""), 200, "\"waits_for\":[\"s1\"]");
    wait(2 * NODE_HEARTBEAT_MS);
    disk_run();
    expect_answer(answer_of(fd), 201, "{\"id\":2,\"w\":1,\"acks\":1}");
    close(fd);
    restart();
    expect_health("\"secondaries\":[]");
}

Test(store_start, while_messages_are_missing_nobody_who_may_have_them_is_forgotten)
{
    hand.settings.forget_after_ms = PATIENCE_MS;
    restart_with_member();
    disk_stopped();
    disk_damage("\"a\"");
    disk_start(SETTINGS_MASTER);
    expect_health("\"missing\":1");
    wait(10 * PATIENCE_MS);
    disk_run();
    expect_health("\"id\":\"s1\"");
}

Test(store_start, members_are_waited_for_before_the_first_append_and_not_for_ever)
{
    restart_with_member();
    int fd = post_begin("?w=1", "b");
    wait(PATIENCE_MS - NODE_HEARTBEAT_MS);
    disk_run();
    cr_expect_eq(answer_of(fd).status, 0);
    cr_expect_eq(log_last(node_view(hand.node).log), 1);
    wait(NODE_HEARTBEAT_MS);
    disk_run();
    expect_answer(answer_of(fd), 201, "{\"id\":2,\"w\":1,\"acks\":1}");
    close(fd);
    append("c");
}

Test(store_start, members_that_answer_are_waited_for_no_longer)
{
    restart_with_member();
    int fd = post_begin("?w=1", "b");
    cr_expect_eq(answer_of(fd).status, 0);
    secondaries[0].silent = false;
    settle();
    disk_run();
    cr_expect_eq(answer_of(fd).status, 201);
    close(fd);
}

Test(store_start, what_a_member_has_more_is_taken_over)
{
    restart_with_member();
    elements_append(secondaries[0].list, span_of("\"b\""), 1);
    int fd = post_begin("?w=1", "c");
    secondaries[0].silent = false;
    settle();
    cr_assert_eq(join(1), 200);
    disk_run();
    expect_answer(answer_of(fd), 201, "{\"id\":3,");
    expect_shows("\"a\",\"b\",\"c\"");
    close(fd);
    restart();
    expect_shows("\"a\",\"b\",\"c\"");
}

/* ---- NODES */

/* A master of two nodes that has met the other one, which is away when it starts again. */
static void restart_of_two(void (*ends)(void))
{
    hand.settings.nodes = 2;
    hand.settings.write_concern = CONCERN_ALL;
    disk_start(SETTINGS_MASTER);
    cr_assert_eq(join(1), 200);
    disk_run();
    append("a");
    secondaries[0].silent = true;
    ends();
    disk_start(SETTINGS_MASTER);
}

Test(store_start, a_disk_that_keeps_all_is_a_witness)
{
    restart_of_two(disk_died);
    expect_answer(node_call("GET", "/readyz", "", ""), 200, "\"nodes\":\"ok\"");
    cr_expect(is_sure());
}

Test(store_start, a_disk_that_is_behind_is_no_witness)
{
    hand.settings.fsync_ms = 1;
    restart_of_two(disk_died);
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"nodes\":\"it has not met enough");
    cr_expect(!is_sure());
}

Test(store_start, a_disk_that_was_synced_at_the_stop_is_a_witness)
{
    hand.settings.fsync_ms = 1;
    restart_of_two(disk_stopped);
    cr_expect(is_sure());
}

Test(store_start, a_disk_that_keeps_all_from_now_on_is_a_witness_later)
{
    hand.settings.fsync_ms = 1;
    restart_of_two(disk_died);
    disk_stopped();
    hand.settings.fsync_ms = SETTINGS_FSYNC_ALWAYS;
    disk_start(SETTINGS_MASTER);
    secondaries[0].silent = false;
    settle();
    disk_run();
    expect_answer(node_call("GET", "/readyz", "", ""), 200, "\"nodes\":\"ok\"");
    secondaries[0].silent = true;
    disk_died();
    disk_start(SETTINGS_MASTER);
    cr_expect(is_sure());
}

Test(store_start, a_disk_that_is_never_synced_is_no_witness)
{
    hand.settings.fsync_ms = SETTINGS_FSYNC_OFF;
    restart_of_two(disk_stopped);
    cr_expect(!is_sure());
}

Test(store_start, a_disk_that_lacks_messages_is_no_witness)
{
    hand.settings.accept_loss = true;
    hand.settings.nodes = 2;
    hand.settings.write_concern = CONCERN_ALL;
    disk_start(SETTINGS_MASTER);
    join(1);
    disk_run();
    append("first");
    append("second");
    secondaries[0].silent = true;
    disk_stopped();
    disk_damage("second");
    disk_start(SETTINGS_MASTER);
    expect_shows("\"first\"");
    cr_expect(!is_sure());
}

/* ---- damage */

/* Of three messages the second cannot be read. */
static void lose_messages(void)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    append("first");
    append("second");
    append("third");
    disk_stopped();
    disk_damage("second");
}

Test(store_start, appends_wait_for_what_is_missing_and_not_for_ever)
{
    lose_messages();
    secondaries[0].silent = true;
    disk_start(SETTINGS_MASTER);
    expect_health("\"missing\":3,");
    expect_shows("\"first\"");
    expect_answer(node_call("GET", "/readyz", "", ""), 503,
                  "\"missing\":\"messages that were on its disk are missing");
    int fd = post_begin("?w=1", "x"), later = post_begin("?w=1&timeout=10", "y");
    wait(PATIENCE_MS - 10);
    cr_expect_eq(answer_of(fd).status, 0);
    wait(10);
    struct node_answer answer = answer_of(fd);
    expect_answer(answer, 503, "nothing was appended");
    cr_expect(strstr(answer.fields, "Retry-After"));
    wait(10000 - PATIENCE_MS - 10);
    cr_expect_eq(answer_of(later).status, 0);
    wait(10);
    expect_answer(answer_of(later), 503, "nothing was appended");
    close(fd);
    close(later);
    restart();
    expect_health("\"missing\":3,");
}

Test(store_start, what_is_missing_is_taken_over_and_appends_go_on)
{
    lose_messages();
    disk_lines_begin();
    disk_start(SETTINGS_MASTER);
    int fd = post_begin("?w=1", "x");
    cr_assert_eq(join(1), 200);
    settle();
    cr_expect_eq(answer_of(fd).status, 0, "its disk has it not yet");
    disk_run();
    settle();
    disk_run();
    expect_answer(answer_of(fd), 201, "{\"id\":4,");
    close(fd);
    expect_shows("\"first\",\"second\",\"third\",\"x\"");
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    expect_answer(node_call("GET", "/readyz", "", ""), 200, "\"missing\":\"ok\"");
    restart();
    expect_shows("\"first\",\"second\",\"third\",\"x\"");
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    cr_expect_eq(disk_lines("messages 2..3 were on this disk and are missing"), 1);
}

Test(store_start, who_accepts_the_loss_goes_on_without)
{
    lose_messages();
    node_start(SETTINGS_MASTER);
    disk_run();
    disk_stopped();
    hand.settings.accept_loss = true;
    disk_start(SETTINGS_MASTER);
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
    cr_assert_eq(node_call("DELETE", "/secondaries/s1", "", "").status, 204);
    append("x");
    expect_shows("\"first\",\"x\"");
    hand.settings.accept_loss = false;
    restart();
    expect_shows("\"first\",\"x\"");
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
}

/* ---- a stop while the disk hangs */

static struct worker *hung; /* what is left of such a node, to the end of the process */
static const struct log *left;

/* The node ends, and what the disk was asked for is done later. */
static void end_while_it_hangs(void)
{
    hung = hand.disk;
    left = node_view(hand.node).log;
    node_stop(hand.node, 1000);
    node_wait(1000);
    cr_expect(hung->job && !hung->done);
}

TestSuite(store_hangs, .init = disk_master_begin, .fini = disk_end, .timeout = 60);

Test(store_hangs, what_a_write_that_hangs_reads_outlives_the_node)
{
    disk_start(SETTINGS_MASTER);
    append("first");
    int fd = post_begin("?w=1", "second");
    end_while_it_hangs();
    expect_answer(node_answer(fd), 202, "{\"id\":2,\"w\":1,\"acks\":0,");
    master_end();
    cr_expect(worker_work(hung));
    cr_expect_eq(log_last(left), 2);
    disk_damage("second"); /* it is there */
    close(fd);
}

Test(store_hangs, what_a_load_that_hangs_fills_outlives_the_node)
{
    disk_start(SETTINGS_MASTER);
    append("first");
    disk_stopped();
    node_start(SETTINGS_MASTER);
    end_while_it_hangs();
    cr_expect(!hand.service.busy(hand.node));
    master_end();
    cr_expect(worker_work(hung));
    cr_expect_eq(log_last(left), 1);
}
