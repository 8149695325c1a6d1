#include "replication/absence.h"
#include "clock.h"
#include "replication/pending.h"
#include "replication/post.h"
#include <ctype.h>
#include <stdio.h>

enum {
    WARN_AGAIN_MS = 60000,
    LOOK_AGAIN_MS = 1000 /* where no POST waits for the member */
};

/* The one member that is looked at, and the POSTs that wait for it. */
struct absence {
    const struct base *base;
    const struct append *append;
    struct member_view member; /* id NULL: there is none to look at now */
    int64_t now_ms;
    unsigned counting;            /* nodes that count for CONCERN_ALL */
    unsigned alive;               /* nodes: without the unhealthy ones so many may hold a message */
    unsigned need_all, need_most; /* what CONCERN_ALL and CONCERN_MAJORITY stand for */
    unsigned posts;
    unsigned freed; /* those of them for CONCERN_ALL, where that needs fewer nodes without the member */
};

/* Of the unhealthy members that may be warned of again the one that may be so for longest. */
static void member_seen(void *ctx, const struct member_view *member)
{
    struct absence *absence = ctx;
    absence->counting += member->counts;
    if (member->state != MEMBER_UNHEALTHY || member->warn_ms > absence->now_ms)
        return;
    if (!absence->member.id || member->warn_ms < absence->member.warn_ms)
        absence->member = *member;
}

/* A number of nodes, or a majority, that others may still reach does not wait for the member. */
static void waiter_seen(void *ctx, struct acks_waiter *waiter)
{
    struct absence *absence = ctx;
    if (waiter->owner != absence->append || ((const struct post *)waiter)->is_get)
        return;
    bool all = waiter->w == CONCERN_ALL;
    unsigned need = all                             ? absence->need_all
                    : waiter->w == CONCERN_MAJORITY ? absence->need_most
                                                    : (unsigned)waiter->w;
    if (!pending_waits_for(waiter, need, &absence->member, absence->counting) ||
        (!all && need <= absence->alive))
        return;
    absence->posts++;
    absence->freed += all && absence->member.counts && absence->counting > absence->base->settings->nodes;
}

/* The command that removes the member. An id is whatever somebody registered: in a command line it must be
 * nothing but a name. */
static void command_write(const struct absence *absence, struct buf *out)
{
    struct http_url url = {.port = absence->base->port};
    char authority[HTTP_AUTHORITY_MAX];
    snprintf(url.host, sizeof url.host, "%s", http_host_reached(absence->base->settings->host));
    http_url_authority(&url, authority, sizeof authority);
    buf_addf(out, "curl -X DELETE %shttp://%s/secondaries/",
             absence->base->settings->cluster_token[0] ? "-H \"Authorization: Bearer $CLUSTER_TOKEN\" " : "",
             authority);
    for (const char *c = absence->member.id; *c; c++)
        buf_addf(out, strchr("-._~:", *c) || isalnum((unsigned char)*c) ? "%c" : "%%%02X", (unsigned char)*c);
    buf_add(out, "", 1);
}

/* "3 POSTs wait for s2, unhealthy for 60 s; if it is gone for good: curl -X DELETE …" */
static void absence_warn(const struct absence *absence)
{
    const struct member_view *member = &absence->member;
    struct buf command = {0};
    command_write(absence, &command);
    complain(absence->base->complaints, LOGLINE_WARN, member->id, "posts_wait",
             LOG_FIELDS(LOG_TEXT("member", member->id), LOG_NUMBER("count", absence->posts),
                        LOG_NUMBER("ms", member->unhealthy_ms)),
             "%u %s for %s, unhealthy for %.0f s; %sif it is gone for good: %s", absence->posts,
             absence->posts == 1 ? "POST waits" : "POSTs wait", member->id,
             (double)member->unhealthy_ms / 1000,
             absence->freed ? "" : "start it again, or another in its place; ",
             command.failed ? "DELETE it" : command.data);
    buf_free(&command);
}

/* Looks at one member, since each look goes through all who wait. */
static void waits_look(const struct base *base, struct members *members, const struct append *append,
                       int64_t now_ms)
{
    struct absence absence = {.base = base,
                              .append = append,
                              .now_ms = now_ms,
                              .counting = 1,
                              .alive = members_count(members).alive + 1,
                              .need_all = acks_count(base->acks, 0, CONCERN_ALL).need,
                              .need_most = acks_count(base->acks, 0, CONCERN_MAJORITY).need};
    members_each(members, now_ms * 1000, member_seen, &absence);
    if (!absence.member.id)
        return;
    acks_each(base->acks, waiter_seen, &absence);
    if (absence.posts)
        absence_warn(&absence);
    members_warn_at(members, absence.member.id, now_ms + (absence.posts ? WARN_AGAIN_MS : LOOK_AGAIN_MS));
}

void absence_look(const struct base *base, struct members *members, const struct gate *gate,
                  const struct append *append, int64_t now_ms)
{
    int64_t after_ms = base->settings->forget_after_ms;
    if (!members_count(members).unhealthy)
        return;
    if (after_ms && !acks_gate_closed(base->acks) && !gate_read_only(gate))
        members_forget(members, after_ms, now_ms);
    waits_look(base, members, append, now_ms);
}
