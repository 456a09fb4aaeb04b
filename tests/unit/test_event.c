#include "proto/event.h"

#include "tests/event.h"
#include "tests/unit/vectors.h"

static struct event event_of(yajl_val row)
{
    return (struct event){.type = vector_bytes(row, "event"),
                          .id = vector_bytes(row, "id"),
                          .retry_ms = (int32_t)vector_integer(row, "retry", EVENT_RETRY_NONE)};
}

static void test_events(yajl_val file)
{
    struct vector_rows good = vector_rows(file, "encode"), bad = vector_rows(file, "refuse");
    for (size_t i = 0; i != good.len; ++i) {
        struct event event = event_of(good.values[i]);
        check(same_fault(event_check(&event), NULL), "accepted: %s", vector_text(good.values[i], "name"));
    }
    for (size_t i = 0; i != bad.len; ++i) {
        struct event event = event_of(bad.values[i]);
        const char *fault = vector_text(bad.values[i], "fault");
        check(same_fault(event_check(&event), fault), "refused: %s", vector_text(bad.values[i], "name"));
        if (event.type.p != NULL)
            check(same_fault(event_check_type(event.type), fault), "  also as a type alone");
        if (event.id.p != NULL)
            check(same_fault(event_check_id(event.id), fault), "  also as an id alone");
    }
}

/* What RFC 3629 says of one code point or byte string, worked out here by decoding instead of by its table. */
static bool reference_valid(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i != n;) {
        size_t length = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : p[i] >> 3 == 30 ? 4 : 0;
        uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}, code = length < 2 ? p[i] : p[i] & (0x7fu >> length);
        if (length == 0 || length > n - i)
            return false;
        for (size_t k = 1; k != length; ++k) {
            if (p[i + k] >> 6 != 2)
                return false;
            code = code << 6 | (p[i + k] & 0x3f);
        }
        if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        i += length;
    }
    return true;
}

static void test_utf8(void)
{
    /* bytes next to every border of the table */
    static const unsigned char edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
                                          0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff};
    enum { EDGES = sizeof(edges) };
    unsigned tried = 0, wrong = 0;
    for (size_t n = 1; n <= 4; ++n) {
        size_t index[4] = {0};
        for (size_t done = 0; !done;) {
            unsigned char text[4];
            struct slice copy;
            for (size_t i = 0; i != n; ++i)
                text[i] = edges[index[i]];
            copy = slice_make((char *)text, n);
            ++tried;
            wrong += utf8_valid(copy) != reference_valid(text, n);
            for (size_t i = 0; i != n && ++index[i] == EDGES; ++i)
                index[i] = 0, done = i + 1 == n;
        }
    }
    check(tried == 28 + 784 + 21952 + 614656 && wrong == 0, "UTF-8 is told from the rest in %u strings (%u wrong)", tried, wrong);
    check(utf8_valid(slice_make(NULL, 0)), "no byte is valid UTF-8");
}

static void test_cut_utf8(void)
{
    struct slice whole = SLICE("\xf0\x9f\x99\x82"), cut;
    for (size_t n = 1; n != 4; ++n) {
        cut = exact_copy(slice_make(whole.p, n));
        check(!utf8_valid(cut), "a character cut after %zu bytes is not valid", n);
        exact_free(cut);
    }
}

int main(void)
{
    yajl_val file = vector_file("sse.json");
    test_events(file);
    test_utf8();
    test_cut_utf8();
    yajl_tree_free(file);
    return check_end();
}
