#include "log/log.h"
#include "log/segment.h"
#include <assert.h>

/* Bytes from the slice's next one to the end of its segment or of the slice. A segment may get a next one
 * while a slice that ends in it is read; that changes nothing. */
static uint64_t slice_run(const struct log_slice *slice)
{
    const struct log_segment *next = atomic_load_explicit(&slice->segment->next, memory_order_acquire);
    if (!next)
        return slice->len;
    uint64_t run = next->position - slice->segment->position - slice->offset;
    return run < slice->len ? run : slice->len;
}

void log_slice_skip(struct log_slice *slice, uint64_t bytes)
{
    assert(bytes <= slice->len);
    while (bytes > 0) {
        uint64_t run = slice_run(slice);
        uint64_t step = bytes < run ? bytes : run;
        slice->offset += (size_t)step;
        slice->len -= step;
        bytes -= step;
        if (step == run && slice->len > 0) {
            slice->segment = atomic_load_explicit(&slice->segment->next, memory_order_acquire);
            slice->offset = 0;
        }
    }
}

int log_slice_iov(const struct log_slice *slice, struct iovec *iov, int max)
{
    struct log_slice rest = *slice;
    int count = 0;
    while (rest.len > 0 && count < max) {
        uint64_t run = slice_run(&rest);
        iov[count].iov_base = (char *)(uintptr_t)(rest.segment->bytes + rest.offset);
        iov[count].iov_len = (size_t)run;
        count++;
        log_slice_skip(&rest, run);
    }
    return count;
}
