/* Publishing through the Redis function library `sse` (proto/bus/sse.lua, embedded in the binary). */
#pragma once

#include "proto/bus/publish_request.h"
#include "runtime/redis/redis.h"

struct publish; /* a command connection to each shard, with the function library loaded; lives on one loop's thread */

/* Opens the connections; options->on_*, ->data and ->topology are ignored. On every connect the library is loaded (FUNCTION LOAD REPLACE) before it
 * counts as ready. A Redis below 7 is one clear sentence in the log and in publish_why(), and is tried again later. `replicas`: how many must have an event
 * before it counts as published. */
struct publish *publish_open(const struct redis_options *options, unsigned replicas);
void publish_close(struct publish *publish);

/* Whether all shards take publishes, as far as the last answer told; a shard that nothing was published to is asked every second. Else the first one's sentence, valid until the
 * next turn. */
bool publish_ready(struct publish *publish);
const char *publish_why(struct publish *publish);

/* Whether this channel's shard is. */
bool publish_serves(struct publish *publish, struct slice channel);

/* Plain PUBLISH, or SPUBLISH, on this channel (its name is trusted): no history, no answer, lost while the bus is away. */
void publish_tell(struct publish *publish, struct slice channel, struct slice text);

/* Sends it; cb always runs exactly once, perhaps before this returns (bus down). "Function not found" (someone flushed the functions), or an option unknown to
* it (an older publisher loaded its own), loads the library again and sends once more; while the channel is on its way to another shard it is sent again and
 * again, for two seconds at most. */
void publish_send(struct publish *publish, const struct publish_request *request, publish_cb cb, void *data);

/* The same for 1 to PUBLISH_EVENTS_MAX events of one channel, all or nothing. */
void publish_send_many(struct publish *publish, const struct publish_request *request, const struct publish_event *const *events,
                       size_t count, publish_cb cb, void *data);
