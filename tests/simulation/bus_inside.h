/* What bus.c and connection.c share. */
#pragma once

#include "tests/simulation/bus.h"
#include "tests/simulation/schedule.h"

/* Where a gateway believes a shard to be. */
struct view {
    struct shard shard;
    struct topology topology;
    struct server *server;
    uint16_t gateway;
    uint32_t number; /* of the shard */
};

struct views {
    struct shards shards;
    struct view all[SHARDS];
    struct thread *thread;
    bool open;
    struct due looks;
    uint64_t looks_us;
};

struct bus {
    struct bus_options options;
    struct {
        struct server *primary, *publish_to, *remembered;
        struct due follow;
    } shards[SHARDS];
    uint8_t home[CHANNELS]; /* which shard has it */
    struct redis *connections;
};
extern struct bus bus;

struct hearing {
    struct redis *redis;
    uint16_t slot, n;
    char name[48];
};

/* A published message on its way to subscribers. */
struct message;
struct message *message_make(struct slice channel, struct slice payload);

struct slice channel_of(uint32_t channel);
uint32_t bus_shard_of_slot(uint16_t slot);
void views_doubt(struct view *view);
void views_reset(void);

void connection_tell(struct redis *redis, struct message *message);
void connections_moved(const struct view *view);
void connections_forget(uint16_t gateway);
void connections_reset(void);
void hearings_taken(struct server *server, uint16_t slot);
