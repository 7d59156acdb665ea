// Descriptions as the peers write them: the seeds of the fuzz target `sdp`, read where they stand. Tests run
// from the top of the tree.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/str.h"

// The text of tests/fuzz/corpus/sdp/NAME.sdp, NUL-terminated, valid until the next call but three.
static inline struct str sample(const char *name)
{
	static char text[4][16384];
	static unsigned turn;
	char path[256], *at = text[turn++ % 4];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "tests/fuzz/corpus/sdp/%s.sdp", name);
	f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		abort();
	}
	len = fread(at, 1, sizeof(text[0]) - 1, f);
	fclose(f);
	at[len] = '\0';
	return (struct str){at, len};
}
