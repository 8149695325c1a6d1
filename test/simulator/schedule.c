#include "schedule.h"
#include "acts.h"
#include "checker.h"
#include "peers.h"
#include "run.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

enum { CALM_STEP_US = 100000, CALM_MOST_US = 150000000, REFUSED_US = 5000000, LAST_POST_US = 60000000 };

/* ---- all is mended */

/* There is one master, and all know where. */
static void master_restart(void)
{
    run_start_master();
    for (int slot = 0; slot < SECONDARIES_MAX; slot++)
        run.points_to[slot] = run.master->proc.host;
    for (struct machine *machine = machines; machine; machine = machine->next)
        machine->proc.resolves_to = run.master->proc.host;
}

static void mend(void)
{
    trace("all is mended");
    run.mended = true;
    int64_t latest_us = network_mend();
    liar_end();
    for (struct machine *machine = machines; machine; machine = machine->next) {
        if (machine->node)
            proc_thaw(&machine->proc);
        machine->registered = 0;
    }
    if (run_alive(run.other) && run_alive(run.master))
        machine_kill(random_percent(50) ? run.other : run.master, false);
    if (!run_alive(run.master) && run_alive(run.other))
        run.master = run.other;
    master_restart();
    if (latest_us < world_now_us())
        latest_us = world_now_us();
    run_until(latest_us + CALM_STEP_US); /* what clients have begun comes to its end */
}

/* A refusal must have its reason. A person then restarts the secondary. */
static void refused_restart(struct machine *secondary)
{
    trace("%s is restarted", secondary->proc.name);
    const struct node_view its = node_view(secondary->node);
    const struct node_view own = node_view(run.master->node);
    if (secondary->registered && !secondary->handmade && check_begins(secondary, run.master) &&
        (!secondary->listed || strcmp(its.own->log, own.own->log) == 0))
        broken("%s is refused with %d, and its list is a beginning of the master's", secondary->proc.name,
               secondary->registered);
    int host = secondary->proc.host;
    machine_kill(secondary, false);
    run_secondary_start(secondary->slot, host);
}

static bool slot_settled(int slot)
{
    struct machine *secondary = run.secondary[slot];
    if (!run_alive(secondary)) {
        run_start_secondary();
        return false;
    }
    return !secondary->stopping && check_counts(run.master, secondary);
}

static bool all_settled(bool patient)
{
    bool settled = true;
    if (!run_alive(run.master)) {
        master_restart();
        return false;
    }
    for (int slot = 0; slot < run.plan.secondaries; slot++) {
        if (slot_settled(slot))
            continue;
        settled = false;
        struct machine *secondary = run.secondary[slot];
        if (!patient && run_alive(secondary) && !secondary->stopping &&
            (secondary->registered == 409 || secondary->registered == 400 ||
             !check_begins(secondary, run.master)))
            refused_restart(secondary);
    }
    return settled && !run.master->stopping;
}

static void unsettled(void)
{
    char names[128] = "";
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        if (!slot_settled(slot))
            snprintf(names + strlen(names), sizeof names - strlen(names), " %s",
                     run_alive(run.secondary[slot]) ? run.secondary[slot]->proc.name
                                                    : "one that does not start");
    broken("all is mended for long, and stuck are%s", names);
}

static void settle(void)
{
    int64_t mended_us = world_now_us();
    int64_t refused_us = mended_us + REFUSED_US;
    for (;;) {
        bool patient = world_now_us() < refused_us;
        if (all_settled(patient))
            return;
        if (!patient)
            refused_us = world_now_us() + REFUSED_US;
        if (world_now_us() - mended_us > CALM_MOST_US)
            unsettled();
        run_until(world_now_us() + CALM_STEP_US);
    }
}

/* Members that nobody is any more are removed by hand. */
static void members_clean(void)
{
    run_remove(run.master, "liar");
    run_remove(run.master, "ghost");
    for (const struct machine *machine = machines; machine; machine = machine->next) {
        bool lives = false;
        for (int slot = 0; slot < run.plan.secondaries; slot++)
            lives = lives || strcmp(machine->id, run.secondary[slot]->id) == 0;
        if (machine->role == SETTINGS_SECONDARY && !lives)
            run_remove(run.master, machine->id);
    }
}

/* A master may have to notice first that a connection is dead: until then the quorum may be missing. */
static struct posted *post_answered(int64_t until_us)
{
    for (;;) {
        struct posted *posted = posted_new(SOURCE_CLIENT, CONCERN_ALL, 0);
        network_ask(&run.clients[0], run.master->proc.host, "POST", "/messages?w=all&timeout=0", "",
                    span_of(posted->text), posted, LAST_POST_US);
        while (!posted->answered && world_now_us() < until_us)
            run_until(world_now_us() + CALM_STEP_US);
        if (world_now_us() >= until_us)
            broken("all is mended, and a POST with w=all %s",
                   posted->refused ? "is refused" : "waits for ever");
        if (!posted->refused)
            return posted;
    }
}

static void last_post(void)
{
    const struct posted *posted = post_answered(world_now_us() + LAST_POST_US);
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        if (!check_holds(run.secondary[slot], posted))
            broken("a POST with w=all is answered, and %s does not hold it", run.secondary[slot]->proc.name);
}

void schedule_play(uint64_t seed, bool verbose)
{
    world_begin(seed, verbose);
    network_begin(&check_rules);
    cluster_begin();
    memset(&run, 0, sizeof run);
    run.plan = plan_draw();
    const struct plan *plan = &run.plan;
    check_begin(&(struct check_terms){.nodes = plan->master.nodes,
                                      .quorum = plan->master.quorum > 0 ? (unsigned)plan->master.quorum : 0,
                                      .secondaries = (unsigned)plan->secondaries,
                                      .write_concern = plan->master.write_concern,
                                      .sole = !plan->second_master,
                                      .ghosts = plan->forges && !plan->named});
    run_start();
    acts_play();
    check_all();
    mend();
    settle();
    members_clean();
    last_post();
    check_all();
    check_nobody_waits(run.master);
    liar_end();
    cluster_end();
    network_end();
    world_end();
}
