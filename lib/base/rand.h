// Randomness from the kernel, replaceable in tests.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Fill with cryptographically strong bytes (getrandom(2)). Never fails after start-up; aborts if the
// kernel cannot provide. thread: any
void rand_bytes(void *out, size_t len);

uint32_t rand_u32(void);
uint64_t rand_u64(void);

// n characters drawn evenly from alphabet (2..256 characters), NUL-terminated: out has n + 1 bytes.
void rand_text(char *out, size_t n, const char *alphabet);

// Tests: replace the source by a seeded generator (xoshiro256**), or restore with rand_seed(0).
void rand_seed(uint64_t seed);
