/* Masks of 64 bytes: each answer against that for one byte at a time. */
#include "block.h"

#include <criterion/criterion.h>
#include <inttypes.h>

TestSuite(block, .timeout = 60);

Test(block, each_byte_has_its_own_bit)
{
    char bytes[BLOCK_BYTES];
    uint32_t seed = 1;
    for (int round = 0; round < 100000; round++) {
        uint64_t equal = 0, control = 0, high = 0;
        for (int i = 0; i < BLOCK_BYTES; i++) {
            seed = seed * 1664525 + 1013904223;
            unsigned char byte = (unsigned char)(seed >> 24);
            bytes[i] = (char)(seed & 0x10000 ? byte : byte & 0x3f);
            byte = (unsigned char)bytes[i];
            equal |= (uint64_t)(byte == '"') << i;
            control |= (uint64_t)(byte < 0x20) << i;
            high |= (uint64_t)(byte >= 0x80) << i;
        }
        struct block block = block_load(bytes);
        cr_assert_eq(block_equal(&block, '"'), equal);
        cr_assert_eq(block_control(&block), control);
        cr_assert_eq(block_high(&block), high);
    }
}

Test(block, bits_are_counted)
{
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 100000; round++) {
        unsigned count = 0;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for (uint64_t left = random; left; left &= left - 1)
            count++;
        cr_assert_eq(block_count(random), count, "%" PRIx64, random);
    }
    cr_assert_eq(block_count(0), 0);
    cr_assert_eq(block_count(UINT64_MAX), 64);
}

Test(block, every_byte_equals_itself_alone)
{
    char bytes[BLOCK_BYTES];
    for (int first = 0; first < 256; first += BLOCK_BYTES) {
        for (int i = 0; i < BLOCK_BYTES; i++)
            bytes[i] = (char)(first + i);
        struct block block = block_load(bytes);
        for (int byte = 0; byte < 256; byte++) {
            uint64_t bit = byte / BLOCK_BYTES == first / BLOCK_BYTES ? UINT64_C(1) << byte % BLOCK_BYTES : 0;
            cr_assert_eq(block_equal(&block, (char)byte), bit, "%d", byte);
        }
    }
}

Test(block, below_counts_from_the_lowest_bit)
{
    cr_assert_eq(block_below(0), 0);
    cr_assert_eq(block_below(1), 1);
    cr_assert_eq(block_below(63), UINT64_MAX >> 1);
}
