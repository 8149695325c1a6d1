/* What comes in is what every node shows: any text, and nothing that is not text. */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node *nodes[3]; /* the master first */

static struct node *trio_start(const char *words)
{
    nodes[0] = master_start("%s", words);
    nodes[1] = member_start(nodes[0], "s1", "%s", words);
    nodes[2] = member_start(nodes[0], "s2", "%s", words);
    return nodes[0];
}

/* Every node shows that JSON string as its last message. */
static void expect_on_all(long long id, const char *string)
{
    char *expected;
    cr_assert(asprintf(&expected, "{\"id\":%lld,\"message\":%s}", id, string) > 0);
    for (int n = 0; n < 3; n++) {
        struct reply reply = http_get(nodes[n]->port, "/messages/%lld", id);
        cr_assert_eq(reply.status, 200);
        cr_assert(strcmp(reply.body, expected) == 0, "%.100s instead of %.100s", reply.body, expected);
        cr_assert_eq(reply.body_len, strlen(expected));
        http_free(&reply);
        reply = http_get(nodes[n]->port, "/messages?from=%lld", id);
        cr_assert_eq(strncmp(reply.body, "{\"messages\":[", 13), 0);
        cr_assert_eq(strncmp(reply.body + 13, string, strlen(string)), 0);
        http_free(&reply);
    }
    free(expected);
}

/* What is posted as the message, and how it is shown: UTF-8, with the shortest escapes. */
static const char *const strings[][2] = {
    {"\"plain\"", "\"plain\""},
    {"\"\\\"quotes\\\" and \\\\back\\\\slashes\\/\"", "\"\\\"quotes\\\" and \\\\back\\\\slashes/\""},
    {"\"\\b\\f\\n\\r\\t\"", "\"\\b\\f\\n\\r\\t\""},
    {"\"\\u0008\\u000C\\u000a\\u000D\\u0009\"", "\"\\b\\f\\n\\r\\t\""},
    {"\"\\u0000\"", "\"\\u0000\""},
    {"\"a\\u0000b\\u001f\\u001B\"", "\"a\\u0000b\\u001f\\u001b\""},
    {"\"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\u000b\"",
     "\"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\u000b\""},
    {"\"\\u007f\\u0080\"", "\"\x7f\xc2\x80\""},
    {"\"\\u0041\\u00e9\\u20AC\"", "\"A\xc3\xa9\xe2\x82\xac\""},
    {"\"\\uD83D\\uDE00\"", "\"\xf0\x9f\x98\x80\""},
    {"\"\xf0\x9f\x98\x80\"", "\"\xf0\x9f\x98\x80\""},
    {"\"\\ud800\\udc00\\udbff\\udfff\"", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""},
    {"\"\\ud7ff\\ue000\\ufffe\\uffff\"", "\"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbe\xef\xbf\xbf\""},
    {"\"\\u2028\\u2029\\ufeff\"", "\"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\""},
    {"\"\\\\u0041 is no escape\"", "\"\\\\u0041 is no escape\""},
    {"\"],\\\"messages\\\":[\\\"not a second one\\\"]}\"",
     "\"],\\\"messages\\\":[\\\"not a second one\\\"]}\""},
    {"\"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\"",
     "\"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\""},
    {"\" \"", "\" \""},
};
enum { STRINGS = sizeof strings / sizeof *strings };

SCENARIO(cluster_text, every_kind_of_json_string_survives_on_every_node)
{
    struct node *master = trio_start("");
    char body[512];
    for (int i = 0; i < STRINGS; i++) {
        snprintf(body, sizeof body, "{\"message\":%s}", strings[i][0]);
        expect_stored(http_post_json(master->port, "/messages", body), 201, i + 1, 3, 3);
        expect_on_all(i + 1, strings[i][1]);
    }
    cr_assert(equal_lists(nodes[0], nodes[1], nodes[2], NULL));
}

SCENARIO(cluster_text, what_is_posted_as_json_and_as_bytes_is_one_text)
{
    struct node *master = trio_start("");
    static const char bytes[] = "\0\1\x1f \"\\/\x7f\xc3\xa9\xf0\x9f\x98\x80\n";
    expect_status(http_post(master->port, "/messages", bytes, sizeof bytes - 1), 201);
    expect_on_all(1, "\"\\u0000\\u0001\\u001f \\\"\\\\/\x7f\xc3\xa9\xf0\x9f\x98\x80\\n\"");
    struct reply reply = http_post_json(
        master->port, "/messages",
        " {\"message\" : \"\\u0000\\u0001\\u001f \\\"\\\\\\/\\u007f\\u00e9\\ud83d\\ude00\\n\" } \r\n");
    expect_status(reply, 201);
    expect_on_all(2, "\"\\u0000\\u0001\\u001f \\\"\\\\/\x7f\xc3\xa9\xf0\x9f\x98\x80\\n\"");
}

SCENARIO(cluster_text, any_other_content_type_makes_the_body_the_message)
{
    struct node *master = trio_start("");
    static const char *const types[] = {"Content-Type: application/x-www-form-urlencoded\r\n",
                                        "Content-Type: application/json-seq\r\n",
                                        "Content-Type: text/html; charset=utf-8\r\n", ""};
    static const char body[] = "{\"message\":\"a\"}";
    for (int i = 0; i < 4; i++) {
        expect_status(http_request(master->port, "POST", "/messages", types[i], body, sizeof body - 1, SOON),
                      201);
        expect_on_all(i + 1, "\"{\\\"message\\\":\\\"a\\\"}\"");
    }
    expect_status(http_request(master->port, "POST", "/messages",
                               "content-type: Application/JSON ; charset=utf-8\r\n", body, sizeof body - 1,
                               SOON),
                  201);
    expect_on_all(5, "\"a\"");
}

/* A string of `count` copies of a piece, in quotes. */
static char *repeated(const char *piece, size_t count)
{
    size_t len = strlen(piece);
    char *string = malloc(len * count + 3);
    cr_assert_not_null(string);
    string[0] = '"';
    for (size_t i = 0; i < count; i++)
        memcpy(string + 1 + i * len, piece, len);
    memcpy(string + 1 + len * count, "\"", 2);
    return string;
}

static struct reply post_string(const struct node *master, const char *string)
{
    char *body;
    cr_assert(asprintf(&body, "{\"message\":%s}", string) > 0);
    struct reply reply = http_post_json(master->port, "/messages", body);
    free(body);
    return reply;
}

SCENARIO(cluster_text, a_megabyte_survives_and_one_byte_more_is_413)
{
    enum { MEGABYTE = 1048576 };
    struct node *master = trio_start("");
    static const struct {
        const char *sent, *shown;
        size_t bytes;
    } pieces[] = {{"x", "x", 1}, {"\\u0000", "\\u0000", 1}, {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4}};
    for (int i = 0; i < 3; i++) {
        size_t count = MEGABYTE / pieces[i].bytes;
        expect_status(post_string(master, repeated(pieces[i].sent, count)), 201);
        expect_on_all(i + 1, repeated(pieces[i].shown, count));
        expect_status(post_string(master, repeated(pieces[i].sent, count + 1)), 413);
    }
    static char bytes[MEGABYTE + 1];
    memset(bytes, 'y', sizeof bytes);
    expect_status(http_post(master->port, "/messages", bytes, MEGABYTE), 201);
    expect_on_all(4, repeated("y", MEGABYTE));
    expect_status(http_post(master->port, "/messages", bytes, MEGABYTE + 1), 413);
    cr_assert_eq(last_id(master), 4);
}

SCENARIO(cluster_text, the_limit_counts_the_bytes_of_the_text_not_of_its_json)
{
    struct node *master = trio_start("--max-message 6");
    expect_status(post_string(master, "\"\\u0000\\u0001\\n\\ud83d\\u0000\"") /* a lone surrogate */, 400);
    expect_status(post_string(master, "\"\\u0000\\u0001\\n\\u00e9\\u0000\""), 201);
    expect_status(post_string(master, "\"\\u0000\\u0001\\n\\u00e9\\u0000x\""), 413);
    expect_status(post(master, "", "123456"), 201);
    struct reply reply = post(master, "", "1234567");
    expect_status(reply, 413);
    cr_assert_str_eq(reply.body, "{\"error\":\"the body is longer than the 6 bytes that are taken here\"}");
    cr_assert_eq(last_id(master), 2);
    expect_on_all(2, "\"123456\"");
}

static const char *const bad_json[] = {
    "",
    " ",
    "null",
    "\"a\"",
    "[]",
    "{}",
    "{\"message\":\"\"}",
    "{\"message\":7}",
    "{\"message\":null}",
    "{\"message\":[\"a\"]}",
    "{\"messages\":\"a\"}",
    "{\"message\":\"a\"",
    "{\"message\":\"a",
    "{\"message\":\"a\\",
    "{\"message\":\"a\"}}",
    "{\"message\":\"a\"} x",
    "{\"message\":\"a\"}{\"message\":\"b\"}",
    "{\"message\":\"a\",}",
    "{\"message\":\"a\" \"w\":1}",
    "{\"message\":\"a\",\"message\":\"b\"}",
    "{'message':'a'}",
    "{message:\"a\"}",
    "{\"message\":\"a\",\"x\":}",
    "{\"message\":\"a\",\"x\":01}",
    "{\"message\":\"a\",\"x\":tru}",
    "{\"message\":\"a\",\"x\":\"\\ud800\"}",
    "{\"message\":\"\\x41\"}",
    "{\"message\":\"\\u12\"}",
    "{\"message\":\"\\u12g4\"}",
    "{\"message\":\"\\ud800\"}",
    "{\"message\":\"\\udc00\"}",
    "{\"message\":\"\\ud800\\ud800\"}",
    "{\"message\":\"\\udc00\\ud800\"}",
    "{\"message\":\"\\ud800x\"}",
    "{\"message\":\"\\ud800\\u0041\"}",
    "{\"message\":\"tab\there\"}",
    "{\"message\":\"line\nhere\"}",
    "{\"message\":\"\xff\"}",
    "{\"message\":\"\xc3\"}",
    "{\"message\":\"\xc0\x80\"}",
    "{\"message\":\"\xed\xa0\x80\"}",
    "{\"message\":\"\xf4\x90\x80\x80\"}",
    "{\"message\":\"\xe2\x82\"}",
    "{\"message\":\"a\",\"\xff\":1}",
    "{\"message\":\"a\"}\xef\xbb\xbf",
    "\xef\xbb\xbf\xef\xbb\xbf{\"message\":\"a\"}",
};

SCENARIO(cluster_text, bad_json_is_400_and_uses_no_id)
{
    struct node *master = trio_start("");
    for (size_t i = 0; i < sizeof bad_json / sizeof *bad_json; i++) {
        struct reply reply = http_post_json(master->port, "/messages", bad_json[i]);
        cr_assert_eq(reply.status, 400, "%s: %d %s", bad_json[i], reply.status, reply.body);
        cr_assert_eq(strncmp(reply.body, "{\"error\":\"", 10), 0, "%s: %s", bad_json[i], reply.body);
        http_free(&reply);
    }
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
    for (int n = 0; n < 3; n++)
        cr_assert(shows(nodes[n], "a"));
}

static const char *const bad_bytes[] = {
    "\x80",
    "\xff",
    "a\xfe",
    "\xc3",
    "\xc3(",
    "\xc0\x80",
    "\xc1\xbf",
    "\xe0\x80\x80",
    "\xe0\x9f\xbf",
    "\xed\xa0\x80",
    "\xed\xbf\xbf",
    "\xe2\x82",
    "\xe2\x82z",
    "\xf0\x80\x80\x80",
    "\xf0\x9f\x98",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "ok\xbf",
};

SCENARIO(cluster_text, bytes_that_are_not_utf8_or_missing_are_400_and_use_no_id)
{
    struct node *master = trio_start("");
    for (size_t i = 0; i < sizeof bad_bytes / sizeof *bad_bytes; i++) {
        struct reply reply = post(master, "", bad_bytes[i]);
        cr_assert_eq(reply.status, 400, "row %zu: %d %s", i, reply.status, reply.body);
    }
    expect_status(post(master, "", ""), 400);
    expect_status(http_request(master->port, "POST", "/messages", NULL, NULL, 0, SOON), 400);
    expect_stored(post(master, "", "a"), 201, 1, 3, 3);
}
