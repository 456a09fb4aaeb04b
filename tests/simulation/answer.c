/* Clients that poll: an answer is taken apart, and what it says goes to the oracle as what a stream says does. */
#include <stdio.h>
#include <string.h>

#include "tests/simulation/bus_inside.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/world.h"

static bool take(struct slice *rest, struct slice what)
{
    bool there = slice_starts(*rest, what);
    if (there)
        *rest = slice_from(*rest, what.n);
    return there;
}

/* A string in which nothing is escaped: nothing here has to be. */
static bool take_string(struct slice *rest, struct slice *out)
{
    const char *end = take(rest, SLICE("\"")) ? memchr(rest->p, '"', rest->n) : NULL;
    if (end == NULL)
        return false;
    *out = slice_make(rest->p, (size_t)(end - rest->p));
    *rest = slice_from(*rest, out->n + 1);
    return memchr(out->p, '\\', out->n) == NULL;
}

static bool take_names(const struct client *client, struct slice *rest)
{
    struct slice name;
    bool several = client->count > 1, good = take(rest, several ? SLICE("{\"channels\":[") : SLICE("{\"channel\":"));
    for (uint32_t i = 0; i < client->count && good; ++i)
        good = (i == 0 || take(rest, SLICE(","))) && take_string(rest, &name) && slice_eq(name, client->names[i]);
    return good && (!several || take(rest, SLICE("]")));
}

/* Which channel it names goes before its data's word. */
static bool take_event(struct client *client, struct slice *rest)
{
    struct slice channel = client->names[0], id = {NULL, 0}, data;
    if (!take(rest, SLICE("{")) ||
        (client->count > 1 && (!take(rest, SLICE("\"channel\":")) || !take_string(rest, &channel) || !take(rest, SLICE(",")))))
        return false;
    bool good = take(rest, SLICE("\"id\":")) && take_string(rest, &id) && take(rest, SLICE(",\"data\":")) &&
                take_string(rest, &data) && take(rest, SLICE("}"));
    if (!good)
        return false;
    trace("client %u gets '%.*s' id %.*s", client->number, data.n < 60 ? (int)data.n : 60, data.p, (int)id.n, id.p);
    for (size_t i = 0; i < data.n && i < 16; ++i)
        schedule_note((unsigned char)data.p[i]);
    oracle_event(client, data, &id);
    return data.n != 0 && (size_t)(data.p[0] - '0') < CHANNELS && slice_eq(channel, channel_of((uint32_t)(data.p[0] - '0')));
}

static bool take_events(struct client *client, struct slice *rest, uint32_t *count)
{
    *count = 0;
    if (!take(rest, SLICE(",\"events\":[")))
        return false;
    while (!take(rest, SLICE("]")))
        if ((*count != 0 && !take(rest, SLICE(","))) || (++*count > client->limit && client->count == 1) ||
            !take_event(client, rest))
            return false;
    return true;
}

static bool take_switch(struct slice *rest, struct slice name, bool *on)
{
    if (!take(rest, name))
        return false;
    *on = take(rest, SLICE("true"));
    return *on || take(rest, SLICE("false"));
}

/* A gap stands before all events of the answer, or of several channels anywhere. */
static bool take_answer(struct client *client, struct slice body, bool *more, bool *same)
{
    struct slice rest = body, id;
    bool over, good = take_names(client, &rest);
    uint32_t count;
    client->gap_in_answer = memmem(body.p, body.n, "\"gap\":true", 10) != NULL;
    if (client->gap_in_answer)
        oracle_gap_of_some(client);
    good = good && take_events(client, &rest, &count) && take(&rest, SLICE(",\"last_event_id\":")) && take_string(&rest, &id);
    if (!good)
        return false;
    (void)take(&rest, SLICE(",\"gap\":true"));
    if (!take_switch(&rest, SLICE(",\"more\":"), more) || !take_switch(&rest, SLICE(",\"ended\":"), &over) ||
        !slice_eq(rest, SLICE("}")))
        return false;
    trace("client %u: %u events, then %.*s%s%s", client->number, count, (int)id.n, id.p, *more ? ", more" : "",
          over ? ", ended" : "");
    if (over)
        oracle_answered_over(client, &id);
    else
        oracle_answer_stands_at(client, &id);
    client_takes_id(client, id);
    client->tag_over = over;
    *same = count == 0 && slice_eq(id, slice_of(client->asked_id));
    return true;
}

static void take_unchanged(struct client *client)
{
    struct slice id = slice_of(client->id);
    trace("client %u gets 304", client->number);
    if (client->tag_of[0] == 0)
        violation("client %u: 304 without a tag", client->number);
    if (client->tag_over)
        oracle_answered_over(client, &id);
}

void client_takes_answer(struct client *client, int status, struct slice body, const char *tag)
{
    bool more = false, same = false;
    client->wire = NULL;
    schedule_note(client->number);
    oracle_head(client);
    if (client->fresh)
        oracle_place(client);
    if (status == 304)
        take_unchanged(client);
    else if (status != 200 || !take_answer(client, body, &more, &same))
        violation("client %u: an answer of another form: %.*s", client->number, body.n < 200 ? (int)body.n : 200, body.p);
    client->gap_in_answer = false;
    if (status == 200)
        snprintf(client->tag, sizeof(client->tag), "%s", same ? tag : "");
    if (client->over)
        client_rests(client);
    else if (!client->away)
        client_connect(client, 1000 + (more ? 0 : chance_below(&chance_of_order, 400000)));
}
