#include "cluster.h"
#include "data.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool passed;

void scenario_passed(void)
{
    passed = true;
}

void scenario_end(void)
{
    if (passed)
        data_remove();
    else
        nodes_print_logs();
}

/* Where the log holds the text last; its begin where it does not. */
static const char *last_told(const char *log, const char *text)
{
    const char *last = log;
    for (const char *at = log; (at = strstr(at, text)); at++)
        last = at;
    return last;
}

/* Whether it has proven itself to this process of the master, and was not removed since. */
static bool member_met(const struct node *master, const char *id)
{
    char connected[160];
    char removed[160];
    char *log = node_log(master);
    snprintf(connected, sizeof connected, "connected to %s,", id);
    snprintf(removed, sizeof removed, "removed %s;", id);
    const char *met = last_told(log, connected);
    bool yes = met > last_told(log, "INFO  master settings ") && met > last_told(log, removed);
    free(log);
    return yes;
}

void expect_member(const struct node *master, const char *id)
{
    eventually(SOON, member_met(master, id) && member_number(master, id, "lag") == 0);
}

struct node *member_start(const struct node *master, const char *id, const char *words, ...)
{
    char more[400];
    va_list args;
    va_start(args, words);
    vsnprintf(more, sizeof more, words, args);
    va_end(args);
    struct node *node = secondary_start(master, "--secondary-id %s %s", id, more);
    expect_member(master, id);
    return node;
}

static struct node *member_through(const struct node *master, const char *master_url, const char *id,
                                   struct relay **relay)
{
    struct node *node = node_later("secondary", "");
    *relay = relay_open(node->port);
    node_words(node, "--master-url %s --secondary-id %s --advertise-url %s", master_url, id,
               relay_url(*relay));
    node_restart(node);
    expect_member(master, id);
    return node;
}

struct node *member_behind(const struct node *master, const char *id, struct relay **relay)
{
    return member_through(master, master->url, id, relay);
}

struct node *member_between(const struct node *master, const char *id, struct relay **to_master,
                            struct relay **relay)
{
    *to_master = relay_open(master->port);
    return member_through(master, relay_url(*to_master), id, relay);
}

struct reply post(const struct node *master, const char *query, const char *message)
{
    char target[256];
    snprintf(target, sizeof target, "/messages%s", query);
    return http_post(master->port, target, message, strlen(message));
}

struct call *post_begin(const struct node *master, const char *query, const char *message)
{
    char target[256];
    snprintf(target, sizeof target, "/messages%s", query);
    return call_post(master->port, target, message);
}

void expect_status(struct reply reply, int status)
{
    cr_assert_eq(reply.status, status, "%d instead of %d: %.300s", reply.status, status, reply.body);
}

/* `error` is that member of the body, or "". */
static void expect_answer(struct reply reply, int status, long long id, int w, int acks, const char *error)
{
    char body[256];
    char location[64];
    expect_status(reply, status);
    snprintf(body, sizeof body, "{\"id\":%lld,\"w\":%d,\"acks\":%d%s}", id, w, acks, error);
    cr_assert_str_eq(reply.body, body);
    snprintf(location, sizeof location, "/messages/%lld", id);
    cr_assert_str_eq(http_field(&reply, "Location"), location);
}

void expect_stored(struct reply reply, int status, long long id, int w, int acks)
{
    static const char late[] =
        ",\"error\":\"the time is over before enough nodes hold the message; it is in the "
        "log and is still being replicated\"";
    expect_answer(reply, status, id, w, acks, status == 202 ? late : "");
}

void expect_stored_at_end(struct reply reply, long long id, int w, int acks)
{
    expect_answer(reply, 202, id, w, acks,
                  ",\"error\":\"the master is shutting down before enough nodes hold the message\"");
}

void expect_took(struct reply reply, int ms)
{
    cr_assert(reply.ms >= ms - 1 && reply.ms < late(ms + AT_ONCE_MS), "it took %d ms instead of %d", reply.ms,
              ms);
}

void expect_at_once(struct reply reply)
{
    cr_assert(reply.ms < late(AT_ONCE_MS), "it took %d ms", reply.ms);
}

void expect_end(struct ending ending)
{
    cr_assert_eq(ending.code, 0, "exit code %d", ending.code);
    cr_assert(ending.ms < late(2 * 2000), "ended after %d ms", ending.ms);
}

void expect_logged(const struct node *node, const char *text, int lines)
{
    eventually(SOON, node_logged(node, text) >= lines);
    cr_assert_eq(node_logged(node, text), lines, "%d lines say \"%s\"", node_logged(node, text), text);
}

/* ---- lists */

static bool list_is(const struct node *node, const char *list)
{
    struct reply reply = http_get(node->port, "/messages");
    bool same = reply.status == 200 && strcmp(reply.body, list) == 0;
    http_free(&reply);
    return same;
}

bool shows(const struct node *node, const char *words)
{
    char list[4096] = "{\"messages\":[";
    size_t len = strlen(list);
    bool first = true;
    while (*words) {
        int word = (int)strcspn(words, " ");
        len += (size_t)snprintf(list + len, sizeof list - len, "%s\"%.*s\"", first ? "" : ",", word, words);
        first = false;
        words += word;
        words += *words == ' ';
    }
    snprintf(list + len, sizeof list - len, "]}");
    return list_is(node, list);
}

bool shows_numbered(const struct node *node, int count)
{
    char *list;
    size_t len;
    FILE *text = open_memstream(&list, &len);
    if (!text)
        trouble("no memory");
    fputs("{\"messages\":[", text);
    for (int i = 1; i <= count; i++)
        fprintf(text, "%s\"m%d\"", i > 1 ? "," : "", i);
    fputs("]}", text);
    fclose(text);
    bool same = list_is(node, list);
    free(list);
    return same;
}

int numbered_prefix(const struct node *node)
{
    struct reply reply = http_get(node->port, "/messages");
    const char *at = reply.body + strlen("{\"messages\":[");
    char next[24];
    int count = reply.status == 200 ? 0 : -1;
    while (count >= 0 && strcmp(at, "]}") != 0) {
        int len = snprintf(next, sizeof next, "%s\"m%d\"", count ? "," : "", count + 1);
        bool fits = strncmp(at, next, (size_t)len) == 0;
        at += len;
        count = fits ? count + 1 : -1;
    }
    http_free(&reply);
    return count;
}

void post_numbered(const struct node *master, const char *query, int from, int to)
{
    int fd = raw_open(master->port);
    char message[16];
    enum { AHEAD = 200 };
    for (int i = from; i < to + 1 + AHEAD; i++) {
        if (i <= to) {
            int len = snprintf(message, sizeof message, "m%d", i);
            raw_text(fd, "POST /messages%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", query, len,
                     message);
        }
        if (i - AHEAD < from)
            continue;
        struct reply reply = raw_reply(fd, false, HTTP_LIMIT_MS);
        if (reply.status != 201)
            trouble("m%d was answered %d: %s", i - AHEAD, reply.status, reply.body);
        http_free(&reply);
    }
    close(fd);
}

bool equal_lists(const struct node *first, ...)
{
    struct reply expected = http_get(first->port, "/messages");
    const struct node *node;
    bool same = expected.status == 200;
    va_list args;
    va_start(args, first);
    while (same && (node = va_arg(args, const struct node *)))
        same = list_is(node, expected.body);
    va_end(args);
    http_free(&expected);
    return same;
}

/* ---- health */

bool serves(const struct node *node)
{
    struct reply reply = http_get(node->port, "/health");
    bool yes = reply.status == 200;
    http_free(&reply);
    return yes;
}

long long last_id(const struct node *node)
{
    struct reply reply = http_get(node->port, "/health");
    long long id = json_number_of(reply.body, "last_id");
    http_free(&reply);
    return id;
}

bool registered(const struct node *secondary)
{
    struct reply reply = http_get(secondary->port, "/health");
    bool yes = json_true_of(reply.body, "registered");
    http_free(&reply);
    return yes;
}

char *log_name(const struct node *node)
{
    struct reply reply = http_get(node->port, "/health");
    char *name = (char *)(uintptr_t)json_text_of(reply.body, "log");
    http_free(&reply);
    return name ? name : strdup("");
}

int members(const struct node *master)
{
    struct reply reply = http_get(master->port, "/health");
    int count = 0;
    for (const char *at = reply.body; (at = strstr(at, "\"last_seen\":")); at++)
        count++;
    http_free(&reply);
    return count;
}

int members_met(const struct node *master)
{
    static const char begin[] = "{\"id\":\"";
    struct reply reply = http_get(master->port, "/health");
    int count = 0;
    for (const char *at = reply.body; (at = strstr(at, begin)); at++) {
        char *id = (char *)(uintptr_t)json_text_of(at, "id");
        count += member_met(master, id);
        free(id);
    }
    http_free(&reply);
    return count;
}

/* The member's part of the master's health, or NULL. */
static const char *member_of(const struct reply *health, const char *id)
{
    char start[128];
    snprintf(start, sizeof start, "{\"id\":\"%s\"", id);
    return strstr(health->body, start);
}

bool member_is(const struct node *master, const char *id, const char *state)
{
    struct reply reply = http_get(master->port, "/health");
    const char *member = member_of(&reply, id);
    char *found = member ? (char *)(uintptr_t)json_text_of(member, "state") : NULL;
    bool same = found && strcmp(found, state) == 0;
    free(found);
    http_free(&reply);
    return same;
}

long long member_number(const struct node *master, const char *id, const char *name)
{
    struct reply reply = http_get(master->port, "/health");
    const char *member = member_of(&reply, id);
    long long number = member ? json_number_of(member, name) : -1;
    http_free(&reply);
    return number;
}

int remove_member(const struct node *master, const char *id)
{
    char target[256];
    snprintf(target, sizeof target, "/secondaries/%s", id);
    struct reply reply = http_request(master->port, "DELETE", target, NULL, NULL, 0, HTTP_LIMIT_MS);
    int status = reply.status;
    http_free(&reply);
    return status;
}

/* ---- by hand */

__attribute__((format(printf, 3, 0))) static struct reply
post_json(const struct node *node, const char *target, const char *format, va_list args)
{
    char *json;
    if (vasprintf(&json, format, args) < 0)
        trouble("no memory");
    struct reply reply = http_post_json(node->port, target, json);
    free(json);
    return reply;
}

struct reply register_by_hand(const struct node *master, const char *json, ...)
{
    va_list args;
    va_start(args, json);
    struct reply reply = post_json(master, "/register", json, args);
    va_end(args);
    return reply;
}

struct reply replicate_by_hand(const struct node *secondary, const char *json, ...)
{
    va_list args;
    va_start(args, json);
    struct reply reply = post_json(secondary, "/replicate", json, args);
    va_end(args);
    return reply;
}

const char *node_says(const struct node *secondary, const char *name)
{
    struct reply reply = replicate_by_hand(secondary, "");
    const char *text = json_text_of(reply.body, name);
    http_free(&reply);
    return text;
}

static void digest_read(const struct node *node, char out[17])
{
    struct reply reply = http_get(node->port, "/messages");
    char *etag = (char *)(uintptr_t)http_field(&reply, "ETag");
    const char *digest = etag ? strrchr(etag, '-') : NULL;
    if (!digest)
        trouble("%s shows no list", node->authority);
    snprintf(out, 17, "%s", digest + 1);
    free(etag);
    http_free(&reply);
}

const char *list_digest(const struct node *node)
{
    char digest[17];
    digest_read(node, digest);
    return strdup(digest);
}

const char *list_claim(const struct node *master)
{
    char digest[17];
    char *log = log_name(master);
    char *claim;
    digest_read(master, digest);
    if (asprintf(&claim, "\"log\":\"%s\",\"epoch\":1,\"last_id\":%lld,\"digest\":\"%s\"", log,
                 last_id(master), digest) < 0)
        trouble("no memory");
    free(log);
    return claim;
}
