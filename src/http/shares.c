#include "http/shares.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first 64 bits of an IPv6 address. One of IPv4 is put where no network has addresses. */
uint64_t shares_address(const char *peer)
{
    bool is_v6 = peer[0] == '[';
    const char *end = strrchr(peer, is_v6 ? ']' : ':');
    unsigned char bytes[sizeof(struct in6_addr)] = {0};
    char host[INET6_ADDRSTRLEN] = "";
    uint64_t address;
    if (end)
        snprintf(host, sizeof host, "%.*s", (int)(end - peer - is_v6), peer + is_v6);
    if (is_v6)
        inet_pton(AF_INET6, host, bytes);
    else if (inet_pton(AF_INET, host, bytes + 4) == 1)
        bytes[2] = bytes[3] = 0xff;
    memcpy(&address, bytes, sizeof address);
    return address;
}

static struct share **bucket_of(struct shares *shares, uint64_t address)
{
    return &shares->buckets[(address * UINT64_C(0x9E3779B97F4A7C15) >> 32) % SHARES_BUCKETS];
}

struct share *shares_join(struct shares *shares, uint64_t address)
{
    struct share **bucket = bucket_of(shares, address);
    struct share *share = *bucket;
    while (share && share->address != address)
        share = share->next;
    if (!share) {
        share = malloc(sizeof *share);
        if (!share)
            return NULL;
        *share = (struct share){.next = *bucket, .address = address};
        *bucket = share;
    }
    share->count++;
    return share;
}

void shares_leave(struct shares *shares, struct share *share)
{
    if (--share->count)
        return;
    struct share **at = bucket_of(shares, share->address);
    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
    free(share);
}
