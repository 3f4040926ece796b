/* Data calls that fail or do less than they were asked, on the files of one folder: preloaded before the C library.

   strace can replace the result of a call but not its size, so a read or write that is really short is made here.
   Calls are counted over all threads of the process. 64-bit Linux. */

#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum fault { NONE, SHORT_READ, ZERO_READ, READ_ERROR, SHORT_WRITE, TORN_WRITE };

static char folder[PATH_MAX];
static enum fault armed = NONE;
static long first_call, last_call;
static atomic_long n_reads, n_writes, n_faults;

/* From now on calls first..last, counted from 1, on files whose path begins with `path` have the fault. */
void torture_arm(const char *path, int fault, long first, long last)
{
    strncpy(folder, path, sizeof folder - 1);
    armed = (enum fault)fault;
    first_call = first;
    last_call = last;
}

long torture_reads(void) { return n_reads; }
long torture_writes(void) { return n_writes; }
long torture_faults(void) { return n_faults; }

static int in_folder(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t wanted = strlen(folder);
    return wanted && length >= (ssize_t)wanted && strncmp(path, folder, wanted) == 0;
}

static enum fault fault_of(int fd, int is_write)
{
    if (!in_folder(fd))
        return NONE;
    long call = 1 + atomic_fetch_add(is_write ? &n_writes : &n_reads, 1);
    if (armed == NONE || is_write != (armed >= SHORT_WRITE) || call < first_call || call > last_call)
        return NONE;
    atomic_fetch_add(&n_faults, 1);
    return armed;
}

static size_t half(size_t size) { return size > 1 ? size / 2 : size; }

/* The part of a vector that a short call takes. */
static struct iovec half_of_first(const struct iovec *vector, int n)
{
    struct iovec part = {NULL, 0};
    for (int i = 0; i < n && part.iov_len == 0; i++)
        part = vector[i];
    part.iov_len = half(part.iov_len);
    return part;
}

#define READ(whole, part)                    \
    switch (fault_of(fd, 0)) {               \
    case READ_ERROR: errno = EIO; return -1; \
    case ZERO_READ: return 0;                \
    case SHORT_READ: return part;            \
    default: return whole;                   \
    }

#define WRITE(whole, part)         \
    switch (fault_of(fd, 1)) {     \
    case SHORT_WRITE: return part; \
    case TORN_WRITE:               \
        part;                      \
        kill(getpid(), SIGKILL);   \
        for (;;)                   \
            pause();               \
    default: return whole;         \
    }

ssize_t read(int fd, void *data, size_t size)
{
    READ(syscall(SYS_read, fd, data, size), syscall(SYS_read, fd, data, half(size)))
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    READ(syscall(SYS_pread64, fd, data, size, offset), syscall(SYS_pread64, fd, data, half(size), offset))
}

ssize_t preadv2(int fd, const struct iovec *vector, int n, off_t offset, int flags)
{
    struct iovec part = half_of_first(vector, n);
    READ(syscall(SYS_preadv2, fd, vector, n, offset, 0L, flags), syscall(SYS_preadv2, fd, &part, 1, offset, 0L, flags))
}

ssize_t write(int fd, const void *data, size_t size)
{
    WRITE(syscall(SYS_write, fd, data, size), syscall(SYS_write, fd, data, half(size)))
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    WRITE(syscall(SYS_pwrite64, fd, data, size, offset), syscall(SYS_pwrite64, fd, data, half(size), offset))
}

ssize_t writev(int fd, const struct iovec *vector, int n)
{
    struct iovec part = half_of_first(vector, n);
    WRITE(syscall(SYS_writev, fd, vector, n), syscall(SYS_writev, fd, &part, 1))
}

/* The names that programs built for large files use. */
ssize_t pread64(int fd, void *data, size_t size, off_t offset) __attribute__((alias("pread")));
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) __attribute__((alias("pwrite")));
ssize_t preadv64v2(int fd, const struct iovec *vector, int n, off_t offset, int flags)
    __attribute__((alias("preadv2")));

ssize_t preadv(int fd, const struct iovec *vector, int n, off_t offset)
{
    return preadv2(fd, vector, n, offset, 0);
}

ssize_t preadv64(int fd, const struct iovec *vector, int n, off_t offset) __attribute__((alias("preadv")));
