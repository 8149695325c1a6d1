#include "usage.h"
#include "clock.h"
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t usage_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

static void memory_read(struct usage *usage)
{
    unsigned long long pages;
    unsigned long long resident;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return;
    if (fscanf(file, "%llu %llu", &pages, &resident) == 2) { /* NOLINT(cert-err34-c): the kernel wrote it */
        usage->virtual_bytes = pages * page;
        usage->resident_bytes = resident * page;
    }
    fclose(file);
}

/* The size of the folder is their number since Linux 6.2; before, it is 0 and they are counted. */
static uint64_t descriptors_open(void)
{
    static const char path[] = "/proc/self/fd";
    struct stat status;
    uint64_t count = 0;
    if (stat(path, &status) == 0 && status.st_size > 0)
        return (uint64_t)status.st_size;
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count ? count - 1 : 0; /* the folder's own */
}

struct usage usage_now(void)
{
    struct usage usage = {.cpu_us = clock_read_us(CLOCK_PROCESS_CPUTIME_ID), .open_fds = descriptors_open()};
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        usage.max_fds = limit.rlim_cur;
    memory_read(&usage);
    return usage;
}
