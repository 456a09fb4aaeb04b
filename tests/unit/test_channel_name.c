#include "proto/channel.h"

#include "tests/unit/vectors.h"

static void test_names(yajl_val file)
{
    struct vector_rows good = vector_rows(file, "good"), bad = vector_rows(file, "bad");
    for (size_t i = 0; i != good.len; ++i)
        check(same_fault(channel_check(vector_value(good.values[i])), NULL), "%s is a channel name",
              YAJL_GET_STRING(good.values[i]));
    for (size_t i = 0; i != bad.len; ++i) {
        struct slice name = vector_bytes(bad.values[i], "name");
        check(same_fault(channel_check(name), vector_text(bad.values[i], "fault")), "bad name %zu of %zu bytes is refused", i,
              name.n);
    }
}

/* The grammar once more, written another way. */
static void test_every_byte(void)
{
    for (int c = 0; c != 256; ++c) {
        char name[] = {'a', (char)c, 'b'};
        bool want = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                    c == '~' || c == ':' || c == '/' || c == '@' || c == '+' || c == ',' || c == '-';
        check((channel_check(slice_make(name, 3)) == NULL) == want, "byte 0x%02x within a name is %s", c,
              want ? "allowed" : "refused");
    }
}

static void test_keys(yajl_val file)
{
    struct vector_rows keys = vector_rows(file, "keys");
    char out[CHANNEL_KEY_MAX];
    for (size_t i = 0; i != keys.len; ++i) {
        struct slice name = vector_bytes(keys.values[i], "name"), pubsub = vector_bytes(keys.values[i], "pubsub");
        size_t n = channel_pubsub(out, name);
        check_slice(slice_make(out, n), pubsub, "pub/sub channel of %.20s", name.p);
        check(out[n] == '\0', "which ends in a NUL");
        n = channel_log(out, name);
        check_slice(slice_make(out, n), vector_bytes(keys.values[i], "log"), "stream of %.20s", name.p);
        check(out[n] == '\0', "which ends in a NUL");
    }
}

/* What prefixes may look like, and that the names of two of them never meet: a name may hold colons, so only the first one ends the prefix. */
static void test_prefix(void)
{
    static const char longest[] = "0123456789-_ABCDEFGHIJKLMNOPQRST:";
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"sse:", true},  {"a:", true},    {"Prod-2_x:", true}, {longest, true}, {"0123456789-_ABCDEFGHIJKLMNOPQRSTU:", false},
        {"", false},     {":", false},    {"sse", false},      {"a:b:", false}, {"a::", false},
        {"{a}:", false}, {"a b:", false}, {"a.b:", false},     {"a/:", false},  {"\xc3\xa4:", false}};
    char out[CHANNEL_KEY_MAX], name[CHANNEL_NAME_MAX];
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i)
        check((channel_prefix_check(rows[i].text) == NULL) == rows[i].good, "prefix '%s' is %s", rows[i].text,
              rows[i].good ? "good" : "refused");
    channel_set_prefix("a:");
    check_slice(slice_make(out, channel_pubsub(out, SLICE("sse:x"))), SLICE("a:sse:x"), "pub/sub channel with a prefix");
    check_slice(slice_make(out, channel_log(out, SLICE("x"))), SLICE("{a:x}:log"), "stream with a prefix");
    channel_set_prefix(longest);
    memset(name, 'n', sizeof(name));
    check(channel_log(out, slice_make(name, sizeof(name))) < CHANNEL_KEY_MAX, "the longest stream name fits");
    channel_set_prefix(CHANNEL_PREFIX_DEFAULT);
}

int main(void)
{
    yajl_val file = vector_file("channel.json");
    test_names(file);
    test_every_byte();
    test_keys(file);
    test_prefix();
    yajl_tree_free(file);
    return check_end();
}
