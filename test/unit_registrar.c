/* A secondary's registration over connections that the test answers, with a clock that the test moves. */
#include "clock.h"
#include "fake_client.h"
#include "hand_clock.h"
#include "replication/registrar.h"
#include "replication/retry.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_MS = 2000, HEARTBEAT_MS = 400, GOODBYE_MS = 700 };

#define ACCEPTED "{\"log\":\"l\",\"epoch\":3,\"last_id\":9,\"id\":\"s1\",\"heartbeat\":0.400}"

static struct settings settings;
static struct base base;
static struct complaints complaints;
static struct follow *follow;
static struct registrar *registrar;

static void append(void)
{
    uint64_t last;
    cr_assert_eq(log_append(base.log, span_of("\"m\""), NULL, 1, &last), 0);
}

/* A secondary that has a message of the log l in epoch 2. */
static void start(void)
{
    clock_hold();
    fake.connects = true;
    settings = (struct settings){.master_url = "http://m:5000", .secondary_id = "s1", .goodbye = true};
    base = (struct base){.settings = &settings,
                         .complaints = &complaints,
                         .log = log_open(),
                         .acks = acks_open(0),
                         .own = {.id = "s1", .boot = "b1", .log = "l", .epoch = 2},
                         .fields = "A: b\r\n",
                         .port = 5001};
    append();
    follow = follow_open(&base);
    registrar = registrar_open(&base, follow);
    cr_assert_not_null(registrar);
}

static void end(void)
{
    registrar_close(registrar);
    follow_close(follow);
    acks_close(base.acks);
    log_close(base.log);
    cr_assert_eq(fake_open(), 0);
}

TestSuite(registrar, .init = start, .fini = end, .timeout = 60);

static bool is_registered(void)
{
    return registrar_status(registrar) == REGISTRAR_OK;
}

static int64_t pass(void)
{
    return registrar_pass(registrar, clock_ms());
}

/* Passes, at the times that it asks for, until the next call is begun. Returns how long that took. */
static int64_t wait_for_call(void)
{
    int64_t began_ms = clock_ms();
    int opened = fake.opened;
    while (fake.opened == opened) {
        int64_t due_ms = pass();
        cr_assert_lt(clock_ms() - began_ms, 100000);
        if (fake.opened == opened)
            clock_move(due_ms > clock_ms() ? due_ms - clock_ms() : 0);
    }
    return clock_ms() - began_ms;
}

/* The registration is begun and answered. */
static void answer(int status, const char *body)
{
    wait_for_call();
    fake_answer(fake_last(), status, body);
    pass();
}

static void get_registered(void)
{
    answer(200, ACCEPTED);
    cr_assert(is_registered());
}

/* ---- registering */

Test(registrar, the_first_pass_registers_with_what_there_is)
{
    struct wire_register sent;
    char why[JSON_WHY_SIZE];
    pass();
    cr_assert(strcmp(fake_last()->method, "POST") == 0 && strcmp(fake_last()->target, "/register") == 0);
    cr_assert(strcmp(fake_last()->fields, "A: b\r\n") == 0 && strcmp(fake_last()->url.host, "m") == 0);
    cr_assert_null(wire_register_read(buf_span(&fake_last()->body), &sent, why));
    cr_assert(strcmp(sent.from.id, "s1") == 0 && strcmp(sent.from.boot, "b1") == 0);
    cr_assert(sent.port == 5001 && sent.last_id == 0 && sent.stored == 1);
    cr_assert(!is_registered() && base.own.epoch == 2);
}

Test(registrar, the_answer_is_handed_on_and_the_connection_closed)
{
    get_registered();
    cr_assert(base.own.epoch == 3 && strcmp(base.own.log, "l") == 0);
    cr_assert(registrar_heartbeat_ms(registrar) == HEARTBEAT_MS && fake_open() == 0);
}

Test(registrar, what_is_no_masters_answer_is_not_taken)
{
    static const char *const bodies[] = {"", "{}", "{\"log\":\"l\"}", "{\"epoch\":3}",
                                         "{\"log\":\"l\",\"epoch\":0}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        answer(200, bodies[i]);
        cr_expect(!is_registered() && base.own.epoch == 2, "%s", bodies[i]);
    }
    get_registered();
}

Test(registrar, a_refusal_is_no_registration)
{
    answer(409, "{\"error\":\"no\"}");
    answer(503, ACCEPTED);
    cr_assert(!is_registered() && base.own.epoch == 2);
    get_registered();
}

Test(registrar, where_the_list_has_grown_meanwhile_it_registers_with_another_master_again)
{
    pass();
    append();
    fake_answer(fake_last(), 200, ACCEPTED);
    pass();
    cr_assert(!is_registered() && base.own.epoch == 2);
    get_registered();
}

Test(registrar, an_answer_about_another_log_is_not_taken)
{
    answer(200, "{\"log\":\"other\",\"epoch\":3}");
    cr_assert(!is_registered() && strcmp(base.own.log, "l") == 0);
}

/* ---- pauses */

Test(registrar, the_pauses_between_tries_grow_up_to_a_limit)
{
    int64_t most_ms = RETRY_LEAST_MS;
    answer(503, "");
    for (int i = 0; i < 10; i++) {
        int64_t took_ms = wait_for_call();
        cr_expect(took_ms >= most_ms / 2 && took_ms <= most_ms, "%" PRId64 " of %" PRId64, took_ms, most_ms);
        fake_answer(fake_last(), 503, "");
        pass();
        most_ms = 2 * most_ms < RETRY_MOST_MS ? 2 * most_ms : RETRY_MOST_MS;
    }
}

Test(registrar, a_failure_is_tried_again_after_a_pause)
{
    pass();
    fake_fail(fake_last(), -ECONNREFUSED, "refused");
    pass();
    cr_assert_eq(fake_open(), 0);
    cr_assert_geq(wait_for_call(), RETRY_LEAST_MS / 2);
}

Test(registrar, a_call_that_cannot_begin_is_tried_again_after_a_pause)
{
    fake.open_result = -ENETUNREACH;
    pass();
    cr_assert_gt(pass(), clock_ms());
    fake.open_result = 0;
    cr_assert_geq(wait_for_call(), RETRY_LEAST_MS / 2);
}

Test(registrar, an_answer_that_does_not_come_is_given_up)
{
    cr_assert_eq(pass(), clock_ms() + CALL_MS);
    clock_move(CALL_MS - 1);
    pass();
    cr_assert_eq(fake_open(), 1);
    clock_move(1);
    pass();
    cr_assert_eq(fake_open(), 0);
}

static void fail_often(void)
{
    for (int i = 0; i < 10; i++)
        answer(503, "");
}

Test(registrar, a_sign_of_life_ends_a_pause_but_not_its_first_part)
{
    fail_often();
    registrar_heard(registrar, FOLLOW_MASTER, 0);
    cr_assert_eq(wait_for_call(), RETRY_MOST_MS / 4);
}

Test(registrar, a_sign_of_life_in_the_later_part_of_a_pause_ends_it_at_once)
{
    fail_often();
    clock_move(RETRY_MOST_MS / 4);
    registrar_heard(registrar, FOLLOW_MASTER, 0);
    cr_assert_eq(wait_for_call(), 0);
}

/* ---- registered */

Test(registrar, a_master_that_is_silent_is_registered_with_again)
{
    get_registered();
    cr_assert_eq(wait_for_call(), REGISTRAR_SILENCE * HEARTBEAT_MS);
    cr_assert(!is_registered());
}

Test(registrar, a_master_that_is_heard_is_not_silent)
{
    get_registered();
    clock_move(1000);
    registrar_heard(registrar, FOLLOW_MASTER, 0);
    cr_assert_eq(wait_for_call(), REGISTRAR_SILENCE * HEARTBEAT_MS);
}

Test(registrar, a_master_that_it_does_not_follow_calls_for_a_registration)
{
    get_registered();
    registrar_heard(registrar, FOLLOW_OTHER, 0);
    cr_assert(!is_registered());
    cr_assert_leq(wait_for_call(), RETRY_MOST_MS);
}

/* ---- the master's connection */

/* The master is heard on a connection, which lasts for so long. */
static void connection_ends(uint64_t connection, int64_t lasts_ms)
{
    registrar_heard(registrar, FOLLOW_MASTER, connection);
    clock_move(lasts_ms);
    registrar_heard(registrar, FOLLOW_MASTER, connection);
    registrar_ended(registrar, connection);
}

static void expect_call_soon(int64_t pause_most_ms)
{
    int64_t took_ms = wait_for_call();
    cr_expect(took_ms >= RETRY_LEAST_MS + pause_most_ms / 2 && took_ms <= RETRY_LEAST_MS + pause_most_ms,
              "%" PRId64, took_ms);
}

Test(registrar, the_end_of_the_masters_connection_calls_for_a_registration_soon)
{
    get_registered();
    connection_ends(7, 1000);
    cr_assert(is_registered());
    expect_call_soon(RETRY_LEAST_MS);
    cr_assert(registrar_status(registrar) == REGISTRAR_NO_MASTER);
}

Test(registrar, a_master_that_dials_again_is_not_registered_with_again)
{
    get_registered();
    connection_ends(7, 1000);
    clock_move(RETRY_LEAST_MS);
    pass();
    registrar_heard(registrar, FOLLOW_MASTER, 8);
    cr_assert_eq(wait_for_call(), REGISTRAR_SILENCE * HEARTBEAT_MS);
}

Test(registrar, the_end_of_another_connection_means_nothing)
{
    get_registered();
    registrar_heard(registrar, FOLLOW_MASTER, 7);
    registrar_heard(registrar, FOLLOW_MASTER, 8);
    registrar_ended(registrar, 7);
    registrar_ended(registrar, 9);
    cr_assert_eq(wait_for_call(), REGISTRAR_SILENCE * HEARTBEAT_MS);
}

/* A link that fails at each try, or two secondaries of one id that take it from each other. */
Test(registrar, where_one_connection_after_another_ends_young_it_registers_later_each_time)
{
    uint64_t connection = 1;
    get_registered();
    for (int64_t most_ms = RETRY_LEAST_MS; most_ms < REGISTRAR_SILENCE * HEARTBEAT_MS / 2; most_ms *= 2) {
        connection_ends(connection++, 10);
        expect_call_soon(most_ms);
        fake_answer(fake_last(), 200, ACCEPTED);
        pass();
    }
    for (int i = 0; i < 10; i++) {
        connection_ends(connection++, 10);
        clock_move(1);
        pass();
    }
    connection_ends(connection++, 10);
    cr_assert_eq(wait_for_call(), REGISTRAR_SILENCE * HEARTBEAT_MS);
    fake_answer(fake_last(), 200, ACCEPTED);
    pass();
    connection_ends(connection, 10 * RETRY_MOST_MS);
    expect_call_soon(RETRY_LEAST_MS);
}

Test(registrar, a_refusal_is_a_status_until_the_next_answer)
{
    answer(409, "{\"error\":\"no\"}");
    cr_assert(registrar_status(registrar) == REGISTRAR_REFUSED);
    cr_assert_str_eq(registrar_reason(registrar), "the master answered 409 to the registration: no");
    wait_for_call();
    cr_assert(registrar_status(registrar) == REGISTRAR_REFUSED);
    fake_fail(fake_last(), -ECONNREFUSED, "refused");
    cr_assert(registrar_status(registrar) == REGISTRAR_NO_MASTER);
    pass();
    get_registered();
    cr_assert(registrar_status(registrar) == REGISTRAR_OK);
}

/* ---- the goodbye */

static void expect_goodbye(void)
{
    cr_assert(registrar_leaving(registrar) && strcmp(fake_last()->method, "DELETE") == 0);
    cr_assert_str_eq(fake_last()->target, "/secondaries/%73%31?boot=b1");
}

static void expect_left(void)
{
    cr_assert_eq(pass(), CLOCK_NEVER);
    cr_assert(!registrar_leaving(registrar) && fake_open() == 0);
    clock_move(1000000);
    pass();
    cr_assert_eq(fake_open(), 0, "nothing is registered any more");
}

Test(registrar, a_goodbye_goes_to_where_the_master_was_reached)
{
    get_registered();
    socklen_t number = http_client_address(&(struct http_client){.number = fake.opened - 1}).len;
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    expect_goodbye();
    cr_assert_eq(fake_last()->known.len, number);
    fake_answer(fake_last(), 204, "");
    expect_left();
}

Test(registrar, a_goodbye_that_is_not_answered_has_its_time)
{
    get_registered();
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    clock_move(GOODBYE_MS - 1);
    pass();
    cr_assert(registrar_leaving(registrar));
    clock_move(1);
    expect_left();
}

Test(registrar, a_goodbye_that_fails_is_over)
{
    get_registered();
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    fake_fail(fake_last(), -ECONNREFUSED, "refused");
    expect_left();
}

Test(registrar, a_goodbye_is_said_where_a_registration_is_under_way)
{
    pass();
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    expect_goodbye();
    cr_assert_eq(fake_open(), 1, "the registration is given up");
    fake_answer(fake_last(), 204, "");
    expect_left();
}

Test(registrar, who_is_to_stay_a_member_says_no_goodbye)
{
    settings.goodbye = false;
    get_registered();
    int opened = fake.opened;
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    expect_left();
    cr_assert_eq(fake.opened, opened);
}

Test(registrar, who_never_registered_says_no_goodbye)
{
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    expect_left();
    cr_assert_eq(fake.opened, 0);
}

Test(registrar, the_name_that_the_master_gave_is_the_one_that_leaves)
{
    settings.secondary_id[0] = base.own.id[0] = '\0';
    answer(200, "{\"log\":\"l\",\"epoch\":3,\"id\":\"s1\"}");
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    expect_goodbye();
}

Test(registrar, a_goodbye_is_said_once)
{
    get_registered();
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    int opened = fake.opened;
    registrar_leave(registrar, clock_ms() + GOODBYE_MS);
    cr_assert_eq(fake.opened, opened);
}
