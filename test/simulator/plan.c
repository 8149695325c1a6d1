#include "plan.h"
#include "checker.h"
#include "log/journal_private.h"
#include "world.h"
#include <stdio.h>

static int concern_draw(int secondaries)
{
    unsigned kind = random_below(4);
    return kind == 0   ? CONCERN_MAJORITY
           : kind == 1 ? CONCERN_ALL
                       : 1 + (int)random_below((unsigned)secondaries + 1);
}

static void master_draw(struct plan *plan)
{
    static const int heartbeats_ms[] = {100, 100, 200, 500, 1000};
    struct settings *master = &plan->master;
    unsigned nodes = (unsigned)plan->secondaries + 1;
    master->max_message = 4096;
    master->max_log = INT64_MAX;
    master->heartbeat_ms = heartbeats_ms[random_below(5)];
    master->write_concern = random_percent(50) ? CONCERN_ALL : concern_draw(plan->secondaries);
    master->ack_timeout_ms = random_percent(30) ? random_between(20, 2000) : 0;
    master->nodes = random_percent(45) ? nodes : 0;
    if (random_percent(25))
        master->quorum = random_percent(30) ? CONCERN_MAJORITY : 1 + (int)random_below(nodes);
    plan->recipe = master->nodes || master->quorum;
}

static void secondary_draw(struct plan *plan, int slot)
{
    struct settings *settings = &plan->secondary[slot];
    settings->max_message = 4096;
    settings->max_log = INT64_MAX;
    settings->delay_ms = random_percent(30) ? random_between(1, random_percent(30) ? 2000 : 100) : 0;
    settings->errors = random_percent(15) ? 0.2 : 0;
    snprintf(settings->master_url, sizeof settings->master_url, "http://master:%d", NETWORK_PORT);
    if (plan->named)
        snprintf(settings->secondary_id, sizeof settings->secondary_id, "s%d", slot + 1);
}

static void tokens_draw(struct plan *plan)
{
    if (!random_percent(10) || plan->liars || plan->forges || plan->hands)
        return;
    snprintf(plan->master.cluster_token, sizeof plan->master.cluster_token, "secret");
    for (int slot = 0; slot < SECONDARIES_MAX; slot++)
        snprintf(plan->secondary[slot].cluster_token, sizeof plan->secondary[slot].cluster_token, "secret");
}

static int64_t fsync_draw(void)
{
    if (random_percent(85))
        return SETTINGS_FSYNC_ALWAYS;
    return random_percent(30) ? SETTINGS_FSYNC_OFF : random_between(1, 1000);
}

static void disk_draw(struct settings *settings)
{
    snprintf(settings->data_dir, sizeof settings->data_dir, "/data");
    settings->fsync_ms = fsync_draw();
}

/* Small files, so that a list has many. */
static void disks_draw(struct plan *plan)
{
    bool all = random_percent(60);
    bool always = random_percent(60);
    plan->disks = true;
    plan->cuts = random_percent(60);
    plan->faults = random_percent(25);
    journal_file_bytes = 1024u << random_below(5);
    journal_ahead_bytes = 256u << random_below(4);
    if (all || random_percent(60))
        disk_draw(&plan->master);
    for (int slot = 0; slot < plan->secondaries; slot++)
        if (all || random_percent(50))
            disk_draw(&plan->secondary[slot]);
    if (!always)
        return;
    plan->master.fsync_ms = SETTINGS_FSYNC_ALWAYS;
    for (int slot = 0; slot < plan->secondaries; slot++)
        plan->secondary[slot].fsync_ms = SETTINGS_FSYNC_ALWAYS;
}

static int64_t latency_draw(void)
{
    static const int64_t most_us[] = {500, 5000, 50000, 300000, 2000000};
    return most_us[random_below(random_percent(30) ? 5 : 3)];
}

struct plan plan_draw(void)
{
    struct plan plan = {0};
    plan.secondaries = random_percent(10) ? 1 : 2 + (int)random_below(2);
    plan.named = random_percent(85);
    plan.second_master = random_percent(20);
    plan.kills = random_percent(60);
    plan.stops = random_percent(35);
    plan.freezes = random_percent(35);
    plan.network = random_percent(60);
    plan.liars = random_percent(20);
    plan.forges = random_percent(20);
    plan.hands = random_percent(5);
    plan.removals = random_percent(10);
    master_draw(&plan);
    plan.named = plan.named || plan.recipe; /* who moves keeps its name */
    plan.liar_greets = !plan.recipe && random_percent(50);
    for (int slot = 0; slot < SECONDARIES_MAX; slot++)
        secondary_draw(&plan, slot);
    tokens_draw(&plan);
    plan.actions = 10 + (int)random_below(50);
    plan.gap_us = random_percent(50) ? random_between(1000, 20000) : random_between(20000, 300000);
    if (random_percent(2))
        plan.gap_us = random_between(1000000, 2000000); /* take-overs that come to no end */
    plan.latency_us = latency_draw();
    if (random_percent(35))
        disks_draw(&plan);
    if (random_percent(10))
        plan.master.forget_after_ms = random_between(1, 3000);
    return plan;
}
