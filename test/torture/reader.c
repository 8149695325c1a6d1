#include "reader.h"
#include "client.h"
#include "history.h"
#include "report.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOON_MS = 20,
    READ_MS = 12000, /* no node that runs is slower, on a busy machine too */
    LIST_MOST = 4000,
    WHOLE_MOST = 3000, /* a list up to so long is read from its start now and then */
};

struct state {
    struct cluster *cluster;
    struct random random;
    struct client client;
    struct client master;
    unsigned node;
    unsigned life;     /* of the node; what follows belongs to it */
    uint32_t checked;  /* every message up to here was read */
    unsigned last_run; /* the master's run that appended the last of them */
    text_key *keys;
    struct text decoded, scratch;
};

static void state_publish(const struct state *state)
{
    atomic_store(&state->cluster->checked[state->node], (uint64_t)state->life << 32 | state->checked);
}

/* Whether the node, which was started just now, has not loaded its list from its disk yet. */
static bool loads(const struct node *node, const struct answer *answer)
{
    return answer->status == 503 && node->durable && node_touched(node, now_ms() - READ_MS);
}

/* Asks the node. False where it did not answer for good reason. */
static bool reader_get(struct state *state, struct client *client, const char *target, struct answer *answer)
{
    int64_t start_ms = now_ms();
    if (client_get(client, target, answer, start_ms + READ_MS))
        return !loads(client->node, answer);
    if (now_ms() >= start_ms + READ_MS && !node_touched(client->node, start_ms))
        report_fail("%s did not answer GET %s for %d s", client->node->name, target, READ_MS / 1000);
    (void)state;
    return false;
}

/* Takes the message that starts at *at. */
static text_key element_read(struct state *state, const char **at, const char *end, uint32_t id)
{
    text_key key;
    if (!text_read_json(at, end, &state->decoded))
        report_fail("%s sent a list that is not JSON behind id %u", state->client.node->name, id - 1);
    if (!text_is_message(&state->decoded, state->cluster->seed, &key, &state->scratch))
        report_fail("%s shows at id %u what nobody sent, %zu bytes: %.200s", state->client.node->name, id,
                    state->decoded.len, state->decoded.len ? state->decoded.at : "");
    return key;
}

/* Reads {"messages":[…]} into the keys. */
static uint32_t list_read(struct state *state, const struct answer *answer, uint32_t first)
{
    static const char begin[] = "{\"messages\":[";
    const char *at = answer->body;
    const char *end = at + answer->body_len;
    uint32_t count = 0;
    if (answer->status != 200 || answer->body_len < sizeof begin + 1 ||
        memcmp(at, begin, sizeof begin - 1) != 0)
        report_fail("%s answered a read of its list with %d %.200s", state->client.node->name, answer->status,
                    answer->body_len ? answer->body : "");
    at += sizeof begin - 1;
    while (at < end && *at == '"' && count < LIST_MOST) {
        state->keys[count] = element_read(state, &at, end, first + count);
        count++;
        if (at < end && *at == ',')
            at++;
    }
    if (end - at != 3 || memcmp(at, "]}\n", 3) != 0)
        report_fail("%s sent a list with a bad end, or a longer one than asked for",
                    state->client.node->name);
    return count;
}

/* Reads from an id on, `limit` messages at most. False where there was no answer. */
static bool segment_read(struct state *state, uint32_t first, uint32_t limit, uint32_t *count)
{
    struct answer answer;
    char target[64];
    snprintf(target, sizeof target, "%s?from=%u&limit=%u",
             random_percent(&state->random, 90) ? "/messages" : "/", first, limit);
    if (!reader_get(state, &state->client, target, &answer))
        return false;
    if (state->client.life != state->life) { /* another process than the one that was read so far */
        state->life = state->client.life;
        state->checked = 0;
        state_publish(state);
        if (first != 1)
            return false;
    }
    *count = list_read(state, &answer, first);
    unsigned run = history_list(state->node, state->life, first, state->keys, *count);
    if (first + *count > state->checked)
        state->last_run = run;
    return true;
}

/* Reads what is new. Returns whether there may be more. */
static bool read_on(struct state *state)
{
    uint32_t first = state->checked ? state->checked : 1; /* the last known one too: see where it joins */
    unsigned life = state->life;
    uint32_t count;
    if (!segment_read(state, first, LIST_MOST, &count) || state->life != life)
        return false;
    if (state->checked && !count)
        report_fail("%s showed %u messages, and then fewer", state->client.node->name, state->checked);
    if (first + count > state->checked + 1)
        state->checked = first + count - 1;
    state_publish(state);
    if (count < LIST_MOST)
        history_end_seen(state->node, state->life, state->checked, state->last_run);
    return count == LIST_MOST;
}

/* Reads a part again. */
static void read_again(struct state *state)
{
    uint32_t first = random_between(&state->random, 1, state->checked);
    uint32_t limit = random_between(&state->random, 1, 200);
    unsigned life = state->life;
    uint32_t count;
    if (!segment_read(state, first, limit, &count) || state->life != life)
        return;
    uint32_t least = state->checked - first + 1;
    if (count < (least < limit ? least : limit))
        report_fail("%s showed %u messages, and then only %u from id %u on", state->client.node->name,
                    state->checked, count, first);
}

static void read_whole(struct state *state)
{
    uint32_t count;
    unsigned life = state->life;
    if (state->checked > WHOLE_MOST || !segment_read(state, 1, LIST_MOST, &count) || state->life != life)
        return;
    if (count < state->checked)
        report_fail("%s showed %u messages, and then only %u", state->client.node->name, state->checked,
                    count);
}

/* One message by its id. */
static void read_one(struct state *state)
{
    struct answer answer;
    char target[64];
    uint32_t id = random_between(&state->random, 1, state->checked);
    snprintf(target, sizeof target, "/messages/%u", id);
    if (!reader_get(state, &state->client, target, &answer) || state->client.life != state->life)
        return;
    const char *at = memmem(answer.body, answer.body_len, "\"message\":", 10);
    if (answer.status != 200 || !at || answer_number(&answer, "id") != (int64_t)id)
        report_fail("%s shows %u messages, and answered GET %s with %d", state->client.node->name,
                    state->checked, target, answer.status);
    at += 10;
    text_key key = element_read(state, &at, answer.body + answer.body_len, id);
    history_list(state->node, state->life, id, &key, 1);
}

/* A secondary shows nothing of the present run of the master that the master does not show. Where that waits
 * for its own disk, it shows it soon. */
static void read_master(struct state *state)
{
    struct answer answer;
    unsigned run = state->last_run;
    uint32_t checked = state->checked;
    if (!checked || run != node_life(&state->cluster->nodes[MASTER]))
        return;
    int64_t until_ms = now_ms() + (state->master.node->durable ? READ_MS : 0);
    for (;;) {
        if (!reader_get(state, &state->master, "/health", &answer) || state->master.life != run)
            return;
        if (answer_number(&answer, "last_id") >= (int64_t)checked)
            return;
        if (now_ms() >= until_ms)
            break;
        sleep_ms(SOON_MS);
    }
    if (!node_touched(state->master.node, until_ms - READ_MS) || !state->master.node->durable)
        report_fail("%s shows %u messages of master run %u, and the master shows %" PRId64,
                    state->client.node->name, checked, run, answer_number(&answer, "last_id"));
}

/* What the master says of its members. */
static void read_members(struct state *state)
{
    struct answer answer;
    if (!reader_get(state, &state->client, "/health", &answer))
        return;
    for (unsigned i = 1; i < NODES; i++) {
        int64_t acked = answer_acked(&answer, state->cluster->nodes[i].name);
        if (acked >= 0)
            history_member(i, state->client.life, (uint32_t)acked);
    }
}

static bool read_something(struct state *state)
{
    unsigned percent = random_between(&state->random, 0, 99);
    if (percent < 70 || !state->checked)
        return read_on(state);
    if (percent < 80)
        read_again(state);
    else if (percent < 90)
        read_one(state);
    else if (percent < 92)
        read_whole(state);
    else if (state->node != MASTER)
        read_master(state);
    else
        read_members(state);
    return false;
}

void *reader_thread(void *arg)
{
    const struct reader *reader = arg;
    struct cluster *cluster = reader->cluster;
    struct state state = {.cluster = cluster, .node = reader->node};
    state.random = random_stream(cluster->seed, 0x726561646572, reader->node);
    state.keys = malloc(LIST_MOST * sizeof *state.keys);
    if (!state.keys)
        report_fail("the readers have no memory left");
    client_open(&state.client, &cluster->nodes[reader->node]);
    client_open(&state.master, &cluster->nodes[MASTER]);
    while (!atomic_load(&cluster->ending)) {
        bool more = read_something(&state);
        if (!more)
            sleep_ms(random_between(&state.random, 1, 20));
        if (!more && random_percent(&state.random, 2))
            client_abort(&state.client);
    }
    client_close(&state.client);
    client_close(&state.master);
    text_free(&state.decoded);
    text_free(&state.scratch);
    free(state.keys);
    return NULL;
}
