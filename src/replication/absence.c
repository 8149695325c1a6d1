#include "replication/absence.h"
#include "clock.h"
#include "replication/pending.h"
#include "replication/post.h"
#include <ctype.h>
#include <stdio.h>

enum {
    WARN_AGAIN_MS = 60000,
    LOOK_AGAIN_MS = 1000, /* where no POST waits for the member */
    RESTART_MS = 10000    /* a secondary that was told to stop is back by then */
};

/* The POSTs that wait, and what for. */
struct look {
    const struct base *base;
    const struct append *append;
    struct member_view member; /* the one that is looked at; id NULL: there is none to look at now */
    int64_t now_ms;
    unsigned nodes;               /* the members and the master */
    unsigned counting;            /* those of them that count for CONCERN_ALL */
    unsigned alive;               /* nodes: without the unhealthy ones so many may hold a message */
    unsigned need_all, need_most; /* what CONCERN_ALL and CONCERN_MAJORITY stand for */
    unsigned lacking;             /* POSTs that wait because fewer nodes are there than NODES tells of */
    unsigned posts;               /* for the member */
    unsigned freed; /* those of them for CONCERN_ALL, where that needs fewer nodes without the member */
};

/* Of the unhealthy members that may be warned of again the one that may be so for longest. */
static void member_seen(void *ctx, const struct member_view *member)
{
    struct look *look = ctx;
    look->counting += member->counts;
    if (member->state != MEMBER_UNHEALTHY || member->warn_ms > look->now_ms)
        return;
    if (!look->member.id || member->warn_ms < look->member.warn_ms)
        look->member = *member;
}

/* A number of nodes, or a majority, that others may still reach does not wait for the member. */
static void waiter_seen(void *ctx, struct acks_waiter *waiter)
{
    struct look *look = ctx;
    const struct post *post = (const struct post *)waiter;
    if (waiter->owner != look->append || post->is_get)
        return;
    bool all = waiter->w == CONCERN_ALL;
    unsigned need = all                             ? look->need_all
                    : waiter->w == CONCERN_MAJORITY ? look->need_most
                                                    : (unsigned)waiter->w;
    if (need > look->nodes && need <= look->base->settings->nodes &&
        look->now_ms - post->began_us / 1000 >= RESTART_MS)
        look->lacking++;
    if (!look->member.id || !pending_waits_for(waiter, need, &look->member, look->counting) ||
        (!all && need <= look->alive))
        return;
    look->posts++;
    look->freed += all && look->member.counts && look->counting > look->base->settings->nodes;
}

/* The command that removes the member. An id is whatever somebody registered: in a command line it must be
 * nothing but a name. */
static void command_write(const struct look *look, struct buf *out)
{
    const struct settings *settings = look->base->settings;
    struct http_url url = {.port = look->base->port};
    char authority[HTTP_AUTHORITY_MAX];
    snprintf(url.host, sizeof url.host, "%s", http_host_reached(settings->host));
    http_url_authority(&url, authority, sizeof authority);
    buf_add_text(out, "curl -X DELETE ");
    if (settings->cluster_token_file[0] && !strchr(settings->cluster_token_file, '\''))
        buf_addf(out, "-H \"Authorization: Bearer $(cat '%s')\" ", settings->cluster_token_file);
    else if (settings->cluster_token[0])
        buf_add_text(out, "-H \"Authorization: Bearer $CLUSTER_TOKEN\" ");
    buf_addf(out, "http://%s/secondaries/", authority);
    for (const char *c = look->member.id; *c; c++)
        buf_addf(out, strchr("-._~:", *c) || isalnum((unsigned char)*c) ? "%c" : "%%%02X", (unsigned char)*c);
    buf_add(out, "", 1);
}

/* "3 POSTs wait for s2, unhealthy for 60 s; if it is gone for good: curl -X DELETE …" */
static void member_warn(const struct look *look)
{
    const struct member_view *member = &look->member;
    struct buf command = {0};
    command_write(look, &command);
    complain(look->base->complaints, LOGLINE_WARN, member->id, "posts_wait",
             LOG_FIELDS(LOG_TEXT("member", member->id), LOG_NUMBER("count", look->posts),
                        LOG_NUMBER("ms", member->unhealthy_ms)),
             "%u %s for %s, unhealthy for %.0f s; %sif it is gone for good: %s", look->posts,
             look->posts == 1 ? "POST waits" : "POSTs wait", member->id, (double)member->unhealthy_ms / 1000,
             look->freed ? "" : "start it again, or another in its place; ",
             command.failed ? "DELETE it" : command.data);
    buf_free(&command);
}

/* NODES tells of more nodes than there are. */
static void lack_warn(const struct look *look)
{
    unsigned nodes = look->base->settings->nodes;
    complain(
        look->base->complaints, LOGLINE_WARN, "", "posts_wait",
        LOG_FIELDS(LOG_NUMBER("count", look->lacking), LOG_NUMBER("nodes", look->nodes)),
        "%u %s for more nodes: NODES is %u, and %u %s here; start what is missing, or this master with a "
        "smaller NODES",
        look->lacking, look->lacking == 1 ? "POST waits" : "POSTs wait", nodes, look->nodes,
        look->nodes == 1 ? "is" : "are");
}

/* Looks at one member, and seldom, since each look goes through all who wait. */
static void waits_look(struct absence *absence, const struct base *base, struct members *members,
                       const struct append *append, int64_t now_ms)
{
    struct members_count count = members_count(members);
    bool lacks = base->settings->nodes > count.all + 1 && now_ms >= absence->warn_ms;
    if (!count.unhealthy && !lacks)
        return;
    struct look look = {.base = base,
                        .append = append,
                        .now_ms = now_ms,
                        .nodes = count.all + 1,
                        .counting = 1,
                        .alive = count.alive + 1,
                        .need_all = acks_count(base->acks, 0, CONCERN_ALL).need,
                        .need_most = acks_count(base->acks, 0, CONCERN_MAJORITY).need};
    members_each(members, now_ms * 1000, member_seen, &look);
    if (!look.member.id && !lacks)
        return;
    acks_each(base->acks, waiter_seen, &look);
    if (lacks && look.lacking)
        lack_warn(&look);
    if (lacks)
        absence->warn_ms = now_ms + (look.lacking ? WARN_AGAIN_MS : LOOK_AGAIN_MS);
    if (look.posts)
        member_warn(&look);
    if (look.member.id)
        members_warn_at(members, look.member.id, now_ms + (look.posts ? WARN_AGAIN_MS : LOOK_AGAIN_MS));
}

void absence_look(struct absence *absence, const struct base *base, struct members *members,
                  const struct gate *gate, const struct append *append, int64_t now_ms)
{
    int64_t after_ms = base->settings->forget_after_ms;
    if (after_ms && !acks_gate_closed(base->acks) && !gate_read_only(gate))
        members_forget(members, after_ms, now_ms);
    waits_look(absence, base, members, append, now_ms);
}
