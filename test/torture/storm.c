/* Happy path: storm_blow picks a fault each now and then, and storm_pass ends those that are over: a link
 * passes again, a frozen node is thawed, one that is down is started.
 *
 * A secondary that has not registered with the present run of the master may hold what an earlier run
 * appended and this one did not take over. It is refused then, as it must be. When the master ends now, the
 * next run takes over the list of whoever comes first, refuses those with the other, and somebody has to
 * choose: each refused secondary says in its log what can be done. Here it is restarted in the next calm. To
 * have that now and then, and not always, the master's end mostly waits until all are members. */
#include "storm.h"
#include "history.h"
#include "lies.h"
#include "report.h"
#include "storm_parts.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUORUM_PERCENT = 50,
    NODES_PERCENT = 30,
    STRANGER_PERCENT = 25,
    HOLD_PERCENT = 40,
    PARTING_MS = 3000,
    SILENT_MS = 700, /* more than the heartbeat intervals after which a secondary registers again */
    FULL_MS = 2000,  /* about so long after its start a secondary has the list again */
    ALONE_PERCENT = 20
};

/* ---- starting nodes */

void relay_url(const struct relay *relay, unsigned address, const char *setting, char *out)
{
    snprintf(out, SETTING_SIZE, "%s%shttp://%s:%u", setting ? setting : "", setting ? "=" : "",
             inet_ntoa(nodes_address(address)), relay_port(relay));
}

static enum history_gate gate_choose(struct random *random)
{
    unsigned percent = random_between(random, 0, 99);
    if (percent < NODES_PERCENT)
        return HISTORY_NODES;
    return percent < NODES_PERCENT + QUORUM_PERCENT ? HISTORY_QUORUM_3 : HISTORY_QUORUM_4;
}

static void master_start(struct storm *storm)
{
    struct node *node = &storm->nodes[MASTER];
    enum history_gate gate = storm->next_gate ? storm->next_gate : gate_choose(&storm->random);
    storm->next_gate = 0;
    const char *const settings[] = {history_gates[gate], "HEARTBEAT_INTERVAL=0.2", "WRITE_CONCERN=majority",
                                    "ACK_TIMEOUT=3",     "LOG_LEVEL=info",         NULL};
    history_master_starts(node->lives + 1, gate);
    node_start(node, settings);
    storm->counts.with_nodes += gate == HISTORY_NODES;
    report_event("master run %u starts, %s", node->lives, history_gates[gate]);
}

static void secondary_start(struct storm *storm, unsigned number)
{
    struct node *node = &storm->nodes[number];
    char texts[5][SETTING_SIZE];
    unsigned delay_ms = random_percent(&storm->random, 60) ? random_magnitude(&storm->random, 1, 200) : 0;
    unsigned errors = random_percent(&storm->random, 60) ? random_magnitude(&storm->random, 1, 30) : 0;
    relay_url(link_to_master(storm, number)->relay, ADDRESS_TO_MASTER + number, "MASTER_URL", texts[0]);
    relay_url(link_from_master(storm, number)->relay, ADDRESS_FROM_MASTER + number, "ADVERTISE_URL",
              texts[1]);
    snprintf(texts[2], SETTING_SIZE, "SECONDARY_ID=%s", node->name);
    snprintf(texts[3], SETTING_SIZE, "SECONDARY_DELAYS=%.3f", delay_ms / 1000.0);
    snprintf(texts[4], SETTING_SIZE, "SECONDARY_ERRORS=%.2f", errors / 100.0);
    const char *const settings[] = {texts[0], texts[1], texts[2], texts[3], texts[4], "LOG_LEVEL=info", NULL};
    node_start(node, settings);
    report_event("%s starts, life %u, delay %u ms, errors %u %%", node->name, node->lives, delay_ms, errors);
}

void any_start(struct storm *storm, unsigned number)
{
    history_node_starts(number, storm->nodes[number].lives + 1);
    if (number == MASTER)
        master_start(storm);
    else
        secondary_start(storm, number);
}

/* ---- ending nodes */

static bool node_runs(const struct node *node)
{
    return node->state == NODE_UP || node->state == NODE_FROZEN;
}

void secondary_kill(struct storm *storm, unsigned number)
{
    struct node *node = &storm->nodes[number];
    history_secondary_ends(number, node->lives, node->durable);
    node_kill(node);
}

void secondary_lose(struct storm *storm, unsigned number)
{
    struct node *node = &storm->nodes[number];
    history_secondary_ends(number, node->lives, false);
    node_kill(node);
    node_forget_data(node);
}

static void secondary_stop(struct storm *storm, unsigned number)
{
    struct node *node = &storm->nodes[number];
    history_secondary_ends(number, node->lives, node->durable);
    node_stop(node);
}

void storm_restart_secondary(struct storm *storm, unsigned number)
{
    secondary_lose(storm, number);
    any_start(storm, number);
    storm->counts.diverged++;
}

/* Whether all secondaries that run are members. */
static bool all_members(const struct storm *storm, const struct answer *health)
{
    bool all = true;
    for (unsigned i = 1; i < NODES; i++) {
        char member[32];
        int len = snprintf(member, sizeof member, "\"id\":\"%s\"", storm->nodes[i].name);
        all = all &&
              (!node_runs(&storm->nodes[i]) || memmem(health->body, health->body_len, member, (size_t)len));
    }
    return all;
}

bool master_may_end(struct storm *storm)
{
    struct answer answer;
    int64_t until_ms = now_ms() + HEALTH_MS;
    while (history_start_unseen() && now_ms() < until_ms)
        sleep_ms(PASS_MS);
    if (history_start_unseen() || !client_get(&storm->master, "/health", &answer, now_ms() + HEALTH_MS))
        return false;
    return all_members(storm, &answer) || random_percent(&storm->random, STRANGER_PERCENT);
}

bool list_there(const struct storm *storm, unsigned number)
{
    const struct node *node = &storm->nodes[number];
    return node_runs(node) && now_ms() > atomic_load(&node->touched_ms) + FULL_MS;
}

/* Whether another secondary than this one has the list. */
static bool list_elsewhere(const struct storm *storm, unsigned number)
{
    for (unsigned i = 1; i < NODES; i++)
        if (i != number && list_there(storm, i))
            return true;
    return false;
}

bool secondary_may_end(struct storm *storm, unsigned number)
{
    return random_percent(&storm->random, ALONE_PERCENT) || list_elsewhere(storm, number);
}

/* ---- faults of links */

void link_mend(struct link *link)
{
    static const struct relay_fault none = {.kind = RELAY_PASS};
    if (link->until_ms)
        relay_spoil(link->relay, &none);
    link->until_ms = 0;
}

static void fault_choose(struct random *random, struct relay_fault *fault)
{
    static const enum relay_kind often[] = {RELAY_CUT,     RELAY_CUT,     RELAY_CUT,   RELAY_DELAY,
                                            RELAY_DELAY,   RELAY_TRICKLE, RELAY_STALL, RELAY_SWALLOW,
                                            RELAY_SWALLOW, RELAY_REFUSE};
    *fault = (struct relay_fault){
        .kind = often[random_between(random, 0, sizeof often / sizeof *often - 1)],
        .directions = random_between(random, RELAY_TO_SERVER, RELAY_BOTH_WAYS),
        .delay_ms = random_magnitude(random, 1, 400),
        .cut_most = random_percent(random, 30) ? 0 : random_magnitude(random, 1, 60000),
        .reset = random_percent(random, 50),
    };
}

void link_spoil(struct storm *storm, struct link *link, struct relay_fault fault, unsigned ms)
{
    if (link->until_ms)
        return;
    report_event("link %s: %s for %u ms (directions %u, delay %u ms, cut within %u bytes%s)",
                 relay_name(link->relay), relay_kind_names[fault.kind], ms, fault.directions, fault.delay_ms,
                 fault.cut_most, fault.reset ? ", reset" : "");
    relay_spoil(link->relay, &fault);
    link->until_ms = now_ms() + ms;
    storm->counts.links[fault.kind]++;
}

static void fault_of_link(struct storm *storm)
{
    struct link *link = &storm->links[random_between(&storm->random, 0, LINKS - 1)];
    struct relay_fault fault;
    fault_choose(&storm->random, &fault);
    link_spoil(storm, link, fault, random_magnitude(&storm->random, 20, 3000));
}

/* Holds back what is on its way between the master and the secondaries, so that it arrives when another run
 * of the master is there; and what the secondaries then have to say to that one is late. */
static void links_hold(struct storm *storm)
{
    struct random *random = &storm->random;
    for (unsigned i = 0; i < LINKS; i++) {
        struct relay_fault stall = {.kind = RELAY_STALL, .directions = random_between(random, 1, 3)};
        struct relay_fault delay = {.kind = RELAY_DELAY, .delay_ms = random_magnitude(random, 50, 800)};
        unsigned ms = random_between(random, 300, 2500);
        if (random_percent(random, 60))
            link_spoil(storm, &storm->links[i], i % 2 ? delay : stall, ms);
    }
    sleep_ms(random_magnitude(random, 1, 50));
}

/* ---- faults of nodes */

static void fault_freeze(struct storm *storm, unsigned number)
{
    struct node *node = &storm->nodes[number];
    unsigned ms = random_magnitude(&storm->random, 10, number == MASTER ? 2000 : 3000);
    report_event("%s freezes for %u ms", node->name, ms);
    node_freeze(node);
    storm->until_ms[number] = now_ms() + ms;
    if (number == MASTER)
        storm->counts.master_frozen++;
    else
        storm->counts.frozen++;
}

static void fault_secondary_end(struct storm *storm, unsigned number, bool stop)
{
    unsigned ms = random_magnitude(&storm->random, 1, 2000);
    report_event("%s is %s, and comes back after %u ms", storm->nodes[number].name,
                 stop ? "stopped" : "killed", ms);
    if (stop)
        secondary_stop(storm, number);
    else
        secondary_kill(storm, number);
    storm->until_ms[number] = now_ms() + ms;
    storm->counts.killed += !stop;
    storm->counts.stopped += stop;
}

void master_end(struct storm *storm, bool stop, unsigned ms)
{
    report_event("the master is %s, and comes back after %u ms", stop ? "stopped" : "killed", ms);
    if (stop)
        node_stop(&storm->nodes[MASTER]);
    else
        node_kill(&storm->nodes[MASTER]);
    storm->until_ms[MASTER] = now_ms() + ms;
    storm->counts.master_killed += !stop;
    storm->counts.master_stopped += stop;
}

static void fault_master_end(struct storm *storm, bool stop)
{
    unsigned ms = random_magnitude(&storm->random, 1, 1500);
    if (!master_may_end(storm))
        return;
    if (random_percent(&storm->random, HOLD_PERCENT))
        links_hold(storm);
    master_end(storm, stop, ms);
}

/* A secondary hears nothing for so long that it registers again, is then sent what the others do not get, and
 * then the master is killed. The registration is on its way all the time, tells of less than the secondary
 * holds by then, and reaches the next master. */
static void fault_late_registration(struct storm *storm)
{
    struct random *random = &storm->random;
    unsigned number = random_between(random, 1, SECONDARIES);
    struct link *to_secondary = link_from_master(storm, number);
    struct link *to_master = link_to_master(storm, number);
    unsigned delay_ms = random_between(random, 200, 1200);
    unsigned wait_ms = random_between(random, 50, delay_ms);
    unsigned away_ms = random_magnitude(random, 1, 100);
    struct relay_fault delay = {.kind = RELAY_DELAY, .delay_ms = delay_ms};
    struct relay_fault stall = {.kind = RELAY_STALL, .directions = RELAY_BOTH_WAYS};
    struct relay_fault swallow = {.kind = RELAY_SWALLOW, .directions = RELAY_BOTH_WAYS};
    if (storm->nodes[number].state != NODE_UP || !list_elsewhere(storm, number) || !master_may_end(storm))
        return;
    link_mend(to_secondary);
    link_mend(to_master);
    link_spoil(storm, to_secondary, stall, SILENT_MS);
    link_spoil(storm, to_master, delay, SILENT_MS + 3 * delay_ms);
    sleep_ms(SILENT_MS);
    link_mend(to_secondary);
    for (unsigned i = 1; i < NODES; i++)
        if (i != number)
            link_spoil(storm, link_from_master(storm, i), swallow, wait_ms);
    sleep_ms(wait_ms);
    if (history_start_unseen())
        return;
    master_end(storm, false, away_ms);
    storm->next_gate = HISTORY_QUORUM_4;
}

/* Some messages reach one secondary alone, the master is killed, and the next one goes on without that
 * secondary, which cannot register for a while. So the lists part: what it holds must be refused, and never
 * be mixed with what the others get. */
static void fault_parting(struct storm *storm)
{
    unsigned number = random_between(&storm->random, 1, SECONDARIES);
    unsigned alone_ms = random_between(&storm->random, 50, 400);
    struct relay_fault swallow = {.kind = RELAY_SWALLOW, .directions = RELAY_BOTH_WAYS};
    struct relay_fault refuse = {.kind = RELAY_REFUSE};
    if (storm->nodes[number].state != NODE_UP || !list_elsewhere(storm, number) || !master_may_end(storm))
        return;
    for (unsigned i = 0; i < LINKS; i++)
        link_mend(&storm->links[i]);
    for (unsigned i = 1; i < NODES; i++)
        if (i != number)
            link_spoil(storm, link_from_master(storm, i), swallow, alone_ms);
    sleep_ms(alone_ms);
    link_spoil(storm, link_to_master(storm, number), refuse, PARTING_MS);
    master_end(storm, false, 0);
    for (unsigned i = 1; i < NODES; i++)
        if (i != number)
            link_mend(link_from_master(storm, i));
    storm->next_gate = HISTORY_QUORUM_3;
    any_start(storm, MASTER);
    int64_t until_ms = now_ms() + PARTING_MS;
    while (!history_start_seen() && now_ms() < until_ms)
        sleep_ms(PASS_MS);
    link_mend(link_to_master(storm, number));
}

static bool any_durable(const struct storm *storm)
{
    bool any = false;
    for (unsigned i = 0; i < NODES; i++)
        any = any || storm->nodes[i].durable;
    return any;
}

/* All nodes that run are killed at once, and each comes back some time later. */
static void fault_blackout(struct storm *storm)
{
    for (unsigned i = 0; i < NODES; i++)
        if (storm->nodes[i].state == NODE_STOPPING)
            return;
    if (storm->config.spare_master || storm->nodes[MASTER].state != NODE_UP || !any_durable(storm) ||
        !master_may_end(storm))
        return;
    for (unsigned i = 1; i < NODES; i++)
        if (storm->nodes[i].state != NODE_DOWN)
            fault_secondary_end(storm, i, false);
    master_end(storm, false, random_magnitude(&storm->random, 1, 1500));
    storm->counts.blackouts++;
}

/* Somebody removes a member that is alive; it must come back by itself. */
static void fault_remove(struct storm *storm, unsigned number)
{
    struct answer answer;
    struct text request = {0};
    text_addf(&request, "DELETE /secondaries/%s HTTP/1.1\r\nHost: torture\r\n\r\n",
              storm->nodes[number].name);
    report_event("%s is removed as a member", storm->nodes[number].name);
    bool answered = client_ask(&storm->master, &request, &answer, now_ms() + HEALTH_MS);
    bool loads = answered && answer.status == 503 && storm->nodes[MASTER].durable;
    if (answered && !loads && answer.status != 204 && answer.status != 404)
        report_fail("DELETE /secondaries/%s was answered %d", storm->nodes[number].name, answer.status);
    text_free(&request);
    storm->counts.removed++;
}

static void fault_of_secondary(struct storm *storm)
{
    unsigned number = random_between(&storm->random, 1, SECONDARIES);
    unsigned percent = random_between(&storm->random, 0, 99);
    if (storm->nodes[number].state != NODE_UP)
        return;
    if (percent < 45)
        fault_freeze(storm, number);
    else if (percent < 90 && secondary_may_end(storm, number))
        fault_secondary_end(storm, number, percent >= 75);
    else if (storm->nodes[MASTER].state == NODE_UP)
        fault_remove(storm, number);
}

static void fault_of_master(struct storm *storm)
{
    unsigned percent = random_between(&storm->random, 0, 99);
    if (storm->config.spare_master || storm->nodes[MASTER].state != NODE_UP)
        return;
    if (percent < 30)
        fault_freeze(storm, MASTER);
    else if (percent < 45)
        fault_late_registration(storm);
    else if (percent < 65)
        fault_parting(storm);
    else
        fault_master_end(storm, percent >= 90);
}

static void fault_of_liars(struct storm *storm)
{
    unsigned percent = random_between(&storm->random, 0, 99);
    if (storm->nodes[MASTER].state != NODE_UP)
        return;
    if (percent < 40)
        fault_forgery(storm);
    else if (percent < 55)
        fault_lying_member(storm);
    else if (percent < 70)
        fault_late_goodbye(storm);
    else if (storm->config.spare_master)
        return;
    else if (percent < 85)
        fault_lying_list(storm);
    else
        fault_newcomers(storm);
}

/* ---- the storm */

static void node_mend(struct storm *storm, unsigned number)
{
    struct node *node = &storm->nodes[number];
    if (node->state == NODE_FROZEN)
        node_thaw(node);
    else if (node->state == NODE_DOWN)
        any_start(storm, number);
}

void storm_watch(struct storm *storm)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct node *node = &storm->nodes[i];
        bool stopping = node->state == NODE_STOPPING;
        node_check(node);
        if (stopping && node->state == NODE_DOWN && i != MASTER)
            history_secondary_ends(i, node->lives, node->durable); /* until now it may have sent ACKs */
    }
}

/* Ends the faults that are over. */
static void storm_pass(struct storm *storm)
{
    int64_t now = now_ms();
    storm_watch(storm);
    for (unsigned i = 0; i < LINKS; i++)
        if (storm->links[i].until_ms && now >= storm->links[i].until_ms)
            link_mend(&storm->links[i]);
    for (unsigned i = 0; i < NODES; i++)
        if (now >= storm->until_ms[i])
            node_mend(storm, i);
}

static void storm_fault(struct storm *storm)
{
    unsigned percent = random_between(&storm->random, 0, 99);
    if (percent < 60)
        fault_of_link(storm);
    else if (percent < 78)
        fault_of_secondary(storm);
    else if (percent < 89)
        fault_of_liars(storm);
    else if (percent < 92)
        fault_blackout(storm);
    else
        fault_of_master(storm);
}

void storm_blow(struct storm *storm, int64_t ms)
{
    int64_t until_ms = now_ms() + ms;
    storm->gap_most_ms = random_magnitude(&storm->random, 80, 2000);
    report_event("a storm of %lld ms, a fault each %u ms at most", (long long)ms, storm->gap_most_ms);
    while (now_ms() < until_ms) {
        storm_pass(storm);
        if (now_ms() >= storm->next_ms) {
            storm_fault(storm);
            storm->next_ms = now_ms() + random_between(&storm->random, 1, storm->gap_most_ms);
        }
        sleep_ms(PASS_MS);
    }
}

void storm_end(struct storm *storm)
{
    for (unsigned i = 0; i < LINKS; i++)
        link_mend(&storm->links[i]);
    for (unsigned i = 0; i < NODES; i++) {
        while (storm->nodes[i].state == NODE_STOPPING) {
            storm_watch(storm);
            sleep_ms(PASS_MS);
        }
        node_mend(storm, i);
    }
    report_event("the faults have stopped");
}

/* ---- life */

static void links_open(struct storm *storm)
{
    for (unsigned i = 1; i <= SECONDARIES; i++) {
        char name[32];
        snprintf(name, sizeof name, "master->s%u", i);
        storm->links[2 * (i - 1)].relay =
            relay_add(name, nodes_address(ADDRESS_FROM_MASTER + i), &storm->nodes[i]);
        snprintf(name, sizeof name, "s%u->master", i);
        storm->links[2 * (i - 1) + 1].relay =
            relay_add(name, nodes_address(ADDRESS_TO_MASTER + i), &storm->nodes[MASTER]);
    }
}

struct storm *storm_open(const struct storm_config *config)
{
    struct storm *storm = calloc(1, sizeof *storm);
    if (!storm)
        report_fail("the torture program has no memory left");
    storm->config = *config;
    storm->nodes = config->cluster->nodes;
    storm->random = random_stream(config->cluster->seed, 0x73746f726d, 0);
    client_open(&storm->master, &storm->nodes[MASTER]);
    links_open(storm);
    relays_start(random_stream(config->cluster->seed, 0x72656c6179, 0));
    for (unsigned i = 0; i < NODES; i++)
        any_start(storm, i);
    return storm;
}

void storm_close(struct storm *storm)
{
    for (unsigned i = 0; i < NODES; i++)
        node_stop(&storm->nodes[i]);
    for (unsigned i = 0; i < NODES; i++)
        for (; storm->nodes[i].state != NODE_DOWN; sleep_ms(PASS_MS))
            node_check(&storm->nodes[i]);
    relays_stop();
    client_close(&storm->master);
    free(storm);
}

struct storm_counts storm_count(const struct storm *storm)
{
    return storm->counts;
}
