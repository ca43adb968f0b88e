/* A disk that can be told to fail: preloaded into a broker by tests/support/faulty_disk.py.
 *
 * The file that HEADRACE_DISK_SHIM names is mapped and read at every call:
 *
 *   OFFSET  SIZE  FIELD
 *        0     1  order    '-'  the disk works
 *                          'S'  no space left: reserving, growing a file and mkdir fail with ENOSPC
 *                          'C'  the same where a write never goes to the same place twice (btrfs,
 *                               ZFS): writing within a file fails too
 *                          'E'  syncing fails with EIO
 *                          'R'  remounted read-only: whatever changes it fails with EROFS
 *        1  4095  folder   only what lies in it suffers; zero-terminated, empty means everything
 *
 * Only regular files and folders are meant; sockets and pipes are never touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ORDER_BYTES 4096

static const char *order;

__attribute__((constructor)) static void map_order(void) {
    const char *path = getenv("HEADRACE_DISK_SHIM");
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, ORDER_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) order = page;
}

static char ordered(void) { return order ? *(volatile const char *)order : '-'; }

static int is_meant(const char *path) { return !strncmp(path, order + 1, strlen(order + 1)); }

static int suffers(int fd) {
    struct stat about;
    char link[64], path[PATH_MAX];
    if (fd <= 2 || fstat(fd, &about)) return 0;
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_meant(path);
}

/* The errno that a reservation through `fd` gets now; 0 when the disk works. */
static int refusal(int fd) {
    char now = ordered();
    if (now != 'S' && now != 'C' && now != 'R') return 0;
    return suffers(fd) ? (now == 'R' ? EROFS : ENOSPC) : 0;
}

/* The errno that a write up to `end` (-1: the file's end) gets now. */
static int write_refusal(int fd, off_t end) {
    struct stat about;
    int failure = refusal(fd);
    if (failure && ordered() == 'S' && end >= 0 && !fstat(fd, &about) && end <= about.st_size) return 0;
    return failure;
}

/* The errno that a change of names gets now. */
static int name_refusal(const char *path, int needs_space) {
    char now = ordered();
    if (now == 'R' && is_meant(path)) return EROFS;
    return (now == 'S' || now == 'C') && needs_space && is_meant(path) ? ENOSPC : 0;
}

static int sync_refusal(int fd) {
    char now = ordered();
    if (now != 'E' && now != 'R') return 0;
    return suffers(fd) ? EIO : 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(failure) do { int f = (failure); if (f) { errno = f; return -1; } } while (0)

int fallocate(int fd, int mode, off_t offset, off_t length) {
    REFUSE(refusal(fd));
    return NEXT(fallocate)(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    REFUSE(refusal(fd));
    return NEXT(fallocate64)(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    int failure = refusal(fd);
    return failure ? failure : NEXT(posix_fallocate)(fd, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    int failure = refusal(fd);
    return failure ? failure : NEXT(posix_fallocate64)(fd, offset, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REFUSE(write_refusal(fd, offset + (off_t)count));
    return NEXT(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REFUSE(write_refusal(fd, offset + (off_t)count));
    return NEXT(pwrite64)(fd, bytes, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
    off_t end = offset;
    for (int i = 0; i < count; i++) end += (off_t)pieces[i].iov_len;
    REFUSE(write_refusal(fd, end));
    return NEXT(pwritev)(fd, pieces, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REFUSE(write_refusal(fd, -1));
    return NEXT(write)(fd, bytes, count);
}

int ftruncate(int fd, off_t length) {
    if (ordered() == 'R') REFUSE(refusal(fd));
    return NEXT(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    if (ordered() == 'R') REFUSE(refusal(fd));
    return NEXT(ftruncate64)(fd, length);
}

static int is_changing(int flags) { return (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (is_changing(flags)) REFUSE(name_refusal(path, 0));
    return NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (is_changing(flags)) REFUSE(name_refusal(path, 0));
    return NEXT(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    REFUSE(name_refusal(path, 1));
    return NEXT(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    REFUSE(name_refusal(to, 0));
    return NEXT(rename)(from, to);
}

int unlink(const char *path) {
    REFUSE(name_refusal(path, 0));
    return NEXT(unlink)(path);
}

int fsync(int fd) {
    REFUSE(sync_refusal(fd));
    return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    REFUSE(sync_refusal(fd));
    return NEXT(fdatasync)(fd);
}
