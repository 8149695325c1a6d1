/* What the checker's two parts share: the messages, and which list has which (lists.c). */
#ifndef SIMULATOR_LISTS_H
#define SIMULATOR_LISTS_H

#include "checker.h"

extern struct check {
    struct check_terms terms;
    unsigned count;
    struct posted *posted[MESSAGES_MAX];
} check;

extern struct check_totals check_all_totals;

/* Whether the message is in the machine's list, shown or not yet. */
bool check_stores(const struct machine *machine, const struct posted *posted);

/* volumes.c: what is new on a machine's disk, of which `before` messages were shown until now. */
void volume_look(struct machine *machine, unsigned before);

/* Whether the disk has the message for ever. `volume` may be NULL. */
bool volume_holds(const struct volume *volume, const struct posted *posted);

#endif
