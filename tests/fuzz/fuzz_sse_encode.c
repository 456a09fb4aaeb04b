/* Input: flags (1: an id, 2: a retry), retry as four bytes, then the fields type, id, and each item of the data.
 * event_check() is the rule of proto/README.md. What passes is written in just the bytes that sse_size() said, passes sse_check(), and is
 * for a browser the one event that went in, line breaks of the data made LF. */
#include "proto/sse.h"

#include "runtime/utf8.h"
#include "tests/event.h"
#include "tests/fuzz/browser.h"

enum { DATA_MAX = 16 };

struct expected {
    const struct event *event;
    struct slice data;
    size_t count;
};

static void on_event(void *data, struct slice type, struct slice text, struct slice last_event_id)
{
    struct expected *expected = data;
    const struct event *event = expected->event;
    ++expected->count;
    must(slice_eq(type, event->type.n == 0 ? SLICE("message") : event->type));
    must(slice_eq(text, expected->data));
    must(slice_eq(last_event_id, event->id));
}

/* The standard's line breaks, seen another way: a CR is a break, an LF is one unless it follows a CR. */
static void add_normalized(struct text *out, struct slice item)
{
    for (size_t i = 0; i != item.n; ++i)
        if (item.p[i] == '\r')
            text_add(out, SLICE("\n"));
        else if (item.p[i] != '\n' || i == 0 || item.p[i - 1] != '\r')
            text_add_byte(out, item.p[i]);
}

static bool is_good_name(struct slice s)
{
    if (s.n > 200)
        return false;
    while (s.n != 0) {
        size_t n = utf8_length(s.p, s.n);
        if (n == 0 || s.p[0] == '\0' || s.p[0] == '\r' || s.p[0] == '\n')
            return false;
        s = slice_from(s, n);
    }
    return true;
}

static bool is_good_type(struct slice s)
{
    bool taken =
        slice_eq(s, SLICE("gap")) || slice_eq(s, SLICE("error")) || slice_eq(s, SLICE("open")) || slice_eq(s, SLICE("end"));
    return is_good_name(s) && slice_eq(slice_trim(s), s) && !taken;
}

/* A browser sends it back in a header, and the server trims that. */
static bool is_good_id(struct slice s)
{
    for (size_t i = 0; i != s.n; ++i)
        if ((s.p[i] >= 0 && s.p[i] < ' ') || s.p[i] == 127)
            return false;
    return is_good_name(s) && slice_eq(slice_trim(s), s);
}

static void check_event(const struct event *event)
{
    struct text data = {NULL, 0, 0};
    struct sse_fields fields;
    size_t size = sse_size(event);
    char *out = malloc(size);
    must(out != NULL && sse_write(out, event) == size);
    must(sse_check(slice_make(out, size), &fields) == NULL);
    must(slice_eq(fields.type, event->type) && slice_eq(fields.id, event->id));
    must((fields.id.p == NULL) == (event->id.p == NULL) && (fields.data.p == NULL) == (event->data_count == 0));
    for (size_t i = 0; i != event->data_count; ++i) {
        if (i != 0)
            text_add(&data, SLICE("\n"));
        add_normalized(&data, event->data[i]);
    }
    struct expected expected = {event, text_slice(&data), 0};
    struct browser browser = BROWSER_INIT(on_event, &expected);
    browser_read(&browser, slice_make(out, size));
    must(expected.count == (event->data_count != 0) && browser.retry == event->retry_ms);
    must(slice_eq(text_slice(&browser.id), event->id));
    browser_free(&browser);
    text_free(&data);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), items[DATA_MAX];
    int32_t retry = EVENT_RETRY_NONE;
    if (size < 5)
        return 0;
    memcpy(&retry, data + 1, sizeof(retry));
    rest = slice_from(rest, 5);
    struct event event = {.data = items, .retry_ms = (data[0] & 2) != 0 ? retry : EVENT_RETRY_NONE};
    event.type = next_field(&rest);
    event.id = next_field(&rest);
    if ((data[0] & 1) == 0)
        event.id = slice_make(NULL, 0);
    while (rest.p != NULL && event.data_count != DATA_MAX)
        items[event.data_count++] = next_field(&rest);
    bool good = is_good_type(event.type) && is_good_id(event.id) && event.retry_ms >= -1 && event.retry_ms <= 3600000;
    must((event_check(&event) == NULL) == good);
    if (good)
        check_event(&event);
    return 0;
}
