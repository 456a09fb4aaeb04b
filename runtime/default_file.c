#include "runtime/default_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/slice.h"

enum { LINE_MAX_BYTES = 4096 };

/* Without blanks around it and one pair of quotes. */
static struct slice unquote(struct slice value)
{
    value = slice_trim(value);
    bool quoted = value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') && value.p[value.n - 1] == value.p[0];
    return quoted ? slice_make(value.p + 1, value.n - 2) : value;
}

char *default_file_get(const char *path, const char *name)
{
    char line[LINE_MAX_BYTES], *found = NULL;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        struct slice value = slice_trim(slice_of(line)), key = slice_trim(slice_split(&value, '='));
        if (value.p == NULL || !slice_eq(key, slice_of(name)))
            continue;
        value = unquote(value);
        free(found);
        found = strndup(value.p, value.n);
    }
    if (file != NULL)
        fclose(file);
    return found;
}
