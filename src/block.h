/* Which of 64 bytes are of a kind: a mask whose bit i stands for byte i. For text of which every byte must be
 * looked at; without branches, and inline. BLOCK_PORTABLE does without SSE2, as all machines but x86 do. */
#ifndef BLOCK_H
#define BLOCK_H

#include <stdint.h>
#include <string.h>
#if defined __SSE2__ && !defined BLOCK_PORTABLE
#include <emmintrin.h>
#endif

enum { BLOCK_BYTES = 64 };

/* Both compilers make the machine's own vector instructions of these. */
typedef unsigned char block_part __attribute__((vector_size(16)));

enum { BLOCK_PARTS = 4 };

/* The highest bit of each byte, the first byte's lowest. */
static inline uint64_t block_part_mask(block_part part)
{
#if defined __SSE2__ && !defined BLOCK_PORTABLE
    return (unsigned)_mm_movemask_epi8((__m128i)part);
#else
    uint64_t halves[2];
    memcpy(halves, &part, sizeof halves);
    for (int i = 0; i < 2; i++) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        halves[i] = __builtin_bswap64(halves[i]);
#endif
        /* The product brings the eight bits together at the top. */
        halves[i] = (halves[i] >> 7 & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56;
    }
    return halves[0] | halves[1] << 8;
#endif
}

struct block {
    block_part parts[BLOCK_PARTS];
};

static inline struct block block_load(const char *at)
{
    struct block block;
    memcpy(&block, at, sizeof block);
    return block;
}

/* The block that starts at `at`; behind `end` stand letters. */
static inline struct block block_read(const char *at, const char *end)
{
    char padded[BLOCK_BYTES];
    if (end - at >= BLOCK_BYTES)
        return block_load(at);
    memset(padded, 'a', sizeof padded);
    memcpy(padded, at, (size_t)(end - at));
    return block_load(padded);
}

static inline uint64_t block_equal(const struct block *block, char byte)
{
    uint64_t mask = 0;
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_PARTS; i++)
        mask |= block_part_mask((block_part)(block->parts[i] == (unsigned char)byte)) << 16 * i;
    return mask;
}

/* Those below 0x20. */
static inline uint64_t block_control(const struct block *block)
{
    uint64_t mask = 0;
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_PARTS; i++)
        mask |= block_part_mask((block_part)(block->parts[i] < 0x20)) << 16 * i;
    return mask;
}

/* Those from 0x80 on. */
static inline uint64_t block_high(const struct block *block)
{
    uint64_t mask = 0;
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_PARTS; i++)
        mask |= block_part_mask(block->parts[i]) << 16 * i;
    return mask;
}

/* How many bits are set. The compiler's own is a call where the processor need not be able to count. */
static inline unsigned block_count(uint64_t mask)
{
    mask -= mask >> 1 & UINT64_C(0x5555555555555555);
    mask = (mask & UINT64_C(0x3333333333333333)) + (mask >> 2 & UINT64_C(0x3333333333333333));
    mask = (mask + (mask >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(mask * UINT64_C(0x0101010101010101) >> 56);
}

/* The lowest `count` bits, of which there are fewer than 64. */
static inline uint64_t block_below(unsigned count)
{
    return (UINT64_C(1) << count) - 1;
}

#endif
