/* The kinds of values that settings have: how each is read from text and shown again. Used by settings.c
 * alone, and by its tests. */
#ifndef SETTINGS_KINDS_H
#define SETTINGS_KINDS_H

#include "buf.h"

struct settings_kind {
    /* Reads a value into the field of struct settings that the kind is for. Returns false, the field
     * untouched, where the text is none. */
    bool (*take)(const char *text, void *field);
    /* Adds the value in a form that `take` reads, or for a secret whether there is one. An empty text is
     * "auto". */
    void (*show)(const void *field, struct buf *out);
    const char *want;  /* what `take` reads, to stand behind "want" */
    const char *about; /* the value's place holder in the help */
    bool secret;       /* never shown, not in errors either */
};

extern const struct settings_kind settings_kind_host;        /* char[SETTINGS_TEXT_MAX] */
extern const struct settings_kind settings_kind_url;         /* char[SETTINGS_TEXT_MAX] */
extern const struct settings_kind settings_kind_id;          /* char[SETTINGS_TEXT_MAX] */
extern const struct settings_kind settings_kind_token;       /* char[SETTINGS_TEXT_MAX] */
extern const struct settings_kind settings_kind_port;        /* uint16_t */
extern const struct settings_kind settings_kind_level;       /* enum logline_level */
extern const struct settings_kind settings_kind_format;      /* bool: JSON */
extern const struct settings_kind settings_kind_bytes;       /* size_t */
extern const struct settings_kind settings_kind_connections; /* int */
extern const struct settings_kind settings_kind_concern;     /* int */
extern const struct settings_kind settings_kind_quorum;      /* int */
extern const struct settings_kind settings_kind_nodes;       /* unsigned; 0: not told */
extern const struct settings_kind settings_kind_duration;    /* int64_t, milliseconds, from 0 */
extern const struct settings_kind settings_kind_timeout;     /* the same, at least 1 */
extern const struct settings_kind settings_kind_interval;    /* the same, at least 10 */
extern const struct settings_kind settings_kind_share;       /* double, 0 to 1 */

#endif
