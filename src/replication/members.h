/* The master's members: who has registered, what each one counts for, and how well it is. How a member is
 * reached, and what a registration of a known member changes, is its contact's (contact.h).
 *
 * A registration is a wish. A member counts for ACKs and the quorum from the first proven answer on a link to
 * it (link.h); `proven` means that below.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_MEMBERS_H
#define REPLICATION_MEMBERS_H

#include "replication/link.h"

enum {
    MEMBERS_MAX = 1000,
    MEMBER_SUSPECTED_INTERVALS = 2, /* heartbeat intervals of silence */
    MEMBER_UNHEALTHY_INTERVALS = 5
};

enum member_state { MEMBER_HEALTHY, MEMBER_SUSPECTED, MEMBER_UNHEALTHY };
extern const char *const member_state_names[]; /* "healthy" and so on, as all that a node says calls it */

struct members;

/* NULL where there is no memory. */
struct members *members_open(const struct base *base);
void members_close(struct members *members);

/* Someone registers, and says that it holds the log up to `last_id`. Returns 0, -ENOMEM, or -ENOSPC where
 * there are MEMBERS_MAX. */
int members_register(struct members *members, const char *id, const struct link_target *target,
                     uint64_t last_id);

/* Whether the process has said goodbye here: see members_remove. */
bool members_said_goodbye(const struct members *members, const char *boot);

/* A member that the master's disk tells of: it counts for CONCERN_ALL from now on, with nothing until it is
 * proven, and is dialled. Returns 0 or -ENOMEM. */
int members_restore(struct members *members, const char *id, const struct http_url *url);

enum members_removal { MEMBERS_REMOVED, MEMBERS_NONE_SUCH, MEMBERS_OTHER_BOOT };

/* Removes a member: for a person, with boot "", or because that process of it says goodbye. A process that is
 * not the member's (any more) removes nobody. The goodbye of a process is remembered. */
enum members_removal members_remove(struct members *members, const char *id, const char *boot);

/* Removes the members that have been unhealthy for so long, 1 ms at least, as members_remove for a person
 * does; with a warning. Follows members_check. */
void members_forget(struct members *members, int64_t after_ms, int64_t now_ms);

/* This master's log or epoch is another from now on: all links are closed and opened anew. */
void members_renew(struct members *members);

/* The process was stopped for so long, until now: see link_woke. */
void members_woke(struct members *members, int64_t paused_ms, int64_t now_ms);

/* This master stops, and nothing more is to be sent: see link_farewell. */
void members_farewell(struct members *members, int64_t now_ms);

/* Called at the end of each pass of the loop, and sooner where it reads much: dials, and sends what there is.
 * Returns when to call it again. */
int64_t members_pass(struct members *members, int64_t now_ms);

/* Notices, and logs, changes of state. Returns when to call it again. */
int64_t members_check(struct members *members, int64_t now_ms);

/* How many there are of what, as members_check saw it last. */
struct members_count {
    unsigned all;       /* registered */
    unsigned proven;    /* those included that the disk tells of */
    unsigned linked;    /* the link to them is proven now */
    unsigned alive;     /* proven by this process, and not unhealthy */
    unsigned unmet;     /* neither proven by this process nor unhealthy: they may answer soon */
    unsigned unhealthy; /* the others */
    unsigned witnesses; /* proven, and their process came with messages and had once been complete */
};
struct members_count members_count(const struct members *members);

/* How many of the alive ones have answered a request that was sent since then. */
unsigned members_answered_since(const struct members *members, int64_t since_us);

/* A member as it is now, for who looks at all of them. The pointers are borrowed from the member. */
struct member_view {
    const char *id;
    const struct link_target *target; /* where it is dialled next */
    const char *complaint;            /* what is wrong with the link; "": nothing */
    uint64_t number;                  /* no other one has it, or had it before */
    uint64_t position;                /* what it holds; 0 where it is not proven yet */
    bool proven;                      /* by this process, or as the disk told */
    bool counts;                      /* for CONCERN_ALL */
    enum member_state state;
    uint64_t lag;         /* messages that it lacks */
    int64_t lag_us;       /* for how long it has lacked some; 0: it has all */
    int64_t silent_ms;    /* since its last sign of life */
    int64_t unhealthy_ms; /* for how long it has been unhealthy; 0 where it is not */
    int64_t warn_ms;      /* see members_warn_at; 0 at first */
    const struct link_counters *counters;
};

/* Calls `each` for every member, in the order in which they joined. */
void members_each(const struct members *members, int64_t now_us,
                  void (*each)(void *ctx, const struct member_view *member), void *ctx);

/* Adds {"id":…,"url":… to a JSON array that is open, with a comma before it where one is due, and without the
 * brace at the end. */
void member_view_write(const struct member_view *member, struct buf *out);

/* Notes when it may be warned again that somebody waits for this member. */
void members_warn_at(struct members *members, const char *id, int64_t at_ms);

#endif
