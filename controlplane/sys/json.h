// The little JSON that the control plane reads and writes. Output as Go's encoder makes it: <, >, & and
// U+2028/9 escaped, invalid UTF-8 replaced.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

// `"text"`, escaped. At most 6 bytes per input byte and two.
void json_write_str(struct wbuf *, struct str);

// A field wanted from an object of strings.
struct json_field {
	const char *name;
	char *value; // owned by the caller after json_read_strings: free; NULL when absent
};

// Read the first JSON value of text: an object whose values are all strings (or null, read as ""); `null`
// itself is an empty object; what follows it is ignored. 0, or -EBADMSG with why[size] filled. Strings with
// NUL are refused.
[[nodiscard]] int json_read_strings(struct str text, struct json_field *fields, unsigned n, char *why,
				    size_t size);
void json_fields_free(struct json_field *, unsigned n);

// Members of a document we wrote ourselves (store values): text, or number; false when absent or other.
// Anything may come back from a shared store, so nothing is taken for granted.
struct json_doc;
struct json_doc *json_doc_parse(struct str text); // NULL: not an object
void json_doc_free(struct json_doc *);
bool json_doc_str(const struct json_doc *, const char *name, struct str *out); // borrowed from the document
bool json_doc_int(const struct json_doc *, const char *name, int64_t *out);
