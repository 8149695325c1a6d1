/* What holds for every head that was taken, request or response. */
#ifndef FUZZ_CHECK_HEAD_H
#define FUZZ_CHECK_HEAD_H

#include "check.h"
#include "http/parser.h"

static inline void check_name(struct span name)
{
    CHECK(name.len > 0);
    for (size_t i = 0; i < name.len; i++)
        CHECK(name.at[i] > ' ' && name.at[i] < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", name.at[i]) == NULL);
}

static inline void check_value(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.at[i];
        CHECK(byte == '\t' || (byte >= ' ' && byte != 0x7f));
    }
    CHECK(value.len == 0 || (value.at[0] != ' ' && value.at[0] != '\t'));
    CHECK(value.len == 0 || (value.at[value.len - 1] != ' ' && value.at[value.len - 1] != '\t'));
}

static inline size_t count_fields(const struct http_head *head, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++)
        count += span_equals_nocase(head->fields[i].name, name);
    return count;
}

static inline bool has_token(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct span list = head->fields[i].value;
        struct span element;
        while (span_equals_nocase(head->fields[i].name, name) && http_list_next(&list, &element))
            if (span_equals_nocase(element, token))
                return true;
    }
    return false;
}

/* The body's end is told in one way, or not at all. */
static inline void check_framing(const struct http_head *head)
{
    size_t lengths = count_fields(head, "Content-Length");
    size_t codings = count_fields(head, "Transfer-Encoding");
    CHECK(lengths + codings <= 1);
    CHECK(head->framing != HTTP_FRAMING_LENGTH || lengths == 1);
    CHECK(head->framing != HTTP_FRAMING_CHUNKED || (codings == 1 && head->minor > 0));
    CHECK(head->framing != HTTP_FRAMING_CHUNKED || has_token(head, "Transfer-Encoding", "chunked"));
    CHECK(head->framing == HTTP_FRAMING_LENGTH || head->content_length == 0);
    CHECK(!head->keep_alive || !has_token(head, "Connection", "close"));
}

static inline void check_head(const struct http_head *head, struct span in)
{
    CHECK(head->len <= in.len && head->len <= HTTP_HEAD_MAX);
    CHECK(memcmp(in.at + head->len - 4, "\r\n\r\n", 4) == 0);
    CHECK(head->minor >= 0 && head->minor <= 9 && head->field_count <= HTTP_FIELDS_MAX);
    in.len = head->len;
    for (size_t i = 0; i < head->field_count; i++) {
        CHECK(fuzz_within(head->fields[i].name, in) && fuzz_within(head->fields[i].value, in));
        check_name(head->fields[i].name);
        check_value(head->fields[i].value);
    }
    check_framing(head);
}

/* Two reads of the same bytes, cut differently. */
static inline void check_same(enum http_parse a, const struct http_head *a_head,
                              const struct http_refusal *a_why, enum http_parse b,
                              const struct http_head *b_head, const struct http_refusal *b_why)
{
    CHECK(a == b);
    if (a == HTTP_PARSE_BAD)
        CHECK(a_why->status == b_why->status && a_why->text == b_why->text && a_why->text != NULL);
    if (a != HTTP_PARSE_DONE)
        return;
    CHECK(a_head->len == b_head->len && a_head->field_count == b_head->field_count);
    CHECK(a_head->framing == b_head->framing && a_head->content_length == b_head->content_length);
    CHECK(a_head->keep_alive == b_head->keep_alive && a_head->minor == b_head->minor);
}

#endif
