/* Redis as gateways and publishers meet it: servers, each with a model of its data (redis_model.h), the connections to them, and what gateways believe about where they are.
 * runtime/redis/redis.h and shards_open.h are kept here in place of the real ones: commands and answers travel in order, with drawn delays, and connections break. */
#pragma once

#include "runtime/redis/redis_url.h"
#include "runtime/redis/shards.h"
#include "tests/simulation/facts.h"
#include "tests/simulation/redis_model.h"

enum { SHARDS = 2, VIEWS = 16, CONNECTS = 16 };

struct hearing; /* a subscription of a connection */

struct server {
    struct redis_model *model;
    uint16_t shard;
    uint32_t place; /* its address */
    bool up; /* false: it refuses connections */
    int64_t clock_us; /* its clock less the world's */
    struct line lines[CHANNELS]; /* what its data went through */
    char published[64]; /* how the last message begins that it published */
    struct hearing *hearings;
    uint32_t hearing_count, hearing_room;
};

/* What the world is like, drawn with it. */
struct bus_options {
    uint32_t shards;
    bool cluster;
    uint64_t delay_us; /* of a message on a connection, at most; now and then more */
    uint64_t now_us; /* since 1970 */
    uint64_t seed;
};

void bus_open(const struct bus_options *options);
const struct redis_url *bus_url(void);

/* The server that publishers reach, and its model with the clock set. */
struct server *bus_primary(uint32_t shard);
struct redis_model *bus_model(struct server *server);
uint32_t bus_shard_of(uint32_t channel);

/* One command of the world's own, at the primary of a channel: argv[1] is the key. The answer is to be freed by redis_model_reply_free(). */
redisReply *bus_command(struct server *server, const char *const *words, uint32_t count);

/* ---- faults ---- */

/* Breaks the connections of a gateway (0: of all) to a shard (SHARDS: of all); which: 1 those of commands, 2 of subscribers, 3 both. Of what is on its way to the gateway a part comes
 * first; it notices after `notice_us`, at most. */
void bus_cut(uint16_t gateway, uint32_t shard, unsigned which, uint64_t notice_us);

/* Nothing comes through for so long. */
void bus_stall(uint16_t gateway, uint32_t shard, unsigned which, uint64_t us);

/* Connections are refused. */
void bus_up(uint32_t shard, bool up);

/* Remembers the data as they are: what a failover or a restart loses is what comes after. */
void bus_remember(uint32_t shard);
bool bus_remembers(uint32_t shard);

/* The remembered data take over (or today's, where none are remembered). `restart`: in the same place, so that all connections break; else on another server, and gateways and
 * publishers get there in their own time, `late_us` at most. */
void bus_take_over(uint32_t shard, bool restart, uint64_t late_us);

/* The clock of a shard is set. */
void bus_set_clock(uint32_t shard, int64_t by_us);

/* Moves a channel's slot to the other shard; gateways learn of it within `late_us`, or when they are told MOVED. */
void bus_move(uint32_t channel, uint64_t late_us);

/* A gateway is gone. */
void bus_forget(uint16_t gateway);

/* When the commands of a gateway were connected to another server of a shard, by its clock: the last time, and the times before; 0: never. */
uint64_t bus_connected_ms(uint16_t gateway, uint32_t shard, uint32_t nth);

/* All connections of this gateway are ready, and nothing is on its way there or back. */
bool bus_quiet(uint16_t gateway);
