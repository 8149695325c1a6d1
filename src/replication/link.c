#include "replication/link.h"
#include "clock.h"
#include "http/parser.h"
#include "http/writer.h"
#include "logline.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 16 * 1024,
    ANSWER_MAX = 64 * 1024, /* bytes of an answer; a longer one is not from a secondary */
    IOV_PIECES = 16
};

static int link_fail(struct link *link, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int link_fail(struct link *link, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(link->why, sizeof link->why, format, args);
    va_end(args);
    return -error;
}

void link_open(struct link *link, const struct link_shared *shared, const char *name,
               const struct http_url *url, const char *peer_run, int fd, int64_t attempt_ms, int64_t now_ms)
{
    memset(link, 0, sizeof *link);
    link->shared = shared;
    link->name = name;
    link->fd = fd;
    link->attempt_ms = attempt_ms;
    link->heard_ms = link->sent_ms = now_ms;
    http_url_authority(url, link->authority, sizeof link->authority);
    snprintf(link->peer_run, sizeof link->peer_run, "%s", peer_run);
    link->stuck_at = UINT64_MAX;
    link->batch_bytes = LINK_BATCH_BYTES;
}

void link_close(struct link *link)
{
    close(link->fd);
    buf_free(&link->out);
    buf_free(&link->in);
}

/* ---- sending */

static bool link_writing(const struct link *link)
{
    return link->out_sent < link->out.len || link->slice.len || link->out_end.len;
}

static bool messages_left(const struct link *link)
{
    return link->next.id <= log_last(link->shared->log);
}

bool link_is_current(const struct link *link)
{
    return link->greeted && !link_writing(link) && !messages_left(link);
}

/* With half of the window in use, requests are held back so that the other half lasts for a whole round: new
 * messages then go together, and none has to wait for an answer. */
static bool link_paced(const struct link *link, int64_t now_ms)
{
    if (link->under_way < LINK_WINDOW / 2)
        return false;
    return now_ms - link->sent_ms < link->round_us / 1000 / (LINK_WINDOW / 2);
}

static bool link_can_begin(const struct link *link)
{
    return !link_writing(link) && link->under_way < LINK_WINDOW;
}

static bool messages_due(const struct link *link, int64_t now_ms)
{
    return link->greeted && link->bytes_under_way < LINK_WINDOW_BYTES && messages_left(link) &&
           !link_paced(link, now_ms);
}

static bool sign_of_life_due(const struct link *link, int64_t now_ms)
{
    bool greeting = !link->greeted && link->under_way == 0;
    return greeting || now_ms - link->sent_ms >= link->shared->heartbeat_ms;
}

bool link_has_work(const struct link *link, int64_t now_ms)
{
    return link_can_begin(link) && (messages_due(link, now_ms) || sign_of_life_due(link, now_ms));
}

static void flight_add(struct link *link, uint64_t last, uint64_t bytes, int64_t now_ms)
{
    struct flight *flight = &link->flights[(link->oldest + link->under_way) % LINK_WINDOW];
    *flight = (struct flight){.last = last, .bytes = bytes, .sent_us = clock_us()};
    if (link->under_way++ == 0)
        link->waits_ms = now_ms;
    link->bytes_under_way += bytes;
    link->sent_ms = now_ms;
}

static void begin_sign_of_life(struct link *link, int64_t now_ms)
{
    char fields[LINK_FIELDS_SIZE + sizeof WIRE_SECONDARY_RUN_FIELD ": \r\n" + WIRE_NAME_SIZE];
    bool names = !link->greeted && link->peer_run[0];
    snprintf(fields, sizeof fields, "%s%s%s%s", link->shared->fields,
             names ? WIRE_SECONDARY_RUN_FIELD ": " : "", names ? link->peer_run : "", names ? "\r\n" : "");
    http_write_request_head(&link->out, "POST", "/replicate", link->authority, fields, 0);
    flight_add(link, 0, 0, now_ms);
}

static void log_sending(const struct link *link, uint64_t first, uint64_t count)
{
    if (count == 1)
        logline(LOGLINE_INFO, "sending %" PRIu64 " to %s", first, link->name);
    else
        logline(LOGLINE_INFO, "sending %" PRIu64 "..%" PRIu64 " to %s (%" PRIu64 " messages)", first,
                first + count - 1, link->name, count);
}

static void begin_messages(struct link *link, int64_t now_ms)
{
    char name[WIRE_NAME_SIZE];
    struct buf start = {0};
    uint64_t first = link->next.id;
    identity_get(link->shared->identity, name);
    link->slice = log_next(link->shared->log, &link->next, link->batch_bytes);
    link->batch_begun++;
    uint64_t digest = link->compared ? 0 : log_digest(link->shared->log, first - 1);
    wire_replicate_begin(&start, name, link->shared->run, first, link->compared ? NULL : &digest);
    link->compared = true;
    link->out_end = span_of(WIRE_REPLICATE_END);
    http_write_request_head(&link->out, "POST", "/replicate", link->authority, link->shared->fields,
                            start.len + link->slice.len + link->out_end.len);
    buf_add_span(&link->out, buf_span(&start));
    link->out.failed = link->out.failed || start.failed;
    buf_free(&start);
    flight_add(link, link->next.id - 1, link->slice.len, now_ms);
    log_sending(link, first, link->slice.count);
}

static int link_iov(const struct link *link, struct iovec *iov)
{
    int count = 0;
    if (link->out_sent < link->out.len)
        iov[count++] = (struct iovec){link->out.data + link->out_sent, link->out.len - link->out_sent};
    int pieces = log_slice_iov(&link->slice, iov + count, IOV_PIECES - 2);
    uint64_t left = link->slice.len;
    for (int i = 0; i < pieces; i++)
        left -= iov[count + i].iov_len;
    count += pieces;
    if (left == 0 && link->out_end.len)
        iov[count++] = (struct iovec){(void *)(uintptr_t)link->out_end.at, link->out_end.len};
    return count;
}

static void link_sent(struct link *link, size_t sent)
{
    size_t part = link->out.len - link->out_sent;
    part = part < sent ? part : sent;
    link->out_sent += part;
    sent -= part;
    part = link->slice.len < sent ? (size_t)link->slice.len : sent;
    log_slice_skip(&link->slice, part);
    sent -= part;
    link->out_end = span_after(link->out_end, sent);
}

/* Writes the request that was begun. Returns 1 when all of it is written, 0 when the socket is full. */
static int link_write(struct link *link)
{
    while (link_writing(link)) {
        struct iovec iov[IOV_PIECES];
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)link_iov(link, iov)};
        ssize_t sent = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            link_sent(link, (size_t)sent);
        else if (errno == EAGAIN)
            return 0;
        else if (errno != EINTR)
            return link_fail(link, errno, "%s", strerror(errno));
    }
    buf_clear(&link->out);
    link->out_sent = 0;
    return 1;
}

int link_send(struct link *link, int64_t now_ms)
{
    for (;;) {
        int written = link_write(link);
        if (written <= 0)
            return written;
        if (!link_has_work(link, now_ms))
            return 0;
        if (messages_due(link, now_ms))
            begin_messages(link, now_ms);
        else
            begin_sign_of_life(link, now_ms);
        if (link->out.failed)
            return link_fail(link, ENOMEM, "there is no memory for a request");
    }
}

/* ---- receiving */

static void log_ack(const struct link *link, const struct flight *flight, uint64_t position)
{
    if (!flight->last)
        return;
    int64_t tenths = (clock_us() - flight->sent_us + 50) / 100; /* of a millisecond */
    logline(LOGLINE_INFO, "ACK from %s up to %" PRIu64 " after %" PRId64 ".%d ms", link->name, position,
            tenths / 10, (int)(tenths % 10));
}

/* The first answer on the link: where to go on from. */
static int link_greet(struct link *link, uint64_t position)
{
    uint64_t last = log_last(link->shared->log);
    if (position > last)
        return link_fail(link, EBADMSG, "it holds %" PRIu64 " messages, and this master %" PRIu64, position,
                         last);
    link->greeted = true;
    link->next = (struct log_cursor){.id = position + 1};
    logline(position == link->stuck_at ? LOGLINE_DEBUG : LOGLINE_INFO,
            "connected to %s, which holds %" PRIu64 " of %" PRIu64 " messages", link->name, position, last);
    return 0;
}

static int link_refused(struct link *link, int status, const char *error)
{
    link->status = status;
    if (status == 413)
        return link_fail(
            link, EPROTO,
            "it answered 413: %s; its MAX_MESSAGE is too low for what this log holds: restart it "
            "with this master's",
            error);
    return link_fail(link, EPROTO, "it answered %d%s%s", status, error[0] ? ": " : "", error);
}

/* A request was answered, with whatever: it arrived. */
static void batch_answered(struct link *link, const struct flight *flight)
{
    if (flight->last <= link->batch_grown_at)
        return; /* a sign of life, or a request of an earlier length */
    link->batch_answered++;
    if (link->batch_answered < LINK_BATCH_GROWS || link->batch_bytes >= LINK_BATCH_BYTES)
        return;
    link->batch_bytes *= 2;
    link->batch_begun = link->batch_answered = 0;
    link->batch_grown_at = link->next.id - 1;
}

uint64_t link_next_batch(const struct link *link)
{
    if (link->status == 413)
        return LINK_BATCH_SINGLE;
    if (!link->batch_begun || link->batch_answered || link->batch_bytes < LINK_BATCH_LEAST)
        return link->batch_bytes;
    uint64_t quarter = link->batch_bytes / 4;
    return quarter > LINK_BATCH_LEAST ? quarter : LINK_BATCH_LEAST;
}

/* One answer to the oldest request under way. */
static int link_answered(struct link *link, int status, struct span body)
{
    char error[320];
    uint64_t position = 0;
    if (!link->under_way)
        return link_fail(link, EBADMSG, "it answered what was not asked");
    const struct flight *flight = &link->flights[link->oldest];
    link->oldest = (link->oldest + 1) % LINK_WINDOW;
    link->under_way--;
    link->bytes_under_way -= flight->bytes;
    if (status != 408) /* it did not arrive in time */
        batch_answered(link, flight);
    bool told = wire_position_read(body, &position, error, sizeof error);
    if (status != 200)
        return link_refused(link, status, error);
    if (!told)
        return link_fail(link, EBADMSG, "its answer has no last_id");
    if (position < flight->last)
        return link_fail(link, EBADMSG, "it holds %" PRIu64 " after it took %" PRIu64, position,
                         flight->last);
    if (link->greeted && position > log_last(link->shared->log))
        return link_fail(link, EBADMSG, "it holds messages that this master does not have");
    if (!link->greeted) {
        int result = link_greet(link, position);
        if (result < 0)
            return result;
    } else {
        link->progressed = true;
    }
    link->round_us = clock_us() - flight->sent_us;
    /* A sign of life is answered with the position at its arrival, and leaves behind the answers before it.
     */
    if (position > link->position)
        link->position = position;
    log_ack(link, flight, position);
    return 1;
}

/* Takes one whole answer off the front of the buffer. Returns 1 where it told a position, 0 where no answer
 * is complete, 2 for an interim one. */
static int answer_take(struct link *link)
{
    struct http_head head;
    struct http_refusal refusal;
    struct span in = buf_span(&link->in);
    switch (http_parse_response(in, &link->scanned, false, &head, &refusal)) {
    case HTTP_PARSE_MORE:
        return 0;
    case HTTP_PARSE_BAD:
        return link_fail(link, EPROTO, "its answer is malformed: %s", refusal.text);
    case HTTP_PARSE_DONE:
        break;
    }
    uint64_t body_len = head.framing == HTTP_FRAMING_LENGTH ? head.content_length : 0;
    if (head.framing == HTTP_FRAMING_CHUNKED || head.framing == HTTP_FRAMING_CLOSE || body_len > ANSWER_MAX)
        return link_fail(link, EPROTO, "its answer has no Content-Length, or too large a one");
    if (in.len - head.len < body_len) {
        link->scanned = 0;
        return 0;
    }
    int result = 2;
    if (head.status >= 200)
        result = link_answered(link, head.status, (struct span){in.at + head.len, (size_t)body_len});
    buf_drop(&link->in, head.len + (size_t)body_len);
    link->scanned = 0;
    return result;
}

static int answers_take(struct link *link)
{
    int told = 0;
    for (;;) {
        int result = answer_take(link);
        if (result <= 0)
            return result < 0 ? result : told;
        told = told || result == 1;
    }
}

int link_receive(struct link *link, int64_t now_ms)
{
    if (!buf_reserve(&link->in, READ_BYTES))
        return link_fail(link, ENOMEM, "there is no memory for an answer");
    ssize_t got = recv(link->fd, link->in.data + link->in.len, READ_BYTES, MSG_DONTWAIT);
    if (got == 0)
        return link_fail(link, ECONNRESET, "it closed the connection");
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        return link_fail(link, errno, "%s", strerror(errno));
    link->in.len += (size_t)got;
    link->heard_ms = now_ms;
    return answers_take(link);
}

/* ---- waiting */

/* Since when the secondary has been silent although an answer is due. */
static int64_t link_silent_since_ms(const struct link *link)
{
    return link->heard_ms > link->waits_ms ? link->heard_ms : link->waits_ms;
}

static int64_t link_overdue_ms(const struct link *link)
{
    int64_t allowed_ms = link->greeted ? link->attempt_ms : LINK_ATTEMPT_MS;
    return link->under_way ? link_silent_since_ms(link) + allowed_ms : CLOCK_NEVER;
}

int link_check(struct link *link, int64_t now_ms)
{
    if (now_ms < link_overdue_ms(link))
        return 0;
    return link_fail(link, ETIMEDOUT, "it is silent for %.1f s",
                     (double)(now_ms - link_silent_since_ms(link)) / 1000);
}

short link_events(const struct link *link)
{
    return link_writing(link) ? POLLIN | POLLOUT : POLLIN;
}

int64_t link_due_ms(const struct link *link, int64_t now_ms)
{
    int64_t due_ms = link->sent_ms + link->shared->heartbeat_ms;
    if (link_writing(link) || link->under_way == LINK_WINDOW)
        due_ms = CLOCK_NEVER;
    if (link_paced(link, now_ms) && messages_left(link))
        due_ms = now_ms + 1;
    return due_ms < link_overdue_ms(link) ? due_ms : link_overdue_ms(link);
}
