#include "proto/event.h"

/* Bytes of the well-formed UTF-8 sequence at the start of s, 0 when there is none: RFC 3629 section 4, its table row by row. */
static size_t utf8_sequence(struct slice s)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, length;
    } rows[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *p = (const unsigned char *)s.p;
    size_t row = 0;
    if (p[0] < 0x80)
        return 1;
    while (row != sizeof(rows) / sizeof(rows[0]) && !(p[0] >= rows[row].first_min && p[0] <= rows[row].first_max))
        ++row;
    if (row == sizeof(rows) / sizeof(rows[0]) || s.n < rows[row].length || p[1] < rows[row].second_min ||
        p[1] > rows[row].second_max)
        return 0;
    for (size_t i = 2; i != rows[row].length; ++i)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return rows[row].length;
}

bool utf8_valid(struct slice text)
{
    while (text.n != 0) {
        size_t n = utf8_sequence(text);
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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool has_outer_blank(struct slice s)
{
    return s.n != 0 && (is_blank(s.p[0]) || is_blank(s.p[s.n - 1]));
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

const char *event_check(const struct event *event)
{
    const char *why;
    if ((why = event_check_type(event->type)) != NULL || (why = event_check_id(event->id)) != NULL)
        return why;
    if (event->retry_ms != EVENT_RETRY_NONE && (event->retry_ms < 0 || event->retry_ms > EVENT_RETRY_MAX))
        return "retry is not an integer from 0 to 3600000";
    return NULL;
}
