#include "cluster.h"
#include "checker.h"
#include "clock.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

enum { GOODBYE_MS = 500, DRAIN_MS = 1000 };

struct machine *machines;

void cluster_begin(void)
{
    machines = NULL;
}

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
    trace("%s starts at 10.0.0.%d", machine->proc.name, host + 1);
    world_speaker(machine->proc.name);
    machine->node = node_open(&machine->settings, role, &machine->proc.dialer);
    machine->proc.service = node_service(machine->node);
    node_port(machine->node, NETWORK_PORT);
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
    node_stop(machine->node, 0);
    for (int i = 0; i < 3; i++)
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
}
