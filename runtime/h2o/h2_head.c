#include "runtime/h2o/h2_head.h"

#include "runtime/h2o/target.h"

/* RFC 7541 section 5.1. The end of the integer, or NULL when it is cut or longer than the library takes. */
static const uint8_t *read_integer(const uint8_t *at, const uint8_t *end, unsigned prefix_bits, size_t *value)
{
    uint8_t most = (uint8_t)((1U << prefix_bits) - 1);
    *value = *at++ & most;
    if (*value != most)
        return at;
    for (unsigned shift = 0; shift <= 21; shift += 7) {
        if (at == end)
            return NULL;
        *value += (size_t)(*at & 127) << shift;
        if ((*at++ & 128) == 0)
            return at;
    }
    return NULL;
}

static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
    size_t n;
    if (at == end || (at = read_integer(at, end, 7, &n)) == NULL || n > (size_t)(end - at))
        return NULL;
    return at + n;
}

/* One instruction of RFC 7541 section 6. */
static const uint8_t *skip_instruction(const uint8_t *at, const uint8_t *end)
{
    uint8_t first = *at;
    size_t index;
    if (first >= 128)
        return read_integer(at, end, 7, &index);
    if (first >= 32 && first < 64)
        return read_integer(at, end, 5, &index);
    if ((at = read_integer(at, end, first >= 64 ? 6 : 4, &index)) == NULL)
        return NULL;
    if (index == 0 && (at = skip_string(at, end)) == NULL)
        return NULL;
    return skip_string(at, end);
}

size_t h2_head_instructions(const uint8_t *block, size_t n, size_t max)
{
    size_t count = 0;
    for (const uint8_t *at = block, *end = block + n; at != NULL && at != end && count <= max; ++count)
        at = skip_instruction(at, end);
    return count;
}

static const char *fault_of_field(struct slice name, struct slice value)
{
    static const struct slice of_connections[] = {{"keep-alive", 10}, {"proxy-connection", 16}};
    if (name.n == 0)
        return "a field has no name";
    if (slice_trim(value).n != value.n)
        return "a field's value begins or ends with a blank";
    for (size_t i = 0; i < sizeof(of_connections) / sizeof(of_connections[0]); ++i)
        if (slice_eq(name, of_connections[i]))
            return "a field of HTTP/1.1 connections can't stand in HTTP/2";
    return NULL;
}

static const char *fault_of_target(const h2o_req_t *req)
{
    struct slice method = slice_of_iovec(req->input.method), path = slice_of_iovec(req->input.path);
    bool whole_server = slice_eq(path, SLICE("*")) && slice_eq(method, SLICE("OPTIONS"));
    if (!target_is_path(method))
        return ":method is empty or holds a blank or a control byte";
    if (!target_is_path(path))
        return ":path is empty or holds a blank or a control byte";
    if (path.p[0] != '/' && !whole_server)
        return ":path does not begin with a slash";
    if (req->input.authority.base == NULL)
        return "neither :authority nor host says which host is asked";
    if (!target_is_authority(slice_of_iovec(req->input.authority)))
        return "the host is empty or holds a byte that can't stand in a host and port";
    return NULL;
}

/* Takes the fields Host out of the head. False when two of them, or one and :authority, differ. */
static bool take_hosts(h2o_req_t *req)
{
    struct slice port = req->input.scheme == &H2O_URL_SCHEME_HTTPS ? SLICE(":443") : SLICE(":80");
    size_t kept = 0;
    bool same = true;
    for (size_t i = 0; i < req->headers.size; ++i) {
        h2o_header_t field = req->headers.entries[i];
        if (field.name != &H2O_TOKEN_HOST->buf)
            req->headers.entries[kept++] = field;
        else if (req->input.authority.base == NULL)
            req->input.authority = field.value;
        else if (!target_is_same_authority(slice_of_iovec(req->input.authority), slice_of_iovec(field.value), port))
            same = false;
    }
    req->headers.size = kept;
    return same;
}

const char *h2_head_check(h2o_req_t *req, size_t lengths)
{
    const char *fault = NULL;
    if (!take_hosts(req))
        return "host is another than :authority";
    if (lengths > 1)
        return "more than one content-length";
    for (size_t i = 0; i < req->headers.size && fault == NULL; ++i)
        fault = fault_of_field(slice_of_iovec(*req->headers.entries[i].name), slice_of_iovec(req->headers.entries[i].value));
    return fault != NULL ? fault : fault_of_target(req);
}
