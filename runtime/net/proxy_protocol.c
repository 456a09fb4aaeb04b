#include "runtime/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

#include "runtime/digits.h"
#include "runtime/net/client_address.h"

enum {
    LINE_MAX_BYTES = 107, /* of version 1, with CR LF */
    HEAD_BYTES = 16, /* of version 2: what comes before the addresses */
    INET_BYTES = 12,
    INET6_BYTES = 36,
    UNIX_BYTES = 216,
};

static bool fits(struct slice bytes, struct slice start)
{
    return slice_starts(bytes.n < start.n ? start : bytes, bytes.n < start.n ? bytes : start);
}

static void set_inet(struct sockaddr_storage *out, socklen_t *length, const void *address, uint16_t port)
{
    struct sockaddr_in *inet = (void *)out;
    memset(out, 0, sizeof(*out));
    inet->sin_family = AF_INET;
    inet->sin_port = htons(port);
    memcpy(&inet->sin_addr, address, sizeof(inet->sin_addr));
    *length = sizeof(*inet);
}

static void set_inet6(struct sockaddr_storage *out, socklen_t *length, const void *address, uint16_t port)
{
    struct sockaddr_in6 *inet6 = (void *)out;
    memset(out, 0, sizeof(*out));
    inet6->sin6_family = AF_INET6;
    inet6->sin6_port = htons(port);
    memcpy(&inet6->sin6_addr, address, sizeof(inet6->sin6_addr));
    *length = sizeof(*inet6);
}

/* ---- version 1 ---- */

static bool read_port(struct slice text, uint16_t *port)
{
    uint64_t value;
    if ((text.n > 1 && text.p[0] == '0') || !digits_decimal(&value, text, UINT16_MAX))
        return false;
    *port = (uint16_t)value;
    return true;
}

static bool read_address(int family, struct slice text, struct client_address *out)
{
    bool six = text.n != 0 && memchr(text.p, ':', text.n) != NULL;
    return six == (family == AF_INET6) && client_address_literal(out, text);
}

/* "SOURCE DESTINATION PORT PORT" */
static enum proxy_protocol read_addresses(int family, struct slice rest, struct sockaddr_storage *client, socklen_t *length)
{
    struct client_address source, destination;
    uint16_t port, other;
    if (!read_address(family, slice_split(&rest, ' '), &source) || !read_address(family, slice_split(&rest, ' '), &destination) ||
        !read_port(slice_split(&rest, ' '), &port) || !read_port(rest, &other))
        return PROXY_PROTOCOL_BAD;
    if (family == AF_INET)
        set_inet(client, length, source.bytes + 12, port);
    else
        set_inet6(client, length, source.bytes, port);
    return PROXY_PROTOCOL_CLIENT;
}

static enum proxy_protocol read_line(struct slice bytes, struct sockaddr_storage *client, socklen_t *length, size_t *used)
{
    size_t n = bytes.n < LINE_MAX_BYTES ? bytes.n : LINE_MAX_BYTES;
    const char *lf = memchr(bytes.p, '\n', n);
    if (lf == NULL)
        return n == LINE_MAX_BYTES ? PROXY_PROTOCOL_BAD : PROXY_PROTOCOL_MORE;
    if (lf[-1] != '\r')
        return PROXY_PROTOCOL_BAD;
    *used = (size_t)(lf - bytes.p) + 1;
    struct slice rest = slice_from(slice_make(bytes.p, *used - 2), sizeof("PROXY ") - 1);
    if (slice_eq(rest, SLICE("UNKNOWN")) || slice_starts(rest, SLICE("UNKNOWN ")))
        return PROXY_PROTOCOL_OWN;
    if (slice_starts(rest, SLICE("TCP4 ")))
        return read_addresses(AF_INET, slice_from(rest, 5), client, length);
    if (slice_starts(rest, SLICE("TCP6 ")))
        return read_addresses(AF_INET6, slice_from(rest, 5), client, length);
    return PROXY_PROTOCOL_BAD;
}

/* ---- version 2 ---- */

static uint16_t read_u16(const char *p)
{
    return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

/* What follows the addresses is a row of type, length, value. */
static bool are_fields(struct slice rest)
{
    while (rest.n != 0) {
        if (rest.n < 3 || rest.n - 3 < read_u16(rest.p + 1))
            return false;
        rest = slice_from(rest, 3 + (size_t)read_u16(rest.p + 1));
    }
    return true;
}

static enum proxy_protocol read_block(uint8_t kind, struct slice block, struct sockaddr_storage *client, socklen_t *length)
{
    size_t size;
    switch (kind) { /* family and transport */
    case 0x00:
        return PROXY_PROTOCOL_OWN;
    case 0x11:
        size = INET_BYTES;
        break;
    case 0x21:
        size = INET6_BYTES;
        break;
    case 0x31:
        size = UNIX_BYTES;
        break;
    default:
        return PROXY_PROTOCOL_BAD;
    }
    if (block.n < size || !are_fields(slice_from(block, size)))
        return PROXY_PROTOCOL_BAD;
    if (kind == 0x31)
        return PROXY_PROTOCOL_OWN;
    if (kind == 0x11)
        set_inet(client, length, block.p, read_u16(block.p + 8));
    else
        set_inet6(client, length, block.p, read_u16(block.p + 32));
    return PROXY_PROTOCOL_CLIENT;
}

static enum proxy_protocol read_binary(struct slice bytes, struct sockaddr_storage *client, socklen_t *length, size_t *used)
{
    if (bytes.n < HEAD_BYTES)
        return PROXY_PROTOCOL_MORE;
    uint8_t command = (uint8_t)bytes.p[12], kind = (uint8_t)bytes.p[13];
    size_t size = HEAD_BYTES + (size_t)read_u16(bytes.p + 14);
    if ((command != 0x20 && command != 0x21) || size > PROXY_PROTOCOL_MAX)
        return PROXY_PROTOCOL_BAD;
    if (bytes.n < size)
        return PROXY_PROTOCOL_MORE;
    *used = size;
    if (command == 0x20)
        return PROXY_PROTOCOL_OWN;
    return read_block(kind, slice_make(bytes.p + HEAD_BYTES, size - HEAD_BYTES), client, length);
}

enum proxy_protocol proxy_protocol_read(struct slice bytes, struct sockaddr_storage *client, socklen_t *client_length, size_t *used)
{
    static const struct slice line = {"PROXY ", 6}, binary = {"\r\n\r\n\0\r\nQUIT\n", 12};
    enum proxy_protocol result = PROXY_PROTOCOL_BAD;
    *used = 0;
    if (bytes.n == 0)
        return PROXY_PROTOCOL_MORE;
    if (fits(bytes, line))
        result = bytes.n < line.n ? PROXY_PROTOCOL_MORE : read_line(bytes, client, client_length, used);
    else if (fits(bytes, binary))
        result = read_binary(bytes, client, client_length, used);
    if (result < PROXY_PROTOCOL_OWN)
        *used = 0;
    return result;
}
