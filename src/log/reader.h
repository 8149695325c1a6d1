/* Reads a file of the journal from its beginning on, in large pieces. Private to the journal. */
#ifndef LOG_READER_H
#define LOG_READER_H

#include "buf.h"
#include <stdatomic.h>

struct reader {
    int fd;
    uint64_t size;  /* of the file */
    struct buf buf; /* some bytes of the file, from offset `at` on */
    uint64_t at;
    _Atomic uint64_t *done; /* optional: counts what was read */
    int error;              /* where reader_get returned NULL: a negative errno, or 0: the file ends before */
};

/* `len` bytes from an offset on, which is not less than that of the call before. Borrowed until the next
 * call. NULL where they cannot be read. */
const char *reader_get(struct reader *reader, uint64_t at, size_t len);

#endif
