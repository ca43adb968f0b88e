/* One producer and one consumer on librdkafka at a fixed rate: the load of an OpenMessaging workload.
 *
 *   paced_load BOOTSTRAP TOPIC RATE SECONDS WARM_UP_SECONDS SIZE [name=value ...]
 *
 * Open loop: each message carries the moment at which it was due, and both latencies (to its
 * delivery report and to its arrival at the consumer) count from there.  RATE 0 is as fast as it
 * goes; a message is then due when it is handed over.  The settings are the producer's, those
 * that start with consumer. the consumer's.  The topic must be there and empty.  Prints one line of JSON.
 */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUB_BUCKETS 128
#define CONSUME_BATCH 1024
#define IDLE_LIMIT_NS 20000000000LL

/* A bucket is 1/128 of a power of two of nanoseconds wide: within 0.8 % of the truth. */
struct histogram {
    int64_t buckets[64 * SUB_BUCKETS];
    int64_t count, max_ns;
};

static struct histogram published, arrived;
static int64_t warm_end_ns, first_failures, delivered, consumed, last_arrival_ns;
static volatile int64_t produced_in_all = -1;
static const char *topic_name, *bootstrap;
static rd_kafka_conf_t *consumer_conf;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "paced_load: %s: %s\n", what, why);
    exit(1);
}

static void note(struct histogram *h, int64_t due_ns, int64_t seen_ns) {
    if (due_ns < warm_end_ns) return;
    uint64_t taken = seen_ns > due_ns ? (uint64_t)(seen_ns - due_ns) : 1;
    int power = 63 - __builtin_clzll(taken);
    uint64_t low = power >= 7 ? (taken >> (power - 7)) & (SUB_BUCKETS - 1)
                              : (taken << (7 - power)) & (SUB_BUCKETS - 1);
    h->buckets[power * SUB_BUCKETS + (int)low]++;
    h->count++;
    if ((int64_t)taken > h->max_ns) h->max_ns = (int64_t)taken;
}

static double quantile_us(const struct histogram *h, double share) {
    int64_t wanted = (int64_t)(share * (double)h->count), seen = 0;
    for (int i = 0; i < 64 * SUB_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > wanted) {
            double base = (double)(1ULL << (i / SUB_BUCKETS));
            double middle = base * (1 + (i % SUB_BUCKETS + 0.5) / SUB_BUCKETS);
            return (middle < (double)h->max_ns ? middle : (double)h->max_ns) / 1000;
        }
    }
    return (double)h->max_ns / 1000;
}

static void print_histogram(const char *name, const struct histogram *h) {
    printf("\"%s\": {\"count\": %lld, \"p50\": %.1f, \"p75\": %.1f, \"p95\": %.1f, \"p99\": %.1f, "
           "\"p99.9\": %.1f, \"p99.99\": %.1f, \"max\": %.1f}",
           name, (long long)h->count, quantile_us(h, 0.5), quantile_us(h, 0.75),
           quantile_us(h, 0.95), quantile_us(h, 0.99), quantile_us(h, 0.999),
           quantile_us(h, 0.9999), (double)h->max_ns / 1000);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    if (message->err) {
        if (!first_failures++) fprintf(stderr, "%s\n", rd_kafka_err2str(message->err));
        return;
    }
    delivered++;
    note(&published, (int64_t)(intptr_t)message->_private, now_ns());
}

static void *consume_all(void *unused) {
    (void)unused;
    char why[512];
    const struct rd_kafka_metadata *metadata;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, consumer_conf, why, sizeof why);
    if (!rk) fail("consumer", why);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic_name, NULL);
    if (rd_kafka_metadata(rk, 0, handle, &metadata, 10000)) fail(topic_name, "no metadata in 10 s");
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(1);
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(all, topic_name, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    rd_kafka_assign(rk, all);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t **batch = calloc(CONSUME_BATCH, sizeof *batch);
    int64_t last_ns = now_ns();
    while (produced_in_all < 0 || consumed < produced_in_all) {
        /* A batch call waits until it has all that it was asked for, which would count as latency:
         * one message is waited for, and then only what lies there is taken. */
        ssize_t got = 0;
        if ((batch[0] = rd_kafka_consume_queue(queue, 5))) {
            ssize_t more = rd_kafka_consume_batch_queue(queue, 0, batch + 1, CONSUME_BATCH - 1);
            got = 1 + (more > 0 ? more : 0);
        }
        int64_t seen_ns = now_ns();
        for (ssize_t i = 0; i < got; i++) {
            if (!batch[i]->err && batch[i]->len >= 8) {
                int64_t due_ns;
                memcpy(&due_ns, batch[i]->payload, 8);
                note(&arrived, due_ns, seen_ns);
                consumed++;
            }
            rd_kafka_message_destroy(batch[i]);
        }
        if (got > 0) last_ns = seen_ns;
        if (produced_in_all >= 0 && seen_ns - last_ns > IDLE_LIMIT_NS)
            fail("consume", "nothing came for 20 s");
    }
    last_arrival_ns = last_ns;
    free(batch);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(all);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 7)
        fail("usage", "BOOTSTRAP TOPIC RATE SECONDS WARM_UP_SECONDS SIZE [name=value ...]");
    char why[512];
    bootstrap = argv[1], topic_name = argv[2];
    double rate = atof(argv[3]), seconds = atof(argv[4]), warm_s = atof(argv[5]);
    size_t size = (size_t)atoll(argv[6]);
    if (size < 8) fail(argv[6], "SIZE must be 8 or more: the due time takes 8 bytes");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    consumer_conf = rd_kafka_conf_new();
    rd_kafka_conf_set(consumer_conf, "bootstrap.servers", bootstrap, why, sizeof why);
    rd_kafka_conf_set(consumer_conf, "group.id", "paced", why, sizeof why);
    for (int i = 7; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) fail(argv[i], "must be name=value");
        *equals = 0;
        int is_consumers = !strncmp(argv[i], "consumer.", 9);
        const char *name = argv[i] + (is_consumers ? 9 : 0);
        if (rd_kafka_conf_set(is_consumers ? consumer_conf : conf, name, equals + 1, why,
                              sizeof why) != RD_KAFKA_CONF_OK)
            fail(name, why);
    }
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk) fail("producer", why);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, topic_name, NULL);
    uint8_t *payload = malloc(size);
    for (size_t i = 0; i < size; i++) payload[i] = (uint8_t)(i * 131 + (i >> 8));
    int64_t start = now_ns() + 100000000LL, sent = 0;
    int64_t end = start + (int64_t)((warm_s + seconds) * 1e9);
    warm_end_ns = start + (int64_t)(warm_s * 1e9);
    pthread_t consumer;
    pthread_create(&consumer, NULL, consume_all, NULL);
    for (;;) {
        int64_t now = now_ns();
        int64_t due = rate > 0 ? start + (int64_t)((double)sent * 1e9 / rate) : now;
        if ((rate > 0 ? due : now) >= end) break;
        if (due > now) {
            /* Reports are served while nothing is due; a millisecond is the poll's resolution. */
            if (due - now > 2000000) {
                rd_kafka_poll(rk, 1);
            } else {
                rd_kafka_poll(rk, 0);
                struct timespec rest = {0, due - now > 50000 ? 20000 : 0};
                if (rest.tv_nsec) nanosleep(&rest, NULL);
            }
            continue;
        }
        memcpy(payload, &due, 8);
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, size,
                                NULL, 0, (void *)(intptr_t)due) == -1) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_poll(rk, 1);
        }
        if ((++sent & 127) == 0) rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, 120000)) fail("flush", "not everything was acknowledged in 120 s");
    double produce_s = (double)(now_ns() - start) / 1e9;
    produced_in_all = delivered;
    pthread_join(consumer, NULL);
    if (first_failures) fail("delivery", "messages were refused: see above");
    printf("{\"produced\": %lld, \"consumed\": %lld, \"produce_rate\": %.1f, "
           "\"consume_rate\": %.1f, ",
           (long long)delivered, (long long)consumed, (double)delivered / produce_s,
           (double)consumed / ((double)(last_arrival_ns - start) / 1e9));
    print_histogram("publish_us", &published);
    printf(", ");
    print_histogram("end_to_end_us", &arrived);
    printf("}\n");
    return 0;
}
