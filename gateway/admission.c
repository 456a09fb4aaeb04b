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

bool admission_channels(struct gateway *gateway, h2o_req_t *req, struct stream_request *stream)
{
    unsigned retry_s = CHANNELS_RETRY_S;
    uint32_t fresh = hub_count_fresh(worker_of(req)->hub, stream->channels, stream->count);
    if (fresh == 0)
        return true;
    struct client_address client = client_address_of(gateway->proxies, req), network = client_address_network(client);
    enum limit limit = limits_channels(gateway->limits, &client, fresh, monotonic_us(), &retry_s);
    if (limit == LIMIT_NONE && !feed_has_room(gateway->feed, fresh)) {
        limit = LIMIT_CHANNELS;
        retry_s = CHANNELS_RETRY_S;
    }
    if (limit != LIMIT_NONE)
        admission_refuse(req, limit, retry_s);
    stream->start.client = seeded_hash(&network, sizeof(network));
    return limit == LIMIT_NONE;
}
