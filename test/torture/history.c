#include "history.h"
#include "report.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RUNS_MOST = 4096,
    PAGE = 4096,
    PAGES_MOST = 4096,
    CONCERN = NODES / 2 + 1, /* the master's WRITE_CONCERN=majority, where NODES is set */
    CHUNK = 4096             /* messages that a writer's table grows by */
};

enum message_state { UNSENT, SENT = HISTORY_202 + 1 }; /* beside enum history_end */

struct message {
    uint32_t id; /* 0: not known */
    uint16_t run;
    uint8_t state;
};

struct writer_table {
    struct message *messages;
    uint32_t count;
};

/* A message at an id that so many secondaries are known to hold. */
struct evidence {
    uint32_t id; /* 0: none */
    unsigned run;
};

struct holding {
    struct evidence shown[NODES];     /* by each secondary's present life; by a master that keeps its list */
    struct evidence known[NODES + 1]; /* [n]: at least n secondaries hold it; falls as n rises */
    struct evidence concern;          /* so many nodes held it at once as WRITE_CONCERN says, if no more */
};

struct run {
    enum history_gate gate;
    unsigned parent;  /* the run whose list it goes on from; 0: none */
    uint32_t start;   /* id of its first own message; 0: not known */
    uint32_t low;     /* own ids seen so far: from here … */
    uint32_t high;    /* … to here */
    uint32_t **pages; /* own messages by id: key + 1, 0 where not known */
};

struct tip {
    unsigned life;
    uint32_t id;
    unsigned run;
};

/* Messages that somebody sent a life of a secondary, and no master appended. */
struct forgery {
    unsigned life; /* 0: none */
    uint32_t first;
    text_key key; /* of the first of them */
    uint32_t count;
    bool taken;
};

const char *const history_gates[] = {
    [HISTORY_QUORUM_3] = "QUORUM=3", [HISTORY_QUORUM_4] = "QUORUM=4", [HISTORY_NODES] = "NODES=4"};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct writer_table writers[TEXT_WRITERS];
static struct run runs[RUNS_MOST];
static unsigned current;       /* the present run */
static struct holding before;  /* what they held when the present run of the master was started */
static struct holding during;  /* what was seen since then */
static struct tip tips[NODES]; /* the end of the list that each node showed last */
static struct forgery forgeries[NODES];
static bool keeps[NODES];           /* which nodes have a disk */
static struct evidence kept[NODES]; /* the last message that is on it for sure */
static struct evidence due[NODES];  /* and that the present life must show, */
static unsigned due_life[NODES];    /* which is this one */
static unsigned ended_life[NODES];  /* the last life of each secondary that has ended */
static unsigned secondaries_ended;
static struct history_counts counts;

/* ---- messages and runs */

static struct message *message_at(text_key key)
{
    struct writer_table *table = &writers[text_writer(key)];
    uint32_t number = text_number(key);
    return number < table->count ? &table->messages[number] : NULL;
}

static struct message *message_make(text_key key)
{
    struct writer_table *table = &writers[text_writer(key)];
    uint32_t number = text_number(key);
    if (number >= table->count) {
        uint32_t count = number + CHUNK;
        struct message *messages = realloc(table->messages, count * sizeof *messages);
        if (!messages)
            report_fail("the history has no memory left");
        for (uint32_t i = table->count; i < count; i++)
            messages[i] = (struct message){0};
        table->messages = messages;
        table->count = count;
    }
    return &table->messages[number];
}

static const char *key_text(text_key key)
{
    static _Thread_local char texts[4][32];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "%u.%u", text_writer(key), text_number(key));
    return text;
}

static uint32_t *own_at(struct run *run, uint32_t id)
{
    uint32_t page = id / PAGE;
    if (page >= PAGES_MOST)
        report_fail("the list has become too long for the history");
    if (!run->pages)
        run->pages = calloc(PAGES_MOST, sizeof *run->pages);
    if (run->pages && !run->pages[page])
        run->pages[page] = calloc(PAGE, sizeof **run->pages);
    if (!run->pages || !run->pages[page])
        report_fail("the history has no memory left");
    return &run->pages[page][id % PAGE];
}

/* Whether the message that `run` appended at `id` belongs to the list of `list`. */
static bool in_list_of(unsigned list, unsigned run, uint32_t id)
{
    while (list != run) {
        if (!list || !runs[list].start || id >= runs[list].start)
            return false;
        list = runs[list].parent;
    }
    return true;
}

/* A message stands at an id of the list of its run. */
static void message_stands(text_key key, struct message *message, uint32_t id)
{
    struct run *run = &runs[message->run];
    uint32_t *own = own_at(run, id);
    if (message->id && message->id != id)
        report_fail("message %s stands at id %u and at id %u: a duplicate, or out of order", key_text(key),
                    message->id, id);
    if (*own && *own != key + 1)
        report_fail("id %u of the list of master run %u is message %s and message %s", id, message->run,
                    key_text(*own - 1), key_text(key));
    if (run->start && id < run->start)
        report_fail("message %s of master run %u stands at id %u, and the messages of that run begin at %u",
                    key_text(key), message->run, id, run->start);
    *own = key + 1;
    message->id = id;
    if (!run->low || id < run->low)
        run->low = id;
    if (id > run->high)
        run->high = id;
}

/* ---- what must survive */

static void evidence_raise(struct evidence *evidence, uint32_t id, unsigned run)
{
    if (id > evidence->id)
        *evidence = (struct evidence){id, run};
}

static void known_raise(struct holding *holding, unsigned secondaries, uint32_t id, unsigned run)
{
    for (unsigned n = 1; n <= secondaries && n <= SECONDARIES; n++)
        evidence_raise(&holding->known[n], id, run);
}

static void holding_end(struct holding *holding, unsigned node)
{
    holding->shown[node] = (struct evidence){0};
    for (unsigned n = 1; n <= SECONDARIES; n++)
        holding->known[n] = holding->known[n + 1];
}

/* How many secondaries are known, by what they showed, to hold the message of a run at an id. */
static unsigned shown_by(const struct holding *holding, struct evidence message)
{
    unsigned count = 0;
    for (unsigned node = 1; node < NODES; node++) {
        const struct evidence *shown = &holding->shown[node];
        count += shown->id >= message.id && in_list_of(shown->run, message.run, message.id);
    }
    return count;
}

/* Returns the id, where at least `holders` secondaries held the message, and 0 where not so many did. */
static uint32_t survival_check(struct evidence message, unsigned known_holders, unsigned holders)
{
    const struct run *run = &runs[current];
    if (!message.id || known_holders < holders)
        return 0;
    if (!in_list_of(current, message.run, message.id))
        report_fail("lost: id %u of master run %u. At least %u of %d nodes held it and kept their lists, "
                    "and master run %u, with %s, appended from id %u on, behind run %u",
                    message.id, message.run, known_holders, NODES, current, history_gates[run->gate],
                    run->start, run->parent);
    return message.id;
}

/* Who held more than the present run took over holds no more of its list than that. */
static void evidence_cut(struct evidence *evidence)
{
    const struct run *run = &runs[current];
    if (evidence->id < run->start)
        return;
    if (in_list_of(evidence->run, run->parent, run->start - 1))
        *evidence = (struct evidence){run->start - 1, run->parent};
    else
        *evidence = (struct evidence){0};
}

/* Up to where the list of the run `one` is the same as a list that ends with what `other` appended at `id`.
 */
static uint32_t lists_common(unsigned one, unsigned other, uint32_t id)
{
    for (uint32_t other_end = id; other; other_end = runs[other].start - 1, other = runs[other].parent) {
        uint32_t end = UINT32_MAX;
        for (unsigned run = one; run; end = runs[run].start - 1, run = runs[run].parent)
            if (run == other)
                return end < other_end ? end : other_end;
    }
    return 0;
}

/* The last message that a secondary showed of those that so many nodes held once as WRITE_CONCERN says. */
static struct evidence concern_shown(const struct evidence *shown)
{
    const struct evidence *concern = &before.concern;
    struct evidence last = *shown;
    uint32_t common = lists_common(shown->run, concern->run, concern->id);
    if (common > shown->id)
        common = shown->id;
    while (last.run && runs[last.run].start > common)
        last.run = runs[last.run].parent;
    last.id = last.run ? common : 0;
    return last;
}

/* The present run's own messages begin: now it is known what it has taken over. */
static void survival_judge(void)
{
    const struct run *run = &runs[current];
    unsigned registered = run->gate == HISTORY_QUORUM_4 ? 3 : 2;
    unsigned holders = SECONDARIES - registered + 1; /* so many cannot all have been away */
    if (run->gate == HISTORY_NODES && keeps[MASTER])
        holders = NODES; /* its own disk and one secondary: those may be without it */
    uint32_t last = survival_check(before.known[holders], holders, holders);
    if (keeps[MASTER] && survival_check(before.shown[MASTER], 1, 1) > last)
        last = before.shown[MASTER].id;
    for (unsigned node = 1; node < NODES; node++) {
        struct evidence shown = before.shown[node];
        uint32_t id = survival_check(shown, shown_by(&before, shown), holders);
        last = id > last ? id : last;
        if (run->gate != HISTORY_NODES)
            continue;
        id = survival_check(concern_shown(&shown), 1, 1);
        last = id > last ? id : last;
    }
    report_event("master run %u goes on from run %u at id %u; up to %u had to survive, %u was the last there",
                 current, run->parent, run->start, last, run->parent ? runs[run->parent].high : 0);
    counts.judged += last > 0;
    counts.surviving += last;
    evidence_cut(&before.concern);
    for (unsigned n = 1; n <= SECONDARIES; n++) {
        evidence_cut(&before.known[n]);
        evidence_cut(&before.shown[n]);
    }
}

/* In some list, own messages of a run begin at an id, behind a message of `parent`. */
static void run_starts(unsigned number, uint32_t id, unsigned parent)
{
    struct run *run = &runs[number];
    if (run->start == id && run->parent == parent)
        return;
    if (run->start)
        report_fail(
            "the messages of master run %u begin at id %u behind run %u, and in another list at id %u "
            "behind run %u",
            number, run->start, run->parent, id, parent);
    if (run->low < id)
        report_fail("the messages of master run %u begin at id %u, and it has answered id %u", number, id,
                    run->low);
    run->start = id;
    run->parent = parent;
    if (number == current)
        survival_judge();
}

/* ---- what is told */

void history_master_starts(unsigned run, enum history_gate gate)
{
    pthread_mutex_lock(&mutex);
    if (run >= RUNS_MOST)
        report_fail("the master was restarted too often for the history");
    current = run;
    runs[run].gate = gate;
    evidence_raise(&before.concern, during.concern.id, during.concern.run);
    evidence_raise(&before.shown[MASTER], during.shown[MASTER].id, during.shown[MASTER].run);
    for (unsigned n = 1; n <= SECONDARIES; n++) {
        evidence_raise(&before.shown[n], during.shown[n].id, during.shown[n].run);
        evidence_raise(&before.known[n], during.known[n].id, during.known[n].run);
    }
    during = (struct holding){0};
    counts.runs++;
    pthread_mutex_unlock(&mutex);
}

void history_keeps(unsigned node)
{
    keeps[node] = true;
}

void history_node_starts(unsigned node, unsigned life)
{
    pthread_mutex_lock(&mutex);
    due[node] = kept[node];
    due_life[node] = life;
    pthread_mutex_unlock(&mutex);
}

void history_secondary_ends(unsigned node, unsigned life, bool list_is_kept)
{
    pthread_mutex_lock(&mutex);
    ended_life[node] = life;
    if (!list_is_kept) {
        kept[node] = (struct evidence){0};
        secondaries_ended++;
        holding_end(&before, node);
        holding_end(&during, node);
        tips[node] = (struct tip){0};
    }
    pthread_mutex_unlock(&mutex);
}

void history_end_seen(unsigned node, unsigned life, uint32_t last, unsigned run)
{
    pthread_mutex_lock(&mutex);
    const struct evidence *wanted = &due[node];
    if (due_life[node] == life && wanted->id && (run || !last)) {
        if (last < wanted->id || !in_list_of(run, wanted->run, wanted->id))
            report_fail("node %u showed id %u of master run %u, and has come back from its disk with %u "
                        "messages, the last of run %u",
                        node, wanted->id, wanted->run, last, run);
        due[node] = (struct evidence){0};
        counts.kept++;
    }
    pthread_mutex_unlock(&mutex);
}

unsigned history_ends(void)
{
    pthread_mutex_lock(&mutex);
    unsigned ends = secondaries_ended;
    pthread_mutex_unlock(&mutex);
    return ends;
}

void history_sent(text_key key, unsigned run)
{
    pthread_mutex_lock(&mutex);
    *message_make(key) = (struct message){.run = (uint16_t)run, .state = SENT};
    counts.posted++;
    pthread_mutex_unlock(&mutex);
}

void history_forges(unsigned node, unsigned life, uint32_t first, text_key key, uint32_t count)
{
    pthread_mutex_lock(&mutex);
    forgeries[node] = (struct forgery){.life = life, .first = first, .key = key, .count = count};
    pthread_mutex_unlock(&mutex);
}

void history_forged(unsigned node, bool taken)
{
    pthread_mutex_lock(&mutex);
    struct forgery *forgery = &forgeries[node];
    forgery->taken = forgery->taken || taken;
    if (!forgery->taken) /* what an earlier life took may still be told of */
        forgery->life = 0;
    pthread_mutex_unlock(&mutex);
}

void history_ended(text_key key, enum history_end end)
{
    pthread_mutex_lock(&mutex);
    struct message *message = message_at(key);
    if (end == HISTORY_NEVER && message->id)
        report_fail("message %s was refused, or not sent to its end, and stands at id %u", key_text(key),
                    message->id);
    message->state = (uint8_t)end;
    counts.refused += end == HISTORY_NEVER;
    counts.unknown += end == HISTORY_UNKNOWN;
    pthread_mutex_unlock(&mutex);
}

void history_answered(text_key key, enum history_end end, uint32_t id, unsigned held, unsigned ends_before)
{
    pthread_mutex_lock(&mutex);
    struct message *message = message_at(key);
    unsigned run = message->run;
    unsigned ended = secondaries_ended - ends_before; /* each may have been one that held it */
    message->state = (uint8_t)end;
    message_stands(key, message, id);
    unsigned secondaries = held > 1 + ended ? held - 1 - ended : 0;
    struct holding *holding = run == current ? &during : !runs[current].low ? &before : NULL;
    if (holding)
        known_raise(holding, secondaries, id, run);
    if (holding && held >= CONCERN)
        evidence_raise(&holding->concern, id, run);
    counts.acked += end == HISTORY_201;
    counts.late += end == HISTORY_202;
    pthread_mutex_unlock(&mutex);
}

/* ---- what is seen */

static struct message *element_check(text_key key)
{
    struct message *message = message_at(key);
    if (!message || message->state == UNSENT)
        report_fail("message %s is in a list, and nobody sent it", key_text(key));
    if (message->state == HISTORY_NEVER)
        report_fail("message %s is in a list, and it was refused or not sent to its end", key_text(key));
    return message;
}

static void node_shows(unsigned node, unsigned life, uint32_t id, unsigned run)
{
    if (tips[node].life != life || id >= tips[node].id)
        tips[node] = (struct tip){life, id, run};
    if (node != MASTER || keeps[MASTER])
        evidence_raise(&during.shown[node], id, run);
    if (keeps[node])
        evidence_raise(&kept[node], id, run);
}

/* Whether it is a forged message, where the secondary may show it. */
static bool is_forged(unsigned node, unsigned life, uint32_t id, text_key key)
{
    const struct forgery *forgery = &forgeries[node];
    if (!forgery->life || forgery->life != life || id < forgery->first)
        return false;
    if (id < forgery->first + forgery->count && key == forgery->key + (id - forgery->first))
        return true;
    if (forgery->taken)
        report_fail("s%u took forged messages from id %u on, and shows message %s at id %u", node,
                    forgery->first, key_text(key), id);
    return false;
}

/* How many of the messages stand before the first forged one. */
static uint32_t honest_count(unsigned node, unsigned life, uint32_t first, const text_key *keys,
                             uint32_t count)
{
    uint32_t honest = count;
    for (uint32_t i = 0; i < count; i++)
        if (is_forged(node, life, first + i, keys[i]) && i < honest)
            honest = i;
    return honest;
}

unsigned history_list(unsigned node, unsigned life, uint32_t first, const text_key *keys, uint32_t count)
{
    unsigned run = 0;
    pthread_mutex_lock(&mutex);
    uint32_t honest = honest_count(node, life, first, keys, count);
    bool forged = honest < count;
    count = honest;
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = element_check(keys[i]);
        if (message->run < run || (node == MASTER && message->run > life))
            report_fail("node %u shows message %s of master run %u at id %u, behind one of run %u", node,
                        key_text(keys[i]), message->run, first + i, run);
        message_stands(keys[i], message, first + i);
        if (message->run != run && (i > 0 || first == 1))
            run_starts(message->run, first + i, run);
        run = message->run;
    }
    counts.elements += count;
    if (count && life > ended_life[node])
        node_shows(node, life, first + count - 1, run);
    pthread_mutex_unlock(&mutex);
    return forged ? 0 : run;
}

void history_member(unsigned node, unsigned run, uint32_t acked)
{
    pthread_mutex_lock(&mutex);
    const struct tip *tip = &tips[node];
    const struct forgery *forgery = &forgeries[node];
    if (run == current && forgery->taken && forgery->life > ended_life[node] && acked >= forgery->first)
        report_fail(
            "the master says that s%u holds its list up to %u, and it holds forged messages from %u on", node,
            acked, forgery->first);
    if (run == current && tip->life && runs[current].start) {
        uint32_t common = lists_common(current, tip->run, tip->id);
        if (common < tip->id && acked > common)
            report_fail("the master says that s%u holds its list up to %u, and the lists part behind %u",
                        node, acked, common);
    }
    pthread_mutex_unlock(&mutex);
}

bool history_start_unseen(void)
{
    pthread_mutex_lock(&mutex);
    bool unseen = runs[current].low && !runs[current].start;
    pthread_mutex_unlock(&mutex);
    return unseen;
}

bool history_start_seen(void)
{
    pthread_mutex_lock(&mutex);
    bool seen = runs[current].start;
    pthread_mutex_unlock(&mutex);
    return seen;
}

bool history_diverged(unsigned node, unsigned life)
{
    bool diverged = false;
    pthread_mutex_lock(&mutex);
    const struct tip *tip = &tips[node];
    const struct tip *master = &tips[MASTER];
    if (tip->life == life && runs[current].start) /* nothing can be taken over any more */
        diverged = !in_list_of(current, tip->run, tip->id);
    else if (tip->life == life && master->life == current)
        diverged =
            !in_list_of(master->run, tip->run, tip->id) && !in_list_of(tip->run, master->run, master->id);
    pthread_mutex_unlock(&mutex);
    return diverged;
}

/* ---- the end */

void history_settled(uint32_t last)
{
    pthread_mutex_lock(&mutex);
    counts.dropped = 0;
    if (!runs[current].start || runs[current].high > last)
        report_fail("the list ends at %u, and master run %u has shown its messages %u to %u", last, current,
                    runs[current].start, runs[current].high);
    for (unsigned writer = 0; writer < TEXT_WRITERS; writer++) {
        for (uint32_t number = 0; number < writers[writer].count; number++) {
            const struct message *message = &writers[writer].messages[number];
            if (message->state != HISTORY_201 && message->state != HISTORY_202)
                continue;
            if (!in_list_of(current, message->run, message->id))
                counts.dropped++;
            else if (message->id > last)
                report_fail("message %s was answered %s with id %u, and the list ends at %u",
                            key_text(text_key_of(writer, number)),
                            message->state == HISTORY_201 ? "201" : "202", message->id, last);
        }
    }
    pthread_mutex_unlock(&mutex);
}

struct history_counts history_count(void)
{
    pthread_mutex_lock(&mutex);
    struct history_counts out = counts;
    pthread_mutex_unlock(&mutex);
    return out;
}
