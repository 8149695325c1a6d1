/* The torture run: a master and three secondaries, real processes, whose links all go through relays. Writers
 * and readers are at work all the time; storms of faults come and go, with forgers and liars in them
 * (lies.h); a checker (history.h) holds everything that is seen against everything that was sent and
 * answered.
 *
 *     BUILD_DIR=build build/test/torture [seconds]
 *
 * It runs for TORTURE_SECONDS (30) where that is not given. SEED chooses the run: all that is random follows
 * from it, but not how threads and processes interleave. TORTURE_VERBOSE=1 shows all faults as they come,
 * TORTURE_KEEP_LOGS=1 keeps what the nodes log, which else is kept at a failure only and since the last calm,
 * TORTURE_SPARE_MASTER=1 leaves the master alone, so that one process lives through the whole run. */
#include "calm.h"
#include "cluster.h"
#include "history.h"
#include "reader.h"
#include "relay.h"
#include "report.h"
#include "storm.h"
#include "writer.h"
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { STORM_LEAST_MS = 3000, STORM_MOST_MS = 8000, OVERTIME_S = 180 };

static struct cluster cluster;
static struct writer writers[WRITERS];
static struct reader readers[READERS];
static pthread_t threads[WRITERS + READERS];
static char folder[200];
static char command[300];

static void nodes_end(void)
{
    nodes_kill(cluster.nodes);
}

static void hangs(int signal)
{
    static const char text[] = "\nFAILED: the torture program hangs\n";
    (void)signal;
    if (write(STDOUT_FILENO, text, sizeof text - 1) > 0)
        write(STDOUT_FILENO, command, strlen(command));
    nodes_kill(cluster.nodes);
    _exit(1);
}

/* ---- settings */

static uint64_t number_read(const char *name, const char *text, uint64_t otherwise)
{
    char *end;
    if (!text || !*text)
        return otherwise;
    uint64_t value = strtoull(text, &end, 10);
    if (*end) {
        fprintf(stderr, "torture: %s is '%s': a whole number is needed\n", name, text);
        exit(2);
    }
    return value;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    return number_read(name, getenv(name), otherwise);
}

static uint64_t seed_any(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint32_t)getpid();
    return seed;
}

static void folder_make(void)
{
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/torture-XXXXXX", where && *where ? where : "/tmp");
    if (!mkdtemp(folder)) {
        fprintf(stderr, "torture: cannot make the folder %s\n", folder);
        exit(2);
    }
}

static void folder_remove(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        unlink(cluster.nodes[i].log_path);
        node_forget_data(&cluster.nodes[i]);
    }
    rmdir(folder);
}

/* ---- the run */

/* All nodes have a disk, or some, or none. */
static void disks_draw(void)
{
    struct random random = random_stream(cluster.seed, 0x6469736b, 0);
    unsigned share = random_percent(&random, 35) ? 100 : random_percent(&random, 55) ? 60 : 0;
    char names[64] = "";
    for (unsigned i = 0; i < NODES; i++) {
        struct node *node = &cluster.nodes[i];
        node->durable = random_percent(&random, share);
        if (!node->durable)
            continue;
        history_keeps(i);
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", node->name);
    }
    report_line("with a disk:%s", names[0] ? names : " none");
}

static void workers_start(void)
{
    int error = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&cluster, i};
        error = error ? error : pthread_create(&threads[i], NULL, writer_thread, &writers[i]);
    }
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){&cluster, i};
        error = error ? error : pthread_create(&threads[WRITERS + i], NULL, reader_thread, &readers[i]);
    }
    if (error)
        report_fail("cannot start a thread: %s", strerror(error));
}

static void workers_end(void)
{
    atomic_store(&cluster.ending, true);
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
}

static void calm_tell(unsigned storm, const struct calm *calm)
{
    report_line(
        "storm %u over: all well after %.1f s, %u messages; master run %u has %u threads, %u descriptors, "
        "%u kB",
        storm, (double)calm->ms / 1000, calm->last, cluster.nodes[MASTER].lives, calm->master.threads,
        calm->master.descriptors, calm->master.kilobytes);
}

static void storms_pass(struct storm *storm, int64_t until_ms)
{
    struct random random = random_stream(cluster.seed, 0x73746f726d73, 0);
    unsigned number = 0;
    do {
        storm_blow(storm, random_between(&random, STORM_LEAST_MS, STORM_MOST_MS));
        storm_end(storm);
        struct calm calm = calm_wait(&cluster, storm);
        calm_tell(++number, &calm);
    } while (now_ms() < until_ms);
}

static void summary_tell(const struct storm *storm)
{
    struct history_counts history = history_count();
    struct writer_counts writing = writers_count();
    struct relay_counts relays = relays_count();
    struct storm_counts faults = storm_count(storm);
    report_line(
        "posted %u: %u answered 201, %u 202, %u refused or cut off, %u without an answer; the longest took "
        "%.1f s",
        history.posted, history.acked, history.late, history.refused, history.unknown,
        (double)writing.longest_ms / 1000);
    report_line("holders counted after %u answers, %u times with all nodes there; %u waits for an id",
                writing.verified, writing.definite, writing.waited);
    report_line("read %" PRIu64 " messages of lists", history.elements);
    report_line("master runs: %u, and before %u of them messages had to survive, %" PRIu64
                " in all; %u answered ones rightly went with their master",
                history.runs, history.judged, history.surviving, history.dropped);
    report_line("links: %u connections, %u cut inside, %" PRIu64
                " kB; %u times cut, %u delayed, %u trickling, %u "
                "swallowing, %u stalled, %u refusing",
                relays.connections, relays.cuts, relays.bytes / 1024, faults.links[RELAY_CUT],
                faults.links[RELAY_DELAY], faults.links[RELAY_TRICKLE], faults.links[RELAY_SWALLOW],
                faults.links[RELAY_STALL], faults.links[RELAY_REFUSE]);
    report_line(
        "secondaries: %u times frozen, %u killed, %u stopped, %u removed, %u restarted because they were "
        "refused; master: %u frozen, %u killed, %u stopped",
        faults.frozen, faults.killed, faults.stopped, faults.removed, faults.diverged, faults.master_frozen,
        faults.master_killed, faults.master_stopped);
    report_line("%u times all nodes were killed at once; %u lists came back from a disk", faults.blackouts,
                history.kept);
    report_line(
        "lies: %u forged messages taken by a secondary, of which the master told %u times, and %u with "
        "wrong fields refused; %u wrong answers to a greeting, %u lists other than told, %u late "
        "goodbyes; %u master runs with NODES, %u times all but one node restarted",
        faults.forged, faults.told_of, faults.misdirected, faults.lying_acks, faults.lying_lists,
        faults.late_goodbyes, faults.with_nodes, faults.newcomers);
}

int main(int argc, char *argv[])
{
    const char *programs = getenv("BUILD_DIR");
    uint64_t seconds = setting("TORTURE_SECONDS", 30);
    if (argc > 1)
        seconds = number_read("the number of seconds", argv[1], seconds);
    bool spare_master = setting("TORTURE_SPARE_MASTER", 0) != 0;
    cluster.seed = setting("SEED", seed_any());
    snprintf(command, sizeof command, "make torture SEED=%" PRIu64 " TORTURE_SECONDS=%" PRIu64 "%s",
             cluster.seed, seconds, spare_master ? " TORTURE_SPARE_MASTER=1" : "");
    folder_make();
    report_open(command, folder, nodes_end);
    report_line("torture: seed %" PRIu64 ", %" PRIu64 " s; the same again: %s", cluster.seed, seconds,
                command);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, hangs);
    alarm((unsigned)seconds + OVERTIME_S);
    nodes_open(cluster.nodes, programs && *programs ? programs : "build", folder);
    disks_draw();
    int64_t until_ms = now_ms() + (int64_t)seconds * 1000;
    struct storm *storm = storm_open(&(struct storm_config){&cluster, spare_master});
    workers_start();
    storms_pass(storm, until_ms);
    workers_end();
    summary_tell(storm);
    storm_close(storm);
    if (getenv("TORTURE_KEEP_LOGS"))
        report_line("the log lines of the nodes: %s", folder);
    else
        folder_remove();
    report_line("torture: nothing found, seed %" PRIu64, cluster.seed);
    return 0;
}
