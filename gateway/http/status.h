/* GET /status on the admin port: a page that shows every gateway and publisher of the cluster, and GET /status/events, the stream of their
 * announcements that feeds it. Main thread only. */
#pragma once

#include "runtime/announce.h"
#include "runtime/h2o.h"

struct status;

/* `on_watched(data, watched)` runs when the first stream opens and when the last one is gone. */
struct status *status_register(h2o_hostconf_t *host, void (*on_watched)(void *data, bool watched), void *data);

/* An announcement of this gateway; the newest is what a stream begins with. Trusted. */
void status_own(struct status *status, struct slice json);

/* An announcement from the bus. Anyone who may publish there can have written it: text that cannot be an announcement is dropped, the page checks the rest. */
void status_heard(struct status *status, struct slice text);
