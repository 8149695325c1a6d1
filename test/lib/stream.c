#include "stream.h"
#include "eventually.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ONCE = 64 * 1024 }; /* bytes received at a time */

static struct stream *stream_ask(uint16_t port, const char *accept, const char *fields, const char *target)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        trouble("no memory");
    stream->fd = raw_open(port);
    stream->raw = strdup("");
    stream->text = strdup("");
    if (!raw_text(stream->fd, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s\r\n", target, port, accept,
                  fields ? fields : ""))
        return stream;
    struct reply reply = raw_reply(stream->fd, true, HTTP_LIMIT_MS);
    stream->status = reply.status;
    stream->head = reply.head;
    free(reply.body);
    return stream;
}

#define STREAM_ASK(accept)                                                                                   \
    char *text;                                                                                              \
    va_list args;                                                                                            \
    va_start(args, target);                                                                                  \
    if (vasprintf(&text, target, args) < 0)                                                                  \
        trouble("no memory");                                                                                \
    va_end(args);                                                                                            \
    struct stream *stream = stream_ask(port, accept, fields, text);                                          \
    free(text);                                                                                              \
    return stream

struct stream *stream_open(uint16_t port, const char *fields, const char *target, ...)
{
    STREAM_ASK("");
}

struct stream *events_open(uint16_t port, const char *fields, const char *target, ...)
{
    STREAM_ASK("Accept: text/event-stream\r\n");
}

const char *stream_field(const struct stream *stream, const char *name)
{
    return http_field(&(struct reply){.head = stream->head}, name);
}

/* ---- chunks */

/* Bytes of the body, at the end of the text. */
static void text_add(struct stream *stream, const char *bytes, size_t len)
{
    if (stream->len + len + 1 > stream->room) {
        if (stream->at > stream->len / 2) {
            memmove(stream->text, stream->text + stream->at, stream->len - stream->at);
            stream->len -= stream->at;
            stream->at = 0;
        }
        stream->room = (stream->len + len + 1) * 2;
        stream->text = realloc(stream->text, stream->room);
        if (!stream->text)
            trouble("no memory");
    }
    memcpy(stream->text + stream->len, bytes, len);
    stream->len += len;
    stream->text[stream->len] = '\0';
}

/* Takes the beginning of a chunk off the front of the raw bytes. Returns how many bytes it has; 0 where it is
 * not whole. */
static size_t chunk_begin(struct stream *stream, const char *at, size_t left)
{
    const char *end = memmem(at, left, "\r\n", 2);
    char *digits_end;
    if (!end)
        return 0;
    size_t size = strtoul(at, &digits_end, 16);
    if (digits_end != end || end == at)
        trouble("no chunk: '%.40s'", at);
    if (size == 0 && left < (size_t)(end - at) + 4)
        return 0;
    if (size == 0) {
        stream->last_chunk = true;
        if (memcmp(end, "\r\n\r\n", 4) != 0 || left > (size_t)(end - at) + 4)
            trouble("bytes behind the last chunk");
        return left;
    }
    stream->chunk_left = size + 2;
    return (size_t)(end - at) + 2;
}

static void chunks_take(struct stream *stream)
{
    size_t taken = 0;
    while (taken < stream->raw_len && !stream->last_chunk) {
        const char *at = stream->raw + taken;
        size_t left = stream->raw_len - taken;
        if (!stream->chunk_left) {
            size_t begin = chunk_begin(stream, at, left);
            if (!begin)
                break;
            taken += begin;
            continue;
        }
        size_t len = left < stream->chunk_left ? left : stream->chunk_left;
        size_t end = stream->chunk_left - len; /* of it are still to come */
        text_add(stream, at, end >= 2 ? len : stream->chunk_left >= 2 ? stream->chunk_left - 2 : 0);
        stream->chunk_left -= len;
        taken += len;
    }
    stream->raw_len -= taken;
    memmove(stream->raw, stream->raw + taken, stream->raw_len + 1);
}

bool stream_more(struct stream *stream, int limit_ms)
{
    if (stream->last_chunk || stream->closed || stream->fd < 0)
        return false;
    stream->raw = realloc(stream->raw, stream->raw_len + ONCE + 1);
    if (!stream->raw)
        trouble("no memory");
    long got = raw_receive(stream->fd, stream->raw + stream->raw_len, ONCE, limit_ms);
    stream->closed = got == 0 || got == -2;
    if (got <= 0)
        return false;
    stream->raw_len += (size_t)got;
    stream->raw[stream->raw_len] = '\0';
    chunks_take(stream);
    return true;
}

/* ---- what is in them */

static int left_ms(int64_t until_ms)
{
    int64_t left = until_ms - now_ms();
    return left > 0 ? (int)left : 0;
}

char *stream_next(struct stream *stream, const char *delimiter, int limit_ms)
{
    int64_t until_ms = now_ms() + limit_ms;
    size_t looked = stream->at;
    for (;;) {
        const char *begin = stream->text + stream->at;
        const char *end = stream->len > looked ? memmem(stream->text + looked, stream->len - looked,
                                                        delimiter, strlen(delimiter))
                                               : NULL;
        if (end) {
            stream->at += (size_t)(end - begin) + strlen(delimiter);
            return strndup(begin, (size_t)(end - begin));
        }
        size_t back = strlen(delimiter) - 1;
        size_t behind = stream->len - stream->at; /* what is looked at already, but for its end */
        behind = behind > back ? behind - back : 0;
        if (!stream_more(stream, left_ms(until_ms)))
            return NULL;
        looked = stream->at + behind;
    }
}

static bool line_is(const char *line, const char *name, const char **value)
{
    size_t len = strlen(name);
    if (strncmp(line, name, len) != 0 || strncmp(line + len, ": ", 2) != 0)
        return false;
    *value = line + len + 2;
    return true;
}

bool stream_event(struct stream *stream, int limit_ms, struct event *out)
{
    do {
        free(stream->event);
        stream->event = stream_next(stream, "\n\n", limit_ms);
        if (!stream->event)
            return false;
    } while (strncmp(stream->event, "retry: ", 7) == 0);
    *out = (struct event){.name = "", .id = -1, .data = ""};
    for (char *line = strtok(stream->event, "\n"); line; line = strtok(NULL, "\n")) {
        const char *id = NULL;
        if (line_is(line, "id", &id))
            out->id = atoll(id);
        else if (!line_is(line, "event", &out->name) && !line_is(line, "data", &out->data))
            trouble("a line of an event: '%.80s'", line);
    }
    return true;
}

char *stream_rest(struct stream *stream, int limit_ms)
{
    int64_t until_ms = now_ms() + limit_ms;
    while (!stream->last_chunk)
        if (!stream_more(stream, left_ms(until_ms)))
            return NULL;
    return strndup(stream->text + stream->at, stream->len - stream->at);
}

bool stream_ends(struct stream *stream, int limit_ms)
{
    char *rest = stream_rest(stream, limit_ms);
    free(rest);
    return rest;
}

void stream_close(struct stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    free(stream->head);
    free(stream->raw);
    free(stream->text);
    free(stream->event);
    free(stream);
}
