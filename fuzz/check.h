/* What the fuzz targets share. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "span.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, and the input is kept. */
#define CHECK(promise) ((promise) ? (void)0 : abort())

/* A copy whose allocation ends where the bytes end. The caller frees its `at`. */
static inline struct span fuzz_copy(const void *bytes, size_t len)
{
    char *copy = malloc(len);
    CHECK(copy != NULL);
    memcpy(copy, bytes, len);
    return (struct span){copy, len};
}

/* Whether part lies within all. */
static inline bool fuzz_within(struct span part, struct span all)
{
    return part.len == 0 || (part.at >= all.at && part.at + part.len <= all.at + all.len);
}

#endif
