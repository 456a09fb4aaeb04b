/* The answer to one HTTP/1.1 GET (RFC 9112): its status and its body, chunked or until the connection ends. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum http1_part { HTTP1_IN_HEAD, HTTP1_IN_SIZE, HTTP1_IN_EXTENSION, HTTP1_IN_CHUNK, HTTP1_IN_CHUNK_END, HTTP1_IN_REST };

/* Zeroed is before the first byte. */
struct http1 {
    char *head; /* owned; a head whose end has not come */
    size_t left; /* bytes: of `head`; later of the chunk */
    uint16_t status;
    uint8_t part;
};

enum http1_got {
    HTTP1_MORE, /* all up to `end` is consumed */
    HTTP1_HEAD, /* `status` is there */
    HTTP1_BODY, /* *n bytes of body at *body */
    HTTP1_END, /* the last chunk */
    HTTP1_BAD,
};

/* Takes from *p, moving it, what makes the next thing there is; to be called until HTTP1_MORE, and no more after END or BAD. */
enum http1_got http1_next(struct http1 *http1, const char **p, const char *end, const char **body, size_t *n);

void http1_dispose(struct http1 *http1);
