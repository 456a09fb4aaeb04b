#include "tests/fuzz/json.h"

#include "runtime/utf8.h"

struct reader {
    struct slice rest;
    struct text *out;
    unsigned depth, depth_max;
};

static bool read_value(struct reader *r);

static int peek(const struct reader *r)
{
    return r->rest.n == 0 ? -1 : (unsigned char)r->rest.p[0];
}

static void skip_space(struct reader *r)
{
    while (r->rest.n != 0 && (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r'))
        r->rest = slice_from(r->rest, 1);
}

/* Takes the byte if it is next. */
static bool take(struct reader *r, int byte)
{
    if (peek(r) != byte)
        return false;
    r->rest = slice_from(r->rest, 1);
    return true;
}

static bool take_word(struct reader *r, struct slice word)
{
    if (!slice_starts(r->rest, word))
        return false;
    r->rest = slice_from(r->rest, word.n);
    text_add(r->out, word);
    return true;
}

static bool take_digits(struct reader *r)
{
    size_t n = 0;
    while (n != r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9')
        ++n;
    r->rest = slice_from(r->rest, n);
    return n != 0;
}

static bool read_number(struct reader *r)
{
    struct slice from = r->rest;
    take(r, '-');
    if (!take(r, '0') && !take_digits(r))
        return false;
    if (take(r, '.') && !take_digits(r))
        return false;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            take(r, '-');
        if (!take_digits(r))
            return false;
    }
    text_add(r->out, slice_make(from.p, from.n - r->rest.n));
    return true;
}

static bool read_unit(struct reader *r, unsigned *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; ++i) {
        const char *digits = "0123456789abcdef0123456789ABCDEF", *digit = peek(r) <= 0 ? NULL : strchr(digits, peek(r));
        if (digit == NULL)
            return false;
        *unit = *unit << 4 | (unsigned)(digit - digits) % 16;
        r->rest = slice_from(r->rest, 1);
    }
    return true;
}

static void add_code_point(struct text *out, unsigned code)
{
    if (code < 0x80) {
        text_add_byte(out, (int)code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const int lead[] = {0, 0xc0, 0xe0, 0xf0};
    text_add_byte(out, lead[more] | (int)(code >> 6 * more));
    while (more-- > 0)
        text_add_byte(out, 0x80 | (int)(code >> 6 * more & 0x3f));
}

static bool read_unicode_escape(struct reader *r, struct text *out)
{
    unsigned unit, low;
    if (!read_unit(r, &unit) || (unit >= 0xdc00 && unit <= 0xdfff))
        return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (!take(r, '\\') || !take(r, 'u') || !read_unit(r, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    add_code_point(out, unit);
    return true;
}

static bool read_escape(struct reader *r, struct text *out)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (take(r, 'u'))
        return read_unicode_escape(r, out);
    const char *name = peek(r) <= 0 ? NULL : strchr(names, peek(r));
    if (name == NULL)
        return false;
    r->rest = slice_from(r->rest, 1);
    text_add_byte(out, bytes[name - names]);
    return true;
}

/* The quotes included; the characters go to *out. */
static bool read_characters(struct reader *r, struct text *out)
{
    if (!take(r, '"'))
        return false;
    while (!take(r, '"')) {
        size_t n = utf8_length(r->rest.p, r->rest.n);
        if (n == 0 || (unsigned char)r->rest.p[0] < 0x20)
            return false;
        if (take(r, '\\')) {
            if (!read_escape(r, out))
                return false;
            continue;
        }
        text_add(out, slice_make(r->rest.p, n));
        r->rest = slice_from(r->rest, n);
    }
    return true;
}

void json_add_string(struct text *out, struct slice characters)
{
    char escape[8];
    text_add(out, SLICE("\""));
    for (size_t i = 0; i != characters.n; ++i) {
        unsigned char c = (unsigned char)characters.p[i];
        snprintf(escape, sizeof(escape), "\\u%04x", c);
        if (c < 0x20 || c == '"' || c == '\\')
            text_add(out, slice_of(escape));
        else
            text_add_byte(out, c);
    }
    text_add(out, SLICE("\""));
}

static bool read_string(struct reader *r)
{
    struct text characters = {NULL, 0, 0};
    bool good = read_characters(r, &characters);
    if (good)
        json_add_string(r->out, text_slice(&characters));
    text_free(&characters);
    return good;
}

static bool read_member(struct reader *r)
{
    if (!read_string(r))
        return false;
    skip_space(r);
    text_add(r->out, SLICE(":"));
    return take(r, ':') && read_value(r);
}

static bool read_list(struct reader *r, int end, bool (*read_item)(struct reader *))
{
    bool first = true;
    if (++r->depth > r->depth_max)
        return false;
    text_add_byte(r->out, r->rest.p[0]);
    r->rest = slice_from(r->rest, 1);
    for (skip_space(r); !take(r, end); first = false) {
        if (!first && !take(r, ','))
            return false;
        if (!first)
            text_add(r->out, SLICE(","));
        skip_space(r);
        if (!read_item(r))
            return false;
        skip_space(r);
    }
    text_add_byte(r->out, end);
    --r->depth;
    return true;
}

static bool read_value(struct reader *r)
{
    bool good;
    skip_space(r);
    switch (peek(r)) {
    case '{':
        good = read_list(r, '}', read_member);
        break;
    case '[':
        good = read_list(r, ']', read_value);
        break;
    case '"':
        good = read_string(r);
        break;
    default:
        good = take_word(r, SLICE("null")) || take_word(r, SLICE("true")) || take_word(r, SLICE("false")) || read_number(r);
    }
    skip_space(r);
    return good;
}

bool json_read(struct json_value *value, struct slice text, unsigned depth_max)
{
    *value = (struct json_value){.is_object = false};
    struct reader r = {.rest = text, .out = &value->normal, .depth_max = depth_max};
    bool good = read_value(&r) && r.rest.n == 0;
    value->is_object = good && value->normal.p[0] == '{';
    return good;
}

bool json_characters(struct text *characters, struct slice text)
{
    struct reader r = {.rest = text};
    return read_characters(&r, characters) && r.rest.n == 0;
}
