/* Preloaded into a redis-server: its clock is CLOCK_SHIFT seconds off. (libfaketime and jemalloc don't get along, and Redis asks gettimeofday() only.) */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static const char *shift;
    if (shift == NULL && (shift = getenv("CLOCK_SHIFT")) == NULL)
        shift = "0";
    long failed = syscall(SYS_gettimeofday, now, zone);
    now->tv_sec += atol(shift);
    return (int)failed;
}
