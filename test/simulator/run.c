#include "run.h"
#include "checker.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

enum { PATIENCE_US = 20000000 };

struct run run;

void run_until(int64_t until_us)
{
    while (world_step(until_us))
        continue;
}

/* ---- starting */

void run_secondary_start(int slot, int host)
{
    struct settings settings = run.plan.secondary[slot];
    if (random_percent(50))
        snprintf(settings.advertise_url, sizeof settings.advertise_url, "%s", network_url(host));
    struct machine *machine = machine_start(SETTINGS_SECONDARY, slot, host, &settings);
    if (!machine)
        return;
    machine->proc.resolves_to = run.points_to[slot];
    run.secondary[slot] = machine;
}

static void clients_start(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        run.clients[i] = (struct proc){.host = HOST_OUTSIDE + i};
        snprintf(run.clients[i].name, sizeof run.clients[i].name, "client%d", i + 1);
        proc_start(&run.clients[i]);
    }
}

static void latencies_set(int64_t most_us)
{
    for (int from = 0; from < HOSTS; from++)
        for (int to = 0; to < HOSTS; to++)
            network_delay(from, to, 50, 50 + (most_us ? random_between(0, most_us) : 0));
}

void run_start(void)
{
    clients_start();
    latencies_set(run.plan.latency_us);
    if (run.plan.network) {
        network_duplicates(random_percent(50) ? 3 + random_below(20) : 0, random_between(1000, 5000000));
        network_pieces(random_percent(20) ? 20 : 0);
    }
    run.master = machine_start(SETTINGS_MASTER, 0, HOST_MASTER, &run.plan.master);
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        if (random_percent(90))
            run_secondary_start(slot, HOST_SECONDARY + slot);
}

/* ---- anybody */

struct proc *run_client(void)
{
    return &run.clients[random_below(CLIENTS)];
}

struct machine *run_master(void)
{
    bool other = run_alive(run.other) && random_percent(40);
    struct machine *master = other ? run.other : run.master;
    return run_alive(master) ? master : run_alive(run.other) ? run.other : NULL;
}

struct machine *run_secondary(void)
{
    struct machine *machine = run.secondary[random_below((unsigned)run.plan.secondaries)];
    return run_alive(machine) ? machine : NULL;
}

struct machine *run_machine(void)
{
    return random_percent(30) ? run_master() : run_secondary();
}

/* ---- nodes come, and members go */

static int host_free(void)
{
    int host = HOST_SECONDARY + (int)random_below(HOST_SPARES);
    return network_proc(host) ? -1 : host;
}

void run_start_slot(int slot)
{
    if (run_alive(run.secondary[slot]))
        return;
    int host = run.secondary[slot] ? run.secondary[slot]->proc.host : HOST_SECONDARY + slot;
    if (random_percent(30) || network_proc(host))
        host = host_free();
    if (host >= 0)
        run_secondary_start(slot, host);
}

void run_start_secondary(void)
{
    run_start_slot((int)random_below((unsigned)run.plan.secondaries));
}

void run_start_master(void)
{
    int host = run.master_slot ? HOST_OTHER_MASTER : HOST_MASTER;
    if (!run_alive(run.master))
        run.master = machine_start(SETTINGS_MASTER, run.master_slot, host, &run.plan.master);
}

void run_kill_all(bool cut)
{
    trace("all nodes die");
    for (struct machine *machine = machines; machine; machine = machine->next) {
        if (machine->node && cut)
            machine_cut(machine);
        else if (machine->node)
            machine_kill(machine, random_percent(30));
    }
}

void run_remove(const struct machine *master, const char *id)
{
    char target[128] = "/secondaries/";
    snprintf(target + strlen(target), sizeof target - strlen(target), "%s", id);
    network_ask(run_client(), master->proc.host, "DELETE", target,
                run.plan.master.cluster_token[0] ? "Authorization: Bearer secret\r\n" : "", (struct span){0},
                NULL, PATIENCE_US);
}
