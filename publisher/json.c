#include "publisher/json.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/digits.h"
#include "runtime/utf8.h"

static _Thread_local char sentence[200];

const char *json_check_utf8(const char *what, struct slice text)
{
    for (size_t at = 0, n; at != text.n; at += n)
        if ((n = utf8_length(text.p + at, text.n - at)) == 0) {
            snprintf(sentence, sizeof(sentence), "%s is not UTF-8 at offset %zu", what, at);
            return sentence;
        }
    return NULL;
}

static const char *describe(yajl_handle handle, const char *what, size_t at)
{
    unsigned char *reason = yajl_get_error(handle, 0, NULL, 0);
    snprintf(sentence, sizeof(sentence), "%s is malformed at offset %zu: %.*s", what, at, (int)strcspn((char *)reason, ".\n"),
             (char *)reason);
    yajl_free_error(handle, reason);
    return sentence;
}

/* yajl has consumed the byte that it stops at; what it finds missing only when told of the end is missing at the end. It takes a
 * whole value with an unfinished string after it for good: the line break, which no string may hold, brings that out. */
static const char *parse(const char *what, struct slice json, const yajl_callbacks *callbacks, void *data)
{
    yajl_handle handle = yajl_alloc(callbacks, NULL, data);
    if (handle == NULL)
        abort();
    yajl_status status = yajl_parse(handle, (const unsigned char *)json.p, json.n);
    size_t consumed = yajl_get_bytes_consumed(handle), at = consumed == 0 ? 0 : consumed - 1;
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(handle);
        if (status == yajl_status_ok)
            status = yajl_parse(handle, (const unsigned char *)"\n", 1);
        at = json.n;
    }
    const char *why = status == yajl_status_ok ? NULL : describe(handle, what, at);
    yajl_free(handle);
    return why;
}

static unsigned hex4(const char *p)
{
    return (unsigned)(digits_hex(p[0]) << 12 | digits_hex(p[1]) << 8 | digits_hex(p[2]) << 4 | digits_hex(p[3]));
}

/* A "\ud800" without its other half stands for no character, and yajl makes something else of it. `json` has passed the parser, so
 * every backslash begins a whole escape. */
static const char *check_surrogates(const char *what, struct slice json)
{
    const char *p = json.p, *end = json.p + json.n;
    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        unsigned unit = p[1] == 'u' ? hex4(p + 2) : 0;
        bool high = unit >= 0xd800 && unit <= 0xdbff;
        bool paired = high && p[6] == '\\' && p[7] == 'u' && (hex4(p + 8) & 0xfc00) == 0xdc00;
        if ((unit & 0xf800) == 0xd800 && !paired) {
            snprintf(sentence, sizeof(sentence), "%s has half a surrogate pair at offset %zu", what, (size_t)(p - json.p));
            return sentence;
        }
        p += paired ? 12 : p[1] == 'u' ? 6 : 2;
    }
    return NULL;
}

/* yajl takes form feeds and vertical tabs for space between tokens; no JSON text holds them anywhere. */
static const char *check_space(const char *what, struct slice json)
{
    for (size_t i = 0; i != json.n; ++i)
        if (json.p[i] == '\f' || json.p[i] == '\v') {
            snprintf(sentence, sizeof(sentence), "%s is malformed at offset %zu: lexical error: invalid char in json text", what,
                     i);
            return sentence;
        }
    return NULL;
}

const char *json_parse(const char *what, struct slice json, const yajl_callbacks *callbacks, void *data)
{
    const char *why = json_check_utf8(what, json);
    if (why == NULL)
        why = check_space(what, json);
    if (why == NULL)
        why = parse(what, json, callbacks, data);
    return why != NULL ? why : check_surrogates(what, json);
}
