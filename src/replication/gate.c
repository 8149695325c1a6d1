#include "replication/gate.h"
#include "clock.h"
#include "concern.h"
#include "logline.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LATE_MS = 250 }; /* registrations that a restart of the master sets off are so far apart at most */

struct gate {
    struct base *base;
    const struct members *members;
    const struct admission *admission;
    bool read_only;           /* as it was logged last */
    bool waits_for_members;   /* as it was logged last */
    int64_t members_until_ms; /* members are waited for until then; CLOCK_NEVER: nobody waits yet */
    int64_t late_until_ms;    /* nodes that are late are waited for until then; 0: none is */
    int64_t woke_ms;          /* when the process was stopped last; 0: never, or that is over */
};

static int64_t patience_ms(const struct gate *gate)
{
    return MEMBER_UNHEALTHY_INTERVALS * gate->base->settings->heartbeat_ms;
}

/* ---- the quorum */

/* The nodes that must be there for appends, the master included; 0: QUORUM is off. */
static unsigned quorum_need(const struct gate *gate)
{
    int quorum = gate->base->settings->quorum;
    unsigned nodes = members_count(gate->members).proven + 1;
    if (quorum != CONCERN_MAJORITY)
        return (unsigned)quorum;
    if (gate->base->settings->nodes > nodes)
        nodes = gate->base->settings->nodes;
    return nodes / 2 + 1;
}

static unsigned quorum_missing(const struct gate *gate)
{
    unsigned need = quorum_need(gate);
    unsigned alive = members_count(gate->members).alive + 1;
    return alive < need ? need - alive : 0;
}

bool gate_read_only(const struct gate *gate)
{
    return quorum_missing(gate) > 0;
}

/* "1 of the 3 nodes of the quorum is missing" */
static void quorum_say_missing(const struct gate *gate, char *out, size_t out_size)
{
    unsigned missing = quorum_missing(gate);
    snprintf(out, out_size, "%u of the %u nodes of the quorum %s missing", missing, quorum_need(gate),
             missing == 1 ? "is" : "are");
}

static void quorum_log(struct gate *gate)
{
    char why[80];
    if (gate->read_only == gate_read_only(gate))
        return;
    gate->read_only = !gate->read_only;
    quorum_say_missing(gate, why, sizeof why);
    if (gate->read_only)
        logline_event(LOGLINE_WARN, "read_only", NULL, "read-only: %s", why);
    else
        logline_event(LOGLINE_INFO, "writable", NULL,
                      "writable again: no node of the quorum of %u is missing", quorum_need(gate));
}

/* ---- whom appends wait for */

/* The number that the default write concern stands for, of a log of so many nodes. */
static unsigned concern_nodes(int w, unsigned nodes)
{
    if (w == CONCERN_ALL)
        return nodes;
    if (w == CONCERN_MAJORITY)
        return nodes / 2 + 1;
    return (unsigned)w < nodes ? (unsigned)w : nodes;
}

static bool nodes_are_all_met(const struct gate *gate)
{
    return members_count(gate->members).linked + 1 >= gate->base->settings->nodes;
}

/* Whether nobody is missing who holds what was acknowledged. */
static bool nodes_are_sure(const struct gate *gate)
{
    const struct settings *settings = gate->base->settings;
    unsigned witnesses = members_count(gate->members).witnesses + gate->base->kept;
    if (nodes_are_all_met(gate))
        return true;
    return witnesses >= settings->nodes - concern_nodes(settings->write_concern, settings->nodes) + 1;
}

/* Whether members that have not answered yet may hold more than they registered with: that can be taken over
 * before the first append only. */
static bool members_may_have_more(struct gate *gate, int64_t now_ms)
{
    bool asks = gate->base->settings->quorum || gate->base->store;
    bool unmet = asks && !gate->base->appended && members_count(gate->members).unmet > 0;
    if (!unmet)
        gate->members_until_ms = CLOCK_NEVER;
    else if (gate->members_until_ms == CLOCK_NEVER && acks_gated(gate->base->acks))
        gate->members_until_ms = clock_after(now_ms, patience_ms(gate));
    return unmet && now_ms < gate->members_until_ms;
}

/* It is sure now that no acknowledged message is missing. Of the nodes that have not come one may hold more
 * all the same, and once something else was appended its list is another one: they get a moment. (With a disk
 * the members are known: see members_may_have_more.) */
static void gate_is_sure(struct gate *gate, int64_t now_ms)
{
    gate->base->sure = true;
    gate->base->sure_last = log_last(gate->base->log);
    if (!gate->base->store && !nodes_are_all_met(gate))
        gate->late_until_ms = now_ms + LATE_MS;
}

/* Whether nodes that are late are waited for. */
static bool nodes_are_late(struct gate *gate, int64_t now_ms)
{
    if (now_ms >= gate->late_until_ms || gate->base->appended || nodes_are_all_met(gate))
        gate->late_until_ms = 0;
    return gate->late_until_ms != 0;
}

/* Whether it is not known yet if the quorum has outlived the pause of this process. That is known when it has
 * answered afresh, or is missing: members are called unhealthy when the patience is over, or a little later.
 */
static bool quorum_is_unheard(struct gate *gate, int64_t now_ms)
{
    if (!gate->woke_ms)
        return false;
    bool heard = members_answered_since(gate->members, gate->woke_ms * 1000) + 1 >= quorum_need(gate);
    int64_t over_ms = now_ms - gate->woke_ms - patience_ms(gate);
    bool known = over_ms >= 0 && (gate_read_only(gate) || over_ms >= gate->base->settings->heartbeat_ms);
    if (heard || known)
        gate->woke_ms = 0;
    return gate->woke_ms != 0;
}

/* When to ask again. */
static int64_t unheard_until_ms(const struct gate *gate, int64_t now_ms)
{
    int64_t until_ms = gate->woke_ms + patience_ms(gate);
    int64_t soon_ms = now_ms + gate->base->settings->heartbeat_ms / 10 + 1; /* when members were looked at */
    return until_ms > now_ms ? until_ms : soon_ms;
}

/* Says that appends wait when one does, and that they go on when none has to any more. */
static void waiting_log(struct gate *gate, bool waits)
{
    unsigned unmet = members_count(gate->members).unmet;
    if (waits == gate->waits_for_members || (waits && !acks_gated(gate->base->acks)))
        return;
    gate->waits_for_members = waits;
    if (waits)
        logline_event(LOGLINE_INFO, "appends_wait", NULL, "appends wait for members to answer first");
    else if (unmet)
        logline_event(LOGLINE_INFO, "appends_go_on", NULL, "appends go on: %u %s not answered", unmet,
                      unmet == 1 ? "member has" : "members have");
    else
        logline_event(LOGLINE_INFO, "appends_go_on", NULL, "appends go on");
}

int64_t gate_pass(struct gate *gate, int64_t now_ms)
{
    quorum_log(gate);
    if (!gate->base->sure && nodes_are_sure(gate))
        gate_is_sure(gate, now_ms);
    bool unmet = members_may_have_more(gate, now_ms);
    bool unheard = quorum_is_unheard(gate, now_ms);
    bool late = nodes_are_late(gate, now_ms);
    bool waits = !gate->base->sure || unmet || unheard || late;
    bool missing = gate->base->store && store_missing(gate->base->store);
    bool closed = waits || missing || admission_takes_over(gate->admission);
    waiting_log(gate, waits);
    if (closed != acks_gate_closed(gate->base->acks))
        acks_gate(gate->base->acks, closed);
    int64_t woke_until_ms = unheard ? unheard_until_ms(gate, now_ms) : CLOCK_NEVER;
    int64_t unmet_until_ms = unmet ? gate->members_until_ms : CLOCK_NEVER;
    int64_t late_until_ms = late ? gate->late_until_ms : CLOCK_NEVER;
    return clock_earlier(late_until_ms, clock_earlier(woke_until_ms, unmet_until_ms));
}

/* ---- the rest */

bool gate_admits(const struct gate *gate, struct http_exchange *exchange)
{
    char why[80];
    if (gate->woke_ms || !gate_read_only(gate))
        return true;
    quorum_say_missing(gate, why, sizeof why);
    http_answer_unavailable(exchange, "the log is read-only: %s", why);
    return false;
}

void gate_woke(struct gate *gate, int64_t now_ms)
{
    if (!gate->base->settings->quorum)
        return;
    gate->woke_ms = now_ms;
    acks_gate(gate->base->acks, true);
}

struct gate *gate_open(struct base *base, const struct members *members, const struct admission *admission)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return NULL;
    gate->base = base;
    gate->members = members;
    gate->admission = admission;
    gate->members_until_ms = CLOCK_NEVER;
    gate_pass(gate, clock_ms());
    return gate;
}

void gate_free(struct gate *gate)
{
    free(gate);
}
