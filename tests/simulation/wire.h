/* One HTTP exchange: the request at the gateway, what was written and has not been read. */
#pragma once

#include "tests/simulation/client.h"

struct wire;

void wires_reset(void);

/* Sends the request to a worker of the gateway. */
struct wire *wire_open(struct client *client, struct node *node, const struct hub_spec *spec, const struct slice *channels,
                       const char *id);

/* The client's end is closed; `vanishes`: the gateway does not hear of it. */
void wire_close(struct wire *wire, bool vanishes);

/* Who reads nothing was closed, who polls was answered, and who was drained. */
void wires_check(void);

/* Gateways hear of all clients that are not there any more. */
void wires_notice(void);

/* Bytes are read at the pace of the client, which may have changed. */
void wire_read(struct wire *wire);

/* Its gateway is gone. */
void wires_lost(uint16_t gateway);
