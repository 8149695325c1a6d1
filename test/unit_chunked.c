#include "exact.h"
#include "http/chunked.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ROOM = 16384 };

/* A body as it came out, and how much of the input it took. */
struct outcome {
    enum http_parse result;
    size_t used;
    size_t len;
    char body[ROOM];
};

static void feed(struct http_chunked *chunked, struct span in, struct outcome *out)
{
    size_t used, len;
    out->result = http_chunked_decode(chunked, in.at, in.len, &used, out->body + out->len, &len);
    out->used += used;
    out->len += len;
}

static struct outcome decode(struct span in)
{
    struct http_chunked chunked = {0};
    struct outcome out = {.used = 0};
    feed(&chunked, in, &out);
    return out;
}

struct row {
    const char *section; /* of RFC 9112 */
    const char *bytes;
    size_t len;
    enum http_parse result;
    const char *body; /* as far as it went; with BAD nobody asks */
};

#define ROW(section, bytes, result, body)                                                                    \
    {                                                                                                        \
        section, bytes, sizeof(bytes) - 1, HTTP_PARSE_##result, body                                         \
    }
#define END "0\r\n\r\n"

static const struct row rows[] = {
    ROW("7.1", END, DONE, ""),
    ROW("7.1", "5\r\nhello\r\n" END, DONE, "hello"),
    ROW("7.1", "5\r\nhello\r\n1\r\n!\r\n" END, DONE, "hello!"),
    ROW("7.1", "a\r\n0123456789\r\n" END, DONE, "0123456789"),
    ROW("7.1", "A\r\n0123456789\r\n" END, DONE, "0123456789"),
    ROW("7.1", "0000000000000000000000005\r\nhello\r\n00000\r\n\r\n", DONE, "hello"),
    ROW("7.1", "4\r\n\r\n\r\n\r\n" END, DONE, "\r\n\r\n"),
    ROW("7.1", "5\r\nhello\r\n" END "GET / HTTP/1.1\r\n", DONE, "hello"),
    ROW("7.1", "", MORE, ""),
    ROW("7.1", "5", MORE, ""),
    ROW("7.1", "5\r\nhel", MORE, "hel"),
    ROW("7.1", "5\r\nhello\r\n", MORE, "hello"),
    ROW("7.1", "5\r\nhello\r\n0\r\n", MORE, "hello"),
    ROW("7.1", "5\r\nhello\r\n0\r\n\r", MORE, "hello"),
    ROW("7.1", "ffffffffffffffff\r\nab", MORE, "ab"),
    ROW("7.1", "10000000000000000\r\n", BAD, ""),
    ROW("7.1", "fffffffffffffffff\r\n", BAD, ""),
    ROW("7.1", "\r\n" END, BAD, ""),
    ROW("7.1", ";a\r\n" END, BAD, ""),
    ROW("7.1", " 5\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "+5\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "-5\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "0x5\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "5h\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "g\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "5,\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "5\nhello\r\n" END, BAD, ""),
    ROW("7.1", "5\rhello\r\n" END, BAD, ""),
    ROW("7.1", "5\r\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "\0", BAD, ""),
    ROW("7.1", "5\0\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "5\r\nhello\n" END, BAD, ""),
    ROW("7.1", "5\r\nhello\r" END, BAD, ""),
    ROW("7.1", "5\r\nhello" END, BAD, ""),
    ROW("7.1", "5\r\nhello\rX" END, BAD, ""),
    ROW("7.1", "5\r\nhelloX\n" END, BAD, ""),
    ROW("7.1", "5\r\nhello!\r\n" END, BAD, ""),
    ROW("7.1", "4\r\nhello\r\n" END, BAD, ""),
    ROW("7.1", "5\r\nhello\r\n\r\n" END, BAD, ""),
    ROW("7.1.1", "5;a\r\nhello\r\n0;b=c;d=\"e;f\"\r\n\r\n", DONE, "hello"),
    ROW("7.1.1", "5 \t;\ta = b \r\nhello\r\n" END, DONE, "hello"),
    ROW("7.1.1", "5;\x80\xff\r\nhello\r\n" END, DONE, "hello"),
    ROW("7.1.1", "5 \r\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5 a\r\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5 5;a\r\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5;a\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5;a\rb\r\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5;a\0b\r\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5;a\x7f\r\nhello\r\n" END, BAD, ""),
    ROW("7.1.1", "5;\"\n\"\r\nhello\r\n" END, BAD, ""),
    ROW("7.1.2", "0\r\nA: b\r\n\r\n", DONE, ""),
    ROW("7.1.2", "1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nrest", DONE, "x"),
    ROW("7.1.2", "0\r\nContent-Length: 5\r\n\r\n", DONE, ""), /* dropped, so it can do no harm */
    ROW("7.1.2", "0\r\nA: b\r\n", MORE, ""),
    ROW("7.1.2", "0\r\nA\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\n: b\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA : b\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\n A: b\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA: b\r\n c\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA: b\0\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA: b\nC: d\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA: b\rC: d\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA: b\rXC: d\r\n\r\n", BAD, ""),
    ROW("7.1.2", "0\r\nA: b\r\n\n", BAD, ""),
    ROW("7.1.2", "0\r\n\n", BAD, ""),
    ROW("7.1.2", "0\r\n\rA", BAD, ""),
    ROW("7.1.2", "0\r\n\x80: b\r\n\r\n", BAD, ""),
};

enum { ROWS = sizeof rows / sizeof *rows };

static void check(size_t i, const struct outcome *got)
{
    const struct row *row = &rows[i];
    cr_expect(got->result == row->result, "row %zu (%s), %.*s", i, row->section, (int)row->len, row->bytes);
    if (row->result == HTTP_PARSE_BAD || got->result == HTTP_PARSE_BAD)
        return;
    cr_expect(got->len == strlen(row->body) && memcmp(got->body, row->body, got->len) == 0, "row %zu", i);
    cr_expect(got->used <= row->len && (row->result == HTTP_PARSE_DONE || got->used == row->len), "row %zu",
              i);
}

Test(chunked, each_row_has_its_result)
{
    struct exact exact = exact_new(ROOM);
    for (size_t i = 0; i < ROWS; i++) {
        struct outcome got = decode(exact_put(exact, rows[i].bytes, rows[i].len));
        check(i, &got);
    }
}

Test(chunked, a_body_cut_in_two_anywhere_is_the_same)
{
    struct exact exact = exact_new(ROOM);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t cut = 0; cut <= rows[i].len; cut++) {
            struct http_chunked chunked = {0};
            struct outcome got = {.used = 0};
            feed(&chunked, exact_put(exact, rows[i].bytes, cut), &got);
            if (got.result == HTTP_PARSE_MORE) {
                cr_expect(got.used == cut);
                feed(&chunked, exact_put(exact, rows[i].bytes + cut, rows[i].len - cut), &got);
            }
            check(i, &got);
        }
}

Test(chunked, a_body_that_comes_byte_by_byte_is_the_same)
{
    struct exact exact = exact_new(1);
    for (size_t i = 0; i < ROWS; i++) {
        struct http_chunked chunked = {0};
        struct outcome got = {.result = HTTP_PARSE_MORE};
        for (size_t at = 0; at < rows[i].len && got.result == HTTP_PARSE_MORE; at++)
            feed(&chunked, exact_put(exact, rows[i].bytes + at, 1), &got);
        check(i, &got);
    }
}

Test(chunked, a_body_can_be_decoded_onto_itself)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct http_chunked chunked = {0};
        struct outcome got = {.used = 0};
        memcpy(got.body, rows[i].bytes, rows[i].len);
        got.result = http_chunked_decode(&chunked, got.body, rows[i].len, &got.used, got.body, &got.len);
        check(i, &got);
    }
}

Test(chunked, what_follows_a_body_is_left)
{
    struct outcome got = decode(span_of("3\r\nabc\r\n0\r\nA: b\r\n\r\nGET"));
    cr_assert(got.result == HTTP_PARSE_DONE);
    cr_expect(got.used == strlen("3\r\nabc\r\n0\r\nA: b\r\n\r\n"));
}

Test(chunked, an_end_is_an_end_however_often_it_is_asked)
{
    struct http_chunked chunked = {0};
    struct outcome got = {.used = 0};
    feed(&chunked, span_of(END), &got);
    feed(&chunked, span_of("5\r\nhello"), &got);
    cr_expect(got.result == HTTP_PARSE_DONE && got.used == strlen(END) && got.len == 0);
}

Test(chunked, a_bad_body_stays_bad)
{
    struct http_chunked chunked = {0};
    struct outcome got = {.used = 0};
    feed(&chunked, span_of("x"), &got);
    feed(&chunked, span_of(END), &got);
    cr_expect(got.result == HTTP_PARSE_BAD && got.len == 0);
}

/* ---- limits ---- */

/* A body whose `before` is followed by a size line of that length. */
static enum http_parse with_extension(const char *before, size_t line_len)
{
    char text[HTTP_CHUNK_LINE_MAX + 64];
    strcpy(text, before);
    char *line = strcat(text, "1;") + strlen(before);
    memset(line + 2, 'x', line_len - 2);
    strcpy(line + line_len, "\r\nA\r\n" END);
    return decode(span_of(text)).result;
}

Test(limits, a_size_line_may_be_as_long_as_its_limit)
{
    cr_expect(with_extension("", HTTP_CHUNK_LINE_MAX) == HTTP_PARSE_DONE);
    cr_expect(with_extension("", HTTP_CHUNK_LINE_MAX + 1) == HTTP_PARSE_BAD);
    cr_expect(with_extension("1\r\nA\r\n", HTTP_CHUNK_LINE_MAX) == HTTP_PARSE_DONE);
    cr_expect(with_extension("1\r\nA\r\n", HTTP_CHUNK_LINE_MAX + 1) == HTTP_PARSE_BAD);
}

Test(limits, leading_zeros_are_not_endless)
{
    char zeros[HTTP_CHUNK_LINE_MAX + 8];
    memset(zeros, '0', sizeof zeros);
    cr_expect(decode((struct span){zeros, HTTP_CHUNK_LINE_MAX}).result == HTTP_PARSE_MORE);
    cr_expect(decode((struct span){zeros, sizeof zeros}).result == HTTP_PARSE_BAD);
}

Test(limits, each_size_line_has_a_limit_of_its_own)
{
    struct http_chunked chunked = {0};
    struct outcome got = {.used = 0};
    char chunk[600] = "1;";
    memset(chunk + 2, 'x', 500);
    strcpy(chunk + 502, "\r\nA\r\n");
    for (int i = 0; i < 10; i++)
        feed(&chunked, span_of(chunk), &got);
    cr_expect(got.result == HTTP_PARSE_MORE && got.len == 10);
}

static enum http_parse with_trailer(size_t len)
{
    char text[HTTP_TRAILER_MAX + 64] = "0\r\nA: b\r\nC:";
    memset(text + 11, 'x', len - 8 - 2);
    strcpy(text + 3 + len - 2, "\r\n\r\n");
    return decode(span_of(text)).result;
}

Test(limits, a_trailer_section_may_be_as_long_as_its_limit)
{
    cr_expect(with_trailer(HTTP_TRAILER_MAX) == HTTP_PARSE_DONE);
    cr_expect(with_trailer(HTTP_TRAILER_MAX + 1) == HTTP_PARSE_BAD);
}

Test(limits, trailer_fields_count_together)
{
    struct http_chunked chunked = {0};
    struct outcome got = {.used = 0};
    feed(&chunked, span_of("0\r\n"), &got);
    int fields = 0;
    while (got.result == HTTP_PARSE_MORE && fields < HTTP_TRAILER_MAX) {
        feed(&chunked, span_of("A: b\r\n"), &got);
        fields++;
    }
    cr_expect(got.result == HTTP_PARSE_BAD);
    cr_expect(fields == HTTP_TRAILER_MAX / 6 + 1);
}

/* ---- classes of bytes ---- */

static bool byte_taken(const char *before, int byte, const char *after)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%sx%s", before, after);
    text[strlen(before)] = (char)byte;
    return decode((struct span){text, (size_t)len}).result == HTTP_PARSE_DONE;
}

Test(bytes, an_extension_takes_no_control_byte_but_the_tab)
{
    for (int byte = 0; byte < 256; byte++) {
        bool good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        cr_expect(byte_taken("1;a", byte, "b\r\nx\r\n" END) == good, "0x%02x", (unsigned)byte);
    }
}

Test(bytes, a_size_takes_hexadecimal_digits_only)
{
    for (int byte = 0; byte < 256; byte++) {
        cr_expect(byte_taken("", byte, "\r\nx\r\n" END) == (byte == '1'), "0x%02x", (unsigned)byte);
        cr_expect(byte_taken("1", byte, "\r\nx\r\n" END) == (byte == ';'), "0x%02x", (unsigned)byte);
        cr_expect(byte_taken("0", byte, "\r\nx\r\n" END) == (byte == '1'), "0x%02x", (unsigned)byte);
    }
}

Test(bytes, data_takes_every_byte)
{
    for (int byte = 0; byte < 256; byte++)
        cr_expect(byte_taken("3\r\na", byte, "b\r\n" END), "0x%02x", (unsigned)byte);
}
