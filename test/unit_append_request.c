#include "concern.h"
#include "exact.h"
#include "http/target.h"
#include "json.h"
#include "replication/append_request.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(append_request, .timeout = 60);

Test(append_request, a_body_is_json_where_its_type_says_so_whatever_its_case_and_parameters)
{
    static const struct {
        const char *type;
        bool json;
    } rows[] = {
        {"", false},
        {"a", false},
        {"application/jso", false},
        {"application/json", true},
        {"APPLICATION/Json", true},
        {"application/json;charset=utf-8", true},
        {"application/json ;charset=utf-8", true},
        {"application/json\t;charset=utf-8", true},
        {"application/jsonx", false},
        {"application/json-seq", false},
        {"text/plain", false},
        {"text/json", true},
        {"text/jsonx", false},
        {"application/vnd.api+json", true},
        {"Application/LD+JSON; charset=utf-8", true},
        {"application/json,application/json", true},
        {"application/json+x", false},
        {"text/x+json", false},
        {"+json", false},
        {"xapplication/json", false},
    };
    struct exact room = exact_new(64);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_head head = {.field_count = 1};
        head.fields[0] =
            (struct http_field){span_of("content-type"), exact_put(room, rows[i].type, strlen(rows[i].type))};
        cr_expect_eq(append_is_json(&head), rows[i].json, "%s", rows[i].type);
    }
    const struct http_head none = {0};
    cr_expect(!append_is_json(&none));
}

enum { W_BEFORE = 7, TIMEOUT_BEFORE_MS = 1234 };

static struct append_messages messages; /* that were read last */

/* Reads a POST with such a query and body. */
static const char *read_body(const char *query, bool is_json, const char *body, struct append_terms *terms)
{
    char text[512];
    size_t scanned = 0;
    struct http_head head;
    struct http_refusal refusal;
    struct http_target target;
    const char *why = NULL;
    int len = snprintf(text, sizeof text, "POST /messages%s HTTP/1.1\r\nHost: a\r\n%s\r\n", query,
                       is_json ? "Content-Type: application/json\r\n" : "");
    cr_assert_eq(http_parse_request((struct span){text, (size_t)len}, &scanned, &head, &refusal),
                 HTTP_PARSE_DONE);
    cr_assert_eq(http_target_parse(head.method, head.target, &target, &why), 0, "%s", query);
    const struct http_request request = {.head = &head, .target = &target, .body = span_of(body)};
    *terms = (struct append_terms){.w = W_BEFORE, .timeout_ms = TIMEOUT_BEFORE_MS};
    static char sentence[JSON_WHY_SIZE];
    buf_free(&messages.json);
    buf_free(&messages.lens);
    return append_read(&request, &messages, terms, sentence);
}

/* Reads a POST with such a query and, unless NULL, such a JSON body, else with the message as it is. */
static const char *read_post(const char *query, const char *json, struct append_terms *terms)
{
    return read_body(query, json, json ? json : "m", terms);
}

static const char *read_value(const char *name, const char *value, bool in_body, struct append_terms *terms)
{
    char query[128] = "";
    char json[128];
    snprintf(json, sizeof json, "{\"message\":\"m\",\"%s\":%s}", name, value);
    if (!in_body)
        snprintf(query, sizeof query, "?%s=%s", name, value);
    return read_post(query, in_body ? json : NULL, terms);
}

Test(append_request, seconds_become_milliseconds_and_what_is_not_0_never_becomes_for_ever)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0},         {"0.0", 0},
        {"1", 1000},      {"2.5", 2500},
        {"0.0004", 1},    {"1e-9", 1},
        {"0.001", 1},     {"0.0016", 2},
        {"1.9994", 1999}, {"86400", 86400000},
        {"5e1", 50000},   {"-0", 0},
        {"0.999", 999},   {"315360000", 315360000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int in_body = 0; in_body < 2; in_body++) {
            struct append_terms terms;
            cr_assert_null(read_value("timeout", rows[i].text, in_body, &terms), "%s", rows[i].text);
            cr_assert_eq(terms.timeout_ms, rows[i].ms, "%s: %lld ms", rows[i].text,
                         (long long)terms.timeout_ms);
            cr_assert_eq(terms.w, W_BEFORE);
        }
}

Test(append_request, a_time_limit_is_a_number_from_0_to_ten_years)
{
    static const char *const bad[] = {"-1", "-0.001", "315360000.1", "1e9", "1e400", "0x1", "1s", ".5", "5."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int in_body = 0; in_body < 2; in_body++) {
            struct append_terms terms;
            cr_assert_not_null(read_value("timeout", bad[i], in_body, &terms), "%s", bad[i]);
        }
}

Test(append_request, w_is_a_number_up_to_the_largest_or_a_name)
{
    struct append_terms terms;
    for (int in_body = 0; in_body < 2; in_body++) {
        cr_assert_null(read_value("w", "1", in_body, &terms));
        cr_assert_eq(terms.w, 1);
        cr_assert_null(read_value("w", "65535", in_body, &terms));
        cr_assert_eq(terms.w, CONCERN_MAX);
        cr_assert_eq(terms.timeout_ms, TIMEOUT_BEFORE_MS);
        cr_assert_null(read_value("w", in_body ? "\"all\"" : "all", in_body, &terms));
        cr_assert_eq(terms.w, CONCERN_ALL);
        cr_assert_null(read_value("w", in_body ? "\"majority\"" : "majority", in_body, &terms));
        cr_assert_eq(terms.w, CONCERN_MAJORITY);
        cr_assert_not_null(read_value("w", "0", in_body, &terms));
        cr_assert_not_null(read_value("w", "65536", in_body, &terms));
        cr_assert_not_null(read_value("w", "18446744073709551617", in_body, &terms));
    }
}

Test(append_request, what_the_body_names_goes_before_the_query)
{
    struct append_terms terms;
    cr_assert_null(read_post("?w=2&timeout=3", "{\"message\":\"m\",\"w\":4,\"timeout\":5}", &terms));
    cr_assert_eq(terms.w, 4);
    cr_assert_eq(terms.timeout_ms, 5000);
    cr_assert_null(read_post("?w=2&timeout=3", "{\"timeout\":5,\"message\":\"m\"}", &terms));
    cr_assert_eq(terms.w, 2);
    cr_assert_eq(terms.timeout_ms, 5000);
    cr_assert_null(read_post("?w=2&w=3&timeout=3&timeout=4", NULL, &terms));
    cr_assert_eq(terms.w, 2);
    cr_assert_eq(terms.timeout_ms, 3000);
    cr_assert_null(read_post("", "{\"message\":\"m\"}", &terms));
    cr_assert_eq(terms.w, W_BEFORE);
    cr_assert_eq(terms.timeout_ms, TIMEOUT_BEFORE_MS);
    cr_assert_not_null(read_post("?w=x", "{\"message\":\"m\",\"w\":4}", &terms));
}

/* ---- bodies of JSON that are met in the wild */

Test(append_request, null_counts_as_left_out)
{
    struct append_terms terms;
    cr_assert_null(read_post("?w=2&timeout=3", "{\"w\":null,\"message\":\"m\",\"timeout\":null}", &terms));
    cr_assert(terms.w == 2 && terms.timeout_ms == 3000);
    cr_assert_null(read_post("", "{\"w\":null,\"message\":\"m\",\"timeout\":null}", &terms));
    cr_assert(terms.w == W_BEFORE && terms.timeout_ms == TIMEOUT_BEFORE_MS);
    cr_assert_not_null(read_post("", "{\"message\":null}", &terms));
    cr_assert_not_null(read_post("", "{\"message\":\"m\",\"w\":nul}", &terms));
}

Test(append_request, a_byte_order_mark_is_passed_over)
{
    struct append_terms terms;
    cr_assert_null(read_post("", "\xef\xbb\xbf{\"message\":\"m\"}", &terms));
    cr_assert_not_null(read_post("", "\xef\xbb\xbf\xef\xbb\xbf{\"message\":\"m\"}", &terms));
    cr_assert_not_null(read_post("", "\xef\xbb{\"message\":\"m\"}", &terms));
}

Test(append_request, a_body_in_utf_16_is_told_so)
{
    static const char *const bodies[] = {"\xff\xfe{", "\xfe\xff", "\xff\xfe\xfe\xff"};
    static const char said[] = "the body is UTF-16 (PowerShell's > writes that): send it as UTF-8";
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct append_terms terms;
        cr_expect_str_eq(read_post("", bodies[i], &terms), said);
        cr_expect_str_eq(read_body("", false, bodies[i], &terms), said);
    }
    struct append_terms terms;
    cr_expect_str_eq(read_body("", false, "\xff\xff", &terms), "the message is not UTF-8");
}

static void expect_error(const char *json, const char *error)
{
    struct append_terms terms;
    const char *said = read_post("", json, &terms);
    cr_expect(said && strcmp(said, error) == 0, "%s: %s, not %s", json, said ? said : "taken", error);
}

Test(append_request, what_is_there_twice_is_refused)
{
    expect_error("{\"message\":\"m\",\"message\":\"m\"}",
                 "\"message\" is there twice, at byte 26 of the body");
    expect_error("{\"w\":1,\"message\":\"m\",\"w\":1}", "\"w\" is there twice, at byte 26 of the body");
    expect_error("{\"w\":null,\"w\":1,\"message\":\"m\"}", "\"w\" is there twice, at byte 15 of the body");
    expect_error("{\"timeout\":1,\"timeout\":null}", "\"timeout\" is there twice, at byte 24 of the body");
    struct append_terms terms;
    cr_expect_null(read_post("", "{\"x\":1,\"x\":2,\"message\":\"m\"}", &terms), "others are not looked at");
}

Test(append_request, an_error_tells_its_byte)
{
    static const char *const bad[] = {
        "{\"message\":\"m\"",        "{'message':'m'}", "{\"message\":\"a\x80z\"}",
        "{\"message\":\"\\ud800\"}", "[\"m\"]",         "{\"message\":1}",
        "{\"message\":\"m\"} x",     "{\"w\":01}",      "{\"x\":tru}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct append_terms terms;
        const char *why = read_post("", bad[i], &terms);
        const char *at = why ? strstr(why, ", at byte ") : NULL;
        cr_assert(at, "%s: %s", bad[i], why ? why : "taken");
        size_t byte = strtoul(at + strlen(", at byte "), NULL, 10);
        cr_expect(byte >= 1 && byte <= strlen(bad[i]) + 1, "%s: %s", bad[i], why);
    }
    expect_error("{\"message\":\"m\"} x", "something stands behind the JSON value, at byte 17 of the body");
    expect_error("{\"message\"",
                 "a colon is wanted behind a name in a JSON object, at byte 11 of the body, where it ends");
    expect_error("{\"message\":1}", "\"message\" must be a string, at byte 12 of the body");
    expect_error("\xef\xbb\xbf{\"message\":1}", "\"message\" must be a string, at byte 15 of the body");
}

/* ---- a list of messages */

static void expect_messages(const char *json, uint64_t count, const char *const elements[])
{
    struct append_terms terms;
    size_t at = 0;
    cr_assert_null(read_post("", json, &terms), "%s", json);
    cr_assert(messages.is_list && messages.count == count, "%s", json);
    cr_assert_eq(messages.lens.len, count * sizeof(size_t));
    for (uint64_t i = 0; i < count; i++) {
        size_t len = append_lens(&messages)[i];
        cr_assert(len == strlen(elements[i]) && memcmp(messages.json.data + at, elements[i], len) == 0,
                  "%s: %.*s", json, (int)len, messages.json.data + at);
        cr_assert(i + 1 == count || messages.json.data[at + len] == ',');
        at += len + 1;
    }
    cr_assert_eq(at, messages.json.len + 1, "%s: nothing comes behind the last", json);
}

Test(append_request, a_list_is_kept_as_canonical_strings_with_their_lengths)
{
    expect_messages("{\"messages\":[\"a\"]}", 1, (const char *[]){"\"a\""});
    expect_messages("{\"messages\":[\"a\", \"\\u0062c\" ,\"\\/\\u0001\\\"\"]}", 3,
                    (const char *[]){"\"a\"", "\"bc\"", "\"/\\u0001\\\"\""});
    cr_expect_eq(messages.value_len, 1 + 2 + 3);
    cr_expect(messages.longest == 3 && messages.longest_at == 3);
    expect_messages("{\"w\":2,\"messages\":[\"aaaa\",\"b\",\"cccc\"]}", 3,
                    (const char *[]){"\"aaaa\"", "\"b\"", "\"cccc\""});
    cr_expect(messages.longest == 4 && messages.longest_at == 1);
}

Test(append_request, a_single_message_is_no_list)
{
    struct append_terms terms;
    expect_messages("{\"messages\":[\"a\",\"b\"]}", 2, (const char *[]){"\"a\"", "\"b\""});
    for (int in_body = 0; in_body < 2; in_body++) {
        cr_assert_null(read_post("", in_body ? "{\"message\":\"m\"}" : NULL, &terms));
        cr_expect(!messages.is_list && messages.count == 1 && !append_lens(&messages));
        cr_expect(messages.value_len == 1 && messages.longest == 1 && messages.longest_at == 1);
    }
}

Test(append_request, a_list_has_texts_and_nothing_else)
{
    expect_error("{\"messages\":[]}", "\"messages\" has no text, at byte 15 of the body");
    expect_error("{\"messages\":[\"a\",\"\"]}", "the message is empty, at byte 20 of the body");
    expect_error("{\"messages\":\"a\"}", "\"messages\" must be a list of strings, at byte 13 of the body");
    expect_error("{\"messages\":null}", "\"messages\" must be a list of strings, at byte 13 of the body");
    expect_error("{\"messages\":[1]}", "\"messages\" must be a list of strings, at byte 14 of the body");
    expect_error("{\"messages\":[[\"a\"]]}",
                 "\"messages\" must be a list of strings, at byte 14 of the body");
    expect_error("{\"messages\":[\"a\"],\"messages\":[\"a\"]}",
                 "\"messages\" is there twice, at byte 30 of the body");
    expect_error("{\"messages\":[\"a\"],\"message\":\"a\"}",
                 "\"message\" and \"messages\" are both there, at byte 29 of the body");
    expect_error("{\"message\":\"a\",\"messages\":[\"a\"]}",
                 "\"message\" and \"messages\" are both there, at byte 27 of the body");
    static const char *const bad[] = {"{\"messages\":[\"a\"}", "{\"messages\":[\"a\",]}",
                                      "{\"messages\":[\"a\"", "{\"messages\":[\"\\ud800\"]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct append_terms terms;
        cr_expect_not_null(read_post("", bad[i], &terms), "%s", bad[i]);
    }
}

Test(append_request, a_list_has_10000_texts_at_most)
{
    struct append_terms terms;
    struct buf json = {0};
    buf_add_text(&json, "{\"messages\":[\"m\"");
    for (int i = 1; i < APPEND_LIST_MAX; i++)
        buf_add_text(&json, ",\"m\"");
    buf_add(&json, "]}", 3);
    cr_expect_null(read_post("", json.data, &terms));
    cr_expect_eq(messages.count, 10000);
    json.len -= 3;
    buf_add(&json, ",\"m\"]}", sizeof ",\"m\"]}");
    const char *error = read_post("", json.data, &terms);
    cr_assert_not_null(error);
    cr_expect(strstr(error, "more than 10000"), "%s", error);
    buf_free(&json);
}

/* ---- the id that is expected, and receipts */

Test(append_request, an_expected_id_stands_in_the_body_or_in_the_query_and_the_body_counts)
{
    struct append_terms terms;
    for (int in_body = 0; in_body < 2; in_body++) {
        static const char *const bad[] = {"0", "-1", "1.5", "1e3", "x", "18446744073709551616", "8x"};
        cr_expect_null(read_value("expect", "8", in_body, &terms));
        cr_expect(terms.expect == 8 && terms.w == W_BEFORE);
        cr_expect_null(read_value("expect", "18446744073709551615", in_body, &terms));
        cr_expect_eq(terms.expect, UINT64_MAX);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            cr_expect_not_null(read_value("expect", bad[i], in_body, &terms), "%s", bad[i]);
    }
    cr_expect_not_null(read_post("?expect=", NULL, &terms));
    cr_expect_not_null(read_value("expect", "\"8\"", true, &terms));
    cr_expect_null(read_post("", NULL, &terms));
    cr_expect_eq(terms.expect, 0);
    cr_expect_null(read_post("?expect=7", "{\"expect\":8,\"messages\":[\"m\"]}", &terms));
    cr_expect_eq(terms.expect, 8);
    cr_expect_null(read_post("?expect=7", "{\"expect\":null,\"message\":\"m\"}", &terms));
    cr_expect_eq(terms.expect, 7);
    expect_error("{\"expect\":1,\"expect\":null}", "\"expect\" is there twice, at byte 22 of the body");
}

Test(append_request, a_receipt_is_1_or_0_in_the_query)
{
    static const char *const bad[] = {"", "2", "true", "01", "%31%30"};
    struct append_terms terms;
    cr_expect_null(read_post("", NULL, &terms));
    cr_expect_not(terms.receipt);
    cr_expect_null(read_value("receipt", "1", false, &terms));
    cr_expect(terms.receipt);
    cr_expect_null(read_value("receipt", "0", false, &terms));
    cr_expect_not(terms.receipt);
    cr_expect_null(read_post("?timeout=3&receipt=1&w=2", NULL, &terms));
    cr_expect(terms.receipt && terms.w == 2 && terms.timeout_ms == 3000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not_null(read_value("receipt", bad[i], false, &terms), "%s", bad[i]);
}

/* ---- what a message is not sent as */

static int denial_of(const char *name, const char *value)
{
    struct http_head head = {.field_count = 1};
    head.fields[0] = (struct http_field){span_of(name), span_of(value)};
    const struct http_denial *denial = append_denies(&head);
    return denial ? denial->status : 0;
}

Test(append_request, what_is_no_text_as_it_stands_is_415)
{
    static const char *const denied[] = {
        "multipart/form-data; boundary=x",  "Multipart/Mixed",
        "text/plain; charset=utf-16le",     "text/plain;charset=iso-8859-1",
        "application/json; charset=utf-16", "text/plain; a=b; charset=\"latin1\"",
        "text/plain; CHARSET=windows-1252", "text/plain; charset=\"utf-8"};
    static const char *const taken[] = {"text/plain",
                                        "text/plain; charset=utf-8",
                                        "text/plain;charset=UTF-8",
                                        "text/plain; charset=\"utf-8\"",
                                        "text/plain; charset=\"UTF8\"",
                                        "text/plain; charset=us-ascii",
                                        "application/x-www-form-urlencoded",
                                        "application/octet-stream",
                                        "multipart",
                                        "text/plain; format=flowed",
                                        "text/plain; xcharset=latin1",
                                        ""};
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        cr_expect_eq(denial_of("Content-Type", denied[i]), 415, "%s", denied[i]);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        cr_expect_eq(denial_of("Content-Type", taken[i]), 0, "%s", taken[i]);
    cr_expect_eq(denial_of("Content-Encoding", "gzip"), 415);
    cr_expect_eq(denial_of("Content-Encoding", "identity"), 0);
    cr_expect_eq(denial_of("Accept-Encoding", "gzip"), 0);
}
