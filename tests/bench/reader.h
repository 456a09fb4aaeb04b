/* The connections that carry the streams of `bench read`, and their event loop. */
#pragma once

#include "tests/bench/header_file.h"
#include "tests/bench/link.h"
#include "tests/bench/stream.h"

struct connection;

struct reader {
    struct sockaddr_in to;
    const char *authority; /* "HOST:PORT" */
    struct header_file headers; /* stream i sends its line i, from the first again after the last; empty: none. HTTP/1.1 only */
    bool http2;
    unsigned per_connection; /* streams; 1 without HTTP/2 */
    unsigned opening_max; /* streams whose head is waited for at a time */
    SSL_CTX *tls; /* owned; NULL: plain */
    struct streams streams;
    int epoll;
    unsigned connection_count, connected; /* connections; how many were begun */
    struct connection *connections;
};

/* All above `epoll` is set before. */
void reader_create(struct reader *reader);

/* Waits for bytes and takes them in. True if a descriptor that was added to `epoll` with data.ptr NULL is ready. */
bool reader_turn(struct reader *reader, int timeout_ms);

/* Opens the streams; returns when each has its head or is closed. Fails when nothing happens for long. */
void reader_open(struct reader *reader);

void reader_dispose(struct reader *reader);
