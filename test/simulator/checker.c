#include "checker.h"
#include "buf.h"
#include "world.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATE_MOST_US = 2000 };

static struct {
    struct check_terms terms;
    unsigned count;
    struct posted *posted[MESSAGES_MAX];
} check;

static struct check_totals totals;

struct check_totals check_totals(void)
{
    return totals;
}

void check_begin(const struct check_terms *terms)
{
    memset(&check, 0, sizeof check);
    check.terms = *terms;
}

struct posted *posted_new(enum message_source source, int w, int64_t timeout_ms)
{
    if (check.count + 1 >= MESSAGES_MAX)
        return NULL;
    struct posted *posted = world_alloc(sizeof *posted);
    posted->number = ++check.count;
    posted->source = source;
    posted->w = w;
    posted->timeout_ms = timeout_ms;
    snprintf(posted->text, sizeof posted->text, "%c%u%.*s", source, posted->number, (int)random_below(30),
             "------------------------------");
    check.posted[posted->number] = posted;
    totals.posts += source == SOURCE_CLIENT;
    return posted;
}

/* ---- lists */

static struct posted *posted_of(const struct machine *machine, struct span text)
{
    unsigned number = (unsigned)strtoul(text.at + 1, NULL, 10);
    struct posted *posted = number && number <= check.count ? check.posted[number] : NULL;
    if (!posted || !span_equals(text, posted->text))
        broken("%s has a message that nobody sent: %.*s", machine->proc.name, (int)text.len, text.at);
    return posted;
}

/* What a new message of a list must be, wherever it is. */
static void element_check(const struct machine *machine, struct posted *posted, unsigned id)
{
    const char *name = machine->proc.name;
    if (posted->source == SOURCE_LIAR)
        broken("%s has what a liar made up: %s", name, posted->text);
    if (posted->refused)
        broken("%s has %s, which was refused", name, posted->text);
    if (posted->id && posted->id != id)
        broken("%s has %s at %u, and it was at %u before", name, posted->text, id, posted->id);
    posted->id = id;
}

bool check_holds(const struct machine *machine, const struct posted *posted)
{
    return posted->id && machine->shown >= posted->id && machine->list[posted->id] == posted->number;
}

static bool stores(const struct machine *machine, const struct posted *posted)
{
    return posted->id && machine->listed >= posted->id && machine->list[posted->id] == posted->number;
}

/* Whether the process is the one that its master proved last. */
static bool is_proven(const struct machine *run, const struct machine *machine)
{
    for (int i = 0; i < PROOFS_MAX; i++)
        if (run->proofs[i].process == machine)
            return true;
    return false;
}

/* Nodes that may have made the quorum without the message: secondaries, each name once, of which some process
 * that lives or was proven does not have it. *holders: those that live and show it. */
static unsigned others_without(const struct machine *run, const struct posted *posted, unsigned *holders)
{
    bool without[SECONDARIES_MAX] = {false};
    bool with[SECONDARIES_MAX] = {false};
    unsigned count = 0;
    *holders = 0;
    for (const struct machine *machine = machines; machine; machine = machine->next) {
        if (machine->role != SETTINGS_SECONDARY)
            continue;
        if (machine->node && check_holds(machine, posted))
            with[machine->slot] = true;
        else if (!stores(machine, posted) && (machine->node || is_proven(run, machine)))
            without[machine->slot] = true;
    }
    for (int slot = 0; slot < SECONDARIES_MAX; slot++) {
        count += without[slot];
        *holders += with[slot];
    }
    return count;
}

static unsigned concern_number(int w, unsigned nodes)
{
    if (w == CONCERN_ALL)
        return nodes;
    return w == CONCERN_MAJORITY ? nodes / 2 + 1 : (unsigned)w < nodes ? (unsigned)w : nodes;
}

/* A run of the master that goes by the recipe adds its first message: what was acknowledged before with the
 * default write concern, and lives, must be there. With NODES it is as simple as that. With a QUORUM alone it
 * is so unless so many others were there that the quorum was made of them. */
static void run_judge(const struct machine *run)
{
    unsigned nodes = check.terms.secondaries + 1;
    unsigned w = concern_number(check.terms.write_concern, nodes);
    unsigned others = check.terms.nodes ? UINT_MAX : check.terms.quorum - 1;
    if (!check.terms.sole || (!check.terms.nodes && check.terms.quorum < nodes - w + 2))
        return;
    totals.judged++;
    for (unsigned i = 1; i <= check.count; i++) {
        const struct posted *posted = check.posted[i];
        unsigned holders;
        if (!posted->acked || posted->run == run || posted->acks < w || stores(run, posted))
            continue;
        unsigned without = others_without(run, posted, &holders);
        if (holders && without < others)
            broken("%s goes on without %s (id %u), which %u nodes held and %u secondaries still hold",
                   run->proc.name, posted->text, posted->id, posted->acks, holders);
    }
}

static void master_element(struct machine *master, struct posted *posted)
{
    if (posted->source == SOURCE_HAND)
        master->handmade = true;
    if (posted->run && posted->run != master && master->appended)
        broken("%s has %s of another run behind its own messages", master->proc.name, posted->text);
    if (posted->run || posted->source != SOURCE_CLIENT)
        return;
    posted->run = master;
    if (!master->appended) {
        master->appended = true;
        run_judge(master);
    }
}

static void element_take(struct machine *machine, struct span text)
{
    struct posted *posted = posted_of(machine, text);
    if (machine->listed + 1 >= LIST_MAX)
        broken("%s has too long a list", machine->proc.name);
    element_check(machine, posted, machine->listed + 1);
    machine->list[++machine->listed] = (unsigned short)posted->number;
    if (posted->source == SOURCE_HAND)
        machine->handmade = true;
    if (machine->role == SETTINGS_MASTER)
        master_element(machine, posted);
}

/* Takes the strings of a slice. */
static void slice_take(struct machine *machine, struct log_slice slice,
                       void (*take)(struct machine *machine, struct span text))
{
    while (slice.len) {
        struct iovec iov;
        log_slice_iov(&slice, &iov, 1);
        const char *at = iov.iov_base;
        const char *end = at + iov.iov_len;
        while (at < end) { /* no message has a quote or a backslash in it */
            const char *quote = memchr(at + 1, '"', (size_t)(end - at) - 1);
            if (!quote)
                broken("%s has a message without an end", machine->proc.name);
            take(machine, (struct span){at + 1, (size_t)(quote - at) - 1});
            at = quote + 2;
        }
        log_slice_skip(&slice, iov.iov_len);
    }
}

static bool lists_begin(const struct machine *part, const struct machine *whole, unsigned from)
{
    return part->listed <= whole->listed &&
           memcmp(part->list + from, whole->list + from, (part->listed + 1 - from) * sizeof *part->list) == 0;
}

bool check_begins(const struct machine *secondary, const struct machine *master)
{
    return lists_begin(secondary, master, 1);
}

/* A secondary's list is always a beginning of some master's. */
static void source_check(struct machine *secondary, unsigned from)
{
    if (secondary->handmade || (secondary->source && lists_begin(secondary, secondary->source, from)))
        return;
    for (struct machine *master = machines; master; master = master->next)
        if (master->role == SETTINGS_MASTER && check_begins(secondary, master)) {
            secondary->source = master;
            return;
        }
    broken("%s has a list of %u messages that no master had", secondary->proc.name, secondary->listed);
}

void check_look(struct machine *machine)
{
    const struct node_view view = node_view(machine->node);
    uint64_t last = log_last(view.log);
    unsigned before = machine->listed;
    if (last < machine->listed || view.shown < machine->shown || view.shown > last)
        broken("%s: the list has shrunk", machine->proc.name);
    if (last > before) {
        slice_take(machine, log_slice(view.log, before + 1, last), element_take);
        if (machine->listed != last)
            broken("%s has %u messages and says %" PRIu64, machine->proc.name, machine->listed, last);
        if (machine->role == SETTINGS_SECONDARY)
            source_check(machine, before + 1);
    }
    machine->shown = (unsigned)view.shown;
}

static unsigned reread_at;

static void element_reread(struct machine *machine, struct span text)
{
    if (posted_of(machine, text)->number != machine->list[++reread_at])
        broken("%s shows another message at %u than before", machine->proc.name, reread_at);
}

void check_all(void)
{
    for (struct machine *machine = machines; machine; machine = machine->next) {
        if (!machine->node)
            continue;
        check_look(machine);
        reread_at = 0;
        slice_take(machine, log_slice(node_view(machine->node).log, 1, machine->listed), element_reread);
    }
}

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
        proof->position = 0;
    }
    if (position > proof->position)
        proof->position = position;
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
    unsigned count = 1;
    for (const struct machine *machine = machines; machine && check.terms.ghosts; machine = machine->next)
        count += machine->role == SETTINGS_SECONDARY && check_holds(machine, posted);
    for (int i = 0; i < PROOFS_MAX && master->proofs[i].process && !check.terms.ghosts; i++)
        count += member_holds(&master->proofs[i], posted);
    return count;
}

/* "id":"s1" in a report of the master's members. */
static bool member_row(struct span report, const char *id)
{
    char row[64];
    int len = snprintf(row, sizeof row, "\"id\":\"%s\",", id);
    return memmem(report.at, report.len, row, (size_t)len) != NULL;
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
    if (concern == CONCERN_ALL && !check.terms.ghosts)
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
    if (!posted || posted->id != id || !stores(master, posted))
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
    if (answer->status == 202 && world_now_us() < posted->arrived_us + limit_us - 1000)
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
        totals.acked += answer->status == 201;
        totals.late += answer->status == 202;
        answer_of(answer, posted, posted->w);
        return;
    }
    totals.refused++;
    posted->refused = true;
    check_look(answer->proc->owner);
    if (posted->id)
        broken("%s has refused %s with %d, which is in its list", answer->proc->name, posted->text,
               answer->status);
}

/* ---- goodbyes */

/* A goodbye of an earlier process of a member that is proven by another one, alive, removes nobody. */
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
    if (removed && boot && secondary->node && strcmp(boot + 5, secondary->boot) != 0)
        broken("%s has removed %s, which lives, for the goodbye of another process", answer->proc->name,
               secondary->proc.name);
    /* where yet another process has registered as the member, it is there again, not proven */
    if (removed || (boot && strcmp(boot + 5, secondary->boot) == 0))
        proof->counts = false;
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
