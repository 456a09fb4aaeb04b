#include "runtime/h2o/h2o_check.h"

#include <dlfcn.h>
#include <h2o/version.h>

#include "runtime/h2o/library.h"

_Static_assert(H2O_VERSION_MAJOR == 2 && H2O_VERSION_MINOR == 2 && H2O_VERSION_PATCH == 5, "this program is for libh2o 2.2.5");

struct library library;

static const int *const linked __attribute__((used)) = &turn_clients_max;

static const struct {
    const char *name;
    void *ours;
    void **theirs;
} replaced[] = {
#define ROW(name) {#name, (void *)name, (void **)&library.name},
    LIBRARY_REPLACED(ROW)
#undef ROW
};

enum { REPLACED = sizeof(replaced) / sizeof(replaced[0]) };

__attribute__((constructor)) static void find_library(void)
{
    for (size_t i = 0; i < REPLACED; ++i)
        *replaced[i].theirs = dlsym(RTLD_NEXT, replaced[i].name);
}

/* The version that the library itself puts into its Server header; the header files say only what this program was compiled with. */
static bool is_version(const char *want)
{
    h2o_globalconf_t conf;
    h2o_config_init(&conf);
    bool same = h2o_memis(conf.server_name.base, conf.server_name.len, want, strlen(want));
    h2o_config_dispose(&conf);
    return same;
}

const char *h2o_check(void)
{
    for (size_t i = 0; i < REPLACED; ++i) {
        if (*replaced[i].theirs == NULL)
            return "the libh2o that was loaded can't be guarded: it lacks a function of 2.2.5";
        if (dlsym(RTLD_DEFAULT, replaced[i].name) != replaced[i].ours)
            return "the libh2o that was loaded can't be guarded: its calls don't come through this program";
    }
    return is_version("h2o/2.2.5") ? NULL : "this program guards libh2o 2.2.5, and the libh2o that was loaded is another version";
}
