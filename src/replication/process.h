/* A node as a process: the node, the HTTP server that serves it, and the worker for its look-ups. For main.
 */
#ifndef REPLICATION_PROCESS_H
#define REPLICATION_PROCESS_H

#include "settings.h"

struct process;

/* Listens, loads the list where DATA_DIR is set, serves, and as a secondary begins to register. From then on
 * the service manager that NOTIFY_SOCKET names in the environment is told how the node is. The settings
 * outlive the process. Returns 0, or a negative errno with one sentence in why. */
int process_start(struct process **out, const struct settings *settings, enum settings_role role, char *why,
                  size_t why_size);

/* The port that it listens on. */
uint16_t process_port(const struct process *process);

/* Whether the list could not be loaded; SIGTERM was sent to this process then. Any thread. */
bool process_failed(const struct process *process);

/* Ends within two seconds. A master refuses new appends, gives the waiting ones some time for their ACKs, and
 * what was acknowledged some time to reach one more node; a secondary says goodbye. Who still waits is
 * answered, and everything is freed. */
void process_stop(struct process *process);

#endif
