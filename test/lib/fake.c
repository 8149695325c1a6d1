#include "fake.h"
#include "eventually.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, TICK_MS = 10 };

struct fake {
    pthread_mutex_t mutex;
    int listen_fd;
    uint16_t port;

    /* guarded by mutex */
    enum fake_mode mode;
    int slow_ms;
    bool drop; /* the open connection */
    int connections, requests, signs;
    long long last_id, latest_first;
    char log[80];
    char *list; /* the messages as they came, one comma between two */
    size_t list_len;
    bool hole;
    char head[HEAD_MAX];

    /* the thread alone */
    int fd; /* -1: none */
};

/* ---- what a request holds */

/* Takes the messages that are not here yet: canonical strings with commas between. */
static void messages_store(struct fake *fake, const char *at, long long id)
{
    while (*at == '"') {
        const char *end = at + 1;
        while (*end && *end != '"')
            end += *end == '\\' && end[1] ? 2 : 1;
        size_t len = (size_t)(end + 1 - at);
        if (id > fake->last_id + 1)
            fake->hole = true;
        if (id == fake->last_id + 1) {
            fake->list = realloc(fake->list, fake->list_len + len + 2);
            if (!fake->list)
                trouble("no memory");
            if (fake->list_len)
                fake->list[fake->list_len++] = ',';
            memcpy(fake->list + fake->list_len, at, len);
            fake->list_len += len;
            fake->last_id = id;
        }
        id++;
        at = end + 1;
        at += *at == ',';
    }
}

static void request_store(struct fake *fake, const char *body)
{
    const char *messages = strstr(body, "\"messages\":[");
    const char *log = json_text_of(body, "log");
    if (messages)
        messages_store(fake, messages + strlen("\"messages\":["), json_number_of(body, "first"));
    snprintf(fake->log, sizeof fake->log, "%s", log ? log : "");
    free((char *)(uintptr_t)log);
}

/* ---- one connection */

static void fake_hang_up(struct fake *fake)
{
    if (fake->fd >= 0)
        close(fake->fd);
    fake->fd = -1;
}

static void say(struct fake *fake, const char *status, const char *body)
{
    raw_text(fake->fd, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
}

static void say_position(struct fake *fake, long long position)
{
    char body[64];
    snprintf(body, sizeof body, "{\"last_id\":%lld}", position);
    say(fake, "200 OK", body);
}

/* Answers a request with messages; holds the mutex but while it is slow. */
static void answer_messages(struct fake *fake, const char *body)
{
    enum fake_mode mode = fake->mode;
    fake->requests++;
    fake->latest_first = json_number_of(body, "first");
    if (mode != FAKE_500 && mode != FAKE_LIAR && mode != FAKE_SILENT)
        request_store(fake, body);
    if (fake->slow_ms) {
        int ms = fake->slow_ms;
        pthread_mutex_unlock(&fake->mutex);
        nap_ms(ms);
        pthread_mutex_lock(&fake->mutex);
    }
    switch (mode) {
    case FAKE_GOOD:
        say_position(fake, fake->last_id);
        break;
    case FAKE_500:
    case FAKE_500_HELD:
        say(fake, "500 Internal Server Error", "{\"error\":\"as told\"}");
        break;
    case FAKE_HALF:
        raw_text(fake->fd, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"last_");
        fake_hang_up(fake);
        break;
    case FAKE_GARBAGE:
        raw_text(fake->fd, "220 mail.example ready\r\n\r\n");
        break;
    case FAKE_LIAR:
        say_position(fake, fake->latest_first - 1);
        break;
    case FAKE_LOST_ACK:
        fake_hang_up(fake);
        break;
    case FAKE_SILENT:
    case FAKE_DEAF:
        break;
    }
}

static void answer(struct fake *fake, const char *body)
{
    if (*body) {
        answer_messages(fake, body);
        return;
    }
    fake->signs++;
    if (fake->mode != FAKE_SILENT)
        say_position(fake, fake->last_id);
}

/* Receives `len` bytes. */
static bool body_take(int fd, char *body, size_t len)
{
    size_t have = 0;
    while (have < len) {
        long got = raw_receive(fd, body + have, len - have, HTTP_LIMIT_MS);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    body[len] = '\0';
    return true;
}

/* One request: reads the head byte by byte, since what follows may be the next request. */
static bool request_serve(struct fake *fake)
{
    char head[HEAD_MAX];
    size_t len = 0;
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        if (len == sizeof head - 1 || raw_receive(fake->fd, head + len, 1, 5000) != 1)
            return false;
        len++;
    }
    head[len] = '\0';
    const char *field = strcasestr(head, "\r\nContent-Length:");
    size_t body_len = field ? strtoul(field + 17, NULL, 10) : 0;
    char *body = malloc(body_len + 1);
    if (!body || !body_take(fake->fd, body, body_len)) {
        free(body);
        return false;
    }
    pthread_mutex_lock(&fake->mutex);
    memcpy(fake->head, head, len + 1);
    answer(fake, body);
    pthread_mutex_unlock(&fake->mutex);
    free(body);
    return true;
}

static void fake_accept(struct fake *fake)
{
    fake_hang_up(fake);
    fake->fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    pthread_mutex_lock(&fake->mutex);
    fake->connections++;
    fake->drop = false;
    pthread_mutex_unlock(&fake->mutex);
}

static void *fake_run(void *arg)
{
    struct fake *fake = arg;
    for (;;) {
        pthread_mutex_lock(&fake->mutex);
        bool deaf = fake->mode == FAKE_DEAF;
        if (fake->drop)
            fake_hang_up(fake);
        fake->drop = false;
        pthread_mutex_unlock(&fake->mutex);
        struct pollfd polled[] = {{.fd = fake->listen_fd, .events = POLLIN},
                                  {.fd = deaf ? -1 : fake->fd, .events = POLLIN}};
        poll(polled, 2, TICK_MS);
        if (polled[0].revents)
            fake_accept(fake);
        else if (polled[1].revents && !request_serve(fake))
            fake_hang_up(fake);
    }
    return NULL;
}

/* ---- orders and questions */

struct fake *fake_open(enum fake_mode mode)
{
    struct fake *fake = calloc(1, sizeof *fake);
    pthread_t thread;
    if (!fake)
        trouble("no memory");
    pthread_mutex_init(&fake->mutex, NULL);
    fake->mode = mode;
    fake->fd = -1;
    fake->listen_fd = port_reserve(&fake->port);
    if (listen(fake->listen_fd, 64) < 0 || pthread_create(&thread, NULL, fake_run, fake) != 0)
        trouble("a scripted secondary cannot start: %s", strerror(errno));
    pthread_detach(thread);
    return fake;
}

struct reply fake_register(struct fake *fake, const struct node *master, const char *id)
{
    char body[256];
    pthread_mutex_lock(&fake->mutex);
    snprintf(body, sizeof body,
             "{\"id\":\"%s\",\"url\":\"http://127.0.0.1:%u\",\"log\":\"%s\",\"last_id\":%lld}", id,
             fake->port, fake->log, fake->last_id);
    pthread_mutex_unlock(&fake->mutex);
    return http_post_json(master->port, "/register", body);
}

void fake_mode(struct fake *fake, enum fake_mode mode)
{
    pthread_mutex_lock(&fake->mutex);
    fake->mode = mode;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_slow(struct fake *fake, int ms)
{
    pthread_mutex_lock(&fake->mutex);
    fake->slow_ms = ms;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_forget(struct fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    fake->last_id = 0;
    fake->list_len = 0;
    fake->log[0] = '\0';
    fake->drop = true;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_close_connection(struct fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    fake->drop = true;
    pthread_mutex_unlock(&fake->mutex);
}

uint16_t fake_port(const struct fake *fake)
{
    return fake->port;
}

static long long fake_number(struct fake *fake, const long long *number)
{
    pthread_mutex_lock(&fake->mutex);
    long long value = *number;
    pthread_mutex_unlock(&fake->mutex);
    return value;
}

static int fake_count(struct fake *fake, const int *count)
{
    pthread_mutex_lock(&fake->mutex);
    int value = *count;
    pthread_mutex_unlock(&fake->mutex);
    return value;
}

int fake_connections(struct fake *fake)
{
    return fake_count(fake, &fake->connections);
}

int fake_requests(struct fake *fake)
{
    return fake_count(fake, &fake->requests);
}

int fake_signs(struct fake *fake)
{
    return fake_count(fake, &fake->signs);
}

long long fake_last_id(struct fake *fake)
{
    return fake_number(fake, &fake->last_id);
}

long long fake_latest_first(struct fake *fake)
{
    return fake_number(fake, &fake->latest_first);
}

char *fake_list(struct fake *fake)
{
    char *text;
    pthread_mutex_lock(&fake->mutex);
    if (fake->hole)
        trouble("messages were sent with a hole before them");
    if (asprintf(&text, "{\"messages\":[%.*s]}", (int)fake->list_len, fake->list ? fake->list : "") < 0)
        trouble("no memory");
    pthread_mutex_unlock(&fake->mutex);
    return text;
}

char *fake_latest_head(struct fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    char *head = strdup(fake->head);
    pthread_mutex_unlock(&fake->mutex);
    return head;
}
