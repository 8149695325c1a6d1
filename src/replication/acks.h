/* The ACK count: how far each member has come, and who waits for how many of them.
 *
 * A mutex guards the positions; POSTs that wait for their write concern are parked here as waiters, in order
 * of id, and hold no thread. Recording an ACK, a member that joins and one that leaves release the waiters
 * that are now satisfied: they move to a list that the owner of the waiters fetches with acks_take_released.
 * A condition variable wakes a thread that waits for the count itself (acks_drain).
 *
 * It takes numbers: no sockets, no clock (times come in as arguments), no call-backs. Any thread may call any
 * function but acks_close. What returns true tells that waiters were moved to the released list by this call:
 * the caller then wakes the thread that answers them.
 *
 * Positions come from what a member itself said last; a member that comes back empty moves its position down.
 * The master holds every message, so it counts as one node for each id up to acks_appended's. */
#ifndef REPLICATION_ACKS_H
#define REPLICATION_ACKS_H

#include "concern.h"

struct acks;
struct acks_member; /* one member's position; made by acks_join, freed by acks_leave */

enum acks_outcome {
    ACKS_HELD, /* enough nodes hold the message */
    ACKS_LATE, /* the waiter's deadline came first */
    ACKS_ENDED /* acks_end came first */
};

/* How many nodes an id needs under a write concern, and how many hold it. */
struct acks_tally {
    unsigned need; /* the number w stands for at this moment, the master included */
    unsigned held;
};

/* One who waits. Zeroed at first; the owner fills the first three fields, and keeps the struct alive and
 * untouched from acks_park until it has come back in the released list or from acks_unpark. */
struct acks_waiter {
    uint64_t id;
    int w;               /* see concern.h */
    int64_t deadline_ms; /* or CLOCK_NEVER */

    enum acks_outcome outcome; /* valid once released, as is the tally */
    struct acks_tally tally;
    struct acks_waiter *next; /* the released list; before that private, as is all below */
    struct acks_waiter *prev;
    void *level; /* NULL: not parked */
    size_t heap_index;
};

/* NULL where there is no memory. */
struct acks *acks_open(void);

/* No waiter may be parked, no member joined. */
void acks_close(struct acks *acks);

/* The master's own list reaches last_id now; a lower id than before is old news and changes nothing. Returns
 * true as above, which takes a waiter for an id that was not counted here when it parked. */
bool acks_appended(struct acks *acks, uint64_t last_id);

/* A new member that holds everything up to `position`. It counts for CONCERN_ALL once it has reached
 * `target`, from then on for good. *released as above. NULL where there is no memory. */
struct acks_member *acks_join(struct acks *acks, uint64_t position, uint64_t target, bool *released);
bool acks_leave(struct acks *acks, struct acks_member *member);

/* The member says that it holds everything up to `position`, higher or lower than before. */
bool acks_record(struct acks *acks, struct acks_member *member, uint64_t position);

/* What the member said last. */
uint64_t acks_position(struct acks *acks, const struct acks_member *member);

/* The need and the count for an id at this moment. */
struct acks_tally acks_tally(struct acks *acks, uint64_t id, int w);

enum acks_park {
    ACKS_SATISFIED, /* not parked: outcome and tally are filled */
    ACKS_PARKED,
    ACKS_NO_MEMORY
};

/* Parks the waiter unless its concern is satisfied already (or acks_end was called: outcome ACKS_ENDED then).
 */
enum acks_park acks_park(struct acks *acks, struct acks_waiter *waiter);

/* Takes a waiter out that nobody waits for any more, unless it was released. Returns whether it was parked:
 * then it is the owner's again. */
bool acks_unpark(struct acks *acks, struct acks_waiter *waiter);

/* Takes all waiters released since the last call, linked through `next`, in the order of their release. */
struct acks_waiter *acks_take_released(struct acks *acks);

/* Releases the waiters whose deadline is not after now_ms, as ACKS_LATE; they are in the released list at
 * return. Returns the earliest deadline left, or CLOCK_NEVER. */
int64_t acks_expire(struct acks *acks, int64_t now_ms);

/* Waiters parked now. */
size_t acks_waiting(struct acks *acks);

/* Blocks the calling thread on the condition variable until nobody is parked, or deadline_ms on the monotonic
 * clock. Returns whether nobody is. For stopping: what is under way may still get its ACKs. */
bool acks_drain(struct acks *acks, int64_t deadline_ms);

/* Releases everyone parked as ACKS_ENDED; from now on nobody parks. */
bool acks_end(struct acks *acks);

#endif
