/* The limit on open files. */
#pragma once

#include <stddef.h>

/* Raises the process's soft limit to its hard one, and returns how many connections fit below it when `reserve` descriptors are kept for
 * everything else: `wanted`, or fewer, which is logged; wanted 0 asks for as many as fit. */
size_t files_for_connections(size_t wanted, size_t reserve);
