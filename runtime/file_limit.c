#include "runtime/file_limit.h"

#include <stdio.h>
#include <sys/resource.h>

#include "runtime/log.h"

enum { CONNECTIONS_MIN = 44 }; /* FILES_MIN less the 256 that a gateway keeps */

size_t file_limit_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return SIZE_MAX;
    if (files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_NOFILE, &files);
    }
    return files.rlim_cur;
}

const char *file_limit_for_connections(size_t wanted, size_t reserve, size_t *fit)
{
    static char sentence[160];
    size_t limit = file_limit_limit(), least = reserve + CONNECTIONS_MIN < FILES_MIN ? FILES_MIN : reserve + CONNECTIONS_MIN;
    if (limit < least) {
        snprintf(sentence, sizeof(sentence), "the limit on open files is %zu and must be at least %zu (ulimit -n, LimitNOFILE)",
                 limit, least);
        return sentence;
    }
    *fit = wanted == 0 || wanted > limit - reserve ? limit - reserve : wanted;
    return NULL;
}

void file_limit_warn(size_t wanted, size_t fit)
{
    if (wanted > fit)
        log_warn("MAX_CONNECTIONS lowered to fit the limit on open files", log_int("wanted", (int64_t)wanted),
                 log_int("max_connections", (int64_t)fit));
}
