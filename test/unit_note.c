/* The line that a node keeps on disk beside its list, by plain calls. */
#include "fake_client.h"

#include "clock.h"
#include "replication/base.h"
#include "replication/note.h"

#include <criterion/criterion.h>

static char read_text[2048]; /* "s1 a:1 s2 b:2 " */

static void member_told(void *ctx, const char *id, const struct http_url *url)
{
    size_t len = strlen(read_text);
    cr_assert_eq(ctx, read_text);
    snprintf(read_text + len, sizeof read_text - len, "%s %s:%u ", id, url->host, url->port);
}

/* Whether it says "complete". */
static bool note_says(const char *note)
{
    read_text[0] = '\0';
    return note_read(span_of(note), member_told, read_text);
}

TestSuite(note, .timeout = 60);

/* ---- reading */

Test(note, tells_of_members_and_whether_all_was_there)
{
    cr_expect(note_says("{\"complete\":true,\"members\":[{\"id\":\"s1\",\"url\":\"http://a:1\"},"
                        "{\"id\":\"s2\",\"url\":\"http://[::1]:2\"}]}"));
    cr_expect_str_eq(read_text, "s1 a:1 s2 ::1:2 ");
    cr_expect(!note_says("{\"complete\":false,\"members\":[{\"id\":\"s1\",\"url\":\"http://a:1\"}]}"));
    cr_expect_str_eq(read_text, "s1 a:1 ");
    cr_expect(note_says("{\"members\":[],\"complete\":true}"));
    cr_expect_str_eq(read_text, "");
    cr_expect(note_says("{\"complete\":true}"));
}

Test(note, what_a_later_program_adds_is_passed_over)
{
    cr_expect(note_says("{\"new\":{\"a\":[1,2]},\"complete\":true,\"members\":[{\"since\":7,\"id\":\"s1\","
                        "\"url\":\"http://a:1\",\"tags\":[\"x\"]}],\"more\":null}"));
    cr_expect_str_eq(read_text, "s1 a:1 ");
}

Test(note, a_member_without_a_name_or_a_place_is_passed_over)
{
    static const char *const members[] = {
        "{}",
        "{\"id\":\"s1\"}",
        "{\"url\":\"http://a:1\"}",
        "{\"id\":\"\",\"url\":\"http://a:1\"}",
        "{\"id\":\"a b\",\"url\":\"http://a:1\"}",
        "{\"id\":\"s1\",\"url\":\"\"}",
        "{\"id\":\"s1\",\"url\":\"a:1\"}",
        "{\"id\":\"s1\",\"url\":\"http://a:0\"}",
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        char note[256];
        snprintf(note, sizeof note,
                 "{\"complete\":true,\"members\":[%s,{\"id\":\"s2\",\"url\":\"http://b:2\"}]}", members[i]);
        cr_expect(note_says(note), "%s", note);
        cr_expect_str_eq(read_text, "s2 b:2 ", "%s", note);
    }
}

Test(note, what_cannot_be_read_says_nothing_of_completeness)
{
    static const char *const notes[] = {
        "",
        " ",
        "x",
        "null",
        "[]",
        "true",
        "{",
        "{\"complete\"",
        "{\"complete\":",
        "{\"complete\":true",
        "{\"complete\":true,",
        "{\"complete\":true,\"members\":",
        "{\"complete\":true,\"members\":[",
        "{\"complete\":true,\"members\":{}}",
        "{\"complete\":true,\"members\":[7]}",
        "{\"complete\":true,\"members\":[{\"id\":7,\"url\":\"http://a:1\"}]}",
        "{\"complete\":true,\"members\":[{\"id\":\"s1\",\"url\":null}]}",
        "{\"complete\":true,\"members\":[{\"id\":\"s1\"",
        "{\"complete\":true,\"members\":[{\"id\":\"\\ud800\"}]}",
        "{\"complete\":\"true\"}",
        "{\"complete\":1}",
        "{\"complete\":null}",
    };
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        cr_expect(!note_says(notes[i]), "%s", notes[i]);
        cr_expect_str_eq(read_text, "", "%s", notes[i]);
    }
}

Test(note, a_name_that_is_too_long_is_not_cut)
{
    char note[2048], name[WIRE_ID_SIZE + 1];
    memset(name, 'a', WIRE_ID_SIZE);
    name[WIRE_ID_SIZE] = '\0';
    for (int too_long = 1; too_long >= 0; too_long--) {
        snprintf(note, sizeof note,
                 "{\"complete\":true,\"members\":[{\"id\":\"%s\",\"url\":\"http://a:1\"},"
                 "{\"id\":\"s2\",\"url\":\"http://b:2\"}]}",
                 name);
        cr_expect(note_says(note));
        cr_expect_eq(read_text[0], too_long ? 's' : 'a');
        cr_expect(strstr(read_text, "s2 b:2 "));
        name[WIRE_ID_SIZE - 1] = '\0';
    }
}

/* ---- writing */

Test(note, survives_writing_and_reading)
{
    struct settings settings = {.heartbeat_ms = 1000};
    struct complaints complaints = {0};
    struct http_dialer dialer = {0};
    struct receipts receipts = {0};
    struct base base = {.settings = &settings,
                        .dialer = &dialer,
                        .complaints = &complaints,
                        .receipts = &receipts,
                        .log = log_open(),
                        .acks = acks_open(0)};
    const struct link_target target = {.url = {.host = "c", .port = 3}};
    struct members *members = members_open(&base);
    struct http_url url = {.host = "a", .port = 1};
    struct buf out = {0};
    cr_assert_eq(members_restore(members, "s1", &url), 0);
    url = (struct http_url){.host = "::1", .port = 2};
    cr_assert_eq(members_restore(members, "s2:5001", &url), 0);
    cr_assert_eq(members_restore(members, "s1", &url), 0, "it is there");
    cr_assert_eq(members_register(members, "s3", &target, 0), 0);
    note_write(true, members, &out);
    buf_add(&out, "", 1);
    cr_expect(note_says(out.data), "%s", out.data);
    cr_expect_str_eq(read_text, "s1 a:1 s2:5001 ::1:2 ", "who was never proven is no member");

    buf_clear(&out);
    note_write(false, NULL, &out);
    cr_expect(span_equals(buf_span(&out), "{\"complete\":false}"));
    buf_free(&out);
    cr_expect_eq(members_count(members).all, 3);
    cr_expect_eq(members_count(members).proven, 2);
    cr_expect_eq(acks_count(base.acks, 1, CONCERN_ALL).need, 3, "those two, and the master");
    members_close(members);
    acks_close(base.acks);
    log_close(base.log);
}
