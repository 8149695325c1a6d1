/* A link over a connection that the test answers, with a clock that the test moves. */
#include "clock.h"
#include "fake_client.h"
#include "hand_clock.h"
#include "logline.h"
#include "replication/link.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 300, ATTEMPT_MS = 5000, BIG = 1024 * 1024 };

/* ---- the link and its secondary */

static const struct settings settings = {.heartbeat_ms = HEARTBEAT_MS};
static struct complaints complaints;
static struct base base = {.settings = &settings,
                           .complaints = &complaints,
                           .own = {.boot = "m", .log = "l", .epoch = 3},
                           .fields = "A: b\r\n"};
static struct link_target target;
static struct link *the_link;
static struct link_counters counters;
static struct http_client *connection;

/* What the owner was told. */
static struct {
    unsigned times;
    uint64_t position; /* last */
    int result;
} told;

/* What the secondary was sent. */
static struct {
    unsigned signs, batches;
    uint64_t first, last; /* of the last batch */
    size_t messages_len;
    uint64_t digest;
} sent;

static int link_told(struct link *link)
{
    told.times++;
    told.position = link->position;
    return told.result < 0 ? link_fail(link, -told.result, "its owner ends it") : 0;
}

static void request_note(struct http_client *client)
{
    struct wire_replicate batch;
    char why[JSON_WHY_SIZE];
    cr_assert(strcmp(client->method, "POST") == 0 && strcmp(client->target, "/replicate") == 0);
    if (!client->body.len) {
        sent.signs++;
        return;
    }
    cr_assert_null(wire_replicate_read(buf_span(&client->body), (struct span){0}, &batch, why));
    cr_assert(strcmp(batch.log, "l") == 0 && batch.epoch == 3 && batch.digest.is);
    cr_assert_eq(batch.rewritten.len, 0);
    sent.batches++;
    sent.first = batch.first;
    sent.last = batch.first + batch.count - 1;
    sent.messages_len = batch.elements.len;
    sent.digest = batch.digest.value;
    wire_replicate_free(&batch);
}

static void link_start(void)
{
    the_link = link_open(&base, "s1", &target, clock_ms());
    cr_assert_not_null(the_link);
    the_link->told = link_told;
    the_link->counters = &counters;
    the_link->attempt_ms = ATTEMPT_MS;
    connection = the_link->client ? fake_last() : NULL;
    memset(&sent, 0, sizeof sent);
    memset(&told, 0, sizeof told);
}

static void link_again(void)
{
    link_close(the_link);
    link_start();
}

static void start(void)
{
    clock_hold();
    base.log = log_open();
    target = (struct link_target){.url = {.host = "a", .port = 5001}, .boot = "b1"};
    fake.asked = request_note;
    fake.connects = true;
    link_start();
}

static void stop(void)
{
    link_close(the_link);
    log_close(base.log);
    cr_assert_eq(fake_open(), 0);
}

TestSuite(link, .init = start, .fini = stop, .timeout = 60);

static void append(unsigned count)
{
    uint64_t last;
    while (count--)
        cr_assert_eq(log_append(base.log, span_of("\"m\""), NULL, 1, &last), 0);
}

/* Messages that fill a request each. */
static void append_big(unsigned count)
{
    char *text = malloc(BIG);
    uint64_t last;
    memset(text, 'm', BIG);
    text[0] = text[BIG - 1] = '"';
    while (count--)
        cr_assert_eq(log_append(base.log, (struct span){text, BIG}, NULL, 1, &last), 0);
    free(text);
}

/* Sends all that the link would send now. Returns when it must be called again. */
static int64_t pump(void)
{
    int64_t due_ms = link_pass(the_link, clock_ms());
    cr_assert_neq(the_link->state, LINK_FAILED, "%s", the_link->why);
    return due_ms;
}

/* What an answer tells, in JSON; NULL: it is left out. */
struct proof {
    const char *last_id, *id, *boot, *log, *epoch, *digest;
};

static void member_add(struct buf *out, const char *name, const char *value)
{
    if (value)
        buf_addf(out, "%s\"%s\":%s", out->len > 1 ? "," : "", name, value);
}

static void say_proof(const struct proof *proof)
{
    struct buf body = {0};
    buf_add_char(&body, '{');
    member_add(&body, "last_id", proof->last_id);
    member_add(&body, "id", proof->id);
    member_add(&body, "boot", proof->boot);
    member_add(&body, "log", proof->log);
    member_add(&body, "epoch", proof->epoch);
    member_add(&body, "digest", proof->digest);
    buf_add(&body, "}", 2);
    fake_answer(connection, 200, body.data);
    buf_free(&body);
}

/* The proof of a secondary that holds the list up to `last`, in static text. */
static struct proof proof_of(uint64_t last)
{
    static char last_id[24], digest[24];
    uint64_t known = last < log_last(base.log) ? last : log_last(base.log);
    snprintf(last_id, sizeof last_id, "%" PRIu64, last);
    snprintf(digest, sizeof digest, "\"%016" PRIx64 "\"", log_digest(base.log, known));
    return (struct proof){
        .last_id = last_id, .id = "\"s1\"", .boot = "\"b1\"", .log = "\"l\"", .epoch = "3", .digest = digest};
}

static void say_position(uint64_t last)
{
    const struct proof proof = proof_of(last);
    say_proof(&proof);
}

/* The secondary answers that it holds the list up to there, and the link takes it. */
static void hear(uint64_t last)
{
    say_position(last);
    cr_assert_neq(the_link->state, LINK_FAILED, "%s", the_link->why);
}

/* The greeting is answered: the secondary holds the messages up to there. */
static void greet(uint64_t last)
{
    pump();
    hear(last);
    cr_assert_eq(the_link->state, LINK_PROVEN);
}

static void expect_failure(int error, const char *why)
{
    cr_expect(the_link->state == LINK_FAILED && the_link->error == -error && strstr(the_link->why, why),
              "%d %d '%s', not %d '%s'", the_link->state, the_link->error, the_link->why, -error, why);
}

/* ---- dialling */

Test(link, it_greets_when_the_connection_is_there)
{
    connection->connected = false;
    cr_assert_eq(pump(), CLOCK_NEVER);
    cr_assert_eq(sent.signs, 0);
    connection->connected = true;
    pump();
    cr_assert(sent.signs == 1 && the_link->state == LINK_GREETS);
}

Test(link, a_dial_that_fails_says_where_it_went)
{
    connection->connected = false;
    fake_fail(connection, -ECONNREFUSED, "nobody");
    expect_failure(ECONNREFUSED, "cannot connect to a port 5001: nobody");
}

Test(link, a_dial_that_fails_at_once_is_a_link_that_has_failed)
{
    fake.open_result = -ENETUNREACH;
    link_again();
    expect_failure(ENETUNREACH, "cannot connect to a port 5001: ");
    int64_t now_ms = clock_ms();
    cr_assert_eq(link_pass(the_link, now_ms), now_ms);
}

/* ---- sending */

Test(link, the_first_request_asks_what_the_secondary_has_and_goes_alone)
{
    append(3);
    pump();
    pump();
    cr_assert(sent.signs == 1 && sent.batches == 0);
}

Test(link, each_request_says_whose_it_is_and_for_which_process)
{
    append(1);
    pump();
    cr_assert_str_eq(connection->fields, "A: b\r\nLog: l\r\nEpoch: 3\r\nMaster: m\r\nBoot: b1\r\n");
    greet(0);
    pump();
    cr_assert_eq(sent.batches, 1);
    cr_assert_str_eq(connection->fields, "A: b\r\nLog: l\r\nEpoch: 3\r\nMaster: m\r\nBoot: b1\r\n");
    target.boot[0] = '\0';
    link_again();
    pump();
    cr_assert_str_eq(connection->fields, "A: b\r\nLog: l\r\nEpoch: 3\r\nMaster: m\r\n");
}

Test(link, what_it_lacks_follows_and_each_request_tells_the_digest_before_it)
{
    append(5);
    greet(2);
    pump();
    cr_assert(sent.batches == 1 && sent.first == 3 && sent.last == 5);
    cr_assert_eq(sent.digest, log_digest(base.log, 2));
    append(1);
    pump();
    cr_assert(sent.batches == 2 && sent.first == 6 && sent.last == 6);
    cr_assert_eq(sent.digest, log_digest(base.log, 5));
}

Test(link, an_idle_link_carries_signs_of_life)
{
    greet(0);
    clock_move(HEARTBEAT_MS - 1);
    cr_assert_eq(pump(), clock_ms() + 1);
    cr_assert_eq(sent.signs, 1);
    clock_move(1);
    pump();
    cr_assert_eq(sent.signs, 2);
}

Test(link, so_many_requests_are_under_way_and_an_answer_lets_one_more_go)
{
    greet(0);
    for (unsigned i = 0; i < LINK_WINDOW + 5; i++) {
        append(1);
        pump();
    }
    cr_assert_eq(sent.batches, LINK_WINDOW);
    clock_move(HEARTBEAT_MS);
    cr_assert_eq(pump(), clock_ms() - HEARTBEAT_MS + ATTEMPT_MS);
    cr_assert_eq(sent.signs, 1, "a full window takes no sign of life");
    hear(1);
    pump();
    cr_assert_eq(sent.batches, LINK_WINDOW + 1);
    cr_assert(sent.first == LINK_WINDOW + 1 && sent.last == LINK_WINDOW + 5, "what waited goes together");
}

Test(link, so_many_bytes_are_under_way_and_an_answer_lets_more_go)
{
    enum { FIT = LINK_WINDOW_BYTES / BIG };
    append_big(FIT + 2);
    greet(0);
    pump();
    cr_assert(sent.batches == FIT && sent.messages_len == BIG);
    hear(1);
    pump();
    cr_assert_eq(sent.batches, FIT + 1);
}

Test(link, a_batch_ends_before_its_limit_but_for_one_longer_message)
{
    append(1);
    append_big(2);
    append(2);
    greet(0);
    pump();
    cr_assert_eq(sent.batches, 4);
    cr_assert(sent.first == 4 && sent.last == 5);
}

Test(link, a_request_that_has_not_left_is_waited_for)
{
    greet(0);
    connection->full = true;
    append(1);
    pump();
    append(1);
    clock_move(HEARTBEAT_MS);
    pump();
    cr_assert(sent.batches == 1 && sent.signs == 1);
    fake_drain(connection);
    pump();
    cr_assert(sent.batches == 2 && sent.first == 2 && sent.signs == 1);
}

Test(link, in_the_second_half_of_the_window_requests_are_spread_over_a_round)
{
    enum { ROUND_MS = 1500, APART_MS = ROUND_MS / (LINK_WINDOW / 2) };
    pump();
    clock_move(ROUND_MS);
    hear(0);
    for (unsigned i = 0; i < LINK_WINDOW / 2; i++) {
        append(1);
        pump();
    }
    cr_assert_eq(sent.batches, LINK_WINDOW / 2);
    append(2);
    clock_move(APART_MS - 1);
    cr_assert_eq(pump(), clock_ms() + 1);
    cr_assert_eq(sent.batches, LINK_WINDOW / 2);
    clock_move(1);
    pump();
    cr_assert(sent.batches == LINK_WINDOW / 2 + 1 && sent.last - sent.first == 1);
}

/* ---- receiving */

Test(link, a_greetings_answer_decides_where_to_go_on)
{
    append(3);
    greet(2);
    cr_assert(the_link->position == 2 && the_link->next.id == 3 && !the_link->progressed);
    cr_assert(told.times == 1 && told.position == 2);
    cr_assert_str_eq(the_link->peer.boot, "b1");
}

Test(link, the_answer_to_messages_is_progress)
{
    append(3);
    greet(0);
    pump();
    hear(3);
    cr_assert(the_link->position == 3 && the_link->progressed && !the_link->under_way);
    cr_assert(told.times == 2 && told.position == 3);
}

Test(link, answers_come_in_the_order_of_the_requests)
{
    greet(0);
    for (unsigned i = 0; i < 3; i++) {
        append(1);
        pump();
    }
    for (unsigned i = 1; i <= 3; i++) {
        hear(i);
        cr_assert(the_link->position == i && the_link->under_way == 3 - i);
    }
}

Test(link, bytes_that_are_no_answer_yet_tell_no_position)
{
    pump();
    clock_move(10);
    cr_assert(fake_hear(connection));
    cr_assert(the_link->state == LINK_GREETS && the_link->under_way == 1 && told.times == 0);
    cr_assert_eq(the_link->heard_ms, clock_ms());
}

Test(link, a_position_does_not_sink)
{
    append(2);
    greet(0);
    pump();
    clock_move(HEARTBEAT_MS);
    pump(); /* a sign of life that is answered with the position at its arrival */
    hear(2);
    hear(0);
    cr_assert(the_link->position == 2 && told.position == 2);
}

Test(link, its_owner_may_end_it)
{
    told.result = -ENOMEM;
    pump();
    say_position(0);
    expect_failure(ENOMEM, "its owner ends it");
}

Test(link, the_end_of_the_connection_ends_the_link)
{
    pump();
    fake_fail(connection, -ECONNRESET, "it closed the connection");
    expect_failure(ECONNRESET, "it closed the connection");
}

Test(link, a_request_that_cannot_be_sent_ends_the_link)
{
    fake.request_result = -EPIPE;
    link_pass(the_link, clock_ms());
    expect_failure(EPIPE, strerror(EPIPE));
}

/* ---- proof: each alone, and told.position is never what was not proven */

/* What stands in a right proof in the place of one of its parts; "-": nothing. */
struct wrong {
    struct proof parts;
    const char *why;
};

static const char *part_of(const char *right, const char *wrong)
{
    if (!wrong)
        return right;
    return strcmp(wrong, "-") == 0 ? NULL : wrong;
}

static void say_wrong(uint64_t last, const struct proof *wrong)
{
    const struct proof right = proof_of(last);
    const struct proof proof = {
        .last_id = part_of(right.last_id, wrong->last_id),
        .id = part_of(right.id, wrong->id),
        .boot = part_of(right.boot, wrong->boot),
        .log = part_of(right.log, wrong->log),
        .epoch = part_of(right.epoch, wrong->epoch),
        .digest = part_of(right.digest, wrong->digest),
    };
    say_proof(&proof);
}

static const struct wrong wrongs[] = {
    {{.last_id = "-"}, "its answer has no last_id"},
    {{.last_id = "-3"}, "its answer makes no sense"},
    {{.id = "\"s2\""}, "the program at its address is s2"},
    {{.boot = "-"}, "its answer names no boot"},
    {{.boot = "\"\""}, "its answer names no boot"},
    {{.boot = "\"b2\""}, "another program answers at its address than the one that registered"},
    {{.log = "-"}, "it holds the log of nobody"},
    {{.log = "null"}, "it holds the log of nobody"},
    {{.log = "\"k\""}, "it holds the log k"},
    {{.epoch = "-"}, "it follows epoch 0, and this master's is 3"},
    {{.epoch = "2"}, "it follows epoch 2, and this master's is 3"},
    {{.epoch = "4"}, "it follows epoch 4, and this master's is 3"},
    {{.digest = "-"}, "its answer has no digest"},
    {{.digest = "\"0000000000000000\""}, "its list differs from this master's at message 2 or before"},
    {{.last_id = "1"}, "its list differs from this master's at message 1 or before"},
    {{.last_id = "3"}, "it holds 3 messages, and this master 2"},
};
enum { WRONGS = sizeof wrongs / sizeof *wrongs };

Test(link, a_greetings_answer_counts_with_every_proof_alone)
{
    append(2);
    for (size_t i = 0; i < WRONGS; i++) {
        link_again();
        pump();
        say_wrong(2, &wrongs[i].parts);
        expect_failure(EBADMSG, wrongs[i].why);
        cr_expect_eq(told.times, 0, "%s", wrongs[i].why);
    }
}

Test(link, the_answer_to_messages_counts_with_every_proof_alone)
{
    append(2);
    for (size_t i = 0; i < WRONGS; i++) {
        link_again();
        greet(0);
        pump();
        say_wrong(2, &wrongs[i].parts);
        expect_failure(EBADMSG, wrongs[i].why);
        cr_expect(told.times == 1 && told.position == 0, "%s", wrongs[i].why);
    }
}

Test(link, the_answer_to_a_sign_of_life_counts_with_every_proof_alone)
{
    append(2);
    for (size_t i = 0; i < WRONGS; i++) {
        link_again();
        greet(2);
        clock_move(HEARTBEAT_MS);
        pump();
        say_wrong(2, &wrongs[i].parts);
        expect_failure(EBADMSG, wrongs[i].why);
        cr_expect(told.times == 1 && told.position == 2, "%s", wrongs[i].why);
    }
}

Test(link, a_position_behind_what_was_taken_ends_the_link)
{
    append(3);
    greet(0);
    pump();
    say_position(2);
    expect_failure(EBADMSG, "it holds 2 after it took 3");
    cr_assert(told.times == 1 && told.position == 0);
}

Test(link, another_list_of_the_same_length_is_told_apart)
{
    append(2);
    pump();
    say_wrong(2, &(struct proof){.digest = "\"00000000000000ff\""});
    cr_assert(the_link->state == LINK_FAILED && the_link->differs);
}

Test(link, who_has_no_list_yet_needs_no_log)
{
    append(2);
    pump();
    say_wrong(0, &(struct proof){.id = "null", .log = "null", .epoch = "0"});
    cr_assert_eq(the_link->state, LINK_PROVEN, "%s", the_link->why);
    pump();
    cr_assert(sent.batches == 1 && sent.first == 1);
}

/* ---- whose answers count */

Test(link, without_a_name_of_its_own_the_registered_process_counts)
{
    pump();
    say_wrong(0, &(struct proof){.id = "null"});
    cr_assert_eq(the_link->state, LINK_PROVEN, "%s", the_link->why);
}

Test(link, another_process_of_the_member_does_not_count)
{
    for (int named = 0; named < 2; named++) {
        link_again();
        pump();
        say_wrong(0, &(struct proof){.boot = "\"b2\"", .id = named ? NULL : "null"});
        expect_failure(EBADMSG, "another program answers at its address than the one that registered");
        cr_assert_eq(told.times, 0);
    }
}

Test(link, where_no_process_registered_the_first_that_answers_counts)
{
    target.boot[0] = '\0';
    link_again();
    pump();
    say_wrong(0, &(struct proof){.boot = "\"b2\"", .id = "null"});
    cr_assert_eq(the_link->state, LINK_PROVEN, "%s", the_link->why);
}

Test(link, all_answers_come_from_one_process)
{
    append(1);
    greet(0);
    pump();
    say_wrong(1, &(struct proof){.boot = "\"b2\""});
    expect_failure(EBADMSG, "another program answers");
    cr_assert(told.times == 1 && told.position == 0);
}

Test(link, the_process_that_answered_first_is_the_one_that_counts)
{
    target.boot[0] = '\0';
    link_again();
    append(1);
    pump();
    say_wrong(0, &(struct proof){.boot = "\"b2\""});
    pump();
    say_wrong(1, &(struct proof){.boot = "\"b3\""});
    expect_failure(EBADMSG, "another program answers");
    cr_assert(told.times == 1 && told.position == 0);
}

/* ---- refusals */

/* What comes as the answer to a request with the messages 1 to 3, which are all. */
static const struct {
    int status;
    const char *body;
    int error;
    const char *why;
} refusals[] = {
    {200, "{}", EBADMSG, "its answer has no last_id"},
    {200, "", EBADMSG, "its answer makes no sense"},
    {200, "[]", EBADMSG, "its answer makes no sense"},
    {204, "", EPROTO, "it answered 204"},
    {409, "{\"error\":\"no\",\"last_id\":3}", EPROTO, "it answered 409: no"},
    {413, "{\"error\":\"no\"}", EPROTO, "it answered 413: no; its MAX_MESSAGE is too low"},
    {500, "", EPROTO, "it answered 500"},
};

Test(link, an_answer_that_is_none_ends_the_link_and_says_why)
{
    append(3);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        link_again();
        greet(0);
        pump();
        fake_answer(connection, refusals[i].status, refusals[i].body);
        expect_failure(refusals[i].error, refusals[i].why);
        cr_expect(told.times == 1 && told.position == 0);
    }
}

Test(link, an_answer_that_nobody_asked_for_ends_the_link)
{
    append(1);
    greet(0);
    pump();
    hear(1);
    say_position(1);
    expect_failure(EBADMSG, "it answered what was not asked");
    cr_assert_eq(told.times, 2);
}

Test(link, the_status_of_a_refusal_is_kept)
{
    pump();
    fake_answer(connection, 409, "{\"error\":\"not yet\"}");
    expect_failure(EPROTO, "it answered 409: not yet");
    cr_assert(the_link->status == 409 && told.times == 0);
}

Test(link, the_first_reason_counts)
{
    pump();
    fake_answer(connection, 500, "");
    cr_assert_eq(link_fail(the_link, ENOMEM, "another"), -EPROTO);
    expect_failure(EPROTO, "it answered 500");
}

/* ---- silence */

static void expect_overdue_after(int64_t ms)
{
    int64_t since_ms = clock_ms();
    clock_move(ms - 1);
    pump();
    clock_move(1);
    link_pass(the_link, since_ms + ms);
    expect_failure(ETIMEDOUT, "it did not answer within ");
}

Test(link, a_greeting_has_a_time_of_its_own)
{
    cr_assert_eq(pump(), clock_ms() + LINK_ATTEMPT_MS);
    expect_overdue_after(LINK_ATTEMPT_MS);
}

Test(link, a_silent_link_is_overdue_after_its_time_from_the_oldest_request_on)
{
    append(1);
    greet(0);
    pump();
    clock_move(1000);
    append(1);
    pump();
    expect_overdue_after(ATTEMPT_MS - 1000);
}

Test(link, any_byte_begins_the_time_anew)
{
    append(1);
    greet(0);
    pump();
    clock_move(4000);
    cr_assert(fake_hear(connection));
    clock_move(4000);
    cr_assert(fake_hear(connection));
    pump();
    expect_overdue_after(ATTEMPT_MS);
}

Test(link, the_time_begins_with_the_first_request_that_waits)
{
    greet(0);
    clock_move(HEARTBEAT_MS - 1);
    append(1);
    pump();
    expect_overdue_after(ATTEMPT_MS);
}

Test(link, without_a_request_under_way_nothing_is_overdue)
{
    greet(0);
    clock_move(1000 * ATTEMPT_MS);
    pump();
    cr_assert_eq(sent.signs, 2);
}

Test(link, the_silence_while_its_own_process_stood_still_does_not_count)
{
    append(1);
    greet(0);
    pump();
    clock_move(10 * ATTEMPT_MS);
    link_woke(the_link, 10 * ATTEMPT_MS, clock_ms());
    pump();
    cr_assert_eq(sent.signs, 2, "a sign of life is due at once");
    expect_overdue_after(ATTEMPT_MS);
}

Test(link, a_request_from_before_it_stood_still_waits_from_then_on)
{
    greet(0);
    clock_move(HEARTBEAT_MS - 1);
    append(1);
    pump();
    clock_move(10 * ATTEMPT_MS);
    link_woke(the_link, 10 * ATTEMPT_MS, clock_ms());
    pump();
    expect_overdue_after(ATTEMPT_MS);
}

Test(link, what_was_heard_before_it_stood_still_counts_as_heard_after)
{
    append(1);
    greet(0);
    pump();
    clock_move(1000);
    cr_assert(fake_hear(connection));
    clock_move(10 * ATTEMPT_MS);
    link_woke(the_link, 10 * ATTEMPT_MS, clock_ms());
    pump();
    expect_overdue_after(ATTEMPT_MS);
}

/* ---- what is learnt for the next link */

Test(link, the_next_batch_is_a_quarter_where_none_was_answered)
{
    append(1);
    greet(0);
    cr_assert_eq(link_next_batch(the_link), LINK_BATCH_BYTES, "no batch was begun");
    pump();
    cr_assert_eq(link_next_batch(the_link), LINK_BATCH_BYTES / 4);
    the_link->batch_bytes = 2 * LINK_BATCH_LEAST;
    cr_assert_eq(link_next_batch(the_link), LINK_BATCH_LEAST);
    hear(1);
    cr_assert_eq(link_next_batch(the_link), 2 * LINK_BATCH_LEAST, "one was answered");
}

Test(link, a_smaller_batch_is_kept_to_and_doubles_with_so_many_answers)
{
    append_big(1);
    append(8 * LINK_BATCH_LEAST / 4); /* each "m" with its comma is four bytes */
    the_link->batch_bytes = LINK_BATCH_LEAST;
    greet(1);
    pump();
    cr_assert(sent.batches == 8 && sent.messages_len <= LINK_BATCH_LEAST &&
              sent.messages_len > LINK_BATCH_LEAST - 8);
    for (unsigned i = 0; i < LINK_BATCH_GROWS; i++) {
        append(1);
        pump();
    }
    cr_assert_eq(the_link->batch_bytes, LINK_BATCH_LEAST);
    for (unsigned i = 0; i < LINK_BATCH_GROWS; i++)
        hear(log_last(base.log));
    cr_assert_eq(the_link->batch_bytes, 2 * LINK_BATCH_LEAST);
    cr_assert_eq(link_next_batch(the_link), 2 * LINK_BATCH_LEAST, "none of this length was begun");
}

static void append_answered(unsigned count)
{
    while (count--) {
        append(1);
        pump();
        hear(log_last(base.log));
    }
}

Test(link, answers_to_requests_of_the_earlier_length_do_not_count_for_the_longer_one)
{
    enum { LEFT = 5 };
    the_link->batch_bytes = LINK_BATCH_LEAST;
    greet(0);
    for (unsigned i = 0; i < LINK_BATCH_GROWS + LEFT; i++) {
        append(1);
        pump();
    }
    for (unsigned i = 0; i < LINK_BATCH_GROWS; i++)
        hear(log_last(base.log));
    append(1);
    pump();
    for (unsigned i = 0; i < LEFT; i++)
        hear(log_last(base.log));
    cr_assert_eq(link_next_batch(the_link), LINK_BATCH_LEAST, "none of the longer ones was answered");
    hear(log_last(base.log));
    append_answered(LINK_BATCH_GROWS - 2);
    cr_assert_eq(link_next_batch(the_link), 2 * LINK_BATCH_LEAST);
    append_answered(1);
    cr_assert_eq(link_next_batch(the_link), 4 * LINK_BATCH_LEAST);
}

/* What the next link's requests may hold, where the first request with messages of this one was answered so.
 */
static uint64_t next_batch_after(int status, const char *body)
{
    link_again();
    greet(0);
    pump();
    fake_answer(connection, status, body);
    cr_assert_eq(the_link->state, LINK_FAILED);
    return link_next_batch(the_link);
}

Test(link, a_request_that_was_refused_has_arrived_but_for_408)
{
    append(1);
    cr_assert_eq(next_batch_after(500, ""), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(503, ""), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(409, "{\"error\":\"no\",\"last_id\":0}"), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(200, "{}"), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(408, ""), LINK_BATCH_BYTES / 4);
}

Test(link, after_one_that_was_too_long_each_request_has_one_message_until_some_are_answered)
{
    append(3);
    cr_assert_eq(next_batch_after(413, ""), LINK_BATCH_SINGLE);
    link_again();
    the_link->batch_bytes = LINK_BATCH_SINGLE;
    greet(0);
    pump();
    cr_assert(sent.batches == 3 && sent.first == 3 && sent.last == 3);
    cr_assert_eq(link_next_batch(the_link), LINK_BATCH_SINGLE, "it does not grow by a failure");
    for (unsigned i = 1; i <= 3; i++)
        hear(i);
    append_answered(LINK_BATCH_GROWS - 3);
    cr_assert_eq(link_next_batch(the_link), 2 * LINK_BATCH_SINGLE);
}

Test(link, a_batch_does_not_grow_past_its_limit)
{
    greet(0);
    append_answered(2 * LINK_BATCH_GROWS);
    cr_assert_eq(the_link->batch_bytes, LINK_BATCH_BYTES);
}

/* ---- log lines */

/* Five links, one after the other, greet at 1 and send the rest, of which `sent_before` was sent before: how
 * many lines at info hold the text. */
static int lines_of_five_links(uint64_t sent_before, const char *line)
{
    char text[8192] = "";
    int lines = 0;
    int fd = memfd_create("lines", MFD_CLOEXEC);
    complaints = (struct complaints){0};
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, LOGLINE_TEXT, "master"), 0);
    for (int i = 0; i < 5; i++) {
        link_again();
        the_link->sent_before = sent_before;
        greet(1);
        pump();
    }
    logline_stop();
    cr_assert(pread(fd, text, sizeof text - 1, 0) >= 0);
    close(fd);
    for (const char *at = text; (at = strstr(at, line)); at++)
        lines++;
    return lines;
}

Test(link, a_link_that_is_connected_again_and_again_is_told_of_three_times)
{
    append(2);
    cr_assert_eq(lines_of_five_links(0, "connected to s1, which holds 1 of 2 messages"), COMPLAINT_INFOS);
}

Test(link, what_is_sent_again_and_again_is_told_of_three_times)
{
    append(2);
    cr_assert_eq(lines_of_five_links(0, "sending 2 to s1"), 5);
    cr_assert_eq(lines_of_five_links(2, "sending 2 to s1 again"), COMPLAINT_INFOS);
}
