/* A master by hand and its secondaries: they are lists, and answer when the test lets them. Include it in one
 * file of a program. */
#ifndef TEST_MASTER_BY_HAND_H
#define TEST_MASTER_BY_HAND_H

#include "elements.h"
#include "node_by_hand.h"

#include "log/log.h"
#include "replication/members.h"

#include <criterion/criterion.h>
#include <inttypes.h>

enum { FIRST_PORT = 5001, SECONDARIES = 4, TURNS = 10 };

/* s1 to s4; they listen on ports of their own, which tell whose a connection is. */
static struct secondary {
    struct log *list;
    char log[WIRE_NAME_SIZE];
    uint64_t epoch;
    bool silent;     /* it answers nothing */
    bool incomplete; /* it has never held all that its master had */
    int lives;       /* processes of it before this one */
} secondaries[SECONDARIES];

static unsigned answered[FAKE_CLIENTS_MAX]; /* requests, of each connection */

static inline struct secondary *secondary_of(const struct http_client *client)
{
    return &secondaries[client->url.port - FIRST_PORT];
}

static inline void elements_append(struct log *list, struct span elements, uint64_t count)
{
    uint64_t last;
    cr_assert(!count || list_append(list, elements, count, &last) == 0);
}

/* A secondary gets a request: it takes the messages, and the master for its own. */
static inline void take_request(struct http_client *client)
{
    struct secondary *secondary = secondary_of(client);
    struct wire_replicate batch;
    char why[JSON_WHY_SIZE];
    if (!client->body.len)
        return;
    cr_assert_null(wire_replicate_read(buf_span(&client->body), (struct span){0}, &batch, why));
    cr_assert(batch.first == log_last(secondary->list) + 1 &&
              batch.digest.value == log_tail(secondary->list).digest);
    elements_append(secondary->list, batch.elements, batch.count);
    wire_replicate_free(&batch);
}

/* It follows the master whose fields came. */
static inline void master_follow(struct secondary *secondary, const char *fields)
{
    const char *log = strstr(fields, "Log: ");
    cr_assert(log && sscanf(log, "Log: %71s Epoch: %" SCNu64, secondary->log, &secondary->epoch) == 2);
}

static inline void say_ack(struct http_client *client, struct secondary *secondary)
{
    int number = client->url.port - FIRST_PORT + 1;
    char body[512];
    struct log_tail tail = log_tail(secondary->list);
    master_follow(secondary, client->fields);
    snprintf(body, sizeof body,
             "{\"last_id\":%" PRIu64 ",\"id\":\"s%d\",\"boot\":\"b%d.%d\",\"log\":\"%s\",\"epoch\":%" PRIu64
             ",\"digest\":\"%016" PRIx64 "\"}",
             tail.last, number, number, secondary->lives, secondary->log, secondary->epoch, tail.digest);
    fake_answer(client, 200, body);
}

/* GET /messages?from=ID. */
static inline void say_list(struct http_client *client, const struct secondary *secondary)
{
    const struct http_head head = {.status = 200, .framing = HTTP_FRAMING_CLOSE};
    struct buf text = {0};
    uint64_t from;
    struct iovec iov;
    cr_assert_eq(sscanf(client->target, "/messages?from=%" SCNu64, &from), 1);
    struct log_slice slice = log_slice(secondary->list, from, UINT64_MAX);
    cr_assert_eq(log_slice_iov(&slice, &iov, 1), 1);
    buf_add_text(&text, "{\"messages\":[");
    buf_add(&text, iov.iov_base, (size_t)slice.len);
    buf_add_text(&text, "]}");
    fake_part(client, &head, buf_span(&text));
    buf_free(&text);
}

/* The secondaries answer what they were asked, those that are not silent. */
static inline void secondaries_turn(void)
{
    for (int i = 0; i < fake.opened; i++)
        while (fake.clients[i] && !fake.clients[i]->over && !secondary_of(fake.clients[i])->silent &&
               answered[i] < fake.clients[i]->requests) {
            answered[i]++;
            if (strcmp(fake.clients[i]->method, "GET") == 0)
                say_list(fake.clients[i], secondary_of(fake.clients[i]));
            else
                say_ack(fake.clients[i], secondary_of(fake.clients[i]));
        }
}

/* Lets all that can happen now happen. */
static inline void settle(void)
{
    for (int i = 0; i < TURNS; i++) {
        node_pass();
        secondaries_turn();
    }
}

/* Lets so much time go by. */
static inline void wait(int64_t ms)
{
    enum { STEP_MS = 10 };
    for (; ms > 0; ms -= STEP_MS) {
        node_wait(ms < STEP_MS ? ms : STEP_MS);
        secondaries_turn();
    }
    settle();
}

/* Registers s1 to s4 by its number, and lets it be dialled, and answer. Returns the status; 0: not yet. */
static inline int join(int number)
{
    const struct secondary *secondary = &secondaries[number - 1];
    struct log_tail tail = log_tail(secondary->list);
    char body[512];
    snprintf(body, sizeof body,
             "{\"id\":\"s%d\",\"url\":\"http://a:%d\",\"boot\":\"b%d.%d\",\"log\":\"%s\",\"epoch\":%" PRIu64
             ",\"last_id\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "\",\"complete\":%s}",
             number, FIRST_PORT + number - 1, number, secondary->lives, secondary->log, secondary->epoch,
             tail.last, tail.digest, secondary->incomplete ? "false" : "true");
    int fd = node_ask("POST", "/register", "", body);
    settle();
    struct node_answer answer = node_answer(fd);
    close(fd);
    settle();
    return answer.status;
}

/* Another process of it, which holds nothing. */
static inline void comes_back_empty(int number)
{
    struct secondary *secondary = &secondaries[number - 1];
    log_close(secondary->list);
    *secondary = (struct secondary){.list = log_open(), .lives = secondary->lives + 1};
}

static inline int post_begin(const char *query, const char *text)
{
    char target[64];
    snprintf(target, sizeof target, "/messages%s", query);
    int fd = node_ask("POST", target, text[0] == '{' ? "Content-Type: application/json\r\n" : "", text);
    settle();
    return fd;
}

/* What a request is answered by now. */
static inline struct node_answer answer_of(int fd)
{
    settle();
    return node_answer(fd);
}

/* It holds two messages of a log from before this master. */
static inline void has_old_list(int number)
{
    struct secondary *secondary = &secondaries[number - 1];
    elements_append(secondary->list, span_of("\"a\",\"b\""), 2);
    strcpy(secondary->log, "old");
    secondary->epoch = 4;
}

/* ---- life */

static inline void secondaries_open(void)
{
    fake.asked = take_request;
    for (int i = 0; i < SECONDARIES; i++)
        secondaries[i].list = log_open();
}

static inline void master_end(void)
{
    node_stopped();
    for (int i = 0; i < SECONDARIES; i++)
        log_close(secondaries[i].list);
    cr_assert_eq(fake_open(), 0);
}

#endif
