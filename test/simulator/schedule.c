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
    drives_mend();
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
    run.master_slot = run.master ? run.master->slot : 0;
    master_restart();
    if (latest_us < world_now_us())
        latest_us = world_now_us();
    run_until(latest_us + CALM_STEP_US); /* what clients have begun comes to its end */
}

/* A refusal must have its reason. A person then restarts the secondary, without its disk's list. */
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
    if (secondary->volume)
        volume_empty(secondary->volume);
    run_secondary_start(secondary->slot, host);
}

/* A person restarts a node whose disk has failed. */
static bool failed_restart(struct machine *machine)
{
    if (!machine->volume || machine->stopping || !machine_disk_failed(machine))
        return false;
    trace("%s is restarted, for its disk has failed", machine->proc.name);
    machine_kill(machine, false);
    return true;
}

static bool slot_settled(int slot)
{
    struct machine *secondary = run.secondary[slot];
    if (!run_alive(secondary)) {
        run_start_slot(slot);
        return false;
    }
    return !failed_restart(secondary) && !secondary->stopping && check_counts(run.master, secondary);
}

static bool all_settled(bool patient)
{
    bool settled = true;
    if (!run_alive(run.master) || failed_restart(run.master)) {
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
static struct posted *post_answered(int w, int64_t until_us)
{
    const char *target = w == 1 ? "/messages?w=1&timeout=0" : "/messages?w=all&timeout=0";
    for (;;) {
        struct posted *posted = posted_new(SOURCE_CLIENT, w, 0);
        network_ask(&run.clients[0], run.master->proc.host, "POST", target, "", span_of(posted->text), posted,
                    LAST_POST_US);
        while (!posted->answered && world_now_us() < until_us)
            run_until(world_now_us() + CALM_STEP_US);
        if (world_now_us() >= until_us)
            broken("all is mended, and a POST with %s %s", strchr(target, '?') + 1,
                   posted->refused ? "is refused" : "waits for ever");
        if (!posted->refused)
            return posted;
    }
}

/* A master that forgets may have forgotten one whose connections never last. */
static void last_post(void)
{
    const struct posted *posted = post_answered(CONCERN_ALL, world_now_us() + LAST_POST_US);
    for (int slot = 0; slot < run.plan.secondaries && !run.plan.master.forget_after_ms; slot++)
        if (!check_holds(run.secondary[slot], posted))
            broken("a POST with w=all is answered, and %s does not hold it", run.secondary[slot]->proc.name);
}

/* ---- the last blackout */

/* Whether the disks alone promise that nothing is lost: each node has one, which keeps what showed. Who moves
 * without a name is another member. */
static bool disks_promise(void)
{
    bool promise =
        run.plan.named && run.plan.master.data_dir[0] && run.plan.master.fsync_ms == SETTINGS_FSYNC_ALWAYS;
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        promise = promise && run.plan.secondary[slot].data_dir[0] &&
                  run.plan.secondary[slot].fsync_ms == SETTINGS_FSYNC_ALWAYS;
    return promise;
}

static void posts_begin(void)
{
    for (unsigned i = 0, count = 1 + random_below(10); i < count; i++) {
        char target[64];
        int w = 1 + (int)random_below((unsigned)run.plan.secondaries + 1);
        struct posted *posted = posted_new(SOURCE_CLIENT, w, 0);
        if (!posted)
            return;
        snprintf(target, sizeof target, "/messages?w=%d&timeout=0", w);
        network_ask(run_client(), run.master->proc.host, "POST", target, "", span_of(posted->text), posted,
                    LAST_POST_US);
        run_until(world_now_us() + random_between(0, 2000));
    }
}

static void start_again(void *subject, void *object)
{
    (void)object;
    struct machine **at = subject ? subject : &run.master;
    while (!run_alive(*at)) {
        if (subject)
            run_start_slot((int)(at - run.secondary));
        else
            run_start_master();
    }
}

/* All nodes die at once while messages are under way, and come again in any order, sooner than a master takes
 * a member for dead: what was acknowledged and not refused before is there. */
static void last_blackout(void)
{
    struct machine *before = run.master;
    int64_t most_us = 3 * run.plan.master.heartbeat_ms * 1000;
    posts_begin();
    run_kill_all(run.plan.cuts && random_percent(60));
    world_after(random_between(0, most_us), start_again, NULL, NULL);
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        world_after(random_between(0, most_us), start_again, &run.secondary[slot], NULL);
    while (!run_alive(run.master))
        run_until(world_now_us() + 10000);
    post_answered(1, world_now_us() + LAST_POST_US);
    check_kept(before, run.master);
    last_post();
    settle();
    check_all();
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
    if (disks_promise())
        last_blackout();
    liar_end();
    cluster_end();
    network_end();
    world_end();
}
