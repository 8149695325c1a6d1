/* A client of answers that are chunked: event streams and lines of JSON. It takes the chunks apart as they
 * come, and ends the test with trouble() where they are none. What it gives back lives until the test's
 * process ends. One thread uses a stream at a time. */
#ifndef TEST_STREAM_H
#define TEST_STREAM_H

#include "http.h"

struct stream {
    int fd; /* -1: closed by the client */
    int status;
    char *head;
    bool last_chunk; /* the answer has ended */
    bool closed;     /* the connection has */

    char *raw; /* private, as is all below: what is not taken apart yet */
    size_t raw_len;
    size_t chunk_left; /* bytes of the present chunk, its CRLF included */
    char *text;        /* behind the head, without the chunks; up to at it was given back */
    size_t len, at, room;
    char *event; /* the text of the latest */
};

struct event {
    const char *name; /* "" where there is none */
    long long id;     /* -1 where there is none */
    const char *data; /* "" where there is none */
};

/* GET of a target on a connection of its own, its fields each with its CRLF; the head has come. */
struct stream *stream_open(uint16_t port, const char *fields, const char *target, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with "Accept: text/event-stream". */
struct stream *events_open(uint16_t port, const char *fields, const char *target, ...)
    __attribute__((format(printf, 3, 4)));

/* A field of its head, or NULL. */
const char *stream_field(const struct stream *stream, const char *name);

/* Takes what is there, and waits for more than nothing for so long. Returns whether something came. */
bool stream_more(struct stream *stream, int limit_ms);

/* What stands before the next delimiter, which is dropped; NULL where it did not come within limit_ms, or the
 * answer ended. */
char *stream_next(struct stream *stream, const char *delimiter, int limit_ms);

/* The next event, which lasts until this is called again; a `retry` alone is passed over. Returns false as
 * stream_next does. */
bool stream_event(struct stream *stream, int limit_ms, struct event *out);

/* Everything up to the end of the answer; NULL where it did not come within limit_ms. */
char *stream_rest(struct stream *stream, int limit_ms);

/* Whether the answer ended with its last chunk, within limit_ms; what came before is dropped. */
bool stream_ends(struct stream *stream, int limit_ms);

void stream_close(struct stream *stream); /* and frees it */

#endif
