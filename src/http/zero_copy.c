#include "http/zero_copy.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool zero_copy_open(struct zero_copy *copy, int bytes)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return false;
    *copy = (struct zero_copy){.open = true, .out = ends[0], .in = ends[1]};
    copy->nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (copy->nowhere < 0) {
        close(ends[0]);
        close(ends[1]);
        copy->open = false;
        return false;
    }
    /* A pipe has a slot for each page that the bytes touch, and they may start inside the first. Where all of
     * it is refused, less goes at once. */
    if (fcntl(copy->in, F_SETPIPE_SZ, bytes + (int)sysconf(_SC_PAGESIZE)) < 0)
        (void)fcntl(copy->in, F_SETPIPE_SZ, bytes);
    return true;
}

void zero_copy_close(struct zero_copy *copy)
{
    if (!copy->open)
        return;
    copy->open = false;
    close(copy->in);
    close(copy->out);
    close(copy->nowhere);
}

/* Empties the pipe of what is left in it. */
static void zero_copy_drop(struct zero_copy *copy, size_t left)
{
    while (left > 0) {
        ssize_t dropped = splice(copy->out, NULL, copy->nowhere, NULL, left, 0);
        if (dropped < 0 && errno == EINTR)
            continue;
        if (dropped <= 0) {
            zero_copy_close(copy);
            return;
        }
        left -= (size_t)dropped;
    }
}

/* Whether an error says that the system does not know this, or forbids it. */
static bool is_not_allowed(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM;
}

ssize_t zero_copy_send(struct zero_copy *copy, int socket, const struct iovec *iov, int count)
{
    ssize_t put = vmsplice(copy->in, iov, (size_t)count, SPLICE_F_NONBLOCK);
    if (put <= 0) {
        zero_copy_close(copy); /* an empty pipe takes something */
        return -EINTR;
    }
    ssize_t sent = splice(copy->out, NULL, socket, NULL, (size_t)put, SPLICE_F_NONBLOCK | SPLICE_F_MORE);
    int error = errno;
    zero_copy_drop(copy, (size_t)(put - (sent > 0 ? sent : 0)));
    if (sent >= 0)
        return sent;
    if (!is_not_allowed(error))
        return -error;
    zero_copy_close(copy);
    return -EINTR;
}
