/* Reads that follow the list as it grows, on both roles: a long poll (`?from=ID&wait=S`), one that waits for
 * what its client has written elsewhere (`?min_id=ID`), server-sent events (text/event-stream, WHATWG HTML
 * section 9.2), and the list as lines of JSON (application/x-ndjson).
 *
 * Each is a *reader*: a cursor in the list, and nothing else. It has no queue, so it may lag as far as it
 * likes, and makes nobody late: a piece of the list is written for it when the one before has left, and a
 * reader that takes nothing is cut as any slow client is. One that has all that shows is parked with the ACK
 * count, as whatever waits here, for the next id.
 *
 * Who has something to get stands in a line, one for what is answered at once, and behind it one for streams.
 * A pass serves a few, and the lines then rest, for so long that readers take one part in TAIL_SHARE of the
 * loop's time: a thousand of them do not keep it from appending. Where nothing
 * was appended for a moment it does not rest, and a long list is read as fast as the loop can send it.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_TAIL_H
#define REPLICATION_TAIL_H

#include "replication/reads.h"

enum {
    TAIL_READERS_MAX = 16384, /* that wait; more that would have to get 503, but for the first of a
                                 connection */
    TAIL_TURN = 16,           /* served in a pass */
    TAIL_SHARE = 40,          /* one part in so many of the loop's time */
    TAIL_QUIET_MS = 10,       /* where the list has not grown for so long, the line does not rest */
    TAIL_PIECE_BYTES = 8192,  /* written for a reader at a time, and what the last message is longer; */
    TAIL_COPIED_MOST = 4096,  /* a message that is longer and stands alone is sent from where it lies */
    TAIL_NO_ROOM_MS = 10,     /* where slow readers have all the memory there is for pieces: a rest */
    TAIL_MIN_ID_MS = 5000,    /* the wait for min_id, unless `wait` tells another */
    TAIL_SILENCE_MS = 10000   /* a stream without messages says so often how far it is */
};

struct tail;

/* NULL where there is no memory. */
struct tail *tail_open(const struct base *base);

/* Ends what readers are left. The loop must not run any more. */
void tail_close(struct tail *tail);

/* GET /messages: answers it, or keeps it as a reader. `shown` is the id up to which messages show. */
void tail_list(struct tail *tail, uint64_t shown, const struct http_request *request,
               struct http_exchange *exchange);

/* GET /messages/ID, for the text behind /messages/. */
void tail_message(struct tail *tail, uint64_t shown, const struct http_request *request, const char *text,
                  struct http_exchange *exchange);

/* How many readers there are. */
unsigned tail_count(const struct tail *tail);

/* The node stops: nobody waits any more, and event streams end. */
void tail_stop(struct tail *tail);

/* Serves those who have something to get; the released waiters have been handed back. Returns when it must be
 * called again. */
int64_t tail_pass(struct tail *tail, uint64_t shown, int64_t now_ms);

#endif
