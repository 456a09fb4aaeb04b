#include "runtime/read_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char sentence[200];

static const char *unreadable(void)
{
    snprintf(sentence, sizeof(sentence), "can't be read: %s", strerror(errno));
    return sentence;
}

static const char *read_all(FILE *file, char *text, size_t max, size_t *n)
{
    errno = 0;
    *n = fread(text, 1, max + 1, file);
    if (ferror(file))
        return unreadable();
    if (*n <= max)
        return NULL;
    snprintf(sentence, sizeof(sentence), "is longer than %zu bytes", max);
    return sentence;
}

char *read_file(const char *path, size_t max, size_t *n, const char **error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        *error = unreadable();
        return NULL;
    }
    setvbuf(file, NULL, _IONBF, 0); /* secrets are in no buffer but the caller's */
    char *text = malloc(max + 2);
    if (text == NULL)
        abort();
    *error = read_all(file, text, max, n);
    fclose(file);
    if (*error != NULL) {
        free(text);
        return NULL;
    }
    text[*n] = '\0';
    return text;
}
