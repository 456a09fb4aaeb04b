/* How many streams the process, a client's address and a token's subject may have, and how often an address may open streams, bring up channels and publish.
 * Shared by all threads: a short lock on one of many parts of the table when a stream opens or closes and for each publish, none in
 * between. It holds only addresses and subjects that have a stream, or have not yet earned back what they used, and of the
 * latter at most LIMITS_IDLE_MAX: above that the oldest are forgotten, and start from zero again. */
#pragma once

#include "runtime/metrics.h"
#include "runtime/net/client_address.h"

enum {
    LIMITS_BURST_S = 10, /* that much of its rate an address may use at once after a pause */
    LIMITS_IDLE_MAX = 262144, /* some 40 MB */
};

/* Which limit was hit. */
enum limit {
    LIMIT_NONE,
    LIMIT_STREAMS, /* of the process */
    LIMIT_ADDRESS_STREAMS,
    LIMIT_SUBJECT_STREAMS,
    LIMIT_CONNECTION_STREAMS, /* of an HTTP/2 connection; see runtime/net/connection.h */
    LIMIT_STREAM_RATE,
    LIMIT_PUBLISH_RATE,
    LIMIT_CHANNEL_RATE,
    LIMIT_CHANNELS, /* of the process */
    LIMIT_KINDS = LIMIT_CHANNELS, /* without LIMIT_NONE */
};

/* For callers that find this out elsewhere. */
#define CHANNELS_SENTENCE "too many channels on this gateway (MAX_CHANNELS)"
enum { CHANNELS_RETRY_S = 5 };

/* Rows of a metrics table: row `first` + limit - 1 counts the refusals of one. */
#define LIMIT_ROW(first, limit, name)                               \
    [(first) + (limit)-1] = {                                       \
        "sse_limited_total", "reason=\"" name "\"", METRIC_COUNTER, \
        "requests refused for a limit, by reason: 429; for channels 503, or 400 where a stream names more than there may be"}
#define LIMIT_ROWS(first)                                                                                          \
    LIMIT_ROW(first, LIMIT_STREAMS, "streams"), LIMIT_ROW(first, LIMIT_ADDRESS_STREAMS, "streams of the address"), \
        LIMIT_ROW(first, LIMIT_SUBJECT_STREAMS, "streams of the subject"),                                         \
        LIMIT_ROW(first, LIMIT_CONNECTION_STREAMS, "streams of the connection"),                                   \
        LIMIT_ROW(first, LIMIT_STREAM_RATE, "stream rate"), LIMIT_ROW(first, LIMIT_PUBLISH_RATE, "publish rate"),  \
        LIMIT_ROW(first, LIMIT_CHANNEL_RATE, "channel rate"), LIMIT_ROW(first, LIMIT_CHANNELS, "channels")

struct limits_options { /* 0: no such limit */
    int64_t streams, address_streams, subject_streams;
    int64_t stream_rate, publish_rate, channel_rate; /* a second */
};

struct limits;
struct limits_place; /* of one stream */

struct limits *limits_create(const struct limits_options *options);

/* No place may be taken. */
void limits_free(struct limits *limits);

/* Whether any of them concerns streams, or publishing. */
bool limits_on_streams(const struct limits *limits);
bool limits_on_publishing(const struct limits *limits);

/* A client wants to open a stream at `now_us` (monotonic). LIMIT_NONE: *place is taken, for limits_leave(). Else nothing was, and *retry_s is the
 * seconds after which it may be worth another try. IPv6 clients count by their /64. */
enum limit limits_enter(struct limits *limits, const struct client_address *client, uint64_t now_us, struct limits_place **place,
                        unsigned *retry_s);

/* The place is also one of this subject. Once for a place; an empty subject is nobody's. When it is LIMIT_SUBJECT_STREAMS the caller leaves. */
enum limit limits_enter_subject(struct limits_place *place, struct slice subject, unsigned *retry_s);

/* The stream is gone, at `now_us`. NULL is fine. */
void limits_leave(struct limits_place *place, uint64_t now_us);

/* A client wants to publish. */
enum limit limits_publish(struct limits *limits, const struct client_address *client, uint64_t now_us, unsigned *retry_s);

/* A request that limits_publish() let in holds so many events more. They are paid for, into debt where that is needed: until it is paid off the client's next request waits. */
void limits_publish_more(struct limits *limits, const struct client_address *client, uint32_t events, uint64_t now_us);

/* How many new channels the client may have at once, now: any number where it has used none of its rate. */
uint32_t limits_channels_left(struct limits *limits, const struct client_address *client, uint64_t now_us);

/* A client wants a stream of `count` channels, so many of them new here. More than it may ever have at once pass where it has used none of its rate, and it pays for all of
 * them: until then it may have no other. *retry_s is long enough also if all `count` are new then. */
enum limit limits_channels(struct limits *limits, const struct client_address *client, uint32_t fresh, uint32_t count,
                           uint64_t now_us, unsigned *retry_s);

/* The sentence for the client. */
const char *limit_sentence(enum limit limit);

/* How many addresses and subjects are held. For tests. */
size_t limits_entries(struct limits *limits);
