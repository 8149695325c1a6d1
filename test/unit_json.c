/* Objects, arrays, numbers and whole texts. Strings are in unit_json_string.c. */
#include "exact.h"
#include "json.h"

#include <criterion/criterion.h>

enum { ROOM = 8192 };

static struct exact room;

static void make_room(void)
{
    room = exact_new(ROOM);
}

TestSuite(json, .init = make_room);

static struct json text_of(const char *text)
{
    return json_text(exact_put(room, text, strlen(text)));
}

/* Takes all of a text as one value; returns the error or NULL. */
static const char *take_all(struct span text)
{
    struct json json = json_text(text);
    bool whole = json_skip(&json) && json_end(&json);
    cr_assert_eq(whole, json.error == NULL);
    return json.error;
}

static const char *const valid[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "12",
    "-1.5e+10",
    "0.1",
    "1E9",
    "1e-9",
    "123456789012345678901234567890",
    "\"\"",
    "\"a\"",
    "{}",
    "[]",
    "[[]]",
    "[{}]",
    "{\"a\":1}",
    "{\"\":\"\"}",
    "{\"a\":1,\"a\":2}",
    "[1,\"a\",null,true,false,{\"b\":[]},[0]]",
    "{\"a\":{\"b\":{\"c\":[1,2,3]}},\"d\":\"\\u00e9\\ud83d\\ude00\"}",
    " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n",
};

Test(json, takes_every_valid_text)
{
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        const char *error = take_all(exact_put(room, valid[i], strlen(valid[i])));
        cr_assert_null(error, "%s: %s", valid[i], error);
    }
}

Test(json, every_prefix_of_a_list_or_object_ends_too_early)
{
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        size_t len = strlen(valid[i]);
        if (!strchr("{[\"", valid[i][0]))
            continue;
        for (size_t part = 0; part < len; part++)
            cr_assert_not_null(take_all(exact_put(room, valid[i], part)), "%.*s", (int)part, valid[i]);
    }
}

Test(json, white_space_may_stand_between_all_tokens)
{
    static const char tokens[] = "{|\"a\"|:|[|1|,|{|}|,|[|]|,|null|]|,|\"b\"|:|\"c\"|}";
    struct buf spaced = {0};
    for (const char *at = tokens; *at; at++)
        buf_add(&spaced, *at == '|' ? " \n\r\t" : at, *at == '|' ? 4 : 1);
    cr_assert_null(take_all(buf_span(&spaced)));
    buf_free(&spaced);
}

Test(json, refuses_what_is_no_json)
{
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "nulL",
        "truefalse",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1_0",
        "1 2",
        "'a'",
        "a",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,,2]",
        "[}",
        "{]",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "{\"a\"1}",
        "{\"a\"::1}",
        "{\"a\":1}}",
        "[]]",
        "[] []",
        "// a\n1",
        "/**/1",
        "\xef\xbb\xbf"
        "1",
        "\v1",
        "\f1",
        "\xa0"
        "1",
        "[1]x",
        ",",
        ":",
        "\"a\" : 1",
        "\\u0031",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not_null(take_all(exact_put(room, bad[i], strlen(bad[i]))), "%s", bad[i]);
    cr_assert_not_null(take_all((struct span){.at = "1\0", .len = 2}));
    cr_assert_not_null(take_all((struct span){.at = "\0", .len = 1}));
    cr_assert_not_null(take_all((struct span){0}));
}

Test(json, errors_say_what_is_wanted)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"", "a JSON value is wanted"},
        {"{", "a name in quotes is wanted in a JSON object"},
        {"{\"a\"", "a colon is wanted behind a name in a JSON object"},
        {"{\"a\":", "a JSON value is wanted"},
        {"{\"a\":1,", "a name in quotes is wanted in a JSON object"},
        {"[1", "a comma or \"]\" is wanted in a JSON array"},
        {"[1,", "a JSON value is wanted"},
        {"[", "a JSON value is wanted"},
        {"x", "a JSON value is wanted"},
        {"[1 2]", "a comma or \"]\" is wanted in a JSON array"},
        {"{\"a\":1;}", "a comma or \"}\" is wanted in a JSON object"},
        {"{a:1}", "a name in quotes is wanted in a JSON object"},
        {"{\"a\" 1}", "a colon is wanted behind a name in a JSON object"},
        {"-x", "a JSON number is wanted"},
        {"1 1", "something stands behind the JSON value"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_str_eq(take_all(span_of(rows[i].text)), rows[i].error, "%s", rows[i].text);
}

Test(json, an_error_is_told_with_its_byte)
{
    char why[JSON_WHY_SIZE];
    struct json in = json_text(span_of("[1;"));
    cr_assert_null(json_why(&in, why));
    json_skip(&in);
    cr_assert_str_eq(json_why(&in, why), "a comma or \"]\" is wanted in a JSON array, at byte 3 of the body");
    in = json_text(span_of(" "));
    json_skip(&in);
    cr_assert_str_eq(json_why(&in, why), "a JSON value is wanted, at byte 2 of the body, where it ends");
}

static struct span nested(int depth, char open, char close)
{
    char text[ROOM];
    memset(text, open, (size_t)depth);
    memset(text + depth, close, (size_t)depth);
    return exact_put(room, text, 2 * (size_t)depth);
}

Test(json, skip_follows_so_many_levels_and_no_more)
{
    cr_assert_null(take_all(nested(JSON_DEPTH_MAX, '[', ']')));
    cr_assert_str_eq(take_all(nested(JSON_DEPTH_MAX + 1, '[', ']')), "the JSON text is nested too deeply");
    cr_assert_str_eq(take_all(nested(ROOM / 2, '[', ']')), "the JSON text is nested too deeply");

    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_add_text(&deep, "{\"a\":[");
    cr_assert_str_eq(take_all(buf_span(&deep)), "the JSON text is nested too deeply");
    buf_free(&deep);
}

Test(json, many_lists_side_by_side_are_not_deep)
{
    struct buf wide = {0};
    buf_add_text(&wide, "[[]");
    for (int i = 0; i < 1000; i++)
        buf_add_text(&wide, ",[[]],{}");
    buf_add_text(&wide, "]");
    cr_assert_null(take_all(buf_span(&wide)));
    buf_free(&wide);
}

Test(json, an_object_gives_its_members_in_order)
{
    struct json in =
        text_of("{\"log\":\"x\", \"first\" : 17,\"other\":{\"first\":[1]},\"messages\":[\"a\",\"b\"]}");
    struct json_string name, value;
    uint64_t first = 0;
    cr_assert(json_object(&in));
    cr_assert(json_member(&in, &name) && json_string_is(&name, "log"));
    cr_assert(json_string(&in, &value) && json_string_is(&value, "x"));
    cr_assert(json_member(&in, &name) && json_string_is(&name, "first"));
    cr_assert(json_uint(&in, &first));
    cr_assert_eq(first, 17);
    cr_assert(json_member(&in, &name) && json_string_is(&name, "other"));
    cr_assert(json_skip(&in));
    cr_assert(json_member(&in, &name) && json_string_is(&name, "messages"));
    cr_assert(json_array(&in));
    cr_assert(json_element(&in) && json_string(&in, &value) && json_string_is(&value, "a"));
    cr_assert(json_element(&in) && json_string(&in, &value) && json_string_is(&value, "b"));
    cr_assert(!json_element(&in));
    cr_assert_null(in.error);
    cr_assert(!json_member(&in, &name));
    cr_assert_null(in.error);
    cr_assert(json_end(&in));
}

Test(json, lists_within_lists_keep_their_commas_apart)
{
    struct json in = text_of("[[],[1],[[2],3]]");
    uint64_t number;
    cr_assert(json_array(&in));
    cr_assert(json_element(&in) && json_array(&in) && !json_element(&in));
    cr_assert(json_element(&in) && json_array(&in));
    cr_assert(json_element(&in) && json_uint(&in, &number) && !json_element(&in));
    cr_assert(json_element(&in) && json_array(&in));
    cr_assert(json_element(&in) && json_array(&in));
    cr_assert(json_element(&in) && json_uint(&in, &number) && !json_element(&in));
    cr_assert(json_element(&in) && json_uint(&in, &number) && !json_element(&in));
    cr_assert(!json_element(&in));
    cr_assert_null(in.error);
    cr_assert(json_end(&in));
}

Test(json, a_value_of_another_kind_is_refused)
{
    struct json_string string;
    uint64_t number = 42;
    double real = 42;
    struct json in = text_of("1");
    cr_assert(!json_object(&in));
    cr_assert_str_eq(in.error, "a JSON object is wanted");
    in = text_of("{}");
    cr_assert(!json_array(&in));
    cr_assert_str_eq(in.error, "a JSON array is wanted");
    in = text_of("1");
    cr_assert(!json_string(&in, &string));
    cr_assert_str_eq(in.error, "a JSON string is wanted");
    in = text_of("\"1\"");
    cr_assert(!json_uint(&in, &number));
    cr_assert_str_eq(in.error, "a JSON number is wanted");
    in = text_of("null");
    cr_assert(!json_number(&in, &real));
    cr_assert_eq(number, 42);
    cr_assert_eq(real, 42);
}

Test(json, whole_numbers)
{
    static const struct {
        const char *text;
        bool taken;
        uint64_t number;
    } rows[] = {
        {"0", true, 0},
        {" 7", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"-1", false, 0},
        {"-0", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"01", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json in = text_of(rows[i].text);
        uint64_t number = 42;
        cr_assert_eq(json_uint(&in, &number), rows[i].taken, "%s", rows[i].text);
        cr_assert_eq(number, rows[i].taken ? rows[i].number : 42, "%s", rows[i].text);
        cr_assert_eq(in.error == NULL, rows[i].taken);
    }
}

Test(json, numbers)
{
    static const struct {
        const char *text;
        double number;
    } rows[] = {
        {"0", 0},      {"-0", -0.0},    {"5", 5},         {"-5", -5},      {"0.25", 0.25},
        {"1e3", 1000}, {"25E-2", 0.25}, {"1.5e+1", 15.0}, {"1e-999", 0.0}, {"123456789.5", 123456789.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json in = text_of(rows[i].text);
        double number = 42;
        cr_assert(json_number(&in, &number) && json_end(&in), "%s", rows[i].text);
        cr_assert(number == rows[i].number, "%s: %g", rows[i].text, number);
    }
}

Test(json, numbers_that_no_double_holds_are_refused)
{
    char digits[JSON_NUMBER_MAX + 2] = "";
    double number = 42;
    memset(digits, '1', sizeof digits - 1);
    struct json in = text_of(digits);
    cr_assert(!json_number(&in, &number));
    cr_assert_str_eq(in.error, "a JSON number is too long");
    cr_assert_null(take_all(span_of(digits)), "it is a number all the same");
    in = text_of("1e999");
    cr_assert(!json_number(&in, &number));
    cr_assert_str_eq(in.error, "a JSON number is out of range");
    in = text_of("-1e999");
    cr_assert(!json_number(&in, &number));
    cr_assert_eq(number, 42);
}

Test(json, peek_takes_nothing)
{
    struct json in = text_of("  {\"a\":1}");
    struct json_string name;
    cr_assert_eq(json_peek(&in), '{');
    cr_assert_eq(json_peek(&in), '{');
    cr_assert(json_object(&in) && json_member(&in, &name));
    cr_assert_eq(json_peek(&in), '1');
    cr_assert(json_skip(&in));
    cr_assert(!json_member(&in, &name) && !in.error);
    cr_assert_eq(json_peek(&in), '\0');
    cr_assert(json_end(&in));
}
