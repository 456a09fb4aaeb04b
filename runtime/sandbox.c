#include "runtime/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/log.h"
#include "runtime/sandbox_calls.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* The bounding set first: taking from it is itself a privilege. Without it there was nothing to inherit anyway. */
static const char *drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    for (unsigned long i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; ++i)
        prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, none) == 0 ? "none" : strerrordesc_np(errno);
}

/* Not PR_SET_DUMPABLE: that gives /proc/PID to root as well, so whoever runs the service could no longer look at it with perf, gdb or ls -l /proc/PID/fd, and against another user's
 * processes it adds nothing. A limit of 1 byte is the kernel's own way to say "nor to a program either" (core_pattern beginning with '|'), which 0 is not. */
static const char *stop_core_dumps(void)
{
    struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
    struct rlimit soft = {.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_CORE, &limit) == 0 || setrlimit(RLIMIT_CORE, &soft) == 0)
        return "off";
    return strerrordesc_np(errno);
}

void sandbox_enter(const struct sandbox_options *options)
{
    if (SANITIZED) {
        log_info("sandbox", log_str("off", "built with a sanitizer"));
        return;
    }
    const char *core_dumps = options->core_dumps ? "system default" : stop_core_dumps();
    const char *capabilities = drop_capabilities();
    const char *privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? "on" : strerrordesc_np(errno);
    const char *seccomp = options->seccomp ? sandbox_calls_restrict() : NULL;
    log_info("sandbox", log_str("no_new_privs", privileges), log_str("capabilities", capabilities),
             log_str("seccomp", !options->seccomp ? "off"
                                : seccomp == NULL ? "on"
                                                  : seccomp),
             log_str("core_dumps", core_dumps));
}
