#include "runtime/h2o/h2_head.h"

#include "runtime/slice.h"

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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

const char *h2_head_fault(const h2o_headers_t *headers)
{
    static const struct slice of_connections[] = {{"keep-alive", 10}, {"proxy-connection", 16}};
    for (size_t i = 0; i < headers->size; ++i) {
        struct slice name = slice_of_iovec(*headers->entries[i].name), value = slice_of_iovec(headers->entries[i].value);
        if (name.n == 0)
            return "a field has no name";
        if (value.n != 0 && (is_blank(value.p[0]) || is_blank(value.p[value.n - 1])))
            return "a field's value begins or ends with a blank";
        for (size_t k = 0; k < sizeof(of_connections) / sizeof(of_connections[0]); ++k)
            if (slice_eq(name, of_connections[k]))
                return "a field of HTTP/1.1 connections can't stand in HTTP/2";
    }
    return NULL;
}
