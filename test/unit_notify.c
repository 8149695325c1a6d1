/* notify.c: held against real datagram sockets, one in a directory of the test's own and one without a path.
 */
#include "notify.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[] = "/tmp/notify.XXXXXX";

/* The name of a socket in the directory, so long that it fills up to `len` bytes with x; 0: a short one. */
static const char *path(size_t len)
{
    static char text[256];
    int used = snprintf(text, sizeof text, "%s/", dir);
    size_t end = len ? len : (size_t)used + 1;
    for (size_t i = (size_t)used; i < end; i++)
        text[i] = 'x';
    text[end] = '\0';
    return text;
}

static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    memcpy(address.sun_path, name, len);
    if (*name == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0, "%s: %s", name, strerror(errno));
    return fd;
}

/* That just this is there to be received, as one datagram. */
static void expect_received(int fd, const char *text)
{
    char got[256] = "";
    cr_assert_eq(recv(fd, got, sizeof got - 1, 0), (ssize_t)strlen(text), "%s", got);
    cr_assert_str_eq(got, text);
    cr_assert_eq(recv(fd, got, sizeof got, 0), -1);
}

static void start(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void end(void)
{
    unlink(path(0));
    unlink(path(107));
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(notify, .init = start, .fini = end, .timeout = 20);

Test(notify, a_text_comes_as_one_datagram_at_a_path)
{
    int fd = listen_at(path(0));
    cr_assert_eq(notify_send(path(0), "READY=1\nSTATUS=a sentence\n"), 0);
    expect_received(fd, "READY=1\nSTATUS=a sentence\n");
    cr_assert_eq(notify_send(path(0), "STOPPING=1\n"), 0);
    expect_received(fd, "STOPPING=1\n");
}

Test(notify, a_name_behind_an_at_sign_is_in_no_file_system)
{
    char name[64];
    snprintf(name, sizeof name, "@notify-%d", (int)getpid());
    int fd = listen_at(name);
    cr_assert_eq(notify_send(name, "READY=1\n"), 0);
    expect_received(fd, "READY=1\n");
    name[strlen(name) - 1] = '\0';
    cr_assert_eq(notify_send(name, "READY=1\n"), -ECONNREFUSED, "a part of the name is another name");
}

Test(notify, nobody_there_is_told)
{
    cr_assert_eq(notify_send(path(0), "READY=1\n"), -ENOENT);
    close(listen_at(path(0)));
    cr_assert_eq(notify_send(path(0), "READY=1\n"), -ECONNREFUSED);
}

Test(notify, the_longest_path_is_taken_and_a_longer_one_refused)
{
    int fd = listen_at(path(107));
    cr_assert_eq(notify_send(path(107), "READY=1\n"), 0);
    expect_received(fd, "READY=1\n");
    cr_assert_eq(notify_send(path(108), "READY=1\n"), -ENAMETOOLONG);
    cr_assert_eq(notify_send(path(200), "READY=1\n"), -ENAMETOOLONG);
}

Test(notify, other_addresses_are_refused)
{
    static const char *const others[] = {"", "notify", "./notify", "vsock:2:1234", " /run/notify"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_eq(notify_send(others[i], "READY=1\n"), -EAFNOSUPPORT, "%s", others[i]);
}

Test(notify, a_full_queue_holds_nobody_up)
{
    int fd = listen_at(path(0));
    char got[64];
    int result = 0;
    for (int i = 0; i < 100000 && result == 0; i++)
        result = notify_send(path(0), "STATUS=again\n");
    cr_assert_eq(result, -EAGAIN);
    cr_assert_gt(recv(fd, got, sizeof got, 0), 0);
    cr_assert_eq(notify_send(path(0), "STATUS=again\n"), 0);
}

Test(notify, no_descriptor_is_left)
{
    int next = dup(0);
    close(next);
    notify_send(path(0), "READY=1\n");
    int fd = listen_at(path(0));
    notify_send(path(0), "READY=1\n");
    close(fd);
    int after = dup(0);
    cr_assert_eq(after, next);
    close(after);
}
