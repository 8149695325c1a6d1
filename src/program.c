#include "program.h"
#include "health_check.h"
#include "replication/process.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

/* Prepares the process (descriptor limit, signals) and reads the settings. Returns true to go on; else
 * *status is the program's exit status. SIGTERM and SIGINT are blocked from here on, in all threads:
 * program_wait takes them. */
static bool program_begin(struct settings *settings, enum settings_role role, int argc, char *argv[],
                          int *status)
{
    sigset_t set;
    stop_signals(&set);
    enum settings_result result =
        settings_read(settings, role, argc, argv, environ, descriptors_raise(), stdout, stderr);
    if (result != SETTINGS_RUN) {
        *status = result == SETTINGS_DONE ? 0 : 2;
        return false;
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of the log lines that went away must not end the node */
    /* A name server that is silent must not hold up the end. */
    setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
    if (settings->health_check)
        return true;
    if (logline_start(STDERR_FILENO, settings->log_level, settings->log_json,
                      role == SETTINGS_MASTER ? "master" : "secondary") < 0) {
        fprintf(stderr, "there is no memory to start\n");
        *status = 1;
        return false;
    }
    settings_log(settings, role);
    return true;
}

/* Says where the node listens, and waits until SIGTERM or SIGINT comes. */
static void program_wait(const struct settings *settings, uint16_t port)
{
    bool ipv6 = strchr(settings->host, ':');
    sigset_t set;
    int got = 0;
    stop_signals(&set);
    logline(LOGLINE_INFO, "listening on http://%s%s%s:%u", ipv6 ? "[" : "", settings->host, ipv6 ? "]" : "",
            port);
    while (sigwait(&set, &got) != 0)
        continue;
    logline(LOGLINE_INFO, "stopping: %s", got == SIGTERM ? "SIGTERM" : "SIGINT");
}

int program_main(enum settings_role role, int argc, char *argv[])
{
    static struct settings settings;
    struct process *process;
    char why[256];
    int status;
    if (!program_begin(&settings, role, argc, argv, &status))
        return status;
    if (settings.health_check)
        return health_check(&settings);
    if (process_start(&process, &settings, role, why, sizeof why) < 0) {
        logline(LOGLINE_ERROR, "cannot start: %s", why);
        logline_stop();
        return 1;
    }
    program_wait(&settings, process_port(process));
    process_stop(process);
    logline(LOGLINE_INFO, "stopped");
    logline_stop();
    return 0;
}
