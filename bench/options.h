/* What the load generator is asked to do, from its command line. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "proto.h"

enum { SLOW_RATE_MIN = 10, SLOW_RATE_MAX = 640 * 1024 };

struct options {
    const char *host;
    uint16_t port;

    enum proto_kind kind;
    const char *target;     /* POST and GET: path and query; RPUSH: the list's name */
    unsigned replicas;      /* RPUSH: for WAIT; 0 for none */
    size_t bytes;           /* of a message */
    uint64_t answer_length; /* GET: the only right Content-Length, 0 for any */

    int clients;
    unsigned depth;    /* requests in flight on a connection */
    double rate;       /* open loop: requests per second over all connections; 0 for a closed loop */
    uint64_t requests; /* ends after so many; UINT64_MAX for no such end */
    double seconds;    /* ends after so long, the warm-up not counted */
    double warmup;     /* seconds at the start that are not measured */
    double drain;      /* seconds at the end to wait for answers */

    int idle;         /* further connections that stay quiet */
    int slow;         /* further connections that read slow_target slowly */
    double slow_rate; /* bytes per second of each */
    const char *slow_target;
};

/* Reads the command line; on a wrong one it says so, and ends the program with exit code 2. */
void options_read(struct options *out, int argc, char *argv[]);

/* Builds the operation that is asked for. Returns false where its texts are too long. */
bool options_proto(const struct options *options, struct proto *out);

#endif
