#include "checker.h"
#include "buf.h"
#include "lists.h"
#include "world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATE_MOST_US = 2000 };

/* ---- ACKs */

/* The proof of the member of that id, maybe without a process yet. NULL: there is no room. */
static struct proof *proof_of(struct machine *master, const char *id)
{
    for (int i = 0; i < PROOFS_MAX; i++)
        if (!master->proofs[i].process || strcmp(master->proofs[i].process->id, id) == 0)
            return &master->proofs[i];
    return NULL;
}

static void check_acknowledged(struct proc *at, struct proc *from, struct span body)
{
    struct machine *master = at->owner;
    struct machine *secondary = from->owner;
    unsigned position;
    if (!secondary || !master || master->role != SETTINGS_MASTER ||
        sscanf(body.at, "{\"last_id\":%u", &position) != 1)
        return;
    struct proof *proof = proof_of(master, secondary->id);
    if (!proof)
        broken("%s has more members than there can be", at->name);
    if (proof->process != secondary) {
        proof->before = proof->process;
        proof->since_us = world_now_us();
        proof->process = secondary;
    }
    if (position > proof->highest)
        proof->highest = position;
    if (position > secondary->shown)
        broken("%s tells %u, and shows %u", from->name, position, secondary->shown);
    if (secondary->listed < position || master->listed < position ||
        memcmp(master->list + 1, secondary->list + 1, position * sizeof *master->list) != 0)
        broken("%s counts %s up to %u, and their lists differ", at->name, from->name, position);
    if (position >= master->listed)
        proof->counts = true;
}

static void check_registered(struct proc *proc, int status)
{
    struct machine *machine = proc->owner;
    if (machine)
        machine->registered = status;
}

static bool member_holds(const struct proof *proof, const struct posted *posted)
{
    bool just_now = proof->before && proof->since_us == world_now_us(); /* the wait may have ended before */
    return check_holds(proof->process, posted) || (just_now && check_holds(proof->before, posted));
}

/* How many nodes hold it, as far as the master can know: itself, and of each secondary the process that was
 * proven last, be it dead by now. */
static unsigned holders_of(const struct machine *master, const struct posted *posted)
{
    unsigned count = check_holds(master, posted); /* its own disk may not have it yet */
    for (const struct machine *machine = machines; machine && check.terms.ghosts; machine = machine->next)
        count += machine->role == SETTINGS_SECONDARY && check_holds(machine, posted);
    for (int i = 0; i < PROOFS_MAX && master->proofs[i].process && !check.terms.ghosts; i++)
        count += member_holds(&master->proofs[i], posted);
    return count;
}

/* "id":"s1" in a report of the master's members; those that it refused stand behind them. */
static bool member_row(struct span report, const char *id)
{
    static const char refused[] = "\"refused\":";
    char row[64];
    int len = snprintf(row, sizeof row, "\"id\":\"%s\",", id);
    const char *end = memmem(report.at, report.len, refused, strlen(refused));
    return end && memmem(report.at, (size_t)(end - report.at), row, (size_t)len) != NULL;
}

/* Nobody who counts for w=all may be without it. */
static void all_check(struct machine *master, const struct posted *posted)
{
    struct buf report = network_peek(&master->proc, "/health");
    for (int i = 0; i < PROOFS_MAX && master->proofs[i].process; i++) {
        const struct proof *proof = &master->proofs[i];
        if (proof->counts && proof->highest < posted->id && member_row(buf_span(&report), proof->process->id))
            broken("%s has answered %s with w=all, and %s tells %u", master->proc.name, posted->text,
                   proof->process->proc.name, proof->highest);
    }
    buf_free(&report);
}

static void concern_check(struct machine *master, const struct posted *posted, int concern, unsigned w)
{
    unsigned least = concern > 0              ? (unsigned)concern
                     : concern == CONCERN_ALL ? check.terms.nodes
                                              : check.terms.nodes / 2 + 1;
    if (w < least)
        broken("%s has answered %s with w %u, and %u was wanted", master->proc.name, posted->text, w, least);
    if (concern == CONCERN_ALL && !check.terms.ghosts && !master->settings.forget_after_ms)
        all_check(master, posted);
}

/* 201, or 202, or 200 to who waited later. */
static void answer_of(const struct answer *answer, struct posted *posted, int concern)
{
    struct machine *master = answer->proc->owner;
    unsigned id, w, acks;
    char text[128];
    snprintf(text, sizeof text, "%.*s", (int)answer->body.len, answer->body.at);
    if (sscanf(text, "{\"id\":%u,\"w\":%u,\"acks\":%u", &id, &w, &acks) != 3)
        broken("%s answers %s", answer->proc->name, text);
    check_look(master);
    if (!posted && id >= 1 && id <= master->listed)
        posted = check.posted[master->list[id]];
    if (!posted || posted->id != id || !check_stores(master, posted))
        broken("%s tells id %u of %s, which is not there", answer->proc->name, id,
               posted ? posted->text : "a message");
    if (posted->expects && id != posted->expects)
        broken("%s has appended %s as %u, and it was meant for %u", answer->proc->name, posted->text, id,
               posted->expects);
    unsigned held = holders_of(master, posted);
    if (acks > held)
        broken("%s tells that %u nodes hold %s, and %u do", answer->proc->name, acks, posted->text, held);
    if (answer->status != 202 && acks < w)
        broken("%s has answered %s too soon: %u of %u", answer->proc->name, posted->text, acks, w);
    if (answer->status != 202)
        concern_check(master, posted, concern, w);
    if (acks > posted->acks)
        posted->acks = acks;
    posted->acked = true;
}

static void check_arrived(struct proc *proc, void *tag)
{
    struct posted *posted = tag;
    posted->at = proc->owner;
    posted->arrived_us = world_now_us();
}

/* Its time limit is what it says. */
static void time_check(const struct answer *answer, const struct posted *posted)
{
    const struct machine *master = answer->proc->owner;
    int64_t limit_us = posted->timeout_ms * 1000;
    int64_t since_us =
        posted->arrived_us > answer->proc->thawed_us ? posted->arrived_us : answer->proc->thawed_us;
    if (!limit_us || master->stopping)
        return;
    bool early = answer->status == 202 && world_now_us() < posted->arrived_us + limit_us - 1000;
    if (early && !(master->volume && machine_disk_failed(master)))
        broken("%s has answered %s with 202 before its time was over", master->proc.name, posted->text);
    if (world_now_us() > since_us + limit_us + LATE_MOST_US)
        broken("%s has answered %s %.3f s after its time was over", master->proc.name, posted->text,
               (double)(world_now_us() - since_us - limit_us) / 1e6);
}

static void post_answered(const struct answer *answer)
{
    struct posted *posted = answer->tag;
    posted->abandoned = answer->gone;
    if (answer->gone)
        return;
    posted->answered = true;
    time_check(answer, posted);
    if (answer->status == 201 || answer->status == 202) {
        check_all_totals.acked += answer->status == 201;
        check_all_totals.late += answer->status == 202;
        answer_of(answer, posted, posted->w);
        return;
    }
    check_all_totals.refused++;
    posted->refused = true;
    check_look(answer->proc->owner);
    if (posted->id)
        broken("%s has refused %s with %d, which is in its list", answer->proc->name, posted->text,
               answer->status);
}

/* ---- goodbyes */

/* A goodbye of an earlier process of a member that is proven by another one, alive, removes nobody. (Where
 * somebody has registered as the member since, it is there again at once, not proven.) */
static void removal_answered(const struct answer *answer)
{
    struct machine *master = answer->proc->owner;
    struct http_target target;
    const char *why;
    if (answer->status != 204 || http_target_parse(span_of("DELETE"), span_of(answer->target), &target, &why))
        return;
    const char *id = target.path + strlen("/secondaries/");
    struct proof *proof = proof_of(master, id);
    if (!proof || !proof->process)
        return;
    const struct machine *secondary = proof->process;
    struct buf report = network_peek(answer->proc, "/health");
    bool removed = !member_row(buf_span(&report), secondary->id);
    const char *boot = strstr(answer->target, "boot=");
    bool is_its = boot && strcmp(boot + 5, secondary->boot) == 0;
    if (boot && secondary->node && !is_its && proof->since_us > master->removed_us &&
        !master->settings.forget_after_ms)
        broken("%s has removed %s, which lives, for the goodbye of another process", answer->proc->name,
               secondary->proc.name);
    if (removed || is_its)
        proof->counts = false;
    if (!boot)
        master->removed_us = world_now_us();
    buf_free(&report);
}

/* What was read is what shows. */
static void read_check(struct machine *machine, struct span body)
{
    struct buf list = {0};
    check_look(machine);
    buf_add_text(&list, "{\"messages\":[");
    for (unsigned id = 1; id <= machine->shown; id++)
        buf_addf(&list, "%s\"%s\"", id > 1 ? "," : "", check.posted[machine->list[id]]->text);
    buf_add_text(&list, "]}");
    if (body.len < list.len || memcmp(body.at, list.data, list.len) != 0)
        broken("%s answers a read with %.*s", machine->proc.name, (int)body.len, body.at);
    buf_free(&list);
}

static void check_answered(const struct answer *answer)
{
    struct machine *machine = answer->proc->owner;
    if (!machine)
        return;
    if (machine->role == SETTINGS_MASTER && strncmp(answer->target, "/secondaries/", 13) == 0)
        removal_answered(answer);
    else if (machine->role == SETTINGS_MASTER && answer->tag && strcmp(answer->method, "POST") == 0)
        post_answered(answer);
    else if (strcmp(answer->method, "GET") == 0 && strcmp(answer->target, "/messages") == 0 &&
             answer->status == 200)
        read_check(machine, answer->body);
    else if (machine->role == SETTINGS_MASTER && strstr(answer->target, "?w=") &&
             (answer->status == 200 || answer->status == 202) && !answer->gone)
        answer_of(answer, NULL, (int)strtoul(strstr(answer->target, "?w=") + 3, NULL, 10));
}

const struct network_rules check_rules = {.arrived = check_arrived,
                                          .answered = check_answered,
                                          .acknowledged = check_acknowledged,
                                          .registered = check_registered};

static bool is_registered(struct machine *secondary)
{
    struct buf report = network_peek(&secondary->proc, "/health");
    bool registered = memmem(report.data, report.len, "\"registered\":true", 17) != NULL;
    buf_free(&report);
    return registered;
}

bool check_counts(struct machine *master, struct machine *secondary)
{
    char row[96];
    int len = snprintf(row, sizeof row, "\"state\":\"healthy\",\"acked\":%u,", master->listed);
    struct buf report = network_peek(&master->proc, "/health");
    struct span text = buf_span(&report);
    const struct proof *proof = proof_of(master, secondary->id);
    const struct wire_identity *own = node_view(master->node).own;
    const struct wire_identity *its = node_view(secondary->node).own;
    bool there = proof && proof->process == secondary && check_begins(secondary, master) &&
                 member_row(text, secondary->id) && own->epoch == its->epoch &&
                 strcmp(own->log, its->log) == 0;
    if (there) {
        char id[64];
        int id_len = snprintf(id, sizeof id, "\"id\":\"%s\",", secondary->id);
        const char *at = memmem(text.at, text.len, id, (size_t)id_len);
        const char *end = memchr(at, '}', text.len - (size_t)(at - text.at));
        there = end && memmem(at, (size_t)(end - at), row, (size_t)len) != NULL;
    }
    buf_free(&report);
    return there && is_registered(secondary);
}

void check_nobody_waits(const struct machine *master)
{
    for (unsigned i = 1; i <= check.count; i++) {
        const struct posted *posted = check.posted[i];
        bool waits = posted->at == master && !posted->answered && !posted->abandoned;
        if (waits && posted->w <= (int)check.terms.secondaries + 1)
            broken("%s came to %s at %.3f s, and is not answered", posted->text, master->proc.name,
                   (double)posted->arrived_us / 1e6);
    }
}
