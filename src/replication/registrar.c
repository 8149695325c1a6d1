#include "replication/registrar.h"
#include "clock.h"
#include "http/client.h"
#include "http/writer.h"
#include "logline.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    HEARTBEAT_UNKNOWN_MS = 1000,
    CALL_MS = 2000 /* for an answer. A master that takes over this secondary's list, and needs longer, goes on
                      with it all the same, and answers the next try */
};

struct registrar {
    struct registrar_config config;
    pthread_t thread;
    int wake_fd;
    atomic_bool ending;
    atomic_bool registered;
    atomic_bool pausing; /* a sign of life must write to wake_fd */
    _Atomic int64_t heard_ms;
    _Atomic int64_t heartbeat_ms;

    /* the thread alone; main once it is joined */
    char id[WIRE_ID_SIZE]; /* what the master knows this secondary as; "": not yet */
    bool told;             /* a registration was sent: the master may hold this secondary for a member */
    char complaint[512];   /* what the last failure was logged as */
    int64_t pause_ms;
    unsigned random;
};

static void registrar_wake(struct registrar *registrar)
{
    uint64_t one = 1;
    while (write(registrar->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void registrar_heard(struct registrar *registrar)
{
    atomic_store(&registrar->heard_ms, clock_ms());
    if (!atomic_load(&registrar->registered) && atomic_exchange(&registrar->pausing, false))
        registrar_wake(registrar);
}

bool registrar_registered(const struct registrar *registrar)
{
    return atomic_load(&registrar->registered);
}

int64_t registrar_heartbeat_ms(const struct registrar *registrar)
{
    return atomic_load(&registrar->heartbeat_ms);
}

/* Sleeps until then, or until somebody wakes the thread. */
static void registrar_sleep(struct registrar *registrar, int64_t until_ms)
{
    uint64_t count;
    if (http_wait(-1, 0, until_ms, registrar->wake_fd) == -ECANCELED && !atomic_load(&registrar->ending))
        while (read(registrar->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
            continue;
}

/* ---- one try */

static void registered_log(const struct wire_registered *answer)
{
    logline(LOGLINE_INFO, "registered with the master as %s; the log has %" PRIu64 " messages", answer->id,
            answer->last_id);
}

/* Says what is wrong, once as long as it is the same. */
static void complain(struct registrar *registrar, enum logline_level level, const char *what)
{
    bool said = strcmp(registrar->complaint, what) == 0;
    logline(said ? LOGLINE_DEBUG : level, "%s", what);
    snprintf(registrar->complaint, sizeof registrar->complaint, "%s", what);
}

static void complain_unreachable(struct registrar *registrar, int error)
{
    char what[sizeof registrar->complaint];
    snprintf(what, sizeof what, "cannot register with the master at http://%s:%u: %s%s; trying again",
             registrar->config.master.host, registrar->config.master.port, strerror(-error),
             error == -EINVAL ? " (it is not to be reached from the address in HOST)" : "");
    complain(registrar, LOGLINE_WARN, what);
}

static void complain_refused(struct registrar *registrar, const struct http_reply *reply)
{
    char error[320];
    uint64_t last;
    char what[sizeof registrar->complaint];
    wire_position_read(buf_span(&reply->body), &last, error, sizeof error);
    snprintf(what, sizeof what, "the master answered %d to the registration: %s", reply->status, error);
    complain(registrar, reply->status == 503 ? LOGLINE_WARN : LOGLINE_ERROR, what);
}

static bool answer_take(struct registrar *registrar, const struct http_reply *reply)
{
    struct wire_registered answer;
    if (reply->status != 200) {
        complain_refused(registrar, reply);
        return false;
    }
    if (wire_registered_read(buf_span(&reply->body), &answer) || !answer.log[0]) {
        complain(registrar, LOGLINE_ERROR, "the answer to the registration is not a master's");
        return false;
    }
    if (answer.id[0])
        snprintf(registrar->id, sizeof registrar->id, "%s", answer.id);
    if (answer.heartbeat_ms)
        atomic_store(&registrar->heartbeat_ms, answer.heartbeat_ms);
    if (!registrar->config.accepted(registrar->config.ctx, &answer)) {
        complain(registrar, LOGLINE_WARN,
                 "messages of the master's earlier run came while this registered with the present one: "
                 "registering again");
        return false;
    }
    atomic_store(&registrar->heard_ms, clock_ms());
    atomic_store(&registrar->registered, true);
    registrar->complaint[0] = '\0';
    registrar->pause_ms = REGISTRAR_PAUSE_LEAST_MS;
    registered_log(&answer);
    return true;
}

static bool registrar_try(struct registrar *registrar)
{
    struct wire_register registration = {0};
    struct buf body = {0};
    struct http_reply reply;
    registrar->config.describe(registrar->config.ctx, &registration);
    if (registration.id[0])
        snprintf(registrar->id, sizeof registrar->id, "%s", registration.id);
    registrar->told = true;
    wire_register_write(&body, &registration);
    const struct http_call call = {
        .url = &registrar->config.master,
        .method = "POST",
        .target = "/register",
        .fields = registrar->config.fields,
        .body = buf_span(&body),
        .from = registrar->config.from,
        .deadline_ms = clock_ms() + CALL_MS,
        .cancel_fd = registrar->wake_fd,
    };
    int result = http_call(&call, &reply);
    bool taken = false;
    if (result == 0)
        taken = answer_take(registrar, &reply);
    else if (result != -ECANCELED)
        complain_unreachable(registrar, result);
    buf_free(&reply.body);
    buf_free(&body);
    return taken;
}

/* A sign of life ends the pause, but not its first part: it may be no more than the echo of the last try,
 * whose answer was lost on the way, and the next answer would be lost as well. */
static void registrar_pause(struct registrar *registrar)
{
    int64_t half_ms = registrar->pause_ms / 2;
    int64_t now_ms = clock_ms();
    int64_t until_ms = now_ms + half_ms + rand_r(&registrar->random) % (half_ms + 1);
    registrar_sleep(registrar, now_ms + half_ms / 2);
    atomic_store(&registrar->pausing, true);
    if (atomic_load(&registrar->heard_ms) < now_ms)
        registrar_sleep(registrar, until_ms);
    atomic_store(&registrar->pausing, false);
    registrar->pause_ms *= 2;
    if (registrar->pause_ms > REGISTRAR_PAUSE_MOST_MS)
        registrar->pause_ms = REGISTRAR_PAUSE_MOST_MS;
}

/* Registered: sleeps until the master has been silent for too long. */
static void registrar_listen(struct registrar *registrar)
{
    while (!atomic_load(&registrar->ending)) {
        int64_t silence_ms = REGISTRAR_SILENCE * atomic_load(&registrar->heartbeat_ms);
        int64_t until_ms = atomic_load(&registrar->heard_ms) + silence_ms;
        if (clock_ms() >= until_ms) {
            atomic_store(&registrar->registered, false);
            logline(LOGLINE_WARN, "heard nothing from the master for %.1f s: registering again",
                    (double)silence_ms / 1000);
            return;
        }
        registrar_sleep(registrar, until_ms);
    }
}

static void *registrar_thread(void *arg)
{
    struct registrar *registrar = arg;
    while (!atomic_load(&registrar->ending)) {
        if (registrar_try(registrar))
            registrar_listen(registrar);
        else
            registrar_pause(registrar);
    }
    return NULL;
}

/* ---- life */

struct registrar *registrar_start(const struct registrar_config *config)
{
    struct registrar *registrar = calloc(1, sizeof *registrar);
    if (!registrar)
        return NULL;
    registrar->config = *config;
    registrar->pause_ms = REGISTRAR_PAUSE_LEAST_MS;
    registrar->random = (unsigned)clock_us();
    atomic_store(&registrar->heartbeat_ms, HEARTBEAT_UNKNOWN_MS);
    registrar->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (registrar->wake_fd >= 0 && pthread_create(&registrar->thread, NULL, registrar_thread, registrar) == 0)
        return registrar;
    if (registrar->wake_fd >= 0)
        close(registrar->wake_fd);
    free(registrar);
    return NULL;
}

static void say_goodbye(struct registrar *registrar, int64_t goodbye_ms)
{
    char target[WIRE_ID_SIZE * 3 + 16] = "/secondaries/";
    size_t len = strlen(target);
    struct http_reply reply;
    for (const char *c = registrar->id; *c; c++)
        len += (size_t)snprintf(target + len, sizeof target - len, "%%%02X", (unsigned char)*c);
    const struct http_call call = {
        .url = &registrar->config.master,
        .method = "DELETE",
        .target = target,
        .fields = registrar->config.fields,
        .from = registrar->config.from,
        .deadline_ms = clock_ms() + goodbye_ms,
        .cancel_fd = -1,
    };
    int result = http_call(&call, &reply);
    if (result == 0 && reply.status == 204)
        logline(LOGLINE_INFO, "said goodbye to the master");
    else
        logline(LOGLINE_WARN, "could not say goodbye to the master: %s",
                result < 0 ? strerror(-result) : http_reason(reply.status));
    buf_free(&reply.body);
}

void registrar_stop(struct registrar *registrar, int64_t goodbye_ms)
{
    atomic_store(&registrar->ending, true);
    registrar_wake(registrar);
    pthread_join(registrar->thread, NULL);
    if (registrar->told && registrar->id[0])
        say_goodbye(registrar, goodbye_ms);
}

void registrar_free(struct registrar *registrar)
{
    close(registrar->wake_fd);
    free(registrar);
}
