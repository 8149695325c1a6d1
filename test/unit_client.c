/* The client on a loop that the test runs pass by pass, with a peer on a real socket that says what it was
 * told to: one piece in each pass, so that each is read by itself. Names are looked up in a table. */
#include "clock.h"
#include "http/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECES = 8, SOON_MS = 10000 };

/* ---- the peer */

static struct {
    int listener, fd;
    struct http_url url;
    struct span pieces[PIECES]; /* sent one after another; empty ends */
    int next;
    bool endless; /* the first piece again and again */
    bool stays;   /* does not close behind the last piece */
    bool deaf;    /* does not read */
    struct buf heard;
    char from[INET_ADDRSTRLEN];
} peer;

static int listen_on_loopback(int backlog, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, backlog) == 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    *port = ntohs(address.sin_port);
    return fd;
}

static void peer_accept(void)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    peer.fd = accept4(peer.listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK);
    if (peer.fd >= 0)
        inet_ntop(AF_INET, &address.sin_addr, peer.from, sizeof peer.from);
}

static void peer_read(void)
{
    ssize_t got;
    do {
        cr_assert(buf_reserve(&peer.heard, 65536));
        got = recv(peer.fd, peer.heard.data + peer.heard.len, 65536, 0);
        peer.heard.len += got > 0 ? (size_t)got : 0;
    } while (got > 0);
}

static void peer_close(void)
{
    close(peer.fd);
    peer.fd = -1;
    peer.stays = true;
}

/* A turn of the peer: it takes what came, and says its next piece where a request is there. */
static void peer_turn(void)
{
    if (peer.fd < 0)
        peer_accept();
    if (peer.fd < 0 || peer.deaf)
        return;
    peer_read();
    if (!peer.heard.len)
        return;
    struct span piece = peer.pieces[peer.next];
    if (piece.len && send(peer.fd, piece.at, piece.len, MSG_NOSIGNAL) > 0)
        peer.next += !peer.endless;
    else if (!piece.len && !peer.stays)
        peer_close();
}

/* ---- names: a table in the place of DNS */

static struct {
    struct addrinfo rows[4];
    struct sockaddr_in addresses[4];
    int count;
    int error; /* EAI_..., or 0 */
    bool hangs;
    sem_t goes_on;
    atomic_int asked;
} names;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)host;
    (void)port;
    (void)hints;
    names.asked++;
    if (names.hangs)
        sem_wait(&names.goes_on);
    *out = names.rows;
    return names.error;
}

void freeaddrinfo(struct addrinfo *rows)
{
    (void)rows;
}

static void names_add(uint16_t port)
{
    int at = names.count++;
    names.addresses[at] = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    names.rows[at] = (struct addrinfo){.ai_addr = (struct sockaddr *)&names.addresses[at],
                                       .ai_addrlen = sizeof names.addresses[at]};
    if (at)
        names.rows[at - 1].ai_next = &names.rows[at];
}

/* ---- the client, and what its owner was told */

static struct {
    struct http_client *client;
    int answers, status; /* of the last */
    struct buf body;     /* of all */
    int heard, parts;
    bool failed;
    int error;
    char why[128];
    int result; /* what `answered` and `part` return */
    bool keeps; /* does not close the client inside `failed` */
} owner;

static struct http_dialer dialer;
static bool running;
static int64_t until_ms;

static int owner_heard(void *ctx)
{
    (void)ctx;
    owner.heard++;
    return 0;
}

static int owner_part(void *ctx, const struct http_head *head, struct span bytes)
{
    (void)ctx;
    owner.status = head->status;
    owner.parts++;
    buf_add_span(&owner.body, bytes);
    return owner.result;
}

static int owner_answered(void *ctx, int status, struct span body)
{
    (void)ctx;
    owner.answers++;
    owner.status = status;
    buf_add_span(&owner.body, body);
    return owner.result;
}

static void owner_failed(void *ctx, int error, const char *why)
{
    (void)ctx;
    cr_assert(!owner.failed, "told twice");
    owner.failed = true;
    owner.error = error;
    snprintf(owner.why, sizeof owner.why, "%s", why);
    if (owner.keeps)
        return;
    http_client_close(owner.client);
    owner.client = NULL;
}

static const struct http_client_events whole = {
    .heard = owner_heard, .answered = owner_answered, .failed = owner_failed};
static const struct http_client_events in_parts = {
    .heard = owner_heard, .part = owner_part, .answered = owner_answered, .failed = owner_failed};

static int64_t pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    peer_turn();
    worker_collect(dialer.worker);
    if (!until_ms || now_ms >= until_ms || owner.failed)
        running = false;
    return now_ms + 1;
}

static void wake(void *ctx)
{
    (void)ctx;
    loop_wake(dialer.loop);
}

/* One pass of the loop, which waits a millisecond at most. */
static void run_once(void)
{
    until_ms = 0;
    running = true;
    loop_run(dialer.loop, &running);
}

/* Runs until the client has failed. */
static void run_to_failure(void)
{
    until_ms = clock_ms() + SOON_MS;
    running = true;
    loop_run(dialer.loop, &running);
    cr_assert(owner.failed, "it did not fail");
}

#define run_until(condition)                                                                                 \
    for (int64_t run_ms = clock_ms() + SOON_MS; !(condition); run_once())                                    \
    cr_assert(clock_ms() < run_ms, "did not happen: %s", #condition)

static void run_for(int ms)
{
    for (int64_t run_ms = clock_ms() + ms; clock_ms() < run_ms;)
        run_once();
}

static void start(void)
{
    peer.fd = -1;
    peer.url = (struct http_url){.host = "127.0.0.1"};
    peer.listener = listen_on_loopback(8, &peer.url.port);
    dialer = (struct http_dialer){.loop = loop_open(pass, NULL), .worker = worker_open(wake, NULL)};
    cr_assert(dialer.loop && dialer.worker);
    sem_init(&names.goes_on, 0, 0);
    run_once();
}

static void stop(void)
{
    if (owner.client)
        http_client_close(owner.client);
    worker_close(dialer.worker);
    loop_close(dialer.loop);
    buf_free(&owner.body);
    buf_free(&peer.heard);
    close(peer.listener);
    if (peer.fd >= 0)
        close(peer.fd);
}

TestSuite(client, .init = start, .fini = stop, .timeout = 60);

/* Opens a client to a host and asks for /x. */
static void ask_host(const char *host, const struct http_address *known,
                     const struct http_client_events *events)
{
    struct http_url url = {.port = peer.url.port};
    snprintf(url.host, sizeof url.host, "%s", host);
    cr_assert_eq(http_client_open(&owner.client, &dialer, &url, known, events, NULL), 0);
    cr_assert_eq(http_client_request(owner.client, "GET", "/x", NULL, (struct span){0}, NULL, ""), 0);
}

static void ask(const struct http_client_events *events)
{
    ask_host("127.0.0.1", NULL, events);
}

/* Forgets everything but the listener. */
static void again(void)
{
    if (owner.client)
        http_client_close(owner.client);
    owner.client = NULL;
    owner.answers = owner.parts = owner.heard = 0;
    owner.failed = false;
    buf_clear(&owner.body);
    buf_clear(&peer.heard);
    if (peer.fd >= 0)
        close(peer.fd);
    peer.fd = -1;
    peer.next = 0;
}

static void say(const char *text)
{
    peer.pieces[0] = span_of(text);
}

/* Asks, and hears a text as the answer, up to the end of the connection. */
static void ask_and_hear(const struct http_client_events *events, const char *text)
{
    say(text);
    peer.stays = false;
    ask(events);
    run_to_failure();
}

static void expect_answer(int status, const char *body)
{
    cr_expect(owner.answers == 1 && owner.status == status && span_equals(buf_span(&owner.body), body),
              "%d answers, %d: '%.*s'", owner.answers, owner.status, (int)owner.body.len, owner.body.data);
}

static void expect_failure(int error, const char *why)
{
    cr_expect(owner.failed && owner.error == -error && strstr(owner.why, why), "%d '%s', not %d '%s'",
              owner.error, owner.why, -error, why);
}

/* ---- connecting */

Test(client, a_numeric_host_is_not_looked_up)
{
    say("HTTP/1.1 204 No\r\n\r\n");
    peer.stays = true;
    ask(&whole);
    cr_expect(!http_client_connected(owner.client) && http_client_sending(owner.client));
    run_until(owner.answers);
    cr_expect(http_client_connected(owner.client) && names.asked == 0);
}

Test(client, a_name_is_looked_up)
{
    say("HTTP/1.1 204 No\r\n\r\n");
    peer.stays = true;
    names_add(peer.url.port);
    ask_host("a", NULL, &whole);
    run_until(owner.answers);
    struct http_address address = http_client_address(owner.client);
    cr_expect(address.len == sizeof names.addresses[0] &&
              memcmp(&address.name, &names.addresses[0], sizeof names.addresses[0]) == 0);
}

Test(client, a_known_address_spares_the_look_up)
{
    struct http_address known = {.len = sizeof(struct sockaddr_in)};
    say("HTTP/1.1 204 No\r\n\r\n");
    peer.stays = true;
    names_add(peer.url.port);
    memcpy(&known.name, &names.addresses[0], sizeof names.addresses[0]);
    ask_host("a", &known, &whole);
    run_until(owner.answers);
    cr_expect_eq(names.asked, 0);
}

Test(client, a_name_that_is_none_is_told)
{
    names.error = EAI_NONAME;
    ask_host("a", NULL, &whole);
    run_to_failure();
    expect_failure(ENXIO, gai_strerror(EAI_NONAME));
}

Test(client, a_look_up_that_hangs_does_not_hold_a_close)
{
    names.hangs = true;
    names_add(peer.url.port);
    ask_host("a", NULL, &whole);
    run_until(names.asked);
    http_client_close(owner.client);
    owner.client = NULL;
    sem_post(&names.goes_on);
    run_for(50);
    cr_expect(!owner.failed && !owner.answers && peer.fd < 0);
}

Test(client, a_look_up_that_hangs_does_not_hold_the_next_client_for_ever)
{
    names.hangs = true;
    names_add(peer.url.port);
    say("HTTP/1.1 204 No\r\n\r\n");
    peer.stays = true;
    ask_host("a", NULL, &whole);
    run_until(names.asked);
    http_client_close(owner.client);
    ask_host("a", NULL, &whole);
    sem_post(&names.goes_on);
    sem_post(&names.goes_on);
    run_until(owner.answers);
}

/* A refusal may be told at once, or later. */
static void expect_refused(const struct http_url *url)
{
    int result = http_client_open(&owner.client, &dialer, url, NULL, &whole, NULL);
    if (result == 0)
        run_to_failure();
    cr_expect_eq(result < 0 ? result : owner.error, -ECONNREFUSED);
}

Test(client, nobody_who_listens_is_told)
{
    close(peer.listener);
    expect_refused(&peer.url);
    peer.listener = -1;
}

Test(client, a_connection_to_itself_counts_as_refused)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    close(peer.listener);
    peer.listener = -1;
    own.sin_port = htons(peer.url.port);
    memcpy(&dialer.from.name, &own, sizeof own);
    dialer.from.len = sizeof own;
    expect_refused(&peer.url);
    owner.failed = false;
    expect_refused(&peer.url); /* the port is free again at once */
}

Test(client, it_speaks_from_the_address_that_it_is_told)
{
    say("HTTP/1.1 204 No\r\n\r\n");
    http_dialer_from(&dialer, "127.0.0.3");
    ask(&whole);
    run_until(owner.answers);
    cr_expect_str_eq(peer.from, "127.0.0.3");
}

Test(client, it_speaks_from_no_address_where_the_host_is_none)
{
    static const char *const hosts[] = {"0.0.0.0", "::", "localhost", ""};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        http_dialer_from(&dialer, "127.0.0.3");
        cr_assert_neq(dialer.from.len, 0);
        http_dialer_from(&dialer, hosts[i]);
        cr_expect_eq(dialer.from.len, 0, "%s", hosts[i]);
    }
}

/* A port on which nobody answers: its queue of connections is full. */
static uint16_t silent_port(void)
{
    uint16_t port;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listen_on_loopback(0, &port);
    address.sin_port = htons(port);
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, sizeof address);
    }
    return port;
}

Test(client, a_connection_that_does_not_come_is_given_up)
{
    int64_t began_ms = clock_ms();
    peer.url.port = silent_port();
    ask(&whole);
    run_to_failure();
    expect_failure(ETIMEDOUT, strerror(ETIMEDOUT));
    cr_expect(clock_ms() - began_ms >= HTTP_CONNECT_MS && clock_ms() - began_ms < 5 * HTTP_CONNECT_MS);
}

Test(client, several_addresses_share_the_time)
{
    int64_t began_ms = clock_ms();
    say("HTTP/1.1 204 No\r\n\r\n");
    peer.stays = true;
    names_add(silent_port());
    names_add(peer.url.port);
    ask_host("a", NULL, &whole);
    run_until(owner.answers);
    int64_t took_ms = clock_ms() - began_ms;
    cr_expect(took_ms >= HTTP_CONNECT_MS / 2 && took_ms < HTTP_CONNECT_MS, "%lld", (long long)took_ms);
}

Test(client, an_address_that_refuses_leaves_its_time_to_the_next_one)
{
    uint16_t port;
    int64_t began_ms = clock_ms();
    close(listen_on_loopback(1, &port));
    say("HTTP/1.1 204 No\r\n\r\n");
    peer.stays = true;
    names_add(port);
    names_add(peer.url.port);
    ask_host("a", NULL, &whole);
    run_until(owner.answers);
    cr_expect(clock_ms() - began_ms < HTTP_CONNECT_MS / 2);
}

Test(client, a_connection_that_is_there_may_be_quiet_for_longer)
{
    peer.stays = true;
    ask(&whole);
    run_for(HTTP_CONNECT_MS + 500);
    cr_expect(http_client_connected(owner.client) && !owner.failed);
}

/* ---- requests */

Test(client, a_request_says_what_it_is_told_to)
{
    char wanted[256];
    say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(http_client_open(&owner.client, &dialer, &peer.url, NULL, &whole, NULL), 0);
    cr_assert_eq(http_client_request(owner.client, "POST", "/x", "A: b\r\n", span_of("hel"), NULL, "lo"), 0);
    run_until(owner.answers);
    snprintf(wanted, sizeof wanted,
             "POST /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
             peer.url.port);
    cr_expect(span_equals(buf_span(&peer.heard), wanted), "%.*s", (int)peer.heard.len, peer.heard.data);
}

static char many[100000];

static int many_pieces(const void *state, struct iovec *iov, int max)
{
    uint64_t left;
    (void)max;
    memcpy(&left, state, sizeof left);
    *iov = (struct iovec){many, left < sizeof many ? (size_t)left : sizeof many};
    return 1;
}

static void many_skip(void *state, uint64_t bytes)
{
    uint64_t left;
    memcpy(&left, state, sizeof left);
    left -= bytes;
    memcpy(state, &left, sizeof left);
}

Test(client, a_long_request_leaves_as_the_other_side_takes_it)
{
    enum { LONG = 20 * 1000 * 1000 };
    struct http_source source = {.len = LONG, .pieces = many_pieces, .skip = many_skip};
    memcpy(source.state, &source.len, sizeof source.len);
    peer.stays = peer.deaf = true;
    memset(many, 'm', sizeof many);
    cr_assert_eq(http_client_open(&owner.client, &dialer, &peer.url, NULL, &whole, NULL), 0);
    run_until(http_client_connected(owner.client));
    cr_assert_eq(http_client_request(owner.client, "POST", "/x", NULL, span_of("<"), &source, ">"), 0);
    run_for(50);
    cr_assert(http_client_sending(owner.client));
    peer.deaf = false;
    run_until(!http_client_sending(owner.client));
    run_until(peer.heard.len > LONG && peer.heard.data[peer.heard.len - 1] == '>');
}

Test(client, requests_go_one_behind_the_other_and_so_do_their_answers)
{
    say("HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\naHTTP/1.1 201 X\r\nContent-Length: 1\r\n\r\nb");
    peer.stays = true;
    ask(&whole);
    run_until(!http_client_sending(owner.client));
    cr_assert_eq(http_client_request(owner.client, "GET", "/y", NULL, (struct span){0}, NULL, ""), 0);
    run_until(owner.answers == 2);
    cr_expect(owner.status == 201 && span_equals(buf_span(&owner.body), "ab"));
}

Test(client, who_is_over_takes_no_request)
{
    owner.keeps = true;
    ask_and_hear(&whole, "x\r\n\r\n");
    cr_expect(!http_client_connected(owner.client));
    cr_expect_lt(http_client_request(owner.client, "GET", "/y", NULL, (struct span){0}, NULL, ""), 0);
}

/* ---- answers as a whole */

Test(client, a_body_of_known_length_is_read)
{
    ask_and_hear(&whole, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    expect_answer(200, "hello");
    expect_failure(ECONNRESET, "it closed the connection");
}

Test(client, answers_are_the_same_however_they_are_cut)
{
    static const char text[] =
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        again();
        peer.pieces[0] = (struct span){text, cut};
        peer.pieces[1] = (struct span){text + cut, sizeof text - 1 - cut};
        peer.stays = true;
        ask(&whole);
        run_until(owner.answers);
        expect_answer(200, "hello");
        cr_expect(owner.heard >= 2 && !owner.failed, "cut at %zu", cut);
    }
}

Test(client, answers_without_a_body_end_with_their_head)
{
    say("HTTP/1.1 204 No Content\r\n\r\n");
    peer.stays = true;
    ask(&whole);
    run_until(owner.answers);
    expect_answer(204, "");
}

Test(client, interim_answers_are_heard_and_passed_over)
{
    say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    peer.stays = true;
    ask(&whole);
    run_until(owner.heard);
    run_for(20);
    cr_expect(!owner.answers && !owner.failed);
}

Test(client, so_many_interim_answers_are_taken_and_no_more)
{
    struct buf text = {0};
    for (int i = 0; i < HTTP_INTERIM_MOST; i++)
        buf_add_text(&text, "HTTP/1.1 102 P\r\n\r\n");
    peer.pieces[0] = buf_span(&text);
    peer.pieces[1] = span_of("HTTP/1.1 102 P\r\n\r\n");
    peer.stays = true;
    ask(&whole);
    run_until(peer.next == 1);
    run_to_failure();
    expect_failure(EOVERFLOW, "its interim answers have no end");
    again();
    peer.pieces[1] = span_of("HTTP/1.1 204 No\r\n\r\n");
    ask(&whole);
    run_until(owner.answers);
    buf_free(&text);
}

static const struct {
    const char *text;
    int error;
    const char *why;
} wrong[] = {
    {"", ECONNRESET, "it closed the connection"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ECONNRESET, "it closed the connection"},
    {"HTTP/1.1 200 OK\r\nContent-Len", ECONNRESET, "it closed the connection"},
    {"SSH-2.0-OpenSSH\r\n\r\n", EPROTO, "its answer is not HTTP"},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", EPROTO, "its answer is not HTTP"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", EMSGSIZE, "too large"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", EMSGSIZE, "no Content-Length"},
    {"HTTP/1.1 200 OK\r\n\r\nhello", EMSGSIZE, "no Content-Length"},
};

Test(client, an_answer_that_is_none_is_told)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        again();
        ask_and_hear(&whole, wrong[i].text);
        expect_failure(wrong[i].error, wrong[i].why);
        cr_expect_eq(owner.answers, 0, "%s", wrong[i].text);
    }
}

Test(client, the_longest_answer_is_taken)
{
    char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n";
    char *body = calloc(1, HTTP_ANSWER_MAX);
    peer.pieces[0] = span_of(head);
    peer.pieces[1] = (struct span){body, HTTP_ANSWER_MAX};
    peer.stays = true;
    ask(&whole);
    run_until(owner.answers);
    cr_expect_eq(owner.body.len, HTTP_ANSWER_MAX);
    free(body);
}

Test(client, who_is_answered_may_end_the_connection)
{
    say("HTTP/1.1 204 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n");
    peer.stays = true;
    owner.result = -EBADMSG;
    ask(&whole);
    run_to_failure();
    expect_failure(EBADMSG, "");
    cr_expect_eq(owner.answers, 1, "nothing follows");
}

/* ---- answers in parts */

Test(client, a_body_of_known_length_comes_in_parts)
{
    ask_and_hear(&in_parts, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    expect_answer(200, "hello");
    cr_expect(owner.parts >= 1);
}

Test(client, a_chunked_body_comes_in_parts_however_it_is_cut)
{
    static const char text[] =
        "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n"
        "HTTP/1.1 204 No\r\n\r\n";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        again();
        peer.pieces[0] = (struct span){text, cut};
        peer.pieces[1] = (struct span){text + cut, sizeof text - 1 - cut};
        peer.stays = true;
        ask(&in_parts);
        run_until(owner.answers == 2);
        cr_expect(span_equals(buf_span(&owner.body), "hello") && !owner.failed, "cut at %zu: '%.*s'", cut,
                  (int)owner.body.len, owner.body.data);
    }
}

Test(client, one_body_of_known_length_may_follow_another)
{
    say("HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nb");
    peer.stays = true;
    ask(&in_parts);
    run_until(owner.answers == 2);
    cr_expect(span_equals(buf_span(&owner.body), "ab"));
}

Test(client, one_chunked_body_may_follow_another)
{
    say("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n");
    peer.stays = true;
    ask(&in_parts);
    run_until(owner.answers == 2);
    cr_expect(span_equals(buf_span(&owner.body), "ab"));
}

Test(client, a_body_without_length_ends_with_the_connection)
{
    ask_and_hear(&in_parts, "HTTP/1.0 200 OK\r\n\r\nhello");
    expect_answer(200, "hello");
    expect_failure(ECONNRESET, "it closed the connection");
}

static const struct {
    const char *text;
    int error;
} cut_short[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ECONNRESET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ECONNRESET},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", EPROTO},
};

Test(client, a_body_that_comes_in_parts_and_does_not_end_is_told)
{
    for (size_t i = 0; i < sizeof cut_short / sizeof *cut_short; i++) {
        again();
        ask_and_hear(&in_parts, cut_short[i].text);
        expect_failure(cut_short[i].error, "");
        cr_expect_eq(owner.answers, 0);
    }
}

Test(client, who_takes_a_body_may_end_the_connection)
{
    say("HTTP/1.1 200 OK\r\n\r\nx");
    peer.endless = true;
    owner.result = -ECANCELED;
    ask(&in_parts);
    run_to_failure();
    expect_failure(ECANCELED, "");
    cr_expect(owner.parts == 1 && owner.answers == 0);
}

Test(client, a_body_in_parts_may_be_longer_than_an_answer)
{
    char *block = malloc(HTTP_ANSWER_MAX);
    memset(block, 'x', HTTP_ANSWER_MAX);
    say("HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 1; i < PIECES - 1; i++)
        peer.pieces[i] = (struct span){block, HTTP_ANSWER_MAX};
    ask(&in_parts);
    run_to_failure();
    cr_expect(owner.answers == 1 && owner.body.len == (size_t)HTTP_ANSWER_MAX * (PIECES - 2), "%zu",
              owner.body.len);
    free(block);
}
