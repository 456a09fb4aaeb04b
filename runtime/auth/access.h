/* Who may subscribe to and publish on which channel: the token of a request, what it grants, what is open to everyone, and the
 * answers of RFC 6750 to all others. One for each generation of the files it was read from, and each thread that asks it. */
#pragma once

#include "runtime/auth/policy.h"
#include "runtime/h2o.h"
#include "runtime/metrics.h"

/* Settings of both programs; "" where not set. */
struct access_options {
    const char *key_file, *policy_file;
    const char *issuer, *audience;
    const char *cookie; /* a cookie of this name may carry the token */
    bool query; /* … and the parameter access_token */
    bool demo; /* no setting: whether the demo's channels can be read without a token when there is no policy file */
};

/* The checks of these settings, see config_option.check. */
const char *access_check_key_file(const char *value);
const char *access_check_policy_file(const char *value);
const char *access_check_cookie(const char *value);

struct access;

/* Reads the files. NULL without a key file: everything is open. When something is wrong also *error, a sentence in a static buffer
 * that begins with the setting; else it is NULL. `origins` (checked by cors_origins_check(), borrowed) are those whose pages may
 * publish with a cookie's token beside those of the server's own host. All texts stay borrowed. One thread at a time. */
struct access *access_load(const struct access_options *options, const char *origins, const char **error);

/* Another one for another thread, of the same files but with a memory of its own for tokens found valid; both from any thread. NULL
 * gives and takes NULL. */
struct access *access_share(const struct access *access);
void access_free(struct access *access);

/* The line that a start without a key logs. */
void access_warn_open(void);

/* Why a request was refused. */
enum access_refusal {
    ACCESS_BAD_REQUEST, /* 400: more than one token, or none where one should be */
    ACCESS_NO_TOKEN, /* 401 */
    ACCESS_BAD_TOKEN, /* 401 */
    ACCESS_NOT_GRANTED, /* 403 */
    ACCESS_FOREIGN_ORIGIN, /* 403: a page of another origin sent the cookie along */
    ACCESS_REFUSALS,
};

/* Rows of a metrics table, in the order of the enum. */
#define ACCESS_REFUSAL_ROWS(first)                                                 \
    [(first) + ACCESS_BAD_REQUEST] = ACCESS_REFUSAL_ROW("invalid request"),        \
               [(first) + ACCESS_NO_TOKEN] = ACCESS_REFUSAL_ROW("no token"),       \
               [(first) + ACCESS_BAD_TOKEN] = ACCESS_REFUSAL_ROW("invalid token"), \
               [(first) + ACCESS_NOT_GRANTED] = ACCESS_REFUSAL_ROW("not granted"), \
               [(first) + ACCESS_FOREIGN_ORIGIN] = ACCESS_REFUSAL_ROW("foreign origin")
#define ACCESS_REFUSAL_ROW(why)                                              \
    {                                                                        \
        "sse_auth_refused_total", "reason=\"" why "\"", METRIC_COUNTER,      \
            "requests refused for their token or the lack of one, by reason" \
    }

/* Where access_check() counts its refusals: the first of these rows. Before the first request. */
void access_count_at(size_t first);

/* Counts a refusal that access_check() did not make. */
void access_count(enum access_refusal refusal);

#define ACCESS_NOT_GRANTED_SENTENCE "the token does not grant this"

struct access_pass {
    int status; /* of the refusal */
    uint64_t life_ms; /* the token is good for so long; 0: for ever, or no token was needed */
    struct slice subject; /* its sub, in the request's pool; {NULL, 0} without */
    uint32_t key; /* by which its token is known; 0: no token was needed */
};

/* NULL when the request may do this on all of these channels; else the static sentence for the client and pass->status;
 * WWW-Authenticate is set on the response already. `access` NULL: everything is open. A token is looked at only when a channel is
 * not open to anyone. */
const char *access_check(const struct access *access, h2o_req_t *req, enum access_action action, const struct slice *channels,
                         size_t count, struct access_pass *pass);

/* The same where a part of the channels is worth something: granted[i] says whether it may do this on channels[i], and a token that does not grant them all
 * is no refusal. */
const char *access_check_each(const struct access *access, h2o_req_t *req, enum access_action action, const struct slice *channels,
                              size_t count, bool *granted, struct access_pass *pass);

/* Whether the key by which a pass was given is a key of `access`, too: the files were read again. */
bool access_knows(const struct access *access, uint32_t key);

/* Whether anyone may do this on the channel. */
bool access_open(const struct access *access, enum access_action action, struct slice channel);
