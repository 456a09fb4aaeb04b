#include "publisher/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>

#include "proto/channel.h"
#include "proto/event.h"
#include "proto/message.h"
#include "publisher/json.h"
#include "runtime/digits.h"
#include "runtime/seeded_hash.h"
#include "runtime/utf8.h"

static _Thread_local char sentence[300];

enum member { DATA, EVENT, ID, RETRY, END, LEASE, CHANNEL, MEMBERS };

static const char *const names[MEMBERS] = {
    [DATA] = "data", [EVENT] = "event", [ID] = "id", [RETRY] = "retry", [END] = "end", [LEASE] = "lease", [CHANNEL] = "channel"};

enum kind { TEXT, NUMBER, BOOLEAN, NOTHING /* null */ };

/* One line being read. */
struct reader {
    enum {
        AT_OBJECT, /* its object must begin */
        AT_MEMBER, /* a member's name, or the end */
        AT_VALUE, /* the value of `member` */
        IN_DATA, /* an object or array that is the data, `depth` of them within each other */
    } at;
    enum member member;
    unsigned seen; /* bits: the members that the line has */
    unsigned depth;
    bool named;
    struct line *line;
    char *end; /* where the next bytes are kept */
    yajl_gen gen; /* writes there; the data's objects and arrays */
    const char *why; /* the line's fault */
};

/* ---- what a line says ---- */

static int fail(struct reader *reader, const char *why)
{
    reader->why = why;
    return 0;
}

/* What is kept is never longer than what stood in the body: escapes are decoded, or written in their shortest form, and space goes. */
static void keep(void *data, const char *bytes, size_t n)
{
    struct reader *reader = data;
    memcpy(reader->end, bytes, n);
    reader->end += n;
}

static struct slice kept(struct reader *reader, struct slice text)
{
    keep(reader, text.p, text.n);
    return slice_make(reader->end - text.n, text.n);
}

static int take_text(struct reader *reader, enum kind kind, struct slice text)
{
    static _Thread_local char why[64];
    struct publish_event *event = &reader->line->event;
    if (kind != TEXT) {
        snprintf(why, sizeof(why), "%s must be a string", names[reader->member]);
        return fail(reader, why);
    }
    text = kept(reader, text);
    if (reader->member == EVENT) {
        event->type = text;
        reader->why = event_check_type(text);
    } else if (reader->member == ID) {
        event->id = text;
        reader->why = event_check_id(text);
    } else {
        reader->line->channel = text;
        reader->why = channel_check(text);
    }
    return reader->why == NULL;
}

static int take_number(struct reader *reader, enum kind kind, struct slice text)
{
    uint64_t value = 0;
    bool good = kind == NUMBER && text.n <= 8;
    if (reader->member == RETRY) {
        if (!good || !digits_decimal(&value, text, EVENT_RETRY_MAX))
            return fail(reader, "retry must be 0 to 3600000 milliseconds");
        reader->line->event.retry_ms = (int32_t)value;
    } else {
        if (!good || !digits_decimal(&value, text, MESSAGE_LEASE_MAX) || value == 0)
            return fail(reader, "lease must be 1 to 86400 seconds");
        reader->line->event.lease_s = (uint32_t)value;
    }
    return 1;
}

static int take_end(struct reader *reader, enum kind kind, struct slice text)
{
    bool yes = slice_eq(text, SLICE("true")) || slice_eq(text, SLICE("1"));
    if (kind == TEXT || (!yes && !slice_eq(text, SLICE("false")) && !slice_eq(text, SLICE("0"))))
        return fail(reader, "end must be true or false");
    reader->line->event.end = yes;
    return 1;
}

/* A value that is no object and no array. */
static int take(struct reader *reader, enum kind kind, struct slice text)
{
    if (reader->at == AT_OBJECT)
        return fail(reader, "the line must be a JSON object");
    reader->at = AT_MEMBER;
    switch (reader->member) {
    case DATA:
        reader->line->event.data = kept(reader, text);
        return 1;
    case RETRY:
    case LEASE:
        return take_number(reader, kind, text);
    case END:
        return take_end(reader, kind, text);
    default:
        return take_text(reader, kind, text);
    }
}

/* How much of a long name is shown; it is cut between two characters. */
static int shown(struct slice name)
{
    enum { SHOWN = 40 };
    size_t at = 0;
    for (size_t n; at != name.n && (n = utf8_length(name.p + at, name.n - at)) != 0 && at + n <= SHOWN;)
        at += n;
    return (int)at;
}

static int take_name(struct reader *reader, struct slice name)
{
    static _Thread_local char why[160];
    unsigned i = 0;
    while (i != MEMBERS && !slice_eq(name, slice_of(names[i])))
        ++i;
    if (i == MEMBERS || (i == CHANNEL && !reader->named)) {
        snprintf(why, sizeof(why), "unknown member '%.*s'; a line may hold data, event, id, retry, end, lease%s", shown(name),
                 name.p, reader->named ? ", channel" : "");
        return fail(reader, why);
    }
    if (reader->seen & 1u << i) {
        snprintf(why, sizeof(why), "more than one member '%s'", names[i]);
        return fail(reader, why);
    }
    reader->seen |= 1u << i;
    reader->member = i;
    reader->at = AT_VALUE;
    return 1;
}

/* An object or array begins. */
static int enter(struct reader *reader, bool object)
{
    static _Thread_local char why[64];
    if (reader->at == AT_OBJECT && object) {
        reader->at = AT_MEMBER;
        return 1;
    }
    if (reader->at == AT_OBJECT)
        return fail(reader, "the line must be a JSON object");
    if (reader->at == AT_VALUE && reader->member != DATA) {
        snprintf(why, sizeof(why), "%s can't be an object or array", names[reader->member]);
        return fail(reader, why);
    }
    if (reader->at == AT_VALUE) {
        reader->at = IN_DATA;
        reader->line->event.data = slice_make(reader->end, 0);
        yajl_gen_reset(reader->gen, NULL);
    }
    if (++reader->depth > JSON_DEPTH_MAX)
        return fail(reader, "data nests deeper than 64");
    return (object ? yajl_gen_map_open : yajl_gen_array_open)(reader->gen) == yajl_gen_status_ok;
}

/* An object or array ends. */
static int leave(struct reader *reader, bool object)
{
    if (reader->at != IN_DATA)
        return 1; /* the line's own */
    if ((object ? yajl_gen_map_close : yajl_gen_array_close)(reader->gen) != yajl_gen_status_ok)
        return 0;
    if (--reader->depth == 0) {
        struct slice *data = &reader->line->event.data;
        data->n = (size_t)(reader->end - data->p);
        reader->at = AT_MEMBER;
    }
    return 1;
}

/* ---- yajl ---- */

static int on_null(void *data)
{
    struct reader *reader = data;
    return reader->at == IN_DATA ? yajl_gen_null(reader->gen) == yajl_gen_status_ok : take(reader, NOTHING, SLICE("null"));
}

static int on_boolean(void *data, int value)
{
    struct reader *reader = data;
    return reader->at == IN_DATA ? yajl_gen_bool(reader->gen, value) == yajl_gen_status_ok
                                 : take(reader, BOOLEAN, value ? SLICE("true") : SLICE("false"));
}

static int on_number(void *data, const char *text, size_t length)
{
    struct reader *reader = data;
    return reader->at == IN_DATA ? yajl_gen_number(reader->gen, text, length) == yajl_gen_status_ok
                                 : take(reader, NUMBER, slice_make(text, length));
}

static int on_string(void *data, const unsigned char *text, size_t length)
{
    struct reader *reader = data;
    return reader->at == IN_DATA ? yajl_gen_string(reader->gen, text, length) == yajl_gen_status_ok
                                 : take(reader, TEXT, slice_make((const char *)text, length));
}

static int on_map_start(void *data)
{
    return enter(data, true);
}

static int on_map_key(void *data, const unsigned char *text, size_t length)
{
    struct reader *reader = data;
    return reader->at == IN_DATA ? yajl_gen_string(reader->gen, text, length) == yajl_gen_status_ok
                                 : take_name(reader, slice_make((const char *)text, length));
}

static int on_map_end(void *data)
{
    return leave(data, true);
}

static int on_array_start(void *data)
{
    return enter(data, false);
}

static int on_array_end(void *data)
{
    return leave(data, false);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map_start,
    .yajl_map_key = on_map_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

/* ---- lines ---- */

static bool has(const struct reader *reader, enum member member)
{
    return (reader->seen & 1u << member) != 0;
}

/* What the members say together. */
static const char *check_line(const struct reader *reader)
{
    const struct publish_event *event = &reader->line->event;
    if (reader->named && !has(reader, CHANNEL))
        return "the line names no channel";
    if (event->end && event->lease_s != 0)
        return "end and lease exclude each other";
    if (event->end && event->data.n == 0 && (event->id.n != 0 || event->type.n != 0))
        return "an end without data has no event or id of its own";
    return has(reader, DATA) || event->end ? NULL : "the line has no data";
}

static const char *read_line(struct reader *reader, struct slice text)
{
    reader->at = AT_OBJECT;
    reader->seen = reader->depth = 0;
    reader->why = NULL;
    const char *why = json_parse("the JSON", text, &callbacks, reader);
    if (reader->why != NULL)
        return reader->why;
    return why != NULL ? why : check_line(reader);
}

/* A channel, by its name; `line` is its last one so far. */
struct channel {
    const struct line *line;
    UT_hash_handle hh;
};

/* The sentence for an end that something follows, or NULL. */
static const char *check_ends(const struct lines *lines, bool named)
{
    struct channel *table = NULL, *room = calloc(lines->count, sizeof(*room)), *channel;
    const char *why = NULL;
    if (room == NULL)
        abort();
    for (size_t i = 0; i != lines->count && why == NULL; ++i) {
        const struct line *line = &lines->items[i];
        struct slice name = named ? line->channel : SLICE("");
        HASH_FIND(hh, table, name.p, name.n, channel);
        if (channel == NULL) {
            channel = &room[i];
            HASH_ADD_KEYPTR(hh, table, name.p, name.n, channel);
        } else if (channel->line->event.end) {
            snprintf(sentence, sizeof(sentence), "line %u: end may stand only in the last line%s", channel->line->number,
                     named ? " of its channel" : "");
            why = sentence;
        }
        channel->line = line;
    }
    HASH_CLEAR(hh, table);
    free(room);
    return why;
}

static bool is_blank(struct slice text)
{
    for (size_t i = 0; i != text.n; ++i)
        if (text.p[i] != ' ' && text.p[i] != '\t' && text.p[i] != '\r')
            return false;
    return true;
}

static const char *read_lines(struct lines *lines, struct reader *reader, struct slice body, int32_t retry_ms, int *status)
{
    unsigned number = 0;
    for (struct slice rest = body; rest.p != NULL;) {
        struct slice text = slice_split(&rest, '\n');
        ++number;
        if (is_blank(text))
            continue;
        if (lines->count == PUBLISH_EVENTS_MAX) {
            *status = 413;
            return "the body holds more than 1000 events";
        }
        reader->line = &lines->items[lines->count++];
        *reader->line = (struct line){.number = number, .event.retry_ms = retry_ms};
        const char *why = read_line(reader, text);
        if (why != NULL) {
            snprintf(sentence, sizeof(sentence), "line %u: %s", number, why);
            return sentence;
        }
    }
    return lines->count != 0 ? check_ends(lines, reader->named) : "the body holds no event";
}

/* Up to the bound. */
static size_t count_lines(struct slice body)
{
    size_t count = 1;
    const char *p = body.p, *end = body.p + body.n;
    while (count < PUBLISH_EVENTS_MAX && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        ++count;
        ++p;
    }
    return count;
}

const char *lines_read(struct lines *lines, struct slice body, bool named, int32_t retry_ms, int *status)
{
    *status = 400;
    *lines = (struct lines){.items = NULL};
    if (body.n == 0)
        return "the body holds no event";
    lines->items = calloc(count_lines(body), sizeof(*lines->items));
    lines->bytes = malloc(body.n);
    struct reader reader = {.named = named, .end = lines->bytes, .gen = yajl_gen_alloc(NULL)};
    if (lines->items == NULL || lines->bytes == NULL || reader.gen == NULL)
        abort();
    yajl_gen_config(reader.gen, yajl_gen_print_callback, keep, &reader);
    const char *why = read_lines(lines, &reader, body, retry_ms, status);
    yajl_gen_free(reader.gen);
    if (why != NULL)
        lines_free(lines);
    return why;
}

void lines_free(struct lines *lines)
{
    free(lines->items);
    free(lines->bytes);
    *lines = (struct lines){.items = NULL};
}
