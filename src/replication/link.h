/* A connection from the master to one secondary: POST /replicate requests go out one after another without
 * waiting for the answers (at most LINK_WINDOW of them and LINK_WINDOW_BYTES of messages), and the answers,
 * which come in the order of the requests, tell how far the secondary has come.
 *
 * The first request has no body. Its answer tells what the secondary has, and that alone decides what is
 * sent: what it says on a connection is true for that connection, since a secondary that restarts loses it.
 *
 * Used by one thread at a time. Never blocks; the caller polls link->fd for link_events. */
#ifndef REPLICATION_LINK_H
#define REPLICATION_LINK_H

#include "log/log.h"
#include "replication/identity.h"
#include "url.h"

enum {
    LINK_WINDOW = 1000,                   /* requests under way; below the pipeline limit of the server */
    LINK_WINDOW_BYTES = 64 * 1024 * 1024, /* of messages under way */
    LINK_BATCH_BYTES = 1024 * 1024, /* of messages in one request, but for a single longer one; at most */
    LINK_BATCH_LEAST = 16 * 1024,   /* where longer requests did not get through */
    LINK_BATCH_SINGLE = 1,          /* one message in each request: where one was refused as too long */
    LINK_BATCH_GROWS = 16,          /* so many answers double what a request may hold */
    LINK_FIELDS_SIZE = 512,
    LINK_ATTEMPT_MS = 2000 /* silence for so long, while an answer is due, is a failure; at least */
};

/* What the links of a master share; it outlives them. */
struct link_shared {
    struct log *log;
    struct identity *identity;
    char run[WIRE_NAME_SIZE];
    const char *fields; /* Content-Type, and Authorization where there is a token; each with its CRLF; less
                           than LINK_FIELDS_SIZE bytes */
    int64_t heartbeat_ms;
};

struct flight {
    uint64_t last;  /* id of the last message of the request; 0 for a sign of life */
    uint64_t bytes; /* of messages */
    int64_t sent_us;
};

struct link {
    const struct link_shared *shared;
    const char *name; /* the member, for log lines */
    int fd;
    char authority[HTTP_AUTHORITY_MAX];
    char peer_run[WIRE_NAME_SIZE];
    uint64_t stuck_at; /* the position at which the link before this one got no further: a greeting with it is
                          no news; or UINT64_MAX */
    char why[512];     /* after a failure: what happened, for a log line */
    int status;        /* after a failure: the status of the answer that it was, or 0 */

    bool greeted;            /* the first answer is there: `position` and `next` are valid */
    uint64_t position;       /* what the secondary said last */
    struct log_cursor next;  /* what to send next */
    uint64_t batch_bytes;    /* of messages in one request */
    unsigned batch_begun;    /* requests with messages since the link opened, or batch_bytes grew */
    unsigned batch_answered; /* of these */
    uint64_t batch_grown_at; /* the last id that was sent before batch_bytes grew, or 0 */
    bool compared;           /* a request told the digest of the list before it */
    bool progressed;         /* some request behind the first was answered with 200 */
    int64_t heard_ms;        /* when a byte came last */
    int64_t waits_ms;        /* since when an answer is due */
    int64_t sent_ms;         /* when a request was begun last */
    int64_t round_us;        /* how long the last answered request took */
    int64_t attempt_ms;      /* silence allowed while an answer is due */

    struct flight flights[LINK_WINDOW]; /* a ring: `under_way` of them from `oldest` on */
    size_t oldest;
    size_t under_way;
    uint64_t bytes_under_way;

    struct buf out; /* the head and start of the request that is being written */
    size_t out_sent;
    struct log_slice slice; /* its messages */
    struct span out_end;    /* what follows them */

    struct buf in; /* bytes of answers */
    size_t scanned;
};

/* For a connected socket, which link_close closes. `peer_run` names the run of the secondary that registered;
 * "" where it is not known. `stuck_at` and `batch_bytes` may be changed before the link is used. */
void link_open(struct link *link, const struct link_shared *shared, const char *name,
               const struct http_url *url, const char *peer_run, int fd, int64_t attempt_ms, int64_t now_ms);
void link_close(struct link *link);

/* Sends what there is to send and the socket takes. Returns 0, or a negative errno with link->why filled. */
int link_send(struct link *link, int64_t now_ms);

/* Reads answers. Returns 1 where the secondary's position was told (link->position), 0 where not, or a
 * negative errno with link->why filled. */
int link_receive(struct link *link, int64_t now_ms);

/* 0, or -ETIMEDOUT with link->why filled, where an answer is overdue. */
int link_check(struct link *link, int64_t now_ms);

/* What to poll for, and until when: then call the three above. */
short link_events(const struct link *link);
int64_t link_due_ms(const struct link *link, int64_t now_ms);

/* Whether the secondary has been sent all there is. */
bool link_is_current(const struct link *link);

/* What batch_bytes should be on the next link to the same secondary, after this one failed. A quarter, where
 * requests with messages were begun and none arrived: a slow link needs requests that get through in the time
 * of one request. Any answer but 408 tells that its request arrived. LINK_BATCH_SINGLE after a 413: so the
 * secondary gets all that comes before the message that it refuses. */
uint64_t link_next_batch(const struct link *link);

/* Whether there is something that link_send would send at once. */
bool link_has_work(const struct link *link, int64_t now_ms);

#endif
