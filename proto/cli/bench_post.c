#include "proto/cli/bench_post.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/cli/address.h"
#include "proto/cli/reply.h"
#include "runtime/monotonic.h"

enum { ANSWER_MS = 10000 };

void bench_post_init(struct bench *bench)
{
    uint32_t run = arc4random();
    for (size_t i = 0; i != (size_t)bench->options->spread; ++i) {
        struct bench_channel *channel = &bench->channels[i];
        channel->bench = bench;
        snprintf(channel->name, sizeof(channel->name), "bench/%08" PRIx32 "/%zu", run, i);
        address_channel(&channel->url, bench->options, channel->name, false);
    }
}

static size_t on_body(char *bytes, size_t one, size_t n, void *data)
{
    struct bench_channel *channel = data;
    long status = request_status(&channel->post);
    if (status != 200) {
        buffer_clear(&channel->bench->why);
        reply_print(&channel->bench->why, status, slice_make(bytes, one * n), NULL);
    }
    return one * n;
}

static void post(struct bench_channel *channel)
{
    if (!channel->again) {
        buffer_clear(&channel->data);
        buffer_print(&channel->data, "%" PRIu64 " %" PRIu64, channel->sent + 1, monotonic_us());
        snprintf(channel->key, sizeof(channel->key), "%s/%" PRIu64, channel->name, channel->sent + 1);
    }
    channel->again = false;
    channel->busy = true;
    ++channel->bench->posts;
    request_init(&channel->post, &channel->bench->client, channel->url.p, on_body, channel);
    curl_easy_setopt(channel->post.easy, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(channel->post.easy, CURLOPT_PRIVATE, channel);
    request_post(&channel->post, buffer_slice(&channel->data), "text/plain");
    request_header(&channel->post, "Idempotency-Key", channel->key);
    request_start(&channel->post, &channel->bench->client);
}

void bench_post_due(struct bench *bench, uint64_t due)
{
    size_t count = (size_t)bench->options->spread, tried = 0;
    for (; bench->posts < due && tried != count; bench->next_channel = (bench->next_channel + 1) % count) {
        struct bench_channel *channel = &bench->channels[bench->next_channel];
        tried = channel->busy ? tried + 1 : 0;
        if (!channel->busy)
            post(channel);
    }
}

void bench_post_end(struct bench_channel *channel, CURLcode code)
{
    struct bench *bench = channel->bench;
    if (code == CURLE_OK && request_status(&channel->post) == 200) {
        ++channel->sent;
        ++bench->published;
    } else {
        channel->again = true;
        ++bench->failed;
        if (bench->why.n == 0)
            request_print_fault(&channel->post, &bench->why, code);
    }
    channel->busy = false;
    request_free(&channel->post, &bench->client);
}
