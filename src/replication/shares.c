#include "replication/shares.h"
#include "span.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 }; /* a chain of shares each */

struct shares {
    struct share *buckets[BUCKETS];
};

struct shares *shares_open(void)
{
    return calloc(1, sizeof(struct shares));
}

void shares_close(struct shares *shares)
{
    for (size_t i = 0; i < BUCKETS; i++)
        assert(!shares->buckets[i]);
    free(shares);
}

static struct span address_of(const char *peer)
{
    const char *port = strrchr(peer, ':');
    return (struct span){peer, port ? (size_t)(port - peer) : strlen(peer)};
}

/* The address's chain (FNV-1a). */
static struct share **bucket_of(struct shares *shares, struct span address)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < address.len; i++)
        hash = (hash ^ (unsigned char)address.at[i]) * 16777619U;
    return &shares->buckets[(hash ^ hash >> 16) % BUCKETS];
}

struct share *shares_join(struct shares *shares, const char *peer)
{
    struct span address = address_of(peer);
    struct share **bucket = bucket_of(shares, address);
    struct share *share = *bucket;
    while (share && !(share->len == address.len && memcmp(share->address, address.at, address.len) == 0))
        share = share->next;
    if (!share) {
        share = malloc(sizeof *share + address.len);
        if (!share)
            return NULL;
        *share = (struct share){.next = *bucket, .len = address.len};
        memcpy(share->address, address.at, address.len);
        *bucket = share;
    }
    share->count++;
    return share;
}

void shares_leave(struct shares *shares, struct share *share)
{
    if (--share->count)
        return;
    struct share **at = bucket_of(shares, (struct span){share->address, share->len});
    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
    free(share);
}
