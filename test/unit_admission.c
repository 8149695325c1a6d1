/* A master by hand: what a refused secondary is told to do, where the lists are in memory or on disk. */
#include "disk_by_hand.h"

TestSuite(admission, .timeout = 60);

/* A secondary comes with another list to a master that has one. `on_disk`: of the secondary's list, and of
 * the master's. */
static void expect_refused(bool on_disk, bool master_on_disk, const char *told, const char *logged)
{
    char body[256];
    snprintf(
        body, sizeof body,
        "{\"id\":\"s1\",\"url\":\"http://a:1\",\"boot\":\"b\",\"log\":\"other\",\"epoch\":1,\"last_id\":1,"
        "\"digest\":\"0000000000000001\",\"on_disk\":%s}",
        on_disk ? "true" : "false");
    if (master_on_disk)
        disk_begin();
    disk_lines_begin();
    disk_start(SETTINGS_MASTER);
    append("a");
    expect_answer(node_call("POST", "/register", "Content-Type: application/json\r\n", body), 409, told);
    expect_health(told);
    disk_stopped();
    cr_expect_eq(disk_lines(logged), 1, "%s", logged);
    if (master_on_disk)
        disk_end();
}

Test(admission, a_list_in_memory_goes_with_a_restart)
{
    expect_refused(
        false, false,
        "its list belongs to another log; nothing is thrown away: restart the secondary to have it "
        "take this master's list, or restart the master empty and let this secondary register "
        "first to keep the secondary's",
        "refused s1, another log: restart it, or the master to keep its list");
}

Test(admission, a_secondary_s_list_on_disk_goes_with_its_directory)
{
    expect_refused(true, false,
                   "move the secondary's DATA_DIR away and restart it to have it take this master's list, or "
                   "restart the master empty and let",
                   "refused s1, another log: move its DATA_DIR away, or restart the master to keep its list");
}

Test(admission, a_master_s_list_on_disk_goes_with_its_directory)
{
    expect_refused(
        false, true,
        "restart the secondary to have it take this master's list, or move the master's DATA_DIR "
        "away, restart it and let",
        "refused s1, another log: restart it, or move the master's DATA_DIR away to keep its list");
}

Test(admission, both_lists_on_disk_go_with_their_directories)
{
    expect_refused(true, true,
                   "move the secondary's DATA_DIR away and restart it to have it take this master's list, or "
                   "move the master's DATA_DIR away, restart it and let",
                   "refused s1, another log: move its DATA_DIR away, or the master's to keep its list");
}
