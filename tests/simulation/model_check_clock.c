/* Preloaded into the redis-server of model_check: its clock is what stands in the file MODEL_CHECK_CLOCK, microseconds since 1970. So it stands still while a command
 * runs, and steps when the check says so. Redis takes its time from gettimeofday() alone; what it counts by the monotonic clock goes on. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static volatile uint64_t *clock_us;
    (void)zone;
    if (clock_us == NULL) {
        const char *path = getenv("MODEL_CHECK_CLOCK");
        int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        void *map = fd == -1 ? MAP_FAILED : mmap(NULL, sizeof(*clock_us), PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            abort();
        close(fd);
        clock_us = map;
    }
    uint64_t us = *clock_us;
    now->tv_sec = (time_t)(us / 1000000);
    now->tv_usec = (suseconds_t)(us % 1000000);
    return 0;
}
