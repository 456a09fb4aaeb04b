#include "runtime/h2o/interpose.h"

#include <dlfcn.h>

void interpose_find(const struct interposed *functions, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        *functions[i].theirs = dlsym(RTLD_NEXT, functions[i].name);
}

const char *interpose_check(const struct interposed *functions, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        if (*functions[i].theirs == NULL)
            return "the libh2o that was loaded can't be guarded: it lacks a function of 2.2.5";
        if (dlsym(RTLD_DEFAULT, functions[i].name) != functions[i].ours)
            return "the libh2o that was loaded can't be guarded: its calls don't come through this program";
    }
    return NULL;
}
