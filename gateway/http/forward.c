#include "gateway/http/forward.h"

#include "gateway/counters.h"
#include "proto/channel.h"
#include "runtime/http.h"

bool forward_allowed(h2o_req_t *req, struct slice channel)
{
    struct access_pass pass;
    const char *error = channel_check(channel);
    if (error != NULL) {
        http_error(req, 400, error);
        return false;
    }
    error = access_check(worker_of(req)->access, req, ACCESS_PUBLISH, &channel, 1, &pass);
    if (error != NULL) {
        metric_add((size_t)COUNT_REFUSED + pass.outcome - 1, 1);
        http_error(req, pass.status, error);
    }
    return error == NULL;
}

/* Room for all values of the field with a separator between them; 0 when there are fewer than two. */
static size_t joined_bytes(const h2o_headers_t *headers, const h2o_token_t *name)
{
    size_t bytes = 0, count = 0;
    for (size_t i = 0; i < headers->size; ++i)
        if (headers->entries[i].name == &name->buf) {
            bytes += headers->entries[i].value.len + 2;
            ++count;
        }
    return count < 2 ? 0 : bytes;
}

static void append(h2o_iovec_t *text, const char *bytes, size_t n)
{
    memcpy(text->base + text->len, bytes, n);
    text->len += n;
}

/* The first of the fields gets all values, the others go. */
static void join(h2o_req_t *req, const h2o_token_t *name, const char *separator)
{
    h2o_headers_t *headers = &req->headers;
    size_t bytes = joined_bytes(headers, name), kept = 0, first = SIZE_MAX;
    if (bytes == 0)
        return;
    h2o_iovec_t all = h2o_iovec_init(h2o_mem_alloc_pool(&req->pool, bytes), 0);
    for (size_t i = 0; i < headers->size; ++i) {
        h2o_header_t *header = &headers->entries[i];
        if (header->name == &name->buf) {
            if (all.len != 0 && header->value.len != 0)
                append(&all, separator, 2);
            append(&all, header->value.base, header->value.len);
            if (first != SIZE_MAX)
                continue;
            first = kept;
        }
        headers->entries[kept++] = *header;
    }
    headers->size = kept;
    headers->entries[first].value = all;
}

void forward_merge_fields(h2o_req_t *req)
{
    join(req, H2O_TOKEN_COOKIE, "; ");
    join(req, H2O_TOKEN_VIA, ", ");
    join(req, H2O_TOKEN_X_FORWARDED_FOR, ", ");
}
