#include "concern.h"

bool concern_parse(struct span text, int *out)
{
    uint64_t nodes;
    if (span_equals(text, "all"))
        *out = CONCERN_ALL;
    else if (span_equals(text, "majority"))
        *out = CONCERN_MAJORITY;
    else if (span_uint(text, &nodes) && nodes >= 1 && nodes <= CONCERN_MAX)
        *out = (int)nodes;
    else
        return false;
    return true;
}
