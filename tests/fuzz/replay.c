/* The main of a target without libFuzzer: gives it each file of the folders and files named, so that every build replays the seeds and
 * the regressions. Names the file first: where the target ends the process, that is the one. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static size_t replayed;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct text bytes = {NULL, 0, 0};
    char part[4096];
    size_t n;
    must(file != NULL);
    while ((n = fread(part, 1, sizeof(part), file)) != 0)
        text_add(&bytes, slice_make(part, n));
    fclose(file);
    printf("# %s\n", path);
    fflush(stdout);
    struct slice exact = own(text_slice(&bytes), false);
    must(LLVMFuzzerTestOneInput((const uint8_t *)exact.p, exact.n) == 0);
    disown(exact);
    text_free(&bytes);
    ++replayed;
}

static void replay(const char *path)
{
    DIR *dir = opendir(path);
    struct stat about;
    if (dir == NULL && stat(path, &about) == 0)
        replay_file(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char below[4096];
        snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            replay_file(below);
    }
    if (dir != NULL)
        closedir(dir);
}

/* A folder may be missing (a target without regressions); none with a file in it is a failure. */
int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; ++i)
        replay(argv[i]);
    printf("%sok 1 - %zu inputs replayed\n1..1\n", replayed == 0 ? "not " : "", replayed);
    return replayed == 0;
}
