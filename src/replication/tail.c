/* The life of a reader:
 *
 *                        tail_list, tail_message
 *                                  |
 *        its message shows,        v
 *         or too late   .------> DUE <--------.
 *                       |      /  |  \        |
 *                       |  has all |   \ gets a piece
 *                       |    /     |    v     |
 *                      RESTS    answered  SENDS
 *                                          (the piece has left)
 */
#include "replication/tail.h"
#include "clock.h"
#include "container.h"
#include "http/accept.h"
#include "http/condition.h"
#include "http/router.h"
#include "json.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE_US = 10 /* what it takes to send a piece, or an answer */ };

#define NO_ID UINT64_MAX /* what cannot be read as one */

enum reader_kind {
    READER_LIST, /* answered in one piece, as is the next */
    READER_MESSAGE,
    READER_LINES,
    READER_EVENTS
};

enum reader_state { READER_DUE, READER_RESTS, READER_SENDS };

struct reader {
    struct acks_waiter waiter; /* first, so that a released waiter is its reader */
    struct http_waiter http;
    struct http_exchange *exchange;
    struct tail *tail;
    struct reader *next, **at; /* of all readers */
    struct reader *next_due;
    enum reader_kind kind;
    enum reader_state state;
    bool gone; /* its client; it is freed when it is due */

    struct reads_query query;
    uint64_t awaits; /* the id without which it does not begin, until until_ms; 0: none */
    int64_t until_ms;
    struct http_head *head; /* the list's conditions; owned; NULL: none */
    char text[104];         /* the message's id, as it came; events: the log that the client's ids are of */
    bool log_named;         /* events, not placed: there is one */

    bool streams; /* the head is sent; the fields below belong to streams alone */
    bool ends;    /* behind the piece that is under way */
    bool placed;  /* events: it is known where it begins */
    bool reset;   /* events: it begins anew, since what it went on from is not of this list */
    bool backlog; /* events: it has not yet been told that it has all there was */
    bool open;    /* the message that was sent last lacks what comes behind its text */
    struct log_cursor cursor;
    uint64_t to; /* lines: the last id */
};

/* Readers that have something to get, in order of arrival. */
struct line {
    struct reader *first, **end;
};

struct tail {
    const struct base *base;
    struct reader *readers;
    unsigned count;
    struct line answers, streams; /* the first goes before the second */
    uint64_t shown;               /* as of the last pass */
    int64_t grown_ms;             /* when that was less at the pass before */
    int64_t rest_us;              /* nobody is served before that, while the list grows */
    int64_t room_ms;              /* there is no room for a piece before that */
    int64_t late_ms;              /* the first of the times for which readers were parked in this pass */
    bool stopping;
    struct buf text; /* of the piece that is written */
};

struct tail *tail_open(const struct base *base)
{
    struct tail *tail = calloc(1, sizeof *tail);
    if (!tail)
        return NULL;
    tail->base = base;
    tail->answers.end = &tail->answers.first;
    tail->streams.end = &tail->streams.first;
    return tail;
}

unsigned tail_count(const struct tail *tail)
{
    return tail->count;
}

/* ---- a reader's life */

static void reader_due(struct reader *reader)
{
    struct tail *tail = reader->tail;
    struct line *line = reader->kind < READER_LINES ? &tail->answers : &tail->streams;
    reader->state = READER_DUE;
    reader->next_due = NULL;
    *line->end = reader;
    line->end = &reader->next_due;
}

/* Its exchange was answered; it is in no line. */
static void reader_free(struct reader *reader)
{
    *reader->at = reader->next;
    if (reader->next)
        reader->next->at = reader->at;
    reader->tail->count--;
    free(reader->head);
    free(reader);
}

/* Ends a stream. */
static void reader_end(struct reader *reader)
{
    http_stream_end(reader->exchange);
    reader_free(reader);
}

/* Answers one whose client has gone, or that the end of the node cuts off. */
static void reader_drop(struct reader *reader)
{
    if (reader->streams) {
        reader_end(reader);
        return;
    }
    http_answer_error(reader->exchange, 503, NULL, "the client has gone");
    reader_free(reader);
}

static void reader_over(void *owner, struct acks_waiter *waiter)
{
    (void)owner;
    reader_due((struct reader *)waiter);
}

static void reader_gone(struct http_waiter *http)
{
    struct reader *reader = CONTAINER_OF(http, struct reader, http);
    bool parked = reader->state == READER_RESTS && acks_unpark(reader->tail->base->acks, &reader->waiter);
    if (parked || reader->state == READER_SENDS)
        reader_drop(reader);
    else /* due, or about to be */
        reader->gone = true;
}

/* Waits until the id shows, or for the time. Where it shows already, or the node stops, it is due again. */
static void reader_rest(struct reader *reader, uint64_t id, int64_t until_ms)
{
    reader->waiter.id = id < ACKS_ID_MAX ? id : ACKS_ID_MAX;
    reader->waiter.deadline_ms = until_ms;
    reader->state = READER_RESTS;
    reader->tail->late_ms = clock_earlier(reader->tail->late_ms, until_ms);
    if (acks_park(reader->tail->base->acks, &reader->waiter))
        return;
    reader->tail->stopping = reader->tail->stopping || reader->waiter.outcome == ACKS_ENDED;
    reader_due(reader);
}

static void reader_sent(struct http_waiter *http)
{
    struct reader *reader = CONTAINER_OF(http, struct reader, http);
    if (reader->ends)
        reader_end(reader);
    else if (reader->open || reader->backlog || reader->cursor.id <= reader->tail->shown ||
             reader->tail->stopping)
        reader_due(reader);
    else
        reader_rest(reader, reader->cursor.id, clock_ms() + TAIL_SILENCE_MS);
}

/* Tells it how far the list is, which one that has gone does not take. */
static void reader_ended(struct http_waiter *http)
{
    struct reader *reader = CONTAINER_OF(http, struct reader, http);
    if (reader->state != READER_RESTS || !acks_unpark(reader->tail->base->acks, &reader->waiter))
        return;
    reader->waiter.outcome = ACKS_LATE;
    reader_due(reader);
}

static struct reader *reader_new(struct tail *tail, enum reader_kind kind, struct http_exchange *exchange)
{
    struct reader *reader = NULL;
    if (tail->count >= TAIL_READERS_MAX && !http_exchange_is_first(exchange)) {
        http_answer_unavailable(exchange, "too many reads are waiting");
        return NULL;
    }
    reader = calloc(1, sizeof *reader);
    if (!reader) {
        http_answer_unavailable(exchange, "there is no memory for the request");
        return NULL;
    }
    reader->waiter.owner = tail;
    reader->waiter.over = reader_over;
    reader->waiter.w = 1; /* this node */
    reader->http = (struct http_waiter){.gone = reader_gone, .sent = reader_sent, .ended = reader_ended};
    reader->exchange = exchange;
    reader->tail = tail;
    reader->kind = kind;
    reader->next = tail->readers;
    reader->at = &tail->readers;
    if (reader->next)
        reader->next->at = &reader->next;
    tail->readers = reader;
    tail->count++;
    http_exchange_waiter(exchange, &reader->http);
    return reader;
}

/* ---- streams */

/* Adds messages from the cursor on, up to `last`, until the text is long enough: each with what stands before
 * and behind it. A long one that stands alone is left to the source, and what stands behind it to the next
 * piece. Returns whether there is a source. */
static bool messages_write(struct reader *reader, uint64_t last, const char *around[3],
                           struct http_source *source)
{
    struct buf *text = &reader->tail->text;
    uint64_t id = reader->cursor.id;
    struct log_slice slice = log_next(reader->tail->base->log, &reader->cursor, TAIL_PIECE_BYTES / 2);
    if (slice.count == 1 && slice.len > TAIL_COPIED_MOST) {
        buf_addf(text, "%s%" PRIu64 "%s", around[0], id, around[1]);
        *source = reads_source(&slice);
        reader->open = true;
        return true;
    }
    while (slice.len) {
        struct iovec iov;
        log_slice_iov(&slice, &iov, 1);
        size_t len = json_canonical_len((struct span){iov.iov_base, iov.iov_len});
        if (id > last || text->len >= TAIL_PIECE_BYTES)
            break;
        buf_add_text(text, around[0]);
        buf_add_uint(text, id++);
        buf_add_text(text, around[1]);
        buf_add(text, iov.iov_base, len);
        buf_add_text(text, around[2]);
        log_slice_skip(&slice, slice.len > len ? len + 1 : len); /* the comma */
    }
    if (reader->cursor.id != id) /* not all of the slice */
        reader->cursor = (struct log_cursor){.id = id};
    return false;
}

/* Tells how far the list is. */
static void at_write(struct reader *reader)
{
    const struct base *base = reader->tail->base;
    struct buf *text = &reader->tail->text;
    buf_addf(text, "event: at\ndata: {\"last_id\":%" PRIu64 ",\"log\":", reader->tail->shown);
    if (base->own.log[0])
        json_quote(span_of(base->own.log), text);
    else
        buf_add_text(text, "null");
    buf_addf(text, "%s}\n\n", reader->reset ? ",\"reset\":true" : "");
    reader->reset = false;
}

/* A node that has just started does not know whose list it will have: a stream that goes on in a log that it
 * names waits for that, for a while. */
static bool events_may_be_placed(const struct reader *reader)
{
    return !reader->log_named || reader->tail->base->own.log[0] || reader->waiter.outcome == ACKS_LATE;
}

static void events_place(struct reader *reader)
{
    const char *log = reader->tail->base->own.log;
    uint64_t shown = reader->tail->shown;
    bool other =
        reader->log_named ? log[0] && strcmp(reader->text, log) != 0 : reader->query.from > shown + 1;
    reader->reset = !reader->query.from_end && (other || reader->query.from == NO_ID);
    if (reader->query.from_end)
        reader->query.from = shown + 1;
    if (reader->reset)
        reader->query.from = 1;
    if (log[0] || !reader->log_named)
        snprintf(reader->text, sizeof reader->text, "%s", log);
    reader->cursor.id = reader->query.from;
    reader->backlog = reader->query.from <= shown;
    reader->placed = true;
    at_write(reader);
}

/* Whether the list has become another one, by a take-over or a registration, and the client has ids of the
 * one before. One that has none is told of the new list. */
static bool events_are_over(struct reader *reader)
{
    const char *log = reader->tail->base->own.log;
    if (!reader->placed || !log[0] || strcmp(reader->text, log) == 0)
        return false;
    if (reader->cursor.id > 1 || reader->query.from_end)
        return true;
    snprintf(reader->text, sizeof reader->text, "%s", log);
    at_write(reader);
    return false;
}

/* Writes the next piece. Returns whether it has a source. */
static bool piece_write(struct reader *reader, struct http_source *source)
{
    static const char *lines[] = {"{\"id\":", ",\"message\":", "}\n"};
    static const char *events[] = {"id: ", "\ndata: ", "\n\n"};
    const char **around = reader->kind == READER_LINES ? lines : events;
    uint64_t last = reader->to < reader->tail->shown ? reader->to : reader->tail->shown;
    if (reader->open)
        buf_add_text(&reader->tail->text, around[2]);
    reader->open = false;
    if (reader->cursor.id <= last && messages_write(reader, last, around, source))
        return true;
    if (reader->cursor.id > last && reader->backlog) {
        at_write(reader);
        reader->backlog = false;
    }
    return false;
}

/* Sends what there is now, or waits for more, or ends. */
static void stream_go_on(struct reader *reader, int64_t now_ms)
{
    struct tail *tail = reader->tail;
    struct http_source source;
    if (events_are_over(reader)) { /* the client comes again, and is told where it stands */
        reader_end(reader);
        return;
    }
    if (reader->kind == READER_EVENTS && !reader->placed && events_may_be_placed(reader))
        events_place(reader);
    bool has_source = piece_write(reader, &source);
    if (!tail->text.len && reader->waiter.outcome == ACKS_LATE)
        at_write(reader);
    reader->waiter.outcome = ACKS_REACHED;
    reader->ends = reader->kind == READER_LINES ? reader->cursor.id > reader->to && !reader->open
                                                : tail->stopping && !reader->open;
    if (tail->text.len || tail->text.failed) {
        reader->state = READER_SENDS;
        http_stream_send(reader->exchange, &tail->text, has_source ? &source : NULL);
    } else if (reader->ends) {
        reader_end(reader);
    } else {
        reader_rest(reader, reader->cursor.id, now_ms + TAIL_SILENCE_MS);
    }
}

/* ---- beginning */

static void list_events_begin(struct reader *reader)
{
    reader->to = UINT64_MAX;
    reader->cursor.id = reader->tail->shown + 1;
    buf_add_text(&reader->tail->text, HTTP_EVENTS_BEGIN);
}

static void lines_begin(struct reader *reader)
{
    const struct reads_query *query = &reader->query;
    uint64_t shown = reader->tail->shown;
    reader->cursor.id = query->from;
    reader->to =
        query->from > shown || query->limit > shown - query->from ? shown : query->from + query->limit - 1;
}

static void stream_begin(struct reader *reader, int64_t now_ms)
{
    bool events = reader->kind == READER_EVENTS;
    char fields[READS_FIELDS_SIZE];
    reads_fields(reader->tail->base, reader->tail->shown,
                 events ? HTTP_EVENT_STREAM READS_VARY
                        : "Content-Type: application/x-ndjson\r\n" READS_NO_CACHE READS_VARY,
                 fields);
    reader->streams = http_stream_begin(reader->exchange, fields);
    if (!reader->streams) {
        reader_free(reader);
        return;
    }
    if (events)
        list_events_begin(reader);
    else
        lines_begin(reader);
    stream_go_on(reader, now_ms);
}

/* What it waited for did not come. */
static void refuse_late(struct reader *reader)
{
    struct tail *tail = reader->tail;
    char fields[READS_FIELDS_SIZE];
    reads_fields(tail->base, tail->shown,
                 reader->kind == READER_MESSAGE ? HTTP_RETRY READS_NO_CACHE
                                                : HTTP_RETRY READS_NO_CACHE READS_VARY,
                 fields);
    buf_addf(&tail->text,
             "{\"error\":\"this node does not show message %" PRIu64 " yet\",\"last_id\":%" PRIu64 "}\n",
             reader->awaits, tail->shown);
    http_answer(reader->exchange, 503, fields, buf_span(&tail->text));
    reader_free(reader);
}

/* Its wait is over. */
static void reader_begin(struct reader *reader, int64_t now_ms)
{
    const struct tail *tail = reader->tail;
    if (reader->query.min_id > tail->shown) {
        refuse_late(reader);
    } else if (reader->kind >= READER_LINES) {
        stream_begin(reader, now_ms);
    } else {
        if (reader->kind == READER_LIST)
            reads_list(tail->base, tail->shown, &reader->query, reader->head, reader->exchange);
        else
            reads_message(tail->base, tail->shown, reader->text, reader->exchange);
        reader_free(reader);
    }
}

/* It has its turn. */
static void reader_serve(struct reader *reader, int64_t now_ms)
{
    struct tail *tail = reader->tail;
    buf_clear(&tail->text);
    if (reader->gone)
        reader_drop(reader);
    else if (reader->streams)
        stream_go_on(reader, now_ms);
    else if (reader->awaits > tail->shown && now_ms < reader->until_ms && !tail->stopping)
        reader_rest(reader, reader->awaits, reader->until_ms);
    else
        reader_begin(reader, now_ms);
}

/* ---- requests */

/* Whether a read must wait, or goes on for longer: then it becomes a reader. */
static bool waits(const struct reads_query *query, uint64_t shown)
{
    return query->min_id ? query->min_id > shown : query->wait_ms > 0 && query->from > shown;
}

static void wait_begin(struct reader *reader, uint64_t shown, const struct reads_query *query)
{
    reader->query = *query;
    if (waits(query, shown)) {
        reader->awaits = query->min_id ? query->min_id : query->from;
        reader->until_ms = clock_ms() + (query->wait_ms >= 0 ? query->wait_ms : TAIL_MIN_ID_MS);
    }
}

/* Which kind of answer to GET /messages the client wants. A stream without an end is for those who name it.
 */
static enum reader_kind kind_wanted(const struct http_head *head)
{
    static const char *const types[] = {"application/json", "application/x-ndjson", "text/event-stream"};
    static const enum reader_kind kinds[] = {READER_LIST, READER_LINES, READER_EVENTS};
    return kinds[http_accept(head, types, http_accept_names(head, types[2]) ? 3 : 2)];
}

/* Where a stream of events begins. A client that connects anew tells the last id that it has. */
static void list_events_from(struct reader *reader, const struct http_request *request)
{
    const struct http_field *last = http_head_field(request->head, "Last-Event-ID");
    uint64_t id;
    int len = http_request_query(request, "log", reader->text, sizeof reader->text);
    reader->log_named = len != -1;
    if (len < 0)
        reader->text[0] = '\0'; /* no log has so long a name */
    if (!last || !last->value.len)
        return;
    reader->query.from_end = false;
    reader->query.from = span_uint(last->value, &id) && id < ACKS_ID_MAX ? id + 1 : NO_ID;
}

/* Returns false where the conditions cannot be kept: the exchange was answered then. */
static bool conditions_keep(const struct http_request *request, struct http_head **head,
                            struct http_exchange *exchange)
{
    int status = http_condition_keep(request->head, head);
    if (status == 431)
        http_answer_error(exchange, 431, NULL, "a read that waits may have %d bytes of conditions",
                          HTTP_CONDITION_KEPT_MAX);
    else if (status)
        http_answer_unavailable(exchange, "there is no memory for the request");
    return status == 0;
}

void tail_list(struct tail *tail, uint64_t shown, const struct http_request *request,
               struct http_exchange *exchange)
{
    enum reader_kind kind = kind_wanted(request->head);
    struct reads_query query;
    if (!reads_query_read(request, kind == READER_EVENTS, &query, exchange))
        return;
    if (kind == READER_LIST && !waits(&query, shown)) {
        reads_list(tail->base, shown, &query, request->head, exchange);
        return;
    }
    struct http_head *head = NULL;
    if (kind == READER_LIST && !conditions_keep(request, &head, exchange))
        return;
    struct reader *reader = reader_new(tail, kind, exchange);
    if (!reader) {
        free(head);
        return;
    }
    reader->head = head;
    if (kind == READER_EVENTS && !query.min_id)
        query.wait_ms = -1; /* it waits by itself */
    wait_begin(reader, shown, &query);
    if (kind == READER_EVENTS)
        list_events_from(reader, request);
    reader_due(reader);
}

void tail_message(struct tail *tail, uint64_t shown, const struct http_request *request, const char *text,
                  struct http_exchange *exchange)
{
    struct reads_query query;
    if (!reads_query_wait(request, &query, exchange))
        return;
    if (!waits(&query, shown)) {
        reads_message(tail->base, shown, text, exchange);
        return;
    }
    struct reader *reader = reader_new(tail, READER_MESSAGE, exchange);
    if (!reader)
        return;
    wait_begin(reader, shown, &query);
    snprintf(reader->text, sizeof reader->text, "%.100s", text);
    reader_due(reader);
}

/* ---- the pass */

/* Serves a line, `most` readers at most, as long as there is room for streams' pieces. Returns how many. */
static unsigned line_serve(struct line *line, unsigned most, int64_t now_ms)
{
    unsigned served = 0;
    for (; line->first && served < most; served++) {
        struct reader *reader = line->first;
        if (reader->streams && !reader->gone && !http_stream_has_room(reader->exchange))
            break;
        line->first = reader->next_due;
        if (!line->first)
            line->end = &line->first;
        reader_serve(reader, now_ms);
    }
    return served;
}

/* Both lines have their turn, and rest then. */
static void lines_serve(struct tail *tail, int64_t now_ms)
{
    int64_t began_us = clock_us();
    unsigned most = tail->stopping ? UINT_MAX : TAIL_TURN;
    unsigned served = line_serve(&tail->answers, most, now_ms);
    served += line_serve(&tail->streams, most - served, now_ms);
    int64_t ended_us = clock_us();
    tail->rest_us = ended_us + (ended_us - began_us + PIECE_US * (int64_t)served) * (TAIL_SHARE - 1);
    tail->room_ms = served || !tail->streams.first ? now_ms : now_ms + TAIL_NO_ROOM_MS;
}

static bool any_due(const struct tail *tail)
{
    return tail->answers.first || tail->streams.first;
}

int64_t tail_pass(struct tail *tail, uint64_t shown, int64_t now_ms)
{
    if (shown != tail->shown)
        tail->grown_ms = now_ms;
    tail->shown = shown;
    tail->late_ms = CLOCK_NEVER;
    if (!any_due(tail))
        return CLOCK_NEVER;
    int64_t quiet_ms = tail->grown_ms + TAIL_QUIET_MS;
    if (clock_us() >= tail->rest_us || now_ms >= quiet_ms || tail->stopping)
        lines_serve(tail, now_ms);
    if (!any_due(tail))
        return tail->late_ms;
    int64_t next_ms = clock_earlier((tail->rest_us + 999) / 1000, quiet_ms);
    return clock_earlier(tail->late_ms, next_ms > tail->room_ms ? next_ms : tail->room_ms);
}

/* ---- the end */

void tail_stop(struct tail *tail)
{
    if (tail->stopping)
        return;
    tail->stopping = true;
    for (struct reader *reader = tail->readers; reader; reader = reader->next)
        if (reader->state == READER_RESTS && acks_unpark(tail->base->acks, &reader->waiter))
            reader_due(reader);
}

void tail_close(struct tail *tail)
{
    for (struct reader *reader = tail->readers, *next; reader; reader = next) {
        next = reader->next;
        if (reader->state == READER_RESTS)
            acks_unpark(tail->base->acks, &reader->waiter);
        reader_drop(reader);
    }
    buf_free(&tail->text);
    free(tail);
}
