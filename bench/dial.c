#include "dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

int dial_resolve(const char *host, uint16_t port, struct dial_address *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    memcpy(&out->at, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static bool is_loopback4(const struct dial_address *to)
{
    struct sockaddr_in in;
    memcpy(&in, &to->at, sizeof in);
    return in.sin_family == AF_INET && ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The port is left to connect(2), which needs it free for this one peer only; bind(2) would take it for all.
 */
static int bind_source(int fd, int index)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index % DIAL_SOURCES));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0)
        return -1;
    return bind(fd, (struct sockaddr *)&from, sizeof from);
}

static int open_socket(const struct dial_address *to)
{
    struct timeval limit = {.tv_sec = DIAL_TIMEOUT_MS / 1000, .tv_usec = DIAL_TIMEOUT_MS % 1000 * 1000};
    int on = 1;
    int fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* for connect(2), too */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static int give_up(int fd)
{
    int error = errno;
    if (fd >= 0)
        close(fd);
    return -error;
}

static int connect_socket(int fd, const struct dial_address *to)
{
    if (connect(fd, (const struct sockaddr *)&to->at, to->len) < 0)
        return give_up(fd);
    return fd;
}

int dial(const struct dial_address *to)
{
    int fd = open_socket(to);
    if (fd < 0)
        return give_up(fd);
    return connect_socket(fd, to);
}

int dial_spread(const struct dial_address *to, int index, int receive_buffer)
{
    int fd = open_socket(to);
    if (fd < 0)
        return give_up(fd);
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (is_loopback4(to) && bind_source(fd, index) < 0)
        return give_up(fd);
    return connect_socket(fd, to);
}
