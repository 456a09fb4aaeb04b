#include "runtime/files.h"

#include <sys/resource.h>

#include "runtime/log.h"

size_t files_for_connections(size_t wanted, size_t reserve)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return wanted;
    if (files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_NOFILE, &files);
    }
    size_t fit = files.rlim_cur > 2 * reserve ? files.rlim_cur - reserve : reserve;
    if (wanted == 0 || wanted <= fit)
        return wanted == 0 ? fit : wanted;
    log_warn("the limit on open files lowers MAX_CONNECTIONS", log_int("wanted", (int64_t)wanted),
             log_int("max_connections", (int64_t)fit));
    return fit;
}
