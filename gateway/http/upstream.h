/* POSTs on their way to the publisher: how many there may be at once, and how each came out. */
#pragma once

#include "gateway/gateway.h"

/* Before threads start. */
void upstream_init(struct gateway *gateway);

/* True when the request may be passed on; else it was answered with 503. */
bool upstream_begin(struct gateway *gateway, h2o_req_t *req);

/* Each response passes here when its head is made; those that no publisher gave pass twice, the other time inside upstream.c. */
void upstream_answered(struct gateway *gateway, h2o_req_t *req);
