#include "clock.h"
#include "http/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a peer that takes one request and says what it was told to */

enum { PIECES = 8 };

static struct {
    int listener;
    struct http_url url;
    const char *pieces[PIECES]; /* sent one after another; NULL ends */
    bool endless;               /* the last piece again and again */
    bool stays;                 /* does not close behind the last piece */
    char heard[4096];           /* the request */
    char from[INET_ADDRSTRLEN];
    pthread_t thread;
} peer;

static void *peer_run(void *arg)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    size_t heard = 0;
    int fd = accept(peer.listener, (struct sockaddr *)&address, &len);
    (void)arg;
    inet_ntop(AF_INET, &address.sin_addr, peer.from, sizeof peer.from);
    while (!strstr(peer.heard, "\r\n\r\n") && heard < sizeof peer.heard - 1) {
        ssize_t got = recv(fd, peer.heard + heard, sizeof peer.heard - 1 - heard, 0);
        if (got <= 0)
            break;
        heard += (size_t)got;
    }
    int i = 0;
    while (peer.pieces[i] && send(fd, peer.pieces[i], strlen(peer.pieces[i]), MSG_NOSIGNAL) >= 0) {
        if (!peer.endless || peer.pieces[i + 1])
            i++;
        if (!peer.endless)
            usleep(2000);
    }
    while (peer.stays && recv(fd, peer.heard, 1, 0) > 0)
        continue;
    shutdown(fd, SHUT_WR);
    while (recv(fd, peer.heard + heard, sizeof peer.heard - 1 - heard, 0) > 0)
        continue;
    close(fd);
    return NULL;
}

static void peer_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    peer.listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(peer.listener, (struct sockaddr *)&address, len) == 0 && listen(peer.listener, 1) == 0);
    getsockname(peer.listener, (struct sockaddr *)&address, &len);
    peer.url = (struct http_url){.host = "127.0.0.1", .port = ntohs(address.sin_port)};
}

static struct http_reply reply;

/* Calls the peer with what is set in *call, and fills in the rest. */
static int call_peer(struct http_call call)
{
    call.url = &peer.url;
    call.method = call.method ? call.method : "GET";
    call.target = "/x";
    call.deadline_ms = call.deadline_ms ? call.deadline_ms : clock_ms() + 5000;
    call.cancel_fd = call.cancel_fd ? call.cancel_fd : -1;
    cr_assert(pthread_create(&peer.thread, NULL, peer_run, NULL) == 0);
    int result = http_call(&call, &reply);
    pthread_join(peer.thread, NULL);
    return result;
}

static int call_said(const char *answer)
{
    peer.pieces[0] = answer;
    return call_peer((struct http_call){0});
}

#define expect_reply(result, status_wanted, text)                                                            \
    do {                                                                                                     \
        cr_expect((result) == 0);                                                                            \
        cr_expect(reply.status == (status_wanted) && span_equals(buf_span(&reply.body), (text)), "%d: %.*s", \
                  reply.status, (int)reply.body.len, reply.body.data);                                       \
    } while (0)

static void stop(void)
{
    buf_free(&reply.body);
    close(peer.listener);
}

TestSuite(client, .init = peer_start, .fini = stop, .timeout = 20);

/* ---- answers */

Test(client, a_body_of_known_length_is_read)
{
    expect_reply(call_said("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"), 200, "hello");
}

Test(client, a_body_without_length_ends_with_the_connection)
{
    expect_reply(call_said("HTTP/1.0 200 OK\r\n\r\nhello"), 200, "hello");
}

Test(client, a_chunked_body_is_read)
{
    expect_reply(
        call_said("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n"),
        404, "hello");
}

Test(client, an_answer_may_come_in_pieces)
{
    const char *pieces[] = {"HTT", "P/1.1 200 OK\r", "\nContent-Len", "gth: 5\r\n\r", "\nhe", "llo"};
    memcpy(peer.pieces, pieces, sizeof pieces);
    expect_reply(call_peer((struct http_call){0}), 200, "hello");
}

Test(client, interim_answers_are_passed_over)
{
    expect_reply(call_said("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"),
                 200, "a");
}

Test(client, answers_without_a_body_end_with_their_head)
{
    peer.stays = true;
    expect_reply(call_said("HTTP/1.1 204 No Content\r\n\r\n"), 204, "");
}

Test(client, the_answer_to_head_ends_with_its_head)
{
    peer.stays = true;
    peer.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    expect_reply(call_peer((struct http_call){.method = "HEAD"}), 200, "");
}

/* ---- the request */

Test(client, a_request_says_what_it_is_told_to)
{
    char wanted[256];
    peer.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    cr_expect(call_peer((struct http_call){
                  .method = "POST", .fields = "A: b\r\n", .body = span_of("hello"), .from = "127.0.0.3"}) ==
              0);
    snprintf(wanted, sizeof wanted,
             "POST /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
             peer.url.port);
    cr_expect_str_eq(peer.heard, wanted);
    cr_expect_str_eq(peer.from, "127.0.0.3");
}

/* ---- failures */

Test(client, an_answer_cut_short_is_told)
{
    cr_expect(call_said("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell") == -ECONNRESET);
}

Test(client, a_head_cut_short_is_told)
{
    cr_expect(call_said("HTTP/1.1 200 OK\r\nContent-Len") == -ECONNRESET);
}

Test(client, a_chunked_body_cut_short_is_told)
{
    cr_expect(call_said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n") ==
              -ECONNRESET);
}

Test(client, no_answer_is_told)
{
    cr_expect(call_peer((struct http_call){0}) == -ECONNRESET);
}

Test(client, what_is_not_http_is_told)
{
    cr_expect(call_said("SSH-2.0-OpenSSH\r\n") == -EPROTO);
}

Test(client, a_bad_chunk_is_told)
{
    cr_expect(call_said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n") == -EPROTO);
}

Test(client, an_answer_too_long_is_told)
{
    char block[1001];
    memset(block, 'x', 1000);
    block[1000] = '\0';
    peer.pieces[0] = "HTTP/1.1 200 OK\r\n\r\n";
    peer.pieces[1] = block;
    peer.endless = true;
    cr_expect(call_peer((struct http_call){0}) == -EMSGSIZE);
    cr_expect(reply.body.len <= HTTP_REPLY_MAX);
}

Test(client, a_deadline_is_kept)
{
    int64_t began_ms = clock_ms();
    peer.stays = true;
    cr_expect(call_peer((struct http_call){.deadline_ms = began_ms + 100}) == -ETIMEDOUT);
    cr_expect(clock_ms() >= began_ms + 100 && clock_ms() < began_ms + 3000);
}

Test(client, a_deadline_is_kept_although_interim_answers_keep_coming)
{
    int64_t began_ms = clock_ms();
    peer.pieces[0] = "HTTP/1.1 102 Processing\r\n\r\n";
    peer.endless = true;
    cr_expect(call_peer((struct http_call){.deadline_ms = began_ms + 200}) == -ETIMEDOUT);
    cr_expect(clock_ms() < began_ms + 3000);
}

static void *cancel_soon(void *arg)
{
    const uint64_t one = 1;
    usleep(50000);
    return write(*(int *)arg, &one, sizeof one) < 0 ? arg : NULL;
}

Test(client, a_call_can_be_called_off)
{
    int cancel_fd = eventfd(0, 0);
    pthread_t thread;
    int64_t began_ms = clock_ms();
    peer.stays = true;
    cr_assert(pthread_create(&thread, NULL, cancel_soon, &cancel_fd) == 0);
    cr_expect(call_peer((struct http_call){.cancel_fd = cancel_fd}) == -ECANCELED);
    cr_expect(clock_ms() < began_ms + 3000);
    pthread_join(thread, NULL);
    close(cancel_fd);
}

static int take_slowly(void *ctx, struct span bytes)
{
    (void)ctx;
    (void)bytes;
    usleep(1000); /* so that there is always more to read */
    return 0;
}

Test(client, a_call_whose_answer_does_not_end_can_be_called_off)
{
    char block[1001];
    int cancel_fd = eventfd(0, 0);
    pthread_t thread;
    memset(block, 'x', 1000);
    block[1000] = '\0';
    peer.pieces[0] = "HTTP/1.1 200 OK\r\n\r\n";
    peer.pieces[1] = block;
    peer.endless = true;
    cr_assert(pthread_create(&thread, NULL, cancel_soon, &cancel_fd) == 0);
    cr_expect(call_peer((struct http_call){.take = take_slowly, .idle_ms = 1000, .cancel_fd = cancel_fd}) ==
              -ECANCELED);
    pthread_join(thread, NULL);
    close(cancel_fd);
}

Test(client, nobody_who_listens_is_told)
{
    struct http_url url = peer.url;
    struct http_call call = {
        .url = &url, .method = "GET", .target = "/", .cancel_fd = -1, .deadline_ms = clock_ms() + 5000};
    close(peer.listener);
    cr_expect(http_call(&call, &reply) == -ECONNREFUSED);
    peer.listener = -1;
}

Test(client, a_name_that_is_none_is_told)
{
    struct http_url url = {.host = "256.256.256.256", .port = 80};
    cr_expect(http_connect(&url, NULL, clock_ms() + 5000, -1) == -ENXIO);
}

/* ---- bodies handed on as they come */

static size_t taken_len;
static int take_result;

static int take(void *ctx, struct span bytes)
{
    (void)ctx;
    taken_len += bytes.len;
    return take_result;
}

Test(client, a_body_may_be_handed_on)
{
    peer.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhell";
    peer.pieces[1] = "oooo and more";
    cr_expect(call_peer((struct http_call){.take = take, .idle_ms = 1000}) == 0);
    cr_expect(taken_len == 8 && reply.status == 200 && reply.body.len == 0);
}

Test(client, who_takes_a_body_may_end_the_call)
{
    take_result = -EBADMSG;
    peer.pieces[0] = "HTTP/1.1 200 OK\r\n\r\nx";
    peer.endless = true;
    cr_expect(call_peer((struct http_call){.take = take, .idle_ms = 1000}) == -EBADMSG);
}

Test(client, each_part_of_a_body_gives_more_time)
{
    char block[1001];
    memset(block, 'x', 1000);
    block[1000] = '\0';
    peer.pieces[0] = "HTTP/1.1 200 OK\r\n\r\n";
    for (int i = 1; i < PIECES - 1; i++)
        peer.pieces[i] = block;
    cr_expect(
        call_peer((struct http_call){.take = take, .idle_ms = 1000, .deadline_ms = clock_ms() + 1000}) == 0);
    cr_expect(taken_len == 6000);
}

Test(client, a_part_that_does_not_come_ends_the_call)
{
    int64_t began_ms = clock_ms();
    peer.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhell";
    peer.stays = true;
    cr_expect(call_peer((struct http_call){.take = take, .idle_ms = 100}) == -ETIMEDOUT);
    cr_expect(clock_ms() < began_ms + 3000);
}
