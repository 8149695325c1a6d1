/* Which of 64 bytes are of a kind: a mask whose bit i stands for byte i. For text of which every byte must be
 * looked at; without branches, and inline. BLOCK_PORTABLE does without SSE2, as all machines but x86 do. */
#ifndef BLOCK_H
#define BLOCK_H

#include <stdint.h>
#include <string.h>

enum { BLOCK_BYTES = 64 };

#if defined __SSE2__ && !defined BLOCK_PORTABLE
#include <emmintrin.h>

typedef __m128i block_part;

enum { BLOCK_PARTS = 4 };

/* In each byte of what the next three return the highest bit is the answer. */
static inline block_part block_part_equal(block_part part, char byte)
{
    return _mm_cmpeq_epi8(part, _mm_set1_epi8(byte));
}

static inline block_part block_part_control(block_part part)
{
    return _mm_cmpeq_epi8(part, _mm_min_epu8(part, _mm_set1_epi8(0x1f)));
}

static inline uint64_t block_part_mask(block_part answers)
{
    return (unsigned)_mm_movemask_epi8(answers);
}

#else

typedef uint64_t block_part;

enum { BLOCK_PARTS = 8 };

static inline uint64_t block_each(unsigned char byte)
{
    return UINT64_C(0x0101010101010101) * byte;
}

/* A byte whose lower bits are not all 0 carries into its highest bit. */
static inline block_part block_part_equal(block_part part, char byte)
{
    uint64_t differs = part ^ block_each((unsigned char)byte);
    return ~(((differs & block_each(0x7f)) + block_each(0x7f)) | differs);
}

static inline block_part block_part_control(block_part part)
{
    return ~(((part & block_each(0x7f)) + block_each(0x60)) | part);
}

/* The product brings the eight bits together at the top, the first byte's lowest. */
static inline uint64_t block_part_mask(block_part answers)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    answers = __builtin_bswap64(answers);
#endif
    return (answers >> 7 & block_each(1)) * UINT64_C(0x0102040810204080) >> 56;
}

#endif

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
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK_PARTS; i++)
        mask |= block_part_mask(block_part_equal(block->parts[i], byte)) << i * (BLOCK_BYTES / BLOCK_PARTS);
    return mask;
}

/* Those below 0x20. */
static inline uint64_t block_control(const struct block *block)
{
    uint64_t mask = 0;
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK_PARTS; i++)
        mask |= block_part_mask(block_part_control(block->parts[i])) << i * (BLOCK_BYTES / BLOCK_PARTS);
    return mask;
}

/* Those from 0x80 on. */
static inline uint64_t block_high(const struct block *block)
{
    uint64_t mask = 0;
#pragma GCC unroll 8
    for (int i = 0; i < BLOCK_PARTS; i++)
        mask |= block_part_mask(block->parts[i]) << i * (BLOCK_BYTES / BLOCK_PARTS);
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
