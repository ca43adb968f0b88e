/* The broker's own cost of requests: Produce v7 of one prebuilt batch, a fixed number in flight.
 *
 *   small_requests HOST PORT TOPIC REQUESTS IN_FLIGHT ACKS [RECORDS [VALUE_BYTES]]
 *
 * By default a batch is one record of 100 bytes; many records of it show what the broker could take
 * if no client had to build them.  The frame is built once; only its correlation id changes.  Prints
 * one line of JSON; a request's time runs from before its send to when its answer was received.
 */
#include "raw.h"

#define FRAME_OVERHEAD 512
#define RECORD_OVERHEAD 32

static uint8_t *frame;
static size_t used;

static void put(uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        frame[used++] = (uint8_t)(value >> shift);
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

static int varint_bytes(int32_t value) {
    int count = 1;
    for (uint32_t zigzag = ((uint32_t)value << 1) ^ (uint32_t)(value >> 31); zigzag >= 0x80; count++)
        zigzag >>= 7;
    return count;
}

static uint32_t crc32c(const uint8_t *bytes, size_t count) {
    uint32_t crc = ~0u;
    while (count--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & -(crc & 1));
    }
    return ~crc;
}

/* attributes, timestamp delta, offset delta, no key, the value, no headers */
static void put_record(int number, int value_bytes) {
    int length = 1 + 1 + varint_bytes(number) + 1 + varint_bytes(value_bytes) + value_bytes + 1;
    put_varint(length);
    put(0, 1), put_varint(0), put_varint(number), put_varint(-1), put_varint(value_bytes);
    for (int i = 0; i < value_bytes; i++) frame[used++] = (uint8_t)(number * 31 + i * 131);
    put_varint(0);
}

/* length, header v1, body of Produce v7, one RecordBatch v2 */
static size_t build_frame(const char *topic, int acks, int records, int value_bytes) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t now_ms = (uint64_t)wall.tv_sec * 1000;
    frame = malloc(FRAME_OVERHEAD + (size_t)records * (size_t)(RECORD_OVERHEAD + value_bytes));
    put(0, 4), put(0, 2), put(7, 2), put(0, 4), put_string("small");
    put(0xffff, 2), put((uint64_t)(uint16_t)acks, 2), put(30000, 4);
    put(1, 4), put_string(topic), put(1, 4), put(0, 4);
    size_t records_length = used;
    put(0, 4);
    size_t batch = used;
    put(0, 8), put(0, 4), put(0xffffffff, 4), put(2, 1), put(0, 4), put(0, 2);
    put((uint64_t)records - 1, 4), put(now_ms, 8), put(now_ms, 8);
    put(~0ull, 8), put(0xffff, 2), put(0xffffffff, 4), put((uint64_t)records, 4);
    for (int number = 0; number < records; number++) put_record(number, value_bytes);
    put_at(batch + 8, (uint32_t)(used - batch - 12));
    put_at(batch + 17, crc32c(frame + batch + 21, used - batch - 21));
    put_at(records_length, (uint32_t)(used - batch));
    put_at(0, (uint32_t)(used - 4));
    return used;
}

/* A whole answer: to the request that is due, without an error. */
static void check_answer(const uint8_t *answer, long expected, const char *topic) {
    if (read_u32(answer + 4) != (uint32_t)expected) refuse("small_requests", "answer out of order");
    /* correlation id, one topic, its name, one partition, its index, then the error code */
    const uint8_t *code = answer + 8 + 4 + 2 + strlen(topic) + 4 + 4;
    if (code[0] || code[1]) {
        fprintf(stderr, "error code %d\n", code[0] << 8 | code[1]);
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc < 7 || argc > 9)
        refuse("usage", "HOST PORT TOPIC REQUESTS IN_FLIGHT ACKS [RECORDS [VALUE_BYTES]]");
    long requests = atol(argv[4]), depth = atol(argv[5]), sent = 0, answered = 0;
    int records = argc > 7 ? atoi(argv[7]) : 1, value_bytes = argc > 8 ? atoi(argv[8]) : 100;
    size_t size = build_frame(argv[3], atoi(argv[6]), records, value_bytes);
    struct inbox in = {.fd = connect_to(argv[1], argv[2])};
    uint8_t *out = malloc(size * (size_t)depth);
    double *sent_at = malloc((size_t)depth * sizeof *sent_at);
    float *taken_us = malloc((size_t)requests * sizeof *taken_us);
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
        send_all(in.fd, out, fill);
        receive_more(&in);
        double received = now_s();
        size_t at = 0;
        while (in.have - at >= 4 && in.have - at - 4 >= read_u32(in.bytes + at)) {
            check_answer(in.bytes + at, answered, argv[3]);
            taken_us[answered] = (float)(1e6 * (received - sent_at[answered % depth]));
            answered++;
            at += 4 + read_u32(in.bytes + at);
        }
        forget(&in, at);
    }
    report("small_requests", requests, requests * records,
           (double)requests * records * value_bytes, now_s() - start, taken_us);
    close(in.fd);
    return 0;
}
