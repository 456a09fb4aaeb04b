/* DEMO: the four routes, the page, the tickers and the two origins that an open installation begins with. */
#pragma once

#include <stdbool.h>

/* Its row for a table of settings. */
#define DEMO_SETTING(at_)                                                                                                     \
    {                                                                                                                         \
        .name = "DEMO", .kind = CONFIG_TEXT, .fallback = "auto", .at = at_, .check = demo_check,                              \
        .doc = "the demo: the page, `/sse`, `/post`, `/events`, `/exchange_rates/usd_eur`, the tickers, and the two origins " \
               "of `CORS_ORIGINS`; `on`, `off`, or `auto`: on while `JWT_KEY_FILE` is not set"                                \
    }
const char *demo_check(const char *value);

/* Whether it is on. `setting` passed its check. */
bool demo_on(const char *setting, const char *key_file);

/* CORS_ORIGINS in force: the setting, or where it is empty the demo's two origins, or with the demo off none. */
const char *demo_origins(const char *setting, bool demo);
