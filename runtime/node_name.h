/* NODE_NAME: the name of this process on the page, in the header sse-gateway and at /status. */
#pragma once

enum { NODE_NAME_MAX = 64 };

/* NULL when `name` is empty (the host's name, then) or 1-64 bytes of A-Z a-z 0-9 . _ -; else a static sentence. */
const char *node_name_check(const char *name);

/* The setting, or when it is empty the host's name with every other byte as '-'. Static; the same for all callers. Call it before threads start. */
const char *node_name(const char *setting);
