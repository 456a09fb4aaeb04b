/* runtime/sandbox: each row in a child of its own that has entered the sandbox, as the programs do, and then tries something. */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/sandbox_calls.h"
#include "tests/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { WORKED = 0, FAILED = 1 }; /* a child's exit status; errno is lost but for EPERM: */
enum { FORBIDDEN = 2 };

static int outcome(bool worked)
{
    return worked ? WORKED : errno == EPERM ? FORBIDDEN : FAILED;
}

static int start_program(void)
{
    return outcome(execl("/bin/true", "true", NULL) == 0);
}

static int trace(void)
{
    return outcome(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0);
}

static int become_root(void)
{
    return outcome(setuid(0) == 0);
}

static int start_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return outcome(pid > 0);
}

static int signal_another(void)
{
    return outcome(kill(getppid(), 0) == 0);
}

static int open_raw_socket(void)
{
    return outcome(socket(AF_PACKET, SOCK_RAW, 0) >= 0);
}

static int make_code(void)
{
    return outcome(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static int make_code_later(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? FAILED : outcome(mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
}

static int bind_low_port(void)
{
    return outcome(prctl(PR_CAPBSET_READ, 10 /* CAP_NET_BIND_SERVICE */, 0, 0, 0) == 1);
}

static void *on_thread(void *data)
{
    return data;
}

static int start_thread(void)
{
    pthread_t thread;
    void *got = NULL;
    return outcome(pthread_create(&thread, NULL, on_thread, (void *)"x") == 0 && pthread_join(thread, &got) == 0 && got != NULL);
}

static int look_up(void)
{
    struct addrinfo *found;
    if (getaddrinfo("localhost", "80", NULL, &found) != 0)
        return FAILED;
    freeaddrinfo(found);
    return WORKED;
}

static int read_file(void)
{
    return outcome(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
}

static int write_own_memory(void)
{
    return outcome(open("/proc/self/mem", O_RDWR | O_CLOEXEC) >= 0);
}

static int write_own_memory_by_truncation(void)
{
    return outcome(open("/proc/self/mem", O_RDONLY | O_TRUNC | O_CLOEXEC) >= 0);
}

static int make_temporary_file(void)
{
    char path[] = "/tmp/test_sandbox-XXXXXX";
    int fd = mkstemp(path);
    return outcome(fd >= 0 && unlink(path) == 0);
}

static int end_by_abort(void)
{
    abort();
}

static int leave_no_core(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max <= 1 ? WORKED : FAILED;
}

static int raise_file_limit(void)
{
    struct rlimit limit;
    return outcome(getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The status of a child that entered the sandbox (after `before`, which may be NULL) and then did `act`. */
static int in_sandbox(bool seccomp, void (*before)(void), int (*act)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (before != NULL)
            before();
        sandbox_enter(&(struct sandbox_options){.seccomp = seccomp});
        _exit(act());
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static bool exited(int status, int code)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static bool killed(int status, int signo)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == signo;
}

static void test_calls(void)
{
    static const struct {
        const char *fact;
        int (*act)(void);
        int want; /* exit status, or minus the signal */
    } rows[] = {
        {"starting a program ends the process", start_program, -SIGSYS},
        {"looking into another process ends it", trace, -SIGSYS},
        {"changing the user ends it", become_root, -SIGSYS},
        {"a second process is refused", start_process, FORBIDDEN},
        {"signalling another process is refused", signal_another, FORBIDDEN},
        {"a packet socket is refused", open_raw_socket, FORBIDDEN},
        {"memory to write and to run is refused", make_code, FORBIDDEN},
        {"so is making written memory runnable", make_code_later, FORBIDDEN},
        {"asking for a capability is refused", bind_low_port, FORBIDDEN},
        {"a thread can be started", start_thread, WORKED},
        {"a name can be looked up", look_up, WORKED},
        {"a file can be read", read_file, WORKED},
        {"the memory can't be written as a file", write_own_memory, FORBIDDEN},
        {"nor by another spelling", write_own_memory_by_truncation, FORBIDDEN},
        {"a temporary file can be made", make_temporary_file, WORKED},
        {"limits can be read and set", raise_file_limit, WORKED},
        {"abort() still aborts", end_by_abort, -SIGABRT},
        {"no core is left", leave_no_core, WORKED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        int status = in_sandbox(true, NULL, rows[i].act);
        bool good = rows[i].want < 0 ? killed(status, -rows[i].want) : exited(status, rows[i].want);
        check(good, "%s (wait status %#x)", rows[i].fact, (unsigned)status);
    }
}

static int read_status(void)
{
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    unsigned good = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        good += strcmp(line, "NoNewPrivs:\t1\n") == 0 || strcmp(line, "CapEff:\t0000000000000000\n") == 0 ||
                strcmp(line, "CapPrm:\t0000000000000000\n") == 0 || strcmp(line, "CapInh:\t0000000000000000\n") == 0;
    return good == 4 ? WORKED : FAILED;
}

/* As a container's own filter does. */
static void forbid_filters(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP));
    seccomp_load(filter);
    seccomp_release(filter);
}

static int no_filter(void)
{
    return sandbox_calls_restrict() != NULL && kill(getppid(), 0) == 0 ? WORKED : FAILED;
}

static void test_rest(void)
{
    check(exited(in_sandbox(true, NULL, read_status), WORKED), "no new privileges and no capabilities");
    check(exited(in_sandbox(false, NULL, read_status), WORKED), "… also without the filter");
    check(exited(in_sandbox(false, NULL, start_program), 0), "without it programs can be started");
    check(exited(in_sandbox(true, forbid_filters, no_filter), WORKED), "where the platform forbids filters the process goes on");
}

int main(void)
{
    if (!SANITIZED) {
        test_calls();
        test_rest();
    } else {
        check(exited(in_sandbox(true, NULL, signal_another), WORKED), "built with a sanitizer: nothing is taken away");
    }
    return check_end();
}
