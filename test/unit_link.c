/* A link over a socket pair, with a secondary that says what the test tells it to. The link's times come in
 * as arguments; only the time of a round is measured, and that clock jumps when a test says so. */
#include "clock.h"
#include "http/parser.h"
#include "logline.h"
#include "replication/link.h"
#include "skipped_time.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 300, ATTEMPT_MS = 5000, BIG = 1024 * 1024 };

/* ---- the link and its secondary */

static struct identity identity = IDENTITY_INIT;
static struct link_shared shared = {
    .identity = &identity, .run = "r1", .fields = "Master-Run: r1\r\n", .heartbeat_ms = HEARTBEAT_MS};
static struct link the_link;
static int64_t now_ms; /* what the link is told */

static int peer; /* the secondary's end */
static struct buf peer_in;

/* What the secondary was sent. */
static struct {
    unsigned signs, batches;
    uint64_t first, last; /* of the last batch */
    size_t messages_len;
    bool has_digest;
    uint64_t digest;
    char greeted_run[WIRE_NAME_SIZE]; /* Secondary-Run of the last sign of life */
} sent;

static void link_start(void)
{
    const struct http_url url = {.host = "s1", .port = 5001};
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    peer = ends[1];
    link_open(&the_link, &shared, "s1", &url, "of-s1", ends[0], ATTEMPT_MS, now_ms);
    buf_clear(&peer_in);
    memset(&sent, 0, sizeof sent);
}

static void link_end(void)
{
    link_close(&the_link);
    close(peer);
}

static void start(void)
{
    now_ms = 1000000;
    identity_set(&identity, "l");
    shared.log = log_open();
    link_start();
}

static void stop(void)
{
    link_end();
    log_close(shared.log);
    buf_free(&peer_in);
}

TestSuite(link, .init = start, .fini = stop, .timeout = 60);

static void append(unsigned count)
{
    uint64_t last;
    while (count--)
        cr_assert_eq(log_append(shared.log, span_of("\"m\""), NULL, 1, &last), 0);
}

/* Messages that fill a request each. */
static void append_big(unsigned count)
{
    char *text = malloc(BIG);
    uint64_t last;
    memset(text, 'm', BIG);
    text[0] = text[BIG - 1] = '"';
    while (count--)
        cr_assert_eq(log_append(shared.log, (struct span){text, BIG}, NULL, 1, &last), 0);
    free(text);
}

static void request_note(const struct http_head *head, struct span body)
{
    struct wire_replicate batch;
    const struct http_field *run = http_head_field(head, "Secondary-Run");
    cr_assert(span_equals(http_head_field(head, "Host")->value, "s1:5001"));
    cr_assert(span_equals(http_head_field(head, "Master-Run")->value, "r1"));
    if (!body.len) {
        sent.signs++;
        sent.greeted_run[0] = '\0';
        if (run)
            span_copy(run->value, sent.greeted_run, sizeof sent.greeted_run);
        return;
    }
    cr_assert_null(wire_replicate_read(body, &batch));
    cr_assert(strcmp(batch.log, "l") == 0 && strcmp(batch.run, "r1") == 0);
    sent.batches++;
    sent.first = batch.first;
    sent.last = batch.first + batch.count - 1;
    sent.messages_len = batch.elements.len;
    sent.has_digest = batch.has_digest;
    sent.digest = batch.digest;
    wire_replicate_free(&batch);
}

/* Reads what was sent, and takes the whole requests off the front. Returns whether anything came. */
static bool peer_read(void)
{
    size_t before = peer_in.len;
    for (ssize_t got = 1; got > 0; peer_in.len += got > 0 ? (size_t)got : 0) {
        cr_assert(buf_reserve(&peer_in, 65536));
        got = recv(peer, peer_in.data + peer_in.len, 65536, 0);
    }
    bool any = peer_in.len > before;
    for (;;) {
        struct http_head head;
        struct http_refusal why;
        size_t scanned = 0;
        if (http_parse_request(buf_span(&peer_in), &scanned, &head, &why) != HTTP_PARSE_DONE ||
            head.len + head.content_length > peer_in.len)
            return any;
        request_note(&head, (struct span){peer_in.data + head.len, (size_t)head.content_length});
        buf_drop(&peer_in, head.len + (size_t)head.content_length);
    }
}

/* Sends all that the link would send now. */
static void pump(void)
{
    do
        cr_assert_eq(link_send(&the_link, now_ms), 0, "%s", the_link.why);
    while (peer_read());
}

static void say_bytes(const char *bytes, size_t len)
{
    cr_assert_eq(send(peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define INTERIM "HTTP/1.1 102 Processing\r\n\r\n"

static const char *answer(int status, const char *body)
{
    static char text[512];
    snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    return text;
}

static const char *position(uint64_t last)
{
    char body[64];
    snprintf(body, sizeof body, "{\"last_id\":%llu}", (unsigned long long)last);
    return answer(200, body);
}

/* Returns what link_receive makes of it. */
static int hear(const char *text)
{
    say_bytes(text, strlen(text));
    return link_receive(&the_link, now_ms);
}

/* The greeting is answered: the secondary holds the messages up to there. */
static void greet(uint64_t last)
{
    pump();
    cr_assert_eq(hear(position(last)), 1, "%s", the_link.why);
}

static void expect_failure(int result, int error, const char *why)
{
    cr_expect(result == -error && strstr(the_link.why, why), "%d '%s', not %d '%s'", result, the_link.why,
              -error, why);
}

/* ---- sending */

Test(link, the_first_request_asks_what_the_secondary_has_and_goes_alone)
{
    append(3);
    pump();
    cr_assert(sent.signs == 1 && sent.batches == 0);
    cr_assert_str_eq(sent.greeted_run, "of-s1");
    cr_assert(!link_is_current(&the_link) && !link_has_work(&the_link, now_ms));
}

Test(link, what_it_lacks_follows_and_the_first_of_it_tells_the_digest)
{
    append(5);
    greet(2);
    cr_assert(link_has_work(&the_link, now_ms));
    pump();
    cr_assert(sent.batches == 1 && sent.first == 3 && sent.last == 5);
    cr_assert(sent.has_digest && sent.digest == log_digest(shared.log, 2));
    cr_assert(link_is_current(&the_link));
    append(1);
    cr_assert(!link_is_current(&the_link));
    pump();
    cr_assert(sent.batches == 2 && sent.first == 6 && sent.last == 6 && !sent.has_digest);
}

Test(link, an_idle_link_carries_signs_of_life_that_name_no_secondary)
{
    greet(0);
    now_ms += HEARTBEAT_MS - 1;
    pump();
    cr_assert_eq(sent.signs, 1);
    cr_assert_eq(link_due_ms(&the_link, now_ms), now_ms + 1);
    now_ms++;
    pump();
    cr_assert_eq(sent.signs, 2);
    cr_assert_str_eq(sent.greeted_run, "");
}

Test(link, so_many_requests_are_under_way_and_an_answer_lets_one_more_go)
{
    greet(0);
    for (unsigned i = 0; i < LINK_WINDOW + 5; i++) {
        append(1);
        pump();
    }
    cr_assert_eq(sent.batches, LINK_WINDOW);
    now_ms += HEARTBEAT_MS;
    pump();
    cr_assert_eq(sent.signs, 1, "a full window takes no sign of life");
    cr_assert_eq(link_due_ms(&the_link, now_ms), now_ms - HEARTBEAT_MS + ATTEMPT_MS);
    cr_assert_eq(hear(position(1)), 1);
    pump();
    cr_assert_eq(sent.batches, LINK_WINDOW + 1);
    cr_assert(sent.first == LINK_WINDOW + 1 && sent.last == LINK_WINDOW + 5, "what waited goes together");
}

Test(link, so_many_bytes_are_under_way_and_an_answer_lets_more_go)
{
    enum { FIT = LINK_WINDOW_BYTES / BIG };
    append_big(FIT + 2);
    greet(0);
    pump();
    cr_assert(sent.batches == FIT && sent.messages_len == BIG);
    cr_assert_eq(hear(position(1)), 1);
    pump();
    cr_assert_eq(sent.batches, FIT + 1);
}

Test(link, a_batch_ends_before_its_limit_but_for_one_longer_message)
{
    append(1);
    append_big(2);
    append(2);
    greet(0);
    pump();
    cr_assert_eq(sent.batches, 4);
    cr_assert(sent.first == 4 && sent.last == 5);
}

Test(link, a_full_socket_is_waited_for)
{
    append_big(1);
    greet(0);
    cr_assert_eq(link_events(&the_link), POLLIN);
    cr_assert_eq(link_send(&the_link, now_ms), 0);
    cr_assert_eq(link_events(&the_link), POLLIN | POLLOUT);
    cr_assert(!link_is_current(&the_link));
    pump();
    cr_assert(sent.batches == 1 && sent.messages_len == BIG);
    cr_assert_eq(link_events(&the_link), POLLIN);
}

Test(link, in_the_second_half_of_the_window_requests_are_spread_over_a_round)
{
    enum { ROUND_MS = 2000, APART_MS = ROUND_MS / (LINK_WINDOW / 2) };
    pump();
    skipped_us += ROUND_MS * 1000;
    greet(0);
    for (unsigned i = 0; i < LINK_WINDOW / 2; i++) {
        append(1);
        pump();
    }
    cr_assert_eq(sent.batches, LINK_WINDOW / 2);
    append(2);
    now_ms += APART_MS - 1;
    pump();
    cr_assert_eq(sent.batches, LINK_WINDOW / 2);
    cr_assert_eq(link_due_ms(&the_link, now_ms), now_ms + 1);
    now_ms++;
    pump();
    cr_assert(sent.batches == LINK_WINDOW / 2 + 1 && sent.last - sent.first == 1);
}

/* ---- receiving */

Test(link, answers_are_the_same_however_they_are_cut)
{
    char text[1024];
    append(3);
    snprintf(text, sizeof text, "%s%s", INTERIM, position(3));
    size_t len = strlen(text);
    for (size_t cut = 1; cut < len; cut++) {
        link_end();
        link_start();
        greet(0);
        pump();
        now_ms += 10;
        say_bytes(text, cut);
        cr_assert_eq(link_receive(&the_link, now_ms), 0, "cut at %zu", cut);
        cr_assert_eq(the_link.heard_ms, now_ms);
        say_bytes(text + cut, len - cut);
        cr_assert_eq(link_receive(&the_link, now_ms), 1, "cut at %zu: %s", cut, the_link.why);
        cr_assert(the_link.position == 3 && the_link.progressed && !the_link.under_way);
    }
}

Test(link, a_greetings_answer_is_the_same_however_it_is_cut)
{
    append(3);
    const char *text = position(2);
    size_t len = strlen(text);
    for (size_t cut = 1; cut < len; cut++) {
        link_end();
        link_start();
        pump();
        say_bytes(text, cut);
        cr_assert_eq(link_receive(&the_link, now_ms), 0);
        cr_assert(!the_link.greeted);
        say_bytes(text + cut, len - cut);
        cr_assert_eq(link_receive(&the_link, now_ms), 1);
        cr_assert(the_link.greeted && the_link.position == 2 && the_link.next.id == 3 &&
                  !the_link.progressed);
    }
}

Test(link, several_answers_may_come_together)
{
    char text[1024] = INTERIM;
    greet(0);
    for (unsigned i = 1; i <= 3; i++) {
        append(1);
        pump();
        strcat(text, position(i));
    }
    cr_assert_eq(hear(text), 1);
    cr_assert(the_link.position == 3 && !the_link.under_way);
}

Test(link, an_interim_answer_tells_no_position)
{
    pump();
    cr_assert_eq(hear("HTTP/1.1 100 Continue\r\n\r\n" INTERIM), 0);
    cr_assert(!the_link.greeted && the_link.under_way == 1);
}

Test(link, a_position_does_not_sink)
{
    append(2);
    greet(0);
    pump();
    now_ms += HEARTBEAT_MS;
    pump(); /* a sign of life that is answered with the position at its arrival */
    cr_assert_eq(hear(position(2)), 1);
    cr_assert_eq(hear(position(0)), 1);
    cr_assert_eq(the_link.position, 2);
}

/* What comes as the answer to a request with the messages 1 to 3, which are all. */
static const struct {
    const char *text;
    int error;
    const char *why;
} wrong[] = {
    {"HTTP/1.1 200 X\r\nContent-Length: 13\r\n\r\n{\"last_id\":4}", EBADMSG,
     "it holds messages that this master does not have"},
    {"HTTP/1.1 200 X\r\nContent-Length: 13\r\n\r\n{\"last_id\":2}", EBADMSG, "it holds 2 after it took 3"},
    {"HTTP/1.1 200 X\r\nContent-Length: 14\r\n\r\n{\"last_id\":-3}", EBADMSG, "its answer has no last_id"},
    {"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}", EBADMSG, "its answer has no last_id"},
    {"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n", EBADMSG, "its answer has no last_id"},
    {"HTTP/1.1 409 X\r\nContent-Length: 26\r\n\r\n{\"error\":\"no\",\"last_id\":3}", EPROTO,
     "it answered 409: no"},
    {"HTTP/1.1 413 X\r\nContent-Length: 14\r\n\r\n{\"error\":\"no\"}", EPROTO,
     "it answered 413: no; its MAX_MESSAGE is too low"},
    {"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", EPROTO, "it answered 500"},
    {"HTTP/1.1 204 X\r\n\r\n", EPROTO, "it answered 204"},
    {"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"last_id\":3}\r\n0\r\n\r\n", EPROTO,
     "no Content-Length"},
    {"HTTP/1.1 200 X\r\n\r\n{\"last_id\":3}", EPROTO, "no Content-Length"},
    {"HTTP/1.1 200 X\r\nContent-Length: 65537\r\n\r\n", EPROTO, "too large"},
    {"HTTP/1.1 200 X\r\nContent-Length: x\r\n\r\n", EPROTO, "malformed"},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", EPROTO, "malformed"},
    {"HTTP/1.1 200 X\r\nContent-Length: 13\r\n\r\n{\"last_id\":3}"
     "HTTP/1.1 200 X\r\nContent-Length: 13\r\n\r\n{\"last_id\":3}",
     EBADMSG, "it answered what was not asked"},
};

Test(link, a_wrong_answer_ends_the_link_and_says_why)
{
    append(3);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        link_end();
        link_start();
        greet(0);
        pump();
        expect_failure(hear(wrong[i].text), wrong[i].error, wrong[i].why);
    }
}

Test(link, a_greeting_that_tells_of_too_much_ends_the_link)
{
    append(3);
    pump();
    expect_failure(hear(position(4)), EBADMSG, "it holds 4 messages, and this master 3");
    cr_assert(!the_link.greeted);
}

Test(link, the_status_of_a_refusal_is_kept)
{
    pump();
    expect_failure(hear(answer(409, "{\"error\":\"not yet\"}")), EPROTO, "it answered 409: not yet");
    cr_assert(the_link.status == 409 && !the_link.greeted);
}

Test(link, the_end_of_the_stream_ends_the_link)
{
    pump();
    shutdown(peer, SHUT_WR);
    expect_failure(link_receive(&the_link, now_ms), ECONNRESET, "it closed the connection");
}

Test(link, nobody_at_the_other_end_ends_the_link)
{
    close(peer);
    expect_failure(link_send(&the_link, now_ms), EPIPE, strerror(EPIPE));
    peer = dup(the_link.fd);
}

/* ---- silence */

static void expect_overdue_after(int64_t ms)
{
    cr_expect_eq(link_check(&the_link, now_ms + ms - 1), 0);
    expect_failure(link_check(&the_link, now_ms + ms), ETIMEDOUT, "it is silent for ");
}

Test(link, a_greeting_has_a_time_of_its_own)
{
    pump();
    cr_assert_eq(link_due_ms(&the_link, now_ms), now_ms + HEARTBEAT_MS);
    expect_overdue_after(LINK_ATTEMPT_MS);
}

Test(link, a_silent_link_is_overdue_after_its_time_from_the_oldest_request_on)
{
    append(1);
    greet(0);
    pump();
    now_ms += 1000;
    append(1);
    pump();
    expect_overdue_after(ATTEMPT_MS - 1000);
}

Test(link, any_byte_begins_the_time_anew)
{
    append(1);
    greet(0);
    pump();
    now_ms += 4000;
    cr_assert_eq(hear("H"), 0);
    expect_overdue_after(ATTEMPT_MS);
    cr_assert_eq(hear("TTP/1.1 100 Continue\r\n\r\n"), 0);
    now_ms += 4000;
    cr_assert_eq(link_receive(&the_link, now_ms), 0, "nothing came");
    expect_overdue_after(ATTEMPT_MS - 4000);
}

Test(link, without_a_request_under_way_nothing_is_overdue)
{
    greet(0);
    cr_assert_eq(link_check(&the_link, now_ms + 1000 * ATTEMPT_MS), 0);
}

/* ---- what is learnt for the next link */

Test(link, the_next_batch_is_a_quarter_where_none_was_answered)
{
    append(1);
    greet(0);
    cr_assert_eq(link_next_batch(&the_link), LINK_BATCH_BYTES, "no batch was begun");
    pump();
    cr_assert_eq(link_next_batch(&the_link), LINK_BATCH_BYTES / 4);
    the_link.batch_bytes = 2 * LINK_BATCH_LEAST;
    cr_assert_eq(link_next_batch(&the_link), LINK_BATCH_LEAST);
    cr_assert_eq(hear(position(1)), 1);
    cr_assert_eq(link_next_batch(&the_link), 2 * LINK_BATCH_LEAST, "one was answered");
}

Test(link, a_smaller_batch_is_kept_to_and_doubles_with_so_many_answers)
{
    append_big(1);
    append(8 * LINK_BATCH_LEAST / 4); /* each "m" with its comma is four bytes */
    the_link.batch_bytes = LINK_BATCH_LEAST;
    greet(1);
    pump();
    cr_assert(sent.batches == 8 && sent.messages_len <= LINK_BATCH_LEAST &&
              sent.messages_len > LINK_BATCH_LEAST - 8);
    for (unsigned i = 0; i < LINK_BATCH_GROWS; i++) {
        append(1);
        pump();
    }
    cr_assert_eq(the_link.batch_bytes, LINK_BATCH_LEAST);
    for (unsigned i = 0; i < LINK_BATCH_GROWS; i++)
        cr_assert_eq(hear(position(log_last(shared.log))), 1, "%s", the_link.why);
    cr_assert_eq(the_link.batch_bytes, 2 * LINK_BATCH_LEAST);
    cr_assert_eq(link_next_batch(&the_link), 2 * LINK_BATCH_LEAST, "none of this length was begun");
}

static void append_answered(unsigned count)
{
    while (count--) {
        append(1);
        pump();
        cr_assert_eq(hear(position(log_last(shared.log))), 1, "%s", the_link.why);
    }
}

Test(link, answers_to_requests_of_the_earlier_length_do_not_count_for_the_longer_one)
{
    enum { LEFT = 5 };
    the_link.batch_bytes = LINK_BATCH_LEAST;
    greet(0);
    for (unsigned i = 0; i < LINK_BATCH_GROWS + LEFT; i++) {
        append(1);
        pump();
    }
    for (unsigned i = 0; i < LINK_BATCH_GROWS; i++)
        cr_assert_eq(hear(position(log_last(shared.log))), 1, "%s", the_link.why);
    append(1);
    pump();
    for (unsigned i = 0; i < LEFT; i++)
        cr_assert_eq(hear(position(log_last(shared.log))), 1, "%s", the_link.why);
    cr_assert_eq(link_next_batch(&the_link), LINK_BATCH_LEAST, "none of the longer ones was answered");
    cr_assert_eq(hear(position(log_last(shared.log))), 1, "%s", the_link.why);
    append_answered(LINK_BATCH_GROWS - 2);
    cr_assert_eq(link_next_batch(&the_link), 2 * LINK_BATCH_LEAST);
    append_answered(1);
    cr_assert_eq(link_next_batch(&the_link), 4 * LINK_BATCH_LEAST);
}

/* What the next link's requests may hold, where the first request with messages of this one was answered so.
 */
static uint64_t next_batch_after(int status, const char *body)
{
    link_end();
    link_start();
    greet(0);
    pump();
    cr_assert_lt(hear(answer(status, body)), 0);
    return link_next_batch(&the_link);
}

Test(link, a_request_that_was_refused_has_arrived_but_for_408)
{
    append(1);
    cr_assert_eq(next_batch_after(500, ""), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(503, ""), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(409, "{\"error\":\"no\",\"last_id\":0}"), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(200, "{}"), LINK_BATCH_BYTES);
    cr_assert_eq(next_batch_after(408, ""), LINK_BATCH_BYTES / 4);
}

Test(link, after_one_that_was_too_long_each_request_has_one_message_until_some_are_answered)
{
    append(3);
    cr_assert_eq(next_batch_after(413, ""), LINK_BATCH_SINGLE);
    link_end();
    link_start();
    the_link.batch_bytes = LINK_BATCH_SINGLE;
    greet(0);
    pump();
    cr_assert(sent.batches == 3 && sent.first == 3 && sent.last == 3);
    cr_assert_eq(link_next_batch(&the_link), LINK_BATCH_SINGLE, "it does not grow by a failure");
    for (unsigned i = 1; i <= 3; i++)
        cr_assert_eq(hear(position(i)), 1, "%s", the_link.why);
    append_answered(LINK_BATCH_GROWS - 3);
    cr_assert_eq(link_next_batch(&the_link), 2 * LINK_BATCH_SINGLE);
}

Test(link, a_batch_does_not_grow_past_its_limit)
{
    greet(0);
    for (unsigned i = 1; i <= 2 * LINK_BATCH_GROWS; i++) {
        append(1);
        pump();
        cr_assert_eq(hear(position(i)), 1);
    }
    cr_assert_eq(the_link.batch_bytes, LINK_BATCH_BYTES);
}

/* ---- log lines */

/* How often a link that got no further at `stuck_at` says above debug that it is connected at 1. */
static int lines_of_a_greeting(uint64_t stuck_at)
{
    char text[4096] = "";
    int lines = 0;
    int fd = memfd_create("lines", MFD_CLOEXEC);
    cr_assert_eq(logline_start(fd, LOGLINE_INFO, false, "master"), 0);
    link_end();
    link_start();
    the_link.stuck_at = stuck_at;
    greet(1);
    logline_stop();
    cr_assert(pread(fd, text, sizeof text - 1, 0) >= 0);
    close(fd);
    for (const char *at = text; (at = strstr(at, "connected to s1, which holds 1 of 2 messages")); at++)
        lines++;
    return lines;
}

Test(link, a_greeting_at_the_place_where_the_last_link_got_stuck_is_no_news)
{
    append(2);
    cr_assert_eq(lines_of_a_greeting(UINT64_MAX), 1);
    cr_assert_eq(lines_of_a_greeting(0), 1);
    cr_assert_eq(lines_of_a_greeting(1), 0);
}
