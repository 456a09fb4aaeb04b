/* What must hold of the ends of channels: an end is told once, behind everything else, and to nobody before it is there; nothing follows it in its stream; a client that knows it gets 204; and no
 * stream stays open behind the ends of all its channels. */
#include <stdio.h>
#include <string.h>

#include "tests/simulation/bus_inside.h"
#include "tests/simulation/oracle_inside.h"

enum {
    SLOW_US = 100000000, /* a client that reads slowly may not have heard what was published since */
    CONCLUDED_US = 3000000, /* behind a lease, until gateways say that it is over */
    HELD_US = 900000, /* a head that took longer was sent before the place was known */
};

static uint64_t healed_us; /* 0: there are faults */

void ends_reset(void)
{
    healed_us = 0;
}

void oracle_healed(void)
{
    healed_us = schedule_now_us();
}

/* ---- what happens in Redis ---- */

/* The newest event of this server's data is an end. */
static bool has_ended(const struct server *server, uint32_t channel)
{
    const struct line *line = &server->lines[channel];
    return line->count != 0 && line->facts[line->count - 1]->end;
}

void oracle_ended_at(struct server *server, uint32_t channel, struct position at)
{
    char id[EVENT_ID_LEN + 1], text[POSITION_TEXT_MAX];
    event_id_format(id, channel_of(channel), at);
    struct slice position = slice_make(text, position_format(text, at));
    oracle_published(server, channel, oracle_next(channel), slice_of(id), position, UINT32_MAX)->end = true;
}

void oracle_ended(struct server *server, uint32_t channel)
{
    struct position at = POSITION_NONE;
    struct slice rest = slice_of(server->published), version = slice_split(&rest, ' '), text = slice_split(&rest, ' ');
    if (!slice_eq(version, SLICE("\036sse2")) || !position_parse(&at, text))
        violation("channel %u: its end was not published", channel);
    oracle_ended_at(server, channel, at);
}

void oracle_refused_ended(const struct server *server, uint32_t channel)
{
    if (!has_ended(server, channel))
        violation("channel %u: an event was refused, as if the channel had ended", channel);
}

/* ---- leases ---- */

static uint64_t redis_ms(uint32_t channel)
{
    return (uint64_t)((int64_t)schedule_now_us() + bus.shards[bus.home[channel]].primary->clock_us) / 1000;
}

static uint64_t lease_ends_ms(const struct fact *fact)
{
    return fact->at.ms + (uint64_t)fact->lease_s * 1000;
}

static bool is_abandoned(const struct fact *fact)
{
    return fact->lease_s != 0 && redis_ms(fact->channel) > lease_ends_ms(fact);
}

static struct fact *newest(uint32_t channel)
{
    const struct line *line = line_of(channel);
    return line->count == 0 ? NULL : line->facts[line->count - 1];
}

bool ends_due(uint32_t channel)
{
    const struct fact *fact = newest(channel);
    if (was_ahead(channel))
        return false; /* its end may be, too: streams of several channels that have had it begin again before those of the others */
    if (was_clock_set(channel) && !is_data_steady(channel, 0))
        return false; /* a history whose positions are older than those before is told by a gap, its newest end may not be */
    if (fact != NULL && (world.plan.faults >> STEP_EXPIRE & 1) != 0 && !is_data_steady(channel, fact->us))
        return false; /* it may have expired at an old primary, and is back */
    return fact != NULL && !fact->restored && ((fact->end || is_abandoned(fact)) && is_kept(fact, first_kept(channel)));
}

/* It is about to: leases that end when the world does are waited for. */
static bool is_lease_running(uint32_t channel)
{
    const struct fact *fact = newest(channel);
    uint64_t now_ms = redis_ms(channel);
    return fact != NULL && fact->lease_s != 0 && now_ms <= lease_ends_ms(fact) && now_ms + 4000 > lease_ends_ms(fact);
}

/* ---- which end it is ---- */

/* Without an id: the first one behind what the stream has, of those that no gap covers. */
static struct fact *find_unnamed(const struct track *track, const struct line *line)
{
    const struct fact *have = track->last_here != NULL ? track->last_here : track->last;
    struct fact *found = NULL;
    for (uint32_t i = have == NULL || have->lost ? 0 : have->index + 1; i < line->count; ++i) {
        found = line->facts[i]->end ? line->facts[i] : found;
        if (found != NULL && found->us > track->gap_us)
            break;
    }
    return found;
}

/* A stream that begins without an id is told of an end before its place, which may be any that there was until now; so is one whose data others took over from. */
static bool is_before_place(const struct client *client, uint32_t channel, const struct slice *id)
{
    struct position at;
    const struct track *track = &client->tracks[channel];
    bool by_id = id != NULL && event_id_parse(&at, *id, channel_of(channel));
    return !by_id && ((track->last == NULL && track->last_here == NULL) || !is_data_steady(channel, 0));
}

static void take_before_place(struct client *client, uint32_t channel)
{
    struct fact **all;
    struct track *track = &client->tracks[channel];
    uint32_t count = facts_of(channel, &all);
    bool any = false;
    for (uint32_t i = 0; i < count; ++i)
        if (all[i] != NULL && all[i]->end) {
            track->seen[i / 64] |= UINT64_C(1) << i % 64;
            track->twice_since = all[i]->at.ms < track->twice_since ? all[i]->at.ms : track->twice_since;
            any = true;
        }
    if (!any)
        violation("client %u: an end of channel %u, which has none", client->number, channel);
}

/* It may come now. */
static bool fits(const struct client *client, const struct fact *fact)
{
    const struct track *track = &client->tracks[fact->channel];
    const struct fact *last = track->last_here;
    return fact->end && !has_seen(track, fact) && (last == NULL || last->lost || fact->lost || fact->index > last->index) &&
           missing_before(client, track, fact) == NULL;
}

/* By its id, or by what the stream has; else the first one that it can be, since an old primary may still be heard. */
static struct fact *find_end(const struct client *client, uint32_t channel, const struct slice *id)
{
    struct fact **all, *found = NULL;
    struct position at;
    bool by_id = id != NULL && event_id_parse(&at, *id, channel_of(channel));
    struct fact *after = client->tracks[channel].last_here;
    struct fact *unnamed = by_id ? NULL : find_unnamed(&client->tracks[channel], line_of(channel));
    uint32_t count = facts_of(channel, &all);
    for (uint32_t i = 0; i < count; ++i) {
        if (all[i] == NULL || !all[i]->end || (by_id && position_compare(all[i]->at, at) != 0))
            continue;
        if (!by_id && after != NULL && all[i]->before == after && all[i]->us > client->tracks[channel].gap_us)
            return all[i];
        if (unnamed != NULL ? !fits(client, unnamed) && fits(client, all[i]) : found == NULL || !fits(client, found))
            *(unnamed != NULL ? &unnamed : &found) = all[i];
    }
    return unnamed != NULL ? unnamed : found;
}

/* Likewise, the event behind which a channel was abandoned: the last one of the stream, unless a gap covers others behind it. */
static struct fact *find_leased(const struct client *client, uint32_t channel, const struct slice *id)
{
    const struct track *track = &client->tracks[channel];
    struct fact **all, *found = track->last_here;
    struct position at;
    bool by_id = id != NULL && event_id_parse(&at, *id, channel_of(channel));
    uint32_t count = facts_of(channel, &all);
    if (!by_id && found != NULL && found->lease_s != 0 && !track->gap_behind)
        return found;
    found = NULL;
    for (uint32_t i = 0; i < count; ++i)
        if (all[i] != NULL && all[i]->lease_s != 0 &&
            (by_id ? position_compare(all[i]->at, at) == 0 : found == NULL || (is_abandoned(all[i]) && !all[i]->lost)))
            found = all[i];
    return found;
}

/* ---- a stream is told ---- */

/* An id behind the ends of all channels of a stream. */
static bool is_behind_all(const struct slice *id)
{
    struct position at;
    return id != NULL && event_id_parse(&at, *id, SLICE("")) && event_id_is_end(*id);
}

/* What was published since then a gateway may not have heard of, or its client. */
static uint64_t late_us(const struct client *client)
{
    bool slow = client->read_us != 0 || (world.plan.faults >> STEP_SLOW_DOWN & 1) != 0;
    return slow                                  ? SLOW_US
           : (world.plan.faults & DISTURBS) != 0 ? DEAF_US
                                                 : bus.options.delay_us * 50 + 100000 + world.plan.node.client_us * 4;
}

/* What the client is owed up to here, the end or the last event of an abandoned channel; NULL: it has all. */
const struct fact *missing_up_to(const struct client *client, const struct fact *last)
{
    struct fact behind = *last;
    behind.before = (struct fact *)last;
    behind.number = last->number + 1;
    behind.index = last->index + 1;
    return has_seen(&client->tracks[last->channel], last) ? NULL : missing_before(client, &client->tracks[last->channel], &behind);
}

/* The channel has ended, as far as gateway and client can know, and the client has all that comes before that. */
static void check_over(const struct client *client, uint32_t channel, const char *how)
{
    const struct line *line = line_of(channel);
    const struct fact *missing = NULL;
    bool over = false;
    if (was_clock_set(channel) ||
        !is_data_steady(channel, schedule_now_us() > late_us(client) ? schedule_now_us() - late_us(client) : 0))
        return;
    for (uint32_t i = line->count; i-- != 0;) {
        const struct fact *fact = line->facts[i];
        if (fact->end || is_abandoned(fact)) {
            over = true;
            missing = missing_up_to(client, fact);
            if (missing == NULL)
                return;
        }
        if (fact->us + late_us(client) < schedule_now_us())
            break;
    }
    if (!over)
        violation("client %u: %s, and channel %u goes on", client->number, how, channel);
    else if (missing != NULL)
        violation("client %u: %s, and event %u of channel %u has not come", client->number, how, missing->number, channel);
}

static void check_end_id(const struct client *client, const struct fact *fact, const struct slice *id, bool abandoned)
{
    char want[OWN_ID_MAX];
    if (abandoned)
        event_id_format_end(want, channel_of(fact->channel), fact->at);
    else
        snprintf(want, sizeof(want), "%s", fact->id);
    if (client->count == 1 ? id == NULL || !slice_eq(*id, slice_of(want))
                           : id != NULL && !is_behind_all(id) && (abandoned || !slice_eq(*id, slice_of(want))))
        violation("client %u: the end of channel %u came with the id %.*s", client->number, fact->channel,
                  id == NULL ? 1 : (int)id->n, id == NULL ? "-" : id->p);
}

/* It was not, if the next event had come in time. */
static void check_in_time(const struct client *client, const struct fact *fact)
{
    struct fact **all;
    uint32_t count = facts_of(fact->channel, &all);
    if (!is_data_steady(fact->channel, fact->us) || was_clock_set(fact->channel))
        return;
    if (!is_abandoned(fact))
        violation("client %u: channel %u counts as abandoned before the lease of event %u is over", client->number, fact->channel,
                  fact->number);
    for (uint32_t i = 0; i < count; ++i)
        if (all[i] != NULL && !all[i]->lost && all[i]->before == fact && all[i]->at.ms <= lease_ends_ms(fact))
            violation("client %u: channel %u counts as abandoned behind event %u, and %u came in time", client->number,
                      fact->channel, fact->number, all[i]->number);
}

static void take_abandoned(struct client *client, uint32_t channel, const struct slice *id)
{
    struct fact *fact = find_leased(client, channel, id);
    struct track *track = &client->tracks[channel];
    if (fact == NULL) {
        violation("client %u: channel %u counts as abandoned, and nobody has left it", client->number, channel);
        return;
    }
    check_end_id(client, fact, id, true);
    check_in_time(client, fact);
    const struct fact *missing = missing_up_to(client, fact);
    if (missing != NULL)
        violation("client %u: it is told that channel %u was abandoned, and event %u has not come", client->number, channel,
                  missing->number);
    if (track->gap_here)
        track->abandoned_here = NULL; /* events that followed it are lost */
    else if (track->abandoned_here == fact)
        violation("client %u: it is told twice that channel %u was abandoned", client->number, channel);
    else if (client->count == 1 && id != NULL && strncmp(client->asked_id, id->p, id->n) == 0 && !client->head_first &&
             is_data_steady(channel, fact->us) && !was_clock_set(channel))
        violation("client %u: it is told once more that channel %u was abandoned", client->number, channel);
    if (track->last_here != NULL && !track->last_here->lost && !fact->lost && track->last_here->index > fact->index)
        violation("client %u: channel %u counts as abandoned behind event %u, and the stream has %u", client->number, channel,
                  fact->number, track->last_here->number);
    track->abandoned = track->abandoned_here = fact;
}

/* Which channel it is of, and whether that was abandoned. False: of none of the client's. */
static bool read_end(const struct client *client, struct slice data, const struct slice *id, uint32_t *channel, bool *abandoned)
{
    char text[64];
    if (data.p == NULL) { /* the stream's own text */
        *channel = client->channels[0];
        *abandoned = id != NULL && id->n == EVENT_ID_LEN && event_id_is_end(*id);
        return true;
    }
    for (uint32_t i = 0; i < 2 * client->count; ++i) {
        *channel = client->channels[i / 2];
        *abandoned = i % 2 != 0;
        struct slice name = channel_of(*channel);
        if (data.n < 13 || data.p[12] != name.p[0]) /* {"channel":"a */
            continue;
        int n = snprintf(text, sizeof(text), "{\"channel\":\"%.*s\",\"reason\":\"%s\"}", (int)name.n, name.p,
                         *abandoned ? "abandoned" : "done");
        if (slice_eq(data, slice_make(text, (size_t)n)))
            return true;
    }
    return false;
}

/* `told`: the channel whose end said so; CHANNELS: none did. */
static void note_over(struct client *client, uint32_t told, const char *how)
{
    client->over_us = schedule_now_us();
    for (uint32_t i = 0; i < client->count; ++i)
        if (client->channels[i] != told)
            check_over(client, client->channels[i], how);
}

void oracle_told_end(struct client *client, struct slice data, const struct slice *id)
{
    uint32_t channel;
    bool abandoned;
    if (!read_end(client, data, id, &channel, &abandoned)) {
        violation("client %u: the end of no channel of its: %.*s", client->number, (int)data.n, data.p);
        return;
    }
    bool before = !abandoned && is_before_place(client, channel, id);
    struct fact *end = abandoned || before ? NULL : find_end(client, channel, id);
    if (abandoned) {
        take_abandoned(client, channel, id);
    } else if (before) {
        take_before_place(client, channel);
    } else if (end == NULL) {
        violation("client %u: an end of channel %u, which has none", client->number, channel);
        return;
    } else {
        check_end_id(client, end, id, false);
        oracle_take(client, end);
    }
    client->over = client->count == 1 || is_behind_all(id);
    if (client->over)
        note_over(client, channel, "its stream is over");
}

/* ---- 204 ---- */

void oracle_answered_204(struct client *client)
{
    if (client->asked_id[0] == 0)
        violation("client %u: 204 without an id", client->number);
    note_over(client, CHANNELS, "204");
}

void oracle_answer_stands_at(struct client *client, const struct slice *id)
{
    struct position at;
    if (client->count > 1 || !event_id_parse(&at, *id, client->names[0]) || strncmp(client->asked_id, id->p, id->n) == 0)
        return;
    struct fact *end = find_end(client, client->channels[0], id);
    if (end != NULL && position_compare(end->at, at) == 0 && !has_seen(&client->tracks[client->channels[0]], end))
        oracle_take(client, end);
}

void oracle_answered_over(struct client *client, const struct slice *id)
{
    if (client->count == 1 && strncmp(client->asked_id, id->p, id->n) != 0) {
        client->over = true;
        oracle_told_end(client, (struct slice){NULL, 0}, id);
        return;
    }
    if (client->count > 1 && !is_behind_all(id) && strncmp(client->asked_id, id->p, id->n) != 0 && !client->gap_in_answer)
        violation("client %u: the ends of its channels came with the id %.*s", client->number, (int)id->n, id->p);
    client->over = true;
    note_over(client, CHANNELS, "its channels have ended");
}

/* Whether nothing but 204 is right: the id that it came with is behind the ends of all its channels, and its gateway has heard of them. */
static bool is_204_due(const struct client *client)
{
    const uint64_t hard =
        DISTURBS | UINT64_C(1) << STEP_UNREADABLE | UINT64_C(1) << STEP_WRONG_TYPE | UINT64_C(1) << STEP_FORGET_BIRTH;
    struct slice id = slice_of(client->asked_id);
    struct position at;
    if ((world.plan.faults & hard) != 0 || client->asked_id[0] == 0 || client->head_first || world_young() || client->asked_poll ||
        client->asked_us + HELD_US < schedule_now_us() || (client->count > 1 && !is_behind_all(&id)))
        return false;
    for (uint32_t i = 0; i < client->count; ++i) {
        uint32_t channel = client->channels[i];
        const struct fact *last = newest(channel);
        if (!ends_due(channel) || !is_data_steady(channel, 0) || was_clock_set(channel) || was_emptied_since(channel, last->us) ||
            last->us + CONCLUDED_US + (uint64_t)last->lease_s * 1000000 > client->asked_us)
            return false;
        if (client->count > 1 && (!event_id_parse(&at, id, SLICE("")) || at.ms < last->at.ms || at.ms > redis_ms(channel)))
            return false; /* an end that an entry by hand took ahead of the clock: the id stands for nothing */
        if (client->count == 1 && (!event_id_parse(&at, id, channel_of(channel)) || position_compare(at, last->at) != 0 ||
                                   event_id_is_end(id) == last->end))
            return false;
    }
    return true;
}

void oracle_head_of_ends(const struct client *client)
{
    if (is_204_due(client))
        violation("client %u: a stream where 204 was due", client->number);
}

/* ---- the end of the world ---- */

void ends_note_asked(struct client *client)
{
    struct slice id = slice_of(client->asked_id);
    struct position at;
    if (is_behind_all(&id) && event_id_parse(&at, id, SLICE("")))
        for (uint32_t i = 0; i < client->count; ++i)
            client->tracks[client->channels[i]].over_ms = at.ms;
}

/* … or, with an id behind all ends, came and ended within the millisecond that this stands for. */
bool ends_may_skip(const struct client *client, const struct fact *fact)
{
    const struct line *line = line_of(fact->channel);
    uint64_t over_ms = client->tracks[fact->channel].over_ms;
    if (fact->end && (client->count > 1 ? client->polls : client->asked_poll))
        return true;
    for (uint32_t i = fact->index; i < line->count && fact->at.ms <= over_ms; ++i)
        if ((line->facts[i]->end || is_abandoned(line->facts[i])) && line->facts[i]->at.ms <= over_ms)
            return true;
    return false;
}

bool ends_known(const struct client *client, uint32_t *channel)
{
    uint32_t over = 0;
    for (uint32_t i = 0; i < client->count; ++i) {
        *channel = client->channels[i];
        if (is_lease_running(*channel))
            return false;
        bool due = ends_due(*channel);
        over += due;
        if (due && !newest(*channel)->end && client->count > 1 && !client->polls &&
            client->tracks[*channel].abandoned != newest(*channel) && client->over_us < healed_us)
            return false;
    }
    return over < client->count || (client->over_us >= healed_us && (client->wire == NULL || client->head_us == 0));
}
