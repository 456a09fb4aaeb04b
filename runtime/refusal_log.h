/* A line in the log for a request that was refused for who sent it, or how often: 401, 403, 421 and 429. */
#pragma once

#include "runtime/h2o.h"

struct proxies;

/* Whose X-Forwarded-For names the client. Once, before threads start; NULL: nobody's. */
void refusal_log_trust(const struct proxies *proxies);

/* "request refused" at info, with the client's address, unless the status is another. Of each status at most LOG_BUDGET_LINES a second
 * and thread; the next line says how many were left out. The query is not logged: it may hold a token. Called by http_error(). */
void refusal_log(h2o_req_t *req, int status, const char *why);
