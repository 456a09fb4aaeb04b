#include "tests/simulation/model_check_draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/event_id.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const channels[DRAW_CHANNELS] = {"sse:a", "sse:news", "x-1:b:c"};

void draw_begin(struct drawing *drawing, uint64_t seed)
{
    *drawing = (struct drawing){.seed = seed};
    drawing->favourite = (size_t)draw_number(drawing, DRAW_CHANNELS);
}

/* splitmix64 */
static uint64_t next(struct drawing *drawing)
{
    uint64_t z = drawing->seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t draw_number(struct drawing *drawing, uint64_t below)
{
    return next(drawing) % below;
}

static bool one_in(struct drawing *drawing, uint64_t n)
{
    return draw_number(drawing, n) == 0;
}

#define PICK(drawing, array) ((array)[draw_number((drawing), COUNT(array))])

struct slice draw_key(size_t number)
{
    /* what sse_publish keeps, with the ids, keys and authors that are drawn below ("u1" has this SHA-1) */
    static const char *const tails[10] = {
        "log",  "last", "count", "id:i1", "id:i2", "id:x y", "key:k1", "key:k2", "by:c5ea71554c774daf7fab320fc3476afc0617eb00:k1",
        "other"};
    static char text[128];
    int n = snprintf(text, sizeof(text), "{%s}:%s", channels[number / 10], tails[number % 10]);
    return slice_make(text, (size_t)n);
}

/* ---- words ---- */

static void add_bytes(struct drawing *drawing, struct slice word)
{
    if (drawing->argc == DRAW_WORDS || drawing->used + word.n > DRAW_BYTES)
        abort();
    char *copy = drawing->bytes + drawing->used;
    if (word.n != 0)
        memcpy(copy, word.p, word.n);
    drawing->used += word.n;
    drawing->argv[drawing->argc++] = slice_make(copy, word.n);
}

static void add(struct drawing *drawing, const char *word)
{
    add_bytes(drawing, slice_of(word));
}

__attribute__((format(printf, 2, 3))) static void add_format(struct drawing *drawing, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    add(drawing, text);
}

/* In lower, upper or mixed case. */
static void add_name(struct drawing *drawing, const char *word)
{
    char text[32];
    size_t n = strlen(word);
    bool lower = one_in(drawing, 4);
    for (size_t i = 0; i != n; ++i)
        text[i] = (char)(word[i] >= 'A' && word[i] <= 'Z' && (lower || one_in(drawing, 20)) ? word[i] + 32 : word[i]);
    add_bytes(drawing, slice_make(text, n));
}

static size_t draw_channel(struct drawing *drawing)
{
    return one_in(drawing, 2) ? drawing->favourite : (size_t)draw_number(drawing, DRAW_CHANNELS);
}

/* Mostly a history, a marker or a counter. */
static void add_key_of(struct drawing *drawing, size_t channel)
{
    add_bytes(drawing, draw_key(10 * channel + (size_t)draw_number(drawing, one_in(drawing, 4) ? 10 : 3)));
}

static void add_key(struct drawing *drawing)
{
    add_key_of(drawing, draw_channel(drawing));
}

static void add_log(struct drawing *drawing)
{
    if (one_in(drawing, 30))
        add_key(drawing);
    else
        add_bytes(drawing, draw_key(10 * draw_channel(drawing)));
}

static uint64_t now_ms(const struct drawing *drawing)
{
    return drawing->now_us / 1000;
}

static const char *known_id(struct drawing *drawing)
{
    const char *id = PICK(drawing, drawing->ids);
    return id[0] != 0 ? id : "1-1";
}

/* Data that repeat, with all kinds of line breaks. */
static void add_data(struct drawing *drawing)
{
    static const char *const texts[] = {"",         "x",      "y",   "{\"n\":1}",  "a\nb",   "a\r\nb",     "\r",
                                        "\n\n",     "\r\n\r", "12",  "-7",         "data: ", "x\ndata: x", "\xc3\xbc",
                                        "\xff\xfe", "a\n",    "\ra", "event: x\n", " ",      "0123456789"};
    char large[5000];
    size_t n = 0;
    if (!one_in(drawing, 6)) {
        add(drawing, PICK(drawing, texts));
        return;
    }
    if (one_in(drawing, 6)) {
        add_bytes(drawing, SLICE("a\0b"));
        return;
    }
    n = (size_t)draw_number(drawing, one_in(drawing, 5) ? sizeof(large) : 300);
    for (size_t i = 0; i != n; ++i)
        large[i] = one_in(drawing, 40) ? "\r\n"[draw_number(drawing, 2)] : (char)('a' + draw_number(drawing, 26));
    add_bytes(drawing, slice_make(large, n));
}

static void add_integer(struct drawing *drawing)
{
    static const char *const odd[] = {"",
                                      "0",
                                      "-1",
                                      "+1",
                                      "01",
                                      "1.5",
                                      "x",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "-9223372036854775808",
                                      " 1",
                                      "1 ",
                                      "1e3",
                                      "0x10",
                                      "18446744073709551615",
                                      "123456789012345678901234567890"};
    if (one_in(drawing, 4))
        add(drawing, PICK(drawing, odd));
    else
        add_format(drawing, "%" PRIu64, draw_number(drawing, one_in(drawing, 3) ? 100000 : 12));
}

/* An id of a stream's entry, or what is none. */
static void add_id(struct drawing *drawing)
{
    static const char *const odd[] = {"-",
                                      "+",
                                      "0-0",
                                      "5",
                                      "x",
                                      "",
                                      "1-",
                                      "-1",
                                      "5-x",
                                      "18446744073709551615-18446744073709551615",
                                      "0-1",
                                      "00-1",
                                      "1-01",
                                      "5--5",
                                      "+5",
                                      " 5-1",
                                      "18446744073709551616-1",
                                      "$",
                                      "*",
                                      "18446744073709551615-0"};
    if (one_in(drawing, 200)) {
        add_format(drawing, "%0130d-1", 5); /* longer than an id may be */
        return;
    }
    switch (draw_number(drawing, 12)) {
    case 0:
        add(drawing, PICK(drawing, odd));
        break;
    case 1:
    case 2:
        add_format(drawing, "%" PRIu64 "-%" PRIu64, now_ms(drawing) - 20 + draw_number(drawing, 40), draw_number(drawing, 3));
        break;
    case 3:
        add_format(drawing, "%" PRIu64, now_ms(drawing) - 20 + draw_number(drawing, 40));
        break;
    default:
        add(drawing, known_id(drawing));
    }
}

/* ---- sse_publish ---- */

static void add_event_id(struct drawing *drawing)
{
    char id[EVENT_ID_LEN + 1];
    const char *channel = channels[draw_channel(drawing)];
    struct position at = {now_ms(drawing) - 2 + draw_number(drawing, 4), draw_number(drawing, 3)};
    at.ms += one_in(drawing, 10) ? 5000 : 0;
    event_id_format(id, slice_of(one_in(drawing, 6) ? "" : strchr(channel, ':') + 1), at);
    if (one_in(drawing, 6))
        id[14] = '8';
    if (one_in(drawing, 8))
        id[draw_number(drawing, EVENT_ID_LEN)] = "0aAz-"[draw_number(drawing, 5)];
    add(drawing, id);
}

static void add_own_id(struct drawing *drawing)
{
    static const char *const texts[] = {"i1", "i2", "x y", "", "i1", "i2"};
    static const char *const odd[] = {" i",
                                      "i ",
                                      "a\nb",
                                      "a\rb",
                                      "a\x01",
                                      "a\x7f",
                                      "\xc3\xbc",
                                      "\xc3",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf0\x9f\x98\x80",
                                      "\xff",
                                      "a\x80"};
    char large[210];
    if (!one_in(drawing, 5)) {
        add(drawing, PICK(drawing, texts));
    } else if (one_in(drawing, 2)) {
        add_event_id(drawing);
    } else if (!one_in(drawing, 8)) {
        add(drawing, PICK(drawing, odd));
    } else {
        memset(large, 'i', sizeof(large));
        add_bytes(drawing, slice_make(large, 199 + (size_t)draw_number(drawing, 3)));
    }
}

static void add_small(struct drawing *drawing, uint64_t from, uint64_t to)
{
    if (one_in(drawing, 15))
        add_integer(drawing);
    else
        add_format(drawing, "%" PRIu64, from + draw_number(drawing, to - from));
}

static void add_key_option(struct drawing *drawing)
{
    static const char *const keys[] = {"k1", "k2", "k1", "", "a\nb"};
    static char large[202];
    memset(large, 'u', sizeof(large));
    add(drawing, "key");
    if (one_in(drawing, 20))
        add_bytes(drawing, slice_make(large, 199 + (size_t)draw_number(drawing, 3)));
    else
        add(drawing, PICK(drawing, keys));
}

static void add_author(struct drawing *drawing)
{
    static const char *const authors[] = {"u1", "u1", "", "u2"};
    static char large[8193];
    memset(large, 'u', sizeof(large));
    add(drawing, "author");
    if (one_in(drawing, 20))
        add_bytes(drawing, slice_make(large, 8191 + (size_t)draw_number(drawing, 3)));
    else
        add(drawing, PICK(drawing, authors));
}

static void add_type(struct drawing *drawing)
{
    static const char *const types[] = {"message", "t",   "",     "greeting", "gap",          "error",
                                        "open",    "end", "a\nb", "\xff",     "\xe2\x82\xac", "event: "};
    add(drawing, "event");
    add(drawing, one_in(drawing, 3) ? PICK(drawing, types) : types[draw_number(drawing, 4)]);
}

static const char *const flags[] = {"1", "0", "1", "0", "1", "2", ""};

/* Of a batch, as of an event. */
static void add_batch_option(struct drawing *drawing)
{
    switch (draw_number(drawing, 10)) {
    case 0:
    case 1:
        add_key_option(drawing);
        break;
    case 2:
        add_author(drawing);
        break;
    case 3:
        add(drawing, "maxlen");
        add_small(drawing, 1, one_in(drawing, 2) ? 20 : 400);
        break;
    case 4:
    case 5:
        add(drawing, "maxbytes");
        add_small(drawing, 1, one_in(drawing, 2) ? 2000 : 40000);
        break;
    case 6:
        add(drawing, "maxdata");
        add_small(drawing, 1, one_in(drawing, 2) ? 60 : 10000);
        break;
    case 7:
        add(drawing, one_in(drawing, 2) ? "changed" : "event");
        add(drawing, "1");
        break;
    default:
        add(drawing, "ttl");
        add_small(drawing, 1, 100);
    }
}

static void add_retry(struct drawing *drawing)
{
    static const char *const retries[] = {"none", "0", "6000", "3600000", "3600001", "x", "007"};
    add(drawing, "retry");
    add(drawing, PICK(drawing, retries));
}

/* What only an event has. */
static void add_event_field(struct drawing *drawing, bool last)
{
    switch (draw_number(drawing, 8)) {
    case 0:
        add_type(drawing);
        break;
    case 1:
    case 2:
    case 3:
        add(drawing, "id");
        add_own_id(drawing);
        break;
    case 4:
        add_retry(drawing);
        break;
    case 5:
        add(drawing, "end");
        add(drawing, last || one_in(drawing, 8) ? PICK(drawing, flags) : "0");
        break;
    case 6:
        add(drawing, one_in(drawing, 8) ? "count" : "lease");
        add_small(drawing, 1, one_in(drawing, 2) ? 10 : 86402);
        break;
    default:
        if (one_in(drawing, 4))
            add_batch_option(drawing);
        else
            add(drawing, one_in(drawing, 4) ? "events" : "id"), add(drawing, "i2");
    }
}

static void add_option(struct drawing *drawing)
{
    switch (draw_number(drawing, 16)) {
    case 0:
        add_type(drawing);
        break;
    case 1:
    case 2:
        add(drawing, "id");
        add_own_id(drawing);
        break;
    case 3:
        add_author(drawing);
        break;
    case 4:
    case 5:
        add_key_option(drawing);
        break;
    case 6:
        add_retry(drawing);
        break;
    case 7:
        add(drawing, "maxlen");
        add_small(drawing, 1, one_in(drawing, 2) ? 20 : 400);
        break;
    case 8:
    case 9:
        add(drawing, "maxbytes");
        add_small(drawing, 1, one_in(drawing, 2) ? 2000 : 40000);
        break;
    case 10:
        add(drawing, "maxdata");
        add_small(drawing, 1, one_in(drawing, 2) ? 60 : 10000);
        break;
    case 11:
        add(drawing, "ttl");
        add_small(drawing, 1, 100);
        break;
    case 12:
        add(drawing, "changed");
        add(drawing, PICK(drawing, flags));
        break;
    case 13:
        add(drawing, "end");
        add(drawing, one_in(drawing, 2) ? "0" : PICK(drawing, flags)); /* what has ended takes no more events */
        break;
    case 14:
        add(drawing, "lease");
        add_small(drawing, 1, one_in(drawing, 2) ? 10 : 86402);
        break;
    default:
        add(drawing, "count");
        add(drawing, PICK(drawing, flags));
    }
}

static void draw_odd_fcall(struct drawing *drawing)
{
    static const char *const functions[] = {"sse_publish", "SSE_Publish", "sse_publish_many", "other"};
    static const char *const keys[] = {"sse:a",
                                       "sse:",
                                       "sse",
                                       "",
                                       "sse:/a",
                                       "sse:a b",
                                       "sse:\xc3\xbc",
                                       "a_b-c:x/y@z+,~.",
                                       "a.b:x",
                                       "sse:a:b",
                                       ":a",
                                       "{sse:a}:log",
                                       "sse:a{b}",
                                       "x12345678901234567890123456789012:a",
                                       "x1234567890123456789012345678901:a"};
    static const char *const odd_options[] = {"events", "", "ID", "minid", "event"};
    char large[300];
    add_name(drawing, "FCALL");
    add(drawing, PICK(drawing, functions));
    if (one_in(drawing, 4)) {
        add_integer(drawing);
    } else {
        add(drawing, "1");
    }
    if (one_in(drawing, 8)) {
        memset(large, 'n', sizeof(large));
        memcpy(large, "sse:", 4);
        add_bytes(drawing, slice_make(large, 203 + (size_t)draw_number(drawing, 3)));
    } else if (one_in(drawing, 12)) {
        add_bytes(drawing, SLICE("sse:a\0b"));
    } else if (!one_in(drawing, 12)) {
        add(drawing, PICK(drawing, keys));
    }
    for (uint64_t n = draw_number(drawing, 5); n != 0; --n)
        if (one_in(drawing, 3))
            add(drawing, PICK(drawing, odd_options));
        else
            add_data(drawing);
}

/* Mostly events alone, with few fields. */
static void draw_fcall_many(struct drawing *drawing)
{
    uint64_t events = one_in(drawing, 8) ? 0 : 1 + draw_number(drawing, one_in(drawing, 3) ? 8 : 3);
    add_name(drawing, "FCALL");
    add(drawing, "sse_publish_many");
    add(drawing, "1");
    add(drawing, channels[draw_channel(drawing)]);
    for (uint64_t n = draw_number(drawing, 4); n > 1; --n)
        add_batch_option(drawing);
    for (uint64_t i = 0; i != events; ++i) {
        add(drawing, "data");
        add_data(drawing);
        for (uint64_t n = one_in(drawing, 3) ? draw_number(drawing, 3) : 0; n != 0; --n)
            add_event_field(drawing, i + 1 == events);
    }
    if (one_in(drawing, 60))
        add(drawing, one_in(drawing, 2) ? "data" : "id");
}

static void draw_fcall(struct drawing *drawing)
{
    add_name(drawing, "FCALL");
    add(drawing, "sse_publish");
    add(drawing, "1");
    add(drawing, channels[draw_channel(drawing)]);
    add_data(drawing);
    for (uint64_t n = draw_number(drawing, one_in(drawing, 3) ? 6 : 3); n != 0; --n)
        add_option(drawing);
    if (one_in(drawing, 60))
        add(drawing, "event");
}

/* ---- streams ---- */

static void add_trim(struct drawing *drawing)
{
    bool by_length = one_in(drawing, 2);
    if (one_in(drawing, 40))
        return;
    add_name(drawing, by_length ? "MAXLEN" : "MINID");
    if (!one_in(drawing, 3))
        add(drawing, one_in(drawing, 2) ? "~" : "=");
    if (!by_length)
        add_id(drawing);
    else if (one_in(drawing, 3))
        add_integer(drawing);
    else
        add_format(drawing, "%" PRIu64, draw_number(drawing, one_in(drawing, 2) ? 20 : 200));
    if (one_in(drawing, 6)) {
        add_name(drawing, "LIMIT");
        add_integer(drawing);
    }
    if (one_in(drawing, 40))
        add(drawing, "x");
    if (one_in(drawing, 40))
        add_trim(drawing);
}

/* What somebody may have written into a history by hand. */
static void add_sum(struct drawing *drawing)
{
    static const char *const texts[] = {"0",
                                        "100",
                                        "nan",
                                        "inf",
                                        "-inf",
                                        "0x10",
                                        "1e3",
                                        " 12 ",
                                        "-5",
                                        "x",
                                        "",
                                        "9e99",
                                        "12x",
                                        "1 ",
                                        "5 5",
                                        "100 1-1",
                                        "2000 ",
                                        "1000 x",
                                        "5 99999999999999999999-1",
                                        "NAN",
                                        "12\t",
                                        "0000000000000000000000000000000000000000000000000000000000000000000000100"};
    if (one_in(drawing, 2))
        add(drawing, PICK(drawing, texts));
    else
        add_format(drawing, "%" PRIu64 " %s", draw_number(drawing, 5000), known_id(drawing));
}

static void add_marks(struct drawing *drawing)
{
    static const char *const texts[] = {"",
                                        "0@1-1",
                                        "5@5",
                                        "1@1-1 2@2-2",
                                        "x",
                                        "5@99999999999999999999-1",
                                        "3@0-0 4@1-1",
                                        "@1-1",
                                        "12@1-1@2-2",
                                        "0x5@1-1",
                                        "7@-1 8@2-",
                                        "0@1-1 99999@99999999999999999999-1",
                                        "0@1-1 99999@99999999999999999999-1"};
    if (one_in(drawing, 2))
        add(drawing, PICK(drawing, texts));
    else
        add_format(drawing, "%" PRIu64 "@%s %" PRIu64 "@%s", draw_number(drawing, 3000), known_id(drawing),
                   draw_number(drawing, 3000), known_id(drawing));
}

/* `id`: where the entry may be going to stand. */
static void add_message(struct drawing *drawing, const char *id)
{
    static const char *const texts[] = {"x",
                                        "",
                                        "\x1esse1 1-1 0-0\nevent: t\ndata: x\nid: i1\n\n",
                                        "\x1esse1 1-1 0-0\ndata: x\n\n",
                                        "\x1esse1 1-1 0-0\nevent: t\ndata: x\ndata: y\n\n",
                                        "\x1esse2 1-1\n",
                                        "\x1esse2 1-1 0-0 end\nevent: end\ndata: x\n\n",
                                        "\x1esse2 1-1 0-0 endless\ndata: x\n\n",
                                        "\x1esse2 1-1 0-0  end\ndata: x\n\n",
                                        "\x1esse2 1-1 0-0 lease=3\ndata: x\nid: i1\n\n",
                                        "\x1esse1 1",
                                        "\x1esse1 1-1 0-0\ndata: \nid: ",
                                        "7"};
    if (one_in(drawing, 4))
        add_format(drawing, "\x1esse%" PRIu64 " %s 0-0%s\ndata: x\nid: i1\n\n", 1 + draw_number(drawing, 2), id,
                   one_in(drawing, 2) ? "" : " end");
    else
        add(drawing, PICK(drawing, texts));
}

static void draw_xadd(struct drawing *drawing)
{
    char id[48];
    snprintf(id, sizeof(id), "%" PRIu64 "-7", now_ms(drawing) + draw_number(drawing, 3));
    add_name(drawing, "XADD");
    add_log(drawing);
    if (one_in(drawing, 8))
        add_name(drawing, "NOMKSTREAM");
    if (one_in(drawing, 4))
        add_trim(drawing);
    if (one_in(drawing, 5))
        add_format(drawing, "%s", id);
    else if (!one_in(drawing, 3))
        add(drawing, "*");
    else if (one_in(drawing, 3))
        add_format(drawing, "%" PRIu64 "-*", now_ms(drawing) + draw_number(drawing, 3));
    else if (one_in(drawing, 15))
        add_format(drawing, "%" PRIu64 "-16777214", now_ms(drawing) + draw_number(drawing, 3));
    else
        add_id(drawing);
    if (one_in(drawing, 30))
        return;
    add(drawing, one_in(drawing, 4) ? "f" : "m");
    if (one_in(drawing, 2))
        add_message(drawing, id);
    else
        add_data(drawing);
    if (one_in(drawing, 2))
        return;
    add(drawing, one_in(drawing, 8) ? "bb" : "b");
    if (one_in(drawing, 3)) /* the entry itself as the one with the marks */
        add_format(drawing, "%" PRIu64 " %s", draw_number(drawing, 5000), id);
    else
        add_sum(drawing);
    if (one_in(drawing, 2))
        return;
    add(drawing, "k");
    if (!one_in(drawing, 30))
        add_marks(drawing);
}

static void draw_xrange(struct drawing *drawing)
{
    static const char *const names[] = {"XRANGE", "XREVRANGE"};
    uint64_t backwards = draw_number(drawing, 2);
    char bound[64];
    add_name(drawing, names[backwards]);
    add_log(drawing);
    for (uint64_t i = 0; i != 2; ++i)
        if (one_in(drawing, 3)) {
            add(drawing, i == backwards ? "-" : "+");
        } else if (one_in(drawing, 2)) {
            snprintf(bound, sizeof(bound), "(%s",
                     one_in(drawing, 20)   ? "+"
                     : one_in(drawing, 20) ? "18446744073709551615-18446744073709551615"
                     : one_in(drawing, 20) ? "0-0"
                                           : known_id(drawing));
            add(drawing, bound);
        } else {
            add_id(drawing);
        }
    if (one_in(drawing, 2)) {
        add_name(drawing, "COUNT");
        if (!one_in(drawing, 20))
            add_integer(drawing);
    }
}

/* Never below what the stream once had: Redis then keeps its nodes in another order than its entries, and finds some no more. */
static void draw_xsetid(struct drawing *drawing)
{
    add_name(drawing, "XSETID");
    add_log(drawing);
    if (one_in(drawing, 4))
        add(drawing, one_in(drawing, 3) ? "x" : known_id(drawing));
    else
        add_format(drawing, "%" PRIu64 "-%" PRIu64,
                   now_ms(drawing) + (one_in(drawing, 2) ? 90000000 : 0) + draw_number(drawing, 10), draw_number(drawing, 10));
    if (one_in(drawing, 3)) {
        add_name(drawing, "ENTRIESADDED");
        add_integer(drawing);
    }
    if (one_in(drawing, 3)) {
        add_name(drawing, "MAXDELETEDID");
        add_id(drawing);
    }
    if (one_in(drawing, 30))
        add(drawing, "x");
}

static void draw_stream(struct drawing *drawing)
{
    switch (draw_number(drawing, 20)) {
    case 0:
    case 1:
    case 2:
        add_name(drawing, "XTRIM");
        add_log(drawing);
        add_trim(drawing);
        break;
    case 3:
    case 4:
    case 5:
        add_name(drawing, "XDEL");
        add_log(drawing);
        for (uint64_t n = draw_number(drawing, 4); n != 0; --n)
            add_id(drawing);
        break;
    case 6:
        add_name(drawing, "XLEN");
        add_key(drawing);
        break;
    case 7:
    case 8:
        add_name(drawing, "XINFO");
        add_name(drawing, "STREAM");
        add_key(drawing);
        if (one_in(drawing, 30))
            add(drawing, "x");
        break;
    case 9:
        if (one_in(drawing, 5))
            draw_xsetid(drawing);
        else
            draw_xrange(drawing);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        draw_xadd(drawing);
        break;
    default:
        draw_xrange(drawing);
    }
}

/* ---- strings and keys ---- */

static void add_time(struct drawing *drawing, uint64_t unit)
{
    if (one_in(drawing, 4))
        add_integer(drawing);
    else if (unit == 0) /* milliseconds since 1970, or seconds */
        add_format(drawing, "%" PRIu64, now_ms(drawing) / (one_in(drawing, 4) ? 1 : 1000) - 3 + draw_number(drawing, 20));
    else
        add_format(drawing, "%" PRIu64, draw_number(drawing, unit));
}

/* Values as the keys of sse_publish hold them, and others. */
static void add_value(struct drawing *drawing)
{
    static const char *const texts[] = {"x",
                                        "",
                                        "5",
                                        "9223372036854775807",
                                        "-3",
                                        "0-0",
                                        "5-5",
                                        "007-01",
                                        "99999999999999999999999-1",
                                        "1-99999999999999999999",
                                        "=0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33 i1 5-5",
                                        "i1 5-5",
                                        "=zz i1 5-5",
                                        "=ab 5-5",
                                        " 5-5",
                                        "=ab  5-5",
                                        "i1 5-5 ",
                                        "a b 5-5"};
    if (one_in(drawing, 3))
        add_format(drawing, "%" PRIu64 "-%" PRIu64,
                   now_ms(drawing) - 5 + draw_number(drawing, 10) + (one_in(drawing, 4) ? 86399998 : 0), draw_number(drawing, 5));
    else
        add(drawing, PICK(drawing, texts));
}

static void draw_set(struct drawing *drawing)
{
    static const char *const words[] = {"EX", "PX", "EXAT", "PXAT", "NX", "XX", "GET", "KEEPTTL", "NO"};
    add_name(drawing, "SET");
    add_key(drawing);
    add_value(drawing);
    for (uint64_t n = draw_number(drawing, 4); n > 1; --n) {
        uint64_t word = draw_number(drawing, COUNT(words));
        add_name(drawing, words[word]);
        if (word < 4 && !one_in(drawing, 20))
            add_time(drawing, word < 2 ? 100 + word * 100000 : 0);
    }
}

static void draw_expire(struct drawing *drawing)
{
    static const char *const names[] = {"EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"};
    static const char *const conditions[] = {"NX", "XX", "GT", "LT", "OK"};
    uint64_t name = draw_number(drawing, 4);
    add_name(drawing, names[name]);
    add_key(drawing);
    add_time(drawing, name < 2 ? 100 + name * 100000 : 0);
    if (one_in(drawing, 3))
        add_name(drawing, PICK(drawing, conditions));
    if (one_in(drawing, 10))
        add_name(drawing, PICK(drawing, conditions));
}

static void draw_string(struct drawing *drawing)
{
    static const char *const plain[] = {"GET", "TYPE", "TTL", "PTTL", "PERSIST", "INCR"};
    static const char *const many[] = {"EXISTS", "EXISTS", "DEL", "UNLINK"};
    size_t channel;
    switch (draw_number(drawing, 60)) {
    case 0 ... 11:
        draw_set(drawing);
        break;
    case 12 ... 17:
        draw_expire(drawing);
        break;
    case 18 ... 29:
        add_name(drawing, PICK(drawing, many));
        channel = draw_channel(drawing);
        for (uint64_t n = one_in(drawing, 20) ? 0 : 1 + draw_number(drawing, 3); n != 0; --n)
            add_key_of(drawing, one_in(drawing, 8) ? draw_channel(drawing) : channel);
        break;
    case 30:
        add_name(drawing, "LPUSH");
        add_key(drawing);
        add(drawing, "x");
        break;
    default:
        add_name(drawing, PICK(drawing, plain));
        add_key(drawing);
        if (one_in(drawing, 60))
            add(drawing, "x");
    }
}

/* ---- the rest ---- */

static void draw_other(struct drawing *drawing)
{
    static const char *const odd[] = {"NOSUCH", "XINFO", "", "a\r\nb", "XADDX", "FCALL", "TIME", "WAIT", "FUNCTION"};
    switch (draw_number(drawing, 12)) {
    case 0:
        add_name(drawing, "FLUSHALL");
        if (one_in(drawing, 3))
            add_name(drawing, one_in(drawing, 2) ? "SYNC" : "x");
        break;
    case 1:
    case 2:
        add_name(drawing, "TIME");
        break;
    case 3:
        add_name(drawing, "PING");
        if (one_in(drawing, 2))
            add_data(drawing);
        if (one_in(drawing, 10))
            add(drawing, "x");
        break;
    case 4:
    case 5:
        add_name(drawing, one_in(drawing, 2) ? "PUBLISH" : "SPUBLISH");
        add(drawing, one_in(drawing, 4) ? "elsewhere" : channels[draw_channel(drawing)]);
        add_data(drawing);
        break;
    case 6:
        add_name(drawing, "WAIT");
        add(drawing, one_in(drawing, 4) ? "x" : "0");
        add(drawing, one_in(drawing, 4) ? "-1" : "5");
        break;
    case 7:
        add_name(drawing, "FUNCTION");
        add_name(drawing, "FLUSH");
        if (one_in(drawing, 3))
            add_name(drawing, one_in(drawing, 2) ? "ASYNC" : "x");
        if (one_in(drawing, 6))
            add(drawing, "x");
        break;
    default:
        add_name(drawing, PICK(drawing, odd));
        for (uint64_t n = draw_number(drawing, 5); n != 0; --n)
            add_data(drawing);
    }
}

void draw_command(struct drawing *drawing)
{
    drawing->argc = drawing->used = 0;
    uint64_t kind = draw_number(drawing, 100);
    if (kind < 12)
        draw_fcall_many(drawing);
    else if (kind < 45)
        draw_fcall(drawing);
    else if (kind < 52)
        draw_odd_fcall(drawing);
    else if (kind < 80)
        draw_stream(drawing);
    else if (kind < 98)
        draw_string(drawing);
    else
        draw_other(drawing);
}

static void learn_text(struct drawing *drawing, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING || reply->len < 3 || reply->len >= sizeof(drawing->ids[0]) ||
        memchr(reply->str, '-', reply->len) == NULL || strspn(reply->str, "0123456789-") != reply->len)
        return;
    memcpy(drawing->ids[drawing->next_id++ % DRAW_IDS], reply->str, reply->len + 1);
}

void draw_learn(struct drawing *drawing, const redisReply *reply)
{
    learn_text(drawing, reply);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i != reply->elements && i != 4; ++i)
        draw_learn(drawing, reply->element[i]);
}
