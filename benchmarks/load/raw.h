/* What the load programs without a client library share: a clock, a socket, answers as figures. */
#ifndef HEADRACE_RAW_H
#define HEADRACE_RAW_H
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void refuse(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static int connect_to(const char *host, const char *port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    inet_pton(AF_INET, host, &to.sin_addr);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_all(int fd, const void *from, size_t count) {
    const uint8_t *bytes = from;
    while (count) {
        ssize_t sent = send(fd, bytes, count, 0);
        if (sent <= 0) fail("send");
        bytes += sent;
        count -= (size_t)sent;
    }
}

/* Received bytes that were not read yet: `have` of them from `bytes` on. */
struct inbox {
    int fd;
    uint8_t *bytes;
    size_t have, capacity;
};

/* Waits for more; the buffer doubles where it is full. */
static inline void receive_more(struct inbox *in) {
    if (in->have == in->capacity) {
        in->capacity = in->capacity ? 2 * in->capacity : 1 << 20;
        in->bytes = realloc(in->bytes, in->capacity);
        if (!in->bytes) fail("realloc");
    }
    ssize_t got = recv(in->fd, in->bytes + in->have, in->capacity - in->have, 0);
    if (got < 0) fail("recv");
    if (!got) refuse("recv", "the broker closed the connection");
    in->have += (size_t)got;
}

static inline void forget(struct inbox *in, size_t count) {
    memmove(in->bytes, in->bytes + count, in->have -= count);
}

static inline uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* One line of JSON; `taken_us` has a latency a request and is sorted. */
static inline void report(const char *mode, long requests, long messages, double bytes,
                          double seconds, float *taken_us) {
    printf("{\"mode\": \"%s\", \"requests\": %ld, \"messages\": %ld, \"bytes\": %.0f, "
           "\"seconds\": %.6f",
           mode, requests, messages, bytes, seconds);
    if (taken_us && requests > 0) {
        qsort(taken_us, (size_t)requests, sizeof *taken_us, compare_floats);
        printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f", taken_us[requests / 2],
               taken_us[requests * 99 / 100], taken_us[requests * 999 / 1000]);
    }
    printf("}\n");
}
#endif
