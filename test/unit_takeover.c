/* A take-over over a connection that the test answers, with a clock that the test moves. */
#include "clock.h"
#include "elements.h"
#include "fake_client.h"
#include "hand_clock.h"
#include "replication/takeover.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGE = 10, PAUSE_MS = 100, IDLE_MS = 2000 };

static const struct settings settings = {.max_message = MAX_MESSAGE};
static struct complaints complaints;
static struct base base = {.settings = &settings, .complaints = &complaints, .fields = "A: b\r\n"};
static struct wire_register holder = {.from = {.id = "s1", .boot = "b1"}};
static const struct http_url url = {.host = "a", .port = 5001};
static struct takeover *takeover;

static void append(struct log *log, const char *elements, uint64_t count)
{
    uint64_t last;
    cr_assert_eq(list_append(log, span_of(elements), count, &last), 0);
}

/* The master's list is "a", and the secondary's goes on with these elements. */
static void start_with(const char *elements, uint64_t count)
{
    struct log *theirs = log_open();
    append(theirs, "\"a\"", 1);
    append(theirs, elements, count);
    base.log = log_open();
    append(base.log, "\"a\"", 1);
    holder.stored = log_tail(theirs).last;
    holder.digest.value = log_tail(theirs).digest;
    log_close(theirs);
    takeover = takeover_open(&base, &holder, &url, clock_ms());
    cr_assert_not_null(takeover);
}

static void start(void)
{
    clock_hold();
    start_with("\"b\",\"c\"", 2);
}

static void end(void)
{
    if (takeover)
        takeover_close(takeover);
    takeover = NULL;
    log_close(base.log);
    cr_assert_eq(fake_open(), 0);
}

TestSuite(takeover, .init = start, .fini = end, .timeout = 60);

static int64_t pass(void)
{
    return takeover_pass(takeover, clock_ms());
}

static void expect_state(enum takeover_state state, const char *why)
{
    pass();
    cr_expect(takeover_state(takeover) == state && strstr(takeover_why(takeover), why),
              "%d '%s', not %d '%s'", takeover_state(takeover), takeover_why(takeover), state, why);
}

/* A part of an answer comes. Returns whether more may come. */
static bool say_part(const char *text)
{
    const struct http_head head = {.status = 200, .framing = HTTP_FRAMING_CHUNKED};
    return fake_part(fake_last(), &head, span_of(text));
}

/* Dials, and the secondary answers with such a list. */
static void fetch(const char *text)
{
    pass();
    if (say_part(text))
        fake_answer(fake_last(), 200, "");
    pass();
}

static void expect_untouched(void)
{
    cr_expect_eq(log_last(base.log), 1);
}

/* ---- what it fetches */

Test(takeover, a_list_that_has_no_room_is_not_taken)
{
    log_limit(base.log, 11); /* one byte less than three messages */
    fetch("{\"messages\":[\"b\",\"c\"]}");
    expect_state(TAKEOVER_LONG_LIST, "its list is longer than MAX_LOG here");
    expect_untouched();
}

Test(takeover, a_list_that_just_fits_is_taken)
{
    log_limit(base.log, 12);
    fetch("{\"messages\":[\"b\",\"c\"]}");
    takeover_append(takeover);
    cr_assert_eq(takeover_state(takeover), TAKEOVER_DONE);
}

Test(takeover, it_asks_that_process_for_what_the_master_lacks)
{
    pass();
    cr_assert_str_eq(fake_last()->method, "GET");
    cr_assert_str_eq(fake_last()->target, "/messages?from=2");
    cr_assert_str_eq(fake_last()->fields, "A: b\r\nBoot: b1\r\n");
    cr_assert_str_eq(fake_last()->url.host, "a");
}

Test(takeover, what_has_the_right_digest_is_appended_when_all_of_it_is_there)
{
    pass();
    cr_assert(say_part("{\"messages\":[\"b\""));
    expect_state(TAKEOVER_FETCHES, "");
    cr_assert(!say_part(",\"c\"]}"), "all is there");
    expect_state(TAKEOVER_PROVEN, "");
    expect_untouched();
    takeover_append(takeover);
    cr_assert_eq(takeover_state(takeover), TAKEOVER_DONE);
    cr_assert(log_tail(base.log).last == 3 && log_tail(base.log).digest == holder.digest.value);
}

Test(takeover, a_list_is_the_same_however_it_is_cut_and_spelt)
{
    static const char text[] = " { \"messages\" : [ \"\\u0062\\\"\" ,\n\"\\\\\" ] } ";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        char first[sizeof text] = "";
        memcpy(first, text, cut);
        end();
        start_with("\"b\\\"\",\"\\\\\"", 2);
        pass();
        if (say_part(first))
            say_part(text + cut);
        expect_state(TAKEOVER_PROVEN, "");
    }
}

Test(takeover, a_message_that_was_cut_may_come_again_in_another_spelling)
{
    pass();
    say_part("{\"messages\":[\"b\",\"\\u0063");
    fake_fail(fake_last(), -ECONNRESET, "it closed the connection");
    pass();
    clock_move(PAUSE_MS);
    fetch("{\"messages\":[\"c\"]}");
    expect_state(TAKEOVER_PROVEN, "");
}

Test(takeover, another_list_is_not_taken)
{
    fetch("{\"messages\":[\"b\",\"x\"]}");
    expect_state(TAKEOVER_DIFFERS, "what was fetched is not the list that it told of");
    expect_untouched();
}

Test(takeover, it_goes_on_where_a_connection_was_cut)
{
    pass();
    say_part("{\"messages\":[\"b\",\"c");
    fake_fail(fake_last(), -ECONNRESET, "it closed the connection");
    cr_assert_eq(pass(), clock_ms() + PAUSE_MS);
    cr_assert_eq(fake_open(), 0);
    clock_move(PAUSE_MS);
    pass();
    cr_assert_str_eq(fake_last()->target, "/messages?from=3");
    say_part("{\"messages\":[\"c\"");
    expect_state(TAKEOVER_PROVEN, "");
}

Test(takeover, a_list_that_is_shorter_than_was_told_is_asked_for_again)
{
    fetch("{\"messages\":[\"b\"]}");
    clock_move(PAUSE_MS);
    fetch("{\"messages\":[]}");
    clock_move(PAUSE_MS);
    fetch("{\"messages\":[\"c\"]}");
    expect_state(TAKEOVER_PROVEN, "");
}

Test(takeover, where_the_process_is_not_known_none_is_named)
{
    holder.from.boot[0] = '\0';
    end();
    start();
    pass();
    cr_assert_str_eq(fake_last()->fields, "A: b\r\n");
}

/* ---- bounds */

Test(takeover, it_takes_no_more_than_it_was_told_of)
{
    fetch("{\"messages\":[\"b\",\"c\",\"d\",\"e\"]}");
    expect_state(TAKEOVER_PROVEN, "");
    takeover_append(takeover);
    cr_assert_eq(log_last(base.log), 3);
}

Test(takeover, a_message_longer_than_allowed_ends_it)
{
    fetch("{\"messages\":[\"0123456789\",\"01234567890\"]}");
    expect_state(TAKEOVER_LONG_MESSAGE, "a message is longer than MAX_MESSAGE here");
    expect_untouched();
}

Test(takeover, a_message_that_does_not_end_ends_it)
{
    int parts = 0;
    pass();
    cr_assert(say_part("{\"messages\":[\""));
    while (say_part("0123456789012345678901234567890123456789"))
        cr_assert_lt(++parts, 1000);
    expect_state(TAKEOVER_LONG_MESSAGE, "a message is longer than MAX_MESSAGE here");
}

Test(takeover, an_empty_message_ends_it)
{
    fetch("{\"messages\":[\"\"]}");
    expect_state(TAKEOVER_FAILED, "its answer is no list");
}

Test(takeover, an_answer_that_is_no_list_is_asked_for_again)
{
    static const char *const texts[] = {"[]", "{\"messages\":{", "{\"message\":[", "x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pass();
        cr_expect(!say_part(texts[i]), "%s", texts[i]);
        expect_state(TAKEOVER_FETCHES, "");
        clock_move(PAUSE_MS);
    }
    fetch("{\"messages\":[\"b\",\"c\"]}");
    expect_state(TAKEOVER_PROVEN, "");
}

Test(takeover, white_space_without_end_is_no_list)
{
    int parts = 0;
    pass();
    while (say_part("                                                                                "))
        cr_assert_lt(++parts, 1000);
    expect_state(TAKEOVER_FETCHES, "");
    cr_assert_eq(fake_open(), 0, "the connection is given up");
}

Test(takeover, an_answer_of_another_status_is_asked_for_again)
{
    const struct http_head head = {.status = 500, .framing = HTTP_FRAMING_CLOSE};
    pass();
    cr_assert(fake_part(fake_last(), &head, span_of("{\"messages\":[\"x\"")));
    fake_answer(fake_last(), 500, "");
    expect_state(TAKEOVER_FETCHES, "");
    clock_move(PAUSE_MS);
    fetch("{\"messages\":[\"b\",\"c\"]}");
    expect_state(TAKEOVER_PROVEN, "");
}

/* ---- the process that had it is gone */

Test(takeover, another_program_at_its_address_ends_it)
{
    pass();
    fake_answer(fake_last(), 409, "");
    expect_state(TAKEOVER_FAILED, "another program answers at its address now");
    cr_assert_eq(fake_open(), 0);
}

static void refuse(void)
{
    pass();
    fake_fail(fake_last(), -ECONNREFUSED, "refused");
    pass();
}

Test(takeover, an_address_where_nobody_listens_for_so_long_ends_it)
{
    int64_t began_ms = clock_ms();
    refuse();
    while (clock_ms() + PAUSE_MS < began_ms + TAKEOVER_REFUSED_MS) {
        clock_move(PAUSE_MS);
        refuse();
        expect_state(TAKEOVER_FETCHES, "");
    }
    clock_move(PAUSE_MS);
    expect_state(TAKEOVER_FAILED, "nobody listens at its address any more");
}

Test(takeover, who_listens_again_is_not_gone)
{
    refuse();
    clock_move(TAKEOVER_REFUSED_MS - 1);
    pass();
    fake_hear(fake_last());
    clock_move(TAKEOVER_REFUSED_MS - 1);
    expect_state(TAKEOVER_FETCHES, "");
}

Test(takeover, an_address_that_is_not_reached_is_not_gone)
{
    pass();
    fake_fail(fake_last(), -ETIMEDOUT, "late");
    clock_move(TAKEOVER_REFUSED_MS);
    expect_state(TAKEOVER_FETCHES, "");
}

/* ---- too late */

/* Lets so much time go by, with passes as they are asked for. */
static void wait(int64_t ms)
{
    for (int64_t until_ms = clock_ms() + ms; clock_ms() < until_ms;) {
        int64_t due_ms = pass();
        int64_t now_ms = clock_ms();
        if (due_ms > until_ms)
            due_ms = until_ms;
        clock_move(due_ms > now_ms ? due_ms - now_ms : 1);
    }
}

Test(takeover, it_ends_when_its_time_is_over)
{
    wait(TAKEOVER_TIME_MS - 1);
    expect_state(TAKEOVER_FETCHES, "");
    clock_move(1);
    expect_state(TAKEOVER_FAILED, "the time is over");
    cr_assert_eq(fake_open(), 0);
}

Test(takeover, messages_that_come_give_more_time_and_an_announcement_gives_none)
{
    const struct http_head head = {
        .status = 200, .framing = HTTP_FRAMING_LENGTH, .content_length = 5 * 1000 * 1000};
    pass();
    cr_assert(fake_part(fake_last(), &head, span_of("{\"messages\":[")));
    wait(TAKEOVER_TIME_MS - 1);
    expect_state(TAKEOVER_FETCHES, "");
    clock_move(1);
    expect_state(TAKEOVER_FAILED, "the time is over");
}

Test(takeover, a_connection_on_which_nothing_comes_is_given_up)
{
    cr_assert_eq(pass(), clock_ms() + IDLE_MS);
    clock_move(IDLE_MS - 1);
    pass();
    cr_assert(fake.opened == 1 && fake_open() == 1);
    clock_move(1);
    pass();
    cr_assert_eq(fake_open(), 0);
    clock_move(PAUSE_MS);
    pass();
    cr_assert(fake.opened == 2 && fake_open() == 1);
}

Test(takeover, it_tells_for_how_long_nothing_has_come)
{
    pass();
    clock_move(1000);
    cr_assert_eq(takeover_quiet_ms(takeover, clock_ms()), 1000);
    say_part("{\"messages\":[\"b\"");
    cr_assert_eq(takeover_quiet_ms(takeover, clock_ms()), 0);
}

/* ---- the end */

Test(takeover, it_may_be_closed_at_any_time)
{
    pass();
    say_part("{\"messages\":[\"b\"");
    takeover_close(takeover);
    takeover = NULL;
    cr_assert_eq(fake_open(), 0);
    expect_untouched();
}

Test(takeover, a_long_list_is_appended_some_of_it_in_each_pass)
{
    enum { COUNT = 1000 * 1000, PASSES = 50 };
    struct buf elements = {0};
    struct buf text = {0};
    uint64_t before = 1;
    int passes = 0;
    end();
    for (int i = 0; i < COUNT; i++)
        buf_add_text(&elements, i ? ",\"0123456789\"" : "\"0123456789\"");
    buf_add(&elements, "", 1);
    start_with(elements.data, COUNT);
    buf_addf(&text, "{\"messages\":[%s]}", elements.data);
    fetch(text.data);
    expect_state(TAKEOVER_PROVEN, "");
    while (takeover_state(takeover) == TAKEOVER_PROVEN) {
        takeover_append(takeover);
        cr_assert(log_last(base.log) > before && log_last(base.log) - before < COUNT / 2);
        before = log_last(base.log);
        cr_assert_lt(++passes, PASSES);
    }
    cr_assert(takeover_state(takeover) == TAKEOVER_DONE && log_tail(base.log).digest == holder.digest.value);
    buf_free(&elements);
    buf_free(&text);
}
