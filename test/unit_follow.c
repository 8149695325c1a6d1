/* A secondary by hand: what it takes, from whom, and when it says so. */
#include "node_by_hand.h"

#include "log/log.h"

#include <criterion/criterion.h>
#include <inttypes.h>

enum { DELAY_MS = 500 };

/* The list that the master has. */
static struct log *list;

static void start_secondary(void)
{
    static const char *const messages[] = {"\"a\"", "\"b\"", "\"c\""};
    uint64_t last;
    list = log_open();
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        cr_assert_eq(log_append(list, span_of(messages[i]), NULL, 1, &last), 0);
    node_start(SETTINGS_SECONDARY);
}

static void end(void)
{
    node_stopped();
    log_close(list);
    cr_assert_eq(fake_open(), 0);
}

TestSuite(follow, .init = start_secondary, .fini = end, .timeout = 60);

/* Starts it anew with the settings as they are now. */
static void restart(void)
{
    end();
    start_secondary();
}

/* The master of log l takes the registration that is under way. */
static void accept_registration(unsigned epoch)
{
    char body[128];
    snprintf(body, sizeof body,
             "{\"log\":\"l\",\"epoch\":%u,\"last_id\":3,\"id\":\"s1\",\"boot\":\"m\",\"heartbeat\":1}",
             epoch);
    fake_answer(fake_last(), 200, body);
    node_pass();
}

/* A request's body with the messages `first` to `last` of the list. `digest`: NULL, or of what is before. */
static const char *batch(const char *log, unsigned epoch, uint64_t first, uint64_t last,
                         const uint64_t *digest)
{
    static char body[512];
    char text[32] = "";
    struct iovec iov[4];
    struct log_slice slice = log_slice(list, first, last);
    int pieces = log_slice_iov(&slice, iov, 4);
    cr_assert_leq(pieces, 1);
    if (digest)
        snprintf(text, sizeof text, ",\"digest\":\"%016" PRIx64 "\"", *digest);
    snprintf(body, sizeof body, "{\"log\":\"%s\",\"epoch\":%u,\"first\":%" PRIu64 "%s,\"messages\":[%.*s]}",
             log, epoch, first, text, pieces ? (int)slice.len : 0, pieces ? (char *)iov[0].iov_base : "");
    return body;
}

/* The body that the master of log l and epoch 3 sends. */
static const char *masters_batch(uint64_t first, uint64_t last)
{
    uint64_t digest = log_digest(list, first - 1);
    return batch("l", 3, first, last, &digest);
}

#define MASTERS "Log: l\r\nEpoch: 3\r\nMaster: m\r\n"

static struct node_answer replicate(const char *fields, const char *body)
{
    return node_call("POST", "/replicate", fields, body);
}

static void expect_position(struct node_answer answer, int status, uint64_t last)
{
    struct wire_ack ack;
    cr_expect_eq(answer.status, status, "%d: %s", answer.status, answer.body);
    cr_assert(wire_ack_read(span_of(answer.body), &ack));
    cr_expect(ack.last_id.is && ack.last_id.value == last, "%s", answer.body);
    cr_expect(ack.digest.is && ack.digest.value == log_digest(list, last), "%s", answer.body);
    cr_expect(strcmp(ack.from.id, "s1") == 0 && strlen(ack.from.boot) == 32, "%s", answer.body);
}

static void expect_shows(const char *elements)
{
    char wanted[128];
    struct node_answer answer = node_call("GET", "/messages", "", "");
    snprintf(wanted, sizeof wanted, "{\"messages\":[%s]}", elements);
    cr_expect_str_eq(answer.body, wanted);
}

/* A Boot field with the process's own boot. */
static const char *boot_field(void)
{
    static char field[128];
    struct wire_ack ack;
    struct node_answer answer = replicate("", "");
    cr_assert(wire_ack_read(span_of(answer.body), &ack));
    snprintf(field, sizeof field, "Boot: %s\r\n", ack.from.boot);
    return field;
}

/* ---- whom it follows */

Test(follow, who_was_never_registered_takes_messages_from_anyone)
{
    expect_position(replicate("", "{\"log\":\"l\",\"first\":1,\"messages\":[\"a\"]}"), 200, 1);
    expect_position(replicate("", "{\"log\":\"l\",\"first\":2,\"messages\":[\"b\",\"c\"]}"), 200, 3);
    expect_shows("\"a\",\"b\",\"c\"");
}

Test(follow, who_has_a_list_takes_no_other_one)
{
    uint64_t digest = log_digest(list, 1);
    expect_position(replicate("", batch("l", 3, 1, 1, NULL)), 200, 1);
    expect_position(replicate("", batch("k", 3, 2, 2, &digest)), 409, 1);
    expect_position(replicate("Log: k\r\nEpoch: 3\r\n", ""), 409, 1);
    expect_position(replicate("Log: l\r\nEpoch: 9\r\n", ""), 200, 1);
}

Test(follow, a_person_learns_what_it_is_and_has)
{
    expect_position(replicate("", ""), 200, 0);
    cr_assert(strstr(replicate("", "").body, "\"log\":null,\"epoch\":0"));
    expect_position(replicate("", batch("l", 3, 1, 1, NULL)), 200, 1);
    cr_assert(strstr(replicate("", "").body, "\"log\":\"l\",\"epoch\":3"));
}

Test(follow, who_is_registered_takes_messages_of_that_master_alone)
{
    uint64_t none = 0;
    accept_registration(3);
    expect_position(replicate("", batch("l", 2, 1, 1, &none)), 409, 0);
    expect_position(replicate("", batch("l", 4, 1, 1, &none)), 409, 0);
    expect_position(replicate("", batch("k", 3, 1, 1, &none)), 409, 0);
    expect_position(replicate("Log: l\r\nEpoch: 2\r\n", masters_batch(1, 1)), 409, 0);
    expect_position(replicate(MASTERS, batch("l", 2, 1, 1, &none)), 409, 0);
    expect_position(replicate("", masters_batch(1, 1)), 409, 0);
    expect_position(replicate("Log: l\r\nEpoch: 3\r\n", masters_batch(1, 1)), 409, 0);
    expect_position(replicate("Log: l\r\nEpoch: 3\r\nMaster: n\r\n", masters_batch(1, 1)), 409, 0);
    expect_position(replicate(MASTERS, masters_batch(1, 1)), 200, 1);
}

Test(follow, who_is_registered_tells_another_master_that_it_follows_one)
{
    accept_registration(3);
    expect_position(replicate("Log: l\r\nEpoch: 2\r\n", ""), 409, 0);
    expect_position(replicate("Log: k\r\nEpoch: 3\r\n", ""), 409, 0);
    expect_position(replicate("Log: l\r\n", ""), 409, 0);
    expect_position(replicate(MASTERS, ""), 200, 0);
}

Test(follow, who_is_registered_takes_messages_with_their_digest_only)
{
    const uint64_t wrong = 7;
    accept_registration(3);
    expect_position(replicate(MASTERS, batch("l", 3, 1, 2, NULL)), 409, 0);
    expect_position(replicate(MASTERS, batch("l", 3, 1, 2, &wrong)), 409, 0);
    expect_position(replicate(MASTERS, masters_batch(1, 2)), 200, 2);
    expect_position(replicate(MASTERS, batch("l", 3, 3, 3, &wrong)), 409, 2);
    expect_position(replicate(MASTERS, masters_batch(3, 3)), 200, 3);
}

/* What its next registration says. */
static bool is_complete(void)
{
    clock_move(10000); /* silence */
    node_pass();
    struct span body = buf_span(&fake_last()->body);
    bool complete = memmem(body.at, body.len, "\"complete\":true", strlen("\"complete\":true"));
    accept_registration(3);
    return complete;
}

Test(follow, a_process_is_complete_when_it_has_what_a_sure_master_had)
{
    accept_registration(3);
    expect_position(replicate(MASTERS, masters_batch(1, 1)), 200, 1);
    cr_assert(!is_complete());
    expect_position(replicate(MASTERS "Sure: 3\r\n", masters_batch(2, 2)), 200, 2);
    cr_assert(!is_complete());
    expect_position(replicate("Log: l\r\nEpoch: 2\r\nMaster: m\r\nSure: 0\r\n", ""), 409, 2);
    cr_assert(!is_complete());
    expect_position(replicate(MASTERS "Sure: 3\r\n", masters_batch(3, 3)), 200, 3);
    cr_assert(is_complete());
}

Test(follow, a_wrong_digest_counts_before_registration_too)
{
    const uint64_t wrong = 7;
    expect_position(replicate("", batch("l", 3, 1, 2, &wrong)), 409, 0);
    expect_shows("");
}

/* ---- which process is meant */

Test(follow, a_request_for_another_process_is_refused_and_stores_nothing)
{
    expect_position(replicate("Boot: x\r\n", batch("l", 3, 1, 1, NULL)), 409, 0);
    expect_position(replicate("Boot: x\r\n", ""), 409, 0);
    accept_registration(3);
    expect_position(replicate(MASTERS "Boot: x\r\n", masters_batch(1, 1)), 409, 0);
    expect_shows("");
}

Test(follow, a_list_of_another_process_is_not_read)
{
    expect_position(node_call("GET", "/messages", "Boot: x\r\n", ""), 409, 0);
    cr_assert_eq(node_call("GET", "/messages", boot_field(), "").status, 200);
}

Test(follow, a_request_for_this_process_is_taken)
{
    accept_registration(3);
    char fields[256];
    snprintf(fields, sizeof fields, MASTERS "%s", boot_field());
    expect_position(replicate(fields, masters_batch(1, 1)), 200, 1);
}

Test(follow, another_master_that_means_this_process_calls_for_a_registration)
{
    char fields[256];
    accept_registration(3);
    cr_assert_eq(fake_open(), 0);
    replicate("Log: l\r\nEpoch: 4\r\n", "");
    node_wait(200);
    cr_assert_eq(fake_open(), 0, "it may be meant for another one");
    snprintf(fields, sizeof fields, "Log: l\r\nEpoch: 4\r\n%s", boot_field());
    replicate(fields, "");
    node_wait(200);
    cr_assert(fake_open() == 1 && strcmp(fake_last()->target, "/register") == 0);
}

/* ---- what it stores */

Test(follow, what_is_here_already_is_skipped)
{
    accept_registration(3);
    expect_position(replicate(MASTERS, masters_batch(1, 2)), 200, 2);
    expect_position(replicate(MASTERS, masters_batch(1, 2)), 200, 2);
    expect_position(replicate(MASTERS, masters_batch(1, 3)), 200, 3);
    expect_position(replicate(MASTERS, masters_batch(2, 3)), 200, 3);
    expect_position(replicate(MASTERS, masters_batch(1, 1)), 200, 3);
    expect_shows("\"a\",\"b\",\"c\"");
}

Test(follow, what_is_here_already_must_be_the_same)
{
    static const char other[] = "{\"log\":\"l\",\"epoch\":3,\"first\":1,\"digest\":\"0000000000000000\","
                                "\"messages\":[%s]}";
    static const char *const others[] = {"\"x\"", "\"a\",\"x\"", "\"x\",\"b\",\"c\"", "\"a\",\"x\",\"c\""};
    accept_registration(3);
    expect_position(replicate(MASTERS, masters_batch(1, 2)), 200, 2);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char body[256];
        snprintf(body, sizeof body, other, others[i]);
        expect_position(replicate(MASTERS, body), 409, 2);
    }
    expect_shows("\"a\",\"b\"");
}

Test(follow, a_hole_is_refused)
{
    expect_position(replicate("", batch("l", 3, 2, 2, NULL)), 409, 0);
    expect_position(replicate("", batch("l", 3, 1, 1, NULL)), 200, 1);
    expect_position(replicate("", batch("l", 3, 3, 3, NULL)), 409, 1);
    expect_shows("\"a\"");
}

Test(follow, a_message_longer_than_allowed_is_refused)
{
    hand.settings.max_message = 3;
    restart();
    cr_assert_eq(replicate("", "{\"log\":\"l\",\"first\":1,\"messages\":[\"a\",\"1234\"]}").status, 413);
    expect_shows("");
    cr_assert_eq(replicate("", "{\"log\":\"l\",\"first\":1,\"messages\":[\"123\"]}").status, 200);
}

Test(follow, past_the_limit_of_its_list_it_is_full_and_takes_what_fits)
{
    hand.settings.max_log = 8; /* two messages */
    restart();
    accept_registration(3);
    struct node_answer answer = replicate(MASTERS, masters_batch(1, 3));
    cr_assert_eq(answer.status, 507);
    cr_assert_str_eq(answer.body, "{\"error\":\"the list here is full: MAX_LOG is 8 bytes\"}");
    expect_position(replicate(MASTERS, ""), 200, 0);
    expect_position(replicate(MASTERS, masters_batch(1, 2)), 200, 2);
    cr_assert_eq(replicate(MASTERS, masters_batch(3, 3)).status, 507);
    expect_position(replicate(MASTERS, masters_batch(1, 2)), 200, 2);
    expect_shows("\"a\",\"b\"");
}

Test(follow, what_makes_no_sense_is_refused)
{
    cr_assert_eq(replicate("", "{\"log\":\"l\"}").status, 400);
    cr_assert_eq(replicate("", "x").status, 400);
    expect_shows("");
}

Test(follow, an_error_that_was_asked_for_comes_after_the_messages_were_stored)
{
    hand.settings.errors = 1;
    restart();
    cr_assert_eq(replicate("", batch("l", 3, 1, 1, NULL)).status, 500);
    expect_shows("\"a\"");
}

/* ---- when it shows */

static void start_slow(void)
{
    hand.settings.delay_ms = DELAY_MS;
    restart();
    accept_registration(3);
}

/* Sends messages that will show later. */
static int send_slow(uint64_t first, uint64_t last)
{
    int fd = node_ask("POST", "/replicate", MASTERS, masters_batch(first, last));
    cr_assert_eq(node_answer(fd).status, 0);
    return fd;
}

Test(follow, messages_show_after_the_delay_and_no_answer_comes_before)
{
    start_slow();
    int fd = send_slow(1, 2);
    node_wait(DELAY_MS);
    cr_assert_eq(node_answer(fd).status, 0);
    expect_shows("");
    node_wait(1);
    expect_position(node_answer(fd), 200, 2);
    expect_shows("\"a\",\"b\"");
    close(fd);
}

Test(follow, each_message_is_late_by_its_own_time_alone)
{
    start_slow();
    int first = send_slow(1, 1);
    node_wait(DELAY_MS / 2);
    int second = send_slow(2, 2);
    node_wait(DELAY_MS / 2 + 1);
    expect_position(node_answer(first), 200, 1);
    cr_assert_eq(node_answer(second).status, 0);
    node_wait(DELAY_MS / 2);
    expect_position(node_answer(second), 200, 2);
    close(first);
    close(second);
}

Test(follow, what_is_stored_and_does_not_show_is_not_stored_again)
{
    start_slow();
    int first = send_slow(1, 1);
    int again = send_slow(1, 2);
    node_wait(DELAY_MS + 1);
    expect_position(node_answer(first), 200, 2);
    expect_position(node_answer(again), 200, 2);
    expect_shows("\"a\",\"b\"");
    close(first);
    close(again);
}

Test(follow, a_sign_of_life_is_answered_at_once_with_what_shows)
{
    start_slow();
    int fd = send_slow(1, 1);
    expect_position(replicate(MASTERS, ""), 200, 0);
    node_wait(DELAY_MS + 1);
    expect_position(replicate(MASTERS, ""), 200, 1);
    close(fd);
}

Test(follow, a_master_that_waits_gets_signs_of_life_and_a_person_none)
{
    start_slow();
    int master = send_slow(1, 1);
    int person = node_ask("POST", "/replicate", "", masters_batch(2, 2));
    node_wait(DELAY_MS);
    struct node_answer answer = node_answer(master);
    cr_assert(answer.interims >= 1 && answer.status == 0);
    cr_assert_eq(node_answer(person).interims, 0);
    close(master);
    close(person);
}

Test(follow, what_a_client_sent_that_has_gone_shows_all_the_same)
{
    start_slow();
    close(send_slow(1, 1));
    node_wait(DELAY_MS + 1);
    expect_shows("\"a\"");
}

Test(follow, who_waits_at_the_end_is_refused)
{
    start_slow();
    int fd = send_slow(1, 1);
    node_stop(hand.node, 0);
    node_pass();
    cr_assert_eq(node_answer(fd).status, 503);
    close(fd);
}
