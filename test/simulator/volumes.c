/* What disks promise: a node shows nothing that its disk does not have, and comes back with what it showed.
 */
#include "drive.h"
#include "lists.h"
#include "log/journal.h"
#include "world.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool volume_holds(const struct volume *volume, const struct posted *posted)
{
    return volume && volume->always && posted->id && volume->shown >= posted->id &&
           volume->list[posted->id] == posted->number;
}

/* What a power cut would leave that loses all it may is what shows, at least, and nothing is damaged. */
static void worst_check(const struct machine *machine, uint64_t shown)
{
    char why[JOURNAL_WHY_SIZE] = "";
    struct journal *journal;
    struct journal_progress progress;
    struct journal_found found = {0};
    struct log *log = log_open();
    drive_worst(machine->volume->drive, drive_at("/worst"));
    int result = journal_open(&journal, "/worst", JOURNAL_LOOK, why);
    if (result == 0) {
        result = journal_load(journal, log, false, &progress, &found, why);
        journal_close(journal);
    }
    if (result < 0)
        broken("%s: what is on its disk cannot be read: %s", machine->proc.name, why);
    if (found.damaged || found.missing)
        broken("%s: a power cut would be a damage", machine->proc.name);
    if (machine->volume->always &&
        (log_last(log) < shown || log_digest(log, shown) != log_digest(node_view(machine->node).log, shown)))
        broken("%s shows %" PRIu64 " messages, and its disk has %" PRIu64, machine->proc.name, shown,
               log_last(log));
    log_close(log);
}

/* The list was loaded: it is what showed before, or longer, and nothing is missing. */
static void loaded_check(struct machine *machine)
{
    const struct volume *volume = machine->volume;
    const struct wire_identity *own = node_view(machine->node).own;
    struct buf report = network_peek(&machine->proc, "/health");
    if (memmem(report.data, report.len, "\"missing\":", 10))
        broken("%s misses messages, and no disk was damaged", machine->proc.name);
    buf_free(&report);
    for (unsigned id = 1; volume->always && id <= volume->shown; id++)
        if (id > machine->shown || volume->list[id] != machine->list[id])
            broken("%s has come back with %u messages, and had shown %s as %u before", machine->proc.name,
                   machine->shown, check.posted[volume->list[id]]->text, id);
    if (machine->role == SETTINGS_MASTER && strcmp(own->log, volume->life.log) == 0 &&
        own->epoch <= volume->life.epoch)
        broken("%s begins with epoch %" PRIu64 ", with which a process began before, and appended",
               machine->proc.name, own->epoch);
    snprintf(machine->life.log, sizeof machine->life.log, "%s", own->log);
    machine->life.epoch = own->epoch;
}

void volume_look(struct machine *machine, unsigned before)
{
    struct volume *volume = machine->volume;
    if (!machine->loaded)
        loaded_check(machine);
    machine->loaded = true;
    if (machine->appended)
        volume->life = machine->life;
    if (machine->shown != before && random_percent(10))
        worst_check(machine, machine->shown);
    if (machine->shown > volume->shown || !volume->always) {
        memcpy(volume->list, machine->list, sizeof volume->list);
        volume->shown = machine->shown;
    }
}

void volume_empty(struct volume *volume)
{
    drive_empty(volume->drive);
    volume->shown = 0;
    volume->life = (struct life){0};
}
