/* A request, out of the bytes of a connection: whole, refused, or not complete yet. Knows bytes and numbers
 * alone: no connection, no socket, no service. May be called from any thread. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "http/chunked.h"
#include "http/target.h"

enum request_verdict {
    REQUEST_MORE,   /* it is not complete; what is there of it is right so far */
    REQUEST_HEAD,   /* its head is there, and announces a body: set `limit` and call again with the same */
    REQUEST_WHOLE,  /* it is there; the next one may begin behind it */
    REQUEST_REFUSED /* where the next one would begin is not known, or not wanted */
};

enum request_phase {
    REQUEST_IN_HEAD,
    REQUEST_AT_LIMIT, /* between REQUEST_HEAD and the next call */
    REQUEST_IN_BODY
};

/* What is known of a request that is being received. All zero at its start. */
struct request_state {
    enum request_phase phase; /* private, as is all but `limit` and `wants_continue` */
    bool chunked;
    bool
        wants_continue; /* the client may wait for a 100 before it sends the body; cleared by who sends one */
    size_t scanned;     /* see http_parse_request */
    size_t head_len;
    uint64_t length; /* of the body: as announced; of a chunked one, as far as it was decoded */
    uint64_t limit;  /* the longest body allowed */
    struct http_chunked decoder;
};

/* What a verdict comes with. */
struct request_parts {
    /* HEAD and WHOLE; borrowed from the bytes */
    struct http_head head;
    struct http_target target;
    /* WHOLE */
    struct span body; /* decoded; borrowed from the bytes */
    size_t len;       /* bytes of the whole request */
    /* REFUSED */
    int status;
    const char *why; /* one sentence for the client, which lasts as long as this struct */
    char why_text[80];
};

/* Looks at the bytes from the start of a request on; a chunked body is decoded in place. *len: how many there
 * are; with MORE it becomes how many of them are still needed, and the next call gets these with more behind
 * them. With WHOLE and REFUSED the state is that of a start again.
 *
 * The head is parsed when it is there and once more when a body that came later is: that is cheaper for the
 * usual request, which comes in one piece, than keeping the parsed head of each connection. */
enum request_verdict request_take(struct request_state *state, char *bytes, size_t *len,
                                  struct request_parts *parts);

/* How many bytes are missing for sure of a request of which `len` are there; 0 where that is not known. */
size_t request_missing(const struct request_state *state, size_t len);

/* Whether the client may wait for a 100 and has sent nothing since: `len` bytes of the request are there. */
bool request_is_held_up(const struct request_state *state, size_t len);

/* The bytes behind the empty lines that may come before a request. */
struct span request_start(struct span bytes);

/* Whether there is more in the bytes than the empty lines that may come before a request (RFC 9112 section
 * 2.2), and behind the body of one from a careless client. */
bool request_has_begun(struct span bytes);

/* Whether a request that begins with these bytes, and need not be a good one, is HEAD. */
bool request_asks_head(struct span bytes);

#endif
