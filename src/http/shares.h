/* What the clients of each address hold of something that has a limit, so that no address takes what others
 * need. An address is a peer without its port; of IPv6 it is the first 64 bits, since a host has all
 * addresses that begin with them. Belongs to the loop's thread. */
#ifndef HTTP_SHARES_H
#define HTTP_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHARES_BUCKETS = 1024 };

/* What one address has. */
struct share {
    unsigned count; /* who joined and has not left */
    size_t bytes;   /* that these hold: they count them, and the address begins with 0 */
    uint64_t address;
    struct share *next; /* private */
};

/* All zero: nobody has joined. It takes memory for the addresses of those who have joined alone. */
struct shares {
    struct share *buckets[SHARES_BUCKETS];
};

/* The address of a peer: "1.2.3.4:567", "[::1]:567". */
uint64_t shares_address(const char *peer);

/* One more of that address. NULL where there is no memory. The share is valid until as many have left it as
 * have joined. */
struct share *shares_join(struct shares *shares, uint64_t address);
void shares_leave(struct shares *shares, struct share *share);

/* Whether one who holds `own` bytes may take more, where all addresses together hold `all`, and `most` is the
 * limit: an address may have as much as it leaves free. So one address has half of the limit at most, n of
 * them have an n + 1st part each, and there is always room for another. What one holds itself does not count:
 * one request alone may be longer. */
static inline bool share_has_room(const struct share *share, size_t own, size_t all, size_t most)
{
    return (all - own) + (share->bytes - own) <= most;
}

#endif
