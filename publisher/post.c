#include "publisher/post.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/channel.h"
#include "proto/message.h"
#include "proto/sse.h"
#include "publisher/counters.h"
#include "publisher/json.h"
#include "runtime/digits.h"
#include "runtime/http.h"
#include "runtime/net/forwarded.h"

enum { PARAMS_MAX = 1000 };

/* What a query or a header says in digits. */
enum number { RETRY, END, LEASE, HISTORY_LEN, HISTORY_TTL, NUMBERS };

static const struct {
    const char *parameter, *header;
} number_names[NUMBERS] = {
    [RETRY] = {"retry", "sse-retry"},
    [END] = {"end", "sse-end"},
    [LEASE] = {"lease", "sse-lease"},
    [HISTORY_LEN] = {"history_len", "sse-history-length"},
    [HISTORY_TTL] = {"history_ttl", "sse-history-ttl"},
};

/* A request being read. */
struct reading {
    h2o_req_t *req;
    struct post *post;
    const struct options *options;
    struct slice numbers[NUMBERS]; /* as the client spelt them; p NULL without */
    H2O_VECTOR(struct body_param) params; /* query first, then form: the later of a name wins */
    int status;
};

static const char *fail(struct reading *reading, int status, const char *why)
{
    reading->status = status;
    return why;
}

static const char *read_route(struct reading *reading)
{
    struct slice path = http_path(reading->req), prefix = SLICE("/channels/");
    bool is_channel = slice_starts(path, prefix), is_channels = slice_eq(path, SLICE("/channels"));
    if (path.p == NULL)
        return "the path holds a broken percent escape";
    if (!is_channel && !is_channels && !(reading->options->service.demo && slice_eq(path, SLICE("/post"))))
        return fail(reading, 404,
                    reading->options->service.demo ? "no such path; publish to /post or /channels/{name}"
                                                   : "no such path; publish to /channels/{name}");
    if (!http_method_is(reading->req, "POST")) {
        http_add_header(reading->req, "allow", SLICE("POST"));
        return fail(reading, 405, "this path allows only POST");
    }
    reading->post->route = is_channel ? POST_CHANNEL : is_channels ? POST_CHANNELS : POST_LEGACY;
    if (is_channels)
        return NULL;
    reading->post->publish.channel = is_channel ? slice_from(path, prefix.n) : SLICE("post");
    return channel_check(reading->post->publish.channel);
}

/* Of two values only one could count, and nobody would know which: two keys of a repeat that was put together wrongly, say. */
static const char *check_once(struct reading *reading)
{
    static const char *const names[] = {
        "Origin",    "Content-Type", "Content-Encoding", "Idempotency-Key",    "SSE-Event",      "SSE-ID",
        "SSE-Retry", "SSE-End",      "SSE-Lease",        "SSE-History-Length", "SSE-History-TTL"};
    static _Thread_local char sentence[80];
    const char *name = http_repeated(reading->req, names, sizeof(names) / sizeof(names[0]));
    if (name == NULL)
        return NULL;
    snprintf(sentence, sizeof(sentence), "the request holds more than one %s header", name);
    return sentence;
}

/* The gateway asks the same, but a page may know the publisher's address. */
static const char *check_origin(struct reading *reading)
{
    if (origin_verdict(reading->options->service.cors_origins, reading->options->service.proxies, reading->req) != CORS_REFUSED)
        return NULL;
    access_count(ACCESS_FOREIGN_ORIGIN);
    return fail(reading, 403, "this origin is not in CORS_ORIGINS");
}

/* A gateway that checks tokens can't see the channels of lines. It demands that this is done here, where it counts on it. */
static const char *check_demand(struct reading *reading)
{
    if (reading->options->service.access != NULL || http_header(reading->req, "sse-tokens").p == NULL)
        return NULL;
    return fail(reading, 500, "the gateway checks tokens and this publisher does not: it needs the same JWT_KEY_FILE");
}

/* Of lines that name their channels it is checked once they are read. */
static const char *check_access(struct reading *reading)
{
    struct access_pass pass;
    if (reading->post->route == POST_CHANNELS)
        return check_demand(reading);
    const char *why =
        access_check(reading->options->service.access, reading->req, ACCESS_PUBLISH, &reading->post->publish.channel, 1, &pass);
    reading->post->publish.author = pass.subject;
    return why == NULL ? NULL : fail(reading, pass.status, why);
}

static const char *check_size(struct reading *reading)
{
    if (reading->req->entity.len > (size_t)reading->options->service.body_limit)
        return fail(reading, 413, "the body is larger than this server accepts (BODY_LIMIT)");
    struct slice encoding = http_header(reading->req, "content-encoding");
    if (encoding.n != 0 && !slice_eq_nocase(encoding, SLICE("identity")))
        return fail(reading, 415, "the body must come without a Content-Encoding");
    return NULL;
}

/* Where tokens are used, one in the query must not become part of an event. */
static const char *add_param(struct reading *reading, struct slice name, struct slice value)
{
    if (reading->options->service.access != NULL && slice_eq(name, SLICE("access_token")))
        return NULL;
    if (reading->params.size == PARAMS_MAX)
        return fail(reading, 413, "the query and the form hold more than 1000 parameters");
    h2o_vector_reserve(&reading->req->pool, &reading->params, reading->params.size + 1);
    reading->params.entries[reading->params.size++] = (struct body_param){.name = name, .value = value};
    return NULL;
}

static bool take_number(struct reading *reading, struct slice name, struct slice value)
{
    for (enum number i = 0; i != NUMBERS; ++i)
        if (slice_eq(name, slice_of(number_names[i].parameter))) {
            reading->numbers[i] = value;
            return true;
        }
    return false;
}

/* Whether the parameter of a query says something about the event, instead of being its data. */
static bool take_option(struct reading *reading, struct slice name, struct slice value)
{
    struct publish_request *publish = &reading->post->publish;
    if (reading->post->route == POST_LEGACY)
        return false;
    if (slice_eq(name, SLICE("event")))
        publish->type = value;
    else if (slice_eq(name, SLICE("id")))
        publish->id = value;
    else
        return take_number(reading, name, value);
    return true;
}

static const char *read_query(struct reading *reading)
{
    struct slice rest = http_query(reading->req), name, value;
    const char *why = NULL;
    bool broken = false;
    while (why == NULL && http_form_next(reading->req, SLICE(""), &rest, &name, &value, &broken)) {
        if (!utf8_valid(name) || !utf8_valid(value))
            return "the query is not UTF-8";
        if (!take_option(reading, name, value))
            why = add_param(reading, name, value);
    }
    return why != NULL ? why : broken ? "the query holds a broken percent escape" : NULL;
}

/* curl -d names everything a form, JSON and text too. */
static bool is_form(struct slice body)
{
    struct slice text = slice_trim(body);
    return body.n == 0 || (memchr(body.p, '=', body.n) != NULL && text.p[0] != '{' && text.p[0] != '[');
}

static const char *read_form(struct reading *reading)
{
    struct slice rest = slice_of_iovec(reading->req->entity), name, value;
    const char *why = NULL;
    bool broken = false;
    if (!is_form(rest))
        return fail(reading, 415, "the body is not a form; name its type with Content-Type: application/json or text/plain");
    while (why == NULL && http_form_next(reading->req, SLICE(""), &rest, &name, &value, &broken)) {
        if (!utf8_valid(name) || !utf8_valid(value))
            return "the form is not UTF-8";
        why = add_param(reading, name, value);
    }
    return why != NULL ? why : broken ? "the form holds a broken percent escape" : NULL;
}

/* Leaves *out alone where the client said nothing. `unit`: with a blank in front, or "". */
static const char *read_number(const struct reading *reading, enum number which, int64_t min, int64_t max, const char *unit,
                               int64_t *out)
{
    static _Thread_local char sentence[96];
    struct slice text = reading->numbers[which];
    uint64_t value;
    if (text.p == NULL)
        return NULL;
    if (text.n <= 8 && digits_decimal(&value, text, (uint64_t)max) && value >= (uint64_t)min) {
        *out = (int64_t)value;
        return NULL;
    }
    snprintf(sentence, sizeof(sentence), "%s must be %" PRId64 " to %" PRId64 "%s", number_names[which].parameter, min, max, unit);
    return sentence;
}

static const char *read_numbers(struct reading *reading)
{
    const struct options *options = reading->options;
    struct publish_request *publish = &reading->post->publish;
    int64_t retry_ms = publish->retry_ms, end = 0, lease_s = 0;
    int64_t len_max = options->history_len_max != 0 ? options->history_len_max : options->history_len;
    int64_t ttl_max = options->history_ttl_max_s != 0 ? options->history_ttl_max_s : options->history_ttl_s;
    const char *why = read_number(reading, RETRY, 0, EVENT_RETRY_MAX, " milliseconds", &retry_ms);
    if (why == NULL)
        why = read_number(reading, END, 0, 1, "", &end);
    if (why == NULL)
        why = read_number(reading, LEASE, 1, MESSAGE_LEASE_MAX, " seconds", &lease_s);
    if (why == NULL)
        why = read_number(reading, HISTORY_LEN, 1, len_max, " events", &publish->history_len);
    if (why == NULL)
        why = read_number(reading, HISTORY_TTL, 1, ttl_max, " seconds", &publish->history_ttl_s);
    publish->retry_ms = (int32_t)retry_ms;
    publish->end = end == 1;
    publish->lease_s = (uint32_t)lease_s;
    return why != NULL || !publish->end || lease_s == 0 ? why : "end and lease exclude each other";
}

/* What the query did not say, a header may. */
static const char *read_headers(struct reading *reading)
{
    struct publish_request *publish = &reading->post->publish;
    if (publish->type.p == NULL)
        publish->type = http_header(reading->req, "sse-event");
    if (publish->id.p == NULL)
        publish->id = http_header(reading->req, "sse-id");
    for (enum number i = 0; i != NUMBERS; ++i)
        if (reading->numbers[i].p == NULL)
            reading->numbers[i] = http_header(reading->req, number_names[i].header);
    publish->key = http_header(reading->req, "idempotency-key");
    if (publish->key.p == NULL)
        return NULL;
    bool good = publish->key.n >= 1 && publish->key.n <= 200;
    for (size_t i = 0; good && i != publish->key.n; ++i)
        good = publish->key.p[i] > 0x20 && publish->key.p[i] < 0x7f;
    return good ? NULL : "Idempotency-Key must be 1 to 200 visible ASCII characters";
}

static const char *check_event(struct reading *reading)
{
    struct publish_request *publish = &reading->post->publish;
    const char *why = event_check_type(publish->type);
    if (why == NULL)
        why = event_check_id(publish->id);
    return why != NULL ? why : read_numbers(reading);
}

static const char *read_text(struct reading *reading)
{
    if (reading->params.size != 0)
        return "a text body and query parameters can't both be the data";
    reading->post->publish.data = slice_of_iovec(reading->req->entity);
    return json_check_utf8("the text body", reading->post->publish.data);
}

/* What the query or a header says of a single event. */
static const char *check_fields(const struct reading *reading)
{
    static _Thread_local char sentence[96];
    const struct publish_request *publish = &reading->post->publish;
    const char *name = publish->type.p != NULL ? "event" : publish->id.p != NULL ? "id" : NULL;
    for (enum number i = RETRY; name == NULL && i <= LEASE; ++i)
        if (reading->numbers[i].p != NULL)
            name = number_names[i].parameter;
    if (name == NULL)
        return NULL;
    snprintf(sentence, sizeof(sentence), "with application/x-ndjson, %s stands in the lines, not in the query or a header", name);
    return sentence;
}

static const char *read_many(struct reading *reading)
{
    struct post *post = reading->post;
    if (post->route == POST_LEGACY)
        return fail(reading, 415, "this path takes one event; publish many to /channels/{name}");
    if (reading->params.size != 0)
        return "lines and query parameters can't both be the data";
    const char *why = check_fields(reading);
    return why != NULL ? why
                       : lines_read(&post->lines, slice_of_iovec(reading->req->entity), post->route == POST_CHANNELS,
                                    reading->options->retry_ms, &reading->status);
}

static const char *read_data(struct reading *reading)
{
    struct slice entity = slice_of_iovec(reading->req->entity);
    struct post *post = reading->post;
    enum body_kind kind;
    const char *why = body_kind_of(&kind, http_header(reading->req, "content-type"));
    if (why != NULL)
        return fail(reading, 415, why);
    if (post->route == POST_CHANNELS && kind != BODY_LINES)
        return fail(reading, 415, "this path takes application/x-ndjson: lines that name their channel");
    if (kind == BODY_LINES)
        return read_many(reading);
    if (kind == BODY_NONE && entity.n != 0)
        return fail(reading, 415, "a body needs a Content-Type");
    if (post->publish.end && entity.n == 0 && reading->params.size == 0)
        return post->publish.id.n != 0 || post->publish.type.n != 0 ? "an end without a body has no event or id of its own" : NULL;
    if (kind == BODY_TEXT && (entity.n != 0 || reading->params.size == 0))
        return read_text(reading);
    if (kind == BODY_FORM)
        why = read_form(reading);
    if (kind == BODY_JSON && entity.n != 0)
        why = body_from_json(&post->body, entity, reading->params.entries, reading->params.size);
    else if (why == NULL)
        body_from_params(&post->body, reading->params.entries, reading->params.size);
    post->publish.data = post->body.data;
    return why;
}

/* The data of all events together on the stream. Line breaks become seven bytes each, and control bytes of a form six: what is small here may be large in
 * Redis. Counted only where it might be more than `max`. */
static size_t data_size(const struct post *post, size_t max)
{
    size_t most = post->publish.data.n * 7 + 7, size = 0;
    for (size_t i = 0; i != post->lines.count; ++i)
        most += post->lines.items[i].event.data.n * 7 + 7;
    if (most <= max)
        return most;
    for (size_t i = 0; i != post->lines.count; ++i)
        size += sse_data_size(post->lines.items[i].event.data);
    return post->lines.count != 0 ? size : sse_data_size(post->publish.data);
}

static const char *check_event_size(struct reading *reading)
{
    static _Thread_local char sentence[160];
    size_t max = (size_t)reading->post->publish.data_max, size = data_size(reading->post, max);
    if (size <= max)
        return NULL;
    snprintf(sentence, sizeof(sentence), "the %s data takes %zu bytes on the stream, more than %zu",
             reading->post->lines.count != 0 ? "events'" : "event's", size, max);
    return fail(reading, 413, sentence);
}

/* The rights to the channels that lines name. */
static const char *check_lines(struct reading *reading)
{
    struct post *post = reading->post;
    struct access_pass pass;
    if (post->route != POST_CHANNELS)
        return NULL;
    struct slice *channels = h2o_mem_alloc_pool(&reading->req->pool, post->lines.count * sizeof(*channels));
    post->granted = h2o_mem_alloc_pool(&reading->req->pool, post->lines.count * sizeof(*post->granted));
    for (size_t i = 0; i != post->lines.count; ++i)
        channels[i] = post->lines.items[i].channel;
    const char *why = access_check_each(reading->options->service.access, reading->req, ACCESS_PUBLISH, channels, post->lines.count,
                                        post->granted, &pass);
    post->publish.author = pass.subject;
    return why == NULL ? NULL : fail(reading, pass.status, why);
}

const char *post_read(struct post *post, h2o_req_t *req, const struct options *options, int *status)
{
    static const char *(*const steps[])(struct reading *) = {read_route, check_once,       check_origin, check_access,
                                                             check_size, read_query,       read_headers, check_event,
                                                             read_data,  check_event_size, check_lines};
    struct reading reading = {.req = req, .post = post, .options = options, .status = 400};
    *post = (struct post){.publish = {.retry_ms = options->retry_ms,
                                      .history_len = options->history_len,
                                      .history_bytes = options->history_bytes,
                                      .data_max = options_data_max(options),
                                      .history_ttl_s = options->history_ttl_s}};
    const char *why = http_head_check(req, &reading.status);
    for (size_t i = 0; why == NULL && i != sizeof(steps) / sizeof(steps[0]); ++i)
        why = steps[i](&reading);
    *status = reading.status;
    return why;
}

void post_free(struct post *post)
{
    body_free(&post->body);
    lines_free(&post->lines);
}
