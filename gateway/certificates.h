/* The files of TLS: the clients' end, Redis's (rediss://) and the publisher's (https://). Main thread. */
#pragma once

#include "gateway/gateway.h"

/* At the start, after the settings were parsed. NULL, or a sentence that names the setting. */
const char *certificates_load(struct gateway *gateway) __attribute__((warn_unused_result));

/* Their ends, for /metrics. */
void certificates_count(const struct gateway *gateway);

/* On SIGHUP: new connections use what the files hold now, open ones go on; a file that can't be used changes nothing for the connections it is for. */
void certificates_reload(struct gateway *gateway);
