#include "proto/event_id.h"

/* Chosen so that Redis's Lua, which counts in doubles, gets the same sums exactly: 2^32 * HASH_BY + 255 is below 2^53. */
enum { HASH_BY = 1664525, HASH_START = 1013904223, VERSION_AT = 14 /* of the digit in an id */ };

static uint32_t hash(uint32_t from, struct slice text)
{
    for (size_t i = 0; i != text.n; ++i)
        from = from * HASH_BY + (unsigned char)text.p[i];
    return from;
}

static uint32_t check_of(uint32_t channel_hash, struct position p)
{
    char text[POSITION_TEXT_MAX];
    uint32_t sum = hash(channel_hash, slice_make(text, position_format(text, p)));
    return sum >> 16 ^ (sum & 0xffff);
}

/* The lowest n digits, so that an id has 36 bytes even where a caller broke the contract. */
static void put_hex(char *out, uint64_t value, int n)
{
    for (; n-- != 0; value >>= 4)
        out[n] = "0123456789abcdef"[value & 0xf];
}

static void format(char out[EVENT_ID_LEN + 1], char version, uint32_t channel_hash, struct position p)
{
    memcpy(out, "mmmmmmmm-mmmm-4sss-8sss-kkkkcccccccc", EVENT_ID_LEN + 1);
    put_hex(out, p.ms >> 16, 8);
    put_hex(out + 9, p.ms, 4);
    out[VERSION_AT] = version;
    put_hex(out + 15, p.seq >> 12, 3);
    put_hex(out + 20, p.seq, 3);
    put_hex(out + 24, check_of(channel_hash, p), 4);
    put_hex(out + 28, channel_hash, 8);
}

void event_id_format(char out[EVENT_ID_LEN + 1], struct slice channel, struct position p)
{
    format(out, '4', hash(HASH_START, channel), p);
}

void event_id_format_end(char out[EVENT_ID_LEN + 1], struct slice channel, struct position p)
{
    format(out, '8', hash(HASH_START, channel), p);
}

bool event_id_is_end(struct slice id)
{
    return id.p[VERSION_AT] == '8';
}

static bool parse_hex(uint64_t *value, const char *p, size_t n)
{
    for (size_t i = 0; i != n; ++i) {
        unsigned digit = p[i] >= '0' && p[i] <= '9'   ? (unsigned)(p[i] - '0')
                         : p[i] >= 'a' && p[i] <= 'f' ? (unsigned)(p[i] - 'a' + 10)
                                                      : 16;
        if (digit == 16)
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

static bool parse(struct position *out, uint64_t *channel_hash, struct slice id)
{
    struct position p = {0, 0};
    char want[EVENT_ID_LEN + 1];
    if (id.n != EVENT_ID_LEN)
        return false;
    if (!parse_hex(&p.ms, id.p, 8) || !parse_hex(&p.ms, id.p + 9, 4) || !parse_hex(&p.seq, id.p + 15, 3) ||
        !parse_hex(&p.seq, id.p + 20, 3) || !parse_hex(channel_hash, id.p + 28, 8))
        return false;
    format(want, event_id_is_end(id) ? '8' : '4', (uint32_t)*channel_hash, p);
    if (memcmp(want, id.p, EVENT_ID_LEN) != 0)
        return false;
    *out = p;
    return true;
}

bool event_id_parse(struct position *out, struct slice id, struct slice channel)
{
    struct position p;
    uint64_t channel_hash = 0;
    if (!parse(&p, &channel_hash, id) || channel_hash != hash(HASH_START, channel))
        return false;
    *out = p;
    return true;
}

bool event_id_parse_any(struct position *out, struct slice id)
{
    uint64_t channel_hash = 0;
    return parse(out, &channel_hash, id);
}
