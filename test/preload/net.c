/* A bad network, for a node that a test starts with net_words(): names whose look-up hangs or gives a dead
 * address first, and a port that connects to itself. The programs under test see what they would see of a
 * silent name server and of the kernel; nothing of theirs is replaced but these two calls.
 *
 *     hangs-6000.test   its look-up takes 6000 ms, and fails
 *     once.test         127.0.0.1 at the first look-up; each later one hangs for 6000 ms
 *     two.test          127.0.0.2 first, then 127.0.0.1
 *
 * SELF_CONNECT=PORT in the environment: while nobody listens at that port of 127.0.0.1, a connection to it is
 * connected to itself, as happens now and then to a port of the ephemeral range. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANG_MS = 6000 };

typedef int look_up(const char *name, const char *service, const struct addrinfo *hints,
                    struct addrinfo **out);
typedef int dial(int fd, const struct sockaddr *address, socklen_t len);

/* ISO C does not convert pointers to functions; POSIX does. */
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static int hang(int ms)
{
    poll(NULL, 0, ms);
    return EAI_AGAIN;
}

/* The addresses of two numeric names, one behind the other. */
static int two(look_up *look, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    int error = look("127.0.0.2", service, hints, out);
    return error ? error : look("127.0.0.1", service, hints, &(*out)->ai_next);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai)
{
    static atomic_int looked_up;
    look_up *look;
    *(void **)&look = real("getaddrinfo");
    if (name && strncmp(name, "hangs-", 6) == 0)
        return hang(atoi(name + 6));
    if (name && strcmp(name, "two.test") == 0)
        return two(look, service, req, pai);
    if (name && strcmp(name, "once.test") == 0) {
        if (atomic_fetch_add(&looked_up, 1) > 0)
            return hang(HANG_MS);
        name = "127.0.0.1";
    }
    return look(name, service, req, pai);
}

static bool connects_to_itself(const struct sockaddr *address)
{
    const char *port = getenv("SELF_CONNECT");
    struct sockaddr_in in;
    if (!port || address->sa_family != AF_INET)
        return false;
    memcpy(&in, address, sizeof in);
    return in.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && ntohs(in.sin_port) == atoi(port);
}

/* A socket bound to the address, as if the kernel had chosen that port for it; -1 where somebody listens. */
static int bound_socket(const struct sockaddr *address, socklen_t len, int flags)
{
    int on = 1;
    int off = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, len) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off); /* the port is taken as by any other socket */
    fcntl(fd, F_SETFL, flags);
    return fd;
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    dial *connect_there;
    *(void **)&connect_there = real("connect");
    int bound = connects_to_itself(addr) ? bound_socket(addr, len, fcntl(fd, F_GETFL)) : -1;
    if (bound >= 0) {
        dup3(bound, fd, O_CLOEXEC);
        close(bound);
    }
    return connect_there(fd, addr, len);
}
