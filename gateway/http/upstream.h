/* POSTs on their way to the publisher: which may be passed on, how many at once, and how each came out. */
#pragma once

#include "gateway/http/site.h"

/* Whatever the path's handlers before this one leave goes to the publisher. `tls` (borrowed) is for https://, else NULL. Before
 * threads start. */
void upstream_register(struct site *site, h2o_pathconf_t *path, SSL_CTX *tls);

/* From now on this worker's new connections to the publisher use `tls`, whose reference the worker takes over. Worker thread. */
void upstream_set_tls(struct site_worker *worker, SSL_CTX *tls);

/* Checks the token, unless the channels stand in the body ({NULL, 0}). True when the request may publish on the channel and be passed on: its repeated fields are joined then. False
 * when it was answered here. Nothing is sent again from here. */
bool upstream_begin(h2o_req_t *req, struct slice channel);

/* Each response passes here when its head is made, and the publisher's are counted by outcome; the errors of libh2o's proxy are
 * counted in upstream.c before. */
void upstream_answered(h2o_req_t *req);
