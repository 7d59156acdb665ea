// Errors: negative errno values everywhere, one way to stop.
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Set errno and return its negative, for functions that return an int.
static inline int err_set(int errnum)
{
	errno = errnum;
	return -errnum;
}

// Set errno and return NULL, for functions that return a pointer.
static inline void *err_null(int errnum)
{
	errno = errnum;
	return NULL;
}

// Exit status values of both daemons (sysexits(3) plus systemd conventions).
enum exit_status {
	EXIT_OK = 0,
	EXIT_USAGE = 64,       // bad command line
	EXIT_UNAVAILABLE = 69, // hugepages, NIC, port or peer process not available
	EXIT_SOFTWARE = 70,    // self-test failed
	EXIT_OS = 71,          // system call failed
	EXIT_PERM = 77,        // permission denied
	EXIT_CONFIG = 78,      // configuration error
};

// Print "sluice: <message>" to stderr and exit with status. Only before a daemon serves.
#define die(status, ...)                      \
	do {                                  \
		fputs("sluice: ", stderr);    \
		fprintf(stderr, __VA_ARGS__); \
		fputc('\n', stderr);          \
		exit(status);                 \
	} while (0)

// A broken invariant: print where and abort. Kept in release builds; never for input from outside: `// cannot: ` above it
// says why that does not lead here (tools/devtools/check-must).
#define MUST(cond)                                                                                   \
	do {                                                                                         \
		if (__builtin_expect(!(cond), 0)) {                                                  \
			fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                                     \
		}                                                                                    \
	} while (0)

// The same where a packet passes: checked in debug, asan, tsan and fuzz builds (DEBUG), nothing is left of it in others.
#ifdef DEBUG
#define ASSERT_HOT(cond) MUST(cond)
#else
#define ASSERT_HOT(cond) ((void)sizeof(!(cond)))
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
