/* What a load program is told: `--name value` in any order, and flags, which have no value. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The pointers that are set say what its value is and where it goes, as what; they keep what they hold where the option is not given. */
struct bench_option {
    const char *name;
    bool needed;
    const char **text;
    uint64_t *number;
    uint64_t min, max; /* of the number */
    bool *flag;
    struct sockaddr_in *address; /* IPv4:PORT */
};

/* Fails naming the option on what is not among them, has no such value, or is needed and missing. */
void bench_options(const struct bench_option *options, size_t count, int argc, char **argv);
