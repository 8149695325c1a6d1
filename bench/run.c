/* Closed loop: each connection asks again as soon as it is answered, so the server sets the pace.
 *
 * Open loop: request k is due at its own time, start + k / rate, whatever became of those before it. A free
 * connection takes it; where none is free it waits, and that wait is a part of its latency. So a server that
 * stands still for a second shows as a second in the percentiles, not as one slow answer (no coordinated
 * omission). For the same reason requests without an answer at the end count with the time they waited.
 *
 * An operation costs one send, one recv and a share of an epoll_wait, and no memory. */
#include "run.h"

#include "bodies.h"
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,              /* taken from the kernel at a time */
    SCRATCH_BYTES = 128 * 1024 /* shared by all connections, so that it stays in the cache */
};

#define NS_PER_SECOND INT64_C(1000000000)

struct run {
    const struct options *options;
    const struct proto *proto;
    const struct dial_address *to;
    struct crowd *crowd;
    struct run_result *result;

    struct bodies bodies;
    struct conn *conns;
    struct conn *free_first, *free_last; /* open loop: connections with room, longest free first */
    int alive;                           /* connections that are open */
    int epoll_fd;

    int64_t start_ns;   /* the first request is due */
    int64_t measure_ns; /* the warm-up is over */
    int64_t end_ns;     /* no new request from here on, but for late ones of the open loop */
    int64_t give_up_ns; /* no waiting for answers from here on */
    int64_t last_ns;    /* when the last answer came */
    uint64_t planned;   /* requests that there will be at most */
    uint64_t asked;
    uint64_t in_flight;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

static int64_t to_ns(double seconds)
{
    return (int64_t)(seconds * (double)NS_PER_SECOND);
}

static bool is_open_loop(const struct run *run)
{
    return run->options->rate > 0;
}

static int64_t due_ns(const struct run *run, uint64_t request)
{
    return run->start_ns + to_ns((double)request / run->options->rate);
}

/* Whether there is more to ask. Late requests of the open loop are asked even when the time is over. */
static bool is_asking(const struct run *run, int64_t now)
{
    return run->asked < run->planned && now < (is_open_loop(run) ? run->give_up_ns : run->end_ns);
}

static void queue_free(struct run *run, struct conn *conn)
{
    if (conn->is_free || conn->fd < 0 || !conn_has_room(conn, run->proto))
        return;
    conn->is_free = true;
    conn->next_free = NULL;
    if (run->free_first)
        run->free_last->next_free = conn;
    else
        run->free_first = conn;
    run->free_last = conn;
}

/* A connection that was lost meanwhile is passed over; it is queued again once it is open. */
static struct conn *take_free(struct run *run)
{
    struct conn *conn = run->free_first;
    run->free_first = conn->next_free;
    conn->is_free = false;
    return conn;
}

static void watch(struct run *run, struct conn *conn, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (conn->wants_write ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = conn};
    epoll_ctl(run->epoll_fd, operation, conn->fd, &event);
}

static void flush(struct run *run, struct conn *conn)
{
    bool wants_write = !conn_flush(conn);
    if (wants_write != conn->wants_write) {
        conn->wants_write = wants_write;
        watch(run, conn, EPOLL_CTL_MOD);
    }
}

static void ask(struct run *run, struct conn *conn, int64_t asked_ns)
{
    conn_ask(conn, run->proto, bodies_next(&run->bodies, run->proto->body_len), asked_ns);
    run->asked++;
    run->in_flight++;
}

/* Closed loop: fills the connection up to its depth, in one send. */
static void refill(struct run *run, struct conn *conn, int64_t now)
{
    if (conn->fd < 0 || !conn_has_room(conn, run->proto) || !is_asking(run, now))
        return;
    while (conn_has_room(conn, run->proto) && is_asking(run, now))
        ask(run, conn, now);
    flush(run, conn);
}

/* Open loop: sends what is due, as far as connections are free. */
static void send_due(struct run *run, int64_t now)
{
    while (run->free_first && is_asking(run, now) && due_ns(run, run->asked) <= now) {
        struct conn *conn = take_free(run);
        if (conn->fd < 0)
            continue;
        ask(run, conn, due_ns(run, run->asked));
        flush(run, conn);
        queue_free(run, conn);
    }
}

static void go_on(struct run *run, struct conn *conn, int64_t now)
{
    if (is_open_loop(run))
        queue_free(run, conn);
    else
        refill(run, conn, now);
}

/* A request belongs to the measured part by its answer in a closed loop, and by the time at which it was due
 * in an open one. */
static void record(struct run *run, int64_t asked_ns, int64_t now)
{
    int64_t counted_ns = is_open_loop(run) ? asked_ns : now;
    if (counted_ns >= run->measure_ns && counted_ns < run->end_ns)
        histogram_record(&run->result->latencies, now - asked_ns);
    if (now >= run->measure_ns && now < run->end_ns)
        run->result->in_time++;
}

/* Returns 0 or a negative errno. */
static int start_conn(struct run *run, struct conn *conn)
{
    int error = conn_open(conn, run->to);
    if (error < 0)
        return error;
    watch(run, conn, EPOLL_CTL_ADD);
    run->alive++;
    return 0;
}

/* The connection is of no use any more: what was in flight is lost, and another takes its place. */
static void renew(struct run *run, struct conn *conn, int64_t now)
{
    run->result->lost += conn->in_flight;
    run->in_flight -= conn->in_flight;
    conn_close(conn);
    run->alive--;
    if (is_asking(run, now) && start_conn(run, conn) == 0)
        go_on(run, conn, now);
}

static void note_wrong(struct run *run, const char *answer, size_t len)
{
    char *out = run->result->first_wrong;
    size_t room = sizeof run->result->first_wrong - 1;
    for (size_t i = 0; i < len && i < room && (i > 0 || out[0] == '\0'); i++)
        out[i] = answer[i] >= ' ' && answer[i] <= '~' ? answer[i] : ' ';
}

/* Takes one answer, or what there is of it, from the front of in; tells how many bytes it took, or -1 where
 * the connection must be given up. *more: the rest is the start of an answer. */
static ssize_t take_answer(struct run *run, struct conn *conn, const char *in, size_t len, int64_t now,
                           bool *more)
{
    size_t used;
    enum answer_verdict verdict = answer_take(&conn->answer, run->proto, in, len, &used);
    if (conn->in_flight == 0 || verdict == ANSWER_BROKEN) {
        run->result->wrong += conn->in_flight == 0; /* else it counts as lost */
        note_wrong(run, in, len);
        return -1;
    }
    if (conn->answer.wrong || verdict == ANSWER_WRONG)
        note_wrong(run, in, len); /* now, while its head is at hand */
    *more = verdict == ANSWER_MORE;
    if (*more)
        return (ssize_t)used;
    int64_t asked_ns = conn_answered(conn);
    run->in_flight--;
    run->last_ns = now;
    if (verdict == ANSWER_RIGHT)
        record(run, asked_ns, now);
    else
        run->result->wrong++;
    return (ssize_t)used;
}

/* Returns false where the connection must be given up. */
static bool take_answers(struct run *run, struct conn *conn, const char *in, size_t len, int64_t now)
{
    bool more = false;
    while (len > 0 && !more) {
        ssize_t used = take_answer(run, conn, in, len, now, &more);
        if (used < 0)
            return false;
        in += used;
        len -= (size_t)used;
    }
    conn_carry(conn, in, len);
    return !(conn->answer.last && !conn->answer.in_body);
}

static void receive(struct run *run, struct conn *conn)
{
    static char scratch[SCRATCH_BYTES];
    ssize_t got = conn_receive(conn, scratch, sizeof scratch);
    int64_t now = now_ns();
    if (got == 0)
        return;
    if (got < 0 || !take_answers(run, conn, scratch, (size_t)got, now))
        renew(run, conn, now);
    else
        go_on(run, conn, now);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The next moment at which there is something to do without any answer. */
static int64_t next_deadline(const struct run *run, int64_t now)
{
    int64_t deadline = now < run->end_ns ? run->end_ns : run->give_up_ns;
    deadline = earlier(deadline, run->crowd->next_tick_ns);
    if (is_open_loop(run) && run->free_first && run->asked < run->planned)
        deadline = earlier(deadline, due_ns(run, run->asked));
    return deadline;
}

static void wait_and_receive(struct run *run, int64_t now)
{
    struct epoll_event events[EVENTS];
    int64_t left = next_deadline(run, now) - now;
    if (left < 0)
        left = 0;
    struct timespec timeout = {.tv_sec = left / NS_PER_SECOND, .tv_nsec = left % NS_PER_SECOND};
    int count = epoll_pwait2(run->epoll_fd, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            flush(run, conn);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(run, conn);
    }
}

static bool is_over(const struct run *run, int64_t now)
{
    if (now >= run->give_up_ns || (run->options->clients > 0 && run->alive == 0))
        return true;
    return run->in_flight == 0 && !is_asking(run, now);
}

static void loop(struct run *run)
{
    int64_t now = now_ns();
    for (int i = 0; i < run->options->clients; i++)
        go_on(run, &run->conns[i], now);
    while (!is_over(run, now)) {
        if (is_open_loop(run))
            send_due(run, now);
        wait_and_receive(run, now);
        now = now_ns();
        crowd_tick(run->crowd, now);
    }
}

/* What was asked for and never answered, and what was due and never asked for. */
static void count_left_over(struct run *run)
{
    int64_t now = now_ns();
    for (int i = 0; i < run->options->clients; i++) {
        while (run->conns[i].fd >= 0 && run->conns[i].in_flight > 0) {
            histogram_record(&run->result->latencies, now - conn_answered(&run->conns[i]));
            run->result->unanswered++;
        }
    }
    for (uint64_t i = run->asked; is_open_loop(run) && i < run->planned; i++) {
        histogram_record(&run->result->latencies, now - due_ns(run, i));
        run->result->unsent++;
    }
}

static void conclude(struct run *run)
{
    bool counted_out = run->options->requests != UINT64_MAX && run->asked == run->options->requests;
    int64_t end_ns = counted_out ? earlier(run->last_ns, run->end_ns) : run->end_ns;
    count_left_over(run);
    run->result->asked = run->asked;
    run->result->seconds = (double)(end_ns - run->measure_ns) / (double)NS_PER_SECOND;
    run->result->crowd_lost = (uint64_t)crowd_lost(run->crowd);
}

static void plan(struct run *run)
{
    const struct options *options = run->options;
    double all = options->rate * (options->warmup + options->seconds);
    run->start_ns = now_ns();
    run->measure_ns = run->start_ns + to_ns(options->warmup);
    run->end_ns = run->measure_ns + to_ns(options->seconds);
    run->give_up_ns = run->end_ns + to_ns(options->drain);
    run->planned = options->requests;
    if (is_open_loop(run) && all < (double)run->planned)
        run->planned = (uint64_t)all;
}

static bool start_conns(struct run *run)
{
    for (int i = 0; i < run->options->clients; i++) {
        if (!conn_init(&run->conns[i], run->proto, run->options->depth)) {
            fprintf(stderr, "load: out of memory\n");
            return false;
        }
        int error = start_conn(run, &run->conns[i]);
        if (error < 0) {
            fprintf(stderr, "load: connection %d: %s\n", i + 1, strerror(-error));
            return false;
        }
    }
    return true;
}

static bool start(struct run *run)
{
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run->conns = calloc((size_t)run->options->clients + 1, sizeof *run->conns);
    for (int i = 0; run->conns && i < run->options->clients; i++)
        run->conns[i].fd = -1;
    if (run->epoll_fd < 0 || !run->conns || !bodies_open(&run->bodies, run->proto->body_len)) {
        fprintf(stderr, "load: %s\n", strerror(errno));
        return false;
    }
    return start_conns(run);
}

static void finish(struct run *run)
{
    for (int i = 0; run->conns && i < run->options->clients; i++)
        conn_free(&run->conns[i]);
    free(run->conns);
    bodies_close(&run->bodies);
    if (run->epoll_fd >= 0)
        close(run->epoll_fd);
}

bool run(const struct options *options, const struct proto *proto, const struct dial_address *to,
         struct crowd *crowd, struct run_result *result)
{
    struct run run = {.options = options, .proto = proto, .to = to, .crowd = crowd, .result = result};
    prctl(PR_SET_TIMERSLACK, 1L); /* the usual 50 microseconds would be counted as the server's */
    bool started = start(&run);
    if (started) {
        plan(&run);
        loop(&run);
        conclude(&run);
    }
    finish(&run);
    return started;
}
