// Which key was meant by a name that is none.
#include <string.h>

#include "lib/conf/schema.h"

#define MAX_NAME 48 // longer names are no typing errors of ours

// Levenshtein distance of two names of at most MAX_NAME characters.
static unsigned edits(const char *a, const char *b)
{
	unsigned row[MAX_NAME + 1], n = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			best = best < row[j] + 1 ? best : row[j] + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[n];
}

static const char *last_part(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

const char *conf_key_nearest(const char *path)
{
	unsigned best = MAX_NAME;
	const char *found = NULL;

	if (strlen(path) > MAX_NAME)
		return NULL;
	for (unsigned i = 0; i < conf_n_keys; i++) {
		const char *candidate = conf_schema[i].path;
		unsigned n = edits(path, candidate);

		if (strcmp(last_part(path), last_part(candidate)) == 0)
			n = n < 2 ? n : 2; // right name in the wrong section
		if (n < best) {
			best = n;
			found = candidate;
		}
	}
	return best <= 2 + strlen(path) / 5 ? found : NULL;
}
