/* What SIGHUP does for REDIS_URL_FILE and REDIS_SENTINEL_PASSWORD_FILE. */
#pragma once

#include "runtime/redis/redis_url.h"

enum redis_reload {
    REDIS_RELOAD_NOTHING, /* neither is set */
    REDIS_RELOAD_DONE,
    REDIS_RELOAD_FAILED, /* nothing has changed */
};

/* Reloads them: new connections log in with them; open ones stay. Only users and passwords may have changed. `url_text` and `sentinel_password` are the settings
 * as they were read at the start. Logs how it came out. On the connections' thread. */
enum redis_reload redis_reload(struct redis_url *url, const char *url_text, const char *sentinel_password);
