#include "tests/simulation/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/simulation/oracle.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/wire.h"
#include "tests/simulation/world.h"

struct client clients[CLIENTS];
uint32_t client_count;

static void ask_as_json(struct client *client, struct hub_spec *spec)
{
    static const uint32_t limits[] = {1, 3, 1000}, waits_ms[] = {0, 300, 3000};
    client->limit = limits[chance_below(&chance_of_order, 3)];
    spec->form = FORM_JSON;
    spec->poll = (struct poll_spec){client->limit, waits_ms[chance_below(&chance_of_order, 3)]};
    memcpy(client->tag_of, client->tag, sizeof(client->tag));
}

static void on_connects(void *data)
{
    struct client *client = data;
    struct node *node = world_gateway();
    if (client->wire != NULL || client->away || client->gone)
        return;
    if (node == NULL) {
        schedule_after(&client->connects, 100000);
        return;
    }
    bool resumes = client->id[0] != 0, earliest = !resumes && client->mode == START_EARLIEST;
    struct hub_spec spec = {.count = client->count,
                            .welcome = resumes || earliest ? WELCOME_NOTHING : WELCOME_POSITION,
                            .mode = resumes ? START_RESUME : client->mode,
                            .last = client->last,
                            .end_text = client->end_text == NULL ? (struct slice){NULL, 0} : slice_of(client->end_text),
                            .client = client->number + 1};
    client->asked_poll = client->polls && (client->polls_only || chance_below(&chance_of_order, 2) == 0);
    if (client->asked_poll)
        ask_as_json(client, &spec);
    client->gateway = node->number;
    client->gateway_us = node->started_us;
    trace("client %u asks gateway %u: %s%s%s, %u channels", client->number, node->number, client->asked_poll ? "polls, " : "",
          resumes                      ? "resumes from "
          : earliest                   ? "the earliest"
          : client->mode == START_LAST ? "the last"
                                       : "fresh",
          client->id, client->count);
    oracle_asks(client);
    client->wire = wire_open(client, node, &spec, client->names, client->id);
}

void clients_reset(void)
{
    for (uint32_t i = 0; i < CLIENTS; ++i) {
        memset(&clients[i], 0, sizeof(clients[i]));
        clients[i].number = i;
        clients[i].connects = (struct due){.run = on_connects, .data = &clients[i]};
    }
    client_count = 0;
}

void client_connect(struct client *client, uint64_t after_us)
{
    client->away = false;
    if (client->wire == NULL && !client->gone && !schedule_waits(&client->connects))
        schedule_after(&client->connects, after_us);
}

void client_leave(struct client *client, bool vanishes, uint64_t back_us)
{
    if (client->wire != NULL) {
        trace("client %u %s", client->number, vanishes ? "vanishes" : "leaves");
        wire_close(client->wire, vanishes);
        client->wire = NULL;
    }
    schedule_cancel(&client->connects);
    client_connect(client, back_us);
}

/* Its channels have ended. It looks in again, now and then as one that has never been there. */
void client_rests(struct client *client)
{
    if (chance_below(&chance_of_order, 8) == 0)
        client->id[0] = client->tag[0] = 0;
    if (!client->away)
        client_connect(client, 1000 + chance_below(&chance_of_order, 3000000));
}

void client_ends(struct client *client, const char *how)
{
    trace("client %u: its stream %s", client->number, how);
    client->wire = NULL;
    if (how[0] == '4')
        world_refused(client, how);
    if (client->over) {
        client_rests(client);
        return;
    }
    if (!client->away)
        client_connect(client, 1000 + chance_below(&chance_of_order, 300000));
}

void client_takes_204(struct client *client)
{
    trace("client %u gets 204", client->number);
    client->wire = NULL;
    oracle_answered_204(client);
    client_rests(client);
}

void clients_lost(uint16_t gateway)
{
    wires_lost(gateway);
}

/* ---- what comes ---- */

void client_takes_head(struct client *client)
{
    trace("client %u has its head", client->number);
    oracle_head(client);
}

void client_takes_id(struct client *client, struct slice id)
{
    if (id.n > ID_MAX) {
        violation("client %u: an id that is too long", client->number);
        return;
    }
    if (chance_below(&chance_of_order, 4) == 0)
        memcpy(client->older_id, client->id, sizeof(client->id));
    memcpy(client->id, id.p, id.n);
    client->id[id.n] = 0;
    client->place_us = schedule_now_us();
}

void client_takes(struct client *client, struct slice type, struct slice data, const struct slice *id)
{
    struct slice shown = slice_make(data.p, data.n < 60 ? data.n : 60);
    trace("client %u gets %.*s '%.*s' id %.*s", client->number, (int)type.n, type.p, (int)shown.n, shown.p == NULL ? "" : shown.p,
          id == NULL ? 1 : (int)id->n, id == NULL ? "-" : id->p);
    for (size_t i = 0; i < data.n && i < 16; ++i)
        schedule_note((unsigned char)data.p[i]);
    schedule_note(client->number);
    bool own_text = client->end_text != NULL && data.p != NULL && slice_eq(data, slice_of(client->end_text));
    if (client->over)
        violation("client %u: something came behind the end of its stream", client->number);
    if (slice_eq(type, SLICE("end")) || own_text)
        oracle_told_end(client, own_text ? (struct slice){NULL, 0} : data, id);
    else if (slice_eq(type, SLICE("gap")))
        oracle_gap(client, data, id);
    else if (data.p != NULL)
        oracle_event(client, data, id);
    else if (client->id[0] == 0)
        oracle_place(client);
    if (id != NULL)
        client_takes_id(client, *id);
}
