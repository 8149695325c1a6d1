#include "exact.h"
#include "replication/wire.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(wire, .timeout = 60);

static char why[JSON_WHY_SIZE];

static const char *replicate_read(const char *body, struct wire_replicate *out)
{
    return wire_replicate_read(span_of(body), (struct span){0}, out, why);
}

static void expect_refused(const char *body, const char *part)
{
    struct wire_replicate request;
    const char *error = replicate_read(body, &request);
    cr_assert(error && strstr(error, part), "%s: %s", body, error ? error : "taken");
}

Test(wire, messages_in_canonical_form_are_borrowed)
{
    static const char body[] = "{\"log\":\"l\",\"epoch\":3,\"first\":17,\"messages\":[\"a\",\"bc\"]}";
    struct wire_replicate request;
    cr_assert_null(replicate_read(body, &request));
    cr_assert_eq(request.first, 17);
    cr_assert_eq(request.count, 2);
    cr_assert_eq(request.longest, 2);
    cr_assert_str_eq(request.log, "l");
    cr_assert_eq(request.epoch, 3);
    cr_assert(!request.digest.is);
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
    expect_refused("{\"log\":\"l\",\"messages\":[\"a\" \"b\"]}",
                   "a comma or \"]\" is wanted in a JSON array, at byte 28 of the body");
    expect_refused("{\"messages\":[\"a\",", "a JSON string is wanted, at byte 18 of the body, where it ends");
    expect_refused("{\"log\":\"l\",\"messages\":[]}", "\"first\"");
    expect_refused("{\"log\":\"l\",\"first\":0,\"messages\":[]}", "\"first\"");
    expect_refused("{\"log\":\"l\",\"first\":1}", "\"messages\"");
    expect_refused("{\"log\":\"l\",\"first\":1,\"messages\":[\"\"]}", "at least one byte");
    expect_refused("{\"log\":\"l\",\"first\":18446744073709551615,\"messages\":[\"a\"]}", "too large");
    expect_refused("{\"log\":\"l\",\"first\":1,\"messages\":[\"a\"]} x",
                   "something stands behind the JSON value");
    expect_refused("{\"log\":\"a b\",\"first\":1,\"messages\":[]}", "visible ASCII");
    expect_refused("{\"log\":\"l\",\"first\":1,\"digest\":\"12\",\"messages\":[]}", "digest");
    expect_refused("{\"log\":\"l\",\"epoch\":18446744073709551615,\"first\":1,\"messages\":[]}", "epoch");
    expect_refused("[]", "");
}

Test(wire, what_a_master_writes_it_reads_in_canonical_form)
{
    struct wire_replicate request;
    struct buf body = {0};
    wire_replicate_begin(&body, "l", 3);
    wire_replicate_first(&body, 17, 0xfedcba9876543210);
    buf_add_text(&body, "\"a\",\"bc\"" WIRE_REPLICATE_END);
    cr_assert(span_equals(buf_span(&body), "{\"log\":\"l\",\"epoch\":3,\"first\":17,\"digest\":"
                                           "\"fedcba9876543210\",\"messages\":[\"a\",\"bc\"]}"));
    cr_assert_null(wire_replicate_read(buf_span(&body), (struct span){0}, &request, why));
    cr_assert(request.epoch == 3 && request.first == 17 && request.count == 2 && !request.rewritten.len);
    cr_assert(request.digest.is && request.digest.value == 0xfedcba9876543210);
    wire_replicate_free(&request);
    buf_free(&body);
}

Test(wire, messages_of_the_master_that_is_expected_are_read_the_same)
{
    static const char body[] =
        "{\"log\":\"l\",\"epoch\":3,\"first\":17,\"digest\":\"0000000000000001\",\"messages\":[\"a\"]}";
    static const uint64_t epochs[] = {3, 4, 33};
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        struct wire_replicate request;
        struct buf expected = {0};
        wire_replicate_begin(&expected, "l", epochs[i]);
        cr_assert_null(wire_replicate_read(span_of(body), buf_span(&expected), &request, why));
        cr_assert_eq(request.expected, epochs[i] == 3);
        cr_assert(request.expected || (strcmp(request.log, "l") == 0 && request.epoch == 3));
        cr_assert(request.first == 17 && request.digest.value == 1 && request.count == 1);
        wire_replicate_free(&request);
        buf_free(&expected);
    }
}

Test(wire, an_epoch_that_begins_like_the_expected_one_is_another)
{
    struct wire_replicate request;
    struct buf expected = {0};
    wire_replicate_begin(&expected, "l", 3);
    cr_assert_null(wire_replicate_read(span_of("{\"log\":\"l\",\"epoch\":31,\"first\":1,\"messages\":[]}"),
                                       buf_span(&expected), &request, why));
    cr_assert(!request.expected && request.epoch == 31);
    wire_replicate_free(&request);
    buf_free(&expected);
}

/* ---- registrations */

Test(wire, a_registration_survives_writing_and_reading)
{
    struct wire_register given = {.from = {.id = "s1", .boot = "b", .log = "l", .epoch = 2},
                                  .url = "http://a:1",
                                  .port = 5001,
                                  .last_id = 7,
                                  .stored = 9,
                                  .digest = {true, 0xff00ff},
                                  .on_disk = true};
    struct wire_register got;
    struct buf body = {0};
    wire_register_write(&body, &given);
    cr_assert_null(wire_register_read(buf_span(&body), &got, why));
    cr_assert_str_eq(got.from.id, "s1");
    cr_assert_str_eq(got.url, "http://a:1");
    cr_assert_eq(got.port, 5001);
    cr_assert_str_eq(got.from.log, "l");
    cr_assert_eq(got.from.epoch, 2);
    cr_assert_eq(got.last_id, 7);
    cr_assert_eq(got.stored, 9);
    cr_assert(got.digest.is && got.digest.value == 0xff00ff);
    cr_assert_str_eq(got.from.boot, "b");
    cr_assert(!got.complete && !got.durable && got.on_disk);
    buf_free(&body);
}

Test(wire, a_person_may_leave_out_what_a_program_tells)
{
    struct wire_register got;
    cr_assert_null(wire_register_read(span_of("{\"last_id\":7,\"port\":1}"), &got, why));
    cr_assert_eq(got.stored, 7, "what is stored is what shows");
    cr_assert(!got.digest.is && !got.from.epoch && !got.from.log[0] && !got.from.boot[0] && !got.from.id[0]);
    cr_assert_null(
        wire_register_read(span_of("{\"log\":null,\"epoch\":null,\"boot\":null,\"port\":1}"), &got, why));
    cr_assert(!got.from.log[0] && !got.from.epoch && !got.from.boot[0]);
}

Test(wire, what_is_wrong_in_a_registration_is_named)
{
    static const struct {
        const char *body, *part;
    } rows[] = {
        {"{\"port\":0}", "port"},
        {"{\"port\":65536}", "port"},
        {"{\"digest\":\"x\"}", "digest"},
        {"{\"boot\":\"a b\"}", "visible ASCII"},
        {"{\"log\":\"\\\"\"}", "visible"},
        {"{\"epoch\":18446744073709551615}", "epoch"},
        {"{} {}", "something stands behind the JSON value, at byte 4 of the body"},
        {"{\"port\":x}", "a JSON number is wanted, at byte 9 of the body"},
        {"{\"id\":\"s1\",\"port\"",
         "a colon is wanted behind a name in a JSON object, at byte 18 of the body, "
         "where it ends"},
        {"{\"epoch\":18446744073709551615}", "\"epoch\" is too large, at byte 30 of the body"},
        {"", "a JSON object is wanted, at byte 1 of the body, where it ends"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wire_register got;
        const char *error = wire_register_read(span_of(rows[i].body), &got, why);
        cr_expect(error && strstr(error, rows[i].part), "%s: %s", rows[i].body, error ? error : "taken");
    }
}

Test(wire, the_answer_to_a_registration_survives_writing_and_reading)
{
    struct wire_registered given = {
        .from = {.id = "s1", .boot = "m", .log = "l", .epoch = 3}, .last_id = 9, .heartbeat_ms = 1050};
    struct wire_registered got;
    struct buf body = {0};
    wire_registered_write(&body, &given);
    cr_assert(span_equals(
        buf_span(&body),
        "{\"log\":\"l\",\"epoch\":3,\"last_id\":9,\"id\":\"s1\",\"boot\":\"m\",\"heartbeat\":1.050}"));
    cr_assert(wire_registered_read(buf_span(&body), &got));
    cr_assert(strcmp(got.from.log, "l") == 0 && strcmp(got.from.id, "s1") == 0 &&
              strcmp(got.from.boot, "m") == 0);
    cr_assert(got.from.epoch == 3 && got.last_id == 9 && got.heartbeat_ms == 1050);
    buf_free(&body);
}

Test(wire, a_heartbeat_interval_is_believed_within_bounds)
{
    static const struct {
        const char *body;
        int64_t ms;
    } rows[] = {
        {"{}", 0},
        {"{\"heartbeat\":0}", WIRE_HEARTBEAT_LEAST_MS},
        {"{\"heartbeat\":-1e300}", WIRE_HEARTBEAT_LEAST_MS},
        {"{\"heartbeat\":0.5}", 500},
        {"{\"heartbeat\":1e300}", WIRE_HEARTBEAT_MOST_MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wire_registered got;
        cr_assert(wire_registered_read(span_of(rows[i].body), &got));
        cr_expect_eq(got.heartbeat_ms, rows[i].ms, "%s", rows[i].body);
    }
}

/* ---- answers to requests */

static void ack_write(struct buf *out, const struct wire_identity *from, uint64_t last_id, uint64_t digest)
{
    struct buf identity = {0};
    wire_identity_write(&identity, from);
    buf_add_char(out, '{');
    wire_ack_write(out, last_id, buf_span(&identity), digest);
    buf_add_char(out, '}');
    buf_free(&identity);
}

Test(wire, an_answer_survives_writing_and_reading)
{
    const struct wire_identity from = {.id = "s\"1", .boot = "b", .log = "l", .epoch = 3};
    struct wire_ack got;
    struct buf body = {0};
    ack_write(&body, &from, 18, 0xff);
    cr_assert(span_equals(buf_span(&body), "{\"last_id\":18,\"id\":\"s\\\"1\",\"boot\":\"b\",\"log\":\"l\","
                                           "\"epoch\":3,\"digest\":\"00000000000000ff\"}"));
    cr_assert(wire_ack_read(buf_span(&body), &got));
    cr_assert(got.last_id.is && got.last_id.value == 18 && got.digest.is && got.digest.value == 0xff);
    cr_assert(strcmp(got.from.id, "s\"1") == 0 && strcmp(got.from.boot, "b") == 0);
    cr_assert(strcmp(got.from.log, "l") == 0 && got.from.epoch == 3 && !got.error[0]);
    buf_free(&body);
}

/* What stands in all answers of this one. */
static struct buf identity_text(void)
{
    const struct wire_identity from = {.id = "s1", .boot = "b", .log = "l", .epoch = 3};
    struct buf out = {0};
    wire_identity_write(&out, &from);
    return out;
}

static bool match(struct span body, uint64_t *last_id, uint64_t *digest)
{
    struct buf identity = identity_text();
    bool matches = wire_ack_match(body, buf_span(&identity), last_id, digest);
    buf_free(&identity);
    return matches;
}

#define ACK                                                                                                  \
    "{\"last_id\":18,\"id\":\"s1\",\"boot\":\"b\",\"log\":\"l\",\"epoch\":3,\"digest\":"                     \
    "\"00000000000000ff\"}\n"

Test(wire, an_answer_of_the_one_that_is_expected_is_matched)
{
    uint64_t last_id;
    uint64_t digest;
    cr_assert(match(span_of(ACK), &last_id, &digest));
    cr_assert(last_id == 18 && digest == 0xff);
}

Test(wire, whatever_differs_in_an_answer_is_not_matched_or_read_the_same)
{
    struct exact room = exact_new(sizeof ACK);
    for (size_t at = 0; at < sizeof ACK - 1; at++)
        for (int byte = 1; byte < 256; byte++) {
            struct span body = exact_put(room, ACK, sizeof ACK - 1);
            uint64_t last_id;
            uint64_t digest;
            struct wire_ack ack;
            ((char *)body.at)[at] = (char)byte;
            if (!match(body, &last_id, &digest) || (byte == '0' && at == sizeof "{\"last_id\":" - 1))
                continue;
            cr_assert(wire_ack_read(body, &ack) && ack.last_id.value == last_id && ack.digest.value == digest,
                      "%.*s", (int)body.len, body.at);
            cr_assert(strcmp(ack.from.id, "s1") == 0 && strcmp(ack.from.boot, "b") == 0);
            cr_assert(strcmp(ack.from.log, "l") == 0 && ack.from.epoch == 3);
        }
}

Test(wire, an_answer_cut_short_or_with_more_behind_it_is_not_matched)
{
    struct exact room = exact_new(sizeof ACK);
    uint64_t last_id;
    uint64_t digest;
    for (size_t len = 0; len < sizeof ACK - 1; len++)
        cr_assert(!match(exact_put(room, ACK, len), &last_id, &digest), "%zu bytes", len);
    cr_assert(!match(span_of(ACK " "), &last_id, &digest));
    cr_assert(
        !wire_ack_match(span_of("{\"last_id\":1800000000000000ff\"}"), (struct span){0}, &last_id, &digest),
        "nobody is expected");
}

Test(wire, a_name_that_is_not_there_is_null)
{
    const struct wire_identity from = {.boot = "b"};
    struct wire_ack got;
    struct buf body = {0};
    ack_write(&body, &from, 0, 0);
    cr_assert(span_equals(buf_span(&body), "{\"last_id\":0,\"id\":null,\"boot\":\"b\",\"log\":null,"
                                           "\"epoch\":0,\"digest\":\"0000000000000000\"}"));
    cr_assert(wire_ack_read(buf_span(&body), &got));
    cr_assert(!got.from.id[0] && !got.from.log[0] && got.last_id.is && got.digest.is);
    buf_free(&body);
}

Test(wire, an_answer_is_found_beside_an_error_and_anything_else)
{
    struct wire_ack got;
    cr_assert(wire_ack_read(span_of("{\"x\":[{}],\"error\":\"no\",\"last_id\":16}"), &got));
    cr_assert(got.last_id.is && got.last_id.value == 16 && !got.digest.is);
    cr_assert_str_eq(got.error, "no");
    cr_assert(wire_ack_read(span_of("{\"error\":7}"), &got));
    cr_assert(!got.last_id.is && !got.error[0]);
}

Test(wire, an_error_is_cut_to_its_room)
{
    char body[sizeof((struct wire_ack *)0)->error + 100];
    struct wire_ack got;
    memset(body, 'e', sizeof body - 1);
    memcpy(body, "{\"error\":\"", 10);
    memcpy(body + sizeof body - 3, "\"}", 3);
    cr_assert(wire_ack_read(span_of(body), &got));
    cr_assert_eq(strlen(got.error), sizeof got.error - 1);
}

Test(wire, what_is_no_answer_is_not_read)
{
    static const char *const bodies[] = {"",
                                         "[]",
                                         "{\"last_id\":\"16\"}",
                                         "{\"last_id\":-1}",
                                         "{\"epoch\":\"3\"}",
                                         "{\"epoch\":18446744073709551615}",
                                         "{\"digest\":\"00ff\"}",
                                         "{\"digest\":\"00000000000000fg\"}",
                                         "{\"boot\":\"a b\"}",
                                         "{\"log\":7}",
                                         "{\"id\":7}",
                                         "{\"last_id\":1"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct wire_ack got;
        cr_expect(!wire_ack_read(span_of(bodies[i]), &got), "%s", bodies[i]);
    }
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
