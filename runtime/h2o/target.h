/* What a request names, over HTTP/1.1 and over HTTP/2: the bytes that may stand in its path and its authority. Pure. */
#pragma once

#include "runtime/slice.h"

/* Whether this may be the path and query of a request line. A blank, a control byte or a line break in it would end the path for the next reader. */
bool target_is_path(struct slice text);

/* Whether this has only bytes of a host and a port, at least one, and so no user (RFC 9112 section 3.2, RFC 9113 section 8.3.1). */
bool target_is_authority(struct slice text);

/* Whether both authorities name the same host and port; `port`, ":80" or ":443", is the one that may be left out. */
bool target_is_same_authority(struct slice a, struct slice b, struct slice port);
