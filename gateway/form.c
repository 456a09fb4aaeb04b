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

/* A member of an object, and a comma; nothing where there is no value. */
static char *put_member(char *p, struct slice name, struct slice value)
{
    if (value.p == NULL)
        return p;
    p = put(put(put(p, SLICE("\"")), name), SLICE("\":"));
    p += json_quote(p, value);
    return put(p, SLICE(","));
}

/* … of an event's data, of which there is some. */
static char *put_data(char *p, struct slice lines)
{
    char *text = h2o_mem_alloc(lines.n);
    p = put_member(p, SLICE("data"), data_of(text, lines));
    free(text);
    return p;
}

/* Room for an object of all that. */
static size_t object_room(struct slice channel, const struct sse_fields *fields)
{
    enum { NAMES = 128 };
    return NAMES + json_quoted_max(channel.n) + json_quoted_max(fields->id.n) + json_quoted_max(fields->type.n) +
           json_quoted_max(fields->data.n) + fields->retry.n;
}

/* The one data line of the envelope, malloc'd. */
static struct slice envelope(struct slice channel, const struct sse_fields *fields)
{
    char *line = h2o_mem_alloc(object_room(channel, fields)), *p = put(line, SLICE("data: {"));
    p = put_member(p, SLICE("channel"), channel);
    p = put_member(p, SLICE("event"), fields->type);
    p = put_data(p, fields->data);
    p[-1] = '}';
    p = put(p, SLICE("\n"));
    return slice_make(line, (size_t)(p - line));
}

/* `channel`: {NULL, 0} where the answer names it. What fires nothing in a browser is not in the list. */
static struct frame *member_of_list(const struct frame *frame, struct slice channel, const struct sse_fields *fields,
                                    struct slice retry)
{
    char *text = h2o_mem_alloc(object_room(channel, fields)), *p = text, *id = text;
    bool listed = frame->kind == FRAME_EVENT && fields->data.p != NULL;
    size_t id_len = 0;
    if (listed) {
        p = put_member(put(p, SLICE("{")), SLICE("channel"), channel);
        id = p + strlen("\"id\":");
        p = put_member(p, SLICE("id"), fields->id);
        id_len = fields->id.p == NULL ? 0 : (size_t)(p - id) - 1;
        p = put_data(put_member(p, SLICE("event"), fields->type), fields->data);
        if (retry.p != NULL)
            p = put(put(put(p, SLICE("\"retry\":")), retry), SLICE(","));
        p[-1] = '}';
        p = put(p, SLICE(","));
    } else if (fields->id.p != NULL) {
        p += id_len = json_quote(p, fields->id);
    }
    struct frame *made = frame_of_bytes(slice_make(text, (size_t)(p - text)));
    made->kind = frame->kind;
    made->id = id_len == 0 ? 0 : (uint32_t)(id - text);
    made->id_len = (uint16_t)id_len;
    free(text);
    return made;
}

struct frame *form_frame(struct frame *frame, struct slice channel, struct variant variant, bool settled)
{
    static const struct slice none = {NULL, 0}, message = {"event: message\n", 15}, retry = {"retry: 6000\n", 12},
                              retry_shared = {"retry: 60000\n", 13};
    struct sse_fields fields;
    bool as_it_is = variant.form == FORM_LEAN && (!variant.several || (settled && frame->retry_ms <= FORM_RETRY_SHARED_MAX_MS));
    if (as_it_is || sse_check(frame_body(frame), &fields) != NULL)
        return frame_ref(frame);
    if (variant.form == FORM_JSON)
        return member_of_list(frame, variant.several ? channel : none, &fields,
                              variant.several && is_long(fields.retry) ? SLICE("60000") : fields.retry);
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
