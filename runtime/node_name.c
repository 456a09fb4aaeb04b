#include "runtime/node_name.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

const char *node_name_check(const char *name)
{
    size_t n = strlen(name);
    return n <= NODE_NAME_MAX && strspn(name, allowed) == n ? NULL : "must be 1 to 64 bytes of A-Z a-z 0-9 . _ -";
}

const char *node_name(const char *setting)
{
    static char name[NODE_NAME_MAX + 1];
    if (*setting != '\0') {
        snprintf(name, sizeof(name), "%s", setting);
        return name;
    }
    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
        snprintf(name, sizeof(name), "node");
    for (char *p = name; *p != '\0'; ++p)
        if (strchr(allowed, *p) == NULL)
            *p = '-';
    return name;
}
