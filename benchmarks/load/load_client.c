/* One load on librdkafka: `produce` or `consume`, the figures as one line of JSON on stdout.
 *
 *   load_client produce BOOTSTRAP TOPIC MESSAGES SIZE [name=value ...]
 *   load_client consume BOOTSTRAP TOPIC MESSAGES 0    [name=value ...]
 *
 * The settings are librdkafka's, payload=text, and keys=N.  Payloads rotate through 1 MiB of varying
 * bytes, or with payload=text of repeated words, so that neither side works on one cache-hot message;
 * with keys=N each has one of N keys in turn.  Time is taken from the first message handed over to the last
 * delivery report (produce), or from the first message received to the last (consume).
 */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define POOL_BYTES (1 << 20)
#define CONSUME_BATCH 4096
#define IDLE_LIMIT_S 20.0

static int64_t delivered, failed;
static char first_failure[256];
static int is_text;
static int64_t keys;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    if (message->err) {
        if (!failed++)
            snprintf(first_failure, sizeof first_failure, "%s", rd_kafka_err2str(message->err));
    } else {
        delivered++;
    }
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "load_client: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_t *make_client(rd_kafka_type_t type, const char *bootstrap, int argc, char **argv) {
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    else
        rd_kafka_conf_set(conf, "group.id", "load", why, sizeof why);
    for (int i = 0; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) fail(argv[i], "must be name=value");
        *equals = 0;
        if (!strcmp(argv[i], "payload")) {
            is_text = !strcmp(equals + 1, "text");
            continue;
        }
        if (!strcmp(argv[i], "keys")) {
            keys = atoll(equals + 1);
            continue;
        }
        if (rd_kafka_conf_set(conf, argv[i], equals + 1, why, sizeof why) != RD_KAFKA_CONF_OK)
            fail(argv[i], why);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) fail("client", why);
    return rk;
}

static void report(const char *mode, int64_t count, int64_t bytes, double seconds) {
    printf("{\"mode\": \"%s\", \"messages\": %lld, \"bytes\": %lld, \"seconds\": %.6f, "
           "\"failed\": %lld, \"client_cpu_s\": %.4f}\n",
           mode, (long long)count, (long long)bytes, seconds, (long long)failed, cpu_s());
    if (failed) fail("delivery", first_failure);
}

static void produce(rd_kafka_t *rk, const char *topic_name, int64_t messages, size_t size) {
    uint8_t *pool = malloc(POOL_BYTES + size);
    uint32_t state = 12345;
    for (size_t i = 0; i < POOL_BYTES + size; i++) {
        state = state * 1664525u + 1013904223u;
        pool[i] = is_text ? (uint8_t)"_____________Test:OneBroker:500kmsgs:100bytes"[i % 45]
                          : (uint8_t)(state >> 24);
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, topic_name, NULL);
    double start = now_s();
    for (int64_t i = 0; i < messages; i++) {
        uint8_t *payload = pool + (size_t)((uint64_t)i * 1009u) % POOL_BYTES;
        int64_t key = keys ? i % keys : 0;
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, size,
                                keys ? &key : NULL, keys ? sizeof key : 0, NULL) == -1) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_poll(rk, 10);
        }
        if ((i & 1023) == 0) rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, 120000)) fail("flush", "not everything was acknowledged in 120 s");
    report("produce", delivered, delivered * (int64_t)size, now_s() - start);
    rd_kafka_topic_destroy(topic);
    free(pool);
}

static void consume(rd_kafka_t *rk, const char *topic, int64_t messages) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    if (rd_kafka_metadata(rk, 0, handle, &metadata, 10000)) fail(topic, "no metadata in 10 s");
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(1);
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(all, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    rd_kafka_assign(rk, all);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t **batch = calloc(CONSUME_BATCH, sizeof *batch);
    int64_t count = 0, bytes = 0;
    double start = 0, last = now_s();
    while (count < messages) {
        /* The call waits until it has as many as it was asked for. */
        int64_t rest = messages - count;
        ssize_t got = rd_kafka_consume_batch_queue(
            queue, 200, batch, rest < CONSUME_BATCH ? (size_t)rest : CONSUME_BATCH);
        for (ssize_t i = 0; i < got; i++) {
            if (!batch[i]->err) {
                if (!count) start = now_s();
                count++;
                bytes += (int64_t)batch[i]->len;
            }
            rd_kafka_message_destroy(batch[i]);
        }
        if (got > 0) last = now_s();
        if (now_s() - last > IDLE_LIMIT_S) fail("consume", "nothing came for 20 s");
    }
    report("consume", count, bytes, last - start);
    free(batch);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(all);
}

int main(int argc, char **argv) {
    if (argc < 6) fail("usage", "produce|consume BOOTSTRAP TOPIC MESSAGES SIZE [name=value ...]");
    int is_producer = !strcmp(argv[1], "produce");
    rd_kafka_t *rk = make_client(is_producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, argv[2],
                                 argc - 6, argv + 6);
    if (is_producer)
        produce(rk, argv[3], atoll(argv[4]), (size_t)atoll(argv[5]));
    else
        consume(rk, argv[3], atoll(argv[4]));
    rd_kafka_destroy(rk);
    return 0;
}
