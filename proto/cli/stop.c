#include "proto/cli/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int event_fd = -1;
static volatile sig_atomic_t asked;

static void on_signal(int number)
{
    int kept = errno;
    uint64_t one = 1;
    (void)number;
    asked = 1;
    if (write(event_fd, &one, sizeof(one)) < 0)
        asked = 1; /* nothing else to be done; the flag is seen at the next turn */
    errno = kept;
}

/* Without SA_RESTART, so that a write that waits for a slow pipe ends, too. */
void stop_init(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0)
        abort();
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int stop_fd(void)
{
    return event_fd;
}

bool stop_asked(void)
{
    return asked != 0;
}
