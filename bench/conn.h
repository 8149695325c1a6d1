/* One connection under load: the requests on their way out, when each that is not answered yet was asked for,
 * and what came of an answer so far. Sends and receives, never waits. Allocates when it is made and not per
 * operation. */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include "dial.h"
#include "proto.h"
#include <sys/types.h>

struct conn {
    int fd;           /* -1 while there is none */
    bool wants_write; /* for the loop: whether it waits for room to send */
    bool is_free;     /* for the loop: whether it stands in the queue of those that have room */
    struct conn *next_free;

    char *out; /* requests, room for as many as may be in flight */
    size_t out_len, out_sent, out_cap;

    int64_t *asked_ns; /* ring: when each request in flight was asked for, oldest at `first` */
    unsigned first, in_flight, depth;

    struct answer answer;
    char carry[ANSWER_HEAD_MAX]; /* the start of a head whose end has not come */
    size_t carry_len;
};

/* Memory for `depth` requests in flight. Returns false where there is none. */
bool conn_init(struct conn *conn, const struct proto *proto, unsigned depth);
void conn_free(struct conn *conn);

/* Connects it anew, with nothing in flight. Returns 0 or a negative errno; fd is -1 then. */
int conn_open(struct conn *conn, const struct dial_address *to);
void conn_close(struct conn *conn);

/* Whether one more request may be asked. */
bool conn_has_room(const struct conn *conn, const struct proto *proto);

/* Adds a request, asked for at asked_ns; there must be room. conn_flush sends it. */
void conn_ask(struct conn *conn, const struct proto *proto, const char *body, int64_t asked_ns);

/* Sends what there is room for. Returns whether all is sent. What is wrong with the connection shows when it
 * is read. */
bool conn_flush(struct conn *conn);

/* Receives into scratch, behind the carried bytes, which come first. Returns how many bytes are there then, 0
 * where none came, -1 where the connection is over. cap must be more than ANSWER_HEAD_MAX. */
ssize_t conn_receive(struct conn *conn, char *scratch, size_t cap);

/* Keeps bytes for the next conn_receive: ANSWER_HEAD_MAX at most. */
void conn_carry(struct conn *conn, const char *bytes, size_t len);

/* Takes the oldest request in flight, and tells when it was asked for. There must be one. */
int64_t conn_answered(struct conn *conn);

#endif
