/* Input: one byte whose lowest bit says that lines name their channel, and a body of lines.
 * What lines_read() takes are objects that may be published: as many as there are lines that are not blank, of one channel at most one end, and that the last. Written anew, with all data as
 * strings, they are read as the same. What it refuses has a status, and a sentence that names a line that is there. */
#include "publisher/lines.h"

#include "proto/channel.h"
#include "proto/event.h"
#include "proto/message.h"
#include "publisher/json.h"
#include "tests/fuzz/json.h"

enum { RETRY_MS = 4321 };

static bool is_blank(struct slice text)
{
    size_t i = 0;
    while (i != text.n && strchr(" \t\r", text.p[i]) != NULL && text.p[i] != 0)
        ++i;
    return i == text.n;
}

static void check_line(const struct line *line, struct slice text, bool named)
{
    struct json_value value;
    const struct publish_event *event = &line->event;
    must(json_read(&value, text, JSON_DEPTH_MAX + 1) && value.is_object);
    text_free(&value.normal);
    must(named == (line->channel.p != NULL) && (!named || channel_check(line->channel) == NULL));
    must(event_check_type(event->type) == NULL && event_check_id(event->id) == NULL && utf8_valid(event->data));
    must(event->retry_ms >= 0 && event->retry_ms <= EVENT_RETRY_MAX && event->lease_s <= MESSAGE_LEASE_MAX);
    must(!event->end || event->lease_s == 0);
    must(!event->end || event->data.n != 0 || (event->id.n == 0 && event->type.n == 0));
}

static void check_good(const struct lines *lines, struct slice body, bool named)
{
    size_t count = 0, bytes = 0;
    unsigned number = 0;
    for (struct slice rest = body; rest.p != NULL;) {
        struct slice text = slice_split(&rest, '\n');
        ++number;
        if (is_blank(text))
            continue;
        const struct line *line = &lines->items[count++];
        must(line->number == number);
        check_line(line, text, named);
        bytes += line->channel.n + line->event.data.n + line->event.type.n + line->event.id.n;
    }
    must(count == lines->count && count != 0 && count <= PUBLISH_EVENTS_MAX && bytes <= body.n);
    for (size_t i = 0; i != count; ++i)
        for (size_t j = i + 1; lines->items[i].event.end && j != count; ++j)
            must(named && !slice_eq(lines->items[i].channel, lines->items[j].channel));
}

static void add_member(struct text *out, const char *name, struct slice value)
{
    text_add(out, slice_of(name));
    json_add_string(out, value);
}

static void write_line(struct text *out, const struct line *line)
{
    char numbers[64];
    add_member(out, "{\"data\":", line->event.data);
    add_member(out, ",\"event\":", line->event.type);
    add_member(out, ",\"id\":", line->event.id);
    if (line->channel.p != NULL)
        add_member(out, ",\"channel\":", line->channel);
    snprintf(numbers, sizeof(numbers), ",\"retry\":%d,\"end\":%s", (int)line->event.retry_ms, line->event.end ? "true" : "0");
    text_add(out, slice_of(numbers));
    if (line->event.lease_s != 0) {
        snprintf(numbers, sizeof(numbers), ",\"lease\":%u", line->event.lease_s);
        text_add(out, slice_of(numbers));
    }
    text_add(out, SLICE("}\r\n"));
}

static void check_again(const struct lines *lines, bool named)
{
    struct text written = {NULL, 0, 0};
    struct lines again;
    int status = 0;
    for (size_t i = 0; i != lines->count; ++i)
        write_line(&written, &lines->items[i]);
    must(lines_read(&again, text_slice(&written), named, 0, &status) == NULL && again.count == lines->count);
    for (size_t i = 0; i != lines->count; ++i) {
        const struct line *a = &lines->items[i], *b = &again.items[i];
        must(slice_eq(a->event.data, b->event.data) && slice_eq(a->event.type, b->event.type) &&
             slice_eq(a->event.id, b->event.id) && slice_eq(a->channel, b->channel));
        must(a->event.retry_ms == b->event.retry_ms && a->event.lease_s == b->event.lease_s && a->event.end == b->event.end);
    }
    lines_free(&again);
    text_free(&written);
}

static void check_refusal(const struct lines *lines, struct slice body, int status, const char *why)
{
    unsigned number = 0, count = 1;
    must(lines->items == NULL && lines->bytes == NULL && lines->count == 0);
    must((status == 400 || status == 413) && utf8_valid(slice_of(why)));
    for (size_t i = 0; i != body.n; ++i)
        count += body.p[i] == '\n';
    if (strncmp(why, "line ", 5) == 0)
        must(sscanf(why, "line %u: ", &number) == 1 && number >= 1 && number <= count);
    else
        must((status == 413) == (strcmp(why, "the body holds more than 1000 events") == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool named = data[0] & 1;
    int status = 0;
    struct lines lines;
    struct slice body = own(slice_make((const char *)data + 1, size - 1), false);
    const char *why = lines_read(&lines, body, named, RETRY_MS, &status);
    if (why == NULL)
        check_good(&lines, body, named);
    else
        check_refusal(&lines, body, status, why);
    disown(body); /* nothing points into it */
    if (why == NULL)
        check_again(&lines, named);
    lines_free(&lines);
    return 0;
}
