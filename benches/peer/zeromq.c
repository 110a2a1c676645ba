/* The two ends of a ZeroMQ PUB/SUB pair as processes: the twin of crates/journal/examples/pump.rs, in C, so that
 * no language stands between the clock and the library.
 *
 *     zeromq write ADDRESS COUNT RATE      48-byte messages, RATE a second; 0: as fast as it goes
 *     zeromq read ADDRESS COUNT            until it has COUNT
 *
 * The library comes inside the pyzmq wheel, without its header: what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

extern void *zmq_ctx_new(void);
extern void *zmq_socket(void *context, int type);
extern int zmq_bind(void *socket, const char *address);
extern int zmq_connect(void *socket, const char *address);
extern int zmq_setsockopt(void *socket, int option, const void *value, size_t length);
extern int zmq_send(void *socket, const void *bytes, size_t length, int flags);
extern int zmq_recv(void *socket, void *bytes, size_t length, int flags);
extern int zmq_close(void *socket);
extern int zmq_ctx_term(void *context);

enum { PUB = 1, SUB = 2, SUBSCRIBE = 6, SEND_LIMIT = 23, RECEIVE_LIMIT = 24 };

struct record {
    uint8_t kind, flags, price_scale, size_scale;
    uint32_t instrument;
    int64_t ts_event, ts_recv, price, size;
    uint64_t id;
};

static int64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "zeromq: %s failed\n", what);
    exit(1);
}

static void *open_socket(void *context, int type) {
    void *socket = zmq_socket(context, type);
    int unlimited = 0; /* loss would make it faster than it is */
    if (!socket || zmq_setsockopt(socket, SEND_LIMIT, &unlimited, sizeof unlimited) ||
        zmq_setsockopt(socket, RECEIVE_LIMIT, &unlimited, sizeof unlimited))
        fail("a socket");
    return socket;
}

static void hear(void) {
    char line[16];
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

static int ascending(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static void write_all(const char *address, int64_t count, int64_t rate) {
    void *context = zmq_ctx_new(), *socket = open_socket(context, PUB);
    if (zmq_bind(socket, address)) fail("bind");
    prctl(PR_SET_TIMERSLACK, 1UL);
    puts("ready"), fflush(stdout);
    hear();
    struct record record = {.kind = 1, .flags = 1, .price_scale = 2, .size_scale = 6, .price = 6423150, .size = 11400};
    int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID), began = nanoseconds(CLOCK_REALTIME);
    int64_t start = nanoseconds(CLOCK_MONOTONIC);
    for (int64_t n = 0; n < count; n++) {
        if (rate) {
            int64_t due = start + n * 1000000000LL / rate;
            if (rate <= 20000) {
                struct timespec until = {due / 1000000000LL, due % 1000000000LL};
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
            }
            while (nanoseconds(CLOCK_MONOTONIC) < due) {}
            record.ts_recv = nanoseconds(CLOCK_REALTIME);
        }
        record.id = n;
        if (zmq_send(socket, &record, sizeof record, 0) < 0) fail("send");
    }
    hear(); /* everybody has it: its own thread was still sending */
    int64_t ended = nanoseconds(CLOCK_REALTIME);
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"began\": %" PRId64 ", \"ended\": %" PRId64 ", \"cpu_s\": %.6f}\n", began, ended, cpu / 1e9);
    zmq_close(socket), zmq_ctx_term(context);
}

static void read_all(const char *address, int64_t count) {
    void *context = zmq_ctx_new(), *socket = open_socket(context, SUB);
    if (zmq_setsockopt(socket, SUBSCRIBE, "", 0) || zmq_connect(socket, address)) fail("connect");
    int64_t *delays = malloc(count * sizeof *delays), cpu = 0, began = 0, sum = 0, timed = 0;
    puts("ready"), fflush(stdout);
    for (int64_t n = 0; n < count; n++) {
        struct record record;
        if (zmq_recv(socket, &record, sizeof record, 0) != sizeof record) fail("receive");
        if (n == 0) cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID), began = nanoseconds(CLOCK_REALTIME);
        sum += record.price;
        if (record.ts_recv) delays[timed++] = nanoseconds(CLOCK_REALTIME) - record.ts_recv;
    }
    if (sum != count * 6423150) fail("the sum");
    int64_t ended = nanoseconds(CLOCK_REALTIME);
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(delays, timed, sizeof *delays, ascending);
    double p50 = timed ? delays[(timed - 1) / 2] / 1e3 : 0, p99 = timed ? delays[(timed - 1) * 99 / 100] / 1e3 : 0;
    printf("{\"began\": %" PRId64 ", \"ended\": %" PRId64 ", \"cpu_s\": %.6f, \"p50\": %.3f, \"p99\": %.3f}\n", began,
           ended, cpu / 1e9, p50, p99);
    zmq_close(socket), zmq_ctx_term(context);
}

int main(int count, char **words) {
    if (count == 5 && !strcmp(words[1], "write"))
        write_all(words[2], atoll(words[3]), atoll(words[4]));
    else if (count == 4 && !strcmp(words[1], "read"))
        read_all(words[2], atoll(words[3]));
    else
        fail("reading its arguments");
    return 0;
}
