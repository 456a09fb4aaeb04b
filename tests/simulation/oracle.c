#include "tests/simulation/oracle_inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/feed/channel_view.h"
#include "gateway/feed/replay.h"
#include "runtime/digits.h"
#include "tests/simulation/bus.h"
#include "tests/simulation/bus_inside.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/world.h"
#include "tests/simulation/world_memory.h"

enum {
    YOUNG_US = 3000000,
    MARGIN_MS = 2000, /* between shards: SETTLED_MS and CLOCKS_MS of uplink.c */
    NOTICE_US = 1500000, /* a gateway notices a clock that was set within this */
    ON_ITS_WAY_US = 1000000, /* a message is, that long */
};

static struct fact *facts[CHANNELS][FACTS]; /* by number */
static uint32_t counts[CHANNELS], channel_count;
static uint64_t data_us[CHANNELS]; /* when the data that have the channel were last replaced; 0: never */
static uint64_t back_us[SHARDS]; /* when its clock was last set back; 0: never */
static uint64_t marker_us[CHANNELS]; /* when the marker was last taken away */
static uint64_t moved_us[CHANNELS];
static uint64_t emptied_us[CHANNELS]; /* when its history was last deleted */
static uint64_t trimmed_us[CHANNELS]; /* when somebody last trimmed it */
static uint64_t expires_us[CHANNELS]; /* when it was last to expire */
static uint64_t set_us[SHARDS]; /* when its clock was last set at all */
static struct ahead {
    uint64_t from_ms,
        to_ms; /* times that events have which were taken earlier, since an entry by hand stands before them; to_ms 0: none */
} aheads[CHANNELS];

void oracle_reset(uint32_t channels)
{
    channel_count = channels;
    memset(counts, 0, sizeof(counts));
    memset(data_us, 0, sizeof(data_us));
    memset(back_us, 0, sizeof(back_us));
    memset(marker_us, 0, sizeof(marker_us));
    memset(moved_us, 0, sizeof(moved_us));
    memset(set_us, 0, sizeof(set_us));
    memset(aheads, 0, sizeof(aheads));
    memset(emptied_us, 0, sizeof(emptied_us));
    memset(expires_us, 0, sizeof(expires_us));
    memset(trimmed_us, 0, sizeof(trimmed_us));
    ends_reset();
}

const struct line *line_of(uint32_t channel)
{
    return &bus.shards[bus.home[channel]].primary->lines[channel];
}

bool has_seen(const struct track *track, const struct fact *fact)
{
    return track->seen[fact->number / 64] >> fact->number % 64 & 1;
}

uint32_t facts_of(uint32_t channel, struct fact ***all)
{
    *all = facts[channel];
    return counts[channel];
}

bool is_data_steady(uint32_t channel, uint64_t since_us)
{
    return data_us[channel] <= since_us && moved_us[channel] <= since_us && marker_us[channel] <= since_us;
}

bool was_ahead(uint32_t channel)
{
    return aheads[channel].to_ms != 0;
}

bool was_clock_set(uint32_t channel)
{
    return set_us[bus.home[channel]] != 0;
}

bool was_emptied_since(uint32_t channel, uint64_t since_us)
{
    return emptied_us[channel] > since_us;
}

/* The first entry that the history has now; POSITION_MAX: none. */
struct position first_kept(uint32_t channel)
{
    char key[CHANNEL_KEY_MAX];
    struct position at = POSITION_MAX;
    channel_log(key, channel_of(channel));
    redisReply *reply =
        bus_command(bus.shards[bus.home[channel]].primary, (const char *const[]){"XRANGE", key, "-", "+", "COUNT", "1"}, 6);
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements != 0) {
        const redisReply *id = reply->element[0]->element[0];
        position_parse(&at, slice_make(id->str, id->len));
    }
    redis_model_reply_free(reply);
    return at;
}

/* Whether the history that begins at `first` has the event. */
bool is_kept(const struct fact *fact, struct position first)
{
    return !fact->gone && position_compare(fact->at, first) >= 0;
}

void oracle_emptied(uint32_t channel)
{
    const struct line *line = line_of(channel);
    for (uint32_t i = 0; i < line->count; ++i) {
        line->facts[i]->gone = true;
        line->facts[i]->gone_us = line->facts[i]->gone_us == 0 ? schedule_now_us() : line->facts[i]->gone_us;
    }
    emptied_us[channel] = schedule_now_us();
}

void oracle_trimmed(uint32_t channel)
{
    trimmed_us[channel] = schedule_now_us();
}

void oracle_expires(uint32_t channel, uint64_t at_us)
{
    expires_us[channel] = at_us;
}

/* An entry by hand may stand before what a history had that is gone. */
void oracle_stranger(struct server *server, uint32_t channel)
{
    const struct line *line = &server->lines[channel];
    if (server != bus.shards[bus.home[channel]].primary)
        return;
    struct position at = first_kept(channel);
    for (uint32_t i = 0; i < line->count; ++i)
        line->facts[i]->gone = line->facts[i]->gone || position_compare(line->facts[i]->at, at) < 0;
}

/* Which events of the line the history has, one by one. */
static void look_again(uint32_t channel)
{
    char key[CHANNEL_KEY_MAX];
    const struct line *line = line_of(channel);
    uint32_t next = line->count;
    for (uint32_t i = 0; i < line->count; ++i)
        line->facts[i]->restored = line->facts[i]->restored || line->facts[i]->gone;
    for (uint32_t i = 0; i < line->count; ++i)
        line->facts[i]->gone = true;
    channel_log(key, channel_of(channel));
    redisReply *reply = bus_command(bus.shards[bus.home[channel]].primary, (const char *const[]){"XREVRANGE", key, "+", "-"}, 4);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; ++i) {
        struct position at = POSITION_NONE;
        const redisReply *id = reply->element[i]->element[0];
        position_parse(&at, slice_make(id->str, id->len));
        uint32_t found = next;
        while (found != 0 && position_compare(line->facts[found - 1]->at, at) != 0)
            --found;
        if (found != 0) /* else it is somebody else's */
            line->facts[next = found - 1]->gone = false;
    }
    redis_model_reply_free(reply);
    for (uint32_t i = 0; i < line->count; ++i)
        line->facts[i]->restored = line->facts[i]->restored && !line->facts[i]->gone;
}

/* ---- what happens in Redis ---- */

uint32_t oracle_next(uint32_t channel)
{
    if (counts[channel] + 1 == FACTS)
        abort();
    return counts[channel];
}

static bool was_set_lately(uint32_t shard)
{
    return set_us[shard] != 0 && set_us[shard] + NOTICE_US > schedule_now_us();
}

/* What a gateway takes such an event to be published since was proven a while ago. */
static void note_ahead(uint32_t channel, uint32_t shard, uint64_t at_ms, uint64_t now_ms)
{
    struct ahead *ahead = &aheads[channel];
    uint64_t from_ms = now_ms - DEAF_US / 1000;
    bool seems = ahead->to_ms != 0 && was_set_lately(shard); /* to a gateway that knows the clock of before */
    if (at_ms <= now_ms && !seems)
        return;
    ahead->from_ms = ahead->to_ms == 0 || from_ms < ahead->from_ms ? from_ms : ahead->from_ms;
    ahead->to_ms = at_ms > ahead->to_ms ? at_ms : ahead->to_ms;
}

static uint64_t clock_ms_of(const struct server *server)
{
    return (uint64_t)((int64_t)schedule_now_us() + server->clock_us) / 1000;
}

struct fact *oracle_published(struct server *server, uint32_t channel, uint32_t number, struct slice id, struct slice position,
                              uint32_t size)
{
    struct fact *fact = world_malloc(sizeof(*fact));
    struct line *line = &server->lines[channel];
    *fact = (struct fact){.channel = channel, .number = number, .us = schedule_now_us(), .size = size, .index = line->count};
    if (!position_parse(&fact->at, position))
        violation("channel %u: a position that is none", channel);
    memcpy(fact->id, id.p, id.n < sizeof(fact->id) ? id.n : sizeof(fact->id) - 1);
    char made[EVENT_ID_LEN + 1];
    event_id_format(made, channel_of(channel), fact->at);
    fact->own_id = strcmp(made, fact->id) != 0;
    note_ahead(channel, bus.home[channel], fact->at.ms, clock_ms_of(server));
    fact->before = line->count == 0 ? NULL : line->facts[line->count - 1];
    if (fact->before != NULL && position_compare(fact->before->at, fact->at) >= 0 && marker_us[channel] == 0 &&
        data_us[channel] == 0)
        violation("channel %u: event %u stands before the one that came before it", channel, number);
    fact->lost = server != bus.shards[bus.home[channel]].primary;
    if (line->count == line->room) {
        line->room = line->room == 0 ? 64 : line->room * 2;
        struct fact **more = world_malloc(line->room * sizeof(struct fact *));
        if (line->count != 0)
            memcpy(more, line->facts, line->count * sizeof(struct fact *));
        free(line->facts);
        line->facts = more;
    }
    line->facts[line->count++] = fact;
    facts[channel][number] = fact;
    counts[channel] = number + 1;
    return fact;
}

void oracle_line_changes(uint32_t channel)
{
    const struct line *line = line_of(channel);
    struct position first = first_kept(channel);
    for (uint32_t i = 0; i < line->count; ++i)
        line->facts[i]->gone = !is_kept(line->facts[i], first);
}

void oracle_line_changed(struct server *server, uint32_t channel)
{
    const struct line *line = &server->lines[channel];
    for (uint32_t i = 0; i < counts[channel]; ++i)
        if (facts[channel][i] != NULL)
            facts[channel][i]->lost = true;
    for (uint32_t i = 0; i < line->count; ++i) {
        line->facts[i]->lost = false;
        line->facts[i]->index = i;
    }
    for (uint32_t i = 0; i < client_count; ++i)
        if (clients[i].tracks[channel].from > line->count)
            clients[i].tracks[channel].from = line->count;
    look_again(channel);
}

void oracle_data_changed(uint32_t shard)
{
    for (uint32_t i = 0; i < channel_count; ++i)
        if (bus.home[i] == shard)
            data_us[i] = schedule_now_us();
}

void oracle_moved(uint32_t channel)
{
    moved_us[channel] = schedule_now_us();
}

void oracle_marker_gone(uint32_t channel)
{
    marker_us[channel] = schedule_now_us();
}

void oracle_clock_set(uint32_t shard, bool back)
{
    set_us[shard] = schedule_now_us();
    if (back)
        back_us[shard] = schedule_now_us();
}

/* ---- what an id stands for ---- */

static int64_t clocks_differ_ms(void)
{
    int64_t by = bus.options.shards < 2 ? 0 : (bus.shards[0].primary->clock_us - bus.shards[1].primary->clock_us) / 1000;
    return by < 0 ? -by : by;
}

/* What gateways take the clocks to differ by is wrong by as much as their answers took. */
static uint64_t margin_ms(void)
{
    uint64_t late_ms = (world.plan.faults & DISTURBS) != 0 ? DEAF_US / 1000 : bus.options.delay_us * 25 / 1000;
    return MARGIN_MS + 100 + (uint64_t)clocks_differ_ms() + late_ms;
}

static bool spans_shards(const struct client *client)
{
    for (uint32_t i = 1; i < client->count; ++i)
        if (bus.home[client->channels[i]] != bus.home[client->channels[0]])
            return true;
    return false;
}

/* It was set back at some time, or set at all a moment ago. */
static bool is_shard_odd(uint32_t shard)
{
    return back_us[shard] != 0 || was_set_lately(shard);
}

static bool is_in_ahead(uint32_t channel, uint64_t ms)
{
    return ms > aheads[channel].from_ms && ms <= aheads[channel].to_ms;
}

static void allow_since(struct track *track, uint64_t ms)
{
    track->twice_since = ms < track->twice_since ? ms : track->twice_since;
}

/* The id may stand for this event: what comes after it in its channel, and since its time in the others, may come again. */
static void allow_after(struct client *client, uint32_t channel, struct position at)
{
    uint64_t margin = margin_ms(), ms = is_in_ahead(channel, at.ms) ? aheads[channel].from_ms : at.ms;
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        if (client->channels[i] == channel)
            track->twice_after = position_compare(at, track->twice_after) < 0 ? at : track->twice_after;
        else if (is_shard_odd(bus.home[client->channels[i]]) || is_shard_odd(bus.home[channel]))
            allow_since(track, 0);
        else if (bus.home[channel] == bus.home[client->channels[i]])
            allow_since(track, ms);
        else
            allow_since(track, ms > margin ? ms - margin : 0);
    }
}

/* A gateway that followed a failover about then goes back to before that. The times of several may overlap. */
static uint64_t since_connected(const struct client *client, uint32_t shard, uint64_t ms)
{
    for (uint32_t i = 0; i < 2 * CONNECTS; ++i) {
        uint64_t at_ms = bus_connected_ms(client->gateway, shard, i % CONNECTS);
        if (at_ms != 0 && ms + FOLLOW_MS >= at_ms && ms <= at_ms + FOLLOW_MS + DEAF_US / 1000 && at_ms - FOLLOW_MS < ms)
            ms = at_ms - FOLLOW_MS;
    }
    return ms;
}

static void allow_since_time(struct client *client, struct position time)
{
    uint64_t margin = time.seq != 0 || !spans_shards(client) ? 0 : margin_ms();
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t shard = bus.home[client->channels[i]];
        uint64_t since_ms = since_connected(client, shard, time.ms);
        struct track *track = &client->tracks[client->channels[i]];
        allow_since(track, is_shard_odd(shard) || since_ms < margin ? 0 : since_ms - margin);
    }
}

static void allow(struct client *client)
{
    struct slice id = slice_of(client->asked_id);
    struct position at;
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t channel = client->channels[i];
        if (event_id_parse(&at, id, channel_of(channel)))
            allow_after(client, channel, at);
        for (uint32_t k = 0; k < counts[channel]; ++k)
            if (facts[channel][k] != NULL && facts[channel][k]->own_id && strcmp(facts[channel][k]->id, client->asked_id) == 0)
                allow_after(client, channel, facts[channel][k]->at);
    }
    if (event_id_parse(&at, id, SLICE("")))
        allow_since_time(client, at);
}

static bool may_come_twice(const struct track *track, const struct fact *fact)
{
    return track->moves || fact->at.ms >= track->twice_since || position_compare(fact->at, track->twice_after) > 0;
}

/* ---- a client becomes another one ---- */

bool oracle_goes_back(struct client *client, const char *id)
{
    const struct fact *found = NULL;
    for (uint32_t i = 0; i < client->count; ++i)
        for (uint32_t k = 0, channel = client->channels[i]; k < counts[channel]; ++k) {
            if (facts[channel][k] == NULL || strcmp(facts[channel][k]->id, id) != 0)
                continue;
            if (found != NULL)
                return false;
            found = facts[channel][k];
        }
    if (found == NULL || found->lost)
        return false;
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        const struct line *line = line_of(client->channels[i]);
        *track = (struct track){.followed = true, .begun = true, .from = line->count};
        while (track->from != 0 && line->facts[track->from - 1]->us > found->us)
            --track->from;
        if (found->channel != client->channels[i])
            continue;
        track->last = facts[found->channel][found->number];
        track->seen[found->number / 64] |= UINT64_C(1) << found->number % 64;
    }
    return true;
}

void oracle_foreign(struct client *client)
{
    memcpy(client->foreign_id, client->id, sizeof(client->id));
    for (uint32_t i = 0; i < client->count; ++i)
        client->tracks[client->channels[i]] = (struct track){.followed = true, .owes_gap = true};
}

/* ---- a stream ---- */

/* The margin between shards does not help against a clock that was set a moment ago, nor where a channel has moved since its event's id was given. */
static bool is_asked_in_doubt(const struct client *client)
{
    for (uint32_t i = 0; i < client->count && client->count > 1; ++i) {
        uint32_t channel = client->channels[i];
        if (moved_us[channel] != 0 || (spans_shards(client) && is_shard_odd(bus.home[channel])))
            return true;
    }
    return false;
}

/* The id that it came with, or the position of its form, was used again since, and its first event is not there any more. */
static bool is_id_used_again(const struct client *client)
{
    uint32_t uses = 0, left = 0;
    for (uint32_t i = 0; i < client->count && client->asked_id[0] != 0; ++i) {
        uint32_t channel = client->channels[i];
        struct position at;
        bool is_ours = event_id_parse(&at, slice_of(client->asked_id), channel_of(channel));
        for (uint32_t k = 0; k < counts[channel]; ++k) {
            const struct fact *fact = facts[channel][k];
            bool same = is_ours && fact != NULL && position_compare(at, fact->at) == 0;
            if (fact == NULL || (!same && strcmp(fact->id, client->asked_id) != 0))
                continue;
            ++uses;
            left += !fact->lost && is_kept(fact, first_kept(channel));
        }
    }
    return uses > 1 && left < uses;
}

/* The latest time that its id may stand for; 0: none. */
static uint64_t id_ms(const struct client *client)
{
    struct slice id = slice_of(client->asked_id);
    struct position at;
    uint64_t ms = event_id_parse(&at, id, SLICE("")) ? at.ms : 0;
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t channel = client->channels[i];
        if (event_id_parse(&at, id, channel_of(channel)))
            ms = at.ms > ms ? at.ms : ms;
        for (uint32_t k = 0; k < counts[channel]; ++k)
            if (facts[channel][k] != NULL && facts[channel][k]->own_id && strcmp(facts[channel][k]->id, client->asked_id) == 0)
                ms = facts[channel][k]->at.ms > ms ? facts[channel][k]->at.ms : ms;
    }
    return ms;
}

/* Of several channels: it was ahead of the clock of its event's channel, by an entry by hand, and may stand for a time that the clock has passed since. */
static bool is_id_by_stranger(const struct client *client)
{
    uint64_t ms = id_ms(client);
    for (uint32_t i = 0; i < client->count && client->count > 1; ++i)
        if (is_in_ahead(client->channels[i], ms))
            return true;
    return false;
}

/* … an event that such an id leaves out. */
static bool is_left_out_by_stranger(const struct client *client, const struct fact *fact)
{
    return fact->at.ms <= id_ms(client) && is_id_by_stranger(client);
}

/* … that an id which it came with before has left out. */
static bool is_passed_over(const struct client *client, const struct fact *fact)
{
    return fact->at.ms <= client->tracks[fact->channel].passed_ms;
}

/* The event of this channel that its id names, if Redis has lost it, and gateways have heard of that. */
static struct fact *find_lost_id(const struct client *client, uint32_t channel)
{
    struct fact *found = NULL;
    for (uint32_t k = 0; k < counts[channel] && client->asked_id[0] != 0; ++k) {
        struct fact *fact = facts[channel][k];
        if (fact == NULL || strcmp(fact->id, client->asked_id) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = fact;
    }
    return found != NULL && found->lost && data_us[channel] + DEAF_US < schedule_now_us() ? found : NULL;
}

/* The clock went back, or the channel to a shard whose clock is behind: what an id that is a time stands for may be later than what was published since. */
static bool is_left_out_by_clock(const struct client *client, const struct track *track)
{
    struct position at;
    if (client->count == 1 && track->last != NULL && !event_id_parse(&at, slice_of(client->asked_id), SLICE("")))
        return false; /* its id is an event's */
    for (uint32_t i = 0; i < client->count; ++i)
        if (back_us[bus.home[client->channels[i]]] != 0 || moved_us[client->channels[i]] != 0)
            return true;
    return false;
}

/* Of the stream before. */
static void note_passed_over(struct client *client)
{
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        bool leaves_out = is_id_by_stranger(client) || is_left_out_by_clock(client, track);
        uint64_t ms = leaves_out ? id_ms(client) : 0;
        track->passed_ms = ms > track->passed_ms ? ms : track->passed_ms;
    }
}

/* What it had not got when it left is owed as far as the history still has it. */
static void leave_earliest(struct client *client)
{
    for (uint32_t i = 0; i < client->count && client->mode == START_EARLIEST; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        const struct line *line = line_of(client->channels[i]);
        struct position first = first_kept(client->channels[i]);
        while (track->last == NULL && track->from < line->count && !is_kept(line->facts[track->from], first))
            ++track->from;
    }
}

void oracle_asks(struct client *client)
{
    if (client->fresh && client->id[0] != 0)
        leave_earliest(client);
    note_passed_over(client);
    client->head_us = client->placed_us = 0;
    client->over = false;
    client->asked_us = schedule_now_us();
    client->fresh = client->id[0] == 0;
    memcpy(client->asked_id, client->id, sizeof(client->id));
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        track->twice_since = UINT64_MAX;
        track->twice_after = POSITION_MAX;
        track->last_here = track->anchor = NULL;
        track->lost_id = find_lost_id(client, client->channels[i]);
        track->abandoned_here = NULL;
        track->gap_here = track->gap_behind = false;
        track->astray_us = 0;
        if (is_asked_in_doubt(client) || is_id_used_again(client) || is_id_by_stranger(client))
            track->doubt_us = schedule_now_us();
        if (client->id[0] == 0) {
            *track = (struct track){.followed = true, .twice_since = UINT64_MAX, .twice_after = POSITION_MAX};
        }
    }
    if (client->id[0] != 0)
        allow(client);
    ends_note_asked(client);
}

/* What its id stands for is known now. */
static void stay_in_doubt(struct client *client)
{
    bool again = client->asked_id[0] != 0 && (is_id_used_again(client) || is_asked_in_doubt(client));
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        if (again || (track->doubt_us != 0 && track->doubt_us >= client->asked_us))
            track->doubt_us = schedule_now_us();
    }
}

/* From here on nothing may be missing. */
static void begin(struct track *track, uint32_t channel)
{
    track->begun = true;
    track->from = line_of(channel)->count;
    track->begun_us = schedule_now_us();
}

static bool is_since(uint64_t us, uint64_t since_us)
{
    return us != 0 && us >= since_us;
}

/* … of all that the history has; it may be read later, and have less then. */
static void begin_earliest(struct track *track, uint32_t channel)
{
    const struct line *line = line_of(channel);
    struct position first = first_kept(channel);
    while (track->last == NULL && track->from != 0 && is_kept(line->facts[track->from - 1], first))
        --track->from;
}

static bool is_before_earliest(const struct client *client, const struct track *track, const struct fact *fact)
{
    return client->fresh && client->mode == START_EARLIEST && track->last == NULL &&
           (!is_kept(fact, first_kept(fact->channel)) || is_since(data_us[fact->channel] + DEAF_US, client->asked_us));
}

/* A head that was sent before the place was known promises what the history still has then, as of a time that a clock which was set meanwhile, or another shard's, does not tell. Its
 * gateway may have read that at a primary before. */
static void pass_gone(const struct client *client, struct track *track, uint32_t channel)
{
    const struct line *line = line_of(channel);
    struct position first = first_kept(channel);
    if (track->last == NULL && (is_since(set_us[bus.home[channel]], client->asked_us) ||
                                is_since(moved_us[channel], client->asked_us) || is_since(data_us[channel], client->asked_us)))
        track->from = line->count;
    while (track->last == NULL && track->from < line->count && !is_kept(line->facts[track->from], first))
        ++track->from;
}

/* The newest ones that it asked for are owed, too, as far as the history has them. */
void oracle_place(struct client *client)
{
    client->placed_us = schedule_now_us();
    stay_in_doubt(client);
    for (uint32_t i = 0; i < client->count && client->fresh && client->mode == START_LAST; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        const struct line *line = line_of(client->channels[i]);
        struct position first = first_kept(client->channels[i]);
        uint32_t from = line->count;
        for (uint32_t some = client->last; some != 0 && from != 0 && is_kept(line->facts[from - 1], first);)
            some -= !line->facts[--from]->end;
        if (track->last == NULL && from < track->from && data_us[client->channels[i]] == 0)
            track->from = from;
    }
    for (uint32_t i = 0; i < client->count && client->fresh; ++i)
        pass_gone(client, &client->tracks[client->channels[i]], client->channels[i]);
}

void oracle_head(struct client *client)
{
    client->head_us = schedule_now_us();
    stay_in_doubt(client);
    oracle_head_of_ends(client);
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        if (!track->begun)
            begin(track, client->channels[i]);
        if (client->fresh && client->mode == START_EARLIEST)
            begin_earliest(track, client->channels[i]);
    }
}

/* ---- an event ---- */

static struct fact *fact_of(const struct client *client, struct slice data)
{
    uint64_t channel, number;
    struct slice rest = data, first = slice_split(&rest, '.'), second = slice_split(&rest, ' ');
    int shown = data.n < 31 ? (int)data.n : 31;
    if (!digits_decimal(&channel, first, channel_count - 1) || !digits_decimal(&number, second, UINT32_MAX) ||
        number >= counts[channel])
        violation("client %u: an event that nobody published: %.*s", client->number, shown, data.p);
    else if (facts[channel][number] != NULL && facts[channel][number]->size == data.n)
        return facts[channel][number];
    else
        violation("client %u: an event with other data than were published: %.*s", client->number, shown, data.p);
    return NULL;
}

/* The furthest event that the client has and that Redis's data still go through. */
static struct fact *held(const struct track *track)
{
    struct fact *fact = track->last;
    while (fact != NULL && fact->lost)
        fact = fact->before;
    return fact;
}

/* Nothing tells of it any more: the marker went, too. */
static bool has_no_record(const struct fact *fact)
{
    return marker_us[fact->channel] > fact->us;
}

/* An entry by hand had taken its id ahead of the clock, or its channel has moved to a shard whose clock is behind, and it still was when it asked. */
static bool is_id_ahead(const struct client *client)
{
    uint64_t ms = id_ms(client);
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t shard = bus.home[client->channels[i]];
        uint64_t now_ms = clock_ms_of(bus.shards[shard].primary), since_ms = (schedule_now_us() - client->asked_us) / 1000 + 1;
        if ((is_in_ahead(client->channels[i], ms) || moved_us[client->channels[i]] != 0) && ms + since_ms > now_ms)
            return true;
    }
    return false;
}

/* Its position is another event's, too: in data that were lost, or deleted with all markers. The two can't be told apart. */
static bool is_place_used_again(const struct fact *fact)
{
    for (uint32_t i = 0; i < counts[fact->channel]; ++i)
        if (i != fact->number && facts[fact->channel][i] != NULL && position_compare(facts[fact->channel][i]->at, fact->at) == 0)
            return true;
    return false;
}

/* The furthest event that the client has was lost, and another one took its position: what stands before that. */
static bool is_before_place_used_again(const struct track *track, const struct fact *fact)
{
    const struct fact *last = track->last;
    return last != NULL && last->lost && position_compare(fact->at, last->at) <= 0 && is_place_used_again(last);
}

/* It was on its way when its history was deleted: what comes behind it may be taken for that of another history. */
static bool is_in_deleted(const struct fact *fact)
{
    uint64_t at_us = expires_us[fact->channel];
    if (fact->us <= at_us && fact->us + ON_ITS_WAY_US > at_us && !is_kept(fact, first_kept(fact->channel)))
        return true;
    return fact->gone && fact->gone_us != 0 && fact->us + ON_ITS_WAY_US > fact->gone_us;
}

/* Of several channels: its history was deleted, or trimmed, when the client changed gateways, and only the one before knew of that. */
static bool is_deleted_lately(const struct client *client, const struct fact *fact)
{
    uint64_t cut_us = trimmed_us[fact->channel], at_us = emptied_us[fact->channel] > cut_us ? emptied_us[fact->channel] : cut_us;
    return client->count > 1 && !is_kept(fact, first_kept(fact->channel)) && at_us != 0 && client->asked_us < at_us + NOTICE_US;
}

/* The history goes on from the anchor: no gap takes the place of what follows it. */
static bool is_behind_anchor(const struct track *track, const struct fact *fact)
{
    return track->anchor != NULL && !track->anchor->lost && fact->index > track->anchor->index &&
           is_kept(fact, first_kept(fact->channel));
}

const struct fact *missing_before(const struct client *client, const struct track *track, const struct fact *fact)
{
    const struct fact *have = held(track);
    for (const struct fact *before = fact->before; before != NULL && before != have; before = before->before) {
        if (have != NULL && !before->lost && before->index <= have->index)
            break;
        if ((have == NULL || is_in_deleted(have)) && before->index < track->from)
            break;
        if (before->lost || before->restored || has_seen(track, before) ||
            (before->us <= track->gap_us && !is_behind_anchor(track, before)) || has_no_record(before) ||
            is_left_out_by_clock(client, track) || is_place_used_again(before) || is_before_place_used_again(track, before) ||
            is_id_used_again(client) || is_in_deleted(before) || is_deleted_lately(client, before) ||
            is_left_out_by_stranger(client, before) || is_passed_over(client, before) || before->us <= track->doubt_us ||
            before->us <= track->astray_us || ends_may_skip(client, before) || is_before_earliest(client, track, before))
            continue;
        return before;
    }
    return NULL;
}

static void check_missing(const struct client *client, const struct track *track, const struct fact *fact)
{
    const struct fact *missing = missing_before(client, track, fact);
    if (missing != NULL)
        violation("client %u: event %u of channel %u came without %u before it, and without a gap", client->number, fact->number,
                  fact->channel, missing->number);
}

/* While a stream is open, a history that is deleted can't tell an old event that was on its way from a new one. */
static bool is_old_in_deleted(const struct client *client, const struct fact *fact)
{
    return fact->gone && emptied_us[fact->channel] + DEAF_US > client->asked_us && fact->us <= emptied_us[fact->channel];
}

/* The clock went back, and a history went without a record: what is on its way of it stands above what is new. */
static bool is_history_mixed(uint32_t channel)
{
    return back_us[bus.home[channel]] != 0 && (data_us[channel] != 0 || marker_us[channel] != 0) && emptied_us[channel] != 0 &&
           emptied_us[channel] + DEAF_US > schedule_now_us();
}

/* On one stream all that comes of a channel is in order, each once. */
static void check_order(const struct client *client, struct track *track, struct fact *fact)
{
    struct fact *last = track->last_here;
    track->last_here = fact;
    track->gap_behind = false;
    if (is_history_mixed(fact->channel) || (last != NULL && fact->index < last->index && is_old_in_deleted(client, fact)))
        track->astray_us = schedule_now_us();
    if (fact->restored || (last != NULL && last->restored) || is_old_in_deleted(client, fact) || fact->us <= track->astray_us ||
        (last == fact && is_place_used_again(fact)))
        return;
    if (last == fact)
        violation("client %u: event %u of channel %u came twice in one stream", client->number, fact->number, fact->channel);
    else if (last != NULL && !last->lost && !fact->lost && fact->index < last->index)
        violation("client %u: event %u of channel %u came behind %u", client->number, fact->number, fact->channel, last->number);
    else if (last != NULL && last->lost && !fact->lost && track->gap_us == 0 && !is_place_used_again(last) && !has_no_record(last))
        violation("client %u: event %u of channel %u came without a gap behind %u, which is lost", client->number, fact->number,
                  fact->channel, last->number);
}

static void check_id(const struct client *client, const struct fact *fact, const struct slice *id)
{
    if (id == NULL && client->count == 1)
        violation("client %u: event %u of channel %u came without its id", client->number, fact->number, fact->channel);
    if (id != NULL && !slice_eq(*id, slice_of(fact->id)))
        violation("client %u: event %u of channel %u came with the id %.*s", client->number, fact->number, fact->channel,
                  (int)id->n, id->p);
}

/* How many there were when it asked, as far as its gateway must have heard. */
static uint32_t heard_count(const struct client *client, uint32_t channel)
{
    const struct line *line = line_of(channel);
    uint64_t late_us = bus.options.delay_us * 50 + 100000;
    uint32_t count = line->count;
    while (count != 0 && line->facts[count - 1]->us + late_us > client->asked_us)
        --count;
    return count;
}

/* Its head came before its place, or the place so late that its gateway takes it so, and all that its channel took since it asked can't be told from what an entry by hand took ahead of the clock before. */
static bool is_placed_ahead(const struct client *client, const struct fact *fact)
{
    uint64_t now_ms = clock_ms_of(bus.shards[bus.home[fact->channel]].primary);
    uint64_t since_ms = (schedule_now_us() - client->asked_us) / 1000 + 1;
    bool head_first = client->head_us < client->placed_us || client->placed_us - client->asked_us >= REPLAY_HEAD_MS * 1000;
    return head_first && is_in_ahead(fact->channel, fact->at.ms) && fact->at.ms + since_ms > now_ms;
}

static void check_depth(const struct client *client, const struct track *track, const struct fact *fact)
{
    if (fact->end || (world.plan.faults & DISTURBS) != 0 || !client->fresh || client->mode != START_LAST || track->last != NULL ||
        fact->lost || track->gap_us != 0 || data_us[fact->channel] != 0 || is_placed_ahead(client, fact))
        return;
    const struct line *line = line_of(fact->channel);
    uint32_t some = 0;
    for (uint32_t i = fact->index, count = heard_count(client, fact->channel); i < count; ++i) {
        /* a history that was deleted with its marker gives a place again, in the same millisecond: a gateway has one of the two */
        bool twice = i + 1 < count && position_compare(line->facts[i]->at, line->facts[i + 1]->at) == 0;
        some += !line->facts[i]->end && !twice;
    }
    if (some > client->last)
        violation("client %u: event %u of channel %u is older than what it asked for", client->number, fact->number, fact->channel);
}

void oracle_event(struct client *client, struct slice data, const struct slice *id)
{
    struct fact *fact = fact_of(client, data);
    if (fact == NULL)
        return;
    check_id(client, fact, id);
    oracle_take(client, fact);
}

void oracle_take(struct client *client, struct fact *fact)
{
    struct track *track = &client->tracks[fact->channel];
    if (!track->followed) {
        violation("client %u: event %u of channel %u, which it does not follow", client->number, fact->number, fact->channel);
        return;
    }
    if (!client->fresh && client->placed_us == 0)
        oracle_place(client); /* by now: its head may have come before */
    if (track->owes_gap && is_old_in_deleted(client, fact))
        track->owes_gap = false; /* a gateway has in its memory what another one knows to be deleted */
    if (track->owes_gap)
        violation("client %u: event %u of channel %u came before the gap that its id owes", client->number, fact->number,
                  fact->channel);
    if (track->lost_id != NULL && track->lost_id->lost && !fact->lost && !track->gap_here && !fact->restored &&
        !is_place_used_again(track->lost_id) && !is_id_used_again(client))
        violation("client %u: event %u of channel %u came without a gap behind that of its id, %u, which is lost", client->number,
                  fact->number, fact->channel, track->lost_id->number);
    check_order(client, track, fact);
    check_depth(client, track, fact);
    track->moves = is_asked_in_doubt(client);
    if (has_seen(track, fact) && client->asked_id[0] != 0)
        allow(client); /* its id may have been used once more since it asked */
    if (has_seen(track, fact) && !may_come_twice(track, fact) && fact->us > track->astray_us && !fact->restored &&
        !is_old_in_deleted(client, fact) &&
        !(track->gap_here && (fact->end || data_us[fact->channel] != 0))) /* behind a gap the end is told again */
        violation("client %u: event %u of channel %u came twice", client->number, fact->number, fact->channel);
    struct fact *have = held(track);
    track->seen[fact->number / 64] |= UINT64_C(1) << fact->number % 64;
    if (have == NULL || fact->lost || fact->index > have->index) {
        check_missing(client, track, fact);
        track->last = fact;
        if (!client->gap_in_answer || client->count == 1)
            track->gap_us = 0;
    }
}

/* ---- a gap ---- */

/* Whether something is gone that the client has not seen, or that its id can't tell whether it has; or that its gateway, which may have been deaf for a while, had not when it
 * gave the first place. */
static bool is_something_gone(const struct track *track, uint32_t channel)
{
    const struct line *line = line_of(channel);
    const struct fact *have = held(track);
    struct position first = first_kept(channel);
    for (uint32_t i = 0; i < line->count; ++i) {
        const struct fact *fact = line->facts[i];
        if (is_kept(fact, first))
            continue;
        bool after = have != NULL ? i > have->index : i >= track->from || fact->us + DEAF_US > track->begun_us;
        if (may_come_twice(track, fact) || (after && !has_seen(track, fact)))
            return true;
    }
    return false;
}

/* The id is an author's own, and its event is gone. */
static bool is_id_gone(const struct client *client)
{
    struct position at;
    bool own = false;
    if (event_id_parse(&at, slice_of(client->asked_id), SLICE("")))
        return false;
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t channel = client->channels[i];
        const struct line *line = line_of(channel);
        if (event_id_parse(&at, slice_of(client->asked_id), channel_of(channel)))
            return false;
        struct position first = first_kept(channel);
        for (uint32_t k = 0; k < line->count; ++k)
            if (is_kept(line->facts[k], first) && line->facts[k]->us < client->asked_us &&
                strcmp(line->facts[k]->id, client->asked_id) == 0)
                return false; /* one that came since may have been too late */
        own = true;
    }
    return own && client->asked_id[0] != 0;
}

/* The channel of its id may have lost its marker with its history: then the id came from other data, for all that the gateway knows. */
static bool is_marker_gone(const struct client *client)
{
    for (uint32_t i = 0; i < client->count; ++i)
        if (marker_us[client->channels[i]] != 0)
            return true;
    return false;
}

/* A clock that was set a moment ago makes ids of times that a gateway has not heard of yet. */
static bool is_clock_odd(const struct client *client)
{
    struct position at;
    bool by_time = client->count > 1 || event_id_parse(&at, slice_of(client->asked_id), SLICE(""));
    for (uint32_t i = 0; i < client->count && by_time; ++i) {
        uint32_t shard = bus.home[client->channels[i]];
        if (back_us[shard] != 0 || (set_us[shard] != 0 && set_us[shard] + NOTICE_US > client->asked_us))
            return true;
    }
    return false;
}

/* A gateway that has just begun does not know the present yet, and a long replay has pages; nor one whose connections break. */
static bool is_gateway_young(const struct client *client)
{
    return ((world.plan.faults & DISTURBS) != 0 || client->fresh) && client->gateway_us + YOUNG_US > client->asked_us;
}

static bool may_be_told(const struct client *client, const struct track *track, uint32_t channel)
{
    bool back = is_clock_odd(client);
    return track->owes_gap || (client->foreign_id[0] != 0 && strcmp(client->asked_id, client->foreign_id) == 0) ||
           is_id_gone(client) || is_something_gone(track, channel) || (track->last != NULL && track->last->lost) ||
           is_gateway_young(client) || data_us[channel] != 0 || is_marker_gone(client) || moved_us[channel] != 0 || back ||
           is_id_ahead(client) || world_young();
}

/* The last event that the stream had when it came and that Redis has still, where a failover has lost what followed: the memory of its gateway reaches there. */
static struct fact *find_anchor(const struct client *client, const struct track *track, uint32_t channel)
{
    const struct node_options *node = &world.plan.node;
    struct fact *fact = track->last_here;
    bool roomy = node->ring_frames == 1000 && node->ring_bytes == 1 << 20 && node->ring_memory == 1 << 22;
    if (!roomy || fact == NULL || !fact->lost || was_clock_set(channel) || was_ahead(channel) || marker_us[channel] != 0 ||
        emptied_us[channel] != 0 || expires_us[channel] != 0 || moved_us[channel] != 0)
        return NULL;
    while (fact != NULL && fact->lost)
        fact = fact->before;
    return fact != NULL && has_seen(track, fact) && client->head_us != 0 && fact->us > client->head_us ? fact : NULL;
}

static void take_gap(struct track *track)
{
    track->gap_us = schedule_now_us();
    track->gap_here = track->gap_behind = true;
    track->owes_gap = false;
}

void oracle_gap(struct client *client, struct slice data, const struct slice *id)
{
    (void)id;
    if (client->asked_id[0] != 0)
        allow(client);
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t channel = client->channels[i];
        struct track *track = &client->tracks[channel];
        char begins[32];
        int n = snprintf(begins, sizeof(begins), "{\"channel\":\"%.*s\",", (int)channel_of(channel).n, channel_of(channel).p);
        if (!slice_starts(data, slice_make(begins, (size_t)n)))
            continue;
        if (!may_be_told(client, track, channel))
            violation("client %u: a gap of channel %u, where nothing is missing", client->number, channel);
        track->anchor = track->gap_here ? NULL : find_anchor(client, track, channel);
        if (client->fresh && client->mode == START_EARLIEST && track->last == NULL && is_data_steady(channel, 0) &&
            (world.plan.faults & DISTURBS) == 0 && !is_since(emptied_us[channel] + DEAF_US, client->asked_us))
            violation("client %u: a gap of channel %u before the earliest event", client->number, channel);
        take_gap(track);
        return;
    }
    violation("client %u: a gap of no channel of its: %.*s", client->number, (int)data.n, data.p);
}

void oracle_gap_of_some(struct client *client)
{
    uint32_t told = 0;
    if (client->asked_id[0] != 0)
        allow(client);
    for (uint32_t i = 0; i < client->count; ++i) {
        struct track *track = &client->tracks[client->channels[i]];
        if (!may_be_told(client, track, client->channels[i]))
            continue;
        take_gap(track);
        ++told;
    }
    if (told == 0)
        violation("client %u: a gap, where nothing is missing", client->number);
}

/* ---- the end ---- */

static bool has_all(const struct client *client, uint32_t *channel)
{
    for (uint32_t i = 0; i < client->count; ++i) {
        const struct line *line = line_of(*channel = client->channels[i]);
        const struct fact *last = line->count == 0 ? NULL : line->facts[line->count - 1];
        const struct track *track = &client->tracks[*channel];
        if (last == NULL || has_seen(track, last) || last->us <= track->gap_us || ends_may_skip(client, last) ||
            is_left_out_by_stranger(client, last) || is_passed_over(client, last) ||
            (last->end && (!ends_due(*channel) || missing_up_to(client, last) == NULL)))
            continue;
        if (track->last == NULL && last->index < track->from && (!last->end || client->count > 1))
            continue; /* its first place is behind it */
        return false;
    }
    return true;
}

bool oracle_complete(void)
{
    uint32_t channel;
    for (uint32_t i = 0; i < client_count; ++i)
        if (!clients[i].gone && (!has_all(&clients[i], &channel) || !ends_known(&clients[i], &channel)))
            return false;
    return true;
}

void oracle_end(void)
{
    uint32_t channel;
    for (uint32_t i = 0; i < client_count; ++i)
        if (!clients[i].gone && !has_all(&clients[i], &channel))
            violation("client %u: %s, and the last event of channel %u does not come", i,
                      clients[i].wire == NULL   ? "it cannot connect"
                      : clients[i].head_us == 0 ? "no answer"
                                                : "the stream is open",
                      channel);
        else if (!clients[i].gone && !ends_known(&clients[i], &channel))
            violation("client %u: %s, and it does not learn that channel %u has ended", i,
                      clients[i].wire == NULL ? "it cannot connect" : "the stream is open", channel);
}
