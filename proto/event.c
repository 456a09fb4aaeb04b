#include "proto/event.h"

#include "runtime/utf8.h"

bool utf8_valid(struct slice text)
{
    while (text.n != 0) {
        size_t n = utf8_length(text.p, text.n);
        if (n == 0)
            return false;
        text = slice_from(text, n);
    }
    return true;
}

static bool holds_break_or_nul(struct slice s)
{
    for (size_t i = 0; i != s.n; ++i)
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
            return true;
    return false;
}

const char *event_check_stored_type(struct slice type)
{
    if (type.n > EVENT_TYPE_MAX)
        return "event is longer than 200 bytes";
    if (holds_break_or_nul(type))
        return "event holds CR, LF or NUL";
    return utf8_valid(type) ? NULL : "event is not valid UTF-8";
}

const char *event_check_stored_id(struct slice id)
{
    if (id.n > EVENT_CUSTOM_ID_MAX)
        return "id is longer than 200 bytes";
    if (holds_break_or_nul(id))
        return "id holds CR, LF or NUL";
    return utf8_valid(id) ? NULL : "id is not valid UTF-8";
}

static bool has_outer_blank(struct slice s)
{
    return slice_trim(s).n != s.n;
}

/* What a browser would take for the gateway's word, or for its own. */
static bool is_reserved(struct slice type)
{
    static const struct slice reserved[] = {{"gap", 3}, {"error", 5}, {"open", 4}, {"end", 3}};
    for (size_t i = 0; i != sizeof(reserved) / sizeof(reserved[0]); ++i)
        if (slice_eq(type, reserved[i]))
            return true;
    return false;
}

const char *event_check_type(struct slice type)
{
    const char *why = event_check_stored_type(type);
    if (why == NULL && is_reserved(type))
        why = "event is reserved: gap, error, open and end are events of the gateway and the browser";
    if (why == NULL && has_outer_blank(type))
        why = "event begins or ends with a blank, which some readers remove";
    return why;
}

static bool holds_control(struct slice s)
{
    for (size_t i = 0; i != s.n; ++i)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

bool event_id_returns(struct slice id)
{
    return !holds_control(id) && !has_outer_blank(id);
}

const char *event_check_id(struct slice id)
{
    const char *why = event_check_stored_id(id);
    if (why == NULL && holds_control(id))
        why = "id holds a control character, which HTTP does not carry";
    if (why == NULL && has_outer_blank(id))
        why = "id begins or ends with a blank, which HTTP does not carry";
    return why;
}
