/* The floor: the least a server can do for an event that goes to many streams. One thread; the bus is a TCP connection whose
 * messages are ready HTTP chunks, sent as they are with one send(2) a stream. What a socket does not take is kept, without a bound,
 * until it does: nothing is lost. The variants differ in how a message leaves: send(2), io_uring in batches, SSL_write. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct io_uring;

/* A message on the bus: this head, then `size` bytes. Host byte order: both ends are on one machine. */
struct floor_message {
    uint32_t channel, size;
};

/* In place of a channel: no request answered yet; descriptor not in use. */
#define FLOOR_NEW UINT32_MAX
#define FLOOR_CLOSED (UINT32_MAX - 1)

enum { FLOOR_MESSAGE_MAX = 1 << 16 };

struct floor_backlog {
    size_t start, end, capacity;
    char bytes[];
};

/* Found by its descriptor. Before its head is answered the backlog holds the part of the request that came. */
struct floor_stream {
    uint32_t channel, index; /* its place in the channel's array; channel may be FLOOR_NEW or FLOOR_CLOSED */
    struct floor_backlog *backlog;
    SSL *ssl;
};

struct floor_channel {
    int *fds; /* the bitwise complement of one that has a backlog */
    uint32_t count, capacity;
};

struct floor {
    int epoll, listener, bus_listener, bus;
    struct floor_stream *streams;
    int stream_capacity;
    struct floor_channel *channels;
    uint32_t channel_capacity;
    void (*deliver)(struct floor *, struct floor_channel *, const char *p, size_t n);
    SSL_CTX *tls; /* NULL: plain */
    struct io_uring *ring; /* NULL: send(2) */
    size_t bus_have;
    char bus_bytes[1 << 20];
};

/* floor_stream.c: one stream */
void floor_watch(struct floor *floor, int fd, int operation, uint32_t events);
void floor_open(struct floor *floor, int fd);
void floor_close(struct floor *floor, int fd);
void floor_readable(struct floor *floor, int fd);
void floor_writable(struct floor *floor, int fd);

/* Keeps bytes the socket did not take and waits until it does. */
void floor_keep(struct floor *floor, int fd, const char *p, size_t n);

/* As deliver does for one stream: `taken` of the message's `n` bytes are gone, -1: the stream is broken. False if it was closed. */
bool floor_taken(struct floor *floor, int fd, ssize_t taken, const char *p, size_t n);

/* floor_tls.c: reading and writing over TLS, for floor_stream.c. Bytes moved, 0: would block, -1: broken or closed. */
SSL_CTX *floor_tls_context(const char *cert, const char *key);
void floor_tls_open(struct floor *floor, int fd);
ssize_t floor_tls_read(struct floor_stream *stream, char *p, size_t n);
ssize_t floor_tls_write(struct floor_stream *stream, const char *p, size_t n);
void floor_tls_deliver(struct floor *floor, struct floor_channel *channel, const char *p, size_t n);

/* floor_uring.c */
struct io_uring *floor_uring_open(void);
void floor_uring_deliver(struct floor *floor, struct floor_channel *channel, const char *p, size_t n);
