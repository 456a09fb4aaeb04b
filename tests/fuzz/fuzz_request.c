/* Input: the fields target (path and query) and then header lines.
 * The bounds of http_head_check() are those of its numbers. The path is NULL just where an escape is broken, else what RFC 3986 decodes, and the
 * query is what stands behind the first '?'. What stream_read_query() lets through are channels of the grammar, each once, at most 100, and a place
 * to start from that is within its limits. */
#include "gateway/http/open.h"

#include <strings.h>

#include "proto/channel.h"
#include "proto/event.h"
#include "runtime/http.h"
#include "tests/fuzz/request.h"

static int hex(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode(struct text *out, struct slice raw)
{
    for (size_t i = 0; i != raw.n; ++i) {
        if (raw.p[i] != '%') {
            text_add_byte(out, raw.p[i]);
            continue;
        }
        if (raw.n - i < 3 || hex(raw.p[i + 1]) < 0 || hex(raw.p[i + 2]) < 0)
            return false;
        text_add_byte(out, hex(raw.p[i + 1]) << 4 | hex(raw.p[i + 2]));
        i += 2;
    }
    return true;
}

static void check_target(h2o_req_t *req, struct slice target)
{
    struct text path = {NULL, 0, 0};
    struct slice query = target, raw = slice_split(&query, '?'), got = http_path(req), got_query = http_query(req);
    bool good = decode(&path, raw);
    if (raw.n == 0)
        must(slice_eq(got, SLICE("/")));
    else
        must((got.p != NULL) == good && (!good || slice_eq(got, text_slice(&path))));
    must((got_query.p == NULL) == (query.p == NULL) && got_query.n == query.n);
    must(got_query.p == NULL || got_query.p + got_query.n == target.p + target.n);
    text_free(&path);
}

static void check_head(h2o_req_t *req, struct slice target, size_t header_bytes)
{
    int status = 0;
    const char *why = http_head_check(req, &status);
    int want = target.n > HTTP_PATH_MAX ? 414 : header_bytes > HTTP_HEADERS_MAX ? 431 : 0;
    must(status == want && (why == NULL) == (want == 0));
}

/* What `end` may be; on the routes of version 1 it is a parameter of nobody. */
static void check_form(const struct hub_spec *spec, enum form asked)
{
    bool old = asked == FORM_FULL;
    must(spec->form == asked || (asked == FORM_LEAN && spec->form == FORM_ENVELOPE));
    must(!old || (spec->end_text.p == NULL && !spec->gap_closes));
    must(spec->end_text.p == NULL || (spec->end_text.n >= 1 && spec->end_text.n <= STREAM_END_MAX && utf8_valid(spec->end_text)));
    for (size_t i = 0; i != spec->end_text.n; ++i)
        must((unsigned char)spec->end_text.p[i] >= ' ' && spec->end_text.p[i] != 0x7f);
    must(spec->poll.limit >= 1 && spec->poll.limit <= STREAM_LIMIT_MAX && spec->poll.wait_ms <= STREAM_WAIT_MAX_S * 1000);
    must(asked == FORM_JSON || (spec->poll.limit == STREAM_LIMIT_MAX && spec->poll.wait_ms == 0));
}

static void check_stream(h2o_req_t *req, bool many, enum form form)
{
    struct stream_request stream = {
        .spec = {.mode = START_FRESH, .welcome = WELCOME_POSITION, .form = form, .poll = {.limit = STREAM_LIMIT_MAX}}};
    must(stream_add_channel(&stream, SLICE("own")) == NULL && stream.count == 1);
    const char *why = stream_read_query(&stream, req, many);
    must(stream.count >= 1 && stream.count <= STREAM_CHANNELS_MAX && (many || stream.count == 1));
    for (size_t i = 0; i != stream.count; ++i) {
        must(channel_check(stream.channels[i]) == NULL);
        for (size_t j = 0; j != i; ++j)
            must(!slice_eq(stream.channels[i], stream.channels[j]));
    }
    if (why != NULL)
        return;
    const struct hub_spec *start = &stream.spec;
    check_form(start, form);
    must(start->mode != START_LAST || (start->last >= 1 && start->last <= STREAM_LAST_MAX));
    if (start->mode != START_RESUME)
        return;
    must(start->resume_id.n >= 1 && start->resume_id.n <= EVENT_CUSTOM_ID_MAX && start->welcome == WELCOME_NOTHING);
    must(memchr(start->resume_id.p, 0, start->resume_id.n) == NULL);
}

/* The first header line of a name is the one found, without the space around it. */
static void check_header(h2o_req_t *req)
{
    for (size_t i = 0; i != req->headers.size; ++i) {
        char name[64];
        struct slice is = slice_of_iovec(*req->headers.entries[i].name);
        if (is.n >= sizeof(name) || memchr(is.p, 0, is.n) != NULL)
            continue;
        memcpy(name, is.p, is.n);
        name[is.n] = '\0';
        struct slice got = http_header(req, name);
        must(got.p != NULL && (got.n == 0 || (got.p[0] != ' ' && got.p[got.n - 1] != '\t')));
    }
    must(http_header(req, "x-nobody-sends-this-one").p == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make((const char *)data, size), target = own(next_field(&rest), false);
    struct request request;
    size_t header_bytes = 0;
    request_open(&request, SLICE("GET"), target);
    while (rest.p != NULL)
        request_add_header(&request, next_field(&rest));
    for (size_t i = 0; i != request.req.headers.size; ++i)
        header_bytes += request.req.headers.entries[i].name->len + request.req.headers.entries[i].value.len + 4;
    check_head(&request.req, target, header_bytes);
    check_target(&request.req, target);
    check_header(&request.req);
    check_stream(&request.req, true, FORM_LEAN);
    check_stream(&request.req, false, FORM_FULL);
    check_stream(&request.req, true, FORM_JSON);
    request_close(&request);
    disown(target);
    return 0;
}
