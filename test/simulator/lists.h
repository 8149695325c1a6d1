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

#endif
