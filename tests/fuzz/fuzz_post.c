/* Input: the fields method, target, body (0xff can't be in it), and then header lines.
 * What post_read() lets through can be published: a channel of the grammar, type, id, retry and key within the rules, data in UTF-8, and JSON where
 * the body is not text; of many lines fuzz_lines.c says more. What it refuses has one of the statuses of the README and a sentence. */
#include "publisher/post.h"

#include "proto/channel.h"
#include "proto/event.h"
#include "proto/message.h"
#include "publisher/json.h"
#include "runtime/http.h"
#include "tests/fuzz/json.h"
#include "tests/fuzz/request.h"

enum { BODY_LIMIT = 2000, HISTORY_LEN = 10, HISTORY_TTL = 10, HISTORY_TTL_MAX = 30 };

/* Each header that says something of the event stands once. */
static void check_headers(const h2o_req_t *req)
{
    static const char *const once[] = {
        "origin",    "content-type", "content-encoding", "idempotency-key",    "sse-event",      "sse-id",
        "sse-retry", "sse-end",      "sse-lease",        "sse-history-length", "sse-history-ttl"};
    for (size_t i = 0; i != sizeof(once) / sizeof(once[0]); ++i) {
        ssize_t at = h2o_find_header_by_str(&req->headers, once[i], strlen(once[i]), -1);
        must(at == -1 || h2o_find_header_by_str(&req->headers, once[i], strlen(once[i]), at) == -1);
    }
}

static void check_good(const struct post *post, h2o_req_t *req)
{
    const struct publish_request *publish = &post->publish;
    struct json_value value;
    enum body_kind kind;
    check_headers(req);
    must(slice_eq(slice_of_iovec(req->method), SLICE("POST")) && req->entity.len <= BODY_LIMIT);
    must((post->lines.count != 0) ==
         (post->route == POST_CHANNELS ||
          (post->route == POST_CHANNEL && body_kind_of(&kind, http_header(req, "content-type")) == NULL && kind == BODY_LINES)));
    must(post->route == POST_CHANNELS ? publish->channel.p == NULL : channel_check(publish->channel) == NULL);
    must(event_check_type(publish->type) == NULL && event_check_id(publish->id) == NULL);
    must(publish->retry_ms >= 0 && publish->retry_ms <= EVENT_RETRY_MAX && publish->key.n <= 200);
    for (size_t i = 0; i != publish->key.n; ++i)
        must(publish->key.p[i] > ' ' && publish->key.p[i] <= '~');
    must(utf8_valid(publish->data));
    must(body_kind_of(&kind, http_header(req, "content-type")) == NULL);
    must(publish->history_len >= 1 && publish->history_len <= HISTORY_LEN && publish->history_ttl_s >= 1 &&
         publish->history_ttl_s <= HISTORY_TTL_MAX);
    must(publish->lease_s <= MESSAGE_LEASE_MAX && (!publish->end || publish->lease_s == 0));
    if (post->lines.count != 0) {
        must(publish->type.p == NULL && publish->id.p == NULL && !publish->end && publish->lease_s == 0 && post->body.gen == NULL);
        must((post->granted != NULL) == (post->route == POST_CHANNELS));
    } else if (publish->end && publish->data.n == 0 && post->body.gen == NULL && kind != BODY_TEXT) {
        must(req->entity.len == 0 && publish->id.n == 0 && publish->type.n == 0);
    } else if (post->body.gen != NULL) {
        must(slice_eq(post->body.data, publish->data) && json_read(&value, publish->data, JSON_DEPTH_MAX + 1));
        text_free(&value.normal);
    } else {
        must(kind == BODY_TEXT && slice_eq(publish->data, slice_of_iovec(req->entity)));
    }
}

static void check_status(h2o_req_t *req, int status, const char *why)
{
    static const int statuses[] = {400, 403, 404, 405, 413, 414, 415, 431, 500};
    bool known = false;
    for (size_t i = 0; i != sizeof(statuses) / sizeof(statuses[0]); ++i)
        known = known || status == statuses[i];
    must(known && why[0] != '\0' && utf8_valid(slice_of(why)));
    must((status == 405) == (req->res.headers.size == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options options = {.service.body_limit = BODY_LIMIT,
                                     .service.cors_origins = "http://localhost:3000",
                                     .retry_ms = 6000,
                                     .history_len = HISTORY_LEN,
                                     .history_bytes = 1,
                                     .history_ttl_s = HISTORY_TTL,
                                     .history_ttl_max_s = HISTORY_TTL_MAX};
    if (options.service.proxies == NULL)
        options.service.proxies = proxies_parse("");
    struct slice rest = slice_make((const char *)data, size);
    struct slice method = next_field(&rest), target = own(next_field(&rest), false), body = own(next_field(&rest), false);
    struct request request;
    struct post post;
    int status = 0;
    request_open(&request, method, target);
    request.req.entity = iovec_of_slice(body);
    while (rest.p != NULL)
        request_add_header(&request, next_field(&rest));
    const char *why = post_read(&post, &request.req, &options, &status);
    if (why == NULL)
        check_good(&post, &request.req);
    else
        check_status(&request.req, status, why);
    post_free(&post);
    request_close(&request);
    disown(target);
    disown(body);
    return 0;
}
