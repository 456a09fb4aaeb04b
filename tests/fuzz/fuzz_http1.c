/* Input: flags (1: a chunked body, else a head; the upper bits: how many bytes arrive at once), then the bytes.
 * A body is taken where RFC 9112 section 7.1 allows, whatever pieces it comes in, and what is taken libh2o's own decoder takes, too, for the same
 * bytes. A head that is taken has lines that end in CRLF, one Host, and at most one of Content-Length and Transfer-Encoding. */

#include <dlfcn.h>
#include <strings.h>

#include "tests/fuzz/fuzz.h"

/* As in runtime/h2o/h1_guard.c; libh2o comes without their header file. */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
struct phr_chunked_decoder {
    size_t bytes_left_in_chunk;
    char consume_trailer, digits, state;
};
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path, size_t *path_len,
                      int *minor_version, struct phr_header *headers, size_t *num_headers, size_t last_len);
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *size);

/* ---- bodies ---- */

/* What came of a body: as phr_decode_chunked() returns, and what was decoded. */
struct decoded {
    ssize_t result;
    struct text bytes;
};

static struct decoded decode(typeof(phr_decode_chunked) *decoder_of, struct slice body, size_t at_once)
{
    struct phr_chunked_decoder decoder = {.consume_trailer = 1};
    struct decoded decoded = {.result = -2};
    for (size_t at = 0; at < body.n && decoded.result == -2; at += at_once) {
        struct slice piece = own(slice_make(body.p + at, body.n - at < at_once ? body.n - at : at_once), false);
        size_t size = piece.n;
        decoded.result = decoder_of(&decoder, (char *)(uintptr_t)piece.p, &size);
        must(size <= piece.n && (decoded.result < 0 || (size_t)decoded.result <= piece.n - size));
        if (decoded.result >= 0) /* the bytes behind the body, where they belong; counted from the end of all */
            must(memcmp(piece.p + size, body.p + at + piece.n - (size_t)decoded.result, (size_t)decoded.result) == 0);
        if (decoded.result >= 0)
            decoded.result += (ssize_t)(body.n - at - piece.n);
        if (decoded.result != -1)
            text_add(&decoded.bytes, slice_make(piece.p, size));
        disown(piece);
    }
    return decoded;
}

/* The line at the front, without its CRLF, when it is all there and holds no other control character than tabs; p NULL where not. *wrong: it never will be. */
static struct slice take_line(struct slice *rest, bool *wrong)
{
    for (size_t i = 0; i != rest->n; ++i) {
        unsigned char c = (unsigned char)rest->p[i];
        if (c == '\r' && i + 1 == rest->n)
            return slice_make(NULL, 0);
        if (c == '\r' && rest->p[i + 1] == '\n') {
            struct slice line = slice_make(rest->p, i);
            *rest = slice_from(*rest, i + 2);
            return line;
        }
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            *wrong = true;
            break;
        }
    }
    return slice_make(NULL, 0);
}

/* Whether the bytes are the start of a size line, as far as they go. *whole: to where the digits end. */
static bool is_size(struct slice line, size_t *size, bool is_whole)
{
    size_t n = 0;
    *size = 0;
    while (n != line.n && line.p[n] != '\0' && strchr("0123456789abcdefABCDEF", line.p[n]) != NULL)
        *size = *size * 16 + (size_t)strtoul((char[]){line.p[n++], '\0'}, NULL, 16);
    if (n > 8 || (n == 0 && (line.n != 0 || is_whole)))
        return false;
    return n == line.n || (line.p[n] == '\r' && !is_whole) || strchr("; \t", line.p[n]) != NULL;
}

static ssize_t read_trailer(struct slice rest)
{
    bool wrong = false;
    struct slice line;
    while ((line = take_line(&rest, &wrong)).p != NULL)
        if (line.n == 0)
            return (ssize_t)rest.n;
    return wrong ? -1 : -2;
}

/* The body read chunk by chunk, whole; bytes go to *out. */
static ssize_t reference(struct slice rest, struct text *out)
{
    for (;;) {
        bool wrong = false;
        size_t size, there;
        struct slice before = rest, line = take_line(&rest, &wrong);
        if (!is_size(line.p == NULL ? before : line, &size, line.p != NULL) || wrong)
            return -1;
        if (line.p == NULL)
            return -2;
        if (size == 0)
            return read_trailer(rest);
        there = rest.n < size ? rest.n : size;
        text_add(out, slice_make(rest.p, there));
        rest = slice_from(rest, there);
        if (rest.n < 2)
            return rest.n == 1 && rest.p[0] != '\r' ? -1 : -2;
        if (memcmp(rest.p, "\r\n", 2) != 0)
            return -1;
        rest = slice_from(rest, 2);
    }
}

static void check_body(struct slice body, size_t at_once)
{
    static typeof(phr_decode_chunked) *library;
    if (library == NULL)
        *(void **)&library = dlsym(RTLD_NEXT, "phr_decode_chunked");
    must(library != NULL && library != phr_decode_chunked);
    struct text want = {NULL, 0, 0};
    ssize_t result = reference(body, &want);
    struct decoded whole = decode(phr_decode_chunked, body, body.n + 1), pieces = decode(phr_decode_chunked, body, at_once);
    must(whole.result == result && pieces.result == result);
    if (result != -1) {
        must(slice_eq(text_slice(&whole.bytes), text_slice(&want)) && slice_eq(text_slice(&pieces.bytes), text_slice(&want)));
    }
    if (result >= 0) {
        struct decoded theirs = decode(library, body, body.n + 1);
        must(theirs.result == result && slice_eq(text_slice(&theirs.bytes), text_slice(&want)));
        text_free(&theirs.bytes);
    }
    text_free(&want);
    text_free(&whole.bytes);
    text_free(&pieces.bytes);
}

/* ---- heads ---- */

static bool is_named(struct slice line, const char *name)
{
    return line.n >= strlen(name) && strncasecmp(line.p, name, strlen(name)) == 0;
}

/* Counts what is in the lines of the head itself. */
static void check_lines(struct slice head, int minor_version)
{
    unsigned bodies = 0, encodings = 0, hosts = 0;
    if (slice_starts(head, SLICE("\r\n"))) /* one may stand before a request: RFC 9112 section 2.2 */
        head = slice_from(head, 2);
    for (bool first = true; head.n != 0; first = false) {
        const char *end = memmem(head.p, head.n, "\r\n", 2);
        must(end != NULL);
        struct slice line = slice_make(head.p, (size_t)(end - head.p));
        must(memchr(line.p, '\n', line.n) == NULL && (line.n == 0 || memchr(line.p, '\0', line.n) == NULL));
        must(first || line.n == 0 || (line.p[0] != ' ' && line.p[0] != '\t'));
        encodings += !first && is_named(line, "transfer-encoding:");
        bodies += !first && (is_named(line, "content-length:") || is_named(line, "transfer-encoding:"));
        hosts += !first && is_named(line, "host:");
        head = slice_from(head, line.n + 2);
    }
    must(bodies <= 1 && hosts <= 1 && (minor_version == 0 || hosts == 1) && (encodings == 0 || minor_version != 0));
}

static void check_head(struct slice head)
{
    struct phr_header headers[20];
    size_t method_len, path_len, count = 20;
    const char *method, *path;
    int minor_version;
    int result = phr_parse_request(head.p, head.n, &method, &method_len, &path, &path_len, &minor_version, headers, &count, 0);
    must(result >= -2 && result <= (int)head.n);
    if (result > 0)
        check_lines(slice_make(head.p, (size_t)result), minor_version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice bytes = own(slice_make((const char *)data + 1, size - 1), false);
    if ((data[0] & 1) != 0)
        check_body(bytes, (size_t)(data[0] >> 1) + 1);
    else
        check_head(bytes);
    disown(bytes);
    return 0;
}
