/* How the master reaches one member: where it dials, by which link (link.h), and when it dials again.
 *
 * It dials without end: after a link has failed there is a pause that grows (retry.h), and ends at once when
 * the secondary registers again. The next link begins with what the failed one has taught: how long requests
 * may be, and how long an answer may take.
 *
 * A registration of another process or URL than the link is to is verified before it changes anything: the
 * new address is dialled beside the link, by the *candidate*, and the candidate's first proof puts it in the
 * place of the link. So a registration that was long under way, of a process that is dead, changes nothing.
 * A registration of the process and the URL of the link, or of the candidate, leaves them alone. Where
 * neither of two addresses is proven, they are dialled by turns.
 *
 * What went wrong is logged (complaint.h): at debug where it is no wonder, and a moment later where a goodbye
 * may still explain it; that closes the contact, and nothing is logged then.
 *
 * Belongs to the loop's thread. */
#ifndef REPLICATION_CONTACT_H
#define REPLICATION_CONTACT_H

#include "replication/link.h"
#include "replication/retry.h"

struct contact {
    const struct base *base;
    const char *id; /* of the member */

    /* Set it before the first pass: see struct link, whose owner is the contact. Where it lets a proven
     * answer count it calls contact_accept. */
    int (*told)(struct link *link);

    /* For the owner to read */
    struct link_target target; /* to be dialled next; port 0: nothing is known yet */
    struct link *link;         /* NULL: a pause */
    struct link_counters counters;
    char complaint[512]; /* why the last link failed; "": all is well */

    /* Private */
    struct link_target other; /* where else it has registered since it was proven last; port 0: nowhere */
    struct link *candidate;   /* to what was registered since, not proven; or NULL */
    int64_t registered_ms;    /* last */
    int64_t dial_ms;          /* without a link: when to dial */
    struct retry retry;
    int64_t attempt_least_ms; /* see contact_open */
    int64_t attempt_ms;       /* see struct link, as is the next one */
    uint64_t batch_bytes;
    uint64_t sent;  /* the last id that was sent on a link that failed */
    char held[512]; /* a complaint that is told at hold_ms, unless a goodbye explains it before; "": none */
    int64_t hold_ms;
};

/* Begins, without an address: contact_register brings the first one. A link that is proven may be silent for
 * `silence_ms` at the least. `base` and `id` are borrowed, and outlive the contact; `contact` is overwritten.
 */
void contact_open(struct contact *contact, const struct base *base, const char *id, int64_t silence_ms,
                  int64_t now_ms);

/* Closes its links. */
void contact_close(struct contact *contact);

/* The member registers. Dials there at the next pass; beside the link, at once, where there is one to
 * something else. `target` is copied. */
void contact_register(struct contact *contact, const struct link_target *target, int64_t now_ms);

/* Called at the end of each pass of the loop: dials, sends what there is, and closes what has failed.
 * `starting`: the member may be starting just now, so it is no wonder where it does not answer. Returns when
 * to call it again. */
int64_t contact_pass(struct contact *contact, bool starting, int64_t now_ms);

/* Called by `told` alone: its owner lets this answer count. The first one on a link makes that the link, and
 * ends what is known of other addresses. */
void contact_accept(struct contact *contact, struct link *link);

/* The link, where it is proven; else NULL. Borrowed, until the next pass. */
const struct link *contact_proven(const struct contact *contact);

/* Where another process than `boot` has registered since the last proof; NULL: none has. Borrowed, until the
 * next call that changes the contact. */
const struct link_target *contact_wish(const struct contact *contact, const char *boot);

/* This master's log or epoch is another from now on: closes the links, and dials anew at the next pass. */
void contact_renew(struct contact *contact, int64_t now_ms);

/* See link_woke and link_farewell. */
void contact_woke(struct contact *contact, int64_t paused_ms, int64_t now_ms);
void contact_farewell(struct contact *contact, int64_t now_ms);

#endif
