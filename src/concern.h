/* Write concern: how many nodes must hold a message before its POST is answered. It is kept as an int: a
 * positive number of nodes (the master counts as one), or one of the two names below. */
#ifndef CONCERN_H
#define CONCERN_H

#include "span.h"

enum {
    CONCERN_ALL = -1,      /* the master and every member that has caught up */
    CONCERN_MAJORITY = -2, /* more than half of the master and all members */
    CONCERN_MAX = 65535    /* the largest number taken */
};

/* Reads "all", "majority" or a number from 1 to CONCERN_MAX. Returns false, *out untouched, otherwise. */
static inline bool concern_parse(struct span text, int *out)
{
    uint64_t nodes;
    if (span_equals(text, "all"))
        *out = CONCERN_ALL;
    else if (span_equals(text, "majority"))
        *out = CONCERN_MAJORITY;
    else if (span_uint(text, &nodes) && nodes >= 1 && nodes <= CONCERN_MAX)
        *out = (int)nodes;
    else
        return false;
    return true;
}

/* What concern_parse takes, for error sentences. */
#define CONCERN_HINT "a number of nodes from 1 to 65535, \"all\" or \"majority\""

#endif
