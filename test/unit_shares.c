/* What the clients of each address hold. */
#include "failing_malloc.h"
#include "http/shares.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct shares shares;

static void end(void)
{
    for (int i = 0; i < SHARES_BUCKETS; i++)
        cr_assert_null(shares.buckets[i]);
}

TestSuite(shares, .fini = end);

static void expect_one(const char *peer, const char *other, bool one)
{
    struct share *first = shares_join(&shares, shares_address(peer)),
                 *second = shares_join(&shares, shares_address(other));
    cr_expect_eq(first == second, one, "%s and %s", peer, other);
    cr_expect(first->count == (one ? 2 : 1) && second->count == first->count);
    shares_leave(&shares, first);
    cr_expect_eq(second->count, 1);
    shares_leave(&shares, second);
}

Test(shares, an_address_is_a_peer_without_its_port)
{
    expect_one("1.2.3.4:1", "1.2.3.4:65535", true);
    expect_one("1.2.3.4:1", "1.2.3.40:1", false);
    expect_one("1.2.3.4:1", "2.2.3.4:1", false);
    expect_one("[::1]:1", "[::1]:2", true);
    expect_one("[::1]:1", "127.0.0.1:1", false);
    expect_one("0.0.0.0:1", "[::]:1", false);
}

Test(shares, a_host_has_all_addresses_of_its_ipv6_network)
{
    expect_one("[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:1", true);
    expect_one("[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false);
    expect_one("[2001:db8:1:2::1]:1", "[2001:db9:1:2::1]:1", false);
    expect_one("[2001:db8::1:2:3]:1", "[2001:db8::4:5:6]:1", true);
}

Test(shares, many_addresses_are_told_apart)
{
    enum { COUNT = 5000 };
    static struct share *all[COUNT];
    char peer[32];
    for (int round = 1; round <= 2; round++)
        for (int i = 0; i < COUNT; i++) {
            snprintf(peer, sizeof peer, "10.0.%d.%d:%d", i / 256, i % 256, 1000 + round);
            all[i] = shares_join(&shares, shares_address(peer));
            cr_assert_eq(all[i]->count, (unsigned)round);
        }
    for (int i = 0; i < COUNT; i += 2)
        shares_leave(&shares, all[i]), shares_leave(&shares, all[i]);
    for (int i = 1; i < COUNT; i += 2) {
        cr_assert_eq(all[i]->count, 2);
        shares_leave(&shares, all[i]), shares_leave(&shares, all[i]);
    }
}

/* Addresses that take all they can, in small pieces. */
Test(shares, however_many_take_all_they_can_there_is_room_for_another)
{
    enum { MOST = 1000000, PIECE = 10 };
    for (size_t addresses = 1; addresses <= 20; addresses++) {
        struct share greedy[20] = {0}, modest = {0};
        size_t all = 0;
        for (size_t took = 1; took;) {
            took = 0;
            for (size_t i = 0; i < addresses; i++)
                if (share_has_room(&greedy[i], 0, all, MOST)) {
                    greedy[i].bytes += PIECE;
                    all += PIECE;
                    took++;
                }
        }
        size_t part = MOST / (addresses + 1);
        for (size_t i = 0; i < addresses; i++)
            cr_expect(greedy[i].bytes + PIECE >= part && greedy[i].bytes <= part + PIECE, "%zu of %zu",
                      greedy[i].bytes, part);
        modest.bytes = part / 2 - addresses * PIECE;
        cr_expect(share_has_room(&modest, 0, all + modest.bytes, MOST));
    }
}

Test(shares, one_alone_may_hold_more_than_the_limit)
{
    struct share share = {.bytes = 5000};
    cr_expect(share_has_room(&share, 5000, 5000, 1000));
    cr_expect(!share_has_room(&share, 0, 5000, 1000));
}

Test(shares, where_there_is_no_memory_nobody_joins)
{
    failing_after(0);
    struct share *none = shares_join(&shares, shares_address("1.2.3.4:1"));
    failing_after(-1);
    cr_expect_null(none);
    shares_leave(&shares, shares_join(&shares, shares_address("1.2.3.4:1")));
}
