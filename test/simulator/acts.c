#include "acts.h"
#include "checker.h"
#include "peers.h"
#include "replication/reads.h"
#include "run.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

enum { PATIENCE_US = 20000000 };

/* ---- what happens */

static const char *query_draw(int *w, int64_t *timeout_ms)
{
    static char query[64];
    int nodes = run.plan.secondaries + 1;
    unsigned kind = random_below(8);
    size_t len = 0;
    *w = run.plan.master.write_concern;
    query[0] = '\0';
    if (kind < 2)
        *w = kind ? CONCERN_ALL : CONCERN_MAJORITY;
    else if (kind < 6)
        *w = 1 + (int)random_below((unsigned)nodes);
    if (kind < 2)
        len = (size_t)snprintf(query, sizeof query, "?w=%s", kind ? "all" : "majority");
    else if (kind < 6)
        len = (size_t)snprintf(query, sizeof query, "?w=%d", *w);
    *timeout_ms = run.plan.master.ack_timeout_ms;
    if (!random_percent(30))
        return query;
    *timeout_ms = random_between(1, 2000);
    snprintf(query + len, sizeof query - len, "%stimeout=%.3f", len ? "&" : "?", (double)*timeout_ms / 1000);
    return query;
}

static int64_t patience_draw(void)
{
    return random_percent(10) ? random_between(1000, 500000) : PATIENCE_US;
}

/* The append is meant for the list as it is now. */
static const char *condition_draw(int host, struct posted *posted)
{
    char etag[READS_ETAG_SIZE];
    char field[READS_ETAG_SIZE + 16];
    const struct proc *proc = network_proc(host);
    if (!proc)
        return "";
    const struct log *log = node_view(((struct machine *)proc->owner)->node).log;
    uint64_t last = log_last(log);
    reads_etag(log, 1, last, etag);
    posted->expects = (unsigned)last + 1;
    int len = snprintf(field, sizeof field, "If-Match: %s\r\n", etag);
    return world_copy(field, (size_t)len);
}

static void act_post(void)
{
    char target[96];
    int w;
    int64_t timeout_ms;
    const char *query = query_draw(&w, &timeout_ms);
    int host = run_alive(run.other) && random_percent(40) ? HOST_OTHER_MASTER : HOST_MASTER;
    struct posted *posted = posted_new(SOURCE_CLIENT, w, timeout_ms);
    if (!posted)
        return;
    snprintf(target, sizeof target, "/messages%s", query);
    network_ask(run_client(), host, "POST", target, random_percent(10) ? condition_draw(host, posted) : "",
                span_of(posted->text), posted, patience_draw());
}

static void act_wait(void)
{
    char target[96];
    int w;
    int64_t timeout_ms;
    const char *query = query_draw(&w, &timeout_ms);
    struct machine *master = run_master();
    if (!master || !master->listed || strncmp(query, "?w=", 3) != 0)
        return;
    snprintf(target, sizeof target, "/messages/%u%s", 1 + random_below(master->listed), query);
    network_ask(run_client(), master->proc.host, "GET", target, "", (struct span){0}, NULL, patience_draw());
}

static void act_read(void)
{
    struct machine *machine = run_machine();
    if (machine)
        network_ask(run_client(), machine->proc.host, "GET", "/messages", "", (struct span){0}, NULL,
                    PATIENCE_US);
}

static int host_any(void)
{
    return (int)random_below(HOSTS);
}

static void act_delay(void)
{
    int64_t most_us = random_percent(30) ? 2000000 : 100000;
    network_delay(host_any(), host_any(), 50, 50 + random_between(0, most_us));
}

static void act_stall(void)
{
    int from = host_any();
    int to = host_any();
    int64_t until_us = world_now_us() + random_between(1000, 4000000);
    trace("10.0.0.%d to 10.0.0.%d: nothing comes for a while", from + 1, to + 1);
    network_stall(from, to, until_us);
    if (random_percent(50))
        network_stall(to, from, until_us);
}

static void act_cut(void)
{
    struct machine *a = run_machine();
    struct machine *b = run_machine();
    if (random_percent(60))
        network_cut_any();
    else if (a && b)
        network_cut_between(a->proc.host, b->proc.host);
}

static void thaw(void *subject, void *object)
{
    (void)object;
    proc_thaw(subject);
}

static void act_freeze(void)
{
    struct machine *machine = run_machine();
    if (!machine || machine->proc.frozen)
        return;
    proc_freeze(&machine->proc);
    world_after(random_between(1000, random_percent(50) ? 500000 : 8000000), thaw, &machine->proc, NULL);
}

/* ---- nodes come and go */

static void start_later(void *subject, void *object)
{
    (void)subject;
    (void)object;
    run_start_secondary();
}

static void act_kill_secondary(void)
{
    struct machine *machine = run_secondary();
    if (!machine)
        return;
    machine_kill(machine, random_percent(30));
    if (random_percent(60))
        world_after(random_between(0, 300000), start_later, NULL, NULL);
}

static void act_stop_secondary(void)
{
    struct machine *machine = run_secondary();
    if (machine)
        machine_stop(machine);
}

static void act_kill_master(void)
{
    struct machine *machine = run_master();
    if (machine)
        machine_kill(machine, random_percent(30));
}

static void act_stop_master(void)
{
    struct machine *machine = run_master();
    if (machine)
        machine_stop(machine);
}

/* All nodes but one lose their memory at once: what it holds must be taken over. */
static void act_disaster(void)
{
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        if (run_alive(run.secondary[slot]) && random_percent(50))
            machine_kill(run.secondary[slot], random_percent(30));
    if (run_alive(run.master))
        machine_kill(run.master, random_percent(30));
    run_start_master();
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        run_start_secondary();
}

/* ---- disks */

static struct machine *machine_with_disk(void)
{
    struct machine *machine = run_machine();
    return machine && machine->volume ? machine : NULL;
}

static void act_cut_power(void)
{
    struct machine *machine = machine_with_disk();
    if (machine)
        machine_cut(machine);
}

static void act_fill(void)
{
    const struct machine *machine = machine_with_disk();
    if (machine)
        drive_fill(machine->volume->drive, world_now_us() + random_between(1000, 5000000));
}

static void act_fail_disk(void)
{
    const struct machine *machine = machine_with_disk();
    if (machine)
        drive_fail(machine->volume->drive);
}

static void master_start_later(void *subject, void *object)
{
    (void)subject;
    (void)object;
    if (!run.mended)
        run_start_master();
}

static void slot_start_later(void *subject, void *object)
{
    (void)object;
    if (!run.mended)
        run_start_slot((int)((struct machine **)subject - run.secondary));
}

/* All nodes at once, and then all again, in any order. */
static void act_blackout(void)
{
    int64_t most_us = random_percent(70) ? 4 * run.plan.master.heartbeat_ms * 1000 : 3000000;
    run_kill_all(run.plan.cuts && random_percent(60));
    world_after(random_between(0, most_us), master_start_later, NULL, NULL);
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        world_after(random_between(0, most_us), slot_start_later, &run.secondary[slot], NULL);
}

static void master_restart_later(void *subject, void *object)
{
    (void)subject;
    (void)object;
    if (run.mended)
        return;
    if (run_alive(run.master))
        machine_kill(run.master, random_percent(30));
    run_start_master();
}

/* A secondary comes back empty, and before it has all again the master does, too. */
static void act_relapse(void)
{
    struct machine *machine = run_secondary();
    if (!machine)
        return;
    machine_kill(machine, random_percent(30));
    world_after(random_between(0, 50000), start_later, NULL, NULL);
    world_after(random_between(0, 200000), master_restart_later, NULL, NULL);
}

/* ---- a second master */

static void act_start_other(void)
{
    if (!run_alive(run.other))
        run.other = machine_start(SETTINGS_MASTER, 1, HOST_OTHER_MASTER, &run.plan.master);
}

static void act_point(void)
{
    int slot = (int)random_below((unsigned)run.plan.secondaries);
    run.points_to[slot] = random_percent(50) ? HOST_MASTER : HOST_OTHER_MASTER;
    trace("to s%d the master is 10.0.0.%d now", slot + 1, run.points_to[slot] + 1);
    if (run_alive(run.secondary[slot]))
        run.secondary[slot]->proc.resolves_to = run.points_to[slot];
}

/* ---- liars and people */

static void act_liar(void)
{
    struct machine *master = run_master();
    if (!master)
        return;
    if (random_percent(20))
        liar_end();
    liar_start(run.plan.liar_greets);
    liar_register(run_client(), master);
}

static void act_forge(void)
{
    struct machine *master = run_master();
    struct machine *secondary = run_secondary();
    if (master && secondary)
        forge_registration(run_client(), master, secondary);
}

static void act_hand(void)
{
    struct machine *secondary = run_secondary();
    if (secondary)
        forge_replicate(run_client(), secondary);
}

static void act_remove(void)
{
    struct machine *master = run_master();
    struct machine *secondary = run_secondary();
    if (master && secondary)
        run_remove(master, secondary->id);
}

/* ---- the whole */

struct act {
    void (*play)(void);
    unsigned weight;
};

static unsigned acts_of(const struct plan *plan, struct act acts[])
{
    const struct act all[] = {
        {act_post, 50},
        {act_wait, 3},
        {act_read, 2},
        {run_start_secondary, 6},
        {run_start_master, 6},
        {act_delay, plan->network ? 4 : 0},
        {act_stall, plan->network ? 4 : 0},
        {act_cut, plan->network ? 5 : 0},
        {network_hold_any, plan->network ? 1 : 0},
        {act_freeze, plan->freezes ? 4 : 0},
        {act_kill_secondary, plan->kills ? 4 : 0},
        {act_kill_master, plan->kills ? 3 : 0},
        {act_disaster, plan->kills ? 1 : 0},
        {act_relapse, plan->kills ? 2 : 0},
        {act_stop_secondary, plan->stops ? 4 : 0},
        {act_stop_master, plan->stops ? 1 : 0},
        {act_start_other, plan->second_master ? 3 : 0},
        {act_point, plan->second_master ? 4 : 0},
        {act_liar, plan->liars ? 5 : 0},
        {act_forge, plan->forges ? 5 : 0},
        {act_hand, plan->hands ? 3 : 0},
        {act_remove, plan->removals ? 3 : 0},
        {act_blackout, plan->disks && plan->kills ? 3 : 0},
        {act_cut_power, plan->cuts ? 4 : 0},
        {act_fill, plan->faults ? 2 : 0},
        {act_fail_disk, plan->faults ? 2 : 0},
    };
    memcpy(acts, all, sizeof all);
    return sizeof all / sizeof *all;
}

static void act_any(const struct act acts[], unsigned count)
{
    unsigned whole = 0;
    for (unsigned i = 0; i < count; i++)
        whole += acts[i].weight;
    unsigned at = random_below(whole);
    for (unsigned i = 0; i < count; i++) {
        if (at < acts[i].weight) {
            acts[i].play();
            return;
        }
        at -= acts[i].weight;
    }
}

void acts_play(void)
{
    struct act acts[32];
    unsigned count = acts_of(&run.plan, acts);
    for (int i = 0; i < run.plan.actions; i++) {
        act_any(acts, count);
        run_until(world_now_us() + random_between(0, 2 * run.plan.gap_us));
    }
}
