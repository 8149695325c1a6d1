/* Somebody who learns from the nodes what their requests and answers must say, and then says it himself: to a
 * secondary as its master, to a master as a secondary. Main thread only. */
#ifndef TORTURE_LIAR_H
#define TORTURE_LIAR_H

#include "client.h"

enum { LIAR_NAME_SIZE = 80 };

/* Who a node is and what it holds, as it tells itself. */
struct liar_identity {
    char id[LIAR_NAME_SIZE];
    char boot[LIAR_NAME_SIZE];
    char log[LIAR_NAME_SIZE];
    uint64_t epoch;
    uint32_t last_id;
    char digest[LIAR_NAME_SIZE]; /* of a secondary only */
};

/* Asks a secondary. False where it does not answer, or is not registered with a master. */
bool liar_asks_secondary(struct client *secondary, struct liar_identity *out);

/* Who registers, and from where. `listener` is only of one that listens. */
struct liar {
    const char *id;
    char url[LIAR_NAME_SIZE];
    char boot[LIAR_NAME_SIZE];
    int listener;
};

/* Registers with a master and takes its answer. `list` is what it tells of its list: "", or liar_list.
 * Returns the status, 0 where there was no answer. */
int liar_registers(const struct liar *liar, struct client *master, const char *list,
                   struct liar_identity *out);

/* Writes what a registration tells of a list; without its digest where that is NULL. */
void liar_list(const char *log, uint64_t epoch, uint32_t last_id, const char *digest,
               char out[4 * LIAR_NAME_SIZE]);

/* Sends a secondary a message for the id behind its last one, in the name of the master; without the fields
 * of a master where `fields` is false. Returns the status, 0 where there was no answer. */
int liar_replicates(struct client *secondary, const struct liar_identity *to,
                    const struct liar_identity *master, bool fields, const struct text *message);

/* Opens and closes the place at which a liar is called. */
void liar_listens(struct liar *liar, struct in_addr address);
void liar_leaves(struct liar *liar);

/* Waits for a master's greeting and answers it. The answer is a wrong one: the run fails where the master
 * sends anything behind it. False where no greeting came in time. */
bool liar_greets(const struct liar *liar, const struct liar_identity *answer, int64_t deadline_ms);

/* Registers with a master that takes the list over, and gives it the message so many times. Returns the
 * status, 0 where there was no answer. */
int liar_offers(const struct liar *liar, struct client *master, const char *list, const struct text *message,
                uint32_t count);

#endif
