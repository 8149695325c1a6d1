/* A secondary's side of POST /replicate: what comes is stored at once and shows SECONDARY_DELAYS later; its
 * answer leaves when it shows. The delay is a latency: nothing waits behind anything but its own time. With a
 * disk a message shows when that has it, too.
 *
 * A secondary that is registered follows one master: it takes messages with the log and the epoch that it
 * registered with, and only where the sender tells the digest of what comes before them. One that has never
 * been registered takes them from anyone, a person with curl too.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_FOLLOW_H
#define REPLICATION_FOLLOW_H

#include "http/server.h"
#include "replication/base.h"

struct follow;

/* NULL where there is no memory. */
struct follow *follow_open(struct base *base);

/* Nobody may be waiting: acks_end and follow_pass come first. */
void follow_close(struct follow *follow);

/* The list was loaded from disk: it shows. `complete`: as the process before had it, see follow_complete. */
void follow_restored(struct follow *follow, bool complete);

/* The disk has failed: nothing more shows than does. Who waits for more is refused. */
void follow_strand(struct follow *follow);

/* The id up to which messages show. */
uint64_t follow_shown(const struct follow *follow);

/* The longest body of a request. */
uint64_t follow_body_limit(const struct follow *follow);

/* Who sent a request. */
enum follow_sender {
    FOLLOW_MASTER, /* the master that this secondary follows */
    FOLLOW_OTHER,  /* a master that it does not follow, and which means this process */
    FOLLOW_ANYONE
};

/* POST /replicate. */
enum follow_sender follow_replicate(struct follow *follow, const struct http_request *request,
                                    struct http_exchange *exchange);

/* The registration was accepted by a master: it is followed from now on, and `id` is this member's name. */
void follow_master(struct follow *follow, const struct wire_registered *answer);

/* Whether this process has once held all that was acknowledged: see WIRE_SURE_FIELD. Before that this node is
 * no witness: another process of it may have held more. */
bool follow_complete(const struct follow *follow);

/* Whether this process has once shown the list as it stood when it registered. */
bool follow_caught_up(const struct follow *follow);

/* A mark, other than 0, of the master that a request with this head comes from, where that is followed; 0 for
 * any other request. And whether the master of a mark is followed still. */
unsigned follow_mark(const struct follow *follow, const struct http_head *head);
bool follow_mark_holds(const struct follow *follow, unsigned mark);

/* Whether a request names another process than this in its field Boot. Answers it with 409 then. */
bool follow_misdirected(struct follow *follow, const struct http_request *request,
                        struct http_exchange *exchange);

/* Shows what is due and answers; sends masters that wait a sign of life each interim_ms. Returns when it must
 * be called again. */
int64_t follow_pass(struct follow *follow, int64_t now_ms, int64_t interim_ms);

#endif
