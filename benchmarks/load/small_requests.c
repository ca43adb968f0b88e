/* The broker's own cost of small requests: Produce v7 with one 100-byte record, a fixed number in flight.
 *
 *   small_requests HOST PORT TOPIC REQUESTS IN_FLIGHT ACKS
 *
 * The frame is built once; only its correlation id changes.  Prints one line of JSON; a request's time
 * runs from before its send to when its answer was received.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VALUE_BYTES 100

static uint8_t frame[1024];
static size_t used;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void put(uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) frame[used++] = (uint8_t)(value >> shift);
}

static void put_at(size_t position, uint32_t value) {
    for (int i = 0; i < 4; i++) frame[position + (size_t)i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_string(const char *text) {
    put(strlen(text), 2);
    memcpy(frame + used, text, strlen(text));
    used += strlen(text);
}

static void put_varint(int32_t value) {
    uint32_t zigzag = ((uint32_t)value << 1) ^ (uint32_t)(value >> 31);
    while (zigzag >= 0x80) {
        frame[used++] = (uint8_t)(zigzag | 0x80);
        zigzag >>= 7;
    }
    frame[used++] = (uint8_t)zigzag;
}

static uint32_t crc32c(const uint8_t *bytes, size_t count) {
    uint32_t crc = ~0u;
    while (count--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & -(crc & 1));
    }
    return ~crc;
}

/* length, header v1, body of Produce v7, one RecordBatch v2 with one record */
static size_t build_frame(const char *topic, int acks) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t now_ms = (uint64_t)wall.tv_sec * 1000;
    put(0, 4), put(0, 2), put(7, 2), put(0, 4), put_string("small");
    put(0xffff, 2), put((uint64_t)(uint16_t)acks, 2), put(30000, 4);
    put(1, 4), put_string(topic), put(1, 4), put(0, 4);
    size_t records_length = used;
    put(0, 4);
    size_t batch = used;
    put(0, 8), put(0, 4), put(0xffffffff, 4), put(2, 1), put(0, 4), put(0, 2), put(0, 4);
    put(now_ms, 8), put(now_ms, 8), put(~0ull, 8), put(0xffff, 2), put(0xffffffff, 4), put(1, 4);
    put_varint(1 + 1 + 1 + 1 + 2 + VALUE_BYTES + 1);
    put(0, 1), put_varint(0), put_varint(0), put_varint(-1), put_varint(VALUE_BYTES);
    memset(frame + used, 'x', VALUE_BYTES);
    used += VALUE_BYTES;
    put_varint(0);
    put_at(batch + 8, (uint32_t)(used - batch - 12));
    put_at(batch + 17, crc32c(frame + batch + 21, used - batch - 21));
    put_at(records_length, (uint32_t)(used - batch));
    put_at(0, (uint32_t)(used - 4));
    return used;
}

static void send_all(int fd, const uint8_t *bytes, size_t count) {
    while (count) {
        ssize_t sent = send(fd, bytes, count, 0);
        if (sent <= 0) fail("send");
        bytes += sent;
        count -= (size_t)sent;
    }
}

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "small_requests HOST PORT TOPIC REQUESTS IN_FLIGHT ACKS\n");
        return 2;
    }
    long requests = atol(argv[4]), depth = atol(argv[5]), sent = 0, answered = 0;
    size_t size = build_frame(argv[3], atoi(argv[6]));
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    uint8_t *out = malloc(size * (size_t)depth), *in = malloc(1 << 20);
    double *sent_at = malloc((size_t)depth * sizeof *sent_at);
    float *taken_us = malloc((size_t)requests * sizeof *taken_us);
    size_t have = 0;
    double start = now_s();
    while (answered < requests) {
        size_t fill = 0;
        double sending = now_s();
        while (sent < requests && sent - answered < depth) {
            sent_at[sent % depth] = sending;
            put_at(8, (uint32_t)sent++);
            memcpy(out + fill, frame, size);
            fill += size;
        }
        send_all(fd, out, fill);
        ssize_t got = recv(fd, in + have, (1 << 20) - have, 0);
        if (got <= 0) fail("recv");
        have += (size_t)got;
        double received = now_s();
        size_t at = 0;
        while (have - at >= 4 && have - at - 4 >= read_u32(in + at)) {
            if (read_u32(in + at + 4) != (uint32_t)answered) {
                fprintf(stderr, "answer out of order\n");
                return 1;
            }
            /* correlation id, one topic, its name, one partition, its index, then the error code */
            size_t code = at + 8 + 4 + 2 + strlen(argv[3]) + 4 + 4;
            if (in[code] || in[code + 1]) {
                fprintf(stderr, "error code %d\n", in[code] << 8 | in[code + 1]);
                return 1;
            }
            taken_us[answered] = (float)(1e6 * (received - sent_at[answered % depth]));
            answered++;
            at += 4 + read_u32(in + at);
        }
        memmove(in, in + at, have -= at);
    }
    double seconds = now_s() - start;
    qsort(taken_us, (size_t)requests, sizeof *taken_us, compare);
    printf("{\"mode\": \"small_requests\", \"requests\": %ld, \"in_flight\": %ld, "
           "\"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n",
           requests, depth, seconds, taken_us[requests / 2], taken_us[requests * 99 / 100],
           taken_us[requests * 999 / 1000]);
    close(fd);
    return 0;
}
