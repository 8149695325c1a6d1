/* Sending without a copy: over TCP, to a reader that lags, and where the system does not allow it. */
#include "http/zero_copy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEN = 3 * 1024 * 1024 + 123, PIPE = 256 * 1024 };

TestSuite(zero_copy, .timeout = 60);

struct ends {
    int near, far; /* near does not block */
};

static struct ends connect_ends(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int small = 64 * 1024;
    struct ends ends = {.near = socket(AF_INET, SOCK_STREAM, 0)};
    cr_assert_eq(setsockopt(ends.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    cr_assert_eq(connect(ends.near, (struct sockaddr *)&address, sizeof address), 0);
    ends.far = accept(listener, NULL, NULL);
    cr_assert_geq(ends.far, 0);
    cr_assert_eq(fcntl(ends.near, F_SETFL, O_NONBLOCK), 0);
    close(listener);
    return ends;
}

static char *random_bytes(void)
{
    char *bytes = malloc(LEN);
    unsigned seed = 1;
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = (char)rand_r(&seed);
    return bytes;
}

/* Two pieces that meet at an odd place. */
static int pieces(char *bytes, size_t sent, struct iovec iov[2])
{
    size_t middle = sent + (LEN - sent) / 3;
    iov[0] = (struct iovec){bytes + sent, middle - sent};
    iov[1] = (struct iovec){bytes + middle, LEN - middle};
    return 2;
}

Test(zero_copy, a_reader_that_lags_gets_every_byte_once)
{
    struct zero_copy copy;
    struct ends ends = connect_ends();
    char *bytes = random_bytes(), *got = malloc(LEN);
    size_t sent = 0, received = 0;
    unsigned full = 0;
    cr_assert(zero_copy_open(&copy, PIPE));
    while (received < LEN) {
        struct iovec iov[2];
        ssize_t step = sent < LEN ? zero_copy_send(&copy, ends.near, iov, pieces(bytes, sent, iov)) : -EAGAIN;
        cr_assert(step > 0 || step == -EAGAIN, "%zd", step);
        if (step > 0) {
            sent += (size_t)step;
            continue;
        }
        full += sent < LEN;
        if (sent == LEN)
            shutdown(ends.near,
                     SHUT_WR); /* what was announced and does not come must not hold back the rest */
        size_t most = 100000 < LEN - received ? 100000 : LEN - received;
        ssize_t taken = recv(ends.far, got + received, most, 0);
        cr_assert_gt(taken, 0);
        received += (size_t)taken;
    }
    cr_assert_eq(memcmp(got, bytes, LEN), 0);
    cr_assert_gt(full, 0, "the socket was never full: nothing was left in the pipe");
    cr_assert(copy.open);
    zero_copy_close(&copy);
    free(bytes);
    free(got);
}

Test(zero_copy, a_reader_that_has_gone_is_an_error_of_its_socket_alone)
{
    struct zero_copy copy;
    struct ends ends = connect_ends();
    char *bytes = random_bytes();
    struct iovec iov[2];
    ssize_t sent;
    signal(SIGPIPE, SIG_IGN);
    cr_assert(zero_copy_open(&copy, PIPE));
    close(ends.far);
    do
        sent = zero_copy_send(&copy, ends.near, iov, pieces(bytes, 0, iov));
    while (sent > 0);
    cr_assert(sent == -EPIPE || sent == -ECONNRESET, "%zd", sent);
    cr_assert(copy.open);

    ends = connect_ends();
    sent = zero_copy_send(&copy, ends.near, iov, pieces(bytes, 0, iov));
    cr_assert_gt(sent, 0);
    char first;
    cr_assert_eq(recv(ends.far, &first, 1, 0), 1);
    cr_assert_eq(first, bytes[0], "what the socket before did not take came out");
    zero_copy_close(&copy);
    free(bytes);
}

Test(zero_copy, where_it_is_not_allowed_it_closes)
{
    struct zero_copy copy;
    char path[] = "/tmp/zero_copy.XXXXXX";
    int file = mkstemp(path);
    char *bytes = random_bytes();
    struct iovec iov[2];
    cr_assert_geq(file, 0);
    unlink(path);
    cr_assert_eq(fcntl(file, F_SETFL, O_APPEND), 0); /* such a file takes no splice */
    cr_assert(zero_copy_open(&copy, PIPE));
    cr_assert_eq(zero_copy_send(&copy, file, iov, pieces(bytes, 0, iov)), -EINTR);
    cr_assert(!copy.open);
    zero_copy_close(&copy);
    free(bytes);
}

Test(zero_copy, without_descriptors_it_does_not_open)
{
    struct zero_copy copy = {0};
    struct rlimit limit;
    int free_fd = dup(0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    close(free_fd);
    for (rlim_t more = 0; more < 3; more++) {
        limit.rlim_cur = (rlim_t)free_fd + more;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        cr_assert(!zero_copy_open(&copy, PIPE));
        cr_assert(!copy.open);
        int again = dup(0);
        cr_assert(more == 0 ? again < 0 : again == free_fd, "a descriptor was left open");
        close(again);
    }
}
