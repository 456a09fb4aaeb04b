/* Publishing to one shard: a command connection with the function library loaded. One loop's thread. */
#pragma once

#include "proto/bus/publish_send.h"
#include "proto/channel.h"

struct publish_shard;

struct publish_shard_options {
    const struct redis_options *redis; /* on_* and data are ignored; its topology is the shard's */
    unsigned replicas;
    /* The shard did nothing, since the channel is being moved, or elsewhere; `why` stands until the next turn. The callee's now. */
    void (*on_again)(void *data, struct publish_send *send, const char *why);
    /* It is connected and the library is loaded. */
    void (*on_loaded)(void *data, struct publish_shard *shard);
    void *data;
};

struct publish_shard *publish_shard_open(const struct publish_shard_options *options);
void publish_shard_close(struct publish_shard *shard); /* what is under way fails */

/* NULL while it is ready. */
const char *publish_shard_why(const struct publish_shard *shard);

/* Redis takes no writes, or lets this user publish nowhere, by its newest answers; NULL: it does. Publishes are sent all the same. */
const char *publish_shard_unwritable(const struct publish_shard *shard);

/* Only while it is ready: calls back and frees it once Redis has answered. */
void publish_shard_send(struct publish_shard *shard, struct publish_send *send);

/* Writes the birth of the shard's data where there is none yet: see marker.h. */
void publish_shard_note_birth(struct publish_shard *shard, const char *born_key);

/* For plain PUBLISH. Of Redis's answer only that the user may not is of interest. */
void publish_shard_tell(struct publish_shard *shard, const struct slice *argv, size_t argc);
