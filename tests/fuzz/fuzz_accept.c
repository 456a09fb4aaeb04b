/* Input: an Accept header.
 * http_accepts() knows no case, takes the ranges in any order, and space around them; the closest range of all decides, also when it comes last. */
#include "runtime/http.h"

#include <ctype.h>

#include "tests/fuzz/fuzz.h"

static bool stream_in(struct slice accept)
{
    struct slice exact = own(accept, false);
    bool answer = http_accepts(exact, SLICE("text"), SLICE("event-stream"));
    disown(exact);
    return answer;
}

static bool stream_in_parts(struct slice a, struct slice b, struct slice c)
{
    struct text joined = {NULL, 0, 0};
    text_add(&joined, a);
    text_add(&joined, b);
    text_add(&joined, c);
    bool answer = stream_in(text_slice(&joined));
    text_free(&joined);
    return answer;
}

static void check_case(struct slice accept)
{
    struct text upper = {NULL, 0, 0}, lower = {NULL, 0, 0};
    for (size_t i = 0; i != accept.n; ++i) {
        text_add_byte(&upper, toupper((unsigned char)accept.p[i]));
        text_add_byte(&lower, tolower((unsigned char)accept.p[i]));
    }
    must(stream_in(text_slice(&upper)) == stream_in(accept) && stream_in(text_slice(&lower)) == stream_in(accept));
    text_free(&upper);
    text_free(&lower);
}

/* The ranges the other way round. */
static void check_order(struct slice accept)
{
    struct text turned = {NULL, 0, 0};
    size_t end = accept.n;
    for (size_t i = accept.n; i-- != 0;) {
        if (accept.p[i] != ',')
            continue;
        text_add(&turned, slice_make(accept.p + i + 1, end - i - 1));
        text_add(&turned, SLICE(","));
        end = i;
    }
    text_add(&turned, slice_make(accept.p, end));
    must(stream_in(text_slice(&turned)) == stream_in(accept));
    text_free(&turned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice accept = slice_make((const char *)data, size), none = SLICE("");
    bool in = stream_in(accept);
    check_case(accept);
    if (size != 0 && (memchr(accept.p, '"', accept.n) != NULL || memchr(accept.p, '\\', accept.n) != NULL))
        return 0; /* a quote may be open at the end */
    check_order(accept);
    must(stream_in_parts(SLICE(" ,\t"), accept, none) == in && stream_in_parts(accept, SLICE(", ,"), none) == in);
    must(stream_in_parts(accept, SLICE(","), accept) == in);
    must(stream_in_parts(accept, SLICE(",text/event-stream;charset=utf-8"), none));
    must(stream_in_parts(SLICE("text/event-stream ; charset=\"UTF-8\" ; q=0.001 ,"), accept, none));
    /* a range further away than all that match changes nothing, and one of another type only where there was no good range at all */
    bool beside = stream_in_parts(accept, SLICE(",image/png"), none);
    must(beside == (in && beside));
    must(stream_in_parts(accept, SLICE(",image/png,*/*;q=0"), none) == stream_in_parts(accept, SLICE(",*/*;q=0"), none));
    return 0;
}
