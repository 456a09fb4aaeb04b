#include "tests/simulation/plan.h"

#include <string.h>

#define STEP_TEXT(name) [STEP_##name] = #name,
static const char *const words[] = {STEPS(STEP_TEXT)};

const char *step_word(enum step_kind kind)
{
    return words[kind];
}

/* Kinds that only go together, or come alone. */
static const uint64_t packs[] = {
    1 << STEP_LEAVE | 1 << STEP_VANISH,
    1 << STEP_LEAVE | 1 << STEP_STAY_AWAY | 1 << STEP_COME_BACK,
    1 << STEP_GO_BACK_IN_TIME,
    1 << STEP_FOREIGN_ID,
    1 << STEP_SLOW_DOWN | 1 << STEP_SPEED_UP,
    1 << STEP_CUT,
    1 << STEP_CUT | 1 << STEP_STALL,
    1 << STEP_TRIM,
    1 << STEP_EXPIRE,
    1 << STEP_DELETE,
    1 << STEP_FLUSH,
    1 << STEP_EVICT,
    1 << STEP_FORGET_BIRTH,
    1 << STEP_WRONG_TYPE,
    1 << STEP_UNREADABLE | 1 << STEP_READABLE,
    1 << STEP_NO_MEMORY | 1 << STEP_MEMORY,
    1 << STEP_DOWN | 1 << STEP_UP,
    1 << STEP_REMEMBER | 1 << STEP_RESTART,
    UINT64_C(1) << STEP_REMEMBER | UINT64_C(1) << STEP_FAIL_OVER,
    UINT64_C(1) << STEP_CLOCK,
    UINT64_C(1) << STEP_MOVE,
    UINT64_C(1) << STEP_KILL | UINT64_C(1) << STEP_START,
    UINT64_C(1) << STEP_FREEZE,
    UINT64_C(1) << STEP_DRAIN | UINT64_C(1) << STEP_START,
};
enum { PACKS = sizeof(packs) / sizeof(packs[0]) };

static void draw_bus(struct plan *plan, struct chance *chance)
{
    static const uint64_t delays[] = {100, 500, 2000, 20000};
    plan->bus = (struct bus_options){.shards = 1, .delay_us = delays[chance_below(chance, 4)], .seed = chance_next(chance)};
    plan->bus.cluster = chance_one_in(chance, 4);
    if (plan->bus.cluster && !chance_one_in(chance, 3))
        plan->bus.shards = 2;
    plan->bus.now_us = UINT64_C(1700000000000000) + chance_below(chance, 1000000000);
    plan->born_now = chance_one_in(chance, 8);
}

static void draw_node(struct plan *plan, struct chance *chance)
{
    static const uint64_t paces[] = {0, 50, 1000, 5000}, clients_us[] = {50, 1000, 30000};
    struct node_options *node = &plan->node;
    *node = (struct node_options){.workers = (uint32_t)chance_between(chance, 1, WORKERS), .queue_bytes = 1 << 20};
    node->alone = node->workers == 1 && chance_one_in(chance, 2);
    node->pace_us = paces[chance_below(chance, 4)];
    node->slow_us = chance_one_in(chance, 4) ? 300 : 0;
    node->client_us = clients_us[chance_below(chance, 3)];
    node->reply_timeout_ms = 2000;
    node->ring_frames = (uint32_t)(chance_one_in(chance, 2) ? 1000 : chance_between(chance, 1, 12));
    node->ring_bytes = chance_one_in(chance, 2) ? 1 << 20 : chance_between(chance, 300, 3000);
    node->ring_memory = chance_one_in(chance, 2) ? 1 << 22 : chance_between(chance, 500, 20000);
    if (chance_one_in(chance, 3))
        node->queue_bytes = chance_between(chance, 200, 2000);
    node->write_timeout_ms = chance_one_in(chance, 3) ? 1000 : 30000;
    node->max_stream_ms = chance_one_in(chance, 6) ? 3000 : 0;
    node->keepalive_ms = chance_one_in(chance, 4) ? 1000 : 15000;
    node->coalesce_ms = chance_one_in(chance, 5) ? (uint32_t)chance_between(chance, 1, 30) : 0;
}

static void draw_faults(struct plan *plan, struct chance *chance)
{
    uint64_t count = chance_below(chance, 6);
    plan->faults = 1 << STEP_PUBLISH | 1 << STEP_BURST;
    if (!chance_one_in(chance, 6))
        plan->faults |= packs[0];
    for (; count != 0; --count)
        plan->faults |= packs[chance_below(chance, PACKS)];
}

/* Half of them publish. */
static enum step_kind draw_kind(const struct plan *plan, struct chance *chance)
{
    if (chance_one_in(chance, 2))
        return chance_one_in(chance, 16) ? STEP_BURST : STEP_PUBLISH;
    for (;;) {
        enum step_kind kind = (enum step_kind)chance_below(chance, STEPS_DRAWN);
        if ((plan->faults >> kind & 1) != 0)
            return kind;
    }
}

/* What came later has a chance of its own, so that worlds without it stay what they were. */
static void draw_ends(struct plan *plan, uint64_t seed)
{
    static const uint32_t ins[] = {4, 12, 40};
    struct chance chance = {seed ^ 0xe4d5};
    plan->ends.seed = chance_next(&chance);
    if (!chance_one_in(&chance, 3))
        return;
    plan->ends.end_in = chance_one_in(&chance, 6) ? 0 : ins[chance_below(&chance, 3)];
    plan->ends.lease_in = plan->ends.end_in != 0 && chance_one_in(&chance, 2) ? 0 : ins[chance_below(&chance, 3)];
    plan->ends.renews = chance_one_in(&chance, 3);
}

/* Puts a step among the others, by its time. */
static void insert(struct plan *plan, struct step step)
{
    uint32_t at = plan->count++;
    for (; at != 0 && plan->steps[at - 1].at_us > step.at_us; --at)
        plan->steps[at] = plan->steps[at - 1];
    plan->steps[at] = step;
}

/* In every third world somebody adds entries by hand. */
static void add_strangers(struct plan *plan, uint64_t seed)
{
    struct chance chance = {seed ^ 0x57a19e5};
    if (!chance_one_in(&chance, 3))
        return;
    plan->faults |= UINT64_C(1) << STEP_STRANGER;
    for (uint64_t some = chance_between(&chance, 1, 30); some != 0; --some) {
        uint64_t at_us = chance_below(&chance, plan->end_us + 1);
        uint64_t a = chance_next(&chance), b = chance_next(&chance), c = chance_next(&chance);
        insert(plan, (struct step){at_us, STEP_STRANGER, a, b, c});
    }
}

/* In every third world authors publish batches, too; in none of those whose seeds were in regression.txt before: that is what the constant was chosen for. */
static void add_batches(struct plan *plan, uint64_t seed)
{
    struct chance chance = {seed ^ 0x68e05fe00000};
    if (!chance_one_in(&chance, 3))
        return;
    for (uint64_t some = chance_between(&chance, 1, 30); some != 0; --some) {
        uint64_t at_us = chance_below(&chance, plan->end_us + 1);
        uint64_t a = chance_next(&chance), b = chance_next(&chance);
        insert(plan, (struct step){at_us, STEP_BATCH, a, b, 0});
    }
}

void plan_draw(struct plan *plan, uint64_t seed, bool calm)
{
    struct chance chance = {seed};
    chance_next(&chance);
    memset(plan, 0, sizeof(*plan));
    draw_bus(plan, &chance);
    draw_node(plan, &chance);
    plan->channels = (uint32_t)chance_between(&chance, 1, CHANNELS);
    plan->gateways = chance_one_in(&chance, 2) ? 1 : 2;
    plan->clients = (uint32_t)chance_between(&chance, 1, 6);
    draw_faults(plan, &chance);
    draw_ends(plan, seed);
    struct chance chance_of_clients = {seed ^ 0xc11e};
    plan->earliest = chance_one_in(&chance_of_clients, 3);
    plan->polls = chance_one_in(&chance_of_clients, 3);
    if (calm) { /* as much of everything as there may be, and no fault */
        plan->channels = CHANNELS;
        plan->faults = 1 << STEP_PUBLISH | 1 << STEP_BURST | packs[0];
    }
    plan->count = (uint32_t)chance_between(&chance, 60, 110);
    uint64_t at = 0, pause = chance_one_in(&chance, 2) ? 30000 : 100000;
    for (uint32_t i = 0; i < plan->count; ++i) {
        struct step *step = &plan->steps[i];
        at += chance_one_in(&chance, 3) ? chance_below(&chance, 500) : chance_below(&chance, pause);
        if (chance_one_in(&chance, 60))
            at += chance_below(&chance, 3000000);
        *step = (struct step){at, draw_kind(plan, &chance), chance_next(&chance), chance_next(&chance), chance_next(&chance)};
    }
    plan->end_us = at;
    if (!calm)
        add_strangers(plan, seed);
    add_batches(plan, seed);
}
