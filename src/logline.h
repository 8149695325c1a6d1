/* Log lines: one line an event, on standard error.
 *
 *     2026-11-22T10:00:00.123Z INFO  master appended 17 (5 bytes) from 127.0.0.1:53211
 *     11:00:00.123 INFO  appended 17 (5 bytes) from 127.0.0.1:53211      (at a terminal: local time, colours)
 *     {"time":"2026-11-22T10:00:00.123Z","level":"info","role":"master","event":"appended",
 *      "message":"appended 17 (5 bytes) from 127.0.0.1:53211","id":17,"bytes":5,"peer":"127.0.0.1:53211"}
 *                                                                       (JSON, in one line)
 *
 * Callers never wait for the reader of the lines: a line goes into a bounded buffer, and one thread of this
 * module writes the buffer out within LOGLINE_FLUSH_MS, warnings and errors at once. Where the reader does
 * not keep up, lines are dropped and a line tells how many.
 *
 * Control bytes, bytes that are not UTF-8, and the few characters that terminals obey or hide instead of
 * show (C1 controls, line separators, changes of direction, marks without width) are escaped byte by byte as
 * \xNN, and so is the backslash: each one in a line begins an escape. A sentence of more than
 * LOGLINE_EVENT_MAX bytes is cut and ends in "...". So nothing a client sends can forge or break a line. In
 * JSON lines the value of "message" is the same sentence, and texts in fields are escaped in the same way.
 *
 * Any thread may call, also while it stops; logline_start and logline_stop are for main, and no other thread
 * may log while it starts. Before start (and in tests that do not start it) nothing is written. */
#ifndef LOGLINE_H
#define LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum logline_level { LOGLINE_DEBUG, LOGLINE_INFO, LOGLINE_WARN, LOGLINE_ERROR };

enum logline_format { LOGLINE_AUTO, LOGLINE_TEXT, LOGLINE_JSON, LOGLINE_TERMINAL };

enum {
    LOGLINE_EVENT_MAX = 1024,     /* bytes of one event's sentence */
    LOGLINE_BUFFER = 1024 * 1024, /* bytes that may wait to be written */
    LOGLINE_FLUSH_MS = 20         /* the longest that a line waits before it is written */
};

/* Starts the writer thread. fd stays the caller's, open until logline_stop; `role` is a static string of
 * plain ASCII ("master"). LOGLINE_AUTO is LOGLINE_TERMINAL where fd is one, else LOGLINE_TEXT.
 * LOGLINE_TERMINAL has colours unless the variable NO_COLOR is set (no-color.org). Returns 0 or a negative
 * errno. */
int logline_start(int fd, enum logline_level least, enum logline_format format, const char *role);

/* Writes what waits and ends the thread. A reader that is stuck gets 200 ms; then what is left is
 * dropped, and the thread hangs on until the process ends, in which logline_start must not be called again.
 */
void logline_stop(void);

/* Whether a line of this level is written at all; spares the cost of preparing it. */
bool logline_on(enum logline_level level);

/* What a JSON line has beside its sentence; lines of text leave it out. */
struct log_field {
    const char *name;
    const char *text; /* NULL: the field is a number */
    double number;    /* written with one decimal where it is not whole */
};

/* Whether lines have fields: not where they are text. */
bool logline_has_fields(void);

/* The fields of a line, in order: LOG_FIELDS(LOG_NUMBER("id", id), LOG_TEXT("peer", peer)). Nothing is spent
 * on them where lines have none. */
#define LOG_FIELDS(...) (logline_has_fields() ? (const struct log_field[]){__VA_ARGS__, {0}} : NULL)
#define LOG_NUMBER(field, value)                                                                             \
    {                                                                                                        \
        .name = (field), .number = (double)(value)                                                           \
    }
#define LOG_TEXT(field, value)                                                                               \
    {                                                                                                        \
        .name = (field), .text = (value)                                                                     \
    }

/* How many lines were lost since logline_start because their reader did not keep up. */
uint64_t logline_lost(void);

/* Writes one event: its sentence, as printf does. `word` is what JSON lines call the event, plain ASCII;
 * `fields` may be NULL. A field for which a line has no room is left out. Leaves errno as it was. */
void logline_event(enum logline_level level, const char *word, const struct log_field *fields,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for an event that has no word: "log". */
#define logline(level, ...) logline_event((level), "log", NULL, __VA_ARGS__)

#endif
