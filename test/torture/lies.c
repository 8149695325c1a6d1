#include "lies.h"
#include "history.h"
#include "liar.h"
#include "report.h"
#include "storm_parts.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SETTLE_MS = 250,  /* more than SECONDARY_DELAYS: what was on its way shows */
    STALL_MS = 60000, /* until it is mended */
    NOTICE_MS = 1500,
    RETURN_MS = 3000,
    FORGED_PERCENT = 60 /* with all fields right */
};

/* A message that nobody sends to a master. Returns its key. */
static text_key forged_message(struct storm *storm, struct text *out)
{
    text_key key = text_key_of(WRITER_FORGER, storm->next_forged++);
    text_message(out, storm->config.cluster->seed, key);
    return key;
}

static void links_mend(struct storm *storm, unsigned number)
{
    link_mend(link_from_master(storm, number));
    link_mend(link_to_master(storm, number));
}

/* What the secondary's master is: it tells that to whoever registers. To register with the secondary's own
 * id, URL and boot changes nothing. False where the secondary follows another master. */
static bool master_learn(struct storm *storm, unsigned number, const struct liar_identity *secondary,
                         struct liar_identity *master)
{
    struct liar same = {.id = storm->nodes[number].name};
    relay_url(link_from_master(storm, number)->relay, ADDRESS_FROM_MASTER + number, NULL, same.url);
    snprintf(same.boot, sizeof same.boot, "%s", secondary->boot);
    return liar_registers(&same, &storm->master, "", master) == 200 &&
           strcmp(master->log, secondary->log) == 0 && master->epoch == secondary->epoch;
}

/* A secondary that is up, and has the list where `full`. 0: there is none. */
static unsigned secondary_choose(struct storm *storm, bool full)
{
    unsigned from = random_between(&storm->random, 0, SECONDARIES - 1);
    for (unsigned i = 0; i < SECONDARIES; i++) {
        unsigned number = 1 + (from + i) % SECONDARIES;
        if (storm->nodes[number].state == NODE_UP && (!full || list_there(storm, number)))
            return number;
    }
    return 0;
}

/* ---- a forger */

/* How often the master's log tells of a list that differs. */
static unsigned differences_logged(const struct storm *storm)
{
    unsigned times = 0;
    char line[512];
    FILE *file = fopen(storm->nodes[MASTER].log_path, "re");
    while (file && fgets(line, sizeof line, file))
        times += strstr(line, "its list differs from this master's at message") != NULL;
    if (file)
        fclose(file);
    return times;
}

/* The secondary has taken a forged message. For a while others look whether anybody counts it. */
static void forgery_watch(struct storm *storm, unsigned number)
{
    unsigned before = differences_logged(storm);
    links_mend(storm, number);
    sleep_ms(random_between(&storm->random, NOTICE_MS / 3, NOTICE_MS));
    storm->counts.told_of += differences_logged(storm) > before;
}

/* What is wrong with what the forger says. */
enum forgery { FORGERY_NOTHING, FORGERY_EPOCH, FORGERY_MASTER, FORGERY_DIGEST, FORGERY_FIELDS };
static const char *const forgery_names[] = {"nothing", "the epoch", "the master", "the digest", "all fields"};

static uint64_t epoch_other(struct random *random, uint64_t epoch)
{
    return epoch > 1 && random_percent(random, 80) ? epoch - 1 : epoch + 1;
}

static void name_spoil(char *name)
{
    name[0] = name[0] == 'a' ? 'b' : 'a';
}

/* Returns the status of the answer, 0 where there was none. */
static int forgery_send(struct storm *storm, unsigned number, struct client *client, enum forgery wrong)
{
    struct liar_identity secondary;
    struct liar_identity master;
    struct text message = {0};
    if (!liar_asks_secondary(client, &secondary) || !secondary.last_id ||
        !master_learn(storm, number, &secondary, &master))
        return 409; /* nothing was sent */
    text_key key = forged_message(storm, &message);
    if (wrong == FORGERY_NOTHING)
        history_forges(number, client->life, secondary.last_id + 1, key, 1);
    if (wrong == FORGERY_EPOCH)
        master.epoch = epoch_other(&storm->random, master.epoch);
    if (wrong == FORGERY_MASTER)
        name_spoil(master.boot);
    if (wrong == FORGERY_DIGEST)
        name_spoil(secondary.digest);
    int status = liar_replicates(client, &secondary, &master, wrong != FORGERY_FIELDS, &message);
    report_event("%s is sent a forged message as id %u, wrong is %s: %d", storm->nodes[number].name,
                 secondary.last_id + 1, forgery_names[wrong], status);
    storm->counts.misdirected += wrong != FORGERY_NOTHING && status == 409;
    text_free(&message);
    return status;
}

/* The secondary may have taken the forged message: it is watched if it has, and restarted. */
static void forgery_end(struct storm *storm, unsigned number, bool taken)
{
    if (taken) {
        history_forged(number, true);
        forgery_watch(storm, number);
        storm->counts.forged++;
    }
    secondary_lose(storm, number);
    any_start(storm, number);
}

void fault_forgery(struct storm *storm)
{
    struct client client;
    struct relay_fault stall = {.kind = RELAY_STALL, .directions = RELAY_TO_SERVER};
    unsigned number = secondary_choose(storm, false);
    enum forgery wrong = random_percent(&storm->random, FORGED_PERCENT)
                             ? FORGERY_NOTHING
                             : random_between(&storm->random, FORGERY_EPOCH, FORGERY_FIELDS);
    /* A master to which nothing was posted would take the list over, forged messages and all. */
    if (!number || !history_start_seen() || (!wrong && !secondary_may_end(storm, number)))
        return;
    link_mend(link_from_master(storm, number));
    link_spoil(storm, link_from_master(storm, number), stall, STALL_MS);
    sleep_ms(SETTLE_MS);
    client_open(&client, &storm->nodes[number]);
    int status = forgery_send(storm, number, &client, wrong);
    client_close(&client);
    bool taken = status == 200 || status == 500; /* by SECONDARY_ERRORS */
    if (wrong && taken)
        report_fail("s%u took a message of somebody else than its master: wrong was %s", number,
                    forgery_names[wrong]);
    if (!wrong && status == 409)
        history_forged(number, false);
    else if (!wrong)
        forgery_end(storm, number, taken);
    link_mend(link_from_master(storm, number));
}

/* ---- a member that lies */

static struct liar liar_make(struct storm *storm)
{
    struct liar liar = {.id = "liar"};
    snprintf(liar.boot, sizeof liar.boot, "liar%08x", random_between(&storm->random, 0, 1u << 30));
    liar_listens(&liar, nodes_address(ADDRESS_LIAR));
    return liar;
}

/* The run fails where the master counts the liar for anything. */
static void liar_uncounted(struct storm *storm)
{
    struct answer answer;
    if (!client_get(&storm->master, "/health", &answer, now_ms() + HEALTH_MS))
        return;
    int64_t acked = answer_acked(&answer, "liar");
    if (acked > 0)
        report_fail("the master counts somebody who has proven nothing, up to %" PRId64 ": %.*s", acked,
                    (int)answer.body_len, answer.body);
}

static int member_remove(struct storm *storm, const char *id, const char *boot)
{
    struct answer answer;
    struct text request = {0};
    text_addf(&request, "DELETE /secondaries/%s%s%s HTTP/1.1\r\nHost: torture\r\n\r\n", id,
              boot ? "?boot=" : "", boot ? boot : "");
    bool answered = client_ask(&storm->master, &request, &answer, now_ms() + HEALTH_MS);
    text_free(&request);
    return answered ? answer.status : 0;
}

/* An answer with one thing wrong. */
static const char *answer_spoil(struct random *random, const struct liar_identity *master,
                                struct liar_identity *answer)
{
    static const char *const what[] = {"epoch", "digest", "boot", "log", "last_id", "id"};
    unsigned wrong = random_between(random, 0, sizeof what / sizeof *what - 1);
    if (wrong == 0 || (wrong == 1 && !master->last_id))
        answer->epoch = epoch_other(random, answer->epoch);
    else if (wrong == 1)
        answer->last_id = random_between(random, 1, master->last_id);
    else if (wrong == 2)
        name_spoil(answer->boot);
    else if (wrong == 3)
        name_spoil(answer->log);
    else if (wrong == 4)
        answer->last_id = master->last_id + 1000000;
    else
        name_spoil(answer->id);
    return what[wrong];
}

/* What it tells of its list when it registers: that it has all of the master's. */
static bool list_of_master(struct storm *storm, char list[4 * LIAR_NAME_SIZE])
{
    struct answer health;
    char log[LIAR_NAME_SIZE];
    if (!client_get(&storm->master, "/health", &health, now_ms() + HEALTH_MS) ||
        !answer_name(&health, "log", log, sizeof log))
        return false;
    liar_list(log, 1, (uint32_t)answer_number(&health, "last_id"), NULL, list);
    return true;
}

void fault_lying_member(struct storm *storm)
{
    struct liar_identity master;
    char list[4 * LIAR_NAME_SIZE];
    int64_t until_ms = now_ms() + random_between(&storm->random, 200, 1000);
    if (!list_of_master(storm, list))
        return;
    struct liar liar = liar_make(storm);
    bool registered = liar_registers(&liar, &storm->master, list, &master) == 200;
    while (registered && now_ms() < until_ms) {
        struct liar_identity answer = {.epoch = master.epoch, .digest = "0000000000000000"};
        snprintf(answer.id, sizeof answer.id, "%s", liar.id);
        snprintf(answer.boot, sizeof answer.boot, "%s", liar.boot);
        snprintf(answer.log, sizeof answer.log, "%s", master.log);
        const char *wrong = answer_spoil(&storm->random, &master, &answer);
        if (!liar_greets(&liar, &answer, until_ms))
            break;
        report_event("somebody answered the master's greeting with a wrong %s", wrong);
        storm->counts.lying_acks++;
    }
    liar_uncounted(storm);
    liar_leaves(&liar);
    for (int64_t since_ms = now_ms(); registered && now_ms() < since_ms + RETURN_MS; sleep_ms(PASS_MS))
        registered = member_remove(storm, liar.id, NULL) == 0;
}

/* ---- a list that lies */

void fault_lying_list(struct storm *storm)
{
    struct answer health;
    struct text message = {0};
    struct relay_fault refuse = {.kind = RELAY_REFUSE};
    char list[4 * LIAR_NAME_SIZE];
    char log[LIAR_NAME_SIZE];
    uint32_t count = random_magnitude(&storm->random, 1, 100);
    if (!master_may_end(storm) || !client_get(&storm->master, "/health", &health, now_ms() + HEALTH_MS) ||
        !answer_name(&health, "log", log, sizeof log))
        return;
    struct liar liar = liar_make(storm);
    liar_list(log, random_between(&storm->random, 1, 9), count, "00a1b2c3d4e5f607", list);
    forged_message(storm, &message);
    for (unsigned i = 1; i < NODES; i++) {
        link_mend(link_to_master(storm, i));
        link_spoil(storm, link_to_master(storm, i), refuse, STALL_MS);
    }
    master_end(storm, false, 0);
    any_start(storm, MASTER);
    int status = liar_offers(&liar, &storm->master, list, &message, count);
    report_event("somebody offered the master a list other than told: %d", status);
    if (status == 200)
        report_fail("the master took over a list, and it is not the one that it was told of");
    storm->counts.lying_lists += status == 409;
    for (unsigned i = 1; i < NODES; i++)
        link_mend(link_to_master(storm, i));
    liar_leaves(&liar);
    text_free(&message);
}

/* ---- late, and empty */

/* Waits until the master has sent this process of the secondary messages: so it has proven itself. */
static bool process_proven(struct client *secondary, const char *boot_before)
{
    struct liar_identity now;
    for (int64_t since_ms = now_ms(); now_ms() < since_ms + RETURN_MS; sleep_ms(PASS_MS))
        if (liar_asks_secondary(secondary, &now) && now.last_id && strcmp(now.boot, boot_before) != 0)
            return true;
    return false;
}

void fault_late_goodbye(struct storm *storm)
{
    struct client client;
    struct liar_identity before;
    unsigned number = secondary_choose(storm, false);
    const struct node *node = &storm->nodes[number];
    if (!number || !secondary_may_end(storm, number))
        return;
    client_open(&client, node);
    if (liar_asks_secondary(&client, &before)) {
        links_mend(storm, number);
        secondary_lose(storm, number); /* what it has is from the present master then */
        any_start(storm, number);
        int status = process_proven(&client, before.boot) ? member_remove(storm, node->name, before.boot) : 0;
        report_event("the goodbye of an earlier process of %s comes: %d", node->name, status);
        if (status == 204)
            report_fail("the goodbye of an earlier process of %s removed its present one", node->name);
        storm->counts.late_goodbyes += status == 409;
    }
    client_close(&client);
}

void fault_newcomers(struct storm *storm)
{
    struct relay_fault refuse = {.kind = RELAY_REFUSE};
    unsigned number = secondary_choose(storm, true);
    for (unsigned i = 1; i < NODES; i++)
        if (storm->nodes[i].state == NODE_STOPPING)
            return;
    if (!number || !master_may_end(storm))
        return;
    for (unsigned i = 1; i < NODES; i++)
        links_mend(storm, i);
    report_event("all but %s are restarted, which cannot register", storm->nodes[number].name);
    link_spoil(storm, link_to_master(storm, number), refuse, STALL_MS);
    for (unsigned i = 1; i < NODES; i++)
        if (i != number && storm->nodes[i].state != NODE_DOWN)
            secondary_lose(storm, i);
    master_end(storm, false, 0);
    storm->next_gate = HISTORY_NODES;
    for (unsigned i = 0; i < NODES; i++)
        if (i != number)
            any_start(storm, i);
    for (int64_t since_ms = now_ms(); !history_start_seen() && now_ms() < since_ms + NOTICE_MS;)
        sleep_ms(PASS_MS);
    link_mend(link_to_master(storm, number));
    storm->counts.newcomers++;
}
