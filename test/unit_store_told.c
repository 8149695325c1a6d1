/* A master by hand and what the meta file tells beside its list: its members, and whether the disk has had
 * all that was acknowledged. */
#include "failing_malloc.h"

#include "concern.h"
#include "disk_by_hand.h"
#include "replication/store.h"

TestSuite(store_told, .init = disk_master_begin, .fini = disk_master_end, .timeout = 60);

static bool meta_tells(const char *part)
{
    char text[4096];
    disk_file("meta", text, sizeof text);
    return strstr(text, part);
}

/* It dies, and comes back. */
static void die(void)
{
    disk_died();
    disk_start(SETTINGS_MASTER);
}

/* s1 and s2 answer nothing more, or answer again. */
static void all_silent(bool silent)
{
    secondaries[0].silent = secondaries[1].silent = silent;
}

/* ---- members */

Test(store_told, acks_of_members_that_the_disk_does_not_tell_of_yet_count_for_nothing)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    join(2);
    int fd = post_begin("?w=2", "a"), read = node_ask("GET", "/messages/1?w=2", "", "");
    settle();
    cr_assert_eq(log_last(secondaries[0].list) + log_last(secondaries[1].list), 2);
    do {
        cr_expect(answer_of(fd).status == 0 && node_answer(read).status == 0);
        cr_expect(!meta_tells("\"s2\""));
        cr_assert(worker_work(hand.disk));
    } while (!meta_tells("\"s2\""));
    cr_expect(meta_tells("{\"id\":\"s1\","));
    settle();
    cr_expect_eq(node_answer(fd).status, 201);
    cr_expect_eq(node_answer(read).status, 200);
    close(fd);
    close(read);
}

/* ---- no memory */

/* Its next pass finds no memory for what is to be told, and nothing else needs any. */
static void pass_without_memory(void)
{
    failing_after(0);
    node_pass();
    bool failed = failing_done();
    failing_after(-1);
    cr_assert(failed);
    cr_assert(!hand.disk->job, "nothing is written");
}

Test(store_told, without_memory_it_is_told_later_and_no_message_is_written_before)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    disk_run();
    join(2);
    join(3);
    int fd = post_begin("?w=all", "a");
    cr_assert(worker_work(hand.disk));
    pass_without_memory();
    disk_run();
    cr_expect(meta_tells("\"s3\""));
    expect_answer(answer_of(fd), 201, "{\"id\":1,\"w\":4,");
    close(fd);
}

Test(store_told, without_memory_it_is_told_although_nothing_comes)
{
    node_start(SETTINGS_MASTER);
    cr_assert(worker_work(hand.disk));
    pass_without_memory();
    pass_without_memory();
    cr_expect_eq(hand.due_ms, clock_ms() + STORE_RETRY_MS);
    wait(STORE_RETRY_MS);
    disk_run();
    cr_expect(meta_tells("\"complete\":false"));
}

Test(store_told, without_memory_a_stop_is_not_over)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    disk_run();
    join(2);
    join(3);
    node_stop(hand.node, 0);
    node_pass();
    cr_assert(worker_work(hand.disk));
    pass_without_memory();
    cr_expect(hand.service.busy(hand.node));
    disk_stop();
    cr_expect(meta_tells("\"s3\""));
}

/* ---- whether it is complete */

/* A master of three nodes that two of them make sure, behind one message that all of them have. */
static void start_of_three(void)
{
    hand.settings.nodes = 3;
    hand.settings.write_concern = 2;
    disk_start(SETTINGS_MASTER);
    cr_assert_eq(join(1), 200);
    cr_assert_eq(join(2), 200);
    disk_run();
    append("a");
    settle();
    disk_run();
    cr_assert(meta_tells("\"complete\":true"));
    all_silent(true);
}

Test(store_told, it_is_complete_once_the_disk_has_what_it_had_when_it_became_sure)
{
    hand.settings.nodes = 3;
    has_old_list(1);
    disk_start(SETTINGS_MASTER);
    cr_assert_eq(join(2), 200);
    cr_assert(hand.disk->job && !hand.disk->done, "the disk has something to do meanwhile");
    cr_assert_eq(join(1), 200);
    expect_answer(node_call("GET", "/readyz", "", ""), 200, "\"nodes\":\"ok\"");
    while (!meta_tells("\"complete\":true")) {
        bool has = strstr(node_call("GET", "/health", "", "").body, "\"durable\":2,");
        cr_assert(worker_work(hand.disk), "it is never told");
        cr_expect(has || !meta_tells("\"complete\":true"));
        settle();
    }
    expect_shows("\"a\",\"b\"");
}

Test(store_told, who_does_not_know_whom_to_meet_is_never_complete)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    append("a");
    settle();
    disk_run();
    cr_expect(meta_tells("\"complete\":false"));
    disk_stopped();
    hand.settings.nodes = 2;
    hand.settings.write_concern = CONCERN_ALL;
    secondaries[0].silent = true;
    disk_start(SETTINGS_MASTER);
    cr_expect(!is_sure());
}

Test(store_told, who_is_not_sure_yet_is_as_complete_as_the_disk_told)
{
    start_of_three();
    die();
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"nodes\":\"it has not met enough");
    cr_expect(meta_tells("\"complete\":true"));
    die();
    cr_expect(meta_tells("\"complete\":true"));
    secondaries[1].silent = false;
    join(2);
    cr_expect(is_sure());
}

Test(store_told, an_accepted_loss_is_told)
{
    start_of_three();
    append("second");
    disk_stopped();
    disk_damage("second");
    hand.settings.accept_loss = true;
    disk_start(SETTINGS_MASTER);
    cr_expect(meta_tells("\"complete\":false"));
    secondaries[1].silent = false;
    join(2);
    cr_expect(!is_sure());
}

Test(store_told, a_member_that_is_greeted_before_it_registers_is_a_witness)
{
    start_of_three();
    die();
    secondaries[1].silent = false;
    wait(PATIENCE_MS);
    expect_health("\"id\":\"s2\",\"url\":\"http://a:5002\",\"state\":\"healthy\",\"acked\":1,");
    expect_answer(node_call("GET", "/readyz", "", ""), 503, "\"nodes\":\"it has not met enough");
    cr_assert_eq(join(2), 200);
    cr_expect(is_sure());
}

/* ---- missing messages are of one list */

Test(store_told, who_lost_all_its_messages_takes_its_own_list_over_and_no_other)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    append("first");
    append("second");
    disk_stopped();
    disk_damage("first");
    has_old_list(2);
    secondaries[0].silent = true;
    disk_start(SETTINGS_MASTER);
    expect_shows("");
    expect_health("\"missing\":2,");
    cr_expect_eq(join(2), 409);
    secondaries[0].silent = false;
    cr_expect_eq(join(1), 200);
    disk_run();
    settle();
    disk_run();
    expect_shows("\"first\",\"second\"");
    cr_expect(!strstr(node_call("GET", "/health", "", "").body, "missing"));
}

/* ---- log lines */

/* A master whose disk tells of a member with which it cannot connect. */
static void start_without_member(void)
{
    disk_start(SETTINGS_MASTER);
    join(1);
    append("a");
    disk_stopped();
    fake.open_result = -ECONNREFUSED;
    disk_lines_begin();
    disk_start(SETTINGS_MASTER);
}

Test(store_told, a_member_that_is_not_there_yet_may_be_starting)
{
    start_without_member();
    wait(PATIENCE_MS - 10);
    cr_expect_eq(disk_lines("WARN"), 0);
}

Test(store_told, a_member_that_is_not_there_for_so_long_is_complained_of)
{
    start_without_member();
    wait(10 * PATIENCE_MS);
    cr_expect_gt(disk_lines("WARN  node s1: cannot connect"), 0);
}
