/* Sends bytes to a socket without copying them: their pages go into a pipe (vmsplice) and from there to the
 * socket (splice). Linux alone has this. The kernel reads the pages until the client has taken all, which may
 * be long after the call: the bytes must never be written again.
 *
 * A long answer costs the server half the processor's time this way (docs/design.md). For a short one a copy
 * is cheaper. Where SIGPIPE is not ignored, a client that has gone raises it. */
#ifndef HTTP_ZERO_COPY_H
#define HTTP_ZERO_COPY_H

#include <stdbool.h>
#include <sys/uio.h>

enum { ZERO_COPY_LEAST = 64 * 1024 }; /* bytes from which it is worth while */

/* All zero: not open. One thread at a time uses it. It keeps nothing between two calls. */
struct zero_copy {
    bool open;
    int in, out; /* of the pipe */
    int nowhere; /* takes what the socket did not */
};

/* Opens as much as the pipe's `bytes` allow at once. Returns whether it is open. */
bool zero_copy_open(struct zero_copy *copy, int bytes);
void zero_copy_close(struct zero_copy *copy);

/* Sends what the non-blocking socket takes. Something must follow at once: the end of it may wait for that.
 * Returns the bytes sent, or a negative errno: -EAGAIN where the socket is full, -EINTR where to try again.
 * Where the system does not allow all this it returns -EINTR too, and is closed then. */
ssize_t zero_copy_send(struct zero_copy *copy, int socket, const struct iovec *iov, int count);

#endif
