/* One setting: a row of the table in settings_table.c, how its value is read from text and shown again. Used
 * by settings.c alone, and by its tests. */
#ifndef SETTING_H
#define SETTING_H

#include "buf.h"
#include "settings.h"

/* A number's kind is also how many of its field's steps make 1 in the text. */
enum setting_kind {
    SETTING_TEXT = 0,          /* char[SETTINGS_TEXT_MAX] */
    SETTING_NUMBER = 1,        /* whole: a bool, uint16_t, int, unsigned, int64_t, size_t or enum */
    SETTING_SECONDS = 1000,    /* with decimals: int64_t, milliseconds */
    SETTING_SHARE = 1000000000 /* with decimals: double */
};

enum { SETTING_OF_MASTER = 1 << SETTINGS_MASTER, SETTING_OF_SECONDARY = 1 << SETTINGS_SECONDARY };

/* A word that stands for a number. */
struct setting_word {
    const char *text;
    int number;
};

struct setting {
    const char *name;     /* of the environment variable; the flag's is made from it */
    const char *standard; /* its default as text, or NULL: the field stays empty */
    const char *empty;    /* what an empty field stands for, in the help */
    const char *about;    /* the value's place holder in the help */
    const char *want;     /* which values are taken, to stand behind "want" */
    const char *meaning;
    size_t field; /* offset in struct settings */
    size_t size;  /* of the field */
    enum setting_kind kind;
    unsigned of; /* the roles that have it, a bit for each */

    bool (*valid)(const char *text);              /* of a text: whether it is taken */
    int64_t least, most;                          /* of a number, in steps; most -1: words alone */
    struct setting_word words[LOGLINE_ERROR + 2]; /* of a number, up to one without text */

    bool bytes;  /* of a number: k, m or g may stand behind it, for 1024 of the smaller one */
    bool secret; /* never shown, not in errors either */
};

enum { SETTINGS_COUNT = 27 };
extern const struct setting settings_table[SETTINGS_COUNT];

/* Reads a value into the setting's field. Returns false, the field untouched, where the text is none. */
bool setting_take(const struct setting *setting, const char *text, void *field);

/* Adds the value in a form that setting_take reads; of a secret whether there is one, and a word for nothing
 * where the field is empty. */
void setting_show(const struct setting *setting, const void *field, struct buf *out);

/* Which texts are taken. */
bool setting_host_valid(const char *text);  /* an address or a host name */
bool setting_url_valid(const char *text);   /* a node's URL */
bool setting_id_valid(const char *text);    /* may stand in URLs, log lines and JSON as it is */
bool setting_token_valid(const char *text); /* visible ASCII without spaces */
bool setting_path_valid(const char *text);
bool setting_hosts_valid(const char *text); /* host names with commas between them, or "*" */

#endif
