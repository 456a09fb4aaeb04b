#include "proto/cli/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cli/address.h"
#include "proto/cli/backoff.h"
#include "proto/cli/batch.h"
#include "proto/cli/client.h"
#include "proto/cli/lines.h"
#include "proto/cli/output.h"
#include "proto/cli/reply.h"
#include "proto/cli/stop.h"
#include "runtime/monotonic.h"

enum {
    ANSWER_MS = 30000,
    REMEMBERED_MS = 240000, /* a server knows an Idempotency-Key for 5 minutes: no repeat comes near that */
    IDS_MAX = 1 << 19, /* bytes of an answer with the ids of a batch */
};

struct publish {
    const struct options *options;
    struct client client;
    struct buffer url, data, key, body, why;
    char lease[8]; /* seconds; empty: none */
    struct batch batch; /* with --batch */
    uint64_t lines; /* read so far; of a batch its first one */
    bool too_long; /* the answer */
    bool ends; /* it is the last one */
};

static size_t on_body(char *bytes, size_t one, size_t n, void *data)
{
    struct publish *publish = data;
    size_t max = publish->options->batch ? IDS_MAX : REPLY_BODY_MAX;
    publish->too_long = publish->too_long || !buffer_add(&publish->body, slice_make(bytes, one * n), max);
    return one * n;
}

/* The same event again must be known as such, so each has a key, the author's or a random one. */
static void make_key(struct publish *publish)
{
    const char *key = publish->options->idempotency_key;
    uint64_t random[2];
    buffer_clear(&publish->key);
    if (key != NULL && (publish->options->lines || publish->options->batch)) {
        buffer_print(&publish->key, "%s-%" PRIu64, key, publish->lines);
    } else if (key != NULL) {
        buffer_print(&publish->key, "%s", key);
    } else {
        arc4random_buf(random, sizeof(random));
        buffer_print(&publish->key, "sse-cli-%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    }
}

/* Whether what is sent is one: the end behind the last one is not. */
static bool is_batch(const struct publish *publish)
{
    return publish->options->batch && !publish->ends;
}

static void prepare(struct publish *publish, struct request *request)
{
    const char *type = publish->options->json ? "application/json" : "text/plain; charset=utf-8";
    bool batch = is_batch(publish);
    buffer_clear(&publish->body);
    buffer_clear(&publish->why);
    publish->too_long = false;
    request_init(request, &publish->client, publish->url.p, on_body, publish);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    request_post(request, buffer_slice(batch ? &publish->batch.body : &publish->data), batch ? "application/x-ndjson" : type);
    request_header(request, "Idempotency-Key", publish->key.p);
    if (publish->ends)
        request_header(request, "SSE-End", "1");
    if (publish->lease[0] != '\0' && !publish->ends && !batch)
        request_header(request, "SSE-Lease", publish->lease);
    request_start(request, &publish->client);
}

static void print_lines(struct slice text)
{
    for (struct slice rest = text; rest.n != 0;)
        output_line(slice_split(&rest, '\n'));
}

/* Prints the ids that the server answered. */
static enum reply acknowledge(struct publish *publish)
{
    struct buffer ids = {NULL, 0, 0};
    struct slice body = buffer_slice(&publish->body);
    bool found = !publish->too_long &&
                 (is_batch(publish) ? reply_list(&ids, body, "ids", publish->batch.events) : reply_member(&ids, body, "id"));
    if (found && is_batch(publish))
        print_lines(buffer_slice(&ids));
    else if (found)
        output_line(buffer_slice(&ids));
    else
        buffer_print(&publish->why, "the answer holds no id: is this an SSE gateway or publisher?");
    buffer_free(&ids);
    return found ? REPLY_GOOD : REPLY_REFUSED;
}

/* What one try came to. `why` says what went wrong. */
static enum reply judge(struct publish *publish, const struct request *request, CURLcode code)
{
    const char *to = NULL;
    if (code != CURLE_OK) {
        request_print_fault(request, &publish->why, code);
        return request_may_pass(code) ? REPLY_LATER : REPLY_REFUSED;
    }
    enum reply reply = reply_of(request_status(request));
    if (reply == REPLY_GOOD)
        return acknowledge(publish);
    curl_easy_getinfo(request->easy, CURLINFO_REDIRECT_URL, &to);
    reply_print(&publish->why, request_status(request), buffer_slice(&publish->body), to);
    return reply == REPLY_END ? REPLY_REFUSED : reply;
}

/* One try. `after_s`: for how long the server asked to be left alone. */
static enum client_end try_once(struct publish *publish, enum reply *reply, int64_t *after_s)
{
    struct request request;
    CURLcode code = CURLE_OK;
    curl_off_t after = 0;
    const uint64_t never = 0;
    prepare(publish, &request);
    enum client_end end = client_run(&publish->client, &code, &never, 0);
    if (end == CLIENT_DONE) {
        *reply = judge(publish, &request, code);
        curl_easy_getinfo(request.easy, CURLINFO_RETRY_AFTER, &after);
        *after_s = after;
    }
    request_free(&request, &publish->client);
    return end;
}

static bool interrupted(struct publish *publish)
{
    buffer_clear(&publish->why);
    buffer_print(&publish->why, "interrupted");
    return false;
}

/* Waits for the next try; false when there is none. */
static bool wait_for_next(struct publish *publish, unsigned failures, int64_t after_s, uint64_t began_ms)
{
    int64_t ms = backoff_ms(-1, failures, after_s, arc4random());
    if (publish->options->tries != 0 && failures >= publish->options->tries)
        return false;
    if (monotonic_ms() + (uint64_t)ms - began_ms > REMEMBERED_MS) {
        buffer_print(&publish->why, ", and later the server would not know the event again");
        return false;
    }
    output_note("%s; again in %.1f s", publish->why.p, (double)ms / 1000);
    return client_wait(&publish->client, ms) == CLIENT_DONE || interrupted(publish);
}

/* Publishes `data` for sure, or `why` says why not. */
static bool publish_event(struct publish *publish)
{
    uint64_t began_ms = monotonic_ms();
    make_key(publish);
    for (unsigned failures = 1;; ++failures) {
        enum reply reply = REPLY_LATER;
        int64_t after_s = 0;
        if (try_once(publish, &reply, &after_s) != CLIENT_DONE)
            return interrupted(publish);
        if (reply != REPLY_LATER)
            return reply == REPLY_GOOD;
        if (!wait_for_next(publish, failures, after_s, began_ms))
            return false;
    }
}

/* The server counts the lines of the batch, the user those of the input. */
static void fail_batch(const struct publish *publish, const char *url)
{
    const struct batch *batch = &publish->batch;
    const char *why = publish->why.p, *line = strstr(why, ": line ");
    char *rest = NULL;
    unsigned long n = line == NULL ? 0 : strtoul(line + 7, &rest, 10);
    if (n != 0 && n <= batch->last + 1 - batch->first)
        output_fault("%s: line %" PRIu64 ": %.*s%s", url, batch->first + n - 1, (int)(line - why), why, rest);
    else
        output_fault("%s: lines %" PRIu64 " to %" PRIu64 ": %s", url, batch->first, batch->last, why);
}

static int fail(const struct publish *publish)
{
    struct buffer shown = {NULL, 0, 0};
    address_show(&shown, publish->url.p);
    if (is_batch(publish))
        fail_batch(publish, shown.p);
    else if (publish->options->lines)
        output_fault("%s: line %" PRIu64 ": %s", shown.p, publish->lines, publish->why.p);
    else
        output_fault("%s: %s", shown.p, publish->why.p);
    buffer_free(&shown);
    return 1;
}

static int input_fault(const struct publish *publish, enum lines outcome)
{
    if (stop_asked())
        output_fault("interrupted");
    else if (outcome == LINES_TOO_LONG && publish->options->batch)
        output_fault("standard input: line %" PRIu64 " is longer than 64 MiB", publish->batch.last + 1);
    else if (outcome == LINES_TOO_LONG && publish->options->lines)
        output_fault("standard input: line %" PRIu64 " is longer than 64 MiB", publish->lines + 1);
    else if (outcome == LINES_TOO_LONG)
        output_fault("standard input: is longer than 64 MiB");
    else
        output_fault("standard input: %s", strerror(errno));
    return 1;
}

/* Only the end: no field of an event goes with it. */
static int publish_end(struct publish *publish)
{
    buffer_clear(&publish->url);
    buffer_clear(&publish->data);
    address_channel(&publish->url, publish->options, publish->options->arguments.items[0], false);
    publish->ends = true;
    ++publish->lines; /* its key is another one than the last line's */
    if (!publish_event(publish))
        return fail(publish);
    return output_flush() ? 0 : output_lost();
}

static int publish_lines(struct publish *publish)
{
    enum lines outcome;
    while ((outcome = lines_next(&publish->data)) == LINES_GOT) {
        ++publish->lines;
        if (!publish_event(publish))
            return fail(publish);
        if (!output_flush())
            return output_lost();
    }
    if (outcome != LINES_END)
        return input_fault(publish, outcome);
    return publish->options->end ? publish_end(publish) : 0;
}

/* What the options say of each event, for lines that are data. */
static void add_members(struct buffer *out, const struct options *options)
{
    if (options->event != NULL) {
        buffer_print(out, ",\"event\":");
        batch_quote(out, slice_of(options->event));
    }
    if (options->retry >= 0)
        buffer_print(out, ",\"retry\":%" PRId64, options->retry);
    if (options->lease != 0)
        buffer_print(out, ",\"lease\":%" PRId64, options->lease);
}

static int publish_batches(struct publish *publish)
{
    struct batch *batch = &publish->batch;
    enum lines outcome;
    batch->objects = publish->options->json;
    batch->patient = publish->options->idempotency_key != NULL;
    add_members(&batch->members, publish->options);
    while ((outcome = batch_next(batch)) == LINES_GOT) {
        publish->lines = batch->first;
        if (!publish_event(publish))
            return fail(publish);
        if (!output_flush())
            return output_lost();
    }
    publish->lines = batch->last;
    if (outcome != LINES_END)
        return input_fault(publish, outcome);
    return publish->options->end ? publish_end(publish) : 0;
}

static int publish_one(struct publish *publish)
{
    const struct option_list *arguments = &publish->options->arguments;
    if (publish->options->end && arguments->count == 1)
        return publish_end(publish);
    publish->ends = publish->options->end;
    if (arguments->count == 2 && strcmp(arguments->items[1], "-") != 0) {
        buffer_print(&publish->data, "%s", arguments->items[1]);
    } else {
        enum lines outcome = lines_all(&publish->data);
        if (outcome != LINES_GOT)
            return input_fault(publish, outcome);
    }
    if (!publish_event(publish))
        return fail(publish);
    return output_flush() ? 0 : output_lost();
}

int publish_run(const struct options *options)
{
    struct publish publish = {.options = options};
    if (options->lease != 0)
        snprintf(publish.lease, sizeof(publish.lease), "%d", (int)options->lease);
    client_init(&publish.client, options);
    address_channel(&publish.url, options, options->arguments.items[0], !options->batch);
    int status = options->batch ? publish_batches(&publish) : options->lines ? publish_lines(&publish) : publish_one(&publish);
    batch_free(&publish.batch);
    buffer_free(&publish.url);
    buffer_free(&publish.data);
    buffer_free(&publish.key);
    buffer_free(&publish.body);
    buffer_free(&publish.why);
    client_free(&publish.client);
    return status;
}
