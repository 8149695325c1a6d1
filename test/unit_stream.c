/* A stream at one end of a socket pair, the test at the other. */
#include "http/stream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct stream stream;
static int other;

static void start(void)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    stream = (struct stream){.fd = ends[0]};
    other = ends[1];
}

static void stop(void)
{
    close(stream.fd);
    close(other);
}

TestSuite(stream, .init = start, .fini = stop, .timeout = 60);

static struct stream_turn turn_of(int64_t now_ms, size_t most)
{
    return (struct stream_turn){.now_ms = now_ms, .most = most};
}

static struct outgoing message(const char *text, const char *after)
{
    struct outgoing out = {.after = span_of(after)};
    buf_add_text(&out.head, text);
    return out;
}

/* All that the other end can receive now. */
static const char *received(void)
{
    static char text[256];
    ssize_t len = recv(other, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

Test(stream, messages_leave_in_order)
{
    struct outgoing messages[3] = {message("one", ","), message("two", ","), message("three", "")};
    struct outgoing *list[3] = {&messages[0], &messages[1], &messages[2]};
    struct stream_turn turn = turn_of(1, 1000);
    cr_expect_eq(stream_send(&stream, list, 3, &turn), STREAM_SENT);
    cr_expect_str_eq(received(), "one,two,three");
    cr_expect_eq(turn.most, 1000 - strlen("one,two,three"));
    for (int i = 0; i < 3; i++) {
        cr_expect(outgoing_done(list[i]));
        outgoing_free(list[i]);
    }
}

Test(stream, no_more_is_sent_than_a_turn_allows)
{
    struct outgoing messages[2] = {message("one", ","), message("two", "")};
    struct outgoing *list[2] = {&messages[0], &messages[1]};
    struct stream_turn turn = turn_of(1, 5);
    cr_expect_eq(stream_send(&stream, list, 2, &turn), STREAM_FULL);
    cr_expect(stream.full);
    cr_expect_str_eq(received(), "one,t");
    cr_expect(outgoing_done(list[0]) && !outgoing_done(list[1]));
    turn = turn_of(1, 5);
    cr_expect_eq(stream_send(&stream, list + 1, 1, &turn), STREAM_SENT);
    cr_expect(!stream.full);
    cr_expect_str_eq(received(), "wo");
    outgoing_free(list[0]);
    outgoing_free(list[1]);
}

Test(stream, a_few_bytes_are_taken_off_as_they_are_sent)
{
    struct span bytes = span_of("hello");
    struct stream_turn turn = turn_of(1, 2);
    cr_expect_eq(stream_send_bytes(&stream, &bytes, &turn), STREAM_FULL);
    cr_expect(span_equals(bytes, "llo"));
    turn.most = 100;
    cr_expect_eq(stream_send_bytes(&stream, &bytes, &turn), STREAM_SENT);
    cr_expect_eq(bytes.len, 0);
    cr_expect_str_eq(received(), "hello");
}

/* Sends until the socket takes no more, at a time. */
static void fill(int64_t now_ms)
{
    static char many[100000];
    struct stream_turn turn = turn_of(now_ms, SIZE_MAX);
    struct span bytes;
    do
        bytes = (struct span){many, sizeof many};
    while (stream_send_bytes(&stream, &bytes, &turn) == STREAM_SENT);
}

Test(stream, a_full_one_is_given_time_from_when_it_was_full_or_the_other_end_took_something)
{
    static char bytes[40000];
    fill(1000);
    cr_assert(stream.full);
    cr_expect(stream_drains(&stream, 1099, 100));
    cr_expect(!stream_drains(&stream, 1100, 100));
    cr_assert(recv(other, bytes, sizeof bytes, 0) > 0);
    cr_expect(stream_drains(&stream, 1500, 100));
    cr_expect(stream_drains(&stream, 1599, 100));
    cr_expect(!stream_drains(&stream, 1600, 100));
}

Test(stream, one_that_is_tried_again_in_vain_gets_no_more_time)
{
    struct span bytes = span_of("hello");
    struct stream_turn later = turn_of(1050, 100);
    fill(1000);
    cr_expect_eq(stream_send_bytes(&stream, &bytes, &later), STREAM_FULL);
    cr_expect(!stream_drains(&stream, 1100, 100));
}

Test(stream, one_whose_other_end_has_gone_is_broken)
{
    struct outgoing out = message("hello", "");
    struct outgoing *list[1] = {&out};
    struct stream_turn turn = turn_of(1, 100);
    shutdown(other, SHUT_RD);
    close(other);
    cr_expect_eq(stream_send(&stream, list, 1, &turn), STREAM_BROKEN);
    outgoing_free(&out);
    other = dup(stream.fd);
}

Test(stream, bytes_nothing_and_the_end_are_told_apart)
{
    char bytes[8];
    cr_expect_eq(stream_receive(&stream, bytes, sizeof bytes), -EAGAIN);
    cr_assert_eq(send(other, "hello", 5, 0), 5);
    cr_expect_eq(stream_receive(&stream, bytes, 3), 3);
    cr_expect_eq(stream_receive(&stream, bytes, 3), 2);
    shutdown(other, SHUT_WR);
    cr_expect_eq(stream_receive(&stream, bytes, 3), 0);
}
