/* Input: an application/x-www-form-urlencoded text.
 * http_form_next() gives each non-empty piece between '&' once and in order, and decodes it as WHATWG URL section 5.1 says; what it gave,
 * encoded again, gives the same again and is never broken. */
#include "runtime/http.h"

#include "tests/fuzz/request.h"

static int hex(int c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *digit = c == 0 ? NULL : strchr(digits, c);
    return digit == NULL ? -1 : (int)(digit - digits) % 16;
}

static void decode(struct text *out, struct slice raw, bool *broken)
{
    for (size_t i = 0; i != raw.n; ++i) {
        bool room = raw.p[i] == '%' && raw.n - i > 2;
        int high = room ? hex((unsigned char)raw.p[i + 1]) : -1, low = room ? hex((unsigned char)raw.p[i + 2]) : -1;
        if (high >= 0 && low >= 0) {
            text_add_byte(out, high << 4 | low);
            i += 2;
        } else {
            *broken = *broken || raw.p[i] == '%';
            text_add_byte(out, raw.p[i] == '+' ? ' ' : raw.p[i]);
        }
    }
}

static void check_decoded(struct slice raw, struct slice got, bool *broken)
{
    struct text want = {NULL, 0, 0};
    decode(&want, raw, broken);
    must(slice_eq(got, text_slice(&want)));
    text_free(&want);
}

static void encode(struct text *out, struct slice s)
{
    char escape[4];
    for (size_t i = 0; i != s.n; ++i) {
        snprintf(escape, sizeof(escape), "%%%02X", (unsigned char)s.p[i]);
        bool plain = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'z');
        text_add(out, plain ? slice_make(s.p + i, 1) : s.p[i] == ' ' ? SLICE("+") : slice_of(escape));
    }
}

/* The pairs of `form` one by one against its pieces; adds them, encoded, to *again. */
static size_t check_pairs(h2o_req_t *req, struct slice form, struct text *again, bool *broken)
{
    struct slice rest = form, raw = form, name, value;
    bool want_broken = false;
    size_t count = 0;
    for (; http_form_next(req, SLICE(""), &rest, &name, &value, broken); ++count) {
        struct slice piece = slice_split(&raw, '&');
        while (piece.n == 0 && raw.p != NULL)
            piece = slice_split(&raw, '&');
        must(piece.n != 0);
        struct slice raw_name = slice_split(&piece, '=');
        check_decoded(raw_name, name, &want_broken);
        check_decoded(piece, value, &want_broken);
        must(*broken == want_broken);
        text_add(again, count == 0 ? SLICE("") : SLICE("&"));
        encode(again, name);
        text_add(again, SLICE("="));
        encode(again, value);
    }
    for (; raw.p != NULL && form.n != 0; slice_split(&raw, '&'))
        must(raw.n == 0 || raw.p[0] == '&');
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice form = slice_make((const char *)data, size);
    struct text again = {NULL, 0, 0}, twice = {NULL, 0, 0};
    struct request request;
    bool broken = false, still_broken = false;
    request_open(&request, SLICE("POST"), SLICE("/"));
    size_t count = check_pairs(&request.req, form, &again, &broken);
    must(check_pairs(&request.req, text_slice(&again), &twice, &still_broken) == count);
    must(!still_broken && slice_eq(text_slice(&again), text_slice(&twice)));
    request_close(&request);
    text_free(&again);
    text_free(&twice);
    return 0;
}
