/* Each kind of step, done. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/digits.h"
#include "tests/simulation/bus_inside.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/world_memory.h"

static uint32_t channel_at(const struct step *step)
{
    return (uint32_t)(step->a % world.plan.channels);
}

static struct client *client_at(const struct step *step)
{
    return &clients[step->a % client_count];
}

static uint32_t shard_at(const struct step *step)
{
    return (uint32_t)(step->b % world.plan.bus.shards);
}

/* ---- publishing ---- */

/* An author's own id, or none. */
static void draw_id(char out[OWN_ID_MAX], uint32_t channel, uint32_t number, uint64_t chance)
{
    out[0] = 0;
    if (chance % 6 == 0)
        snprintf(out, OWN_ID_MAX, "own-%u-%u", channel, number);
    else if (chance % 16 == 1)
        snprintf(out, OWN_ID_MAX, "both-%u", (unsigned)(chance / 16 % 8)); /* also of other channels */
    else if (chance % 32 == 2)
        event_id_format(out, SLICE("elsewhere"), (struct position){1600000000000 + number, 0}); /* mirrored */
}

/* Whether it is the channel's last event, or promises another one. */
struct wish {
    bool ends, only_end;
    uint32_t lease_s;
};

static struct wish draw_wish(uint32_t number, uint64_t chance_a)
{
    struct wish wish = {false, false, 0};
    struct chance chance = {world.plan.ends.seed ^ chance_a ^ (uint64_t)number << 32};
    if (world.plan.ends.end_in != 0 && chance_one_in(&chance, world.plan.ends.end_in)) {
        wish.ends = true;
        wish.only_end = chance_one_in(&chance, 3);
    } else if (world.plan.ends.lease_in != 0 && chance_one_in(&chance, world.plan.ends.lease_in)) {
        wish.lease_s = (uint32_t)chance_between(&chance, 1, 3);
    }
    return wish;
}

static void delete_history(uint32_t channel);

enum { DATA_MAX = 128 };

/* The event's data: its channel and number, and some more bytes. */
static size_t write_data(char out[DATA_MAX], uint32_t channel, uint32_t number, uint64_t chance)
{
    static const char padding[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    size_t n = digits_put(out, channel), padded = chance % 4 == 0 ? chance / 4 % 60 : 1;
    out[n++] = '.';
    n += digits_put(out + n, number);
    out[n++] = ' ';
    memcpy(out + n, padding, padded);
    return n + padded;
}

static struct slice max_bytes(void)
{
    return world.plan.node.ring_frames < 6 ? SLICE("1500") : SLICE("33554432");
}

static bool is_ended(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "ENDED", 5) == 0;
}

/* An author who is refused since the channel has ended; now and then it is begun anew. */
static void take_ended(struct server *server, uint32_t channel, uint64_t chance)
{
    oracle_refused_ended(server, channel);
    if (world.plan.ends.renews && chance % 4 == 3 && server == bus.shards[bus_shard_of(channel)].primary)
        delete_history(channel);
}

void world_publish(uint32_t channel, uint64_t chance_a, uint64_t chance_b)
{
    char key[CHANNEL_KEY_MAX], data[DATA_MAX], id[OWN_ID_MAX];
    uint32_t number = oracle_next(channel);
    struct server *server = bus_primary(bus_shard_of(channel));
    size_t n = write_data(data, channel, number, chance_b);
    channel_pubsub(key, channel_of(channel));
    draw_id(id, channel, number, chance_a);
    struct slice maxbytes = max_bytes();
    struct wish wish = draw_wish(number, chance_a);
    char lease[2] = {(char)('0' + wish.lease_s), 0};
    struct slice argv[11] = {SLICE("FCALL"),
                             SLICE("sse_publish"),
                             SLICE("1"),
                             slice_of(key),
                             wish.only_end ? SLICE("") : slice_make(data, n),
                             SLICE("maxbytes"),
                             maxbytes};
    uint32_t argc = 7;
    if (id[0] != 0 && !wish.only_end)
        argv[argc++] = SLICE("id"), argv[argc++] = slice_of(id);
    if (wish.ends)
        argv[argc++] = SLICE("end"), argv[argc++] = SLICE("1");
    else if (wish.lease_s != 0)
        argv[argc++] = SLICE("lease"), argv[argc++] = slice_of(lease);
    redisReply *reply = redis_model_command(bus_model(server), argv, argc);
    ++world_steps;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && strcmp(reply->element[2]->str, "published") == 0) {
        trace("published %u.%u at %s id %s%s%s%s", channel, number, reply->element[1]->str, reply->element[0]->str,
              server != bus.shards[bus_shard_of(channel)].primary ? ", at the old primary" : "",
              wish.only_end ? ": the end"
              : wish.ends   ? ", and the end"
                            : "",
              wish.lease_s != 0 ? ", with a lease" : "");
        if (!wish.only_end)
            oracle_published(server, channel, number, slice_make(reply->element[0]->str, reply->element[0]->len),
                             slice_make(reply->element[1]->str, reply->element[1]->len), (uint32_t)n)
                ->lease_s = wish.lease_s;
        if (wish.ends)
            oracle_ended(server, channel);
    } else if (is_ended(reply)) {
        trace("not published %u.%u: %s", channel, number, reply->str);
        take_ended(server, channel, chance_b);
    } else {
        trace("not published %u.%u: %s", channel, number, reply->type == REDIS_REPLY_ERROR ? reply->str : reply->element[2]->str);
    }
    redis_model_reply_free(reply);
}

/* ---- batches ---- */

enum { BATCH_EVENTS_MOST = 24, BATCH_WORDS = 8 + 8 * BATCH_EVENTS_MOST };

struct batch {
    uint32_t channel, first, count; /* first: the number of its first event */
    struct wish wishes[BATCH_EVENTS_MOST];
    bool keyed, has_ids;
    char name[CHANNEL_KEY_MAX], key[32];
    char data[BATCH_EVENTS_MOST][DATA_MAX], ids[BATCH_EVENTS_MOST][OWN_ID_MAX], leases[BATCH_EVENTS_MOST][2];
    size_t sizes[BATCH_EVENTS_MOST];
    struct slice argv[BATCH_WORDS];
    uint32_t argc;
};

static void add_pair(struct batch *batch, struct slice name, struct slice value)
{
    batch->argv[batch->argc++] = name;
    batch->argv[batch->argc++] = value;
}

/* Event `i`; only the last one may end the channel. Ids that were used refuse the batch, so there are few of those. */
static void add_event(struct batch *batch, uint32_t i, struct chance *chance)
{
    uint32_t number = batch->first + i;
    uint64_t chance_a = chance_next(chance),
             chance_id = chance_one_in(chance, 3) ? chance_next(chance) : chance_below(chance, 60) * 6;
    struct wish *wish = &batch->wishes[i];
    *wish = draw_wish(number, chance_a);
    if (wish->ends && i + 1 != batch->count)
        *wish = (struct wish){false, false, 0};
    batch->sizes[i] = wish->only_end ? 0 : write_data(batch->data[i], batch->channel, number, chance_next(chance));
    batch->ids[i][0] = 0;
    if (!wish->only_end && chance_one_in(chance, 3))
        draw_id(batch->ids[i], batch->channel, number, chance_id);
    add_pair(batch, SLICE("data"), slice_make(batch->data[i], batch->sizes[i]));
    if (batch->ids[i][0] != 0)
        add_pair(batch, SLICE("id"), slice_of(batch->ids[i]));
    batch->has_ids = batch->has_ids || batch->ids[i][0] != 0;
    batch->leases[i][0] = (char)('0' + wish->lease_s);
    batch->leases[i][1] = 0;
    if (wish->ends)
        add_pair(batch, SLICE("end"), SLICE("1"));
    else if (wish->lease_s != 0)
        add_pair(batch, SLICE("lease"), slice_of(batch->leases[i]));
}

static void make_batch(struct batch *batch, uint32_t channel, struct chance *chance)
{
    *batch = (struct batch){.channel = channel, .first = oracle_next(channel), .keyed = chance_one_in(chance, 2)};
    batch->count = 1 + (uint32_t)chance_below(chance, chance_one_in(chance, 6) ? BATCH_EVENTS_MOST : 5);
    channel_pubsub(batch->name, channel_of(channel));
    add_pair(batch, SLICE("FCALL"), SLICE("sse_publish_many"));
    add_pair(batch, SLICE("1"), slice_of(batch->name));
    add_pair(batch, SLICE("maxbytes"), max_bytes());
    snprintf(batch->key, sizeof(batch->key), "key-%u-%u", channel, batch->first);
    if (batch->keyed)
        add_pair(batch, SLICE("key"), slice_of(batch->key));
    for (uint32_t i = 0; i < batch->count; ++i)
        add_event(batch, i, chance);
}

/* Its events stand one place behind the other. */
static void take_published(const struct batch *batch, struct server *server, const redisReply *reply)
{
    struct position at;
    const struct wish *last = &batch->wishes[batch->count - 1];
    if (reply->elements != batch->count + 2 || !position_parse(&at, slice_of(reply->element[1]->str)) || at.seq + 1 < batch->count)
        violation("channel %u: the answer to a batch is none", batch->channel);
    trace("published %u.%u to %u.%u up to %s%s%s", batch->channel, batch->first, batch->channel, batch->first + batch->count - 1,
          reply->element[1]->str, server != bus.shards[bus_shard_of(batch->channel)].primary ? ", at the old primary" : "",
          last->only_end ? ", the last is the end"
          : last->ends   ? ", and the end"
                         : "");
    at.seq -= batch->count - 1;
    for (uint32_t i = 0; i < batch->count; ++i, ++at.seq) {
        char text[POSITION_TEXT_MAX];
        const redisReply *id = reply->element[i + 2];
        struct slice position = slice_make(text, position_format(text, at));
        if (batch->wishes[i].only_end)
            oracle_ended_at(server, batch->channel, at);
        else
            oracle_published(server, batch->channel, batch->first + i, slice_make(id->str, id->len), position,
                             (uint32_t)batch->sizes[i])
                ->lease_s = batch->wishes[i].lease_s;
    }
    if (last->ends && !last->only_end)
        oracle_ended_at(server, batch->channel, at);
}

/* The call once more: with a key it has its first answer; without, an id of its own refuses it. Nothing is published. */
static void repeat_batch(const struct batch *batch, struct server *server, const redisReply *first)
{
    redisReply *again = redis_model_command(bus_model(server), batch->argv, batch->argc);
    bool same =
        again->type == REDIS_REPLY_ARRAY && again->elements == first->elements && strcmp(again->element[0]->str, "duplicate") == 0;
    for (size_t i = 1; same && i < first->elements; ++i)
        same = strcmp(again->element[i]->str, first->element[i]->str) == 0;
    if (batch->keyed ? !same : again->type != REDIS_REPLY_ERROR || strncmp(again->str, "CONFLICT", 8) != 0)
        violation("channel %u: the batch from event %u on was taken again", batch->channel, batch->first);
    redis_model_reply_free(again);
}

static void publish_batch(const struct step *step)
{
    static struct batch batch;
    struct chance chance = {step->b};
    make_batch(&batch, channel_at(step), &chance);
    struct server *server = bus_primary(bus_shard_of(batch.channel));
    redisReply *reply = redis_model_command(bus_model(server), batch.argv, batch.argc);
    bool repeats = chance_one_in(&chance, 2);
    ++world_steps;
    if (reply->type == REDIS_REPLY_ARRAY && strcmp(reply->element[0]->str, "published") == 0) {
        take_published(&batch, server, reply);
        if (repeats && (batch.keyed || batch.has_ids))
            repeat_batch(&batch, server, reply);
    } else {
        trace("not published %u.%u to %u.%u: %s", batch.channel, batch.first, batch.channel, batch.first + batch.count - 1,
              reply->type == REDIS_REPLY_ERROR ? reply->str : reply->element[0]->str);
        if (is_ended(reply))
            take_ended(server, batch.channel, chance_next(&chance));
    }
    redis_model_reply_free(reply);
}

static void burst(const struct step *step)
{
    struct chance chance = {step->b};
    for (uint64_t some = 2 + step->c % 18; some != 0; --some) {
        uint64_t a = chance_next(&chance), b = chance_next(&chance);
        world_publish(step->c % 3 == 0 ? (uint32_t)(a % world.plan.channels) : channel_at(step), a, b);
    }
}

/* ---- clients ---- */

static uint64_t back_us(const struct step *step)
{
    return step->b % 4 == 0 ? step->c % 3000000 : step->c % 50000;
}

static void go_back_in_time(struct client *client)
{
    if (client->older_id[0] != 0 && oracle_goes_back(client, client->older_id)) {
        memcpy(client->id, client->older_id, sizeof(client->id));
        client->tag[0] = 0;
        trace("client %u goes back to %s", client->number, client->id);
        client_leave(client, false, 1000);
    }
}

static void take_foreign_id(struct client *client, const struct step *step)
{
    client_leave(client, false, back_us(step));
    client->tag[0] = 0;
    if (step->c % 2 == 0)
        snprintf(client->id, sizeof(client->id), "nobody's %u", (unsigned)(step->b % 100));
    else
        event_id_format(client->id, client->names[0], (struct position){schedule_now_us() / 1000 + 7200000 + step->b % 100, 0});
    trace("client %u takes the id %s", client->number, client->id);
    oracle_foreign(client);
}

static void set_pace(struct client *client, bool slow, const struct step *step)
{
    client->read_most = slow ? (uint32_t)(20 + step->b % 300) : 1 << 16;
    client->read_us = slow ? 2000 + step->c % 100000 : 0;
    trace("client %u is %s", client->number, slow ? "slow" : "fast");
}

/* ---- data ---- */

static void on_key(uint32_t channel, bool marker, const char *const *words, uint32_t count)
{
    char key[CHANNEL_KEY_MAX];
    const char *all[6] = {words[0], key};
    if (marker)
        channel_last(key, channel_of(channel));
    else
        channel_log(key, channel_of(channel));
    for (uint32_t i = 1; i < count; ++i)
        all[i + 1] = words[i];
    redisReply *reply = bus_command(bus.shards[bus_shard_of(channel)].primary, all, count + 1);
    trace("%s %s", words[0], key);
    redis_model_reply_free(reply);
}

static void delete_history(uint32_t channel)
{
    on_key(channel, false, (const char *const[]){"DEL"}, 1);
    oracle_emptied(channel);
}

static void evict(const struct step *step)
{
    uint32_t channel = channel_at(step);
    unsigned which = (unsigned)(step->b % 3);
    if (which != 1)
        delete_history(channel);
    if (which != 0) {
        on_key(channel, true, (const char *const[]){"DEL"}, 1);
        oracle_marker_gone(channel);
    }
}

void world_born_key(uint32_t shard, char out[CHANNEL_KEY_MAX])
{
    for (uint32_t number = 0;; ++number) {
        char name[24];
        snprintf(name, sizeof(name), BORN_NAME, number);
        channel_own_key(out, slice_of(name));
        if (bus_shard_of_slot(slot_of(slice_of(out))) == shard)
            return;
    }
}

static void forget_birth(uint32_t shard)
{
    char key[CHANNEL_KEY_MAX];
    world_born_key(shard, key);
    trace("DEL %s", key);
    redis_model_reply_free(bus_command(bus.shards[shard].primary, (const char *const[]){"DEL", key}, 2));
    oracle_data_changed(shard);
}

static void flush(uint32_t shard)
{
    trace("FLUSHALL of shard %u", shard);
    redis_model_reply_free(bus_command(bus.shards[shard].primary, (const char *const[]){"FLUSHALL"}, 1));
    oracle_data_changed(shard);
    for (uint32_t i = 0; i < world.plan.channels; ++i)
        if (bus_shard_of(i) == shard)
            oracle_emptied(i);
}

static void set_readable(uint32_t channel, bool readable)
{
    char key[CHANNEL_KEY_MAX];
    size_t n = channel_log(key, channel_of(channel));
    trace("the history of channel %u is %s", channel, readable ? "readable" : "unreadable");
    redis_model_unreadable(bus.shards[bus_shard_of(channel)].primary->model, slice_make(key, n), !readable);
}

static void put_wrong_type(uint32_t channel)
{
    delete_history(channel);
    on_key(channel, false, (const char *const[]){"LPUSH", "x"}, 2);
}

void world_right_type(uint32_t channel)
{
    char key[CHANNEL_KEY_MAX];
    channel_log(key, channel_of(channel));
    redisReply *reply = bus_command(bus.shards[bus_shard_of(channel)].primary, (const char *const[]){"TYPE", key}, 2);
    bool wrong = strcmp(reply->str, "list") == 0; /* also when older data have taken over */
    redis_model_reply_free(reply);
    if (wrong)
        on_key(channel, false, (const char *const[]){"DEL"}, 1);
}

static void set_clock(const struct step *step)
{
    static const int64_t sizes[] = {10000, 300000, 5000000, 600000000};
    int64_t most = sizes[step->a % 4], by = (int64_t)(step->c % (uint64_t)most);
    if (step->a / 4 % 2 == 0)
        by = -by;
    trace("the clock of shard %u is set by %" PRId64 " us", shard_at(step), by);
    bus_set_clock(shard_at(step), by);
    oracle_clock_set(shard_at(step), by < 0);
}

/* ---- entries by hand ---- */

/* The message of the newest entry, which stands elsewhere than it says; "" without one. */
static size_t copy_newest(struct server *server, const char *key, char *out, size_t size)
{
    redisReply *reply = bus_command(server, (const char *const[]){"XREVRANGE", key, "+", "-", "COUNT", "1"}, 6);
    size_t n = 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements != 0 && reply->element[0]->element[1]->elements > 1) {
        const redisReply *value = reply->element[0]->element[1]->element[1];
        n = value->len < size ? value->len : size - 1;
        memcpy(out, value->str, n);
    }
    out[n] = 0;
    redis_model_reply_free(reply);
    return n;
}

static uint64_t clock_ms(const struct server *server)
{
    return (uint64_t)((int64_t)schedule_now_us() + server->clock_us) / 1000;
}

/* With a message or none, of our form or not, at a position of Redis's or ahead of its clock. */
static void add_stranger(uint32_t channel, uint64_t what, uint64_t chance)
{
    static const uint64_t aheads_ms[] = {3, 700, 4000, 900000};
    struct server *server = bus_primary(bus_shard_of(channel));
    char key[CHANNEL_KEY_MAX], id[48] = "*", text[512] = "by hand";
    channel_log(key, channel_of(channel));
    if (what % 4 == 1)
        snprintf(text, sizeof(text), "\036sse1 rubbish");
    else if (what % 4 == 2)
        copy_newest(server, key, text, sizeof(text));
    if (what / 4 % 8 == 0)
        snprintf(id, sizeof(id), "%" PRIu64 "-%" PRIu64, clock_ms(server) + chance % aheads_ms[what / 32 % 4], chance / 1000 % 3);
    oracle_stranger(server, channel);
    redisReply *reply = bus_command(server, (const char *const[]){"XADD", key, id, what % 4 == 3 ? "by" : "m", text}, 5);
    ++world_steps;
    trace("XADD %s %s: %s%s", key, id, reply->str,
          server != bus.shards[bus_shard_of(channel)].primary ? ", at the old primary" : "");
    redis_model_reply_free(reply);
}

static void add_strangers(const struct step *step)
{
    uint64_t some = step->b % 8 == 0 ? step->c % 150 : 1 + step->b % 2; /* at times more than one read brings */
    for (uint64_t i = 0; i < some; ++i)
        add_stranger(channel_at(step), step->b / 8 + (i == 0 ? 0 : 4), step->c);
}

/* ---- gateways ---- */

static struct node **gateway_at(const struct step *step)
{
    return &world.gateways[step->a % world.plan.gateways];
}

static uint16_t number_at(const struct step *step)
{
    const struct node *node = *gateway_at(step);
    return step->c % 4 == 0 || node == NULL ? 0 : node->number;
}

static void start(struct node **gateway)
{
    if (*gateway == NULL && world.started < NODES) {
        *gateway = node_start(&world.plan.node);
        ++world.started;
    }
}

static void stop(struct node **gateway, bool drains)
{
    if (*gateway == NULL)
        return;
    if (drains)
        node_drain(*gateway, 500);
    else
        node_kill(*gateway);
    *gateway = NULL;
}

static void cut(const struct step *step)
{
    unsigned which = 1 + (unsigned)(step->b / 2 % 3);
    trace("connections of gateway %u break: %u", number_at(step), which);
    bus_cut(number_at(step), step->c / 8 % 4 == 0 ? SHARDS : shard_at(step), which, step->c % 8 == 1 ? 1500000 : 5000);
}

static void stall(const struct step *step)
{
    trace("connections of gateway %u stand still", number_at(step));
    bus_stall(number_at(step), shard_at(step), 1 + (unsigned)(step->b / 2 % 3), step->c % 1500000);
}

static void take_data_step(const struct step *step)
{
    char number[24];
    switch (step->kind) {
    case STEP_TRIM:
        snprintf(number, sizeof(number), "%u", (unsigned)(step->b % 12));
        on_key(channel_at(step), false, (const char *const[]){"XTRIM", "MAXLEN", number}, 3);
        oracle_trimmed(channel_at(step));
        break;
    case STEP_EXPIRE:
        snprintf(number, sizeof(number), "%u", (unsigned)(1 + step->b % 1500));
        on_key(channel_at(step), false, (const char *const[]){"PEXPIRE", number}, 2);
        oracle_expires(channel_at(step), schedule_now_us() + (1 + step->b % 1500) * 1000);
        break;
    case STEP_DELETE:
        delete_history(channel_at(step));
        break;
    case STEP_EVICT:
        evict(step);
        break;
    case STEP_FLUSH:
        flush(shard_at(step));
        break;
    case STEP_FORGET_BIRTH:
        forget_birth(shard_at(step));
        break;
    case STEP_WRONG_TYPE:
        put_wrong_type(channel_at(step));
        break;
    case STEP_UNREADABLE:
    case STEP_READABLE:
        set_readable(channel_at(step), step->kind == STEP_READABLE);
        break;
    case STEP_NO_MEMORY:
    case STEP_MEMORY:
        redis_model_out_of_memory(bus.shards[shard_at(step)].primary->model, step->kind == STEP_NO_MEMORY);
        break;
    default:
        break;
    }
}

static void take_server_step(const struct step *step)
{
    switch (step->kind) {
    case STEP_DOWN:
    case STEP_UP:
        trace("shard %u is %s", shard_at(step), step->kind == STEP_UP ? "up" : "down");
        bus_up(shard_at(step), step->kind == STEP_UP);
        break;
    case STEP_REMEMBER:
        trace("shard %u: its data are remembered", shard_at(step));
        bus_remember(shard_at(step));
        break;
    case STEP_RESTART:
    case STEP_FAIL_OVER:
        trace("shard %u: the remembered data take over: %s", shard_at(step), step_word(step->kind));
        bus_take_over(shard_at(step), step->kind == STEP_RESTART, step->c % 400000);
        break;
    case STEP_CLOCK:
        set_clock(step);
        break;
    case STEP_MOVE:
        trace("channel %u moves", channel_at(step));
        bus_move(channel_at(step), step->c % 2000000);
        break;
    default:
        take_data_step(step);
        break;
    }
}

void step_take(const struct step *step)
{
    struct client *client = client_at(step);
    switch (step->kind) {
    case STEP_PUBLISH:
        world_publish(channel_at(step), step->b, step->c);
        break;
    case STEP_BURST:
        burst(step);
        break;
    case STEP_LEAVE:
    case STEP_VANISH:
        client_leave(client, step->kind == STEP_VANISH, back_us(step));
        break;
    case STEP_STAY_AWAY:
        client_leave(client, false, 100000000);
        break;
    case STEP_COME_BACK:
        client_connect(client, back_us(step));
        break;
    case STEP_GO_BACK_IN_TIME:
        go_back_in_time(client);
        break;
    case STEP_FOREIGN_ID:
        take_foreign_id(client, step);
        break;
    case STEP_SLOW_DOWN:
    case STEP_SPEED_UP:
        set_pace(client, step->kind == STEP_SLOW_DOWN, step);
        break;
    case STEP_CUT:
        cut(step);
        break;
    case STEP_STALL:
        stall(step);
        break;
    case STEP_STRANGER:
        add_strangers(step);
        break;
    case STEP_BATCH:
        publish_batch(step);
        break;
    case STEP_KILL:
    case STEP_DRAIN:
        stop(gateway_at(step), step->kind == STEP_DRAIN);
        break;
    case STEP_START:
        start(gateway_at(step));
        break;
    case STEP_FREEZE:
        if (*gateway_at(step) != NULL)
            node_freeze(*gateway_at(step), step->c % 800000);
        break;
    default:
        take_server_step(step);
        break;
    }
}
