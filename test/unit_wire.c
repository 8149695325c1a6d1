#include "replication/wire.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(wire, .timeout = 20);

static const char *replicate_read(const char *body, struct wire_replicate *out)
{
    return wire_replicate_read(span_of(body), out);
}

static void expect_refused(const char *body, const char *part)
{
    struct wire_replicate request;
    const char *error = replicate_read(body, &request);
    cr_assert(error && strstr(error, part), "%s: %s", body, error ? error : "taken");
}

Test(wire, messages_in_canonical_form_are_borrowed)
{
    static const char body[] = "{\"log\":\"l\",\"run\":\"r\",\"first\":17,\"messages\":[\"a\",\"bc\"]}";
    struct wire_replicate request;
    cr_assert_null(replicate_read(body, &request));
    cr_assert_eq(request.first, 17);
    cr_assert_eq(request.count, 2);
    cr_assert_eq(request.longest, 2);
    cr_assert_str_eq(request.log, "l");
    cr_assert_str_eq(request.run, "r");
    cr_assert(span_equals(request.elements, "\"a\",\"bc\""));
    cr_assert(request.elements.at > body && request.elements.at < body + sizeof body);
    cr_assert_eq(request.rewritten.len, 0);
    cr_assert_eq(wire_replicate_lens(&request)[0], 3);
    cr_assert_eq(wire_replicate_lens(&request)[1], 4);
    wire_replicate_free(&request);
}

Test(wire, any_other_spelling_is_rewritten)
{
    static const char *const spellings[] = {
        "{\"log\":\"l\",\"first\":1,\"messages\":[\"a\" ,\"b\"]}",
        "{\"messages\":[\"\\u0061\",\"b\"],\"first\":1,\"log\":\"l\"}",
        "{\"log\":\"l\",\"first\":1,\"messages\":[\"a\",\"\\u0062\"]}",
        " { \"log\" : \"l\" , \"first\" : 1 , \"messages\" : [ \"a\" , \"b\" ] } ",
    };
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct wire_replicate request;
        cr_assert_null(replicate_read(spellings[i], &request), "%s", spellings[i]);
        cr_assert(span_equals(request.elements, "\"a\",\"b\""), "%s", spellings[i]);
        cr_assert_eq(request.count, 2);
        cr_assert_eq(wire_replicate_lens(&request)[0], 3, "%s", spellings[i]);
        cr_assert_eq(wire_replicate_lens(&request)[1], 3, "%s", spellings[i]);
        wire_replicate_free(&request);
    }
}

Test(wire, what_is_missing_or_wrong_in_a_request_is_named)
{
    expect_refused("{\"first\":1,\"messages\":[]}", "\"log\"");
    expect_refused("{\"log\":\"l\",\"messages\":[]}", "\"first\"");
    expect_refused("{\"log\":\"l\",\"first\":0,\"messages\":[]}", "\"first\"");
    expect_refused("{\"log\":\"l\",\"first\":1}", "\"messages\"");
    expect_refused("{\"log\":\"l\",\"first\":1,\"messages\":[\"\"]}", "at least one byte");
    expect_refused("{\"log\":\"l\",\"first\":18446744073709551615,\"messages\":[\"a\"]}", "too large");
    expect_refused("{\"log\":\"l\",\"first\":1,\"messages\":[\"a\"]} x", "follows");
    expect_refused("{\"log\":\"a b\",\"first\":1,\"messages\":[]}", "visible ASCII");
    expect_refused("{\"log\":\"l\",\"first\":1,\"digest\":\"12\",\"messages\":[]}", "digest");
    expect_refused("[]", "");
}

Test(wire, a_registration_survives_writing_and_reading)
{
    struct wire_register given = {.id = "s1",
                                  .url = "http://a:1",
                                  .port = 5001,
                                  .log = "l",
                                  .last_id = 7,
                                  .stored = 9,
                                  .has_digest = true,
                                  .digest = 0xff00ff,
                                  .run = "r"};
    struct wire_register got;
    struct buf body = {0};
    wire_register_write(&body, &given);
    cr_assert_null(wire_register_read(buf_span(&body), &got));
    cr_assert_str_eq(got.id, "s1");
    cr_assert_str_eq(got.url, "http://a:1");
    cr_assert_eq(got.port, 5001);
    cr_assert_eq(got.last_id, 7);
    cr_assert_eq(got.stored, 9);
    cr_assert(got.has_digest && got.digest == 0xff00ff);
    cr_assert_str_eq(got.run, "r");
    buf_free(&body);
}

Test(wire, what_a_registration_stored_is_what_it_shows_where_it_does_not_tell)
{
    struct wire_register got;
    cr_assert_null(wire_register_read(span_of("{\"log\":\"l\",\"last_id\":7,\"port\":1}"), &got));
    cr_assert_eq(got.stored, 7);
    cr_assert(!got.has_digest);
}

Test(wire, a_position_is_found_beside_an_error_and_anything_else)
{
    uint64_t last_id = 0;
    char error[16];
    cr_assert(wire_position_read(span_of("{\"x\":[{}],\"error\":\"no\",\"last_id\":16}"), &last_id, error,
                                 sizeof error));
    cr_assert_eq(last_id, 16);
    cr_assert_str_eq(error, "no");
    cr_assert(!wire_position_read(span_of("{\"error\":\"a sentence that is too long\"}"), &last_id, error,
                                  sizeof error));
    cr_assert_eq(strlen(error), sizeof error - 1);
    cr_assert(!wire_position_read(span_of("{\"last_id\":\"16\"}"), &last_id, error, sizeof error));
    cr_assert(!wire_position_read(span_of(""), &last_id, error, sizeof error));
}

Test(wire, names_are_new_each_time)
{
    char a[WIRE_NAME_SIZE], b[WIRE_NAME_SIZE];
    wire_name_new(a);
    wire_name_new(b);
    cr_assert(wire_name_valid(a));
    cr_assert_eq(strlen(a), 32);
    cr_assert_str_neq(a, b);
}
