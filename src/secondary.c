#include "replication/secondary.h"
#include "program.h"
#include "replication/health_check.h"

int main(int argc, char *argv[])
{
    static struct settings settings;
    struct secondary *secondary;
    char why[256];
    int status;
    if (!program_begin(&settings, SETTINGS_SECONDARY, argc, argv, &status))
        return status;
    if (settings.health_check)
        return health_check(&settings);
    if (secondary_start(&secondary, &settings, why, sizeof why) < 0) {
        logline(LOGLINE_ERROR, "cannot start: %s", why);
        logline_stop();
        return 1;
    }
    program_wait(&settings, secondary_port(secondary));
    secondary_stop(secondary);
    logline(LOGLINE_INFO, "stopped");
    logline_stop();
    return 0;
}
