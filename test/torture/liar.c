#include "liar.h"
#include "report.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MS = 1500,
    OFFER_MS = 4000,
    HEAD_MOST = 4096,
    BEHIND_MS = 500 /* more than two heartbeat intervals */
};

/* ---- as a client */

static void identity_read(const struct answer *answer, struct liar_identity *out)
{
    int64_t epoch = answer_number(answer, "epoch");
    int64_t last_id = answer_number(answer, "last_id");
    *out = (struct liar_identity){.epoch = epoch > 0 ? (uint64_t)epoch : 0,
                                  .last_id = last_id > 0 ? (uint32_t)last_id : 0};
    answer_name(answer, "id", out->id, sizeof out->id);
    answer_name(answer, "boot", out->boot, sizeof out->boot);
    answer_name(answer, "log", out->log, sizeof out->log);
    answer_name(answer, "digest", out->digest, sizeof out->digest);
}

static void post_write(struct text *out, const char *path, const char *fields, const struct text *body)
{
    text_addf(out, "POST %s HTTP/1.1\r\nHost: torture\r\nContent-Length: %zu\r\n", path, body->len);
    text_addf(out, "%s\r\n", fields);
    text_add(out, body->at, body->len);
}

/* Returns the status, 0 where there was no answer. */
static int replicate_post(struct client *client, const char *fields, const struct text *body,
                          struct answer *answer)
{
    struct text request = {0};
    post_write(&request, "/replicate", fields, body);
    bool answered = client_ask(client, &request, answer, now_ms() + ANSWER_MS);
    text_free(&request);
    return answered ? answer->status : 0;
}

bool liar_asks_secondary(struct client *secondary, struct liar_identity *out)
{
    struct answer answer;
    struct text nothing = {0};
    if (!client_get(secondary, "/health", &answer, now_ms() + ANSWER_MS) ||
        !memmem(answer.body, answer.body_len, "\"registered\":true", 17))
        return false;
    int status = replicate_post(secondary, "", &nothing, &answer);
    if (status)
        identity_read(&answer, out);
    return status && out->log[0];
}

static void registration_write(struct text *out, const struct liar *liar, const char *list)
{
    struct text body = {0};
    text_addf(&body, "{\"id\":\"%s\",\"url\":\"%s\",\"boot\":\"%s\"%s}", liar->id, liar->url, liar->boot,
              list);
    post_write(out, "/register", "", &body);
    text_free(&body);
}

int liar_registers(const struct liar *liar, struct client *master, const char *list,
                   struct liar_identity *out)
{
    struct answer answer;
    struct text request = {0};
    registration_write(&request, liar, list);
    bool answered = client_ask(master, &request, &answer, now_ms() + ANSWER_MS);
    if (answered)
        identity_read(&answer, out);
    text_free(&request);
    return answered ? answer.status : 0;
}

void liar_list(const char *log, uint64_t epoch, uint32_t last_id, const char *digest,
               char out[4 * LIAR_NAME_SIZE])
{
    snprintf(out, 4 * LIAR_NAME_SIZE,
             ",\"log\":\"%s\",\"epoch\":%" PRIu64 ",\"last_id\":%u,\"stored\":%u,\"complete\":true%s%s%s",
             log, epoch, last_id, last_id, digest ? ",\"digest\":\"" : "", digest ? digest : "",
             digest ? "\"" : "");
}

int liar_replicates(struct client *secondary, const struct liar_identity *to,
                    const struct liar_identity *master, bool fields, const struct text *message)
{
    struct answer answer;
    struct text body = {0};
    struct random plain = {0};
    char named[5 * LIAR_NAME_SIZE] = "";
    if (fields)
        snprintf(named, sizeof named, "Log: %s\r\nEpoch: %" PRIu64 "\r\nMaster: %s\r\nBoot: %s\r\n",
                 master->log, master->epoch, master->boot, to->boot);
    text_addf(&body, "{\"log\":\"%s\",\"epoch\":%" PRIu64 ",\"first\":%u,\"digest\":\"%s\",\"messages\":[",
              master->log, master->epoch, to->last_id + 1, to->digest);
    text_add_json(&body, message, &plain);
    text_addf(&body, "]}");
    int status = replicate_post(secondary, named, &body, &answer);
    text_free(&body);
    return status;
}

/* ---- as a server */

void liar_listens(struct liar *liar, struct in_addr address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = address};
    socklen_t len = sizeof at;
    liar->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (liar->listener < 0 || bind(liar->listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(liar->listener, 16) < 0 || getsockname(liar->listener, (struct sockaddr *)&at, &len) < 0)
        report_fail("the liar cannot listen: %s", strerror(errno));
    snprintf(liar->url, sizeof liar->url, "http://%s:%u", inet_ntoa(address), ntohs(at.sin_port));
}

void liar_leaves(struct liar *liar)
{
    close(liar->listener);
}

static bool readable(int fd, int64_t deadline_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int64_t left_ms = deadline_ms - now_ms();
    return left_ms > 0 && poll(&polled, 1, (int)left_ms) > 0;
}

/* Takes a connection and its first request, which has no body. Returns its socket, or -1. */
static int caller_take(const struct liar *liar, char head[HEAD_MOST], int64_t deadline_ms)
{
    size_t len = 0;
    int fd = readable(liar->listener, deadline_ms) ? accept4(liar->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
    head[0] = '\0';
    while (fd >= 0 && !strstr(head, "\r\n\r\n")) {
        ssize_t got = readable(fd, deadline_ms) ? recv(fd, head + len, HEAD_MOST - 1 - len, 0) : 0;
        if (got <= 0) {
            close(fd);
            fd = -1;
        } else {
            len += (size_t)got;
            head[len] = '\0';
        }
    }
    return fd;
}

static void caller_answer(int fd, const struct text *body)
{
    struct text answer = {0};
    text_addf(&answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
              body->len);
    text_add(&answer, body->at, body->len);
    for (size_t at = 0; at < answer.len;) {
        ssize_t sent = send(fd, answer.at + at, answer.len - at, MSG_NOSIGNAL);
        at = sent > 0 ? at + (size_t)sent : answer.len;
    }
    text_free(&answer);
}

bool liar_greets(const struct liar *liar, const struct liar_identity *answer, int64_t deadline_ms)
{
    char head[HEAD_MOST];
    struct text body = {0};
    int fd = caller_take(liar, head, deadline_ms);
    if (fd < 0)
        return false;
    text_addf(&body, "{\"last_id\":%u,\"id\":\"%s\",\"boot\":\"%s\",\"log\":\"%s\",", answer->last_id,
              answer->id, answer->boot, answer->log);
    text_addf(&body, "\"epoch\":%" PRIu64 ",\"digest\":\"%s\"}", answer->epoch, answer->digest);
    caller_answer(fd, &body);
    if (readable(fd, now_ms() + BEHIND_MS) && recv(fd, head, sizeof head - 1, 0) > 0)
        report_fail("the master went on after this answer to its greeting, which counts for nothing: %s",
                    body.at);
    close(fd);
    text_free(&body);
    return true;
}

/* Waits until a master asks for the list, and sends it the message so many times. */
static void list_serve(const struct liar *liar, const struct text *message, uint32_t count,
                       int64_t deadline_ms)
{
    char head[HEAD_MOST];
    struct text body = {0};
    struct random plain = {0};
    int fd = caller_take(liar, head, deadline_ms);
    if (fd < 0)
        return;
    text_addf(&body, "{\"messages\":[");
    for (uint32_t i = 0; i < count; i++) {
        text_add(&body, ",", i > 0);
        text_add_json(&body, message, &plain);
    }
    text_addf(&body, "]}");
    caller_answer(fd, &body);
    close(fd);
    text_free(&body);
}

int liar_offers(const struct liar *liar, struct client *master, const char *list, const struct text *message,
                uint32_t count)
{
    struct answer answer;
    struct text request = {0};
    int64_t until_ms = now_ms() + OFFER_MS;
    registration_write(&request, liar, list);
    bool answered = client_connect(master) && client_send(master, &request, until_ms);
    if (answered) {
        list_serve(liar, message, count, now_ms() + ANSWER_MS);
        answered = client_receive(master, &answer, until_ms);
    }
    text_free(&request);
    return answered ? answer.status : 0;
}
