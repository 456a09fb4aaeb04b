#include "gateway/admission.h"

#include "gateway/connection.h"
#include "gateway/counters.h"
#include "runtime/http.h"
#include "runtime/monotonic.h"
#include "runtime/seeded_hash.h"

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

void admission_refuse(h2o_req_t *req, enum limit limit, unsigned retry_s)
{
    char seconds[16];
    metric_add((size_t)COUNT_LIMITED + limit - 1, 1);
    http_add_header(req, "retry-after", slice_make(seconds, (size_t)snprintf(seconds, sizeof(seconds), "%u", retry_s)));
    http_error(req, limit == LIMIT_CHANNELS ? 503 : 429, limit_sentence(limit));
}

bool admission_open(struct gateway *gateway, h2o_req_t *req, struct limits_place **place)
{
    unsigned retry_s;
    *place = NULL;
    if (!limits_on_streams(gateway->limits))
        return true;
    struct client_address client = client_address_of(gateway->proxies, req);
    enum limit limit = limits_enter(gateway->limits, &client, monotonic_us(), place, &retry_s);
    if (limit != LIMIT_NONE) {
        admission_refuse(req, limit, retry_s);
        return false;
    }
    struct held *held = h2o_mem_alloc_shared(&req->pool, sizeof(*held), on_request_gone);
    *held = (struct held){*place, req->version >= 0x200 ? NULL : connection_of(req)};
    return true;
}

bool admission_subject(h2o_req_t *req, struct limits_place *place, struct slice subject)
{
    unsigned retry_s;
    if (place == NULL)
        return true;
    enum limit limit = limits_enter_subject(place, subject, &retry_s);
    if (limit != LIMIT_NONE)
        admission_refuse(req, limit, retry_s);
    return limit == LIMIT_NONE;
}

bool admission_publish(struct gateway *gateway, h2o_req_t *req)
{
    unsigned retry_s;
    if (!limits_on_publishing(gateway->limits))
        return true;
    struct client_address client = client_address_of(gateway->proxies, req);
    enum limit limit = limits_publish(gateway->limits, &client, monotonic_us(), &retry_s);
    if (limit != LIMIT_NONE)
        admission_refuse(req, limit, retry_s);
    return limit == LIMIT_NONE;
}

static uint32_t less(size_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

/* Of a stream that has channels new to this worker; other workers may listen to some. They are looked up only until the answer is known. */
static enum limit limit_channels(struct gateway *gateway, struct hub *hub, const struct client_address *client,
                                 const struct stream_request *stream, uint32_t *promised, unsigned *retry_s)
{
    uint64_t now_us = monotonic_us();
    size_t room = feed_room(gateway->feed);
    uint32_t left = limits_channels_left(gateway->limits, client, now_us);
    uint32_t enough = 1 + less(room, less(left, stream->count - 1)); /* what is over a limit is over it with one more */
    uint32_t fresh = hub_count_fresh(hub, stream->channels, stream->count, enough);
    *retry_s = CHANNELS_RETRY_S;
    if (!feed_promise(gateway->feed, fresh))
        return LIMIT_CHANNELS;
    enum limit limit = limits_channels(gateway->limits, client, fresh, now_us, retry_s);
    if (limit == LIMIT_NONE)
        *promised = fresh;
    else
        feed_give_back(gateway->feed, fresh);
    return limit;
}

bool admission_channels(struct gateway *gateway, h2o_req_t *req, struct stream_request *stream)
{
    unsigned retry_s;
    struct hub *hub = worker_of(req)->hub;
    if (hub_count_fresh(hub, stream->channels, stream->count, 1) == 0)
        return true;
    struct client_address client = client_address_of(gateway->proxies, req), network = client_address_network(client);
    enum limit limit = limit_channels(gateway, hub, &client, stream, &stream->start.promised, &retry_s);
    if (limit != LIMIT_NONE)
        admission_refuse(req, limit, retry_s);
    stream->start.client = seeded_hash(&network, sizeof(network));
    return limit == LIMIT_NONE;
}
