#include "replication/registry.h"
#include "clock.h"
#include "logline.h"
#include "replication/answer.h"
#include "replication/takeover.h"
#include "url.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUIET_MS = 2000,    /* a take-over that brings nothing for so long makes way for another */
    HOLD_HEARTBEATS = 5 /* appends wait no longer for members to be met: so long after the first one came */
};

/* What a secondary was refused with last. */
struct refusal {
    char id[WIRE_ID_SIZE];
    char log[WIRE_NAME_SIZE];
    uint64_t stored;
};

struct registry {
    struct registry_config config;
    struct takeover *takeover;        /* NULL: none under way */
    struct wire_register taking_from; /* the registration that began it */
    struct http_url taking_url;
    struct http_exchange *taking_exchange;
    int64_t hold_until_ms; /* appends are held until members are met, or this; CLOCK_NEVER: none came yet */
    struct refusal refusals[MEMBERS_MAX]; /* the latest, each id once; a new one takes the oldest's place */
    unsigned refusals_next;
};

struct registry *registry_open(const struct registry_config *config)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->config = *config;
    registry->hold_until_ms = CLOCK_NEVER;
    return registry;
}

void registry_close(struct registry *registry)
{
    free(registry);
}

bool registry_taking_over(const struct registry *registry)
{
    return registry->takeover != NULL;
}

/* Fills in what a registration leaves out: the caller's address, and host:port as the id. Returns NULL, or
 * what is wrong. */
static const char *registration_complete(struct wire_register *registration, const char *peer,
                                         struct http_url *url)
{
    if (!registration->url[0]) {
        const char *colon = strrchr(peer, ':');
        if (!registration->port)
            return "send \"url\", or \"port\" for the caller's own address";
        snprintf(registration->url, sizeof registration->url, "http://%.*s:%u", (int)(colon - peer), peer,
                 registration->port);
    }
    if (!http_url_parse(span_of(registration->url), url))
        return "\"url\" must be http://HOST:PORT and nothing else";
    if (!registration->id[0])
        http_url_authority(url, registration->id, sizeof registration->id);
    if (!wire_name_valid(registration->id))
        return "\"id\" must be visible ASCII without quotes and backslashes";
    if (registration->stored && !registration->log[0])
        return "\"log\" is missing: which list do the messages belong to?";
    return NULL;
}

static void registration_accept(struct registry *registry, const struct wire_register *registration,
                                const struct http_url *url, struct http_exchange *exchange)
{
    struct wire_registered answer = {.last_id = log_last(registry->config.log),
                                     .heartbeat_ms = registry->config.heartbeat_ms};
    struct buf body = {0};
    struct sender_target target = {.url = *url};
    snprintf(target.run, sizeof target.run, "%s", registration->run);
    int result = members_register(registry->config.members, registration->id, &target, registration->last_id);
    if (result < 0) {
        http_answer_unavailable(exchange, "%s",
                                result == -ENOSPC ? "there are as many members as this master takes"
                                                  : "there is no memory for another member");
        return;
    }
    identity_get(registry->config.identity, answer.log);
    snprintf(answer.id, sizeof answer.id, "%s", registration->id);
    snprintf(answer.run, sizeof answer.run, "%s", registry->config.run);
    wire_registered_write(&body, &answer);
    http_answer_json(exchange, 200, &body);
}

static struct refusal *refusal_find(struct registry *registry, const char *id)
{
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        if (strcmp(registry->refusals[i].id, id) == 0)
            return &registry->refusals[i];
    return &registry->refusals[registry->refusals_next++ % MEMBERS_MAX];
}

/* Those who are refused try again and again: that is said once for each list that one comes with. */
static bool refusal_is_new(struct registry *registry, const struct wire_register *registration)
{
    struct refusal *last = refusal_find(registry, registration->id);
    bool known = strcmp(last->id, registration->id) == 0 && strcmp(last->log, registration->log) == 0 &&
                 last->stored == registration->stored;
    snprintf(last->id, sizeof last->id, "%s", registration->id);
    snprintf(last->log, sizeof last->log, "%s", registration->log);
    last->stored = registration->stored;
    return !known;
}

static void registration_refuse(struct registry *registry, const struct wire_register *registration,
                                const char *why, struct http_exchange *exchange)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence,
             "%s; nothing is thrown away: restart the secondary to have it take this master's list, or "
             "restart the "
             "master empty and let this secondary register first to keep the secondary's",
             why);
    logline(refusal_is_new(registry, registration) ? LOGLINE_ERROR : LOGLINE_DEBUG,
            "refused %s, which holds %" PRIu64 " messages: %s", registration->id, registration->stored,
            sentence);
    answer_conflict(exchange, sentence, log_last(registry->config.log));
}

static const char same_id_differs[] =
    "its list differs from this master's although both have the same log id";

/* How the list of one who registers stands to the master's. */
enum standing {
    STANDING_PREFIX, /* the master can send the rest */
    STANDING_BEYOND, /* the master can take it over, or what it has more */
    STANDING_FOREIGN
};

static enum standing registration_standing(struct registry *registry,
                                           const struct wire_register *registration, const char **why)
{
    char name[WIRE_NAME_SIZE];
    uint64_t last = log_last(registry->config.log);
    identity_get(registry->config.identity, name);
    bool same = strcmp(name, registration->log) == 0;
    if (registration->stored == 0)
        return STANDING_PREFIX;
    if (same && registration->stored <= last) {
        *why = same_id_differs;
        bool differs = registration->has_digest &&
                       registration->digest != log_digest(registry->config.log, registration->stored);
        return differs ? STANDING_FOREIGN : STANDING_PREFIX;
    }
    *why = same ? "its list is ahead of this master's, to which others were appended since its start"
                : "its list belongs to another log";
    return !posts_appended(registry->config.posts) && (same || last == 0) ? STANDING_BEYOND
                                                                          : STANDING_FOREIGN;
}

/* How many members the first append waits for. Where there is a QUORUM, that is each one that counts for it
 * and was not met: a registration may have been under way for long, and what the secondary was sent meanwhile
 * can be taken over only before anything is appended. */
static unsigned unmet_members(const struct registry *registry)
{
    const struct registry_config *config = &registry->config;
    if (registry->takeover || !config->has_quorum || posts_appended(config->posts))
        return 0;
    return members_unmet(config->members);
}

static void hold_begin(struct registry *registry, unsigned unmet, int64_t now_ms)
{
    int64_t limit_ms = HOLD_HEARTBEATS * registry->config.heartbeat_ms;
    registry->hold_until_ms = clock_after(now_ms, limit_ms);
    logline(LOGLINE_INFO, "appends wait for %u %s to answer first, %" PRId64 " ms at most", unmet,
            unmet == 1 ? "member" : "members", limit_ms);
}

static void hold_end(unsigned unmet)
{
    if (unmet)
        logline(LOGLINE_INFO, "appends go on: %u %s not answered in time", unmet,
                unmet == 1 ? "member has" : "members have");
    else
        logline(LOGLINE_INFO, "appends go on: there is no member to wait for any more");
}

/* Appends wait while a list is taken over, and for members that were not met. These may be new ones again and
 * again, so that has a limit. Returns when it is reached. */
static int64_t appends_hold(struct registry *registry, int64_t now_ms)
{
    struct posts *posts = registry->config.posts;
    unsigned unmet = unmet_members(registry);
    if (unmet && registry->hold_until_ms == CLOCK_NEVER && posts_any_held(posts))
        hold_begin(registry, unmet, now_ms);
    bool hold = registry->takeover || (unmet && now_ms < registry->hold_until_ms);
    if (!hold && posts_held_back(posts) && registry->hold_until_ms != CLOCK_NEVER)
        hold_end(unmet);
    if (!unmet)
        registry->hold_until_ms = CLOCK_NEVER;
    posts_hold(posts, hold);
    return hold ? registry->hold_until_ms : CLOCK_NEVER;
}

/* Keeps the registration open until the list is taken over. */
static void takeover_begin(struct registry *registry, const struct wire_register *registration,
                           const struct http_url *url, struct http_exchange *exchange)
{
    registry->taking_from = *registration;
    registry->taking_url = *url;
    const struct takeover_config config = {
        .log = registry->config.log,
        .name = registry->taking_from.id,
        .url = *url,
        .last = registration->stored,
        .fields = registry->config.fields,
        .progress = registry->config.progress,
        .ctx = registry->config.ctx,
    };
    char own[WIRE_NAME_SIZE];
    identity_get(registry->config.identity, own);
    identity_set(registry->config.identity,
                 registration->log); /* before its first message goes to any member */
    registry->takeover = takeover_start(&config);
    if (!registry->takeover) {
        identity_set(registry->config.identity, own);
        http_answer_unavailable(exchange, "there is no memory to take over the list");
        return;
    }
    registry->taking_exchange = exchange;
}

/* Ends the take-over, and answers the registration that began it. */
static void takeover_end(struct registry *registry, enum takeover_state state)
{
    takeover_close(registry->takeover);
    registry->takeover = NULL;
    acks_appended(registry->config.acks, log_last(registry->config.log));
    if (state == TAKEOVER_COMPLETE) {
        logline(LOGLINE_INFO, "took over the list of %s: %" PRIu64 " messages", registry->taking_from.id,
                log_last(registry->config.log));
        registration_accept(registry, &registry->taking_from, &registry->taking_url,
                            registry->taking_exchange);
    } else if (state == TAKEOVER_DIFFERS) {
        registration_refuse(registry, &registry->taking_from, same_id_differs, registry->taking_exchange);
    } else {
        logline(LOGLINE_ERROR,
                "the list of %s could be taken over up to %" PRIu64 " of %" PRIu64
                " only; let it register again before anything is appended",
                registry->taking_from.id, log_last(registry->config.log), registry->taking_from.stored);
        http_answer_unavailable(registry->taking_exchange,
                                "the list could not be fetched from the secondary's URL");
    }
}

/* Ends a take-over that is over, or all the same where the program stops. */
int64_t registry_settle(struct registry *registry, int64_t now_ms, bool stop)
{
    enum takeover_state state = registry->takeover ? takeover_state(registry->takeover) : TAKEOVER_RUNS;
    if (registry->takeover && (state != TAKEOVER_RUNS || stop))
        takeover_end(registry, state);
    return appends_hold(registry, now_ms);
}

/* Whether somebody's registration shows that the take-over under way should end: it is from the secondary
 * whose list is fetched, and it has come back with less; or nothing comes any more, and this one has messages
 * that are missing. */
static bool takeover_makes_way(struct registry *registry, const struct wire_register *registration)
{
    const char *why;
    const struct wire_register *from = &registry->taking_from;
    if (takeover_state(registry->takeover) != TAKEOVER_RUNS)
        return false;
    if (strcmp(registration->id, from->id) == 0)
        return registration->stored < from->stored;
    return takeover_quiet_ms(registry->takeover, clock_ms()) >= QUIET_MS &&
           registration_standing(registry, registration, &why) == STANDING_BEYOND;
}

void registry_register(struct registry *registry, const struct http_request *request,
                       struct http_exchange *exchange)
{
    struct wire_register registration;
    struct http_url url;
    const char *why = wire_register_read(request->body, &registration);
    if (!why)
        why = registration_complete(&registration, http_exchange_peer(exchange), &url);
    if (why) {
        http_answer_error(exchange, 400, NULL, "%s", why);
        return;
    }
    if (registry->takeover && takeover_makes_way(registry, &registration))
        takeover_end(registry, TAKEOVER_BROKEN);
    if (registry->takeover) {
        http_answer_unavailable(exchange,
                                "the master is taking over the list of %s; register again in a moment",
                                registry->taking_from.id);
        return;
    }
    switch (registration_standing(registry, &registration, &why)) {
    case STANDING_PREFIX:
        registration_accept(registry, &registration, &url, exchange);
        break;
    case STANDING_BEYOND:
        takeover_begin(registry, &registration, &url, exchange);
        break;
    case STANDING_FOREIGN:
        registration_refuse(registry, &registration, why, exchange);
        break;
    }
    appends_hold(registry, clock_ms());
}
