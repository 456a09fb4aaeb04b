/* ONE connection to Redis over an h2o socket, for the whole life of the process: it comes back by itself, with exponential back-off and
 * jitter (50 ms doubling to 5 s). Lives on one loop's thread. RESP2, parsed by hiredis's reader. */
#pragma once

#include <hiredis/hiredis.h>

#include "runtime/h2o.h"
#include "runtime/redis/topology.h"
#include "runtime/slice.h"

struct redis;

struct redis_options {
    h2o_loop_t *loop;
    h2o_multithread_receiver_t
        *getaddr; /* registered with h2o_hostinfo_getaddr_receiver on the same loop: names are looked up off it */
    const struct redis_url *url; /* borrowed for the connection's life */
    struct topology
        *topology; /* where Redis is, shared with others, which outlives the connection; NULL: the only node, or socket, of `url` */
    const char *name; /* "subscriber" or "commands": for logs and CLIENT SETNAME ("sse-gateway:subscriber"); [A-Za-z0-9:-] */
    uint64_t connect_timeout_ms; /* where it is, look-up, connect and handshake together */
    uint64_t
        reply_timeout_ms; /* when commands are unanswered and no answer came for so long, the connection counts as dead and is dropped: much that is under way takes its time, and
                                  is no fault while the answers go on. A PING is sent whenever nothing was received for half of it, so a silent peer is found as well */
    void (*on_ready)(void *data); /* connected, authenticated, database selected: commands may be sent */
    void (*on_lost)(void *data, const char *why); /* the connection that was ready is gone; all commands were already called back */
    void (*on_push)(void *data,
                    const redisReply *reply); /* pub/sub messages, and what redis_push_command() was answered: confirmations
                                                             or an error */
    bool proven_later; /* logged as ready at redis_proven() only, and lost before that as unreachable */
    void *data;
};

/* Starts connecting. Logs one line when it can't, and at most one a second while it keeps failing; the reason never holds a secret:
 * connection refused, "the password was refused", "database 3 does not exist", time-outs. */
struct redis *redis_open(const struct redis_options *options);

/* Closes and frees; callbacks of commands under way run with a NULL reply, on_lost does not. Not from within one of its own callbacks. */
void redis_close(struct redis *redis);

bool redis_ready(const struct redis *redis);

/* While it is ready: whether that is at another node than the time before. */
bool redis_moved(const struct redis *redis);

/* Why it is not ready, a static or owned sentence for /readyz, valid until the next turn of the loop; NULL when ready. */
const char *redis_why(const struct redis *redis);

/* reply is owned by the connection and dies after the callback; NULL when the connection was lost before the answer came, and then
 * `why` says how. An error reply of Redis is a reply (reply->type == REDIS_REPLY_ERROR). */
typedef void (*redis_reply_cb)(void *data, const redisReply *reply, const char *why);

/* Queues a command; all that is queued in one turn of the loop leaves in one write. argv is copied. cb may be NULL. False when not ready,
 * or when 64 MiB already wait to be sent: nothing was queued and cb will not run. */
bool redis_command(struct redis *redis, const struct slice *argv, size_t argc, redis_reply_cb cb, void *data)
    __attribute__((warn_unused_result));

/* As redis_command() for SUBSCRIBE, UNSUBSCRIBE and SSUBSCRIBE of named channels, whose confirmations come through on_push. After it, only these and the connection's
 * own PING may be sent on this connection (Redis's subscriber mode). */
bool redis_push_command(struct redis *redis, const struct slice *argv, size_t argc) __attribute__((warn_unused_result));

/* The same for SUNSUBSCRIBE, and a PING behind it. Of its confirmations it can't be told whether they answer it: they look like what Redis says unasked when a slot leaves it,
 * and the command is an error then, of which on_push hears nothing. */
bool redis_push_loose(struct redis *redis, const struct slice *argv, size_t argc) __attribute__((warn_unused_result));

/* It does what its owner opened it for, see proven_later. Each ready connection may be proven any number of times. */
void redis_proven(struct redis *redis);

/* See topology_doubt(); for callers that found out. An answer that begins with MOVED does it by itself. */
void redis_doubt(struct redis *redis);

/* Drops the connection as if the network had; it reconnects. For callers that found its answers wrong. `why` outlives the connection. It is not ready
 * from now on, what follows (callbacks, on_lost) comes after the caller has returned. May be called from callbacks. */
void redis_drop(struct redis *redis, const char *why);
