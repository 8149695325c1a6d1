/* The three operations that can be asked for, as bytes: an HTTP POST, an HTTP GET, and the Redis command
 * RPUSH with a WAIT behind it, both in one write. Makes requests and checks answers; does no I/O. */
#ifndef BENCH_PROTO_H
#define BENCH_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROTO_HEAD_MAX = 2048, /* bytes of a request before its message */
    PROTO_TAIL_MAX = 128,  /* and behind it */
    ANSWER_HEAD_MAX = 4096 /* bytes of an answer's head */
};

enum proto_kind { PROTO_POST, PROTO_GET, PROTO_RPUSH };

/* What each operation has in common: its bytes around the message, and what answer is right. */
struct proto {
    enum proto_kind kind;
    char head[PROTO_HEAD_MAX];
    size_t head_len;
    size_t body_len; /* of the message */
    char tail[PROTO_TAIL_MAX];
    size_t tail_len;
    int status;             /* HTTP: the right one */
    uint64_t answer_length; /* HTTP: the right Content-Length, 0 for any */
    unsigned replies;       /* RESP: lines of one answer */
    uint64_t replicas;      /* RESP: what WAIT must tell at least */
};

/* Each fills *out. They return false where the texts are too long. */
bool proto_post(struct proto *out, const char *host, const char *target, size_t body_len);
bool proto_get(struct proto *out, const char *host, const char *target, uint64_t answer_length);
bool proto_rpush(struct proto *out, const char *list, unsigned replicas, size_t body_len);

/* Bytes of one request. */
size_t proto_size(const struct proto *proto);

/* Writes one request to out, which has room for proto_size bytes. body: proto->body_len bytes. */
void proto_write(const struct proto *proto, const char *body, char *out);

enum answer_verdict {
    ANSWER_MORE,  /* it is not complete yet */
    ANSWER_RIGHT, /* complete, and as it should be */
    ANSWER_WRONG, /* complete, but not what was asked for: the connection can go on */
    ANSWER_BROKEN /* not an answer at all, the connection is of no use any more */
};

/* How much of an answer has come. All zero before the first one; ready for the next after each verdict. */
struct answer {
    bool in_body;
    bool wrong;
    bool last;          /* HTTP: the server said that it closes the connection behind this answer */
    uint64_t body_left; /* HTTP */
    unsigned replies;   /* RESP: lines so far */
};

/* Takes bytes of the present answer from in[0..len), at most to its end; *used tells how many. With
 * ANSWER_MORE the bytes that were not used must be offered again with more behind them. */
enum answer_verdict answer_take(struct answer *answer, const struct proto *proto, const char *in, size_t len,
                                size_t *used);

#endif
