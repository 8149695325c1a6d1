#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool conn_init(struct conn *conn, const struct proto *proto, unsigned depth)
{
    *conn = (struct conn){.fd = -1, .depth = depth, .out_cap = proto_size(proto) * depth};
    conn->out = malloc(conn->out_cap);
    conn->asked_ns = calloc(depth, sizeof *conn->asked_ns);
    return conn->out && conn->asked_ns;
}

void conn_free(struct conn *conn)
{
    conn_close(conn);
    free(conn->out);
    free(conn->asked_ns);
}

int conn_open(struct conn *conn, const struct dial_address *to)
{
    conn->fd = -1;
    conn->out_len = conn->out_sent = conn->carry_len = 0;
    conn->in_flight = 0;
    conn->answer = (struct answer){0};
    conn->wants_write = false;
    int fd = dial(to);
    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    conn->fd = fd;
    return 0;
}

void conn_close(struct conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}

/* The second half matters to a server alone that answers before it has read the whole request. */
bool conn_has_room(const struct conn *conn, const struct proto *proto)
{
    return conn->in_flight < conn->depth && conn->out_cap - conn->out_len >= proto_size(proto);
}

void conn_ask(struct conn *conn, const struct proto *proto, const char *body, int64_t asked_ns)
{
    proto_write(proto, body, conn->out + conn->out_len);
    conn->out_len += proto_size(proto);
    conn->asked_ns[(conn->first + conn->in_flight) % conn->depth] = asked_ns;
    conn->in_flight++;
}

bool conn_flush(struct conn *conn)
{
    ssize_t sent = send(conn->fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent, MSG_NOSIGNAL);
    if (sent < 0)
        return errno != EAGAIN && errno != EINTR;
    conn->out_sent += (size_t)sent;
    if (conn->out_sent < conn->out_len)
        return false;
    conn->out_len = conn->out_sent = 0;
    return true;
}

ssize_t conn_receive(struct conn *conn, char *scratch, size_t cap)
{
    size_t had = conn->carry_len;
    memcpy(scratch, conn->carry, had);
    ssize_t got = recv(conn->fd, scratch + had, cap - had, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0)
        return -1;
    conn->carry_len = 0;
    return (ssize_t)had + got;
}

void conn_carry(struct conn *conn, const char *bytes, size_t len)
{
    memcpy(conn->carry, bytes, len);
    conn->carry_len = len;
}

int64_t conn_answered(struct conn *conn)
{
    int64_t asked_ns = conn->asked_ns[conn->first];
    conn->first = (conn->first + 1) % conn->depth;
    conn->in_flight--;
    return asked_ns;
}
