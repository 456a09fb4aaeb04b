#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"read", bench_read, "holds event streams open, checks every event and measures its latency"},
    {"churn", bench_churn, "opens and closes streams at a rate"},
    {"floor", bench_floor, "a server that does the least a server can"},
    {"publish", bench_publish, "publishes at a rate, whatever the answers (open loop)"},
    {"post", bench_post, "publishes over HTTP as fast as it is acknowledged (closed loop)"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

int main(int argc, char **argv)
{
    for (unsigned i = 0; argc > 1 && i < COMMANDS; ++i)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fputs("usage: bench COMMAND --option value ...\n", stderr);
    for (unsigned i = 0; i < COMMANDS; ++i)
        fprintf(stderr, "  %-8s %s\n", commands[i].name, commands[i].what);
    return 2;
}
