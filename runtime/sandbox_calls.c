#include "runtime/sandbox_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* By name, so that one list serves all architectures: a name that an architecture has not is left out. */
static const char *const allowed[] = {
    /* the loop and its sockets */
    "read", "write", "readv", "writev", "sendmsg", "sendto", "sendmmsg", "recvmsg", "recvfrom", "recvmmsg", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "accept",
    "accept4", "bind", "listen", "connect", "shutdown", "getsockname", "getpeername", "getsockopt", "setsockopt", "socketpair",
    "close", "close_range", "dup", "dup2", "dup3", "fcntl", "ioctl", "pipe", "pipe2", "eventfd", "eventfd2", "signalfd",
    "signalfd4", "timerfd_create", "timerfd_settime", "timerfd_gettime",
    /* memory and threads */
    "brk", "munmap", "mremap", "madvise", "futex", "futex_waitv", "membarrier", "set_robust_list", "get_robust_list",
    "set_tid_address", "rseq", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_getscheduler",
    "getcpu", "exit", "exit_group", "restart_syscall",
    /* signals; abort() names its own process */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending", "sigaltstack", "tgkill", "alarm",
    "setitimer", "getitimer", "pause",
    /* time and chance */
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times", "getrandom",
    /* files, see add_files(): certificates again, names to resolve, large bodies on disk, shared objects that the look-up of names loads */
    "stat", "fstat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "lseek", "pread64", "pwrite64", "preadv", "pwritev",
    "access", "faccessat", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "unlink", "unlinkat", "ftruncate",
    "fallocate", "fadvise64", "fsync", "fdatasync", "flock",
    /* who am I */
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getpgrp",
    "uname", "sysinfo", "getrusage", "getrlimit", "capget"};

/* The C library asks for these first and does without when there is no such call. */
static const char *const absent[] = {"clone3",       "openat2",        "faccessat2", "memfd_create",
                                     "memfd_secret", "io_uring_setup", "pidfd_open"};

/* Nothing of ours calls them by mistake. */
static const char *const deadly[] = {
    /* other programs and processes */
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp",
    /* another view of the system, or another user */
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "personality", "setuid", "setgid", "setreuid", "setregid",
    "setresuid", "setresgid",
    /* the kernel */
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "userfaultfd", "perf_event_open",
    "add_key", "request_key", "keyctl", "io_uring_enter", "io_uring_register", "open_by_handle_at", "reboot", "swapon", "acct",
    "quotactl"};

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        int call = seccomp_syscall_resolve_name(names[i]), result = call < 0 ? 0 : seccomp_rule_add(filter, action, call, 0);
        if (result != 0)
            return result;
    }
    return 0;
}

#define ADD_ALL(filter, action, names) add_all(filter, action, names, sizeof(names) / sizeof(names[0]))

static int add_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof(families) / sizeof(families[0]); ++i)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    return result;
}

/* Threads, not processes; memory that can be written or run, not both; limits of this process, not of others. */
static int add_conditions(scmp_filter_ctx filter)
{
    static const int prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA};
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
    for (int prot = 0; result == 0 && prot < 8; ++prot)
        if ((prot & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC))
            result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)prot));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    for (size_t i = 0; result == 0 && i < sizeof(prctls) / sizeof(prctls[0]); ++i)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prctls[i]));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
    return result;
}

/* Files are opened to be read, or are new and this process's own. Nothing that is there already can be written: not /proc/self/mem, by which
 * code could change itself although no memory may be both written and run. */
static int add_files(scmp_filter_ctx filter)
{
    const struct {
        int call;
        unsigned flags; /* the argument that holds them */
    } calls[] = {{SCMP_SYS(open), 1}, {SCMP_SYS(openat), 2}};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof(calls) / sizeof(calls[0]); ++i) {
        if (calls[i].call < 0)
            continue;
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i].call, 1,
                                  SCMP_CMP(calls[i].flags, SCMP_CMP_MASKED_EQ, O_ACCMODE | O_TRUNC, O_RDONLY));
        if (result == 0)
            result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i].call, 1,
                                      SCMP_CMP(calls[i].flags, SCMP_CMP_MASKED_EQ, O_CREAT | O_EXCL, O_CREAT | O_EXCL));
    }
    return result;
}

static int build(scmp_filter_ctx filter)
{
    /* A decision tree, and none of the slowing down of branches that is meant for programs which run other people's code. */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    int result = ADD_ALL(filter, SCMP_ACT_ALLOW, allowed);
    if (result == 0)
        result = ADD_ALL(filter, SCMP_ACT_ERRNO(ENOSYS), absent);
    if (result == 0)
        result = ADD_ALL(filter, SCMP_ACT_KILL_PROCESS, deadly);
    if (result == 0)
        result = add_sockets(filter);
    if (result == 0)
        result = add_files(filter);
    return result == 0 ? add_conditions(filter) : result;
}

const char *sandbox_calls_restrict(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return "no memory";
    int result = build(filter);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result == 0 ? NULL : strerrordesc_np(-result);
}
