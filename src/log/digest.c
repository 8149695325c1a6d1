#include "log/digest.h"
#include <string.h>

__extension__ typedef unsigned __int128 uint128;

/* Odd numbers without a pattern. Nodes compare digests, so what is computed here must never change. */
static const uint64_t DIGEST_A = 0x9e3779b97f4a7c15u;
static const uint64_t DIGEST_B = 0xd1b54a32d192ed03u;
static const uint64_t DIGEST_C = 0x8cb92ba72f3d8dd7u;

static uint64_t load_le(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    uint128 product = (uint128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t digest_step(uint64_t hash, const char *sixteen)
{
    return fold(load_le(sixteen) ^ DIGEST_A, load_le(sixteen + 8) ^ hash);
}

enum { DIGEST_LANES_FROM = 256 }; /* shorter messages gain nothing by lanes */

/* The whole 64 bytes that are not the last of a message, in four lanes, since the products of one lane wait
 * for one another. */
static uint64_t digest_blocks(uint64_t hash, const char *at, const char *end)
{
    uint64_t lanes[4] = {hash, hash ^ DIGEST_A, hash ^ DIGEST_B, hash ^ DIGEST_C};
    for (; at < end; at += 64)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            lanes[i] = digest_step(lanes[i], at + 16 * i);
    return fold(lanes[0] ^ DIGEST_B, lanes[1]) ^ fold(lanes[2] ^ DIGEST_C, lanes[3]);
}

/* 16 bytes a step; the last step takes the last 16 bytes, some of them for the second time. */
static uint64_t digest_message(struct span message)
{
    uint64_t hash = DIGEST_B ^ message.len;
    const char *at = message.at;
    const char *end = message.at + message.len;
    char padded[16] = {0};
    if (message.len > DIGEST_LANES_FROM) {
        at += (message.len - 1) / 64 * 64;
        hash = digest_blocks(hash, message.at, at);
    }
    for (; end - at > 16; at += 16)
        hash = digest_step(hash, at);
    if (message.len >= 16)
        return digest_step(hash, end - 16);
    memcpy(padded, message.at, message.len);
    return digest_step(hash, padded);
}

/* One-to-one in either argument while the other stands: lists that once differ do not meet again by
 * themselves, however long they grow. */
uint64_t digest_chain(uint64_t digest, struct span message)
{
    uint64_t mixed = digest ^ digest_message(message);
    mixed = (mixed ^ (mixed >> 32)) * DIGEST_C;
    return mixed ^ (mixed >> 29);
}
