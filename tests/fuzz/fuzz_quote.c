/* Input: any bytes.
 * json_quote() makes one JSON string of them within its room, holding the same characters; each byte that is not UTF-8 becomes U+FFFD. */
#include "runtime/json.h"

#include "runtime/utf8.h"
#include "tests/fuzz/json.h"

static void add_replaced(struct text *out, struct slice s)
{
    while (s.n != 0) {
        size_t n = utf8_length(s.p, s.n);
        text_add(out, n == 0 ? SLICE("\xef\xbf\xbd") : slice_make(s.p, n));
        s = slice_from(s, n == 0 ? 1 : n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_make((const char *)data, size);
    struct text want = {NULL, 0, 0}, got = {NULL, 0, 0};
    char *quoted = malloc(json_quoted_max(size));
    must(quoted != NULL);
    size_t n = json_quote(quoted, bytes);
    must(n <= json_quoted_max(size));
    for (size_t i = 0; i != n; ++i)
        must((unsigned char)quoted[i] >= 0x20 && quoted[i] != 0x7f);
    must(json_characters(&got, slice_make(quoted, n)));
    add_replaced(&want, bytes);
    must(slice_eq(text_slice(&got), text_slice(&want)));
    text_free(&want);
    text_free(&got);
    free(quoted);
    return 0;
}
