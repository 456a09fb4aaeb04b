/* HTTP/2 frames by hand (RFC 9113, RFC 7541), for clients that do what no library would. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum frame_type {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
};

enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

/* Bytes to send, and where the next stream stands. */
struct wire {
    uint8_t bytes[1 << 18];
    size_t n;
    uint32_t stream; /* the newest one; the first is 1 */
    uint64_t frames; /* appended so far */
};

void wire_open(struct wire *wire); /* preface, empty SETTINGS, a wide connection window */
void wire_frame(struct wire *wire, enum frame_type type, uint8_t flags, uint32_t stream, const void *payload, size_t n);
void wire_u32(struct wire *wire, enum frame_type type, uint32_t stream, uint32_t value); /* a frame whose payload is one number */
void wire_setting(struct wire *wire, uint16_t name, uint32_t value);
void wire_request(struct wire *wire, const char *method, const char *path, uint8_t flags); /* HEADERS of a new stream */

/* A header block of the four pseudo-headers; the length. */
size_t wire_head(uint8_t *block, const char *method, const char *path);
