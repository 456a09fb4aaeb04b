/* Input: the fields parameters ("a=1&b=2", taken as they stand) and JSON body.
 * body_from_json() takes what RFC 8259's grammar takes, in UTF-8, up to 64 deep, and nothing else; what it makes is the same value, or an
 * object that has the parameters as well; and that, taken again, is the same byte for byte. */
#include "publisher/body.h"

#include "proto/event.h"
#include "publisher/json.h"
#include "tests/fuzz/json.h"

enum { PARAMS_MAX = 8 };

static size_t split_params(struct body_param *params, struct slice text)
{
    size_t count = 0;
    for (struct slice rest = text; rest.p != NULL && text.n != 0 && count != PARAMS_MAX;) {
        struct slice value = slice_split(&rest, '&'), name = slice_split(&value, '=');
        params[count++] = (struct body_param){.name = name, .value = value.p == NULL ? SLICE("") : value};
    }
    return count;
}

/* Whether a later parameter has the name, or the object has it as a member of its own. */
static bool is_dropped(const struct body_param *params, size_t count, size_t i, const struct json_value *value)
{
    bool dropped = value->is_object ? false : slice_eq(params[i].name, SLICE("_json"));
    for (size_t j = i + 1; j != count; ++j)
        dropped = dropped || slice_eq(params[j].name, params[i].name);
    return dropped;
}

/* Whether the normal form of an object has such a member: strings are walked over whole, so a name within a value is none. */
static bool has_member(struct slice object, struct slice name)
{
    struct text quoted = {NULL, 0, 0};
    unsigned depth = 0;
    bool found = false;
    json_add_string(&quoted, name);
    for (size_t i = 0; i < object.n && !found; ++i) {
        if (object.p[i] == '{' || object.p[i] == '[')
            ++depth;
        else if (object.p[i] == '}' || object.p[i] == ']')
            --depth;
        if (object.p[i] != '"')
            continue;
        struct slice string = slice_from(object, i);
        const char *end = memchr(string.p + 1, '"', string.n - 1); /* the normal form writes a quote as \u0022 */
        i += string.n = (size_t)(end - string.p) + 1;
        found = depth == 1 && object.p[i] == ':' && slice_eq(string, text_slice(&quoted));
        --i;
    }
    text_free(&quoted);
    return found;
}

static void add_params(struct text *out, const struct body_param *params, size_t count, const struct json_value *value)
{
    for (size_t i = 0; i != count; ++i) {
        if (is_dropped(params, count, i, value) || (value->is_object && has_member(text_slice(&value->normal), params[i].name)))
            continue;
        if (out->p[out->n - 1] != '{')
            text_add(out, SLICE(","));
        json_add_string(out, params[i].name);
        text_add(out, SLICE(":"));
        json_add_string(out, params[i].value);
    }
    text_add(out, SLICE("}"));
}

/* The normal form of what must come out. */
static void expect(struct text *out, const struct json_value *value, const struct body_param *params, size_t count)
{
    if (count == 0) {
        text_add(out, text_slice(&value->normal));
    } else if (value->is_object) {
        text_add(out, slice_make(value->normal.p, value->normal.n - 1));
        add_params(out, params, count, value);
    } else {
        text_add(out, SLICE("{\"_json\":"));
        text_add(out, text_slice(&value->normal));
        add_params(out, params, count, value);
    }
}

static void check_again(struct slice data)
{
    struct body body;
    must(body_from_json(&body, data, NULL, 0) == NULL);
    must(slice_eq(body.data, data));
    body_free(&body);
}

static void check_good(const struct body *body, const struct json_value *value, const struct body_param *params, size_t count)
{
    struct json_value made;
    struct text want = {NULL, 0, 0};
    must(json_read(&made, body->data, JSON_DEPTH_MAX + 1));
    expect(&want, value, params, count);
    must(slice_eq(text_slice(&made.normal), text_slice(&want)));
    for (size_t i = 0; i != body->data.n; ++i)
        must((unsigned char)body->data.p[i] >= 0x20);
    /* in an object of ours a value that is 64 deep already is one deeper */
    if (count == 0 || value->is_object)
        check_again(body->data);
    text_free(&want);
    text_free(&made.normal);
}

static void check_params(struct body_param *params, size_t count)
{
    struct body body;
    struct json_value made, nothing = {.is_object = true, .normal = {NULL, 0, 0}};
    struct text want = {NULL, 0, 0};
    body_from_params(&body, params, count);
    must(json_read(&made, body.data, 1));
    text_add(&nothing.normal, SLICE("{}"));
    expect(&want, &nothing, params, count);
    must(slice_eq(text_slice(&made.normal), text_slice(&want)));
    text_free(&nothing.normal);
    text_free(&want);
    text_free(&made.normal);
    body_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), text = next_field(&rest);
    struct slice json = own(rest.p == NULL ? SLICE("") : rest, false);
    struct body_param params[PARAMS_MAX];
    struct json_value value;
    struct body body;
    size_t count = utf8_valid(text) ? split_params(params, text) : 0; /* post.c has refused others */
    bool good = json_read(&value, json, JSON_DEPTH_MAX);
    const char *why = body_from_json(&body, json, params, count);
    must((why == NULL) == good);
    if (why == NULL)
        check_good(&body, &value, params, count);
    else
        must(why[0] != '\0' && body.data.n == 0 && body.gen == NULL);
    body_free(&body);
    check_params(params, count);
    text_free(&value.normal);
    disown(json);
    return 0;
}
