/* JSON strings: what is taken, their values, and their canonical form. */
#include "exact.h"
#include "json_value.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ROOM = 4096, LAST_CODE = 0x10ffff };

static struct exact room;

static void make_room(void)
{
    room = exact_new(ROOM);
}

TestSuite(json_string, .init = make_room, .timeout = 60);

static bool is_surrogate(uint32_t code)
{
    return code >= 0xd800 && code < 0xe000;
}

/* Takes `text`, which ends where memory ends, as one string and nothing else. */
static bool take(const char *text, size_t len, struct json_string *out)
{
    struct json json = json_text(exact_put(room, text, len));
    bool taken = json_string(&json, out) && json_end(&json);
    cr_assert_eq(taken, json.error == NULL);
    return taken;
}

/* Takes what is between the quotes. */
static bool take_inside(const char *inside, size_t len, struct json_string *out)
{
    char text[ROOM];
    text[0] = text[len + 1] = '"';
    memcpy(text + 1, inside, len);
    return take(text, len + 2, out);
}

static void assert_bytes(const struct buf *buf, const void *bytes, size_t len, const char *about)
{
    cr_assert(!buf->failed);
    cr_assert(buf->len == len && (len == 0 || memcmp(buf->data, bytes, len) == 0), "%s: got %.*s", about,
              (int)buf->len, buf->data);
}

/* The string has this value, and all ways to its canonical form agree. */
static void assert_value(const struct json_string *string, const char *value, size_t len, const char *about)
{
    struct buf out = {0}, canonical = {0}, quoted = {0};
    cr_assert_eq(string->value_len, len, "%s", about);
    json_value(string, &out);
    assert_bytes(&out, value, len, about);
    json_quote((struct span){.at = value, .len = len}, &quoted);
    json_string_canonical(string, &canonical);
    assert_bytes(&canonical, quoted.data, quoted.len, about);
    cr_assert_eq(string->canonical,
                 quoted.len - 2 == string->raw.len &&
                     memcmp(quoted.data + 1, string->raw.at, string->raw.len) == 0,
                 "%s", about);
    cr_assert_eq(json_canonical_len(buf_span(&canonical)), canonical.len, "%s", about);
    buf_free(&out);
    buf_free(&canonical);
    buf_free(&quoted);
}

Test(json_string, every_character_survives_as_itself_and_as_an_escape)
{
    for (uint32_t code = 0; code <= LAST_CODE; code++) {
        char value[4], plain[1024], escaped[64];
        struct json_string string;
        if (is_surrogate(code))
            continue;
        size_t len = utf8_encode(code, value);
        cr_assert_eq(len, utf8_code_len(code));
        cr_assert(json_utf8_valid((struct span){.at = value, .len = len}), "U+%04X", code);
        struct buf quoted = {.data = plain, .cap = sizeof plain};
        json_quote((struct span){.at = value, .len = len}, &quoted);
        cr_assert(take(plain, quoted.len, &string) && string.canonical, "U+%04X", code);
        cr_assert(string.value_len == len);

        int escaped_len = code < 0x10000
                              ? snprintf(escaped, sizeof escaped, "\"\\u%04x\"", code)
                              : snprintf(escaped, sizeof escaped, "\"\\u%04X\\u%04x\"",
                                         0xd800 + ((code - 0x10000) >> 10), 0xdc00 + (code & 0x3ff));
        cr_assert(take(escaped, (size_t)escaped_len, &string), "U+%04X", code);
        char value_again[1024];
        struct buf again = {.data = value_again, .cap = sizeof value_again};
        json_value(&string, &again);
        cr_assert(again.len == len && memcmp(value_again, value, len) == 0, "U+%04X", code);
        again.len = 0;
        json_string_canonical(&string, &again);
        cr_assert(again.len == quoted.len && memcmp(value_again, plain, again.len) == 0, "U+%04X", code);
    }
}

Test(json_string, lone_surrogates_are_refused)
{
    struct json_string string;
    char text[32];
    for (unsigned code = 0xd800; code < 0xe000; code++) {
        char raw[] = {(char)0xed, (char)(0x80 | (code >> 6 & 0x3f)), (char)(0x80 | (code & 0x3f))};
        cr_assert(!json_utf8_valid((struct span){.at = raw, .len = 3}));
        cr_assert(!take_inside(raw, 3, &string));
        snprintf(text, sizeof text, "\\u%04x", code);
        cr_assert(!take_inside(text, 6, &string), "%s", text);
        snprintf(text, sizeof text, "\\u%04xabcdef", code);
        cr_assert(!take_inside(text, 12, &string), "%s", text);
        snprintf(text, sizeof text, "\\u%04x\\u0041", code);
        cr_assert(!take_inside(text, 12, &string), "%s", text);
        snprintf(text, sizeof text, "\\u%04x\\ud800", code);
        cr_assert(!take_inside(text, 12, &string), "%s", text);
    }
}

Test(json_string, bad_escapes_are_refused)
{
    struct json_string string;
    for (int c = 0; c < 256; c++) {
        char escape[] = {'\\', (char)c};
        bool known = c != 0 && strchr("/bfnrt\\\"", c);
        cr_assert_eq(take_inside(escape, 2, &string), known, "%d", c);
    }
    static const char *const bad[] = {"\\",      "\\u",        "\\u0",          "\\u00",       "\\u004",
                                      "\\u004g", "\\u 041",    "\\u+041",       "\\u-041",     "\\U0041",
                                      "\\x41",   "\\ud83d\\u", "\\ud83d\\ude0", "\\ud83dude00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!take_inside(bad[i], strlen(bad[i]), &string), "%s", bad[i]);
}

Test(json_string, control_bytes_and_only_those_must_be_escaped)
{
    struct json_string string;
    for (int c = 0; c < 128; c++) {
        char byte = (char)c;
        bool plain = c >= 0x20 && c != '"' && c != '\\';
        cr_assert_eq(take_inside(&byte, 1, &string), plain, "%d", c);
    }
}

/* Each kind of special byte must be found wherever it lies in the blocks of 64 that are looked at at once. */
Test(json_string, a_special_byte_is_found_at_every_place)
{
    static const unsigned char specials[] = {'"', '\\', 0x00, 0x1f, 0x80, 0xc0, 0xff, 0x0a};
    char text[160];
    struct json_string string;
    for (size_t i = 0; i < sizeof specials; i++)
        for (size_t len = 1; len <= 140; len++)
            for (size_t at = 0; at < len; at++) {
                memset(text, at % 2 ? '~' : ' ', sizeof text);
                text[at] = (char)specials[i];
                cr_assert(!take_inside(text, len, &string), "%02x at %zu of %zu", specials[i], at, len);
                cr_assert_eq(json_utf8_valid(exact_put(room, text, len)), specials[i] < 0x80);
            }
}

Test(json_string, plain_bytes_beside_special_ones_are_not_taken_for_those)
{
    static const unsigned char plain[] = {' ', '!', '#', '[', ']', 0x7e, 0x7f, '0'};
    char text[160];
    struct json_string string;
    for (size_t i = 0; i < sizeof plain; i++)
        for (size_t len = 0; len <= 140; len++) {
            memset(text, plain[i], sizeof text);
            cr_assert(take_inside(text, len, &string), "%02x * %zu", plain[i], len);
            cr_assert(string.canonical);
            assert_value(&string, text, len, "a run of plain bytes");
        }
}

Test(json_string, escapes_and_characters_are_found_at_every_place)
{
    static const struct {
        const char *text;
        const char *value;
    } rows[] = {
        {"\\n", "\n"},
        {"\\\"", "\""},
        {"\\\\", "\\"},
        {"\\u001f", "\x1f"},
        {"\\u001F", "\x1f"},
        {"\\/", "/"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
        {"\\u20ac", "\xe2\x82\xac"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int before = 0; before <= 140; before++)
            for (int behind = 0; behind <= 9; behind++) {
                char text[192], value[192];
                struct json_string string;
                int len = snprintf(text, sizeof text, "%0*d%s%.*s", before + 1, 0, rows[i].text, behind,
                                   "abcdefghij");
                int value_len = snprintf(value, sizeof value, "%0*d%s%.*s", before + 1, 0, rows[i].value,
                                         behind, "abcdefghij");
                cr_assert(take_inside(text, (size_t)len, &string), "%s", text);
                assert_value(&string, value, (size_t)value_len, text);
                cr_assert(json_string_is(&string, value), "%s", text);
            }
}

/* Of a run of backslashes every second one is escaped, wherever it begins and however many blocks it fills.
 */
Test(json_string, runs_of_backslashes_escape_one_another)
{
    for (size_t before = 0; before <= 70; before++)
        for (size_t run = 1; run <= 140; run++) {
            char inside[256], value[256];
            struct json_string string;
            memset(inside, 'a', sizeof inside);
            memset(inside + before, '\\', run);
            inside[before + run] = '"';
            size_t len = before + run + 9;
            cr_assert_eq(take_inside(inside, len, &string), run % 2 == 1, "%zu behind %zu", run, before);
            inside[before + run] = 'a';
            cr_assert_eq(take_inside(inside, len, &string), run % 2 == 0, "%zu behind %zu", run, before);
            if (run % 2 != 0)
                continue;
            memset(value, 'a', sizeof value);
            memset(value + before, '\\', run / 2);
            assert_value(&string, value, len - run / 2, "backslashes");
        }
}

static const struct {
    const char *bytes;
    size_t len;
} bad_utf8[] = {
    {"\x80", 1}, /* a tail without a start */
    {"\xbf", 1},
    {"\xc0\x80", 2}, /* overlong */
    {"\xc1\xbf", 2},
    {"\xe0\x80\x80", 3},
    {"\xe0\x9f\xbf", 3},
    {"\xf0\x80\x80\x80", 4},
    {"\xf0\x8f\xbf\xbf", 4},
    {"\xed\xa0\x80", 3}, /* surrogates */
    {"\xed\xbf\xbf", 3},
    {"\xf4\x90\x80\x80", 4}, /* past the last character */
    {"\xf5\x80\x80\x80", 4},
    {"\xf8\x88\x80\x80\x80", 5},
    {"\xfe", 1},
    {"\xff", 1},
    {"\xc3", 1}, /* cut short */
    {"\xe2\x82", 2},
    {"\xe2", 1},
    {"\xf0\x9f\x98", 3},
    {"\xf0\x9f", 2},
    {"\xf0", 1},
    {"\xc3\x28", 2}, /* no tail where one must be */
    {"\xc3\xc3", 2},
    {"\xe2\x28\xa1", 3},
    {"\xe2\x82\x28", 3},
    {"\xf0\x28\x8c\xbc", 4},
    {"\xf0\x90\x28\xbc", 4},
    {"\xf0\x90\x8c\x28", 4},
};

Test(json_string, bytes_that_are_not_utf8_are_refused_wherever_they_are)
{
    static const char filler[] = "abcdefgh\xc3\xa9ijklmnop";
    struct json_string string;
    char text[64];
    for (size_t i = 0; i < sizeof bad_utf8 / sizeof *bad_utf8; i++)
        for (size_t before = 0; before < 8; before++)
            for (size_t behind = 0; behind < 10; behind++) {
                size_t len = 0;
                memcpy(text, filler, before);
                len += before;
                memcpy(text + len, bad_utf8[i].bytes, bad_utf8[i].len);
                len += bad_utf8[i].len;
                memcpy(text + len, "0123456789", behind);
                len += behind;
                cr_assert(!json_utf8_valid(exact_put(room, text, len)), "row %zu", i);
                cr_assert(!take_inside(text, len, &string), "row %zu", i);
            }
}

Test(json_string, edges_of_utf8_are_valid)
{
    cr_assert(json_utf8_valid((struct span){0}));
    cr_assert(json_utf8_valid(
        span_of("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80"
                "\x80\xf4\x8f\xbf\xbf")));
    cr_assert(json_utf8_valid((struct span){.at = "a\0b", .len = 3}));
}

Test(json_string, each_value_has_one_canonical_form)
{
    static const struct {
        const char *text;
        const char *canonical;
    } rows[] = {
        {"\"\"", "\"\""},
        {"\"a\"", "\"a\""},
        {"\"\\u0061\"", "\"a\""},
        {"\"\\/\"", "\"/\""},
        {"\"\\u002f\"", "\"/\""},
        {"\"\\u0022\"", "\"\\\"\""},
        {"\"\\u005C\"", "\"\\\\\""},
        {"\"\\u000a\\u000D\\u0009\\u0008\\u000c\"", "\"\\n\\r\\t\\b\\f\""},
        {"\"\\n\\r\\t\\b\\f\"", "\"\\n\\r\\t\\b\\f\""},
        {"\"\\u001F\\u001f\\u000B\\u0000\"", "\"\\u001f\\u001f\\u000b\\u0000\""},
        {"\"\\u007f\x7f\"", "\"\x7f\x7f\""},
        {"\"\\u00E9\"", "\"\xc3\xa9\""},
        {"\"\\uD83D\\uDE00\"", "\"\xf0\x9f\x98\x80\""},
        {"\"\\u2028\"", "\"\xe2\x80\xa8\""},
        {"\"\\\\u0061\"", "\"\\\\u0061\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_string string;
        struct buf out = {0};
        cr_assert(take(rows[i].text, strlen(rows[i].text), &string), "%s", rows[i].text);
        cr_assert_eq(string.canonical, strcmp(rows[i].text, rows[i].canonical) == 0, "%s", rows[i].text);
        json_string_canonical(&string, &out);
        assert_bytes(&out, rows[i].canonical, strlen(rows[i].canonical), rows[i].text);
        buf_free(&out);
    }
}

Test(json_string, is_compares_values)
{
    struct json_string string;
    cr_assert(take("\"\\u0066irst\"", 12, &string));
    cr_assert(json_string_is(&string, "first"));
    cr_assert(!json_string_is(&string, "First"));
    cr_assert(!json_string_is(&string, "firs"));
    cr_assert(!json_string_is(&string, "first "));
    cr_assert(!json_string_is(&string, "\\u0066irst"));
    cr_assert(take("\"a\\u0000\"", 9, &string));
    cr_assert(!json_string_is(&string, "a"));
    cr_assert(take("\"\"", 2, &string));
    cr_assert(json_string_is(&string, ""));
}

Test(json_string, copy_takes_what_fits_and_holds_no_nul)
{
    struct json_string string;
    char out[6];
    cr_assert(take("\"abc\\u00e9d\"", 12, &string));
    cr_assert(!json_string_copy(&string, out, sizeof out));
    cr_assert(take("\"a\\u0000b\"", 10, &string));
    cr_assert(!json_string_copy(&string, out, sizeof out));
    cr_assert(take("\"\"", 2, &string));
    cr_assert(!json_string_copy(&string, out, 0));
    cr_assert(json_string_copy(&string, out, 1));
    cr_assert_str_eq(out, "");
    cr_assert(take("\"ab\\u00e9d\"", 11, &string));
    cr_assert(json_string_copy(&string, out, sizeof out));
    cr_assert_str_eq(out, "ab\xc3\xa9"
                          "d");
}

Test(json_string, what_is_added_goes_behind_what_is_there)
{
    struct json_string string;
    struct buf out = {0};
    buf_add_text(&out, "x");
    cr_assert(take("\"\\u0061\\n\"", 10, &string));
    json_value(&string, &out);
    json_string_canonical(&string, &out);
    json_quote(span_of("b\""), &out);
    json_quote((struct span){0}, &out);
    assert_bytes(&out, "xa\n\"a\\n\"\"b\\\"\"\"\"", 15, "three additions");
    buf_free(&out);
}

Test(json_string, canonical_strings_are_walked_one_by_one)
{
    static const char *const values[] = {
        "",        "a",        "\"",        "\\",         "\\\"",   "\\\\\\\"",          "\"\\",
        "a,\"b\"", "12345678", "1234567\\", "12345678\"", "\n\x01", "\xf0\x9f\x98\x80\\"};
    enum { VALUES = sizeof values / sizeof *values };
    struct buf list = {0};
    size_t ends[VALUES];
    for (size_t i = 0; i < VALUES; i++) {
        json_quote(span_of(values[i]), &list);
        ends[i] = list.len;
        buf_add_char(&list, ',');
    }
    struct span left = exact_put(room, list.data, list.len - 1);
    const char *start = left.at;
    for (size_t i = 0; i < VALUES; i++) {
        size_t len = json_canonical_len(left);
        cr_assert_eq((size_t)(left.at - start) + len, ends[i], "%s", values[i]);
        len += i + 1 < VALUES;
        left = (struct span){.at = left.at + len, .len = left.len - len};
    }
    cr_assert_eq(left.len, 0);
    buf_free(&list);
}

/* Writes a random value, and one of the many JSON strings that have it. */
static void add_random(uint32_t *seed, struct buf *value, struct buf *text)
{
    char bytes[4];
    *seed = *seed * 1664525 + 1013904223;
    uint32_t pick = *seed >> 16;
    uint32_t code = pick % 5 == 0 ? *seed % LAST_CODE : pick % 5 == 1 ? *seed % 0x800 : *seed / 7 % 0x80;
    if (is_surrogate(code))
        code = 0x20ac;
    size_t len = utf8_encode(code, bytes);
    buf_add(value, bytes, len);
    if (code >= 0x10000 && pick & 1)
        buf_addf(text, "\\u%04x\\u%04X", 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + (code & 0x3ff));
    else if (code < 0x10000 && (pick & 64 || code < 0x20 || code == '"' || code == '\\'))
        buf_addf(text, pick & 32 ? "\\u%04x" : "\\u%04X", code);
    else
        buf_add(text, bytes, len);
}

Test(json_string, random_values_survive_every_way_of_writing_them)
{
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        struct buf value = {0}, text = {0};
        struct json_string string;
        for (int left = round % 40; left > 0; left--)
            add_random(&seed, &value, &text);
        cr_assert(take_inside(text.len ? text.data : "", text.len, &string), "%.*s", (int)text.len,
                  text.data);
        assert_value(&string, value.len ? value.data : "", value.len, "a random string");
        buf_free(&value);
        buf_free(&text);
    }
}
