/* TCP connections to the server under load: where it is, and how to open one. */
#ifndef BENCH_DIAL_H
#define BENCH_DIAL_H

#include <stdint.h>
#include <sys/socket.h>

struct dial_address {
    struct sockaddr_storage at;
    socklen_t len;
};

enum {
    DIAL_TIMEOUT_MS = 5000,
    DIAL_SOURCES = 32 /* loopback addresses that dial_spread takes turns with */
};

/* Resolves a name or address. Returns 0, or -1 where there is none. */
int dial_resolve(const char *host, uint16_t port, struct dial_address *out);

/* Opens a connection with Nagle's algorithm off, waiting DIAL_TIMEOUT_MS at most. The socket blocks, and no
 * call on it for longer than that. Returns it, or a negative errno. */
int dial(const struct dial_address *to);

/* The same for the index-th of a great many: to a server on 127.0.0.0/8 the connections come from several
 * source addresses, since one has less than 30,000 ports. receive_buffer in bytes, 0 for the kernel's own
 * choice. */
int dial_spread(const struct dial_address *to, int index, int receive_buffer);

#endif
