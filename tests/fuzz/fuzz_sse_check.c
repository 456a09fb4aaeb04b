/* Input: bytes that are, or are not, one encoded event.
 * What sse_check() lets through is for a browser at most one event of just the fields that it told, sets no other id and retry, leaves the
 * events before and behind it alone, and is what sse_write() makes of those fields, byte for byte. */
#include "proto/sse.h"

#include "tests/fuzz/browser.h"

struct seen {
    size_t count;
    struct text type, data;
};

static void on_event(void *data, struct slice type, struct slice text, struct slice last_event_id)
{
    struct seen *seen = data;
    (void)last_event_id;
    ++seen->count;
    text_free(&seen->type);
    text_free(&seen->data);
    text_add(&seen->type, type);
    text_add(&seen->data, text);
}

/* The fields as they would go into sse_write(): data with its inner "data: " taken out. */
static void undress(struct text *out, struct slice data)
{
    bool first = true;
    for (struct slice rest = data; rest.p != NULL; first = false) {
        struct slice line = slice_split(&rest, '\n');
        if (!first)
            text_add(out, SLICE("\n"));
        text_add(out, first ? line : slice_from(line, strlen("data: ")));
    }
}

static void check_reencoded(struct slice bytes, const struct sse_fields *fields, struct slice data, long long retry)
{
    struct event event = {.type = fields->type,
                          .data = &data,
                          .data_count = fields->data.p != NULL,
                          .id = fields->id,
                          .retry_ms = retry < 0 ? EVENT_RETRY_NONE : (int32_t)retry};
    must(retry <= EVENT_RETRY_STORED_MAX && event_check_stored_type(event.type) == NULL && event_check_stored_id(event.id) == NULL);
    must(sse_size(&event) == bytes.n);
    char *out = malloc(bytes.n);
    must(out != NULL && sse_write(out, &event) == bytes.n);
    must(memcmp(out, bytes.p, bytes.n) == 0);
    free(out);
}

static void check_alone(struct slice bytes, const struct sse_fields *fields, struct slice data)
{
    struct seen seen = {0};
    struct browser browser = BROWSER_INIT(on_event, &seen);
    browser_read(&browser, bytes);
    must(seen.count == (fields->data.p != NULL));
    if (seen.count == 1) {
        must(slice_eq(text_slice(&seen.type), fields->type.n == 0 ? SLICE("message") : fields->type));
        must(slice_eq(text_slice(&seen.data), data));
    }
    must(slice_eq(text_slice(&browser.id), fields->id));
    check_reencoded(bytes, fields, data, browser.retry);
    text_free(&seen.type);
    text_free(&seen.data);
    browser_free(&browser);
}

/* In the middle of a stream: others' events arrive as they were sent. */
static void check_among_others(struct slice bytes, const struct sse_fields *fields)
{
    struct slice other = SLICE("event: other\ndata: of somebody else\n\n");
    struct text stream = {NULL, 0, 0};
    struct seen seen = {0};
    struct browser browser = BROWSER_INIT(on_event, &seen);
    text_add(&stream, SLICE("id: before\n\n"));
    text_add(&stream, bytes);
    text_add(&stream, other);
    browser_read(&browser, text_slice(&stream));
    must(seen.count == 1u + (fields->data.p != NULL));
    must(slice_eq(text_slice(&seen.type), SLICE("other")) && slice_eq(text_slice(&seen.data), SLICE("of somebody else")));
    must(slice_eq(text_slice(&browser.id), fields->id.p == NULL ? SLICE("before") : fields->id));
    text_free(&seen.type);
    text_free(&seen.data);
    text_free(&stream);
    browser_free(&browser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_make((const char *)data, size);
    struct sse_fields fields;
    const char *why = sse_check(bytes, &fields);
    must(sse_check(bytes, NULL) == why);
    if (why != NULL)
        return 0;
    struct text text = {NULL, 0, 0};
    undress(&text, fields.data);
    check_alone(bytes, &fields, text_slice(&text));
    check_among_others(bytes, &fields);
    text_free(&text);
    return 0;
}
