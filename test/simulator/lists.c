#include "lists.h"
#include "world.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_totals check_all_totals;
struct check check;

struct check_totals check_totals(void)
{
    return check_all_totals;
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
    check_all_totals.posts += source == SOURCE_CLIENT;
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

bool check_stores(const struct machine *machine, const struct posted *posted)
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
 * that lives or was proven does not have it. *holders: those that live and show it. With NODES a dead one
 * whose disk has it is waited for as well. */
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
        else if (!check_stores(machine, posted) && (machine->node || is_proven(run, machine)))
            without[machine->slot] = true;
    }
    for (int slot = 0; slot < SECONDARIES_MAX; slot++) {
        if (check.terms.nodes && volume_holds(volume_of(SETTINGS_SECONDARY, slot), posted))
            with[slot] = true;
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
    check_all_totals.judged++;
    for (unsigned i = 1; i <= check.count; i++) {
        const struct posted *posted = check.posted[i];
        unsigned holders;
        if (!posted->acked || posted->run == run || posted->acks < w || check_stores(run, posted))
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
    unsigned shown = machine->shown;
    const struct http_service *service = &machine->proc.service;
    if (machine->volume && !machine->loaded && service->closed(service->ctx))
        return; /* it loads */
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
    if (machine->volume)
        volume_look(machine, shown);
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

void check_kept(const struct machine *before, const struct machine *after)
{
    for (unsigned i = 1; i <= check.count; i++)
        if (check.posted[i]->acks && check_stores(before, check.posted[i]) &&
            !check_stores(after, check.posted[i]))
            broken("%s was acknowledged with %u nodes, and %s is without it", check.posted[i]->text,
                   check.posted[i]->acks, after->proc.name);
}
