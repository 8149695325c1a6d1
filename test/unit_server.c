#include "clock.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a service that answers at once, or keeps /park until it is told to answer */

static struct http_server *server;
static struct http_exchange *parked;
static atomic_bool parked_here, answer_parked;
static atomic_int passes;

static void handle(void *ctx, const struct http_request *request, const char *rest,
                   struct http_exchange *exchange)
{
    (void)ctx;
    (void)rest;
    if (strcmp(request->target->path, "/park") == 0) {
        parked = exchange;
        atomic_store(&parked_here, true);
    } else {
        http_answer(exchange, 200, NULL, span_of(http_exchange_peer(exchange)));
    }
}

static int64_t pass(void *ctx, int64_t now_ms)
{
    (void)ctx;
    (void)now_ms;
    atomic_fetch_add(&passes, 1);
    if (atomic_load(&answer_parked) && parked) {
        http_answer(parked, 200, NULL, span_of("late"));
        parked = NULL;
    }
    return CLOCK_NEVER;
}

/* So many of the next calls find the port taken. */
static int binds_fail;

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
    if (binds_fail > 0) {
        binds_fail--;
        errno = EADDRINUSE;
        return -1;
    }
    return (int)syscall(SYS_bind, fd, address.__sockaddr__, len);
}

static bool admits(void *ctx, const struct http_head *head)
{
    (void)ctx;
    (void)head;
    return true;
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/node", .handle = handle, .token = true},
    {.method = "GET", .path = "*", .handle = handle},
    {0}};
static atomic_bool busy;

static bool is_busy(void *ctx)
{
    (void)ctx;
    return atomic_load(&busy);
}

static const struct http_service service = {
    .routes = routes, .admits = admits, .pass = pass, .busy = is_busy};
static char why[256];

static uint64_t memory; /* of servers to be opened */

static int open_on(const char *host, uint16_t port, struct http_server **out)
{
    const struct http_server_config config = {
        .host = host, .port = port, .max_connections = 3, .idle_timeout_ms = 60000, .memory = memory};
    return http_server_open(out, &config, &service, why, sizeof why);
}

static void start(void)
{
    cr_assert(open_on("127.0.0.1", 0, &server) == 0, "%s", why);
    cr_assert(http_server_start(server) == 0);
}

static void stop(void)
{
    if (!server)
        return;
    http_server_stop(server, 100);
    http_server_join(server);
    http_server_close(server);
}

TestSuite(server, .init = start, .fini = stop, .timeout = 60);

enum { SOON_MS = 20000 }; /* the limit of what says nothing of speed */

/* A connection to a numeric address that gives up some time; or a negative errno. */
static int dial_to(const char *host, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct timeval limit = {.tv_sec = SOON_MS / 1000};
    bool six = inet_pton(AF_INET6, host, &in6.sin6_addr) == 1;
    cr_assert(six || inet_pton(AF_INET, host, &in.sin_addr) == 1);
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* of connect(2), too */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const struct sockaddr *address = six ? (const void *)&in6 : (const void *)&in;
    return connect(fd, address, six ? sizeof in6 : sizeof in) < 0 ? -errno : fd;
}

static int dial(void)
{
    int fd = dial_to("127.0.0.1", http_server_port(server));
    cr_assert(fd >= 0);
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* What comes next: "" for the end. */
static const char *hear(int fd)
{
    static char text[1024];
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    ssize_t got = poll(&polled, 1, SOON_MS) > 0 ? recv(fd, text, sizeof text - 1, 0) : -1;
    cr_assert(got >= 0);
    text[got] = '\0';
    return text;
}

static bool answered(const char *text, const char *status)
{
    return strncmp(text, "HTTP/1.1 ", 9) == 0 && strncmp(text + 9, status, 3) == 0;
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define PARK "GET /park HTTP/1.1\r\nHost: a\r\n\r\n"

static void wait_for(const atomic_bool *flag)
{
    for (int i = 0; i < SOON_MS && !atomic_load(flag); i++)
        usleep(1000);
    cr_assert(atomic_load(flag));
}

/* ---- serving */

Test(server, it_knows_the_port_and_who_calls)
{
    struct sockaddr_in self;
    socklen_t len = sizeof self;
    char peer[64];
    int fd = dial();
    getsockname(fd, (struct sockaddr *)&self, &len);
    snprintf(peer, sizeof peer, "\r\n\r\n127.0.0.1:%u", ntohs(self.sin_port));
    say(fd, GET);
    const char *text = hear(fd);
    cr_expect(answered(text, "200") && strstr(text, peer), "%s", text);
    close(fd);
}

Test(server, waking_makes_a_pass)
{
    usleep(50000);
    int before = atomic_load(&passes);
    loop_wake(http_server_loop(server));
    for (int i = 0; i < SOON_MS && atomic_load(&passes) == before; i++)
        usleep(1000);
    cr_expect(atomic_load(&passes) > before);
}

Test(server, it_sleeps_when_there_is_nothing_to_do)
{
    usleep(50000);
    int before = atomic_load(&passes);
    usleep(300000);
    cr_expect(atomic_load(&passes) - before < 10, "%d", atomic_load(&passes) - before);
}

Test(server, clients_past_the_limit_get_503_until_one_leaves)
{
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial();
        say(fds[i], GET);
        cr_assert(answered(hear(fds[i]), "200"));
    }
    int more[30];
    for (int i = 0; i < 30; i++) {
        more[i] = dial();
        say(more[i], GET);
    }
    for (int i = 0; i < 30; i++) {
        const char *text = hear(more[i]);
        cr_expect(answered(text, "503") && strstr(text, "Retry-After: 1\r\n"), "%d: %s", i, text);
        cr_expect_str_eq(hear(more[i]), "");
        close(more[i]);
    }
    close(fds[0]);
    bool served = false;
    for (int i = 0; i < 100 && !served; i++) {
        int fd = dial();
        say(fd, GET);
        served = answered(hear(fd), "200");
        close(fd);
        usleep(10000);
    }
    cr_expect(served);
    for (int i = 1; i < 3; i++)
        close(fds[i]);
}

Test(server, where_nodes_have_all_the_room_a_client_gets_a_whole_503)
{
    enum { ROOM = 3 + 64 };
    int fds[ROOM];
    for (int i = 0; i < ROOM; i++) {
        fds[i] = dial();
        say(fds[i], "GET /node HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_assert(answered(hear(fds[i]), "200"), "%d", i);
    }
    int fd = dial();
    const char *text = hear(fd);
    cr_expect(answered(text, "503") && strstr(text, "nosniff") && strstr(text, "Retry-After: 1\r\n") &&
                  strstr(text, "\r\nContent-Length: 53\r\n") && strstr(text, "\r\n\r\n{\"error\":"),
              "%s", text);
    cr_expect_eq(strlen(strstr(text, "\r\n\r\n") + 4), 53);
    close(fd);
    for (int i = 0; i < ROOM; i++)
        close(fds[i]);
}

/* ---- beginning and end */

Test(server, a_port_that_the_kernel_chose_and_is_taken_on_another_address_is_chosen_again)
{
    struct http_server *other;
    binds_fail = 2;
    cr_assert(open_on("127.0.0.1", 0, &other) == 0, "%s", why);
    uint16_t port = http_server_port(other);
    http_server_close(other);
    binds_fail = 1;
    cr_expect(open_on("127.0.0.1", port, &other) == -EADDRINUSE, "a port that was asked for is not");
    binds_fail = 1000;
    cr_expect(open_on("127.0.0.1", 0, &other) == -EADDRINUSE, "it gives up");
    binds_fail = 0;
}

Test(server, with_little_memory_fewer_bytes_of_incomplete_requests_are_kept)
{
    stop();
    memory = 32 * 1000;
    start();
    char text[1000];
    int fd = dial(), other = dial();
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n%600d", 0);
    say(fd, text);
    say(other, "G");
    cr_expect(answered(hear(other), "503"));
    close(fd);
    close(other);
}

Test(server, a_port_in_use_is_told)
{
    struct http_server *other;
    cr_expect(open_on("127.0.0.1", http_server_port(server), &other) == -EADDRINUSE);
    cr_expect(strstr(why, "cannot listen on 127.0.0.1 port"), "%s", why);
}

Test(server, a_host_that_is_none_is_told)
{
    struct http_server *other;
    cr_expect(open_on("256.256.256.256", 0, &other) < 0);
    cr_expect(strncmp(why, "HOST=256.256.256.256: ", 22) == 0, "%s", why);
    cr_expect(open_on("192.0.2.1", 0, &other) == -EADDRNOTAVAIL);
}

Test(server, ipv6_is_served_where_there_is_any)
{
    struct http_server *other;
    if (open_on("::1", 0, &other) != 0)
        cr_skip("there is no IPv6");
    cr_assert(http_server_start(other) == 0);
    int fd = dial_to("::1", http_server_port(other));
    cr_assert(fd >= 0);
    say(fd, GET);
    cr_expect(strstr(hear(fd), "\r\n\r\n[::1]:"));
    close(fd);
    http_server_stop(other, 100);
    http_server_join(other);
    http_server_close(other);
}

Test(server, it_listens_on_each_address_of_its_host)
{
    struct http_server *other;
    struct addrinfo *addresses;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    bool four = false, six = false;
    cr_assert(getaddrinfo("localhost", NULL, &hints, &addresses) == 0);
    for (const struct addrinfo *at = addresses; at; at = at->ai_next)
        *(at->ai_family == AF_INET6 ? &six : &four) = true;
    freeaddrinfo(addresses);
    cr_assert(open_on("localhost", 0, &other) == 0, "%s", why);
    cr_assert(http_server_start(other) == 0);
    const char *const hosts[] = {four ? "127.0.0.1" : NULL, six ? "::1" : NULL};
    int served = 0;
    for (int i = 0; i < 2; i++) {
        int fd = hosts[i] ? dial_to(hosts[i], http_server_port(other)) : -1;
        if (fd < 0)
            continue; /* this machine may lack IPv6, and name it */
        say(fd, GET);
        cr_expect(answered(hear(fd), "200"), "%s", hosts[i]);
        served++;
        close(fd);
    }
    cr_expect(served > 0 && (served == 2 || !six || dial_to("::1", 1) == -EADDRNOTAVAIL), "%d", served);
    http_server_stop(other, 100);
    http_server_join(other);
    http_server_close(other);
}

Test(server, one_that_never_started_can_be_closed)
{
    struct http_server *other;
    cr_assert(open_on("127.0.0.1", 0, &other) == 0);
    http_server_close(other);
}

Test(server, stopping_closes_what_is_idle_and_the_listener)
{
    uint16_t port = http_server_port(server);
    int fd = dial();
    int64_t began_ms = clock_ms();
    say(fd, GET);
    cr_assert(answered(hear(fd), "200"));
    http_server_stop(server, 2 * SOON_MS);
    http_server_join(server);
    cr_expect(clock_ms() - began_ms < SOON_MS);
    cr_expect_str_eq(hear(fd), "");
    cr_expect(dial_to("127.0.0.1", port) == -ECONNREFUSED);
    http_server_close(server);
    server = NULL;
    close(fd);
}

static void *stop_server(void *arg)
{
    http_server_stop(server, 2 * SOON_MS);
    http_server_join(server);
    return arg;
}

Test(server, stopping_waits_for_answers)
{
    pthread_t thread;
    int fd = dial();
    say(fd, PARK);
    wait_for(&parked_here);
    cr_assert(pthread_create(&thread, NULL, stop_server, NULL) == 0);
    usleep(100000);
    atomic_store(&answer_parked, true);
    loop_wake(http_server_loop(server));
    const char *text = hear(fd);
    cr_expect(answered(text, "200") && strstr(text, "Connection: close\r\n") && strstr(text, "late"), "%s",
              text);
    pthread_join(thread, NULL);
    http_server_close(server);
    server = NULL;
    close(fd);
}

Test(server, clients_are_served_until_the_service_is_not_busy)
{
    pthread_t thread;
    atomic_store(&busy, true);
    cr_assert(pthread_create(&thread, NULL, stop_server, NULL) == 0);
    usleep(100000);
    int fd = dial();
    say(fd, GET);
    cr_expect(answered(hear(fd), "200"));
    atomic_store(&busy, false);
    loop_wake(http_server_loop(server));
    cr_expect_str_eq(hear(fd), "");
    pthread_join(thread, NULL);
    http_server_close(server);
    server = NULL;
    close(fd);
}

Test(server, stopping_waits_no_longer_than_it_is_told)
{
    int64_t began_ms = clock_ms();
    int fd = dial();
    say(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n" PARK);
    wait_for(&parked_here);
    http_server_stop(server, 200);
    http_server_join(server);
    cr_expect(clock_ms() - began_ms >= 200 && clock_ms() - began_ms < SOON_MS);
    http_answer(parked, 200, NULL, (struct span){0}); /* its thread has ended: nobody else touches it */
    http_server_close(server);
    server = NULL;
    close(fd);
}
