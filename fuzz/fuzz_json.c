/* JSON text. Whatever is taken as a value can be written again in compact form, and that form is a fixed
 * point; a string keeps its value through each way of writing it. */
#include "../test/json_value.h"
#include "check.h"

static void check_same(const struct buf *buf, struct span wanted)
{
    CHECK(!buf->failed && buf->len == wanted.len);
    CHECK(wanted.len == 0 || memcmp(buf->data, wanted.at, wanted.len) == 0);
}

/* An independent reading of RFC 3629: decodes, then asks whether the character has that form. */
static bool utf8_simple(struct span in)
{
    const unsigned char *at = (const unsigned char *)in.at;
    for (size_t i = 0; i < in.len;) {
        size_t len = at[i] < 0x80   ? 1
                     : at[i] < 0xc0 ? 0
                     : at[i] < 0xe0 ? 2
                     : at[i] < 0xf0 ? 3
                     : at[i] < 0xf8 ? 4
                                    : 0;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (len == 0 || in.len - i < len)
            return false;
        uint32_t code = len == 1 ? at[i] : at[i] & (0x7fU >> len);
        for (size_t tail = 1; tail < len; tail++) {
            if ((at[i + tail] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (at[i + tail] & 0x3f);
        }
        if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        i += len;
    }
    return true;
}

/* Any UTF-8 can be quoted, and comes back. */
static void check_quote(struct span value)
{
    struct buf quoted = {0}, back = {0};
    struct json_string string;
    json_quote(value, &quoted);
    CHECK(json_canonical_len(buf_span(&quoted)) == quoted.len);
    struct json json = json_text(buf_span(&quoted));
    CHECK(json_string(&json, &string) && json_end(&json) && string.canonical);
    json_value(&string, &back);
    check_same(&back, value);
    buf_free(&quoted);
    buf_free(&back);
}

static void check_copy(const struct json_string *string, struct span value)
{
    char *copy = malloc(value.len + 1);
    CHECK(copy != NULL);
    CHECK(!json_string_copy(string, copy, value.len));
    if (json_string_copy(string, copy, value.len + 1)) {
        CHECK(strlen(copy) == value.len && (value.len == 0 || memcmp(copy, value.at, value.len) == 0));
        CHECK(json_string_is(string, copy));
        copy[value.len / 2] ^= 1;
        CHECK(value.len == 0 || !json_string_is(string, copy));
    } else
        CHECK(memchr(value.at, '\0', value.len) != NULL);
    free(copy);
}

static void check_string(const struct json_string *string, struct span text)
{
    struct buf value = {0}, canonical = {0}, quoted = {0};
    CHECK(fuzz_within(string->raw, text));
    json_value(string, &value);
    CHECK(value.len == string->value_len && json_utf8_valid(buf_span(&value)));
    json_string_canonical(string, &canonical);
    json_quote(buf_span(&value), &quoted);
    check_same(&canonical, buf_span(&quoted));
    bool same = canonical.len == string->raw.len + 2 &&
                memcmp(canonical.data + 1, string->raw.at, string->raw.len) == 0;
    CHECK(string->canonical == same);
    check_copy(string, buf_span(&value));
    check_quote(buf_span(&value));
    buf_free(&value);
    buf_free(&canonical);
    buf_free(&quoted);
}

static bool rewrite(struct json *json, struct span text, struct buf *out);

static bool rewrite_object(struct json *json, struct span text, struct buf *out)
{
    struct json_string name;
    size_t start = out->len;
    CHECK(json_object(json));
    buf_add_char(out, '{');
    while (json_member(json, &name)) {
        check_string(&name, text);
        if (out->len > start + 1)
            buf_add_char(out, ',');
        json_string_canonical(&name, out);
        buf_add_char(out, ':');
        if (!rewrite(json, text, out))
            return false;
    }
    buf_add_char(out, '}');
    return !json->error;
}

static bool rewrite_array(struct json *json, struct span text, struct buf *out)
{
    size_t start = out->len;
    CHECK(json_array(json));
    buf_add_char(out, '[');
    while (json_element(json)) {
        if (out->len > start + 1)
            buf_add_char(out, ',');
        if (!rewrite(json, text, out))
            return false;
    }
    buf_add_char(out, ']');
    return !json->error;
}

static void check_number(struct span token)
{
    struct json json = json_text(token);
    double number;
    uint64_t whole;
    if (json_uint(&json, &whole)) {
        CHECK(json_end(&json));
        json = json_text(token);
        CHECK(token.len > JSON_NUMBER_MAX || json_number(&json, &number));
        CHECK(token.len > JSON_NUMBER_MAX || number == (double)whole);
    }
}

/* Numbers and words stay as they stand. */
static bool rewrite_scalar(struct json *json, struct buf *out)
{
    char first = json_peek(json);
    const char *start = json->at;
    if (!json_skip(json))
        return false;
    struct span token = {.at = start, .len = (size_t)(json->at - start)};
    if (first == '-' || (first >= '0' && first <= '9'))
        check_number(token);
    buf_add_span(out, token);
    return true;
}

/* Takes one value, pulled part by part, and writes it compactly. */
static bool rewrite(struct json *json, struct span text, struct buf *out)
{
    struct json_string string;
    switch (json_peek(json)) {
    case '{':
        return rewrite_object(json, text, out);
    case '[':
        return rewrite_array(json, text, out);
    case '"':
        if (!json_string(json, &string))
            return false;
        check_string(&string, text);
        json_string_canonical(&string, out);
        return true;
    default:
        return rewrite_scalar(json, out);
    }
}

static void check_text(struct span in)
{
    struct buf once = {0}, twice = {0};
    struct json skipped = json_text(in);
    bool taken = json_skip(&skipped) && json_end(&skipped);
    CHECK(taken == (skipped.error == NULL));
    if (taken) {
        struct json json = json_text(in);
        CHECK(rewrite(&json, in, &once) && json_end(&json) && !once.failed);
        json = json_text(buf_span(&once));
        CHECK(rewrite(&json, buf_span(&once), &twice) && json_end(&json));
        check_same(&twice, buf_span(&once));
        CHECK(json_utf8_valid(in));
    }
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = fuzz_copy(data, size);
    bool utf8 = json_utf8_valid(in);
    CHECK(utf8 == utf8_simple(in));
    if (utf8)
        check_quote(in);
    check_text(in);
    free((char *)in.at);
    return 0;
}
