/* `FCALL sse_publish` and `sse_publish_many`: what proto/bus/sse.lua does, function by function and under its names, with Lua's numbers (doubles) and patterns. It is written anew and not
 * taken from the C code of the product, so that the two can differ; `model_check` finds where it differs from the real function. Rights are not modelled: the user may do all. */
#include "tests/simulation/redis_model_inside.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/sha.h>

enum {
    REMEMBER = 300,
    MARKED = 604800,
    TEXT_MAX = 200,
    PREFIX_MAX = 33,
    AUTHOR_MAX = 8192,
    RETRY_MAX = 3600000,
    LEASE_MAX = 86400,
    COUNT_MAX = 2147483647,
    AHEAD_MAX = 86400000,
    STEPS = 16,
    TRIM_BYTES = 4096,
    MARKS_MAX = 64,
    LOOK = 16,
    SEQ_MAX = (1 << 24) - 1,
    EVENTS_MAX = 1000,
    KEY_ROOM = 512, /* of any key of a channel */
    EVENT_ID_BYTES = 36,
    HEX_ROOM = 2 * SHA_DIGEST_LENGTH + 1,
};

static const double BYTES_MAX = 1125899906842624, MS_MAX = 281474976710655;

/* Bytes that grow. Nothing that is put in may be from within it. */
struct buffer {
    char *p;
    size_t n, room;
};

struct options {
    struct slice event, id, author, key; /* .p NULL: none */
    double retry, maxlen, maxbytes, maxdata, ttl, lease; /* retry: negative for none; lease: 0 for none */
    bool changed, count, ends;
};

/* Of a call; and behind them the end, where one follows. */
struct event {
    struct options o; /* that shape its message */
    struct slice data, lines; /* lines.p NULL: only the end */
    struct buffer own_lines;
};

struct publish {
    const struct call *call;
    struct redis_model *model;
    struct options o;
    struct slice name, key, log, last_key, count_key, id_key, key_key; /* .p NULL: none */
    struct slice digest;
    struct buffer lines;
    bool many; /* a batch */
    struct event *events;
    size_t count, total; /* that the call names; with the end behind them */
    struct known *known; /* NULL: the newest entry was read */
    char keys[5][KEY_ROOM];
    char digest_text[HEX_ROOM];
};

/* A position as text, which may be anybody's, with what Lua makes of its numbers. */
struct place {
    struct slice text;
    double ms, seq;
};

/* ---- Lua ---- */

static void put(struct buffer *to, struct slice bytes)
{
    if (to->n + bytes.n > to->room) {
        to->room = (to->n + bytes.n) * 2 + 256;
        if ((to->p = realloc(to->p, to->room)) == NULL)
            abort();
    }
    if (bytes.n != 0)
        memcpy(to->p + to->n, bytes.p, bytes.n);
    to->n += bytes.n;
}

static void put_integer(struct buffer *to, int64_t value)
{
    char text[24];
    put(to, slice_make(text, integer_text(text, value)));
}

/* The lowest `n` hex digits of the value. */
static void put_hex(char *out, uint64_t value, size_t n)
{
    for (; n-- != 0; value >>= 4)
        out[n] = "0123456789abcdef"[value & 15];
}

static struct slice slice_of_buffer(const struct buffer *buffer)
{
    return slice_make(buffer->p, buffer->n);
}

/* tonumber(): strtod() and blanks; `otherwise` where it is none. The text ends at its first NUL. */
static double tonumber_or(struct slice text, double otherwise)
{
    char small[64], *copy = text.n < sizeof(small) ? small : malloc(text.n + 1), *end;
    uint64_t value = 0;
    size_t digits = 0;
    for (; digits != text.n && text.p[digits] >= '0' && text.p[digits] <= '9' && digits != 15; ++digits)
        value = value * 10 + (uint64_t)(text.p[digits] - '0');
    if (digits != 0 && digits == text.n)
        return (double)value; /* what nearly all are; strtod() takes its time */
    if (copy == NULL)
        abort();
    if (text.n != 0)
        memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    double number = strtod(copy, &end);
    bool any = end != copy;
    while (isspace((unsigned char)*end))
        ++end;
    number = any && *end == 0 ? number : otherwise;
    if (copy != small)
        free(copy);
    return number;
}

static double tonumber(struct slice digits)
{
    return tonumber_or(digits, 0);
}

/* What string.format("%d") makes of a number. */
static int64_t integer_part(double number)
{
    return number >= -9223372036854775808.0 && number < 9223372036854775808.0 ? (int64_t)number : INT64_MIN;
}

static size_t digits_at(struct slice text, size_t at)
{
    size_t n = 0;
    while (at + n < text.n && text.p[at + n] >= '0' && text.p[at + n] <= '9')
        ++n;
    return n;
}

/* The length of what "%d+%-%d+" matches at `at`; 0: nothing. *ms: how much of it is in front of the dash. */
static size_t position_at(struct slice text, size_t at, size_t *ms)
{
    *ms = digits_at(text, at);
    size_t seq = *ms != 0 && at + *ms < text.n && text.p[at + *ms] == '-' ? digits_at(text, at + *ms + 1) : 0;
    return seq == 0 ? 0 : *ms + 1 + seq;
}

/* Whether the whole text is "%d+%-%d+". */
static bool is_position(struct slice text, struct place *out)
{
    size_t ms, n = position_at(text, 0, &ms);
    if (n == 0 || n != text.n)
        return false;
    *out = (struct place){text, tonumber(slice_make(text.p, ms)), tonumber(slice_from(text, ms + 1))};
    return true;
}

/* An error that a redis.call() raises: its own text, and where. The check looks at no line number. */
static void raise(const struct publish *p, const char *error)
{
    reply_error(p->call->reply, p->call->to, "%s script: sse_publish%s, on @user_function:0.", error, p->many ? "_many" : "");
}

static const char wrong_type[] = "WRONGTYPE Operation against a key holding the wrong kind of value";

/* ---- refusing ---- */

static void refuse(const struct publish *p, const char *code, const char *fault)
{
    reply_error(p->call->reply, p->call->to, "%s sse_publish%s: %s", code, p->many ? "_many" : "", fault);
}

/* Of the event `i` of a batch. */
static void refuse_event(const struct publish *p, const char *code, size_t i, const char *fault)
{
    char text[256];
    snprintf(text, sizeof(text), "event %zu: %s", i + 1, fault);
    refuse(p, code, p->many ? text : fault);
}

/* split(): the bytes of the prefix; 0: none. */
static size_t prefix_of(struct slice key)
{
    size_t n = 0;
    while (n < key.n && (isalnum((unsigned char)key.p[n]) || key.p[n] == '_' || key.p[n] == '-'))
        ++n;
    return n != 0 && n < key.n && n < PREFIX_MAX && key.p[n] == ':' ? n + 1 : 0;
}

static const char *channel_fault(struct publish *p, const struct slice *keys, size_t count)
{
    size_t prefix = count == 0 ? 0 : prefix_of(keys[0]);
    if (count != 1 || prefix == 0)
        return "wants one key, PREFIX:NAME, as in sse:news";
    p->key = keys[0];
    p->name = slice_from(keys[0], prefix);
    if (p->name.n == 0 || p->name.n > TEXT_MAX)
        return "the channel name is not 1 to 200 bytes long";
    if (p->name.p[0] == '/')
        return "the channel name begins with '/'";
    for (size_t i = 0; i != p->name.n; ++i)
        if (p->name.p[i] == 0 || (!isalnum((unsigned char)p->name.p[i]) && strchr("._~:/@+,-", p->name.p[i]) == NULL))
            return "the channel name holds a byte other than A-Z a-z 0-9 . _ ~ : / @ + , -";
    return NULL;
}

static bool within(unsigned char byte, unsigned char low, unsigned char high)
{
    return byte >= low && byte <= high;
}

/* The length of the sequence of RFC 3629 that begins here, of two bytes or more; 0: none. */
static size_t sequence_at(struct slice text)
{
    const unsigned char *b = (const unsigned char *)text.p;
    size_t n = within(b[0], 0xc2, 0xdf) ? 2 : within(b[0], 0xe0, 0xef) ? 3 : within(b[0], 0xf0, 0xf4) ? 4 : 0;
    if (n == 0 || text.n < n)
        return 0;
    unsigned char low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80, high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
    bool good = within(b[1], low, high);
    for (size_t i = 2; i < n; ++i)
        good = good && within(b[i], 0x80, 0xbf);
    return good ? n : 0;
}

static bool utf8_valid(struct slice text)
{
    while (text.n != 0) {
        size_t n = (unsigned char)text.p[0] < 0x80 ? 1 : sequence_at(text);
        if (n == 0)
            return false;
        text = slice_from(text, n);
    }
    return true;
}

/* text_fault(), with the two names that it is asked for. */
static const char *text_fault(bool id, struct slice text)
{
    bool breaks = false;
    for (size_t i = 0; i != text.n; ++i)
        breaks = breaks || text.p[i] == 0 || text.p[i] == '\r' || text.p[i] == '\n';
    if (text.n > TEXT_MAX)
        return id ? "id is longer than 200 bytes" : "event is longer than 200 bytes";
    if (breaks)
        return id ? "id holds CR, LF or NUL" : "event holds CR, LF or NUL";
    if (!utf8_valid(text))
        return id ? "id is not valid UTF-8" : "event is not valid UTF-8";
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *type_fault(struct slice text)
{
    static const char *const reserved[] = {"gap", "error", "open", "end"};
    const char *fault = text_fault(false, text);
    for (size_t i = 0; fault == NULL && i != 4; ++i)
        if (slice_eq(text, slice_of(reserved[i])))
            fault = "event is reserved: gap, error, open and end are events of the gateway and the browser";
    if (fault == NULL && text.n != 0 && (is_blank(text.p[0]) || is_blank(text.p[text.n - 1])))
        fault = "event begins or ends with a blank, which some readers remove";
    return fault;
}

static const char *id_fault(struct slice text)
{
    const char *fault = text_fault(true, text);
    for (size_t i = 0; fault == NULL && i != text.n; ++i)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            fault = "id holds a control character, which HTTP does not carry";
    if (fault == NULL && text.n != 0 && (text.p[0] == ' ' || text.p[text.n - 1] == ' '))
        fault = "id begins or ends with a blank, which HTTP does not carry";
    return fault;
}

/* ---- event ids ---- */

static uint32_t hash(uint32_t from, struct slice text)
{
    for (size_t i = 0; i != text.n; ++i)
        from = from * 1664525 + (unsigned char)text.p[i];
    return from;
}

static const uint32_t HASH_START = 1013904223;

static uint32_t check_of(uint32_t channel, uint64_t ms, uint64_t seq)
{
    char text[POSITION_TEXT_MAX];
    uint32_t sum = hash(channel, slice_make(text, position_format(text, (struct position){ms, seq})));
    return (sum >> 16 ^ sum) & 0xffff;
}

static void event_id(char out[EVENT_ID_BYTES], struct slice name, uint64_t ms, uint64_t seq)
{
    uint32_t channel = hash(HASH_START, name);
    memcpy(out, "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx", EVENT_ID_BYTES);
    put_hex(out, ms >> 16, 8);
    put_hex(out + 9, ms, 4);
    put_hex(out + 15, seq >> 12, 3);
    put_hex(out + 20, seq, 3);
    put_hex(out + 24, check_of(channel, ms, seq), 4);
    put_hex(out + 28, channel, 8);
}

static bool place_of(struct slice id, uint64_t *ms, uint64_t *seq, uint32_t *channel)
{
    static const char form[] = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
    uint64_t digits[2] = {0, 0}; /* the first 18 and the last 12, without what `form` says */
    if (id.n != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i != id.n; ++i) {
        char c = id.p[i];
        if (form[i] == 'x' && c >= '0' && c <= '9')
            digits[i >= 14] = digits[i >= 14] << 4 | (uint64_t)(c - '0');
        else if (form[i] == 'x' && c >= 'a' && c <= 'f')
            digits[i >= 14] = digits[i >= 14] << 4 | (uint64_t)(c - 'a' + 10);
        else if (form[i] != c && !(i == 14 && c == '8'))
            return false;
        if (i == 22) {
            *seq = digits[1];
            digits[1] = 0;
        }
    }
    *ms = digits[0];
    *channel = (uint32_t)digits[1];
    return check_of(*channel, *ms, *seq) == digits[1] >> 32;
}

static const char *time_fault(struct slice id)
{
    uint64_t ms, seq;
    uint32_t channel;
    return place_of(id, &ms, &seq, &channel) && channel == HASH_START
               ? "id has the form of a place in all channels, which only gateways give"
               : NULL;
}

static const char *future_fault(struct slice id, double ms, double seq)
{
    uint64_t id_ms, id_seq;
    uint32_t channel;
    return place_of(id, &id_ms, &id_seq, &channel) && ((double)id_ms > ms || ((double)id_ms == ms && (double)id_seq > seq))
               ? "id has the form of the bus's own and stands for a place that is still to come"
               : NULL;
}

/* ---- options ---- */

static bool integer(struct slice text, double min, double max, double *out)
{
    *out = text.n != 0 && digits_at(text, 0) == text.n ? tonumber(text) : NAN;
    return *out >= min && *out <= max;
}

static bool flag(struct slice text, bool *out)
{
    *out = slice_eq(text, SLICE("1"));
    return *out || slice_eq(text, SLICE("0"));
}

static struct slice unless_empty(struct slice value, struct slice otherwise)
{
    return value.n != 0 ? value : otherwise;
}

static const char *read_retry(struct options *o, struct slice value)
{
    if (integer(value, 0, RETRY_MAX, &o->retry))
        return NULL;
    o->retry = -1;
    return slice_eq(value, SLICE("none")) ? NULL : "retry is not 'none' or an integer from 0 to 3600000";
}

/* Reads one option; *known: false for a name that is none. */
static const char *read_option(struct options *o, struct slice name, struct slice value)
{
    const struct slice none = {NULL, 0};
    if (slice_eq(name, SLICE("event"))) {
        o->event = unless_empty(value, o->event);
        return type_fault(value);
    }
    if (slice_eq(name, SLICE("id"))) {
        o->id = unless_empty(value, none);
        const char *fault = id_fault(value);
        return fault != NULL ? fault : time_fault(value);
    }
    if (slice_eq(name, SLICE("author"))) {
        o->author = unless_empty(value, none);
        return value.n > AUTHOR_MAX ? "author is longer than 8192 bytes" : NULL;
    }
    if (slice_eq(name, SLICE("key"))) {
        o->key = unless_empty(value, none);
        return value.n > TEXT_MAX ? "key is longer than 200 bytes" : NULL;
    }
    if (slice_eq(name, SLICE("retry")))
        return read_retry(o, value);
    if (slice_eq(name, SLICE("maxlen")))
        return integer(value, 1, COUNT_MAX, &o->maxlen) ? NULL : "maxlen is not an integer from 1 to 2147483647";
    if (slice_eq(name, SLICE("maxbytes")))
        return integer(value, 1, BYTES_MAX, &o->maxbytes) ? NULL : "maxbytes is not an integer from 1 to 1125899906842624";
    if (slice_eq(name, SLICE("maxdata")))
        return integer(value, 1, COUNT_MAX, &o->maxdata) ? NULL : "maxdata is not an integer from 1 to 2147483647";
    if (slice_eq(name, SLICE("ttl")))
        return integer(value, 1, COUNT_MAX, &o->ttl) ? NULL : "ttl is not an integer from 1 to 2147483647";
    if (slice_eq(name, SLICE("changed")))
        return flag(value, &o->changed) ? NULL : "changed is not 0 or 1";
    if (slice_eq(name, SLICE("end")))
        return flag(value, &o->ends) ? NULL : "end is not 0 or 1";
    if (slice_eq(name, SLICE("lease")))
        return integer(value, 1, LEASE_MAX, &o->lease) ? NULL : "lease is not an integer from 1 to 86400";
    return flag(value, &o->count) ? NULL : "count is not 0 or 1";
}

static bool is_option(struct slice name)
{
    static const char *const names[] = {"event",    "id",      "author", "key",     "retry", "maxlen", "end",
                                        "maxbytes", "maxdata", "ttl",    "changed", "count", "lease"};
    for (size_t i = 0; i != sizeof(names) / sizeof(names[0]); ++i)
        if (slice_eq(name, slice_of(names[i])))
            return true;
    return false;
}

static const struct options default_options = {
    .event = {"message", 7}, .retry = -1, .maxlen = 1000, .maxbytes = 33554432, .maxdata = 1314816, .ttl = 86400};

static const char *options_fault(const struct options *o, struct slice data)
{
    if (o->changed && o->count)
        return "changed and count exclude each other";
    if (o->ends && (o->changed || o->count || o->lease > 0))
        return "end excludes changed, count and lease";
    if (o->ends && data.n == 0 && (o->id.p != NULL || !slice_eq(o->event, SLICE("message"))))
        return "an end without data has no event or id of its own";
    return NULL;
}

/* False: refused. */
static bool read_options(struct publish *p, const struct slice *args, size_t count)
{
    p->o = default_options;
    if (count == 0) {
        refuse(p, "ERR", "wants data after the key");
        return false;
    }
    for (size_t i = 1; i < count; i += 2) {
        const char *fault = NULL;
        char text[64];
        if (!is_option(args[i])) {
            fault =
                "unknown option; the options are event, id, retry, key, author, maxlen, maxbytes, maxdata, ttl, changed, count, "
                "end and lease";
        } else if (i + 1 == count) {
            snprintf(text, sizeof(text), "the option %.*s has no value", (int)args[i].n, args[i].p);
            fault = text;
        } else {
            fault = read_option(&p->o, args[i], args[i + 1]);
        }
        if (fault != NULL) {
            refuse(p, "ERR", fault);
            return false;
        }
    }
    const char *fault = options_fault(&p->o, args[0]);
    if (fault != NULL)
        refuse(p, "ERR", fault);
    return fault == NULL;
}

/* ---- data ---- */

static double lines_size(struct slice data)
{
    double size = 7 + (double)data.n;
    for (size_t i = 0; i != data.n; ++i)
        if (data.p[i] == '\n')
            size += i != 0 && data.p[i - 1] == '\r' ? 5 : 6;
        else if (data.p[i] == '\r')
            size += i + 1 != data.n && data.p[i + 1] == '\n' ? 0 : 6;
    return size;
}

static void data_lines(struct buffer *to, struct slice data)
{
    put(to, SLICE("data: "));
    while (data.n != 0) {
        size_t n = 0;
        while (n != data.n && data.p[n] != '\r' && data.p[n] != '\n')
            ++n;
        put(to, slice_make(data.p, n));
        if (n == data.n)
            break;
        put(to, SLICE("\ndata: "));
        n += data.p[n] == '\r' && n + 1 != data.n && data.p[n + 1] == '\n' ? 2 : 1;
        data = slice_from(data, n);
    }
    put(to, SLICE("\n"));
}

static void sha1hex(char out[HEX_ROOM], struct slice text)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text.p, text.n, digest);
    for (size_t i = 0; i != SHA_DIGEST_LENGTH; ++i)
        put_hex(out + 2 * i, digest[i], 2);
    out[HEX_ROOM - 1] = 0;
}

/* Of an event alone. */
static void digest_event(char out[HEX_ROOM], const struct options *o, struct slice data)
{
    struct buffer text = {NULL, 0, 0};
    put(&text, o->event);
    put(&text, o->count ? SLICE("\ncount") : o->ends ? SLICE("\nend\n") : SLICE("\ndata\n"));
    if (!o->count)
        put(&text, data);
    sha1hex(out, slice_of_buffer(&text));
    free(text.p);
}

static void digest_of(struct publish *p, struct slice data)
{
    if (p->id_key.p == NULL && p->key_key.p == NULL)
        return;
    digest_event(p->digest_text, &p->o, data);
    p->digest = slice_of(p->digest_text);
}

/* ---- keys ---- */

/* "{KEY}" and what follows. `tail` may hold any bytes. */
static struct slice key_of(struct publish *p, size_t number, const char *what, struct slice tail)
{
    struct slice parts[] = {SLICE("{"), p->key, SLICE("}:"), slice_of(what), tail};
    char *at = p->keys[number], *end = at;
    for (size_t i = 0; i != sizeof(parts) / sizeof(parts[0]); end += parts[i++].n)
        if (parts[i].n != 0)
            memcpy(end, parts[i].p, parts[i].n);
    return slice_make(at, (size_t)(end - at));
}

static void name_keys(struct publish *p)
{
    const struct slice none = {NULL, 0};
    char by[HEX_ROOM + 4] = "by:";
    p->log = key_of(p, 0, "log", none);
    p->last_key = key_of(p, 1, "last", none);
    p->count_key = key_of(p, 2, "count", none);
    if (p->o.id.p != NULL)
        p->id_key = key_of(p, 3, "id:", p->o.id);
    if (p->o.key.p == NULL)
        return;
    if (p->o.author.p != NULL) {
        sha1hex(by + 3, p->o.author);
        strcat(by, ":");
    }
    p->key_key = key_of(p, 4, p->o.author.p != NULL ? by : "key:", p->o.key);
}

/* redis.call("GET"): "" for none. False: raised. */
static bool get(const struct publish *p, struct slice name, struct slice *out)
{
    const struct key *key = key_find(p->model, name);
    *out = SLICE("");
    if (key != NULL && key->kind != KIND_STRING) {
        raise(p, wrong_type);
        return false;
    }
    if (key != NULL)
        *out = text_slice(key->text);
    return true;
}

static void set(const struct publish *p, struct slice name, struct slice value, double seconds)
{
    struct text *text = text_of(value); /* before the key goes, which it may have come from */
    struct key *key = key_put(p->model, name);
    key->kind = KIND_STRING;
    key->text = text;
    key->expires_ms = (int64_t)now_ms(p->model) + (int64_t)seconds * 1000;
}

/* is_cluster(): what the library asks at its first call names two keys, which are removed if their time is over. */
static void find_out_cluster(const struct publish *p)
{
    char key[PREFIX_MAX + 8];
    if (!p->model->probed && p->model->slots == NULL)
        for (char name = 'a'; name <= 'b'; ++name) {
            int prefix = (int)(p->key.n - p->name.n), n = snprintf(key, sizeof(key), "{%.*s%c}:log", prefix, p->key.p, name);
            key_find(p->model, slice_make(key, (size_t)n));
        }
    p->model->probed = true;
}

/* ---- ids and keys that were used before ---- */

struct answer {
    struct slice id, position, digest; /* id.p NULL: none; digest.p NULL: version 1 kept none */
};

/* "^(.*) (%d+%-%d+)$" of what follows the first `from` bytes. */
static bool split_answer(struct slice text, size_t from, struct answer *out)
{
    struct place place;
    size_t blank = text.n;
    while (blank != from && text.p[blank - 1] != ' ')
        --blank;
    if (blank == from || !is_position(slice_from(text, blank), &place))
        return false;
    out->id = slice_make(text.p + from, blank - 1 - from);
    out->position = place.text;
    return true;
}

static bool remembered(const struct publish *p, struct slice key, struct answer *out)
{
    struct slice text;
    *out = (struct answer){.id = {NULL, 0}};
    if (key.p == NULL)
        return true;
    if (!get(p, key, &text))
        return false;
    size_t n = 1;
    while (n < text.n && isxdigit((unsigned char)text.p[n]))
        ++n;
    bool digested = n > 1 && text.p[0] == '=' && n < text.n && text.p[n] == ' ';
    if (digested && split_answer(text, n + 1, out))
        out->digest = slice_make(text.p + 1, n - 1);
    else
        split_answer(text, 0, out);
    return true;
}

static void remember_as(const struct publish *p, struct slice key, struct slice digest, struct slice id, struct slice position)
{
    struct buffer text = {NULL, 0, 0};
    if (key.p == NULL)
        return;
    put(&text, SLICE("="));
    put(&text, digest);
    put(&text, SLICE(" "));
    put(&text, id);
    put(&text, SLICE(" "));
    put(&text, position);
    set(p, key, slice_of_buffer(&text), REMEMBER);
    free(text.p);
}

static void remember(const struct publish *p, struct slice id, struct slice position)
{
    remember_as(p, p->id_key, p->digest, id, position);
    remember_as(p, p->key_key, p->digest, id, position);
}

/* The event's own id. */
static void remember_id(struct publish *p, const struct event *event, struct slice position)
{
    char digest[HEX_ROOM];
    digest_event(digest, &event->o, event->data);
    remember_as(p, key_of(p, 3, "id:", event->o.id), slice_of(digest), event->o.id, position);
}

static void answer(const struct publish *p, struct slice id, struct slice position, const char *outcome)
{
    struct reply *reply = p->call->reply;
    reply_array(reply, p->call->to, 3);
    reply_text(reply, p->call->to->element[0], id);
    reply_text(reply, p->call->to->element[1], position);
    reply_text(reply, p->call->to->element[2], slice_of(outcome));
}

/* ---- the newest entry ---- */

/* What follows the line that begins with `start` and ends with LF; {NULL, 0}: the text does not begin with one. */
static struct slice behind_line(struct slice text, struct slice start)
{
    const char *end = slice_starts(text, start) ? memchr(text.p + start.n, '\n', text.n - start.n) : NULL;
    return end == NULL ? (struct slice){NULL, 0} : slice_from(text, (size_t)(end + 1 - text.p));
}

static struct slice message_of(const struct entry *entry)
{
    bool ours = entry != NULL && slice_eq(fields_at(entry->fields, 0), SLICE("m"));
    return ours ? fields_at(entry->fields, 1) : SLICE("");
}

/* "^\030sse[12] (%d+%-%d+) ", and that is where the entry stands */
static bool is_event(const struct entry *entry)
{
    char text[POSITION_TEXT_MAX];
    struct slice rest = message_of(entry);
    if (!slice_starts(rest, SLICE("\036sse1 ")) && !slice_starts(rest, SLICE("\036sse2 ")))
        return false;
    rest = slice_from(rest, strlen("\036sse1 "));
    struct slice position = slice_make(text, position_format(text, entry->at));
    return rest.n > position.n && slice_starts(rest, position) && rest.p[position.n] == ' ';
}

/* "^\030sse2 %d+%-%d+ %d+%-%d+ end[ \n]" */
static bool has_ended(const struct entry *newest)
{
    struct slice version = SLICE("\036sse2 "), word = SLICE(" end"), text = message_of(newest);
    size_t ms, n;
    if (!slice_starts(text, version))
        return false;
    text = slice_from(text, version.n);
    n = position_at(text, 0, &ms);
    if (n == 0 || n == text.n || text.p[n] != ' ')
        return false;
    text = slice_from(text, n + 1);
    n = position_at(text, 0, &ms);
    text = slice_from(text, n);
    return n != 0 && text.n > word.n && slice_starts(text, word) && (text.p[word.n] == ' ' || text.p[word.n] == '\n');
}

/* False: it has other data, or none of ours. */
static bool unchanged_id(const struct publish *p, const struct entry *newest, struct slice *id)
{
    struct slice rest = behind_line(message_of(newest), SLICE("\036sse1 "));
    if (rest.p == NULL)
        rest = behind_line(message_of(newest), SLICE("\036sse2 "));
    if (rest.p == NULL)
        return false;
    struct slice behind_type = behind_line(rest, SLICE("event: ")), lines = slice_of_buffer(&p->lines);
    rest = behind_type.p != NULL ? behind_type : rest;
    if (!slice_starts(rest, lines) || slice_starts(slice_from(rest, lines.n), SLICE("data: ")))
        return false;
    rest = slice_from(rest, lines.n);
    struct slice behind_id = behind_line(rest, SLICE("id: "));
    *id = behind_id.p == NULL ? SLICE("") : slice_make(rest.p + 4, (size_t)(behind_id.p - rest.p) - 5);
    return true;
}

static const struct entry *newest_of(const struct stream *stream)
{
    size_t length = stream == NULL ? 0 : stream_length(stream);
    return length == 0 ? NULL : stream_entry(stream, length - 1);
}

/* ---- positions ---- */

static struct place place_at(char out[POSITION_TEXT_MAX], struct position at)
{
    size_t n = position_format(out, at);
    return (struct place){slice_make(out, n), (double)at.ms, (double)at.seq};
}

static bool marked(const struct publish *p, struct place *out)
{
    struct slice text;
    if (!get(p, p->last_key, &text))
        return false;
    if (!is_position(text, out) || !(out->ms <= (double)now_ms(p->model) + AHEAD_MAX))
        *out = (struct place){SLICE("0-0"), 0, 0};
    return true;
}

static struct place later(struct place one, struct place other)
{
    if (one.ms == other.ms)
        return one.seq > other.seq ? one : other;
    return one.ms > other.ms ? one : other;
}

static bool following(const struct publish *p, struct place greatest, double *ms, double *seq)
{
    double now = (double)now_ms(p->model);
    *ms = now > greatest.ms ? now : greatest.seq >= SEQ_MAX ? greatest.ms + 1 : greatest.ms;
    *seq = now > greatest.ms || greatest.seq >= SEQ_MAX ? 0 : greatest.seq + 1;
    return *ms <= MS_MAX;
}

/* The newest event behind which there may be others' entries; NULL: the history does not have it, or it is not among the newest. False: a key can't be read. */
static bool last_event(const struct publish *p, const struct stream *stream, const struct entry **out)
{
    size_t length = stream == NULL ? 0 : stream_length(stream), count = 0;
    struct place marker;
    *out = newest_of(stream);
    if (length == 0 || is_event(*out))
        return true;
    *out = NULL;
    if (!marked(p, &marker))
        return false;
    struct position at;
    bool any = slice_eq(marker.text, SLICE("0-0"));
    if (!any && !stream_id_of(marker.text, &at))
        return true;
    for (size_t i = length; i-- != 0 && count != LOOK && *out == NULL;) {
        const struct entry *entry = stream_entry(stream, i);
        bool looked = any || position_compare(entry->at, at) == 0;
        count += looked;
        *out = looked && is_event(entry) ? entry : NULL;
    }
    return true;
}

/* ---- adding the entry ---- */

struct mark {
    double sum;
    struct slice at;
};

struct marks {
    struct mark *items;
    size_t count;
};

static void add_mark(struct marks *marks, double sum, struct slice at)
{
    marks->items = realloc(marks->items, (marks->count + 1) * sizeof(*marks->items));
    if (marks->items == NULL)
        abort();
    marks->items[marks->count++] = (struct mark){sum, at};
}

/* The marks in the entry `crossed`, which may name none. */
static void marks_of(const struct stream *stream, struct slice crossed, struct marks *marks)
{
    struct place place;
    struct position at;
    size_t ms;
    if (stream == NULL || !is_position(crossed, &place) || !stream_id_of(crossed, &at))
        return;
    size_t number = stream_seek(stream, at);
    if (number == stream_length(stream) || position_compare(stream_entry(stream, number)->at, at) != 0)
        return;
    struct slice text = fields_at(stream_entry(stream, number)->fields, 5);
    for (size_t i = 0; i < text.n;) {
        size_t digits = digits_at(text, i), behind = i + digits + 1;
        size_t n = digits != 0 && behind < text.n && text.p[behind - 1] == '@' ? position_at(text, behind, &ms) : 0;
        if (n != 0)
            add_mark(marks, tonumber(slice_make(text.p + i, digits)), slice_make(text.p + behind, n));
        i = n != 0 ? behind + n : i + (digits == 0 ? 1 : digits);
    }
}

/* Keeps in `marks` the ones that still stand for an entry. Returns whether others had to go. */
static bool keep_marks(struct marks *marks, double from)
{
    size_t count = marks->count, kept = 0, every = count > MARKS_MAX ? 2 : 1;
    bool trims = marks->items[0].sum < from;
    for (size_t i = 0; i != count; ++i)
        if (marks->items[i].sum >= from && (count - 1 - i) % every == 0)
            marks->items[kept++] = marks->items[i];
    marks->count = kept;
    return trims;
}

static const char *add_crossing(const struct publish *p, struct position at, struct slice payload, double before, double sum,
                                struct slice crossed)
{
    const struct key *key = key_find(p->model, p->log);
    char position[POSITION_TEXT_MAX];
    double from = sum - p->o.maxbytes / STEPS * (STEPS - 1);
    struct marks marks = {NULL, 0};
    struct trim trim = {.by = TRIM_MAXLEN, .approximate = true, .limit = 10000, .maxlen = (uint64_t)p->o.maxlen};
    struct buffer k = {NULL, 0, 0}, text = {NULL, 0, 0};
    const char *error = NULL;
    struct slice place = slice_make(position, position_format(position, at));
    marks_of(key == NULL ? NULL : key->stream, crossed, &marks);
    add_mark(&marks, before, place);
    if (keep_marks(&marks, from < before ? from : before)) {
        trim = (struct trim){.by = TRIM_MINID};
        error = stream_id_of(marks.items[0].at, &trim.minid) ? NULL : "Invalid stream ID specified as stream command argument";
    }
    for (size_t i = 0; i != marks.count; ++i) {
        put(&k, i == 0 ? SLICE("") : SLICE(" "));
        put_integer(&k, integer_part(marks.items[i].sum));
        put(&k, SLICE("@"));
        put(&k, marks.items[i].at);
    }
    put_integer(&text, integer_part(sum));
    put(&text, SLICE(" "));
    put(&text, place);
    struct slice fields[] = {SLICE("m"), payload, SLICE("b"), slice_of_buffer(&text), SLICE("k"), slice_of_buffer(&k)};
    if (error == NULL)
        error = xadd(p->model, p->log, &trim, at, fields, 6);
    free(marks.items);
    free(k.p);
    free(text.p);
    return error;
}

/* Lua's `sum % step < n` */
static bool crosses(double sum, double step, size_t n)
{
    return sum - floor(sum / step) * step < (double)n;
}

/* What the history's bytes come to, and what stands behind that in `b`, with its blank. */
struct sum {
    double bytes;
    struct buffer rest;
};

static struct sum sum_of(const struct entry *newest)
{
    struct slice b = SLICE("0");
    struct sum sum = {0, {NULL, 0, 0}};
    if (newest != NULL && newest->fields->count > 3 && slice_eq(fields_at(newest->fields, 2), SLICE("b")))
        b = fields_at(newest->fields, 3);
    const char *blank = memchr(b.p, ' ', b.n);
    if (blank != NULL) {
        put(&sum.rest, slice_from(b, (size_t)(blank - b.p)));
        b = slice_make(b.p, (size_t)(blank - b.p));
    }
    sum.bytes = tonumber_or(b, 0);
    return sum;
}

/* NULL: done. */
static const char *add_entry(const struct publish *p, struct sum *sum, struct position at, struct slice payload, bool trims)
{
    double before = sum->bytes;
    sum->bytes = before + (double)payload.n;
    if (crosses(sum->bytes, p->o.maxbytes / STEPS, payload.n)) {
        char position[POSITION_TEXT_MAX];
        struct slice rest = slice_of_buffer(&sum->rest);
        const char *fault =
            add_crossing(p, at, payload, before, sum->bytes, rest.n == 0 || rest.p[0] != ' ' ? SLICE("") : slice_from(rest, 1));
        sum->rest.n = 0;
        put(&sum->rest, SLICE(" "));
        put(&sum->rest, slice_make(position, position_format(position, at)));
        return fault;
    }
    struct trim trim = {.by = TRIM_NONE},
                cut = {.by = TRIM_MAXLEN, .approximate = true, .limit = 10000, .maxlen = (uint64_t)p->o.maxlen};
    struct buffer text = {NULL, 0, 0};
    put_integer(&text, integer_part(sum->bytes));
    put(&text, slice_of_buffer(&sum->rest));
    struct slice fields[] = {SLICE("m"), payload, SLICE("b"), slice_of_buffer(&text)};
    const char *error = xadd(p->model, p->log, trims ? &cut : &trim, at, fields, 4);
    free(text.p);
    return error;
}

/* INCR, whose answer becomes the data. False: raised. */
static bool take_number(struct publish *p)
{
    redisReply *to;
    struct reply *reply = reply_begin(&to);
    struct slice argv[] = {SLICE("INCR"), p->count_key}, text;
    struct call incr = {.model = p->model, .reply = reply, .to = to, .argv = argv, .argc = 2, .name = "incr"};
    command_incr(&incr);
    bool failed = to->type == REDIS_REPLY_ERROR;
    if (failed)
        raise(p, to->str);
    redis_model_reply_free(reply_end(reply));
    if (failed || !get(p, p->count_key, &text))
        return false;
    p->lines.n = 0;
    data_lines(&p->lines, text);
    return true;
}

static void put_header(struct buffer *payload, struct slice version, struct slice position, struct slice previous)
{
    put(payload, version);
    put(payload, position);
    put(payload, SLICE(" "));
    put(payload, previous);
}

static struct buffer payload_of(const struct options *o, struct slice lines, struct slice position, struct slice previous,
                                struct slice id)
{
    struct buffer payload = {NULL, 0, 0};
    put_header(&payload, o->lease > 0 ? SLICE("\036sse2 ") : SLICE("\036sse1 "), position, previous);
    if (o->lease > 0) {
        put(&payload, SLICE(" lease="));
        put_integer(&payload, (int64_t)o->lease);
    }
    put(&payload, SLICE("\n"));
    if (!slice_eq(o->event, SLICE("message"))) {
        put(&payload, SLICE("event: "));
        put(&payload, o->event);
        put(&payload, SLICE("\n"));
    }
    put(&payload, lines);
    put(&payload, SLICE("id: "));
    put(&payload, id);
    put(&payload, SLICE("\n"));
    if (o->retry >= 0) {
        put(&payload, SLICE("retry: "));
        put_integer(&payload, (int64_t)o->retry);
        put(&payload, SLICE("\n"));
    }
    put(&payload, SLICE("\n"));
    return payload;
}

static struct buffer end_payload(const struct publish *p, struct slice position, struct slice previous, struct slice id)
{
    struct buffer payload = {NULL, 0, 0};
    put_header(&payload, SLICE("\036sse2 "), position, previous);
    put(&payload, SLICE(" end\nevent: end\ndata: {\"channel\":\""));
    put(&payload, p->name);
    put(&payload, SLICE("\",\"reason\":\"done\"}\nid: "));
    put(&payload, id);
    put(&payload, SLICE("\n\n"));
    return payload;
}

/* Where an event goes, with the id that the bus makes for it. */
struct spot {
    struct position at;
    char position[POSITION_TEXT_MAX], made[EVENT_ID_BYTES];
    struct place place;
};

static void set_spot(const struct publish *p, struct spot *spot, double ms, double seq)
{
    spot->at = (struct position){(uint64_t)ms, (uint64_t)seq};
    spot->place = place_at(spot->position, spot->at);
    event_id(spot->made, p->name, spot->at.ms, spot->at.seq);
}

/* ---- what the library remembers of a channel ---- */

struct known {
    struct text *key, *rest; /* rest: of `b`, behind the sum */
    bool counts; /* false: there is nothing but the key */
    struct position at;
    double sum, ttl;
    uint64_t renewed_s;
};

void sse_forget(struct redis_model *model)
{
    for (size_t i = 0; i != model->known_count; ++i) {
        text_drop(model->known[i].key);
        text_drop(model->known[i].rest);
    }
    free(model->known);
    model->known = NULL;
    model->known_count = 0;
    model->probed = false;
}

static struct known *known_find(const struct publish *p)
{
    for (size_t i = 0; i != p->model->known_count; ++i)
        if (slice_eq(text_slice(p->model->known[i].key), p->key))
            return &p->model->known[i];
    return NULL;
}

/* (The library drops them all when there are CHANNELS_MAX, which no world has.) */
static struct known *known_make(const struct publish *p)
{
    struct known *known = known_find(p);
    if (known != NULL)
        return known;
    size_t size = (p->model->known_count + 1) * sizeof(*known);
    if ((p->model->known = realloc(p->model->known, size)) == NULL)
        abort();
    known = &p->model->known[p->model->known_count++];
    *known = (struct known){.key = text_of(p->key), .rest = text_of(SLICE(""))};
    return known;
}

static void set_ends(const struct publish *p, struct known *known, struct slice position)
{
    key_find(p->model, p->log)->expires_ms = (int64_t)now_ms(p->model) + ((int64_t)p->o.ttl + 1) * 1000;
    set(p, p->last_key, position, p->o.ttl + 1 + MARKED);
    known->renewed_s = now_ms(p->model) / 1000;
    known->ttl = p->o.ttl;
}

static void remember_entry(const struct publish *p, struct known *known, struct position at, const struct sum *sum)
{
    known->counts =
        p->events[p->total - 1].lines.p != NULL && floor(sum->bytes) == sum->bytes && sum->bytes >= 0 && sum->bytes <= BYTES_MAX;
    if (!known->counts)
        return;
    known->at = at;
    known->sum = sum->bytes;
    text_drop(known->rest);
    known->rest = text_of(slice_of_buffer(&sum->rest));
}

static struct slice id_at(const struct publish *p, const struct spot *spots, size_t i)
{
    struct slice own = p->events[i].o.id;
    return own.p != NULL && p->events[i].lines.p != NULL ? own : slice_make(spots[i].made, EVENT_ID_BYTES);
}

static struct sum sum_known(const struct known *known)
{
    struct sum sum = {known->sum, {NULL, 0, 0}};
    put(&sum.rest, text_slice(known->rest));
    return sum;
}

/* It keeps its time to live. */
static void set_marker(const struct publish *p, struct slice position)
{
    struct key *marker = key_find(p->model, p->last_key);
    text_drop(marker->text);
    marker->text = text_of(position);
}

/* The messages of a batch go out as one. */
static void publish_messages(const struct publish *p, const struct buffer *messages)
{
    bool sharded = p->model->slots != NULL;
    struct buffer all = {NULL, 0, 0};
    bool joined = p->many && p->total > 1;
    put(&all, SLICE("\036sse3 "));
    put_integer(&all, (int64_t)p->total);
    put(&all, SLICE("\n"));
    for (size_t i = 0; i != p->total; ++i)
        if (joined)
            put(&all, slice_of_buffer(&messages[i]));
        else
            publish(p->model, sharded, p->key, slice_of_buffer(&messages[i]));
    if (joined)
        publish(p->model, sharded, p->key, slice_of_buffer(&all));
    free(all.p);
}

/* As sse_publish_many does. */
static void answer_many(const struct publish *p, const struct spot *spots, const char *outcome)
{
    struct reply *reply = p->call->reply;
    redisReply *to = p->call->to;
    reply_array(reply, to, 2 + p->count);
    reply_text(reply, to->element[0], slice_of(outcome));
    reply_text(reply, to->element[1], spots[p->count - 1].place.text);
    for (size_t i = 0; i != p->count; ++i)
        reply_text(reply, to->element[i + 2], id_at(p, spots, i));
}

/* Once all entries are there. */
static void complete(struct publish *p, const struct spot *spots, const struct sum *sum, const struct buffer *messages)
{
    struct known *known = known_make(p);
    const struct spot *last = &spots[p->total - 1];
    if (p->known != NULL && known->renewed_s == now_ms(p->model) / 1000 && known->ttl == p->o.ttl)
        set_marker(p, last->place.text);
    else
        set_ends(p, known, last->place.text);
    remember_entry(p, known, last->at, sum);
    if (p->digest.p != NULL)
        remember(p, id_at(p, spots, 0), spots[0].place.text);
    for (size_t i = 0; p->many && i != p->count; ++i)
        if (p->events[i].o.id.p != NULL)
            remember_id(p, &p->events[i], spots[i].place.text);
    publish_messages(p, messages);
    if (p->many)
        answer_many(p, spots, "published");
    else
        answer(p, id_at(p, spots, 0), spots[0].place.text, "published");
}

/* False: nothing was done or answered, since the stream once had an id above the first position. */
static bool append(struct publish *p, const struct entry *newest, struct slice previous, const struct spot *spots)
{
    if (p->o.count) {
        if (!take_number(p))
            return true;
        p->events[0].lines = slice_of_buffer(&p->lines);
    }
    struct buffer *messages = calloc(p->total, sizeof(*messages));
    if (messages == NULL)
        abort();
    struct sum sum = p->known != NULL ? sum_known(p->known) : sum_of(newest);
    double start = sum.bytes;
    const char *error = NULL;
    for (size_t i = 0; error == NULL && i != p->total; ++i) {
        const struct event *event = &p->events[i];
        struct slice before = i == 0 ? previous : spots[i - 1].place.text, id = id_at(p, spots, i);
        messages[i] = event->lines.p == NULL ? end_payload(p, spots[i].place.text, before, id)
                                             : payload_of(&event->o, event->lines, spots[i].place.text, before, id);
        double after = sum.bytes + (double)messages[i].n;
        bool trims = i + 1 == p->total && (p->known == NULL || crosses(after, TRIM_BYTES, (size_t)(after - start)));
        error = add_entry(p, &sum, spots[i].at, slice_of_buffer(&messages[i]), trims);
    }
    bool above = error != NULL && (p->known != NULL || strstr(error, "equal or smaller") != NULL);
    if (error == NULL)
        complete(p, spots, &sum, messages);
    else if (!above)
        call_error(p->call, error);
    for (size_t i = 0; i != p->total; ++i)
        free(messages[i].p);
    free(messages);
    free(sum.rest.p);
    return !above;
}

/* The places of all events, behind the greatest. False: there is no room for them. */
static bool set_spots(const struct publish *p, struct spot *spots, struct place greatest)
{
    double ms = 0, seq = 0;
    for (size_t i = 0; i != p->total; ++i) {
        if (!following(p, i == 0 ? greatest : spots[i - 1].place, &ms, &seq))
            return false;
        set_spot(p, &spots[i], ms, seq);
    }
    return true;
}

static bool append_after(struct publish *p, const struct entry *newest, struct place greatest, struct slice previous)
{
    struct spot *spots = calloc(p->total, sizeof(*spots));
    char text[KEY_ROOM + 128];
    const char *fault = NULL;
    bool done = true;
    if (spots == NULL)
        abort();
    if (!set_spots(p, spots, greatest)) {
        snprintf(text, sizeof(text), "the stream %.*s has an entry too far in the future, added by hand: delete the stream",
                 (int)p->log.n, p->log.p);
        refuse(p, "HISTORY", text);
    } else {
        size_t i = 0;
        for (; fault == NULL && i != p->count; ++i)
            if (p->events[i].o.id.p != NULL)
                fault = future_fault(p->events[i].o.id, spots[i].place.ms, spots[i].place.seq);
        if (fault != NULL)
            refuse_event(p, "ERR", i - 1, fault);
        else
            done = append(p, newest, previous, spots);
    }
    free(spots);
    return done;
}

/* SET last place XX KEEPTTL GET, taken back where the answer is not `position`; or GET, once a second. False: it was not; *raised: and an error was. */
static bool is_marker(const struct publish *p, bool renews, struct slice position, bool *raised)
{
    const struct key *marker = key_find(p->model, p->last_key);
    *raised = renews && marker != NULL && marker->kind != KIND_STRING;
    if (*raised)
        raise(p, wrong_type);
    return marker != NULL && marker->kind == KIND_STRING && slice_eq(text_slice(marker->text), position);
}

/* Adds and publishes it behind what is known; false: the history is not so. */
static bool append_known(struct publish *p, struct known *known, bool renews, struct spot *spot, struct slice payload)
{
    const struct key *log = key_find(p->model, p->log);
    double sum = known->sum + (double)payload.n;
    struct buffer b = {NULL, 0, 0};
    struct trim trim = {.by = TRIM_NONE},
                cut = {.by = TRIM_MAXLEN, .approximate = true, .limit = 10000, .maxlen = (uint64_t)p->o.maxlen};
    put_integer(&b, integer_part(sum));
    put(&b, text_slice(known->rest));
    struct slice fields[] = {SLICE("m"), payload, SLICE("b"), slice_of_buffer(&b)};
    bool added = log != NULL && log->kind == KIND_STREAM &&
                 xadd(p->model, p->log, crosses(sum, TRIM_BYTES, payload.n) ? &cut : &trim, spot->at, fields, 4) == NULL;
    free(b.p);
    if (!added)
        return false;
    if (renews)
        set_ends(p, known, spot->place.text);
    else
        set_marker(p, spot->place.text);
    known->at = spot->at;
    known->sum = sum;
    struct slice id = slice_make(spot->made, EVENT_ID_BYTES);
    if (p->digest.p != NULL)
        remember(p, id, spot->place.text);
    publish(p->model, p->model->slots != NULL, p->key, payload);
    answer(p, id, spot->place.text, "published");
    return true;
}

/* append_next(). False: nothing was done or answered. */
static bool publish_next(struct publish *p, struct slice data)
{
    struct known *known = known_find(p);
    char text[POSITION_TEXT_MAX];
    struct spot spot;
    bool raised = false, reads = p->o.count || p->o.changed || p->o.ends || p->o.id.p != NULL;
    if (known == NULL || !known->counts || reads)
        return false;
    struct slice position = slice_make(text, position_format(text, known->at));
    double now = (double)now_ms(p->model), at = (double)known->at.ms;
    uint64_t seq = now <= at ? known->at.seq + 1 : 0;
    bool renews = known->renewed_s != now_ms(p->model) / 1000 || known->ttl != p->o.ttl;
    if (at > now + AHEAD_MAX || seq > SEQ_MAX)
        return false;
    set_spot(p, &spot, now <= at ? at : now, (double)seq);
    p->lines.n = 0;
    data_lines(&p->lines, data);
    struct buffer payload =
        payload_of(&p->o, slice_of_buffer(&p->lines), spot.place.text, position, slice_make(spot.made, EVENT_ID_BYTES));
    bool done = !crosses(known->sum + (double)payload.n, p->o.maxbytes / STEPS, payload.n) &&
                is_marker(p, renews, position, &raised) && append_known(p, known, renews, &spot, slice_of_buffer(&payload));
    free(payload.p);
    p->lines.n = 0;
    return done || raised;
}

/* The event of a call of sse_publish, and the end. */
static void one_event(struct publish *p, struct slice data, struct event out[2])
{
    bool only_end = p->o.ends && data.n == 0;
    if (!p->o.count)
        data_lines(&p->lines, data);
    out[0] = (struct event){.o = p->o, .data = data, .lines = only_end ? (struct slice){NULL, 0} : slice_of_buffer(&p->lines)};
    out[1] = (struct event){.o = default_options};
    p->events = out;
    p->count = 1;
    p->total = p->o.ends && !only_end ? 2 : 1;
}

/* What follows once nothing was published before under an id or the key. */
static void publish_new(struct publish *p)
{
    const struct key *key = key_find(p->model, p->log);
    char newest_text[POSITION_TEXT_MAX], greatest_text[POSITION_TEXT_MAX];
    struct place marker, previous, greatest;
    struct slice id;
    if (key != NULL && key->kind != KIND_STREAM) {
        raise(p, wrong_type);
        return;
    }
    const struct stream *stream = key == NULL ? NULL : key->stream;
    const struct entry *newest = newest_of(stream);
    struct place ever = place_at(greatest_text, stream == NULL ? POSITION_NONE : stream->last);
    struct place newest_place = place_at(newest_text, newest == NULL ? POSITION_NONE : newest->at);
    const struct entry *event;
    char event_text[POSITION_TEXT_MAX];
    if (!last_event(p, stream, &event))
        return;
    struct place event_place = place_at(event_text, event == NULL ? POSITION_NONE : event->at);
    if (has_ended(event)) {
        refuse(p, "ENDED", "the channel has ended; it is new again when its history is gone");
        return;
    }
    if (p->o.changed && unchanged_id(p, event, &id)) {
        if (p->digest.p != NULL)
            remember(p, id, event_place.text);
        answer(p, id, event_place.text, "unchanged");
        return;
    }
    if (!marked(p, &marker))
        return;
    greatest = p->o.count || newest == NULL ? ever : newest_place;
    previous = event == NULL ? marker : later(event_place, marker);
    if (!append_after(p, newest, later(greatest, marker), previous.text))
        append_after(p, newest, ever, previous.text);
}

void sse_publish(const struct call *call, const struct slice *keys, size_t key_count, const struct slice *args, size_t arg_count)
{
    struct publish p = {.call = call, .model = call->model};
    struct answer first = {.id = {NULL, 0}};
    const char *fault = channel_fault(&p, keys, key_count), *what = "key";
    char text[128];
    if (fault != NULL) {
        refuse(&p, "ERR", fault);
        return;
    }
    if (!read_options(&p, args, arg_count))
        return;
    if (!p.o.count && lines_size(args[0]) > p.o.maxdata) {
        snprintf(text, sizeof(text),
                 "data takes more bytes on the stream, with 'data: ' in front of each line, than maxdata: %" PRId64,
                 (int64_t)p.o.maxdata);
        refuse(&p, "ERR", text);
        return;
    }
    name_keys(&p);
    digest_of(&p, args[0]);
    find_out_cluster(&p);
    if (!remembered(&p, p.key_key, &first))
        return;
    if (first.id.p == NULL) {
        what = "id";
        if (!remembered(&p, p.id_key, &first))
            return;
    }
    if (first.id.p != NULL && first.digest.p != NULL && !slice_eq(first.digest, p.digest)) {
        snprintf(text, sizeof(text), "this %s was used for another event within 300 s", what);
        refuse(&p, "CONFLICT", text);
    } else if (first.id.p != NULL) {
        answer(&p, first.id, first.position, "duplicate");
    } else if (!publish_next(&p, args[0])) {
        struct event events[2];
        one_event(&p, args[0], events);
        publish_new(&p);
    }
    free(p.lines.p);
}

/* ---- batches ---- */

static bool is_of_batch(struct slice name)
{
    static const char *const names[] = {"key", "author", "maxlen", "maxbytes", "maxdata", "ttl"};
    for (size_t i = 0; i != sizeof(names) / sizeof(names[0]); ++i)
        if (slice_eq(name, slice_of(names[i])))
            return true;
    return false;
}

static bool is_of_event(struct slice name)
{
    static const char *const names[] = {"event", "id", "retry", "lease", "end"};
    for (size_t i = 0; i != sizeof(names) / sizeof(names[0]); ++i)
        if (slice_eq(name, slice_of(names[i])))
            return true;
    return false;
}

/* Why a word stands where it does not belong; in `text` where it is named. */
static const char *name_fault(const struct publish *p, struct slice name, char text[128])
{
    bool first = p->count == 0;
    if (first ? is_of_batch(name) : is_of_event(name))
        return NULL;
    if (slice_eq(name, SLICE("changed")) || slice_eq(name, SLICE("count")))
        snprintf(text, 128, "%.*s is not for batches", (int)name.n, name.p);
    else if (first && is_of_event(name))
        snprintf(text, 128, "%.*s is an event's and stands behind its data", (int)name.n, name.p);
    else if (first)
        return "unknown option; the options of a batch are key, author, maxlen, maxbytes, maxdata and ttl";
    else if (is_of_batch(name))
        snprintf(text, 128, "%.*s is the batch's and stands before the first data", (int)name.n, name.p);
    else
        return "unknown field; the fields of an event are event, id, retry, lease and end";
    return text;
}

/* False: refused. */
static bool read_words(struct publish *p, const struct slice *args, size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        char text[128];
        const char *fault;
        bool last = i + 1 == count;
        if (slice_eq(args[i], SLICE("data")) && !last) {
            p->events[p->count++] = (struct event){.o = default_options, .data = args[i + 1]};
            continue;
        }
        struct options *o = p->count == 0 ? &p->o : &p->events[p->count - 1].o;
        fault = slice_eq(args[i], SLICE("data")) ? "data has no value" : name_fault(p, args[i], text);
        if (fault == NULL && last) {
            snprintf(text, sizeof(text), "%.*s has no value", (int)args[i].n, args[i].p);
            fault = text;
        }
        if (fault == NULL)
            fault = read_option(o, args[i], args[i + 1]);
        if (fault == NULL)
            continue;
        if (p->count == 0)
            refuse(p, "ERR", fault);
        else
            refuse_event(p, "ERR", p->count - 1, fault);
        return false;
    }
    bool fine = p->count != 0 && p->count <= EVENTS_MAX;
    if (!fine)
        refuse(p, "ERR", p->count == 0 ? "wants the data of 1 to 1000 events" : "holds more than 1000 events");
    return fine;
}

/* Their lines, and the end behind them. False: refused. */
static bool finish_events(struct publish *p)
{
    double size = 0;
    for (size_t i = 0; i != p->count; ++i) {
        struct event *event = &p->events[i];
        const char *fault =
            event->o.ends && i + 1 != p->count ? "end is for the last event" : options_fault(&event->o, event->data);
        if (fault != NULL) {
            refuse_event(p, "ERR", i, fault);
            return false;
        }
        size += lines_size(event->data);
        data_lines(&event->own_lines, event->data);
        if (!event->o.ends || event->data.n != 0)
            event->lines = slice_of_buffer(&event->own_lines);
    }
    const struct event *last = &p->events[p->count - 1];
    p->total = p->count + (last->o.ends && last->lines.p != NULL);
    if (p->total > p->count)
        p->events[p->count] = (struct event){.o = default_options};
    if (size > p->o.maxdata) {
        char text[160];
        snprintf(
            text, sizeof(text),
            "the data of all events take more bytes on the stream, with 'data: ' in front of each line, than maxdata: %" PRId64,
            (int64_t)p->o.maxdata);
        refuse(p, "ERR", text);
    }
    return size <= p->o.maxdata;
}

static void digest_batch(struct publish *p)
{
    struct buffer text = {NULL, 0, 0};
    for (size_t i = 0; i != p->count; ++i) {
        const struct event *event = &p->events[i];
        char lengths[96];
        int n = snprintf(lengths, sizeof(lengths), "\n%zu %zu %zu %s\n", event->o.event.n, event->o.id.n, event->data.n,
                         event->o.ends ? "end" : "data");
        put(&text, slice_make(lengths, (size_t)n));
        put(&text, event->o.event);
        put(&text, event->o.id);
        put(&text, event->data);
    }
    sha1hex(p->digest_text, slice_of_buffer(&text));
    p->digest = slice_of(p->digest_text);
    free(text.p);
}

/* False: it was answered, since the key was used. */
static bool is_new_batch(struct publish *p)
{
    struct answer first;
    struct place place;
    if (!remembered(p, p->key_key, &first))
        return false;
    if (first.id.p == NULL)
        return true;
    if (first.digest.p == NULL || !slice_eq(first.digest, p->digest)) {
        refuse(p, "CONFLICT", "this key was used for another batch or event within 300 s");
        return false;
    }
    struct spot *spots = calloc(p->count, sizeof(*spots));
    if (spots == NULL)
        abort();
    is_position(first.position, &place);
    for (size_t i = 0; i != p->count; ++i) {
        set_spot(p, &spots[i], place.ms, place.seq);
        place = (struct place){spots[i].place.text, place.seq >= SEQ_MAX ? place.ms + 1 : place.ms,
                               place.seq >= SEQ_MAX ? 0 : place.seq + 1};
    }
    answer_many(p, spots, "duplicate");
    free(spots);
    return false;
}

/* False: refused, or raised. */
static bool ids_are_new(struct publish *p)
{
    for (size_t i = 0; i != p->count; ++i) {
        struct slice id = p->events[i].o.id;
        struct answer first;
        char text[64];
        for (size_t k = 0; id.p != NULL && k != i; ++k)
            if (p->events[k].o.id.p != NULL && slice_eq(p->events[k].o.id, id)) {
                snprintf(text, sizeof(text), "it has the id of event %zu", k + 1);
                refuse_event(p, "CONFLICT", i, text);
                return false;
            }
        if (id.p != NULL && !remembered(p, key_of(p, 3, "id:", id), &first))
            return false;
        if (id.p != NULL && first.id.p != NULL) {
            refuse_event(p, "CONFLICT", i, "this id was used within 300 s");
            return false;
        }
    }
    return true;
}

/* append_known(). False: nothing was done or answered. */
static bool publish_known(struct publish *p)
{
    struct known *known = known_find(p);
    char text[POSITION_TEXT_MAX];
    struct slice marker;
    if (known == NULL || !known->counts || (double)known->at.ms > (double)now_ms(p->model) + AHEAD_MAX)
        return false;
    struct place place = place_at(text, known->at);
    if (!get(p, p->last_key, &marker))
        return true;
    const struct key *log = key_find(p->model, p->log);
    if (!slice_eq(marker, place.text) || log == NULL)
        return false;
    struct spot *spots = calloc(p->total, sizeof(*spots));
    if (spots == NULL)
        abort();
    bool fine = set_spots(p, spots, place) && log->kind == KIND_STREAM;
    for (size_t i = 0; fine && i != p->count; ++i)
        fine = p->events[i].o.id.p == NULL || future_fault(p->events[i].o.id, spots[i].place.ms, spots[i].place.seq) == NULL;
    p->known = known;
    bool done = fine && append(p, NULL, place.text, spots);
    p->known = NULL;
    free(spots);
    return done;
}

void sse_publish_many(const struct call *call, const struct slice *keys, size_t key_count, const struct slice *args,
                      size_t arg_count)
{
    struct publish p = {.call = call, .model = call->model, .o = default_options, .many = true};
    const char *fault = channel_fault(&p, keys, key_count);
    if (fault != NULL) {
        refuse(&p, "ERR", fault);
        return;
    }
    if ((p.events = calloc(arg_count / 2 + 2, sizeof(*p.events))) == NULL)
        abort();
    if (read_words(&p, args, arg_count) && finish_events(&p)) {
        name_keys(&p);
        if (p.key_key.p != NULL)
            digest_batch(&p);
        find_out_cluster(&p);
        if (is_new_batch(&p) && ids_are_new(&p) && !publish_known(&p))
            publish_new(&p);
    }
    for (size_t i = 0; i != p.count; ++i)
        free(p.events[i].own_lines.p);
    free(p.events);
}
