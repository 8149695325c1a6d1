#include "replication/members.h"

#include <criterion/criterion.h>

Test(members_restored, a_member_that_the_disk_tells_of_counts_and_makes_no_quorum_before_it_answers)
{
    static const struct settings settings = {.heartbeat_ms = 1000};
    static struct complaints complaints;
    const struct http_url url = {.host = "a", .port = 5001};
    struct base base = {.settings = &settings,
                        .complaints = &complaints,
                        .log = log_open(),
                        .acks = acks_open(0),
                        .events = events_open()};
    struct members *members = members_open(&base);
    cr_assert(base.log && base.acks && base.events && members);
    cr_assert_eq(members_restore(members, "s1", &url), 0);
    struct members_count count = members_count(members);
    cr_assert_eq(count.proven, 1);
    cr_assert_eq(count.unmet, 1);
    cr_assert_eq(count.alive, 0);
    members_close(members);
    events_close(base.events);
    acks_close(base.acks);
    log_close(base.log);
}
