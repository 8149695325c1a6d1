/* What may have to be said again and again: a link that fails at each try, a secondary that is refused each
 * time, two that replace each other for ever, a client that registers and removes in a loop. Of one kind a
 * warning comes once a minute at most, and a line at info three times and then once a minute, with how often
 * it was since; the others are at debug.
 *
 * Lines are of one kind where they are about the same ("s1"), both warn or neither does, and their sentences
 * differ in digits alone.
 * A client may invent names, so there are COMPLAINT_KINDS within a minute. Past that a warning takes the
 * place of a kind that is none; where there is no such place, all lines of one format are of one kind. So
 * there is a limit to the lines of a minute, whatever comes, and no name keeps a line of another format away.
 * All zero is valid. One thread at a time uses it. */
#ifndef COMPLAINT_H
#define COMPLAINT_H

#include "logline.h"
#include <stdint.h>

enum {
    COMPLAINT_MINUTE_MS = 60000,
    COMPLAINT_INFOS = 3,
    COMPLAINT_KINDS = 256,
    COMPLAINT_FORMATS = 64 /* more than callers have */
};

struct complaints {
    struct complaint {
        uint64_t kind;    /* a hash, and KIND_WARNS; 0: none */
        int64_t since_ms; /* when its minute began */
        unsigned told;    /* lines in that minute */
        unsigned untold;  /* how often it came without a line since */
    } kinds[COMPLAINT_KINDS];
    struct complaint formats[COMPLAINT_FORMATS]; /* kinds of what found no place in `kinds` */
};

/* As logline_event. */
void complain(struct complaints *complaints, enum logline_level level, const char *about, const char *word,
              const struct log_field *fields, const char *format, ...) __attribute__((format(printf, 6, 7)));

#endif
