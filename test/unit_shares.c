/* The requests of each address that wait. */
#include "failing_malloc.h"
#include "replication/shares.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct shares *shares;

static void start(void)
{
    shares = shares_open();
    cr_assert_not_null(shares);
}

static void end(void)
{
    shares_close(shares); /* which asserts that nobody is left */
}

TestSuite(shares, .init = start, .fini = end);

Test(shares, an_address_is_a_peer_without_its_port)
{
    struct share *one = shares_join(shares, "1.2.3.4:1");
    cr_expect_eq(one->count, 1);
    cr_expect_eq(shares_join(shares, "1.2.3.4:65535"), one);
    cr_expect_eq(one->count, 2);
    struct share *other = shares_join(shares, "1.2.3.40:1");
    struct share *six = shares_join(shares, "[::1]:1");
    cr_expect(other != one && six != one && other->count == 1 && six->count == 1);
    cr_expect_eq(shares_join(shares, "[::1]:2"), six);
    shares_leave(shares, six);
    shares_leave(shares, six);
    shares_leave(shares, one);
    cr_expect_eq(one->count, 1);
    shares_leave(shares, one);
    shares_leave(shares, other);
}

Test(shares, many_addresses_are_told_apart)
{
    enum { COUNT = 5000 };
    static struct share *all[COUNT];
    char peer[32];
    for (int round = 1; round <= 2; round++)
        for (int i = 0; i < COUNT; i++) {
            snprintf(peer, sizeof peer, "10.0.%d.%d:%d", i / 256, i % 256, 1000 + round);
            all[i] = shares_join(shares, peer);
            cr_assert_eq(all[i]->count, (unsigned)round);
        }
    for (int i = 0; i < COUNT; i += 2)
        shares_leave(shares, all[i]), shares_leave(shares, all[i]);
    for (int i = 1; i < COUNT; i += 2) {
        cr_assert_eq(all[i]->count, 2);
        shares_leave(shares, all[i]), shares_leave(shares, all[i]);
    }
}

Test(shares, where_there_is_no_memory_nobody_joins)
{
    failing_after(0);
    struct share *none = shares_join(shares, "1.2.3.4:1");
    failing_after(-1);
    cr_expect_null(none);
    shares_leave(shares, shares_join(shares, "1.2.3.4:1"));
}
