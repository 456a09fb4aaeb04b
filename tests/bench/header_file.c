#include "tests/bench/header_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

enum { FILE_MAX_BYTES = 64 << 20 };

static char *read_text(const char *path)
{
    FILE *stream = fopen(path, "re");
    char *text = malloc(FILE_MAX_BYTES);
    if (stream == NULL || text == NULL)
        bench_fail("--header-file: %s can't be read", path);
    size_t n = fread(text, 1, FILE_MAX_BYTES, stream);
    if (ferror(stream) || n == 0 || n == FILE_MAX_BYTES)
        bench_fail("--header-file: %s is empty, or larger than %d bytes", path, FILE_MAX_BYTES);
    fclose(stream);
    text[n] = 0;
    return text;
}

void header_file_read(struct header_file *file, const char *path)
{
    char *rest = file->text = read_text(path), *line;
    size_t room = 0;
    for (const char *p = file->text; *p != 0; ++p)
        room += *p == '\n';
    if ((file->lines = calloc(room + 1, sizeof(*file->lines))) == NULL)
        bench_fail("no memory");
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strlen(line) > HEADER_LINE_MAX)
            bench_fail("--header-file: a line of more than %d bytes", HEADER_LINE_MAX);
        if (*line != 0)
            file->lines[file->count++] = line;
    }
    if (file->count == 0)
        bench_fail("--header-file: %s holds no line", path);
}

const char *header_file_line(const struct header_file *file, size_t number)
{
    return file->count == 0 ? "" : file->lines[number % file->count];
}

void header_file_dispose(struct header_file *file)
{
    free(file->lines);
    free(file->text);
}
