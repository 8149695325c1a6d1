#include "crowd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_NS = 100 * 1000 * 1000,
    TICKS_PER_SECOND = 10,
    SLOW_RECEIVE_BUFFER = 64 * 1024, /* a large one would read ahead of the slow reader */
    STEP_MAX = 64 * 1024
};

static bool send_text(int fd, const char *text)
{
    size_t len = strlen(text);
    return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Connects the index-th of the crowd and sends it `hello`. Returns the descriptor, or a negative errno. */
static int join(const struct dial_address *to, int index, int receive_buffer, const char *hello)
{
    int fd = dial_spread(to, index, receive_buffer);
    if (fd >= 0 && !send_text(fd, hello)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* A keep-alive connection is one that had its answer. */
static bool is_answered(int fd)
{
    char answer[4096];
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    return (got >= 7 && memcmp(answer, "HTTP/1.", 7) == 0) || (got >= 5 && memcmp(answer, "+PONG", 5) == 0);
}

static bool open_idle(struct crowd *crowd, const struct options *options, const struct dial_address *to)
{
    const char *hello =
        options->kind == PROTO_RPUSH ? "PING\r\n" : "HEAD /health HTTP/1.1\r\nHost: idle\r\n\r\n";
    for (int i = 0; i < options->idle; i++) {
        int fd = join(to, i, 0, hello);
        if (fd < 0) {
            fprintf(stderr, "load: idle connection %d: %s\n", i + 1, strerror(-fd));
            return false;
        }
        crowd->idle[crowd->idle_count++] = fd;
        if (!is_answered(fd)) {
            fprintf(stderr, "load: idle connection %d got no answer\n", i + 1);
            return false;
        }
    }
    return true;
}

static bool open_slow(struct crowd *crowd, const struct options *options, const struct dial_address *to)
{
    char hello[2048];
    snprintf(hello, sizeof hello, "GET %s HTTP/1.1\r\nHost: slow\r\nConnection: close\r\n\r\n",
             options->slow_target);
    for (int i = 0; i < options->slow; i++) {
        int fd = join(to, options->idle + i, SLOW_RECEIVE_BUFFER, hello);
        if (fd < 0) {
            fprintf(stderr, "load: slow reader %d: %s\n", i + 1, strerror(-fd));
            return false;
        }
        crowd->slow[crowd->slow_count++] = fd;
    }
    return true;
}

bool crowd_open(struct crowd *crowd, const struct options *options, const struct dial_address *to)
{
    double step = options->slow_rate / TICKS_PER_SECOND;
    *crowd = (struct crowd){.next_tick_ns = options->slow > 0 ? 0 : INT64_MAX};
    crowd->slow_step = step < STEP_MAX ? (size_t)step : STEP_MAX;
    crowd->idle = calloc((size_t)options->idle + 1, sizeof *crowd->idle);
    crowd->slow = calloc((size_t)options->slow + 1, sizeof *crowd->slow);
    return crowd->idle && crowd->slow && open_idle(crowd, options, to) && open_slow(crowd, options, to);
}

void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < crowd->idle_count; i++)
        close(crowd->idle[i]);
    for (int i = 0; i < crowd->slow_count; i++)
        if (crowd->slow[i] >= 0)
            close(crowd->slow[i]);
    free(crowd->idle);
    free(crowd->slow);
}

static void read_slowly(struct crowd *crowd, int *fd)
{
    char part[STEP_MAX];
    ssize_t got = recv(*fd, part, crowd->slow_step, MSG_DONTWAIT);
    if (got > 0) {
        crowd->slow_bytes += (uint64_t)got;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(*fd);
        *fd = -1;
        crowd->slow_lost++;
    }
}

void crowd_tick(struct crowd *crowd, int64_t now_ns)
{
    if (now_ns < crowd->next_tick_ns)
        return;
    for (int i = 0; i < crowd->slow_count; i++)
        if (crowd->slow[i] >= 0)
            read_slowly(crowd, &crowd->slow[i]);
    crowd->next_tick_ns = now_ns + TICK_NS;
}

static bool is_closed(int fd)
{
    char rest[256];
    ssize_t got;
    while ((got = recv(fd, rest, sizeof rest, MSG_DONTWAIT)) > 0)
        ;
    return got == 0 || errno != EAGAIN;
}

int crowd_lost(struct crowd *crowd)
{
    int lost = crowd->slow_lost;
    for (int i = 0; i < crowd->idle_count; i++)
        lost += is_closed(crowd->idle[i]);
    return lost;
}
