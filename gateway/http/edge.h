/* What the gateway does for every request before and around its route: https redirect, CORS, HSTS, preflight. */
#pragma once

#include "gateway/http/site.h"

/* Adds the CORS and HSTS headers, and the name of this gateway, for this request to its response. edge_register() does it for every response that h2o sends; streams whose
 * head we write ourselves call it. */
void edge_add_headers(h2o_req_t *req);

/* Counts a stream whose head we write ourselves; every other response is counted where its headers are added. */
void edge_count_stream(h2o_req_t *req);

/* Registers the above as an output filter of a path. */
void edge_register(h2o_pathconf_t *path);

/* True when the request was answered with a redirect to https (FORCE_SSL). */
bool edge_redirect(h2o_req_t *req);

/* Answers OPTIONS: a CORS preflight, or just which methods there are. */
void edge_options(h2o_req_t *req, const char *allow);

/* True when the request was answered with 403: the page that sent it is neither of our own host nor of CORS_ORIGINS, and may change nothing here. */
bool edge_refuse_origin(h2o_req_t *req);
