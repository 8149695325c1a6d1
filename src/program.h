/* What the two programs do alike: settings, signals, log lines, one node until a signal ends it. For main. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "settings.h"

/* Runs the program. Returns its exit status. */
int program_main(enum settings_role role, int argc, char *argv[]);

#endif
