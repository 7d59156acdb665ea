// Inside lib/conf: setting values by the schema, whatever they are read from.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "lib/conf/schema.h"

struct place {
	const char *name;    // file, or environment variable
	size_t line, column; // 1-based; 0: none
};

struct loader {
	struct conf *conf;
	struct conf_error *err;
	const char *file_name;
	enum conf_source source;           // of what is being read now
	bool is_given[CONF_MAX_KEYS];      // by the source being read now
	struct place place[CONF_MAX_KEYS]; // of the last value given
};

// Fill err with "file:line:column: key: why" and return -EINVAL.
[[gnu::format(printf, 4, 5)]] int conf_refuse(struct loader *, struct place at, const char *key,
					      const char *fmt, ...);
// Same, with rtcd's name of the value before the reason.
int conf_refuse_value(struct loader *, const struct conf_key *, struct place at, const char *why);

// Check text and set the key. Lists: items with commas between them replace what was there. 0 or -EINVAL.
[[nodiscard]] int conf_set(struct loader *, const struct conf_key *, struct place at, const char *text);
[[nodiscard]] int conf_list_add(struct loader *, const struct conf_key *, struct place at, struct str item);
void conf_list_clear(struct conf_list *);
struct conf_list *conf_list_of(struct loader *, const struct conf_key *);
// The key was given by the source being read.
void conf_mark_given(struct loader *, const struct conf_key *, struct place at);

// What concerns several keys, once all are set. 0 or -EINVAL.
[[nodiscard]] int conf_check_together(struct loader *);
void conf_values_free(struct conf *);
