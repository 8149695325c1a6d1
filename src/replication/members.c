#include "replication/members.h"
#include "clock.h"
#include "container.h"
#include "json.h"
#include "logline.h"
#include "replication/contact.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECKS_AN_INTERVAL = 10,
    GOODBYES = 256 /* are remembered */
};

struct member {
    struct members *members; /* in which it is */
    struct member *next;
    char id[WIRE_ID_SIZE];
    struct contact contact;
    struct acks_member *ack;   /* NULL before the first proof, where the disk did not tell of it */
    uint64_t noted;            /* the change of the disk's note that tells of the first proof */
    uint64_t number;           /* goes with `ack`: no other member has had it */
    char boot[WIRE_NAME_SIZE]; /* proven last by this process of the master; "": none is */
    bool witness;              /* this process came with messages, and had once been complete */
    uint64_t joined_at;        /* the end of the list at the first registration */
    enum member_state state;
    int64_t seen_ms;
    int64_t warn_ms; /* see struct member_view */
};

struct members {
    const struct base *base;
    struct member *first;
    struct members_count count;
    uint64_t numbers;                        /* given out */
    char goodbyes[GOODBYES][WIRE_NAME_SIZE]; /* boots, in a ring: the latest */
    unsigned goodbyes_next;
};

const char *const member_state_names[] = {
    [MEMBER_HEALTHY] = "healthy", [MEMBER_SUSPECTED] = "suspected", [MEMBER_UNHEALTHY] = "unhealthy"};

struct members *members_open(const struct base *base)
{
    struct members *members = calloc(1, sizeof *members);
    if (members)
        members->base = base;
    return members;
}

static struct member **member_find(struct members *members, const char *id)
{
    struct member **at = &members->first;
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

/* Whether it was proven by this process of the master. */
static bool is_met(const struct member *member)
{
    return member->boot[0];
}

/* Whether it is a member that the disk tells of, which may be starting just now. */
static bool may_be_starting(const struct member *member)
{
    return member->ack && !is_met(member) && member->state != MEMBER_UNHEALTHY;
}

/* ---- passes */

static int64_t member_pass(struct members *members, struct member *member, int64_t now_ms)
{
    if (member->ack && acks_is_held(member->ack) && store_noted(members->base->store, member->noted))
        acks_let_count(members->base->acks, member->ack);
    return contact_pass(&member->contact, may_be_starting(member), now_ms);
}

int64_t members_pass(struct members *members, int64_t now_ms)
{
    int64_t next_ms = CLOCK_NEVER;
    for (struct member *member = members->first; member; member = member->next)
        next_ms = clock_earlier(next_ms, member_pass(members, member, now_ms));
    return next_ms;
}

void members_renew(struct members *members)
{
    for (struct member *member = members->first; member; member = member->next)
        contact_renew(&member->contact, clock_ms());
}

void members_woke(struct members *members, int64_t paused_ms, int64_t now_ms)
{
    for (struct member *member = members->first; member; member = member->next) {
        member->seen_ms = clock_earlier(member->seen_ms + paused_ms, now_ms);
        contact_woke(&member->contact, paused_ms, now_ms);
    }
}

void members_farewell(struct members *members, int64_t now_ms)
{
    for (struct member *member = members->first; member; member = member->next)
        contact_farewell(&member->contact, now_ms);
}

/* ---- proof */

/* Tells those who follow the events of its state, or of what became of it. */
static void event_tell(const struct members *members, const char *id, const char *state)
{
    events_tell(members->base->events, .kind = EVENT_MEMBER, .node = id, .state = state);
}

static void member_unlink(struct members *members, struct member **at)
{
    struct member *member = *at;
    *at = member->next;
    members->count.all--;
    store_changed(members->base->store);
    contact_close(&member->contact);
    if (member->ack)
        acks_leave(members->base->acks, member->ack);
    free(member);
}

/* The member that the process was proven as, other than `but`; or NULL's place. */
static struct member **member_of_boot(struct members *members, const char *boot, const struct member *but)
{
    struct member **at = &members->first;
    while (*at && (*at == but || strcmp((*at)->boot, boot) != 0))
        at = &(*at)->next;
    return at;
}

/* Before the position is recorded. */
static void receipts_tell(const struct members *members, const struct member *member, uint64_t position)
{
    const struct base *base = members->base;
    uint64_t known = member->ack ? acks_position(base->acks, member->ack) : 0;
    receipts_ack(base->receipts, member->number, known, position);
}

/* Records the position. A process that came back with less lowers it. Released waiters are looked at by the
 * loop at the end of the pass. */
static int member_record(struct members *members, struct member *member, const struct link *link)
{
    const struct base *base = members->base;
    if (receipts_wanted(base->receipts))
        receipts_tell(members, member, link->position);
    if (member->ack) {
        acks_record(base->acks, member->ack, link->position);
        return 0;
    }
    /* Held until the disk tells of it: the next process of this master is to know whom to ask for what was
     * acknowledged. */
    member->ack = store_noted(base->store, member->noted)
                      ? acks_join(base->acks, link->position, member->joined_at)
                      : acks_join_held(base->acks, link->position, member->joined_at);
    return member->ack ? 0 : -ENOMEM;
}

/* The member is the other one under a new name: what that one counts for, it counts for from now on. What the
 * member counted for itself was an earlier process, and goes with the other. */
static void member_inherit(struct member *member, struct member *other)
{
    struct acks_member *own = member->ack;
    member->ack = other->ack;
    other->ack = own;
    member->number = other->number;
    member->noted = other->noted;
    member->witness = other->witness;
    snprintf(member->boot, sizeof member->boot, "%s", other->boot);
}

/* One process is one member: the one that it names. Returns 0, or a negative errno: the link has failed then.
 */
static int boot_claim(struct members *members, struct member *member, struct link *link)
{
    struct member **other = member_of_boot(members, link->peer.boot, member);
    if (!*other)
        return 0;
    if (!link->peer.id[0])
        return link_fail(link, EBADMSG, "the program at its address is %s", (*other)->id);
    complain(members->base->complaints, LOGLINE_INFO, member->id, "removed",
             LOG_FIELDS(LOG_TEXT("member", (*other)->id)), "%s is the program that was %s: %s is removed",
             member->id, (*other)->id, (*other)->id);
    member_inherit(member, *other);
    member_unlink(members, other); /* before the position is recorded: a process never counts twice */
    return member_record(members, member, link);
}

/* The first proof on a link. Returns 0, or a negative errno: the link has failed then. */
static int member_prove(struct members *members, struct member *member, struct link *link)
{
    int result = boot_claim(members, member, link);
    if (result < 0)
        return result;
    if (strcmp(member->boot, link->peer.boot) != 0)
        member->witness = false;
    member->witness = member->witness || (link->target.complete && link->position > 0);
    snprintf(member->boot, sizeof member->boot, "%s", link->peer.boot);
    member->noted = store_changed(members->base->store);
    return 0;
}

static int member_told(struct link *link)
{
    struct contact *contact = link->owner;
    struct member *member = CONTAINER_OF(contact, struct member, contact);
    struct members *members = member->members;
    bool first = !link->claimed;
    int result = first ? member_prove(members, member, link) : 0;
    if (result < 0)
        return result;
    contact_accept(contact, link);
    if (member_record(members, member, link) < 0)
        return link_fail(link, ENOMEM, "there is no memory for another member");
    if (first) {
        event_tell(members, member->id, member_state_names[member->state]);
        members_check(members, clock_ms());
    }
    return 0;
}

/* ---- joining and leaving */

bool members_said_goodbye(const struct members *members, const char *boot)
{
    for (unsigned i = 0; i < GOODBYES && boot[0]; i++)
        if (strcmp(members->goodbyes[i], boot) == 0)
            return true;
    return false;
}

static void goodbye_remember(struct members *members, const char *boot)
{
    if (boot[0] && !members_said_goodbye(members, boot))
        snprintf(members->goodbyes[members->goodbyes_next++ % GOODBYES], WIRE_NAME_SIZE, "%s", boot);
}

static int64_t unhealthy_after_ms(const struct members *members)
{
    return MEMBER_UNHEALTHY_INTERVALS * members->base->settings->heartbeat_ms;
}

/* Adds a member at the end. NULL where there is no memory. */
static struct member *member_add(struct members *members, struct member **at, const char *id, int64_t now_ms)
{
    struct member *member = calloc(1, sizeof *member);
    if (!member)
        return NULL;
    member->members = members;
    snprintf(member->id, sizeof member->id, "%s", id);
    member->joined_at = log_last(members->base->log);
    member->seen_ms = now_ms;
    contact_open(&member->contact, members->base, member->id, unhealthy_after_ms(members), now_ms);
    member->contact.told = member_told;
    member->number = ++members->numbers;
    members->count.all++;
    *at = member;
    return member;
}

/* "registered s1 at http://…: it holds 2 of 3 messages; 1 member now". `before` is where a known member was,
 * or NULL; a healthy one that is somewhere else may be two programs, which replace each other for ever. */
static void log_registered(const struct members *members, const struct member *member,
                           const struct http_url *url, const struct http_url *before, uint64_t last_id)
{
    char authority[HTTP_AUTHORITY_MAX];
    char old[HTTP_AUTHORITY_MAX] = "";
    http_url_authority(url, authority, sizeof authority);
    if (before)
        http_url_authority(before, old, sizeof old);
    bool elsewhere = before && strcmp(old, authority) != 0;
    bool twice = elsewhere && member->state == MEMBER_HEALTHY && member->contact.link;
    complain(members->base->complaints, twice ? LOGLINE_WARN : LOGLINE_INFO, member->id, "registered",
             LOG_FIELDS(LOG_TEXT("member", member->id), LOG_TEXT("peer", authority),
                        LOG_NUMBER("last", last_id), LOG_NUMBER("members", members->count.all)),
             "registered %s at http://%s%s%s: it holds %" PRIu64 " of %" PRIu64 " messages; %u %s now%s",
             member->id, authority,
             elsewhere ? " in place of the one at http://"
             : before  ? " again"
                       : "",
             elsewhere ? old : "", last_id, log_last(members->base->log), members->count.all,
             members->count.all == 1 ? "member" : "members",
             twice ? "; if both of them run, give each its own SECONDARY_ID" : "");
}

int members_register(struct members *members, const char *id, const struct link_target *target,
                     uint64_t last_id)
{
    struct member **at = member_find(members, id);
    bool known = *at != NULL;
    int64_t now_ms = clock_ms();
    if (!known && members->count.all == MEMBERS_MAX)
        return -ENOSPC;
    struct member *member = known ? *at : member_add(members, at, id, now_ms);
    if (!member)
        return -ENOMEM;
    const struct contact *contact = &member->contact;
    struct http_url before = contact->link ? contact->link->target.url : contact->target.url;
    contact_register(&member->contact, target, now_ms);
    members_check(members, now_ms);
    event_tell(members, id, "registered");
    log_registered(members, member, &target->url, known ? &before : NULL, last_id);
    return 0;
}

int members_restore(struct members *members, const char *id, const struct http_url *url)
{
    int64_t now_ms = clock_ms();
    struct member **at = member_find(members, id);
    if (*at || members->count.all == MEMBERS_MAX)
        return 0;
    struct member *member = member_add(members, at, id, now_ms);
    if (!member)
        return -ENOMEM;
    member->ack = acks_join(members->base->acks, 0, 0);
    if (!member->ack) {
        member_unlink(members, at);
        return -ENOMEM;
    }
    /* It will register, now that the master that it follows has ended. */
    contact_register(&member->contact, &(struct link_target){.url = *url}, now_ms);
    members_check(members, now_ms);
    return 0;
}

/* Whether the process is the member's, as far as is known. */
static bool is_process_of(const struct member *member, const char *boot)
{
    const char *own = is_met(member) ? member->boot : member->contact.target.boot;
    return !boot[0] || strcmp(own, boot) == 0;
}

enum members_removal members_remove(struct members *members, const char *id, const char *boot)
{
    struct member **at = member_find(members, id);
    struct link_target target;
    goodbye_remember(members, boot);
    if (!*at)
        return MEMBERS_NONE_SUCH;
    if (!is_process_of(*at, boot))
        return MEMBERS_OTHER_BOOT;
    const struct link_target *wish = boot[0] ? contact_wish(&(*at)->contact, boot) : NULL;
    if (wish)
        target = *wish;
    member_unlink(members, at);
    complain(members->base->complaints, LOGLINE_INFO, id, "removed",
             LOG_FIELDS(LOG_TEXT("member", id), LOG_NUMBER("members", members->count.all)),
             "removed %s; %u %s now", id, members->count.all, members->count.all == 1 ? "member" : "members");
    event_tell(members, id, "removed");
    members_check(members, clock_ms());
    if (wish && !members_said_goodbye(members, target.boot))
        members_register(members, id, &target, 0);
    return MEMBERS_REMOVED;
}

void members_close(struct members *members)
{
    while (members->first)
        member_unlink(members, &members->first);
    free(members);
}

/* ---- states */

static enum member_state state_after(const struct members *members, int64_t silent_ms)
{
    if (silent_ms >= unhealthy_after_ms(members))
        return MEMBER_UNHEALTHY;
    return silent_ms >= MEMBER_SUSPECTED_INTERVALS * members->base->settings->heartbeat_ms ? MEMBER_SUSPECTED
                                                                                           : MEMBER_HEALTHY;
}

/* Signs of life are the first registration, and whatever comes on a proven link. */
static int64_t member_silent_ms(const struct member *member, int64_t now_ms)
{
    int64_t seen_ms = member->seen_ms;
    const struct link *link = contact_proven(&member->contact);
    if (link && link->heard_ms > seen_ms)
        seen_ms = link->heard_ms;
    return now_ms > seen_ms ? now_ms - seen_ms : 0;
}

static int64_t member_unhealthy_ms(const struct members *members, const struct member *member, int64_t now_ms)
{
    int64_t before_ms = unhealthy_after_ms(members);
    int64_t silent_ms = member_silent_ms(member, now_ms);
    return member->state == MEMBER_UNHEALTHY && silent_ms > before_ms ? silent_ms - before_ms : 0;
}

static void member_check(struct members *members, struct member *member, int64_t now_ms)
{
    int64_t silent_ms = member_silent_ms(member, now_ms);
    enum member_state state = state_after(members, silent_ms);
    member->seen_ms = now_ms - silent_ms;
    if (state == member->state)
        return;
    bool well = state == MEMBER_HEALTHY || (state == MEMBER_SUSPECTED && may_be_starting(member));
    complain(members->base->complaints, well ? LOGLINE_INFO : LOGLINE_WARN, member->id, "member",
             LOG_FIELDS(LOG_TEXT("member", member->id), LOG_TEXT("state", member_state_names[state])),
             "%s is %s now (was %s), last seen %.1f s ago", member->id, member_state_names[state],
             member_state_names[member->state], (double)silent_ms / 1000);
    member->state = state;
    event_tell(members, member->id, member_state_names[state]);
}

int64_t members_check(struct members *members, int64_t now_ms)
{
    int64_t heartbeat_ms = members->base->settings->heartbeat_ms;
    struct members_count count = {.all = members->count.all};
    for (struct member *member = members->first; member; member = member->next) {
        member_check(members, member, now_ms);
        bool alive = member->state != MEMBER_UNHEALTHY;
        count.proven += member->ack != NULL;
        count.linked += contact_proven(&member->contact) != NULL;
        count.alive += is_met(member) && alive;
        count.unmet += !is_met(member) && alive;
        count.unhealthy += !alive;
        count.witnesses += member->ack && member->witness;
    }
    members->count = count;
    bool anybody = members->first || members->base->settings->nodes > 1; /* or missing */
    return anybody ? now_ms + (heartbeat_ms + CHECKS_AN_INTERVAL - 1) / CHECKS_AN_INTERVAL : CLOCK_NEVER;
}

static void member_forget(struct members *members, struct member **at, int64_t now_ms)
{
    char id[WIRE_ID_SIZE];
    int64_t unhealthy_ms = member_unhealthy_ms(members, *at, now_ms);
    snprintf(id, sizeof id, "%s", (*at)->id);
    member_unlink(members, at);
    complain(members->base->complaints, LOGLINE_WARN, id, "forgotten",
             LOG_FIELDS(LOG_TEXT("member", id), LOG_NUMBER("ms", unhealthy_ms),
                        LOG_NUMBER("members", members->count.all)),
             "forgot %s, unhealthy for %.1f s, since FORGET_AFTER is %.1f; %u %s now", id,
             (double)unhealthy_ms / 1000, (double)members->base->settings->forget_after_ms / 1000,
             members->count.all, members->count.all == 1 ? "member" : "members");
    event_tell(members, id, "removed");
}

void members_forget(struct members *members, int64_t after_ms, int64_t now_ms)
{
    unsigned before = members->count.all;
    for (struct member **at = &members->first; *at;) {
        if (member_unhealthy_ms(members, *at, now_ms) >= after_ms)
            member_forget(members, at, now_ms);
        else
            at = &(*at)->next;
    }
    if (members->count.all != before)
        members_check(members, now_ms);
}

struct members_count members_count(const struct members *members)
{
    return members->count;
}

unsigned members_answered_since(const struct members *members, int64_t since_us)
{
    unsigned answered = 0;
    for (const struct member *member = members->first; member; member = member->next) {
        const struct link *link = contact_proven(&member->contact);
        answered += link && link->asked_us >= since_us;
    }
    return answered;
}

static struct member_view member_view(const struct members *members, const struct member *member,
                                      int64_t now_us)
{
    uint64_t acked = member->ack ? acks_position(members->base->acks, member->ack) : 0;
    uint64_t last = log_last(members->base->log);
    return (struct member_view){.id = member->id,
                                .target = &member->contact.target,
                                .complaint = member->contact.complaint,
                                .proven = member->ack || is_met(member),
                                .state = member->state,
                                .position = acked,
                                .number = member->number,
                                .counts = member->ack && acks_counts(members->base->acks, member->ack),
                                .lag = acked < last ? last - acked : 0,
                                .lag_us = acked < last ? now_us - member->contact.counters.held_us : 0,
                                .silent_ms = member_silent_ms(member, now_us / 1000),
                                .unhealthy_ms = member_unhealthy_ms(members, member, now_us / 1000),
                                .warn_ms = member->warn_ms,
                                .counters = &member->contact.counters};
}

void members_each(const struct members *members, int64_t now_us,
                  void (*each)(void *ctx, const struct member_view *member), void *ctx)
{
    for (const struct member *member = members->first; member; member = member->next) {
        struct member_view view = member_view(members, member, now_us);
        each(ctx, &view);
    }
}

void member_view_write(const struct member_view *member, struct buf *out)
{
    char authority[HTTP_AUTHORITY_MAX];
    http_url_authority(&member->target->url, authority, sizeof authority);
    if (out->len && out->data[out->len - 1] != '[')
        buf_add_char(out, ',');
    buf_add_text(out, "{\"id\":");
    json_quote(span_of(member->id), out);
    buf_addf(out, ",\"url\":\"http://%s\"", authority);
}

void members_warn_at(struct members *members, const char *id, int64_t at_ms)
{
    struct member **at = member_find(members, id);
    if (*at)
        (*at)->warn_ms = at_ms;
}
