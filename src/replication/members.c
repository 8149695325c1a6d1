#include "replication/members.h"
#include "clock.h"
#include "json.h"
#include "logline.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUSPECTED_INTERVALS = 2,
    UNHEALTHY_INTERVALS = 5,
    CHECKS_AN_INTERVAL = 10,
    REAP_MS = 50 /* how often to look for a removed member's sender to be done */
};

struct member {
    struct member *next;
    char id[WIRE_ID_SIZE];
    char authority[HTTP_AUTHORITY_MAX];
    struct acks_member *ack;
    struct sender *sender;
    enum member_state state;
};

struct members {
    const struct sender_shared *shared;
    struct member *first;
    struct member *leaving; /* removed; their senders are ending */
    unsigned count;
    unsigned alive;
};

static const char *const state_names[] = {"healthy", "suspected", "unhealthy"};

struct members *members_open(const struct sender_shared *shared)
{
    struct members *members = calloc(1, sizeof *members);
    if (members)
        members->shared = shared;
    return members;
}

static struct member **member_find(struct members *members, const char *id)
{
    struct member **at = &members->first;
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

/* ---- joining and leaving */

/* Leaving and joining only ever release waiters on the loop's own thread, which looks at them at the end of
 * the pass; nobody has to be woken. */
static struct member *member_new(struct members *members, const char *id, const struct sender_target *target,
                                 uint64_t position)
{
    bool released;
    struct member *member = calloc(1, sizeof *member);
    if (!member)
        return NULL;
    snprintf(member->id, sizeof member->id, "%s", id);
    member->ack = acks_join(members->shared->acks, position, log_last(members->shared->link.log), &released);
    if (!member->ack)
        goto no_ack;
    member->sender = sender_start(members->shared, member->id, target, member->ack);
    if (!member->sender)
        goto no_sender;
    return member;

no_sender:
    acks_leave(members->shared->acks, member->ack);
no_ack:
    free(member);
    return NULL;
}

/* "registered s1 at http://…: it holds 2 of 3 messages; 1 member now". `before` is where a known member was,
 * or NULL; a healthy one that is somewhere else may be two programs, which replace each other for ever. */
static void log_registered(const struct members *members, const struct member *member, const char *before,
                           bool healthy, uint64_t position)
{
    bool elsewhere = before && strcmp(before, member->authority) != 0;
    bool twice = elsewhere && healthy;
    logline(twice ? LOGLINE_WARN : LOGLINE_INFO,
            "registered %s at http://%s%s%s: it holds %" PRIu64 " of %" PRIu64 " messages; %u %s now%s",
            member->id, member->authority,
            elsewhere ? " in place of the one at http://"
            : before  ? " again"
                      : "",
            elsewhere ? before : "", position, log_last(members->shared->link.log), members->count,
            members->count == 1 ? "member" : "members",
            twice ? "; if both of them run, give each its own SECONDARY_ID" : "");
}

int members_register(struct members *members, const char *id, const struct sender_target *target,
                     uint64_t position)
{
    struct member **at = member_find(members, id);
    bool known = *at != NULL;
    bool healthy = known && (*at)->state == MEMBER_HEALTHY;
    char before[HTTP_AUTHORITY_MAX];
    if (!known && members->count == MEMBERS_MAX)
        return -ENOSPC;
    if (known) {
        sender_renew((*at)->sender, target); /* from here on it records nothing that came on the old link */
        acks_record(members->shared->acks, (*at)->ack, position);
    } else {
        *at = member_new(members, id, target, position);
    }
    if (!*at)
        return -ENOMEM;
    members->count += !known;
    memcpy(before, (*at)->authority, sizeof before);
    http_url_authority(&target->url, (*at)->authority, sizeof(*at)->authority);
    members_check(members, clock_ms());
    log_registered(members, *at, known ? before : NULL, healthy, position);
    return 0;
}

bool members_remove(struct members *members, const char *id)
{
    struct member **at = member_find(members, id);
    struct member *member = *at;
    if (!member)
        return false;
    *at = member->next;
    members->count--;
    sender_end(member->sender);
    acks_leave(members->shared->acks, member->ack);
    member->next = members->leaving;
    members->leaving = member;
    members_check(members, clock_ms());
    logline(LOGLINE_INFO, "removed %s; %u %s now", id, members->count,
            members->count == 1 ? "member" : "members");
    return true;
}

/* After sender_end. */
static void member_free(struct member *member)
{
    sender_free(member->sender);
    free(member);
}

static void leaving_reap(struct members *members)
{
    for (struct member **at = &members->leaving; *at;) {
        struct member *member = *at;
        if (!sender_ended(member->sender)) {
            at = &member->next;
            continue;
        }
        *at = member->next;
        member_free(member);
    }
}

void members_close(struct members *members)
{
    for (struct member *member = members->first; member; member = member->next)
        sender_end(member->sender);
    while (members->first) {
        struct member *member = members->first;
        members->first = member->next;
        acks_leave(members->shared->acks, member->ack);
        member_free(member);
    }
    while (members->leaving) {
        struct member *member = members->leaving;
        members->leaving = member->next;
        member_free(member);
    }
    free(members);
}

int64_t members_send(struct members *members, struct loop *loop, int64_t now_ms, bool grown)
{
    int64_t next_ms = CLOCK_NEVER;
    for (struct member *member = members->first; member; member = member->next) {
        int64_t due_ms = sender_pass(member->sender, loop, now_ms, grown);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    return next_ms;
}

/* ---- states */

static enum member_state state_after(int64_t silent_ms, int64_t heartbeat_ms)
{
    if (silent_ms >= UNHEALTHY_INTERVALS * heartbeat_ms)
        return MEMBER_UNHEALTHY;
    return silent_ms >= SUSPECTED_INTERVALS * heartbeat_ms ? MEMBER_SUSPECTED : MEMBER_HEALTHY;
}

static int64_t member_silent_ms(const struct member *member, int64_t now_ms)
{
    int64_t silent_ms = now_ms - sender_seen_ms(member->sender);
    return silent_ms > 0 ? silent_ms : 0;
}

static void member_check(struct member *member, int64_t now_ms, int64_t heartbeat_ms)
{
    int64_t silent_ms = member_silent_ms(member, now_ms);
    enum member_state state = state_after(silent_ms, heartbeat_ms);
    if (state == member->state)
        return;
    logline(state == MEMBER_HEALTHY ? LOGLINE_INFO : LOGLINE_WARN,
            "%s is %s now (was %s), last seen %.1f s ago", member->id, state_names[state],
            state_names[member->state], (double)silent_ms / 1000);
    member->state = state;
}

int64_t members_check(struct members *members, int64_t now_ms)
{
    int64_t heartbeat_ms = members->shared->link.heartbeat_ms;
    members->alive = 0;
    for (struct member *member = members->first; member; member = member->next) {
        member_check(member, now_ms, heartbeat_ms);
        members->alive += member->state != MEMBER_UNHEALTHY;
    }
    leaving_reap(members);
    if (members->leaving)
        return now_ms + REAP_MS;
    return members->first ? now_ms + (heartbeat_ms + CHECKS_AN_INTERVAL - 1) / CHECKS_AN_INTERVAL
                          : CLOCK_NEVER;
}

unsigned members_count(const struct members *members)
{
    return members->count;
}

unsigned members_alive(const struct members *members)
{
    return members->alive;
}

unsigned members_unmet(const struct members *members)
{
    unsigned unmet = 0;
    for (const struct member *member = members->first; member; member = member->next)
        unmet += member->state != MEMBER_UNHEALTHY && !sender_met(member->sender);
    return unmet;
}

static void member_write(struct members *members, const struct member *member, int64_t now_ms,
                         struct buf *out)
{
    uint64_t acked = acks_position(members->shared->acks, member->ack);
    uint64_t last = log_last(members->shared->link.log);
    int64_t silent_ms = member_silent_ms(member, now_ms);
    buf_add_text(out, "{\"id\":");
    json_quote(span_of(member->id), out);
    buf_add_text(out, ",\"url\":\"http://");
    buf_add_text(out, member->authority);
    buf_addf(out, "\",\"state\":\"%s\",\"acked\":%" PRIu64 ",\"lag\":%" PRIu64 ",\"last_seen\":%.3f}",
             state_names[member->state], acked, acked < last ? last - acked : 0, (double)silent_ms / 1000);
}

void members_write(struct members *members, int64_t now_ms, struct buf *out)
{
    buf_add_char(out, '[');
    for (const struct member *member = members->first; member; member = member->next) {
        if (member != members->first)
            buf_add_char(out, ',');
        member_write(members, member, now_ms, out);
    }
    buf_add_char(out, ']');
}
