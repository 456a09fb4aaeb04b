/* Refuses, with 400 and the end of the connection, HTTP/1 requests that libh2o 2.2.5 takes but whose end or host a proxy in front
 * may see elsewhere (request smuggling): several Content-Length or Transfer-Encoding, both of them, Transfer-Encoding in HTTP/1.0,
 * folded lines, a bare LF, no method or path, no or several Host, a Host with a blank or a user in it, and chunks whose framing is not exactly RFC 9112 section 7.1's.
 * A target in the absolute form becomes a path and a host. Nothing to call: linking it does it. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "runtime/h2o/library.h"
#include "runtime/digits.h"
#include "runtime/h2o/bodies.h"
#include "runtime/h2o/target.h"

/* libh2o's parser, picohttpparser, comes without its header file. */
struct phr_header {
    const char *name; /* NULL: the line goes on from the one before */
    size_t name_len;
    const char *value;
    size_t value_len;
};

struct phr_chunked_decoder {
    size_t bytes_left_in_chunk;
    char consume_trailer; /* set for requests; not for the answers that libh2o's proxy reads */
    char digits;
    char state;
};

/* --- the head --- */

static bool is_named(const struct phr_header *header, const char *name)
{
    return header->name_len == strlen(name) && strncasecmp(header->name, name, header->name_len) == 0;
}

static bool has_bare_lf(const char *head, size_t len)
{
    const char *end = head + len;
    for (const char *lf = head; (lf = memchr(lf, '\n', (size_t)(end - lf))) != NULL; ++lf)
        if (lf == head || lf[-1] != '\r')
            return true;
    return false;
}

static bool is_unambiguous(int minor_version, const struct phr_header *headers, size_t count)
{
    unsigned lengths = 0, encodings = 0, hosts = 0;
    for (size_t i = 0; i < count; ++i) {
        if (headers[i].name == NULL)
            return false;
        lengths += is_named(&headers[i], "content-length");
        encodings += is_named(&headers[i], "transfer-encoding");
        if (!is_named(&headers[i], "host"))
            continue;
        if (headers[i].value_len != 0 && !target_is_authority(slice_make(headers[i].value, headers[i].value_len)))
            return false;
        ++hosts;
    }
    if (lengths + encodings > 1 || (encodings != 0 && minor_version == 0))
        return false;
    return hosts == 1 || (hosts == 0 && minor_version == 0);
}

/* The field that says that a body follows. A head that passed has one at most. */
static struct phr_header *body_field(struct phr_header *headers, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (is_named(&headers[i], "content-length") || is_named(&headers[i], "transfer-encoding"))
            return &headers[i];
    return NULL;
}

/* Where the sum of all bodies leaves no room for this one, the library is told of one that is too large: then it reads none of it, and answers. */
static void admit_body(const char **method, size_t head, struct phr_header *headers, size_t count)
{
    static _Thread_local char name[] = "content-length"; /* the library writes to it */
    static const char too_large[] = "1152921504606846976";
    struct phr_header *field = body_field(headers, count);
    if (field == NULL)
        return;
    h2o_req_t *req = (h2o_req_t *)((char *)method - offsetof(h2o_req_t, input.method.base));
    size_t length = is_named(field, name) ? h2o_strtosize(field->value, field->value_len) : SIZE_MAX;
    if (!bodies_admit(req, head, length))
        *field = (struct phr_header){name, sizeof(name) - 1, too_large, sizeof(too_large) - 1};
}

/* RFC 9112 section 3.2.2: "http://host/path" stands for the path, and its host for what Host says. Who knows the one form alone, as
 * our handlers and the publisher behind the gateway do, gets that. False when there is no host, or a user before it. */
static bool take_absolute_form(const char **path, size_t *path_len, struct phr_header *headers, size_t count)
{
    static const char *const schemes[] = {"http://", "https://"};
    size_t scheme = 0;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); ++i)
        if (*path_len >= strlen(schemes[i]) && strncasecmp(*path, schemes[i], strlen(schemes[i])) == 0)
            scheme = strlen(schemes[i]);
    if (scheme == 0)
        return true;
    const char *host = *path + scheme, *end = *path + *path_len, *rest = host;
    while (rest != end && *rest != '/' && *rest != '?')
        ++rest;
    if (!target_is_authority(slice_make(host, (size_t)(rest - host))))
        return false;
    for (size_t i = 0; i < count; ++i)
        if (is_named(&headers[i], "host"))
            headers[i] = (struct phr_header){headers[i].name, headers[i].name_len, host, (size_t)(rest - host)};
    *path = rest == end ? "/" : rest;
    *path_len = rest == end ? 1 : (size_t)(end - rest);
    return true;
}

int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path, size_t *path_len,
                      int *minor_version, struct phr_header *headers, size_t *num_headers, size_t last_len)
{
    int result =
        library.phr_parse_request(buf, len, method, method_len, path, path_len, minor_version, headers, num_headers, last_len);
    if (result <= 0)
        return result;
    if (*method_len == 0 || *path_len == 0 || has_bare_lf(buf, (size_t)result))
        return -1;
    if (!is_unambiguous(*minor_version, headers, *num_headers) || !take_absolute_form(path, path_len, headers, *num_headers))
        return -1;
    admit_body(method, (size_t)result, headers, *num_headers);
    return result;
}

/* --- chunks --- */

enum state { SIZE, EXTENSION, SIZE_LF, BYTES, BYTES_CR, BYTES_LF, TRAILER_START, TRAILER, TRAILER_LF, END_LF, OVER };

enum { DIGITS_MAX = 8 };

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static int after_size_byte(struct phr_chunked_decoder *decoder, char c)
{
    int digit = digits_hex(c);
    if (digit >= 0) {
        decoder->bytes_left_in_chunk = decoder->bytes_left_in_chunk * 16 + (size_t)digit;
        return ++decoder->digits <= DIGITS_MAX ? SIZE : -1;
    }
    if (decoder->digits == 0)
        return -1;
    return c == '\r' ? SIZE_LF : c == ';' || c == ' ' || c == '\t' ? EXTENSION : -1;
}

/* The state after this byte of a chunk's frame; -1 when it can't stand there. */
static int after(struct phr_chunked_decoder *decoder, char c)
{
    switch ((enum state)decoder->state) {
    case SIZE:
        return after_size_byte(decoder, c);
    case EXTENSION:
        return c == '\r' ? SIZE_LF : is_control(c) ? -1 : EXTENSION;
    case SIZE_LF:
        decoder->digits = 0;
        return c != '\n' ? -1 : decoder->bytes_left_in_chunk == 0 ? TRAILER_START : BYTES;
    case BYTES_CR:
        return c == '\r' ? BYTES_LF : -1;
    case BYTES_LF:
        return c == '\n' ? SIZE : -1;
    case TRAILER_START:
        return c == '\r' ? END_LF : is_control(c) ? -1 : TRAILER;
    case TRAILER:
        return c == '\r' ? TRAILER_LF : is_control(c) ? -1 : TRAILER;
    case TRAILER_LF:
        return c == '\n' ? TRAILER_START : -1;
    case END_LF:
        return c == '\n' ? OVER : -1;
    case BYTES:
    case OVER:
        break;
    }
    return -1;
}

/* Moves what is there of a chunk's bytes to their place; how many that were. */
static size_t take_bytes(struct phr_chunked_decoder *decoder, char *to, const char *from, size_t n)
{
    size_t part = n < decoder->bytes_left_in_chunk ? n : decoder->bytes_left_in_chunk;
    memmove(to, from, part);
    decoder->bytes_left_in_chunk -= part;
    if (decoder->bytes_left_in_chunk == 0)
        decoder->state = BYTES_CR;
    return part;
}

/* As the library's: decodes in place, *size becomes the length of what was decoded. -2: more must come; -1: wrong; else how many
 * bytes follow the body. */
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *size)
{
    size_t in = 0, out = 0, n = *size;
    int state = decoder->state;
    if (!decoder->consume_trailer)
        return library.phr_decode_chunked(decoder, buf, size);
    while (in < n && state >= 0 && state != OVER) {
        if (state == BYTES) {
            size_t part = take_bytes(decoder, buf + out, buf + in, n - in);
            in += part;
            out += part;
            state = decoder->state;
        } else if ((state = after(decoder, buf[in++])) >= 0) {
            decoder->state = (char)state;
        }
    }
    *size = out;
    if (state < 0)
        return -1;
    memmove(buf + out, buf + in, n - in);
    return state == OVER ? (ssize_t)(n - in) : -2;
}
