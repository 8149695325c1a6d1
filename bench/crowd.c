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
    STEP_MAX = SLOW_RATE_MAX / TICKS_PER_SECOND
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
    char hello[PROTO_HEAD_MAX + 1] = {0};
    proto_write(&crowd->slow_proto, "", hello);
    for (int i = 0; i < options->slow; i++) {
        int fd = join(to, options->idle + i, SLOW_RECEIVE_BUFFER, hello);
        if (fd < 0) {
            fprintf(stderr, "load: slow reader %d: %s\n", i + 1, strerror(-fd));
            return false;
        }
        crowd->slow[crowd->slow_count++] = (struct crowd_reader){.fd = fd};
    }
    return true;
}

bool crowd_open(struct crowd *crowd, const struct options *options, const struct dial_address *to)
{
    *crowd = (struct crowd){.next_tick_ns = options->slow > 0 ? 0 : INT64_MAX};
    crowd->slow_step = (size_t)(options->slow_rate / (double)TICKS_PER_SECOND);
    crowd->idle = calloc((size_t)options->idle + 1, sizeof *crowd->idle);
    crowd->slow = calloc((size_t)options->slow + 1, sizeof *crowd->slow);
    if (!crowd->idle || !crowd->slow || !proto_get(&crowd->slow_proto, "slow", options->slow_target, 0)) {
        fprintf(stderr, "load: out of memory, or the target is too long\n");
        return false;
    }
    return open_idle(crowd, options, to) && open_slow(crowd, options, to);
}

/* By a reset: thousands of connections that are remembered for minutes, at each run, fill the kernel's
 * tables. */
static void leave(int fd)
{
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

void crowd_close(struct crowd *crowd)
{
    for (int i = 0; i < crowd->idle_count; i++)
        leave(crowd->idle[i]);
    for (int i = 0; i < crowd->slow_count; i++)
        if (crowd->slow[i].fd >= 0)
            close(crowd->slow[i].fd);
    free(crowd->idle);
    free(crowd->slow);
}

/* The head is looked at before it is taken, since it makes sense as a whole only. */
static ssize_t receive_slowly(const struct crowd *crowd, struct crowd_reader *reader, char *part,
                              enum answer_verdict *verdict)
{
    bool in_body = reader->answer.in_body;
    size_t wanted = in_body ? crowd->slow_step : ANSWER_HEAD_MAX;
    ssize_t got = recv(reader->fd, part, wanted, MSG_DONTWAIT | (in_body ? 0 : MSG_PEEK));
    size_t used;
    if (got <= 0)
        return got;
    *verdict = answer_take(&reader->answer, &crowd->slow_proto, part, (size_t)got, &used);
    return in_body || used == 0 ? got : recv(reader->fd, part, used, MSG_DONTWAIT);
}

static void read_slowly(struct crowd *crowd, struct crowd_reader *reader)
{
    char part[STEP_MAX];
    enum answer_verdict verdict = ANSWER_MORE;
    ssize_t got = receive_slowly(crowd, reader, part, &verdict);
    bool lost = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (!lost && verdict == ANSWER_MORE)
        return;
    close(reader->fd);
    reader->fd = -1;
    if (lost || verdict != ANSWER_RIGHT)
        crowd->slow_lost++;
}

void crowd_tick(struct crowd *crowd, int64_t now_ns)
{
    if (now_ns < crowd->next_tick_ns)
        return;
    for (int i = 0; i < crowd->slow_count; i++)
        if (crowd->slow[i].fd >= 0)
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
