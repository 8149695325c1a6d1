/* A link from the master to one secondary, from the dialling of its address to its failure: POST /replicate
 * requests go out one after another without waiting for the answers (at most LINK_WINDOW of them and
 * LINK_WINDOW_BYTES of messages), and the answers, which come in the order of the requests, tell how far the
 * secondary has come.
 *
 * The first request, the greeting, has no body. Its answer tells what the secondary has, and that alone
 * decides what is sent next. No answer counts without proof: it must name the member, one program that
 * answers all requests of the link, this master's log and epoch, and the digest of this master's list up to
 * the id that it tells. So the position of a link is never more than what the secondary has of this master's
 * list.
 *
 * No socket code: http/client.h carries the bytes. Belongs to the loop's thread. */
#ifndef REPLICATION_LINK_H
#define REPLICATION_LINK_H

#include "histogram.h"
#include "replication/base.h"

enum {
    LINK_WINDOW = 1000,                   /* requests under way; below the pipeline limit of the server */
    LINK_WINDOW_BYTES = 64 * 1024 * 1024, /* of messages under way */
    LINK_BATCH_BYTES = 1024 * 1024, /* of messages in one request, but for a single longer one; at most */
    LINK_BATCH_LEAST = 16 * 1024,   /* where longer requests did not get through */
    LINK_BATCH_SINGLE = 1,          /* one message in each request: where one was refused as too long */
    LINK_BATCH_GROWS = 16,          /* so many answers double what a request may hold */
    LINK_FIELDS_SIZE = 800,
    LINK_ATTEMPT_MS = 2000 /* silence for so long, while an answer is due, is a failure; at least */
};

/* Where a secondary is, and which process of it. */
struct link_target {
    struct http_url url;
    char boot[WIRE_NAME_SIZE]; /* of the process that registered; "": not known */
    bool complete;             /* it had all once: see struct wire_register */
    bool durable;              /* it holds on disk what it holds */
};

enum link_state {
    LINK_DIALS,  /* the connection is not there yet */
    LINK_GREETS, /* the greeting was sent */
    LINK_PROVEN, /* the greeting was answered with proof: `peer`, `position` and `next` are valid */
    LINK_FAILED  /* `why`, `error` and `status` tell; the owner closes it */
};

/* A request under way. */
struct flight {
    uint64_t last;   /* id of the last message of the request; 0 for a sign of life */
    uint64_t digest; /* of the list up to `last` */
    uint64_t bytes;  /* of messages */
    int64_t sent_us;
};

/* What the links to a member have measured. */
struct link_counters {
    struct histogram acks; /* from a request with messages to its ACK */
    uint64_t failures;     /* of links; their owner counts them */
    /* How long the member has been behind. At `mark_us` the list ended at message `mark`: an ACK that reaches
     * that shows that the member had by now what the master had then, which is what `held_us` becomes. */
    uint64_t mark;
    int64_t mark_us;
    int64_t held_us;
};

struct link {
    const struct base *base;
    const char *id; /* of the member */
    struct link_target target;
    /* A proven answer came: `position` is news. Returns 0, or a negative errno after link_fail, to end the
     * link. It must not close the link. */
    int (*told)(struct link *link);
    void *owner;                    /* whose link it is */
    bool claimed;                   /* the owner's */
    struct link_counters *counters; /* the owner's */
    struct http_client *client;
    enum link_state state;

    char why[512]; /* LINK_FAILED: what happened, for a log line */
    int error;     /* LINK_FAILED: a negative errno */
    int status;    /* LINK_FAILED: the status of the answer that it was, or 0 */
    bool differs;  /* LINK_FAILED: the secondary's list is not this master's */

    struct wire_identity peer; /* whose answers count: the member, and one process of it */
    uint64_t sent_before;      /* the last id that earlier links sent */
    uint64_t position;         /* what the secondary has of this master's list */
    struct log_cursor next;    /* what to send next */
    uint64_t batch_bytes;      /* of messages in one request */
    unsigned batch_begun;      /* requests with messages since the link opened, or batch_bytes grew */
    unsigned batch_answered;   /* of these */
    uint64_t batch_grown_at;   /* the last id that was sent before batch_bytes grew, or 0 */
    bool progressed;           /* some request behind the greeting was answered with 200 */
    int64_t heard_ms;          /* when a byte came last */
    int64_t waits_ms;          /* since when an answer is due */
    int64_t sent_ms;           /* when a request was begun last */
    int64_t round_us;          /* how long the last answered request took */
    int64_t asked_us;          /* when the last answered request was sent */
    int64_t attempt_ms;        /* silence allowed while an answer is due */

    struct flight flights[LINK_WINDOW]; /* a ring: `under_way` of them from `oldest` on */
    size_t oldest;
    size_t under_way;
    uint64_t bytes_under_way;

    char fields[LINK_FIELDS_SIZE]; /* of every request */
    size_t fields_len;             /* without the one that tells that the master is sure */
    bool sure;                     /* that one is there */
    bool farewell;                 /* the last request was sent */
    struct buf begin;              /* of every body: see wire_replicate_begin */
    struct buf expected;           /* in every answer of `peer`: see wire_ack_match; empty before the first */
};

/* Begins to dial, for this master's log and epoch as they are now. `target` is copied, `id` outlives the
 * link. Set `told`, what is the owner's (`counters` too), `sent_before`, `batch_bytes` and `attempt_ms`
 * before the next pass. NULL where there is no memory; a connection that fails at once is a link that has
 * failed. */
struct link *link_open(const struct base *base, const char *id, const struct link_target *target,
                       int64_t now_ms);
void link_close(struct link *link);

/* Called at the end of each pass of the loop: sends what there is to send and the connection takes, and
 * notices an answer that is overdue (LINK_FAILED then). Returns when it must be called again. */
int64_t link_pass(struct link *link, int64_t now_ms);

/* The master's own process was stopped for so long, until now: the secondary's silence meanwhile does not
 * count. A sign of life is due at once. */
void link_woke(struct link *link, int64_t paused_ms, int64_t now_ms);

/* This master stops: its last request, a sign of life with `Connection: close`, tells the secondary so. */
void link_farewell(struct link *link, int64_t now_ms);

/* Ends the link: LINK_FAILED, with the formatted text in `why`; the first reason counts. Returns the error as
 * a negative errno. */
int link_fail(struct link *link, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What batch_bytes should be on the next link to the same secondary, after this one failed. A quarter, where
 * requests with messages were begun and none arrived: a slow link needs requests that get through in the time
 * of one request. Any answer but 408 tells that its request arrived. LINK_BATCH_SINGLE after a 413: so the
 * secondary gets all that comes before the message that it refuses. */
uint64_t link_next_batch(const struct link *link);

#endif
