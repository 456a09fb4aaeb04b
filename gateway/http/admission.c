#include "gateway/http/admission.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/counters.h"
#include "runtime/monotonic.h"
#include "runtime/net/connection.h"
#include "runtime/seeded_hash.h"

enum { CONNECTION_RETRY_S = 5 };

/* A place that a request has. Lives in the request's pool. */
struct held {
    struct limits_place *place;
    struct connection *connection; /* HTTP/1.1; NULL: HTTP/2 */
};

/* A stream over HTTP/2 is its request; one over HTTP/1.1 goes on without it, until its connection is gone. */
static void on_request_gone(void *data)
{
    struct held *held = data;
    if (held->connection != NULL && held->connection->taken_over)
        held->connection->place = held->place;
    else
        limits_leave(held->place, monotonic_us());
}

/* True when no limit was hit. */
static bool verdict(enum limit limit, unsigned retry_s, struct refusal *why)
{
    if (limit == LIMIT_NONE)
        return true;
    metric_add((size_t)COUNT_LIMITED + limit - 1, 1);
    *why = (struct refusal){limit == LIMIT_CHANNELS ? 503 : 429, retry_s, limit_sentence(limit)};
    return false;
}

bool admission_open(h2o_req_t *req, struct limits_place **place, struct refusal *why)
{
    const struct site *site = site_of(req);
    unsigned retry_s = 0;
    *place = NULL;
    if (!limits_on_streams(site->limits))
        return true;
    struct client_address client = proxies_client(site->proxies, req);
    enum limit limit = limits_enter(site->limits, &client, monotonic_us(), place, &retry_s);
    if (!verdict(limit, retry_s, why))
        return false;
    struct held *held = h2o_mem_alloc_shared(&req->pool, sizeof(*held), on_request_gone);
    *held = (struct held){*place, req->version >= 0x200 ? NULL : connection_of_request(req)};
    return true;
}

bool admission_subject(struct limits_place *place, struct slice subject, struct refusal *why)
{
    unsigned retry_s = 0;
    enum limit limit = place == NULL ? LIMIT_NONE : limits_enter_subject(place, subject, &retry_s);
    return verdict(limit, retry_s, why);
}

static void on_stream_gone(void *data)
{
    --(*(struct connection **)data)->streams;
}

bool admission_connection(h2o_req_t *req, struct refusal *why)
{
    if (req->version < 0x200)
        return true;
    struct connection *connection = connection_of_request(req);
    if (connection->streams >= CONNECTION_STREAMS_MAX)
        return verdict(LIMIT_CONNECTION_STREAMS, CONNECTION_RETRY_S, why);
    ++connection->streams;
    struct connection **hook = h2o_mem_alloc_shared(&req->pool, sizeof(*hook), on_stream_gone);
    *hook = connection;
    return true;
}

static uint32_t less(size_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

/* Of a stream that has channels new to this worker; other workers may listen to some. They are looked up only until the answer is known. */
static enum limit limit_channels(h2o_req_t *req, const struct client_address *address, struct hub_spec *spec, unsigned *retry_s)
{
    const struct site *site = site_of(req);
    uint64_t now_us = monotonic_us();
    size_t room = site->bus.room(site->bus.feed);
    uint32_t left = limits_channels_left(site->limits, address, now_us);
    uint32_t enough = 1 + less(room, less(left, spec->count - 1)); /* what is over a limit is over it with one more */
    uint32_t fresh = hub_count_fresh(site_worker_of(req)->hub, spec->channels, spec->count, enough);
    *retry_s = CHANNELS_RETRY_S;
    if (!site->bus.promise(site->bus.feed, fresh))
        return LIMIT_CHANNELS;
    enum limit limit = limits_channels(site->limits, address, fresh, spec->count, now_us, retry_s);
    if (limit == LIMIT_NONE)
        spec->promised = fresh;
    else
        site->bus.give_back(site->bus.feed, fresh);
    return limit;
}

/* Of a stream for which there can never be room. */
static struct refusal too_many_for(h2o_req_t *req, uint32_t max_channels)
{
    enum { SENTENCE_MAX = 120 };
    char *sentence = h2o_mem_alloc_pool(&req->pool, SENTENCE_MAX);
    snprintf(sentence, SENTENCE_MAX, "more than %" PRIu32 " channels in one stream: this gateway listens to no more (MAX_CHANNELS)",
             max_channels);
    metric_add(COUNT_LIMITED + LIMIT_CHANNELS - 1, 1);
    return (struct refusal){400, 0, sentence};
}

bool admission_channels(h2o_req_t *req, struct hub_spec *spec, struct refusal *why)
{
    unsigned retry_s = 0;
    uint32_t max_channels = site_of(req)->max_channels;
    if (max_channels != 0 && spec->count > max_channels) {
        *why = too_many_for(req, max_channels);
        return false;
    }
    if (hub_count_fresh(site_worker_of(req)->hub, spec->channels, spec->count, 1) == 0)
        return true;
    struct client_address address = proxies_client(site_of(req)->proxies, req), network = client_address_network(address);
    spec->client = seeded_hash(&network, sizeof(network));
    enum limit limit = limit_channels(req, &address, spec, &retry_s);
    return verdict(limit, retry_s, why);
}

bool admission_publish(h2o_req_t *req, struct refusal *why)
{
    const struct site *site = site_of(req);
    unsigned retry_s = 0;
    if (!limits_on_publishing(site->limits))
        return true;
    struct client_address client = proxies_client(site->proxies, req);
    enum limit limit = limits_publish(site->limits, &client, monotonic_us(), &retry_s);
    return verdict(limit, retry_s, why);
}
