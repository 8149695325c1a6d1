/* Log lines: one line an event, on standard error.
 *
 *     2026-11-22T10:00:00.123Z INFO  master appended 17 (5 bytes) from 127.0.0.1:53211
 *     {"time":"2026-11-22T10:00:00.123Z","level":"info","role":"master","event":"appended 17 ..."}
 *     11:00:00.123 INFO  appended 17 (5 bytes) from 127.0.0.1:53211      (at a terminal: local time, colours)
 *
 * Callers never wait for the reader of the lines: a line goes into a bounded buffer, and one thread of this
 * module writes the buffer out within LOGLINE_FLUSH_MS, warnings and errors at once. Where the reader does
 * not keep up, lines are dropped and a line tells how many.
 *
 * Control bytes, bytes that are not UTF-8, and the few characters that terminals obey or hide instead of
 * show (C1 controls, line separators, changes of direction, marks without width) are escaped byte by byte as
 * \xNN, and so is the backslash: each one in a line begins an escape. An event of more than LOGLINE_EVENT_MAX
 * bytes is cut and ends in
 * "...". So nothing a client sends can forge or break a line. In JSON lines the value of "event" is the same
 * text.
 *
 * Any thread may call, also while it stops; logline_start and logline_stop are for main, and no other thread
 * may log while it starts. Before start (and in tests that do not start it) nothing is written. */
#ifndef LOGLINE_H
#define LOGLINE_H

#include <stdbool.h>

enum logline_level { LOGLINE_DEBUG, LOGLINE_INFO, LOGLINE_WARN, LOGLINE_ERROR };

enum logline_format { LOGLINE_TEXT, LOGLINE_JSON, LOGLINE_TERMINAL };

enum {
    LOGLINE_EVENT_MAX = 1024,     /* bytes of one event's text */
    LOGLINE_BUFFER = 1024 * 1024, /* bytes that may wait to be written */
    LOGLINE_FLUSH_MS = 20         /* the longest that a line waits before it is written */
};

/* Starts the writer thread. fd stays the caller's, open until logline_stop; `role` is a static string of
 * plain ASCII ("master"). LOGLINE_TERMINAL has colours unless the variable NO_COLOR is set
 * (no-color.org). Returns 0 or a negative errno. */
int logline_start(int fd, enum logline_level least, enum logline_format format, const char *role);

/* Writes what waits and ends the thread. A reader that is stuck gets 200 ms; then what is left is
 * dropped, and the thread hangs on until the process ends, in which logline_start must not be called again.
 */
void logline_stop(void);

/* Whether a line of this level is written at all; spares the cost of preparing it. */
bool logline_on(enum logline_level level);

/* Writes one event, as printf does. Leaves errno as it was. */
void logline(enum logline_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
