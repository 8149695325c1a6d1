/* The master's members: who is registered, where, and how well each one is. Belongs to the loop's thread;
 * each member has a sender thread of its own. */
#ifndef REPLICATION_MEMBERS_H
#define REPLICATION_MEMBERS_H

#include "replication/sender.h"

enum { MEMBERS_MAX = 1000 };

enum member_state { MEMBER_HEALTHY, MEMBER_SUSPECTED, MEMBER_UNHEALTHY };

struct members;

/* `shared` outlives the members. NULL where there is no memory. */
struct members *members_open(const struct sender_shared *shared);

/* Tells all senders to end and waits for them, then frees all. */
void members_close(struct members *members);

/* Someone registers: a new member that holds the log up to `position`, or a known one (its sender connects
 * anew). Returns 0, -ENOMEM, or -ENOSPC where there are MEMBERS_MAX. */
int members_register(struct members *members, const char *id, const struct sender_target *target,
                     uint64_t position);

/* Returns whether there was such a member. */
bool members_remove(struct members *members, const char *id);

/* Called at the end of each pass of the loop, and sooner where it reads much: the senders send what there is.
 * `grown`: the list has grown since the last call. Returns when to call it again. */
int64_t members_send(struct members *members, struct loop *loop, int64_t now_ms, bool grown);

/* Notices, and logs, changes of state; frees the senders of removed members. Returns when to call it again.
 */
int64_t members_check(struct members *members, int64_t now_ms);

unsigned members_count(const struct members *members);

/* Those that are not unhealthy, as members_check saw them last. */
unsigned members_alive(const struct members *members);

/* Those of them that have not answered yet since they registered first: see sender_met. */
unsigned members_unmet(const struct members *members);

/* Adds the array for GET /health: [{"id":…,"url":…,"state":…,"acked":…,"lag":…,"last_seen":…}]. */
void members_write(struct members *members, int64_t now_ms, struct buf *out);

#endif
