#include "writer.h"
#include "client.h"
#include "history.h"
#include "report.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    BURST_MOST = 40,
    ANSWER_SLACK_MS = 12000, /* an answer may come so long after its time limit on a busy machine */
    EARLY_SLACK_MS = 5,
    EXCUSE_MS = 30000,         /* after a restart a take-over, on bad links, may hold a POST */
    DEFAULT_TIMEOUT_MS = 3000, /* ACK_TIMEOUT of the master */
    HOLDER_MS = 1500,
    REFUSED_MS = 30
};

/* One POST under way. */
struct post {
    text_key key;
    struct text message;
    const char *w; /* as it was asked for, or NULL */
    int64_t timeout_ms;
    int64_t sent_ms;
};

struct state {
    struct cluster *cluster;
    unsigned number;
    unsigned next;
    struct random random;
    struct client master;
    struct client holders[NODES];
    unsigned lives[NODES]; /* of the secondaries, before the posts were sent */
    unsigned ends_before;  /* history_ends, then */
    bool refused;          /* some POST got 503: the master is read-only */
    struct post posts[BURST_MOST];
    struct text request;
    struct text scratch;
    struct text decoded;
};

static pthread_mutex_t counts_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct writer_counts counts;

struct writer_counts writers_count(void)
{
    pthread_mutex_lock(&counts_mutex);
    struct writer_counts out = counts;
    pthread_mutex_unlock(&counts_mutex);
    return out;
}

static void state_open(struct state *state, struct cluster *cluster, unsigned number)
{
    *state = (struct state){.cluster = cluster, .number = number};
    state->random = random_stream(cluster->seed, 0x777269746572, number);
    client_open(&state->master, &cluster->nodes[MASTER]);
    for (unsigned i = 0; i < NODES; i++)
        client_open(&state->holders[i], &cluster->nodes[i]);
}

static void state_close(struct state *state)
{
    client_close(&state->master);
    for (unsigned i = 0; i < NODES; i++)
        client_close(&state->holders[i]);
    for (unsigned i = 0; i < BURST_MOST; i++)
        text_free(&state->posts[i].message);
    text_free(&state->request);
    text_free(&state->scratch);
    text_free(&state->decoded);
}

/* ---- requests */

static const char *choose_w(struct random *random)
{
    static const char *const often[] = {"1", "1", "2", "2", "2", "3", "3", "majority", "all", "4", NULL};
    if (random_percent(random, 1))
        return "5"; /* more nodes than there are */
    return often[random_between(random, 0, sizeof often / sizeof *often - 1)];
}

static int64_t choose_timeout_ms(struct random *random)
{
    if (random_percent(random, 15))
        return DEFAULT_TIMEOUT_MS;
    return random_percent(random, 40) ? random_between(random, 10, 300) : random_between(random, 300, 2500);
}

static void post_choose(struct state *state, struct post *post)
{
    post->key = text_key_of(state->number, state->next++);
    text_message(&post->message, state->cluster->seed, post->key);
    post->w = choose_w(&state->random);
    post->timeout_ms = choose_timeout_ms(&state->random);
    if (post->w && strcmp(post->w, "5") == 0)
        post->timeout_ms = random_between(&state->random, 10, 200);
}

static bool w_is_number(const char *w)
{
    return *w >= '0' && *w <= '9';
}

/* w and timeout in the body. */
static void body_json(struct state *state, const struct post *post, struct text *body)
{
    text_addf(body, "{");
    if (post->w)
        text_addf(body, w_is_number(post->w) ? "\"w\":%s," : "\"w\":\"%s\",", post->w);
    if (post->timeout_ms != DEFAULT_TIMEOUT_MS)
        text_addf(body, "\"timeout\":%.3f,", (double)post->timeout_ms / 1000);
    text_addf(body, "\"message\":");
    text_add_json(body, &post->message, &state->random);
    text_addf(body, "}");
}

/* w and timeout in the query, for a raw body. */
static void query_write(const struct post *post, struct text *out)
{
    if (post->w)
        text_addf(out, "?w=%s", post->w);
    if (post->timeout_ms != DEFAULT_TIMEOUT_MS)
        text_addf(out, "%ctimeout=%.3f", post->w ? '&' : '?', (double)post->timeout_ms / 1000);
}

static void request_add(struct state *state, const struct post *post)
{
    struct text *out = &state->request;
    const char *path = random_percent(&state->random, 80) ? "/messages" : "/";
    struct text *body = &state->scratch;
    bool json = random_percent(&state->random, 60);
    body->len = 0;
    text_addf(out, "POST %s", path);
    if (json) {
        body_json(state, post, body);
        text_addf(out, " HTTP/1.1\r\nContent-Type: application/json");
    } else {
        query_write(post, out);
        text_add(body, post->message.at, post->message.len);
        text_addf(out, " HTTP/1.1");
        if (random_percent(&state->random, 50))
            text_addf(out, "\r\nContent-Type: text/plain; charset=utf-8");
    }
    text_addf(out, "\r\nHost: torture\r\nContent-Length: %zu\r\n\r\n", body->len);
    text_add(out, body->at, body->len);
}

/* ---- who holds a message */

enum holds { HOLDS, HOLDS_NOT, HOLDS_UNKNOWN };

/* Asks a node for the message, after its POST was answered. A node that does not have it now did not have it
 * then, if it is the process that was there before the POST was sent. */
static enum holds node_holds(struct state *state, unsigned node, const struct post *post, uint32_t id)
{
    struct client *client = &state->holders[node];
    struct answer answer;
    char target[32];
    unsigned life = state->lives[node];
    if (!life || atomic_load(&client->node->frozen))
        return HOLDS_UNKNOWN;
    snprintf(target, sizeof target, "/messages/%u", id);
    if (!client_get(client, target, &answer, now_ms() + HOLDER_MS) || client->life != life)
        return HOLDS_UNKNOWN;
    const char *at = answer.status == 200 ? memmem(answer.body, answer.body_len, "\"message\":", 10) : NULL;
    if (!at)
        return HOLDS_NOT;
    at += 10;
    bool same = text_read_json(&at, answer.body + answer.body_len, &state->decoded) &&
                state->decoded.len == post->message.len &&
                memcmp(state->decoded.at, post->message.at, post->message.len) == 0;
    return same ? HOLDS : HOLDS_NOT;
}

static void holders_verify(struct state *state, const struct post *post, uint32_t id, unsigned held)
{
    unsigned without = 0;
    unsigned unknown = 0;
    char list[64] = "";
    for (unsigned node = 1; node < NODES; node++) {
        enum holds holds = node_holds(state, node, post, id);
        without += holds == HOLDS_NOT;
        unknown += holds == HOLDS_UNKNOWN;
        if (holds == HOLDS_NOT)
            snprintf(list + strlen(list), sizeof list - strlen(list), " s%u", node);
    }
    bool master_without = node_holds(state, MASTER, post, id) == HOLDS_NOT;
    if (SECONDARIES - without + !master_without < held)
        report_fail("id %u was answered as held by %u nodes, and right after that these did not have it:%s",
                    id, held, list);
    if (master_without && !state->cluster->nodes[MASTER].durable)
        report_fail("id %u was answered, and the master does not show that message there", id);
    pthread_mutex_lock(&counts_mutex);
    counts.verified++;
    counts.definite += unknown == 0;
    pthread_mutex_unlock(&counts_mutex);
}

/* ---- answers */

/* Whether the master may have been slow, or gone, while the post was under way. */
static bool excused(const struct state *state, const struct post *post)
{
    return node_touched(&state->cluster->nodes[MASTER], post->sent_ms - EXCUSE_MS);
}

static void answer_times(const struct state *state, const struct post *post, int status)
{
    int64_t took_ms = now_ms() - post->sent_ms;
    bool stopping = node_life(state->master.node) != state->master.life;
    if (status == 202 && took_ms < post->timeout_ms - EARLY_SLACK_MS && !stopping)
        report_fail("a POST with a timeout of %" PRId64 " ms was answered 202 after %" PRId64 " ms",
                    post->timeout_ms, took_ms);
    if (took_ms > post->timeout_ms + ANSWER_SLACK_MS && !excused(state, post))
        report_fail("a POST with a timeout of %" PRId64 " ms was answered after %" PRId64 " ms",
                    post->timeout_ms, took_ms);
    pthread_mutex_lock(&counts_mutex);
    if (took_ms > counts.longest_ms)
        counts.longest_ms = took_ms;
    pthread_mutex_unlock(&counts_mutex);
}

/* The numbers of a 201 or 202 must fit each other and what was asked for. */
static void answer_numbers(const struct post *post, const struct answer *answer, uint32_t *id, unsigned *held)
{
    int64_t number = answer_number(answer, "id");
    int64_t w = answer_number(answer, "w");
    int64_t acks = answer_number(answer, "acks");
    /* "all" counts certain members, and acks whoever holds the message: it may reach w, and one of those
     * members be missing. */
    bool all = post->w && strcmp(post->w, "all") == 0;
    bool good = number > 0 && w > 0 && acks >= 0 && (answer->status == 202 ? acks < w || all : acks >= w);
    if (post->w && w_is_number(post->w) && w != post->w[0] - '0')
        good = false;
    if (!good)
        report_fail("a POST with w=%s was answered %d %.*s", post->w ? post->w : "default", answer->status,
                    (int)answer->body_len, answer->body);
    *id = (uint32_t)number;
    *held = (unsigned)acks;
}

/* The answer to one post. Returns its id, 0 where it was refused. */
static uint32_t answer_take(struct state *state, const struct post *post, const struct answer *answer)
{
    uint32_t id = 0;
    unsigned held = 0;
    if (answer->status == 503) {
        if (!answer->retry_after)
            report_fail("a 503 has no Retry-After: %.*s", (int)answer->body_len, answer->body);
        history_ended(post->key, HISTORY_NEVER);
        state->refused = true;
        return 0;
    }
    if (answer->status != 201 && answer->status != 202)
        report_fail("a POST was answered %d %.*s", answer->status, (int)answer->body_len, answer->body);
    answer_numbers(post, answer, &id, &held);
    if (!held && !state->cluster->nodes[MASTER].durable)
        report_fail("a POST was answered %d, and the master does not count itself", answer->status);
    answer_times(state, post, answer->status);
    if (held > 1 || random_percent(&state->random, 25))
        holders_verify(state, post, id, held);
    history_answered(post->key, answer->status == 201 ? HISTORY_201 : HISTORY_202, id, held,
                     state->ends_before);
    return id;
}

/* Reads the answers to all that was sent; what is not answered is unknown. Returns the last id. */
static uint32_t answers_take(struct state *state, unsigned posts)
{
    uint32_t id = 0;
    for (unsigned i = 0; i < posts; i++) {
        const struct post *post = &state->posts[i];
        struct answer answer;
        int64_t deadline_ms = now_ms() + post->timeout_ms + ANSWER_SLACK_MS;
        if (state->master.fd >= 0 && client_receive(&state->master, &answer, deadline_ms)) {
            id = answer_take(state, post, &answer);
            continue;
        }
        if (now_ms() >= deadline_ms && !excused(state, post))
            report_fail("a POST with a timeout of %" PRId64 " ms has no answer after %" PRId64 " ms",
                        post->timeout_ms, now_ms() - post->sent_ms);
        history_ended(post->key, HISTORY_UNKNOWN);
    }
    return id;
}

/* ---- what a writer does */

/* Before a request is begun: from here on it counts which secondaries are there. */
static bool posts_begin(struct state *state)
{
    if (!client_connect(&state->master))
        return false;
    state->ends_before = history_ends();
    for (unsigned i = 0; i < NODES; i++)
        state->lives[i] = node_life(&state->cluster->nodes[i]);
    state->request.len = 0;
    return true;
}

static void post_add(struct state *state, struct post *post)
{
    post_choose(state, post);
    request_add(state, post);
    history_sent(post->key, state->master.life);
    post->sent_ms = now_ms();
}

/* GET /messages/ID?w=: waits again for the same append. */
static void wait_again(struct state *state, const struct post *post, uint32_t id)
{
    struct answer answer;
    char target[64];
    unsigned w = random_between(&state->random, 2, NODES);
    snprintf(target, sizeof target, "/messages/%u?w=%u&timeout=0.5", id, w);
    unsigned life = state->master.life;
    if (!client_get(&state->master, target, &answer, now_ms() + ANSWER_SLACK_MS) ||
        state->master.life != life)
        return;
    int64_t acks = answer_number(&answer, "acks");
    if ((answer.status != 200 && answer.status != 202) || (answer.status == 200 && acks < w) ||
        (answer.status == 202 && acks >= w))
        report_fail("GET %s was answered %d %.*s", target, answer.status, (int)answer.body_len, answer.body);
    holders_verify(state, post, id, (unsigned)acks);
    pthread_mutex_lock(&counts_mutex);
    counts.waited++;
    pthread_mutex_unlock(&counts_mutex);
}

static void do_one(struct state *state)
{
    unsigned life = state->master.life;
    post_add(state, &state->posts[0]);
    client_send(&state->master, &state->request, now_ms() + ANSWER_SLACK_MS);
    uint32_t id = answers_take(state, 1);
    bool again = random_percent(&state->random, 5);
    if (id && again && life == node_life(state->master.node))
        wait_again(state, &state->posts[0], id);
}

/* Many requests at once on one connection; their answers come in order. */
static void do_burst(struct state *state)
{
    unsigned posts = random_between(&state->random, 2, BURST_MOST);
    for (unsigned i = 0; i < posts; i++)
        post_add(state, &state->posts[i]);
    client_send(&state->master, &state->request, now_ms() + ANSWER_SLACK_MS);
    answers_take(state, posts);
}

/* The client breaks off before the end of its request: nothing may come of it. */
static void do_half(struct state *state)
{
    struct post *post = &state->posts[0];
    post_add(state, post);
    state->request.len = random_between(&state->random, 1, (unsigned)state->request.len - 1);
    history_ended(post->key, HISTORY_NEVER);
    client_send(&state->master, &state->request, now_ms() + ANSWER_SLACK_MS);
    if (random_percent(&state->random, 50))
        sleep_ms(random_between(&state->random, 0, 20));
    client_abort(&state->master);
}

/* The client goes away without waiting for its answer: that does not undo the append. */
static void do_leave(struct state *state)
{
    struct post *post = &state->posts[0];
    post_add(state, post);
    client_send(&state->master, &state->request, now_ms() + ANSWER_SLACK_MS);
    sleep_ms(random_between(&state->random, 0, 30));
    history_ended(post->key, HISTORY_UNKNOWN);
    client_abort(&state->master);
}

static void do_something(struct state *state)
{
    if (random_percent(&state->random, 20))
        client_abort(&state->master); /* a connection of its own */
    if (!posts_begin(state)) {
        sleep_ms(REFUSED_MS);
        return;
    }
    unsigned percent = random_between(&state->random, 0, 99);
    if (percent < 4)
        do_half(state);
    else if (percent < 8)
        do_leave(state);
    else if (percent < 14)
        do_burst(state);
    else
        do_one(state);
}

void *writer_thread(void *arg)
{
    const struct writer *writer = arg;
    struct cluster *cluster = writer->cluster;
    struct state state;
    state_open(&state, cluster, writer->number);
    while (!atomic_load(&cluster->ending)) {
        atomic_fetch_add(&cluster->busy, 1);
        bool rests = atomic_load(&cluster->resting);
        state.refused = false;
        if (!rests)
            do_something(&state);
        atomic_fetch_sub(&cluster->busy, 1);
        sleep_ms(rests || state.refused ? REFUSED_MS : random_magnitude(&state.random, 1, 40) - 1);
    }
    state_close(&state);
    return NULL;
}

uint32_t writer_post_to_all(struct cluster *cluster, unsigned timeout_s)
{
    static unsigned next;
    struct state state;
    struct answer answer;
    struct post *post = &state.posts[0];
    state_open(&state, cluster, WRITER_CALM);
    state.next = next++;
    if (!posts_begin(&state))
        report_fail("nobody can connect to the master, and nothing is wrong with it");
    post_add(&state, post);
    state.request.len = 0;
    text_addf(&state.request,
              "POST /messages?w=all&timeout=%u HTTP/1.1\r\nHost: torture\r\nContent-Length: %zu\r\n\r\n",
              timeout_s, post->message.len);
    text_add(&state.request, post->message.at, post->message.len);
    if (!client_send(&state.master, &state.request, now_ms() + ANSWER_SLACK_MS) ||
        !client_receive(&state.master, &answer, now_ms() + timeout_s * 1000 + ANSWER_SLACK_MS))
        report_fail("a POST with w=all has no answer after the faults have stopped");
    if (answer.status != 201 || answer_number(&answer, "acks") != NODES)
        report_fail("after the faults have stopped, a POST with w=all was answered %d %.*s", answer.status,
                    (int)answer.body_len, answer.body);
    post->w = "all";
    post->timeout_ms = timeout_s * 1000;
    uint32_t id = answer_take(&state, post, &answer);
    state_close(&state);
    return id;
}
