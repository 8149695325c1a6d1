#include "replication/master.h"
#include "program.h"
#include "replication/health_check.h"

int main(int argc, char *argv[])
{
    static struct settings settings;
    struct master *master;
    char why[256];
    int status;
    if (!program_begin(&settings, SETTINGS_MASTER, argc, argv, &status))
        return status;
    if (settings.health_check)
        return health_check(&settings);
    if (master_start(&master, &settings, why, sizeof why) < 0) {
        logline(LOGLINE_ERROR, "cannot start: %s", why);
        logline_stop();
        return 1;
    }
    program_wait(&settings, master_port(master));
    master_stop(master);
    logline(LOGLINE_INFO, "stopped");
    logline_stop();
    return 0;
}
