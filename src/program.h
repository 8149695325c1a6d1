/* What the two programs do alike around their own part: settings, signals, log lines. For main. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "settings.h"

/* Prepares the process (descriptor limit, signals) and reads the settings. Returns true to go on; else
 * *status is the program's exit status. SIGTERM and SIGINT are blocked from here on, in all threads:
 * program_wait takes them. */
bool program_begin(struct settings *settings, enum settings_role role, int argc, char *argv[], int *status);

/* Says where the node listens, and waits until SIGTERM or SIGINT comes. */
void program_wait(const struct settings *settings, uint16_t port);

#endif
