#include "runtime/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "runtime/log.h"

static struct {
    void (*cb)(void *data, int signo);
    void *data;
    h2o_socket_t *sock; /* lives as long as the process */
} watcher;

static sigset_t watched(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void signals_block(void)
{
    sigset_t set = watched();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* A signalfd gives whole records only. */
static void on_signal(h2o_socket_t *sock, const char *err)
{
    struct signalfd_siginfo info;
    if (err != NULL)
        return;
    while (sock->input->size >= sizeof(info)) {
        memcpy(&info, sock->input->bytes, sizeof(info));
        h2o_buffer_consume(&sock->input, sizeof(info));
        watcher.cb(watcher.data, (int)info.ssi_signo);
    }
}

void signals_watch(h2o_loop_t *loop, void (*cb)(void *data, int signo), void *data)
{
    sigset_t set = watched();
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        die("cannot watch signals: %s", strerror(errno));
    watcher.cb = cb;
    watcher.data = data;
    watcher.sock = h2o_evloop_socket_create(loop, fd, 0);
    h2o_socket_read_start(watcher.sock, on_signal);
}
