#include "cgroup.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

static uint64_t file_read(const struct cgroup_limit *limit, const char *root, const char *group,
                          const char *name)
{
    char path[2 * PATH_MAX];
    char line[64];
    uint64_t value = UINT64_MAX;
    snprintf(path, sizeof path, "%s%s/%s", root, group, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return UINT64_MAX;
    if (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        value = limit->read(line);
    }
    fclose(file);
    return value;
}

/* The least limit of a group and of those above it. */
static uint64_t group_least(const struct cgroup_limit *limit, const char *root, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t value = file_read(limit, root, group, name);
        if (value < least)
            least = value;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/group" of version 2, "4:memory:/group" of version 1. */
static uint64_t line_least(const struct cgroup_limit *limit, char *line)
{
    char *group = strchr(line, '/');
    char root[64];
    char mark[32];
    line[strcspn(line, "\n")] = '\0';
    if (!group)
        return UINT64_MAX;
    if (strncmp(line, "0::", 3) == 0)
        return group_least(limit, "/sys/fs/cgroup", group, limit->file);
    if (!limit->controller)
        return UINT64_MAX;
    snprintf(mark, sizeof mark, ":%s:", limit->controller);
    snprintf(root, sizeof root, "/sys/fs/cgroup/%s", limit->controller);
    return strstr(line, mark) ? group_least(limit, root, group, limit->file_1) : UINT64_MAX;
}

uint64_t cgroup_least(const struct cgroup_limit *limit)
{
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX + 64];
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t value = line_least(limit, line);
        if (value < least)
            least = value;
    }
    if (file)
        fclose(file);
    return least;
}
