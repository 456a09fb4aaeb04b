/* With a POST for each event. A channel keeps to one connection, so that its events stay in order. */
#include "tests/bench/way.h"

#include <stdio.h>

#include "tests/bench/bench.h"
#include "tests/bench/courier.h"
#include "tests/bench/http_answer.h"
#include "tests/bench/payload.h"

static size_t text_request(char *out, const char *path, unsigned channel, const char *payload, size_t size)
{
    char target[BENCH_PATTERN_MAX + 10];
    snprintf(target, sizeof(target), path, channel);
    return (size_t)sprintf(out, "POST %s HTTP/1.1\r\nhost: bench\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\n\r\n%.*s",
                           target, size, (int)size, payload);
}

static size_t items_request(char *out, const char *path, unsigned channel, const char *payload, size_t size)
{
    char body[PAYLOAD_MAX + 256];
    int n = snprintf(body, sizeof(body),
                     "{\"items\":[{\"channel\":\"bench-%u\",\"formats\":{\"http-stream\":{\"content\":"
                     "\"event: message\\ndata: %.*s\\n\\n\"}}}]}",
                     channel, (int)size, payload);
    return (size_t)sprintf(out, "POST %s HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
                           path, n, body);
}

static void answers(struct courier *courier)
{
    struct http_answer answer;
    size_t size;
    while ((size = http_answer_read(courier->in.p + courier->in.start, courier->in.end - courier->in.start, &answer)) != 0) {
        const char *p = courier->in.p + courier->in.start;
        courier->in.start += size;
        courier_answered(courier, answer.status >= 200 && answer.status < 300 ? NULL : p, size);
        if (answer.closes) {
            courier_reopen(courier);
            return;
        }
    }
}

const struct way way_nchan = {
    .name = "nchan", .path = "/pub/bench-%d", .couriers = 16, .request = text_request, .answers = answers};
const struct way way_post = {
    .name = "post", .path = "/channels/bench-%d", .couriers = 16, .request = text_request, .answers = answers};

/* Pushpin closes after each answer. */
const struct way way_pushpin = {
    .name = "pushpin", .path = "/publish/", .couriers = 16, .alone = true, .request = items_request, .answers = answers};
