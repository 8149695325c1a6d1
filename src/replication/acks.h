/* The ACK count: how far each node has come, and the one place where requests wait.
 *
 * A waiter with an id waits until w nodes hold the message of that id: on the master a POST whose message is
 * appended and a GET with ?w=; on a secondary, whose count has no member, a /replicate request that waits
 * with w = 1 until acks_appended says that its last message is shown. A waiter without an id, id 0, is a POST
 * that is not appended yet: it waits at the gate until that opens. No waiter holds a thread.
 *
 * There is one way out. A node that moves, joins or leaves, the gate that opens, a deadline and the end
 * *release* waiters: they move to the released list, and acks_hand_back tells their owners. Only acks_unpark
 * takes a waiter out without that: its client has gone.
 *
 * The count takes numbers: no sockets, no clock (times come in as arguments; only acks_drain waits), no
 * call-backs but those of acks_each and acks_hand_back. A mutex guards it all, so any thread may call; the
 * loop's thread counts the ACKs and answers the released waiters at the end of its pass, and main waits on
 * the condition variable until all of them have come, when it stops the node.
 *
 * Positions come from what a member itself said last; a member that comes back empty moves its position down.
 * The master holds every message, so it counts as one node for each id up to acks_appended's. */
#ifndef REPLICATION_ACKS_H
#define REPLICATION_ACKS_H

#include "concern.h"
#include "replication/queue.h"

#define ACKS_ID_MAX ((UINT64_C(1) << 47) - 1) /* no list has so many messages */

struct acks;
struct acks_member; /* one member's position; made by acks_join, freed by acks_leave */

/* Why a wait is over. */
enum acks_outcome {
    ACKS_REACHED,  /* as many nodes as w stands for hold the message */
    ACKS_ADMITTED, /* the gate is open: the message is to be appended now */
    ACKS_LATE,     /* the waiter's deadline came first */
    ACKS_STRANDED, /* acks_strand */
    ACKS_ENDED     /* acks_end came first */
};

/* How many nodes an id needs under a write concern, and how many it has. For CONCERN_ALL both count the nodes
 * alone that count for it: see acks_join. So `have` is below `need` just as long as the concern is not
 * reached.
 */
struct acks_count {
    unsigned need; /* the number w stands for at this moment, the master included */
    unsigned have; /* the nodes that hold the message; 0 for a message that is not appended */
};

/* One who waits. Zeroed at first; the owner fills the first fields, and keeps the struct alive and untouched
 * from acks_park until it has come back in the released list or from acks_unpark. Then it may be parked
 * again. */
struct acks_waiter {
    uint64_t id;         /* 0: not appended yet, waits at the gate; ACKS_ID_MAX at most */
    int w;               /* see concern.h */
    int64_t deadline_ms; /* or CLOCK_NEVER; not negative */
    void *owner;
    void (*over)(void *owner, struct acks_waiter *waiter); /* the wait is over: see acks_hand_back */

    enum acks_outcome outcome; /* valid once released, as is the count */
    struct acks_count count;
    struct acks_waiter *next; /* in the released list */

    bool parked; /* private, as is all below */
    struct queue_node by_id;
    struct queue_node by_deadline;
};

/* `meant`: how many nodes the log is meant to have, the master included; "all" and "majority" never count
 * fewer. 0: not told. The gate is open. NULL where there is no memory. */
struct acks *acks_open(unsigned meant);

/* No waiter may be parked, no member joined. NULL is harmless. */
void acks_close(struct acks *acks);

/* ---- nodes */

/* The master's own list reaches last_id now; a lower id than before is old news and changes nothing. */
void acks_appended(struct acks *acks, uint64_t last_id);

/* A new member that holds everything up to `position`. It counts for CONCERN_ALL once it has reached
 * `target`, from then on for good. NULL where there is no memory. */
struct acks_member *acks_join(struct acks *acks, uint64_t position, uint64_t target);
void acks_leave(struct acks *acks, struct acks_member *member);

/* As acks_join, but what the member holds counts for nothing before acks_let_count; it counts for
 * CONCERN_ALL, and so is waited for, when a member that joins at once would. */
struct acks_member *acks_join_held(struct acks *acks, uint64_t position, uint64_t target);
void acks_let_count(struct acks *acks, struct acks_member *member);
bool acks_is_held(const struct acks_member *member); /* asked by the thread that lets it count */

/* The member says that it holds everything up to `position`, higher or lower than before. */
void acks_record(struct acks *acks, struct acks_member *member, uint64_t position);

/* What the member said last; 0 while it is held. */
uint64_t acks_position(struct acks *acks, const struct acks_member *member);

/* Whether the member counts for CONCERN_ALL: see acks_join. */
bool acks_counts(struct acks *acks, const struct acks_member *member);

/* The count for an id at this moment. */
struct acks_count acks_count(struct acks *acks, uint64_t id, int w);

/* ---- waiters */

/* Parks the waiter. Returns false where it has not to wait: its outcome and count are filled then, with
 * ACKS_REACHED where what it waits for is there, ACKS_ADMITTED for one without an id, ACKS_ENDED for who
 * would have to wait after acks_end. */
bool acks_park(struct acks *acks, struct acks_waiter *waiter);

/* Takes a waiter out that nobody waits for any more, unless it was released. Returns whether it was parked:
 * then it is the owner's again. */
bool acks_unpark(struct acks *acks, struct acks_waiter *waiter);

/* Closes the gate, or opens it: that releases all who wait at it as ACKS_ADMITTED, in the order in which they
 * were parked. For appends in that order the caller appends them before it parks another waiter without an
 * id. */
void acks_gate(struct acks *acks, bool closed);
bool acks_gate_closed(const struct acks *acks); /* asked by the thread that opens and closes it */

/* Whether anybody waits at the gate. */
bool acks_gated(struct acks *acks);

/* Takes all waiters released since the last call, linked through `next`, in the order of their release. */
struct acks_waiter *acks_take_released(struct acks *acks);

/* Takes them, and calls `over` for each. */
void acks_hand_back(struct acks *acks);

/* Releases the waiters whose deadline is not after now_ms, as ACKS_LATE; they are in the released list at
 * return. Returns the earliest deadline left, or CLOCK_NEVER. */
int64_t acks_expire(struct acks *acks, int64_t now_ms);

/* The node holds nothing more than it does: releases those of this owner who wait for a message, as
 * ACKS_STRANDED. Who parks later may wait as ever, for other nodes. */
void acks_strand(struct acks *acks, const void *owner);

/* Calls `each` for every parked waiter: those at the gate in the order in which they were parked, then the
 * others by w, those with the same w in order of id. `each` calls no function of the count. */
void acks_each(struct acks *acks, void (*each)(void *ctx, struct acks_waiter *waiter), void *ctx);

/* ---- the end */

/* Blocks the calling thread until the count is drained, or until deadline_ms on the monotonic clock; 0 asks
 * only. Returns whether it is drained: nobody waits for ACKs, and one member at least, where there are any,
 * holds all that the master holds, so that what was acknowledged outlives the master. Waiters at the gate do
 * not count: they wait for no ACK, and nothing of theirs is appended. */
bool acks_drain(struct acks *acks, int64_t deadline_ms);

/* Releases everyone parked as ACKS_ENDED; from now on nobody parks. */
void acks_end(struct acks *acks);

#endif
