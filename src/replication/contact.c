#include "replication/contact.h"
#include "clock.h"
#include "logline.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    EARLY_MS = 1000,         /* a greeting may overtake the answer to the registration by so much */
    ATTEMPT_MOST_MS = 60000, /* silence that is allowed on a link: doubles up to this, see contact_learn */
    HOLD_MS = 300            /* a goodbye may follow the end of its process's connection so late */
};

static void link_drop(struct link **link)
{
    if (*link)
        link_close(*link);
    *link = NULL;
}

void contact_open(struct contact *contact, const struct base *base, const char *id, int64_t silence_ms,
                  int64_t now_ms)
{
    int64_t least_ms = silence_ms > LINK_ATTEMPT_MS ? silence_ms : LINK_ATTEMPT_MS;
    *contact = (struct contact){.base = base,
                                .id = id,
                                .attempt_least_ms = least_ms,
                                .attempt_ms = least_ms,
                                .batch_bytes = LINK_BATCH_BYTES,
                                .counters.held_us = now_ms * 1000};
}

void contact_close(struct contact *contact)
{
    link_drop(&contact->link);
    link_drop(&contact->candidate);
}

/* ---- addresses */

static bool url_equals(const struct http_url *a, const struct http_url *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool target_equals(const struct link_target *a, const struct link_target *b)
{
    return url_equals(&a->url, &b->url) && strcmp(a->boot, b->boot) == 0;
}

/* Whether a registration is of the process and URL that a link is to. One by hand names no process; the link
 * that came of it does not either, and is not what a process wants that registers by itself. */
static bool target_is(const struct link_target *target, const struct link *link)
{
    if (target->boot[0] && !link->target.boot[0])
        return false;
    const char *boot = link->peer.boot[0] ? link->peer.boot : link->target.boot;
    return url_equals(&target->url, &link->target.url) &&
           (!target->boot[0] || !boot[0] || strcmp(target->boot, boot) == 0);
}

/* Another registration than the one that the target is from. Only the proof shows which of the two holds, so
 * they are dialled by turns until then. */
static void target_add(struct contact *contact, const struct link_target *target)
{
    contact->other = contact->target;
    contact->target = *target;
}

static void targets_swap(struct contact *contact)
{
    struct link_target target = contact->target;
    if (!contact->other.url.port)
        return;
    contact->target = contact->other;
    contact->other = target;
}

const struct link_target *contact_wish(const struct contact *contact, const char *boot)
{
    const struct link_target *wishes[] = {contact->candidate ? &contact->candidate->target : NULL,
                                          contact->target.url.port ? &contact->target : NULL,
                                          contact->other.url.port ? &contact->other : NULL};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (wishes[i] && wishes[i]->boot[0] && strcmp(wishes[i]->boot, boot) != 0)
            return wishes[i];
    return NULL;
}

/* ---- dialling */

/* Opens a link to the target, with what earlier ones have taught. NULL where there is no memory. */
static struct link *contact_dial(struct contact *contact, const struct link_target *target, int64_t now_ms)
{
    struct link *link = link_open(contact->base, contact->id, target, now_ms);
    if (!link)
        return NULL;
    link->told = contact->told;
    link->owner = contact;
    link->counters = &contact->counters;
    link->sent_before = contact->sent;
    link->batch_bytes = contact->batch_bytes;
    link->attempt_ms = contact->attempt_ms;
    return link;
}

static void dial_later(struct contact *contact, int64_t now_ms)
{
    contact->dial_ms = now_ms + retry_pause(&contact->retry);
}

static void dial_now(struct contact *contact, int64_t now_ms)
{
    contact->dial_ms = now_ms;
    contact->retry.pause_ms = 0;
}

void contact_register(struct contact *contact, const struct link_target *target, int64_t now_ms)
{
    contact->registered_ms = now_ms;
    if (!contact->link) {
        if (!target_equals(target, &contact->target))
            target_add(contact, target);
        dial_now(contact, now_ms);
        return;
    }
    if (target_is(target, contact->link) || (contact->candidate && target_is(target, contact->candidate)))
        return;
    link_drop(&contact->candidate);
    contact->candidate = contact_dial(contact, target, now_ms);
}

void contact_renew(struct contact *contact, int64_t now_ms)
{
    if (contact->candidate)
        target_add(contact, &contact->candidate->target);
    contact_close(contact);
    dial_now(contact, now_ms);
}

/* ---- complaints */

/* Whether the secondary refused the greeting because it has not read the answer to its registration yet. */
static bool greeted_early(const struct contact *contact, const struct link *link, int64_t now_ms)
{
    return link->status == 409 && !link->peer.boot[0] && now_ms - contact->registered_ms < EARLY_MS;
}

/* Whether the secondary may be stopping: its connection has ended, or it answers 503. */
static bool may_be_leaving(const struct link *link)
{
    return link->peer.boot[0] && (link->error == -ECONNRESET || link->status == 503);
}

static void complaint_tell(const struct contact *contact, enum logline_level level, const char *why)
{
    complain(contact->base->complaints, level, contact->id, "link_failed",
             LOG_FIELDS(LOG_TEXT("member", contact->id)), "%s: %s; trying again", contact->id, why);
}

static void contact_complain(struct contact *contact, const struct link *link, bool starting, int64_t now_ms)
{
    snprintf(contact->complaint, sizeof contact->complaint, "%s", link->why);
    if (greeted_early(contact, link, now_ms) || starting) {
        complaint_tell(contact, LOGLINE_DEBUG, link->why);
    } else if (may_be_leaving(link)) {
        if (!contact->held[0])
            contact->hold_ms = now_ms + HOLD_MS;
        snprintf(contact->held, sizeof contact->held, "%s", link->why);
    } else {
        complaint_tell(contact, link->differs ? LOGLINE_ERROR : LOGLINE_WARN, link->why);
    }
}

/* Tells what was held, when no goodbye has come. Returns when to call again. */
static int64_t complaint_release(struct contact *contact, int64_t now_ms)
{
    if (!contact->held[0])
        return CLOCK_NEVER;
    if (now_ms < contact->hold_ms)
        return contact->hold_ms;
    complaint_tell(contact, LOGLINE_WARN, contact->held);
    contact->held[0] = '\0';
    return CLOCK_NEVER;
}

/* ---- links */

/* What a link that failed teaches about the next one. */
static void contact_learn(struct contact *contact, const struct link *link)
{
    bool proven = link->peer.boot[0];
    if (link->next.id > contact->sent + 1)
        contact->sent = link->next.id - 1;
    contact->batch_bytes = link_next_batch(link);
    if (link->progressed) {
        contact->retry.pause_ms = 0;
        contact->attempt_ms = contact->attempt_least_ms;
    } else if (link->error == -ETIMEDOUT && proven) {
        contact->attempt_ms *= 2; /* it lives, and needs longer for its answer */
    }
    if (contact->attempt_ms > ATTEMPT_MOST_MS)
        contact->attempt_ms = ATTEMPT_MOST_MS;
    if (contact->attempt_ms < contact->attempt_least_ms)
        contact->attempt_ms = contact->attempt_least_ms;
}

/* The link has failed. */
static void link_lost(struct contact *contact, bool starting, int64_t now_ms)
{
    struct link *link = contact->link;
    contact->counters.failures++;
    contact_learn(contact, link);
    contact_complain(contact, link, starting, now_ms);
    if (contact->candidate)
        target_add(contact, &contact->candidate->target);
    else
        targets_swap(contact);
    contact->link = contact->candidate;
    contact->candidate = NULL;
    link_close(link);
    dial_later(contact, now_ms);
}

/* The candidate has failed. Where no link is proven, what it was dialled for may hold all the same. */
static void candidate_lost(struct contact *contact)
{
    struct link *candidate = contact->candidate;
    logline_event(LOGLINE_DEBUG, "link_failed", LOG_FIELDS(LOG_TEXT("member", contact->id)),
                  "%s: a registration led nowhere: %s", contact->id, candidate->why);
    if (!contact_proven(contact))
        target_add(contact, &candidate->target);
    link_drop(&contact->candidate);
}

int64_t contact_pass(struct contact *contact, bool starting, int64_t now_ms)
{
    int64_t next_ms = complaint_release(contact, now_ms);
    if (contact->candidate) {
        next_ms = clock_earlier(link_pass(contact->candidate, now_ms), next_ms);
        if (contact->candidate->state == LINK_FAILED)
            candidate_lost(contact);
    }
    if (!contact->link && now_ms >= contact->dial_ms) {
        contact->link = contact_dial(contact, &contact->target, now_ms);
        if (!contact->link)
            dial_later(contact, now_ms);
    }
    if (contact->link) {
        int64_t due_ms = link_pass(contact->link, now_ms);
        next_ms = clock_earlier(due_ms, next_ms);
        if (contact->link->state == LINK_FAILED)
            link_lost(contact, starting, now_ms);
    }
    return contact->link ? next_ms : clock_earlier(next_ms, contact->dial_ms);
}

void contact_accept(struct contact *contact, struct link *link)
{
    if (link == contact->candidate) {
        link_drop(&contact->link);
        contact->link = link;
        contact->candidate = NULL;
        contact->complaint[0] = '\0';
    }
    if (!link->claimed) {
        contact->target = link->target;
        snprintf(contact->target.boot, sizeof contact->target.boot, "%s", link->peer.boot);
        contact->other.url.port = 0;
        link->claimed = true;
    }
    if (link->progressed)
        contact->complaint[0] = '\0'; /* a greeting alone does not end a failure */
}

const struct link *contact_proven(const struct contact *contact)
{
    return contact->link && contact->link->state == LINK_PROVEN ? contact->link : NULL;
}

void contact_woke(struct contact *contact, int64_t paused_ms, int64_t now_ms)
{
    if (contact->link)
        link_woke(contact->link, paused_ms, now_ms);
    if (contact->candidate)
        link_woke(contact->candidate, paused_ms, now_ms);
}

void contact_farewell(struct contact *contact, int64_t now_ms)
{
    if (contact->link)
        link_farewell(contact->link, now_ms);
}
