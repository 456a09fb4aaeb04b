#include "gateway/http/open.h"

#include "gateway/http/admission.h"
#include "gateway/http/edge.h"
#include "gateway/stream_log.h"
#include "proto/channel.h"
#include "proto/event.h"
#include "proto/event_id.h"
#include "proto/sse.h"
#include "runtime/digits.h"
#include "runtime/h2o/h2_guard.h"
#include "runtime/http.h"
#include "runtime/seeded_hash.h"

/* Where the number (from 1) of the channel of this name stands, or would: a table with room, probed one after the other. */
static uint8_t *place_of(struct stream_request *stream, struct slice name)
{
    size_t at = seeded_hash(name.p, name.n) % STREAM_PLACES;
    while (stream->places[at] != 0 && !slice_eq(stream->channels[stream->places[at] - 1], name))
        at = (at + 1) % STREAM_PLACES;
    return &stream->places[at];
}

const char *stream_add_channel(struct stream_request *stream, struct slice name)
{
    const char *error = channel_check(name);
    if (error != NULL)
        return error;
    uint8_t *place = place_of(stream, name);
    if (*place != 0)
        return NULL;
    if (stream->count == STREAM_CHANNELS_MAX)
        return "more than 100 channels in one stream";
    stream->channels[stream->count++] = name;
    *place = (uint8_t)stream->count;
    return NULL;
}

/* Decimal 1..STREAM_LAST_MAX; 0 for anything else. */
static uint32_t parse_last(struct slice text)
{
    uint64_t value;
    return text.n <= 6 && digits_decimal(&value, text, STREAM_LAST_MAX) ? (uint32_t)value : 0;
}

/* The id as UTF-8. Ids are published as UTF-8, but fetch() and most HTTP libraries send a header's text as Latin-1: what is not UTF-8 is taken for that. One that is
 * too long anyway is left as it is. */
static struct slice id_as_utf8(h2o_mem_pool_t *pool, struct slice id)
{
    if (id.n > EVENT_CUSTOM_ID_MAX || utf8_valid(id))
        return id;
    char *out = h2o_mem_alloc_pool(pool, 2 * id.n);
    size_t n = 0;
    for (size_t i = 0; i != id.n; ++i) {
        unsigned char c = (unsigned char)id.p[i];
        if (c >= 0x80)
            out[n++] = (char)(0xc0 | c >> 6);
        out[n++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    return slice_make(out, n);
}

static bool resumes(const struct stream_request *stream)
{
    return stream->spec.mode >= START_EARLIEST;
}

/* Of two ids that a client sends, the one that is further on; where their forms don't tell, the first. Clients add to the address that they were given the id that they have reached. */
static bool is_further(const struct stream_request *stream, struct slice id)
{
    struct position before, at;
    return stream->spec.mode != START_RESUME ||
           (event_id_parse_any(&before, stream->spec.resume_id) && event_id_parse_any(&at, id) &&
            (position_compare(at, before) > 0 || (position_compare(at, before) == 0 && event_id_is_end(id))));
}

/* WHATWG HTML section 9.2.4 keeps ids free of NUL, CR and LF; an empty one is none. */
static const char *resume_from(struct stream_request *stream, h2o_mem_pool_t *pool, struct slice id)
{
    if (id.n == 0)
        return NULL;
    id = id_as_utf8(pool, id);
    if (id.n > EVENT_CUSTOM_ID_MAX)
        return "the last event id is longer than 200 bytes";
    if (memchr(id.p, 0, id.n) != NULL)
        return "the last event id holds a NUL";
    stream->spec.welcome = WELCOME_NOTHING;
    if (slice_eq(id, SLICE("earliest"))) {
        stream->spec.mode = resumes(stream) ? stream->spec.mode : START_EARLIEST;
    } else if (is_further(stream, id)) {
        stream->spec.mode = START_RESUME;
        stream->spec.resume_id = id;
    }
    return NULL;
}

/* Whether the value is one of two words, of which `yes` sets the switch. */
static bool read_switch(bool *on, struct slice value, struct slice yes, struct slice no)
{
    *on = slice_eq(value, yes);
    return *on || slice_eq(value, no);
}

static const char *read_end(struct stream_request *stream, struct slice value)
{
    bool good = value.n >= 1 && value.n <= STREAM_END_MAX && utf8_valid(value);
    for (size_t i = 0; good && i != value.n; ++i)
        good = (unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f;
    stream->spec.end_text = value;
    return good ? NULL : "end must be 1 to 200 bytes of UTF-8 without control characters";
}

/* What the stream is made of. */
static const char *read_form(struct stream_request *stream, struct slice name, struct slice value)
{
    bool on;
    uint64_t number;
    if (slice_eq(name, SLICE("place"))) {
        if (!read_switch(&on, value, SLICE("0"), SLICE("1")))
            return "place must be 0 or 1";
        stream->spec.welcome = on ? WELCOME_NOTHING : stream->spec.welcome;
    } else if (slice_eq(name, SLICE("gap"))) {
        if (!read_switch(&stream->spec.gap_closes, value, SLICE("close"), SLICE("event")))
            return "gap must be close or event";
    } else if (slice_eq(name, SLICE("envelope"))) {
        if (!read_switch(&on, value, SLICE("1"), SLICE("0")))
            return "envelope must be 0 or 1";
        if (stream->spec.form != FORM_JSON)
            stream->spec.form = on ? FORM_ENVELOPE : FORM_LEAN;
    } else if (slice_eq(name, SLICE("end"))) {
        return read_end(stream, value);
    } else if (stream->spec.form == FORM_JSON && slice_eq(name, SLICE("limit"))) {
        if (!digits_decimal(&number, value, STREAM_LIMIT_MAX) || number == 0)
            return "limit must be a number from 1 to 1000";
        stream->spec.poll.limit = (uint32_t)number;
    } else if (stream->spec.form == FORM_JSON && slice_eq(name, SLICE("wait"))) {
        if (!digits_decimal(&number, value, STREAM_WAIT_MAX_S))
            return "wait must be a number of seconds from 0 to 60";
        stream->spec.poll.wait_ms = (uint32_t)number * 1000;
    }
    return NULL;
}

/* What clients call it that can set no header. */
static bool is_resume_parameter(struct slice name)
{
    static const struct slice names[] = {
        {"last_event_id", 13}, {"lastEventId", 11}, {"lastEventID", 11}, {"Last-Event-ID", 13}, {"evs_last_event_id", 17},
    };
    size_t i = 0;
    while (i != sizeof(names) / sizeof(names[0]) && !slice_eq(name, names[i]))
        ++i;
    return i != sizeof(names) / sizeof(names[0]);
}

/* `resumed`: by the header. */
static const char *read_parameter(struct stream_request *stream, h2o_mem_pool_t *pool, struct slice name, struct slice value,
                                  bool many, bool resumed)
{
    if (is_resume_parameter(name))
        return resumed ? NULL : resume_from(stream, pool, value);
    if (slice_eq(name, SLICE("last"))) {
        uint32_t last = parse_last(value);
        if (last != 0 && !resumes(stream))
            stream->spec.mode = START_LAST, stream->spec.last = last;
        return last == 0 ? "last must be a number from 1 to 100000" : NULL;
    }
    if (many && slice_eq(name, SLICE("channel")))
        return stream_add_channel(stream, value);
    return stream->spec.form == FORM_FULL ? NULL : read_form(stream, name, value);
}

const char *stream_read_query(struct stream_request *stream, h2o_req_t *req, bool many)
{
    struct slice rest = http_query(req), name, value;
    bool broken = false;
    const char *error = resume_from(stream, &req->pool, http_header(req, "last-event-id"));
    bool resumed = resumes(stream);
    while (error == NULL && http_form_next(req, SLICE("channel"), &rest, &name, &value, &broken))
        error = read_parameter(stream, &req->pool, name, value, many, resumed);
    if (error != NULL)
        return error;
    if (broken)
        return "the query holds a broken percent escape";
    return stream->count == 0 ? "name at least one channel: /subscribe?channel=a&channel=b" : NULL;
}

static void add_stream_headers(h2o_req_t *req)
{
    http_add_header(req, "content-type", SLICE(SSE_CONTENT_TYPE));
    http_add_header(req, "cache-control", SLICE(SSE_CACHE_CONTROL));
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

static struct stream_facts facts_of(h2o_req_t *req, const struct stream_request *stream)
{
    return (struct stream_facts){.channels = stream->channels,
                                 .count = stream->count,
                                 .client = proxies_client(site_of(req)->proxies, req),
                                 .protocol = req->version >= 0x200   ? "HTTP/2"
                                             : req->version == 0x101 ? "HTTP/1.1"
                                                                     : "HTTP/1.0",
                                 .subject = stream->subject,
                                 .mode = stream->spec.mode,
                                 .last_event_id = stream->spec.resume_id};
}

void stream_refuse(h2o_req_t *req, const struct stream_request *stream, const struct refusal *why)
{
    struct stream_facts facts = facts_of(req, stream);
    stream_log_refused(&facts, why);
    http_error_later(req, why->status, why->retry_s, why->sentence);
}

bool stream_serve(h2o_req_t *req, struct stream_request *stream, struct refusal *why)
{
    const struct site *site = site_of(req);
    const struct site_worker *worker = site_worker_of(req);
    bool polls = stream->spec.form == FORM_JSON;
    if (http_method_is(req, "HEAD") && !polls) {
        serve_head(req);
        return true;
    }
    if (worker->draining) {
        *why = (struct refusal){503, 1, "this gateway is shutting down; connect again"};
        return false;
    }
    stream->spec.channels = stream->channels;
    stream->spec.count = stream->count;
    if (!admission_connection(req, why) || !admission_channels(req, &stream->spec, why))
        return false;
    if (!polls) {
        h2_guard_stream(req);
        add_stream_headers(req);
    }
    if (req->version < 0x200 && !polls) { /* h2o's filters don't see a head that we write */
        edge_add_headers(req);
        edge_count_stream(req);
    }
    struct stream_facts facts = facts_of(req, stream);
    stream->spec.address = facts.client;
    stream->spec.log = stream_log_opened(&facts);
    stream->spec.head_first = !polls && !site->bus.usable(site->bus.feed);
    hub_open(worker->hub, req, &stream->spec);
    return true;
}
