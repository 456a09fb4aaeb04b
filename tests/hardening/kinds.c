#include "tests/hardening/kinds.h"

#include <string.h>

#define NOWHERE "/no-such-path"
enum { WHOLE = END_STREAM | END_HEADERS };

/* Of the error codes of RFC 9113 section 7. */
enum { CANCEL = 8 };

static void rapid_reset(struct wire *wire)
{
    wire_request(wire, "GET", NOWHERE, WHOLE);
    wire_u32(wire, RST_STREAM, wire->stream, CANCEL);
}

static void rapid_reset_streams(struct wire *wire)
{
    wire_request(wire, "GET", "/channels/attacked", WHOLE);
    wire_u32(wire, RST_STREAM, wire->stream, CANCEL);
}

static void window_zero(struct wire *wire)
{
    wire_request(wire, "GET", NOWHERE, WHOLE);
    wire_u32(wire, WINDOW_UPDATE, wire->stream, 0);
}

static void window_overflow(struct wire *wire)
{
    wire_request(wire, "POST", "/post", END_HEADERS);
    wire_u32(wire, WINDOW_UPDATE, wire->stream, 0x7fffffff);
}

static void data_after_end(struct wire *wire)
{
    char bytes[100] = "";
    wire_request(wire, "GET", NOWHERE, WHOLE);
    wire_frame(wire, DATA, 0, wire->stream, bytes, sizeof(bytes));
}

static void data_on_closed(struct wire *wire)
{
    char bytes[100] = "";
    wire_frame(wire, DATA, 0, 1, bytes, sizeof(bytes));
}

static void begin_closed(struct wire *wire)
{
    rapid_reset(wire);
}

static void reset_on_closed(struct wire *wire)
{
    wire_u32(wire, RST_STREAM, 1, CANCEL);
}

static void too_many(struct wire *wire)
{
    wire_request(wire, "POST", "/post", END_HEADERS);
}

static void wrong_length(struct wire *wire)
{
    uint8_t block[512];
    size_t n = wire_head(block, "POST", "/post");
    memcpy(block + n, "\x0f\x0d\x01\x39", 4); /* content-length: 9 */
    wire->stream += 2;
    wire_frame(wire, HEADERS, END_HEADERS, wire->stream, block, n + 4);
    wire_frame(wire, DATA, END_STREAM, wire->stream, "x", 1);
}

static void no_pseudo(struct wire *wire)
{
    wire->stream += 2;
    wire_frame(wire, HEADERS, WHOLE, wire->stream, "\x10\x01x\x01y", 5);
}

static void pings(struct wire *wire)
{
    wire_frame(wire, PING, 0, 0, "12345678", 8);
}

static void settings(struct wire *wire)
{
    wire_setting(wire, 4, 65535 - (wire->frames & 1)); /* initial window */
}

static void begin_streams(struct wire *wire)
{
    for (int i = 0; i < 90; ++i)
        wire_request(wire, "GET", "/channels/attacked", WHOLE);
}

/* Each stream in turn becomes the exclusive child of another, so that the whole tree moves. */
static void priorities(struct wire *wire)
{
    uint8_t payload[5] = {0x80, 0, 0, (uint8_t)(wire->frames % 90 * 2 + 1), 255};
    uint32_t stream = (uint32_t)((wire->frames * 7 + 3) % 90 * 2 + 1);
    if (stream != payload[3])
        wire_frame(wire, PRIORITY, 0, stream, payload, sizeof(payload));
    else
        ++wire->frames;
}

static void window_updates(struct wire *wire)
{
    wire_u32(wire, WINDOW_UPDATE, wire->frames % 90 * 2 + 1, 1);
}

static void begin_post(struct wire *wire)
{
    wire_request(wire, "POST", "/post", END_HEADERS);
}

static void empty_data(struct wire *wire)
{
    wire_frame(wire, DATA, 0, 1, NULL, 0);
}

static void padding(struct wire *wire)
{
    uint8_t payload[256] = {255};
    wire_frame(wire, DATA, PADDED, 1, payload, sizeof(payload));
}

static void tiny_data(struct wire *wire)
{
    wire_frame(wire, DATA, 0, 1, "x", 1);
}

static void unknown(struct wire *wire)
{
    wire_frame(wire, (enum frame_type)0x4b, 0, 0, "reserved", 8);
}

static void goaways(struct wire *wire)
{
    wire_frame(wire, GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
}

static void begin_head(struct wire *wire)
{
    wire_request(wire, "GET", NOWHERE, END_STREAM);
}

static void empty_continuations(struct wire *wire)
{
    wire_frame(wire, CONTINUATION, 0, 1, NULL, 0);
}

static void big_head(struct wire *wire)
{
    static uint8_t block[16000];
    memset(block, 0x90, sizeof(block)); /* accept-encoding: gzip, deflate, each a byte */
    wire_frame(wire, CONTINUATION, 0, 1, block, sizeof(block));
}

/* One field of 4,000 bytes goes into the table; then each byte of the block stands for it. */
static void header_bomb(struct wire *wire)
{
    static uint8_t block[16000];
    uint8_t entry[] = {0x40, 0x04, 'b', 'o', 'm', 'b', 0x7f, 0xa1, 0x1e}; /* a value of 4,000 bytes follows: 127 + 33 + 30 * 128 */
    size_t n = wire_head(block, "POST", "/post");
    memcpy(block + n, entry, sizeof(entry));
    n += sizeof(entry);
    memset(block + n, 'x', 4000);
    n += 4000;
    memset(block + n, 0xbe, sizeof(block) - n); /* index 62 */
    wire->stream += 2;
    wire_frame(wire, HEADERS, END_HEADERS, wire->stream, block, sizeof(block));
}

static void small_fields(struct wire *wire)
{
    static uint8_t block[16000];
    size_t n = wire_head(block, "POST", "/post");
    for (; n + 4 <= sizeof(block); n += 4)
        memcpy(block + n, "\0\x01y", 4); /* "y" with no value, a literal of its own */
    wire->stream += 2;
    wire_frame(wire, HEADERS, END_HEADERS, wire->stream, block, n);
}

/* The table's size goes up and down, so that it is emptied and filled again. */
static void table_sizes(struct wire *wire)
{
    static uint8_t block[16000];
    size_t n = 0;
    for (; n + 8 <= sizeof(block) - 100; n += 7)
        memcpy(block + n, "\x20\x3f\xe1\x1f\x40\0\0", 7); /* 0, then 4096, then a field */
    wire->stream += 2;
    wire_frame(wire, HEADERS, WHOLE, wire->stream, block, n);
}

/* 100 bodies that never end, as large as they may be. */
static void begin_bodies(struct wire *wire)
{
    for (int i = 0; i < 100; ++i)
        wire_request(wire, "POST", "/post", END_HEADERS);
}

static void bodies(struct wire *wire)
{
    static char bytes[16000];
    wire_frame(wire, DATA, 0, (uint32_t)(wire->frames % 100 * 2 + 1), bytes, sizeof(bytes));
}

/* More than a deaf client's socket takes. */
static void begin_pages(struct wire *wire)
{
    for (int i = 0; i < 100; ++i)
        wire_request(wire, "GET", "/", WHOLE);
}

/* Windows that close and open again, of streams whose last bytes wait in a write. */
static void window_abort(struct wire *wire)
{
    if (wire->frames < 190) {
        wire_setting(wire, 4, 0);
        wire_setting(wire, 4, 65535);
    }
}

static void window_abort_update(struct wire *wire)
{
    if (wire->frames < 110)
        wire_setting(wire, 4, 0);
    for (uint32_t stream = 1; stream < 200 && wire->frames < 2000; stream += 2)
        wire_u32(wire, WINDOW_UPDATE, stream, 0x7fff0000);
}

/* A frame that ends the connection while what is being written is not taken, then bytes for ever. */
static void closing(struct wire *wire)
{
    static char bytes[16000];
    wire_frame(wire, PUSH_PROMISE, 0, 1, bytes, sizeof(bytes));
}

static const struct kind kinds[] = {
    {"rapid-reset", NULL, rapid_reset, false},
    {"rapid-reset-streams", NULL, rapid_reset_streams, false},
    {"window-zero", NULL, window_zero, false},
    {"window-overflow", NULL, window_overflow, false},
    {"data-after-end", NULL, data_after_end, false},
    {"data-on-closed", begin_closed, data_on_closed, false},
    {"reset-on-closed", begin_closed, reset_on_closed, false},
    {"too-many", NULL, too_many, false},
    {"wrong-length", NULL, wrong_length, false},
    {"no-pseudo", NULL, no_pseudo, false},
    {"pings", NULL, pings, false},
    {"settings", begin_streams, settings, false},
    {"priorities", begin_streams, priorities, false},
    {"window-updates", begin_streams, window_updates, false},
    {"empty-data", begin_post, empty_data, false},
    {"padding", begin_post, padding, false},
    {"tiny-data", begin_post, tiny_data, false},
    {"unknown", NULL, unknown, false},
    {"goaways", NULL, goaways, false},
    {"empty-continuations", begin_head, empty_continuations, false},
    {"big-head", begin_head, big_head, false},
    {"header-bomb", NULL, header_bomb, false},
    {"small-fields", NULL, small_fields, false},
    {"table-sizes", NULL, table_sizes, false},
    {"bodies", begin_bodies, bodies, false},
    {"window-abort", begin_pages, window_abort, true},
    {"window-abort-update", begin_pages, window_abort_update, true},
    {"closing", begin_pages, closing, true},
};

const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); ++i)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}
