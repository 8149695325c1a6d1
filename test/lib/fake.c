#include "fake.h"
#include "eventually.h"
#include "log/digest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, TICK_MS = 10, NAME_SIZE = 80 };

struct fake {
    pthread_mutex_t mutex;
    int listen_fd;
    uint16_t port;

    /* guarded by mutex */
    enum fake_mode mode;
    enum fake_forge forge;
    enum fake_list list_mode;
    int slow_ms;
    bool drop; /* the open connection */
    int connections, requests, signs, readings;
    long long last_id, latest_first;
    char id[NAME_SIZE]; /* under which it registered; "": never */
    char boot[33];
    char log[NAME_SIZE]; /* "": none */
    long long epoch;     /* of the master that it follows, -1 where that does not tell */
    char *list;          /* the messages as they came, one comma between two */
    size_t list_len;
    size_t *ends;      /* in `list`, of the messages 0 (before the first) to last_id */
    uint64_t *digests; /* of the messages up to there */
    bool hole;
    char head[HEAD_MAX];

    /* the thread alone */
    int fd; /* -1: none */
};

/* ---- what it holds */

static void *grown(void *memory, size_t size)
{
    void *more = realloc(memory, size);
    if (!more)
        trouble("no memory");
    return more;
}

/* Takes one more message, a canonical string. */
static void list_add(struct fake *fake, struct span message)
{
    size_t count = (size_t)++fake->last_id + 1;
    fake->list = grown(fake->list, fake->list_len + message.len + 2);
    fake->ends = grown(fake->ends, count * sizeof *fake->ends);
    fake->digests = grown(fake->digests, count * sizeof *fake->digests);
    if (fake->list_len)
        fake->list[fake->list_len++] = ',';
    memcpy(fake->list + fake->list_len, message.at, message.len);
    fake->list_len += message.len;
    fake->ends[count - 1] = fake->list_len;
    fake->digests[count - 1] = digest_chain(fake->digests[count - 2], message);
}

static void list_clear(struct fake *fake)
{
    fake->ends = grown(fake->ends, sizeof *fake->ends);
    fake->digests = grown(fake->digests, sizeof *fake->digests);
    fake->ends[0] = 0;
    fake->digests[0] = 0;
    fake->list_len = 0;
    fake->last_id = 0;
    fake->log[0] = '\0';
    fake->epoch = -1;
}

/* What it holds from one message to another one, commas between them. */
static struct span list_part(const struct fake *fake, long long from, long long to)
{
    if (from > to)
        return (struct span){0};
    size_t begin = from > 1 ? fake->ends[from - 1] + 1 : 0;
    return (struct span){fake->list + begin, fake->ends[to] - begin};
}

/* ---- what a request holds */

/* Takes the messages that are not here yet: canonical strings with commas between. */
static void messages_store(struct fake *fake, const char *at, long long id)
{
    while (*at == '"') {
        const char *end = at + 1;
        while (*end && *end != '"')
            end += *end == '\\' && end[1] ? 2 : 1;
        if (id > fake->last_id + 1)
            fake->hole = true;
        if (id == fake->last_id + 1)
            list_add(fake, (struct span){at, (size_t)(end + 1 - at)});
        id++;
        at = end + 1;
        at += *at == ',';
    }
}

static void request_store(struct fake *fake, const char *body)
{
    const char *messages = strstr(body, "\"messages\":[");
    if (messages)
        messages_store(fake, messages + strlen("\"messages\":["), json_number_of(body, "first"));
}

/* The value of a field of the request, cut to fit; "" where it is not there. */
static void request_field(const struct fake *fake, const char *name, char out[NAME_SIZE])
{
    char start[NAME_SIZE];
    int len = snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *field = strcasestr(fake->head, start);
    const char *value = field ? field + len : "";
    snprintf(out, NAME_SIZE, "%.*s", (int)strcspn(value, "\r"), value);
}

/* Whose request it is: the head tells it, and the body does. */
static void master_learn(struct fake *fake, const char *body)
{
    char epoch[NAME_SIZE];
    char name[NAME_SIZE];
    char *log = (char *)(uintptr_t)json_text_of(body, "log");
    request_field(fake, "Log", name);
    request_field(fake, "Epoch", epoch);
    if (log || name[0])
        snprintf(fake->log, sizeof fake->log, "%s", log ? log : name);
    if (epoch[0] || json_number_of(body, "epoch") >= 0)
        fake->epoch = epoch[0] ? strtoll(epoch, NULL, 10) : json_number_of(body, "epoch");
    free(log);
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

/* Says something again and again, for as long as there is somebody to read it; gives the mutex up meanwhile.
 */
static void say_endlessly(struct fake *fake, const char *text, int pause_ms)
{
    bool goes_on = true;
    while (goes_on) {
        pthread_mutex_unlock(&fake->mutex);
        goes_on = raw_send(fake->fd, text, strlen(text)) && !raw_closed(fake->fd, pause_ms);
        pthread_mutex_lock(&fake->mutex);
        goes_on = goes_on && !fake->drop;
    }
    fake_hang_up(fake);
}

static const char *const interim = "HTTP/1.1 102 Processing\r\n\r\n";

/* Quoted text, or null. */
static const char *json_or_null(const char *text, char out[NAME_SIZE + 2])
{
    snprintf(out, NAME_SIZE + 2, text[0] ? "\"%s\"" : "null", text);
    return out;
}

static void say_position(struct fake *fake, long long position)
{
    char id[NAME_SIZE + 2];
    char log[NAME_SIZE + 2];
    char digest[32] = "";
    char body[4 * NAME_SIZE + 128];
    enum fake_forge forge = fake->forge;
    uint64_t true_digest = fake->digests[position < fake->last_id ? position : fake->last_id];
    if (forge != FORGE_NO_DIGEST)
        snprintf(digest, sizeof digest, ",\"digest\":\"%016" PRIx64 "\"",
                 true_digest ^ (forge == FORGE_DIGEST));
    snprintf(body, sizeof body, "{\"last_id\":%lld,\"id\":%s,\"boot\":\"%s\",\"log\":%s,\"epoch\":%lld%s}",
             position + (forge == FORGE_AHEAD), json_or_null(forge == FORGE_ID ? "another" : fake->id, id),
             forge == FORGE_BOOT ? "00000000000000000000000000000000" : fake->boot,
             json_or_null(forge == FORGE_LOG ? "another" : fake->log, log),
             (fake->epoch > 0 ? fake->epoch : 0) + (forge == FORGE_EPOCH ? -1 : 0), digest);
    say(fake, "200 OK", body);
}

/* Answers a request with messages; holds the mutex but while it is slow. */
static void answer_messages(struct fake *fake, const char *body)
{
    enum fake_mode mode = fake->mode;
    fake->requests++;
    fake->latest_first = json_number_of(body, "first");
    if (mode != FAKE_500 && mode != FAKE_LIAR && mode != FAKE_SILENT && mode != FAKE_INTERIM)
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
    case FAKE_INTERIM:
        say_endlessly(fake, interim, 1);
        break;
    case FAKE_SILENT:
    case FAKE_DEAF:
        break;
    }
}

static void answer_replicate(struct fake *fake, const char *body)
{
    master_learn(fake, body);
    if (*body) {
        answer_messages(fake, body);
        return;
    }
    fake->signs++;
    if (fake->mode != FAKE_SILENT)
        say_position(fake, fake->last_id);
}

/* ---- GET and HEAD of /messages, as far as one that takes the list over asks for it */

static long long query_number(const char *target, const char *name, long long otherwise)
{
    const char *at = strstr(target, name);
    return at && strcspn(target, " ") > (size_t)(at - target) ? strtoll(at + strlen(name), NULL, 10)
                                                              : otherwise;
}

/* The list's part from one message to another one, or as many other messages; `more`: and one more. */
static char *list_text(const struct fake *fake, long long from, long long to, bool more)
{
    struct span part = list_part(fake, from, to);
    const char *end = !more ? "" : part.len ? ",\"more\"" : "\"more\"";
    char *text;
    if (asprintf(&text, "{\"messages\":[%.*s%s]}", (int)part.len, part.len ? part.at : "", end) < 0)
        trouble("no memory");
    for (char *at = text + strlen("{\"messages\":["); fake->list_mode == LIST_OTHER && *at; at++)
        if (*at >= 'a' && *at <= 'y') /* lengths and quotes stay */
            *at = (char)(*at + 1);
    return text;
}

static void say_list(struct fake *fake, const char *target, bool head_only)
{
    char etag[64];
    char wanted[NAME_SIZE];
    bool whole = fake->list_mode != LIST_FEWER;
    long long from = query_number(target, "from=", 1);
    long long last = whole || !fake->last_id ? fake->last_id : fake->last_id - 1;
    long long limit = query_number(target, "limit=", last);
    long long to = from - 1 + limit < last ? from - 1 + limit : last;
    char *text = list_text(fake, from, to, fake->list_mode == LIST_MORE);
    snprintf(etag, sizeof etag, "\"%lld-%lld-%016" PRIx64 "\"", from, to, fake->digests[to]);
    request_field(fake, "If-None-Match", wanted);
    bool same = strcmp(wanted, etag) == 0;
    raw_text(fake->fd, "HTTP/1.1 %s\r\nETag: %s\r\nContent-Length: %zu\r\n\r\n%s",
             same ? "304 Not Modified" : "200 OK", etag, strlen(text), same || head_only ? "" : text);
    free(text);
}

static void say_endless_list(struct fake *fake)
{
    char piece[4096];
    bool string = fake->list_mode != LIST_ENDLESS;
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = string ? 'e' : "\"m\","[i % 4];
    piece[sizeof piece - (string ? 1 : 4)] = '\0';
    raw_text(fake->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n{\"messages\":[%s",
             string ? "\"" : "");
    if (fake->list_mode == LIST_DRIBBLE)
        say_endlessly(fake, "e", 200);
    else
        say_endlessly(fake, piece, 0);
}

static void answer_reading(struct fake *fake, const char *target, bool head_only)
{
    fake->readings++;
    switch (head_only ? LIST_OWN : fake->list_mode) {
    case LIST_OWN:
    case LIST_OTHER:
    case LIST_MORE:
    case LIST_FEWER:
        say_list(fake, target, head_only);
        break;
    case LIST_ENDLESS:
    case LIST_STRING:
    case LIST_DRIBBLE:
        say_endless_list(fake);
        break;
    case LIST_INTERIM:
        say_endlessly(fake, interim, 1);
        break;
    case LIST_SILENT:
        break;
    }
}

static void answer(struct fake *fake, const char *body)
{
    bool head_only = strncmp(fake->head, "HEAD ", 5) == 0;
    if (head_only || strncmp(fake->head, "GET ", 4) == 0)
        answer_reading(fake, fake->head + strcspn(fake->head, " ") + 1, head_only);
    else
        answer_replicate(fake, body);
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

static void boot_new(struct fake *fake)
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        trouble("no random numbers");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(fake->boot + 2 * i, 3, "%02x", bytes[i]);
}

struct fake *fake_open(enum fake_mode mode)
{
    struct fake *fake = calloc(1, sizeof *fake);
    pthread_t thread;
    if (!fake)
        trouble("no memory");
    pthread_mutex_init(&fake->mutex, NULL);
    fake->mode = mode;
    list_clear(fake);
    boot_new(fake);
    fake->fd = -1;
    fake->listen_fd = port_reserve(&fake->port);
    if (listen(fake->listen_fd, 64) < 0 || pthread_create(&thread, NULL, fake_run, fake) != 0)
        trouble("a scripted secondary cannot start: %s", strerror(errno));
    pthread_detach(thread);
    return fake;
}

/* The body of its registration. What it does not have is left out. */
static void registration_write(struct fake *fake, const char *id, char *body, size_t size)
{
    size_t len =
        (size_t)snprintf(body, size,
                         "{\"id\":\"%s\",\"url\":\"http://127.0.0.1:%u\",\"boot\":\"%s\","
                         "\"log\":\"%s\",\"last_id\":%lld,\"digest\":\"%016" PRIx64 "\"",
                         id, fake->port, fake->boot, fake->log, fake->last_id, fake->digests[fake->last_id]);
    if (fake->epoch >= 0)
        len += (size_t)snprintf(body + len, size - len, ",\"epoch\":%lld", fake->epoch);
    snprintf(body + len, size - len, "}");
}

struct call *fake_register_begin(struct fake *fake, const struct node *master, const char *id)
{
    char body[512];
    pthread_mutex_lock(&fake->mutex);
    snprintf(fake->id, sizeof fake->id, "%s", id);
    registration_write(fake, id, body, sizeof body);
    pthread_mutex_unlock(&fake->mutex);
    return call_begin(master->port, "POST", "/register", "Content-Type: application/json\r\n", body,
                      strlen(body));
}

struct reply fake_register(struct fake *fake, const struct node *master, const char *id)
{
    return call_end(fake_register_begin(fake, master, id));
}

void fake_join(struct fake *fake, const struct node *master, const char *id)
{
    char connected[NAME_SIZE + 32];
    snprintf(connected, sizeof connected, "connected to %s,", id);
    int before = node_logged(master, connected);
    struct reply reply = fake_register(fake, master, id);
    if (reply.status != 200)
        trouble("%s cannot register: %d %s", id, reply.status, reply.body);
    http_free(&reply);
    eventually(HTTP_LIMIT_MS, node_logged(master, connected) > before);
}

void fake_hold(struct fake *fake, const char *log, const char *words)
{
    pthread_mutex_lock(&fake->mutex);
    list_clear(fake);
    snprintf(fake->log, sizeof fake->log, "%s", log);
    fake->epoch = 1;
    while (*words) {
        char *quoted;
        int word = (int)strcspn(words, " ");
        int len = asprintf(&quoted, "\"%.*s\"", word, words);
        if (len < 0)
            trouble("no memory");
        list_add(fake, (struct span){quoted, (size_t)len});
        free(quoted);
        words += word;
        words += *words == ' ';
    }
    pthread_mutex_unlock(&fake->mutex);
}

void fake_mode(struct fake *fake, enum fake_mode mode)
{
    pthread_mutex_lock(&fake->mutex);
    fake->mode = mode;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_forge(struct fake *fake, enum fake_forge forge)
{
    pthread_mutex_lock(&fake->mutex);
    fake->forge = forge;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_serve(struct fake *fake, enum fake_list list)
{
    pthread_mutex_lock(&fake->mutex);
    fake->list_mode = list;
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
    list_clear(fake);
    fake->drop = true;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_restart(struct fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    list_clear(fake);
    boot_new(fake);
    fake->id[0] = '\0';
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

int fake_readings(struct fake *fake)
{
    return fake_count(fake, &fake->readings);
}

char *fake_boot(struct fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
    char *boot = strdup(fake->boot);
    pthread_mutex_unlock(&fake->mutex);
    return boot;
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
