/* Preloaded: while the file QUOTA_USED_UP names exists, every write to a file below QUOTA_BELOW meets the end of a
   disk quota, as the kernel would have it. For kernels without quotas. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int used_up(int fd)
{
    const char *below = getenv("QUOTA_BELOW"), *marker = getenv("QUOTA_USED_UP");
    char link[64], path[PATH_MAX];
    if (below == NULL || marker == NULL || access(marker, F_OK) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return strncmp(path, below, strlen(below)) == 0;
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)
#define METERED(fd, name, ...) used_up(fd) ? (errno = EDQUOT, -1) : REAL(name, __VA_ARGS__)

ssize_t write(int fd, const void *data, size_t size) { return METERED(fd, write, fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return METERED(fd, pwrite, fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return METERED(fd, pwrite64, fd, data, size, at); }
