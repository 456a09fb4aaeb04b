/* The client's end of one HTTP/2 connection with some of the streams, by libnghttp2. Flow control never holds the server back. */
#pragma once

#include "tests/bench/link.h"
#include "tests/bench/stream.h"

struct http2;

/* Sends the GET of each of the `count` streams over the link. */
struct http2 *http2_create(struct link *link, struct streams *streams, struct stream *first, unsigned count, const char *authority);

/* What was read from the link. NULL, or why the connection cannot go on. */
const char *http2_take(struct http2 *http2, const char *p, size_t n);

/* NULL too. */
void http2_destroy(struct http2 *http2);
