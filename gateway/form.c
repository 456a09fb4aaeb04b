#include "gateway/form.h"

#include <stdlib.h>

#include "proto/sse.h"
#include "runtime/digits.h"
#include "runtime/h2o.h"
#include "runtime/json.h"

/* The lines of an event, each with its LF; empty where it has none. */
struct lines {
    struct slice type, data, id, retry;
};

static struct slice line_of(struct slice value, size_t name)
{
    return value.p == NULL ? value : slice_make(value.p - name, name + value.n + 1);
}

static struct lines lines_of(const struct sse_fields *fields)
{
    return (struct lines){
        .type = line_of(fields->type, strlen("event: ")),
        .data = line_of(fields->data, strlen("data: ")),
        .id = line_of(fields->id, fields->id.n == 0 ? strlen("id:") : strlen("id: ")),
        .retry = line_of(fields->retry, strlen("retry: ")),
    };
}

static bool is_long(struct slice retry)
{
    uint64_t ms;
    return retry.p != NULL && !digits_decimal(&ms, retry, FORM_RETRY_SHARED_MAX_MS);
}

/* What the data lines say: the lines are joined by LF. `out` has room for their bytes. */
static struct slice data_of(char *out, struct slice data)
{
    size_t n = 0;
    for (;;) {
        const char *end = memchr(data.p, '\n', data.n);
        size_t line = end == NULL ? data.n : (size_t)(end - data.p);
        memcpy(out + n, data.p, line);
        n += line;
        if (end == NULL)
            return slice_make(out, n);
        out[n++] = '\n';
        data = slice_from(data, line + 1 + strlen("data: "));
    }
}

static char *put(char *p, struct slice bytes)
{
    memcpy(p, bytes.p, bytes.n);
    return p + bytes.n;
}

/* The one data line of the envelope, malloc'd. */
static struct slice envelope(struct slice channel, const struct sse_fields *fields)
{
    char *text = h2o_mem_alloc(fields->data.n);
    size_t room = json_quoted_max(channel.n) + json_quoted_max(fields->type.n) + json_quoted_max(fields->data.n) + 64;
    char *line = h2o_mem_alloc(room), *p = put(line, SLICE("data: {\"channel\":"));
    p += json_quote(p, channel);
    if (fields->type.n != 0) {
        p = put(p, SLICE(",\"event\":"));
        p += json_quote(p, fields->type);
    }
    p = put(p, SLICE(",\"data\":"));
    p += json_quote(p, data_of(text, fields->data));
    p = put(p, SLICE("}\n"));
    free(text);
    return slice_make(line, (size_t)(p - line));
}

struct frame *form_frame(struct frame *frame, struct slice channel, struct variant variant, bool settled)
{
    static const struct slice none = {NULL, 0}, message = {"event: message\n", 15}, retry = {"retry: 6000\n", 12},
                              retry_shared = {"retry: 60000\n", 13};
    struct sse_fields fields;
    if (variant_is_plain(variant) || sse_check(frame_body(frame), &fields) != NULL)
        return frame_ref(frame);
    struct lines lines = lines_of(&fields);
    bool full = variant.form == FORM_FULL, wraps = variant.form == FORM_ENVELOPE && lines.data.n != 0;
    bool names = full && lines.type.n == 0, adds_retry = full && lines.retry.n == 0 && frame->durable;
    bool cuts_retry = variant.several && is_long(fields.retry), cuts_id = variant.several && !settled && lines.id.n != 0;
    if (!names && !adds_retry && !wraps && !cuts_retry && !cuts_id)
        return frame_ref(frame);
    struct slice wrapped = wraps ? envelope(channel, &fields) : none;
    const struct slice parts[] = {wraps   ? none
                                  : names ? message
                                          : lines.type,
                                  wraps ? wrapped : lines.data, cuts_id ? none : lines.id,
                                  adds_retry   ? retry
                                  : cuts_retry ? retry_shared
                                               : lines.retry,
                                  SLICE("\n")};
    struct frame *made = frame_of_parts(parts, sizeof(parts) / sizeof(parts[0]));
    made->kind = frame->kind;
    free((char *)wrapped.p);
    return made;
}
