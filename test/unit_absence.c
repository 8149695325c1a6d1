/* A master by hand whose secondaries fall silent: whom it forgets and when, and what it warns of meanwhile.
 */
#include "master_by_hand.h"

#include "concern.h"

#include <sys/mman.h>

enum { UNHEALTHY_MS = 5 * NODE_HEARTBEAT_MS, AFTER_MS = 2000, A_CHECK_MS = NODE_HEARTBEAT_MS / 10 + 10 };

static char text[1 << 20];
static int fd;

static void start(void)
{
    secondaries_open();
    hand.settings.write_concern = CONCERN_ALL;
    strcpy(hand.settings.host, "0.0.0.0");
    fd = memfd_create("lines", MFD_CLOEXEC);
    cr_assert_eq(logline_start(fd, LOGLINE_WARN, LOGLINE_JSON, "m"), 0);
}

TestSuite(absence, .init = start, .fini = master_end, .timeout = 60);

/* How many of the lines so far hold the text. What was logged last may come later. */
static int lines_with(const char *part)
{
    int lines = 0;
    logline_stop();
    cr_assert_geq(pread(fd, text, sizeof text - 1, 0), 0);
    for (const char *at = text; (at = strstr(at, part)); at++)
        lines++;
    cr_assert_eq(logline_start(fd, LOGLINE_WARN, LOGLINE_JSON, "m"), 0);
    return lines;
}

/* A master with s1 and s2, which hold nothing. */
static void master_start(void)
{
    node_start(SETTINGS_MASTER);
    cr_assert_eq(join(1), 200);
    cr_assert_eq(join(2), 200);
}

static void silent(int number, bool is)
{
    secondaries[number - 1].silent = is;
}

/* s1 is silent, and has been unhealthy for so long. */
static void s1_unhealthy_for(int64_t ms)
{
    silent(1, true);
    wait(UNHEALTHY_MS + ms);
}

static bool is_member(int number)
{
    char id[16];
    snprintf(id, sizeof id, "\"id\":\"s%d\"", number);
    return strstr(node_call("GET", "/health", "", "").body, id);
}

/* What a POST is answered by now: "" while it waits. */
static const char *answer(int post)
{
    static struct node_answer got;
    got = answer_of(post);
    return got.body;
}

/* ---- FORGET_AFTER */

Test(absence, a_member_is_forgotten_once_it_has_been_unhealthy_for_so_long_and_posts_go_on)
{
    hand.settings.forget_after_ms = AFTER_MS;
    master_start();
    s1_unhealthy_for(0);
    int post = post_begin("", "m");
    wait(AFTER_MS - NODE_HEARTBEAT_MS - A_CHECK_MS); /* it was silent for up to an interval less */
    cr_expect(is_member(1));
    cr_expect_str_eq(answer(post), "");
    cr_expect_eq(lines_with("forgot"), 0);
    wait(NODE_HEARTBEAT_MS + 2 * A_CHECK_MS);
    cr_expect(!is_member(1) && is_member(2));
    cr_expect_str_eq(answer(post), "{\"id\":1,\"w\":2,\"acks\":2}");
    cr_expect_eq(
        lines_with("\"level\":\"warn\",\"role\":\"m\",\"event\":\"forgotten\",\"message\":\"forgot s1, "
                   "unhealthy for 2.0 s, since FORGET_AFTER is 2.0; 1 member now\",\"member\":\"s1\","
                   "\"ms\":20"),
        1);
    close(post);
}

Test(absence, whoever_was_forgotten_is_a_member_again_when_it_registers)
{
    hand.settings.forget_after_ms = AFTER_MS;
    master_start();
    s1_unhealthy_for(AFTER_MS + A_CHECK_MS);
    cr_assert(!is_member(1));
    silent(1, false);
    cr_expect_eq(join(1), 200);
    int post = post_begin("", "m");
    cr_expect_str_eq(answer(post), "{\"id\":1,\"w\":3,\"acks\":3}");
    close(post);
}

Test(absence, by_default_nobody_is_forgotten)
{
    master_start();
    s1_unhealthy_for(0);
    int post = post_begin("", "m");
    wait(20 * UNHEALTHY_MS);
    cr_expect(is_member(1));
    cr_expect_str_eq(answer(post), "");
    close(post);
}

Test(absence, who_never_answered_is_forgotten_as_well)
{
    hand.settings.forget_after_ms = AFTER_MS;
    node_start(SETTINGS_MASTER);
    silent(1, true);
    cr_assert_eq(join(1), 200);
    wait(UNHEALTHY_MS + AFTER_MS - A_CHECK_MS);
    cr_expect(is_member(1));
    wait(3 * A_CHECK_MS);
    cr_expect(!is_member(1));
}

Test(absence, while_the_masters_own_process_stood_still_no_time_counts)
{
    hand.settings.forget_after_ms = AFTER_MS;
    master_start();
    s1_unhealthy_for(AFTER_MS - 500);
    clock_move(100 * AFTER_MS);
    node_pass();
    wait(500 - NODE_HEARTBEAT_MS - A_CHECK_MS);
    cr_expect(is_member(1));
    wait(NODE_HEARTBEAT_MS + 3 * A_CHECK_MS);
    cr_expect(!is_member(1));
}

/* ---- what it must not weaken */

Test(absence, a_master_without_its_quorum_forgets_nobody)
{
    hand.settings.forget_after_ms = AFTER_MS;
    hand.settings.quorum = CONCERN_MAJORITY;
    master_start();
    silent(2, true);
    s1_unhealthy_for(10 * AFTER_MS);
    cr_expect(is_member(1) && is_member(2));
    cr_expect_eq(node_call("POST", "/messages", "", "m").status, 503);
    silent(2, false);
    wait(2 * AFTER_MS); /* it is dialled again */
    cr_expect(!is_member(1) && is_member(2));
    int post = post_begin("", "m");
    cr_expect_str_eq(answer(post), "{\"id\":1,\"w\":2,\"acks\":2}");
    close(post);
}

Test(absence, all_goes_on_to_stand_for_as_many_nodes_as_there_are_meant_to_be)
{
    hand.settings.forget_after_ms = AFTER_MS;
    hand.settings.nodes = 3;
    master_start();
    s1_unhealthy_for(AFTER_MS + A_CHECK_MS);
    cr_expect(!is_member(1));
    int post = post_begin("", "m");
    wait(UNHEALTHY_MS);
    cr_expect_str_eq(answer(post), "");
    cr_expect_eq(join(3), 200);
    cr_expect_str_eq(answer(post), "{\"id\":1,\"w\":3,\"acks\":3}");
    close(post);
}

Test(absence, a_master_that_is_not_sure_yet_of_its_list_forgets_nobody)
{
    hand.settings.forget_after_ms = AFTER_MS;
    hand.settings.nodes = 3;
    node_start(SETTINGS_MASTER);
    cr_assert_eq(join(1), 200);
    s1_unhealthy_for(10 * AFTER_MS);
    cr_expect(is_member(1));
}

/* ---- the warning */

static const char once[] = "1 POST waits for s1, unhealthy for 0 s; if it is gone for good: curl -X DELETE "
                           "http://127.0.0.1:5001/secondaries/s1\",\"member\":\"s1\",\"count\":1,\"ms\":";

Test(absence, posts_that_wait_for_an_unhealthy_member_are_warned_of_once_a_minute)
{
    master_start();
    silent(1, true);
    int first = post_begin("", "m");
    wait(UNHEALTHY_MS - NODE_HEARTBEAT_MS - A_CHECK_MS);
    cr_expect_eq(lines_with("posts_wait"), 0);
    wait(NODE_HEARTBEAT_MS + 3 * A_CHECK_MS);
    cr_expect_eq(lines_with(once), 1);
    int second = post_begin("", "m");
    wait(60000 + A_CHECK_MS);
    cr_expect_eq(lines_with("2 POSTs wait for s1, unhealthy for 60 s; if it is gone"), 1);
    wait(60000 + A_CHECK_MS);
    cr_expect_eq(lines_with("\"level\":\"warn\",\"role\":\"m\",\"event\":\"posts_wait\""), 3);
    cr_expect_eq(node_call("DELETE", "/secondaries/s1", "", "").status, 204);
    cr_expect_str_eq(answer(first), "{\"id\":1,\"w\":2,\"acks\":2}");
    close(first);
    close(second);
}

Test(absence, it_warns_soon_after_a_post_has_come_for_which_the_member_has_been_missing_for_long)
{
    master_start();
    s1_unhealthy_for(100000);
    cr_expect_eq(lines_with("posts_wait"), 0);
    int post = post_begin("", "m");
    wait(1000 + A_CHECK_MS);
    cr_expect_eq(lines_with("1 POST waits for s1, unhealthy for 101 s"), 1);
    close(post);
}

Test(absence, a_post_that_others_can_answer_waits_for_no_unhealthy_member)
{
    master_start();
    s1_unhealthy_for(0);
    silent(2, true); /* for a moment */
    int number = post_begin("?w=2", "m"), most = post_begin("?w=majority", "m");
    wait(1000 + A_CHECK_MS);
    cr_expect_eq(lines_with("posts_wait"), 0);
    silent(2, false);
    wait(NODE_HEARTBEAT_MS);
    cr_expect_str_eq(answer(number), "{\"id\":1,\"w\":2,\"acks\":2}");
    cr_expect_str_eq(answer(most), "{\"id\":2,\"w\":2,\"acks\":2}");
    close(number);
    close(most);
}

Test(absence, where_no_removal_would_answer_them_it_says_what_would)
{
    static const char says[] =
        "s1, unhealthy for 0 s; start it again, or another in its place; if it is gone for "
        "good: curl -X DELETE http://127.0.0.1:5001/secondaries/s1\"";
    hand.settings.nodes = 3;
    master_start();
    silent(1, true);
    int post = post_begin("", "m"), number = post_begin("?w=3", "m");
    wait(UNHEALTHY_MS + A_CHECK_MS);
    cr_expect_eq(lines_with(says), 1);
    close(post);
    close(number);
}

/* A majority of three is two, and of two as well. */
Test(absence, where_a_majority_waits_it_says_what_helps_beside_a_removal)
{
    master_start();
    silent(1, true);
    silent(2, true);
    int most = post_begin("?w=majority", "m");
    wait(UNHEALTHY_MS + A_CHECK_MS);
    cr_expect_eq(lines_with("unhealthy for 0 s; start it again, or another in its place; if it is gone"), 2);
    close(most);
}

Test(absence, a_number_of_nodes_that_cannot_be_reached_without_it_waits_for_it)
{
    master_start();
    silent(1, true);
    int number = post_begin("?w=3", "m");
    wait(UNHEALTHY_MS + A_CHECK_MS);
    cr_expect_eq(
        lines_with("1 POST waits for s1, unhealthy for 0 s; start it again, or another in its place; if"), 1);
    close(number);
}

Test(absence, gets_that_wait_are_no_posts)
{
    master_start();
    silent(1, true);
    int post = post_begin("?w=1", "m");
    cr_expect_str_eq(answer(post), "{\"id\":1,\"w\":1,\"acks\":1}");
    int get = node_ask("GET", "/messages/1?w=3", "", "");
    wait(2 * UNHEALTHY_MS);
    cr_expect_eq(lines_with("posts_wait"), 0);
    close(post);
    close(get);
}

Test(absence, with_a_token_the_command_names_the_variable_and_not_the_token)
{
    master_start();
    strcpy(hand.settings.cluster_token, "sesame");
    silent(1, true);
    int post = post_begin("", "m");
    wait(UNHEALTHY_MS + A_CHECK_MS);
    cr_expect_eq(lines_with("curl -X DELETE -H \\\"Authorization: Bearer $CLUSTER_TOKEN\\\" "
                            "http://127.0.0.1:5001/secondaries/s1\""),
                 1);
    cr_expect_eq(lines_with("sesame"), 0);
    close(post);
}

Test(absence, with_a_file_for_the_token_the_command_reads_it)
{
    master_start();
    strcpy(hand.settings.cluster_token, "sesame");
    strcpy(hand.settings.cluster_token_file, "/etc/token");
    silent(1, true);
    int post = post_begin("", "m");
    wait(UNHEALTHY_MS + A_CHECK_MS);
    cr_expect_eq(lines_with("curl -X DELETE -H \\\"Authorization: Bearer $(cat '/etc/token')\\\" http"), 1);
    close(post);
}

/* Where NODES tells of more nodes than there are, no member is to blame. */
Test(absence, posts_that_wait_for_more_nodes_than_there_are_are_told_of_once_a_minute)
{
    hand.settings.nodes = 3;
    master_start();
    silent(1, true);
    silent(2, true);
    int post = post_begin("?w=all", "m"), number = post_begin("?w=9", "m");
    wait(9000);
    cr_assert_eq(node_call("DELETE", "/secondaries/s1", "", "").status, 204);
    cr_assert_eq(node_call("DELETE", "/secondaries/s2", "", "").status, 204);
    wait(500);
    cr_expect_eq(lines_with("for more nodes"), 0, "it waits for less than 10 s");
    wait(1000);
    cr_expect_eq(
        lines_with("1 POST waits for more nodes: NODES is 3, and 1 is here; start what is missing, or "
                   "this master with a smaller NODES\""),
        1);
    wait(58000);
    cr_expect_eq(lines_with("for more nodes"), 1);
    wait(61000);
    cr_expect_eq(lines_with("for more nodes"), 2);
    cr_expect_eq(lines_with("this master with a smaller NODES\""), 2,
                 "no line tells how often it was looked at");
    close(post);
    close(number);
}

Test(absence, what_a_shell_would_obey_is_encoded_in_the_command)
{
    node_start(SETTINGS_MASTER);
    silent(1, true);
    cr_assert_eq(
        node_call("POST", "/register", "", "{\"id\":\"a$(b);c/[::1]:5001\",\"url\":\"http://a:5001\"}")
            .status,
        200);
    int post = post_begin("?w=2", "m");
    wait(UNHEALTHY_MS + A_CHECK_MS);
    cr_expect_eq(lines_with("http://127.0.0.1:5001/secondaries/a%24%28b%29%3Bc%2F%5B::1%5D:5001\""), 1);
    close(post);
}
