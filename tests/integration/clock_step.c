/* Preloaded into a program: its time of day is as many seconds off as the file CLOCK_STEP says at the moment, eight bytes, so that a
 * test can set the clock of one process. CLOCK_MONOTONIC stays what it is, as when a host's clock is set. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t none, *step = &none;

__attribute__((constructor)) static void map(void)
{
    const char *path = getenv("CLOCK_STEP");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd == -1 ? MAP_FAILED : mmap(NULL, sizeof(*step), PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        step = at;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += *step;
    return failed;
}

/* The kernel's timers know nothing of the step. */
int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *before)
{
    struct itimerspec real = *when;
    if (flags & TFD_TIMER_ABSTIME)
        real.it_value.tv_sec -= *step;
    return (int)syscall(SYS_timerfd_settime, fd, flags, &real, before);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    *now = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
