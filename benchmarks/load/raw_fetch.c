/* The broker's own cost of reading: Fetch v11 of one partition from its beginning, nothing decoded.
 *
 *   raw_fetch HOST PORT TOPIC RECORDS MAX_BYTES
 *
 * One request in flight, since the next one starts where the last answer ended; of the batches only
 * the headers are looked at.  Prints one line of JSON; `bytes` are those of whole batches.
 */
#include "raw.h"

#define BATCH_OVERHEAD 12

static uint8_t frame[512];
static size_t used;

static void put(uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        frame[used++] = (uint8_t)(value >> shift);
}

static void put_string(const char *text) {
    put(strlen(text), 2);
    memcpy(frame + used, text, strlen(text));
    used += strlen(text);
}

/* length, header v1, body of Fetch v11: no session, one topic, one partition, no rack */
static void build_frame(const char *topic, uint64_t offset, uint64_t max_bytes, uint32_t number) {
    used = 0;
    put(0, 4), put(1, 2), put(11, 2), put(number, 4), put_string("fetch");
    put(0xffffffff, 4), put(500, 4), put(1, 4), put(max_bytes, 4), put(0, 1);
    put(0, 4), put(0xffffffff, 4), put(1, 4), put_string(topic);
    put(1, 4), put(0, 4), put(0xffffffff, 4), put(offset, 8), put(~0ull, 8), put(max_bytes, 4);
    put(0, 4), put_string("");
    size_t length = used - 4;
    used = 0;
    put(length, 4);
    used = 4 + length;
}

/* Where the records of an answer to v11 begin; their length is in the four bytes before. */
static const uint8_t *records_of(const uint8_t *answer, const char *topic) {
    const uint8_t *p = answer + 8 + 4;
    if (p[0] || p[1]) refuse("fetch", "the answer carries an error");
    p += 2 + 4 + 4 + 2 + strlen(topic) + 4 + 4;
    if (p[0] || p[1]) refuse("fetch", "the partition carries an error");
    p += 2 + 8 + 8 + 8;
    uint32_t aborted = read_u32(p);
    p += 4 + (aborted == 0xffffffff ? 0 : 16 * (size_t)aborted) + 4;
    return p + 4;
}

int main(int argc, char **argv) {
    if (argc != 6) refuse("usage", "HOST PORT TOPIC RECORDS MAX_BYTES");
    long wanted = atol(argv[4]), requests = 0;
    uint64_t next_offset = 0, bytes = 0;
    struct inbox in = {.fd = connect_to(argv[1], argv[2])};
    double start = now_s();
    while ((long)next_offset < wanted) {
        build_frame(argv[3], next_offset, (uint64_t)atol(argv[5]), (uint32_t)requests);
        send_all(in.fd, frame, used);
        do receive_more(&in);
        while (in.have < 4 || in.have - 4 < read_u32(in.bytes));
        const uint8_t *p = records_of(in.bytes, argv[3]), *end = p + read_u32(p - 4);
        while (end - p >= 61 && (size_t)(end - p) >= BATCH_OVERHEAD + read_u32(p + 8)) {
            uint64_t base = (uint64_t)read_u32(p) << 32 | read_u32(p + 4);
            next_offset = base + read_u32(p + 23) + 1;
            bytes += BATCH_OVERHEAD + read_u32(p + 8);
            p += BATCH_OVERHEAD + read_u32(p + 8);
        }
        forget(&in, 4 + read_u32(in.bytes));
        requests++;
    }
    report("raw_fetch", requests, (long)next_offset, (double)bytes, now_s() - start, NULL);
    close(in.fd);
    return 0;
}
