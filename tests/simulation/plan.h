/* What a world is to go through: drawn from its seed before it begins, so that steps can be left out. */
#pragma once

#include "tests/simulation/bus.h"
#include "tests/simulation/client.h"
#include "tests/simulation/world.h"

#define STEPS(X)                                                                                                             \
    X(PUBLISH)                                                                                                               \
    X(BURST)                                                                                                                 \
    X(LEAVE)                                                                                                                 \
    X(VANISH)                                                                                                                \
    X(STAY_AWAY)                                                                                                             \
    X(COME_BACK)                                                                                                             \
    X(GO_BACK_IN_TIME)                                                                                                       \
    X(FOREIGN_ID)                                                                                                            \
    X(SLOW_DOWN)                                                                                                             \
    X(SPEED_UP)                                                                                                              \
    X(CUT) X(STALL) X(TRIM) X(EXPIRE) X(DELETE) X(FLUSH) X(EVICT) X(FORGET_BIRTH) X(WRONG_TYPE) X(UNREADABLE) X(READABLE)    \
        X(NO_MEMORY) X(MEMORY) X(DOWN) X(UP) X(REMEMBER) X(RESTART) X(FAIL_OVER) X(CLOCK) X(MOVE) X(KILL) X(START) X(FREEZE) \
            X(DRAIN) X(STRANGER) X(BATCH)
#define STEP_NAME(name) STEP_##name,
enum step_kind {
    STEPS(STEP_NAME) STEP_KINDS,
    STEPS_DRAWN = STEP_STRANGER, /* those from here on are put in between, so that seeds mean what they meant */
};

struct step {
    uint64_t at_us; /* after the start */
    enum step_kind kind;
    uint64_t a, b, c; /* chance, for what it needs */
};

struct plan {
    struct bus_options bus;
    struct node_options node;
    uint32_t channels, gateways, clients;
    bool born_now; /* the data were made a moment ago */
    uint64_t faults; /* a bit for each kind of step that may occur */
    struct {
        uint32_t end_in, lease_in; /* one event of so many is a channel's last, or promises another one; 0: none */
        bool renews; /* who is refused since a channel has ended deletes its history, now and then */
        uint64_t seed;
    } ends;
    bool earliest; /* some clients ask for all that there is */
    bool polls; /* some ask for their events as JSON */
    uint32_t count;
    struct step steps[STEPS_MAX];
    uint64_t end_us;
};

/* `calm`: without faults. */
void plan_draw(struct plan *plan, uint64_t seed, bool calm);
const char *step_word(enum step_kind kind);

/* Does it. */
void step_take(const struct step *step);

/* ---- of the world, for its parts ---- */

struct node *world_gateway(void); /* one that runs; NULL: none */
struct world_state {
    struct plan plan;
    struct node *gateways[2]; /* NULL: it does not run */
    uint32_t started; /* so many gateways were */
    struct chance chance; /* of clients' first wishes */
};
extern struct world_state world;
void world_refused(const struct client *client, const char *status);
void world_publish(uint32_t channel, uint64_t chance_a, uint64_t chance_b);
void world_right_type(uint32_t channel);
void world_born_key(uint32_t shard, char out[CHANNEL_KEY_MAX]);
