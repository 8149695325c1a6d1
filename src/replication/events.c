#include "replication/events.h"
#include "clock.h"
#include "container.h"
#include "json.h"
#include "replication/wire.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOGETHER_MAX = 64, /* events that are told together; more are written before the window is over */
    ANSWERED_MAX = 16  /* among them of posts: further ones become one */
};

/* An event that is not written yet. */
struct pending {
    struct event event;
    char node[WIRE_ID_SIZE];
};

/* A run of events as text. */
struct run {
    struct buf text;
    uint64_t begin; /* how many bytes were written before it */
    uint64_t first; /* and how many events */
};

struct event_reader {
    struct http_waiter http;
    struct http_exchange *exchange; /* NULL: a free place */
    struct events *events;
    uint64_t address; /* of its client: see http/shares.h */
    uint64_t at;      /* the byte that it gets next */
    uint64_t seen;    /* events before that */
    bool sends;       /* a piece is under way */
};

struct events {
    struct event_reader readers[EVENTS_READERS_MAX];
    unsigned count;
    struct pending pending[TOGETHER_MAX];
    unsigned pendings, answered;
    struct run older, newer; /* the newer goes on where the older ends */
    uint64_t written;        /* events */
    int64_t window_ms;       /* when the present window ends */
    int64_t at_ms;           /* when to tell next how the node is */
    bool stopping;
};

struct events *events_open(void)
{
    return calloc(1, sizeof(struct events));
}

static uint64_t run_end(const struct run *run)
{
    return run->begin + run->text.len;
}

/* ---- writing */

/* The run that takes what is written next. What there is no memory for is missed. */
static struct buf *run_grow(struct events *events)
{
    struct run *newer = &events->newer;
    if (newer->text.len >= EVENTS_KEPT_BYTES || newer->text.failed) {
        struct buf spare = events->older.text;
        events->older = *newer;
        *newer = (struct run){.text = spare, .begin = run_end(&events->older), .first = events->written};
        buf_clear(&newer->text);
    }
    events->written++;
    return &newer->text;
}

static void range_write(struct buf *out, const struct event *event)
{
    buf_addf(out, "\"first\":%" PRIu64 ",\"last\":%" PRIu64, event->first, event->last);
}

static void event_write(struct buf *out, const struct event *event)
{
    static const char *const names[] = {
        [EVENT_APPENDED] = "appended", [EVENT_SENT] = "sent",     [EVENT_ACK] = "ack",
        [EVENT_ANSWERED] = "answered", [EVENT_MEMBER] = "member", [EVENT_STORED] = "stored",
        [EVENT_SHOWN] = "shown"};
    buf_addf(out, "event: %s\ndata: {", names[event->kind]);
    if (event->node) {
        buf_addf(out, "\"%s\":", event->kind == EVENT_MEMBER ? "id" : "node");
        json_quote(span_of(event->node), out);
        buf_add_char(out, ',');
    }
    switch (event->kind) {
    case EVENT_APPENDED:
        range_write(out, event);
        buf_addf(out, ",\"bytes\":%" PRIu64, event->bytes);
        break;
    case EVENT_SENT:
    case EVENT_STORED:
    case EVENT_SHOWN:
        range_write(out, event);
        break;
    case EVENT_ACK:
        buf_addf(out, "\"last\":%" PRIu64 ",\"ms\":%.1f", event->last, event->ms);
        break;
    case EVENT_ANSWERED:
        buf_addf(out, "\"id\":%" PRIu64 ",\"status\":%d,\"w\":%u,\"acks\":%u,\"ms\":%.1f", event->last,
                 event->status, event->w, event->acks, event->ms);
        break;
    case EVENT_MEMBER:
        buf_addf(out, "\"state\":\"%s\"", event->state);
        break;
    case EVENT_KINDS:
        break;
    }
    buf_add_text(out, "}\n\n");
}

/* What there was no memory for is taken back, so that a run holds whole events. */
static void run_trim(struct buf *out, size_t before)
{
    if (out->failed)
        out->len = before;
}

static void event_add_text(struct events *events, const struct event *event)
{
    struct buf *out = run_grow(events);
    size_t before = out->len;
    event_write(out, event);
    run_trim(out, before);
}

/* By kind, which is the order in which one thing leads to another: an event that was joined with later ones
 * has no other place, and no ACK is told of what is told to be sent only behind it. */
static void pending_write(struct events *events)
{
    for (int kind = 0; kind < EVENT_KINDS; kind++)
        for (unsigned i = 0; i < events->pendings; i++)
            if ((int)events->pending[i].event.kind == kind)
                event_add_text(events, &events->pending[i].event);
    events->pendings = events->answered = 0;
}

/* Whether the event was made one with that which is pending. */
static bool event_join(const struct events *events, struct pending *pending, const struct event *event)
{
    struct event *before = &pending->event;
    if (before->kind != event->kind || (event->node && strcmp(pending->node, event->node) != 0))
        return false;
    if (event->kind == EVENT_ANSWERED && (events->answered < ANSWERED_MAX || before->status != event->status))
        return false;
    if ((event->kind != EVENT_ANSWERED && event->last < before->last) ||
        (event->first && event->first != before->last + 1))
        return false;
    before->last = event->last > before->last ? event->last : before->last;
    before->bytes += event->bytes;
    before->ms = event->ms;
    before->w = event->w;
    before->acks = event->acks;
    return true;
}

bool events_watched(const struct events *events)
{
    return events && events->count;
}

void events_add(struct events *events, const struct event *event)
{
    if (event->kind == EVENT_MEMBER) { /* what follows may be of another process */
        pending_write(events);
        event_add_text(events, event);
        return;
    }
    for (unsigned i = events->pendings; i-- > 0;)
        if (event_join(events, &events->pending[i], event))
            return;
    if (events->pendings == TOGETHER_MAX)
        pending_write(events);
    struct pending *pending = &events->pending[events->pendings++];
    pending->event = *event;
    if (event->node) {
        snprintf(pending->node, sizeof pending->node, "%s", event->node);
        pending->event.node = pending->node;
    }
    events->answered += event->kind == EVENT_ANSWERED;
}

static void at_write(struct buf *out, const struct buf *at)
{
    if (at->failed)
        return;
    buf_add_text(out, "event: at\ndata: ");
    buf_add_span(out, buf_span(at));
    buf_add_text(out, "\n\n");
}

bool events_at_is_due(const struct events *events, int64_t now_ms)
{
    return events->count && now_ms >= events->at_ms;
}

void events_at(struct events *events, const struct buf *at, int64_t now_ms)
{
    pending_write(events);
    struct buf *out = run_grow(events);
    size_t before = out->len;
    at_write(out, at);
    run_trim(out, before);
    events->at_ms = now_ms + EVENTS_AT_MS;
}

/* ---- readers */

static void reader_leave(struct event_reader *reader)
{
    http_stream_end(reader->exchange);
    reader->exchange = NULL;
    reader->events->count--;
}

static void reader_gone(struct http_waiter *http)
{
    reader_leave(CONTAINER_OF(http, struct event_reader, http));
}

static void reader_sent(struct http_waiter *http)
{
    struct event_reader *reader = CONTAINER_OF(http, struct event_reader, http);
    reader->sends = false;
    if (reader->events->stopping)
        reader_leave(reader);
}

static void reader_send(struct event_reader *reader, const struct buf *text)
{
    reader->sends = true;
    http_stream_send(reader->exchange, text, NULL);
}

/* Sends what the reader has not got yet: what is left of one run. */
static void reader_go_on(struct event_reader *reader)
{
    struct events *events = reader->events;
    const struct run *older = &events->older;
    const struct run *run = reader->at < events->newer.begin ? older : &events->newer;
    struct buf text = {0};
    if (reader->at < older->begin) {
        buf_addf(&text, "event: lost\ndata: {\"count\":%" PRIu64 "}\n\n", older->first - reader->seen);
        reader->at = older->begin;
    }
    if (reader->at < run_end(run))
        buf_add_span(&text, span_after(buf_span(&run->text), (size_t)(reader->at - run->begin)));
    reader->at = run_end(run);
    reader->seen = run == older ? events->newer.first : events->written;
    if (text.len || text.failed)
        reader_send(reader, &text);
    buf_free(&text);
}

static unsigned readers_of(const struct events *events, uint64_t address)
{
    unsigned count = 0;
    for (unsigned i = 0; i < EVENTS_READERS_MAX; i++)
        count += events->readers[i].exchange && events->readers[i].address == address;
    return count;
}

void events_begin(struct events *events, const struct buf *at, struct http_exchange *exchange)
{
    struct event_reader *reader = events->readers;
    struct buf text = {0};
    uint64_t address = http_exchange_address(exchange);
    if (events->count == EVENTS_READERS_MAX || readers_of(events, address) == EVENTS_READERS_SHARE) {
        http_answer_unavailable(exchange, "%d clients follow the events already, or %d of one address",
                                EVENTS_READERS_MAX, EVENTS_READERS_SHARE);
        return;
    }
    if (!http_stream_begin(exchange, HTTP_EVENT_STREAM))
        return;
    while (reader->exchange)
        reader++;
    pending_write(events); /* those were before its time */
    *reader = (struct event_reader){.http = {.gone = reader_gone, .sent = reader_sent},
                                    .exchange = exchange,
                                    .events = events,
                                    .address = address,
                                    .at = run_end(&events->newer),
                                    .seen = events->written};
    if (events->count++ == 0)
        events->at_ms = clock_ms() + EVENTS_AT_MS;
    http_exchange_waiter(exchange, &reader->http);
    buf_add_text(&text, HTTP_EVENTS_BEGIN);
    at_write(&text, at);
    reader_send(reader, &text);
    buf_free(&text);
}

void events_stop(struct events *events)
{
    pending_write(events);
    events->stopping = true;
}

int64_t events_pass(struct events *events, int64_t now_ms)
{
    if (!events->count)
        return CLOCK_NEVER;
    if (events->pendings && now_ms < events->window_ms)
        return clock_earlier(events->window_ms, events->at_ms);
    if (events->pendings)
        events->window_ms = now_ms + EVENTS_WINDOW_MS;
    pending_write(events);
    for (struct event_reader *reader = events->readers; reader < events->readers + EVENTS_READERS_MAX;
         reader++) {
        if (reader->exchange && !reader->sends)
            reader_go_on(reader);
        if (reader->exchange && !reader->sends && events->stopping)
            reader_leave(reader);
    }
    return events->at_ms;
}

void events_close(struct events *events)
{
    if (!events)
        return;
    for (struct event_reader *reader = events->readers; reader < events->readers + EVENTS_READERS_MAX;
         reader++)
        if (reader->exchange)
            reader_leave(reader);
    buf_free(&events->older.text);
    buf_free(&events->newer.text);
    free(events);
}
