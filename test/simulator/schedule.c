#include "schedule.h"
#include "checker.h"
#include "clock.h"
#include "peers.h"
#include "plan.h"
#include "replication/reads.h"
#include "world.h"
#include <stdio.h>
#include <string.h>

enum {
    CLIENTS = HOSTS - HOST_OUTSIDE,
    PATIENCE_US = 20000000,
    CALM_STEP_US = 100000,
    CALM_MOST_US = 150000000,
    REFUSED_US = 5000000,
    LAST_POST_US = 60000000
};

static struct {
    struct plan plan;
    struct machine *master, *other; /* NULL or dead: none */
    struct machine *secondary[SECONDARIES_MAX];
    int points_to[SECONDARIES_MAX]; /* what `master` stands for on a secondary's host */
    struct proc clients[CLIENTS];
    bool mended; /* no fault comes any more */
} run;

static bool alive(const struct machine *machine)
{
    return machine && machine->node;
}

/* ---- starting */

static void secondary_start(int slot, int host)
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

static void cluster_start(void)
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
            secondary_start(slot, HOST_SECONDARY + slot);
}

/* ---- what happens */

static struct proc *client_any(void)
{
    return &run.clients[random_below(CLIENTS)];
}

static struct machine *master_any(void)
{
    bool other = alive(run.other) && random_percent(40);
    struct machine *master = other ? run.other : run.master;
    return alive(master) ? master : alive(run.other) ? run.other : NULL;
}

static struct machine *secondary_any(void)
{
    struct machine *machine = run.secondary[random_below((unsigned)run.plan.secondaries)];
    return alive(machine) ? machine : NULL;
}

static struct machine *machine_any(void)
{
    return random_percent(30) ? master_any() : secondary_any();
}

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
    int host = alive(run.other) && random_percent(40) ? HOST_OTHER_MASTER : HOST_MASTER;
    struct posted *posted = posted_new(SOURCE_CLIENT, w, timeout_ms);
    if (!posted)
        return;
    snprintf(target, sizeof target, "/messages%s", query);
    network_ask(client_any(), host, "POST", target, random_percent(10) ? condition_draw(host, posted) : "",
                span_of(posted->text), posted, patience_draw());
}

static void act_wait(void)
{
    char target[96];
    int w;
    int64_t timeout_ms;
    const char *query = query_draw(&w, &timeout_ms);
    struct machine *master = master_any();
    if (!master || !master->listed || strncmp(query, "?w=", 3) != 0)
        return;
    snprintf(target, sizeof target, "/messages/%u%s", 1 + random_below(master->listed), query);
    network_ask(client_any(), master->proc.host, "GET", target, "", (struct span){0}, NULL, patience_draw());
}

static void act_read(void)
{
    struct machine *machine = machine_any();
    if (machine)
        network_ask(client_any(), machine->proc.host, "GET", "/messages", "", (struct span){0}, NULL,
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
    struct machine *a = machine_any();
    struct machine *b = machine_any();
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
    struct machine *machine = machine_any();
    if (!machine || machine->proc.frozen)
        return;
    proc_freeze(&machine->proc);
    world_after(random_between(1000, random_percent(50) ? 500000 : 8000000), thaw, &machine->proc, NULL);
}

/* ---- nodes come and go */

static int host_free(void)
{
    int host = HOST_SECONDARY + (int)random_below(HOST_SPARES);
    return network_proc(host) ? -1 : host;
}

static void act_start_secondary(void)
{
    int slot = (int)random_below((unsigned)run.plan.secondaries);
    if (alive(run.secondary[slot]))
        return;
    int host = run.secondary[slot] ? run.secondary[slot]->proc.host : HOST_SECONDARY + slot;
    if (random_percent(30) || network_proc(host))
        host = host_free();
    if (host >= 0)
        secondary_start(slot, host);
}

static void start_later(void *subject, void *object)
{
    (void)subject;
    (void)object;
    act_start_secondary();
}

static void act_kill_secondary(void)
{
    struct machine *machine = secondary_any();
    if (!machine)
        return;
    machine_kill(machine, random_percent(30));
    if (random_percent(60))
        world_after(random_between(0, 300000), start_later, NULL, NULL);
}

static void act_stop_secondary(void)
{
    struct machine *machine = secondary_any();
    if (machine)
        machine_stop(machine);
}

static void act_kill_master(void)
{
    struct machine *machine = master_any();
    if (machine)
        machine_kill(machine, random_percent(30));
}

static void act_stop_master(void)
{
    struct machine *machine = master_any();
    if (machine)
        machine_stop(machine);
}

static void act_start_master(void)
{
    if (!alive(run.master))
        run.master = machine_start(SETTINGS_MASTER, 0, HOST_MASTER, &run.plan.master);
}

/* All nodes but one lose their memory at once: what it holds must be taken over. */
static void act_disaster(void)
{
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        if (alive(run.secondary[slot]) && random_percent(50))
            machine_kill(run.secondary[slot], random_percent(30));
    if (alive(run.master))
        machine_kill(run.master, random_percent(30));
    act_start_master();
    for (int slot = 0; slot < run.plan.secondaries; slot++)
        act_start_secondary();
}

static void master_restart_later(void *subject, void *object)
{
    (void)subject;
    (void)object;
    if (run.mended)
        return;
    if (alive(run.master))
        machine_kill(run.master, random_percent(30));
    act_start_master();
}

/* A secondary comes back empty, and before it has all again the master does, too. */
static void act_relapse(void)
{
    struct machine *machine = secondary_any();
    if (!machine)
        return;
    machine_kill(machine, random_percent(30));
    world_after(random_between(0, 50000), start_later, NULL, NULL);
    world_after(random_between(0, 200000), master_restart_later, NULL, NULL);
}

/* ---- a second master */

static void act_start_other(void)
{
    if (!alive(run.other))
        run.other = machine_start(SETTINGS_MASTER, 1, HOST_OTHER_MASTER, &run.plan.master);
}

static void act_point(void)
{
    int slot = (int)random_below((unsigned)run.plan.secondaries);
    run.points_to[slot] = random_percent(50) ? HOST_MASTER : HOST_OTHER_MASTER;
    trace("to s%d the master is 10.0.0.%d now", slot + 1, run.points_to[slot] + 1);
    if (alive(run.secondary[slot]))
        run.secondary[slot]->proc.resolves_to = run.points_to[slot];
}

/* ---- liars and people */

static void act_liar(void)
{
    struct machine *master = master_any();
    if (!master)
        return;
    if (random_percent(20))
        liar_end();
    liar_start(run.plan.liar_greets);
    liar_register(client_any(), master);
}

static void act_forge(void)
{
    struct machine *master = master_any();
    struct machine *secondary = secondary_any();
    if (master && secondary)
        forge_registration(client_any(), master, secondary);
}

static void act_hand(void)
{
    struct machine *secondary = secondary_any();
    if (secondary)
        forge_replicate(client_any(), secondary);
}

static void member_remove(const struct machine *master, const char *id)
{
    char target[128] = "/secondaries/";
    snprintf(target + strlen(target), sizeof target - strlen(target), "%s", id);
    network_ask(client_any(), master->proc.host, "DELETE", target,
                run.plan.master.cluster_token[0] ? "Authorization: Bearer secret\r\n" : "", (struct span){0},
                NULL, PATIENCE_US);
}

static void act_remove(void)
{
    struct machine *master = master_any();
    struct machine *secondary = secondary_any();
    if (master && secondary)
        member_remove(master, secondary->id);
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
        {act_start_secondary, 6},
        {act_start_master, 6},
        {act_delay, plan->network ? 4 : 0},
        {act_stall, plan->network ? 4 : 0},
        {act_cut, plan->network ? 5 : 0},
        {network_hold_any, plan->network ? 1 : 0},
        {act_freeze, plan->freezes ? 4 : 0},
        {act_kill_secondary, plan->kills ? 4 : 0},
        {act_kill_master, plan->kills ? 3 : 0},
        {act_disaster, plan->kills ? 1 : 0},
        {act_relapse, plan->kills ? 1 : 0},
        {act_stop_secondary, plan->stops ? 4 : 0},
        {act_stop_master, plan->stops ? 1 : 0},
        {act_start_other, plan->second_master ? 3 : 0},
        {act_point, plan->second_master ? 4 : 0},
        {act_liar, plan->liars ? 5 : 0},
        {act_forge, plan->forges ? 5 : 0},
        {act_hand, plan->hands ? 3 : 0},
        {act_remove, plan->removals ? 3 : 0},
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

static void steps_until(int64_t until_us)
{
    while (world_step(until_us))
        continue;
}

static void faults_play(void)
{
    struct act acts[32];
    unsigned count = acts_of(&run.plan, acts);
    for (int i = 0; i < run.plan.actions; i++) {
        act_any(acts, count);
        steps_until(world_now_us() + random_between(0, 2 * run.plan.gap_us));
    }
}

/* ---- all is mended */

/* There is one master, and all know where. */
static void master_restart(void)
{
    act_start_master();
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
    if (alive(run.other) && alive(run.master))
        machine_kill(random_percent(50) ? run.other : run.master, false);
    if (!alive(run.master) && alive(run.other))
        run.master = run.other;
    master_restart();
    if (latest_us < world_now_us())
        latest_us = world_now_us();
    steps_until(latest_us + CALM_STEP_US); /* what clients have begun comes to its end */
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
    secondary_start(secondary->slot, host);
}

static bool slot_settled(int slot)
{
    struct machine *secondary = run.secondary[slot];
    if (!alive(secondary)) {
        act_start_secondary();
        return false;
    }
    return !secondary->stopping && check_counts(run.master, secondary);
}

static bool all_settled(bool patient)
{
    bool settled = true;
    if (!alive(run.master)) {
        master_restart();
        return false;
    }
    for (int slot = 0; slot < run.plan.secondaries; slot++) {
        if (slot_settled(slot))
            continue;
        settled = false;
        struct machine *secondary = run.secondary[slot];
        if (!patient && alive(secondary) && !secondary->stopping &&
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
                     alive(run.secondary[slot]) ? run.secondary[slot]->proc.name : "one that does not start");
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
        steps_until(world_now_us() + CALM_STEP_US);
    }
}

/* Members that nobody is any more are removed by hand. */
static void members_clean(void)
{
    member_remove(run.master, "liar");
    member_remove(run.master, "ghost");
    for (const struct machine *machine = machines; machine; machine = machine->next) {
        bool lives = false;
        for (int slot = 0; slot < run.plan.secondaries; slot++)
            lives = lives || strcmp(machine->id, run.secondary[slot]->id) == 0;
        if (machine->role == SETTINGS_SECONDARY && !lives)
            member_remove(run.master, machine->id);
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
            steps_until(world_now_us() + CALM_STEP_US);
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
    cluster_start();
    faults_play();
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
