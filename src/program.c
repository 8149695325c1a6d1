#include "program.h"
#include "data_check.h"
#include "health_check.h"
#include "replication/process.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TOKEN_LEAST = 16 /* a shorter one is warned of */ };

/* Takes as many descriptors as the system allows; returns how many. */
static uint64_t descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

/* Warns of settings that let strangers in, or do not go together. */
static void dangers_log(const struct settings *settings, enum settings_role role)
{
    size_t len = strlen(settings->cluster_token);
    if (len && len < TOKEN_LEAST)
        logline_event(LOGLINE_WARN, "token", NULL,
                      "CLUSTER_TOKEN is short, and may be guessed: take %d characters or more", TOKEN_LEAST);
    if (!len && !is_loopback(settings->host))
        logline_event(LOGLINE_WARN, "token", NULL,
                      "whoever reaches %s can join as a node: set CLUSTER_TOKEN on all nodes",
                      settings->host);
    if (role == SETTINGS_MASTER && settings->nodes && settings->quorum > (int)settings->nodes)
        logline_event(
            LOGLINE_WARN, "quorum", NULL,
            "QUORUM=%d is more than NODES=%u: nothing is appended while there are no more nodes than "
            "NODES tells of",
            settings->quorum, settings->nodes);
    if (role == SETTINGS_MASTER && settings->idle_timeout_ms <= settings->heartbeat_ms)
        logline_event(LOGLINE_WARN, "idle_timeout", NULL,
                      "IDLE_TIMEOUT is not above HEARTBEAT_INTERVAL: a secondary with such a one closes "
                      "its connection again and again");
}

/* Says where the node listens, and waits until one of the signals comes. */
static void node_wait(const struct settings *settings, uint16_t port, const sigset_t *signals)
{
    bool ipv6 = strchr(settings->host, ':');
    int got = 0;
    logline_event(LOGLINE_INFO, "listening",
                  LOG_FIELDS(LOG_TEXT("host", settings->host), LOG_NUMBER("port", port)),
                  "listening on http://%s%s%s:%u", ipv6 ? "[" : "", settings->host, ipv6 ? "]" : "", port);
    while (sigwait(signals, &got) != 0)
        continue;
    logline_event(LOGLINE_INFO, "stopping", NULL, "stopping: %s",
                  got == SIGTERM  ? "SIGTERM"
                  : got == SIGINT ? "SIGINT"
                                  : "SIGHUP");
}

/* Runs a node with log lines. The signals that stop it are blocked in all threads: node_wait takes them. */
static int node_run(const struct settings *settings, enum settings_role role)
{
    struct process *process;
    char why[512];
    bool failed = false;
    struct sigaction hangup;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigaction(SIGHUP, NULL, &hangup) != 0 || hangup.sa_handler != SIG_IGN) /* ignored: nohup(1) */
        sigaddset(&signals, SIGHUP);                                           /* the terminal was closed */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of the log lines that went away must not end the node */
    /* A name server that is silent must not hold up the end. */
    setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
    if (logline_start(STDERR_FILENO, settings->log_level, settings->log_format,
                      role == SETTINGS_MASTER ? "master" : "secondary") < 0) {
        fprintf(stderr, "there is no memory to start\n");
        return 1;
    }
    settings_log(settings, role);
    dangers_log(settings, role);
    int result = process_start(&process, settings, role, why, sizeof why);
    if (result < 0) {
        logline_event(LOGLINE_ERROR, "cannot_start", NULL, "cannot start: %s", why);
    } else {
        node_wait(settings, process_port(process), &signals);
        failed = process_failed(process);
        process_stop(process);
        logline_event(LOGLINE_INFO, "stopped", NULL, "stopped");
    }
    logline_stop();
    return result < 0 || failed;
}

int program_main(enum settings_role role, int argc, char *argv[])
{
    static struct settings settings;
    enum settings_result result =
        settings_read(&settings, role, argc, argv, environ, descriptors_raise(), stdout, stderr);
    if (result != SETTINGS_RUN)
        return result == SETTINGS_DONE ? 0 : 2;
    if (settings.check_data)
        return data_check(settings.check_data);
    return settings.check ? health_check(&settings) : node_run(&settings, role);
}
