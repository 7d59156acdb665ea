// Memory of objects that workers read and write: none shares a cache line with another one.
#pragma once

#include <stddef.h>

// Zeroed; given back with free(). NULL: out of memory. thread: main
void *cacheline_zalloc(size_t size);
