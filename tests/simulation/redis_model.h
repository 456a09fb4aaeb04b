/* A model of one Redis server's data, for the simulation: no sockets, no threads, no clock but the one it is told. The same calls give the same answers, byte for
 * byte those of Redis 7.0 with proto/bus/sse.lua loaded; model_check.c holds it to a real one. `FCALL` of its functions is redis_model_publish.c.
 *
 * Commands: TIME PING FLUSHALL WAIT PUBLISH SPUBLISH ROLE, GET SET INCR LPUSH, DEL UNLINK EXISTS TYPE EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST TTL PTTL,
 * XADD XTRIM XRANGE XREVRANGE XLEN XDEL XSETID XINFO STREAM, FCALL, FUNCTION LOAD|FLUSH. Any other is "ERR unknown command": SUBSCRIBE and what else
 * belongs to a connection is the simulation's. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdint.h>

#include "runtime/slice.h"

struct redis_model;

/* An empty server with the library loaded. now_us: since 1970. The seed decides only what redis_model_evict_some() takes. Free it with redis_model_free(). */
struct redis_model *redis_model_create(uint64_t now_us, uint64_t seed);
void redis_model_free(struct redis_model *model);

/* An independent server with the same data, clock and faults, and no callback: a replica, or a state to restart from later. Its library remembers nothing. Costs no copy of any event. */
struct redis_model *redis_model_copy(const struct redis_model *model);

/* What TIME answers, and what expiry and `XADD *` go by. May go back. */
void redis_model_clock(struct redis_model *model, uint64_t now_us);

/* Runs one command; argv's bytes are copied where they are kept. The answer is the caller's, lives as long as they like (also after redis_model_free()) and goes with
 * redis_model_reply_free(), never with hiredis's own. An error is a REDIS_REPLY_ERROR. Messages are called out before it returns. A word of `argv` has a pointer also where it is empty. */
redisReply *redis_model_command(struct redis_model *model, const struct slice *argv, size_t argc)
    __attribute__((warn_unused_result));
void redis_model_reply_free(redisReply *reply);

/* `channel` and `payload` die after the call. Returns how many received it: what PUBLISH answers. Must not call into the model. */
typedef size_t (*redis_model_publish_cb)(void *data, bool sharded, struct slice channel, struct slice payload);
void redis_model_on_publish(struct redis_model *model, redis_model_publish_cb cb, void *data);

/* ---- faults: each stands until it is taken back ---- */

/* Removes a key as eviction does, without a word. False: it was not there. */
bool redis_model_evict(struct redis_model *model, struct slice key);

/* The same for up to `count` keys, drawn from the seed. Returns how many. */
size_t redis_model_evict_some(struct redis_model *model, size_t count);

/* Removes all keys whose time is over, as Redis does in the background; otherwise they go when a command names them. So a clock that went forth and back makes a difference. */
void redis_model_expire(struct redis_model *model);

/* Commands that read or write this key are NOPERM: the ACL of a gateway's user. FCALL isn't concerned: publishers have a user of their own. */
void redis_model_unreadable(struct redis_model *model, struct slice key, bool unreadable);

/* Commands that may take memory are OOM, FCALL too. */
void redis_model_out_of_memory(struct redis_model *model, bool out_of_memory);

/* Writes are READONLY, FCALL too: a replica. */
void redis_model_readonly(struct redis_model *model, bool readonly);

/* How many replicas WAIT counts. At first none. */
void redis_model_replicas(struct redis_model *model, unsigned replicas);

/* ---- a node of a cluster ---- */

enum redis_model_slot {
    REDIS_MODEL_SLOT_HERE,
    REDIS_MODEL_SLOT_ELSEWHERE, /* MOVED */
    REDIS_MODEL_SLOT_MIGRATING, /* served while its key is here, else ASK */
    REDIS_MODEL_SLOT_IMPORTING, /* MOVED, too: none of our programs sends ASKING */
};

/* From now on it is a node of a cluster that has all slots: sse_publish uses SPUBLISH, and commands look at the slot of their first key. */
void redis_model_cluster(struct redis_model *model);

/* `other` is the node at the slot's other end, "127.0.0.1:7001"; at most 63 bytes, copied. */
void redis_model_slot(struct redis_model *model, uint16_t slot, enum redis_model_slot state, const char *other);

/* Moves all keys of a slot, as MIGRATE does; what `to` has under their names goes. Returns how many. */
size_t redis_model_migrate(struct redis_model *from, struct redis_model *to, uint16_t slot);

/* The same for one key; false: it is not there. */
bool redis_model_migrate_key(struct redis_model *from, struct redis_model *to, struct slice key);
