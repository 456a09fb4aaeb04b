#include "proto/sse.h"

#include <inttypes.h>
#include <stdio.h>

#include "runtime/digits.h"

static const struct slice event_name = {"event: ", 7}, data_name = {"data: ", 6}, id_name = {"id: ", 4},
                          retry_name = {"retry: ", 7};

/* Measures when out is NULL, else writes: one code path, so that size and bytes can't differ. */
struct sink {
    char *out;
    size_t n;
};

static void put(struct sink *sink, struct slice s)
{
    if (sink->out != NULL && s.n != 0)
        memcpy(sink->out + sink->n, s.p, s.n);
    sink->n += s.n;
}

static void put_line(struct sink *sink, struct slice name, struct slice value)
{
    put(sink, name);
    put(sink, value);
    put(sink, SLICE("\n"));
}

/* Takes the first line off *rest: up to CR, LF or CRLF, which is dropped. After the last line *rest is {NULL, 0}. */
static struct slice take_line(struct slice *rest)
{
    size_t n = 0;
    struct slice line;
    while (n != rest->n && rest->p[n] != '\r' && rest->p[n] != '\n')
        ++n;
    line = slice_make(rest->p, n);
    if (n == rest->n)
        *rest = slice_make(NULL, 0);
    else
        *rest = slice_from(*rest, n + (rest->p[n] == '\r' && n + 1 != rest->n && rest->p[n + 1] == '\n' ? 2 : 1));
    return line;
}

static void put_data(struct sink *sink, struct slice text)
{
    do
        put_line(sink, data_name, take_line(&text));
    while (text.p != NULL);
}

size_t sse_write(char *out, const struct event *event)
{
    struct sink sink = {out, 0};
    char retry[16];
    if (event->type.n != 0)
        put_line(&sink, event_name, event->type);
    for (size_t i = 0; i != event->data_count; ++i)
        put_data(&sink, event->data[i]);
    if (event->id.p != NULL)
        put_line(&sink, event->id.n == 0 ? SLICE("id:") : id_name, event->id);
    if (event->retry_ms != EVENT_RETRY_NONE)
        put_line(&sink, retry_name, slice_make(retry, (size_t)snprintf(retry, sizeof(retry), "%" PRId32, event->retry_ms)));
    put(&sink, SLICE("\n"));
    return sink.n;
}

size_t sse_data_size(struct slice data)
{
    struct sink sink = {NULL, 0};
    put_data(&sink, data);
    return sink.n;
}

/* The value of the line at the start of *rest if the line is `name` and a value, else p NULL; takes the line off. */
static struct slice take_field(struct slice *rest, struct slice name)
{
    const char *end;
    struct slice value;
    if (!slice_starts(*rest, name) || (end = memchr(rest->p, '\n', rest->n)) == NULL)
        return slice_make(NULL, 0);
    value = slice_make(rest->p + name.n, (size_t)(end - rest->p) - name.n);
    *rest = slice_from(*rest, (size_t)(end - rest->p) + 1);
    return value;
}

static const char *check_type(struct slice *rest, struct sse_fields *fields)
{
    fields->type = take_field(rest, event_name);
    if (fields->type.p != NULL && fields->type.n == 0)
        return "the event's type line is empty";
    return event_check_stored_type(fields->type);
}

static void check_data(struct slice *rest, struct sse_fields *fields)
{
    struct slice line, *data = &fields->data;
    *data = slice_make(NULL, 0);
    while ((line = take_field(rest, data_name)).p != NULL)
        *data = data->p == NULL ? line : slice_make(data->p, (size_t)(line.p + line.n - data->p));
}

static const char *check_id(struct slice *rest, struct sse_fields *fields)
{
    if (slice_starts(*rest, SLICE("id:\n"))) {
        fields->id = slice_make(rest->p + 3, 0);
        *rest = slice_from(*rest, 4);
        return NULL;
    }
    fields->id = take_field(rest, id_name);
    if (fields->id.p != NULL && fields->id.n == 0)
        return "the event's empty id is not written as \"id:\"";
    return event_check_stored_id(fields->id);
}

static const char *check_retry(struct slice *rest, struct sse_fields *fields)
{
    static const char *const fault = "the event's retry is not an integer from 0 to 86400000";
    struct slice text = fields->retry = take_field(rest, retry_name);
    uint64_t ms;
    if (text.p == NULL)
        return NULL;
    return !(text.n > 1 && text.p[0] == '0') && digits_decimal(&ms, text, EVENT_RETRY_STORED_MAX) ? NULL : fault;
}

const char *sse_check(struct slice bytes, struct sse_fields *fields)
{
    struct sse_fields scratch;
    const char *why;
    if (fields == NULL)
        fields = &scratch;
    if (bytes.n != 0 && memchr(bytes.p, '\r', bytes.n) != NULL)
        return "the event holds CR";
    if ((why = check_type(&bytes, fields)) != NULL)
        return why;
    check_data(&bytes, fields);
    if ((why = check_id(&bytes, fields)) != NULL || (why = check_retry(&bytes, fields)) != NULL)
        return why;
    if (bytes.n == 0)
        return "the event does not end in a blank line";
    if (bytes.p[0] != '\n')
        return "the event holds a line that is out of order, unknown or unfinished";
    return bytes.n == 1 ? NULL : "bytes follow the event's blank line";
}
