/* Limits of the control groups that the process is in (cgroups(7)). */
#ifndef CGROUP_H
#define CGROUP_H

#include <stdint.h>

struct cgroup_limit {
    const char *file;       /* of version 2: "memory.max" */
    const char *controller; /* of version 1, and its file; NULL: version 2 alone */
    const char *file_1;
    uint64_t (*read)(const char *line); /* the limit that the file's line tells; UINT64_MAX: none */
};

/* The least of the group's limit and of those above it; UINT64_MAX: there is none. */
uint64_t cgroup_least(const struct cgroup_limit *limit);

#endif
