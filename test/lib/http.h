/* A small blocking HTTP client, and raw sockets, for tests. What it gives back lives until the test's process
 * ends, unless http_free is called. Every call has a time limit; what goes wrong on the way is status 0. All
 * functions may be called from any thread. */
#ifndef TEST_HTTP_H
#define TEST_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_LIMIT_MS = 30000 };

struct reply {
    int status;      /* 0: no whole answer came (refused, reset, cut short, late) */
    char *head;      /* status line and fields with their CRLFs; terminated; "" where none came */
    char *body;      /* terminated behind body_len */
    size_t body_len; /* without the newline at its end */
    bool newline;    /* there was one */
    int ms;          /* how long it took */
};

/* One request on a connection of its own. `fields` are further field lines, each with its CRLF, or NULL. */
struct reply http_request(uint16_t port, const char *method, const char *target, const char *fields,
                          const void *body, size_t body_len, int limit_ms);

struct reply http_get(uint16_t port, const char *target, ...) __attribute__((format(printf, 2, 3)));

/* POST of JSON text (application/json), and of bytes as they are (text/plain). */
struct reply http_post_json(uint16_t port, const char *target, const char *json);
struct reply http_post(uint16_t port, const char *target, const void *bytes, size_t len);

void http_free(struct reply *reply);

/* The value of a field of the head, or NULL. */
const char *http_field(const struct reply *reply, const char *name);

/* The value of the first member of that name in JSON text: a number, or -1; a string without escapes, or NULL
 * (also for null). For a true or false, json_true. */
long long json_number_of(const char *json, const char *name);
const char *json_text_of(const char *json, const char *name);
bool json_true_of(const char *json, const char *name);

/* ---- requests in the background, on a thread each */

struct call;

/* Begins; the bytes are copied. */
struct call *call_begin(uint16_t port, const char *method, const char *target, const char *fields,
                        const void *body, size_t body_len);
struct call *call_post(uint16_t port, const char *target, const char *message); /* as text/plain */

/* Whether the answer is there, or will not come. */
bool call_done(const struct call *call);

/* Waits for the answer and frees the call. reply.ms is the time from begin to answer. */
struct reply call_end(struct call *call);

/* ---- raw sockets */

/* A blocking connection. raw_open ends the test with trouble() where there is none; raw_try returns -1. */
int raw_open(uint16_t port);
int raw_try(uint16_t port);
/* The same as raw_open, from another address of this machine, such as "127.0.0.9". */
int raw_open_from(const char *from, uint16_t port);

/* Sends all of it. Returns false where the other side is gone. */
bool raw_send(int fd, const void *bytes, size_t len);
bool raw_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Receives what comes within limit_ms, at most `size` bytes. Returns how many, 0 at the end of the stream, -1
 * when nothing came in time, -2 when the connection was reset. */
long raw_receive(int fd, void *bytes, size_t size, int limit_ms);

/* Receives exactly one answer, interim ones skipped. `head_only` for the answer to HEAD. Never takes a byte
 * of what follows. */
struct reply raw_reply(int fd, bool head_only, int limit_ms);

/* Reads to the end of the stream: returns whether it came within limit_ms. */
bool raw_closed(int fd, int limit_ms);

/* Closes with a reset instead of an orderly end. */
void raw_reset(int fd);

#endif
