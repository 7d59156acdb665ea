#include "controlplane/sys/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "lib/base/utf8.h"

// Bytes of the UTF-8 sequence at p, 0 when it is not valid.
static size_t utf8_len(const char *p, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++)
		if (utf8_is_valid((struct str){p, n}))
			return n;
	return 0;
}

static void write_escaped(struct wbuf *w, const char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c = (unsigned char)*p;

	if (n == 0)
		wbuf_bytes(w, "\\ufffd", 6);
	else if (n == 3 && (memcmp(p, "\u2028", 3) == 0 || memcmp(p, "\u2029", 3) == 0))
		wbuf_printf(w, "\\u202%c", p[2] == '\xa8' ? '8' : '9');
	else if (c == '"' || c == '\\')
		wbuf_printf(w, "\\%c", c);
	else if (c == '\n' || c == '\r' || c == '\t')
		wbuf_bytes(w, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", 2);
	else if (c < 0x20 || c == '<' || c == '>' || c == '&')
		wbuf_bytes(w, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
	else
		wbuf_bytes(w, p, n);
}

void json_write_str(struct wbuf *w, struct str s)
{
	wbuf_u8(w, '"');
	for (size_t i = 0; i < s.len;) {
		size_t n = (unsigned char)s.p[i] < 0x80 ? 1 : utf8_len(s.p + i, s.len - i);

		write_escaped(w, s.p + i, n);
		i += n ? n : 1;
	}
	wbuf_u8(w, '"');
}

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "number";
	default:
		return "bool";
	}
}

static bool check_strings(json_t *root, char *why, size_t size)
{
	const char *key;
	json_t *v;

	json_object_foreach(root, key, v)
	{
		if (json_is_string(v) || json_is_null(v))
			continue;
		snprintf(why, size, "json: cannot unmarshal %s into Go value of type string", type_name(v));
		return false;
	}
	return true;
}

static bool is_blank(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (strchr(" \t\r\n", text.p[i]) == NULL || text.p[i] == '\0')
			return false;
	return true;
}

static json_t *load(struct str text, char *why, size_t size)
{
	json_error_t error;
	json_t *root;

	if (is_blank(text)) {
		snprintf(why, size, "EOF");
		return NULL;
	}
	root = json_loadb(text.p, text.len, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);
	if (root == NULL) {
		if (json_error_code(&error) == json_error_premature_end_of_input)
			snprintf(why, size, "unexpected EOF");
		else
			snprintf(why, size, "invalid JSON: %s", error.text);
	}
	return root;
}

int json_read_strings(struct str text, struct json_field *fields, unsigned n, char *why, size_t size)
{
	json_t *root = load(text, why, size);
	int rc = 0;

	for (unsigned i = 0; i < n; i++)
		fields[i].value = NULL;
	if (root == NULL)
		return -EBADMSG;
	if (json_is_null(root)) {
		json_decref(root);
		return 0;
	}
	if (!json_is_object(root)) {
		snprintf(why, size, "json: cannot unmarshal %s into Go value of type map[string]string",
			 type_name(root));
		rc = -EBADMSG;
	} else if (!check_strings(root, why, size)) {
		rc = -EBADMSG;
	}
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		const char *v = json_string_value(json_object_get(root, fields[i].name));

		if (v != NULL)
			fields[i].value = strdup(v);
	}
	json_decref(root);
	return rc;
}

void json_fields_free(struct json_field *fields, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (fields[i].value)
			explicit_bzero(fields[i].value, strlen(fields[i].value));
		free(fields[i].value);
		fields[i].value = NULL;
	}
}

struct json_doc *json_doc_parse(struct str text)
{
	json_t *root = json_loadb(text.p, text.len, 0, NULL);

	if (json_is_object(root))
		return (struct json_doc *)root;
	json_decref(root);
	return NULL;
}

void json_doc_free(struct json_doc *d)
{
	json_decref((json_t *)d);
}

bool json_doc_str(const struct json_doc *d, const char *name, struct str *out)
{
	const json_t *v = json_object_get((const json_t *)d, name);

	if (!json_is_string(v))
		return false;
	*out = (struct str){json_string_value(v), json_string_length(v)};
	return true;
}

bool json_doc_int(const struct json_doc *d, const char *name, int64_t *out)
{
	const json_t *v = json_object_get((const json_t *)d, name);

	if (!json_is_integer(v))
		return false;
	*out = json_integer_value(v);
	return true;
}
