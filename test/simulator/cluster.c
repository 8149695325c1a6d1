#include "cluster.h"
#include "checker.h"
#include "clock.h"
#include "log/journal.h"
#include "workers.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

enum { GOODBYE_MS = 500, DRAIN_MS = 1000 };

struct machine *machines;
static struct volume *volumes[2][SECONDARIES_MAX];

void cluster_begin(void)
{
    machines = NULL;
    memset(volumes, 0, sizeof volumes);
    drives_begin();
}

/* ---- disks */

struct volume *volume_of(enum settings_role role, int slot)
{
    return volumes[role == SETTINGS_MASTER][slot];
}

static void volume_take(struct machine *machine)
{
    char *path = machine->settings.data_dir;
    bool master = machine->role == SETTINGS_MASTER;
    struct volume **volume = &volumes[master][machine->slot];
    if (!path[0])
        return;
    snprintf(path, sizeof machine->settings.data_dir, "/data/%c%d", master ? 'm' : 's', machine->slot + 1);
    if (!*volume) {
        *volume = world_alloc(sizeof **volume);
        (*volume)->drive = drive_at(path);
        (*volume)->always = machine->settings.fsync_ms == SETTINGS_FSYNC_ALWAYS;
    }
    machine->volume = *volume;
}

static void disk_wakes(void *ctx)
{
    proc_touch(ctx);
}

static void unusable_ends(void *subject, void *object)
{
    struct machine *machine = subject;
    (void)object;
    if (machine->node)
        machine_kill(machine, false);
}

static void list_unusable(void *ctx)
{
    struct machine *machine = ctx;
    if (!machine->proc.alive || machine->unusable)
        return;
    if (!drive_troubled(machine->volume->drive))
        broken("%s cannot load its list, and nothing is wrong with its disk", machine->proc.name);
    machine->unusable = true;
    world_after(0, unusable_ends, machine, NULL);
}

/* Opens the journal, as the program does before it listens. */
static bool disk_begin(struct machine *machine)
{
    char why[JOURNAL_WHY_SIZE];
    struct journal *journal;
    if (!machine->volume)
        return true;
    int result = journal_open(&journal, machine->settings.data_dir, JOURNAL_WRITE, why);
    if (result < 0 && !drive_troubled(machine->volume->drive))
        broken("%s cannot start, and nothing is wrong with its disk: %s", machine->proc.name, why);
    if (result < 0) {
        trace("cannot start: %s", why);
        return false;
    }
    machine->worker = worker_open(disk_wakes, &machine->proc);
    return node_keep(machine->node, journal, machine->worker, list_unusable, machine) == 0;
}

/* The process is dead. What its disk was doing goes on for a while, or not at all. */
static void disk_die(struct machine *machine)
{
    if (!machine->volume)
        return;
    if (random_percent(40))
        drive_leave(machine->volume->drive);
    else if (random_percent(60))
        drive_expire(machine->volume->drive, random_below(30));
    if (machine->worker)
        worker_die(machine->worker);
    drive_leave(machine->volume->drive);
}

bool machine_disk_failed(const struct machine *machine)
{
    struct buf report = network_peek((struct proc *)(uintptr_t)&machine->proc, "/health");
    bool failed = memmem(report.data, report.len, "\"disk\":\"failed\"", 15) != NULL;
    buf_free(&report);
    return failed;
}

/* ---- processes */

static void machine_looked(struct proc *proc)
{
    check_look(proc->owner);
}

static void machine_name(struct machine *machine)
{
    unsigned life = 1;
    char kind = machine->role == SETTINGS_MASTER ? 'm' : 's';
    for (const struct machine *other = machine->next; other; other = other->next)
        life += other->role == machine->role && other->slot == machine->slot;
    snprintf(machine->proc.name, sizeof machine->proc.name, "%c%d.%u", kind, machine->slot + 1, life);
    if (machine->settings.secondary_id[0])
        snprintf(machine->id, sizeof machine->id, "%.30s", machine->settings.secondary_id);
    else
        snprintf(machine->id, sizeof machine->id, "10.0.0.%d:%d", machine->proc.host + 1, NETWORK_PORT);
}

struct machine *machine_start(enum settings_role role, int slot, int host, const struct settings *settings)
{
    if (network_proc(host))
        return NULL;
    struct machine *machine = world_alloc(sizeof *machine);
    machine->next = machines;
    machine->role = role;
    machine->slot = slot;
    machine->settings = *settings;
    machine->proc.host = host;
    machine->proc.owner = machine;
    machine->proc.serves = true;
    machine->proc.looked = machine_looked;
    machines = machine;
    machine_name(machine);
    volume_take(machine);
    trace("%s starts at 10.0.0.%d", machine->proc.name, host + 1);
    world_speaker(machine->proc.name);
    machine->node = node_open(&machine->settings, role, &machine->proc.dialer);
    machine->proc.service = node_service(machine->node);
    node_port(machine->node, NETWORK_PORT);
    if (!disk_begin(machine)) {
        node_close(machine->node);
        machine->node = NULL;
        drive_leave(machine->volume->drive);
        return NULL;
    }
    snprintf(machine->boot, sizeof machine->boot, "%s", node_view(machine->node).own->boot);
    proc_start(&machine->proc);
    world_speaker("");
    return machine;
}

/* Frees a node whose process is dead: nothing of what it does now is seen by anybody. */
static void machine_free(struct machine *machine)
{
    const struct http_service *service = &machine->proc.service;
    world_speaker("(dead)");
    disk_die(machine);
    node_stop(machine->node, 0);
    for (int i = 0; i < 4; i++)
        service->pass(service->ctx, clock_ms());
    node_close(machine->node);
    machine->node = NULL;
    world_speaker("");
}

void machine_kill(struct machine *machine, bool silent)
{
    trace("%s is killed%s", machine->proc.name, silent ? ", and its host is gone" : "");
    proc_die(&machine->proc, silent);
    machine_free(machine);
}

void machine_cut(struct machine *machine)
{
    machine_kill(machine, random_percent(90));
    if (machine->volume)
        drive_cut(machine->volume->drive);
}

static void stop_ends(void *subject, void *object)
{
    struct machine *machine = subject;
    (void)object;
    if (!machine->node)
        return;
    trace("%s ends", machine->proc.name);
    proc_die(&machine->proc, false);
    machine_free(machine);
}

void machine_stop(struct machine *machine)
{
    if (machine->stopping)
        return;
    trace("%s is told to stop", machine->proc.name);
    machine->stopping = true;
    int64_t patience_ms = random_between(0, machine->role == SETTINGS_MASTER ? DRAIN_MS : GOODBYE_MS);
    node_stop(machine->node, patience_ms);
    proc_touch(&machine->proc);
    world_after(patience_ms * 1000 + random_between(1000, 100000), stop_ends, machine, NULL);
}

void cluster_end(void)
{
    for (struct machine *machine = machines; machine; machine = machine->next)
        if (machine->node)
            machine_kill(machine, true);
    drives_end();
}
