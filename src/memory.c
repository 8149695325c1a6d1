#include "memory.h"
#include "span.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The limit in a control group's file; UINT64_MAX where there is none ("max"), or no file. */
static uint64_t limit_read(const char *root, const char *group, const char *name)
{
    char path[2 * PATH_MAX];
    char line[32];
    uint64_t limit = UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/%s", root, group, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return UINT64_MAX;
    if (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!span_uint(span_of(line), &limit))
            limit = UINT64_MAX;
    }
    fclose(file);
    return limit;
}

/* The least limit of a group and of those above it. */
static uint64_t group_limit(const char *root, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t limit = limit_read(root, group, name);
        if (limit < least)
            least = limit;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/group" of version 2, "4:memory:/group" of version 1. */
static uint64_t line_limit(char *line)
{
    char *group = strchr(line, '/');
    line[strcspn(line, "\n")] = '\0';
    if (!group)
        return UINT64_MAX;
    if (strncmp(line, "0::", 3) == 0)
        return group_limit("/sys/fs/cgroup", group, "memory.max");
    if (strstr(line, ":memory:"))
        return group_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    return UINT64_MAX;
}

uint64_t memory_size(void)
{
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    char line[PATH_MAX + 64];
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t limit = line_limit(line);
        if (limit < least)
            least = limit;
    }
    if (file)
        fclose(file);
    return least;
}
