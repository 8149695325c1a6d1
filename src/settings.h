/* The settings of both programs: an environment variable each and a flag of the same name (PORT is --port,
 * MASTER_URL is --master-url; `--port 5000` and `--port=5000` are the same); a flag wins. An empty
 * environment variable counts as not set. The table in settings_table.c is the one place that lists them. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "concern.h"
#include "logline.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What GET /health tells, and what --version prints. */
#define SETTINGS_VERSION_NUMBER "0.1.0"
#define SETTINGS_VERSION "replicated-log " SETTINGS_VERSION_NUMBER

enum settings_role { SETTINGS_MASTER, SETTINGS_SECONDARY };

enum {
    SETTINGS_TEXT_MAX = 256, /* bytes of a text setting, its terminator included */
    SETTINGS_CARRIERS_MAX = 64,
    SETTINGS_QUORUM_OFF = 0,
    SETTINGS_FSYNC_ALWAYS = 0,
    SETTINGS_FSYNC_OFF = -1
};

struct settings {
    uint32_t given; /* bit i: settings_table[i] was given, by a flag or in the environment */
    char host[SETTINGS_TEXT_MAX];
    uint16_t port; /* 0: the kernel chooses */
    enum logline_level log_level;
    enum logline_format log_format;
    size_t max_message; /* bytes, 1 to 1 GiB */
    int max_connections;
    unsigned carriers; /* threads that carry client connections beside the loop's: see settings.c */
    int64_t idle_timeout_ms;
    int64_t max_log;                            /* bytes of the list */
    uint64_t memory;                            /* bytes that this process may use; see memory.h */
    char allowed_hosts[SETTINGS_TEXT_MAX];      /* "" or names with commas between them */
    char cluster_token[SETTINGS_TEXT_MAX];      /* "" for none; visible ASCII without spaces */
    char cluster_token_file[SETTINGS_TEXT_MAX]; /* where cluster_token is from; or "" */
    char data_dir[SETTINGS_TEXT_MAX];           /* where the list is kept, too; "": in memory alone */
    int64_t fsync_ms;                           /* SETTINGS_FSYNC_ALWAYS, SETTINGS_FSYNC_OFF, or how often */

    /* master */
    int write_concern;       /* see concern.h */
    int64_t ack_timeout_ms;  /* 0: wait for ever */
    unsigned nodes;          /* this log is meant to have, the master included; 0: not told */
    int quorum;              /* SETTINGS_QUORUM_OFF, CONCERN_MAJORITY, or a number of nodes */
    int64_t heartbeat_ms;    /* 10 to 60000 */
    int64_t forget_after_ms; /* how long a member may be unhealthy; 0: for ever */

    /* secondary */
    char master_url[SETTINGS_TEXT_MAX];
    char advertise_url[SETTINGS_TEXT_MAX]; /* "" : what the master sees */
    char secondary_id[SETTINGS_TEXT_MAX];  /* "" : the advertised host:port */
    bool goodbye;                          /* whether it says goodbye when it is told to stop */
    int64_t delay_ms;
    double errors; /* 0 to 1 */

    const char *check; /* what to ask of a node that runs at HOST:PORT, to exit with 0 or 1: "/health" for
                        * --health-check, "/readyz" for --ready-check; NULL: run a node */
    const char *check_data; /* a directory to look at instead of running a node (--check-data); or NULL */
    bool accept_loss;       /* --accept-loss: go on without ids that are damaged in DATA_DIR */
};

enum settings_result {
    SETTINGS_RUN,  /* out is filled: go on */
    SETTINGS_DONE, /* --help or --version was answered on `out_file`: exit 0 */
    SETTINGS_WRONG /* a value or flag cannot be used: one line on `err_file`; exit 2 */
};

/* Reads the settings for a role from `environment` (NAME=value strings, NULL at the end) and the flags in
 * argv[1] to argv[argc - 1]. MAX_CONNECTIONS is lowered to what `descriptor_limit` leaves (some are kept for
 * the program itself) where it was not given, and where it was given and does not fit, that is a wrong value.
 */
enum settings_result settings_read(struct settings *out, enum settings_role role, int argc,
                                   char *const argv[], char *const environment[], uint64_t descriptor_limit,
                                   FILE *out_file, FILE *err_file);

/* Logs the version and the settings that were given, and at debug the others, which are at their defaults
 * (the token only as "set" or "none"). */
void settings_log(const struct settings *settings, enum settings_role role);

#endif
