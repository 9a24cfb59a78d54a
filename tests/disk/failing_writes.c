/* Lets a program's calls that change files below a folder fail: loaded before libc, with LD_PRELOAD.
 *
 * What is to fail stands in a file of eight 64-bit words that the test and the program share:
 *   0 calls so far, 1 the call to fail (0: none), 2 how (enum fault), 3 whether all later ones fail too,
 *   4 calls that were made to fail, 5 the kind of the last of them (enum call).
 * `failing_writes_use` names that file and the folder; until then, and in every other folder, nothing is counted.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum fault { FULL = 1, ERROR = 2, SHORT = 3, KILL = 4 };
enum call { OPEN = 1, WRITE = 2, SYNC = 3, TRUNCATE = 4, RENAME = 5 };

static volatile uint64_t *words;
static char folder[PATH_MAX];
static size_t folder_length;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int failing_writes_use(const char *control, const char *below)
{
    int file = NEXT(open)(control, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return -1;
    void *shared = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED || strlen(below) >= sizeof folder)
        return -1;
    strcpy(folder, below);
    folder_length = strlen(below);
    words = shared;
    return 0;
}

static int is_below(const char *path)
{
    return words && strncmp(path, folder, folder_length) == 0
        && (path[folder_length] == '/' || path[folder_length] == 0);
}

static int is_ours(int file)
{
    char link[64], path[PATH_MAX];
    if (!words)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

/* How this call fails, 0 if it does not. */
static enum fault meet(enum call call)
{
    uint64_t number = __sync_add_and_fetch(&words[0], 1);
    uint64_t at = words[1];
    if (!at || number < at || (number > at && !words[3]))
        return 0;
    words[5] = call;
    __sync_add_and_fetch(&words[4], 1);
    if (words[2] == KILL)
        raise(SIGKILL);
    errno = words[2] == ERROR ? EIO : ENOSPC;
    return (enum fault)words[2];
}

ssize_t write(int file, const void *data, size_t size)
{
    enum fault fault = is_ours(file) ? meet(WRITE) : 0;
    if (fault == SHORT && size > 1)
        return NEXT(write)(file, data, size / 2);
    return fault ? -1 : NEXT(write)(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    enum fault fault = is_ours(file) ? meet(WRITE) : 0;
    if (fault == SHORT && size > 1)
        return NEXT(pwrite64)(file, data, size / 2, at);
    return fault ? -1 : NEXT(pwrite64)(file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    return pwrite64(file, data, size, at);
}

int fsync(int file)
{
    return is_ours(file) && meet(SYNC) ? -1 : NEXT(fsync)(file);
}

int fdatasync(int file)
{
    return is_ours(file) && meet(SYNC) ? -1 : NEXT(fdatasync)(file);
}

int ftruncate64(int file, off64_t size)
{
    return is_ours(file) && meet(TRUNCATE) ? -1 : NEXT(ftruncate64)(file, size);
}

int ftruncate(int file, off_t size)
{
    return ftruncate64(file, size);
}

int rename(const char *from, const char *to)
{
    return is_below(to) && meet(RENAME) ? -1 : NEXT(rename)(from, to);
}

/* Only what makes a file needs room. */
#define OPENING(name)                                                   \
    int name(const char *path, int flags, ...)                          \
    {                                                                   \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                   \
        if ((flags & O_CREAT) && is_below(path) && access(path, F_OK)   \
            && meet(OPEN))                                              \
            return -1;                                                  \
        return NEXT(name)(path, flags, mode);                           \
    }

OPENING(open)
OPENING(open64)
