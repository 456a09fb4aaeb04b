#include "tests/fuzz/browser.h"

static void clear(struct text *text)
{
    text->n = 0;
}

static void set(struct text *text, struct slice value)
{
    clear(text);
    text_add(text, value);
}

static void dispatch(struct browser *browser)
{
    set(&browser->id, text_slice(&browser->id_buffer));
    if (browser->data_buffer.n == 0) {
        clear(&browser->type_buffer);
        return;
    }
    if (browser->data_buffer.p[browser->data_buffer.n - 1] == '\n')
        --browser->data_buffer.n;
    ++browser->dispatched;
    if (browser->on_event != NULL)
        browser->on_event(browser->data, browser->type_buffer.n == 0 ? SLICE("message") : text_slice(&browser->type_buffer),
                          text_slice(&browser->data_buffer), text_slice(&browser->id));
    clear(&browser->data_buffer);
    clear(&browser->type_buffer);
}

/* Digits alone; a number too large for us counts as the largest. */
static void read_retry(struct browser *browser, struct slice value)
{
    long long ms = 0;
    for (size_t i = 0; i != value.n; ++i) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return;
        ms = ms > 1000000000000 ? ms : ms * 10 + (value.p[i] - '0');
    }
    if (value.n != 0)
        browser->retry = ms;
}

static void process_field(struct browser *browser, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE("event")))
        set(&browser->type_buffer, value);
    else if (slice_eq(name, SLICE("retry")))
        read_retry(browser, value);
    else if (slice_eq(name, SLICE("id")) && (value.n == 0 || memchr(value.p, 0, value.n) == NULL))
        set(&browser->id_buffer, value);
    else if (slice_eq(name, SLICE("data"))) {
        text_add(&browser->data_buffer, value);
        text_add(&browser->data_buffer, SLICE("\n"));
    }
}

static void process_line(struct browser *browser, struct slice line)
{
    const char *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
    if (line.n == 0) {
        dispatch(browser);
    } else if (colon == NULL) {
        process_field(browser, line, SLICE(""));
    } else if (colon != line.p) {
        struct slice name = slice_make(line.p, (size_t)(colon - line.p)), value = slice_from(line, name.n + 1);
        if (value.n != 0 && value.p[0] == ' ')
            value = slice_from(value, 1);
        process_field(browser, name, value);
    }
}

/* What the end of the file cuts off, line or event, is discarded. */
void browser_read(struct browser *browser, struct slice stream)
{
    size_t from = slice_starts(stream, SLICE("\xef\xbb\xbf")) ? 3 : 0;
    for (size_t i = from; i < stream.n; ++i) {
        if (stream.p[i] != '\r' && stream.p[i] != '\n')
            continue;
        process_line(browser, slice_make(stream.p + from, i - from));
        if (stream.p[i] == '\r' && i + 1 != stream.n && stream.p[i + 1] == '\n')
            ++i;
        from = i + 1;
    }
    clear(&browser->data_buffer);
    clear(&browser->type_buffer);
}

void browser_free(struct browser *browser)
{
    text_free(&browser->id);
    text_free(&browser->id_buffer);
    text_free(&browser->type_buffer);
    text_free(&browser->data_buffer);
}
