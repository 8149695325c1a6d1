/* What is left of a message, after any number of its bytes were sent. */
#include "http/stream.h"

#include <criterion/criterion.h>
#include <string.h>

static const char body[] = "abcdefgh";

/* The source's state is where its next byte lies. A piece has three bytes at most. */
static int pieces(const void *state, struct iovec *iov, int max)
{
    const char *at;
    int count = 0;
    memcpy(&at, state, sizeof at);
    for (; *at && count < max; count++) {
        size_t len = strlen(at) < 3 ? strlen(at) : 3;
        iov[count] = (struct iovec){(void *)(uintptr_t)at, len};
        at += len;
    }
    return count;
}

static void skip(void *state, uint64_t bytes)
{
    const char *at;
    memcpy(&at, state, sizeof at);
    at += bytes;
    memcpy(state, &at, sizeof at);
}

static struct outgoing message(bool with_source, bool with_after)
{
    struct outgoing out = {.source = {.pieces = pieces, .skip = skip}};
    const char *at = body;
    buf_add_text(&out.head, "head:");
    memcpy(out.source.state, &at, sizeof at);
    out.source.len = with_source ? strlen(body) : 0;
    out.after = with_after ? span_of(":end") : (struct span){0};
    return out;
}

/* What an iovec of `max` entries leads to. */
static const char *next_bytes(const struct outgoing *out, int max)
{
    static char text[64];
    struct iovec iov[8];
    size_t len = 0;
    int count = outgoing_iov(out, iov, max);
    cr_assert(count <= max);
    for (int i = 0; i < count; i++) {
        memcpy(text + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    text[len] = '\0';
    return text;
}

static void expect_rest_after_each_byte(bool with_source, bool with_after, const char *text)
{
    for (size_t sent = 0; sent <= strlen(text); sent++) {
        struct outgoing out = message(with_source, with_after);
        size_t left = sent;
        cr_expect_eq(outgoing_skip(&out, &left), sent == strlen(text));
        cr_expect_eq(outgoing_done(&out), sent == strlen(text));
        cr_expect_eq(left, 0);
        cr_expect_str_eq(next_bytes(&out, 8), text + sent);
        outgoing_free(&out);
    }
}

Test(outgoing, what_is_left_follows_what_was_sent)
{
    expect_rest_after_each_byte(true, true, "head:abcdefgh:end");
    expect_rest_after_each_byte(true, false, "head:abcdefgh");
    expect_rest_after_each_byte(false, true, "head::end");
    expect_rest_after_each_byte(false, false, "head:");
}

Test(outgoing, where_iovecs_are_few_the_end_waits_for_the_source)
{
    struct outgoing out = message(true, true);
    cr_expect_str_eq(next_bytes(&out, 3), "head:abc");
    cr_expect_str_eq(next_bytes(&out, 4), "head:abcdef");
    cr_expect_str_eq(next_bytes(&out, 5), "head:abcdefgh:end");
    outgoing_free(&out);
}

Test(outgoing, bytes_past_the_end_are_left_to_the_next_message)
{
    struct outgoing out = message(true, true);
    size_t sent = strlen("head:abcdefgh:end") + 4;
    cr_expect(outgoing_skip(&out, &sent));
    cr_expect_eq(sent, 4);
    outgoing_free(&out);
}

Test(outgoing, once_cleared_it_is_empty_and_keeps_its_memory)
{
    struct outgoing out = message(true, true);
    size_t sent = 2;
    outgoing_skip(&out, &sent);
    size_t cap = out.head.cap;
    outgoing_clear(&out);
    cr_expect(outgoing_done(&out));
    cr_expect_str_eq(next_bytes(&out, 3), "");
    cr_expect(cap && out.head.cap == cap);
    outgoing_free(&out);
    cr_expect_eq(out.head.cap, 0);
}
