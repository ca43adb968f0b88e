/* A disk that can be told to fail: preloaded into a broker by tests/support/faulty_disk.py.
 *
 * The byte at the start of the file that HEADRACE_DISK_SHIM names is the order, read at every call:
 *   '-'  the disk works
 *   'S'  no space left: reserving and writing fail with ENOSPC
 *   'E'  syncing fails with EIO
 * Only regular files are meant; sockets and pipes are written by other calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile const char *order;

__attribute__((constructor)) static void map_order(void) {
    const char *path = getenv("HEADRACE_DISK_SHIM");
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) order = page;
}

static int is_full(int fd) {
    struct stat about;
    return order && *order == 'S' && !fstat(fd, &about) && S_ISREG(about.st_mode);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fallocate(int fd, int mode, off_t offset, off_t length) {
    if (is_full(fd)) return errno = ENOSPC, -1;
    return NEXT(fallocate)(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    if (is_full(fd)) return errno = ENOSPC, -1;
    return NEXT(fallocate64)(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    return is_full(fd) ? ENOSPC : NEXT(posix_fallocate)(fd, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    return is_full(fd) ? ENOSPC : NEXT(posix_fallocate64)(fd, offset, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    if (is_full(fd)) return errno = ENOSPC, -1;
    return NEXT(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    if (is_full(fd)) return errno = ENOSPC, -1;
    return NEXT(pwrite64)(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd > 2 && is_full(fd)) return errno = ENOSPC, -1;
    return NEXT(write)(fd, bytes, count);
}

int fsync(int fd) {
    if (order && *order == 'E') return errno = EIO, -1;
    return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    if (order && *order == 'E') return errno = EIO, -1;
    return NEXT(fdatasync)(fd);
}

int msync(void *start, size_t length, int flags) {
    if (order && *order == 'E') return errno = EIO, -1;
    return NEXT(msync)(start, length, flags);
}
