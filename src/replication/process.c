#include "replication/process.h"
#include "http/carriers.h"
#include "notify.h"
#include "replication/node.h"
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DRAIN_MS = 1200,  /* a master's time for ACKs, when it stops */
    GOODBYE_MS = 700, /* a secondary's for its goodbye */
    GRACE_MS = 500    /* for the last answers to leave */
};

struct process {
    const struct settings *settings;
    enum settings_role role;
    struct worker *worker;
    struct worker *disk; /* NULL without DATA_DIR */
    atomic_bool failed;  /* the list could not be loaded */
    struct http_dialer dialer;
    struct node *node;
    struct http_server *server;
    const char *manager; /* the address of a service manager's socket; NULL: there is none */
    bool unheard;        /* it could not be told, and a log line says so */
};

static void server_wake(void *ctx)
{
    struct process *process = ctx;
    loop_wake(process->dialer.loop);
}

static void list_unusable(void *ctx)
{
    struct process *process = ctx;
    atomic_store(&process->failed, true);
    kill(getpid(), SIGTERM); /* main ends the process */
}

/* ---- what the service manager is told, on the loop's thread */

/* Returns false where another try may succeed: the manager's queue is full. */
static bool manager_tell(struct process *process, const char *text)
{
    int result = notify_send(process->manager, text);
    if (result < 0 && !process->unheard) {
        process->unheard = true;
        logline_event(LOGLINE_WARN, "not_notified", NULL,
                      "cannot tell the service manager at NOTIFY_SOCKET=%s: %s", process->manager,
                      strerror(-result));
    }
    return result != -EAGAIN;
}

static void serving_write(const struct process *process, const struct node_condition *now, struct buf *out)
{
    const struct settings *settings = process->settings;
    struct http_url own = {.port = process_port(process)};
    char authority[HTTP_AUTHORITY_MAX];
    span_copy(span_of(settings->host), own.host, sizeof own.host);
    http_url_authority(&own, authority, sizeof authority);
    if (process->role == SETTINGS_SECONDARY) {
        buf_addf(out, "READY=1\nSTATUS=secondary on http://%s %s the master %s\n", authority,
                 now->registered ? "of" : "that is not registered with", settings->master_url);
        return;
    }
    buf_addf(out, "READY=1\nSTATUS=master on http://%s, %u %s", authority, now->members,
             now->members == 1 ? "member" : "members");
    if (now->unhealthy)
        buf_addf(out, ", %u unhealthy", now->unhealthy);
    buf_add_char(out, '\n');
}

static bool node_told(void *ctx, const struct node_condition *now)
{
    struct process *process = ctx;
    struct buf text = {0};
    if (now->state == NODE_LOADS)
        buf_add_text(&text, "STATUS=loading the list from disk\n");
    else if (now->state == NODE_SERVES)
        serving_write(process, now, &text);
    else
        buf_add_text(&text, "STOPPING=1\nSTATUS=stopping\n");
    buf_add_char(&text, '\0');
    bool told = !text.failed && manager_tell(process, text.data);
    buf_free(&text);
    return told;
}

/* ---- life */

/* Opens DATA_DIR, where it is set. Returns 0 or a negative errno. */
static int data_open(struct process *process, char *why, size_t why_size)
{
    char sentence[JOURNAL_WHY_SIZE];
    struct journal *journal;
    if (!process->settings->data_dir[0])
        return 0;
    process->disk = worker_open(server_wake, process);
    if (!process->disk)
        return -ENOMEM;
    int result = journal_open(&journal, process->settings->data_dir, JOURNAL_WRITE, sentence);
    if (result < 0) {
        snprintf(why, why_size, "%s", sentence);
        return result;
    }
    return node_keep(process->node, journal, process->disk, list_unusable, process);
}

static int process_listen(struct process *process, char *why, size_t why_size)
{
    const struct settings *settings = process->settings;
    const struct http_service service = node_service(process->node);
    static_assert((int)SETTINGS_CARRIERS_MAX == (int)CARRIERS_MAX, "as many may be set as there may be");
    const struct http_server_config config = {
        .host = settings->host,
        .port = settings->port,
        .max_connections = settings->max_connections,
        .idle_timeout_ms = settings->idle_timeout_ms,
        .memory = settings->memory,
        .carriers = settings->carriers,
    };
    int result = http_server_open(&process->server, &config, &service, why, why_size);
    if (result < 0)
        return result;
    process->dialer.loop = http_server_loop(process->server);
    node_port(process->node, http_server_port(process->server));
    result = http_server_start(process->server);
    if (result < 0)
        snprintf(why, why_size, "cannot start a thread: %s", strerror(-result));
    return result;
}

static void process_free(struct process *process)
{
    if (process->node)
        node_close(process->node);
    if (process->worker)
        worker_close(process->worker);
    if (process->disk)
        worker_close(process->disk);
    if (process->server)
        http_server_close(process->server);
    free(process);
}

int process_start(struct process **out, const struct settings *settings, enum settings_role role, char *why,
                  size_t why_size)
{
    struct process *process = calloc(1, sizeof *process);
    int result = -ENOMEM;
    snprintf(why, why_size, "there is no memory to start");
    if (!process)
        return result;
    process->settings = settings;
    process->role = role;
    process->worker = worker_open(server_wake, process);
    process->dialer.worker = process->worker;
    http_dialer_from(&process->dialer, settings->host);
    if (process->worker)
        process->node = node_open(settings, role, &process->dialer);
    process->manager = getenv("NOTIFY_SOCKET");
    if (process->node && process->manager && *process->manager)
        node_watch(process->node, node_told, process);
    if (process->node)
        result = data_open(process, why, why_size);
    if (process->node && result == 0)
        result = process_listen(process, why, why_size);
    if (result < 0)
        process_free(process);
    else
        *out = process;
    return result;
}

uint16_t process_port(const struct process *process)
{
    return http_server_port(process->server);
}

bool process_failed(const struct process *process)
{
    return atomic_load(&process->failed);
}

void process_stop(struct process *process)
{
    int64_t patience_ms = process->role == SETTINGS_MASTER ? DRAIN_MS : GOODBYE_MS;
    node_stop(process->node, patience_ms);
    http_server_stop(process->server, patience_ms + GRACE_MS);
    node_drain(process->node);
    loop_wake(process->dialer.loop);
    http_server_join(process->server);
    process_free(process);
}
