/* A way to publish: what a request looks like and how its answer is read. One connection sends its requests in the order they were
 * written, and answers come in that order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct courier;

enum { WAY_HEAD_MAX = 1792, WAY_BATCH_MAX = 64 }; /* bytes of a request, without its payloads; events of one */

struct way {
    const char *name;
    const char *path; /* the default pattern; NULL: takes none */
    unsigned couriers; /* most connections; a channel keeps to one */
    bool alone; /* a request is sent only when the one before is answered */

    /* Writes one request with these `size` bytes of data, at most WAY_HEAD_MAX more than them, and returns its size. */
    size_t (*request)(char *out, const char *path, unsigned channel, const char *payload, size_t size);

    /* In its place: `count` payloads of so many bytes, one behind the other. NULL: a request takes one event. */
    size_t (*request_many)(char *out, unsigned channel, const char *payloads, size_t size, unsigned count);

    /* Takes whole answers off the front of the courier's input, with courier_answered() for each. NULL: none come, a request is
     * done when the kernel has taken its bytes. */
    void (*answers)(struct courier *courier);
};

extern const struct way way_redis, way_redis_many, way_redis_plain, way_floor, way_nchan, way_pushpin, way_post;
