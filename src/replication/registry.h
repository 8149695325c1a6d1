/* The master's registrations: who may become a member with the list that it has. A secondary with a beginning
 * of the master's list becomes one at once; one with more becomes one when the master has taken its list
 * over, which it does as long as nothing was appended to it; any other is refused. Belongs to the loop's
 * thread; a take-over has a thread of its own while it lasts. */
#ifndef REPLICATION_REGISTRY_H
#define REPLICATION_REGISTRY_H

#include "replication/identity.h"
#include "replication/members.h"
#include "replication/posts.h"

struct registry;

/* Everything in it outlives the registry. */
struct registry_config {
    struct log *log;
    struct identity *identity;
    struct acks *acks;
    struct members *members;
    struct posts *posts;
    const char *run;    /* of this master; see wire.h */
    const char *fields; /* as in struct link_shared */
    int64_t heartbeat_ms;
    bool has_quorum;             /* QUORUM is not off */
    void (*progress)(void *ctx); /* a take-over has something for registry_settle; called on its thread */
    void *ctx;
};

/* NULL where there is no memory. */
struct registry *registry_open(const struct registry_config *config);

/* After registry_settle with `stop`. */
void registry_close(struct registry *registry);

/* POST /register. */
void registry_register(struct registry *registry, const struct http_request *request,
                       struct http_exchange *exchange);

/* Called once a pass of the loop. Answers the registration whose take-over is over; with `stop`, also one
 * whose is not. Lets appends go on that waited for it, or for a member to be met. Returns when it must be
 * called again. */
int64_t registry_settle(struct registry *registry, int64_t now_ms, bool stop);

/* Whether a list is being taken over. */
bool registry_taking_over(const struct registry *registry);

#endif
