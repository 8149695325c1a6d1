/* The health check of the containers: asks a node on this machine how it is. */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H

#include "settings.h"

/* GETs settings->check at HOST:PORT of the settings (a wildcard HOST stands for the loopback address).
 * Returns 0 where the answer is 200 within two seconds, else 1 with one line on standard error. Blocks. */
int health_check(const struct settings *settings);

#endif
