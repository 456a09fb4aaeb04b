#include "publisher/body.h"

#include <stdlib.h>
#include <yajl/yajl_gen.h>

#include "publisher/json.h"

static struct slice unquote(struct slice s)
{
    return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? slice_make(s.p + 1, s.n - 2) : s;
}

/* Whether the parameters after the media type leave the charset at UTF-8; US-ASCII is part of it. */
static bool is_utf8_charset(struct slice rest)
{
    while (rest.p != NULL) {
        struct slice value = slice_split(&rest, ';');
        struct slice name = slice_trim(slice_split(&value, '='));
        if (!slice_eq_nocase(name, SLICE("charset")))
            continue;
        value = unquote(slice_trim(value));
        if (!slice_eq_nocase(value, SLICE("utf-8")) && !slice_eq_nocase(value, SLICE("utf8")) &&
            !slice_eq_nocase(value, SLICE("us-ascii")))
            return false;
    }
    return true;
}

/* application/json, or a format that is JSON and says so: application/cloudevents+json (RFC 6839 section 3.1). */
static bool is_json(struct slice type)
{
    struct slice start = SLICE("application/"), end = SLICE("+json");
    if (slice_eq_nocase(type, SLICE("application/json")))
        return true;
    return type.n > start.n + end.n && strncasecmp(type.p, start.p, start.n) == 0 &&
           slice_eq_nocase(slice_from(type, type.n - end.n), end);
}

const char *body_kind_of(enum body_kind *kind, struct slice content_type)
{
    *kind = BODY_NONE;
    if (content_type.p == NULL)
        return NULL;
    struct slice rest = content_type;
    struct slice type = slice_trim(slice_split(&rest, ';'));
    if (is_json(type))
        *kind = BODY_JSON;
    else if (slice_eq_nocase(type, SLICE("application/x-www-form-urlencoded")))
        *kind = BODY_FORM;
    else if (type.n > 5 && strncasecmp(type.p, "text/", 5) == 0)
        *kind = BODY_TEXT;
    else if (slice_eq_nocase(type, SLICE("application/x-ndjson")))
        *kind = BODY_LINES;
    else
        return "the Content-Type must be application/json, application/*+json, application/x-ndjson, "
               "application/x-www-form-urlencoded or text/*";
    return is_utf8_charset(rest) ? NULL : "the charset of the body must be utf-8";
}

/* By name, the last of each; the others are dropped. By a hash, so that finding a name takes no time that grows with their number. */
static struct body_param *index_make(struct body_param *params, size_t count)
{
    struct body_param *index = NULL, *before;
    for (size_t i = 0; i != count; ++i) {
        struct slice name = params[i].name;
        params[i].dropped = false;
        HASH_FIND(hh, index, name.p, name.n, before);
        if (before != NULL) {
            before->dropped = true;
            HASH_DEL(index, before);
        }
        HASH_ADD_KEYPTR(hh, index, name.p, name.n, &params[i]);
    }
    return index;
}

static void index_drop(struct body_param *index, struct slice name)
{
    struct body_param *param;
    HASH_FIND(hh, index, name.p, name.n, param);
    if (param != NULL)
        param->dropped = true;
}

static void put_string(yajl_gen gen, struct slice s)
{
    yajl_gen_string(gen, (const unsigned char *)(s.n == 0 ? "" : s.p), s.n);
}

static void put_params(yajl_gen gen, const struct body_param *params, size_t count)
{
    for (size_t i = 0; i != count; ++i) {
        if (params[i].dropped)
            continue;
        put_string(gen, params[i].name);
        put_string(gen, params[i].value);
    }
}

static yajl_gen gen_new(void)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    if (gen == NULL)
        abort();
    return gen;
}

static void take_output(struct body *body, yajl_gen gen)
{
    const unsigned char *text;
    size_t length;
    yajl_gen_get_buf(gen, &text, &length);
    *body = (struct body){.data = {(const char *)text, length}, .gen = gen};
}

void body_from_params(struct body *body, struct body_param *params, size_t count)
{
    struct body_param *index = index_make(params, count);
    yajl_gen gen = gen_new();
    yajl_gen_map_open(gen);
    put_params(gen, params, count);
    yajl_gen_map_close(gen);
    take_output(body, gen);
    HASH_CLEAR(hh, index);
}

/* One walk through a JSON text; the callbacks write what they see, and the parameters where the outermost object ends. */
struct walk {
    yajl_gen gen;
    struct body_param *params;
    size_t count;
    struct body_param *index; /* uthash by name */
    unsigned depth;
    bool wrapped; /* the value went under "_json" in an object of ours */
    bool too_deep;
};

static void before_value(struct walk *walk, bool is_object)
{
    if (walk->depth != 0 || walk->count == 0 || is_object)
        return;
    walk->wrapped = true;
    index_drop(walk->index, SLICE("_json"));
    yajl_gen_map_open(walk->gen);
    put_string(walk->gen, SLICE("_json"));
}

static int enter(struct walk *walk)
{
    walk->too_deep = ++walk->depth > JSON_DEPTH_MAX;
    return !walk->too_deep;
}

static int on_null(void *data)
{
    struct walk *walk = data;
    before_value(walk, false);
    return yajl_gen_null(walk->gen) == yajl_gen_status_ok;
}

static int on_boolean(void *data, int value)
{
    struct walk *walk = data;
    before_value(walk, false);
    return yajl_gen_bool(walk->gen, value) == yajl_gen_status_ok;
}

static int on_number(void *data, const char *text, size_t length)
{
    struct walk *walk = data;
    before_value(walk, false);
    return yajl_gen_number(walk->gen, text, length) == yajl_gen_status_ok;
}

static int on_string(void *data, const unsigned char *text, size_t length)
{
    struct walk *walk = data;
    before_value(walk, false);
    return yajl_gen_string(walk->gen, text, length) == yajl_gen_status_ok;
}

static int on_map_start(void *data)
{
    struct walk *walk = data;
    before_value(walk, true);
    return enter(walk) && yajl_gen_map_open(walk->gen) == yajl_gen_status_ok;
}

static int on_map_key(void *data, const unsigned char *text, size_t length)
{
    struct walk *walk = data;
    if (walk->depth == 1)
        index_drop(walk->index, slice_make((const char *)text, length));
    return yajl_gen_string(walk->gen, text, length) == yajl_gen_status_ok;
}

static int on_map_end(void *data)
{
    struct walk *walk = data;
    if (--walk->depth == 0)
        put_params(walk->gen, walk->params, walk->count);
    return yajl_gen_map_close(walk->gen) == yajl_gen_status_ok;
}

static int on_array_start(void *data)
{
    struct walk *walk = data;
    before_value(walk, false);
    return enter(walk) && yajl_gen_array_open(walk->gen) == yajl_gen_status_ok;
}

static int on_array_end(void *data)
{
    struct walk *walk = data;
    --walk->depth;
    return yajl_gen_array_close(walk->gen) == yajl_gen_status_ok;
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

const char *body_from_json(struct body *body, struct slice json, struct body_param *params, size_t count)
{
    *body = (struct body){.gen = NULL};
    struct walk walk = {.gen = gen_new(), .params = params, .count = count, .index = index_make(params, count)};
    const char *why = json_parse("the JSON body", json, &callbacks, &walk);
    if (walk.too_deep)
        why = "the JSON body nests deeper than 64";
    if (why == NULL && walk.wrapped) {
        put_params(walk.gen, params, count);
        yajl_gen_map_close(walk.gen);
    }
    HASH_CLEAR(hh, walk.index);
    if (why == NULL)
        take_output(body, walk.gen);
    else
        yajl_gen_free(walk.gen);
    return why;
}

void body_free(struct body *body)
{
    if (body->gen != NULL)
        yajl_gen_free(body->gen);
    *body = (struct body){.gen = NULL};
}
