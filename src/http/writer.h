/* Writes the heads of HTTP/1.1 messages (RFC 9112) into a buffer, and the pieces that both ends share. No
 * I/O. */
#ifndef HTTP_WRITER_H
#define HTTP_WRITER_H

#include "buf.h"
#include <sys/uio.h>
#include <time.h>

enum { HTTP_DATE_SIZE = 30 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" and its terminator */

/* A body that lies elsewhere in memory, in pieces that stay valid until the whole of it was sent. It is a
 * value: `state` holds whatever the two functions need. */
struct http_source {
    uint64_t len; /* bytes left */
    int (*pieces)(const void *state, struct iovec *iov,
                  int max);                    /* the next bytes, in order; takes nothing */
    void (*skip)(void *state, uint64_t bytes); /* takes bytes off the front */
    _Alignas(max_align_t) unsigned char state[48];
};

/* The reason phrase of a status that this program uses, "Unknown" for another. */
const char *http_reason(int status);

/* Whether an answer with that status may have a body. */
bool http_status_has_body(int status);

/* The Date field's value (RFC 9110 section 5.6.7) for a moment. */
void http_date(time_t now, char out[HTTP_DATE_SIZE]);

/* Bodies whose length is not known when their head is written (RFC 9112 section 6). */
#define HTTP_LENGTH_CHUNKED UINT64_MAX
#define HTTP_LENGTH_CLOSE (UINT64_MAX - 1) /* for HTTP/1.0: the connection's end is the body's */

/* The body's length is not sent with 204 and 304, whose 200 might be longer (RFC 9110 section 8.6).
 * `connection`: the field line that tells what becomes of the connection, or "". `fields`: further field
 * lines, each with its CRLF, or NULL; where the first is Content-Type, it stands for application/json. */
void http_write_response_head(struct buf *out, int status, const char *date, uint64_t length,
                              const char *connection, const char *fields);

/* `authority` is the Host field's value. A length is sent for every method but GET, HEAD and DELETE. */
void http_write_request_head(struct buf *out, const char *method, const char *target, const char *authority,
                             const char *fields, uint64_t length);

#endif
