/* The same loads for brokers that do not speak Kafka: Redis Streams and NATS JetStream, by socket.
 *
 *   stream_load redis|nats produce HOST PORT NAME MESSAGES SIZE IN_FLIGHT
 *   stream_load redis|nats consume HOST PORT NAME MESSAGES
 *
 * Produce adds one message a command and counts the answers, IN_FLIGHT of them outstanding: XADD, or
 * a publish whose acknowledgement JetStream sends to our inbox.  Consume reads from the beginning:
 * XREAD of 1,000 entries, or a pull consumer without acknowledgements that asks for 5,000 at a time.
 * Prints one line of JSON; a message's time runs from before its send to its answer.
 */
#include "raw.h"

#define REDIS_COUNT 1000
#define NATS_BATCH 5000

typedef const uint8_t *Cursor;

/* Behind the line that starts at `p`, or NULL while its end has not come. */
static Cursor after_line(Cursor p, Cursor end) {
    Cursor found = memchr(p, '\n', (size_t)(end - p));
    return found ? found + 1 : NULL;
}

/* Ends the program with the line of the broker that starts at `p`. */
static void refuse_line(const char *who, Cursor p, Cursor line) {
    char text[256];
    size_t length = (size_t)(line - p) < sizeof text ? (size_t)(line - p) : sizeof text;
    snprintf(text, length, "%s", (const char *)p);
    refuse(who, text);
}

/* -- Redis: RESP ---------------------------------------------------------------------------- */

/* Behind one whole value, or NULL; an error ends the program. */
static Cursor after_value(Cursor p, Cursor end) {
    Cursor line = p < end ? after_line(p, end) : NULL;
    if (!line) return NULL;
    long count = atol((const char *)p + 1);
    if (*p == '-') refuse_line("redis", p, line);
    if (*p == '$') return count < 0 ? line : end - line >= count + 2 ? line + count + 2 : NULL;
    if (*p == '*')
        for (p = line; count > 0; count--)
            if (!(line = p = after_value(p, end))) return NULL;
    return line;
}

static size_t redis_command(char *to, const char *name, long size) {
    return (size_t)sprintf(to, "*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$1\r\nv\r\n$%ld\r\n",
                           strlen(name), name, size);
}

/* The text of the bulk string at `p`. */
static void copy_bulk(char *to, size_t room, Cursor p) {
    size_t length = (size_t)atol((const char *)p + 1);
    if (length >= room) refuse("redis", "an entry id that is too long");
    memcpy(to, (const uint8_t *)memchr(p, '\n', 16) + 1, length);
    to[length] = 0;
}

static void redis_consume(struct inbox *in, const char *name, long wanted) {
    char command[512], last[64] = "0-0";
    long seen = 0, requests = 0;
    double bytes = 0, start = now_s();
    while (seen < wanted) {
        int length = sprintf(command,
                             "*6\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$4\r\n%d\r\n$7\r\nSTREAMS\r\n"
                             "$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                             REDIS_COUNT, strlen(name), name, strlen(last), last);
        send_all(in->fd, command, (size_t)length);
        Cursor end;
        do receive_more(in);
        while (!(end = after_value(in->bytes, in->bytes + in->have)));
        if (in->bytes[1] == '-') refuse("redis", "the stream has fewer entries than asked for");
        /* *1 of *2 of the name and *N entries, each *2 of its id and *2 of the field and value */
        Cursor p = after_line(in->bytes, end);
        p = after_value(after_line(p, end), end);
        long entries = atol((const char *)p + 1);
        p = after_line(p, end);
        for (long i = 0; i < entries; i++) {
            Cursor id = after_line(p, end), fields = after_value(id, end);
            if (i == entries - 1) copy_bulk(last, sizeof last, id);
            Cursor value = after_value(after_line(fields, end), end);
            bytes += (double)atol((const char *)value + 1);
            p = after_value(fields, end);
        }
        seen += entries;
        requests++;
        forget(in, (size_t)(end - in->bytes));
    }
    report("redis consume", requests, seen, bytes, now_s() - start, NULL);
}

/* -- NATS: a text protocol ------------------------------------------------------------------ */

/* Behind one operation, or NULL; `payload` is set for MSG, else NULL.  An error ends the program. */
static Cursor after_operation(Cursor p, Cursor end, Cursor *payload, long *size) {
    Cursor line = after_line(p, end);
    *payload = NULL;
    if (!line) return NULL;
    if (*p == '-') refuse_line("nats", p, line);
    if (*p != 'M' && *p != 'H') return line;
    Cursor number = line - 2;
    while (number[-1] != ' ') number--;
    *size = atol((const char *)number);
    if (end - line < *size + 2) return NULL;
    *payload = line;
    return line + *size + 2;
}

/* Waits for one message and gives its text, which lives until the next call. */
static const char *nats_message(struct inbox *in) {
    static char text[4096];
    for (;;) {
        Cursor payload, next, p = in->bytes;
        long size = 0;
        while (p && p < in->bytes + in->have &&
               (next = after_operation(p, in->bytes + in->have, &payload, &size))) {
            if (payload) {
                size_t kept = size < (long)sizeof text ? (size_t)size : sizeof text - 1;
                memcpy(text, payload, kept);
                text[kept] = 0;
                forget(in, (size_t)(next - in->bytes));
                return text;
            }
            p = next;
        }
        receive_more(in);
    }
}

static const char *nats_request(struct inbox *in, const char *subject, const char *body) {
    char command[2048];
    int length = snprintf(command, sizeof command, "PUB %s _I.r %zu\r\n%s\r\n", subject,
                          strlen(body), body);
    send_all(in->fd, command, (size_t)length);
    const char *answer = nats_message(in);
    if (strstr(answer, "\"error\"")) refuse(subject, answer);
    return answer;
}

static void nats_open(struct inbox *in, const char *name) {
    const char *hello = "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"load\"}\r\n"
                        "SUB _I.> 1\r\n";
    char subject[256], body[512];
    send_all(in->fd, hello, strlen(hello));
    snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.%s", name);
    snprintf(body, sizeof body,
             "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"storage\":\"file\",\"num_replicas\":1}", name,
             name);
    nats_request(in, subject, body);
}

static void nats_consume(struct inbox *in, const char *name, long wanted) {
    char subject[256], body[512], consumer[128], command[512];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s", name);
    snprintf(body, sizeof body,
             "{\"stream_name\":\"%s\",\"config\":{\"deliver_policy\":\"all\","
             "\"ack_policy\":\"none\"}}",
             name);
    const char *found = strstr(nats_request(in, subject, body), "\"name\":\"");
    if (!found || sscanf(found, "\"name\":\"%127[^\"]", consumer) != 1)
        refuse("nats", "the new consumer has no name");
    int length = snprintf(command, sizeof command,
                          "PUB $JS.API.CONSUMER.MSG.NEXT.%s.%s _I.m %zu\r\n%d\r\n", name, consumer,
                          strlen("5000"), NATS_BATCH);
    long seen = 0, asked = 0, requests = 0;
    double bytes = 0, start = now_s();
    while (seen < wanted) {
        while (asked - seen < NATS_BATCH) {
            send_all(in->fd, command, (size_t)length);
            asked += NATS_BATCH;
            requests++;
        }
        receive_more(in);
        Cursor payload, next, p = in->bytes, end = in->bytes + in->have;
        long size = 0;
        while (p < end && (next = after_operation(p, end, &payload, &size))) {
            if (payload) seen++, bytes += (double)size;
            p = next;
        }
        forget(in, (size_t)(p - in->bytes));
    }
    report("nats consume", requests, seen, bytes, now_s() - start, NULL);
}

/* -- produce, of both ----------------------------------------------------------------------- */

/* Behind one answer to a message, or NULL. */
static Cursor after_answer(int is_redis, Cursor p, Cursor end) {
    if (is_redis) return after_value(p, end);
    Cursor payload, next;
    long size = 0;
    while (p < end && (next = after_operation(p, end, &payload, &size))) {
        if (!payload) {
            p = next;
            continue;
        }
        if (size > 8 && !strncmp((const char *)payload, "{\"error\"", 8))
            refuse("nats", "a publish was refused");
        return next;
    }
    return NULL;
}

static void produce(struct inbox *in, int is_redis, const char *name, long messages, long size,
                    long depth) {
    char head[512];
    size_t head_bytes = is_redis ? redis_command(head, name, size)
                                 : (size_t)sprintf(head, "PUB %s _I.p %ld\r\n", name, size);
    size_t whole = head_bytes + (size_t)size + 2;
    uint8_t *message = malloc(whole), *out = malloc(whole * (size_t)depth);
    memcpy(message, head, head_bytes);
    for (long i = 0; i < size; i++) message[head_bytes + (size_t)i] = (uint8_t)(i * 131);
    memcpy(message + whole - 2, "\r\n", 2);
    double *sent_at = malloc((size_t)depth * sizeof *sent_at), start = now_s();
    float *taken_us = malloc((size_t)messages * sizeof *taken_us);
    for (long i = 0; i < depth; i++) memcpy(out + (size_t)i * whole, message, whole);
    long sent = 0, answered = 0;
    while (answered < messages) {
        long room = depth - (sent - answered), rest = messages - sent;
        long now = room < rest ? room : rest;
        double sending = now_s();
        for (long i = 0; i < now; i++) sent_at[sent++ % depth] = sending;
        send_all(in->fd, out, (size_t)now * whole);
        receive_more(in);
        double received = now_s();
        Cursor p = in->bytes, next;
        while (answered < sent && (next = after_answer(is_redis, p, in->bytes + in->have))) {
            taken_us[answered] = (float)(1e6 * (received - sent_at[answered % depth]));
            answered++;
            p = next;
        }
        forget(in, (size_t)(p - in->bytes));
    }
    report(is_redis ? "redis produce" : "nats produce", messages, messages,
           (double)messages * (double)size, now_s() - start, taken_us);
}

int main(int argc, char **argv) {
    if (argc < 7) refuse("usage", "redis|nats produce|consume HOST PORT NAME MESSAGES [SIZE DEPTH]");
    int is_redis = !strcmp(argv[1], "redis");
    struct inbox in = {.fd = connect_to(argv[3], argv[4])};
    if (!is_redis) nats_open(&in, argv[5]);
    if (!strcmp(argv[2], "produce") && argc == 9)
        produce(&in, is_redis, argv[5], atol(argv[6]), atol(argv[7]), atol(argv[8]));
    else if (is_redis)
        redis_consume(&in, argv[5], atol(argv[6]));
    else
        nats_consume(&in, argv[5], atol(argv[6]));
    close(in.fd);
    return 0;
}
