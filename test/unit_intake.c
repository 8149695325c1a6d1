/* The memory that incomplete requests take, by plain calls: for what has come, and not for what is announced.
 */
#include "http/intake.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANNOUNCED = 1000000 };

static struct intake_total total = {.limit = HTTP_BUFFERED_MAX};
static struct share own, other; /* of two addresses */
static struct intake intake;
static struct stream stream;
static int client;
static char buffer[HTTP_READ_BYTES];

static uint64_t body_limit(void *ctx, const struct http_head *head)
{
    (void)ctx;
    (void)head;
    return ANNOUNCED;
}

static const struct http_route routes[] = {{.method = "POST", .path = "/", .body_limit = body_limit}, {0}};
static const struct http_service service = {.routes = routes};

static void start(void)
{
    int ends[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    stream.fd = ends[0];
    client = ends[1];
    intake.total = &total;
    intake.share = &own;
}

static void end(void)
{
    intake_drop(&intake);
    cr_expect(total.bytes == 0 && own.bytes == 0);
    close(client);
    close(stream.fd);
}

TestSuite(intake, .init = start, .fini = end, .timeout = 60);

/* The client sends so many bytes; they are received as a connection does. Returns the last verdict, or a
 * negative errno. */
static int take(const char *bytes, size_t len)
{
    enum request_verdict verdict = REQUEST_MORE;
    while (len && verdict == REQUEST_MORE) {
        struct intake_bytes came;
        struct request_parts parts;
        ssize_t sent = send(client, bytes, len < 30000 ? len : 30000, MSG_NOSIGNAL);
        cr_assert(sent > 0);
        bytes += sent;
        len -= (size_t)sent;
        for (ssize_t got; (got = intake_receive(&intake, &stream, buffer, &came)) != -EAGAIN;) {
            if (got < 0)
                return (int)got;
            verdict = intake_next(&intake, &service, &came, &parts);
            if (!intake_keep(&intake, &came))
                return -ENOMEM;
        }
    }
    return (int)verdict;
}

static int take_text(const char *text)
{
    return take(text, strlen(text));
}

#define HEAD "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"

Test(intake, what_is_announced_takes_no_memory)
{
    cr_expect_eq(take_text(HEAD "x"), REQUEST_MORE);
    cr_expect(total.bytes < 1024, "%zu", total.bytes);
    for (int i = 0; i < 20; i++)
        cr_expect_eq(take_text("y"), REQUEST_MORE);
    cr_expect(total.bytes < 1024, "%zu", total.bytes);
}

Test(intake, at_most_as_much_again_is_taken_as_has_come)
{
    static char body[ANNOUNCED];
    memset(body, 'b', sizeof body);
    cr_expect_eq(take_text(HEAD), REQUEST_MORE);
    for (size_t came = 0; came + 50000 < ANNOUNCED; came += 50000) {
        cr_expect_eq(take(body, 50000), REQUEST_MORE);
        cr_expect(total.bytes <= 2 * (came + 50000 + 16384), "%zu bytes for %zu", total.bytes, came + 50000);
        cr_expect(total.bytes >= came + 50000);
    }
    cr_expect_eq(take(body, 50000), REQUEST_WHOLE);
}

Test(intake, past_the_room_for_all_only_what_is_watched_is_taken)
{
    total.bytes = HTTP_BUFFERED_MAX + 1;
    cr_expect_eq(take_text(HEAD "x"), -ENOMEM);
    intake.watched = 1;
    cr_expect_eq(take_text(HEAD "x"), REQUEST_MORE);
    total.bytes -= HTTP_BUFFERED_MAX + 1;
}

/* Whether more than the buffer's worth of it has come, or nonsense, must not make it another answer. */
Test(intake, a_body_that_nobody_takes_is_not_looked_at)
{
    static char text[200000];
    static const char head[] =
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n";
    memset(text, 'x', sizeof text);
    memcpy(text, head, strlen(head));
    struct request_parts parts;
    struct intake_bytes came = {.data = text, .len = sizeof text};
    cr_expect_eq(intake_next(&intake, &service, &came, &parts), REQUEST_HEAD);
    intake_drop(&intake);
    memcpy(text + strlen(head) - 7, "nonsense", 8);
    came = (struct intake_bytes){.data = text, .len = 1000};
    cr_expect_eq(intake_next(&intake, &service, &came, &parts), REQUEST_HEAD);
}

/* Others hold so many bytes, some of them of the intake's address. */
static void others_hold(size_t bytes, size_t of_own)
{
    other.bytes = bytes - of_own;
    own.bytes += of_own;
    total.bytes += bytes;
}

static void others_drop(size_t of_own)
{
    total.bytes -= other.bytes + of_own;
    own.bytes -= of_own;
    other.bytes = 0;
}

Test(intake, an_address_has_no_more_than_it_leaves_free)
{
    enum { HALF = HTTP_BUFFERED_MAX / 2, THIRD = HTTP_BUFFERED_MAX / 3 };
    others_hold(HALF, HALF);
    cr_expect_eq(take_text(HEAD "x"), REQUEST_MORE);
    others_drop(HALF);
    others_hold(HALF + 1, HALF + 1);
    cr_expect_eq(take_text("y"), -ENOMEM);
    others_drop(HALF + 1);
    intake_drop(&intake);
    others_hold(2 * THIRD, THIRD);
    cr_expect_eq(take_text(HEAD "x"), REQUEST_MORE);
    others_drop(THIRD);
    others_hold(2 * THIRD + 2, THIRD + 1);
    cr_expect_eq(take_text("y"), -ENOMEM);
    others_drop(THIRD + 1);
}

Test(intake, what_other_addresses_hold_leaves_room_for_the_first_of_another)
{
    others_hold(HTTP_BUFFERED_MAX, 0);
    cr_expect_eq(take_text(HEAD "x"), REQUEST_MORE);
    others_drop(0);
}

Test(intake, a_head_that_nobody_takes_is_told_at_once)
{
    cr_expect_eq(take_text("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"),
                 REQUEST_HEAD);
    cr_expect(total.bytes < 1024);
}
