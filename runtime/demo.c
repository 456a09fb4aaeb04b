#include "runtime/demo.h"

#include <string.h>

const char *demo_check(const char *value)
{
    bool good = strcmp(value, "auto") == 0 || strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
    return good ? NULL : "must be auto, on or off";
}

bool demo_on(const char *setting, const char *key_file)
{
    return strcmp(setting, "auto") == 0 ? key_file[0] == '\0' : strcmp(setting, "on") == 0;
}

const char *demo_origins(const char *setting, bool demo)
{
    if (setting[0] != '\0')
        return setting;
    return demo ? "http://localhost:3000,https://front-end.surge.sh" : "none";
}
