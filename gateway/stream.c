#include "gateway/stream.h"

#include "gateway/connection.h"
#include "gateway/edge.h"
#include "gateway/transport.h"
#include "proto/channel.h"
#include "runtime/http.h"

const char *stream_add_channel(struct stream_request *stream, struct slice name)
{
    const char *error = channel_check(name);
    if (error != NULL)
        return error;
    for (uint32_t i = 0; i < stream->count; ++i)
        if (slice_eq(stream->channels[i], name))
            return NULL;
    if (stream->count == STREAM_CHANNELS_MAX)
        return "more than 100 channels in one stream";
    stream->channels[stream->count++] = name;
    return NULL;
}

/* Decimal 1..STREAM_LAST_MAX; 0 for anything else. */
static uint32_t parse_last(struct slice text)
{
    uint32_t value = 0;
    if (text.n == 0 || text.n > 4)
        return 0;
    for (size_t i = 0; i < text.n; ++i) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0;
        value = value * 10 + (uint32_t)(text.p[i] - '0');
    }
    return value <= STREAM_LAST_MAX ? value : 0;
}

static const char *read_parameter(struct stream_request *stream, struct slice name, struct slice value, bool many)
{
    if (slice_eq(name, SLICE("last"))) {
        stream->mode = START_LAST;
        stream->last = parse_last(value);
        return stream->last == 0 ? "last must be a number from 1 to 1000" : NULL;
    }
    if (many && slice_eq(name, SLICE("channel")))
        return stream_add_channel(stream, value);
    return NULL;
}

const char *stream_read_query(struct stream_request *stream, h2o_req_t *req, bool many)
{
    struct slice rest = http_query(req), name, value;
    bool broken = false;
    while (http_form_next(req, &rest, &name, &value, &broken)) {
        const char *error = read_parameter(stream, name, value, many);
        if (error != NULL)
            return error;
    }
    if (broken)
        return "the query holds a broken percent escape";
    return stream->count == 0 ? "name at least one channel: /subscribe?channel=a&channel=b" : NULL;
}

static void add_stream_headers(h2o_req_t *req)
{
    http_add_header(req, "content-type", SLICE("text/event-stream"));
    http_add_header(req, "cache-control", SLICE("no-store"));
    http_add_header(req, "x-accel-buffering", SLICE("no"));
}

static void serve_head(h2o_req_t *req)
{
    static h2o_generator_t none;
    req->res.status = 200;
    req->res.reason = "OK";
    add_stream_headers(req);
    h2o_start_response(req, &none);
    h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
}

void stream_serve(struct gateway *gateway, h2o_req_t *req, const struct stream_request *stream)
{
    const struct transport *transport = transport_of(req);
    if (http_method_is(req, "HEAD")) {
        serve_head(req);
        return;
    }
    if (transport == &transport_h2 && connection_of(req)->streams >= CONNECTION_STREAMS_MAX) {
        http_add_header(req, "retry-after", SLICE("5"));
        http_error(req, 429, "more than 90 streams on one HTTP/2 connection; open another connection, or use /subscribe");
        return;
    }
    add_stream_headers(req);
    if (transport != &transport_h2)
        edge_add_headers(gateway, req); /* h2o's filters don't see a head that we write */
    struct subscriber *subscriber = subscriber_create(worker_of(req)->hub, transport, stream->count, stream->welcome);
    hub_join(subscriber, stream->channels, stream->mode, stream->last);
    transport->open(req, subscriber);
}
