/* Which channels are open to everyone, and for what; all others need a token's grant. */
#pragma once

#include "runtime/slice.h"

enum access_action { ACCESS_SUBSCRIBE, ACCESS_PUBLISH };

struct policy; /* immutable; any thread may read it */

/* Reads the text of a policy, one rule a line:
 *
 *     public PATTERN      anyone may subscribe and publish
 *     read PATTERN        anyone may subscribe; to publish needs a grant
 *     write PATTERN       anyone may publish; to subscribe needs a grant
 *     closed PATTERN      both need a grant
 *
 * The first line whose pattern (see grants.h) names a channel decides; a channel that no line names is closed. Blank lines and what
 * follows '#' don't count. NULL and *error, a sentence in a static buffer that names the line. policy_free() it. */
struct policy *policy_parse(struct slice text, const char **error);
struct policy *policy_load(const char *path, const char **error);

/* The policy where a key is set and no file gives another: nobody publishes without a token, and only the demo's channels can be read. */
struct policy *policy_default(bool demo);

void policy_free(struct policy *policy);

/* Whether anyone may. */
bool policy_open(const struct policy *policy, enum access_action action, struct slice channel);
