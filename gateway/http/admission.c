#include "gateway/http/admission.h"

#include "gateway/counters.h"
#include "runtime/http.h"
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
static bool verdict(h2o_req_t *req, enum limit limit, unsigned retry_s)
{
    if (limit == LIMIT_NONE)
        return true;
    metric_add((size_t)COUNT_LIMITED + limit - 1, 1);
    http_error_later(req, limit == LIMIT_CHANNELS ? 503 : 429, retry_s, limit_sentence(limit));
    return false;
}

bool admission_open(h2o_req_t *req, struct limits_place **place)
{
    const struct site *site = site_of(req);
    unsigned retry_s = 0;
    *place = NULL;
    if (!limits_on_streams(site->limits))
        return true;
    struct client_address client = proxies_client(site->proxies, req);
    enum limit limit = limits_enter(site->limits, &client, monotonic_us(), place, &retry_s);
    if (!verdict(req, limit, retry_s))
        return false;
    struct held *held = h2o_mem_alloc_shared(&req->pool, sizeof(*held), on_request_gone);
    *held = (struct held){*place, req->version >= 0x200 ? NULL : connection_of_request(req)};
    return true;
}

bool admission_subject(h2o_req_t *req, struct limits_place *place, struct slice subject)
{
    unsigned retry_s = 0;
    enum limit limit = place == NULL ? LIMIT_NONE : limits_enter_subject(place, subject, &retry_s);
    return verdict(req, limit, retry_s);
}

static void on_stream_gone(void *data)
{
    --(*(struct connection **)data)->streams;
}

bool admission_connection(h2o_req_t *req)
{
    if (req->version < 0x200)
        return true;
    struct connection *connection = connection_of_request(req);
    if (connection->streams >= CONNECTION_STREAMS_MAX)
        return verdict(req, LIMIT_CONNECTION_STREAMS, CONNECTION_RETRY_S);
    ++connection->streams;
    struct connection **hook = h2o_mem_alloc_shared(&req->pool, sizeof(*hook), on_stream_gone);
    *hook = connection;
    return true;
}

/* What is over a limit anyway is not looked up to the end; while there is some room the feed decides, which knows all channels. */
bool admission_channels(h2o_req_t *req, const struct slice *channels, uint32_t count, uint64_t *client)
{
    const struct site *site = site_of(req);
    struct hub *hub = site_worker_of(req)->hub;
    *client = 0;
    if (hub_count_fresh(hub, channels, count, 1) == 0)
        return true;
    unsigned retry_s = 0;
    uint64_t now_us = monotonic_us();
    struct client_address address = proxies_client(site->proxies, req), network = client_address_network(address);
    *client = seeded_hash(&network, sizeof(network));
    if (site->bus.room(site->bus.feed) == 0)
        return verdict(req, LIMIT_CHANNELS, CHANNELS_RETRY_S);
    uint32_t enough = limits_channels_left(site->limits, &address, now_us) == 0 ? 1 : count;
    uint32_t fresh = hub_count_fresh(hub, channels, count, enough);
    enum limit limit = limits_channels(site->limits, &address, fresh, now_us, &retry_s);
    return verdict(req, limit, retry_s);
}

bool admission_publish(h2o_req_t *req)
{
    const struct site *site = site_of(req);
    unsigned retry_s = 0;
    if (!limits_on_publishing(site->limits))
        return true;
    struct client_address client = proxies_client(site->proxies, req);
    enum limit limit = limits_publish(site->limits, &client, monotonic_us(), &retry_s);
    return verdict(req, limit, retry_s);
}
