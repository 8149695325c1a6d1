#include "calm.h"
#include "client.h"
#include "history.h"
#include "report.h"
#include "writer.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    STEP_MS = 20,
    HEALTH_MS = 2000,
    REST_MS = 20000,  /* until the writers have ended what they were in the midst of */
    CHECK_MS = 60000, /* until the readers have read all lists to their ends */
    ALL_TIMEOUT_S = 5
};

/* One look at the cluster. */
struct look {
    char bodies[NODES][8192]; /* of GET /health; "" where there was none */
    int64_t last[NODES];
    bool well;
};

static unsigned times_in(const char *text, const char *part)
{
    unsigned times = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        times++;
    return times;
}

/* The "log" of a health body, with its quotes. */
static size_t log_of(const char *body, const char **at)
{
    const char *start = strstr(body, "\"log\":");
    *at = start ? start + 6 : "";
    return strcspn(*at, ",}");
}

static bool same_log(const char *one, const char *other)
{
    const char *one_at;
    const char *other_at;
    size_t len = log_of(one, &one_at);
    return len && len == log_of(other, &other_at) && memcmp(one_at, other_at, len) == 0;
}

static bool secondary_well(const struct look *look, unsigned i)
{
    return look->last[i] == look->last[MASTER] && strstr(look->bodies[i], "\"registered\":true") &&
           same_log(look->bodies[i], look->bodies[MASTER]);
}

static void cluster_look(struct cluster *cluster, struct look *look)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct client client;
        struct answer answer;
        client_open(&client, &cluster->nodes[i]);
        look->bodies[i][0] = '\0';
        look->last[i] = -1;
        if (client_get(&client, "/health", &answer, now_ms() + HEALTH_MS)) {
            look->last[i] = answer_number(&answer, "last_id");
            snprintf(look->bodies[i], sizeof look->bodies[i], "%.*s", (int)answer.body_len, answer.body);
        }
        client_close(&client);
    }
    const char *master = look->bodies[MASTER];
    look->well = strstr(master, "\"read_only\":false") && times_in(master, "\"state\":") == SECONDARIES &&
                 times_in(master, "\"state\":\"healthy\"") == SECONDARIES &&
                 times_in(master, "\"lag\":0,") == SECONDARIES;
    for (unsigned i = 1; i < NODES; i++)
        look->well = look->well && secondary_well(look, i);
}

/* A secondary with messages that the master has no place for must be refused; a person then restarts it. */
static bool diverged_restart(struct cluster *cluster, struct storm *storm)
{
    bool any = false;
    for (unsigned i = 1; i < NODES; i++) {
        if (!history_diverged(i, node_life(&cluster->nodes[i])))
            continue;
        report_event("%s holds what the master has not taken over: it is restarted, as its log lines ask for",
                     cluster->nodes[i].name);
        storm_restart_secondary(storm, i);
        any = true;
    }
    return any;
}

static int64_t wait_well(struct cluster *cluster, struct storm *storm)
{
    struct look look;
    int64_t since_ms = now_ms();
    for (;;) {
        storm_watch(storm);
        cluster_look(cluster, &look);
        if (look.well && !atomic_load(&cluster->busy))
            return now_ms() - since_ms;
        if (diverged_restart(cluster, storm))
            since_ms = now_ms();
        if (now_ms() > since_ms + CALM_MS && !look.well)
            report_fail("%d s after the faults have stopped, not all is well:\n  %s\n  %s\n  %s\n  %s",
                        CALM_MS / 1000, look.bodies[0], look.bodies[1], look.bodies[2], look.bodies[3]);
        if (now_ms() > since_ms + REST_MS)
            report_fail("%u writers wait for answers %d s after the faults have stopped",
                        atomic_load(&cluster->busy), REST_MS / 1000);
        sleep_ms(STEP_MS);
    }
}

/* Every reader has read its node's list up to `last`, and no further. */
static void wait_checked(struct cluster *cluster, uint32_t last)
{
    int64_t until_ms = now_ms() + CHECK_MS;
    for (unsigned i = 0; i < NODES; i++) {
        uint64_t wanted = (uint64_t)node_life(&cluster->nodes[i]) << 32 | last;
        while (atomic_load(&cluster->checked[i]) != wanted) {
            if (now_ms() > until_ms)
                report_fail("the list of %s ends at %u, and it should end at %u", cluster->nodes[i].name,
                            (uint32_t)atomic_load(&cluster->checked[i]), last);
            sleep_ms(STEP_MS);
        }
    }
}

struct calm calm_wait(struct cluster *cluster, struct storm *storm)
{
    struct calm calm;
    struct look look;
    atomic_store(&cluster->resting, true);
    calm.ms = wait_well(cluster, storm);
    calm.last = writer_post_to_all(cluster, ALL_TIMEOUT_S);
    wait_checked(cluster, calm.last);
    cluster_look(cluster, &look);
    for (unsigned i = 0; i < NODES; i++)
        if (look.last[i] != (int64_t)calm.last)
            report_fail("nobody writes, and %s has %" PRId64 " messages after %u", cluster->nodes[i].name,
                        look.last[i], calm.last);
    history_settled(calm.last);
    node_measure(&cluster->nodes[MASTER], &calm.master);
    for (unsigned i = 0; i < NODES; i++)
        node_forget_log(&cluster->nodes[i]);
    atomic_store(&cluster->resting, false);
    return calm;
}
