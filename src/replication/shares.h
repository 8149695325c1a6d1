/* How many requests of each address have joined, so that none takes the places of all. An address is a peer
 * without its port; one of which none has takes no memory. Belongs to the loop's thread. */
#ifndef REPLICATION_SHARES_H
#define REPLICATION_SHARES_H

#include <stddef.h>

struct shares;

/* What one address has. */
struct share {
    unsigned count;     /* requests that joined and have not left */
    struct share *next; /* private, as is what follows */
    size_t len;
    char address[];
};

/* NULL where there is no memory. */
struct shares *shares_open(void);

/* All have left. */
void shares_close(struct shares *shares);

/* One more request of that peer ("1.2.3.4:567", "[::1]:567"). NULL where there is no memory. The share is
 * valid until as many have left it as have joined. */
struct share *shares_join(struct shares *shares, const char *peer);
void shares_leave(struct shares *shares, struct share *share);

#endif
