/* Stands between libh2o 2.2.5's HTTP/2 and its clients. The library predates rapid reset and its kin, can be made to abort by
 * window arithmetic and to loop forever while it drains, reads on for a connection that it is closing, and waits without end
 * for slow clients; runtime/h2o/README.md has the list. The guard sees each frame before the library acts on it
 * and each reset the library sends, keeps budgets (h2_rates.h), and looks at slow streams once a second (h2_timeouts.h). Over a
 * budget the whole connection ends: GOAWAY with ENHANCE_YOUR_CALM, a count, a line in the log.
 *
 * It does so by replacing functions of the library (library.h). Nothing of it runs when an event is delivered. */
#pragma once

#include "runtime/h2o.h"
#include "runtime/h2o/h2_abuse.h"

/* Once, before listeners start: the row of the program's metrics where H2_ABUSE_ROWS begin. */
void h2_guard_count(size_t first);

/* What is sent as the answer of an HTTP/2 request: bytes that are copied into its memory or not; before it is sent. Of HTTP/1 it does
 * nothing: a connection has one answer. */
void h2_guard_answer(h2o_req_t *req, size_t bytes, bool copied);

/* The answer is an event stream, whose memory is counted by its queue. */
void h2_guard_stream(h2o_req_t *req);
