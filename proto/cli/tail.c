#include "proto/cli/tail.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/cli/address.h"
#include "proto/cli/backoff.h"
#include "proto/cli/client.h"
#include "proto/cli/output.h"
#include "proto/cli/reply.h"
#include "runtime/monotonic.h"

enum { LIVED_US = 5000000 }; /* a stream this old was fine, also without an event */

enum phase {
    PHASE_HEAD, /* no answer yet */
    PHASE_STREAM, /* 200 and an event stream */
    PHASE_OTHER, /* an answer that is none */
};

enum verdict { VERDICT_AGAIN, VERDICT_DONE, VERDICT_FAILED };

struct tail {
    const struct options *options;
    struct client client;
    struct sse_parser parser;
    int64_t left; /* events until --count; 0: no end */
    unsigned failures; /* tries in a row that failed */
    int64_t after_s; /* Retry-After of the last answer */
    bool opened; /* some connection held a stream */
    /* of this connection */
    struct request request;
    enum phase phase;
    struct buffer url, body, why;
    uint64_t began_us, heard_us;
    bool had_event;
    bool ended; /* its newest event tells the end of a channel */
    const char *fault; /* the stream can't be read */
};

/* Tells of a gap, which a server of ours sends as {"channel":"…","last_event_id":"…"}. */
static void note_gap(struct slice data)
{
    struct buffer channel = {NULL, 0, 0}, id = {NULL, 0, 0};
    if (reply_member(&channel, data, "channel") && reply_member(&id, data, "last_event_id"))
        output_note("gap: events of channel %s after id %s are lost", channel.p, id.p);
    else
        output_note("gap: events are lost");
    buffer_free(&channel);
    buffer_free(&id);
}

/* Whether it is how a server of ours tells the end of a channel, {"channel":"…","reason":"…"}: others may have an event of that type. */
static bool is_our_end(struct slice data)
{
    struct buffer channel = {NULL, 0, 0}, reason = {NULL, 0, 0};
    bool is = reply_member(&channel, data, "channel") && reply_member(&reason, data, "reason");
    buffer_free(&channel);
    buffer_free(&reason);
    return is;
}

static bool on_event(void *data, const struct sse_event *event)
{
    struct tail *tail = data;
    tail->had_event = true;
    output_event(event);
    if (slice_eq(event->type, SLICE("gap")))
        note_gap(event->data);
    tail->ended = slice_eq(event->type, SLICE("end")) && is_our_end(event->data);
    return tail->left == 0 || --tail->left != 0;
}

static bool is_event_stream(const char *type)
{
    static const char want[] = "text/event-stream";
    size_t n = sizeof(want) - 1;
    return type != NULL && strncasecmp(type, want, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static void on_stream(struct tail *tail)
{
    struct buffer shown = {NULL, 0, 0};
    tail->phase = PHASE_STREAM;
    address_show(&shown, tail->url.p);
    if (!tail->opened && output_is_watched())
        output_note("connected to %s", shown.p);
    else if (tail->opened)
        output_note("connected again");
    tail->opened = true;
    buffer_free(&shown);
}

/* Called for each line of a head; the empty one ends it. Heads of redirects that are followed pass by. */
static size_t on_head_line(char *line, size_t one, size_t n, void *data)
{
    struct tail *tail = data;
    const char *type = NULL;
    tail->heard_us = monotonic_us();
    if (n > 2 || line[0] != '\r' || tail->phase != PHASE_HEAD || request_status(&tail->request) != 200)
        return one * n;
    curl_easy_getinfo(tail->request.easy, CURLINFO_CONTENT_TYPE, &type);
    if (is_event_stream(type))
        on_stream(tail);
    else
        tail->phase = PHASE_OTHER;
    return one * n;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *data)
{
    struct tail *tail = data;
    struct slice body = slice_make(bytes, one * n);
    tail->heard_us = monotonic_us();
    if (tail->phase != PHASE_STREAM)
        return buffer_add(&tail->body, body, REPLY_BODY_MAX) ? body.n : 0;
    tail->fault = sse_parser_feed(&tail->parser, body);
    return output_flush() && tail->fault == NULL && !tail->parser.enough ? body.n : 0;
}

static void connect_stream(struct tail *tail)
{
    struct slice id = buffer_slice(&tail->parser.id);
    buffer_clear(&tail->url);
    buffer_clear(&tail->body);
    buffer_clear(&tail->why);
    address_stream(&tail->url, tail->options, id.n == 0);
    sse_parser_begin(&tail->parser);
    tail->phase = PHASE_HEAD;
    tail->had_event = tail->ended = false;
    tail->began_us = tail->heard_us = monotonic_us();
    request_init(&tail->request, &tail->client, tail->url.p, on_body, tail);
    curl_easy_setopt(tail->request.easy, CURLOPT_HEADERFUNCTION, on_head_line);
    curl_easy_setopt(tail->request.easy, CURLOPT_HEADERDATA, tail);
    request_header(&tail->request, "Accept", "text/event-stream");
    if (id.n != 0)
        request_header(&tail->request, "Last-Event-ID", id.p);
    request_start(&tail->request, &tail->client);
}

static void describe_other(struct tail *tail)
{
    const char *type = NULL, *to = NULL;
    long status = request_status(&tail->request);
    curl_easy_getinfo(tail->request.easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(tail->request.easy, CURLINFO_REDIRECT_URL, &to);
    if (status == 200)
        buffer_print(&tail->why, "not an event stream, but %s", type == NULL ? "an answer without a type" : type);
    else
        reply_print(&tail->why, status, buffer_slice(&tail->body), to);
}

static enum verdict judge_stream(struct tail *tail, CURLcode code)
{
    bool fine = tail->had_event || monotonic_us() - tail->began_us > LIVED_US;
    tail->failures = fine ? 0 : tail->failures + 1;
    buffer_print(&tail->why, "the stream ended");
    if (code != CURLE_OK) {
        buffer_print(&tail->why, " (");
        request_print_fault(&tail->request, &tail->why, code);
        buffer_print(&tail->why, ")");
    }
    if (tail->options->once || (tail->ended && code == CURLE_OK))
        return code == CURLE_OK ? VERDICT_DONE : VERDICT_FAILED;
    return VERDICT_AGAIN;
}

/* What the end of a connection means; `why` says it. */
static enum verdict judge(struct tail *tail, CURLcode code)
{
    curl_off_t after = 0;
    long status = request_status(&tail->request);
    if (tail->parser.enough)
        return VERDICT_DONE;
    if (tail->fault != NULL) {
        buffer_print(&tail->why, "%s", tail->fault);
        return VERDICT_FAILED;
    }
    if (tail->phase == PHASE_STREAM)
        return judge_stream(tail, code);
    ++tail->failures;
    if (status == 0 || (code != CURLE_OK && code != CURLE_WRITE_ERROR)) {
        request_print_fault(&tail->request, &tail->why, code);
        return request_may_pass(code) ? VERDICT_AGAIN : VERDICT_FAILED;
    }
    describe_other(tail);
    curl_easy_getinfo(tail->request.easy, CURLINFO_RETRY_AFTER, &after);
    tail->after_s = after;
    if (reply_of(status) == REPLY_END)
        output_note("%s: the server has no more for us", tail->why.p);
    return reply_of(status) == REPLY_END ? VERDICT_DONE : reply_of(status) == REPLY_LATER ? VERDICT_AGAIN : VERDICT_FAILED;
}

static int fail(struct tail *tail)
{
    struct buffer shown = {NULL, 0, 0};
    address_show(&shown, tail->url.p);
    output_fault("%s: %s", shown.p, tail->why.p);
    buffer_free(&shown);
    return 1;
}

/* One connection, from its start to its end. */
static enum client_end read_stream(struct tail *tail, enum verdict *verdict)
{
    CURLcode code = CURLE_OK;
    connect_stream(tail);
    enum client_end end = client_run(&tail->client, &code, &tail->heard_us, tail->options->idle);
    tail->after_s = 0;
    if (end == CLIENT_IDLE) {
        tail->failures += !tail->had_event;
        buffer_print(&tail->why, "no data for %" PRId64 " s", tail->options->idle);
        *verdict = VERDICT_AGAIN;
        end = CLIENT_DONE;
    } else if (end == CLIENT_DONE) {
        *verdict = judge(tail, code);
    }
    request_free(&tail->request, &tail->client);
    return end;
}

static enum client_end wait_for_next(struct tail *tail)
{
    int64_t ms = backoff_ms(tail->parser.retry_ms, tail->failures, tail->after_s, arc4random());
    output_note("%s; again in %.1f s%s%s", tail->why.p, (double)ms / 1000, tail->parser.id.n == 0 ? "" : " after id ",
                tail->parser.id.n == 0 ? "" : tail->parser.id.p);
    return client_wait(&tail->client, ms);
}

static int run(struct tail *tail)
{
    const struct options *options = tail->options;
    for (;;) {
        enum verdict verdict = VERDICT_AGAIN;
        enum client_end end = read_stream(tail, &verdict);
        if (!output_flush())
            return output_lost();
        if (end != CLIENT_DONE || verdict == VERDICT_DONE)
            return 0;
        if (verdict == VERDICT_FAILED || options->once || (options->tries != 0 && tail->failures >= options->tries))
            return fail(tail);
        if (wait_for_next(tail) != CLIENT_DONE)
            return 0;
    }
}

int tail_run(const struct options *options)
{
    struct tail tail = {.options = options, .left = options->count};
    client_init(&tail.client, options);
    tail.client.needs_reader = true;
    sse_parser_init(&tail.parser, options->from == NULL ? SLICE("") : slice_of(options->from), on_event, &tail);
    int status = run(&tail);
    if (output_is_watched() && tail.parser.id.n != 0)
        output_note("the last id is %s; resume after it with --from", tail.parser.id.p);
    sse_parser_free(&tail.parser);
    buffer_free(&tail.url);
    buffer_free(&tail.body);
    buffer_free(&tail.why);
    client_free(&tail.client);
    return status;
}
