/* What the torture run says: its seed first, then what happens, and at a failure what happened last, with the
 * command that repeats the run. Any thread may call. */
#ifndef TORTURE_REPORT_H
#define TORTURE_REPORT_H

#include <stdint.h>

/* Milliseconds on the monotonic clock. */
int64_t now_ms(void);

void sleep_ms(int64_t ms);

/* `command` repeats the run; `folder` holds what the nodes logged; `at_failure` ends the nodes. */
void report_open(const char *command, const char *folder, void (*at_failure)(void));

/* Remembers an event for the report of a failure; shown at once where TORTURE_VERBOSE is set. */
void report_event(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line on standard output, at once. */
void report_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what is wrong and all that helps to find out why, and ends the process with 1. */
_Noreturn void report_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
