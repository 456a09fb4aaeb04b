#include "tests/hardening/wire.h"

#include <string.h>

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; ++i)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void wire_frame(struct wire *wire, enum frame_type type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
    uint8_t *at = wire->bytes + wire->n;
    put_u32(at, (uint32_t)n << 8 | type);
    at[4] = flags;
    put_u32(at + 5, stream);
    if (n != 0)
        memcpy(at + 9, payload, n);
    wire->n += 9 + n;
    ++wire->frames;
}

void wire_u32(struct wire *wire, enum frame_type type, uint32_t stream, uint32_t value)
{
    uint8_t payload[4];
    put_u32(payload, value);
    wire_frame(wire, type, 0, stream, payload, sizeof(payload));
}

void wire_setting(struct wire *wire, uint16_t name, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(name >> 8), (uint8_t)name};
    put_u32(payload + 2, value);
    wire_frame(wire, SETTINGS, 0, 0, payload, sizeof(payload));
}

void wire_open(struct wire *wire)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    wire->n = sizeof(preface) - 1;
    wire->stream = (uint32_t)-1;
    memcpy(wire->bytes, preface, wire->n);
    wire_frame(wire, SETTINGS, 0, 0, NULL, 0);
    wire_u32(wire, WINDOW_UPDATE, 0, 1u << 30);
}

/* A literal field without indexing whose name is the static table's; lengths below 127. */
static size_t put_field(uint8_t *at, uint8_t index, const char *value)
{
    size_t n = strlen(value);
    at[0] = index;
    at[1] = (uint8_t)n;
    memcpy(at + 2, value, n);
    return n + 2;
}

size_t wire_head(uint8_t *block, const char *method, const char *path)
{
    size_t n = put_field(block, 2, method);
    n += put_field(block + n, 4, path);
    n += put_field(block + n, 6, "http");
    return n + put_field(block + n, 1, "localhost");
}

void wire_request(struct wire *wire, const char *method, const char *path, uint8_t flags)
{
    uint8_t block[512];
    wire->stream += 2;
    wire_frame(wire, HEADERS, flags, wire->stream, block, wire_head(block, method, path));
}
