#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "usage: load --port PORT [options]\n"
    "\n"
    "what to do (one of)\n"
    "  --post TARGET        HTTP POST of a text/plain message; 201 is right (default: /messages)\n"
    "  --get TARGET         HTTP GET; 200 is right\n"
    "  --rpush LIST         Redis RPUSH, with WAIT behind it in the same write where --wait is given\n"
    "  --wait N             the replicas that WAIT waits for\n"
    "  --bytes N            random printable bytes of a message (default: 100)\n"
    "  --expect-length N    GET: an answer of any other length is wrong\n"
    "how much\n"
    "  --host HOST          (default: 127.0.0.1)\n"
    "  --clients N          connections (default: 64)\n"
    "  --pipeline N         requests in flight on each connection (default: 1)\n"
    "  --seconds S          length of the run (default: 4, with --requests 600)\n"
    "  --requests N         end after so many requests, those of the warm-up included\n"
    "  --warmup S           time before the run that is not measured (default: 1, with --requests 0)\n"
    "  --rate R             open loop: R requests per second over all connections, each at its time;\n"
    "                       its latency counts from then, sent late or not\n"
    "  --drain S            wait so long for the last answers (default: 5)\n"
    "beside it\n"
    "  --idle N             open N keep-alive connections that stay quiet\n"
    "  --slow N             open N connections that GET slowly\n"
    "  --slow-target TARGET what they get (default: /messages)\n"
    "  --slow-rate N        bytes per second that each of them reads (default: 65536)\n"
    "\n"
    "Prints one line of JSON; latencies are in microseconds. Exit code 1 where an answer was wrong or\n"
    "missing, 2 where the command line is wrong or nothing listens.\n";

enum flag {
    HELP = 256,
    HOST,
    PORT,
    POST,
    GET,
    RPUSH,
    WAIT,
    BYTES,
    EXPECT_LENGTH,
    CLIENTS,
    PIPELINE,
    RATE,
    REQUESTS,
    DURATION,
    WARMUP,
    DRAIN,
    IDLE,
    SLOW,
    SLOW_TARGET,
    SLOW_RATE
};

static const struct option flags[] = {{"help", no_argument, NULL, HELP},
                                      {"host", required_argument, NULL, HOST},
                                      {"port", required_argument, NULL, PORT},
                                      {"post", required_argument, NULL, POST},
                                      {"get", required_argument, NULL, GET},
                                      {"rpush", required_argument, NULL, RPUSH},
                                      {"wait", required_argument, NULL, WAIT},
                                      {"bytes", required_argument, NULL, BYTES},
                                      {"expect-length", required_argument, NULL, EXPECT_LENGTH},
                                      {"clients", required_argument, NULL, CLIENTS},
                                      {"pipeline", required_argument, NULL, PIPELINE},
                                      {"rate", required_argument, NULL, RATE},
                                      {"requests", required_argument, NULL, REQUESTS},
                                      {"seconds", required_argument, NULL, DURATION},
                                      {"warmup", required_argument, NULL, WARMUP},
                                      {"drain", required_argument, NULL, DRAIN},
                                      {"idle", required_argument, NULL, IDLE},
                                      {"slow", required_argument, NULL, SLOW},
                                      {"slow-target", required_argument, NULL, SLOW_TARGET},
                                      {"slow-rate", required_argument, NULL, SLOW_RATE},
                                      {NULL, 0, NULL, 0}};

static _Noreturn void wrong(const char *what)
{
    fprintf(stderr, "load: %s (--help tells more)\n", what);
    exit(2);
}

static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most)) {
        fprintf(stderr, "load: %s is not a number from %.0f to %.0f\n", text, least, most);
        exit(2);
    }
    return value;
}

static void set_operation(struct options *out, enum proto_kind kind, const char *target)
{
    out->kind = kind;
    out->target = target;
}

/* What is asked for. Returns false where the option is none of these. */
static bool take_operation(struct options *out, int option, const char *value)
{
    switch (option) {
    case POST:
        set_operation(out, PROTO_POST, value);
        return true;
    case GET:
        set_operation(out, PROTO_GET, value);
        return true;
    case RPUSH:
        set_operation(out, PROTO_RPUSH, value);
        return true;
    case WAIT:
        out->replicas = (unsigned)number(value, 0, 1e6);
        return true;
    case BYTES:
        out->bytes = (size_t)number(value, 1, 1e9);
        return true;
    case EXPECT_LENGTH:
        out->answer_length = (uint64_t)number(value, 0, 1e15);
        return true;
    default:
        return false;
    }
}

/* How much of it. */
static bool take_amount(struct options *out, int option, const char *value)
{
    switch (option) {
    case HOST:
        out->host = value;
        return true;
    case PORT:
        out->port = (uint16_t)number(value, 1, 65535);
        return true;
    case CLIENTS:
        out->clients = (int)number(value, 0, 1e6);
        return true;
    case PIPELINE:
        out->depth = (unsigned)number(value, 1, 10000);
        return true;
    case RATE:
        out->rate = number(value, 0.001, 1e9);
        return true;
    case REQUESTS:
        out->requests = (uint64_t)number(value, 1, 1e15);
        return true;
    case DURATION:
        out->seconds = number(value, 0.001, 1e6);
        return true;
    case WARMUP:
        out->warmup = number(value, 0, 1e6);
        return true;
    case DRAIN:
        out->drain = number(value, 0, 1e6);
        return true;
    default:
        return false;
    }
}

/* What stands beside it. */
static bool take_crowd(struct options *out, int option, const char *value)
{
    switch (option) {
    case IDLE:
        out->idle = (int)number(value, 0, 1e6);
        return true;
    case SLOW:
        out->slow = (int)number(value, 0, 1e6);
        return true;
    case SLOW_TARGET:
        out->slow_target = value;
        return true;
    case SLOW_RATE:
        out->slow_rate = number(value, SLOW_RATE_MIN, SLOW_RATE_MAX);
        return true;
    default:
        return false;
    }
}

static void complete(struct options *out)
{
    bool counted = out->requests != UINT64_MAX;
    if (out->port == 0)
        wrong("--port is missing");
    if (out->clients == 0 && out->idle + out->slow == 0)
        wrong("no connection is asked for");
    if (out->slow > 0 && out->kind == PROTO_RPUSH)
        wrong("slow readers speak HTTP alone");
    if (out->seconds < 0)
        out->seconds = counted ? 600 : 4;
    if (out->warmup < 0)
        out->warmup = counted ? 0 : 1;
}

void options_read(struct options *out, int argc, char *argv[])
{
    int option;
    *out = (struct options){.host = "127.0.0.1",
                            .kind = PROTO_POST,
                            .target = "/messages",
                            .bytes = 100,
                            .clients = 64,
                            .depth = 1,
                            .requests = UINT64_MAX,
                            .seconds = -1,
                            .warmup = -1,
                            .drain = 5,
                            .slow_rate = 65536,
                            .slow_target = "/messages"};
    while ((option = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (option == HELP) {
            fputs(help, stdout);
            exit(0);
        }
        if (!take_operation(out, option, optarg) && !take_amount(out, option, optarg) &&
            !take_crowd(out, option, optarg))
            wrong("that option is not known or not complete");
    }
    if (optind < argc)
        wrong("there are only options, no arguments");
    complete(out);
}

bool options_proto(const struct options *options, struct proto *out)
{
    char host[256];
    int len = snprintf(host, sizeof host, "%s:%u", options->host, (unsigned)options->port);
    if (len < 0 || (size_t)len >= sizeof host)
        return false;
    if (options->kind == PROTO_POST)
        return proto_post(out, host, options->target, options->bytes);
    if (options->kind == PROTO_GET)
        return proto_get(out, host, options->target, options->answer_length);
    return proto_rpush(out, options->target, options->replicas, options->bytes);
}
